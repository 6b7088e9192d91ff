package policy_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"kubetrail/policy"
)

// A known is a request of testdata/match.txt.
type known struct {
	name string
	policy.Request
	refused error
}

// readMatches reads testdata/match.txt and calls each for every rule.
func readMatches(t *testing.T, each func(line int, rule string, requests []known, matches []string)) {
	t.Helper()
	text, err := os.ReadFile("testdata/match.txt")
	if err != nil {
		t.Fatal(err)
	}
	var requests []known
	var rule string
	var at int
	var matches []string
	end := func() {
		if rule != "" {
			each(at, rule, requests, matches)
		}
		rule, matches = "", nil
	}
	for i, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || strings.HasPrefix(line, "#"):
		case f[0] == "request":
			k := known{name: f[1]}
			if user, groups, ok := strings.Cut(strings.TrimSuffix(f[2], "]"), "["); ok {
				k.Authenticated, k.User, k.Groups = true, user, strings.Split(groups, ",")
			}
			k.RequestInfo, k.refused = policy.ParseRequest(f[3], f[4])
			requests = append(requests, k)
		case f[0] == "rule":
			end()
			rule, at = strings.TrimPrefix(line, "rule "), i+1
		default:
			matches = append(matches, f...)
		}
	}
	end()
}

// asPolicy makes a policy of one rule that is written on one line.
func asPolicy(rule string) string {
	rule = strings.Replace(rule, "{", "{level: Request, ", 1)
	return "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- " + strings.Replace(rule, ", }", "}", 1) + "\n"
}

// TestMatch checks each rule of testdata/match.txt alone, behind a rule that matches
// nothing, behind a thousand of them, and before a rule that matches everything.
func TestMatch(t *testing.T) {
	rules := 0
	readMatches(t, func(line int, rule string, requests []known, matches []string) {
		rules++
		doc, err := policy.Load([]byte(asPolicy(rule)), 36)
		if err != nil {
			t.Fatalf("line %d: %v", line, err)
		}
		only := doc.Policy.Rules[0]
		nobody := policy.PolicyRule{Level: policy.LevelNone, Users: []string{"nobody"}, Resources: []policy.GroupResources{{Resources: []string{"pods"}}}}
		for _, before := range []int{0, 1, 63, 64, 1500} {
			p := policy.Policy{Rules: append(slices.Repeat([]policy.PolicyRule{nobody}, before), only)}
			p.Rules = append(p.Rules, policy.PolicyRule{Level: policy.LevelMetadata})
			m := p.Compile()
			for _, q := range requests {
				want := before + 1
				if slices.Contains(matches, q.name) {
					want = before
				}
				if got := m.Match(&q.Request).Rule; q.refused == nil && got != want {
					t.Errorf("line %d: %s: request %s is decided by rule %d, want %d of %d", line, rule, q.name, got, want, len(p.Rules))
				}
			}
		}
		for _, name := range matches {
			if !slices.ContainsFunc(requests, func(q known) bool { return q.name == name && q.refused == nil }) {
				t.Errorf("line %d: there is no request %s", line, name)
			}
		}
	})
	if rules < 40 {
		t.Errorf("only %d rules were read", rules)
	}
}

// TestNestedURLs has URLs that begin with one another, in rules of their own.
func TestNestedURLs(t *testing.T) {
	p := policy.Policy{}
	for _, u := range []string{"/logs/a*", "/logs/*", "/logs/audit", "/lo*", "/z*", "/logs/b/c*", "/l", "*"} {
		p.Rules = append(p.Rules, policy.PolicyRule{Level: policy.LevelMetadata, Users: []string{"me " + u}, NonResourceURLs: []string{u}})
	}
	m := p.Compile()
	for path, want := range map[string][]int{
		"/logs/audit": {0, 1, 2, 3, 7}, "/logs/b/": {1, 3, 7}, "/logs/b/cd": {1, 3, 5, 7}, "/l": {6, 7},
		"/lo": {3, 7}, "/logs": {3, 7}, "/m": {7}, "": {7}, "/zz": {4, 7}, "/logs/a": {0, 1, 3, 7},
	} {
		var got []int
		for _, r := range p.Rules {
			q := policy.Request{Authenticated: true, User: r.Users[0], RequestInfo: policy.RequestInfo{Path: path, Verb: "get"}}
			if n := m.Match(&q).Rule; n >= 0 {
				got = append(got, n)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q matches rules %v, want %v", path, got, want)
		}
	}
}

func TestStages(t *testing.T) {
	const received, started, complete = policy.StageRequestReceived, policy.StageResponseStarted, policy.StageResponseComplete
	yes, no := true, false
	p := policy.Policy{
		OmitStages: []policy.Stage{started, received}, OmitManagedFields: true,
		Rules: []policy.PolicyRule{
			{Level: policy.LevelRequest, Verbs: []string{"get"}, OmitStages: []policy.Stage{received, complete}, OmitManagedFields: &no},
			{Level: policy.LevelMetadata, Verbs: []string{"list"}, OmitManagedFields: &yes},
			{Level: policy.LevelMetadata, Verbs: []string{"watch"}},
		},
	}
	m := p.Compile()
	p.Rules[0].Verbs[0], p.OmitStages[0] = "changed later", "nor this"
	for _, c := range []struct {
		verb string
		want policy.Decision
	}{
		{"get", policy.Decision{Level: policy.LevelRequest, OmitStages: []policy.Stage{received, complete, started}}},
		{"list", policy.Decision{Level: policy.LevelMetadata, OmitStages: []policy.Stage{received, started}, OmitManagedFields: true, Rule: 1}},
		{"watch", policy.Decision{Level: policy.LevelMetadata, OmitStages: []policy.Stage{received, started}, OmitManagedFields: true, Rule: 2}},
		{"patch", policy.Decision{Level: policy.LevelNone, OmitStages: []policy.Stage{received, started}, OmitManagedFields: true, Rule: -1}},
	} {
		got := m.Match(&policy.Request{RequestInfo: policy.RequestInfo{Verb: c.verb}})
		slices.Sort(c.want.OmitStages)
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %+v, want %+v", c.verb, got, c.want)
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	readMatches(t, func(line int, rule string, requests []known, _ []string) {
		doc, err := policy.Load([]byte(asPolicy(rule)), 36)
		if err != nil {
			t.Fatal(err)
		}
		m := doc.Policy.Compile()
		for _, q := range requests {
			if n := testing.AllocsPerRun(3, func() { m.Match(&q.Request) }); n != 0 {
				t.Errorf("line %d, %s: %v allocations", line, q.name, n)
			}
		}
	})
}

// TestLive exchanges the policy while requests are matched: each gets the answer of
// one of the policies, and what does not load changes nothing.
func TestLive(t *testing.T) {
	const with = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [%s]\nrules: [{level: %s}]\n"
	doc, err := policy.Load(fmt.Appendf(nil, with, "Panic", "Metadata"), 36)
	if err != nil {
		t.Fatal(err)
	}
	live := policy.NewLive(doc.Policy.Compile())
	var all sync.WaitGroup
	stop := make(chan bool)
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				d := live.Match(&policy.Request{})
				if s := fmt.Sprintf("%s %s", d.Level, d.OmitStages); s != "Metadata [Panic]" && s != "Request [ResponseStarted]" {
					t.Errorf("an answer of neither policy: %s", s)
					return
				}
			}
		})
	}
	for i := range 200 {
		text := fmt.Appendf(nil, with, "Panic", "Metadata")
		if i%2 == 1 {
			text = fmt.Appendf(nil, with, "ResponseStarted", "Request")
		}
		if _, err := live.Load(text, 36); err != nil {
			t.Error(err)
		}
		if _, err := live.Load([]byte("rules: [{level: None}]"), 36); err == nil {
			t.Error("a bad policy was taken")
		}
		want := policy.LevelMetadata
		if i%2 == 1 {
			want = policy.LevelRequest
		}
		if got := live.Match(&policy.Request{}).Level; got != want {
			t.Errorf("after a bad policy the level is %s, want %s", got, want)
		}
	}
	close(stop)
	all.Wait()
}

func BenchmarkCompile(b *testing.B) {
	p := policy.Policy{}
	for i := range 1000 {
		p.Rules = append(p.Rules, policy.PolicyRule{Level: policy.LevelMetadata, Users: []string{fmt.Sprint("user-", i)},
			Resources: []policy.GroupResources{{Group: "apps", Resources: []string{fmt.Sprint("r", i), "deployments/scale"}}}})
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Compile()
	}
}
