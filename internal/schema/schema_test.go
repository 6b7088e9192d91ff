package schema_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubetrail/internal/schema"
)

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]schema.Target{
		"deploy/nginx":                       {Group: "apps", Resource: "deployments", Name: "nginx", Kind: "Deployment"},
		"Deployment.apps/nginx":              {Group: "apps", Resource: "deployments", Name: "nginx", Kind: "Deployment"},
		"deployments.v1.apps/nginx":          {Group: "apps", Resource: "deployments", Name: "nginx", Kind: "Deployment"},
		"secret":                             {Resource: "secrets", Kind: "Secret"},
		"ev":                                 {Resource: "events", Kind: "Event"},
		"events.events.k8s.io/x":             {Group: "events.k8s.io", Resource: "events", Name: "x", Kind: "Event"},
		"crontabs.stable.example.com/my/odd": {Group: "stable.example.com", Resource: "crontabs", Name: "my/odd"},
		"policy/p":                           {AnyGroup: true, Resource: "policies", Name: "p"},
		"ingress/x":                          {Group: "networking.k8s.io", Resource: "ingresses", Name: "x", Kind: "Ingress"},
	} {
		if diff := cmp.Diff(want, schema.ParseTarget(text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestFind(t *testing.T) {
	r := schema.Find("apps", "deployments")
	if r == nil || r.Kind != "Deployment" || !r.Namespaced || len(r.Subresources) != 2 {
		t.Fatalf("deployments: %+v", r)
	}
	if schema.Find("", "deployments") != nil {
		t.Error("deployments are not of the core group")
	}
}
