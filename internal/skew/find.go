package skew

import (
	"context"
	"slices"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

// Server is one API server as a trail has observed it.
type Server struct {
	Cluster string   `json:"cluster,omitempty"`
	Server  string   `json:"server,omitempty"` // empty where events do not tell which it was
	Events  uint64   `json:"events"`
	First   string   `json:"first,omitempty"` // RFC 3339; absent where no event has a time
	Last    string   `json:"last,omitempty"`
	Sources []string `json:"sources"` // some of them, by name
	More    int      `json:"moreSources,omitempty"`
	Passed  uint64   `json:"passedOn"` // events of requests that went on to somebody else
	Repeats uint64   `json:"repeats"`  // events of bodies that had come before
	Clock   Clock    `json:"clock"`
}

// Clock is by how many seconds the clock of an API server is ahead of that of the first
// of its cluster.
type Clock struct {
	State    string  `json:"state"` // one of those below
	Ahead    float64 `json:"aheadSeconds"`
	Within   float64 `json:"withinSeconds"`      // half the width of the bounds; only where it is known
	Unsteady bool    `json:"unsteady,omitempty"` // a clock was set: this is of the latest events
}

// The states of a Clock.
const (
	Reference  = "reference"  // the one that others are compared with
	Consistent = "consistent" // there may be no difference
	Estimated  = "estimated"  // there is a difference
	Unknown    = "unknown"
)

const (
	maxSources = 16     // named of one server
	maxGroups  = 10_000 // servers and their sources
	maxWrites  = 20_000 // of each server that are looked at
)

// Find lists the API servers of the events that answer q, by cluster and name. Clocks are
// compared in the latest writes of each server of a cluster that has several.
func Find(ctx context.Context, r trail.Reader, q trail.Query) ([]Server, error) {
	list, err := count(ctx, r, q)
	if err != nil {
		return nil, err
	}
	several := map[string]int{}
	for _, s := range list {
		several[s.Cluster]++
	}
	e := New()
	for i := range list {
		where, err := query.Parse(test("cluster", list[i].Cluster) + " and " + test("server", list[i].Server))
		if err != nil {
			return nil, err
		}
		own := trail.Query{Where: query.Both(q.Where, where), Since: q.Since, Until: q.Until}
		if list[i].First, err = end(ctx, r, own, true); err == nil {
			list[i].Last, err = end(ctx, r, own, false)
		}
		if err == nil && several[list[i].Cluster] > 1 {
			own.Where = query.Both(own.Where, written())
			err = r.Search(ctx, own, trail.Page{Limit: maxWrites, Columns: Columns()}, func(x *audit.Event) error {
				e.Add(x)
				return nil
			})
		}
		if err != nil {
			return nil, err
		}
	}
	for i := range list {
		list[i].Clock = e.clock(list[i].Cluster, list[i].Server, i == 0 || list[i-1].Cluster != list[i].Cluster)
	}
	return list, nil
}

// clock tells the skew of a server for people and programs.
func (e *Estimator) clock(cluster, server string, first bool) Clock {
	k := e.Skews(cluster)[server]
	switch {
	case first:
		return Clock{State: Reference, Unsteady: k.Unsteady}
	case !k.Known:
		return Clock{State: Unknown, Unsteady: k.Unsteady}
	}
	c := Clock{State: Estimated, Ahead: float64(k.Estimate()) / 1e6, Within: float64(k.High-k.Low) / 2e6, Unsteady: k.Unsteady}
	if k.Consistent() {
		c.State = Consistent
	}
	return c
}

// count lists the servers with what can be counted.
func count(ctx context.Context, r trail.Reader, q trail.Query) ([]Server, error) {
	by := refs("cluster", "server", "source")
	groups, err := r.Aggregate(ctx, q, by, maxGroups)
	if err != nil {
		return nil, err
	}
	var list []Server
	at := map[[2]string]int{}
	for _, g := range groups.Rows {
		k := [2]string{g.Key[0], g.Key[1]}
		i, ok := at[k]
		if !ok {
			i = len(list)
			at[k] = i
			list = append(list, Server{Cluster: k[0], Server: k[1], Sources: []string{}})
		}
		list[i].Events += g.Count
		if len(list[i].Sources) < maxSources {
			list[i].Sources = append(list[i].Sources, g.Key[2])
		} else {
			list[i].More++
		}
	}
	for question, to := range map[string]func(*Server) *uint64{
		"destination:*": func(s *Server) *uint64 { return &s.Passed },
		"is:repeat":     func(s *Server) *uint64 { return &s.Repeats },
	} {
		some := trail.Query{Where: query.Both(q.Where, parse(question)), Since: q.Since, Until: q.Until}
		groups, err := r.Aggregate(ctx, some, by[:2], maxGroups)
		if err != nil {
			return nil, err
		}
		for _, g := range groups.Rows {
			if i, ok := at[[2]string{g.Key[0], g.Key[1]}]; ok {
				*to(&list[i]) = g.Count
			}
		}
	}
	for i := range list {
		slices.Sort(list[i].Sources)
	}
	slices.SortFunc(list, func(a, b Server) int {
		return strings.Compare(a.Cluster+"\x00"+a.Server, b.Cluster+"\x00"+b.Server)
	})
	return list, nil
}

// end is the time of the first or last answer, as people read it.
func end(ctx context.Context, r trail.Reader, q trail.Query, oldest bool) (text string, err error) {
	page := trail.Page{Limit: 1, Oldest: oldest, Columns: audit.Set(audit.Staged, audit.Received)}
	if oldest && q.Since == audit.NoTime { // what has no time is not the first
		q.Since = audit.NoTime + 1
	}
	err = r.Search(ctx, q, page, func(e *audit.Event) error {
		if t := e.Time(); t != audit.NoTime {
			text = time.UnixMicro(t).UTC().Format("2006-01-02T15:04:05.000000Z")
		}
		return nil
	})
	return text, err
}

// test asks for the events whose field is value.
func test(field, value string) string {
	if value == "" {
		return "not " + field + ":*"
	}
	return field + `:"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

// written asks for what Add can use.
func written() *query.Node {
	return parse("verb:(create or update or patch) and code >= 200 and code < 300 and stage:ResponseComplete and not resource:events")
}

// parse reads a question that is written here.
func parse(text string) *query.Node {
	n, err := query.Parse(text)
	if err != nil {
		panic("skew: " + text + ": " + err.Error())
	}
	return n
}

func refs(names ...string) []audit.Ref {
	var out []audit.Ref
	for _, n := range names {
		r, err := audit.Resolve(n)
		if err != nil {
			panic("skew: " + err.Error())
		}
		out = append(out, r)
	}
	return out
}
