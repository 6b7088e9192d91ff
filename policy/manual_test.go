package policy_test

import (
	"strings"
	"testing"

	"kubetrail/policy"
)

// TestManual checks what docs/policy.md says of how a rule matches. A case is a rule,
// then requests: those marked + it matches, those marked - it does not.
func TestManual(t *testing.T) {
	for _, c := range []struct{ rule, requests string }{
		{`users: ["*"]`, `
			+ GET /api/v1/pods as *
			- GET /api/v1/pods as alice
			- GET /api/v1/pods`},
		{`userGroups: ["system:authenticated", "system:unauthenticated"]`, `
			+ GET /healthz as alice
			- GET /healthz`},
		{`verbs: ["*", "GET", "post"]`, `
			- GET /api/v1/pods as alice
			- POST /api/v1/namespaces/shop/pods as alice
			+ POST /metrics as alice`},
		{`namespaces: [""]`, `
			+ GET /api/v1/nodes/n as alice
			+ GET /api/v1/pods as alice
			- GET /api/v1/namespaces/shop/pods as alice
			- GET /version as alice`},
		{`namespaces: ["shop"]`, `
			+ GET /api/v1/namespaces/shop/pods as alice
			+ DELETE /api/v1/namespaces/shop as alice
			- POST /api/v1/namespaces as alice
			- GET /api/v1/pods as alice
			- GET /version as alice`},
		{`resources: [{group: "", resources: ["pods"]}]`, `
			+ GET /api/v1/namespaces/shop/pods/p as alice
			- GET /api/v1/namespaces/shop/pods/p/log as alice
			- GET /version as alice`},
		{`resources: [{group: "", resources: ["pods/*"]}]`, `
			+ GET /api/v1/namespaces/shop/pods/p as alice
			+ GET /api/v1/namespaces/shop/pods/p/log as alice
			- GET /api/v1/nodes/n/status as alice`},
		{`resources: [{group: "apps", resources: ["*/status"]}]`, `
			+ PUT /apis/apps/v1/namespaces/shop/deployments/d/status as alice
			- PUT /apis/apps/v1/namespaces/shop/deployments/d as alice
			- PUT /api/v1/namespaces/shop/pods/p/status as alice`},
		{`resources: [{group: "", resources: ["*/*"]}]`, `
			- GET /api/v1/namespaces/shop/pods/p as alice
			- GET /api/v1/namespaces/shop/pods/p/log as alice`},
		{`resources: [{group: ""}]`, `
			+ GET /api/v1/namespaces/shop/pods/p as alice
			+ GET /api/v1/namespaces/shop/pods/p/log as alice
			- GET /apis/apps/v1/deployments as alice`},
		{`resources: [{group: "core"}]`, `
			- GET /api/v1/namespaces/shop/pods/p as alice`},
		{`resources: [{group: "*", resources: ["deployments"]}]`, `
			+ GET /apis/apps/v1/deployments as alice
			- GET /api/v1/pods as alice`},
		{`resources: [{group: "apps", resources: ["deployments/scale"]}, {group: "", resources: ["pods/eviction"]}]`, `
			+ PUT /apis/apps/v1/namespaces/shop/deployments/d/scale as alice
			+ POST /api/v1/namespaces/shop/pods/p/eviction as alice`},
		{`resources: [{group: "autoscaling"}, {group: "policy"}]`, `
			- PUT /apis/apps/v1/namespaces/shop/deployments/d/scale as alice
			- POST /api/v1/namespaces/shop/pods/p/eviction as alice`},
		{`resources: [{group: "", resources: ["pods"], resourceNames: ["x"]}]`, `
			+ GET /api/v1/namespaces/shop/pods/x as alice
			+ GET /api/v1/pods?fieldSelector=metadata.name%3Dx as alice
			- GET /api/v1/pods as alice
			- POST /api/v1/namespaces/shop/pods as alice`},
		{`nonResourceURLs: ["/healthz"]`, `
			+ GET /healthz?verbose as alice
			- GET /healthz/ as alice
			- GET /healthz/etcd as alice`},
		{`nonResourceURLs: ["/api*"]`, `
			+ GET /api as alice
			+ GET /api/v1 as alice
			+ GET /apis/apps/v1 as alice
			- GET /api/v1/pods as alice`},
		{`verbs: ["get"]`, `
			+ GET /version as alice
			+ GET /api/v1/namespaces/shop/pods/p as alice
			- GET /api/v1/namespaces/shop/pods as alice`},
		{`verbs: ["list", "deletecollection"]`, `
			+ GET /api/v1/pods as alice
			+ DELETE /api/v1/namespaces/shop/pods as alice
			- GET /api/v1/pods?watch=true as alice`},
		{`verbs: ["watch"]`, `
			+ GET /api/v1/pods?watch=true as alice`},
		{`verb: ["get"]`, ` # which is no field
			+ DELETE /api/v1/namespaces/shop/pods/p as alice`},
	} {
		doc, err := policy.Load([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n  - level: Metadata\n    "+c.rule+"\n"), policy.Newest)
		if err != nil {
			t.Errorf("%s: %v", c.rule, err)
			continue
		}
		m := doc.Policy.Compile()
		for line := range strings.Lines(c.requests) {
			words := strings.Fields(line)
			if len(words) == 0 || words[0] == "#" {
				continue
			}
			info, err := policy.ParseRequest(words[1], words[2])
			if err != nil {
				t.Fatal(err)
			}
			r := policy.Request{RequestInfo: info}
			if len(words) == 5 {
				r = policy.Request{Authenticated: true, User: words[4], Groups: []string{"system:authenticated"}, RequestInfo: info}
			}
			if got := m.Match(&r).Rule == 0; got != (words[0] == "+") {
				t.Errorf("%s: %s: matches: %v", c.rule, strings.TrimSpace(line), got)
			}
		}
	}
}

// TestManualStages checks that a rule only adds to the stages that the policy omits.
func TestManualStages(t *testing.T) {
	doc, err := policy.Load([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\n"+
		"rules:\n  - level: Metadata\n    omitStages: [Panic]\n"), policy.Newest)
	if err != nil {
		t.Fatal(err)
	}
	r := policy.Request{}
	if d := doc.Policy.Compile().Match(&r); len(d.OmitStages) != 2 {
		t.Errorf("omits %v", d.OmitStages)
	}
	if s := r.Stages(); len(s) != 1 || s[0] != policy.StageResponseStarted {
		t.Errorf("a failed login passes %v", s)
	}
}
