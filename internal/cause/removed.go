package cause

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/query"
	"kubetrail/internal/schema"
	"kubetrail/internal/trail"
)

// Gone is one object that was removed.
type Gone struct {
	Object   Object          `json:"object"`
	Event    output.EventRef `json:"event"` // the request that removed it
	Strength Strength        `json:"strength"`
	Why      Fact            `json:"why"`
}

// Count is how many objects of one resource were removed.
type Count struct {
	Group    string `json:"group,omitempty"`
	Resource string `json:"resource"`
	Certain  int    `json:"certain"`
	Likely   int    `json:"likely"`
	Unknown  int    `json:"unknown"` // may have been removed, or not
}

// Removal is what one request removed, by itself or through controllers.
type Removal struct {
	Event  output.EventRef `json:"event"`
	Actor  Actor           `json:"actor"`
	Kind   string          `json:"kind"` // collection, namespace, drain, or owner: what belonged to it
	Did    Fact            `json:"did"`
	Items  []Gone          `json:"items"`
	Left   int             `json:"leftOut,omitempty"` // items beyond what is kept
	Counts []Count         `json:"counts"`

	// Over is the request that ended the deletion of a namespace; nil: none is recorded.
	Over *output.EventRef `json:"over,omitempty"`
}

const (
	maxGone = 10_000         // items of a Removal
	maxSeen = 50_000         // requests that are looked at for one
	longest = 24 * time.Hour // that a namespace is deleted for
	story   = 5 * time.Minute
)

// seenColumns are enough to know which objects exist.
var seenColumns = output.RefColumns | audit.Set(audit.Received, audit.Verb, audit.RequestURI, audit.UserAgent, audit.Username,
	audit.ImpersonatedUsername, audit.Resource, audit.Namespace, audit.Name, audit.APIGroup, audit.Subresource, audit.Code)

// Removed tells what e removed: a deletecollection, the deletion of a namespace, that of
// an object which owned others, or an eviction or cordon of kubectl drain, for which it
// is all that was evicted by the same subject in the minutes around. For any other event
// it returns nothing. e must have the [Columns].
func Removed(ctx context.Context, r trail.Reader, e *audit.Event) (Removal, error) {
	t := New(Config{Window: 100 * 365 * 24 * time.Hour})
	w := t.write(e)
	if w == nil {
		return Removal{}, nil
	}
	x := &remover{t: t, r: r, at: map[key]int{}}
	x.Removal = Removal{Event: output.Ref(e), Actor: w.actor, Did: w.did()}
	var err error
	switch {
	case w.verb == "deletecollection":
		x.Kind = "collection"
		err = x.collection(ctx, w)
	case w.verb == "delete" && w.key.resource == "namespaces" && w.sub == "":
		x.Kind = "namespace"
		err = x.namespace(ctx, w)
	case w.sub == "eviction" && w.key.resource == "pods", w.key.resource == "nodes" && w.sub == "" && (w.verb == "patch" || w.verb == "update"):
		x.Kind = "drain"
		err = x.drain(ctx, w)
	case w.verb == "delete" && w.sub == "" && w.controller == "" && w.key.namespace != "":
		x.Kind = "owner"
		err = x.dependents(ctx, e, w)
	default:
		return Removal{}, nil
	}
	x.count()
	return x.Removal, err
}

type remover struct {
	Removal
	t  *Tracer
	r  trail.Reader
	at map[key]int // where an object is in Items
}

// add enters an object, or more certainty about one.
func (x *remover) add(g Gone) {
	id := key{g.Object.Group, g.Object.Resource, g.Object.Namespace, g.Object.Name}
	if i, ok := x.at[id]; ok {
		if weaker(x.Items[i].Strength, g.Strength) != g.Strength {
			x.Items[i] = g
		}
		return
	}
	if len(x.Items) == maxGone {
		x.Left++
		return
	}
	x.at[id] = len(x.Items)
	x.Items = append(x.Items, g)
}

func (w *write) eventRef() output.EventRef {
	return output.EventRef{Time: output.RFC3339(w.end), AuditID: w.event.auditID, Stage: w.event.stage, Seq: w.event.seq, Cluster: w.event.cluster}
}

// listed adds what the answer to a deletecollection lists.
func (x *remover) listed(w *write) {
	for _, i := range w.items {
		o := Object{Group: w.key.group, Resource: w.key.resource, Namespace: i.namespace, Name: i.name, UID: i.uid}
		if o.Namespace == "" {
			o.Namespace = w.key.namespace
		}
		x.add(Gone{Object: o, Event: w.eventRef(), Strength: Certain, Why: fact("listed")})
	}
}

func (x *remover) collection(ctx context.Context, w *write) error {
	x.listed(w)
	if w.has(listed) {
		return nil
	}
	where := "objectRef.resource:" + query.Quote(w.key.resource)
	if w.key.namespace != "" {
		where += " and ns:" + query.Quote(w.key.namespace)
	}
	known, err := x.existed(ctx, where, w.at)
	if err != nil {
		return err
	}
	for _, k := range known {
		if k.group == w.key.group && k.resource == w.key.resource {
			x.guessed(w, k)
		}
	}
	return nil
}

// guessed adds an object that was there when w deleted a collection.
func (x *remover) guessed(w *write, k key) {
	g := Gone{Object: k.object(), Event: w.eventRef(), Strength: Likely, Why: fact("collection")}
	if w.has(selective) {
		g.Strength, g.Why = Unknown, fact("selector")
	}
	x.add(g)
}

// existed returns the objects that were written to before, and not deleted since.
func (x *remover) existed(ctx context.Context, where string, at int64) (known []key, err error) {
	n, err := query.Parse("(" + where + ") and verb:(create or update or patch or delete) and code >= 200 and code < 300 and stage:ResponseComplete")
	if err != nil {
		return nil, err
	}
	seen := map[key]bool{}
	q := trail.Query{Where: n, Since: audit.NoTime, Until: at}
	err = x.r.Search(ctx, q, trail.Page{Limit: maxSeen, Columns: seenColumns}, func(e *audit.Event) error {
		w := x.t.write(e)
		if w == nil || w.key.name == "" || seen[w.key] {
			return nil
		}
		seen[w.key] = true
		if w.verb != "delete" && w.key.resource != "events" && w.key.resource != "namespaces" {
			known = append(known, w.key)
		}
		return nil
	})
	slices.SortFunc(known, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.resource, b.resource), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	})
	return known, err
}

func (x *remover) namespace(ctx context.Context, w *write) error {
	ns := w.key.name
	known, err := x.existed(ctx, "ns:"+query.Quote(ns), w.at)
	if err != nil {
		return err
	}
	n, err := query.Parse("ns:" + query.Quote(ns) + " and stage:ResponseComplete and code >= 200 and code < 300 and " +
		"(verb:(deletecollection or delete) or sub:finalize or verb:create and objectRef.resource:namespaces)")
	if err != nil {
		return err
	}
	q := trail.Query{Where: n, Since: w.at, Until: w.at + longest.Microseconds()}
	over := false
	return x.r.Search(ctx, q, trail.Page{Limit: maxSeen, Oldest: true, Columns: Columns}, func(e *audit.Event) error {
		d := x.t.write(e)
		switch {
		case d == nil || over:
		case d.key.resource == "namespaces" && d.verb == "create":
			over = true // another one of that name
		case d.sub == "finalize":
			ref := output.Ref(e)
			x.Over = &ref
		case d.verb == "deletecollection" && d.controller == "namespace-controller":
			x.listed(d)
			for _, k := range known {
				if !d.has(listed) && k.group == d.key.group && k.resource == d.key.resource {
					x.guessed(d, k)
				}
			}
		case d.verb == "delete" && d.controller != "" && d.key.resource != "namespaces" && d.key.resource != "events" && d.sub == "":
			x.add(Gone{Object: d.key.object(), Event: output.Ref(e), Strength: Certain, Why: fact("namespace")})
		}
		return nil
	})
}

// dependents adds what the garbage collector deleted in the next minutes because of w.
func (x *remover) dependents(ctx context.Context, e *audit.Event, w *write) error {
	x.t.Note(e)
	q := trail.Query{Since: w.at - story.Microseconds(), Until: w.at + story.Microseconds()}
	page := trail.Page{Limit: maxSeen, Oldest: true, Columns: Columns}
	var after []*write
	where := "ns:" + query.Quote(w.key.namespace) + " and not objectRef.resource:(events or leases) and not sub:status"
	if err := x.t.learnInto(ctx, x.r, q, where, page, func(*audit.Event) {}); err != nil {
		return err
	}
	for _, d := range x.t.spaces[w.key.namespace] {
		if d.verb == "delete" && d.controller == "generic-garbage-collector" && d.at >= w.at {
			after = append(after, d)
		}
	}
	for _, d := range after {
		a := x.t.solve(d, 0)
		first := a
		for first.from != nil {
			first = first.from
		}
		if a.root != nil && first.w.event == x.t.find(w).event {
			x.add(Gone{Object: d.key.object(), Event: d.eventRef(), Strength: a.strength, Why: a.facts[0]})
		}
	}
	return nil
}

func (x *remover) drain(ctx context.Context, w *write) error {
	where := "user:" + query.Quote(w.actor.User) + " and sub:eviction and objectRef.resource:pods"
	if w.actor.As != "" {
		where += " and as:" + query.Quote(w.actor.As)
	}
	n, err := query.Parse(where + " and verb:create and code >= 200 and code < 300 and stage:ResponseComplete")
	if err != nil {
		return err
	}
	q := trail.Query{Where: n, Since: w.at - story.Microseconds(), Until: w.at + story.Microseconds()}
	return x.r.Search(ctx, q, trail.Page{Limit: maxGone, Oldest: true, Columns: seenColumns}, func(e *audit.Event) error {
		if d := x.t.write(e); d != nil && d.actor == w.actor && d.key.name != "" {
			x.add(Gone{Object: d.key.object(), Event: output.Ref(e), Strength: Certain, Why: d.did()})
		}
		return nil
	})
}

// count fills in Counts, the resources with most objects first.
func (x *remover) count() {
	index := map[[2]string]int{}
	for _, g := range x.Items {
		id := [2]string{g.Object.Group, g.Object.Resource}
		i, ok := index[id]
		if !ok {
			i = len(x.Counts)
			index[id] = i
			x.Counts = append(x.Counts, Count{Group: id[0], Resource: id[1]})
		}
		switch c := &x.Counts[i]; g.Strength {
		case Certain:
			c.Certain++
		case Likely:
			c.Likely++
		default:
			c.Unknown++
		}
	}
	slices.SortStableFunc(x.Counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Certain+b.Likely+b.Unknown, a.Certain+a.Likely+a.Unknown), cmp.Compare(a.Resource, b.Resource))
	})
}

// Words says a removal in one line:
//
//	kubernetes-admin deleted Namespace sandbox: 12 objects went (5 configmaps, 6 secrets, 1 pod)
func (r *Removal) Words(chinese bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", r.Actor.words(chinese), r.Did.Words(chinese))
	sure, unsure := 0, 0
	for _, c := range r.Counts {
		sure += c.Certain + c.Likely
		unsure += c.Unknown
	}
	fmt.Fprintf(&b, pick(chinese, "：共删除 %d 个对象", ": %d objects went"), sure)
	if unsure > 0 {
		fmt.Fprintf(&b, pick(chinese, "，另有 %d 个无法确定", ", and perhaps %d more"), unsure)
	}
	for i, c := range r.Counts {
		if i == 8 {
			b.WriteString(pick(chinese, "……", ", …"))
			break
		}
		b.WriteString(pick(i == 0, pick(chinese, "（", " ("), pick(chinese, "、", ", ")))
		b.WriteString(c.words(chinese))
	}
	if len(r.Counts) > 0 {
		b.WriteString(pick(chinese, "）", ")"))
	}
	return b.String()
}

// words is a count as people write it: 2 pods, 1 replicaset; 2 个 Pod.
func (c *Count) words(chinese bool) string {
	n, name := c.Certain+c.Likely+c.Unknown, output.Plain(c.Resource, false)
	r := schema.Find(c.Group, c.Resource)
	switch {
	case chinese && r != nil:
		return fmt.Sprintf("%d 个 %s", n, r.Kind)
	case chinese:
		return fmt.Sprintf("%d 个 %s", n, name)
	case r != nil && n == 1:
		name = r.Singular
	}
	return fmt.Sprintf("%d %s", n, name)
}
