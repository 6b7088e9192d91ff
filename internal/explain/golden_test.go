package explain

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
)

var update = flag.Bool("update", false, "write the golden sentences anew")

// TestGolden holds the sentence of the first event of every make that two real logs have
// to what was read and found good.
func TestGolden(t *testing.T) {
	en, zh := New(Config{}), New(Config{Chinese: true})
	seen := map[string]bool{}
	var lines []string
	for _, name := range []string{"a-gce-derived", "d-metadata-all"} {
		for _, line := range corpustest.Events(t, name) {
			var e audit.Event
			if err := e.Scan(line); err != nil {
				t.Fatal(err)
			}
			k := key(&e)
			if seen[k] {
				continue
			}
			seen[k] = true
			lines = append(lines, k+" | "+string(en.Append(nil, &e))+" | "+string(zh.Append(nil, &e)))
		}
	}
	slices.Sort(lines)
	got := strings.Join(lines, "\n") + "\n"
	const file = "testdata/golden.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	old := strings.Split(string(want), "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(old) || line != old[i] {
			t.Fatalf("line %d:\n got %s\nwant %s", i+1, line, append(old, "", "")[min(i, len(old))])
		}
	}
	if len(old) > len(lines)+1 {
		t.Fatalf("%d sentences, want %d", len(lines), len(old)-1)
	}
}

// key is what the golden sentences are distinct in: verb, resource, and outcome.
func key(e *audit.Event) string {
	what := string(e.Text[audit.Resource])
	if group := e.Text[audit.APIGroup]; len(group) > 0 {
		what += "." + string(group)
	}
	if sub := e.Text[audit.Subresource]; len(sub) > 0 {
		what += "/" + string(sub)
	}
	if what == "" {
		what, _, _ = strings.Cut(string(e.Text[audit.RequestURI]), "?")
	}
	k := fmt.Sprintf("%q %s %s %d %s", e.Text[audit.Verb], what, e.Text[audit.Stage], e.Code, e.Text[audit.Decision])
	if e.Code >= 400 {
		k += " " + message.ReplaceAllString(string(e.Text[audit.Message]), "*")
	}
	if len(e.Text[audit.ImpersonatedUsername]) > 0 {
		k += " as"
	}
	return k
}

// message is what differs between messages of one cause.
var message = regexp.MustCompile(`"[^"]*"|[0-9a-f-]{8,}|/registry\S*|[0-9]+|zz+|[\n|]|[0-9a-z-]+/[0-9a-z-]+`)

// TestEvents says events put together by hand, which a clone without real logs has too:
// each stands in testdata/events.txt below its title, and its sentences below it.
func TestEvents(t *testing.T) {
	const file = "testdata/events.txt"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	n := 0
	for block := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n\n") {
		lines := append(strings.Split(block, "\n"), "", "")
		e := scan(t, lines[1])
		en, zh := both(e)
		fmt.Fprintf(&out, "%s\n%s\n%s\n%s\n\n", lines[0], lines[1], en, zh)
		if n++; !*update && (lines[2] != en || lines[3] != zh) {
			t.Errorf("%s\n got %s\nwant %s\n got %s\nwant %s", lines[0], en, lines[2], zh, lines[3])
		}
		for _, s := range []struct {
			text string
			zh   bool
		}{{en, false}, {zh, true}} {
			if w := wrong(s.text, s.zh); w != "" && !strings.HasPrefix(w, "English") {
				t.Errorf("%s: %s", w, s.text)
			}
		}
	}
	if n < 80 {
		t.Errorf("%d events", n)
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
