package query

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
)

// corpusLines returns the lines of the log of a real kube-apiserver; the test is
// skipped where the corpora are not beside the repository.
func corpusLines(tb testing.TB, name string) [][]byte {
	tb.Helper()
	return corpustest.Events(tb, name)
}

// tree is an event decoded by encoding/json: the judge knows nothing of columns.
type tree map[string]any

// all returns the scalars at a path, arrays taken apart; keys are given one by one.
func (e tree) all(keys ...string) []any { return descend(map[string]any(e), keys) }

func descend(v any, keys []string) (found []any) {
	switch v := v.(type) {
	case []any:
		for _, el := range v {
			found = append(found, descend(el, keys)...)
		}
	case map[string]any:
		if len(keys) > 0 {
			if el, ok := v[keys[0]]; ok {
				found = descend(el, keys[1:])
			}
		} else {
			found = []any{v}
		}
	case nil:
	default:
		if len(keys) == 0 {
			found = []any{v}
		}
	}
	return found
}

func (e tree) is(want any, keys ...string) bool { return slices.Contains(e.strings(keys...), want) }

// strings is all with objects left out, which == cannot compare.
func (e tree) strings(keys ...string) []any {
	return slices.DeleteFunc(e.all(keys...), func(v any) bool { _, object := v.(map[string]any); return object })
}

func (e tree) any(test func(string) bool, keys ...string) bool {
	return slices.ContainsFunc(e.strings(keys...), func(v any) bool { s, ok := v.(string); return ok && test(s) })
}

func (e tree) code() float64 {
	for _, v := range e.all("responseStatus", "code") {
		return v.(float64)
	}
	return -1
}

// leaves calls yield for every string anywhere below v, names of members included.
func leaves(v any, yield func(string) bool) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, func(el any) bool { return leaves(el, yield) })
	case map[string]any:
		for k, el := range v {
			if yield(k) || leaves(el, yield) {
				return true
			}
		}
	case string:
		return yield(v)
	}
	return false
}

func judges() map[string]func(tree) bool {
	has := strings.Contains
	prefix := func(p string) func(string) bool { return func(s string) bool { return strings.HasPrefix(s, p) } }
	return map[string]func(tree) bool{
		"user.username:jai and verb:(delete or patch) and not objectRef.namespace:kube-*": func(e tree) bool {
			return e.is("jai", "user", "username") && (e.is("delete", "verb") || e.is("patch", "verb")) && !e.any(prefix("kube-"), "objectRef", "namespace")
		},
		"code >= 400":            func(e tree) bool { return e.code() >= 400 },
		"code:4* and not user:*": func(e tree) bool { return e.code() >= 400 && e.code() < 500 && e.all("user", "username") == nil },
		"user:system:serviceaccount:* and sub:status": func(e tree) bool {
			return e.any(prefix("system:serviceaccount:"), "user", "username") && e.is("status", "objectRef", "subresource")
		},
		"group:system:masters":  func(e tree) bool { return e.is("system:masters", "user", "groups") },
		"user:王芳 or user:veeru": func(e tree) bool { return e.is("王芳", "user", "username") || e.is("veeru", "user", "username") },
		"requestObject.spec.replicas > 2": func(e tree) bool {
			return slices.ContainsFunc(e.all("requestObject", "spec", "replicas"), func(v any) bool { return v.(float64) > 2 })
		},
		"requestObject.spec.containers.image:*nginx*": func(e tree) bool {
			return e.any(func(s string) bool { return has(s, "nginx") }, "requestObject", "spec", "containers", "image")
		},
		"requestObject.spec.template.spec.containers.image:*": func(e tree) bool {
			return len(e.all("requestObject", "spec", "template", "spec", "containers", "image")) > 0
		},
		"requestObject.metadata.labels.kubernetes.io/bootstrapping:*": func(e tree) bool {
			return len(e.all("requestObject", "metadata", "labels", "kubernetes.io/bootstrapping")) > 0
		},
		"annotations.authorization.k8s.io/decision:forbid": func(e tree) bool { return e.is("forbid", "annotations", "authorization.k8s.io/decision") },
		"annotations.k8s.io/deprecated:true":               func(e tree) bool { return e.is("true", "annotations", "k8s.io/deprecated") },
		`message:"cannot list"`: func(e tree) bool {
			return e.any(func(s string) bool { return has(s, "cannot list ") }, "responseStatus", "message")
		},
		"ip:203.0.113.0/24": func(e tree) bool { return e.any(prefix("203.0.113."), "sourceIPs") },
		`stageTimestamp >= "2026-11-20T15:22:00Z" and stageTimestamp < "2026-11-20T15:22:10Z"`: func(e tree) bool {
			return e.any(func(s string) bool { return s >= "2026-11-20T15:22:00" && s < "2026-11-20T15:22:10" }, "stageTimestamp")
		},
		"user.extra.authentication.kubernetes.io/credential-id:*": func(e tree) bool {
			return len(e.all("user", "extra", "authentication.kubernetes.io/credential-id")) > 0
		},
		"as:veeru": func(e tree) bool { return e.is("veeru", "impersonatedUser", "username") },
		"level:RequestResponse and responseObject.kind:Status": func(e tree) bool { return e.is("RequestResponse", "level") && e.is("Status", "responseObject", "kind") },
		`"privileged"`: func(e tree) bool {
			return leaves(map[string]any(e), func(s string) bool { return has(s, "privileged") })
		},
		"*Object.*:ReplicaSet": func(e tree) bool {
			return leafValue(e["requestObject"], "ReplicaSet") || leafValue(e["responseObject"], "ReplicaSet")
		},
	}
}

func leafValue(v any, want string) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, func(el any) bool { return leafValue(el, want) })
	case map[string]any:
		for _, el := range v {
			if leafValue(el, want) {
				return true
			}
		}
	}
	return v == any(want)
}

func TestRealQuestions(t *testing.T) {
	lines := corpusLines(t, "a-gce-derived")
	asks := judges()
	nodes, answers := map[string]*Node{}, map[string]int{}
	for text := range asks {
		nodes[text] = mustParse(t, text)
	}
	var e audit.Event
	for _, line := range lines {
		if err := e.Scan(line); err != nil {
			t.Fatal(err)
		}
		var decoded tree
		if err := json.Unmarshal(line, &decoded); err != nil {
			t.Fatal(err)
		}
		for text, judge := range asks {
			got, want := nodes[text].Match(&e), judge(decoded)
			if got {
				answers[text]++
			}
			if got != want {
				t.Fatalf("%s\nmatches %v, want %v:\n%.3000s", text, got, want, line)
			}
		}
	}
	for text := range asks {
		if answers[text] == 0 {
			t.Errorf("%s has no answer in %d events: it proves little", text, len(lines))
		}
		t.Logf("%6d  %s", answers[text], text)
	}
}

// TestFacts asks what the person who made the corpus noted beforehand.
func TestFacts(t *testing.T) {
	lines := corpusLines(t, "a-gce-derived")
	var e audit.Event
	for text, want := range map[string]string{
		"verb:delete and resource:deployments and ns:default and name:nginx-old and code:200":    "jai",
		"verb:delete and resource:deployments and ns:payments and name:ledger and code:200":      "bob",
		"verb:get and resource:secrets and ns:payments and name:db-password and code:200":        "bob breakglass mallory",
		"verb:get and resource:secrets and ns:payments and name:db-password and code:403":        "carol jai mallory system:serviceaccount:ci:deployer",
		`user:mallory and sub:exec and ns:kube-system and name:toolbox and command:"echo pwned"`: "mallory",
		"resource:configmaps and ns:shop and name:temp-cm and verb:delete":                       "王芳",
		`message:*impersonate* and code:403 and not as:*`:                                        "alice mallory",
		"id:planted-audit-id-0001":  "alice mallory",
		"sub:eviction and code:429": "alice",
		"verb:patch and resource:deployments and name:cart and requestObject.*image:registry.local/cart:1.2.0": "system:serviceaccount:ci:deployer",
		"stage:Panic": "kubernetes-admin",
		"code:413":    "alice",
	} {
		n := mustParse(t, text)
		seen := map[string]bool{}
		for _, line := range lines {
			if err := e.Scan(line); err != nil {
				t.Fatal(err)
			}
			if n.Match(&e) {
				seen[string(e.Text[audit.Username])] = true
			}
		}
		var got []string
		for user := range seen {
			got = append(got, user)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", text, got, want)
		}
	}
}

func TestMatchAllocates(t *testing.T) {
	lines := corpusLines(t, "a-gce-derived")
	var events [200]audit.Event
	for i := range events {
		if err := events[i].Scan(lines[i*len(lines)/len(events)]); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range benchQuestions() {
		n := mustParse(t, text)
		perRun := testing.AllocsPerRun(5, func() {
			for i := range events {
				n.Match(&events[i])
			}
		})
		if perRun > 20 { // strings with escapes are decoded
			t.Errorf("%s: %.0f allocations for %d events", text, perRun, len(events))
		}
	}
}

func benchQuestions() []string {
	return []string{
		"user:jai",
		"user:jai and verb:(delete or patch) and not ns:kube-*",
		"code >= 400",
		"code:4*",
		"group:system:masters",
		"annotations.k8s.io/deprecated:true",
		"message:forbidden",
		"requestObject.spec.replicas > 3",
		"requestObject.metadata.name:*",
		"requestObject.spec.containers:{ image:nginx* and name:web }",
		"requestObject.*image:nginx*",
		`"privileged"`,
	}
}

func BenchmarkParse(b *testing.B) {
	for _, text := range benchQuestions() {
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				if _, err := Parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMatch is per event of a real log, 1.7 KB on average.
func BenchmarkMatch(b *testing.B) {
	lines := corpusLines(b, "a-gce-derived")
	events := make([]audit.Event, 1000)
	for i := range events {
		if err := events[i].Scan(lines[i*len(lines)/len(events)]); err != nil {
			b.Fatal(err)
		}
	}
	for _, text := range benchQuestions() {
		n := mustParse(b, text)
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				n.Match(&events[i%len(events)])
				i++
			}
		})
	}
}
