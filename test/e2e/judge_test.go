package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// verify compares the trail with all that is known.
func (r *rig) verify() {
	t := r.t
	all, err := r.readTrail()
	must(t, err)
	size := 0
	for _, s := range all {
		size += s.size
	}
	t.Logf("the trail holds %d events, %.0f MB of lines", len(all), float64(size)/1e6)
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
		t.Run(s.Name+" requests", func(t *testing.T) { r.judgeRequests(t, s.Name, logs, posts, all) })
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
	for sum, want := range l.lines {
		slices.Sort(want)
		slices.Sort(got[sum])
		if !slices.Equal(want, got[sum]) {
			c.errorf("a line that stands at %v is in the trail as of %v", want, got[sum])
		}
	}
	c.done()
	t.Logf("%d lines, %.0f MB, of %d files: %d in the trail; %d lines are no event", l.total, float64(l.bytes)/1e6, l.files, len(have), l.torn)
	if l.total == 0 {
		t.Error("nothing was logged")
	}
}

// judgeHook wants every event as often as it was acknowledged, and no oftener than it
// was sent.
func judgeHook(t *testing.T, p *posted, have []stored) {
	c := &complaints{T: t}
	got := map[line]int{}
	for _, s := range have {
		if got[s.line]++; got[s.line] > p.most[s.line] {
			c.errorf("number %d, from %s, is there %d times and was posted %d times: %+v", s.Seq, s.Source, got[s.line], p.most[s.line], s.key)
		}
	}
	for sum, n := range p.least {
		if got[sum] < n {
			c.errorf("an event that was acknowledged %d times is there %d times", n, got[sum])
		}
	}
	c.done()
	t.Logf("%d posts, %d tries that were not answered 2xx, %d events acknowledged, %d in the trail", p.posts, p.nays, p.total, len(have))
	if p.total == 0 {
		t.Error("nothing was acknowledged")
	}
}

// final tells the stages after which nothing more comes of a request.
func final(stage string) bool {
	return stage == "ResponseComplete" || stage == "Panic"
}

// judgeRequests asks for every answered request whether its end is in the trail: as
// the log has it, as the webhook brought it, recovered, or covered by a gap.
func (r *rig) judgeRequests(t *testing.T, server string, l *logged, p *posted, all []stored) {
	answered := map[string]int{}
	requests := map[string]asked{}
	for _, a := range r.clients.ledger.answers {
		if a.server == server && !a.none() {
			answered[a.id]++
			requests[a.id] = a
		}
	}
	ends, recovered := map[string]int{}, map[string]int{}
	for _, s := range all {
		if s.Server != server {
			continue
		}
		switch s.kind() {
		case "log":
			if final(s.key.stage) || requests[s.key.id].status == 401 {
				ends[s.key.id]++
			}
		case "recovered":
			recovered[s.key.id]++
		}
	}
	var lost []string
	n, back := 0, 0
	for id, times := range answered {
		n += times
		missing := times - ends[id]
		if missing <= 0 {
			continue
		}
		if recovered[id] >= missing {
			back += missing
			continue
		}
		a := requests[id]
		lost = append(lost, fmt.Sprintf("%s %.60s answered %d at %s (log %d of %d, recovered %d)", a.method, a.uri, a.status, a.end.UTC().Format("15:04:05.000"), ends[id], times, recovered[id]))
	}
	slices.Sort(lost)
	t.Logf("%d answered requests that the policy records, %d of them recovered, %d lost by kube-apiserver", n, back, len(lost))
	if answered[replayed] > 0 {
		t.Logf("%d requests with one audit ID: %d events", answered[replayed], ends[replayed])
		if ends[replayed] != answered[replayed] {
			t.Errorf("%d requests with one audit ID, %d events", answered[replayed], ends[replayed])
		}
	}
	if len(lost) > 0 {
		t.Logf("lost:\n%s", strings.Join(lost[:min(len(lost), 20)], "\n"))
	}
}
