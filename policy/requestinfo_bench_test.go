package policy

import "testing"

func BenchmarkParseRequest(b *testing.B) {
	for _, c := range []struct{ name, method, uri string }{
		{"named", "GET", "/api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt"},
		{"status", "PATCH", "/apis/apps/v1/namespaces/team-a/deployments/web-frontend/status"},
		{"lease", "PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-1?timeout=10s"},
		{"create", "POST", "/api/v1/namespaces/default/pods"},
		{"nonresource", "GET", "/readyz"},
		{"watch", "GET", "/api/v1/pods?allowWatchBookmarks=true&fieldSelector=spec.nodeName%3Dnode-1&resourceVersion=123456&timeoutSeconds=395&watch=true"},
		{"list", "GET", "/api/v1/namespaces/default/pods?labelSelector=app%3Dweb%2Ctier+in+%28a%2Cb%29&limit=500"},
		{"escaped", "GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseRequest(c.method, c.uri); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRequest(b *testing.B) {
	b.ReportAllocs()
	r := RequestInfo{IsResourceRequest: true, Verb: "get", Namespace: "team-a", Resource: "pods", Name: "web-0", Subresource: "log"}
	for b.Loop() {
		if _, _, ok := r.Request(); !ok {
			b.Fatal("no request")
		}
	}
}
