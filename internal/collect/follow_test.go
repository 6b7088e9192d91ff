package collect

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// clock is a time that a test moves on.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// follow returns a Follower that goes on where m is, and its clock.
func follow(t *testing.T, m *model, path string) (*Follower, *clock) {
	t.Helper()
	f, err := Follow(FollowConfig{Path: path, Cluster: "c", Sources: m.Sources()})
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{time.Now()}
	f.now = c.now
	t.Cleanup(func() { f.Close() })
	return f, c
}

// pullAll pulls until there is no more.
func pullAll(t *testing.T, f *Follower, m *model) {
	t.Helper()
	for range 1000 {
		more, err := f.Pull(t.Context(), m, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			if err := m.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.Committed()
			return
		}
	}
	t.Fatal("there is always more")
}

func add(t *testing.T, path, text string) {
	t.Helper()
	w, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestFollowGrowing(t *testing.T) {
	m := newModel()
	path := filepath.Join(t.TempDir(), "audit.log")
	f, _ := follow(t, m, path)
	if _, err := f.Pull(t.Context(), m, 0); err == nil || f.Status().Err == nil {
		t.Error("no error though there is no log")
	}
	for i := range 50 {
		add(t, path, events(10*i, 10*i+9)+event(10*i + 9)[:100])
		pullAll(t, f, m)
		if len(m.lines) != 10*i+9 {
			t.Fatalf("%d lines, want %d", len(m.lines), 10*i+9)
		}
		if f.Status().Waiting != 100 {
			t.Errorf("%+v", f.Status())
		}
		add(t, path, event(10*i + 9)[100:]+"\n")
	}
	pullAll(t, f, m)
	distinct(t, m.lines, 500)
	if s := f.Status(); len(m.lines) != 500 || s.Events != 500 || s.Waiting != 0 || s.Err != nil {
		t.Errorf("%d lines, %+v", len(m.lines), s)
	}
	if r := load(t, m, path); r.Events != 0 {
		t.Errorf("imported again: %+v", r)
	}
}
