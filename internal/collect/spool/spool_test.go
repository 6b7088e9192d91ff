package spool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"kubetrail/internal/collect/collecttest"
	"kubetrail/internal/corpustest"
	"kubetrail/internal/durable"
	"kubetrail/internal/trail"
)

// list is an EventList as kube-apiserver sends it, of the events from first to before
// last.
func list(first, last int) []byte {
	var items []string
	for i := first; i < last; i++ {
		items = append(items, item(i))
	}
	return []byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + strings.Join(items, ",") + "]}\n")
}

func item(id int) string {
	return strings.Replace(collecttest.Event(id), `"kind":"Event","apiVersion":"audit.k8s.io/v1",`, "", 1)
}

func openSpools(t testing.TB, cfg Config) *Spools {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func receive(t testing.TB, s *Spools, cluster string, bodies ...[]byte) {
	t.Helper()
	for _, b := range bodies {
		if err := s.Receive(t.Context(), Origin{Cluster: cluster}, b); err != nil {
			t.Fatal(err)
		}
	}
}

// pull pulls all feeds until there is no more, committing after each.
func pull(t testing.TB, s *Spools, m *collecttest.Model, limit int64) {
	t.Helper()
	for _, f := range s.Feeds() {
		for more := true; more; {
			var err error
			if more, err = f.Pull(context.Background(), m, limit); err != nil {
				t.Fatal(err)
			}
			if err := m.Commit(context.Background()); err != nil {
				t.Fatal(err)
			}
			f.Committed()
		}
	}
}

// ids are the numbers of the events in m, in order, which must be those that item and
// event make, byte for byte.
func ids(t testing.TB, m *collecttest.Model) []int {
	t.Helper()
	var ids []int
	for _, l := range m.Lines {
		_, line, _ := strings.Cut(l, "\x00")
		var id int
		_, after, ok := strings.Cut(line, `"auditID":"id-`)
		if _, err := fmt.Sscanf(after, "%d", &id); !ok || err != nil || line != item(id) && line != collecttest.Event(id) {
			t.Fatalf("%q is not what was sent", line)
		}
		ids = append(ids, id)
	}
	return ids
}

func upTo(n int) []int {
	var all []int
	for i := range n {
		all = append(all, i)
	}
	return all
}

func segments(t testing.TB, dir, cluster string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, cluster, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range names {
		names[i] = filepath.Base(n)
	}
	return names
}

func TestSpoolGivesBackWhatItReceived(t *testing.T) {
	for _, limit := range []int64{1, 700, 1 << 20} {
		dir, m := t.TempDir(), collecttest.New()
		s := openSpools(t, Config{Dir: dir, SegmentBytes: 3000})
		for i := range 20 {
			receive(t, s, "prod", list(2*i, 2*i+2))
			if i%3 == 0 {
				pull(t, s, m, limit)
			}
		}
		pull(t, s, m, limit)
		if ids := ids(t, m); !slices.Equal(ids, upTo(40)) || len(m.Aside) > 0 {
			t.Errorf("limit %d: events %v, faults %v", limit, ids, m.Aside)
		}
		if got := s.Feeds()[0].Status(); got.Waiting != 0 || got.Events != 40 || got.Name != "webhook/prod" || got.Cluster != "prod" || got.Bytes == 0 || got.LastRead.IsZero() {
			t.Errorf("limit %d: status %+v", limit, got)
		}
		if src := m.Sources(); len(src) != 1 || src[0].Name != "webhook/prod" || src[0].Cluster != "prod" || src[0].Line > 40 || limit > 1000 && src[0].Line != 40 {
			t.Errorf("limit %d: sources %+v", limit, src)
		}
		if left := segments(t, dir, "prod"); len(left) != 1 {
			t.Errorf("limit %d: all is in the trail, and these files are left: %v", limit, left)
		}
	}
}

// The trail says where to go on, wherever a process was killed.
func TestSpoolGoesOnAfterARestart(t *testing.T) {
	dir, m := t.TempDir(), collecttest.New()
	for i := range 30 {
		s := openSpools(t, Config{Dir: dir, SegmentBytes: 3000, Sources: m.Sources()})
		receive(t, s, "prod", list(3*i, 3*i+3))
		f := s.Feeds()[0]
		if _, err := f.Pull(t.Context(), m, int64(100*i)); err != nil {
			t.Fatal(err)
		}
		switch i % 3 {
		case 0: // killed before the commit
			m.Crash()
		case 1: // and before the feed was told of it
			m.Commit(t.Context())
		default:
			m.Commit(t.Context())
			f.Committed()
		}
		s.Close()
	}
	pull(t, openSpools(t, Config{Dir: dir, Sources: m.Sources()}), m, 1<<20)
	if ids := ids(t, m); !slices.Equal(ids, upTo(90)) || len(m.Aside) > 0 {
		t.Errorf("events %v, faults %v", ids, m.Aside)
	}
}

// What a kill leaves of a body that was being written is dropped, and what comes next
// is whole.
func TestSpoolDropsATornTail(t *testing.T) {
	for cut := 0; cut < len(list(1, 3)); cut += 1 + cut%9 {
		dir, m := t.TempDir(), collecttest.New()
		s := openSpools(t, Config{Dir: dir})
		receive(t, s, "prod", list(0, 1))
		s.Close()
		f, err := os.OpenFile(filepath.Join(dir, "prod", segments(t, dir, "prod")[0]), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(list(1, 3)[:cut])
		f.Close()
		s = openSpools(t, Config{Dir: dir})
		receive(t, s, "prod", list(1, 3))
		pull(t, s, m, 1<<20)
		if ids := ids(t, m); !slices.Equal(ids, upTo(3)) || len(m.Aside) > 0 {
			t.Fatalf("%d bytes: events %v, faults %v", cut, ids, m.Aside)
		}
	}
}

func TestSpoolBound(t *testing.T) {
	body := list(0, 4)
	s := openSpools(t, Config{Dir: t.TempDir(), MaxBytes: int64(3*len(body) + 3)})
	m := collecttest.New()
	for range 4 {
		receive(t, s, "prod", body, body, body)
		if err := s.Receive(t.Context(), Origin{Cluster: "prod"}, []byte("x")); !errors.Is(err, ErrFull) {
			t.Fatalf("one byte more than there is room for: %v", err)
		}
		receive(t, s, "other", body) // has its own bound
		pull(t, s, m, 1<<20)
	}
	if len(m.Lines) != 4*4*4 {
		t.Errorf("%d events", len(m.Lines))
	}
}

func TestSpoolClusters(t *testing.T) {
	dir := t.TempDir()
	s := openSpools(t, Config{Dir: filepath.Join(dir, "spool")})
	for _, name := range []string{"", ".", "..", "../x", "a/b", `a\b`, "/etc", "A", "ä", "a_b", "-a", "a-", ".a", "a.", "a\x00", "a b", "a%2fb", "a\n",
		strings.Repeat("a", 64), "%00", "a:b"} {
		if err := s.Receive(t.Context(), Origin{Cluster: name}, list(0, 1)); !errors.Is(err, ErrCluster) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if entries, _ := os.ReadDir(filepath.Join(dir, "spool")); len(entries) > 0 {
		t.Errorf("%v was made", entries)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%v was made", entries)
	}
	for _, name := range []string{"a", "0", "a..b", "eu-1.prod", strings.Repeat("a", 63)} {
		receive(t, s, name, list(0, 1))
	}
	for i := range maxServers { // who may post for one cluster leaves room for others
		if err := s.Receive(t.Context(), Origin{"a", fmt.Sprint("s", i)}, list(0, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Receive(t.Context(), Origin{"a", "onemore"}, list(0, 1)); !errors.Is(err, ErrCluster) {
		t.Errorf("server %d of a cluster: %v", maxServers+1, err)
	}
	for i := len(s.Feeds()); i < MaxClusters; i++ {
		receive(t, s, fmt.Sprintf("c%d", i), list(0, 1))
	}
	if err := s.Receive(t.Context(), Origin{Cluster: "onemore"}, list(0, 1)); !errors.Is(err, ErrCluster) {
		t.Errorf("cluster %d: %v", MaxClusters+1, err)
	}
	receive(t, s, "a", list(1, 2))
}

// A spool that has lost something says so once, and goes on.
func TestSpoolLosses(t *testing.T) {
	first := fmt.Sprintf("%020d.spool", 0)
	for _, tt := range []struct {
		name string
		harm func(dir string, names []string) error
		want string
		lost []int
	}{
		{"beginning", func(dir string, names []string) error { return os.Remove(dir + "/" + names[0]) }, "is missing", []int{0, 1}},
		{"middle", func(dir string, names []string) error { return os.Remove(dir + "/" + names[2]) }, "is missing", []int{4, 5}},
		{"end of a file", func(dir string, names []string) error {
			return os.Truncate(dir+"/"+names[1], int64(len(list(2, 3))))
		}, "is missing", []int{3}},
		{"foreign files", func(dir string, names []string) error {
			return errors.Join(os.WriteFile(dir+"/00000000000000000001.spool.bak", []byte("x"), 0o600), os.WriteFile(dir+"/1.spool", []byte("x"), 0o600),
				os.Mkdir(dir+"/00000000000000000009.spool", 0o700))
		}, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, m := t.TempDir(), collecttest.New()
			s := openSpools(t, Config{Dir: dir, SegmentBytes: 600})
			for i := range 10 {
				receive(t, s, "prod", list(i, i+1))
			}
			s.Close()
			if names := segments(t, dir, "prod"); len(names) != 5 || names[0] != first {
				t.Fatalf("files %v", names)
			}
			if err := tt.harm(dir+"/prod", segments(t, dir, "prod")); err != nil {
				t.Fatal(err)
			}
			var told []trail.Fault
			s = openSpools(t, Config{Dir: dir, OnFault: func(f trail.Fault) { told = append(told, f) }})
			pull(t, s, m, 1<<20)
			receive(t, s, "prod", list(10, 11))
			pull(t, s, m, 1<<20)
			want := slices.DeleteFunc(upTo(11), func(i int) bool { return slices.Contains(tt.lost, i) })
			if ids := ids(t, m); !slices.Equal(ids, want) {
				t.Errorf("events %v, want %v", ids, want)
			}
			if tt.want == "" && len(m.Aside) == 0 {
				return
			}
			if len(m.Aside) != 1 || len(told) != 1 || !strings.Contains(m.Aside[0].Reason, tt.want) || m.Aside[0].Source != "webhook/prod" || m.Aside[0].Length < 300 {
				t.Errorf("faults %+v, told %d", m.Aside, len(told))
			}
		})
	}
}

// A file that vanishes or loses its end while it is in use is a loss, too.
func TestSpoolLosesWhileItRuns(t *testing.T) {
	dir, m := t.TempDir(), collecttest.New()
	s := openSpools(t, Config{Dir: dir, SegmentBytes: 600})
	for i := range 6 {
		receive(t, s, "prod", list(i, i+1))
	}
	names := segments(t, dir, "prod")
	if err := errors.Join(os.Remove(dir+"/prod/"+names[0]), os.Truncate(dir+"/prod/"+names[1], int64(len(list(2, 3))))); err != nil {
		t.Fatal(err)
	}
	pull(t, s, m, 1<<20)
	if ids := ids(t, m); !slices.Equal(ids, []int{2, 4, 5}) || len(m.Aside) != 2 {
		t.Errorf("events %v, faults %+v", ids, m.Aside)
	}
}

// A trail that has read more than there is makes the spool go on behind that place:
// what comes next would otherwise be taken for read.
func TestSpoolBehindTheTrail(t *testing.T) {
	for name, before := range map[string][][]byte{"gone": nil, "shorter": {list(0, 1)}} {
		t.Run(name, func(t *testing.T) {
			dir, m := t.TempDir(), collecttest.New()
			receive(t, openSpools(t, Config{Dir: dir}), "prod", before...)
			sources := []trail.Source{{Name: "webhook/prod", Cluster: "prod", Position: 5000, Line: 7}}
			for range 3 { // nothing is told before something comes
				s := openSpools(t, Config{Dir: dir, Sources: sources})
				pull(t, s, m, 1<<20)
				if len(m.Lines)+len(m.Aside) > 0 {
					t.Fatal(m.Lines, m.Aside)
				}
			}
			s := openSpools(t, Config{Dir: dir, Sources: sources})
			receive(t, s, "prod", list(1, 3))
			pull(t, s, m, 1<<20)
			if ids := ids(t, m); !slices.Equal(ids, []int{1, 2}) || len(m.Aside) != 1 || m.Aside[0].Offset != 5000 {
				t.Fatalf("events %v, faults %+v", ids, m.Aside)
			}
			s.Close()
			s = openSpools(t, Config{Dir: dir, Sources: m.Sources()})
			receive(t, s, "prod", list(3, 4))
			pull(t, s, m, 1<<20)
			if ids := ids(t, m); !slices.Equal(ids, []int{1, 2, 3}) || len(m.Aside) != 1 {
				t.Errorf("events %v, faults %+v", ids, m.Aside)
			}
		})
	}
}

// A body that is not quite right costs no other, and neither do lists without events
// fill the spool for ever.
func TestSpoolOddBodies(t *testing.T) {
	dir, m := t.TempDir(), collecttest.New()
	s := openSpools(t, Config{Dir: dir, MaxBytes: 3 << 20, SegmentBytes: 1 << 20})
	odd := [][]byte{
		bytes.Replace(list(0, 3), []byte(`{"level":"Metadata","auditID":"id-1"`), []byte(`{"level":Metadata,"auditID":"id-1"`), 1),
		list(3, 5)[:len(list(3, 5))-40],
		[]byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[` + item(5) + `,{"no":"event"},` + item(6) + `],"metadata":{}}`),
		[]byte("{\n  \"kind\": \"EventList\",\n  \"apiVersion\": \"audit.k8s.io/v1\",\n  \"items\": [\n" + item(7) + "\n  ]\n}"),
		[]byte(collecttest.Event(8)),
	}
	for _, b := range odd {
		receive(t, s, "prod", b)
		pull(t, s, m, 1<<20)
	}
	receive(t, s, "prod", list(9, 10))
	pull(t, s, m, 1<<20)
	if ids := ids(t, m); !slices.Equal(ids, []int{0, 2, 3, 5, 6, 7, 8, 9}) || len(m.Aside) != 3 {
		for _, f := range m.Aside {
			t.Logf("%d bytes at %d: %s", f.Length, f.Offset, f.Reason)
		}
		t.Errorf("events %v, %d faults", ids, len(m.Aside))
	}
	empty := list(0, 0)
	for n := 0; n < 9<<20; n += 1 << 19 {
		receive(t, s, "prod", append(bytes.Repeat([]byte(" "), 1<<19-len(empty)), empty...))
		pull(t, s, m, 1<<20)
	}
}

// counting counts fsyncs, and can make each wait.
type counting struct {
	durable.OS
	syncs atomic.Int64
	hold  chan error // if not nil, a sync waits for one, and that is its outcome
}

type countedFile struct {
	durable.File
	c *counting
}

func (c *counting) Create(name string) (durable.File, error) {
	f, err := c.OS.Create(name)
	if filepath.Ext(name) != segmentSuffix {
		return f, err
	}
	return &countedFile{f, c}, err
}

func (f *countedFile) Sync() error {
	if f.c.hold != nil {
		if err := <-f.c.hold; err != nil {
			return err
		}
	}
	f.c.syncs.Add(1)
	return f.File.Sync()
}

// Whoever comes while an fsync runs shares the next one.
func TestSpoolSharesFsyncs(t *testing.T) {
	fsys := &counting{hold: make(chan error)}
	s, m := openSpools(t, Config{Dir: t.TempDir(), FS: fsys}), collecttest.New()
	var all sync.WaitGroup
	post := func(i int) {
		all.Go(func() {
			if err := s.Receive(context.Background(), Origin{Cluster: "prod"}, list(i, i+1)); err != nil {
				t.Error(err)
			}
		})
	}
	post(0)
	sp := func() *spool {
		for {
			s.mu.Lock()
			sp := s.spools[Origin{Cluster: "prod"}]
			s.mu.Unlock()
			if sp != nil {
				return sp
			}
		}
	}()
	gathered := func() int {
		sp.mu.Lock()
		defer sp.mu.Unlock()
		if sp.gathering == nil {
			return 0
		}
		return len(sp.gathering.bodies)
	}
	for sp.waiting(0) == 0 && !func() bool { sp.mu.Lock(); defer sp.mu.Unlock(); return sp.busy && sp.gathering == nil }() {
	}
	for i := 1; i < 100; i++ {
		post(i)
	}
	for gathered() < 99 {
	}
	// Nothing may be read that is not durable.
	if pull(t, s, m, 1<<20); len(m.Lines) > 0 {
		t.Errorf("%d events were read before their fsync", len(m.Lines))
	}
	fsys.hold <- nil
	fsys.hold <- nil
	all.Wait()
	if n := fsys.syncs.Load(); n != 2 {
		t.Errorf("%d fsyncs for 100 bodies, want 2", n)
	}
	pull(t, s, m, 1<<20)
	ids := ids(t, m)
	if slices.Sort(ids); !slices.Equal(ids, upTo(100)) {
		t.Errorf("events %v", ids)
	}
	select {
	case <-s.Arrived():
	default:
		t.Error("Arrived has no value")
	}
}

func TestSpoolsClose(t *testing.T) {
	fsys := &counting{hold: make(chan error, 1)}
	s, m := openSpools(t, Config{Dir: t.TempDir(), FS: fsys}), collecttest.New()
	done := make(chan error, 1)
	go func() { done <- s.Receive(context.Background(), Origin{Cluster: "prod"}, list(0, 1)) }()
	for len(s.Feeds()) == 0 || !s.spools[Origin{Cluster: "prod"}].writing() {
	}
	go func() { fsys.hold <- nil }()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	default:
		t.Log("the caller has yet to see it") // it is done all the same
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for _, cluster := range []string{"prod", "new"} {
		if err := s.Receive(t.Context(), Origin{Cluster: cluster}, list(1, 2)); !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", cluster, err)
		}
	}
	pull(t, s, m, 1<<20)
	if len(m.Lines) != 1 {
		t.Errorf("%d events", len(m.Lines))
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Receive(gone, Origin{Cluster: "prod"}, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func (s *spool) writing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy
}

// The posts of a real kube-apiserver come out as they went in.
func TestSpoolOfRealPosts(t *testing.T) {
	for _, corpus := range []string{"webhook-batch", "webhook-retry", "lost-events"} {
		t.Run(corpus, func(t *testing.T) {
			s, m := openSpools(t, Config{Dir: t.TempDir(), SegmentBytes: 1 << 20}), collecttest.New()
			var want []string
			for _, post := range corpustest.Members(t, corpus, "0*.json") {
				receive(t, s, "real", post.Data)
				for _, e := range post.Events(t) {
					want = append(want, "real\x00"+string(e))
				}
			}
			pull(t, s, m, 1<<20)
			if !slices.Equal(m.Lines, want) || len(m.Aside) > 0 {
				t.Errorf("%d events, want the %d that were sent; faults %+v", len(m.Lines), len(want), m.Aside)
			}
		})
	}
}

// FuzzSpoolBodies: whatever bodies hold, the events between them are kept, all bytes
// are passed, and nothing is read twice.
func FuzzSpoolBodies(f *testing.F) {
	f.Add([]byte(`{"kind":"EventList","items":[`), int64(100))
	f.Add([]byte("]}\n{\n\x00[,,\"\\"), int64(1))
	f.Add(list(5, 7), int64(1<<20))
	f.Add(binary.BigEndian.AppendUint64(nil, 1<<63), int64(7))
	f.Fuzz(func(t *testing.T, body []byte, limit int64) {
		s, m := openSpools(t, Config{Dir: t.TempDir()}), collecttest.New()
		receive(t, s, "prod", list(1000, 1001))
		pull(t, s, m, limit)
		before := len(m.Lines)
		receive(t, s, "prod", body)
		pull(t, s, m, limit)
		if before != 1 {
			t.Fatalf("%d events", before)
		}
		if w := s.Feeds()[0].Status().Waiting; w != 0 {
			t.Errorf("%d bytes are left", w)
		}
		receive(t, s, "prod", list(1001, 1002))
		pull(t, s, m, limit)
		last := m.Lines[len(m.Lines)-1]
		if !strings.HasSuffix(last, item(1001)) {
			t.Errorf("the event after it is %q", last)
		}
	})
}

// BenchmarkReceive posts bodies of one event, as kube-apiserver does with
// --audit-webhook-mode=blocking, from that many callers at a time.
func BenchmarkReceive(b *testing.B) {
	for _, callers := range []int{1, 16, 128} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			fsys := &counting{}
			s := openSpools(b, Config{Dir: b.TempDir(), MaxBytes: 1 << 40, FS: fsys})
			body := bytes.Replace(list(1, 2), []byte(`"alice"`), []byte(`"`+strings.Repeat("a", 700)+`"`), 1)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						if err := s.Receive(context.Background(), Origin{Cluster: "prod"}, body); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "posts/s")
			b.ReportMetric(float64(b.N)/float64(fsys.syncs.Load()), "posts/fsync")
		})
	}
}

// What comes from one server of a cluster is a source of its own, also after a restart.
func TestSpoolOfAServer(t *testing.T) {
	dir := t.TempDir()
	m := collecttest.New()
	for round := range 3 {
		s := openSpools(t, Config{Dir: dir, Sources: m.Sources()})
		for i, from := range []Origin{{"prod", ""}, {"prod", "cp-1"}, {"prod", "cp-2"}} {
			if err := s.Receive(t.Context(), from, list(10*round+i, 10*round+i+1)); err != nil {
				t.Fatal(err)
			}
		}
		pull(t, s, m, 1<<20)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := ids(t, m); len(got) != 9 {
		t.Errorf("%v", got)
	}
	var names []string
	for _, s := range m.Read {
		names = append(names, s.Name+" "+s.Cluster+" "+s.Server)
	}
	slices.Sort(names)
	if want := []string{"webhook/prod prod ", "webhook/prod/cp-1 prod cp-1", "webhook/prod/cp-2 prod cp-2"}; !slices.Equal(names, want) {
		t.Errorf("%q", names)
	}
}

// A file that an agent ships under the name of a spool is no spool: how far that was read
// says nothing of this one.
func TestSpoolOfThatName(t *testing.T) {
	dir, from := t.TempDir(), Origin{"prod", "cp-1"}
	s := openSpools(t, Config{Dir: dir})
	if err := s.Receive(t.Context(), from, list(0, 3)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	m := collecttest.New()
	s = openSpools(t, Config{Dir: dir, Sources: []trail.Source{
		{Name: "webhook/prod/cp-1", Cluster: "prod", Server: "cp-1", Print: "x", PrintBytes: 1, Position: 1 << 40},
	}})
	defer s.Close()
	pull(t, s, m, 1<<20)
	if err := m.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(m.Lines) != 3 || len(m.Aside) != 0 {
		t.Errorf("%d of 3 events; set aside: %+v", len(m.Lines), m.Aside)
	}
}
