package oracle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	upstreamaudit "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/plugin/pkg/audit/buffered"
	"k8s.io/apiserver/plugin/pkg/audit/truncate"

	"kubetrail/record"
	"kubetrail/record/backend"
)

// A sink keeps the batches that it is given, as lines. It stands at the end of a chain of
// upstream's backends or of ours, and answers as it is told. It is safe for concurrent use.
type sink struct {
	refuses bool

	mu      sync.Mutex
	changed sync.Cond // of mu
	batches [][]string
}

func newSink() *sink {
	s := new(sink)
	s.changed.L = &s.mu
	return s
}

func (s *sink) add(batch []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, batch)
	s.changed.Broadcast()
	return !s.refuses
}

// await waits until there are n batches.
func (s *sink) await(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.batches) < n {
		s.changed.Wait()
	}
}

func (s *sink) all() [][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

// theirSink is a sink as one of upstream's backends, ourSink as one of ours.
type (
	theirSink struct{ *sink }
	ourSink   struct{ *sink }
)

func (s theirSink) ProcessEvents(events ...*upstreamaudit.Event) bool {
	var batch []string
	for _, e := range events {
		line, err := runtime.Encode(audit.Codecs.LegacyCodec(auditv1.SchemeGroupVersion), e)
		if err != nil {
			panic(err)
		}
		batch = append(batch, string(line))
	}
	return s.add(batch)
}
func (theirSink) Run(<-chan struct{}) error { return nil }
func (theirSink) Shutdown()                 {}
func (theirSink) String() string            { return "sink" }

func (s ourSink) ProcessEvents(events ...*record.Event) bool {
	var batch []string
	for _, e := range events {
		batch = append(batch, string(e.Line()))
	}
	return s.add(batch)
}
func (ourSink) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (ourSink) String() string                { return "sink" }

// sized is an event with bodies of n bytes altogether.
func sized(id int, level string, n int) *upstreamaudit.Event {
	e := &upstreamaudit.Event{
		Level: upstreamaudit.Level(level), AuditID: types.UID(fmt.Sprintf("event-%d", id)), Stage: upstreamaudit.StageResponseComplete,
		RequestURI: "/api/v1/pods", Verb: "list", RequestReceivedTimestamp: metav1.NewMicroTime(time.UnixMicro(1_795_000_000_123_456).UTC()), Annotations: map[string]string{"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
	}
	if n > 0 {
		e.RequestObject = &runtime.Unknown{Raw: fmt.Appendf(nil, `{"a":%q}`, strings.Repeat("x", n)), ContentType: runtime.ContentTypeJSON}
		e.ResponseObject = &runtime.Unknown{Raw: []byte(`{}`), ContentType: runtime.ContentTypeJSON}
	}
	return e
}

// both are the same events for upstream's backends and for ours.
func both(tb failer, events []*upstreamaudit.Event) (theirs []*upstreamaudit.Event, ours []*record.Event) {
	for _, e := range events {
		theirs = append(theirs, e.DeepCopy())
		ours = append(ours, ourEvent(tb, upstreamLine(tb, e)))
	}
	return theirs, ours
}

// TestRecordTruncate gives the same events to upstream's truncating backend and to ours:
// batches of the same bytes must come out, and the same result. What has no place even
// without its bodies is a hole of upstream's and has a test of its own.
func TestRecordTruncate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var events []*upstreamaudit.Event
		for i, n := range rapid.SliceOfN(rapid.IntRange(0, 900), 0, 12).Draw(t, "bodies") {
			level := "RequestResponse"
			if n == 0 {
				level = "Metadata"
			}
			events = append(events, sized(i, level, n))
		}
		smallest := len(upstreamLine(t, sized(1_000, "RequestResponse", 0))) + len(`,"audit.k8s.io/truncated":"true"`)
		c := truncate.Config{MaxEventSize: int64(rapid.IntRange(smallest, smallest+1_000).Draw(t, "event size"))}
		c.MaxBatchSize = c.MaxEventSize + int64(rapid.IntRange(0, 3_000).Draw(t, "batch size"))
		refuses := rapid.Bool().Draw(t, "refuses")
		theirs, ours := both(t, events)
		want, got := newSink(), newSink()
		want.refuses, got.refuses = refuses, refuses
		wantOK := truncate.NewBackend(theirSink{want}, c, auditv1.SchemeGroupVersion).ProcessEvents(theirs...)
		b := backend.Truncate(ourSink{got}, backend.TruncateConfig{MaxEventSize: c.MaxEventSize, MaxBatchSize: c.MaxBatchSize})
		gotOK := b.ProcessEvents(ours...)
		if gotOK != wantOK || !slices.EqualFunc(got.all(), want.all(), slices.Equal) {
			t.Fatalf("%v %q, upstream %v %q", gotOK, got.all(), wantOK, want.all())
		}
	})
}

// TestRecordBuffered fills upstream's buffer and ours before they run, so that what finds
// no place is the same, and compares what comes out when they do.
func TestRecordBuffered(t *testing.T) {
	quiet(t)
	rapid.Check(t, func(t *rapid.T) {
		c := buffered.BatchConfig{
			BufferSize:   rapid.IntRange(1, 20).Draw(t, "buffer"),
			MaxBatchSize: rapid.IntRange(1, 8).Draw(t, "batch"),
			MaxBatchWait: time.Hour,
		}
		if rapid.Bool().Draw(t, "throttle") {
			c.ThrottleEnable, c.ThrottleQPS, c.ThrottleBurst = true, 10_000, rapid.IntRange(1, 3).Draw(t, "burst")
		}
		want, got, losses := newSink(), newSink(), backend.NewLosses(backend.LossesConfig{})
		theirs := buffered.NewBackend(theirSink{want}, c)
		ours, err := backend.Buffered(ourSink{got}, backend.BufferedConfig{
			BufferSize: c.BufferSize, MaxBatchSize: c.MaxBatchSize, MaxBatchWait: c.MaxBatchWait,
			ThrottleEnable: c.ThrottleEnable, ThrottleQPS: c.ThrottleQPS, ThrottleBurst: c.ThrottleBurst, Losses: losses,
		})
		if err != nil {
			t.Fatal(err)
		}
		if g, w := ours.String(), theirs.String(); g != w {
			t.Fatalf("%s, upstream %s", g, w)
		}
		offered, fits := 0, 0
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 8), 1, 6).Draw(t, "calls") {
			var events []*upstreamaudit.Event
			for range n {
				events = append(events, sized(offered, "Request", 10*offered))
				offered++
			}
			a, b := both(t, events)
			if g, w := ours.ProcessEvents(b...), theirs.ProcessEvents(a...); g != w {
				t.Fatalf("%v, upstream %v", g, w)
			}
			fits = min(fits+n, c.BufferSize)
		}
		stop := make(chan struct{})
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		ran := make(chan error, 1)
		go func() { ran <- ours.Run(ctx) }()
		if err := theirs.Run(stop); err != nil {
			t.Fatal(err)
		}
		full := fits / c.MaxBatchSize
		want.await(full)
		got.await(full)
		close(stop)
		cancel()
		theirs.Shutdown()
		if err := <-ran; err != nil {
			t.Fatal(err)
		}
		w, g := want.all(), got.all()
		if !slices.EqualFunc(g[:full], w[:full], slices.Equal) {
			t.Fatalf("batches %q, upstream's %q", g[:full], w[:full])
		}
		// What is left when it stops may go out in any number of pieces.
		if rest := slices.Concat(g[full:]...); !slices.Equal(rest, slices.Concat(w[full:]...)) {
			t.Fatalf("at the end %q, upstream %q", g[full:], w[full:])
		}
		lost := 0
		for _, l := range losses.Take() {
			lost += l.Count
		}
		if lost != offered-fits {
			t.Fatalf("of %d events %d fit, and %d are said to be lost", offered, fits, lost)
		}
		_, late := both(t, []*upstreamaudit.Event{sized(0, "Request", 1)})
		if g, w := ours.ProcessEvents(late...), theirs.ProcessEvents(sized(0, "Request", 1)); g != w {
			t.Fatalf("after the end %v, upstream %v", g, w)
		}
		if l := losses.Take(); len(l) != 1 || l[0].Count != 1 || l[0].Cause != backend.CauseShutDown {
			t.Fatalf("after the end %v is lost", l)
		}
	})
}

// TestRecordBufferedWaits has a batch that never gets full go out after its time.
func TestRecordBufferedWaits(t *testing.T) {
	c := buffered.BatchConfig{BufferSize: 100, MaxBatchSize: 10, MaxBatchWait: 20 * time.Millisecond}
	want, got := newSink(), newSink()
	theirs := buffered.NewBackend(theirSink{want}, c)
	ours, err := backend.Buffered(ourSink{got}, backend.BufferedConfig{BufferSize: c.BufferSize, MaxBatchSize: c.MaxBatchSize, MaxBatchWait: c.MaxBatchWait})
	if err != nil {
		t.Fatal(err)
	}
	a, b := both(t, []*upstreamaudit.Event{sized(1, "Request", 10), sized(2, "Metadata", 0)})
	theirs.ProcessEvents(a...)
	ours.ProcessEvents(b...)
	stop := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- ours.Run(ctx) }()
	theirs.Run(stop)
	want.await(1)
	got.await(1)
	if !slices.EqualFunc(got.all(), want.all(), slices.Equal) {
		t.Errorf("%q, upstream %q", got.all(), want.all())
	}
	close(stop)
	cancel()
	theirs.Shutdown()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// TestRecordUnion has several backends, some of which fail.
func TestRecordUnion(t *testing.T) {
	for set := range 8 {
		var theirs []audit.Backend
		var ours []record.Backend
		var want, got []*sink
		for i := range 3 {
			w, g := newSink(), newSink()
			w.refuses, g.refuses = set>>i&1 == 1, set>>i&1 == 1
			want, got = append(want, w), append(got, g)
			theirs, ours = append(theirs, theirSink{w}), append(ours, ourSink{g})
		}
		a, b := both(t, []*upstreamaudit.Event{sized(1, "Request", 10), sized(2, "Metadata", 0)})
		u, o := audit.Union(theirs...), backend.Union(ours...)
		if g, w := o.ProcessEvents(b...), u.ProcessEvents(a...); g != w || o.String() != u.String() {
			t.Errorf("%s refusing %b: %v, upstream %s %v", o, set, g, u, w)
		}
		for i := range want {
			if !slices.EqualFunc(got[i].all(), want[i].all(), slices.Equal) {
				t.Errorf("backend %d gets %q, upstream's %q", i, got[i].all(), want[i].all())
			}
		}
	}
}
