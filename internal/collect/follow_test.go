package collect

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/collect/collecttest"
	"kubetrail/internal/corpustest"
	"kubetrail/internal/trail"
)

// clock is a time that a test moves on.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// follow returns a Follower that goes on where m is, and its clock.
func follow(t *testing.T, m *collecttest.Model, path string) (*Follower, *clock) {
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
func pullAll(t *testing.T, f *Follower, m *collecttest.Model) {
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
	m := collecttest.New()
	path := filepath.Join(t.TempDir(), "audit.log")
	f, _ := follow(t, m, path)
	if _, err := f.Pull(t.Context(), m, 0); err == nil || f.Status().Err == nil {
		t.Error("no error though there is no log")
	}
	for i := range 50 {
		add(t, path, events(10*i, 10*i+9)+event(10*i + 9)[:100])
		pullAll(t, f, m)
		if len(m.Lines) != 10*i+9 {
			t.Fatalf("%d lines, want %d", len(m.Lines), 10*i+9)
		}
		if f.Status().Waiting != 100 {
			t.Errorf("%+v", f.Status())
		}
		add(t, path, event(10*i + 9)[100:]+"\n")
	}
	pullAll(t, f, m)
	distinct(t, m.Lines, 500)
	if s := f.Status(); len(m.Lines) != 500 || s.Events != 500 || s.Waiting != 0 || s.Err != nil {
		t.Errorf("%d lines, %+v", len(m.Lines), s)
	}
	if r := load(t, m, path); r.Events != 0 {
		t.Errorf("imported again: %+v", r)
	}
}

// TestFollowCorpora replays the logs of a kube-apiserver that rotated, file by file,
// through a directory that is rotated as it was.
func TestFollowCorpora(t *testing.T) {
	for _, name := range []string{"rotation-keepall", "rotation-maxbackup3"} {
		t.Run(name, func(t *testing.T) {
			members := corpustest.Members(t, name, "audit*.log")
			slices.SortFunc(members, func(a, b corpustest.Member) int { // audit.log, the last, sorts last
				return strings.Compare(a.Name, b.Name)
			})
			dir := t.TempDir()
			put(t, filepath.Join(dir, "audit-policy.yaml"), "kind: Policy\n")
			log := filepath.Join(dir, "audit.log")
			m := collecttest.New()
			f, _ := follow(t, m, dir)
			var want []string
			var backups []string
			for i, member := range members {
				for text := member.Data; len(text) > 0; {
					n := min(len(text), 300_000+1000*i)
					add(t, log, string(text[:n]))
					text = text[n:]
					if i%3 != 2 { // every third is rotated before it was looked at
						if _, err := f.Pull(t.Context(), m, 100_000); err != nil {
							t.Fatal(err)
						}
					}
				}
				if i%4 == 3 { // killed
					f.Close()
					m.Crash()
					f, _ = follow(t, m, dir)
				}
				for _, e := range member.Events(t) {
					want = append(want, "c\x00"+string(e))
				}
				if i < len(members)-1 {
					backup := filepath.Join(dir, filepath.Base(member.Name))
					if err := os.Rename(log, backup); err != nil {
						t.Fatal(err)
					}
					backups = append(backups, backup)
				}
				pullAll(t, f, m)
				if len(backups) > 3 { // maxbackup
					if err := os.Remove(backups[0]); err != nil {
						t.Fatal(err)
					}
					backups = backups[1:]
				}
			}
			pullAll(t, f, m)
			if len(want) == 0 || !slices.Equal(m.Lines, want) {
				t.Errorf("%d lines, want %d, or they differ", len(m.Lines), len(want))
			}
			if len(m.Aside) > 0 {
				t.Errorf("set aside: %+v", m.Aside)
			}
		})
	}
}

// TestFollowTorn checks that half a line waits until it can never be ended, and is
// then set aside once.
func TestFollowTorn(t *testing.T) {
	m := collecttest.New()
	dir := t.TempDir()
	log := filepath.Join(dir, "audit.log")
	f, now := follow(t, m, log)
	add(t, log, events(0, 5)+event(5)[:77])
	pullAll(t, f, m)
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	now.at = now.at.Add(time.Hour)
	pullAll(t, f, m)
	if len(m.Aside) != 0 {
		t.Fatalf("set aside while nothing else is being written: %+v", m.Aside)
	}
	add(t, log, events(6, 8))
	pullAll(t, f, m)
	now.at = now.at.Add(2 * settleTime)
	pullAll(t, f, m)
	if len(m.Aside) != 1 || m.Aside[0].Length != 77 || m.Aside[0].Offset != int64(len(events(0, 5))) {
		t.Fatalf("set aside: %+v", m.Aside)
	}
	add(t, log, events(8, 9))
	pullAll(t, f, m)
	f, now = follow(t, m, log)
	now.at = now.at.Add(time.Hour)
	pullAll(t, f, m)
	pullAll(t, f, m)
	if len(m.Aside) != 1 || len(m.Lines) != 8 {
		t.Errorf("%d lines; set aside: %+v", len(m.Lines), m.Aside)
	}
}

// TestFollowDirectory checks that a directory may come later, and that only audit logs
// in it are followed.
func TestFollowDirectory(t *testing.T) {
	m := collecttest.New()
	dir := filepath.Join(t.TempDir(), "later", "audit")
	f, _ := follow(t, m, dir)
	if _, err := f.Pull(t.Context(), m, 0); err == nil {
		t.Error("no error though there is no directory")
	}
	if w := f.Watched(); len(w) != 1 || w[0] != filepath.Dir(filepath.Dir(dir)) {
		t.Errorf("watched: %q", w)
	}
	put(t, filepath.Join(dir, "audit-policy.yaml"), "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n"+strings.Repeat("# comment\n", 100))
	put(t, filepath.Join(dir, "other.log"), strings.Repeat("I1120 15:00:00.000000 1 main.go:1] hello\n", 100))
	put(t, filepath.Join(dir, "notes.txt.gz"), gzipped(t, strings.Repeat("hello\n", 100)))
	put(t, filepath.Join(dir, "audit.log"), events(0, 10))
	put(t, filepath.Join(dir, "second.log"), events(10, 20))
	pullAll(t, f, m)
	add(t, filepath.Join(dir, "other.log"), "more\n")
	add(t, filepath.Join(dir, "second.log"), events(20, 30))
	pullAll(t, f, m)
	distinct(t, m.Lines, 30)
	if s := f.Status(); len(m.Lines) != 30 || len(m.Aside) != 0 || s.Waiting != 0 {
		t.Errorf("%d lines, %+v, set aside: %+v", len(m.Lines), s, m.Aside)
	}
	if w := f.Watched(); len(w) != 1 || w[0] != dir {
		t.Errorf("watched: %q", w)
	}
}

// TestFollowDenied checks that what may not be read is told and tried again.
func TestFollowDenied(t *testing.T) {
	m := collecttest.New()
	dir := t.TempDir()
	log := filepath.Join(dir, "audit.log")
	f, _ := follow(t, m, log)
	if os.Getuid() == 0 { // root may read everything, but no link to itself
		if err := os.Symlink(log, log); err != nil {
			t.Fatal(err)
		}
	} else {
		put(t, log, events(0, 10))
		if err := os.Chmod(log, 0); err != nil {
			t.Fatal(err)
		}
	}
	put(t, log+".1", events(10, 20))
	if _, err := f.Pull(t.Context(), m, 0); err == nil || f.Status().Err == nil {
		t.Error("no error")
	}
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	put(t, log, events(0, 10))
	pullAll(t, f, m)
	if f.Status().Err != nil || len(m.Lines) != 20 {
		t.Errorf("%d lines, %+v", len(m.Lines), f.Status())
	}
}

// TestFollowLimit checks that a Pull ends near its limit, and that little is held open.
func TestFollowLimit(t *testing.T) {
	m := collecttest.New()
	dir := t.TempDir()
	for i := range 200 {
		put(t, filepath.Join(dir, time.Unix(int64(i), 0).UTC().Format("audit-2006-01-02T15-04-05.000.log")), events(20*i, 20*i+20))
	}
	put(t, filepath.Join(dir, "audit.log"), events(4000, 4020))
	f, _ := follow(t, m, filepath.Join(dir, "audit.log"))
	var before int64
	for more := true; more; {
		var err error
		if more, err = f.Pull(t.Context(), m, 10_000); err != nil {
			t.Fatal(err)
		}
		s := f.Status()
		if got := s.Bytes - before; got > 11_000 {
			t.Fatalf("%d bytes in one pull", got)
		}
		before = s.Bytes
		open := 0
		for _, c := range f.files {
			if c.in != nil {
				open++
			}
		}
		if open > maxHeld {
			t.Fatalf("%d files are open", open)
		}
	}
	pullAll(t, f, m)
	distinct(t, m.Lines, 4020)
	if len(m.Lines) != 4020 {
		t.Errorf("%d lines", len(m.Lines))
	}
}

// TestFollowImported checks that what was imported is not read again, nor what was
// followed imported, also behind a hole.
func TestFollowImported(t *testing.T) {
	m := collecttest.New()
	dir := t.TempDir()
	log := filepath.Join(dir, "audit.log")
	add(t, log, strings.Repeat("\x00", 10_000)+events(0, 2))
	put(t, log+".1", strings.Repeat("\x00", 5_000)+events(50, 60))
	expect(t, m, load(t, m, dir), 12, 12)
	f, _ := follow(t, m, log)
	pullAll(t, f, m)
	expect(t, m, Report{}, 0, 12)
	add(t, log, events(2, 40))
	pullAll(t, f, m)
	expect(t, m, Report{}, 0, 50)
	expect(t, m, load(t, m, dir), 0, 50)
	if len(m.Aside) != 2 {
		t.Errorf("set aside: %+v", m.Aside)
	}
}

// TestFollowWhileWriting follows a log that is written and rotated at the same time.
func TestFollowWhileWriting(t *testing.T) {
	const files, each = 150, 40
	m := collecttest.New()
	log := filepath.Join(t.TempDir(), "audit.log")
	done := make(chan error, 1)
	go func() {
		for i := range files {
			out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
			if err != nil {
				done <- err
				return
			}
			for n := range each {
				out.WriteString(event(each*i+n) + "\n")
			}
			out.Close()
			if err := os.Rename(log, fmt.Sprintf("%s-%08d", log, 20260000+i)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	f, _ := follow(t, m, log)
	for n, writing := 0, true; writing; n++ {
		select {
		case err := <-done:
			if writing = false; err != nil {
				t.Fatal(err)
			}
		default:
		}
		if _, err := f.Pull(t.Context(), m, 20_000); err != nil && !passing(err) {
			t.Fatal(err)
		}
		if n%20 == 19 {
			f.Close()
			m.Crash()
			f, _ = follow(t, m, log)
		}
	}
	add(t, log, event(files*each)+"\n")
	pullAll(t, f, m)
	distinct(t, m.Lines, files*each+1)
	if len(m.Lines) != files*each+1 || len(m.Aside) != 0 {
		t.Errorf("%d lines, want %d; set aside: %+v", len(m.Lines), files*each+1, m.Aside)
	}
}

// meddler is a model that does something when an event is appended.
type meddler struct {
	*collecttest.Model
	at int
	do func()
}

func (m *meddler) Append(e *audit.Event) {
	if m.at--; m.at == 0 {
		m.do()
	}
	m.Model.Append(e)
}

// TestFollowTruncatedWhileRead truncates a log that was copied while it is being read,
// after which it grows beyond the place where reading goes on.
func TestFollowTruncatedWhileRead(t *testing.T) {
	m := collecttest.New()
	dir := t.TempDir()
	log := filepath.Join(dir, "audit.log")
	add(t, log, events(0, 3000))
	f, _ := follow(t, m, log)
	w := &meddler{m, 100, func() {
		put(t, log+".1", events(0, 3000))
		if err := os.Truncate(log, 0); err != nil {
			t.Fatal(err)
		}
		add(t, log, events(3000, 9000))
	}}
	for more := true; more; {
		var err error
		if more, err = f.Pull(t.Context(), w, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	distinct(t, m.Lines, 9000)
	if len(m.Lines) != 9000 || len(m.Aside) != 0 {
		t.Errorf("%d lines; set aside: %+v", len(m.Lines), m.Aside)
	}
}

// Positions of files that are gone for good are dropped in the end, not of the others.
func TestFollowForgetsWhatIsGone(t *testing.T) {
	m := collecttest.New()
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	for i := range 2 * keptGone { // imported from elsewhere
		s := trail.Source{Name: fmt.Sprintf("/archive/%d.log", i), Cluster: "c", Position: 1, Print: "x", PrintBytes: 1}
		m.Read[s.Name] = s
	}
	f, c := follow(t, m, path)
	const files = keptGone + 20
	for i := range files {
		add(t, path, events(10*i, 10*i+10))
		pullAll(t, f, m)
		rotated := filepath.Join(dir, fmt.Sprintf("audit-2026-11-20T15-%02d-%02d.000.log", i/60, i%60))
		if err := os.Rename(path, rotated); err != nil {
			t.Fatal(err)
		}
		c.at = c.at.Add(time.Minute)
		if i >= 5 { // five backups remain
			if err := os.Remove(filepath.Join(dir, fmt.Sprintf("audit-2026-11-20T15-%02d-%02d.000.log", (i-5)/60, (i-5)%60))); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(t, path, events(10*files, 10*files+10))
	pullAll(t, f, m)
	c.at = c.at.Add(forgetAfter)
	add(t, path, events(10*files+10, 10*files+20))
	pullAll(t, f, m)
	if len(m.Lines) != 10*files+20 {
		t.Errorf("%d events, want %d", len(m.Lines), 10*files+20)
	}
	if n := len(m.Read) - 2*keptGone; n != keptGone+6 {
		t.Errorf("%d positions are kept, want %d", n, keptGone+6)
	}
	// Whoever goes on there reads nothing twice.
	g, _ := follow(t, m, path)
	pullAll(t, g, m)
	if len(m.Lines) != 10*files+20 {
		t.Errorf("%d events after another start, want %d", len(m.Lines), 10*files+20)
	}
}

// Files that cannot be seen for a while, because nothing is mounted there, are no files
// that are gone for good: when they come back nothing of them is read again.
func TestFollowForgetsNothingUnmounted(t *testing.T) {
	for name, meanwhile := range map[string]func(dir string, log string){
		"empty directory": func(string, string) {},
		"another log":     func(_, log string) { add(t, log, events(1_000_000, 1_000_010)) },
	} {
		t.Run(name, func(t *testing.T) {
			m := collecttest.New()
			dir := filepath.Join(t.TempDir(), "log")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			const files = keptGone + maxHeld + 20
			for i := range files {
				add(t, filepath.Join(dir, fmt.Sprintf("audit-2026-11-20T15-%02d-%02d.000.log", i/60, i%60)), events(10*i, 10*i+10))
			}
			log := filepath.Join(dir, "audit.log")
			add(t, log, events(10*files, 10*files+10))
			f, c := follow(t, m, dir)
			c.at = c.at.Add(time.Minute)
			pullAll(t, f, m)
			if err := os.Rename(dir, dir+".away"); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			meanwhile(dir, log)
			for range 3 {
				c.at = c.at.Add(2 * forgetEvery)
				pullAll(t, f, m)
			}
			if err := errors.Join(os.RemoveAll(dir), os.Rename(dir+".away", dir)); err != nil {
				t.Fatal(err)
			}
			c.at = c.at.Add(forgetEvery)
			pullAll(t, f, m)
			got := map[string]int{}
			for _, line := range m.Lines {
				if got[string(line)]++; got[string(line)] == 2 {
					t.Fatalf("%d events, twice: %s", len(m.Lines), line)
				}
			}
		})
	}
}

// A log in which there is nothing to be found is read a piece at a time all the same, so
// that others have their turn.
func TestFollowBoundsWhatHoldsNothing(t *testing.T) {
	m := collecttest.New()
	path := filepath.Join(t.TempDir(), "kube-apiserver.log")
	line := "I1120 15:31:49.203222   11906 httplog.go:132] \"HTTP\" verb=\"GET\" resp=200\n"
	const limit = 1 << 20
	add(t, path, strings.Repeat(line, 3*limit/len(line)))
	f, err := Follow(FollowConfig{Path: path, Cluster: "c", Format: APIServerLog()})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var before int64
	pulls := 0
	for more := true; more; pulls++ {
		if more, err = f.Pull(t.Context(), m, limit); err != nil {
			t.Fatal(err)
		}
		read := f.Status().Bytes
		if read-before > limit {
			t.Fatalf("%d bytes were read at once, with a limit of %d", read-before, limit)
		}
		before = read
	}
	if waiting := f.Status().Waiting; pulls < 3 || waiting != 0 {
		t.Errorf("%d bytes wait after %d pulls", waiting, pulls)
	}
}

// Lines that are longer than what is read at once are read all the same, one file after
// the other.
func TestFollowLongLines(t *testing.T) {
	m := collecttest.New()
	dir := t.TempDir()
	for i, name := range []string{"audit-2026-11-20T15-00-00.000.log", "audit-2026-11-20T15-01-00.000.log", "audit.log"} {
		long := strings.Replace(event(10*i), `"level"`, `"padding":"`+strings.Repeat("x", 3*leastRead)+`","level"`, 1)
		add(t, filepath.Join(dir, name), long+"\n"+event(10*i+1)+"\n")
	}
	f, c := follow(t, m, filepath.Join(dir, "audit.log"))
	for range 3 { // rotated ones are looked at when they are quiet
		c.at = c.at.Add(2 * settleTime)
		for more, pulls := true, 0; more; pulls++ {
			var err error
			if more, err = f.Pull(t.Context(), m, 1000); err != nil {
				t.Fatal(err)
			}
			if pulls > 1000 {
				t.Fatalf("%d events after %d pulls", len(m.Lines)+len(m.Waiting), pulls)
			}
		}
	}
	if n := len(m.Lines) + len(m.Waiting); n != 6 {
		t.Errorf("%d events, want 6", n)
	}
}

// A long line that is written in many pieces, each looked at, is one event.
func TestFollowSlowLine(t *testing.T) {
	m := collecttest.New()
	path := filepath.Join(t.TempDir(), "audit.log")
	add(t, path, event(0)+"\n")
	f, _ := follow(t, m, path)
	text := strings.Replace(event(1), `"level"`, `"padding":"`+strings.Repeat("x", 6<<20)+`","level"`, 1) + "\n" + event(2) + "\n"
	for len(text) > 0 {
		n := min(64<<10, len(text))
		add(t, path, text[:n])
		pullAll(t, f, m)
		text = text[n:]
	}
	if len(m.Lines) != 3 || len(m.Aside) != 0 {
		t.Errorf("%d events of 3, %d set aside", len(m.Lines), len(m.Aside))
	}
}
