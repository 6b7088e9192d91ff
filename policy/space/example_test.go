package space

import (
	"errors"
	"fmt"
	"strconv"
	"testing"

	"kubetrail/policy"
)

// rule makes a rule for resources of the core group.
func rule(verbs, resources, names []string, namespaces ...string) policy.PolicyRule {
	return policy.PolicyRule{Verbs: verbs, Namespaces: namespaces,
		Resources: []policy.GroupResources{{Resources: resources, ResourceNames: names}}}
}

func words(s ...string) []string { return s }

func TestReachable(t *testing.T) {
	any := policy.PolicyRule{}
	for _, c := range []struct {
		name  string
		rules []policy.PolicyRule
		want  []string // the examples; "" for none
	}{
		{"everything", []policy.PolicyRule{any, any}, words("GET /api/v1/pods as alice", "")},
		{"all named", []policy.PolicyRule{rule(nil, words("*"), nil), {NonResourceURLs: words("/*")}, {NonResourceURLs: words("*")}, any},
			words("GET /api/v1/pods as alice", "GET / as alice", "odd GET http://kubernetes as alice", "GET /apis/apps/v1/deployments as alice")},
		{"get without a name", []policy.PolicyRule{rule(words("get", "delete"), words("pods"), words(""))}, words("")},
		{"list with a name", []policy.PolicyRule{rule(words("list"), words("pods"), words("a,b"))},
			words(`GET /api/v1/namespaces/default/pods?fieldSelector=metadata.name=a%5C%2Cb as alice`)},
		{"list with a name that no selector has", []policy.PolicyRule{rule(words("list"), words("pods"), words(".."))}, words("")},
		{"deletecollection with a name", []policy.PolicyRule{rule(words("deletecollection"), words("pods"), words("a"))}, words("")},
		{"subresource of a proxy", []policy.PolicyRule{rule(words("proxy"), words("pods/log"), nil)}, words("")},
		{"proxy of one pod", []policy.PolicyRule{rule(words("proxy"), words("pods"), nil)}, words("GET /api/v1/proxy/pods as alice")},
		{"no verb of the API", []policy.PolicyRule{rule(words("GET", "post", "*"), words("pods"), nil)}, words("")},
		{"a verb in capitals", []policy.PolicyRule{{Verbs: words("GET", "List")}}, words("")},
		{"a star as verb", []policy.PolicyRule{{Verbs: words("*")}}, words("odd * /version as alice")},
		{"slashes", []policy.PolicyRule{rule(nil, words("pods/a/b"), nil), rule(nil, words("pods"), words("a/b")), rule(nil, words("pods"), nil, "a/b")}, words("", "", "")},
		{"what is called so", []policy.PolicyRule{rule(nil, words("*/*"), nil)}, words("odd GET /api/v1/%2A as alice")},
		{"an empty part", []policy.PolicyRule{rule(nil, words(""), nil)}, words("odd GET /api/v1/namespaces/default//web as alice")},
		{"status in a namespace", []policy.PolicyRule{rule(nil, words("status"), nil, "default"), rule(nil, words("status"), nil)}, words("", "GET /api/v1/status as alice")},
		{"a namespace", []policy.PolicyRule{rule(words("get"), words("namespaces"), nil, "prod"), rule(words("get"), words("namespaces"), nil)},
			words("GET /api/v1/namespaces/prod as alice", "GET /api/v1/namespaces/default as alice")},
		{"paths of resources", []policy.PolicyRule{{NonResourceURLs: words("/api/v1/pods")}, {NonResourceURLs: words("/api/v1/pods*")}, {NonResourceURLs: words("/api/v1/*")}},
			words("", "", "GET /api/v1/ as alice")},
		{"a longer prefix", []policy.PolicyRule{{NonResourceURLs: words("/logs/a*")}, {NonResourceURLs: words("/logs/*")}, {NonResourceURLs: words("/logs/ab")}},
			words("GET /logs/ab as alice", "GET /logs/ as alice", "")},
		{"group by group", []policy.PolicyRule{{UserGroups: words("a", "b")}, {UserGroups: words("b", "c")}, {UserGroups: words("c")}, {Users: words("alice")}},
			words("GET /api/v1/pods as bob in [a]", "GET /api/v1/pods as bob in [c]", "", "GET /api/v1/pods as alice")},
		{"only failed authentication is left", []policy.PolicyRule{{UserGroups: words("all")}, {Users: words("x")}, any}, words(
			"GET /api/v1/pods as alice in [all]", "GET /api/v1/pods as x", "GET /api/v1/pods as alice")},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Reachable(&policy.Policy{Rules: c.rules}, Budget)
			if err != nil || len(got) != len(c.want) {
				t.Fatalf("%v, %v", got, err)
			}
			for i, e := range got {
				if s := text(e); s != c.want[i] {
					t.Errorf("rule %d has %q, not %q", i, s, c.want[i])
				}
			}
		})
	}
}

func text(e *Example) string {
	if e == nil {
		return ""
	}
	s := e.Method + " " + e.URI
	if e.Odd {
		s = "odd " + s
	}
	if e.Request.Authenticated {
		s += " as " + e.Request.User
	}
	if len(e.Request.Groups) > 0 {
		s += fmt.Sprintf(" in %v", e.Request.Groups)
	}
	return s
}

func TestFailedAuthentication(t *testing.T) {
	p := &policy.Policy{Rules: []policy.PolicyRule{{}}}
	parts, err := Split(Budget, func(l Leaf) int {
		if l.Authenticated {
			return 0
		}
		return 1
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	if got := text(parts.Examples()[1]); got != "GET /api/v1/pods" {
		t.Errorf("the example is %q", got)
	}
	if r, all := parts.Regions(Want{Labels: []int{1}}, 5); !all || len(r) != 1 || r[0].Authenticated || !r[0].Failed || !r[0].Resource || !r[0].URL {
		t.Errorf("%+v, %v", r, all)
	}
}

func TestBudget(t *testing.T) {
	p := &policy.Policy{Rules: []policy.PolicyRule{rule(words("get"), words("pods"), words("a"), "x"), {Users: words("u")}}}
	parts, err := Split(Budget, func(l Leaf) int { return l.Rules[0] + 1 }, p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Reachable(p, parts.Steps); err != nil {
		t.Errorf("%d steps are enough: %v", parts.Steps, err)
	}
	var large *TooLarge
	for _, budget := range []int{parts.Steps - 1, 1, 0} {
		if got, err := Reachable(p, budget); !errors.As(err, &large) || got != nil || large.Budget != budget {
			t.Errorf("with %d steps: %v, %v", budget, got, err)
		}
	}
}

// TestManyURLs checks that a path outside all prefixes is found without trying as many
// for each of them as there are.
func TestManyURLs(t *testing.T) {
	p := &policy.Policy{}
	for i := range 1000 {
		p.Rules = append(p.Rules, policy.PolicyRule{Level: policy.LevelNone, NonResourceURLs: []string{"/a" + strconv.Itoa(i) + "*"}})
	}
	made := testing.AllocsPerRun(1, func() {
		if _, err := Reachable(p, Budget); err != nil {
			t.Fatal(err)
		}
	})
	if made > 200e3 {
		t.Errorf("1,000 prefixes: %.0f allocations", made)
	}
}

// TestClasses counts by hand: two verb classes for URLs and one path; for resources
// get with a name; delete with one; list, deletecollection, and five others.
func TestClasses(t *testing.T) {
	parts, err := Split(Budget, func(Leaf) int { return 0 }, &policy.Policy{Rules: []policy.PolicyRule{{Verbs: words("get"), UserGroups: words("a", "b")}, {UserGroups: words("b")}}})
	if err != nil {
		t.Fatal(err)
	}
	// Verbs: get; list; watch with create, update, patch and ""; delete;
	// deletecollection; proxy. A name is there or not, with a subresource or without,
	// in a namespace or in none.
	names := map[string]int{"get": 1, "list": 2, "others": 2, "delete": 1, "deletecollection": 1, "proxy": 2}
	resources := 0
	for verb, n := range names {
		subs := 2
		if verb == "proxy" {
			subs = 1
		}
		resources += n * subs * 2
	}
	urls := 2
	if want := uint64((resources + urls) * (4 + 1)); parts.Classes() != want {
		t.Errorf("%d classes, not %d", parts.Classes(), want)
	}
}
