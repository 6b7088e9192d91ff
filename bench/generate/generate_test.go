package generate

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"runtime"
	"slices"
	"strings"
	"testing"

	"kubetrail/audit"
)

func newGenerator(tb testing.TB, cfg Config) *Generator {
	tb.Helper()
	g, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

func TestTooFewEvents(t *testing.T) {
	if _, err := New(Config{Events: 99}); err == nil {
		t.Error("99 events, no error")
	}
}

func TestSameSeedSameBytes(t *testing.T) {
	sum := func(seed uint64) string {
		h := sha256.New()
		g := newGenerator(t, Config{Events: 3000, Seed: seed})
		for line := g.Next(); line != nil; line = g.Next() {
			h.Write(line)
		}
		return hex.EncodeToString(h.Sum(nil))
	}
	first := sum(1)
	if again := sum(1); again != first {
		t.Errorf("the same seed gave %s and %s", first, again)
	}
	if other := sum(2); other == first {
		t.Errorf("another seed gave the same events")
	}
	// Figures that were measured with a seed hold for these events. Changing them is
	// fine; it means to measure again.
	const known = "28dafb826b36a658d26040b6ca03f7830b70f8d8450a748f529d3df7834ade4b"
	if runtime.GOARCH == "amd64" && first != known {
		t.Errorf("seed 1 no longer gives the events of docs/benchmarks.md: %s, want %s", first, known)
	}
}

// TestLines holds every line to what the package promises: it is JSON, an event that
// kube-apiserver would write the same way, and not earlier than the one before.
func TestLines(t *testing.T) {
	for _, metadata := range []bool{false, true} {
		g := newGenerator(t, Config{Events: 20000, Seed: 3, Metadata: metadata})
		var e audit.Event
		last := int64(audit.NoTime)
		for line := g.Next(); line != nil; line = g.Next() {
			if !json.Valid(line) {
				t.Fatalf("no JSON: %s", line)
			}
			if err := e.Scan(line); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if !e.Exact() {
				t.Fatalf("kube-apiserver would write this in another way: %s", line)
			}
			if e.Time() < last || e.Received > e.Staged {
				t.Fatalf("time goes back: %s", line)
			}
			last = e.Time()
			if metadata && string(e.Text[audit.Level]) != "Metadata" {
				t.Fatalf("not at level Metadata: %s", line)
			}
			checkBodies(t, &e, line)
		}
	}
}

// checkBodies tests that the event has the bodies that its level and its fate allow.
func checkBodies(t *testing.T, e *audit.Event, line []byte) {
	t.Helper()
	level := string(e.Text[audit.Level])
	if (level == "Metadata") && e.RequestObject != nil || level != "RequestResponse" && e.ResponseObject != nil {
		t.Fatalf("a body at level %s: %s", level, line)
	}
	if level == "RequestResponse" && e.ResponseObject == nil {
		t.Fatalf("no response at level %s: %s", level, line)
	}
	if e.Code == 403 && e.RequestObject != nil {
		t.Fatalf("the body of a request that was refused unread: %s", line)
	}
}

func TestSize(t *testing.T) {
	g := newGenerator(t, Config{Events: 200000, Seed: 4})
	for g.Next() != nil {
	}
	f := g.Facts()
	if mean := float64(f.Bytes) / float64(f.Events); mean < 3000 || mean > 3200 {
		t.Errorf("%.0f B per event, want 3000 to 3200", mean)
	}
}

// count is what an independent reader of the lines finds.
type count struct {
	deleted, hot, needle, middle int
	deletedID, deletedBy         string
	bytes                        int64
	minutes                      [1440]int64
	groups, forbidden            map[string]int64
	ids                          []string
}

func recount(g *Generator) count {
	f := g.Facts()
	n := count{groups: map[string]int64{}, forbidden: map[string]int64{}}
	var e audit.Event
	for line := g.Next(); line != nil; line = g.Next() {
		if err := e.Scan(line); err != nil {
			panic(err)
		}
		text := func(c audit.Column) string { return string(e.Text[c]) }
		n.bytes += int64(len(line)) + 1
		n.minutes[(e.Time()-f.Day.UnixMicro())/minute]++
		n.groups[text(audit.Username)+"|"+text(audit.Verb)+"|"+text(audit.Resource)]++
		if e.Code == 403 {
			n.forbidden[text(audit.Username)]++
		}
		object := Object{text(audit.Resource), text(audit.Namespace), text(audit.Name)}
		if object == f.Deleted {
			n.deleted++
			if text(audit.Verb) == "delete" {
				n.deletedID += text(audit.AuditID)
				n.deletedBy = text(audit.Username)
			}
		}
		if object == f.Hot && e.RequestObject != nil && e.ResponseObject != nil {
			n.hot++
		}
		if bytes.Contains(e.RequestObject, []byte(f.Needle)) || bytes.Contains(e.ResponseObject, []byte(f.Needle)) {
			n.needle++
		}
		n.ids = append(n.ids, text(audit.AuditID))
	}
	middle := g.Facts().MiddleID
	for _, id := range n.ids {
		if id == middle {
			n.middle++
		}
	}
	return n
}

func TestFacts(t *testing.T) {
	g := newGenerator(t, Config{Events: 30000, Seed: 5})
	n := recount(g)
	f := g.Facts()
	if f.Events != 30000 || f.Events != int64(len(n.ids)) || f.Bytes != n.bytes {
		t.Errorf("%d events, %d B; facts say %d, %d", len(n.ids), n.bytes, f.Events, f.Bytes)
	}
	if n.deleted != f.DeletedEvents || n.deletedID != f.DeletedID || n.deletedBy != f.DeletedBy || f.DeletedID == "" {
		t.Errorf("deleted %s by %s, %d events; facts say %s, %s, %d", n.deletedID, n.deletedBy, n.deleted, f.DeletedID, f.DeletedBy, f.DeletedEvents)
	}
	if n.hot != 1000 || f.HotEvents != 1000 {
		t.Errorf("%d changes of %v, facts say %d, want 1000", n.hot, f.Hot, f.HotEvents)
	}
	if n.needle != f.NeedleEvents || n.needle == 0 {
		t.Errorf("the needle is in %d events, facts say %d", n.needle, f.NeedleEvents)
	}
	if n.middle != 1 {
		t.Errorf("the audit ID of the middle occurs %d times", n.middle)
	}
	if !slices.Equal(f.Minutes, n.minutes[:]) {
		t.Errorf("the minutes differ")
	}
	sameCounts(t, "top", f.Top, n.groups)
	sameCounts(t, "forbidden", f.Forbidden, n.forbidden)
	slices.Reverse(n.ids)
	if !slices.Equal(f.Last, n.ids[:50]) {
		t.Errorf("the last events differ")
	}
}

func sameCounts(t *testing.T, name string, got []Count, want map[string]int64) {
	t.Helper()
	if len(got) != len(want) || len(got) == 0 {
		t.Errorf("%s: %d groups, want %d", name, len(got), len(want))
	}
	for _, c := range got {
		if key := strings.Join(c.Key, "|"); want[key] != c.Events {
			t.Errorf("%s: %s: %d, want %d", name, key, c.Events, want[key])
		}
	}
	if !slices.IsSortedFunc(got, func(a, b Count) int { return cmp.Compare(b.Events, a.Events) }) {
		t.Errorf("%s: not sorted", name)
	}
}

func TestCivil(t *testing.T) {
	for day := int64(0); day < 40000; day += 13 {
		want := firstDay().AddDate(0, 0, int(day)-20000)
		if got := string(appendMicro(nil, want.UnixMicro()+123)); got != want.Format("2006-01-02T15:04:05")+".000123Z" && want.Unix() > 0 {
			t.Fatalf("%v written as %s", want, got)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	g := newGenerator(b, Config{Events: int64(b.N) + 1_000_000, Seed: 1})
	b.SetBytes(3100)
	b.ReportAllocs()
	for b.Loop() {
		g.Next()
	}
}
