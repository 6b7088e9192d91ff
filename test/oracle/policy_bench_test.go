package oracle

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apiserver/pkg/authorization/authorizer"

	"kubetrail/policy"
)

// typical are requests as a cluster sees them: most by nodes and controllers, some by
// people, some for URLs that are no resource.
func typical() []call {
	node := []string{"system:nodes", "system:authenticated"}
	account := []string{"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"}
	person := []string{"dev", "system:authenticated"}
	authenticated := []string{"system:authenticated"}
	admin := []string{"system:masters", "system:authenticated"}
	const n1, n2 = "system:node:node-1", "system:node:node-2"
	const lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-1"
	return []call{
		{"PUT", lease + "?timeout=10s", true, n1, node},
		{"PATCH", "/api/v1/nodes/node-1/status?timeout=10s", true, n1, node},
		{"GET", "/api/v1/nodes/node-1?resourceVersion=0", true, n1, node},
		{"PATCH", "/api/v1/namespaces/shop/pods/cart-1/status", true, n2, node},
		{"GET", "/api/v1/namespaces/shop/configmaps/cart", true, n2, node},
		{"GET", "/api/v1/namespaces/shop/secrets?fieldSelector=metadata.name%3Dcart&watch=true", true, n2, node},
		{"POST", "/api/v1/namespaces/shop/serviceaccounts/cart/token", true, n2, node},
		{"POST", "/api/v1/namespaces/shop/events", true, n2, node},
		{"GET", "/api/v1/services?watch=true", true, "system:kube-proxy", authenticated},
		{"GET", "/apis/discovery.k8s.io/v1/endpointslices?watch=true", true, "system:kube-proxy", authenticated},
		{"PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager", true, "system:kube-controller-manager", authenticated},
		{"GET", "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods", true, "system:kube-controller-manager", authenticated},
		{"GET", "/apis/apps/v1/deployments?allowWatchBookmarks=true&watch=true", true, "system:serviceaccount:kube-system:deployment-controller", account},
		{"PUT", "/apis/apps/v1/namespaces/shop/deployments/cart/status", true, "system:serviceaccount:kube-system:deployment-controller", account},
		{"POST", "/apis/apps/v1/namespaces/shop/replicasets", true, "system:serviceaccount:kube-system:deployment-controller", account},
		{"POST", "/api/v1/namespaces/shop/pods", true, "system:serviceaccount:kube-system:replicaset-controller", account},
		{"PUT", "/api/v1/namespaces/kube-system/endpoints/kube-dns", true, "system:serviceaccount:kube-system:endpoint-controller", account},
		{"POST", "/api/v1/namespaces/shop/pods/cart-1/binding", true, "system:kube-scheduler", authenticated},
		{"GET", "/api/v1/namespaces/kube-system/configmaps/cluster-autoscaler-status", true, "cluster-autoscaler", authenticated},
		{"GET", "/api/v1/namespaces/default", true, "system:apiserver", admin},
		{"GET", "/healthz", true, "system:anonymous", []string{"system:unauthenticated"}},
		{"GET", "/readyz?verbose", true, "system:anonymous", []string{"system:unauthenticated"}},
		{"GET", "/version", true, "alice", person},
		{"GET", "/apis?timeout=32s", true, "alice", person},
		{"GET", "/openapi/v3/apis/apps/v1", true, "alice", person},
		{"GET", "/api/v1/namespaces/shop/pods?limit=500", true, "alice", person},
		{"GET", "/api/v1/namespaces/shop/pods/cart-1/log?container=app&follow=true", true, "alice", person},
		{"GET", "/api/v1/namespaces/shop/pods/cart-1/exec?command=sh&stdin=true", true, "alice", person},
		{"PATCH", "/apis/apps/v1/namespaces/shop/deployments/cart?fieldManager=kubectl", true, "alice", person},
		{"DELETE", "/api/v1/namespaces/shop/pods/cart-1", true, "admin", admin},
		{"POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", true, "system:serviceaccount:kube-system:x", account},
		{Method: "GET", URI: "/api/v1/secrets"},
	}
}

// BenchmarkPolicy measures one decision, upstream's and ours, over the typical
// requests in turn.
func BenchmarkPolicy(b *testing.B) {
	inputs := []struct {
		name string
		text []byte
	}{{"16", sharedPolicy(b)}}
	for _, n := range []int{100, 1000} {
		inputs = append(inputs, struct {
			name string
			text []byte
		}{fmt.Sprint(n), manyRules(n)})
	}
	for _, in := range inputs {
		doc, err := policy.Load(in.text, 36)
		if err != nil {
			b.Fatal(err)
		}
		m := doc.Policy.Compile()
		j := newJudge(b, in.text)
		var theirs []authorizer.Attributes
		var mine []policy.Request
		for _, c := range typical() {
			a, err := attributes(b, c)
			if err != nil {
				b.Fatal(err)
			}
			q, err := resolved(c)
			if err != nil {
				b.Fatal(err)
			}
			if got, want := m.Match(&q), j.rules.EvaluatePolicyRule(a); !same(got, want) {
				b.Fatalf("%+v: %+v, upstream %+v", c, got, want)
			}
			theirs, mine = append(theirs, a), append(mine, q)
		}
		b.Run("rules="+in.name+"/by=upstream", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				j.rules.EvaluatePolicyRule(theirs[i%len(theirs)])
			}
		})
		b.Run("rules="+in.name+"/by=kubetrail", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m.Match(&mine[i%len(mine)])
			}
		})
	}
}

// sharedPolicy is the policy of 16 rules that Google's clusters began with.
func sharedPolicy(tb testing.TB) []byte {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "policies", "gce-derived.yaml"))
	if err != nil {
		tb.Skip("no ../shared/policies beside the repository")
	}
	return text
}

// manyRules is a policy in which n-1 teams have a rule each, and all others the last.
func manyRules(n int) []byte {
	text := []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n")
	for i := range n - 1 {
		text = fmt.Appendf(text, "- level: Request\n  users: [team-%d]\n  verbs: [%s]\n  namespaces: [ns-%d, shop]\n  resources:\n  - group: %q\n    resources: [pods, secrets, res-%d, deployments/scale]\n",
			i, []string{"create", "get, list", "update, patch", "delete"}[i%4], i, []string{"", "apps", "batch"}[i%3], i)
	}
	return append(text, "- level: Metadata\n"...)
}
