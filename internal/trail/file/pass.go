package file

import (
	"cmp"
	"context"
	"errors"
	"io"

	"kubetrail/audit"
	"kubetrail/internal/destination"
	"kubetrail/internal/klog"
	"kubetrail/internal/trail"
)

// pass reads every input once and gives each event to visit, numbered and labelled.
// An error of visit ends it and is returned as it is.
func (t *Trail) pass(ctx context.Context, visit func(*audit.Event) error) error {
	_, err := t.read(ctx, visit)
	return err
}

// read is pass, and returns the number of faults.
func (t *Trail) read(ctx context.Context, visit func(*audit.Event) error) (faults int, err error) {
	return t.readWith(ctx, &passing{trail: t, visit: visit})
}

// Faults implements [trail.Reader]: one pass.
func (t *Trail) Faults(ctx context.Context, yield func(trail.Fault) error) error {
	p := &passing{trail: t, tell: yield, visit: func(*audit.Event) error { return nil }}
	_, err := t.readWith(ctx, p)
	return cmp.Or(p.ended, err, ctx.Err())
}

func (t *Trail) readWith(ctx context.Context, p *passing) (faults int, err error) {
	for _, in := range t.cfg.Inputs {
		err := in.Each(func(name string, plain io.Reader) error {
			return p.content(ctx, in, name, plain)
		}, func(d *audit.Damage) {
			p.fault(trail.Fault{Source: in.Name, Cluster: t.cfg.Cluster, Reason: d.Error()})
		})
		if err = cmp.Or(p.ended, err); err != nil {
			return p.faults, err
		}
	}
	return p.faults, nil
}

// passing is one pass over the inputs.
type passing struct {
	trail  *Trail
	visit  func(*audit.Event) error
	tell   func(trail.Fault) error // of every fault; may be nil
	ended  error                   // of tell
	event  audit.Event
	known  destination.Known
	seq    uint64
	faults int
}

// looks is how many events are read between two looks at the context.
const looks = 256

func (p *passing) content(ctx context.Context, in Input, name string, plain io.Reader) error {
	cfg := audit.ReaderConfig{Source: name, Cluster: p.trail.cfg.Cluster}
	var next func(*audit.Event) error
	if in.Decode != nil {
		next = in.Decode(plain, cfg)
	} else {
		next = audit.NewReader(plain, cfg).Next
	}
	e := &p.event
	for n := 0; ; n++ {
		if p.ended != nil {
			return p.ended
		}
		if n%looks == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		err := next(e)
		if f, ok := errors.AsType[*audit.Fault](err); ok {
			fault := trail.Fault{Source: name, Cluster: p.trail.cfg.Cluster,
				Offset: f.Offset, Length: f.Length, Reason: f.Reason, Head: f.Head}
			if l, ok := errors.AsType[*klog.Loss](err); ok {
				fault.Lost = &trail.Loss{From: l.From, To: l.To, Events: l.Events, Cause: l.Cause}
			}
			p.fault(fault)
			continue
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		e.Text[audit.Destination] = destination.Of(e, &p.known)
		e.Seq = p.seq
		p.seq++
		if err := p.visit(e); err != nil {
			return err
		}
	}
}

// fault tells OnFault what no earlier pass has told it. Every pass meets the same
// faults in the same order.
func (p *passing) fault(f trail.Fault) {
	p.faults++
	t := p.trail
	f.Seq = p.seq
	if p.tell != nil && p.ended == nil {
		p.ended = p.tell(f)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.faults > t.reported {
		t.reported = p.faults
		if t.cfg.OnFault != nil {
			t.cfg.OnFault(f)
		}
	}
}
