package skew

import (
	"cmp"
	"slices"

	"kubetrail/audit"
)

// Moment is where an event stands among those of its object.
type Moment struct {
	// Version is twice the resourceVersion that the event made, or one more than
	// twice the one that it found there; 0 where neither is known.
	Version uint64
	// Time is that of the reference's clock, as far as that can be told, in
	// microseconds since the epoch, or audit.NoTime.
	Time int64
}

// Moment returns where e stands, whose server's clock is ahead by so much.
func (s *Estimator) Moment(e *audit.Event, ahead int64) Moment {
	m := Moment{Time: e.Time()}
	if m.Time != audit.NoTime {
		m.Time -= ahead
	}
	if e.Code > 299 {
		return m // sent in vain
	}
	verb := string(e.Text[audit.Verb])
	writing := verb == "create" || verb == "update" || verb == "patch"
	s.metadata.AnyIn(e.ResponseObject, func(v audit.Value) bool {
		if m.Version = 2 * number(v.Bytes); m.Version > 0 && !writing {
			m.Version++
		}
		return true
	})
	if sent := number(e.Text[audit.ResourceVersion]); m.Version == 0 && sent > 0 && verb == "update" {
		m.Version = 2*sent + 1
	}
	return m
}

// Sort puts the events of one object in the order in which they happened: those that
// tell a version in the order of these, whatever the clocks said, and the others between
// them by their times.
func Sort[T any](events []T, of func(T) Moment) {
	type one struct {
		event T
		Moment
	}
	var told, untold []one
	for _, e := range events {
		if m := of(e); m.Version > 0 {
			told = append(told, one{e, m})
		} else {
			untold = append(untold, one{e, m})
		}
	}
	byTime := func(a, b one) int { return cmp.Compare(a.Time, b.Time) }
	slices.SortStableFunc(told, func(a, b one) int { return cmp.Or(cmp.Compare(a.Version, b.Version), byTime(a, b)) })
	slices.SortStableFunc(untold, byTime)
	events = events[:0]
	for len(told) > 0 || len(untold) > 0 {
		if len(told) == 0 || len(untold) > 0 && untold[0].Time < told[0].Time {
			events, untold = append(events, untold[0].event), untold[1:]
		} else {
			events, told = append(events, told[0].event), told[1:]
		}
	}
}
