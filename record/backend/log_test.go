package backend_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/record"
	"kubetrail/record/backend"
)

// listed returns an event at level Metadata whose audit ID is a number, and whose line
// is longer by pad bytes.
func listed(n, pad int) *record.Event {
	e := &record.Event{Event: audit.Event{Received: 1_795_000_000_000_000, Staged: 1_795_000_000_000_123}}
	e.Text[audit.Level] = []byte("Metadata")
	e.Text[audit.AuditID] = fmt.Append(nil, n)
	e.Text[audit.Stage] = []byte("ResponseComplete")
	e.Text[audit.RequestURI] = []byte("/api/v1/namespaces/shop/pods?" + strings.Repeat("x", pad))
	e.Text[audit.Verb] = []byte("list")
	e.Text[audit.Username] = []byte("jai")
	e.Code = 200
	return e
}

// scanned returns the audit IDs of the lines in text, in order, which must all be whole.
func scanned(t rapid.TB, text []byte) (ids []string) {
	t.Helper()
	for line := range bytes.Lines(text) {
		var e audit.Event
		body, whole := bytes.CutSuffix(line, []byte("\n"))
		if err := e.Scan(body); !whole || err != nil || !e.Exact() {
			t.Fatalf("not a whole line: %.300q: %v", line, err)
		}
		ids = append(ids, string(e.Text[audit.AuditID]))
	}
	return ids
}

// lostIn returns what events in text say was lost, by cause.
func lostIn(t testing.TB, text []byte) map[string]string {
	t.Helper()
	lost := map[string]string{}
	for line := range bytes.Lines(text) {
		var e audit.Event
		if err := e.Scan(bytes.TrimSpace(line)); err != nil || string(e.Text[audit.Verb]) != backend.LostVerb {
			continue
		}
		lost[annotation(&e, backend.LostCauseAnnotation)] = annotation(&e, backend.LostAnnotation)
	}
	return lost
}

func annotation(e *audit.Event, key string) (value string) {
	ref, err := audit.Resolve("annotations." + key)
	if err != nil {
		return ""
	}
	ref.Any(e, func(v audit.Value) bool {
		value = string(v.Bytes)
		return true
	})
	return value
}

// writes keeps what each Write gets.
type writes struct {
	mu  sync.Mutex
	all [][]byte
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, bytes.Clone(p))
	return len(p), nil
}

func (w *writes) text() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Join(w.all, nil)
}

func TestLogWritesOnce(t *testing.T) {
	var out writes
	b := backend.Log(backend.LogConfig{Out: &out})
	if b.String() != "log" {
		t.Errorf("it is called %s", b)
	}
	if !b.ProcessEvents() || len(out.all) != 0 {
		t.Error("nothing was written")
	}
	one := listed(1, 10)
	if !b.ProcessEvents(one) || len(out.all) != 1 || !bytes.Equal(out.all[0], one.Line()) {
		t.Errorf("one event: %q", out.all)
	}
	many := []*record.Event{listed(2, 0), listed(3, 3000), listed(4, 0)}
	if !b.ProcessEvents(many...) || len(out.all) != 2 {
		t.Fatalf("many events: %d writes", len(out.all)-1)
	}
	if ids := scanned(t, out.all[1]); fmt.Sprint(ids) != "[2 3 4]" {
		t.Errorf("many events: %v", ids)
	}
}

func TestLegacy(t *testing.T) {
	const received = 1_795_000_000_123_000
	for _, test := range []struct {
		name string
		set  func(e *record.Event)
		want string
	}{
		{"nothing", func(*record.Event) {},
			`id="" stage="" ip="<unknown>" method="" user="<none>" groups="<none>" as="<self>" asgroups="<lookup>" user-agent="" namespace="<none>" uri="" response="<deferred>"`},
		{"all", func(e *record.Event) {
			e.Text[audit.AuditID] = []byte("an \"id\"\n")
			e.Text[audit.Stage] = []byte("ResponseComplete")
			e.Text[audit.SourceIPs] = []byte(`["10.0.0.1","10.0.0.2"]`)
			e.Text[audit.Verb] = []byte("get")
			e.Text[audit.Username] = []byte("jai")
			e.Text[audit.UserGroups] = []byte(`["a","b c"]`)
			e.Text[audit.ImpersonatedUsername] = []byte("ü")
			e.Text[audit.ImpersonatedGroups] = []byte(`["x\"y"]`)
			e.Text[audit.UserAgent] = []byte("kubectl <v>")
			e.Text[audit.Namespace] = []byte("shop")
			e.Text[audit.RequestURI] = []byte("/api?a=b")
			e.Code = 404
		}, `id="an \"id\"\n" stage="ResponseComplete" ip="10.0.0.1" method="get" user="jai" groups="\"a\",\"b c\"" as="ü" asgroups="\"x\\\"y\"" user-agent="kubectl <v>" namespace="shop" uri="/api?a=b" response="404"`},
		{"groups of nobody", func(e *record.Event) { e.Text[audit.UserGroups] = []byte(`["a"]`) },
			`id="" stage="" ip="<unknown>" method="" user="<none>" groups="<none>" as="<self>" asgroups="<lookup>" user-agent="" namespace="<none>" uri="" response="<deferred>"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out writes
			e := &record.Event{Event: audit.Event{Received: received, Staged: received + 5}}
			test.set(e)
			backend.Log(backend.LogConfig{Out: &out, Format: backend.FormatLegacy}).ProcessEvents(e)
			want := time.UnixMicro(received).UTC().Format(time.RFC3339Nano) + " AUDIT: " + test.want + "\n"
			if got := string(out.text()); got != want {
				t.Errorf("the line is\n%swant\n%s", got, want)
			}
			if e.Form != audit.FormV1 {
				t.Error("the event was changed")
			}
		})
	}
	var out writes
	backend.Log(backend.LogConfig{Out: &out, Format: backend.FormatLegacy}).ProcessEvents(&record.Event{Event: audit.Event{Received: audit.NoTime}})
	if want := "0001-01-01T00:00:00Z AUDIT: "; !strings.HasPrefix(string(out.text()), want) {
		t.Errorf("an event without a time is %q, want %s", out.text(), want)
	}
}

// gate blocks each Write until it may go on.
type gate struct {
	writes
	begun, goOn chan struct{}
}

func (g *gate) Write(p []byte) (int, error) {
	g.begun <- struct{}{}
	<-g.goOn
	return g.writes.Write(p)
}

// While one write is under way, all who come share the next one, and none of them
// returns before that is done.
func TestLogGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &gate{begun: make(chan struct{}), goOn: make(chan struct{})}
		b := backend.Log(backend.LogConfig{Out: out})
		var mu sync.Mutex
		returned := 0
		send := func(n int) {
			if !b.ProcessEvents(listed(n, 0)) {
				t.Errorf("event %d was not stored", n)
			}
			mu.Lock()
			returned++
			mu.Unlock()
		}
		count := func() int {
			mu.Lock()
			defer mu.Unlock()
			return returned
		}
		go send(0)
		<-out.begun
		for n := 1; n <= 20; n++ {
			go send(n)
		}
		synctest.Wait()
		if n := count(); n != 0 {
			t.Errorf("%d returned before their line was written", n)
		}
		out.goOn <- struct{}{}
		<-out.begun
		synctest.Wait()
		if n := count(); n != 1 {
			t.Errorf("%d returned after the first write", n)
		}
		out.goOn <- struct{}{}
		synctest.Wait()
		if n := count(); n != 21 || len(out.all) != 2 {
			t.Errorf("%d returned after %d writes", n, len(out.all))
		}
		if ids := scanned(t, out.text()); len(ids) != 21 {
			t.Errorf("written: %v", ids)
		}
	})
}

// narrow takes no more than left bytes, and fails then.
type narrow struct {
	writes
	left int
}

func (w *narrow) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.left -= n
	w.writes.Write(p[:n])
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// A line of which a part was written spoils no other, whole lines before it count as
// stored, and the trail says how many are missing.
func TestLogShortWrite(t *testing.T) {
	for _, missing := range []int{1, 30, len(listed(1, 0).Line()) - 1, len(listed(1, 0).Line())} {
		t.Run(fmt.Sprint(missing), func(t *testing.T) {
			losses := backend.NewLosses(backend.LossesConfig{Backend: "log"})
			size := len(listed(1, 0).Line())
			out := &narrow{left: 2*size - missing}
			b := backend.Log(backend.LogConfig{Out: out, Losses: losses})
			if b.ProcessEvents(listed(1, 0), listed(2, 0), listed(3, 0)) {
				t.Error("an event that was not written counts as stored")
			}
			out.left = 0
			if b.ProcessEvents(listed(4, 0)) {
				t.Error("an event that was not written counts as stored")
			}
			out.left = 1 << 20
			if !b.ProcessEvents(listed(5, 0)) {
				t.Error("an event that was written is lost")
			}
			var whole, torn [][]byte
			for line := range bytes.Lines(out.text()) {
				if err := new(audit.Event).Scan(bytes.TrimSpace(line)); err != nil {
					torn = append(torn, line)
				} else {
					whole = append(whole, line)
				}
			}
			want := 3 // 1, what tells of the lost ones, 5
			if missing == 1 {
				want++ // nothing but the newline of 2, which it gets for the sake of the others
			}
			if ids := scanned(t, bytes.Join(whole, nil)); len(ids) != want || ids[0] != "1" || ids[want-1] != "5" {
				t.Errorf("whole lines: %v", ids)
			}
			if len(torn) > 1 || len(torn) == 1 && missing == size {
				t.Errorf("torn lines: %q", torn)
			}
			if lost := lostIn(t, out.text()); lost[backend.CauseWrite] != "3" {
				t.Errorf("said to be lost: %v", lost)
			}
		})
	}
}

// Without events, losses are written within a second, and at the end.
func TestLogTellsLosses(t *testing.T) {
	for _, format := range []string{backend.FormatJSON, backend.FormatLegacy} {
		synctest.Test(t, func(t *testing.T) {
			losses := backend.NewLosses(backend.LossesConfig{Backend: "log"})
			out := &narrow{left: 1 << 20}
			b := backend.Log(backend.LogConfig{Out: out, Losses: losses, Format: format})
			ctx, cancel := context.WithCancel(t.Context())
			var run sync.WaitGroup
			run.Go(func() {
				if err := b.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			losses.Add("buffered", backend.CauseBufferFull, 7)
			synctest.Wait()
			if len(out.text()) != 0 {
				t.Error("written at once, and not with what follows")
			}
			time.Sleep(time.Second)
			synctest.Wait()
			first := string(out.text())
			want := `"kubetrail.io/lost":"7"`
			if format == backend.FormatLegacy {
				want = `method="lost" user="system:kubetrail" groups="<none>" as="<self>" asgroups="<lookup>" user-agent="" namespace="<none>" uri="/kubetrail.io?lost=7&lost-cause=buffer-full"`
			}
			if strings.Count(first, "\n") != 1 || !strings.Contains(first, want) {
				t.Errorf("after a second: %q", first)
			}

			out.left = 0
			losses.Add("buffered", backend.CauseBufferFull, 2)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if !losses.Pending() {
				t.Error("what could not be written is forgotten")
			}
			out.left = 1 << 20
			losses.Add("truncate", backend.CauseTooLarge, 1)
			cancel()
			run.Wait()
			rest := strings.TrimPrefix(string(out.text()), first)
			if strings.Count(rest, "\n") != 2 || losses.Pending() {
				t.Errorf("at the end: %q", rest)
			}
		})
	}
}

// Whoever sends and whatever happens in between, each event is there once and whole, and
// those of one sender are in order.
func TestLogConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	file, err := backend.OpenFile(backend.FileConfig{Path: path, MaxSize: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	b := backend.Log(backend.LogConfig{File: file})
	ctx, cancel := context.WithCancel(t.Context())
	var run, senders sync.WaitGroup
	run.Go(func() { b.Run(ctx) })
	const each, many = 300, 8
	for s := range many {
		senders.Go(func() {
			for n := 0; n < each; {
				var events []*record.Event
				for range n%3 + 1 {
					events = append(events, listed(s*1000+n, n*7%900))
					n++
				}
				if !b.ProcessEvents(events...) {
					t.Errorf("sender %d: event %d was not stored", s, n)
				}
			}
		})
	}
	stop := make(chan struct{})
	var disturb sync.WaitGroup
	disturb.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := file.Reopen(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	senders.Wait()
	close(stop)
	disturb.Wait()
	cancel()
	run.Wait()
	last := map[int]int{}
	total := 0
	for _, name := range logFiles(t, path) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 20_000 {
			t.Errorf("%s has %d bytes", name, len(text))
		}
		for _, id := range scanned(t, text) {
			var n int
			fmt.Sscan(id, &n)
			if was, ok := last[n/1000]; ok && n != was+1 || !ok && n%1000 != 0 {
				t.Fatalf("%s: event %d after %d", name, n, was)
			}
			last[n/1000] = n
			total++
		}
	}
	if total < many*each {
		t.Errorf("%d events of %d", total, many*each)
	}
}

// logFiles returns the paths of the backups of a log, the oldest first, and itself where
// it is there.
func logFiles(t rapid.TB, path string) []string {
	t.Helper()
	ext := filepath.Ext(path)
	all, err := filepath.Glob(strings.TrimSuffix(path, ext) + "-*" + ext)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		all = append(all, path)
	}
	return all
}

// After Run, and without it, events are stored as well.
func TestLogWithoutRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	file, err := backend.OpenFile(backend.FileConfig{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	b := backend.Log(backend.LogConfig{File: file})
	if !b.ProcessEvents(listed(1, 0)) {
		t.Error("before Run")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Run(ctx); err != nil {
		t.Error(err)
	}
	if !b.ProcessEvents(listed(2, 0)) {
		t.Error("after Run")
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || fmt.Sprint(scanned(t, text)) != "[1 2]" {
		t.Errorf("%q, %v", text, err)
	}
}
