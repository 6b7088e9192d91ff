package cause

import (
	"context"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

// Reach bounds what Of asks a trail for.
const (
	reachBefore = 15 * time.Minute // before the event
	reachAgents = 24 * time.Hour   // for who reports the status of nodes, unless it is a kubelet
	reachAfter  = 5 * time.Second  // what comes after it may name what it does not
	reachRows   = 5_000            // requests of the namespace, newest first
)

// Of tells through whom e happened, by asking r for what was written shortly before in
// its namespace, and for what is known of the objects that it belongs to. It reads at
// most some thousand events. e must have the [Columns].
func Of(ctx context.Context, r trail.Reader, e *audit.Event) (Chain, error) {
	t := New(Config{Window: 100 * 365 * 24 * time.Hour})
	w := t.write(e)
	if w == nil || w.controller == "" && !reports(w) {
		return t.Trace(e), nil
	}
	at := e.Time()
	if err := t.agentsOf(ctx, r, at); err != nil {
		return Chain{}, err
	}
	t.Note(e)
	near := trail.Query{Since: at - reachBefore.Microseconds(), Until: at + reachAfter.Microseconds()}
	where := "objectRef.resource:(namespaces or nodes or clusterroles or customresourcedefinitions)"
	if w.key.namespace != "" {
		where = "ns:" + query.Quote(w.key.namespace) + " or objectRef.resource:nodes or objectRef.resource:namespaces and objectRef.name:" + query.Quote(w.key.namespace) +
			" or sub:token and ns:kube-system"
	} else if w.key.resource != "namespaces" && w.key.resource != "nodes" {
		where = "objectRef.resource:(" + query.Quote(w.key.resource) + " or customresourcedefinitions)"
	}
	if w.key.resource != "events" {
		where = "(" + where + ") and not objectRef.resource:events"
	}
	if err := t.learn(ctx, r, near, where, reachRows); err != nil {
		return Chain{}, err
	}
	// What it belongs to may have been made or changed long before.
	asked := map[key]bool{}
	for range 4 {
		var wanted []key
		for _, k := range t.ancestors(w) {
			if !asked[k] {
				asked[k] = true
				wanted = append(wanted, k)
			}
		}
		if len(wanted) == 0 {
			break
		}
		for _, k := range wanted {
			q := trail.Query{Since: audit.NoTime, Until: near.Since}
			if err := t.learn(ctx, r, q, k.question(), 10); err != nil {
				return Chain{}, err
			}
		}
	}
	return t.Trace(e), nil
}

// agentsOf learns who reports the status of nodes by another name than that of a node.
func (t *Tracer) agentsOf(ctx context.Context, r trail.Reader, at int64) error {
	q := trail.Query{Since: at - reachAgents.Microseconds(), Until: at + reachAfter.Microseconds()}
	return t.learn(ctx, r, q, "objectRef.resource:nodes and sub:status and not user:system*", 20)
}

// question asks for the writes to one object.
func (k key) question() string {
	q := "objectRef.resource:" + query.Quote(k.resource) + " and objectRef.name:" + query.Quote(k.name) + " and not sub:status"
	if k.namespace != "" {
		q += " and ns:" + query.Quote(k.namespace)
	}
	return q
}

// learn notes the answers of r to a question, the newest up to a number.
func (t *Tracer) learn(ctx context.Context, r trail.Reader, q trail.Query, where string, rows int) error {
	return t.learnInto(ctx, r, q, where, trail.Page{Limit: rows, Columns: Columns}, func(*audit.Event) {})
}

// learnInto does so for a page of them, and shows them to seen.
func (t *Tracer) learnInto(ctx context.Context, r trail.Reader, q trail.Query, where string, page trail.Page, seen func(*audit.Event)) error {
	n, err := query.Parse("(" + where + ") and verb:(create or update or patch or delete or deletecollection) and code >= 200 and code < 300 and stage:ResponseComplete")
	if err != nil {
		return err
	}
	q.Where = n
	return r.Search(ctx, q, page, func(e *audit.Event) error {
		seen(e)
		if w := t.write(e); w != nil && t.find(w) == nil {
			t.Note(e)
		}
		return nil
	})
}

// ancestors are the objects above that of w, as far as they are known, and w's own.
func (t *Tracer) ancestors(w *write) []key {
	found := []key{w.key}
	for i := 0; i < len(found) && len(found) < 8; i++ {
		k := found[i]
		as := *w
		as.key = k
		if k != w.key {
			as.flags, as.uid = as.flags&^bodied, ""
		}
		if refs, _, known := t.owners(&as); known {
			for _, r := range refs {
				if at, ok := resourceOf[r.Kind]; ok {
					found = append(found, key{at[0], at[1], w.key.namespace, r.Name})
				}
			}
			continue
		}
		for _, k := range namesake(k) {
			if t.objects[k] != nil || k.resource == "deployments" || k.resource == "replicasets" {
				found = append(found, k)
			}
		}
	}
	if w.key.name == "" {
		found = found[1:]
	}
	return found
}
