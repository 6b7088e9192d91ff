package history

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/query"
	"kubetrail/internal/skew"
	"kubetrail/internal/trail"
)

// What the reading of a history keeps at most.
const (
	maxEvents  = 200_000  // of an object
	maxWaiting = 32 << 20 // bytes of bodies that wait for their turn
	maxPlaces  = 16       // objects of the same name that are told apart
)

// columns are what is needed of an event without its bodies.
var columns = ClassColumns | output.RefColumns | audit.Set(audit.Server, audit.ImpersonatedUsername, audit.ImpersonatedGroups,
	audit.ObjectUID, audit.APIVersion, audit.ResourceVersion, audit.Destination, audit.Annotations, audit.SourceIPs)

// mark is what the first pass keeps of an event: where it stands.
type mark struct {
	seq uint64
	skew.Moment
	cluster, server string
}

// Ambiguous is the error for a name that several objects have.
type Ambiguous struct{ Places []string }

func (a *Ambiguous) Error() string {
	return "several objects have this name: " + strings.Join(a.Places, ", ")
}

// reader reads the events of an object twice: first to learn in which order they
// happened, whatever clocks say, then one after the other with their bodies.
type reader struct {
	trail   trail.Reader
	target  *Target
	q       trail.Query
	columns audit.Columns
	rank    map[uint64]int // by number of the event
	beats   uint64         // events that renew a sign of life, which were only counted
	left    int            // events beyond maxEvents

	seed maphash.Seed
	seen [32]seen // the latest events
	next int

	// kept are the events in the order in which they happened, where together they are
	// small enough to be kept by the first pass: then there is no second.
	kept []*audit.Event
}

// each calls take for the events of the object in the order in which they happened. The
// event belongs to the reader again when take returns.
func (r *reader) each(ctx context.Context, take func(*audit.Event) error) error {
	yield := func(e *audit.Event) error {
		if err := ctx.Err(); err != nil {
			return err // to work out one version may take long
		}
		if r.again(e) {
			return nil
		}
		return take(e)
	}
	if r.kept != nil {
		for i, e := range r.kept {
			r.kept[i] = nil
			if err := yield(e); err != nil {
				return err
			}
		}
		return nil
	}
	waiting, size, next := map[int]*audit.Event{}, 0, 0
	err := r.trail.Search(ctx, r.q, trail.Page{Oldest: true, Columns: r.columns | bodies}, func(e *audit.Event) error {
		at, ok := r.rank[e.Seq]
		if !ok {
			return nil // it came after the first pass
		}
		if at != next {
			kept := keep(e, size > maxWaiting)
			size += len(kept.RequestObject) + len(kept.ResponseObject)
			waiting[at] = kept
			return nil
		}
		for e != nil {
			if err := yield(e); err != nil {
				return err
			}
			next++
			if e = waiting[next]; e != nil {
				size -= len(e.RequestObject) + len(e.ResponseObject)
				delete(waiting, next)
			}
		}
		return nil
	})
	for _, at := range slices.Sorted(maps.Keys(waiting)) { // an event before them went away meanwhile
		if err == nil {
			err = yield(waiting[at])
		}
	}
	return err
}

// again reports whether an event is one of the latest ones once more, which came from two
// sources: from the log and over the webhook. A request cannot be told so twice by its
// audit ID alone, which the client may choose, but by the microseconds of its stages.
func (r *reader) again(e *audit.Event) bool {
	var h maphash.Hash
	h.SetSeed(r.seed)
	for _, c := range []audit.Column{audit.AuditID, audit.Stage, audit.Verb, audit.Username, audit.RequestURI, audit.UserAgent} {
		h.Write(e.Text[c])
		h.WriteByte(0)
	}
	k := seen{h.Sum64(), e.Received, e.Staged, e.Code}
	if slices.Contains(r.seen[:], k) {
		return true
	}
	r.seen[r.next%len(r.seen)] = k
	r.next++
	return false
}

// seen is what an event is known again by.
type seen struct {
	hash             uint64
	received, staged int64
	code             int32
}

var bodies = audit.Set(audit.RequestObject, audit.ResponseObject)

// keep copies an event, without its bodies where they are too many to be kept.
func keep(e *audit.Event, bare bool) *audit.Event {
	k := &audit.Event{Form: e.Form, Received: e.Received, Staged: e.Staged, Nanos: e.Nanos, Code: e.Code, Offset: e.Offset, Seq: e.Seq}
	for i, t := range e.Text {
		k.Text[i] = bytes.Clone(t)
	}
	if !bare {
		k.RequestObject, k.ResponseObject = bytes.Clone(e.RequestObject), bytes.Clone(e.ResponseObject)
	}
	return k
}

// read makes the first pass. It settles the namespace and cluster of the target where
// they were not given.
func read(ctx context.Context, r trail.Reader, t *Target, until int64, all bool, more audit.Columns) (*reader, error) {
	if err := t.settle(ctx, r); err != nil {
		return nil, err
	}
	own, beats, err := t.questions(all)
	if err != nil {
		return nil, err
	}
	x := &reader{trail: r, target: t, q: trail.Query{Where: own, Since: audit.NoTime, Until: until}, columns: columns | more, rank: map[uint64]int{}, seed: maphash.MakeSeed()}
	if beats != nil && !all {
		if x.beats, err = count(ctx, r, trail.Query{Where: beats, Since: audit.NoTime, Until: until}); err != nil {
			return nil, err
		}
	}
	clocks := skew.New()
	var marks []mark
	kept, size := []*audit.Event{}, 0
	err = r.Search(ctx, x.q, trail.Page{Oldest: true, Columns: x.columns | bodies | skew.Columns() | audit.Set(audit.Seq)}, func(e *audit.Event) error {
		if len(marks) == maxEvents {
			x.left++
			return nil
		}
		if size += weight(e); size > maxWaiting {
			kept = nil
		} else {
			kept = append(kept, keep(e, false))
		}
		clocks.Add(e)
		m := mark{seq: e.Seq, Moment: clocks.Moment(e, 0)}
		if n := len(marks); n > 0 && marks[n-1].server == string(e.Text[audit.Server]) {
			m.server, m.cluster = marks[n-1].server, marks[n-1].cluster
		} else {
			m.server, m.cluster = string(e.Text[audit.Server]), string(e.Text[audit.Cluster])
		}
		marks = append(marks, m)
		return nil
	})
	if err != nil {
		return nil, err
	}
	x.order(marks, clocks)
	if kept != nil {
		x.kept = make([]*audit.Event, len(kept))
		for _, e := range kept {
			x.kept[x.rank[e.Seq]] = e
		}
	}
	return x, nil
}

// weight is about how many bytes an event takes where it is kept.
func weight(e *audit.Event) int {
	n := 1<<10 + len(e.RequestObject) + len(e.ResponseObject)
	for _, t := range e.Text {
		n += len(t)
	}
	return n
}

// order ranks events by the versions of the object, and by corrected times.
func (x *reader) order(marks []mark, clocks *skew.Estimator) {
	skews := clocks.Skews(x.target.Cluster)
	skew.Sort(marks, func(m mark) skew.Moment {
		if k := skews[m.server]; k.Known && m.Time != audit.NoTime {
			m.Time -= k.Estimate()
		}
		return m.Moment
	})
	for i, m := range marks {
		x.rank[m.seq] = i
	}
}

// count returns how many events answer.
func count(ctx context.Context, r trail.Reader, q trail.Query) (uint64, error) {
	by, err := audit.Resolve("verb")
	if err != nil {
		return 0, err
	}
	g, err := r.Aggregate(ctx, q, []audit.Ref{by}, 0)
	return g.Events, err
}

// settle finds the cluster and the namespace that the object is in.
func (t *Target) settle(ctx context.Context, r trail.Reader) error {
	own := "resource:" + query.Quote(t.Resource) + " and name:" + query.Quote(t.Name) + " and code < 400"
	if t.Cluster != "" {
		own += " and cluster:" + query.Quote(t.Cluster)
	}
	switch {
	case t.namespaced() && t.Namespace != "":
		own += " and ns:" + query.Quote(t.Namespace)
	case t.Group != "":
		own += " and apigroup:" + query.Quote(t.Group)
	}
	where, err := query.Parse(own)
	if err != nil {
		return err
	}
	var by []audit.Ref
	for _, name := range []string{"cluster", "ns"} {
		f, err := audit.Resolve(name)
		if err != nil {
			return err
		}
		by = append(by, f)
	}
	if t.Cluster == "" && (t.Namespace != "" || !t.namespaced()) {
		// In most trails there is one cluster, which is soon seen: nothing need be looked for.
		all, err := r.Aggregate(ctx, trail.Always(nil), by[:1], 2)
		if err != nil {
			return err
		}
		if all.Groups == 1 {
			t.Cluster = all.Rows[0].Key[0]
			return nil
		}
	}
	groups, err := r.Aggregate(ctx, trail.Always(where), by, 0)
	if err != nil {
		return err
	}
	clusters, namespaces := map[string]bool{}, map[string]bool{}
	for _, g := range groups.Rows {
		clusters[g.Key[0]], namespaces[g.Key[1]] = true, true
	}
	if !t.namespaced() {
		namespaces = map[string]bool{"": true}
	}
	if len(clusters) > 1 || len(namespaces) > 1 && t.Namespace == "" {
		return ambiguous(groups.Rows, len(clusters) > 1)
	}
	for _, g := range groups.Rows {
		t.Cluster = g.Key[0]
		if t.namespaced() {
			t.Namespace = g.Key[1]
		}
	}
	return nil
}

func ambiguous(groups []trail.Group, clusters bool) error {
	a := &Ambiguous{}
	for _, g := range groups {
		place := "-n " + g.Key[1]
		if clusters {
			place = fmt.Sprintf("--cluster %s -n %s", g.Key[0], g.Key[1])
		}
		a.Places = append(a.Places, place)
	}
	slices.Sort(a.Places)
	if len(a.Places) > maxPlaces {
		a.Places = append(a.Places[:maxPlaces], "…")
	}
	return a
}
