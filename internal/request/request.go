// Package request puts the stages of one request together. The audit ID alone does not:
// the client chooses it, and may choose the same one again.
package request

import (
	"hash/maphash"

	"kubetrail/audit"
)

// Keys tells requests apart by what all their stages have in common. The audit ID
// alone does not: the client chooses it.
type Keys struct{ seed maphash.Seed }

// NewKeys returns Keys of their own: those of others differ, so that nobody can make two
// requests look like one.
func NewKeys() Keys { return Keys{maphash.MakeSeed()} }

// KeyColumns are what [Keys.Of] needs of an event.
var KeyColumns = audit.Set(audit.AuditID, audit.RequestURI, audit.Verb, audit.Username, audit.Received, audit.Cluster, audit.Server)

// Of returns the key of the request that e is a stage of.
func (k Keys) Of(e *audit.Event) uint64 {
	var h maphash.Hash
	h.SetSeed(k.seed)
	for _, c := range [...]audit.Column{audit.AuditID, audit.RequestURI, audit.Verb, audit.Username, audit.Cluster, audit.Server} {
		h.Write(e.Text[c])
		h.WriteByte(0)
	}
	maphash.WriteComparable(&h, e.Received)
	return h.Sum64()
}

// Ended tells the event at which a request ended. Who fails to log in leaves only a
// ResponseStarted.
func Ended(e *audit.Event) bool {
	switch string(e.Text[audit.Stage]) {
	case "ResponseComplete", "Panic":
		return true
	case "ResponseStarted":
		return e.Code == 401
	}
	return false
}

// MaxOpen is how many requests without an end are remembered at once.
const MaxOpen = 1 << 20

// Pairs finds the requests of which no end is recorded, whatever the order of their
// stages.
type Pairs[T any] struct {
	keys Keys
	open map[uint64]*T // nil: has ended
	full bool          // there were more than could be remembered: nothing is known
}

// NewPairs returns Pairs that know of no request yet.
func NewPairs[T any]() Pairs[T] {
	return Pairs[T]{keys: NewKeys(), open: map[uint64]*T{}}
}

// Note takes one stage of a request. of is asked for what is to be remembered as long as
// no end was seen.
func (p *Pairs[T]) Note(e *audit.Event, of func() T) {
	if p.full {
		return
	}
	k := p.keys.Of(e)
	x, seen := p.open[k]
	switch {
	case !seen && len(p.open) == MaxOpen:
		p.full, p.open = true, nil
	case Ended(e):
		p.open[k] = nil
	case !seen:
		v := of()
		p.open[k] = &v
	case x != nil:
		*x = of()
	}
}

// Unended yields what was remembered of the requests without an end.
func (p *Pairs[T]) Unended(yield func(T)) {
	for _, x := range p.open {
		if x != nil {
			yield(*x)
		}
	}
}

// Full tells that there were more requests than could be remembered: then nothing is
// known of those without an end.
func (p *Pairs[T]) Full() bool { return p.full }
