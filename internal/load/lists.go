package load

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/tally"
	"kubetrail/internal/trail"
)

// A List is what one client lists in one way, and how long that takes.
type List struct {
	User      string `json:"user"`
	Tool      string `json:"tool,omitempty"`
	Resource  string `json:"resource"`
	Namespace string `json:"namespace,omitempty"` // empty: of the whole cluster

	Unpaginated bool `json:"unpaginated"`       // no limit, or limit=0: all objects in one answer
	Consistent  bool `json:"consistent"`        // resourceVersion unset: not answered from what is cached of old
	Selected    bool `json:"selected"`          // by label or field
	Objects     *int `json:"objects,omitempty"` // in the slowest answer, where its body is recorded
	Durations
	Slowest output.EventRef `json:"slowest"`

	sketch tally.Sketch
	most   int64
	level  string
	time   int64
}

// Durations are of requests, in seconds.
type Durations struct {
	Count int     `json:"count"`
	Total float64 `json:"totalSeconds"`
	P50   float64 `json:"p50Seconds"`
	P99   float64 `json:"p99Seconds"`
	Max   float64 `json:"maxSeconds"`
}

func durations(s *tally.Sketch) Durations {
	return Durations{s.N, s.Sum.Seconds(), s.Quantile(0.5).Seconds(), s.Quantile(0.99).Seconds(), s.Max().Seconds()}
}

// lists collects lists. Its memory is bounded by room.
type lists struct {
	room  int
	found map[string]*List
	left  int
	key   []byte
	how   tally.Memo[listing]
}

// listing is how a list was asked for.
type listing struct{ unpaginated, consistent, selected bool }

// listingOf reads the query of a URI.
func listingOf(query string) listing {
	v, _ := url.ParseQuery(query) // what is no pair is passed over, as kube-apiserver does
	limit := v.Get("limit")
	return listing{
		unpaginated: (limit == "" || limit == "0") && v.Get("continue") == "",
		consistent:  v.Get("resourceVersion") == "" && v.Get("continue") == "",
		selected:    v.Get("labelSelector") != "" || v.Get("fieldSelector") != "",
	}
}

// Note counts a list that took so many microseconds.
func (l *lists) Note(e *audit.Event, tool string, us int64) {
	_, query, _ := strings.Cut(string(e.Text[audit.RequestURI]), "?")
	how := listing{unpaginated: true, consistent: true}
	if query != "" {
		how = l.how.Of([]byte(query[:min(len(query), 4096)]))
	}
	k := l.key[:0]
	for _, c := range [...]audit.Column{audit.Username, audit.APIGroup, audit.Resource, audit.Subresource, audit.Namespace} {
		k = append(append(k, e.Text[c]...), 0)
	}
	k = append(k, tool...)
	k = append(k, 0, byte(rank(how.unpaginated)), byte(rank(how.consistent)), byte(rank(how.selected)))
	l.key = k
	x := l.found[string(k)]
	if x == nil {
		if len(l.found) >= l.room {
			l.left++
			return
		}
		x = &List{User: string(e.Text[audit.Username]), Tool: tool, Resource: output.Resource(e), Namespace: string(e.Text[audit.Namespace]),
			Unpaginated: how.unpaginated, Consistent: how.consistent, Selected: how.selected, most: -1}
		l.found[string(k)] = x
	}
	x.sketch.Note(us)
	if us > x.most || us == x.most && e.Seq < x.Slowest.Seq {
		x.most, x.Slowest, x.level, x.time = us, output.Ref(e), string(e.Text[audit.Level]), e.Time()
	}
}

// list are the lists, those that took most time first.
func (l *lists) list(most int) []*List {
	out := []*List{}
	for _, x := range l.found {
		x.Durations = durations(&x.sketch)
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b *List) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.User, b.User), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Slowest.Seq, b.Slowest.Seq))
	})
	return out[:min(len(out), most)]
}

// count reads the slowest answers, as far as they are recorded, and counts what is in
// them.
func (l *List) count(ctx context.Context, r trail.Reader) error {
	if l.level != "RequestResponse" || l.time == audit.NoTime {
		return nil
	}
	q := trail.Query{Where: tally.Must("seq:" + itoa(int(l.Slowest.Seq))), Since: l.time, Until: l.time + 1}
	return r.Search(ctx, q, trail.Page{Limit: 1, Columns: audit.Set(audit.ResponseObject)}, func(e *audit.Event) error {
		var body struct{ Items, Rows *[]json.RawMessage }
		if json.Unmarshal(e.ResponseObject, &body) != nil {
			return nil
		}
		if list := cmp.Or(body.Items, body.Rows); list != nil {
			n := len(*list)
			l.Objects = &n
		}
		return nil
	})
}

// way says in few words how a list was asked for.
func (l *List) way(p *output.Page) string {
	var parts []string
	if l.Namespace == "" {
		parts = append(parts, p.Pick("whole cluster", "全集群"))
	}
	if l.Unpaginated {
		parts = append(parts, p.Pick("no limit", "未分页"))
	}
	if l.Consistent {
		parts = append(parts, p.Pick("resourceVersion unset", "未设 resourceVersion"))
	}
	if l.Selected {
		parts = append(parts, p.Pick("selector", "带选择器"))
	}
	if len(parts) == 0 {
		return output.None
	}
	return strings.Join(parts, p.Pick(", ", "，"))
}
