package trailtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

// questions cover the language: every operator, kind of field and place to look.
func questions() []string {
	return []string{
		``, `*`, `verb:get`, `not verb:get`, `verb:(get or list)`, `verb:(get or list) and not user:alice`,
		`user:al*`, `user:*`, `not user:*`, `user:王芳`, `user:"quote\" back\\ tab	*"`, `name:name-3`, `ns:ns-*`,
		`objectRef.namespace:shop`, `resource:deployments and sub:scale`, `code:403`, `code >= 400`,
		`code < 300`, `not code:*`, `code >= 400 and code < 500`, `user.groups:group-1`, `user.groups:*`,
		`sourceIPs:"10.0.0.3"`, `sourceIPs:10.*`, `stage:Panic`, `level:Metadata`, `auditID:same-id`, `auditID:id-0*`,
		`annotations.k8s.io/deprecated:true`, `decision:forbid`, `decision:allow`, `reason:*`, `not decision:*`,
		`requestObject.spec.replicas > 2`, `requestObject.spec.replicas:3`, `requestObject.spec.containers.image:*nginx*`,
		`requestObject.spec.containers.image:redis`, `requestObject:*`, `not responseObject:*`, `responseObject.kind:Status`,
		`requestObject.list:x`, `user.extra.k.io/x:2`, `impersonatedUser.username:bob`, `nginx`, `"nginx:4"`, `kubectl`,
		`"no RBAC policy matched"`, `responseStatus.reason:Forbidden`, `responseStatus.message:*forbidden*`,
		`cluster:law`, `source:law.log`, `cluster:other`, `stageTimestamp >= "2026-11-20T15:22:00Z"`,
		`verb:get or verb:list or verb:watch`, `(user:alice or user:bob) and (verb:delete or code:500)`,
		`not (verb:get or code >= 400)`, `uri:*watch=true`, `agent:kubectl/v1.1`, `alice`, `not alice`, `日本語`,
	}
}

// ask parses a question that must be one.
func ask(t rapid.TB, text string) *query.Node {
	t.Helper()
	n, err := query.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return n
}

// testQuestions puts every question in both orders, and counts its answers.
func (m *model) testQuestions(t *testing.T) {
	by := []audit.Ref{mustResolve(t, "user"), mustResolve(t, "verb")}
	for _, text := range questions() {
		q := trail.Always(ask(t, text))
		m.checkSearch(t, text, q, trail.Page{Oldest: true})
		m.checkSearch(t, text, q, trail.Page{Limit: 10})
		m.checkAggregate(t, text, q, by, 5)
		m.checkHistogram(t, text, q, 7*time.Second)
	}
}

// testRandom puts questions that nobody thought of.
func (m *model) testRandom(t *testing.T) {
	values := m.vocabulary(t)
	fields := slices.Sorted(maps.Keys(values))
	rapid.Check(t, func(t *rapid.T) {
		text := m.question(t, values, fields, 3)
		q := trail.Always(ask(t, text))
		if rapid.Bool().Draw(t, "bounded") {
			q.Since = m.sorted[rapid.IntRange(0, len(m.sorted)-1).Draw(t, "since")].Time()
			q.Until = m.sorted[rapid.IntRange(0, len(m.sorted)-1).Draw(t, "until")].Time()
		}
		page := trail.Page{Limit: rapid.IntRange(0, 20).Draw(t, "limit"), Oldest: rapid.Bool().Draw(t, "oldest")}
		if rapid.Bool().Draw(t, "paged") {
			e := m.sorted[rapid.IntRange(0, len(m.sorted)-1).Draw(t, "after")]
			page.After = trail.Cursor{Time: e.Time(), Seq: e.Seq}
		}
		m.checkSearch(t, text, q, page)
		by := []audit.Ref{mustResolve(t, rapid.SampledFrom(fields).Draw(t, "by"))}
		if rapid.Bool().Draw(t, "two") {
			by = append(by, mustResolve(t, rapid.SampledFrom(fields).Draw(t, "by")))
		}
		m.checkAggregate(t, text, q, by, rapid.IntRange(0, 6).Draw(t, "top"))
	})
}

// vocabulary is some of the values of each field that questions can compare.
func (m *model) vocabulary(t *testing.T) map[string][]string {
	values := map[string][]string{"requestObject.spec.replicas": {"0", "3"}, "requestObject.spec.containers.image": {"redis"}}
	for _, f := range audit.Fields() {
		switch f.Type {
		case audit.Map, audit.Object, audit.Time:
			continue
		}
		r := mustResolve(t, f.Path)
		seen := map[string]bool{"absent": true}
		for _, e := range m.events {
			r.Each(e, func(v audit.Value) bool {
				seen[string(trail.AppendKey(nil, v))] = true
				return len(seen) < 12
			})
		}
		values[f.Path] = slices.Sorted(maps.Keys(seen))
	}
	return values
}

// question draws one.
func (m *model) question(t *rapid.T, values map[string][]string, fields []string, depth int) string {
	sub := func() string { return m.question(t, values, fields, depth-1) }
	kind := "test"
	if depth > 0 {
		kind = rapid.SampledFrom([]string{"test", "test", "and", "or", "not"}).Draw(t, "kind")
	}
	switch kind {
	case "and", "or":
		return "(" + sub() + " " + kind + " " + sub() + ")"
	case "not":
		return "not (" + sub() + ")"
	}
	field := rapid.SampledFrom(fields).Draw(t, "field")
	value := rapid.SampledFrom(values[field]).Draw(t, "value")
	quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\u0000`).Replace(value) + `"`
	number := value != "" && strings.Trim(value, "0123456789") == ""
	switch {
	case mustResolve(t, field).Field.Type == audit.Number && !number:
		return field + ":*"
	case number && rapid.Bool().Draw(t, "range"):
		return field + " " + rapid.SampledFrom([]string{"<", "<=", ">", ">="}).Draw(t, "op") + " " + value
	case rapid.IntRange(0, 9).Draw(t, "shape") == 0:
		return field + ":*"
	case rapid.IntRange(0, 9).Draw(t, "bare") == 0:
		return quoted
	}
	return field + ":" + quoted
}

// testGroups counts by fields of every type.
func (m *model) testGroups(t *testing.T) {
	for _, names := range [][]string{
		{"verb"}, {"user"}, {"user.groups"}, {"sourceIPs"}, {"code"}, {"stageTimestamp"}, {"objectRef.name"},
		{"user", "verb"}, {"user.groups", "sourceIPs"}, {"resource", "ns", "code"}, {"verb", "verb"},
		{"annotations.k8s.io/deprecated"}, {"decision", "reason"}, {"requestObject.spec.replicas"},
		{"requestObject.spec.containers.image"}, {"requestObject.list"}, {"cluster"}, {"source"}, {"user.extra.y"}, {"seq"}, {"duration"},
	} {
		var by []audit.Ref
		for _, n := range names {
			by = append(by, mustResolve(t, n))
		}
		for _, limit := range []int{0, 1, 3} {
			m.checkAggregate(t, fmt.Sprint(names), trail.Always(nil), by, limit)
		}
	}
}

func (m *model) checkAggregate(t rapid.TB, name string, q trail.Query, by []audit.Ref, limit int) {
	t.Helper()
	got, err := m.r.Aggregate(context.Background(), q, by, limit)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	want := m.aggregate(q, by, limit)
	if got.Events != want.Events || got.Groups != want.Groups {
		t.Fatalf("%s by %v: %d events in %d groups, want %d in %d", name, names(by), got.Events, got.Groups, want.Events, want.Groups)
	}
	same := func(a, b trail.Group) bool { return a.Count == b.Count && slices.Equal(a.Key, b.Key) }
	if !slices.EqualFunc(got.Rows, want.Rows, same) {
		t.Fatalf("%s by %v limit %d:\ngot  %v\nwant %v", name, names(by), limit, got.Rows, want.Rows)
	}
}

func names(refs []audit.Ref) []string {
	var s []string
	for _, r := range refs {
		s = append(s, r.Name)
	}
	return s
}

// aggregate is what Aggregate must give.
func (m *model) aggregate(q trail.Query, by []audit.Ref, limit int) trail.Groups {
	counts := map[string]*trail.Group{}
	found := m.answers(q)
	for _, e := range found {
		for _, key := range keys(e, by) {
			id := fmt.Sprintf("%q", key)
			if counts[id] == nil {
				counts[id] = &trail.Group{Key: key}
			}
			counts[id].Count++
		}
	}
	g := trail.Groups{Events: uint64(len(found)), Groups: len(counts)}
	for _, c := range counts {
		g.Rows = append(g.Rows, *c)
	}
	slices.SortFunc(g.Rows, func(a, b trail.Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), slices.Compare(a.Key, b.Key))
	})
	if limit > 0 {
		g.Rows = g.Rows[:min(limit, len(g.Rows))]
	}
	return g
}

// keys is every combination of the values of the fields in e.
func keys(e *audit.Event, by []audit.Ref) [][]string {
	out := [][]string{nil}
	for _, r := range by {
		var values []string
		r.Each(e, func(v audit.Value) bool {
			if s := string(trail.AppendKey(nil, v)); !slices.Contains(values, s) {
				values = append(values, s)
			}
			return true
		})
		if values == nil {
			values = []string{""}
		}
		var longer [][]string
		for _, key := range out {
			for _, v := range values {
				longer = append(longer, append(slices.Clip(key), v))
			}
		}
		out = longer
	}
	return out
}

// testBuckets counts over time, also around the epoch, where the sign changes.
func (m *model) testBuckets(t *testing.T) {
	at := func(s string) int64 {
		us, err := trail.ParseTime(s, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return us
	}
	all := trail.Always(nil)
	for _, every := range []time.Duration{time.Hour, 24 * time.Hour, 7 * 24 * time.Hour} {
		m.checkHistogram(t, "all", all, every)
	}
	epoch := trail.Query{Since: -2_000_000, Until: 2_000_000}
	day := trail.Query{Since: at("2026-11-20"), Until: at("2026-11-21")}
	for _, every := range []time.Duration{time.Second, 1500 * time.Millisecond, time.Minute, 7 * time.Minute} {
		m.checkHistogram(t, "around the epoch", epoch, every)
		m.checkHistogram(t, "one day", day, every)
	}
	m.checkHistogram(t, "nothing", trail.Always(ask(t, "verb:nothing")), time.Minute)
}

// fair is how many buckets every trail must be able to give. It may count those of
// the time that the question is about, whether they are in the answer or not.
const fair = 5000

// covers returns how many buckets q is about.
func (m *model) covers(q trail.Query, every time.Duration) int64 {
	var first, last int64
	for i, e := range m.answers(trail.Query{Since: q.Since, Until: q.Until}) {
		if at := e.Time(); i == 0 || first == audit.NoTime {
			first, last = at, at
		} else {
			last = at
		}
	}
	if q.Since != audit.NoTime && q.Until != audit.NoTime {
		first, last = max(m.sorted[0].Time(), q.Since), q.Until
	}
	return (last - first) / every.Microseconds()
}

func (m *model) checkHistogram(t rapid.TB, name string, q trail.Query, every time.Duration) {
	t.Helper()
	if every < time.Minute && q.Since == audit.NoTime {
		q.Since, q.Until = 1_700_000_000_000_000, 1_790_000_000_000_000
		every *= 1000
	}
	got, err := m.r.Histogram(context.Background(), q, every)
	var want []trail.Bucket
	length := every.Microseconds()
	for _, e := range m.answers(q) {
		at := e.Time()
		if at == audit.NoTime {
			continue
		}
		start := at - ((at%length)+length)%length
		for len(want) > 0 && want[len(want)-1].Start < start {
			want = append(want, trail.Bucket{Start: want[len(want)-1].Start + length})
		}
		if len(want) == 0 {
			want = append(want, trail.Bucket{Start: start})
		}
		want[len(want)-1].Count++
	}
	if errors.Is(err, trail.ErrTooMany) && m.covers(q, every) > fair {
		return
	}
	if err != nil {
		t.Fatalf("%s, histogram of %v: %v", name, every, err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s, histogram of %v:\ngot  %v\nwant %v", name, every, got, want)
	}
}
