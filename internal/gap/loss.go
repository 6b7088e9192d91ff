package gap

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// loss is a fault that means that events are missing, and what was observed of the same
// source just before and after it.
type loss struct {
	fault         trail.Fault
	before, after int64 // times
	seqs          span  // numbers of the events with these times
}

// sourceName tells sources of faults apart.
type sourceName struct{ cluster, server, source string }

// maxLosses bounds the faults that are taken for losses; the oldest ones count.
const maxLosses = 10_000

// lost reports whether a fault means that events are missing. A hole of NULs at the
// beginning of a log is only what truncating it leaves: what it held was read before.
func lost(f *trail.Fault) bool {
	return f.Lost != nil || f.Offset > 0 && strings.HasPrefix(f.Reason, "NUL bytes")
}

// readFaults takes what the trail says it lost, and what the recorders say whose events
// it holds.
func (d *Detector) readFaults(ctx context.Context, r trail.Reader, q Question) error {
	n := 0
	take := func(f trail.Fault) error {
		if !lost(&f) || q.Server != "" && f.Server != q.Server || q.Cluster != "" && f.Cluster != q.Cluster {
			return nil
		}
		if n++; n > maxLosses {
			d.unread++
			return nil
		}
		d.expect(&loss{fault: f, before: audit.NoTime, after: audit.NoTime, seqs: span{-1, -1}})
		return nil
	}
	if err := r.Faults(ctx, take); err != nil {
		return err
	}
	where, err := trail.ReportedLosses()
	if err != nil {
		return err
	}
	page := trail.Page{Oldest: true, Columns: trail.LossColumns() | audit.Set(audit.Cluster, audit.Server, audit.Source, audit.Seq)}
	return r.Search(ctx, trail.Query{Where: where, Since: q.Since, Until: q.Until}, page, func(e *audit.Event) error {
		f, ok := reported(e)
		if !ok {
			return nil
		}
		return take(f)
	})
}

// reported is the fault that an event of a recorder tells of.
func reported(e *audit.Event) (trail.Fault, bool) {
	l, ok := trail.ReportedLoss(e)
	return trail.Fault{Source: string(e.Text[audit.Source]), Cluster: string(e.Text[audit.Cluster]), Server: string(e.Text[audit.Server]),
		Reason: l.Cause, Lost: &l, Seq: e.Seq}, ok
}

// expect keeps a loss, in the order of the numbers of faults.
func (d *Detector) expect(x *loss) {
	x.fault.Head = nil
	if d.losses == nil {
		d.losses = map[sourceName][]*loss{}
	}
	key := sourceName{x.fault.Cluster, x.fault.Server, x.fault.Source}
	list := d.losses[key]
	i, _ := slices.BinarySearchFunc(list, x.fault.Seq, func(x *loss, seq uint64) int { return cmp.Compare(x.fault.Seq, seq) })
	d.losses[key] = slices.Insert(list, i, x)
}

// Lose takes a fault as it comes. If it means that events are missing, and it does not
// know itself when that was, the events that Observe is given before and after it tell.
func (d *Detector) Lose(f trail.Fault) {
	if !lost(&f) {
		return
	}
	x := &loss{fault: f, before: audit.NoTime, after: audit.NoTime}
	key := serverKey{f.Cluster, f.Server, ""}
	if key.server == "" {
		key.source = logName(f.Source)
	}
	if s := d.servers[key]; s != nil {
		x.before = s.newest
	}
	d.recent++
	x.fault.Seq = uint64(d.recent)
	d.expect(x)
	d.waiting = append(d.waiting, x)
	if list := d.losses[sourceName{f.Cluster, f.Server, f.Source}]; len(list) > d.cfg.Max {
		d.losses[sourceName{f.Cluster, f.Server, f.Source}] = slices.Delete(list, 0, 1)
		d.unread++
	}
}

// follow looks whether an event is the first after a loss.
func (d *Detector) follow(e *audit.Event) {
	d.waiting = slices.DeleteFunc(d.waiting, func(x *loss) bool {
		if x.fault.Source != string(e.Text[audit.Source]) || x.fault.Cluster != string(e.Text[audit.Cluster]) || x.fault.Server != string(e.Text[audit.Server]) {
			return false
		}
		x.after = e.Time()
		return true
	})
	if len(d.waiting) > d.cfg.Max { // of sources that ended
		d.waiting = slices.Delete(d.waiting, 0, 1)
	}
}

// place looks whether an event is the neighbour of a loss in its source.
func (d *Detector) place(e *audit.Event) {
	list := d.losses[sourceName{string(e.Text[audit.Cluster]), string(e.Text[audit.Server]), string(e.Text[audit.Source])}]
	if len(list) == 0 || e.Time() == audit.NoTime {
		return
	}
	// The first loss that comes after the event, and the one before that.
	i, _ := slices.BinarySearchFunc(list, e.Seq, func(x *loss, seq uint64) int {
		if x.fault.Seq <= seq {
			return -1
		}
		return 1
	})
	seq := int64(e.Seq)
	for j := i; j < len(list) && list[j].seqs.from < seq && (j == i || list[j].fault.Seq == list[i].fault.Seq); j++ {
		list[j].before, list[j].seqs.from = e.Time(), seq
	}
	for j := i - 1; j >= 0 && (list[j].seqs.to < 0 || list[j].seqs.to > seq) && (j == i-1 || list[j].fault.Seq == list[i-1].fault.Seq); j-- {
		list[j].after, list[j].seqs.to = e.Time(), seq
	}
}

// outside reports whether a loss may be before or after all that was read, where that
// does not begin or end with the trail.
func (x *loss) outside(begins, ends bool) bool {
	if l := x.fault.Lost; l != nil && (l.From != audit.NoTime || l.To != audit.NoTime) {
		return false
	}
	return begins && x.before == audit.NoTime || ends && x.after == audit.NoTime
}

// gap is what a loss amounts to.
func (x *loss) gap() Gap {
	g := Gap{Cluster: x.fault.Cluster, Server: x.fault.Server, From: Time(x.before), To: Time(x.after), Cause: Hole}
	if g.Server == "" {
		g.Source = logName(x.fault.Source)
	}
	if l := x.fault.Lost; l != nil {
		g.Cause, g.Events = l.Cause, l.Events
		if l.From != audit.NoTime {
			g.From = Time(l.From)
		}
		if l.To != audit.NoTime {
			g.To = Time(l.To)
		}
	}
	return g
}

// withLosses adds what the trail said it lost to the gaps that were found. A silence in
// which something was lost is that loss.
func (d *Detector) withLosses(r Report) Report {
	for _, list := range d.losses {
		for _, x := range list {
			if !x.outside(d.begins, d.ends) {
				r.addLoss(d, x)
			}
		}
	}
	r.More += d.unread
	return r
}

func (r *Report) addLoss(d *Detector, x *loss) {
	g := x.gap()
	if g.From != audit.NoTime && g.To != audit.NoTime && g.From > g.To {
		g.From, g.To = g.To, g.From // sources are in about the order of time only
	}
	for i := range r.Gaps {
		o := &r.Gaps[i]
		if o.Cluster != g.Cluster || o.Server != g.Server || o.Source != g.Source || !o.holds(g) {
			continue
		}
		if o.Cause == Silence || o.Cause == g.Cause {
			o.Cause, o.Events = g.Cause, cmp.Or(g.Events, o.Events)
			return
		}
	}
	if s := d.servers[serverKey{g.Cluster, g.Server, g.Source}]; s != nil && g.Events == 0 && g.Length() > 0 {
		g.Events = s.rate.estimate(g.Length().Microseconds())
	}
	r.Gaps = append(r.Gaps, g)
}

// holds reports whether g, whose ends are known, and o have some time in common.
func (g *Gap) holds(o Gap) bool {
	switch {
	case g.From == audit.NoTime || g.To == audit.NoTime || o.From == audit.NoTime && o.To == audit.NoTime:
		return false
	case o.To == audit.NoTime:
		return g.From <= o.From && o.From < g.To
	case o.From == audit.NoTime:
		return g.From < o.To && o.To <= g.To
	case o.From == o.To:
		return g.From < o.From && o.To < g.To
	}
	return g.From < o.To && o.From < g.To
}
