package diff

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kubetrail/internal/corpustest"
	"kubetrail/policy"
	"kubetrail/policy/space"
)

// dice returns a number from 0 to n-1.
type dice func(n int) int

func (d dice) one(texts ...string) string { return texts[d(len(texts))] }

// some returns up to three of the texts, or none in half of the cases.
func (d dice) some(texts ...string) []string {
	var out []string
	if d(2) == 0 {
		for range 1 + d(3) {
			out = append(out, d.one(texts...))
		}
	}
	return out
}

func (d dice) stages() []policy.Stage {
	var out []policy.Stage
	if d(3) == 0 {
		for range 1 + d(3) {
			out = append(out, policy.Stages()[d(4)])
		}
	}
	return out
}

func (d dice) rule() policy.PolicyRule {
	r := policy.PolicyRule{Level: policy.Levels()[d(4)], OmitStages: d.stages(),
		Users: d.some("alice", "bob", "system:apiserver"), UserGroups: d.some("dev", "ops", "system:nodes"),
		Verbs: d.some("get", "list", "watch", "create", "delete", "deletecollection", "post", "")}
	switch d(4) {
	case 0, 1:
		r.Namespaces = d.some("default", "kube-system", "")
		for range d(3) {
			r.Resources = append(r.Resources, policy.GroupResources{Group: d.one("", "apps", "*"),
				Resources: d.some("pods", "pods/log", "pods/*", "*/log", "*", "secrets", "namespaces", "pods/exec"), ResourceNames: d.some("web", "db", "")})
		}
	case 2:
		r.NonResourceURLs = d.some("/healthz", "/healthz*", "/*", "/debug/*", "/api/*", "/version")
	}
	if d(4) == 0 {
		omit := d(2) == 0
		r.OmitManagedFields = &omit
	}
	return r
}

func (d dice) policy(most int) *policy.Policy {
	p := &policy.Policy{OmitStages: d.stages(), OmitManagedFields: d(4) == 0}
	for range 1 + d(most) {
		p.Rules = append(p.Rules, d.rule())
	}
	return p
}

func (d dice) request() policy.Request {
	for {
		parts := make([]string, d(6))
		for i := range parts {
			parts[i] = d.one("pods", "web", "log", "status", "namespaces", "default", "kube-system", "watch", "secrets", "db", "", "exec", "widgets")
		}
		uri := d.one("/api/v1/", "/api/v1/namespaces/default/", "/apis/apps/v1/", "/apis/x/v1/", "/", "/healthz", "/healthz/x", "/version", "/debug/pprof/", "/debug/", "/api/") +
			strings.Join(parts, "/") + d.one("", "", "?watch=1", "?fieldSelector=metadata.name%3Dweb")
		info, err := policy.ParseRequest(d.one("GET", "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"), uri)
		if err != nil {
			continue
		}
		r := policy.Request{RequestInfo: info}
		if r.Authenticated = d(6) > 0; r.Authenticated {
			r.User = d.one("alice", "bob", "system:apiserver", "carol")
			for range d(3) {
				r.Groups = append(r.Groups, d.one("dev", "ops", "system:nodes", "other"))
			}
		}
		return r
	}
}

// same changes p in ways that do not change what it means.
func (d dice) same(p *policy.Policy) *policy.Policy {
	q := *p
	q.Rules = slices.Clone(p.Rules)
	for range 1 + d(4) {
		i := d(len(q.Rules))
		r := q.Rules[i]
		switch d(7) {
		case 0: // one rule for each verb
			if len(r.Verbs) > 1 {
				one, rest := r, r
				one.Verbs, rest.Verbs = r.Verbs[:1], r.Verbs[1:]
				q.Rules = slices.Replace(q.Rules, i, i+1, one, rest)
			}
		case 1: // one rule for each entry
			if len(r.Resources) > 1 {
				one, rest := r, r
				one.Resources, rest.Resources = r.Resources[:1], r.Resources[1:]
				q.Rules = slices.Replace(q.Rules, i, i+1, rest, one)
			}
		case 2: // said twice
			r.Users = append(slices.Clone(r.Users), r.Users...)
			r.Namespaces = append(slices.Clone(r.Namespaces), r.Namespaces...)
			slices.Reverse(r.Namespaces)
			q.Rules[i] = r
		case 3: // shadowed: narrower than one before it
			s := d.rule()
			n := r
			n.Level, n.OmitStages, n.OmitManagedFields = s.Level, s.OmitStages, s.OmitManagedFields
			if len(n.Users) == 0 {
				n.Users = s.Users
			}
			if len(n.Verbs) == 0 {
				n.Verbs = s.Verbs
			}
			q.Rules = slices.Insert(q.Rules, i+1+d(len(q.Rules)-i), n)
		case 4: // the end, which is None anyway
			q.Rules = append(q.Rules, policy.PolicyRule{Level: policy.LevelNone})
		case 5: // what the policy omits, said by a rule
			r.OmitStages = append(slices.Clone(r.OmitStages), q.OmitStages...)
			q.Rules[i] = r
		case 6: // neighbours that no request meets both
			if i+1 < len(q.Rules) {
				n := q.Rules[i+1]
				if len(r.NonResourceURLs) > 0 && len(n.Resources) > 0 || len(n.NonResourceURLs) > 0 && len(r.Resources) > 0 {
					q.Rules[i], q.Rules[i+1] = n, r
				}
			}
		}
	}
	return &q
}

// judge holds what Diff says of a and b against their matchers.
type judge struct {
	ma, mb *policy.Matcher
	*Result
}

func newJudge(t rapid.TB, a, b *policy.Policy) judge {
	t.Helper()
	r, err := Diff(a, b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	j := judge{a.Compile(), b.Compile(), r}
	for _, c := range r.Changes {
		j.example(t, c)
	}
	return j
}

// example checks that the examples of c differ as reported, and show all of it.
func (j judge) example(t rapid.TB, c Change) {
	t.Helper()
	if len(c.Examples) == 0 || len(c.Regions) == 0 || len(c.Stages) == 0 {
		t.Fatalf("%+v lacks something", c)
	}
	unseen := map[StageChange]bool{}
	for _, s := range c.Stages {
		s.Stage = ""
		unseen[s] = true
	}
	for _, e := range c.Examples {
		for _, s := range j.one(t, c, e) {
			s.Stage = ""
			delete(unseen, s)
		}
	}
	if len(unseen) > 0 {
		t.Fatalf("no example of %+v shows %+v", c, unseen)
	}
}

// one checks one example.
func (j judge) one(t rapid.TB, c Change, e *space.Example) []StageChange {
	t.Helper()
	r := e.Request
	info, err := policy.ParseRequest(e.Method, e.URI)
	if err != nil || info != r.RequestInfo {
		t.Fatalf("%s %s is %+v, %v; not %+v", e.Method, e.URI, info, err, r.RequestInfo)
	}
	a, b := j.ma.Match(&r), j.mb.Match(&r)
	if a.Rule != c.A.Rule || b.Rule != c.B.Rule || a.Level != c.A.Level || b.Level != c.B.Level ||
		a.OmitManagedFields != c.A.OmitManagedFields || !slices.Equal(a.OmitStages, c.A.OmitStages) || !slices.Equal(b.OmitStages, c.B.OmitStages) {
		t.Fatalf("%s %s as %+v gives %+v and %+v, reported are %+v and %+v", e.Method, e.URI, r, a, b, c.A, c.B)
	}
	shown := Compare(&r, a, b)
	if len(shown) == 0 {
		t.Fatalf("%s %s does not differ: %+v", e.Method, e.URI, c)
	}
	for _, s := range shown {
		if !slices.Contains(c.Stages, s) {
			t.Fatalf("%s %s differs by %+v, which is not in %+v", e.Method, e.URI, s, c.Stages)
		}
	}
	return shown
}

// request checks that where r differs, that is reported, and returns whether it does.
func (j judge) request(t rapid.TB, r *policy.Request) bool {
	t.Helper()
	a, b := j.ma.Match(r), j.mb.Match(r)
	shown := Compare(r, a, b)
	if len(shown) > 0 && !slices.ContainsFunc(j.Changes, func(c Change) bool {
		return c.A.Rule == a.Rule && c.B.Rule == b.Rule &&
			!slices.ContainsFunc(shown, func(s StageChange) bool { return !slices.Contains(c.Stages, s) })
	}) {
		t.Fatalf("%+v: %+v and %+v differ by %+v, which is not reported: %+v", r, a, b, shown, j.Changes)
	}
	return len(shown) > 0
}

func drawn(t *rapid.T) dice {
	return func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "dice") }
}

func TestEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawn(t)
		p := d.policy(5)
		q := d.same(p)
		for _, other := range []*policy.Policy{p, q} {
			if r, err := Diff(p, other, Options{}); err != nil || len(r.Changes) > 0 || r.Classes == 0 {
				t.Fatalf("%+v and %+v: %+v, %v", p, other, r, err)
			}
		}
		r := d.request()
		if shown := Compare(&r, p.Compile().Match(&r), q.Compile().Match(&r)); len(shown) > 0 {
			t.Fatalf("%+v differs: %+v", r, shown)
		}
	})
}

// TestShadowed adds a rule that is narrower than one before it: nothing changes, and it
// decides no request.
func TestShadowed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawn(t)
		p := d.policy(5)
		i := d(len(p.Rules))
		n, other := p.Rules[i], d.rule()
		n.Level, n.OmitStages, n.OmitManagedFields = other.Level, other.OmitStages, other.OmitManagedFields
		if len(n.UserGroups) == 0 {
			n.UserGroups = other.UserGroups
		}
		if len(n.Namespaces) == 0 && len(n.NonResourceURLs) == 0 {
			n.Namespaces = other.Namespaces
		}
		at := i + 1 + d(len(p.Rules)-i)
		q := *p
		q.Rules = slices.Insert(slices.Clone(p.Rules), at, n)
		if r, err := Diff(p, &q, Options{}); err != nil || len(r.Changes) > 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		if examples, err := space.Reachable(&q, space.Budget); err != nil || examples[at] != nil {
			t.Fatalf("%+v, %v", examples[at], err)
		}
		before, after := p.Compile(), q.Compile()
		for range 20 {
			r := d.request()
			if shown := Compare(&r, before.Match(&r), after.Match(&r)); len(shown) > 0 {
				t.Fatalf("%+v differs: %+v", r, shown)
			}
		}
	})
}

func TestDifferent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawn(t)
		a, b := d.policy(4), d.policy(4)
		if d(2) == 0 {
			b = d.same(a)
			b.Rules[d(len(b.Rules))] = d.rule()
		}
		j := newJudge(t, a, b)
		for range 20 {
			r := d.request()
			j.request(t, &r)
		}
	})
}

// TestManyRequests searches at random for what a comparison missed: a million
// requests to policies that are equal, and others to such that are not.
func TestManyRequests(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	d := dice(rng.IntN)
	const pairs, each = 420, 4000
	requests := make([]policy.Request, 40_000)
	for i := range requests {
		requests[i] = d.request()
	}
	equal, found := 0, 0
	for range pairs {
		a := d.policy(8)
		b := d.same(a)
		if d(2) == 0 {
			b.Rules[d(len(b.Rules))] = d.rule()
		}
		j := newJudge(t, a, b)
		if len(j.Changes) == 0 {
			equal++
		}
		differ := false
		for range each {
			differ = j.request(t, &requests[d(len(requests))]) || differ
		}
		if differ {
			found++
		}
	}
	t.Logf("%d pairs are equal; of %d others the random search found a difference in %d", equal, pairs-equal, found)
	if equal*each < 1_000_000 || found < pairs/4 {
		t.Error("too few of a kind to say anything")
	}
}

// real reads the policies that lie beside the repository.
func real(t *testing.T) map[string]*policy.Policy {
	t.Helper()
	out := map[string]*policy.Policy{}
	for _, line := range strings.Split(strings.TrimSpace(string(corpustest.Shared(t, "policy/policies.jsonl.zst"))), "\n") {
		var x struct{ Policy, YAML string }
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatal(err)
		}
		if doc, err := policy.LoadAny([]byte(x.YAML), policy.Newest); err == nil {
			out[x.Policy] = doc.Policy
		}
	}
	for _, name := range []string{"gce-derived", "docs-example", "ack-registered-cluster"} {
		doc, err := policy.LoadAny(corpustest.Shared(t, "policies/"+name+".yaml"), policy.Newest)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = doc.Policy
	}
	return out
}

func TestRealPolicies(t *testing.T) {
	all := real(t)
	var names []string
	for n := range all {
		names = append(names, n)
	}
	slices.Sort(names)
	if len(names) < 200 {
		t.Fatalf("%d policies only", len(names))
	}
	rng := rand.New(rand.NewPCG(3, 4))
	d := dice(rng.IntN)
	pairs, steps, worst, slowest, changes := 0, 0, "", time.Duration(0), 0
	for i, n := range names {
		if r, err := Diff(all[n], d.same(all[n]), Options{}); err != nil || len(r.Changes) > 0 {
			t.Errorf("%s differs from what means the same: %+v, %v", n, r, err)
		}
		if i%2 == 0 {
			continue // half of the pairs take long enough
		}
		pairs++
		o := names[(i*7+1)%len(names)]
		start := time.Now()
		j := newJudge(t, all[n], all[o])
		if took := time.Since(start); took > slowest {
			slowest = took
		}
		if j.Steps > steps {
			steps, worst = j.Steps, n+" "+o
		}
		changes = max(changes, len(j.Changes))
		for range 200 {
			r := d.request()
			j.request(t, &r)
		}
	}
	t.Logf("%d policies, %d pairs: at most %d steps of %d (%s), %d changes, %v", len(names), pairs, steps, space.Budget, worst, changes, slowest)
}

func TestTooLarge(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	d := dice(rng.IntN)
	var large *space.TooLarge
	if _, err := Diff(d.policy(8), d.policy(8), Options{Budget: 10}); !errors.As(err, &large) || large.Budget != 10 {
		t.Errorf("%v", err)
	}
	// Each user has a group, a namespace and a name of their own.
	p, q := &policy.Policy{}, &policy.Policy{}
	for i := range 60 {
		s := string(rune('a'+i%26)) + string(rune('a'+i/26))
		for _, x := range []*policy.Policy{p, q} {
			x.Rules = append(x.Rules, policy.PolicyRule{Level: policy.Levels()[i%4], Namespaces: []string{s, s + "x"}, UserGroups: []string{"g" + s},
				Resources: []policy.GroupResources{{Resources: []string{s, "*/" + s}, ResourceNames: []string{s, "other"}}}})
		}
	}
	q.Rules[30].Level = policy.LevelNone
	r, err := Diff(p, q, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Changes) != 1 || r.Changes[0].A.Rule != 30 {
		t.Errorf("%+v", r.Changes)
	}
	t.Logf("%d steps for 2^60 sets of groups", r.Steps)
}
