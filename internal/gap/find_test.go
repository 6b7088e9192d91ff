package gap

import (
	"context"
	"errors"
	"math/rand"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubetrail/audit"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

// onDisk makes a trail of events, in parts of some thousand, with faults after those of
// their numbers.
func onDisk(t testing.TB, all []moment, faults map[int]trail.Fault) *disk.Trail {
	t.Helper()
	dir := t.TempDir()
	w, err := disk.OpenWriter(disk.Config{Dir: dir, PartBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range all {
		m.of.Staged, m.of.Offset = m.at, int64(i)*400
		if len(m.of.Text[audit.Source]) == 0 {
			m.of.Text[audit.Source] = []byte("audit.log")
		}
		m.of.Raw = append(m.of.Raw[:0], "{}"...)
		w.Append(m.of)
		if f, ok := faults[i]; ok {
			w.SetAside(f)
		}
		if i%5000 == 4999 || w.Full() {
			if err := w.Seal(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := disk.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func always() Question {
	return Question{Since: audit.NoTime, Until: audit.NoTime, Now: audit.NoTime}
}

// searching hides that a trail can be scanned.
type searching struct{ trail.Reader }

// TestFind: a trail on disk tells the gaps that its events tell, whichever way it is read,
// and as much of them as is asked for.
func TestFind(t *testing.T) {
	day := tile(quietHour(t), "cp-1")
	cuts, rest := cut(day, rand.New(rand.NewSource(3)))
	lost := trail.Fault{Source: "audit.log", Cluster: "quiet", Server: "cp-1", Offset: 5, Length: 9, Reason: "NUL bytes: a hole in the file"}
	r := onDisk(t, rest, map[int]trail.Fault{20_000: lost})
	report, err := Find(t.Context(), r, always())
	if err != nil {
		t.Fatal(err)
	}
	var silences []Gap
	for _, g := range report.Gaps {
		if g.Cause == Hole && int64(g.From) == rest[20_000].at && int64(g.To) == rest[20_001].at {
			continue
		}
		silences = append(silences, g)
	}
	if len(silences) != len(report.Gaps)-1 {
		t.Errorf("the hole was not found where it is: %d of %d", len(silences), len(report.Gaps))
	}
	checkCuts(t, "disk", cuts, silences, 0)

	searched, err := Find(t.Context(), searching{r}, always())
	if err != nil || !reflect.DeepEqual(searched, report) {
		t.Errorf("a trail that is searched: %v\n%s", err, cmp.Diff(report, searched))
	}
	q := always()
	q.Since, q.Until = cuts[10].from+second, cuts[20].to-second
	part, err := Find(t.Context(), r, q)
	if err != nil || len(part.Gaps) != 11 || int64(part.Gaps[0].To) < cuts[10].to || !part.Gaps[10].Open {
		t.Errorf("%v; %d gaps of those from one to another, want 11", err, len(part.Gaps))
	}
	q.Since, q.Until = cuts[30].from-5*second, cuts[30].to+5*second
	if one, err := Find(t.Context(), r, q); err != nil || len(one.Gaps) != 1 || one.Gaps[0].Cause != Silence {
		t.Errorf("%v; %+v in a time that is too short to learn in, want one silence", err, one.Gaps)
	}
	for _, q := range []Question{{Cluster: "another"}, {Server: "cp-2"}} {
		q.Since, q.Until, q.Now = audit.NoTime, audit.NoTime, audit.NoTime
		if none, err := Find(t.Context(), r, q); err != nil || len(none.Gaps)+len(none.Servers) > 0 {
			t.Errorf("%+v: %v, %+v", q, err, none)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Find(ctx, r, always()); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

// TestWarm: who goes on where a trail ends knows its pulse.
func TestWarm(t *testing.T) {
	day := tile(quietHour(t), "cp-2")
	n := len(day) / 2
	d, err := Warm(t.Context(), onDisk(t, day[:n], nil), Config{})
	if err != nil {
		t.Fatal(err)
	}
	watchAll(d, without(day[n:], float64(day[n].at-midnight)/1e6, float64(day[n].at-midnight)/1e6+20))
	gaps := d.Report(audit.NoTime).Gaps
	if len(gaps) != 1 || int64(gaps[0].From) != day[n-1].at || gaps[0].Length() < 20*time.Second {
		t.Errorf("%+v", gaps)
	}
	if d, err := Warm(t.Context(), onDisk(t, nil, nil), Config{}); err != nil || len(d.Report(audit.NoTime).Servers) > 0 {
		t.Errorf("of an empty trail: %v", err)
	}
}

// histogramOf is a trail that knows when its events were.
type histogramOf struct {
	trail.Reader
	bars  []trail.Bucket
	asked []time.Duration
	most  int
}

func (h *histogramOf) Summary(context.Context) (trail.Summary, error) {
	return trail.Summary{First: h.bars[0].Start, Last: h.bars[len(h.bars)-1].Start}, nil
}

func (h *histogramOf) Histogram(_ context.Context, _ trail.Query, every time.Duration) ([]trail.Bucket, error) {
	h.asked = append(h.asked, every)
	if len(h.asked) <= h.most {
		return nil, trail.ErrTooMany
	}
	return h.bars, nil
}

// TestStretches: the time is cut where there are enough events or enough time, and every
// event is in one piece.
func TestStretches(t *testing.T) {
	minute := 60 * second
	h := &histogramOf{bars: []trail.Bucket{
		{Start: midnight, Count: 10}, {Start: midnight + minute, Count: 0}, {Start: midnight + 2*minute, Count: batchEvents - 10},
		{Start: midnight + 3*minute, Count: 1}, {Start: midnight + 4*minute, Count: 3*batchEvents + 1},
		{Start: midnight + 5*minute, Count: 5}, {Start: midnight + 5*minute + batchTime, Count: 5},
	}}
	got, err := stretches(t.Context(), h, trail.Always(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := []span{{0, 3 * minute}, {3 * minute, 4 * minute},
		{4 * minute, 4*minute + minute/4}, {4*minute + minute/4, 4*minute + minute/2}, {4*minute + minute/2, 4*minute + minute*3/4}, {4*minute + minute*3/4, 5 * minute},
		{5 * minute, 6 * minute}, {5*minute + batchTime, 6*minute + batchTime}}
	for i := range want {
		want[i].from += midnight
		want[i].to += midnight
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	h.asked, h.most = nil, 1
	if _, err := stretches(t.Context(), h, trail.Always(nil)); err != nil || len(h.asked) != 2 {
		t.Errorf("too many bars: %v after %v", err, h.asked)
	}
}
