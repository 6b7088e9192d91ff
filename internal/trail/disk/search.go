package disk

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"slices"
	"sync"

	"kubetrail/audit"
	"kubetrail/internal/bitmap"
	"kubetrail/internal/trail"
)

// hit is a row that answers a question.
type hit struct {
	time int64
	seq  uint64
	part *part
	row  int32
	kept *audit.Event // the event, once it is read
}

// found keeps the best hits of a search, the worst of them on top of the heap.
type found struct {
	limit  int
	oldest bool
	hits   []hit
	room   int // bytes for events that are read before it is certain that they are wanted
	early  int // how many such events there are
}

// reserve gives the bytes that hits may take if they are read at once, while the
// columns of their part are at hand; 0 where they should not be, because it is too
// likely that they will not stay among the best.
func (f *found) reserve(hits []hit) int {
	if f.early+len(hits) > f.limit {
		return 0
	}
	f.early += len(hits)
	room := f.room / 2 // the other half is for whoever asks before this is given back
	f.room -= room
	return room
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
	f := &found{limit: n, oldest: page.Oldest, room: chunkBytes}
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
		if err != nil || sel.Empty() {
			return err
		}
		hits, err := v.hits(sel, page, n)
		if err != nil {
			return err
		}
		mu.Lock()
		room := f.reserve(hits)
		mu.Unlock()
		rest, err := v.keep(hits, page.Columns, room)
		if err != nil && err != errNoRoom {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		f.room += rest
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
func (v *view) hits(sel bitmap.Rows, page trail.Page, n int) ([]hit, error) {
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
	for i := sel.Next(0); i >= 0; i = sel.Next(i + 1) {
		h := hit{time: times[i], seq: v.p.meta.First + uint64(seq[i]), part: v.p, row: int32(i)}
		if page.After == (trail.Cursor{}) || f.before(after, h) {
			f.add(h)
		}
	}
	return f.hits, nil
}

// materialize yields the events of hits in their order, reading those that were not
// read yet, as many at a time as fit in chunkBytes.
func (t *Trail) materialize(ctx context.Context, hits []hit, cols audit.Columns, yield func(*audit.Event) error) error {
	v, err := t.takeView()
	if err != nil {
		return err
	}
	defer t.giveView(v)
	v.p = nil // what it shows may be of a part that was closed since
	for n := chunkHits; len(hits) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n = min(n, fitting(hits, cols))
		if err := v.keepAll(hits[:n], cols); err == errNoRoom && n > 1 {
			n /= 2
			continue
		} else if err != nil && err != errNoRoom {
			return err
		}
		for i := range hits[:n] {
			if err := yield(hits[i].kept); err != nil {
				return err
			}
			hits[i].kept = nil
		}
		hits = hits[n:]
		n = min(2*n, chunkHits)
	}
	return nil
}

// Answers are in the order of time, bodies in that of objects: every chunk may touch
// every page of its part. The larger the chunk, the fewer times a page is read.
const (
	chunkHits  = pageHits
	chunkBytes = 32 << 20
)

// fitting returns how many of the first hits fit into chunkBytes if their lines are
// as long as the average of their part.
func fitting(hits []hit, cols audit.Columns) int {
	if cols&(bodyColumns|audit.Set(audit.Line)) == 0 {
		return len(hits)
	}
	size := int64(0)
	for i, h := range hits {
		if size += h.part.line(); size > chunkBytes && i > 0 {
			return i
		}
	}
	return len(hits)
}

// line is the average length of the part's lines, with what an event takes besides.
func (p *part) line() int64 { return p.meta.LineBytes/int64(p.rows) + 256 }

var errNoRoom = errors.New("the events are larger than the memory for them")

// keepAll reads the hits that were not read yet. Those of one part are read
// together and by ascending row, so that no page is read twice. Its error is
// errNoRoom where they take more than chunkBytes; a single one is read all the same.
func (v *view) keepAll(hits []hit, cols audit.Columns) error {
	var order []int
	for i, h := range hits {
		if h.kept == nil {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(hits[a].part.meta.First, hits[b].part.meta.First), cmp.Compare(hits[a].row, hits[b].row))
	})
	room := chunkBytes
	for _, i := range order {
		if v.p != hits[i].part {
			v.open(hits[i].part)
		}
		size, err := v.keepOne(&hits[i], cols)
		if err != nil {
			return err
		}
		if room -= size; room < 0 && len(hits) > 1 {
			for _, i := range order {
				hits[i].kept = nil
			}
			return errNoRoom
		}
	}
	return nil
}

// keep reads hits of the open part, all of them or, where room is too small, none.
// It returns how much room is left.
func (v *view) keep(hits []hit, cols audit.Columns, room int) (rest int, err error) {
	if room == 0 {
		return 0, nil
	}
	if cols&(bodyColumns|audit.Set(audit.Line)) != 0 && int64(len(hits))*v.p.line() > int64(room) {
		return room, nil
	}
	slices.SortFunc(hits, func(a, b hit) int { return cmp.Compare(a.row, b.row) })
	rest = room
	for i := range hits {
		size, err := v.keepOne(&hits[i], cols)
		if err != nil {
			return room, err
		}
		if rest -= size; rest <= 0 {
			for i := range hits {
				hits[i].kept = nil
			}
			return room, errNoRoom
		}
	}
	return rest, nil
}

func (v *view) keepOne(h *hit, cols audit.Columns) (size int, err error) {
	var e audit.Event
	if err := v.fill(&e, int(h.row), cols|audit.Set(audit.Seq)); err != nil {
		return 0, err
	}
	h.kept, size = clone(&e)
	return size, nil
}

// clone copies an event and its bytes, in one piece, and returns how many there are.
func clone(e *audit.Event) (copied *audit.Event, size int) {
	size = len(e.RequestObject) + len(e.ResponseObject) + len(e.Raw)
	for _, text := range e.Text {
		size += len(text)
	}
	kept, room := *e, make([]byte, 0, size)
	move := func(b *[]byte) {
		if *b == nil {
			return
		}
		from := len(room)
		room = append(room, *b...)
		*b = room[from:len(room):len(room)]
	}
	for i := range kept.Text {
		move(&kept.Text[i])
	}
	move(&kept.RequestObject)
	move(&kept.ResponseObject)
	move(&kept.Raw)
	return &kept, size
}
