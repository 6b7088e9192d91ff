package disk

import (
	"cmp"
	"container/heap"
	"context"
	"slices"
	"sync"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// hit is a row that answers a question.
type hit struct {
	time int64
	seq  uint64
	part *part
	row  int32
}

// found keeps the best hits of a search, the worst of them on top of the heap.
type found struct {
	limit  int
	oldest bool
	hits   []hit
}

// before reports whether a comes before b in the answer.
func (f *found) before(a, b hit) bool {
	c := cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.seq, b.seq))
	if f.oldest {
		return c < 0
	}
	return c > 0
}

func (f *found) Len() int           { return len(f.hits) }
func (f *found) Less(i, j int) bool { return f.before(f.hits[j], f.hits[i]) }
func (f *found) Swap(i, j int)      { f.hits[i], f.hits[j] = f.hits[j], f.hits[i] }
func (f *found) Push(x any)         { f.hits = append(f.hits, x.(hit)) }
func (f *found) Pop() any {
	last := f.hits[len(f.hits)-1]
	f.hits = f.hits[:len(f.hits)-1]
	return last
}

func (f *found) full() bool { return len(f.hits) >= f.limit }

// wants reports whether a hit at that time could still be among the best.
func (f *found) wants(time int64) bool {
	if !f.full() {
		return true
	}
	if f.oldest {
		return time <= f.hits[0].time
	}
	return time >= f.hits[0].time
}

func (f *found) add(h hit) {
	if !f.full() {
		heap.Push(f, h)
		return
	}
	if f.before(h, f.hits[0]) {
		f.hits[0] = h
		heap.Fix(f, 0)
	}
}

// pageHits is how many answers are looked for at a time where more are wanted:
// memory is bounded by it, whatever the limit.
const pageHits = 20_000

// Search implements [trail.Reader].
func (t *Trail) Search(ctx context.Context, q trail.Query, page trail.Page, yield func(*audit.Event) error) error {
	parts, err := t.snapshot()
	if err != nil {
		return err
	}
	defer t.release(parts)
	candidates := overlapping(parts, q)
	for left := page.Limit; ; {
		n := pageHits
		if page.Limit > 0 {
			n = min(n, left)
		}
		hits, err := t.best(ctx, candidates, q, page, n)
		if err != nil {
			return err
		}
		if err := t.materialize(ctx, hits, page.Columns, yield); err != nil {
			return err
		}
		if len(hits) < n || page.Limit > 0 && left == n {
			return nil
		}
		left -= n
		last := hits[len(hits)-1]
		page.After = trail.Cursor{Time: last.time, Seq: last.seq}
	}
}

// best returns the first n answers after page.After, in order.
func (t *Trail) best(ctx context.Context, parts []*part, q trail.Query, page trail.Page, n int) ([]hit, error) {
	parts = slices.DeleteFunc(slices.Clone(parts), func(p *part) bool { return !mayFollow(p, page) })
	slices.SortStableFunc(parts, func(a, b *part) int {
		if page.Oldest {
			return cmp.Compare(a.earliest(), b.earliest())
		}
		return cmp.Compare(b.meta.Newest, a.meta.Newest)
	})
	var mu sync.Mutex
	f := &found{limit: n, oldest: page.Oldest}
	err := t.each(ctx, parts, func(v *view) error {
		border := v.p.meta.Newest
		if page.Oldest {
			border = v.p.earliest()
		}
		mu.Lock()
		wanted := f.wants(border)
		mu.Unlock()
		if !wanted {
			return nil
		}
		sel, err := v.answers(q)
		if err != nil || sel.empty() {
			return err
		}
		hits, err := v.hits(sel, page, n)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, h := range hits {
			f.add(h)
		}
		return nil
	})
	slices.SortFunc(f.hits, func(a, b hit) int {
		switch {
		case f.before(a, b):
			return -1
		case f.before(b, a):
			return 1
		}
		return 0
	})
	return f.hits, err
}

// mayFollow reports whether a part can hold answers after page.After.
func mayFollow(p *part, page trail.Page) bool {
	switch {
	case page.After == trail.Cursor{}:
		return true
	case page.Oldest:
		return p.meta.Newest >= page.After.Time
	}
	return p.earliest() <= page.After.Time
}

// hits returns the best n of the rows in sel.
func (v *view) hits(sel bitmap, page trail.Page, n int) ([]hit, error) {
	times, err := v.times()
	if err != nil {
		return nil, err
	}
	seq, err := v.number(colSeq)
	if err != nil {
		return nil, err
	}
	f := &found{limit: n, oldest: page.Oldest}
	after := hit{time: page.After.Time, seq: page.After.Seq}
	for i := sel.next(0); i >= 0; i = sel.next(i + 1) {
		h := hit{times[i], v.p.meta.First + uint64(seq[i]), v.p, int32(i)}
		if page.After == (trail.Cursor{}) || f.before(after, h) {
			f.add(h)
		}
	}
	return f.hits, nil
}

// materialize reads the rows of hits and yields them in their order, as many at a
// time as fit in chunkBytes.
func (t *Trail) materialize(ctx context.Context, hits []hit, cols audit.Columns, yield func(*audit.Event) error) error {
	v, err := t.takeView()
	if err != nil {
		return err
	}
	defer t.giveView(v)
	m := materializer{view: v, cols: cols | audit.Set(audit.Seq)}
	for len(hits) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := m.read(hits)
		if err != nil {
			return err
		}
		for i := range n {
			if err := yield(&m.events[i]); err != nil {
				return err
			}
		}
		hits = hits[n:]
	}
	return nil
}

const (
	chunkHits  = 2048
	chunkBytes = 16 << 20
)

// materializer reads a chunk of hits at a time.
type materializer struct {
	view   *view
	cols   audit.Columns
	events []audit.Event
	bytes  []byte
	order  []int
}

// read fills m.events with the first hits, and returns how many: what is asked of
// them bounds the number.
func (m *materializer) read(hits []hit) (int, error) {
	hits = hits[:min(len(hits), chunkHits)]
	m.order = m.order[:0]
	for i := range hits {
		m.order = append(m.order, i)
	}
	n := len(hits)
	if m.cols&(bodyColumns|audit.Set(audit.Line)) != 0 {
		var err error
		if n, err = m.fits(hits); err != nil {
			return 0, err
		}
	}
	m.order = m.order[:n]
	// Rows of one part together and ascending: every page is read once.
	slices.SortFunc(m.order, func(a, b int) int {
		return cmp.Or(cmp.Compare(hits[a].part.meta.First, hits[b].part.meta.First), cmp.Compare(hits[a].row, hits[b].row))
	})
	m.events = slices.Grow(m.events[:0], n)[:n]
	m.bytes = m.bytes[:0]
	for _, i := range m.order {
		if m.view.p != hits[i].part || len(m.bytes) == 0 {
			m.view.open(hits[i].part)
		}
		var e audit.Event
		if err := m.view.fill(&e, int(hits[i].row), m.cols); err != nil {
			return 0, err
		}
		m.keep(&m.events[i], &e)
	}
	return n, nil
}

// fits returns how many of the first hits have lines of chunkBytes together.
func (m *materializer) fits(hits []hit) (int, error) {
	total := int64(0)
	lines := make(map[*part][]int64)
	for i, h := range hits {
		line := lines[h.part]
		if line == nil {
			m.view.open(h.part)
			n, err := m.view.number(colLine)
			if err != nil {
				return 0, err
			}
			line = slices.Clone(n)
			lines[h.part] = line
		}
		if total += line[h.row]; total > chunkBytes && i > 0 {
			return i, nil
		}
	}
	return len(hits), nil
}

// keep copies an event out of the view.
func (m *materializer) keep(dst, src *audit.Event) {
	*dst = *src
	for i, text := range src.Text {
		dst.Text[i] = m.copy(text)
	}
	dst.RequestObject, dst.ResponseObject, dst.Raw = m.copy(src.RequestObject), m.copy(src.ResponseObject), m.copy(src.Raw)
}

// copy keeps b. A slice given out earlier stays as it was when m.bytes moves.
func (m *materializer) copy(b []byte) []byte {
	if b == nil {
		return nil
	}
	from := len(m.bytes)
	m.bytes = append(m.bytes, b...)
	return m.bytes[from:len(m.bytes):len(m.bytes)]
}
