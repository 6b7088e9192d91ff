// Package trailtest is the law that every trail must pass: what the comments of
// package trail promise, checked against an evaluation that is as simple as can be,
// one event after the other. A trail's own test is a few lines:
//
//	trailtest.RunReader(t, func(t *testing.T, lines [][]byte) trail.Reader { ... })
package trailtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

// What the events of a trail under test must hold in these columns. Offset is the
// place of the line in a file of all lines, each followed by a newline.
const (
	Source  = "law.log"
	Cluster = "law"
)

// Open makes a trail that holds the events of lines, in this order. What it needs to
// undo it leaves to t.Cleanup.
type Open func(t *testing.T, lines [][]byte) trail.Reader

// RunReader checks that the trails made by open keep the contract of trail.Reader.
func RunReader(t *testing.T, open Open) {
	t.Run("Empty", func(t *testing.T) { testEmpty(t, open(t, nil)) })
	t.Run("Made", func(t *testing.T) { runLaw(t, open, Lines()) })
	t.Run("Real", func(t *testing.T) { runLaw(t, open, realLines(t)) })
}

func runLaw(t *testing.T, open Open, lines [][]byte) {
	m := newModel(t, open(t, lines), lines)
	t.Run("Order", m.testOrder)
	t.Run("Columns", m.testColumns)
	t.Run("Pages", m.testPages)
	t.Run("Borders", m.testBorders)
	t.Run("Questions", m.testQuestions)
	t.Run("Random", m.testRandom)
	t.Run("Groups", m.testGroups)
	t.Run("Buckets", m.testBuckets)
	t.Run("Summary", m.testSummary)
	t.Run("Cancelled", m.testCancelled)
	t.Run("YieldError", m.testYieldError)
	t.Run("Concurrent", m.testConcurrent)
	if s, ok := m.r.(trail.Scanner); ok {
		t.Run("Scan", func(t *testing.T) { m.testScan(t, s) })
	}
}

// model holds the same events as the trail under test.
type model struct {
	r      trail.Reader
	lines  [][]byte
	events []*audit.Event // with the sequence numbers of the trail
	sorted []*audit.Event // by time, then number
}

func newModel(t *testing.T, r trail.Reader, lines [][]byte) *model {
	t.Helper()
	m := &model{r: r, lines: lines}
	offset := int64(0)
	for i, line := range lines {
		e := &audit.Event{}
		if err := e.Scan(line); err != nil {
			t.Fatalf("line %d: %v", i, err)
		}
		e.Text[audit.Source], e.Text[audit.Cluster] = []byte(Source), []byte(Cluster)
		e.Offset, e.Seq = offset, uint64(i)
		offset += int64(len(line)) + 1
		m.events = append(m.events, e)
	}
	m.sorted = slices.Clone(m.events)
	slices.SortStableFunc(m.sorted, compare)
	m.number(t)
	return m
}

// number takes the sequence numbers from the trail: any will do that rise in the
// order of the lines.
func (m *model) number(t *testing.T) {
	t.Helper()
	var got []uint64
	err := m.r.Search(t.Context(), trail.Always(nil), trail.Page{Oldest: true, Columns: audit.Set(audit.Seq)}, func(e *audit.Event) error {
		got = append(got, e.Seq)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(m.sorted) {
		t.Fatalf("a search for everything gave %d events of %d", len(got), len(m.sorted))
	}
	for i, e := range m.sorted {
		e.Seq = got[i]
	}
	for i := 1; i < len(m.events); i++ {
		if m.events[i-1].Seq >= m.events[i].Seq {
			t.Fatalf("the numbers of lines %d and %d, %d and %d, do not rise", i-1, i, m.events[i-1].Seq, m.events[i].Seq)
		}
	}
}

func compare(a, b *audit.Event) int {
	switch {
	case a.Time() < b.Time():
		return -1
	case a.Time() > b.Time():
		return 1
	case a.Seq < b.Seq:
		return -1
	case a.Seq > b.Seq:
		return 1
	}
	return 0
}

// answers evaluates q on each event, oldest first.
func (m *model) answers(q trail.Query) []*audit.Event {
	var out []*audit.Event
	for _, e := range m.sorted {
		at := e.Time()
		open := q.Since == audit.NoTime && q.Until == audit.NoTime
		inside := at != audit.NoTime && (q.Since == audit.NoTime || q.Since <= at) && (q.Until == audit.NoTime || at < q.Until)
		if (open || inside) && (q.Where == nil || q.Where.Match(e)) {
			out = append(out, e)
		}
	}
	return out
}

// search collects the numbers of the answers of the trail.
func (m *model) search(ctx context.Context, q trail.Query, page trail.Page) ([]uint64, error) {
	var got []uint64
	page.Columns |= audit.Set(audit.Seq)
	err := m.r.Search(ctx, q, page, func(e *audit.Event) error {
		got = append(got, e.Seq)
		return nil
	})
	return got, err
}

// page is what a search must give.
func (m *model) page(q trail.Query, page trail.Page) []uint64 {
	found := m.answers(q)
	if !page.Oldest {
		slices.Reverse(found)
	}
	var out []uint64
	for _, e := range found {
		if page.After != (trail.Cursor{}) {
			c := compare(e, &audit.Event{Staged: page.After.Time, Received: audit.NoTime, Seq: page.After.Seq})
			if page.Oldest && c <= 0 || !page.Oldest && c >= 0 {
				continue
			}
		}
		out = append(out, e.Seq)
		if page.Limit > 0 && len(out) == page.Limit {
			break
		}
	}
	return out
}

func (m *model) checkSearch(t rapid.TB, name string, q trail.Query, page trail.Page) {
	t.Helper()
	got, err := m.search(context.Background(), q, page)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if want := m.page(q, page); !slices.Equal(got, want) {
		t.Fatalf("%s: got %s, want %s", name, m.ids(got), m.ids(want))
	}
}

// ids names events for messages.
func (m *model) ids(seqs []uint64) string {
	s := fmt.Sprintf("%d [", len(seqs))
	for _, n := range seqs[:min(len(seqs), 20)] {
		for _, e := range m.events {
			if e.Seq == n {
				s += fmt.Sprintf(" %s#%d", e.Text[audit.AuditID], n)
			}
		}
	}
	return s + " ]"
}

func (m *model) testOrder(t *testing.T) {
	for _, oldest := range []bool{true, false} {
		for _, limit := range []int{0, 1, 2, 7, len(m.lines), len(m.lines) + 1} {
			m.checkSearch(t, fmt.Sprintf("oldest %v limit %d", oldest, limit), trail.Always(nil), trail.Page{Limit: limit, Oldest: oldest})
		}
	}
}

// testColumns asks for all columns, then for each alone, then for none.
func (m *model) testColumns(t *testing.T) {
	m.checkColumns(t, audit.AllColumns)
	for c := range audit.Column(audit.NumColumns) {
		m.checkColumns(t, audit.Set(c))
	}
	m.checkColumns(t, 0)
}

func (m *model) checkColumns(t *testing.T, columns audit.Columns) {
	t.Helper()
	i := 0
	var line []byte
	err := m.r.Search(t.Context(), trail.Always(nil), trail.Page{Oldest: true, Columns: columns}, func(got *audit.Event) error {
		want := m.sorted[i]
		i++
		for c := range audit.Column(audit.NumText) {
			if columns.Has(c) && !bytes.Equal(got.Text[c], want.Text[c]) {
				t.Fatalf("%s: column %d of %v is %q, want %q", want.Text[audit.AuditID], c, columns, got.Text[c], want.Text[c])
			}
		}
		for _, x := range []struct {
			column audit.Column
			same   bool
		}{
			{audit.Staged, got.Staged == want.Staged},
			{audit.Received, got.Received == want.Received},
			{audit.Code, got.Code == want.Code},
			{audit.Offset, got.Offset == want.Offset && got.Length == want.Length},
			{audit.Seq, got.Seq == want.Seq},
			{audit.RequestObject, bytes.Equal(got.RequestObject, want.RequestObject)},
			{audit.ResponseObject, bytes.Equal(got.ResponseObject, want.ResponseObject)},
		} {
			if columns.Has(x.column) && !x.same {
				t.Fatalf("%s: column %d of %v differs", want.Text[audit.AuditID], x.column, columns)
			}
		}
		if columns.Has(audit.Line) {
			if line = got.AppendLine(line[:0]); !bytes.Equal(line, want.Raw) {
				t.Fatalf("the line is\n%s\nwant\n%s", line, want.Raw)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// testPages goes through all answers page by page.
func (m *model) testPages(t *testing.T) {
	few, err := query.Parse("verb:get or code >= 400")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []trail.Query{trail.Always(nil), trail.Always(few)} {
		for _, oldest := range []bool{true, false} {
			for _, size := range []int{1 + len(m.lines)/40, 7 + len(m.lines)/10} {
				m.checkPages(t, q, trail.Page{Limit: size, Oldest: oldest})
			}
		}
	}
}

func (m *model) checkPages(t *testing.T, q trail.Query, page trail.Page) {
	t.Helper()
	var got []uint64
	want := m.page(q, trail.Page{Oldest: page.Oldest})
	for range len(want) + 1 {
		n := 0
		page.Columns = audit.Set(audit.Staged, audit.Received, audit.Seq)
		err := m.r.Search(t.Context(), q, page, func(e *audit.Event) error {
			n++
			got = append(got, e.Seq)
			page.After = trail.Cursor{Time: e.Time(), Seq: e.Seq}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n > page.Limit {
			t.Fatalf("a page of %d held %d events", page.Limit, n)
		}
		if n == 0 {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("pages of %d, oldest %v: got %s, want %s", page.Limit, page.Oldest, m.ids(got), m.ids(want))
	}
}

// testBorders puts since and until on events and beside them.
func (m *model) testBorders(t *testing.T) {
	times := []int64{audit.NoTime, 0, -1, 1}
	for i, e := range m.sorted {
		if at := e.Time(); at != audit.NoTime && i%(1+len(m.sorted)/12) == 0 {
			times = append(times, at, at+1)
		}
	}
	for _, since := range times {
		for _, until := range times {
			q := trail.Query{Since: since, Until: until}
			m.checkSearch(t, fmt.Sprintf("since %d until %d", since, until), q, trail.Page{Limit: 50})
		}
	}
}

func (m *model) testSummary(t *testing.T) {
	s, err := m.r.Summary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first, last := int64(audit.NoTime), int64(audit.NoTime)
	bytes := int64(0)
	for _, e := range m.sorted {
		bytes += int64(len(e.Raw))
		if at := e.Time(); at != audit.NoTime {
			if first == audit.NoTime {
				first = at
			}
			last = at
		}
	}
	if s.Events != uint64(len(m.lines)) || s.First != first || s.Last != last {
		t.Errorf("summary says %d events from %d to %d, want %d from %d to %d", s.Events, s.First, s.Last, len(m.lines), first, last)
	}
	if s.NextSeq <= m.events[len(m.events)-1].Seq {
		t.Errorf("the next number is %d, the last was %d", s.NextSeq, m.events[len(m.events)-1].Seq)
	}
	if s.LineBytes < bytes || s.LineBytes > bytes+int64(len(m.lines)) {
		t.Errorf("summary says %d bytes of lines, want %d, with newlines or without", s.LineBytes, bytes)
	}
}

// testCancelled gives a context that has ended, and one that ends in the middle.
func (m *model) testCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	never := func(*audit.Event) error { t.Error("an event after the end"); return nil }
	by := []audit.Ref{mustResolve(t, "verb")}
	_, errAggregate := m.r.Aggregate(ctx, trail.Always(nil), by, 0)
	_, errHistogram := m.r.Histogram(ctx, trail.Always(nil), time.Minute)
	for name, err := range map[string]error{
		"Search":    m.r.Search(ctx, trail.Always(nil), trail.Page{Columns: audit.AllColumns}, never),
		"Aggregate": errAggregate,
		"Histogram": errHistogram,
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: %v", name, err)
		}
	}
}

var errEnough = errors.New("enough")

// testYieldError ends searches from inside.
func (m *model) testYieldError(t *testing.T) {
	for _, page := range []trail.Page{{}, {Oldest: true}, {Limit: 10}} {
		n := 0
		err := m.r.Search(t.Context(), trail.Always(nil), page, func(*audit.Event) error {
			if n++; n == 3 {
				return errEnough
			}
			return nil
		})
		if err != errEnough || n != 3 {
			t.Errorf("%+v: error %v after %d events, want %v after 3", page, err, n, errEnough)
		}
	}
}

// testConcurrent asks different questions at the same time.
func (m *model) testConcurrent(t *testing.T) {
	var wg sync.WaitGroup
	failures := make(chan string, 100)
	for i := range 8 {
		where, err := query.Parse([]string{"verb:get", "code >= 400", "user:alice", "nginx"}[i%4])
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			page := trail.Page{Limit: 1 + i*5, Oldest: i%2 == 0, Columns: audit.AllColumns}
			want := m.page(trail.Always(where), page)
			for range 3 {
				got, err := m.search(context.Background(), trail.Always(where), page)
				if err != nil || !slices.Equal(got, want) {
					failures <- fmt.Sprintf("%d: %v, got %v, want %v", i, err, got, want)
				}
			}
		})
	}
	wg.Wait()
	close(failures)
	for f := range failures {
		t.Error(f)
	}
}

func testEmpty(t *testing.T, r trail.Reader) {
	err := r.Search(t.Context(), trail.Always(nil), trail.Page{Columns: audit.AllColumns}, func(*audit.Event) error {
		return errors.New("an event out of nothing")
	})
	if err != nil {
		t.Error(err)
	}
	groups, err := r.Aggregate(t.Context(), trail.Always(nil), []audit.Ref{mustResolve(t, "verb")}, 10)
	if err != nil || len(groups.Rows) != 0 || groups.Groups != 0 || groups.Events != 0 {
		t.Errorf("groups of nothing: %+v, %v", groups, err)
	}
	buckets, err := r.Histogram(t.Context(), trail.Always(nil), time.Minute)
	if err != nil || len(buckets) != 0 {
		t.Errorf("buckets of nothing: %v, %v", buckets, err)
	}
	s, err := r.Summary(t.Context())
	if err != nil || s.Events != 0 || s.First != audit.NoTime || s.Last != audit.NoTime {
		t.Errorf("summary of nothing: %+v, %v", s, err)
	}
}

func mustResolve(t rapid.TB, name string) audit.Ref {
	t.Helper()
	r, err := audit.Resolve(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
