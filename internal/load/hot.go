package load

import (
	"cmp"
	"slices"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/tally"
)

// A Loop is one request that somebody sends again and again.
type Loop struct {
	User     string `json:"user"`
	Tool     string `json:"tool,omitempty"`
	Verb     string `json:"verb"`
	Resource string `json:"resource,omitempty"` // with its subresource
	Object   string `json:"object,omitempty"`   // namespace/name, or the path
	Errors   int    `json:"errors,omitempty"`   // how many failed
	tally.Span
	PerMinute float64           `json:"perMinute"`
	Events    []output.EventRef `json:"events"`

	refs tally.Refs
}

// loops finds the requests that are sent most often, in bounded memory: where there are
// more different ones than it has room for, those seen least are forgotten, as Misra and
// Gries describe, and counts may be too low by as many as were then taken off.
type loops struct {
	room  int
	found map[string]*Loop
	off   int // by how many a count may be too low
	key   []byte
}

// Note counts a request. It needs to know the tool already.
func (l *loops) Note(e *audit.Event, tool string) {
	switch string(e.Text[audit.Verb]) {
	case "watch":
		return
	}
	if string(e.Text[audit.Resource]) == "leases" {
		return // they are meant to be renewed again and again
	}
	k := l.key[:0]
	for _, c := range [...]audit.Column{audit.Username, audit.Verb, audit.APIGroup, audit.Resource, audit.Subresource, audit.Namespace, audit.Name} {
		k = append(append(k, e.Text[c]...), 0)
	}
	if len(e.Text[audit.Resource]) == 0 {
		k = append(k, output.Object(e)...)
	}
	l.key = k[:min(len(k), 2048)]
	x := l.found[string(l.key)]
	if x == nil {
		if len(l.found) >= l.room {
			l.forget()
		}
		x = &Loop{User: string(e.Text[audit.Username]), Tool: tool, Verb: string(e.Text[audit.Verb]), Resource: output.Resource(e), Object: tally.Clip(output.Object(e))}
		l.found[string(l.key)] = x
	}
	x.Note(e.Time())
	x.refs.Note(e)
	if e.Code >= 400 {
		x.Errors++
	}
}

// forget takes as much off every count as makes half of the room free.
func (l *loops) forget() {
	counts := make([]int, 0, len(l.found))
	for _, x := range l.found {
		counts = append(counts, x.Count)
	}
	slices.Sort(counts)
	cut := counts[len(counts)/2]
	l.off += cut
	for k, x := range l.found {
		if x.Count -= cut; x.Count <= 0 {
			delete(l.found, k)
		}
	}
}

// What makes a loop of a repetition.
const (
	loopCount     = 30
	loopPerMinute = 10
)

// list are the loops, those with most requests first.
func (l *loops) list(most int) []*Loop {
	out := []*Loop{}
	for _, x := range l.found {
		minutes := max(float64(x.To-x.From)/60e6, 1.0/60)
		x.PerMinute = float64(x.Count) / minutes
		if x.Count >= loopCount && x.PerMinute >= loopPerMinute {
			x.Written()
			x.Events = x.refs.List()
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b *Loop) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.User, b.User), cmp.Compare(a.Verb, b.Verb), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Object, b.Object))
	})
	return out[:min(len(out), most)]
}
