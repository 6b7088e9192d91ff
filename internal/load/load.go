package load

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/tally"
	"kubetrail/internal/trail"
)

// Config says how load is told apart.
type Config struct {
	By      []string // client, verb, resource, user, tool, or fields of events
	Chinese bool
	Rows    int // at most so many are told apart; 0 is 10,000
}

// loadColumns is what load looks at: no bodies.
var loadColumns = output.RefColumns | audit.Set(audit.Received, audit.Verb, audit.APIGroup, audit.Resource, audit.Subresource, audit.Namespace,
	audit.Name, audit.RequestURI, audit.Username, audit.UserAgent, audit.Code, audit.Level, audit.Annotations, audit.Offset)

// Share is what one client, verb or resource asks of the API server.
type Share struct {
	Key      []string `json:"key"`
	Requests int      `json:"requests"`
	Part     float64  `json:"share"`     // of all requests, 0 to 1
	Rate     float64  `json:"perSecond"` // over all of the time
	LogBytes int64    `json:"logBytes"`  // lines of all stages
	Errors   int      `json:"errors"`    // codes from 400 on
	Throttle int      `json:"throttled"` // 429
	Latency  Latency  `json:"latency"`   // of what is not meant to last

	sketch tally.Sketch
}

// Latency is how long requests took, from received to complete, in seconds.
type Latency struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50Seconds"`
	P99   float64 `json:"p99Seconds"`
	Max   float64 `json:"maxSeconds"`
}

// A Watching is the watches of one client on one resource.
type Watching struct {
	User     string `json:"user"`
	Tool     string `json:"tool,omitempty"`
	Resource string `json:"resource"`
	Durations
	Short  int `json:"short"` // shorter than ten seconds
	Errors int `json:"errors,omitempty"`

	sketch tally.Sketch
}

// shortWatch is what a watch lasts longer than, unless something is wrong: those of
// client-go are held for five to ten minutes.
const shortWatch = int64(10 * time.Second / time.Microsecond)

// Phase is one of the phases that kube-apiserver notes of requests that took longer than
// half a second.
type Phase struct {
	Name string `json:"name"` // as in apiserver.latency.k8s.io/NAME
	Durations

	sketch tally.Sketch
}

// load collects. Its memory is bounded by cfg.Rows.
type load struct {
	cfg    Config
	by     []dimension
	key    []byte
	rows   map[string]*Share
	all    Share
	left   int
	span   tally.Span
	events int // of all stages
	failed int // to measure: requests without both times

	lists   lists
	loops   loops
	watches map[string]*Watching
	phases  map[string]*Phase
	tool    tally.Memo[[2]string]
}

// dimension is one thing to tell load apart by.
type dimension struct {
	name string
	text func(b []byte, e *audit.Event) []byte
}

// dimensions finds what load is told apart by.
func (l *load) dimensions() (needs audit.Columns, err error) {
	for _, name := range l.cfg.By {
		d := dimension{name: name}
		switch name {
		case "client":
			d.text = func(b []byte, e *audit.Event) []byte {
				b = append(append(b, cmp.Or(tally.Short(string(e.Text[audit.Username])), output.None)...), " "...)
				return append(b, l.tool.Of(e.Text[audit.UserAgent])[0]...)
			}
		case "tool":
			d.text = func(b []byte, e *audit.Event) []byte { return append(b, l.tool.Of(e.Text[audit.UserAgent])[0]...) }
		case "resource":
			d.text = func(b []byte, e *audit.Event) []byte { return append(b, resourceOrPath(e)...) }
		default:
			r, err := audit.Resolve(name)
			if err != nil {
				return 0, err
			}
			needs |= r.Needs()
			d.text = func(b []byte, e *audit.Event) []byte { return r.AppendText(b, e) }
		}
		l.by = append(l.by, d)
	}
	return needs, nil
}

// resourceOrPath is a resource as kubectl writes it, or the first two elements of the
// path of another request.
func resourceOrPath(e *audit.Event) string {
	if s := output.Resource(e); s != "" {
		return s
	}
	path := strings.SplitN(strings.Trim(output.Object(e), "/"), "/", 3)
	return tally.Clip("/" + strings.Join(path[:min(len(path), 2)], "/"))
}

// Find answers who and what loads the API server: requests, how long they take, what is
// listed and watched, and what is asked for again and again.
func Find(ctx context.Context, r trail.Reader, q trail.Query, cfg Config) (output.Report, error) {
	if cfg.Rows <= 0 {
		cfg.Rows = 10_000
	}
	if len(cfg.By) == 0 {
		cfg.By = []string{"client"}
	}
	l := &load{cfg: cfg, rows: map[string]*Share{}, span: tally.NewSpan(),
		lists: lists{room: cfg.Rows, found: map[string]*List{}, how: tally.Memo[listing]{Work: listingOf}}, loops: loops{room: 2 * cfg.Rows, found: map[string]*Loop{}},
		watches: map[string]*Watching{}, phases: map[string]*Phase{}, tool: tally.Memo[[2]string]{Work: tally.Tool}}
	needs, err := l.dimensions()
	if err != nil {
		return output.Report{}, err
	}
	if err := tally.Scan(ctx, r, q, loadColumns|needs, l.add); err != nil {
		return output.Report{}, err
	}
	return l.report(ctx, r)
}

// add takes in one event, of any stage.
func (l *load) add(e *audit.Event) error {
	l.events++
	x := l.row(e)
	for _, s := range []*Share{x, &l.all} {
		if s != nil {
			s.LogBytes += int64(e.Length)
		}
	}
	if !tally.Ended(e) {
		return nil
	}
	l.span.Note(e.Time())
	us, timed := int64(0), e.Staged != audit.NoTime && e.Received != audit.NoTime
	if timed {
		us = e.Staged - e.Received
	} else {
		l.failed++
	}
	tool := l.tool.Of(e.Text[audit.UserAgent])[0]
	if x == nil {
		l.left++
	}
	for _, s := range []*Share{x, &l.all} {
		if s != nil {
			s.Note(e, us, timed && !lasts(e))
		}
	}
	l.loops.Note(e, tool)
	switch {
	case !timed:
	case string(e.Text[audit.Verb]) == "watch":
		l.watch(e, tool, us)
	case string(e.Text[audit.Verb]) == "list" && tally.Succeeded(e.Code):
		l.lists.Note(e, tool, us)
	}
	if notes := e.Text[audit.Annotations]; bytes.Contains(notes, []byte(phasePrefix)) {
		l.phase(notes)
	}
	return nil
}

// sealed ends the value that begins at from, so that no other one can be read out of it.
func sealed(k []byte, from int) []byte {
	k = k[:min(len(k), from+512)]
	for i := range k[from:] {
		if k[from+i] == 0 {
			k[from+i] = 1
		}
	}
	return append(k, 0)
}

// row returns the row of an event, nil where there is no room.
func (l *load) row(e *audit.Event) *Share {
	k := l.key[:0]
	for _, d := range l.by {
		from := len(k)
		k = d.text(k, e)
		k = sealed(k, from)
	}
	l.key = k
	x := l.rows[string(k)]
	if x == nil && len(l.rows) < l.cfg.Rows {
		x = &Share{Key: strings.Split(string(k[:len(k)-1]), "\x00")}
		l.rows[string(k)] = x
	}
	return x
}

// Note counts a request, and how long it took where timed.
func (s *Share) Note(e *audit.Event, us int64, timed bool) {
	s.Requests++
	if e.Code >= 400 {
		s.Errors++
	}
	if e.Code == 429 {
		s.Throttle++
	}
	if timed {
		s.sketch.Note(us)
	}
}

// lasts reports whether a request is meant to last: how long it takes is no latency.
func lasts(e *audit.Event) bool {
	switch string(e.Text[audit.Subresource]) {
	case "exec", "attach", "portforward", "proxy", "log":
		return true
	}
	return string(e.Text[audit.Verb]) == "watch"
}

func (l *load) watch(e *audit.Event, tool string, us int64) {
	k := string(e.Text[audit.Username]) + "\x00" + tool + "\x00" + output.Resource(e)
	w := l.watches[k]
	if w == nil {
		if len(l.watches) >= l.cfg.Rows {
			return
		}
		w = &Watching{User: string(e.Text[audit.Username]), Tool: tool, Resource: output.Resource(e)}
		l.watches[k] = w
	}
	w.sketch.Note(us)
	if us < shortWatch {
		w.Short++
	}
	if e.Code >= 400 {
		w.Errors++
	}
}

const phasePrefix = "apiserver.latency.k8s.io/"

// maxPhases bounds how many phases are told apart: kube-apiserver v1.36 has twelve.
const maxPhases = 64

// phase notes what annotations tell of where the time went.
func (l *load) phase(notes []byte) {
	var all map[string]string
	if json.Unmarshal(notes, &all) != nil {
		return
	}
	for name, text := range all {
		name, ok := strings.CutPrefix(name, phasePrefix)
		took, err := time.ParseDuration(text)
		if !ok || err != nil {
			continue
		}
		p := l.phases[name]
		if p == nil {
			if len(l.phases) >= maxPhases {
				continue
			}
			p = &Phase{Name: tally.Clip(name)}
			l.phases[name] = p
		}
		p.sketch.Note(took.Microseconds())
	}
}

// sorted are the shares, those with most requests first.
func (l *load) sorted() []*Share {
	seconds := max(float64(l.span.To-l.span.From)/1e6, 1)
	finish := func(x *Share) {
		x.Part, x.Rate = part(x.Requests, l.all.Requests), float64(x.Requests)/seconds
		x.Latency = Latency{x.sketch.N, x.sketch.Quantile(0.5).Seconds(), x.sketch.Quantile(0.99).Seconds(), x.sketch.Max().Seconds()}
	}
	finish(&l.all)
	rows := make([]*Share, 0, len(l.rows))
	for _, x := range l.rows {
		finish(x)
		rows = append(rows, x)
	}
	slices.SortFunc(rows, func(a, b *Share) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(b.LogBytes, a.LogBytes), slices.Compare(a.Key, b.Key))
	})
	return rows
}

func part[N int | int64](n, all N) float64 { return float64(n) / float64(max(all, 1)) }

// mostShown is how many lists, watches and loops an answer holds.
const mostShown = 10

func (l *load) watching() []*Watching {
	out := []*Watching{}
	for _, w := range l.watches {
		w.Durations = durations(&w.sketch)
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b *Watching) int {
		return cmp.Or(cmp.Compare(b.Short, a.Short), cmp.Compare(b.Durations.Count, a.Durations.Count), cmp.Compare(a.User, b.User), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Tool, b.Tool))
	})
	return out[:min(len(out), mostShown)]
}

func (l *load) phased() []*Phase {
	out := []*Phase{}
	for _, p := range l.phases {
		p.Durations = durations(&p.sketch)
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *Phase) int { return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Name, b.Name)) })
	return out
}

// report puts the answer together.
func (l *load) report(ctx context.Context, r trail.Reader) (output.Report, error) {
	rows := l.sorted()
	lists := l.lists.list(mostShown)
	for _, x := range lists {
		if err := x.count(ctx, r); err != nil {
			return output.Report{}, fmt.Errorf("reading the slowest list: %w", err)
		}
	}
	watches, phases, loops := l.watching(), l.phased(), l.loops.list(mostShown)
	l.span.Written()
	rep := output.Report{Kind: "LoadList", Head: map[string]any{
		"by": l.cfg.By, "first": l.span.First, "last": l.span.Last, "all": l.all, "events": l.events,
		"lists": lists, "watches": watches, "phases": phases, "loops": loops, "quantileError": 1.0 / 64,
	}}
	if l.left > 0 {
		rep.Head["requestsLeftOut"] = l.left
	}
	for _, x := range rows {
		rep.Items = append(rep.Items, x)
	}
	rep.Text = func(p *output.Page) error {
		if err := l.print(p, rows); err != nil {
			return err
		}
		if err := printLists(p, lists); err != nil {
			return err
		}
		if err := printWatches(p, watches); err != nil {
			return err
		}
		if err := printPhases(p, phases); err != nil {
			return err
		}
		return l.printLoops(p, loops)
	}
	return rep, nil
}
