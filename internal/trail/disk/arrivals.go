package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// ErrAhead means that a trail ends before the number that was asked for: it is another
// trail than the one the number came from.
var ErrAhead = errors.New("the trail has not come that far")

// Arrived tells how far a call of Arrivals came.
type Arrived struct {
	Next uint64 // the number to go on with
	Gone uint64 // numbers from the one asked for on that are not in the trail any more
}

// Arrivals calls yield for the answers to q that are numbered from or higher, in the
// order of their numbers, which is that of their commits: at most limit of them, and
// at most 20,000. Whoever asks again from Next on as long as the trail lives is given
// every answer once. It does not wait for anything. The event and its bytes belong to
// the trail again when yield returns. An error of yield ends it and is returned as it
// is, with a Next of no use; other errors are those of reading, and ErrAhead.
func (t *Trail) Arrivals(ctx context.Context, q trail.Query, from uint64, limit int, columns audit.Columns, yield func(*audit.Event) error) (Arrived, error) {
	parts, err := t.from(from)
	if err != nil {
		return Arrived{Next: from}, err
	}
	defer t.release(parts)
	if limit <= 0 || limit > pageHits {
		limit = pageHits
	}
	hits, arrived, err := t.arrivals(ctx, parts, q, from, limit)
	if err == nil {
		err = t.materialize(ctx, hits, columns, yield)
	}
	return arrived, err
}

// Back returns the number from which on there are n answers to q, or as many as there
// are: what to give to Arrivals to be shown the last n of them and all that follow.
func (t *Trail) Back(ctx context.Context, q trail.Query, n int) (from uint64, err error) {
	parts, err := t.snapshot()
	if err != nil || len(parts) == 0 {
		return 0, err
	}
	defer t.release(parts)
	v, err := t.takeView()
	if err != nil {
		return 0, err
	}
	defer t.giveView(v)
	from = parts[len(parts)-1].meta.Last + 1
	for _, p := range slices.Backward(parts) {
		if n <= 0 {
			return from, nil
		}
		rows, seq, err := v.inOrder(ctx, p, q, 0)
		if err != nil {
			return 0, err
		}
		if n <= len(rows) {
			return p.meta.First + uint64(seq[rows[len(rows)-n]]), nil
		}
		n -= len(rows)
		from = p.meta.First
	}
	return from, nil
}

// from is a snapshot of the parts with numbers from or higher, which looks again also
// where those before the first part are missing.
func (t *Trail) from(from uint64) ([]*part, error) {
	for try := 0; ; try++ {
		parts, err := t.snapshot()
		if err != nil {
			return nil, err
		}
		old, whole, at := 0, true, from
		for _, p := range parts {
			if p.meta.Last < from {
				old++
				continue
			}
			whole, at = whole && p.meta.First <= at, p.meta.Last+1
		}
		behind := old == len(parts) && from > 0 && (old == 0 || parts[old-1].meta.Last+1 < from)
		if whole && !behind || try == looksAgain {
			if behind {
				old, err = len(parts), fmt.Errorf("%w: no number %d", ErrAhead, from)
			}
			t.release(parts[:old])
			return parts[old:], err
		}
		t.release(parts)
	}
}

// arrivals returns at most limit answers by ascending number.
func (t *Trail) arrivals(ctx context.Context, parts []*part, q trail.Query, from uint64, limit int) (hits []hit, a Arrived, err error) {
	a.Next = from
	if len(parts) == 0 {
		return nil, a, ctx.Err()
	}
	v, err := t.takeView()
	if err != nil {
		return nil, a, err
	}
	defer t.giveView(v)
	for _, p := range parts {
		if p.meta.First > a.Next {
			a.Gone += p.meta.First - a.Next
			a.Next = p.meta.First
		}
		rows, seq, err := v.inOrder(ctx, p, q, a.Next-p.meta.First)
		if err != nil {
			return nil, a, err
		}
		for _, row := range rows {
			if len(hits) == limit {
				a.Next = hits[limit-1].seq + 1
				return hits, a, nil
			}
			hits = append(hits, hit{seq: p.meta.First + uint64(seq[row]), part: p, row: row})
		}
		a.Next = p.meta.Last + 1
	}
	return hits, a, nil
}

// inOrder returns the rows of a part that answer q, by ascending number, from the number
// least of the part on, and the numbers of all its rows.
func (v *view) inOrder(ctx context.Context, p *part, q trail.Query, least uint64) (rows []int32, seq []int64, err error) {
	if err := ctx.Err(); err != nil || p.rows == 0 || !p.overlaps(q) {
		return nil, nil, err
	}
	v.open(p)
	sel, err := v.answers(q)
	if err != nil || sel.Empty() {
		return nil, nil, err
	}
	if rows, err = v.arrival(); err != nil {
		return nil, nil, err
	}
	if seq, err = v.number(colSeq); err != nil {
		return nil, nil, err
	}
	return slices.DeleteFunc(rows, func(row int32) bool {
		return uint64(seq[row]) < least || sel[row>>6]&(1<<(row&63)) == 0
	}), seq, nil
}
