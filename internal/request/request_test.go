package request

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/audit"
)

func event(id, user, uri, stage string, received int64, code int32) *audit.Event {
	e := &audit.Event{Received: received, Staged: received, Code: code}
	e.Text[audit.AuditID], e.Text[audit.Username], e.Text[audit.RequestURI], e.Text[audit.Stage] = []byte(id), []byte(user), []byte(uri), []byte(stage)
	return e
}

// TestPairs draws requests with the same audit ID, of which some end, and finds those
// that do not, in whatever order their stages come.
func TestPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var events []*audit.Event
		var names []int
		want := map[int]bool{}
		for i := range rapid.IntRange(0, 12).Draw(t, "requests") {
			user := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "user")
			stages := rapid.IntRange(1, 7).Draw(t, "stages")
			for n, stage := range []string{"RequestReceived", "ResponseStarted", "ResponseComplete"} {
				if stages>>n&1 == 1 {
					events, names = append(events, event("same", user, "/x", stage, int64(i), 200)), append(names, i)
				}
			}
			if stages&4 == 0 {
				want[i] = true
			}
		}
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 1)).Shuffle(len(events), func(i, j int) {
			events[i], events[j], names[i], names[j] = events[j], events[i], names[j], names[i]
		})
		p := NewPairs[int]()
		for i, e := range events {
			p.Note(e, func() int { return names[i] })
		}
		var got []int
		p.Unended(func(i int) { got = append(got, i) })
		slices.Sort(got)
		if len(got) != len(want) || slices.ContainsFunc(got, func(i int) bool { return !want[i] }) {
			t.Fatalf("without an end: %v, want %v", got, want)
		}
	})
}

func TestEnded(t *testing.T) {
	for _, c := range []struct {
		stage string
		code  int32
		want  bool
	}{{"RequestReceived", 0, false}, {"ResponseStarted", 200, false}, {"ResponseStarted", 401, true}, {"ResponseComplete", 401, true}, {"Panic", 500, true}, {"", 0, false}} {
		if got := Ended(event("x", "", "", c.stage, 0, c.code)); got != c.want {
			t.Errorf("%s %d: %v", c.stage, c.code, got)
		}
	}
}

func TestTooMany(t *testing.T) {
	p := NewPairs[int]()
	for i := range MaxOpen + 1 {
		p.Note(event("x", "", "", "RequestReceived", int64(i), 0), func() int { return i })
	}
	n := 0
	p.Unended(func(int) { n++ })
	if n != 0 || !p.Full() {
		t.Errorf("%d requests without an end are told of, though not all could be remembered", n)
	}
}
