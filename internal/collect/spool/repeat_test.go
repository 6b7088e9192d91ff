package spool

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/collect/collecttest"
	"kubetrail/internal/corpustest"
	"kubetrail/internal/durable"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

// marker is a model that keeps the marks of what it is given.
type marker struct {
	*collecttest.Model
	waiting, kept []string // marks and audit ID of each event
}

func newMarker() *marker { return &marker{Model: collecttest.New()} }

func (m *marker) Append(e *audit.Event) {
	m.waiting = append(m.waiting, string(e.Text[audit.Marks])+string(e.Text[audit.AuditID]))
	m.Model.Append(e)
}

func (m *marker) Seal() error { return m.Commit(context.Background()) }

func (m *marker) Commit(ctx context.Context) error {
	m.kept, m.waiting = append(m.kept, m.waiting...), nil
	return m.Model.Commit(ctx)
}

func (m *marker) crash() {
	m.waiting = nil
	m.Crash()
}

// pullOne pulls the only feed until there is no more.
func pullOne(t testing.TB, s *Spools, w collect.Appender, limit int64) {
	t.Helper()
	f := s.Feeds()[0]
	for more := true; more; {
		var err error
		if more, err = f.Pull(context.Background(), w, limit); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
		f.Committed()
	}
}

// Wherever a process is killed, an event is marked exactly if the body it came in was
// received before.
func TestRepeatsAreMarkedAcrossCrashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "spool")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		m := newMarker()
		var s *Spools
		open := func() {
			if s, err = Open(Config{Dir: dir, SegmentBytes: 1500, Sources: m.Sources()}); err != nil {
				t.Fatal(err)
			}
		}
		open()
		defer func() { s.Close() }()
		var want []string
		before := map[int]bool{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			default:
				first := rapid.IntRange(0, 9).Draw(t, "body")
				body := list(first, first+1+first%3)
				if first == 4 {
					body = bytes.TrimSpace(body) // its newline is no part of it
				}
				if err := s.Receive(t.Context(), Origin{Cluster: "prod"}, body); err != nil {
					t.Fatal(err)
				}
				for id := first; id < first+1+first%3; id++ {
					want = append(want, map[bool]string{true: repeatMark}[before[first]]+fmt.Sprintf("id-%d", id))
				}
				before[first] = true
			case 3: // a part of what is there
				if len(s.Feeds()) == 0 {
					continue
				}
				if _, err := s.Feeds()[0].Pull(t.Context(), m, rapid.Int64Range(1, 2000).Draw(t, "limit")); err != nil {
					t.Fatal(err)
				}
				if rapid.Bool().Draw(t, "commit") {
					m.Commit(t.Context())
					s.Feeds()[0].Committed()
				}
			case 4:
				m.crash()
				s.Close()
				open()
			}
		}
		m.crash()
		s.Close()
		open()
		for _, f := range s.Feeds() {
			for more := true; more; {
				if more, err = f.Pull(t.Context(), m, 1<<20); err != nil {
					t.Fatal(err)
				}
			}
		}
		m.Commit(t.Context())
		if !slices.Equal(m.kept, want) {
			t.Fatalf("marked %q\nwant   %q", m.kept, want)
		}
	})
}

// Who chooses the audit ID of requests marks none of them, whether they are posted one
// by one, all together, or one to a line.
func TestFixedAuditIDIsNoRepeat(t *testing.T) {
	s, m := openSpools(t, Config{Dir: t.TempDir()}), newMarker()
	var items []string
	for i := range 1000 {
		e := strings.Replace(item(i), fmt.Sprintf("id-%d", i), "chosen", 1)
		items = append(items, strings.Replace(e, fmt.Sprintf("pod-%d", i), "same", 1))
	}
	seen := map[string]bool{}
	for i := range items { // the times repeat after an hour
		items[i] = strings.Replace(items[i], ".000000Z", fmt.Sprintf(".%06dZ", i), 1)
		if seen[items[i]] {
			t.Fatal("two events are the same")
		}
		seen[items[i]] = true
	}
	one := func(items string) []byte {
		return []byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + items + "]}\n")
	}
	for _, e := range items {
		receive(t, s, "prod", one(e))
	}
	receive(t, s, "prod", one(strings.Join(items, ",")), []byte(strings.Join(items, "\n")), []byte(strings.Join(items, " \n")+" "))
	// In a body of many lines, events that span some are never marked.
	wide := bytes.ReplaceAll(one(items[0]), []byte(`,"`), []byte(",\n\""))
	receive(t, s, "prod", wide, wide)
	pullOne(t, s, m, 1<<20)
	if len(m.kept) != 4002 || len(m.Aside) > 0 {
		t.Fatalf("%d events, faults %v", len(m.kept), m.Aside)
	}
	for i, got := range m.kept {
		if got != "chosen" {
			t.Fatalf("event %d: %s", i, got)
		}
	}
	// The very bytes again are a repeat.
	receive(t, s, "prod", one(items[7]))
	pullOne(t, s, m, 1<<20)
	if got := m.kept[4002:]; !slices.Equal(got, []string{repeatMark + "chosen"}) {
		t.Fatalf("marked %q", got)
	}
}

// What was received for another cluster, or for another server, is no repeat here.
func TestRepeatsAreOfOneOrigin(t *testing.T) {
	s, m := openSpools(t, Config{Dir: t.TempDir()}), newMarker()
	for _, from := range []Origin{{"prod", ""}, {"test", ""}, {"prod", "cp-1"}} {
		if err := s.Receive(t.Context(), from, list(0, 2)); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range s.Feeds() {
		if _, err := f.Pull(t.Context(), m, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	m.Commit(t.Context())
	if want := []string{"id-0", "id-1", "id-0", "id-1", "id-0", "id-1"}; !slices.Equal(m.kept, want) {
		t.Errorf("marked %q", m.kept)
	}
}

// Only the last bodies are remembered, in this process and in the next.
func TestRepeatsAreForgotten(t *testing.T) {
	dir, m := t.TempDir(), newMarker()
	cfg := Config{Dir: dir, SegmentBytes: 1, Repeats: 3}
	s := openSpools(t, cfg)
	step := func(id int, mark bool) {
		t.Helper()
		receive(t, s, "prod", list(id, id+1))
		pullOne(t, s, m, 1<<20)
		if got := m.kept[len(m.kept)-1]; got != map[bool]string{true: repeatMark}[mark]+fmt.Sprintf("id-%d", id) {
			t.Errorf("%s", got)
		}
		cfg.Sources = m.Sources()
		if id%2 == 0 {
			s.Close()
			s = openSpools(t, cfg)
		}
	}
	for id := range 4 {
		step(id, false)
	}
	step(1, true) // 1 2 3 are remembered
	step(0, false)
	step(3, true)
	if f := s.Feeds()[0].(*Feed); len(f.memory.index) > 3 || len(f.memory.lines) > 7 {
		t.Errorf("%d and %d are remembered", len(f.memory.index), len(f.memory.lines))
	}
}

// What is remembered of removed segments is lost where its file is damaged or cannot
// be written; nothing else is, and nothing is marked that is no repeat.
func TestRepeatsFileIsNoMustHave(t *testing.T) {
	for _, hurt := range []func(b []byte) []byte{
		func([]byte) []byte { return nil },
		func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		func(b []byte) []byte { return b[:len(b)-seenBytes] },
		func(b []byte) []byte { return append([]byte("OTHER??\n"), b[8:]...) },
	} {
		dir, m := t.TempDir(), newMarker()
		s := openSpools(t, Config{Dir: dir, SegmentBytes: 1})
		receive(t, s, "prod", list(0, 1), list(1, 2), list(2, 3))
		pullOne(t, s, m, 1<<20)
		s.Close()
		name := filepath.Join(dir, "prod", repeatsName)
		b, err := os.ReadFile(name)
		if err != nil || len(decodeSeen(b)) != 3 {
			t.Fatalf("%d are saved, %v", len(decodeSeen(b)), err)
		}
		if err := os.WriteFile(name, hurt(b), 0o600); err != nil {
			t.Fatal(err)
		}
		s = openSpools(t, Config{Dir: dir, Sources: m.Sources()})
		receive(t, s, "prod", list(0, 1), list(2, 3)) // 2 is in a segment that is left
		pullOne(t, s, m, 1<<20)
		if want := []string{"id-0", "id-1", "id-2", "id-0", repeatMark + "id-2"}; !slices.Equal(m.kept, want) {
			t.Errorf("marked %q", m.kept)
		}
	}
}

// noRepeats is a file system that refuses the file of what is remembered.
type noRepeats struct{ durable.OS }

func (n noRepeats) Create(name string) (durable.File, error) {
	if strings.Contains(name, repeatsName) {
		return nil, os.ErrPermission
	}
	return n.OS.Create(name)
}

func TestSegmentsGoWithoutRoomForRepeats(t *testing.T) {
	dir, m := t.TempDir(), newMarker()
	s := openSpools(t, Config{Dir: dir, SegmentBytes: 1, FS: noRepeats{}})
	receive(t, s, "prod", list(0, 1), list(1, 2))
	pullOne(t, s, m, 1<<20)
	receive(t, s, "prod", list(0, 1))
	pullOne(t, s, m, 1<<20)
	if want := []string{"id-0", "id-1", repeatMark + "id-0"}; !slices.Equal(m.kept, want) {
		t.Errorf("marked %q", m.kept)
	}
	if left := segments(t, dir, "prod"); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}

// A real kube-apiserver whose first three posts were answered 503: the same bodies
// came again. Where the receiver had kept them all the same, exactly these are marked,
// and a count without repeats is one of what happened.
func TestRealRetries(t *testing.T) {
	posts := corpustest.Members(t, "webhook-retry", "*.json")
	for _, kept := range []int{0, 3} { // posts that count only if the receiver kept what it refused
		dir := t.TempDir()
		w, err := disk.OpenWriter(disk.Config{Dir: filepath.Join(dir, "trail")})
		if err != nil {
			t.Fatal(err)
		}
		s := openSpools(t, Config{Dir: filepath.Join(dir, "spool")})
		var all, distinct uint64
		bodies := map[string]bool{}
		for _, p := range posts[3-kept:] {
			receive(t, s, "prod", p.Data)
			n := uint64(len(p.Events(t)))
			if all += n; !bodies[string(p.Data)] {
				distinct += n
			}
			bodies[string(p.Data)] = true
		}
		pullOne(t, s, w, 100_000)
		s.Close()
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := disk.Open(filepath.Join(dir, "trail"))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for question, want := range map[string]uint64{"": all, "not is:repeat": distinct, "is:repeat": all - distinct} {
			where, err := query.Parse(question)
			if err != nil {
				t.Fatal(err)
			}
			groups, err := r.Aggregate(t.Context(), trail.Always(where), nil, 0)
			if err != nil || groups.Events != want {
				t.Errorf("%d refused posts kept: %q: %d events, want %d (%v)", kept, question, groups.Events, want, err)
			}
		}
		if marked := all > distinct; marked != (kept > 0) || distinct != 1971 {
			t.Errorf("%d refused posts kept: %d events, %d without repeats", kept, all, distinct)
		}
	}
}

func BenchmarkRepeat(b *testing.B) {
	s := openSpools(b, Config{Dir: b.TempDir()})
	for i := range 20 {
		receive(b, s, "prod", list(400*i, 400*i+400))
	}
	f := s.Feeds()[0].(*Feed)
	g, _ := f.spool.behind(0)
	file, err := os.Open(f.spool.name(g.start))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	f.file, f.until = file, g.end
	b.SetBytes(g.end)
	for b.Loop() {
		for f.body.end = 0; f.body.end < g.end; {
			if err := f.nextBody(); err != nil {
				b.Fatal(err)
			}
		}
	}
	f.file = nil
}
