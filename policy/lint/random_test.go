package lint

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/policy"
	"kubetrail/policy/diff"
	"kubetrail/policy/yamltext"
)

// randomPolicy writes a policy of things that people write, right and wrong.
func randomPolicy(t *rapid.T) []byte {
	var b strings.Builder
	b.WriteString("apiVersion: audit.k8s.io/v1\nkind: Policy\n")
	list := func(indent, name string, often int, values ...string) {
		if rapid.IntRange(0, 9).Draw(t, name+"?") >= often {
			return
		}
		chosen := rapid.SliceOfN(rapid.SampledFrom(values), 1, 3).Draw(t, name)
		if rapid.Bool().Draw(t, "flow") {
			fmt.Fprintf(&b, "%s%s: [%s]\n", indent, name, strings.Join(chosen, ", "))
			return
		}
		fmt.Fprintf(&b, "%s%s:\n", indent, name)
		for _, v := range chosen {
			fmt.Fprintf(&b, "%s- %s%s\n", indent, v, rapid.SampledFrom([]string{"", " # why"}).Draw(t, "comment"))
		}
	}
	stages := []string{"RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"}
	list("", "omitStages", 3, stages...)
	b.WriteString("rules:\n")
	for range rapid.IntRange(1, 6).Draw(t, "rules") {
		if rapid.Bool().Draw(t, "comment") {
			b.WriteString("# a comment\n")
		}
		fmt.Fprintf(&b, "- level: %s\n", rapid.SampledFrom(words(policy.Levels())).Draw(t, "level"))
		list("  ", "users", 3, "alice", "system:nodes", `"system:serviceaccount:ci:*"`, `"*"`, "system:serviceaccount:ci:bot", "system:anonymous")
		list("  ", "userGroups", 2, "dev", "system:authenticated", "system:node:n1", `"*"`)
		list("  ", "verbs", 5, "get", "list", "watch", "create", "update", "patch", "delete", "post", "GET", `"*"`, "bind")
		list("  ", "omitStages", 1, stages...)
		if rapid.IntRange(0, 4).Draw(t, "urls?") == 0 {
			list("  ", "nonResourceURLs", 10, "/healthz", "/healthz*", `"/api*"`, "/api/v1/pods", `"*"`, `"/livez?verbose"`)
			continue
		}
		list("  ", "namespaces", 3, "kube-system", "a", `""`, `"kube-*"`, "Prod", `"*"`)
		if rapid.IntRange(0, 4).Draw(t, "resources?") == 0 {
			continue
		}
		b.WriteString("  resources:\n")
		for range rapid.IntRange(1, 2).Draw(t, "items") {
			fmt.Fprintf(&b, "  - group: %s\n", rapid.SampledFrom([]string{`""`, "apps", "core", "extensions", "rbac.authorization.k8s.io", "example.com", `"*"`, "events.k8s.io"}).Draw(t, "group"))
			list("    ", "resources", 7, "pods", "pods/log", `"pods/*"`, "secrets", "configmaps", "deployments", "Pods", "pod", "nodes", `"*"`, `"*/*"`, `"*/status"`, "events", "ingresses", "pods/", "/log", "deployments.apps")
			list("    ", "resourceNames", 2, "a", `"a-*"`, `""`)
		}
	}
	return []byte(b.String())
}

// TestRandomRepairs checks on random policies that each repair leads to a policy that
// loads, with one finding less of its kind, and that nothing changes where it says so.
func TestRandomRepairs(t *testing.T) {
	proved := 0
	rapid.Check(t, func(t *rapid.T) {
		data := randomPolicy(t)
		cfg := Config{Kubernetes: rapid.SampledFrom([]policy.Kubernetes{30, 36, 37}).Draw(t, "release"), BlockingStrict: rapid.Bool().Draw(t, "strict")}
		for _, f := range Run(data, cfg) {
			if f.Fix != nil {
				checkFix(t, data, cfg, f)
				if strings.Contains(f.Fix.Text.En, "stays the same") || strings.Contains(f.Fix.Text.En, "nothing changes") {
					checkSame(t, data, f)
					proved++
				}
			}
		}
	})
	if proved == 0 {
		t.Error("no repair says that nothing changes: the policies are not random enough")
	}
}

// checkSame proves that the policy says the same before and after the repair of f.
func checkSame(t *rapid.T, data []byte, f Finding) {
	before, err := policy.LoadAny(data, policy.Newest)
	if err != nil {
		return // checkFix has loaded it as the release that was asked for
	}
	after, err := policy.LoadAny(yamltext.Apply(data, f.Fix.Edits), policy.Newest)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := diff.Diff(before.Policy, after.Policy, diff.Options{}); err != nil || len(r.Changes) > 0 {
		t.Fatalf("%s: %s: not the same: %+v, %v\n%s", f.Message.En, f.Fix.Text.En, r, err, data)
	}
}

// TestShadowedNeverDecide checks that a rule that is reported as shadowed decides no
// request, and that nothing changes where it is removed.
func TestShadowedNeverDecide(t *testing.T) {
	reported := 0
	rapid.Check(t, func(t *rapid.T) {
		data := randomPolicy(t)
		// A rule that stands there already, at another level.
		rules := strings.Split(string(data), "- level:")[1:]
		_, again, _ := strings.Cut(rapid.SampledFrom(rules).Draw(t, "again"), "\n")
		data = append(data, "- level: Request\n"+again...)
		doc, err := policy.LoadAny(data, 37)
		if err != nil {
			return
		}
		before := doc.Policy.Compile()
		for _, f := range ids(Run(data, Config{Kubernetes: 37}), "shadowed-rule") {
			if f.Fix == nil {
				continue
			}
			reported++
			doc, err := policy.LoadAny(yamltext.Apply(data, f.Fix.Edits), 37)
			if err != nil {
				t.Fatal(err)
			}
			after := doc.Policy.Compile()
			for range 200 {
				q := randomRequest(t)
				a, b := before.Match(&q), after.Match(&q)
				a.Rule, b.Rule = 0, 0
				if !reflect.DeepEqual(a, b) {
					t.Fatalf("%+v: %v, without the rule %v\n%s%s", q, a, b, data, f.Message.En)
				}
			}
		}
	})
	if reported < 20 {
		t.Errorf("only %d rules were shadowed: the policies are not random enough", reported)
	}
}

// TestCovers checks that the quick look at two rules agrees with the proof.
func TestCovers(t *testing.T) {
	covered := 0
	rapid.Check(t, func(t *rapid.T) {
		doc, err := policy.LoadAny(randomPolicy(t), 37)
		if err != nil {
			return
		}
		l := &linter{policy: doc.Policy}
		for i := range doc.Policy.Rules {
			for j := range doc.Policy.Rules {
				if i != j && covers(&doc.Policy.Rules[i], &doc.Policy.Rules[j]) {
					covered++
					if l.decides(i, j) {
						t.Errorf("%+v does not cover %+v", doc.Policy.Rules[i], doc.Policy.Rules[j])
					}
				}
			}
		}
	})
	if covered == 0 {
		t.Error("no rule covers another")
	}
}

// randomRequest makes a request out of the constants that randomPolicy uses.
func randomRequest(t *rapid.T) policy.Request {
	pick := func(values ...string) string { return rapid.SampledFrom(values).Draw(t, "value") }
	method := pick("GET", "POST", "PUT", "PATCH", "DELETE")
	uri := pick("/healthz", "/livez", "/api", "/x")
	if rapid.IntRange(0, 4).Draw(t, "url?") > 0 {
		uri = pick("/api/v1", "/apis/apps/v1", "/apis/core/v1", "/apis/example.com/v1", "/apis/rbac.authorization.k8s.io/v1") +
			pick("", "/namespaces/kube-system", "/namespaces/a", "/namespaces/b") +
			pick("/pods", "/pods/a", "/pods/a/log", "/secrets", "/secrets/a", "/configmaps/b", "/deployments", "/nodes/a", "/widgets/a/status", "/events") + pick("", "?watch=1")
	}
	info, err := policy.ParseRequest(method, uri)
	if err != nil {
		t.Fatal(err)
	}
	q := policy.Request{RequestInfo: info}
	if q.User = pick("alice", "bob", "system:anonymous", ""); q.User != "" {
		q.Authenticated = true
		q.Groups = slices.Compact([]string{pick("dev", "system:authenticated"), "system:authenticated"})
	}
	return q
}

// FuzzRun checks that no file makes lint panic, that repairs lie within the file and
// do not overlap, and that a policy which loads still does after each.
func FuzzRun(f *testing.F) {
	for _, s := range []string{"", "{}", "rules:\n- level: Metadata # kubetrail:ignore x\n", "\ufeffa: &a [*a]\n", "- x", "rules: [{level: None, verbs: [\"*\", 'it''s', \"\\u00e9\"]}]",
		"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- &r\n  level: Metadata\n- <<: *r\n  verb: get\n"} {
		f.Add([]byte(s))
	}
	for _, s := range sections(f) {
		f.Add(s.bad)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 2<<10 {
			return
		}
		_, before := policy.LoadAny(data, 36)
		for _, found := range Run(data, Config{Kubernetes: 36, BlockingStrict: true}) {
			if found.Line < 1 || found.Column < 1 || found.Message.En == "" || found.Message.Zh == "" {
				t.Fatalf("%+v has no place or no message", found)
			}
			if found.Fix == nil {
				continue
			}
			edits := slices.Clone(found.Fix.Edits)
			slices.SortStableFunc(edits, func(a, b yamltext.Edit) int { return a.Start - b.Start })
			at := 0
			for _, e := range edits {
				if e.Start < at || e.End < e.Start || e.End > len(data) {
					t.Fatalf("%s: edits %+v", found.Check, edits)
				}
				at = e.End
			}
			fixed := yamltext.Apply(data, edits)
			if bytes.Equal(fixed, data) || len(yamltext.Diff(data, edits)) == 0 {
				t.Errorf("%s: the repair changes nothing", found.Check)
			}
			if _, after := policy.LoadAny(fixed, 36); before == nil && after != nil {
				t.Errorf("%s: %q loads no more after its repair: %v\n%s", found.Check, data, after, fixed)
			}
		}
	})
}
