package scrape

import (
	"time"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// sample is what an API server counted, at one time.
type sample struct {
	at       int64         // microseconds since the epoch, by the clock of the API server, whole seconds
	here     time.Duration // by a clock of ours that nobody sets
	start    float64       // of the process
	events   int64
	errors   map[string]int64 // by plugin
	rejected int64
}

// lost is how many events the plugins named could not deliver.
func (s *sample) lost(plugins ...string) int64 {
	var n int64
	for _, p := range plugins {
		n += s.errors[p]
	}
	return n
}

func (s *sample) allLost() int64 {
	var n int64
	for _, m := range s.errors {
		n += m
	}
	return n
}

// The causes of losses that a comparison finds.
const (
	CauseNotDelivered = "not-delivered" // counted, and neither arrived nor reported
	CauseError        = "plugin-error"  // reported by a counter alone
)

const (
	// span is how far back counters are compared, in seconds; what happened in each
	// second is known for longer.
	span  = 3600
	ring  = 16384
	least = time.Minute // between the samples that are compared
	most  = 300         // samples that are kept

	// slack is by how much the time of a sample may be wrong: an answer tells it in whole
	// seconds, and may have taken maxTook since the counter was read.
	slack   = 3 * time.Second
	maxTook = 2 * time.Second

	// What a backend sends may be late. A log is read in its order, a batch of the
	// webhook is tried for minutes. Time goes by in the events that arrive: as long as
	// none do, or old ones are still being read, nothing is missing yet.
	logGrace     = 2 * time.Minute
	webhookGrace = 15 * time.Minute
	// errorGrace is how long a message in the API server's log may take to come.
	errorGrace = 3 * time.Minute
	// sure is how many samples in turn have to tell of a loss.
	sure = 3
)

// backend is one way in which the events of an API server arrive.
type backend struct {
	webhook  bool
	counts   [ring]uint32 // of events by the second of their time
	newest   int64        // second of the latest event
	first    int64        // second of the latest event when the first arrived
	seen     bool
	untimed  bool // its events do not all tell when they were counted
	doubtful int  // samples that told of a loss
}

// add counts an event of that time.
func (b *backend) add(at int64) {
	second := at / 1e6
	switch {
	case !b.seen:
		b.seen, b.newest, b.first = true, second, second
	case second > b.newest:
		for s := max(b.newest+1, second-ring+1); s <= second; s++ {
			b.counts[s%ring] = 0
		}
		b.newest = second
	case second <= b.newest-ring || second < 0:
		return
	}
	b.counts[second%ring]++
}

// between counts the events that arrived with a time from a to b, and of the slack around.
func (b *backend) between(from, to int64) int64 {
	first, last := (from-slack.Microseconds())/1e6, (to+slack.Microseconds())/1e6
	var n int64
	for s := max(first, b.newest-ring+1); s <= min(last, b.newest); s++ {
		n += int64(b.counts[s%ring])
	}
	return n
}

func (b *backend) grace() time.Duration {
	if b.webhook {
		return webhookGrace
	}
	return logGrace
}

// explained is how many events of the backend the API server says it has lost. Of the
// plugins before the backends it does not say which of them they served.
func (b *backend) explained(from, to *sample) int64 {
	plugins := []string{"log", "buffered", "truncate"}
	if b.webhook {
		plugins[0] = "webhook"
	}
	return to.lost(plugins...) - from.lost(plugins...)
}

// comparison holds what one API server counts against what arrives from it. It is made
// so that it does not cry wolf: where it is not certain how many events should have
// arrived, it assumes the fewest, and of those that did, the most.
type comparison struct {
	samples   []sample // of one process, the oldest first
	backends  [2]*backend
	recovered int64 // events that its own log named, and those that it says are not named
	base      int64 // of them, those that were counted before the first of samples
}

// observe takes in an event that arrived from the API server.
func (c *comparison) observe(webhook bool, e *audit.Event) {
	i := 0
	if webhook {
		i = 1
	}
	b := c.backends[i]
	if b == nil {
		b = &backend{webhook: webhook}
		c.backends[i] = b
	}
	if e.Form == audit.FormLegacy || e.Staged < 0 {
		b.untimed = true // the legacy format has the time of the request, not of the stage
		return
	}
	b.add(e.Staged)
}

// take takes in a sample and returns what is certain now to be lost. recovered is what it
// was when the sample was asked for.
func (c *comparison) take(s sample, recovered int64) []trail.Loss {
	if n := len(c.samples); n > 0 {
		last := &c.samples[n-1]
		set := time.Duration(s.at-last.at)*time.Microsecond - (s.here - last.here)
		switch {
		case s.start != last.start, s.events < last.events, s.allLost() < last.allLost(), set.Abs() >= maxTook:
			c.anew() // the process, or its clock
		case s.at == last.at:
			return nil
		}
	}
	if len(c.samples) == 0 {
		c.base = recovered
	}
	c.samples = append(c.samples, s)
	if more := recovered - c.base - (s.allLost() - c.samples[0].allLost()); more > 0 {
		c.base += more // these were counted before the first sample that is kept
	}
	var losses []trail.Loss
	for _, b := range c.backends {
		if l, ok := c.missing(b); ok {
			losses = append(losses, l)
		}
	}
	if l, ok := c.unnamed(); ok {
		losses = append(losses, l)
	}
	c.forget()
	return losses
}

// anew forgets what was counted before.
func (c *comparison) anew() {
	c.samples = c.samples[:0]
	for _, b := range c.backends {
		if b != nil {
			b.doubtful = 0
		}
	}
}

// missing looks for a span in which more was counted than arrived by a backend.
func (c *comparison) missing(b *backend) (trail.Loss, bool) {
	if b == nil || b.untimed {
		return trail.Loss{}, false
	}
	now := &c.samples[len(c.samples)-1]
	last := -1 // sample until which everything must have arrived
	for i := range c.samples {
		if c.samples[i].at/1e6+int64(b.grace().Seconds()) <= min(b.newest, now.at/1e6) {
			last = i
		}
	}
	found := trail.Loss{}
	if last < 0 {
		return found, false
	}
	to := &c.samples[last]
	spans, short := 0, 0
	for i := 0; i < last; i++ {
		from := &c.samples[i]
		if from.at/1e6 < b.first || to.at-from.at < least.Microseconds() {
			continue // whether this backend was collected then is not known
		}
		spans++
		n := to.events - from.events - b.between(from.at, to.at) - b.explained(from, now)
		if n > 0 {
			short++
		}
		// What is missing is missing from every span around it. Where half of them lack
		// nothing, it is their beginning that was odd: events that were counted long
		// after their time, as while authentication is slow.
		if n >= max(1, found.Events) && 2*short >= spans { // the shortest span of those with most
			found = trail.Loss{From: from.at, To: to.at, Events: n, Cause: CauseNotDelivered}
		}
	}
	if found.Events == 0 {
		b.doubtful = 0
		return found, false
	}
	if b.doubtful++; b.doubtful < sure {
		return found, false
	}
	b.doubtful, b.first = 0, to.at/1e6
	return found, true
}

// unnamed looks for errors that the API server counted long enough ago and that no
// message tells of.
func (c *comparison) unnamed() (trail.Loss, bool) {
	now, first := &c.samples[len(c.samples)-1], &c.samples[0]
	for i := len(c.samples) - 1; i > 0; i-- {
		s := &c.samples[i]
		if s.at+errorGrace.Microseconds() > now.at {
			continue
		}
		n := s.allLost() - first.allLost() - (c.recovered - c.base)
		if n <= 0 {
			return trail.Loss{}, false
		}
		from := first
		for j := 1; j <= i && c.samples[j].allLost() == first.allLost(); j++ {
			from = &c.samples[j]
		}
		c.base -= n // they are told of
		return trail.Loss{From: from.at, To: s.at, Events: n, Cause: CauseError}, true
	}
	return trail.Loss{}, false
}

// forget drops samples that are too old to be compared.
func (c *comparison) forget() {
	n := 0
	now := c.samples[len(c.samples)-1].at
	for n < len(c.samples)-1 && (len(c.samples)-n > most || now-c.samples[n].at > int64(span)*1e6) {
		n++
	}
	if n == 0 {
		return
	}
	c.samples = append(c.samples[:0], c.samples[n:]...)
}
