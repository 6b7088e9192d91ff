package answer

import (
	"context"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/cause"
	"kubetrail/internal/history"
	"kubetrail/internal/output"
	"kubetrail/internal/query"
	"kubetrail/internal/tally"
	"kubetrail/internal/trail"
)

// tracing finds out whose consequence the writes of controllers are.
type tracing struct {
	tracer *cause.Tracer
	roots  map[uint64]*Change  // the rows of writes by others than controllers, by number
	waits  map[uint64]struct{} // the writes of controllers that were asked about
}

// lead is how long before the time asked about a write is looked at for what it caused.
const lead = 5 * time.Minute

// traceable asks for the writes that a tracer learns from: all but signs of life.
const traceable = "(" + changing + ") and responseStatus.code < 400 and not objectRef.resource:(leases or events or subjectaccessreviews or tokenreviews)"

// untraced tells the resources that are not traceable.
func untraced(resource string) bool {
	switch resource {
	case "", "leases", "events", "subjectaccessreviews", "tokenreviews":
		return true
	}
	return false
}

// newTracing reads the writes in the time of q, whatever else q asks for. It returns nil
// where there are more than limit.
func newTracing(ctx context.Context, r trail.Reader, q trail.Query, limit int) (*tracing, error) {
	verb, err := audit.Resolve("verb")
	if err != nil {
		return nil, err
	}
	wide := trail.Query{Since: q.Since, Until: q.Until}
	if q.Since != audit.NoTime {
		wide.Since -= lead.Microseconds()
	}
	wide = tally.Requests(wide)
	wide.Where = query.Both(wide.Where, tally.Must(traceable))
	n, err := r.Aggregate(ctx, wide, []audit.Ref{verb}, 1)
	if err != nil || n.Events > uint64(limit) {
		return nil, err
	}
	t := &tracing{cause.New(cause.Config{Window: 100 * 365 * 24 * time.Hour, Writes: limit}), map[uint64]*Change{}, map[uint64]struct{}{}}
	err = r.Search(ctx, wide, trail.Page{Oldest: true, Columns: cause.Columns}, func(e *audit.Event) error {
		t.tracer.Note(e)
		return nil
	})
	return t, err
}

// consequences gives each write of a controller to the row of what caused it, where
// that has one, and to a row of its own otherwise.
func (t *tracing) consequences(ctx context.Context, r trail.Reader, q trail.Query, c *changes) error {
	wide := tally.Requests(trail.Query{Since: q.Since, Until: q.Until})
	wide.Where = query.Both(wide.Where, tally.Must(traceable))
	return tally.Scan(ctx, r, wide, cause.Columns|changesColumns, func(e *audit.Event) error {
		switch {
		case !tally.Ended(e):
		case !machine(e):
			if d := t.roots[e.Seq]; d != nil && d.Detail == "" {
				chain := t.tracer.Trace(e)
				d.Detail = detail(&chain, c.cfg.Chinese)
			}
		case history.Classify(e) != history.Real && !c.cfg.All:
		default:
			chain := t.tracer.Trace(e)
			if root := t.root(&chain); root != nil {
				root.follow(e, &chain)
			} else if _, wanted := t.waits[e.Seq]; wanted {
				c.count(e, history.Real, why(&chain, c.cfg.Chinese))
			}
		}
		return nil
	})
}

// root is the row of what a chain begins with, nil where it is not shown.
func (t *tracing) root(c *cause.Chain) *Change {
	if c.Root == nil || c.Root.OwnAccord || len(c.Links) < 2 {
		return nil
	}
	return t.roots[c.Links[0].Event.Seq]
}

// why says what a controller reacted to, where that is no row, in few words.
func why(c *cause.Chain, chinese bool) string {
	switch {
	case c.Why != nil:
		return c.Why.Words(chinese)
	case c.Root != nil && len(c.Links) > 1:
		name := output.Plain(c.Root.Name, false)
		return either(chinese, "起因：", "because ") + name + " " + c.Links[0].Did.Words(chinese)
	}
	return ""
}

// detail is what a request did, where that says more than its verb.
func detail(c *cause.Chain, chinese bool) string {
	if len(c.Links) != 1 {
		return ""
	}
	switch did := c.Links[0].Did; did.Kind {
	case "scaledTo":
		return either(chinese, "副本数 ", "replicas ") + output.Plain(did.Values[len(did.Values)-1], false)
	case "cordoned":
		return either(chinese, "设为不可调度", "cordoned")
	}
	return ""
}

// follow notes a write that d caused.
func (d *Change) follow(e *audit.Event, c *cause.Chain) {
	k := followKey{string(e.Text[audit.Verb]), string(e.Text[audit.APIGroup]), string(e.Text[audit.Resource]), string(e.Text[audit.Subresource])}
	if d.follows == nil {
		d.follows = map[followKey]*follow{}
	}
	if d.follows[k] == nil {
		d.follows[k] = &follow{}
	}
	d.follows[k].count++
	if d.ConsequenceCount++; len(d.Consequences) < consequencesKept {
		last := c.Links[len(c.Links)-1]
		d.Consequences = append(d.Consequences, Consequence{Event: last.Event, By: last.Actor.Name, Verb: k.verb,
			Resource: output.Resource(e), Object: last.Object.String(), Strength: string(c.Strength)})
	}
}
