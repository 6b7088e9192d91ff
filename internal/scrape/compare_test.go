package scrape

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// made is an event of a simulated API server.
type made struct {
	at, counted, arrives int64 // microseconds; arrives < 0: it never does
	failed               int64 // when a plugin gave it up, < 0: it did not
}

// simulation is an API server and how its events arrive.
type simulation struct {
	events  []made
	webhook bool
	restart int64 // when the process began anew; 0: it did not
}

const second = 1_000_000

// simulate makes events for so many minutes. Rates change; a reader of the log falls
// behind at times; batches of the webhook are tried for minutes.
func simulate(r *rand.Rand, minutes int, webhook bool) *simulation {
	s := &simulation{webhook: webhook}
	start := time.Date(2026, 11, 20, 15, 0, 0, 0, time.UTC).UnixMicro()
	rate, lag, late := 10.0, int64(0), int64(0)
	end := start + int64(minutes)*60*second
	flush := start
	for at := start; at < end; {
		at += int64(r.ExpFloat64() / rate * second)
		switch r.IntN(4000) {
		case 0:
			rate = 2 + 30*r.Float64()
		case 1:
			lag = int64(r.IntN(60)) * second
		case 2:
			lag = 0
		}
		e := made{at: at, counted: at + int64(r.IntN(50_000)), failed: -1}
		if webhook {
			for at > flush { // a batch of 30 seconds
				flush += 30 * second
				if late = 0; r.IntN(8) == 0 {
					late = int64(r.IntN(240)) * second
				}
			}
			e.arrives = flush + late + int64(r.IntN(second))
		} else {
			e.arrives = e.counted + lag + int64(r.IntN(second))
		}
		s.events = append(s.events, e)
	}
	return s
}

// lose makes the events from i on not arrive.
func (s *simulation) lose(i, n int) {
	for j := i; j < min(i+n, len(s.events)); j++ {
		s.events[j].arrives = -1
	}
}

// fail makes a plugin give up the events from i on, that of the webhook some minutes later.
func (s *simulation) fail(i, n int) {
	after := int64(second)
	if s.webhook {
		after = 240 * second
	}
	for j := i; j < min(i+n, len(s.events)); j++ {
		s.events[j].arrives = -1
		s.events[j].failed = s.events[j].at + after
	}
}

// run plays all, with samples every 15 seconds, and returns what was found.
func (s *simulation) run(r *rand.Rand, named bool) []trail.Loss {
	arriving := slices.Clone(s.events)
	arriving = slices.DeleteFunc(arriving, func(e made) bool { return e.arrives < 0 })
	slices.SortFunc(arriving, func(a, b made) int { return cmp.Compare(a.arrives, b.arrives) })
	counted := slices.Clone(s.events)
	slices.SortFunc(counted, func(a, b made) int { return cmp.Compare(a.counted, b.counted) })
	failed := slices.DeleteFunc(slices.Clone(s.events), func(e made) bool { return e.failed < 0 })
	plugin := "log"
	if s.webhook {
		plugin = "webhook"
	}
	c := &comparison{}
	var found []trail.Loss
	first, last := s.events[0].at, s.events[len(s.events)-1].at
	a, k, f := 0, 0, 0
	began, process := 0, 1.0
	for at := first; at < last+20*60*second; at += 15 * second {
		for ; a < len(arriving) && arriving[a].arrives <= at; a++ {
			c.observe(s.webhook, &audit.Event{Staged: arriving[a].at})
		}
		for ; f < len(failed) && failed[f].failed <= at; f++ {
			if named {
				c.recovered++
			}
		}
		for ; k < len(counted) && counted[k].counted <= at; k++ {
			if s.restart > 0 && process == 1 && counted[k].counted >= s.restart {
				process, began = 2, k
			}
		}
		answered := at + int64(r.IntN(int(maxTook/time.Microsecond)))
		found = append(found, c.take(sample{at: answered / second * second, here: time.Duration(answered-first) * time.Microsecond,
			start: process, events: int64(k - began), errors: map[string]int64{plugin: int64(f)}}, c.recovered)...)
	}
	return found
}

// seeds calls test with some sources of chance.
func seeds(t *testing.T, test func(t *testing.T, r *rand.Rand)) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { test(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

// TestNoFalseAlarm checks that nothing is said to be missing of what arrives, however
// late, or what the API server said it lost and named.
func TestNoFalseAlarm(t *testing.T) {
	seeds(t, func(t *testing.T, r *rand.Rand) {
		s := simulate(r, 5+r.IntN(80), r.IntN(2) == 0)
		if r.IntN(2) == 0 {
			for range 3 {
				s.fail(r.IntN(len(s.events)), 1+r.IntN(400))
			}
		}
		if r.IntN(2) == 0 {
			s.restart = s.events[r.IntN(len(s.events))].at
		}
		if found := s.run(r, true); len(found) > 0 {
			t.Fatalf("found %+v", found)
		}
	})
}

// TestFindsLosses checks that events which are counted and never come are found: at least
// half of how many, no more than they were, and when.
func TestFindsLosses(t *testing.T) {
	seeds(t, func(t *testing.T, r *rand.Rand) {
		s := simulate(r, 70, r.IntN(2) == 0)
		i := len(s.events)/8 + r.IntN(len(s.events)/3)
		n := 1000 + r.IntN(2000) // more than what two times 16 seconds bring
		s.lose(i, n)
		n = min(n, len(s.events)-i)
		var sum int64
		for _, l := range s.run(r, true) {
			sum += l.Events
			if l.Cause != CauseNotDelivered || l.From > s.events[i+n-1].at || l.To < s.events[i].at {
				t.Errorf("found %+v, lost from %d to %d", l, s.events[i].at, s.events[i+n-1].at)
			}
		}
		if sum > int64(n) || sum < int64(n)/2 {
			t.Errorf("found %d of %d", sum, n)
		}
	})
}

// TestFindsUnnamedErrors checks that errors which are counted and not named are found,
// every one.
func TestFindsUnnamedErrors(t *testing.T) {
	seeds(t, func(t *testing.T, r *rand.Rand) {
		s := simulate(r, 20, r.IntN(2) == 0)
		i, n := 200+r.IntN(len(s.events)/2), 1+r.IntN(300)
		s.fail(i, n)
		n = min(n, len(s.events)-i)
		var sum int64
		for _, l := range s.run(r, false) {
			sum += l.Events
			if l.Cause != CauseError {
				t.Errorf("found %+v", l)
			}
		}
		if sum != int64(n) {
			t.Errorf("found %d of %d", sum, n)
		}
	})
}

// TestClockSet checks that nothing is concluded across a clock that was set, or from
// events that do not tell the time of their stage.
func TestClockSet(t *testing.T) {
	c := &comparison{}
	at := int64(1_000_000) * second
	next := func(step, jump int64) []trail.Loss {
		at += step * second
		s := sample{at: at, events: int64(len(c.samples)) * 100, errors: map[string]int64{}}
		s.here = time.Duration(at-jump*second) * time.Microsecond
		return c.take(s, 0)
	}
	next(15, 0)
	next(15, 0)
	if len(c.samples) != 2 {
		t.Fatalf("%d samples", len(c.samples))
	}
	next(-60, -75)
	if len(c.samples) != 1 {
		t.Errorf("%d samples after the clock was set", len(c.samples))
	}
}

// TestLegacyFormat checks that nothing is concluded from events of which some do not
// tell the time of their stage.
func TestLegacyFormat(t *testing.T) {
	s := simulate(rand.New(rand.NewPCG(1, 1)), 60, false)
	c := &comparison{}
	for i, e := range s.events {
		if i%100 == 0 {
			if got := c.take(sample{at: e.at / second * second, here: time.Duration(e.at) * time.Microsecond, events: int64(i), errors: map[string]int64{}}, 0); len(got) > 0 {
				t.Fatalf("found %+v", got)
			}
		}
		var event audit.Event
		if event.Staged = e.at; i%2 == 0 {
			event.Form = audit.FormLegacy
		}
		c.observe(false, &event)
	}
}

// TestSlowAuthentication checks that events which are counted long after their time, for
// some minutes, are not taken for lost.
func TestSlowAuthentication(t *testing.T) {
	seeds(t, func(t *testing.T, r *rand.Rand) {
		s := simulate(r, 60, false)
		from := s.events[0].at + int64(20+r.IntN(30))*60*second
		for i := range s.events {
			if e := &s.events[i]; e.at > from && e.at < from+180*second {
				e.counted += 10 * second
				e.arrives += 10 * second
			}
		}
		if found := s.run(r, true); len(found) > 0 {
			t.Fatalf("found %+v", found)
		}
	})
}

// TestErrorsNamedBefore checks that events which were named before, in an older part of
// the log or hours ago, do not hide an error that is not.
func TestErrorsNamedBefore(t *testing.T) {
	c := &comparison{}
	var found []trail.Loss
	for n := range int64(4 * 120) { // two hours
		s := sample{at: n * 15 * second, here: time.Duration(n) * 15 * time.Second, errors: map[string]int64{"log": 1000}}
		switch n {
		case 1: // a log is read from its beginning
			c.recovered += 100
		case 10:
			c.recovered += 50
		}
		if n >= 10 {
			s.errors["log"] += 50
		}
		if n >= 400 {
			s.errors["log"] += 7
		}
		found = append(found, c.take(s, c.recovered)...)
	}
	if len(found) != 1 || found[0].Events != 7 || found[0].From != 399*15*second {
		t.Errorf("found %+v", found)
	}
}
