package collect

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kubetrail/internal/collect/collecttest"
)

func appendTo(t interface{ Fatal(...any) }, path, text string) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLogsComeAndGo follows other logs again and again, in any order of writing, pulling
// and committing, and wants every line of a log once that was followed when it was
// written or is so in the end.
func TestLogsComeAndGo(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "logs")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		paths := []string{dir + "/0/audit.log", dir + "/1/audit.log", dir + "/2/audit.log"}
		for _, p := range paths {
			if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
				rt.Fatal(err)
			}
		}
		m := collecttest.New()
		now := time.Unix(1e9, 0)
		logs := NewLogs(LogsConfig{Sources: m.Sources, Now: func() time.Time { return now }})
		defer logs.Close()
		var wanted []Log
		written := 0
		round := func(commit bool) {
			logs.Turn()
			for _, f := range logs.Feeds() {
				for more := true; more; {
					if more, err = f.Pull(context.Background(), m, 200); err != nil && !os.IsNotExist(err) && !strings.Contains(err.Error(), "no such file") {
						rt.Fatal(err)
					}
				}
			}
			if commit {
				m.Commit(context.Background())
				for _, f := range logs.Feeds() {
					f.Committed()
				}
			}
		}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0:
				appendTo(rt, paths[rapid.IntRange(0, 2).Draw(rt, "log")], event(written)+"\n")
				written++
			case 1:
				wanted = nil
				for _, p := range paths {
					if rapid.Bool().Draw(rt, "wanted") {
						wanted = append(wanted, Log{Path: p, Cluster: "c", Kind: fmt.Sprint(rapid.IntRange(0, 1).Draw(rt, "kind"))})
					}
				}
				logs.Set(wanted)
			case 2:
				round(false)
			case 3:
				round(true)
			}
		}
		for _, p := range paths {
			wanted = append(wanted, Log{Path: p, Cluster: "c"})
		}
		logs.Set(wanted[len(wanted)-3:])
		for range 4 {
			round(true)
		}
		if n := len(logs.Feeds()); n != 3 {
			rt.Fatalf("%d logs are followed in the end", n)
		}
		var got []int
		for _, line := range m.Lines {
			var n int
			if _, err := fmt.Sscanf(line[strings.Index(line, `"id-`)+4:], "%d", &n); err != nil {
				rt.Fatal(err)
			}
			got = append(got, n)
		}
		slices.Sort(got)
		for i := range written {
			if i >= len(got) || got[i] != i {
				rt.Fatalf("%d lines were written, and read were %v", written, got)
			}
		}
		if len(got) != written {
			rt.Fatalf("%d lines were written, and read were %v", written, got)
		}
	})
}

// TestLogLeaves wants a log that is not wanted any more to be read to its end and closed
// once that is committed, not before.
func TestLogLeaves(t *testing.T) {
	path := t.TempDir() + "/audit.log"
	m := collecttest.New()
	now := time.Unix(1e9, 0)
	logs := NewLogs(LogsConfig{Sources: m.Sources, Now: func() time.Time { return now }})
	defer logs.Close()
	logs.Set([]Log{{Path: path}})
	if len(logs.Feeds()) != 0 {
		t.Error("a log is followed before the collector had its turn")
	}
	logs.Turn()
	appendTo(t, path, events(0, 2))
	logs.Set(nil)
	logs.Turn()
	feeds := logs.Feeds()
	if len(feeds) != 1 {
		t.Fatal("a log that was not read is gone")
	}
	pull := func() {
		t.Helper()
		if _, err := feeds[0].Pull(t.Context(), m, 0); err != nil {
			t.Fatal(err)
		}
	}
	pull()
	appendTo(t, path, events(2, 3)) // too late
	pull()
	logs.Turn()
	if len(logs.Feeds()) != 1 {
		t.Error("a log is closed before what it held is committed")
	}
	m.Commit(t.Context())
	feeds[0].Committed()
	logs.Turn()
	if len(logs.Feeds()) != 0 || len(m.Lines) != 2 {
		t.Errorf("%d logs, %d lines", len(logs.Feeds()), len(m.Lines))
	}
	logs.Set([]Log{{Path: path}}) // wanted again: it goes on where it was left
	logs.Turn()
	feeds = logs.Feeds()
	pull()
	m.Commit(t.Context())
	feeds[0].Committed()
	if len(m.Lines) != 3 {
		t.Errorf("%d lines", len(m.Lines))
	}

	// One that can never be read does not stay for ever.
	missing := t.TempDir() + "/none/audit.log"
	logs.Set([]Log{{Path: missing}})
	logs.Turn()
	pull() // the other one leaves
	logs.Turn()
	logs.Set(nil)
	logs.Turn()
	for i, want := range []int{1, 0} {
		for _, f := range logs.Feeds() {
			if _, err := f.Pull(t.Context(), m, 0); err == nil {
				t.Error("what is not there can be read")
			}
		}
		logs.Turn()
		if n := len(logs.Feeds()); n != want {
			t.Errorf("%d: %d logs", i, n)
		}
		now = now.Add(time.Minute)
	}
}
