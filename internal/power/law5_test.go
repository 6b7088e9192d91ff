package power

import (
	"testing"

	"kubetrail/internal/recorded"
	"kubetrail/internal/schema"
	"kubetrail/policy"
)

// A rule that hides any of what an answer tells about makes it say that it cannot know.
func TestHiddenRequests(t *testing.T) {
	config := AccessConfig{Target: schema.ParseTarget("widgets/w"), Namespace: "shop"}
	dotted := AccessConfig{Target: schema.ParseTarget("widgets.example.com/w"), Namespace: "shop"}
	for _, c := range []struct {
		name, rule string
		about      []recorded.Requests
		hidden     bool
	}{
		{"sessions", `resources: [{group: "", resources: [pods/log]}]`, sessionRequests(""), true},
		{"sessions", `resources: [{group: "", resources: [pods/attach]}]`, sessionRequests("shop"), true},
		{"sessions", `resources: [{group: "", resources: [pods]}]`, sessionRequests(""), false},
		{"grants", `resources: [{group: admissionregistration.k8s.io}]`, giftRequests(), true},
		{"grants", `{verbs: [deletecollection], resources: [{group: rbac.authorization.k8s.io}]}`, giftRequests(), true},
		{"grants", `resources: [{group: "", resources: [secrets]}]`, giftRequests(), true},
		{"grants", `{namespaces: [kube-system], resources: [{group: "", resources: [pods/exec]}]}`, giftRequests(), true},
		{"grants", `resources: [{group: "", resources: [configmaps]}]`, giftRequests(), false},
		{"access", `resources: [{group: example.com}]`, config.requests(), true},
		{"access", `resources: [{group: example.com, resources: [widgets/status]}]`, dotted.requests(), true},
		{"access", `resources: [{group: example.org}]`, dotted.requests(), false},
	} {
		doc, err := policy.Load([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: None, "+trimBraces(c.rule)+"}\n- {level: Metadata}\n"), policy.Newest)
		if err != nil {
			t.Fatal(err)
		}
		if v := recorded.By(doc, c.about...); v.All() == c.hidden {
			t.Errorf("%s, None for %s: all recorded is %t", c.name, c.rule, v.All())
		}
	}
}

func trimBraces(s string) string {
	if s[0] == '{' {
		return s[1 : len(s)-1]
	}
	return s
}
