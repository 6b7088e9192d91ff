package recorded_test

import (
	"bufio"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/internal/output"
	"kubetrail/internal/recorded"
	"kubetrail/policy"
	"kubetrail/policy/policytest"
)

func load(t *testing.T, rules string) *policy.Document {
	t.Helper()
	doc, err := policy.Load([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\n"+rules), policy.Newest)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestBy(t *testing.T) {
	reads := recorded.Requests{Verbs: []string{"get", "list", "watch"}, Resource: "secrets", Namespace: "shop", Name: "db"}
	for _, c := range []struct{ name, policy, en, zh string }{
		{"everything", "rules: [{level: Metadata}]", "", ""},
		{"nothing matches", "rules: [{level: Metadata, resources: [{group: apps}]}]",
			"no rule matches get, list, watch, so nothing of it is recorded", "没有规则匹配 get、list、watch 请求，因此不记录"},
		{"nodes hidden", "rules:\n- {level: None, userGroups: ['system:nodes'], verbs: [get]}\n- {level: Metadata}",
			"rules[0] (line 4) records None of get by group system:nodes", "rules[0]（第 4 行）的级别是 None，不记录组 system:nodes 的 get 请求"},
		{"hidden, but recorded before", "rules:\n- {level: Metadata, resources: [{resources: [secrets]}]}\n- {level: None, users: [eve]}\n- {level: Metadata}", "", ""},
		{"the user recorded before, in groups not", "rules:\n- {level: Metadata, users: [eve]}\n- {level: None, users: [eve], userGroups: [dev]}\n- {level: Metadata}", "", ""},
		{"other namespace hidden", "rules:\n- {level: None, namespaces: [kube-system]}\n- {level: Metadata}", "", ""},
		{"lists of the cluster hidden", "rules:\n- {level: None, namespaces: ['']}\n- {level: Metadata}",
			"rules[0] (line 4) records None of list, watch by anybody", "rules[0]（第 4 行）的级别是 None，不记录任何人的 list、watch 请求"},
		{"other names hidden", "rules:\n- {level: None, resources: [{resources: [secrets], resourceNames: [web]}]}\n- {level: Metadata}", "", ""},
		{"every stage omitted", "omitStages: [RequestReceived]\nrules:\n- {level: Metadata, verbs: [get], omitStages: [ResponseComplete]}\n- {level: Metadata}",
			"rules[0] (line 5) omits RequestReceived and ResponseComplete of get by anybody", "rules[0]（第 5 行）对任何人的 get 请求省略了阶段 RequestReceived、ResponseComplete"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := recorded.By(load(t, c.policy), reads)
			var en, zh []string
			for _, h := range v.Holes {
				en, zh = append(en, h.Text(false)), append(zh, h.Text(true))
			}
			if got := strings.Join(en, "; "); got != c.en || v.All() != (c.en == "") {
				t.Errorf("holes %q, all %v, want %q", got, v.All(), c.en)
			}
			if got := strings.Join(zh, "；"); got != c.zh {
				t.Errorf("holes %q, want %q", got, c.zh)
			}
		})
	}
}

func TestStages(t *testing.T) {
	doc := load(t, "omitStages: [RequestReceived]\nrules:\n- {level: RequestResponse, verbs: [patch]}\n- {level: Metadata, omitStages: [ResponseStarted]}")
	v := recorded.By(doc, recorded.Requests{Verbs: []string{"get", "patch"}, Resource: "secrets", AnyNamespace: true, AnyName: true})
	if !v.All() || len(v.Logins) != 1 || v.Logins[0].Rule != 1 {
		t.Errorf("failed logins leave only ResponseStarted, which rules[1] omits: %+v", v)
	}
	if len(v.Patches) != 1 || v.Patches[0].Rule != 0 || !v.Bodies {
		t.Errorf("a patch that is no JSON leaves nothing under rules[0], others have bodies: %+v", v)
	}
	v = recorded.By(load(t, "rules: [{level: Metadata, omitStages: [ResponseComplete]}]"), recorded.Requests{Verbs: []string{"create"}, Resource: "secrets", AnyNamespace: true})
	if !v.All() || len(v.Results) != 1 || v.Bodies {
		t.Errorf("requests are recorded, their results and bodies are not: %+v", v)
	}
}

// TestProof tries the verdict on random policies and requests: what is said to be
// recorded is, and what is said to be hidden is hidden for the example.
func TestProof(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policytest.Policy(t)
		if len(p.Rules) == 0 {
			t.Skip("a policy without rules does not load")
		}
		doc := &policy.Document{Policy: p}
		m := p.Compile()
		asked := recorded.Requests{Verbs: []string{"get", "list", "watch", "delete", "create"}, Resource: "pods", AnyNamespace: true, AnyName: true}
		v := recorded.By(doc, asked)
		for _, h := range v.Holes {
			if d := m.Match(&h.Example); recordsAny(&h.Example, d) {
				t.Fatalf("%+v is said to be hidden, but %+v", h.Example, d)
			}
		}
		for range 20 {
			q := *policytest.Request(t, p)
			q.Authenticated, q.IsResourceRequest, q.APIGroup, q.Resource, q.Subresource = true, true, "", "pods", ""
			q.Verb = rapid.SampledFrom(asked.Verbs).Draw(t, "asked verb")
			q.Groups = append(q.Groups, "system:authenticated")
			if q.User == "" {
				q.User = "alice" // nobody who is authenticated has no name
			}
			if q.Verb == "create" {
				q.Name = ""
			}
			if q.Namespace == "" || q.Name == "" {
				if q.Verb == "get" || q.Verb == "delete" || q.Verb == "create" && q.Namespace == "" {
					continue
				}
			}
			d := m.Match(&q)
			if !recordsAny(&q, d) && !slices.ContainsFunc(v.Holes, func(h recorded.Hole) bool { return h.Rule == d.Rule && slices.Contains(h.Verbs, q.Verb) }) {
				t.Fatalf("%+v is hidden by rule %d, but the verdict is %+v", q, d.Rule, v)
			}
		}
	})
}

func recordsAny(q *policy.Request, d policy.Decision) bool {
	return d.Level != policy.LevelNone && slices.ContainsFunc(q.Stages(), func(s policy.Stage) bool { return !slices.Contains(d.OmitStages, s) })
}

func TestAnything(t *testing.T) {
	if v := recorded.Anything(load(t, "rules: [{level: Metadata}]")); !v.All() || len(v.Logins)+len(v.Results) > 0 {
		t.Errorf("everything is recorded: %+v", v)
	}
	v := recorded.Anything(load(t, "rules:\n- {level: None, users: [a], verbs: [get]}\n- {level: None, users: [a], verbs: [get], namespaces: [x]}\n- {level: Metadata, resources: [{group: ''}]}"))
	var got []string
	for _, h := range v.Holes {
		got = append(got, h.Text(false)+"|"+h.Text(true))
	}
	want := "no rule matches some requests, so nothing of it is recorded|没有规则匹配 某些 请求，因此不记录\n" +
		"rules[0] (line 4) records None of some requests by a|rules[0]（第 4 行）的级别是 None，不记录用户 a 的 某些 请求"
	if strings.Join(got, "\n") != want || len(v.Logins) != 1 {
		t.Errorf("holes:\n%s\nwant:\n%s\nlogins %+v", strings.Join(got, "\n"), want, v.Logins)
	}
}

// Who authenticates can be put into system:unauthenticated, and is not in
// system:authenticated then.
func TestUnauthenticatedGroup(t *testing.T) {
	doc := load(t, "rules:\n- {level: Metadata, users: ['system:anonymous']}\n- {level: Metadata, userGroups: ['system:authenticated']}\n")
	if v := recorded.By(doc, recorded.Requests{Verbs: []string{"get"}, Resource: "secrets", AnyName: true, AnyNamespace: true}); v.All() {
		t.Error("somebody in system:unauthenticated is recorded")
	}
}

func TestAnyGroup(t *testing.T) {
	doc := load(t, "rules:\n- {level: None, resources: [{group: example.com, resources: [widgets]}]}\n- {level: Metadata}")
	asked := recorded.Requests{Verbs: []string{"get"}, Resource: "widgets", AnyNamespace: true, AnyName: true}
	if v := recorded.By(doc, asked); !v.All() {
		t.Errorf("widgets of the core group are recorded: %+v", v)
	}
	asked.AnyGroup = true
	if v := recorded.By(doc, asked); v.All() {
		t.Error("widgets may be those of example.com, which are not recorded")
	}
}

// TestLossesAreTimes checks that times in which events were lost are not taken for the
// number of these events.
func TestLossesAreTimes(t *testing.T) {
	var said strings.Builder
	w := bufio.NewWriter(&said)
	(&recorded.Coverage{Losses: 2, Cause: "buffer-full"}).Rest(&output.Page{W: w})
	w.Flush()
	if !strings.Contains(said.String(), "known to be lost (2 ×, buffer-full)") {
		t.Error(said.String())
	}
}
