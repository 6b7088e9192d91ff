package disk

import (
	"context"
	"errors"
	"sync"

	"kubetrail/audit"
	"kubetrail/internal/bitmap"
	"kubetrail/internal/trail"
)

var _ trail.Scanner = (*Trail)(nil)

// errEnded ends the other parts of a scan that yield has ended.
var errEnded = errors.New("the scan has ended")

// looks is how many events are given between two looks at the context.
const looks = 1024

// Scan implements [trail.Scanner]: every part is read once, from its first row to its
// last, several parts at a time.
func (t *Trail) Scan(ctx context.Context, q trail.Query, columns audit.Columns, yield func(*audit.Event) error) error {
	parts, err := t.snapshot()
	if err != nil {
		return err
	}
	defer t.release(parts)
	var mu sync.Mutex
	var ended error // of yield
	give := func(e *audit.Event) error {
		mu.Lock()
		defer mu.Unlock()
		if ended == nil {
			ended = yield(e)
			return ended
		}
		return errEnded
	}
	err = t.each(ctx, overlapping(parts, q), func(v *view) error {
		sel, err := v.answers(q)
		if err != nil {
			return err
		}
		return v.scan(ctx, sel, columns, give)
	})
	switch {
	case ended != nil:
		return ended // and not errEnded, which may come first
	case err == nil:
		return ctx.Err() // without a part nobody has looked at it
	}
	return err
}

// scan gives the events of the rows in sel.
func (v *view) scan(ctx context.Context, sel bitmap.Rows, columns audit.Columns, give func(*audit.Event) error) error {
	var e audit.Event
	for i, n := sel.Next(0), 0; i >= 0; i, n = sel.Next(i+1), n+1 {
		if n%looks == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := v.fill(&e, i, columns); err != nil {
			return err
		}
		if err := give(&e); err != nil {
			return err
		}
	}
	return nil
}
