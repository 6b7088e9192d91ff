package gap

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

// Question is what to look for in a trail.
type Question struct {
	Config

	// Since and Until bound the time that gaps are looked for in, in microseconds since
	// the epoch; audit.NoTime leaves that side open. Pulses are learned from the hour
	// before Since as well. A server that is silent at Until has an open gap there, and
	// one that is silent at Now where Until is open; with both open the end of a trail
	// tells nothing.
	Since, Until, Now int64

	Cluster string // only of this cluster; empty: of all
	Server  string // only gaps of the API server of this name; empty: of all

	// InOrder tells that a scan gives the events in about the order of time, as one of
	// files does. Otherwise they are asked for by stretches of time.
	InOrder bool
}

const (
	batchEvents = 1 << 19                            // taken at once: 8 MiB
	batchTime   = int64(24 * time.Hour / 1000)       // likewise, microseconds
	warmTime    = int64(time.Hour / 1000)            // before Since
	countEvery  = time.Minute                        // bars of the histogram that tells where events are
	countWide   = 10 * time.Minute                   // likewise, of more than a hundred days
	wideSpan    = int64(100 * 24 * time.Hour / 1000) // microseconds
)

// Find looks through a trail once and reports the gaps in it. Its memory does not depend
// on how large the trail is, but for a count of events for every minute.
func Find(ctx context.Context, r trail.Reader, q Question) (Report, error) {
	d := New(q.Config)
	d.begins, d.ends = q.Since != audit.NoTime, q.Until != audit.NoTime
	wider := q
	if q.Since != audit.NoTime {
		wider.Since -= warmTime
	}
	if err := d.read(ctx, r, wider); err != nil {
		return Report{}, err
	}
	end := q.Until
	if end == audit.NoTime {
		end = q.Now
	}
	return d.Report(end).within(q), nil
}

// Warm returns a Detector that knows the last hour of a trail, or as much of it as can be
// read at once, for Observe to go on with. The trail is one whose order is not that of
// time.
func Warm(ctx context.Context, r trail.Scanner, cfg Config) (*Detector, error) {
	s, err := r.Summary(ctx)
	if err != nil || s.Last == audit.NoTime {
		return New(cfg), err
	}
	q := trail.Query{Since: s.Last - warmTime, Until: audit.NoTime}
	bars, err := r.Histogram(ctx, q, countEvery)
	if err != nil {
		return New(cfg), err
	}
	events := uint64(0)
	for _, b := range slices.Backward(bars) {
		if events += b.Count; events > batchEvents {
			break
		}
		q.Since = b.Start
	}
	d := New(cfg)
	d.holding = true
	g := &gathering{d: d, whole: true}
	if err := g.finish(r.Scan(ctx, q, Columns(), g.take)); err != nil {
		return New(cfg), err // half of it would look like a gap
	}
	d.holding = false
	return d, nil
}

// read takes what a trail holds, its faults included.
func (d *Detector) read(ctx context.Context, r trail.Reader, q Question) error {
	if err := d.readFaults(ctx, r, q); err != nil {
		return err
	}
	columns := Columns()
	if len(d.losses) > 0 {
		columns |= audit.Set(audit.Seq)
	}
	all := trail.Query{Since: q.Since, Until: q.Until}
	if q.Cluster != "" {
		var err error
		if all.Where, err = query.Parse(`cluster:"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(q.Cluster) + `"`); err != nil {
			return err
		}
	}
	g := &gathering{d: d, beats: make([]Beat, 0, 1<<16)}
	d.holding = true
	defer func() { d.holding = false }()
	s, scans := r.(trail.Scanner)
	if !scans {
		return g.finish(r.Search(ctx, all, trail.Page{Oldest: true, Columns: columns}, g.take))
	}
	if q.InOrder {
		return g.finish(s.Scan(ctx, all, columns, g.take))
	}
	stretches, err := stretches(ctx, r, all)
	if err != nil {
		return err
	}
	g.whole = true
	for _, x := range stretches {
		part := trail.Query{Where: all.Where, Since: x.from, Until: x.to}
		if err := g.finish(s.Scan(ctx, part, columns, g.take)); err != nil {
			return err
		}
	}
	return nil
}

// gathering collects events of a scan until there are enough for a batch.
type gathering struct {
	d     *Detector
	beats []Beat
	whole bool // until the end of the scan, because it is in no order
}

func (g *gathering) take(e *audit.Event) error {
	if len(g.d.losses) > 0 {
		g.d.place(e)
	}
	b := g.d.note(e)
	if b.of == nil {
		return nil
	}
	g.beats = append(g.beats, b)
	if !g.whole && len(g.beats) >= batchEvents {
		// The newest ones wait: others of about their time may come yet.
		g.d.batch(g.beats[:len(g.beats)*9/10])
		g.beats = append(g.beats[:0], g.beats[len(g.beats)*9/10:]...)
	}
	return nil
}

func (g *gathering) finish(err error) error {
	if err != nil {
		return err
	}
	g.d.batch(g.beats)
	g.beats = g.beats[:0]
	return nil
}

// stretches cuts the time of the answers into pieces that hold about a batch each.
func stretches(ctx context.Context, r trail.Reader, q trail.Query) ([]span, error) {
	s, err := r.Summary(ctx)
	if err != nil || s.First == audit.NoTime {
		return nil, err
	}
	every := countEvery
	if s.Last-s.First > wideSpan {
		every = countWide
	}
	bars, err := r.Histogram(ctx, q, every)
	if errors.Is(err, trail.ErrTooMany) {
		bars, err = r.Histogram(ctx, q, 24*countWide)
		every = 24 * countWide
	}
	if err != nil {
		return nil, err
	}
	width := every.Microseconds()
	var out []span
	events := uint64(0)
	for _, b := range bars {
		if b.Count == 0 {
			continue
		}
		for cut := b.Count / batchEvents; cut > 0; cut = 0 { // a bar that is too much for one
			n := int64(cut) + 1
			for i := range n {
				out = append(out, span{b.Start + width*i/n, b.Start + width*(i+1)/n})
			}
			events = batchEvents
		}
		if b.Count > batchEvents {
			continue
		}
		last := len(out) - 1
		if last < 0 || events+b.Count > batchEvents || b.Start+width-out[last].from > batchTime {
			out = append(out, span{b.Start, b.Start + width})
			events = b.Count
			continue
		}
		out[last].to = b.Start + width
		events += b.Count
	}
	for i := range out { // the question's own borders stay
		if q.Since != audit.NoTime {
			out[i].from = max(out[i].from, q.Since)
		}
		if q.Until != audit.NoTime {
			out[i].to = min(out[i].to, q.Until)
		}
	}
	return out, nil
}

// within leaves out what was not asked for.
func (r Report) within(q Question) Report {
	gaps := r.Gaps[:0]
	for _, g := range r.Gaps {
		before := q.Since != audit.NoTime && g.To != audit.NoTime && int64(g.To) <= q.Since
		after := q.Until != audit.NoTime && g.From != audit.NoTime && int64(g.From) >= q.Until
		never := g.From == audit.NoTime && g.To == audit.NoTime && (q.Since != audit.NoTime || q.Until != audit.NoTime)
		if !before && !after && !never && (q.Server == "" || g.Server == q.Server) {
			gaps = append(gaps, g)
		}
	}
	r.Gaps = gaps
	servers := r.Servers[:0]
	for _, s := range r.Servers {
		if q.Server == "" || s.Server == q.Server {
			servers = append(servers, s)
		}
	}
	r.Servers = servers
	return r
}
