package explain

import (
	"flag"
	"fmt"
	"os"
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
			k := fmt.Sprintf("%s %s %s.%s/%s %s %d %s", name[:1], e.Text[audit.Verb], e.Text[audit.Resource], e.Text[audit.APIGroup], e.Text[audit.Subresource],
				e.Text[audit.Stage], e.Code, e.Text[audit.Decision])
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
