package policy_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"kubetrail/internal/corpustest"
	"kubetrail/policy"
	"kubetrail/policy/explain"
)

// TestDecisionGoldens asks for every decision of which ../shared holds upstream's
// answer: through the loader and the request's URI, of the Matcher and of explain.
func TestDecisionGoldens(t *testing.T) {
	type golden struct {
		ID, Policy, Method, URI string
		User                    *string
		Groups                  []string
		Expect                  struct {
			Level             policy.Level
			OmitStages        []policy.Stage
			OmitManagedFields bool
			Rule              int
			Error             string
		}
	}
	policies, matchers := goldenPolicies(t)
	count, refused := 0, 0
	for line := range bytes.Lines(corpustest.Shared(t, "policy/cases.jsonl.zst")) {
		var g golden
		if err := json.Unmarshal(line, &g); err != nil {
			t.Fatal(err)
		}
		count++
		r := policy.Request{Authenticated: g.User != nil, Groups: g.Groups}
		if r.Authenticated {
			r.User = *g.User
		}
		var err error
		if r.RequestInfo, err = policy.ParseRequest(g.Method, g.URI); err != nil || g.Expect.Error != "" {
			if err == nil || err.Error() != g.Expect.Error {
				t.Errorf("%s: error %v, want %s", g.ID, err, g.Expect.Error)
			}
			refused++
			continue
		}
		e := &g.Expect
		want := policy.Decision{Level: e.Level, OmitStages: e.OmitStages, OmitManagedFields: e.OmitManagedFields, Rule: e.Rule}
		if got := matchers[g.Policy].Match(&r); !sameDecision(got, want) {
			t.Errorf("%s: Match gives %v, want %v", g.ID, got, want)
		}
		if got := explain.Request(policies[g.Policy], &r).Decision; !sameDecision(got, want) {
			t.Errorf("%s: explain gives %v, want %v", g.ID, got, want)
		}
	}
	if count < 14_000 || refused < 200 {
		t.Errorf("%d requests of which %d are refused, want all 14,280 and 221", count, refused)
	}
}

func goldenPolicies(t *testing.T) (map[string]*policy.Policy, map[string]*policy.Matcher) {
	t.Helper()
	policies, matchers := map[string]*policy.Policy{}, map[string]*policy.Matcher{}
	for line := range bytes.Lines(corpustest.Shared(t, "policy/policies.jsonl.zst")) {
		var g struct{ Policy, YAML string }
		if err := json.Unmarshal(line, &g); err != nil {
			t.Fatal(err)
		}
		doc, err := policy.Load([]byte(g.YAML), 36)
		if err != nil {
			t.Fatalf("%s: %v", g.Policy, err)
		}
		policies[g.Policy], matchers[g.Policy] = doc.Policy, doc.Policy.Compile()
	}
	return policies, matchers
}

func sameDecision(a, b policy.Decision) bool {
	return a.Level == b.Level && slices.Equal(a.OmitStages, b.OmitStages) &&
		a.OmitManagedFields == b.OmitManagedFields && a.Rule == b.Rule
}
