package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// verify compares the trail with all that is known.
func (r *rig) verify(downs []down) {
	t := r.t
	all, err := r.readTrail()
	must(t, err)
	size := 0
	for _, s := range all {
		size += s.size
	}
	t.Logf("the trail holds %d events, %.0f MB of lines", len(all), float64(size)/1e6)
	gaps, err := r.gaps()
	must(t, err)
	for _, g := range gaps {
		t.Logf("gap of %s from %s for %s: %s, about %d events", g.Server, g.From.UTC().Format("15:04:05.000"), g.To.Sub(g.From).Round(time.Millisecond), g.Cause, g.Events)
	}
	t.Run("restarts", func(t *testing.T) {
		for _, d := range downs {
			if *kills >= learning && !cover(gaps, d.server, d.from, d.to) {
				t.Errorf("no gap tells that %s was down from %s to %s", d.server, d.from.UTC().Format("15:04:05.000"), d.to.UTC().Format("15:04:05.000"))
			}
		}
	})
	t.Run("numbers", func(t *testing.T) { numbers(t, all) })
	for i, s := range r.plane.Servers {
		logs, err := readLogs(r.keepers[i])
		must(t, err)
		posts, err := readPosts(r.recorders[i])
		must(t, err)
		var fromLog, fromHook []stored
		for _, e := range all {
			if e.Server == s.Name && e.kind() == "log" {
				fromLog = append(fromLog, e)
			}
			if e.Server == s.Name && e.kind() == "webhook" {
				fromHook = append(fromHook, e)
			}
		}
		t.Run(s.Name+" log", func(t *testing.T) { judgeLog(t, logs, fromLog) })
		t.Run(s.Name+" webhook", func(t *testing.T) { judgeHook(t, posts, fromHook) })
		t.Run(s.Name+" requests", func(t *testing.T) { r.judgeRequests(t, s.Name, all, gaps) })
		t.Run(s.Name+" losses", func(t *testing.T) { r.judgeLosses(t, s.Name, logs, all, gaps) })
	}
}

// numbers checks that every event has a number of its own.
func numbers(t *testing.T, all []stored) {
	seen := make(map[uint64]bool, len(all))
	for _, s := range all {
		if seen[s.Seq] {
			t.Errorf("number %d is there twice", s.Seq)
		}
		seen[s.Seq] = true
		if s.Server == "" {
			t.Errorf("number %d of %s is of no server", s.Seq, s.Source)
		}
	}
}

// complaints are printed, but not without an end.
type complaints struct {
	*testing.T
	n int
}

func (c *complaints) errorf(format string, args ...any) {
	if c.n++; c.n <= 5 {
		c.T.Errorf(format, args...)
	} else {
		c.T.Fail()
	}
}

func (c *complaints) done() {
	if c.n > 5 {
		c.T.Errorf("and %d more", c.n-5)
	}
}

// judgeLog wants every line once, at the offset where it stands.
func judgeLog(t *testing.T, l *logged, have []stored) {
	c := &complaints{T: t}
	got := map[line][]int64{}
	for _, s := range have {
		if _, known := l.lines[s.line]; !known {
			c.errorf("number %d, from %s at %d, stands in no log: %+v", s.Seq, s.Source, s.Offset, s.key)
		}
		got[s.line] = append(got[s.line], s.Offset)
	}
	removed := 0
	for sum, want := range l.lines {
		slices.Sort(want)
		slices.Sort(got[sum])
		if _, gone := l.times[sum]; gone && len(got[sum]) == 0 {
			removed++
		} else if !slices.Equal(want, got[sum]) {
			c.errorf("a line that stands at %v is in the trail as of %v", want, got[sum])
		}
	}
	c.done()
	t.Logf("%d lines, %.0f MB, of %d files: %d in the trail; %d more were removed before anybody read them; %d lines are no event",
		l.total, float64(l.bytes)/1e6, l.files, len(have), removed, l.torn)
	if l.total == 0 {
		t.Error("nothing was logged")
	}
}

// judgeHook wants every event as often as it was acknowledged, no oftener than it was
// sent, and marked as a repeat each time but the first that a body brought it.
func judgeHook(t *testing.T, p *posted, have []stored) {
	c := &complaints{T: t}
	got, first := map[line]int{}, map[line]int{}
	repeats := 0
	for _, s := range have {
		if got[s.line]++; got[s.line] > p.most[s.line] {
			c.errorf("number %d, from %s, is there %d times and was posted %d times: %+v", s.Seq, s.Source, got[s.line], p.most[s.line], s.key)
		}
		if slices.Contains(s.Is, "repeat") {
			repeats++
		} else if first[s.line]++; first[s.line] > p.bodies[s.line] {
			c.errorf("number %d, from %s, is there %d times without being marked, and was in %d bodies: %+v", s.Seq, s.Source, first[s.line], p.bodies[s.line], s.key)
		}
	}
	for sum, n := range p.least {
		if got[sum] < n {
			c.errorf("an event that was acknowledged %d times is there %d times", n, got[sum])
		}
		if got[sum] > 0 && first[sum] == 0 {
			c.errorf("an event is there %d times, and each time marked as a repeat", got[sum])
		}
	}
	c.done()
	t.Logf("%d posts, %d tries that were not answered 2xx, %d answers lost on the way, %d events acknowledged, %d in the trail, %d of them marked as repeats",
		p.posts, p.nays, p.unheard, p.total, len(have), repeats)
	if p.total == 0 {
		t.Error("nothing was acknowledged")
	}
}

// final tells the stages after which nothing more comes of a request.
func final(k key, status int) bool {
	return k.stage == "ResponseComplete" || k.stage == "Panic" || k.stage == "ResponseStarted" && status == http.StatusUnauthorized
}

// judgeRequests wants the end of every answered request: as the log or the webhook
// brought it, or recovered from what kube-apiserver said, or covered by a gap.
func (r *rig) judgeRequests(t *testing.T, server string, all []stored, gaps []gap) {
	times, requests := map[string]int{}, map[string]asked{}
	for _, a := range r.clients.ledger.answers {
		if a.server == server && !a.none() {
			times[a.id]++
			requests[a.id] = a
		}
	}
	ends := map[string]map[string]int{"log": {}, "webhook": {}, "recovered": {}}
	for _, s := range all {
		if s.Server == server && final(s.key, requests[s.key.id].status) {
			ends[s.kind()][s.key.id]++
		}
	}
	var lost []string
	n, back, covered := 0, 0, 0
	for id, want := range times {
		a := requests[id]
		n += want
		switch missing := want - max(ends["log"][id], ends["webhook"][id]); {
		case missing <= 0:
		case ends["recovered"][id] >= missing:
			back += missing
		case cover(gaps, server, a.begun, a.end):
			covered += missing
		default:
			lost = append(lost, fmt.Sprintf("%s %s %.80s answered %d, %s: %d of %d", a.begun.UTC().Format("15:04:05.000"), a.method, a.uri, a.status, id, want-missing, want))
		}
	}
	t.Logf("%d answered requests that the policy records; of those that neither log nor webhook brought, %d are recovered and %d in a gap", n, back, covered)
	if want := times[replayed]; want > 0 {
		t.Logf("%d requests with one audit ID: %d events", want, ends["log"][replayed])
		if ends["log"][replayed] != want {
			t.Errorf("%d requests with one audit ID, %d events", want, ends["log"][replayed])
		}
	}
	r.lost(t, lost)
}

// judgeLosses wants the same of every event that is known to have been, whoever caused
// it: because it stood in a log that was removed, or was posted and never acknowledged.
func (r *rig) judgeLosses(t *testing.T, server string, l *logged, all []stored, gaps []gap) {
	have := map[key]int{}
	lines := map[line]bool{}
	for _, s := range all {
		if s.Server == server && s.kind() != "log" {
			have[s.key]++
		}
		lines[s.line] = true
	}
	var lost []string
	covered, other := 0, 0
	for sum, at := range l.times {
		switch k := l.gone[sum]; {
		case lines[sum]:
		case have[k] > 0:
			other++
		case cover(gaps, server, at, at):
			covered++
		default:
			lost = append(lost, fmt.Sprintf("%s %v", at.UTC().Format("15:04:05.000000"), k))
		}
	}
	t.Logf("%d lines were removed; of those not read, %d came another way or are recovered and %d are in a gap", len(l.times), other, covered)
	r.lost(t, lost)
}

// learning is how many kills last as long as it takes to learn a pulse.
const learning = 60

// lost complains of losses that nothing tells of, where kubetrail can tell.
func (r *rig) lost(t *testing.T, lost []string) {
	if len(lost) == 0 {
		return
	}
	slices.Sort(lost)
	say := t.Errorf
	if *kills < learning {
		say = t.Logf
	}
	say("%d are lost, and nothing tells of it:\n%s", len(lost), strings.Join(lost[:min(len(lost), 10)], "\n"))
}

// gap is what kubetrail says it did not observe.
type gap struct {
	Server   string
	From, To time.Time
	Cause    string
	Events   int
}

// ragged is how far from a gap a loss may lie that it tells of. kube-apiserver posts a
// batch again after pauses of its own choice, so that one may come through while another,
// up to two seconds younger, is given up.
const ragged = 2 * time.Second

// cover reports whether a gap of a server tells of something between two times.
func cover(gaps []gap, server string, from, to time.Time) bool {
	return slices.ContainsFunc(gaps, func(g gap) bool {
		return g.Server == server && !g.From.After(to.Add(ragged)) && !g.To.Before(from.Add(-ragged))
	})
}
