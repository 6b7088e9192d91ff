package cause

import (
	"context"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// Teller tells of one event after another, as Of does, for whoever asks about many:
// beyond the first few it reads the changes of the trail along with them, each once,
// instead of asking anew for every event. It is not safe for concurrent use.
type Teller struct {
	r     trail.Reader
	t     *Tracer
	asked int
	since int64 // what the tracer has learned, as far as it has not forgotten it
	until int64
}

// Tell of more events than these is cheaper by reading along.
const few = 10

const (
	along      = 10 * time.Minute // how far ahead is read
	alongRows  = 10_000           // and how many requests at a time
	alongLimit = 40_000           // that are remembered
)

// NewTeller returns one that asks r.
func NewTeller(r trail.Reader) *Teller { return &Teller{r: r} }

// Tell tells through whom e happened. e must have the [Columns], and the events that it
// is asked about should come in order of time.
func (x *Teller) Tell(ctx context.Context, e *audit.Event) (Chain, error) {
	if !changes(e) || e.Time() == audit.NoTime {
		return New(Config{}).Trace(e), nil
	}
	if x.asked++; x.asked <= few {
		return Of(ctx, x.r, e)
	}
	at := e.Time()
	if x.t == nil || at < x.since+reachBefore.Microseconds() || at > x.until+reachBefore.Microseconds() {
		x.t = New(Config{Window: reachBefore + 2*along, Writes: alongLimit})
		x.since = at - reachBefore.Microseconds()
		x.until = x.since
		if err := x.t.agentsOf(ctx, x.r, at); err != nil {
			return Chain{}, err
		}
	}
	for x.until < at+reachAfter.Microseconds() {
		if err := x.read(ctx, at+along.Microseconds()); err != nil {
			return Chain{}, err
		}
	}
	return x.t.Trace(e), nil
}

// read learns the next changes, at most those until a time.
func (x *Teller) read(ctx context.Context, until int64) error {
	n, newest := 0, x.until
	q := trail.Query{Since: x.until, Until: until}
	err := x.t.learnInto(ctx, x.r, q, "not objectRef.resource:leases", trail.Page{Limit: alongRows, Oldest: true, Columns: Columns}, func(e *audit.Event) {
		n++
		newest = max(newest, e.Time())
	})
	// Those of the last microsecond are read again, unless there is no end to them.
	if x.until = until; n == alongRows {
		x.until = max(newest, q.Since+1)
	}
	return err
}
