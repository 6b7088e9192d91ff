package file

import (
	"container/heap"
	"context"
	"errors"
	"slices"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// search is one call of Search.
//
// Files are in the order of time but for a little: an event is written when its
// stage ends, and a rotated set may overlap. So one pass collects the first answers
// in the order of the page, as many as are wanted and fit in memory. If they were
// all, that is it. Otherwise, oldest first, a second pass streams the others through
// a window as long as the greatest disorder that the first one saw; and if even that
// does not fit, or newest first, every further pass collects one more batch.
type search struct {
	trail *Trail
	query trail.Query
	page  trail.Page // Limit and After move on with what was yielded
	yield func(*audit.Event) error
	begun bool // something was yielded: After is its place, even if that is the zero Cursor
	done  bool // the limit is reached

	newest   int64 // the greatest time the first pass saw
	disorder int64 // how far behind newest an event came, at most
}

func (s *search) run(ctx context.Context) error {
	for {
		all, err := s.batch(ctx)
		if err != nil || all || s.done {
			return err
		}
		if s.page.Oldest && s.page.After.Time != audit.NoTime {
			err := s.stream(ctx)
			if !errors.Is(err, errWindow) {
				return err
			}
		}
	}
}

// wanted reports whether e is an answer that was not yielded yet.
func (s *search) wanted(e *audit.Event) bool {
	if !matches(s.query, e) {
		return false
	}
	after := s.page.After
	return !s.begun && after == (trail.Cursor{}) || precedes(after, cursor(e), s.page.Oldest)
}

func cursor(e *audit.Event) trail.Cursor { return trail.Cursor{Time: e.Time(), Seq: e.Seq} }

// precedes reports whether a comes before b in the order of a page.
func precedes(a, b trail.Cursor, oldest bool) bool {
	if !oldest {
		a, b = b, a
	}
	return a.Time < b.Time || a.Time == b.Time && a.Seq < b.Seq
}

// give yields one answer and moves on behind it.
func (s *search) give(e *audit.Event) error {
	s.page.After, s.begun = cursor(e), true
	if err := s.yield(e); err != nil {
		return err
	}
	if s.page.Limit > 0 {
		s.page.Limit--
		s.done = s.page.Limit == 0
	}
	return nil
}

// batch yields the next answers, as many as fit in memory; all is true if those were
// the last.
func (s *search) batch(ctx context.Context) (all bool, err error) {
	h := &queue{before: func(a, b trail.Cursor) bool { return precedes(b, a, s.page.Oldest) }}
	full := false
	var first trail.Cursor // of the answers that did not fit
	err = s.trail.pass(ctx, func(e *audit.Event) error {
		if !s.wanted(e) {
			return nil
		}
		s.measure(e.Time())
		c := cursor(e)
		if full && !precedes(c, first, s.page.Oldest) {
			return nil
		}
		h.add(e, s.page.Columns)
		for h.Len() > 1 && (h.bytes > s.trail.cfg.Memory || s.page.Limit > 0 && h.Len() > s.page.Limit) {
			full, first = true, h.drop()
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	slices.SortFunc(h.kept, func(a, b *kept) int {
		if precedes(a.at, b.at, s.page.Oldest) {
			return -1
		}
		return 1
	})
	for _, k := range h.kept {
		if err := s.give(&k.event); err != nil {
			return false, err
		}
	}
	return !full, nil
}

// measure notes how far the files are from the order of time.
func (s *search) measure(at int64) {
	if at == audit.NoTime {
		return
	}
	s.newest = max(s.newest, at)
	s.disorder = max(s.disorder, s.newest-at)
}

// What ends a pass before its end.
var (
	errStop   = errors.New("the limit is reached")
	errWindow = errors.New("the window does not fit in memory")
)

// stream yields the rest of the answers, oldest first, in one pass: an answer waits
// until one is read that is further ahead than any was ever behind.
func (s *search) stream(ctx context.Context) error {
	h := &queue{before: func(a, b trail.Cursor) bool { return precedes(a, b, true) }}
	from := *s // wanted must not move on while answers wait
	newest := from.page.After.Time
	err := s.trail.pass(ctx, func(e *audit.Event) error {
		if !from.wanted(e) {
			return nil
		}
		h.add(e, s.page.Columns)
		newest = max(newest, e.Time())
		for h.Len() > 0 && h.kept[0].at.Time <= newest-s.disorder {
			if err := s.giveFirst(h); err != nil {
				return err
			}
		}
		if h.bytes > s.trail.cfg.Memory {
			return errWindow
		}
		return nil
	})
	for err == nil && h.Len() > 0 {
		err = s.giveFirst(h)
	}
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

func (s *search) giveFirst(h *queue) error {
	if err := s.give(&h.kept[0].event); err != nil {
		return err
	}
	h.drop()
	if s.done {
		return errStop
	}
	return nil
}

// kept is a copy of an event.
type kept struct {
	at    trail.Cursor
	event audit.Event
	mem   []byte // that the slices of event lie in
}

// queue is a heap of copied events, the one before all others at the top.
type queue struct {
	before func(a, b trail.Cursor) bool
	kept   []*kept
	bytes  int
	spare  *kept // the last one dropped, to be used again
}

func (q *queue) Len() int           { return len(q.kept) }
func (q *queue) Less(i, j int) bool { return q.before(q.kept[i].at, q.kept[j].at) }
func (q *queue) Swap(i, j int)      { q.kept[i], q.kept[j] = q.kept[j], q.kept[i] }
func (q *queue) Push(x any)         { q.kept = append(q.kept, x.(*kept)) }
func (q *queue) Pop() any {
	n := len(q.kept) - 1
	k := q.kept[n]
	q.kept[n] = nil
	q.kept = q.kept[:n]
	return k
}

// keptBytes is about what a copy takes beside its text.
const keptBytes = 1200

// add copies the wanted columns of e into the heap.
func (q *queue) add(e *audit.Event, columns audit.Columns) {
	k := q.spare
	if k == nil {
		k = &kept{}
	}
	q.spare = nil
	k.copy(e, columns)
	q.bytes += cap(k.mem) + keptBytes
	heap.Push(q, k)
}

// drop takes the top away and returns where it stands.
func (q *queue) drop() trail.Cursor {
	k := heap.Pop(q).(*kept)
	q.bytes -= cap(k.mem) + keptBytes
	if cap(k.mem) < 64<<10 { // a large one would make the next small one large
		q.spare = k
	}
	return k.at
}

// copy makes k a copy of the wanted columns of e.
func (k *kept) copy(e *audit.Event, columns audit.Columns) {
	k.at = cursor(e)
	k.event = audit.Event{Form: e.Form, Received: e.Received, Staged: e.Staged, Nanos: e.Nanos,
		Code: e.Code, Offset: e.Offset, Length: e.Length, Seq: e.Seq}
	line := columns.Has(audit.Line)
	if line && e.Raw == nil {
		columns = audit.AllColumns
	}
	n := 0
	if line {
		n = len(e.Raw)
	}
	for c := range audit.Column(audit.NumText) {
		if columns.Has(c) {
			n += len(e.Text[c])
		}
	}
	if columns.Has(audit.RequestObject) {
		n += len(e.RequestObject)
	}
	if columns.Has(audit.ResponseObject) {
		n += len(e.ResponseObject)
	}
	k.mem = slices.Grow(k.mem[:0], n)
	for c := range audit.Column(audit.NumText) {
		if columns.Has(c) {
			k.event.Text[c] = k.hold(e.Text[c])
		}
	}
	if columns.Has(audit.RequestObject) {
		k.event.RequestObject = k.hold(e.RequestObject)
	}
	if columns.Has(audit.ResponseObject) {
		k.event.ResponseObject = k.hold(e.ResponseObject)
	}
	if line {
		k.event.Raw = k.hold(e.Raw)
	}
}

// hold copies b into mem, which has room for it. Nil stays nil.
func (k *kept) hold(b []byte) []byte {
	if b == nil {
		return nil
	}
	n := len(k.mem)
	k.mem = append(k.mem, b...)
	return k.mem[n:len(k.mem):len(k.mem)]
}
