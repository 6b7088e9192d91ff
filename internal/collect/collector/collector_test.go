package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/collect/collecttest"
	"kubetrail/internal/durable/durabletest"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

// script is a Feed whose lines a test gives it.
type script struct {
	name string

	mu        sync.Mutex
	lines     []string
	read      int
	committed int
	pulls     int
	err       error
}

func (s *script) give(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.lines = append(s.lines, strings.TrimSuffix(collecttest.Event(len(s.lines)), "\n"))
	}
}

func (s *script) Pull(ctx context.Context, w collect.Appender, limit int64) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pulls++
	if s.err != nil {
		return false, s.err
	}
	var e audit.Event
	for s.read < len(s.lines) && limit > 0 {
		line := s.lines[s.read]
		if err := e.Scan([]byte(line)); err != nil {
			return false, err
		}
		e.Text[audit.Source] = []byte(s.name)
		w.Append(&e)
		s.read++
		limit -= int64(len(line))
	}
	w.Advance(trail.Source{Name: s.name, Position: int64(s.read)})
	return s.read < len(s.lines), nil
}

func (s *script) Committed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed = s.read
}

func (s *script) Status() collect.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return collect.Status{Name: s.name, Events: uint64(s.read), Waiting: int64(len(s.lines) - s.read)}
}

func (s *script) Close() error { return nil }

func (s *script) kept() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.committed
}

// running starts a collector and returns what ends it. It is used in a bubble, whose
// clock stands still while anything can go on.
func running(t *testing.T, cfg Config) (c *Collector, stop func() error) {
	t.Helper()
	c = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	synctest.Wait()
	return c, func() error { cancel(); return <-ended }
}

// TestCommitsInTime checks that no event waits longer than Every, and that a steady
// stream is committed no more often.
func TestCommitsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := collecttest.New(), &script{name: "a"}
		var commits atomic.Int32
		c, stop := running(t, Config{Writer: w, Feeds: []collect.Feed{f}, OnCommit: func(time.Duration, uint64) { commits.Add(1) }})
		for i := range 1000 { // for ten seconds
			f.give(1)
			time.Sleep(10 * time.Millisecond)
			if late := i + 1 - f.kept(); late > 100+7 { // and what comes in until it is looked at
				t.Fatalf("%d of %d events are not durable", late, i+1)
			}
		}
		if n := commits.Load(); n < 9 || n > 11 {
			t.Errorf("%d commits in ten seconds", n)
		}
		time.Sleep(3 * time.Second)
		if s := c.State(); s.Stored != 1000 || f.kept() != 1000 || !s.Running || len(s.Feeds) != 1 {
			t.Errorf("%+v, %d told", s, f.kept())
		}
		f.give(1) // nothing came before it for long: it need not wait
		time.Sleep(300 * time.Millisecond)
		if f.kept() != 1001 {
			t.Error("an event waits though nothing else was committed for long")
		}
		f.give(5)
		time.Sleep(30 * time.Millisecond)
		if err := stop(); err != nil || len(w.Lines) != 1006 {
			t.Errorf("%v; %d lines at the end", err, len(w.Lines))
		}
		if c.State().Running {
			t.Error("runs after its end")
		}
	})
}

// TestFair checks that a feed with a long backlog does not keep another one waiting.
func TestFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, long, short := collecttest.New(), &script{name: "long"}, &script{name: "short"}
		w.PartLines = 5000
		long.give(20000)
		short.give(1)
		first := -1
		_, stop := running(t, Config{Writer: w, Feeds: []collect.Feed{long, short}, Now: func() time.Time {
			if first < 0 && short.kept() > 0 {
				first = long.kept()
			}
			return time.Now()
		}})
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if len(w.Lines) != 20001 || first < 0 || first > 10000 {
			t.Errorf("%d lines; of the long backlog %d were stored before the short one", len(w.Lines), first)
		}
	})
}

// TestDiskFull fills the disk under a collector and frees it again.
func TestDiskFull(t *testing.T) {
	for _, kind := range []durabletest.Kind{durabletest.DiskFull, durabletest.FailSync, durabletest.FailRename, durabletest.FailCreate} {
		t.Run(kind.String(), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { diskFull(t, kind) }) })
	}
}

func diskFull(t *testing.T, kind durabletest.Kind) {
	dir, fsys := t.TempDir(), &durabletest.FS{Kind: kind, At: 3}
	w, err := disk.OpenWriter(disk.Config{Dir: dir, FS: fsys})
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	f := &script{name: "a"}
	c, stop := running(t, Config{Writer: w, Feeds: []collect.Feed{f}, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	failed := false
	for range 60 {
		f.give(10)
		time.Sleep(time.Second)
		if c.State().Err != nil && !failed {
			failed = true
			if kind != durabletest.DiskFull {
				continue
			}
			before := f.read
			f.give(10)
			time.Sleep(5 * time.Minute)
			if f.read != before || c.State().Err == nil {
				t.Errorf("%d events were taken that cannot be stored", f.read-before)
			}
			fsys.Heal()
			time.Sleep(maxWait + time.Second)
			if c.State().Err != nil {
				t.Errorf("still %v", c.State().Err)
			}
		}
	}
	if err := stop(); err != nil || !failed {
		t.Fatalf("%v; failed %v", err, failed)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(said.String(), "cannot be written"); n != 1 {
		t.Errorf("said %d times:\n%s", n, said.String())
	}
	if !strings.Contains(said.String(), "can be written again") {
		t.Errorf("did not say that it is over:\n%s", said.String())
	}
	checkStored(t, dir, f)
}

// checkStored checks that a trail holds every line of a feed once.
func checkStored(t *testing.T, dir string, f *script) {
	t.Helper()
	r, err := disk.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	seen := map[string]int{}
	err = r.Search(t.Context(), trail.Always(nil), trail.Page{Columns: audit.AllColumns}, func(e *audit.Event) error {
		seen[string(e.AppendLine(nil))]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range f.lines {
		if seen[line] != 1 {
			t.Fatalf("%d times in the trail: %s", seen[line], line)
		}
	}
	if len(seen) != len(f.lines) {
		t.Errorf("%d events for %d lines", len(seen), len(f.lines))
	}
}

// TestStopIsBounded stops a collector whose feed never ends, and one whose trail
// cannot be written.
func TestStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, endless := collecttest.New(), &endless{}
		_, stop := running(t, Config{Writer: w, Feeds: []collect.Feed{endless}, Drain: 2 * time.Second})
		before := time.Now()
		if err := stop(); err != nil || time.Since(before) > 3*time.Second {
			t.Errorf("%v after %s", err, time.Since(before))
		}
		if len(w.Lines) != endless.n {
			t.Errorf("%d of %d events are kept", len(w.Lines), endless.n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := &script{name: "a"}
		f.give(10)
		_, stop := running(t, Config{Writer: &unwritable{collecttest.New()}, Feeds: []collect.Feed{f}})
		time.Sleep(time.Minute)
		before := time.Now()
		if err := stop(); !errors.Is(err, errBroken) || time.Since(before) > 11*time.Second {
			t.Errorf("%v after %s", err, time.Since(before))
		}
	})
}

// endless is a Feed that always has more.
type endless struct {
	script
	n int
}

func (f *endless) Pull(_ context.Context, w collect.Appender, _ int64) (bool, error) {
	var e audit.Event
	if err := e.Scan([]byte(collecttest.Event(f.n))); err != nil {
		return false, err
	}
	w.Append(&e)
	f.n++
	time.Sleep(time.Millisecond)
	return true, nil
}

var errBroken = errors.New("broken for good")

// unwritable is a trail that cannot be written.
type unwritable struct{ *collecttest.Model }

func (*unwritable) Commit(context.Context) error { return errBroken }

// TestBrokenFeed checks that one feed's error does not stop another, and is logged
// when it comes and when it goes.
func TestBrokenFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		w, good, bad := collecttest.New(), &script{name: "good"}, &script{name: "bad", err: errors.New("no permission")}
		_, stop := running(t, Config{Writer: w, Feeds: []collect.Feed{bad, good}, Logger: slog.New(slog.NewTextHandler(&said, nil))})
		good.give(10)
		bad.give(10)
		time.Sleep(10 * time.Second)
		if good.kept() != 10 || bad.kept() != 0 {
			t.Errorf("good %d, bad %d", good.kept(), bad.kept())
		}
		if n := strings.Count(said.String(), "no permission"); n != 1 {
			t.Errorf("said %d times:\n%s", n, said.String())
		}
		bad.mu.Lock()
		bad.err = nil
		bad.mu.Unlock()
		time.Sleep(2 * time.Second)
		if err := stop(); err != nil || bad.kept() != 10 || !strings.Contains(said.String(), "read again") {
			t.Errorf("%v, bad %d\n%s", err, bad.kept(), said.String())
		}
	})
}

// TestMergeBeside checks that merging does not keep events waiting, that it never runs
// beside removing, and that Run waits for it.
func TestMergeBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := collecttest.New(), &script{name: "a"}
		var mu sync.Mutex
		merging, merges, expired := false, 0, 0
		_, stop := running(t, Config{Writer: w, Feeds: []collect.Feed{f},
			Merge: func(context.Context) (bool, error) {
				mu.Lock()
				merging = true
				merges++
				mu.Unlock()
				time.Sleep(7 * time.Second)
				mu.Lock()
				merging = false
				mu.Unlock()
				return merges%2 == 1, nil
			},
			ExpireEvery: 3 * time.Second,
			Expire: func(context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				expired++
				if merging {
					return fmt.Errorf("while merging")
				}
				return nil
			},
			Logger: slog.New(slog.NewTextHandler(failOnWrite{t}, nil)),
		})
		for i := range 600 {
			f.give(1)
			time.Sleep(100 * time.Millisecond)
			if late := i + 1 - f.kept(); late > 12 {
				t.Fatalf("%d events wait", late)
			}
		}
		if err := stop(); err != nil || merging {
			t.Errorf("%v, merging %v", err, merging)
		}
		if merges < 4 || merges > 9 || expired < 4 {
			t.Errorf("%d merges, %d times removed", merges, expired)
		}
	})
}

// failOnWrite fails the test of whoever logs.
type failOnWrite struct{ t *testing.T }

func (f failOnWrite) Write(b []byte) (int, error) {
	f.t.Errorf("logged %s", b)
	return len(b), nil
}

// watching is a script whose directory is watched.
type watching struct {
	script
	dir string
}

func (w *watching) Watched() []string { return []string{w.dir} }

// TestWakesUp checks that a change in a watched directory is seen at once, though the
// next look was far away, and that a busy feed is not watched.
func TestWakesUp(t *testing.T) {
	f := &watching{script{name: "a"}, t.TempDir()}
	c := New(Config{Writer: collecttest.New(), Feeds: []collect.Feed{f}, Poll: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	for i := range 3 {
		time.Sleep(4 * pause) // until it is idle
		f.mu.Lock()
		pulls := f.pulls
		f.mu.Unlock()
		f.give(1)
		time.Sleep(2 * pause)
		f.mu.Lock()
		if f.pulls > pulls+1 { // one may be under way
			t.Errorf("%d looks while idle", f.pulls-pulls)
		}
		f.mu.Unlock()
		if err := os.WriteFile(filepath.Join(f.dir, fmt.Sprint(i)), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(5 * time.Second); f.kept() < i+1; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("a change was not told")
			}
		}
	}
	time.Sleep(4 * pause)
	if n := len(c.watched.fs.WatchList()); n != 1 {
		t.Errorf("%d directories are watched while nothing comes", n)
	}
	for range 20 {
		f.give(1)
		if err := os.WriteFile(filepath.Join(f.dir, "busy"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pause / 2)
	}
	if n := len(c.watched.fs.WatchList()); n != 0 {
		t.Errorf("%d directories are watched while something comes", n)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
