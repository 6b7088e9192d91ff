package query

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kubetrail/audit"
)

// TestAsk runs testdata/*.test. A file is blocks apart by blank lines:
//
//	event NAME        an audit event, JSON on the lines below; kind and
//	{ … }             apiVersion need not be written
//
//	ask QUESTION      what is asked of every event of the file so far
//	expect NAME …     the answers, "nothing", or
//	error TEXT        part of the error that is shown
//
// Lines that begin with # are for the reader.
func TestAsk(t *testing.T) {
	files, err := filepath.Glob("testdata/*.test")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".test"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			runAsks(t, file, string(text))
		})
	}
}

func runAsks(t *testing.T, file, text string) {
	lines := strings.Split(text, "\n")
	var events []*audit.Event
	var names []string
	asked := ""
	for i := 0; i < len(lines); i++ {
		verb, rest, _ := strings.Cut(lines[i], " ")
		rest = strings.TrimSpace(rest)
		place := fmt.Sprintf("%s:%d", file, i+1)
		switch {
		case verb == "" || strings.HasPrefix(verb, "#"):
		case verb == "event":
			body := ""
			for i+1 < len(lines) && lines[i+1] != "" {
				i++
				body += lines[i] + "\n"
			}
			names = append(names, rest)
			events = append(events, scan(t, place, body))
		case verb == "ask":
			asked = rest
		case verb == "expect":
			expect(t, place, asked, rest, events, names)
		case verb == "error":
			if _, err := Parse(asked); err == nil || !strings.Contains(err.Error(), rest) {
				t.Errorf("%s: %s\n%v\nwant the error to say: %s", place, asked, err, rest)
			}
		default:
			t.Fatalf("%s: what is %q?", place, verb)
		}
	}
}

func scan(t testing.TB, place, body string) *audit.Event {
	t.Helper()
	body = strings.TrimSpace(body)
	if !strings.Contains(body, `"apiVersion":"audit`) {
		body = `{"kind":"Event","apiVersion":"audit.k8s.io/v1",` + body[1:]
	}
	e := new(audit.Event)
	if err := e.Scan([]byte(body)); err != nil {
		t.Fatalf("%s: %v", place, err)
	}
	return e
}

func expect(t *testing.T, place, asked, want string, events []*audit.Event, names []string) {
	t.Helper()
	n, err := Parse(asked)
	if err != nil {
		t.Errorf("%s: %s\n%v", place, asked, err)
		return
	}
	again, err := Parse(n.String())
	if err != nil || again.String() != n.String() {
		t.Errorf("%s: %s\nprints as %s\nand that as %v, %v", place, asked, n, again, err)
		return
	}
	for _, q := range []*Node{n, again} {
		var got []string
		for i, e := range events {
			if q.Match(e) {
				got = append(got, names[i])
			}
		}
		wanted := strings.Fields(want)
		if want == "nothing" {
			wanted = nil
		}
		if !slices.Equal(got, wanted) {
			t.Errorf("%s: %s\nanswers %v, want %v", place, q, got, wanted)
		}
	}
}
