package gap

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"kubetrail/audit"
)

var (
	drawnDays = flag.Int64("days", 5, "quiet days that are drawn for each API server")
	cutDays   = flag.Int64("cuts", 4, "days that stretches are cut out of")
)

// moment is one event of a made trail.
type moment struct {
	at int64 // microseconds
	of *audit.Event
}

// quietHour reads testdata/quiet.txt.zst, which makefixture.go wrote: when two idle API
// servers, v1.36.3, wrote which events. cp-1 records everything and has the controller
// manager as a client; cp-2, with the policy of GCE, records nothing but its own pulse.
func quietHour(t testing.TB) []moment {
	t.Helper()
	return fixture(t, "testdata/quiet.txt.zst")
}

// fixture reads what makefixture.go wrote. The first event is at midnight.
func fixture(t testing.TB, name string) []moment {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	lines := bufio.NewScanner(z)
	var streams []*audit.Event
	for lines.Scan() && lines.Text() != "" {
		x := strings.Split(lines.Text(), "\t")
		e := &audit.Event{Received: audit.NoTime}
		for i, c := range []audit.Column{audit.Server, audit.RequestURI, audit.Username, audit.Verb, audit.Resource, audit.Namespace, audit.Name, audit.Stage} {
			e.Text[c] = []byte(x[i])
		}
		e.Text[audit.Cluster] = []byte("quiet")
		streams = append(streams, e)
	}
	var all []moment
	at := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC).UnixMicro()
	for lines.Scan() {
		var passed int64
		var n int
		if _, err := fmt.Sscan(lines.Text(), &passed, &n); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		at += passed
		all = append(all, moment{at, streams[n]})
	}
	return all
}

// tile repeats the events of a server until they last a day. It begins and ends at
// the same stream of its own, so that where one hour follows another this one is as long
// as it always is between two of its beats, and all others have a beat that is too early
// or too late.
func tile(all []moment, server string) []moment {
	own := func(m moment) bool { return string(m.of.Text[audit.RequestURI]) == "/openapi/v3" }
	all = slices.DeleteFunc(slices.Clone(all), func(m moment) bool { return string(m.of.Text[audit.Server]) != server })
	// What is only done after a start is left out.
	start := all[0].at
	all = all[slices.IndexFunc(all, func(m moment) bool { return m.at > start+60*second && own(m) }):]
	for !own(all[len(all)-1]) {
		all = all[:len(all)-1]
	}
	length := all[len(all)-1].at - all[0].at + 5*second
	all = all[:len(all)-1]
	var day []moment
	for shift := int64(0); shift < 24*3600*second; shift += length {
		for _, m := range all {
			if m.at-all[0].at+shift < 24*3600*second {
				day = append(day, moment{m.at + shift, m.of})
			}
		}
	}
	return day
}

// renew draws a day of each stream from its own intervals, in blocks of consecutive
// ones, so that over a day the rare ones of several streams meet as they may happen to.
func renew(all []moment, server string, draw *rand.Rand) []moment {
	streams := map[*audit.Event][]int64{}
	var order []*audit.Event
	for _, m := range all {
		if string(m.of.Text[audit.Server]) != server || m.at < all[0].at+60*second {
			continue
		}
		if streams[m.of] == nil {
			order = append(order, m.of)
		}
		streams[m.of] = append(streams[m.of], m.at)
	}
	var day []moment
	for _, e := range order {
		times := streams[e]
		if len(times) < 10 {
			continue
		}
		const block = 20
		at := all[0].at + draw.Int63n(10*second)
		for at < all[0].at+24*3600*second {
			from := draw.Intn(len(times) - 1)
			for i := from; i < min(from+block, len(times)-1) && at < all[0].at+24*3600*second; i++ {
				day = append(day, moment{at, e})
				at += times[i+1] - times[i]
			}
		}
	}
	return inOrder(day)
}

func inOrder(all []moment) []moment {
	slices.SortStableFunc(all, func(a, b moment) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	return all
}

// watchAll gives a detector events one after the other, as they come.
func watchAll(d *Detector, all []moment) {
	for _, m := range all {
		m.of.Staged = m.at
		d.Observe(m.of)
	}
}

// batchAll gives a detector events as a search through a trail does.
func batchAll(d *Detector, all []moment) {
	g := &gathering{d: d}
	d.holding = true
	for _, m := range all {
		m.of.Staged = m.at
		_ = g.take(m.of)
	}
	_ = g.finish(nil)
	d.holding = false
}

// ways are how a detector may be given events.
func ways() map[string]func(*Detector, []moment) {
	return map[string]func(*Detector, []moment){"Live": watchAll, "Batch": batchAll}
}

// TestQuietDay: a day in which nothing happens has no gap, neither the real hour again and
// again nor twenty days that are drawn from it.
func TestQuietDay(t *testing.T) {
	hour := quietHour(t)
	for name, way := range ways() {
		for _, server := range []string{"cp-1", "cp-2"} {
			check := func(what string, day []moment) {
				d := New(Config{})
				way(d, day)
				r := d.Report(day[len(day)-1].at + 5*second)
				for _, g := range r.Gaps {
					t.Errorf("%s, %s of %s: a gap from %d s on, %v long, %s", name, what, server, (int64(g.From)-day[0].at)/second, g.Length(), g.Cause)
				}
				if s := r.Servers[0]; s.Smallest == 0 || s.Smallest > 15 || !s.Own {
					t.Errorf("%s, %s of %s: the smallest gap would be %v s", name, what, server, s.Smallest)
				}
			}
			check("the hour", tile(hour, server))
			for seed := range *drawnDays {
				check(fmt.Sprint("day ", seed), renew(hour, server, rand.New(rand.NewSource(seed))))
			}
		}
	}
}

// TestEveryCutIsFound cuts stretches of 20 s to 10 minutes out of a day and wants each
// found where it is, and nothing else.
func TestEveryCutIsFound(t *testing.T) {
	hour := quietHour(t)
	found := 0
	for seed := range *cutDays {
		draw := rand.New(rand.NewSource(seed))
		for _, server := range []string{"cp-1", "cp-2"} {
			day := tile(hour, server)
			cuts, rest := cut(day, draw)
			d := New(Config{})
			batchAll(d, rest)
			found += checkCuts(t, fmt.Sprint(server, " seed ", seed), cuts, d.Report(audit.NoTime).Gaps, 0)

			// As it comes, what came before has to be known first.
			d = New(Config{})
			watchAll(d, rest)
			late := slices.DeleteFunc(slices.Clone(cuts), func(c span) bool { return c.from < day[0].at+300*second })
			checkCuts(t, fmt.Sprint(server, " live, seed ", seed), late, d.Report(audit.NoTime).Gaps, day[0].at+300*second)
		}
	}
	t.Logf("%d cuts found", found)
}

// cut takes some sixty stretches out of a day, at any place in it.
func cut(day []moment, draw *rand.Rand) (cuts []span, rest []moment) {
	end := day[len(day)-1].at
	for at := day[0].at + 30*second; ; {
		at += draw.Int63n(1800 * second)
		length := 20*second + draw.Int63n(100*second)
		if draw.Intn(4) == 0 {
			length = 20*second + draw.Int63n(580*second)
		} else if draw.Intn(2) == 0 {
			length = 20 * second
		}
		if at+length > end-60*second {
			break
		}
		cuts = append(cuts, span{at, at + length})
		at += length + 60*second
	}
	rest = slices.DeleteFunc(slices.Clone(day), func(m moment) bool {
		return slices.ContainsFunc(cuts, func(c span) bool { return c.from <= m.at && m.at <= c.to })
	})
	return cuts, rest
}

// checkCuts compares gaps with cuts, those that begin before a time left out.
func checkCuts(t *testing.T, what string, cuts []span, gaps []Gap, since int64) (found int) {
	t.Helper()
	gaps = slices.DeleteFunc(slices.Clone(gaps), func(g Gap) bool { return int64(g.From) < since })
	for _, c := range cuts {
		i := slices.IndexFunc(gaps, func(g Gap) bool { return int64(g.From) <= c.from && int64(g.To) >= c.to })
		if i < 0 {
			t.Errorf("%s: a cut of %v was not found", what, time.Duration(c.to-c.from)*time.Microsecond)
			continue
		}
		if longer := gaps[i].Length() - time.Duration(c.to-c.from)*time.Microsecond; longer > 11*time.Second {
			t.Errorf("%s: a gap is %v longer than its cut", what, longer)
		}
		gaps = slices.Delete(gaps, i, i+1)
		found++
	}
	for _, g := range gaps {
		t.Errorf("%s: a gap where nothing was cut: %v long", what, g.Length())
	}
	return found
}
