package history

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
)

// corpus is a real log as a trail.
func corpus(t *testing.T, name string) *scene {
	t.Helper()
	s := &scene{t: t}
	for _, line := range corpustest.Members(t, name, "audit.log")[0].Events(t) {
		e := &audit.Event{}
		if err := e.Scan(line); err != nil {
			t.Fatal(err)
		}
		e.Seq = uint64(len(s.events))
		s.events = append(s.events, e)
	}
	return s
}

// TestStory tells the lives that the story of the corpora planted.
func TestStory(t *testing.T) {
	blind := `
1 alice create real unknown: created
1 alice patch real unknown: not recorded
1 bob patch real unknown: not recorded
1 alice patch real unknown: not recorded
1 王芳 patch real unknown: not recorded
1 alice patch dry-run -: dry run: nothing was stored
1 bob delete real exact: deleted
`
	for _, x := range []struct {
		corpus, object string
		change         func(*Config)
		want           string
	}{
		{"a-gce-derived", "deploy/cart", nil, `
1 alice create real exact: created: replicas 3; image registry.local/cart:1.0.0
1 alice patch real exact: image cart:1.0.0 → cart:1.1.0
1 alice patch real exact: replicas 3 → 4
1 alice patch real exact: +owner alice
1 system:serviceaccount:ci:deployer patch real exact: image cart:1.1.0 → cart:1.2.0
1 alice patch/scale real exact: replicas 4 → 1
1 system:serviceaccount:kube-system:horizontal-pod-autoscaler update/scale real exact: replicas 1 → 2
`},
		{"a-gce-derived", "deployment/nginx", nil, `
1 jai create real exact: created: replicas 3; image nginx:1.25
1 jai patch real exact: image nginx:1.25 → nginx:1.27
1 jai patch real exact: +change-cause CVE-2024-7347 upgrade
1 jai patch real exact: +tier frontend
1 jai delete real exact: deleted
`},
		{"a-gce-derived", "ns/sandbox", nil, `
1 kubernetes-admin create real exact: created
1 kubernetes-admin patch real exact: +pod-security.kubernetes.io/audit restricted; +pod-security.kubernetes.io/enforce restricted; +pod-security.kubernetes.io/warn restricted
1 kubernetes-admin delete real exact: marked for deletion: finalizers kubernetes
1 system:serviceaccount:kube-system:namespace-controller update/finalize real exact: removed the last finalizer
`},
		{"a-gce-derived", "cm/app-config", whole, blind},
		{"d-metadata-all", "cm/app-config", whole, blind},
	} {
		t.Run(x.corpus+" "+x.object, func(t *testing.T) {
			s := corpus(t, x.corpus)
			s.t = t
			s.expect(x.object, x.change, x.want)
		})
	}
}

// TestEveryObject tells the life of every object of a real log: each request that wrote to
// it is told, and each version that is exact is what the API server answered.
func TestEveryObject(t *testing.T) {
	s := corpus(t, "a-gce-derived")
	type object struct{ resource, namespace, name string }
	writes := map[object]int{}
	for _, e := range s.events {
		o := object{string(e.Text[audit.Resource]), string(e.Text[audit.Namespace]), string(e.Text[audit.Name])}
		verbs := []string{"create", "update", "patch", "delete"}
		if Classify(e) == Connect || string(e.Text[audit.Subresource]) == "exec" {
			continue
		}
		if o.name != "" && len(e.ResponseObject) > 0 && slices.Contains(verbs, string(e.Text[audit.Verb])) && len(e.Text[audit.APIGroup]) == 0 {
			writes[o]++
		}
	}
	tried := 0
	for o, n := range writes {
		if n < 5 || tried == 10 {
			continue
		}
		tried++
		target, err := ParseTarget(o.resource+"/"+o.name, o.namespace, "")
		if err != nil {
			t.Fatal(err)
		}
		story := s.story(o.resource+"/"+o.name, func(c *Config) { c.Target, c.All, c.Objects, c.ShowSecrets = target, true, true, true })
		if len(story.Rows)+int(story.Beats) < n {
			t.Errorf("%v: %d rows of %d writes", o, len(story.Rows), n)
		}
		for _, r := range story.Rows {
			text := fmt.Append(nil, r.Object)
			if raw, ok := r.Object.(interface{ MarshalJSON() ([]byte, error) }); ok {
				text, _ = raw.MarshalJSON()
			}
			if r.Certainty == Exact && r.Version != "" && r.Object != nil && !bytes.Contains(text, []byte(`"resourceVersion":"`+r.Version+`"`)) {
				t.Errorf("%v: version %s is not that of %.200s", o, r.Version, text)
			}
		}
	}
	if tried < 10 {
		t.Errorf("only %d objects", tried)
	}
}
