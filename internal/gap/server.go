package gap

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"kubetrail/audit"
)

// server is one API server, or one log of an unknown one.
type server struct {
	key     serverKey
	events  uint64
	first   int64
	newest  int64
	streams map[uint64]*stream
	pulses  []*stream // those of streams that beat, in no order
	changed bool      // pulses is to be looked up again
	idle    *stream   // stands for every event that is no pulse
	booting *stream   // for those of a start
	rate    rate

	ownNewest int64  // its latest request to itself
	ownEvents uint64 // events, up to that one

	gaps    []Gap // by time
	dropped int

	// Of times that may be wrong.
	doubtFirst int64 // the earliest of those far ahead
	doubted    int   // in a row
	behind     int   // far behind, since one was not
	era        int   // that were neither, since newest was believed

	// Of restarts.
	silences  [8]span // the latest that were longer than a second
	nextSpan  int
	bootFirst int64 // of the requests of a start
	bootCount int
	swept     int64 // when candidates were last forgotten
}

// span is a silence, microseconds since the epoch.
type span struct{ from, to int64 }

func newServer(key serverKey) *server {
	s := &server{key: key, first: audit.NoTime, newest: audit.NoTime, streams: map[uint64]*stream{}}
	s.idle = &stream{of: s, kind: quiet}
	s.booting = &stream{of: s, kind: boots}
	return s
}

// beating returns the streams that are a pulse.
func (s *server) beating() []*stream {
	if !s.changed {
		return s.pulses
	}
	s.changed = false
	s.pulses = s.pulses[:0]
	for _, x := range s.streams {
		if x.recent != nil {
			s.pulses = append(s.pulses, x)
		}
	}
	return s.pulses
}

// watch looks at the silence before an event.
func (d *Detector) watch(b Beat) {
	x := b.of
	s := x.of
	s.events++
	switch {
	case s.newest == audit.NoTime || b.at < s.newest && s.astray(b.at):
		s.first, s.newest = b.at, b.at
		s.rate.begin(b.at)
	case b.at < s.newest:
		s.first = min(s.first, b.at)
		s.fill(b.at, x, d.cfg)
	case b.at-s.newest > doubtful:
		first, sure := s.doubt(b.at)
		if !sure {
			return
		}
		d.silence(s, first)
		s.newest = b.at
	default:
		d.silence(s, b.at)
		s.newest = b.at
		s.doubted, s.behind = 0, 0
		s.era++
	}
	s.rate.count(b.at)
	switch {
	case x.kind == boots:
		s.boot(b.at, d.cfg)
	case x.kind != quiet && b.at > x.last:
		if x.kind == own {
			d.alone(x, b.at)
			d.thin(s, b.at)
		}
		x.last = b.at
	}
}

// thin looks at the time since the last request that a server sent to itself. Where others
// came meanwhile, but it is next to impossible that all of its own missed what was due,
// most of what happened was not observed: as with a disk that is full but for moments.
func (d *Detector) thin(s *server, at int64) {
	before, came := s.ownNewest, s.events-s.ownEvents-1
	if at <= before {
		return
	}
	s.ownNewest, s.ownEvents = at, s.events
	least := 2 * d.cfg.Least.Microseconds()
	if before == 0 || at-before < least || s.bootFirst > before {
		return // a server that ends stops asking itself before it stops answering
	}
	known := int64(0) // of gaps that were found in it
	inside := func(g Gap) bool { return g.Lease == "" && int64(g.From) < at && before < int64(g.To) }
	for _, g := range s.gaps {
		if inside(g) {
			known += min(at, int64(g.To)) - max(before, int64(g.From))
		}
	}
	if at-before-known < least {
		return
	}
	var e evidence
	for _, x := range s.beating() {
		if x.kind == own && x.last != 0 && before-x.last <= x.late {
			e.add(x, x.decades(x.missed(at-x.last-known), 0))
		}
	}
	if len(e.groups) < 2 || !e.gap() {
		return // one loop of it may hang
	}
	s.gaps = slices.DeleteFunc(s.gaps, inside)
	s.put(Gap{From: Time(before), To: Time(at), Cause: Partial, Events: max(0, s.rate.estimate(at-before)-int64(came))}, d.cfg)
}

// silence looks at the time from the newest event until another one.
func (d *Detector) silence(s *server, until int64) {
	silent := until - s.newest
	if silent < second {
		return
	}
	s.silences[s.nextSpan] = span{s.newest, until}
	s.nextSpan = (s.nextSpan + 1) % len(s.silences)
	if silent >= d.cfg.Least.Microseconds() && d.missed(s, until) {
		s.put(Gap{From: Time(s.newest), To: Time(until), Cause: Silence, Events: s.rate.estimate(silent)}, d.cfg)
		s.rate.skip(until)
	}
}

// A time that is far from all others may be wrong: a clock was, or a line lies. Others
// have to say the same before it counts.
const (
	doubtful = 3600 * second // ahead of the newest event
	witness  = 3             // so many events in a row
	ignored  = 20            // so many events at least that are far behind, ten for each one that is not
)

// doubt takes a time that is far ahead. It reports the first such time, and whether there
// were enough.
func (s *server) doubt(at int64) (first int64, sure bool) {
	if s.doubted == 0 || at < s.doubtFirst {
		s.doubtFirst = at
	}
	if s.doubted++; s.doubted < witness {
		return 0, false
	}
	s.doubted, s.behind, s.era = 0, 0, 1
	return s.doubtFirst, true
}

// astray takes a time before the newest one. It reports whether that is the wrong one.
func (s *server) astray(at int64) bool {
	if s.newest-at <= doubtful {
		return false
	}
	if s.behind++; s.behind < max(ignored, 10*s.era) {
		return false
	}
	s.behind, s.era, s.doubted = 0, 1, 0
	for _, x := range s.streams {
		if x.last > at {
			x.last = 0
		}
	}
	return true
}

// alone looks at the time since an API server renewed its own lease, where several write
// to one source without a name: each has a lease of its own, and one that was not renewed
// for long, while others were, tells of its server.
func (d *Detector) alone(x *stream, at int64) {
	if x.recent == nil || x.last == 0 || at-x.last <= x.late || !x.identity() || x.decades(x.missed(at-x.last), 0) < enough {
		return
	}
	s, sharing := x.of, int64(1)
	for _, y := range s.beating() {
		if y != x && y.identity() && at-y.last <= y.late {
			sharing++
		}
	}
	all := slices.ContainsFunc(s.gaps, func(g Gap) bool { return int64(g.From) < at && x.last < int64(g.To) && g.Lease == "" })
	if sharing > 1 && !all {
		s.put(Gap{From: Time(x.last), To: Time(at), Cause: Silence, Lease: x.lease(), Events: s.rate.estimate(at-x.last) / sharing}, d.cfg)
	}
}

// missed reports whether it is next to impossible that the pulse of s goes on, although
// nothing came between s.newest and until.
func (d *Detector) missed(s *server, until int64) bool {
	if until-s.newest < d.cfg.Least.Microseconds() {
		return false
	}
	var e evidence
	for _, x := range s.beating() {
		if x.last == 0 || s.newest-x.last > x.late {
			continue // it had ended before
		}
		n := x.missed(until - x.last)
		if n > 0 && x.kind == client && d.moved(x, s.newest) {
			continue
		}
		e.add(x, x.decades(n, 0))
	}
	return e.gap()
}

// moved reports whether a stream has come to another API server of the cluster since.
func (d *Detector) moved(x *stream, since int64) bool {
	for _, o := range d.sorted {
		if o != x.of && o.key.cluster == x.of.key.cluster {
			if there := o.streams[x.hash]; there != nil && there.last > since {
				return true
			}
		}
	}
	return false
}

// put keeps a gap.
func (s *server) put(g Gap, cfg Config) {
	if len(s.gaps) >= cfg.Max {
		s.gaps = slices.Delete(s.gaps, 0, 1)
		s.dropped++
	}
	i := len(s.gaps)
	for i > 0 && s.gaps[i-1].From > g.From {
		i--
	}
	s.gaps = slices.Insert(s.gaps, i, g)
}

// fill takes an event that came late: where it was observed there is no gap. One that is
// partial has events in it, but none of the server's own; one of a lease has others.
func (s *server) fill(at int64, x *stream, cfg Config) {
	if n := len(s.gaps); n == 0 || at >= int64(s.gaps[n-1].To) {
		return
	}
	i, _ := slices.BinarySearchFunc(s.gaps, at, func(g Gap, at int64) int { return cmp.Compare(int64(g.To), at) })
	if i == len(s.gaps) || at <= int64(s.gaps[i].From) || at >= int64(s.gaps[i].To) {
		return
	}
	g := s.gaps[i]
	if g.Cause == Partial && x.kind != own || g.Lease != "" && (!x.identity() || x.lease() != g.Lease) {
		return
	}
	var parts []Gap
	for _, p := range []span{{int64(g.From), at}, {at, int64(g.To)}} {
		if p.to-p.from < cfg.Least.Microseconds() {
			continue
		}
		part := g
		part.From, part.To = Time(p.from), Time(p.to)
		part.Events = int64(float64(g.Events) * float64(p.to-p.from) / float64(g.To-g.From))
		parts = append(parts, part)
	}
	s.gaps = slices.Replace(s.gaps, i, i+1, parts...)
}

// What tells that a server starts: so many requests for the roles of bootstrapping within such a time.
const (
	bootRequests = 20
	bootTime     = 15 * second
)

// boot takes one request that an API server sends to itself when it starts.
func (s *server) boot(at int64, cfg Config) {
	if at-s.bootFirst > bootTime {
		s.bootFirst, s.bootCount = at, 0
	}
	if s.bootCount++; s.bootCount != bootRequests {
		return
	}
	// Before it, the server was silent. A quiet one is so now and then: the last silence
	// that is long for a server that starts counts, or the longest one.
	var before span
	for i := range s.silences {
		x := s.silences[(s.nextSpan+i)%len(s.silences)] // by age
		long := x.to-x.from >= 2*second || x.to-x.from >= before.to-before.from
		if x.to <= s.bootFirst && x.to > s.bootFirst-bootTime && long {
			before = x
		}
	}
	if before.to == 0 {
		return // the first start that was observed, or others were heard all the time
	}
	for i := range s.gaps {
		if g := &s.gaps[i]; int64(g.From) == before.from {
			g.Cause = Restart
			return
		}
	}
	s.put(Gap{From: Time(before.from), To: Time(before.to), Cause: Restart,
		Events: s.rate.estimate(before.to - before.from)}, cfg)
}

// describe tells of a server and its pulse.
func (d *Detector) describe(s *server) Server {
	out := Server{Cluster: s.key.cluster, Server: s.key.server, Source: s.key.source, Events: s.events,
		First: Time(s.first), Last: Time(s.newest), Pulse: []Stream{}}
	var live []*stream
	for _, x := range s.beating() {
		if x.last != 0 && s.newest-x.last <= 3*x.late {
			live = append(live, x)
			out.Own = out.Own || x.kind == own
			if x.identity() {
				out.Sharing++
			}
		}
	}
	if out.Sharing < 2 {
		out.Sharing = 0
	}
	slices.SortFunc(live, func(a, b *stream) int {
		return cmp.Or(-cmp.Compare(btoi(a.kind == own), btoi(b.kind == own)), cmp.Compare(a.median/second, b.median/second),
			-cmp.Compare(a.beats, b.beats), cmp.Compare(a.user, b.user), cmp.Compare(a.what, b.what), cmp.Compare(a.verb, b.verb))
	})
	out.Streams = len(live)
	for _, x := range live[:min(len(live), 12)] {
		out.Pulse = append(out.Pulse, x.describe())
	}
	out.Smallest = smallest(live, d.cfg.Least.Microseconds())
	return out
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// smallest is the shortest silence, in seconds, that is a gap wherever it begins: every
// stream was silent at least as long. 0 where ten minutes are not enough. The streams are
// in the order of describe; what the first ones tell is enough.
func smallest(live []*stream, least int64) float64 {
	live = live[:min(len(live), 64)]
	const step, steps = second / 2, 1200
	n := sort.Search(steps, func(i int) bool {
		var e evidence
		for _, x := range live {
			e.add(x, x.decades(x.missed(least+int64(i)*step), 1)) // the gap itself is one
		}
		return e.gap()
	})
	if n == steps {
		return 0
	}
	return float64(least+int64(n)*step) / float64(second)
}

// rate is how many events come, as of about the last ten minutes in which any came.
type rate struct {
	bucket int64   // the one that fills, bucketTime long
	filled float64 // events in it
	sum    float64 // of those before, each counting less the older it is
	weight float64
}

const (
	bucketTime = 10 * second
	fade       = 1.0 / 60 // of a bucket's weight, with each that follows
)

func (r *rate) begin(at int64) { *r = rate{bucket: at / bucketTime} }

func (r *rate) count(at int64) {
	if now := at / bucketTime; now > r.bucket {
		f := math.Pow(1-fade, float64(now-r.bucket))
		r.sum = (r.sum + r.filled) * f
		r.weight = r.weight*f + (1-f)/fade
		r.bucket, r.filled = now, 0
	}
	r.filled++
}

// skip passes over a gap.
func (r *rate) skip(to int64) { r.bucket = max(r.bucket, to/bucketTime) }

// estimate is how many events come in so many microseconds.
func (r *rate) estimate(length int64) int64 {
	sum, weight := r.sum, r.weight
	if weight == 0 {
		sum, weight = r.filled, 1
	}
	return int64(sum/weight*float64(length)/float64(bucketTime) + 0.5)
}
