package backend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/record"
	"kubetrail/record/backend"
)

// sink keeps the lines of each call, and answers it with ok.
type sink struct {
	name    string
	ok      bool
	err     error
	mu      sync.Mutex
	batches [][]string
}

func (s *sink) ProcessEvents(events ...*record.Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var batch []string
	for _, e := range events {
		batch = append(batch, string(e.Line()))
	}
	s.batches = append(s.batches, batch)
	return s.ok
}

func (s *sink) Run(ctx context.Context) error {
	if s.err == nil {
		<-ctx.Done()
	}
	return s.err
}

func (s *sink) String() string { return s.name }

// lines returns what all calls brought.
func (s *sink) lines() string {
	var all strings.Builder
	for _, batch := range s.batches {
		all.WriteString(strings.Join(batch, ""))
	}
	return all.String()
}

func TestTruncateBodies(t *testing.T) {
	for _, annotations := range []string{"", `{"a.k8s.io/\ufffd":"\ufffd<","z":"1"}`, `{"audit.k8s.io/truncated":"true"}`} {
		e := listed(1, 0)
		e.Text[audit.Level] = []byte("RequestResponse")
		e.Text[audit.Annotations] = []byte(annotations)
		e.Text[audit.Decision] = []byte("allow")
		e.RequestObject, e.ResponseObject = []byte(`{"a":1}`), []byte(`"`+strings.Repeat("b", 2000)+`"`)
		before := string(e.Line())
		out, losses := &sink{ok: true}, backend.NewLosses(backend.LossesConfig{})
		b := backend.Truncate(out, backend.TruncateConfig{MaxEventSize: 1000, MaxBatchSize: 5000, Losses: losses})
		if !b.ProcessEvents(e) || losses.Pending() {
			t.Error("the event is lost")
		}
		var cut audit.Event
		line := strings.TrimSuffix(out.lines(), "\n")
		if err := cut.Scan([]byte(line)); err != nil || !cut.Exact() {
			t.Fatalf("%q: %v, exact %v", line, err, cut.Exact())
		}
		if cut.RequestObject != nil || cut.ResponseObject != nil || annotation(&cut, backend.TruncatedAnnotation) != "true" {
			t.Errorf("given on: %s", line)
		}
		// Nothing of that reaches whoever else has the event.
		e.Changed()
		if after := string(e.Line()); after != before {
			t.Errorf("the event was\n%sand is\n%s", before, after)
		}
		// But for what is said above the two are one.
		cut.RequestObject, cut.ResponseObject, cut.Text[audit.Annotations] = e.RequestObject, e.ResponseObject, e.Text[audit.Annotations]
		if got := string(cut.AppendColumns(nil)) + "\n"; got != before {
			t.Errorf("the copy differs:\n%swant\n%s", got, before)
		}
	}
}

// An event that is too large without bodies keeps what fits of its texts: nobody gets
// out of the trail by a long URI.
func TestTruncateTexts(t *testing.T) {
	long := strings.Repeat("ü<", 5000)
	list, _ := json.Marshal(strings.Split(strings.Repeat("group ", 3000), " "))
	extra, _ := json.Marshal(map[string][]string{"key": {long, "b"}, long: {"c"}})
	for _, test := range []struct {
		name string
		set  func(e *record.Event)
	}{
		{"URI", func(e *record.Event) { e.Text[audit.RequestURI] = []byte("/" + long) }},
		{"audit ID", func(e *record.Event) { e.Text[audit.AuditID] = []byte(long) }},
		{"verb", func(e *record.Event) { e.Text[audit.Verb] = []byte(long) }},
		{"message", func(e *record.Event) { e.Text[audit.Message] = []byte(long) }},
		{"details", func(e *record.Event) { e.Text[audit.StatusDetails] = []byte(`{"name":"` + long + `"}`) }},
		{"groups", func(e *record.Event) { e.Text[audit.UserGroups] = list }},
		{"extra", func(e *record.Event) { e.Text[audit.UserExtra] = extra }},
		{"annotations", func(e *record.Event) { e.Text[audit.Annotations] = []byte(`{"a":"b","c":"` + long + `"}`) }},
		{"all", func(e *record.Event) {
			for c := range e.Text {
				switch c := audit.Column(c); {
				case !c.InLine() || c == audit.Level:
				case !c.JSON():
					e.Text[c] = []byte(long)
				case c == audit.UserExtra || c == audit.ImpersonatedExtra:
					e.Text[c] = extra
				case c == audit.UserGroups || c == audit.ImpersonatedGroups || c == audit.SourceIPs:
					e.Text[c] = list
				}
			}
			e.RequestObject = []byte(`"` + long + `"`)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := listed(1, 0)
			test.set(e)
			out, losses := &sink{ok: true}, backend.NewLosses(backend.LossesConfig{})
			b := backend.Truncate(out, backend.TruncateConfig{MaxEventSize: 10_000, MaxBatchSize: 10_000, Losses: losses})
			if !b.ProcessEvents(e) || losses.Pending() {
				t.Fatal("the event is lost")
			}
			line := out.lines()
			var cut audit.Event
			if err := cut.Scan([]byte(strings.TrimSuffix(line, "\n"))); err != nil || !utf8.ValidString(line) {
				t.Fatalf("%q: %v", line, err)
			}
			if len(line) > 10_000 || annotation(&cut, backend.TruncatedAnnotation) != "true" || cut.Code != 200 {
				t.Errorf("%d bytes: %s", len(line), line)
			}
			if test.name != "details" && !strings.Contains(line, "...TRUNCATED") {
				t.Errorf("nothing says what was cut: %s", line)
			}
		})
	}
}

func TestTruncateLoses(t *testing.T) {
	out, losses := &sink{ok: true}, backend.NewLosses(backend.LossesConfig{})
	b := backend.Truncate(out, backend.TruncateConfig{MaxEventSize: 100, MaxBatchSize: 1000, Losses: losses})
	if b.ProcessEvents(listed(1, 0), listed(2, 0)) {
		t.Error("events that are lost count as stored")
	}
	if taken := losses.Take(); len(taken) != 1 || taken[0].Count != 2 || taken[0].Cause != backend.CauseTooLarge || len(out.batches) != 0 {
		t.Errorf("lost: %v; given on: %v", taken, out.batches)
	}
}

// Whatever comes, batches are as large as they may be, in order, and nothing is lost but
// what is reported.
func TestTruncateBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maxEvent := rapid.IntRange(300, 3000).Draw(t, "largest event")
		maxBatch := rapid.IntRange(maxEvent, 4*maxEvent).Draw(t, "largest batch")
		out, losses := &sink{ok: true}, backend.NewLosses(backend.LossesConfig{})
		b := backend.Truncate(out, backend.TruncateConfig{MaxEventSize: int64(maxEvent), MaxBatchSize: int64(maxBatch), Losses: losses})
		var events []*record.Event
		for n := range rapid.IntRange(0, 20).Draw(t, "events") {
			e := listed(n, rapid.IntRange(0, 3000).Draw(t, "pad"))
			if rapid.Bool().Draw(t, "body") {
				e.RequestObject = []byte(`"` + strings.Repeat("x", rapid.IntRange(0, 4000).Draw(t, "size")) + `"`)
			}
			events = append(events, e)
		}
		ok := b.ProcessEvents(events...)
		lost := 0
		for _, l := range losses.Take() {
			lost += l.Count
		}
		if ok != (lost == 0) {
			t.Fatalf("%d are lost, and it says %v", lost, ok)
		}
		last, given, previous := -1, 0, 0
		for _, batch := range out.batches {
			size := 0
			for _, line := range batch {
				var e audit.Event
				var n int
				if err := e.Scan([]byte(strings.TrimSuffix(line, "\n"))); err != nil {
					t.Fatal(err)
				}
				fmt.Sscan(string(e.Text[audit.AuditID]), &n)
				if n <= last || len(line) > maxEvent {
					t.Fatalf("event %d of %d bytes after %d", n, len(line), last)
				}
				last = n
				given++
				size += len(line)
			}
			if size > maxBatch || previous > 0 && previous+len(batch[0]) <= maxBatch {
				t.Fatalf("a batch of %d bytes after one of %d: the limit is %d", size, previous, maxBatch)
			}
			previous = size
		}
		if given+lost != len(events) {
			t.Fatalf("%d given on, %d lost, of %d", given, lost, len(events))
		}
	})
}

func TestUnion(t *testing.T) {
	broken := errors.New("broken")
	a, b := &sink{name: "log", ok: false}, &sink{name: "webhook", ok: true, err: broken}
	if one := backend.Union(a); one.String() != "log" {
		t.Errorf("a union of one is %s", one)
	}
	u := backend.Union(a, backend.IgnoreErrors(backend.Truncate(b, backend.TruncateConfig{MaxEventSize: 1 << 20, MaxBatchSize: 1 << 20})))
	if want := "union[log,ignoreErrors<truncate<webhook>>]"; u.String() != want {
		t.Errorf("it is called %s, want %s", u, want)
	}
	if u.ProcessEvents(listed(1, 0), listed(2, 0)) {
		t.Error("one of them has failed")
	}
	if a.lines() != b.lines() || bytes.Count([]byte(a.lines()), []byte("\n")) != 2 {
		t.Errorf("they got\n%s\nand\n%s", a.lines(), b.lines())
	}
	a.ok, b.ok = true, false
	if !u.ProcessEvents(listed(3, 0)) {
		t.Error("a failure that is to be ignored counts")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- u.Run(ctx) }()
	select {
	case err := <-ended:
		t.Errorf("one has failed and the other was not waited for: %v", err)
	default:
	}
	cancel()
	if err := <-ended; !errors.Is(err, broken) {
		t.Errorf("it ended with %v", err)
	}
}

// Whatever an event holds, its copy is small enough and can be read, or it is lost.
func FuzzTruncate(f *testing.F) {
	for _, size := range []uint16{0, 300, 700, 5000} {
		f.Add(listed(1, 3000).Line(), size)
		e := listed(1, 0)
		e.Text[audit.UserExtra] = []byte(`{"a":["` + strings.Repeat(`ü\u003c`, 900) + `"],"b":[]}`)
		e.Text[audit.UserGroups] = []byte(`[` + strings.Repeat(`"g",`, 900) + `"g"]`)
		e.Text[audit.StatusDetails] = []byte(`{"name":"x"}`)
		e.RequestObject = []byte(`{"a":[1,2.5e10]}`)
		f.Add(e.Line(), size)
	}
	f.Fuzz(func(t *testing.T, line []byte, size uint16) {
		var e record.Event
		if e.Scan(bytes.TrimSuffix(line, []byte("\n"))) != nil || e.Form != audit.FormV1 {
			return
		}
		before := bytes.Clone(e.Line())
		out, losses := &sink{ok: true}, backend.NewLosses(backend.LossesConfig{})
		b := backend.Truncate(out, backend.TruncateConfig{MaxEventSize: int64(size), MaxBatchSize: int64(size), Losses: losses})
		if b.ProcessEvents(&e) != (len(out.batches) == 1) || losses.Pending() != (len(out.batches) == 0) {
			t.Fatalf("%d batches, lost %v", len(out.batches), losses.Take())
		}
		e.Changed()
		if !bytes.Equal(e.Line(), before) {
			t.Fatalf("the event was changed from\n%sto\n%s", before, e.Line())
		}
		if len(out.batches) == 0 {
			return
		}
		got := out.lines()
		var cut audit.Event
		if err := cut.Scan([]byte(strings.TrimSuffix(got, "\n"))); err != nil || len(got) > int(size) {
			t.Fatalf("%d bytes of %d: %v:\n%s", len(got), size, err, got)
		}
	})
}
