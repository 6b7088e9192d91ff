package file

import (
	"context"
	"errors"
	"io"

	"kubetrail/audit"
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
	p := &passing{trail: t, visit: visit}
	for _, in := range t.cfg.Inputs {
		err := in.Each(func(name string, plain io.Reader) error {
			return p.content(ctx, name, plain)
		}, func(d *audit.Damage) {
			p.fault(trail.Fault{Source: in.Name, Cluster: t.cfg.Cluster, Reason: d.Error()})
		})
		if err != nil {
			return p.faults, err
		}
	}
	return p.faults, nil
}

// passing is one pass over the inputs.
type passing struct {
	trail  *Trail
	visit  func(*audit.Event) error
	event  audit.Event
	seq    uint64
	faults int
}

// looks is how many events are read between two looks at the context.
const looks = 256

func (p *passing) content(ctx context.Context, name string, plain io.Reader) error {
	r := audit.NewReader(plain, audit.ReaderConfig{Source: name, Cluster: p.trail.cfg.Cluster})
	e := &p.event
	for n := 0; ; n++ {
		if n%looks == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		err := r.Next(e)
		if f, ok := errors.AsType[*audit.Fault](err); ok {
			p.fault(trail.Fault{Source: name, Cluster: p.trail.cfg.Cluster,
				Offset: f.Offset, Length: f.Length, Reason: f.Reason, Head: f.Head})
			continue
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
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
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.faults > t.reported {
		t.reported = p.faults
		if t.cfg.OnFault != nil {
			t.cfg.OnFault(f)
		}
	}
}
