package explain

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/policy"
	"kubetrail/policy/policytest"
)

// TestMatchEqualsExplain puts two evaluations that share no code beside each other:
// the compiled one and the plain one.
func TestMatchEqualsExplain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policytest.Policy(t)
		m := p.Compile()
		for range 20 {
			r := policytest.Request(t, p)
			if got, want := m.Match(r), Request(p, r).Decision; !sameDecision(got, want) {
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
		p := policytest.Policy(t)
		for range 40 {
			checkTrials(t, p, policytest.Request(t, p))
		}
	})
}

func checkTrials(t rapid.TB, p *policy.Policy, r *policy.Request) {
	x := Request(p, r)
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
func only(rule *policy.PolicyRule, c Condition) policy.PolicyRule {
	switch c {
	case ConditionUsers:
		return policy.PolicyRule{Level: policy.LevelRequest, Users: rule.Users}
	case ConditionUserGroups:
		return policy.PolicyRule{Level: policy.LevelRequest, UserGroups: rule.UserGroups}
	case ConditionVerbs:
		return policy.PolicyRule{Level: policy.LevelRequest, Verbs: rule.Verbs}
	case ConditionNamespaces:
		return policy.PolicyRule{Level: policy.LevelRequest, Namespaces: rule.Namespaces}
	case ConditionResources:
		return policy.PolicyRule{Level: policy.LevelRequest, Resources: rule.Resources}
	}
	return policy.PolicyRule{Level: policy.LevelRequest, NonResourceURLs: rule.NonResourceURLs}
}

func matchesAlone(rule policy.PolicyRule, r *policy.Request) bool {
	return (&policy.Policy{Rules: []policy.PolicyRule{rule}}).Compile().Match(r).Rule == 0
}

// checkWould lists each value that would have held in the place that the test names.
func checkWould(t rapid.TB, rule policy.PolicyRule, test Test, r *policy.Request) {
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
		left := Request(&policy.Policy{Rules: []policy.PolicyRule{fixed}}, r).Trials[0].Tests[0]
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
	core := func(names []string, resources ...string) []policy.GroupResources {
		return []policy.GroupResources{{Resources: resources, ResourceNames: names}}
	}
	for _, c := range []struct {
		name         string
		rule         policy.PolicyRule
		method, uri  string
		user, groups string // "-" is no user
		want         []Test
	}{
		{"users before authentication", policy.PolicyRule{Users: []string{"alice"}, UserGroups: []string{"dev"}}, "GET", "/api", "-", "",
			[]Test{{Condition: ConditionUsers, Cause: CauseUnauthenticated, Entry: -1}, {Condition: ConditionUserGroups, Cause: CauseUnauthenticated, Entry: -1}}},
		{"the group that matched", policy.PolicyRule{UserGroups: []string{"ops", "dev"}}, "GET", "/api", "alice", "a,dev",
			[]Test{{Condition: ConditionUserGroups, Value: "dev", Entry: -1}}},
		{"a star for verbs", policy.PolicyRule{Verbs: []string{"*"}}, "GET", "/api/v1/pods/a", "alice", "",
			[]Test{{ConditionVerbs, CauseNotListed, "*", -1, HintNoWildcard, []string{"get"}}}},
		{"a get of a collection", policy.PolicyRule{Verbs: []string{"get"}}, "GET", "/api/v1/pods?watch=1", "alice", "",
			[]Test{{ConditionVerbs, CauseNotListed, "get", -1, HintCollection, []string{"watch"}}}},
		{"a subresource", policy.PolicyRule{Resources: core(nil, "secrets", "pods")}, "GET", "/api/v1/namespaces/a/pods/b/log", "alice", "",
			[]Test{{ConditionResources, CauseResource, "pods", 0, HintSubresource, []string{"pods/log", "pods/*"}}}},
		{"a parent is no subresource", policy.PolicyRule{Resources: core(nil, "pods/log")}, "GET", "/api/v1/namespaces/a/pods/b", "alice", "",
			[]Test{{ConditionResources, CauseResource, "pods/log", 0, HintParent, []string{"pods", "pods/*"}}}},
		{"deployments in core", policy.PolicyRule{Resources: core(nil, "deployments")}, "GET", "/apis/apps/v1/namespaces/a/deployments/b", "alice", "",
			[]Test{{ConditionResources, CauseAPIGroup, "", 0, HintOtherAPIGroup, []string{"apps"}}}},
		{"the nearest of several entries", policy.PolicyRule{Resources: append([]policy.GroupResources{{Group: "apps"}}, core([]string{"b"}, "pods")...)}, "GET", "/api/v1/namespaces/a/pods/c", "alice", "",
			[]Test{{ConditionResources, CauseName, "", 1, "", nil}}},
		{"a create has no name", policy.PolicyRule{Resources: core([]string{"b"}, "pods")}, "POST", "/api/v1/namespaces/a/pods", "alice", "",
			[]Test{{ConditionResources, CauseName, "", 0, HintNoName, []string{""}}}},
		{"a list of all namespaces", policy.PolicyRule{Namespaces: []string{"a"}}, "GET", "/api/v1/pods", "alice", "",
			[]Test{{ConditionNamespaces, CauseNotListed, "", -1, HintNoNamespace, []string{""}}}},
		{"a Namespace is in itself", policy.PolicyRule{Namespaces: []string{""}}, "GET", "/api/v1/namespaces/a", "alice", "",
			[]Test{{ConditionNamespaces, CauseNotListed, "", -1, HintOwnNamespace, []string{"a"}}}},
		{"all that is wrong", policy.PolicyRule{Users: []string{"bob"}, Verbs: []string{"list"}, Namespaces: []string{"b"}, Resources: core(nil, "secrets")}, "GET", "/api/v1/namespaces/a/pods/b", "alice", "",
			[]Test{{ConditionUsers, CauseNotListed, "", -1, "", nil}, {ConditionVerbs, CauseNotListed, "", -1, "", nil},
				{ConditionNamespaces, CauseNotListed, "", -1, "", nil}, {ConditionResources, CauseResource, "", 0, "", nil}}},
		{"no resource", policy.PolicyRule{Namespaces: []string{""}, Resources: core(nil, "pods")}, "GET", "/healthz", "alice", "",
			[]Test{{ConditionNamespaces, CauseNoResource, "", -1, "", nil}}},
		{"a resource", policy.PolicyRule{NonResourceURLs: []string{"*"}}, "GET", "/api/v1/pods", "alice", "",
			[]Test{{ConditionNonResourceURLs, CauseIsResource, "", -1, "", nil}}},
		{"below a path", policy.PolicyRule{NonResourceURLs: []string{"/healthz"}}, "GET", "/healthz/ping", "alice", "",
			[]Test{{ConditionNonResourceURLs, CauseNotListed, "/healthz", -1, HintBelow, []string{"/healthz/*", "/healthz*"}}}},
		{"the root alone", policy.PolicyRule{NonResourceURLs: []string{"/"}}, "GET", "/healthz", "alice", "",
			[]Test{{ConditionNonResourceURLs, CauseNotListed, "", -1, "", nil}}},
		{"no condition", policy.PolicyRule{}, "GET", "/healthz", "-", "", nil},
	} {
		r := parsed(t, c.method, c.uri)
		r.Authenticated, r.User = c.user != "-", c.user
		r.Groups = strings.Split(c.groups, ",")
		got := Request(&policy.Policy{Rules: []policy.PolicyRule{c.rule}}, &r).Trials[0].Tests
		if !slices.EqualFunc(got, c.want, sameTest) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

func sameTest(a, b Test) bool {
	return a.Condition == b.Condition && a.Cause == b.Cause && a.Value == b.Value && a.Entry == b.Entry &&
		a.Hint == b.Hint && slices.Equal(a.Would, b.Would)
}

func parsed(t *testing.T, method, uri string) policy.Request {
	t.Helper()
	info, err := policy.ParseRequest(method, uri)
	if err != nil {
		t.Fatal(err)
	}
	return policy.Request{Authenticated: true, User: "alice", RequestInfo: info}
}

func sameDecision(a, b policy.Decision) bool {
	return a.Level == b.Level && slices.Equal(a.OmitStages, b.OmitStages) &&
		a.OmitManagedFields == b.OmitManagedFields && a.Rule == b.Rule
}
