package policy

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The constants that drawn policies and requests share, odd ones among them, so that
// they often meet.
var (
	drawnUsers      = []string{"alice", "Alice", "system:node:n1", "system:node:*", "*", ""}
	drawnGroups     = []string{"dev", "system:nodes", "system:authenticated", "system:*", "*", ""}
	drawnVerbs      = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "post", "head", "GET", "*", "", "proxy"}
	drawnNamespaces = []string{"", "default", "kube-system", "Default", "kube-*", "*", "default/"}
	drawnAPIGroups  = []string{"", "apps", "core", "*", "batch"}
	drawnItems      = []string{"pods", "pods/log", "pods/*", "*/log", "*", "*/*", "Pods", "pods/", "/log", "", "/", "/*", "*/", "namespaces", "pods/log/x", "pods/*/*", "deployments"}
	drawnNames      = []string{"", "a", "A", "b", "*", "a/b"}
	drawnURLs       = []string{"*", "/healthz", "/healthz/", "/healthz*", "/healthz/*", "/Healthz", "/", "/*", "/api*", "/healthz/**", "/metrics"}
	drawnResources  = []string{"pods", "deployments", "namespaces", "Pods", "", "*", "pods/log"}
	drawnSubs       = []string{"", "", "log", "status", "*", "exec", "/", "log/x"}
	drawnPaths      = []string{"/healthz", "/healthz/", "/healthz/ping", "/Healthz", "/", "/healthzz", "/debug/pprof/heap", "/api", "//", "/*", "*"}
)

func some(from []string) *rapid.Generator[[]string] {
	return rapid.OneOf(rapid.Just([]string(nil)), rapid.SliceOfN(rapid.SampledFrom(from), 0, 3))
}

func drawRule(t *rapid.T) PolicyRule {
	r := PolicyRule{
		Level:      rapid.SampledFrom(Levels()).Draw(t, "level"),
		Users:      some(drawnUsers).Draw(t, "users"),
		UserGroups: some(drawnGroups).Draw(t, "userGroups"),
		Verbs:      some(drawnVerbs).Draw(t, "verbs"),
		OmitStages: rapid.SliceOfN(rapid.SampledFrom(Stages()), 0, 3).Draw(t, "omitStages"),
	}
	if rapid.Bool().Draw(t, "omitManagedFields is set") {
		omit := rapid.Bool().Draw(t, "omitManagedFields")
		r.OmitManagedFields = &omit
	}
	if rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
		r.NonResourceURLs = some(drawnURLs).Draw(t, "nonResourceURLs")
		return r
	}
	r.Namespaces = some(drawnNamespaces).Draw(t, "namespaces")
	for range rapid.IntRange(0, 3).Draw(t, "entries") {
		g := GroupResources{Group: rapid.SampledFrom(drawnAPIGroups).Draw(t, "group"), Resources: some(drawnItems).Draw(t, "resources")}
		if len(g.Resources) > 0 {
			g.ResourceNames = some(drawnNames).Draw(t, "resourceNames")
		}
		r.Resources = append(r.Resources, g)
	}
	return r
}

func drawPolicy(t *rapid.T) *Policy {
	p := &Policy{
		OmitStages:        rapid.SliceOfN(rapid.SampledFrom(Stages()), 0, 2).Draw(t, "omitStages of the policy"),
		OmitManagedFields: rapid.Bool().Draw(t, "omitManagedFields of the policy"),
	}
	for range rapid.IntRange(1, 8).Draw(t, "rules") {
		p.Rules = append(p.Rules, drawRule(t))
	}
	return p
}

// drawRequest draws a request that has something in common with a rule of p.
func drawRequest(t *rapid.T, p *Policy) *Request {
	rule := p.Rules[rapid.IntRange(0, len(p.Rules)-1).Draw(t, "near rule")]
	of := func(near, any []string, label string) string {
		if len(near) > 0 && rapid.Bool().Draw(t, label+" of the rule") {
			any = near
		}
		return rapid.SampledFrom(any).Draw(t, label)
	}
	r := &Request{
		Authenticated: rapid.IntRange(0, 7).Draw(t, "authenticated") > 0,
		User:          of(rule.Users, drawnUsers, "user"),
		Groups:        append(some(drawnGroups).Draw(t, "groups"), of(rule.UserGroups, drawnGroups, "group")),
	}
	r.Verb = of(rule.Verbs, drawnVerbs, "verb")
	if len(rule.NonResourceURLs) > 0 || rapid.IntRange(0, 7).Draw(t, "kind of request") == 0 {
		r.Path = of(rule.NonResourceURLs, drawnPaths, "path")
		return r
	}
	var entry GroupResources
	if len(rule.Resources) > 0 {
		entry = rapid.SampledFrom(rule.Resources).Draw(t, "entry")
	}
	r.IsResourceRequest = true
	r.APIGroup = of([]string{entry.Group}, drawnAPIGroups, "apiGroup")
	r.Namespace = of(rule.Namespaces, drawnNamespaces, "namespace")
	r.Name = of(entry.ResourceNames, drawnNames, "name")
	r.Resource, r.Subresource, _ = strings.Cut(of(entry.Resources, drawnResources, "resource"), "/")
	if rapid.Bool().Draw(t, "another subresource") {
		r.Subresource = rapid.SampledFrom(drawnSubs).Draw(t, "subresource")
	}
	return r
}

// TestMatchEqualsExplain puts two evaluations that share no code beside each other:
// the compiled one and the plain one.
func TestMatchEqualsExplain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t)
		m := p.Compile()
		for range 20 {
			r := drawRequest(t, p)
			if got, want := m.Match(r), p.Explain(r).Decision; !sameDecision(got, want) {
				t.Fatalf("%+v:\nMatch   %v\nExplain %v", *r, got, want)
			}
		}
	})
}

// TestTrialsAreTrue takes every test at its word: a rule with that condition alone
// matches where the test holds and else does not, and a value that would have held
// does.
func TestTrialsAreTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t)
		for range 40 {
			checkTrials(t, p, drawRequest(t, p))
		}
	})
}

func checkTrials(t rapid.TB, p *Policy, r *Request) {
	x := p.Explain(r)
	if n := len(x.Trials); n != x.Rule+1 && (x.Rule >= 0 || n != len(p.Rules)) {
		t.Fatalf("rule %d decided after %d trials", x.Rule, n)
	}
	for i, trial := range x.Trials {
		if trial.Rule != i || trial.Matches() != (i == x.Rule) {
			t.Fatalf("trial %d is of rule %d and matches: %t", i, trial.Rule, trial.Matches())
		}
		for _, test := range trial.Tests {
			alone := only(&p.Rules[i], test.Condition)
			if got := matchesAlone(alone, r); got != test.Holds() {
				t.Fatalf("%+v: %+v matches %+v: %t", test, alone, *r, got)
			}
			checkWould(t, alone, test, r)
		}
	}
}

// only is rule without any other condition.
func only(rule *PolicyRule, c Condition) PolicyRule {
	switch c {
	case ConditionUsers:
		return PolicyRule{Level: LevelRequest, Users: rule.Users}
	case ConditionUserGroups:
		return PolicyRule{Level: LevelRequest, UserGroups: rule.UserGroups}
	case ConditionVerbs:
		return PolicyRule{Level: LevelRequest, Verbs: rule.Verbs}
	case ConditionNamespaces:
		return PolicyRule{Level: LevelRequest, Namespaces: rule.Namespaces}
	case ConditionResources:
		return PolicyRule{Level: LevelRequest, Resources: rule.Resources}
	}
	return PolicyRule{Level: LevelRequest, NonResourceURLs: rule.NonResourceURLs}
}

func matchesAlone(rule PolicyRule, r *Request) bool {
	return (&Policy{Rules: []PolicyRule{rule}}).Compile().Match(r).Rule == 0
}

// checkWould lists each value that would have held in the place that the test names.
func checkWould(t rapid.TB, rule PolicyRule, test Test, r *Request) {
	for _, v := range test.Would {
		fixed := rule
		add := func(list []string) []string { return append(slices.Clone(list), v) }
		switch test.Condition {
		case ConditionUsers:
			fixed.Users = add(rule.Users)
		case ConditionUserGroups:
			fixed.UserGroups = add(rule.UserGroups)
		case ConditionVerbs:
			fixed.Verbs = add(rule.Verbs)
		case ConditionNamespaces:
			fixed.Namespaces = add(rule.Namespaces)
		case ConditionNonResourceURLs:
			fixed.NonResourceURLs = add(rule.NonResourceURLs)
		case ConditionResources:
			fixed.Resources = slices.Clone(rule.Resources)
			g := &fixed.Resources[test.Entry]
			switch test.Cause {
			case CauseAPIGroup:
				g.Group = v
			case CauseResource:
				g.Resources = add(g.Resources)
			case CauseName:
				g.ResourceNames = add(g.ResourceNames)
			}
		}
		if matchesAlone(fixed, r) {
			continue
		}
		// With the group or the resource right, the next obstacle may be left.
		left := (&Policy{Rules: []PolicyRule{fixed}}).Explain(r).Trials[0].Tests[0]
		if test.Condition != ConditionResources || test.Cause == CauseName || left.Cause == test.Cause {
			t.Fatalf("%q would not hold: %+v in %+v for %+v", v, test, fixed, *r)
		}
	}
	if (test.Hint == "") != (len(test.Would) == 0) {
		t.Fatalf("a hint without a remedy, or the reverse: %+v", test)
	}
}

// TestTests checks what each condition says of the requests that it is known for.
func TestTests(t *testing.T) {
	core := func(names []string, resources ...string) []GroupResources {
		return []GroupResources{{Resources: resources, ResourceNames: names}}
	}
	for _, c := range []struct {
		name         string
		rule         PolicyRule
		method, uri  string
		user, groups string // "-" is no user
		want         []Test
	}{
		{"users before authentication", PolicyRule{Users: []string{"alice"}, UserGroups: []string{"dev"}}, "GET", "/api", "-", "",
			[]Test{{Condition: ConditionUsers, Cause: CauseUnauthenticated, Entry: -1}, {Condition: ConditionUserGroups, Cause: CauseUnauthenticated, Entry: -1}}},
		{"the group that matched", PolicyRule{UserGroups: []string{"ops", "dev"}}, "GET", "/api", "alice", "a,dev",
			[]Test{{Condition: ConditionUserGroups, Value: "dev", Entry: -1}}},
		{"a star for verbs", PolicyRule{Verbs: []string{"*"}}, "GET", "/api/v1/pods/a", "alice", "",
			[]Test{{ConditionVerbs, CauseNotListed, "*", -1, HintNoWildcard, []string{"get"}}}},
		{"a get of a collection", PolicyRule{Verbs: []string{"get"}}, "GET", "/api/v1/pods?watch=1", "alice", "",
			[]Test{{ConditionVerbs, CauseNotListed, "get", -1, HintCollection, []string{"watch"}}}},
		{"a subresource", PolicyRule{Resources: core(nil, "secrets", "pods")}, "GET", "/api/v1/namespaces/a/pods/b/log", "alice", "",
			[]Test{{ConditionResources, CauseResource, "pods", 0, HintSubresource, []string{"pods/log", "pods/*"}}}},
		{"a parent is no subresource", PolicyRule{Resources: core(nil, "pods/log")}, "GET", "/api/v1/namespaces/a/pods/b", "alice", "",
			[]Test{{ConditionResources, CauseResource, "pods/log", 0, HintParent, []string{"pods", "pods/*"}}}},
		{"deployments in core", PolicyRule{Resources: core(nil, "deployments")}, "GET", "/apis/apps/v1/namespaces/a/deployments/b", "alice", "",
			[]Test{{ConditionResources, CauseAPIGroup, "", 0, HintOtherAPIGroup, []string{"apps"}}}},
		{"the nearest of several entries", PolicyRule{Resources: append([]GroupResources{{Group: "apps"}}, core([]string{"b"}, "pods")...)}, "GET", "/api/v1/namespaces/a/pods/c", "alice", "",
			[]Test{{ConditionResources, CauseName, "", 1, "", nil}}},
		{"a create has no name", PolicyRule{Resources: core([]string{"b"}, "pods")}, "POST", "/api/v1/namespaces/a/pods", "alice", "",
			[]Test{{ConditionResources, CauseName, "", 0, HintNoName, []string{""}}}},
		{"a list of all namespaces", PolicyRule{Namespaces: []string{"a"}}, "GET", "/api/v1/pods", "alice", "",
			[]Test{{ConditionNamespaces, CauseNotListed, "", -1, HintNoNamespace, []string{""}}}},
		{"a Namespace is in itself", PolicyRule{Namespaces: []string{""}}, "GET", "/api/v1/namespaces/a", "alice", "",
			[]Test{{ConditionNamespaces, CauseNotListed, "", -1, HintOwnNamespace, []string{"a"}}}},
		{"all that is wrong", PolicyRule{Users: []string{"bob"}, Verbs: []string{"list"}, Namespaces: []string{"b"}, Resources: core(nil, "secrets")}, "GET", "/api/v1/namespaces/a/pods/b", "alice", "",
			[]Test{{ConditionUsers, CauseNotListed, "", -1, "", nil}, {ConditionVerbs, CauseNotListed, "", -1, "", nil},
				{ConditionNamespaces, CauseNotListed, "", -1, "", nil}, {ConditionResources, CauseResource, "", 0, "", nil}}},
		{"no resource", PolicyRule{Namespaces: []string{""}, Resources: core(nil, "pods")}, "GET", "/healthz", "alice", "",
			[]Test{{ConditionNamespaces, CauseNoResource, "", -1, "", nil}}},
		{"a resource", PolicyRule{NonResourceURLs: []string{"*"}}, "GET", "/api/v1/pods", "alice", "",
			[]Test{{ConditionNonResourceURLs, CauseIsResource, "", -1, "", nil}}},
		{"below a path", PolicyRule{NonResourceURLs: []string{"/healthz"}}, "GET", "/healthz/ping", "alice", "",
			[]Test{{ConditionNonResourceURLs, CauseNotListed, "/healthz", -1, HintBelow, []string{"/healthz/*", "/healthz*"}}}},
		{"the root alone", PolicyRule{NonResourceURLs: []string{"/"}}, "GET", "/healthz", "alice", "",
			[]Test{{ConditionNonResourceURLs, CauseNotListed, "", -1, "", nil}}},
		{"no condition", PolicyRule{}, "GET", "/healthz", "-", "", nil},
	} {
		r := parsed(t, c.method, c.uri)
		r.Authenticated, r.User = c.user != "-", c.user
		r.Groups = strings.Split(c.groups, ",")
		got := (&Policy{Rules: []PolicyRule{c.rule}}).Explain(&r).Trials[0].Tests
		if !slices.EqualFunc(got, c.want, sameTest) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

func sameTest(a, b Test) bool {
	return a.Condition == b.Condition && a.Cause == b.Cause && a.Value == b.Value && a.Entry == b.Entry &&
		a.Hint == b.Hint && slices.Equal(a.Would, b.Would)
}

func parsed(t *testing.T, method, uri string) Request {
	t.Helper()
	info, err := ParseRequest(method, uri)
	if err != nil {
		t.Fatal(err)
	}
	return Request{Authenticated: true, User: "alice", RequestInfo: info}
}

// TestStages checks at which stages requests of each kind write events.
func TestStages(t *testing.T) {
	long := []Stage{StageRequestReceived, StageResponseStarted, StageResponseComplete}
	short := []Stage{StageRequestReceived, StageResponseComplete}
	for _, c := range []struct {
		method, uri string
		want        []Stage
	}{
		{"GET", "/api/v1/pods", short},
		{"GET", "/api/v1/pods?watch=true", long},
		{"GET", "/api/v1/watch/pods", long},
		{"GET", "/api/v1/proxy/nodes/n", long},
		{"POST", "/api/v1/namespaces/a/pods/b/exec?command=sh", long},
		{"GET", "/api/v1/namespaces/a/pods/b/log", long},
		{"GET", "/api/v1/namespaces/a/services/b/proxy/x", long},
		{"PUT", "/api/v1/namespaces/a/pods/b/status", short},
		{"GET", "/debug/pprof/heap", long},
		{"GET", "/debug/pprof", short},
		{"GET", "/proxy/log", short},
	} {
		r := parsed(t, c.method, c.uri)
		if got := r.Stages(); !slices.Equal(got, c.want) {
			t.Errorf("%s %s: %v, want %v", c.method, c.uri, got, c.want)
		}
		r.Authenticated = false
		if got := r.Stages(); !slices.Equal(got, []Stage{StageResponseStarted}) {
			t.Errorf("%s %s without a user: %v", c.method, c.uri, got)
		}
	}
}
