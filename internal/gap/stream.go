package gap

import (
	"math"
	"slices"
	"strings"
	"time"
)

// kind is what a stream of requests is to its server.
type kind uint8

const (
	client kind = iota // requests of somebody else, who may go to another server
	own                // requests that the server sends to itself
	boots              // those that it sends when it starts
	quiet              // all that is not looked at as a pulse
)

// stream is a sequence of like requests: a candidate, or a pulse once its intervals have
// agreed several times.
type stream struct {
	of    *server
	kind  kind
	user  string // who: clients are independent of each other, streams of one are not
	group string // what of it is independent of the rest
	verb  string
	what  string
	hash  uint64

	// Of learning.
	seen     int64 // its last request, microseconds since the epoch
	behind   int8  // requests in a row that were long before that
	interval int64 // of a candidate, microseconds
	agreed   int8
	beats    float64
	skips    float64
	recent   []int32 // the latest intervals of a pulse, milliseconds; nil: a candidate
	next     int
	median   int64 // of recent, microseconds
	late     int64 // an interval longer than that is a missed beat, microseconds
	stale    int8  // intervals since both were worked out

	last int64 // its last request as far as gaps were looked for
}

const (
	second      = int64(time.Second / time.Microsecond)
	same        = 3 * second / 10 // requests closer than that are one beat
	minInterval = second / 2
	maxInterval = 90 * second
	agreements  = 4
	kept        = 64 // intervals
)

// learn takes the next request of the stream, at a time in microseconds.
func (s *stream) learn(at int64) {
	passed := at - s.seen
	if passed < same && s.seen != 0 {
		// The same beat: another stage, another source, a second page. Or the one seen last
		// was of a clock that was wrong.
		if passed > -maxInterval {
			s.behind = 0
		} else if s.behind++; s.behind >= agreements {
			s.seen, s.behind = at, 0
		}
		return
	}
	first := s.seen == 0
	s.seen = at
	if first {
		return
	}
	if s.recent == nil {
		s.try(passed)
		return
	}
	s.beats++
	if passed > s.late {
		s.skips++
	}
	if s.beats > 50_000 {
		s.beats, s.skips = s.beats/2, s.skips/2
	}
	s.add(passed)
	if s.stale++; s.stale >= 16 || len(s.recent) < 16 {
		s.settle()
	}
}

// try compares an interval of a candidate with the one before.
func (s *stream) try(passed int64) {
	if passed > maxInterval {
		s.agreed = 0
		s.interval = 0
		return
	}
	if off := passed - s.interval; s.interval > 0 && 6*max(off, -off) <= s.interval {
		if s.agreed++; s.agreed >= agreements && s.interval >= minInterval {
			s.recent = make([]int32, 0, kept)
			for range agreements {
				s.add(s.interval)
			}
			s.beats = agreements
			s.of.changed = true
			s.settle()
		}
		return
	}
	if s.agreed--; s.agreed <= 0 {
		s.interval, s.agreed = passed, 0
	}
}

func (s *stream) add(passed int64) {
	ms := int32(min(passed/1000, math.MaxInt32))
	if len(s.recent) < kept {
		s.recent = append(s.recent, ms)
		return
	}
	s.recent[s.next] = ms
	s.next = (s.next + 1) % kept
}

// settle works out the interval from the latest ones, by their order: some that a gap or
// a skipped beat made longer change nothing. A stream that is not regular any more is a
// candidate again.
func (s *stream) settle() {
	var room [kept]int32
	sorted := append(room[:0], s.recent...)
	slices.Sort(sorted)
	at := func(q float64) int64 { return 1000 * int64(sorted[int(q*float64(len(sorted)-1)+0.5)]) }
	s.stale = 0
	s.median = at(0.5)
	if at(0.9)-at(0.1) > s.median/2 {
		s.recent, s.agreed, s.interval, s.next = nil, 0, 0, 0
		s.beats, s.skips = 0, 0
		s.of.changed = true
		return
	}
	s.late = min(max(s.median*5/4, at(0.95)*11/10), s.median*19/10)
}

// missed is how many beats were due in a silence of the stream of so many microseconds.
func (s *stream) missed(silent int64) int64 {
	if silent <= s.late {
		return 0
	}
	return 1 + (silent-s.late)/s.median
}

// What a missed beat tells, in decades of probability.
const (
	enough    = 6.0 // one in a million: a gap
	mostBeat  = 3.0 // of one beat, however reliable the stream was
	mostGuest = 3.0 // of a client: it may have left just then
)

// decades is the evidence of so many missed beats: -log10 of their probability. So many
// times more than is known was a beat missed before.
func (s *stream) decades(missed int64, more float64) float64 {
	if missed == 0 {
		return 0
	}
	one := min(-math.Log10((s.skips+more+1)/(s.beats+2)), mostBeat)
	all := max(one, 0) * float64(missed)
	if s.kind != own {
		return min(all, mostGuest)
	}
	return min(all, 2*enough)
}

// evidence adds up what independent streams tell.
type evidence struct {
	own, guests float64
	alive       bool // some stream of the server's own was there to be missed
	groups      map[string]float64
}

// add takes what one stream tells: of those that depend on each other the one counts
// that tells most.
func (e *evidence) add(s *stream, decades float64) {
	if s.kind == own {
		e.alive = true
	}
	if decades <= 0 {
		return
	}
	if e.groups == nil {
		e.groups = map[string]float64{}
	}
	more := decades - e.groups[s.group]
	if more <= 0 {
		return
	}
	e.groups[s.group] = decades
	if s.kind == own {
		e.own += more
	} else {
		e.guests += more
	}
}

// gap is the verdict.
func (e *evidence) gap() bool {
	return e.own+e.guests >= enough && (e.own > 0 || !e.alive)
}

// describe tells of a pulse.
func (s *stream) describe() Stream {
	return Stream{User: s.user, Verb: s.verb, Object: s.what, Own: s.kind == own,
		Interval: float64(s.median) / float64(second), Beats: int64(s.beats)}
}

const leasesOf = "leases/kube-system/"

// identity reports whether the stream renews the lease that an API server has for itself.
func (s *stream) identity() bool {
	return s.kind == own && s.verb == "update" && strings.HasPrefix(s.what, leasesOf+"apiserver-")
}

// lease is the name of that lease.
func (s *stream) lease() string { return strings.TrimPrefix(s.what, leasesOf) }
