package gap

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// midnight is when made trails begin.
var midnight = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC).UnixMicro()

// beats describes a stream of requests.
type beats struct {
	server, user, verb, resource, name string
	every, jitter                      float64 // seconds
	from, to                           float64 // seconds from midnight; to 0: until the end
}

// event is the one that all requests of the stream are.
func (b beats) event() *audit.Event {
	e := &audit.Event{Received: audit.NoTime}
	for c, text := range map[audit.Column]string{audit.Cluster: "made", audit.Server: b.server, audit.Username: b.user, audit.Verb: b.verb,
		audit.Resource: b.resource, audit.Name: b.name, audit.Stage: "ResponseComplete", audit.Source: "made.log"} {
		e.Text[c] = []byte(text)
	}
	if b.resource == "" {
		e.Text[audit.RequestURI] = []byte(b.name + "?timeout=32s")
	}
	return e
}

// play lets streams beat for so many seconds.
func play(draw *rand.Rand, length float64, streams ...beats) []moment {
	var all []moment
	for _, b := range streams {
		end := length
		if b.to > 0 {
			end = min(end, b.to)
		}
		e := b.event()
		for at := b.from + draw.Float64()*b.every; at < end; at += b.every + draw.Float64()*b.jitter {
			all = append(all, moment{midnight + int64(at*1e6), e})
		}
	}
	return inOrder(all)
}

// usual is the pulse of an API server as it is nearly everywhere.
func usual(server string) []beats {
	return []beats{
		{server: server, user: "system:apiserver", verb: "get", name: "/openapi/v3", every: 5, jitter: 0.02},
		{server: server, user: "system:apiserver", verb: "get", resource: "endpoints", name: "kubernetes", every: 10, jitter: 0.02},
		{server: server, user: "system:apiserver", verb: "update", resource: "leases", name: "apiserver-" + server, every: 10, jitter: 0.4},
	}
}

// leases are renewed by clients.
func leases(server, user string) beats {
	return beats{server: server, user: user, verb: "update", resource: "leases", name: user, every: 2, jitter: 0.05}
}

func without(all []moment, from, to float64) []moment {
	return slices.DeleteFunc(slices.Clone(all), func(m moment) bool {
		at := float64(m.at-midnight) / 1e6
		return from <= at && at <= to
	})
}

func drawn() *rand.Rand { return rand.New(rand.NewSource(1)) }

// TestSmallestIsCertain draws pulses and cuts out of each as much as is said to be found,
// anywhere: it is found, and nothing else is.
func TestSmallestIsCertain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		var streams []beats
		for i := range rapid.IntRange(0, 3).Draw(t, "own") {
			streams = append(streams, beats{server: "cp-1", user: "system:apiserver", verb: []string{"get", "update", "list"}[i], resource: "endpoints", name: fmt.Sprint(i),
				every: rapid.Float64Range(1, 15).Draw(t, "every"), jitter: rapid.Float64Range(0, 0.4).Draw(t, "jitter")})
		}
		for i := range rapid.IntRange(0, 5).Draw(t, "clients") {
			streams = append(streams, beats{server: "cp-1", user: fmt.Sprint("client-", i), verb: "update", resource: "leases", name: fmt.Sprint(i),
				every: rapid.Float64Range(1, 30).Draw(t, "every"), jitter: rapid.Float64Range(0, 0.4).Draw(t, "jitter")})
		}
		all := play(draw, 3600, streams...)
		if len(all) == 0 {
			return
		}
		for _, name := range []string{"Batch", "Live"} {
			way := ways()[name]
			d := New(Config{})
			way(d, all)
			r := d.Report(audit.NoTime)
			if len(r.Gaps) > 0 {
				t.Fatalf("%s: a gap in a quiet hour: %+v", name, r.Gaps)
			}
			length := r.Servers[0].Smallest
			if length == 0 {
				continue
			}
			from := rapid.Float64Range(1200, 3500-length).Draw(t, "from")
			rest := without(all, from, from+length+0.001)
			d = New(Config{})
			way(d, rest)
			gaps := d.Report(audit.NoTime).Gaps
			// Live, less was known by then.
			if name == "Batch" && len(gaps) != 1 {
				t.Fatalf("%s: a cut of %v s made %d gaps", name, length, len(gaps))
			}
			for _, g := range gaps {
				if g.Length().Seconds() < length || g.Cause != Silence || g.Server != "cp-1" || g.Cluster != "made" || g.Source != "" {
					t.Fatalf("%+v", g)
				}
			}
		}
	})
}

// gapsIn gives a detector a trail as it comes and returns what it finds.
func gapsIn(all []moment) []Gap {
	d := New(Config{})
	watchAll(d, all)
	return d.Report(audit.NoTime).Gaps
}

// TestClientLeaves: that a client stops tells nothing while the server itself goes on.
func TestClientLeaves(t *testing.T) {
	gone := leases("cp-1", "kcm")
	gone.to = 600
	slow := usual("cp-1")[2:] // every ten seconds only
	all := slices.Clone(slow)
	all[0].every = 20
	for _, user := range []string{"kcm", "scheduler", "node-1", "node-2"} {
		x := leases("cp-1", user)
		x.to = 600
		all = append(all, x)
	}
	for name, streams := range map[string][]beats{
		"Usual": append(usual("cp-1"), gone), "Slow": append(slow, gone), "Client": {gone, leases("cp-1", "scheduler")}, "All": all,
		"Last": {gone, {server: "cp-1", user: "jane", verb: "get", resource: "pods", every: 100, jitter: 300}},
	} {
		for seed := range int64(10) {
			if gaps := gapsIn(play(rand.New(rand.NewSource(seed)), 1800, streams...)); len(gaps) > 0 {
				t.Errorf("%s: %+v", name, gaps)
			}
		}
	}
}

// TestClientsMove: where an API server has no pulse of its own, clients that go on at
// another one are no gap, and those that go on nowhere are.
func TestClientsMove(t *testing.T) {
	var here, there []beats
	for _, user := range []string{"kcm", "scheduler", "node-1", "node-2"} {
		before, after := leases("cp-1", user), leases("cp-2", user)
		before.to, after.from = 1200, 1200
		here, there = append(here, before), append(there, after)
	}
	back := beats{server: "cp-1", user: "jane", verb: "list", resource: "pods", every: 100, from: 1500}
	all := append(append(here, there...), back)
	if gaps := gapsIn(play(drawn(), 1800, all...)); len(gaps) > 0 {
		t.Errorf("%+v", gaps)
	}
	gaps := gapsIn(play(drawn(), 1800, append(here, back)...))
	if len(gaps) != 1 || gaps[0].Length() < 300*time.Second {
		t.Errorf("%+v", gaps)
	}
	// Its own pulse decides where it has one.
	own := usual("cp-1")
	for i := range own {
		own[i].to = 1200
	}
	gaps = gapsIn(play(drawn(), 1800, append(append(own, all...), usual("cp-2")...)...))
	if len(gaps) != 1 || gaps[0].Server != "cp-1" {
		t.Errorf("%+v", gaps)
	}
}

// TestNoPulse: nothing is guessed where nothing comes regularly.
func TestNoPulse(t *testing.T) {
	draw := drawn()
	e := beats{server: "cp-1", user: "jane", verb: "get", resource: "pods", name: "web"}.event()
	var all []moment
	for at := midnight; at < midnight+3600*second; at += int64(draw.ExpFloat64() * 5e6) {
		all = append(all, moment{at, e})
	}
	for name, way := range ways() {
		d := New(Config{})
		way(d, without(all, 1000, 2000))
		r := d.Report(midnight + 9000*second)
		if s := r.Servers[0]; len(r.Gaps) > 0 || s.Smallest != 0 || s.Own || s.Streams != 0 || s.Events == 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestEnd: the time after the last event is a gap where that is asked about, and it is
// longer than any silence may be.
func TestEnd(t *testing.T) {
	all := play(drawn(), 1800, usual("cp-1")...)
	d := New(Config{})
	watchAll(d, all)
	last := all[len(all)-1].at
	for after, want := range map[int64]int{1: 0, 9: 0, 30: 1, 3600: 1} {
		gaps := d.Report(last + after*second).Gaps
		if len(gaps) != want || want == 1 && (!gaps[0].Open || int64(gaps[0].From) != last || gaps[0].Length() != time.Duration(after)*time.Second) {
			t.Errorf("%d s after: %+v", after, gaps)
		}
	}
	if gaps := d.Report(audit.NoTime).Gaps; len(gaps) > 0 {
		t.Errorf("nobody asked: %+v", gaps)
	}
	// Events that come as many as before are about what is missing.
	g := d.Report(last + 600*second).Gaps[0]
	if want := int64(len(all)) / 3; g.Events < want*9/10 || g.Events > want*11/10 {
		t.Errorf("about %d are missing, want %d", g.Events, want)
	}
}

// TestEstimate: a time that was not observed tells nothing of how many events come.
func TestEstimate(t *testing.T) {
	rest := without(without(play(drawn(), 7200, usual("cp-1")...), 2000, 3800), 3900, 5700)
	gaps := gapsIn(rest)
	if len(gaps) != 2 {
		t.Fatalf("%+v", gaps)
	}
	for _, g := range gaps { // two every five seconds
		if want := int64(g.Length().Seconds() * 2 / 5); g.Events < want*8/10 || g.Events > want*12/10 {
			t.Errorf("about %d are missing, want %d", g.Events, want)
		}
	}
}

// TestTwice: what comes by two ways, log and webhook, beats as what comes by one.
func TestTwice(t *testing.T) {
	all := play(drawn(), 1800, usual("cp-1")...)
	var twice []moment
	for _, m := range all {
		twice = append(twice, m, moment{m.at, m.of}, moment{m.at + 2000, m.of})
	}
	for name, way := range ways() {
		once, two := New(Config{}), New(Config{})
		way(once, all)
		way(two, inOrder(twice))
		a, b := once.Report(audit.NoTime).Servers[0], two.Report(audit.NoTime).Servers[0]
		if a.Smallest == 0 || a.Smallest != b.Smallest || a.Streams != b.Streams {
			t.Errorf("%s: once %+v, twice %+v", name, a, b)
		}
	}
}

// TestSmallestCountsItself: the shortest gap is one though it is a missed beat itself.
func TestSmallestCountsItself(t *testing.T) {
	for beats := 20.0; beats < 1000; beats += 7 {
		x := &stream{kind: own, group: "x", beats: beats, median: 14 * second, late: 17 * second}
		length := int64(smallest([]*stream{x}, 10*second) * float64(second))
		if length == 0 {
			continue
		}
		x.skips++
		var e evidence
		e.add(x, x.decades(x.missed(length), 0))
		if !e.gap() {
			t.Errorf("after %v beats, %d s is no gap", beats, length/second)
		}
	}
}

// TestDisorder: events that come somewhat late change nothing, and a batch that comes
// after others fills the gap that it left.
func TestDisorder(t *testing.T) {
	all := play(drawn(), 1800, append(usual("cp-1"), leases("cp-1", "kcm"))...)
	rapid.Check(t, func(t *rapid.T) {
		draw := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		late := map[int]int64{}
		for i, m := range all {
			late[i] = m.at + draw.Int63n(4*second)
		}
		order := make([]int, len(all))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return int(late[a] - late[b]) })
		var shuffled []moment
		for _, i := range order {
			shuffled = append(shuffled, all[i])
		}
		if gaps := gapsIn(shuffled); len(gaps) > 0 {
			t.Fatalf("%+v", gaps)
		}
	})
	var batch, rest []moment
	for _, m := range all {
		if at := m.at - midnight; 1000*second < at && at < 1060*second {
			batch = append(batch, m)
		} else {
			rest = append(rest, m)
		}
	}
	d := New(Config{})
	watchAll(d, rest[:len(rest)-100])
	if gaps := d.Report(audit.NoTime).Gaps; len(gaps) != 1 || gaps[0].Length() < 60*time.Second {
		t.Errorf("before it came: %+v", gaps)
	}
	watchAll(d, batch[:len(batch)/2])
	if gaps := d.Report(audit.NoTime).Gaps; len(gaps) != 1 || gaps[0].Length() > 35*time.Second || gaps[0].Events == 0 {
		t.Errorf("when half of it had come: %+v", gaps)
	}
	watchAll(d, batch[len(batch)/2:])
	watchAll(d, rest[len(rest)-100:])
	if gaps := d.Report(audit.NoTime).Gaps; len(gaps) > 0 {
		t.Errorf("when it had come: %+v", gaps)
	}
}

// TestPartial: few events that came through amid a loss do not hide it, and an API server
// that asks itself for nothing while it ends is no loss.
func TestPartial(t *testing.T) {
	users := []beats{{server: "cp-1", user: "jane", verb: "get", resource: "pods", every: 0.5, jitter: 1}}
	few := beats{server: "cp-1", user: "joe", verb: "create", resource: "pods", every: 4, jitter: 3, from: 1000, to: 1060}
	lossy := append(without(play(drawn(), 1800, append(usual("cp-1"), users...)...), 1000, 1060), play(drawn(), 1800, few)...)
	for name, way := range ways() {
		d := New(Config{})
		way(d, inOrder(lossy))
		gaps := d.Report(audit.NoTime).Gaps
		if len(gaps) != 1 || gaps[0].Cause != Partial || gaps[0].Length() < time.Minute || gaps[0].Length() > 71*time.Second || gaps[0].Events < 40 {
			t.Errorf("%s: %+v", name, gaps)
		}
	}

	// What was missing comes late: events of others change nothing, its own do.
	d := New(Config{})
	watchAll(d, inOrder(lossy))
	watchAll(d, []moment{{midnight + 1030*second, users[0].event()}})
	if gaps := d.Report(audit.NoTime).Gaps; len(gaps) != 1 {
		t.Errorf("after an event of another: %+v", gaps)
	}
	var late []moment
	for at := int64(1001); at < 1060; at += 5 {
		late = append(late, moment{midnight + at*second, usual("cp-1")[0].event()})
	}
	watchAll(d, late)
	if gaps := d.Report(audit.NoTime).Gaps; len(gaps) != 0 {
		t.Errorf("after its own: %+v", gaps)
	}

	// One of its loops hangs.
	hangs := usual("cp-1")
	hangs[0].to = 1000
	again := usual("cp-1")[0]
	again.from = 1300
	if gaps := gapsIn(play(drawn(), 1800, append(append(hangs, again), users...)...)); len(gaps) > 0 {
		t.Errorf("one loop: %+v", gaps)
	}
	alone, after := usual("cp-1")[0], again
	alone.to, after.from = 1000, 1100
	if gaps := gapsIn(play(drawn(), 1800, append(users, alone, after)...)); len(gaps) > 0 {
		t.Errorf("the only loop that is recorded: %+v", gaps)
	}
	// Its requests to itself are not recorded any more, since it was started anew.
	ends := usual("cp-1")
	for i := range ends {
		ends[i].to = 1000
	}
	if gaps := gapsIn(play(drawn(), 1800, append(ends, users...)...)); len(gaps) > 0 {
		t.Errorf("none any more: %+v", gaps)
	}
	// It ends slowly.
	boot := beats{server: "cp-1", user: "system:apiserver", verb: "get", resource: "clusterroles", every: 0.05, from: 1059, to: 1062}
	next := usual("cp-1")
	for i := range next {
		next[i].from = 1060
	}
	streams := append(append(append(ends, next...), users...), boot)
	if gaps := gapsIn(without(play(drawn(), 1800, streams...), 1054, 1058.9)); len(gaps) != 1 || gaps[0].Cause != Restart {
		t.Errorf("a slow end: %+v", gaps)
	}
}

// TestWrongTimes: an event whose time is wrong, by years even, hides nothing and makes no
// gap, wherever it comes; and a long time without events is none that is wrong.
func TestWrongTimes(t *testing.T) {
	all := play(drawn(), 7200, usual("cp-1")[0]) // the one that is wrong is all there is
	rest := without(all, 6000, 6060)
	for _, off := range []time.Duration{100 * 365 * 24 * time.Hour, 30 * time.Hour, -30 * time.Hour, -50 * 365 * 24 * time.Hour} {
		for _, place := range []int{0, 1, 200, 500} {
			for _, n := range []int{1, 2} {
				var wrong []moment
				for i := range n {
					wrong = append(wrong, moment{rest[place].at + off.Microseconds() + int64(i), rest[place].of})
				}
				gaps := gapsIn(slices.Insert(slices.Clone(rest), place, wrong...))
				if len(gaps) != 1 || gaps[0].Length() < time.Minute || gaps[0].Length() > 80*time.Second {
					t.Errorf("%d times %v off, at event %d: %+v", n, off, place, gaps)
				}
			}
		}
	}
	later := slices.Clone(all)
	for _, m := range all {
		later = append(later, moment{m.at + 5*24*3600*second, m.of})
	}
	for name, way := range ways() {
		d := New(Config{})
		way(d, later)
		gaps := d.Report(audit.NoTime).Gaps
		if len(gaps) != 1 || int64(gaps[0].From) != all[len(all)-1].at || int64(gaps[0].To) != later[len(all)].at {
			t.Errorf("%s, five days without: %+v", name, gaps)
		}
	}
}

// TestRestarts: a real API server was killed and started, then told to end and started,
// and another one likewise. What was done when is known from the shell that did it.
func TestRestarts(t *testing.T) {
	all := fixture(t, "testdata/restarts.txt.zst") // begins at 17:38:36.566
	start := func(clock string) int64 {
		at, err := time.Parse("15:04:05.000", clock)
		if err != nil {
			t.Fatal(err)
		}
		return midnight + at.Sub(time.Date(0, 1, 1, 17, 38, 36, 566e6, time.UTC)).Microseconds()
	}
	want := []struct {
		server   string
		from, to string // ended, started
	}{
		{"cp-1", "17:40:30.531", "17:40:36.539"}, {"cp-1", "17:41:36.543", "17:41:39.551"},
		{"cp-2", "17:42:24.573", "17:42:30.576"}, {"cp-2", "17:43:30.634", "17:43:33.687"},
	}
	for name, way := range ways() {
		d := New(Config{})
		way(d, all)
		gaps := d.Report(audit.NoTime).Gaps
		if len(gaps) != len(want) {
			t.Fatalf("%s: %+v", name, gaps)
		}
		for i, g := range gaps {
			before := start(want[i].from) - int64(g.From)
			after := int64(g.To) - start(want[i].to)
			if g.Server != want[i].server || g.Cause != Restart || before < -second || before > 5*second || after < 0 || after > 9*second {
				t.Errorf("%s: gap %d: %+v, %d µs before and %d µs after", name, i, g, before, after)
			}
		}
	}
}

// TestLosses: what a trail says it lost is a gap where the events around it say it was.
func TestLosses(t *testing.T) {
	all := play(drawn(), 1800, usual("cp-1")...)
	at := func(s int64) int64 { return midnight + s*second }
	i := slices.IndexFunc(all, func(m moment) bool { return m.at > at(900) })
	fault := func(source string, offset int64, reason string, l *trail.Loss) trail.Fault {
		return trail.Fault{Cluster: "made", Server: "cp-1", Source: source, Offset: offset, Length: 4096, Reason: reason, Lost: l}
	}
	known := &trail.Loss{From: at(300), To: at(310), Events: 7, Cause: "batch"}
	for name, c := range map[string]struct {
		fault    trail.Fault
		cut      bool // thirty seconds are cut out where it is
		from, to int64
		cause    string
		events   int64
	}{
		"known":          {fault("made.log", 5, "lost", known), false, at(300), at(310), "batch", 7},
		"placed":         {fault("made.log", 5, "lost", &trail.Loss{From: audit.NoTime, To: audit.NoTime, Events: 9, Cause: "batch"}), false, all[i-1].at, all[i].at, "batch", 9},
		"hole":           {fault("made.log", 5, "NUL bytes: a hole in the file", nil), false, all[i-1].at, all[i].at, Hole, -1},
		"hole in a cut":  {fault("made.log", 5, "NUL bytes: a hole in the file", nil), true, all[i-1].at, 0, Hole, -1},
		"truncated":      {fault("made.log", 0, "NUL bytes: a hole in the file", nil), false, 0, 0, "", 0},
		"no event":       {fault("made.log", 5, "no event", nil), false, 0, 0, "", 0},
		"another source": {fault("other.log", 5, "lost", &trail.Loss{From: audit.NoTime, To: audit.NoTime, Cause: "file"}), false, all[i-1].at, audit.NoTime, "file", 0},
	} {
		t.Run(name, func(t *testing.T) {
			rest := all[i:]
			if c.cut {
				rest = without(rest, 0, 930)
				c.to = rest[0].at
			}
			d := New(Config{})
			watchAll(d, all[:i])
			d.Lose(c.fault)
			watchAll(d, rest)
			gaps := d.Report(audit.NoTime).Gaps
			if c.cause == "" {
				if len(gaps) > 0 {
					t.Errorf("%+v", gaps)
				}
				return
			}
			if len(gaps) != 1 {
				t.Fatalf("%+v", gaps)
			}
			g := gaps[0]
			if int64(g.From) != c.from || int64(g.To) != c.to || g.Cause != c.cause || c.events >= 0 && g.Events != c.events || g.Server != "cp-1" {
				t.Errorf("%+v, want from %d to %d", g, c.from, c.to)
			}
		})
	}
}

// TestSharing: a source of several API servers says so, and shows that one of them was
// silent by the lease that it has for itself.
func TestSharing(t *testing.T) {
	lease := func(name string) beats {
		return beats{user: "system:apiserver", verb: "update", resource: "leases", name: "apiserver-" + name, every: 10, jitter: 0.4}
	}
	down := lease("c")
	down.to = 20_000
	again := lease("c")
	again.from = 20_100
	gone := lease("d")
	gone.to = 15_000
	all := play(drawn(), 25_000, append(usual(""), lease("b"), down, again, gone)...)
	for _, m := range all {
		m.of.Text[audit.Source] = []byte("webhook/prod")
		if string(m.of.Text[audit.Resource]) == "leases" {
			m.of.Text[audit.Namespace] = []byte("kube-system")
		}
	}
	var late []moment
	for name, way := range ways() {
		d := New(Config{})
		way(d, all)
		r := d.Report(audit.NoTime)
		if s := r.Servers[0]; s.Sharing != 3 || s.Source != "webhook/prod" || s.Server != "" {
			t.Errorf("%s: %+v", name, s)
		}
		if len(r.Gaps) != 1 || r.Gaps[0].Lease != "apiserver-c" || r.Gaps[0].Length() < 100*time.Second || r.Gaps[0].Length() > 121*time.Second {
			t.Errorf("%s: %+v", name, r.Gaps)
		}
		late = nil
		for at := int64(19_999); at < 20_110; at += 9 {
			late = append(late, moment{midnight + at*second, all[slices.IndexFunc(all, func(m moment) bool {
				return string(m.of.Text[audit.Name]) == "apiserver-c"
			})].of})
		}
		watchAll(d, late)
		if r := d.Report(audit.NoTime); len(r.Gaps) != 0 {
			t.Errorf("%s, when it came late: %+v", name, r.Gaps)
		}
	}
}

// TestBounds: whatever comes, what is held does not grow beyond its bounds, and the pulse
// is still learned.
func TestBounds(t *testing.T) {
	var all []moment
	for i := range 60_000 {
		e := beats{server: "cp-1", user: fmt.Sprint("pod-", i), verb: "get", resource: []string{"configmaps", "leases"}[i%2], name: fmt.Sprint(i)}.event()
		all = append(all, moment{midnight + int64(i)*second/50, e})
	}
	all = inOrder(append(all, play(drawn(), 1200, usual("cp-1")...)...))
	for name, way := range ways() {
		d := New(Config{Max: 3})
		way(d, all)
		for _, s := range d.sorted {
			if n := len(s.streams); n > maxStreams {
				t.Errorf("%s: %d streams are held", name, n)
			}
		}
		if s := d.Report(audit.NoTime).Servers[0]; s.Smallest == 0 || !s.Own || s.Streams != 3 {
			t.Errorf("%s: %+v", name, s)
		}
		for i := range 10 {
			watchAll(d, play(drawn(), 2000+float64(i)*100+60, []beats{{server: "cp-1", user: "system:apiserver", verb: "get", name: "/openapi/v3", every: 5, from: 2000 + float64(i)*100}}...))
		}
		if r := d.Report(audit.NoTime); len(r.Gaps) != 3 || r.More != 7 {
			t.Errorf("%s: %d gaps and %d more", name, len(r.Gaps), r.More)
		}
		for i := range 100_000 {
			e := beats{server: fmt.Sprint("server-", i%50), user: "kubelet", verb: "update", resource: "leases", name: fmt.Sprint(i)}.event()
			watchAll(d, []moment{{midnight + 4000*second, e}})
		}
		watchAll(d, []moment{{midnight + 4000*second, beats{server: "server-1", user: "system:apiserver", verb: "get", name: "/openapi/v3"}.event()}})
		held := 0
		for _, s := range d.sorted {
			held += len(s.streams)
		}
		if held != d.held || held > maxHeld+1 || len(d.servers[serverKey{"made", "server-1", ""}].streams) < 2 {
			t.Errorf("%s: %d streams are held, %d counted", name, held, d.held)
		}
		for i := range 2 * maxServers {
			e := beats{server: fmt.Sprint("server-", i), user: "jane", verb: "get"}.event()
			watchAll(d, []moment{{midnight, e}})
		}
		if len(d.servers) > maxServers || len(d.sorted) > maxServers {
			t.Errorf("%s: %d servers are held", name, len(d.servers))
		}
	}
}

func TestLogName(t *testing.T) {
	for name, want := range map[string]string{
		"/var/log/audit/audit.log":                            "/var/log/audit/audit.log",
		"/var/log/audit/audit-2026-11-20T15-13-23.604.log":    "/var/log/audit/audit.log",
		"/var/log/audit/audit-2026-11-20T15-13-23.604.log.gz": "/var/log/audit/audit.log",
		"audit.log.1": "audit.log", "audit.log.12.gz": "audit.log", "audit.log.2026": "audit.log.2026",
		"kubernetes-audit-2026-11-20T15-13-23.604": "kubernetes-audit",
		"webhook/prod/cp-1":                        "webhook/prod/cp-1",
		"posts/0001.json":                          "posts", "0001.json": "0001.json",
		"": "", "T": "T", "xxxxxxxxxxxT": "xxxxxxxxxxxT",
	} {
		if got := logName(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestTimeJSON(t *testing.T) {
	for _, at := range []Time{audit.NoTime, 0, 1, Time(midnight) + 123456} {
		b, err := json.Marshal(at)
		if err != nil {
			t.Fatal(err)
		}
		var back Time
		if err := json.Unmarshal(b, &back); err != nil || back != at {
			t.Errorf("%d: %s, %d, %v", at, b, back, err)
		}
	}
}

// FuzzObserve gives a detector anything at all.
func FuzzObserve(f *testing.F) {
	f.Add([]byte("\x00\x05abc\x01\xff\x03\x02\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var all []moment
		at := midnight
		for len(data) >= 4 {
			e := &audit.Event{Received: audit.NoTime}
			for i, c := range []audit.Column{audit.Username, audit.Verb, audit.Resource, audit.Name, audit.Server, audit.Stage, audit.Source, audit.Marks, audit.RequestURI} {
				words := []string{"", "system:apiserver", "get", "update", "leases", "clusterroles", "ResponseComplete", "recovered", string(data[:min(len(data), 40)])}
				e.Text[c] = []byte(words[(int(data[0])>>(i%3)+int(data[1])*i)%len(words)])
			}
			at += (int64(data[2]) - 20) * int64(data[3]) * second / 50
			all = append(all, moment{at, e})
			if data[0] == 255 {
				all[len(all)-1].at = audit.NoTime
			}
			data = data[3:]
		}
		for name, way := range ways() {
			d := New(Config{Least: time.Second, Max: 5})
			way(d, all)
			d.Lose(trail.Fault{Source: "x", Lost: &trail.Loss{From: audit.NoTime, To: at}})
			r := d.Report(at)
			for i, g := range r.Gaps {
				if g.From != audit.NoTime && g.To != audit.NoTime && g.From > g.To || g.Events < 0 || i > 0 && g.From < r.Gaps[i-1].From {
					t.Fatalf("%s: %+v", name, g)
				}
			}
			if _, err := json.Marshal(r); err != nil {
				t.Fatal(err)
			}
		}
	})
}
