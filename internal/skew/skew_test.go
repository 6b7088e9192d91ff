package skew

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
)

// world is a cluster whose truth is known: one store, and servers with clocks of their own.
type world struct {
	now     int64
	version uint64
	objects map[string]uint64
	ahead   []int64 // by how much each server's clock is
	rand    *rand.Rand
}

// step makes one write through some server and returns what it recorded.
func (w *world) step(bodies bool) *audit.Event {
	w.now += w.rand.Int64N(200_000)
	server := w.rand.IntN(len(w.ahead))
	received := w.now
	w.now += 1 + w.rand.Int64N(5_000)
	name := fmt.Sprint("o", w.rand.IntN(12))
	sent, verb := w.objects[name], "update"
	made := sent
	switch {
	case sent == 0:
		verb = "create"
	case w.rand.IntN(4) == 0:
		verb = "patch"
	}
	if verb == "create" || w.rand.IntN(4) > 0 { // or nothing changes
		w.version++
		made = w.version
		w.objects[name] = made
	}
	w.now += 1 + w.rand.Int64N(5_000)
	e := &audit.Event{Code: 200, Received: received + w.ahead[server], Staged: w.now + w.ahead[server]}
	for c, v := range map[audit.Column]string{audit.Stage: "ResponseComplete", audit.Verb: verb, audit.Resource: "leases",
		audit.APIGroup: "coordination.k8s.io", audit.Name: name, audit.Server: fmt.Sprint("cp-", server)} {
		e.Text[c] = []byte(v)
	}
	if verb == "update" {
		e.Text[audit.ResourceVersion] = fmt.Append(nil, sent)
	}
	if bodies {
		e.ResponseObject = fmt.Appendf(nil, `{"kind":"Lease","metadata":{"name":%q,"resourceVersion":"%d"}}`, name, made)
	}
	return e
}

// The true difference of two clocks is never outside the bounds, with bodies, without,
// in whatever order the events come, and however many are kept.
func TestBoundsHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{version: 1, objects: map[string]uint64{}, rand: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))}
		for range rapid.IntRange(2, 4).Draw(t, "servers") {
			w.ahead = append(w.ahead, rapid.Int64Range(-300_000_000, 300_000_000).Draw(t, "ahead"))
		}
		recorded := rapid.IntRange(0, 2).Draw(t, "bodies") // none, some, all
		events := make([]*audit.Event, rapid.IntRange(1, 2000).Draw(t, "events"))
		for i := range events {
			events[i] = w.step(recorded == 2 || recorded == 1 && w.rand.IntN(2) == 0)
		}
		if rapid.Bool().Draw(t, "in any order") {
			w.rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		}
		s := New()
		for _, e := range events {
			s.Add(e)
		}
		skews := s.Skews("")
		for i, ahead := range w.ahead {
			k := skews[fmt.Sprint("cp-", i)]
			_, reference := skews["cp-0"]
			if truth := ahead - w.ahead[0]; k.Known && reference && (k.Low > truth || k.High < truth || k.Unsteady) {
				t.Fatalf("server %d is ahead by %d, not by %+v", i, truth, k)
			}
			if width := k.High - k.Low; len(events) > 1000 && (!k.Known || width > 3_000_000 || recorded == 2 && width > 200_000) {
				t.Fatalf("server %d: %d events, and %+v is wide", i, len(events), k)
			}
		}
	})
}

// A clock that is set while events come fits no one difference: the latest events tell.
func TestClockIsSet(t *testing.T) {
	w := &world{version: 1, objects: map[string]uint64{}, ahead: []int64{0, 0}, rand: rand.New(rand.NewPCG(1, 2))}
	s := New()
	for i := range 4000 {
		if i == 2200 {
			w.ahead[1] = 90_000_000
		}
		s.Add(w.step(true))
	}
	got := s.Skews("")["cp-1"]
	if !got.Known || !got.Unsteady || got.Low > 90_000_000 || got.High < 90_000_000 || got.High-got.Low > 1_000_000 {
		t.Errorf("%+v", got)
	}
	if got := s.Skews("")["cp-0"]; got.Low != 0 || got.High != 0 || !got.Consistent() {
		t.Errorf("the reference: %+v", got)
	}
	if got := s.Skews("other"); got != nil {
		t.Errorf("%+v", got)
	}
}

func TestNothingIsKnownOfOneServer(t *testing.T) {
	w := &world{version: 1, objects: map[string]uint64{}, ahead: []int64{0}, rand: rand.New(rand.NewPCG(1, 2))}
	s := New()
	for range 100 {
		s.Add(w.step(true))
	}
	e := w.step(true)
	e.Text[audit.Server] = []byte("reader")
	e.Text[audit.Verb] = []byte("get")
	s.Add(e)
	e.Text[audit.Verb] = []byte("patch") // says something about what was before alone
	s.Add(e)
	if got := s.Skews("")["reader"]; got.Known || got.Unsteady {
		t.Errorf("%+v", got)
	}
}

func TestEstimatorIsBounded(t *testing.T) {
	s := New()
	e := &audit.Event{Code: 201}
	for i := range 60_000 {
		e.Received, e.Staged = int64(i)*1000, int64(i)*1000+10
		for c, v := range map[audit.Column]string{audit.Stage: "ResponseComplete", audit.Verb: "create", audit.Resource: "pods",
			audit.Name: fmt.Sprint(i), audit.Cluster: fmt.Sprint(i / 200), audit.Server: fmt.Sprint(i % 100)} {
			e.Text[c] = []byte(v)
		}
		if i >= 30_000 {
			e.Text[audit.Cluster], e.Text[audit.Server] = []byte("0"), []byte("0")
		}
		e.ResponseObject = fmt.Appendf(nil, `{"metadata":{"resourceVersion":"%d"}}`, i+1)
		s.Add(e)
	}
	points := s.clusters["0"].servers["0"]
	if len(s.clusters) != maxClusters || len(s.clusters["0"].servers) != maxServers || len(s.young)+len(s.old) > maxObjects ||
		len(points.floors) > 2*maxPoints || len(points.floors) < maxPoints/2 || len(points.ceilings) > 2*maxPoints {
		t.Errorf("%d clusters, %d servers, %d objects, %d and %d points", len(s.clusters), len(s.clusters["0"].servers),
			len(s.young)+len(s.old), len(points.floors), len(points.ceilings))
	}
}

// split gives the events of a real log to two servers, by their audit IDs, the second of
// which has a clock that is three minutes ahead.
func split(t *testing.T, corpus string, visit func(e *audit.Event)) {
	for _, line := range corpustest.Events(t, corpus) {
		e := &audit.Event{}
		if err := e.Scan(line); err != nil {
			t.Fatal(err)
		}
		h := fnv.New32()
		h.Write(e.Text[audit.AuditID])
		e.Text[audit.Server] = []byte("cp-1")
		if h.Sum32()%2 == 1 {
			e.Text[audit.Server] = []byte("cp-2")
			e.Received += ahead
			e.Staged += ahead
		}
		visit(e)
	}
}

const ahead = 180_000_000

// Three minutes are seen in real logs, with bodies and without.
func TestRealSkew(t *testing.T) {
	for corpus, width := range map[string]int64{"a-gce-derived": 100_000, "d-metadata-all": 500_000} {
		s := New()
		split(t, corpus, s.Add)
		got := s.Skews("")["cp-2"]
		if !got.Known || got.Unsteady || got.Low > ahead || got.High < ahead || got.High-got.Low > width {
			t.Errorf("%s: %+v", corpus, got)
		}
		t.Logf("%s: %d to %d: %.3f s ± %.3f s", corpus, got.Low, got.High, float64(got.Estimate())/1e6, float64(got.High-got.Low)/2e6)
	}
}

// The events of every object come in the order in which they happened, which the times
// alone do not give.
func TestRealOrder(t *testing.T) {
	type one struct {
		Moment
		happened int64 // by the only true clock
		text     string
	}
	s := New()
	objects := map[string][]*audit.Event{}
	split(t, "a-gce-derived", func(e *audit.Event) {
		s.Add(e)
		if name := e.Text[audit.Name]; len(name) > 0 && e.Code < 300 {
			k := fmt.Sprintf("%s %s/%s", e.Text[audit.Resource], e.Text[audit.Namespace], name)
			objects[k] = append(objects[k], e)
		}
	})
	skew := s.Skews("")["cp-2"]
	wide := skew.High - skew.Low
	wrong, checked := 0, 0
	for name, events := range objects {
		var all []one
		for _, e := range events {
			x := one{Moment: s.Moment(e, 0), happened: e.Time(), text: string(e.Text[audit.Verb])}
			if string(e.Text[audit.Server]) == "cp-2" {
				x.Moment = s.Moment(e, skew.Estimate())
				x.happened -= ahead
			}
			all = append(all, x)
		}
		byClock := slices.IsSortedFunc(events, func(a, b *audit.Event) int { return int(a.Time() - b.Time()) })
		if !byClock {
			wrong++
		}
		Sort(all, func(x one) Moment { return x.Moment })
		last, latest := uint64(0), int64(0)
		for _, x := range all {
			if x.Version > 0 && x.Version < last {
				t.Errorf("%s: version %d after %d", name, x.Version, last)
			}
			last = max(last, x.Version)
			// Requests overlap, for seconds here: the machine was busy.
			if x.happened < latest-wide-3_000_000 && !strings.Contains(name, "watch") && x.Version == 0 {
				t.Errorf("%s: %s comes %d µs late", name, x.text, latest-x.happened)
			}
			latest = max(latest, x.happened)
			checked++
		}
	}
	if wrong < 100 || checked < 5000 {
		t.Errorf("only %d objects are in another order by the clocks, and %d events were looked at", wrong, checked)
	}
}

func BenchmarkAdd(b *testing.B) {
	lines := corpustest.Events(b, "d-metadata-all")
	events := make([]audit.Event, 4096)
	for i := range events {
		if err := events[i].Scan(lines[i*7]); err != nil {
			b.Fatal(err)
		}
	}
	s, n := New(), 0
	for b.Loop() {
		s.Add(&events[n&4095])
		n++
	}
}

// Whatever events hold, nothing breaks.
func FuzzAdd(f *testing.F) {
	f.Add([]byte(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","stage":"ResponseComplete","verb":"update","objectRef":{"resource":"leases","name":"a","resourceVersion":"7"},"responseStatus":{"code":200},"responseObject":{"metadata":{"resourceVersion":"8"}},"requestReceivedTimestamp":"2026-11-20T15:00:00.000000Z","stageTimestamp":"2026-11-20T15:00:00.100000Z"}`), uint8(3))
	f.Fuzz(func(t *testing.T, line []byte, servers uint8) {
		s, e := New(), &audit.Event{}
		if e.Scan(line) != nil {
			return
		}
		for i := range servers % 8 {
			e.Text[audit.Server] = []byte{'a' + i}
			s.Add(e)
			e.Received -= int64(i) * 1000
			s.Moment(e, int64(i))
		}
		for name, k := range s.Skews("") {
			if k.Known && k.Low > k.High {
				t.Errorf("%s: %+v", name, k)
			}
		}
	})
}
