package policy

import (
	"testing"
)

// TestRequestReachesAll makes every path of up to six parts from the words that mean
// something, and asks that Request finds a way to exactly those attributes that one
// of them has.
func TestRequestReachesAll(t *testing.T) {
	words := []string{"", "a", "namespaces", "watch", "proxy", "status"}
	reached := map[RequestInfo]bool{}
	var walk func(path string, depth int)
	walk = func(path string, depth int) {
		for _, method := range []string{"GET", "DELETE", "PUT", "TRACE"} {
			for _, query := range []string{"", "?watch", "?fieldSelector=metadata.name=a", "?watch&fieldSelector=metadata.name=a"} {
				if method != "GET" && query != "" {
					continue
				}
				if r, err := ParseRequest(method, path+query); err == nil && r.IsResourceRequest {
					r.Path, r.APIVersion, r.APIPrefix = "", "", ""
					reached[r] = true
				}
			}
		}
		if depth == 0 {
			return
		}
		for _, word := range words {
			walk(path+"/"+word, depth-1)
		}
	}
	walk("/api/v1", 7)

	total, ways := 0, 0
	for _, verb := range []string{"get", "list", "watch", "proxy", "update", "delete", "deletecollection", ""} {
		for _, ns := range words {
			for _, resource := range words {
				for _, sub := range words {
					for _, name := range words {
						r := RequestInfo{IsResourceRequest: true, Verb: verb, Namespace: ns, Resource: resource, Subresource: sub, Name: name}
						if (verb == "list" || verb == "watch") && name != "" && name != "a" {
							continue // no query above selects it
						}
						total++
						method, uri, ok := r.Request()
						if ok {
							ways++
						}
						if ok != reached[r] {
							t.Errorf("%+v: %s %s %v, but reached: %v", r, method, uri, ok, reached[r])
						}
					}
				}
			}
		}
	}
	if ways < 1_000 || total-ways < 1_000 {
		t.Errorf("a request has %d of %d attributes: too few or too many to be a test", ways, total)
	}
}

func TestRequestIsPlain(t *testing.T) {
	for _, c := range []struct {
		want string
		r    RequestInfo
	}{
		{"GET /healthz", RequestInfo{Verb: "get", Path: "/healthz"}},
		{"GET /a%20b%25", RequestInfo{Verb: "get", Path: "/a b%"}},
		{"OPTIONS /api", RequestInfo{Verb: "options", Path: "/api"}},
		{"options *", RequestInfo{Verb: "options", Path: "*"}},
		{"GET http://kubernetes", RequestInfo{Verb: "get"}},
		{"none", RequestInfo{Verb: "get", Path: "healthz"}},
		{"none", RequestInfo{Verb: "", Path: "/healthz"}},
		{"none", RequestInfo{Verb: "GET", Path: "/healthz"}},
		{"none", RequestInfo{Verb: "get", Path: "/api/v1/pods"}},
		{"GET /api/v1/pods/a", RequestInfo{IsResourceRequest: true, Verb: "get", Resource: "pods", Name: "a"}},
		{"GET /api/v1/namespaces/n/pods", RequestInfo{IsResourceRequest: true, Verb: "list", Namespace: "n", Resource: "pods"}},
		{"GET /api/v1/pods?watch=1", RequestInfo{IsResourceRequest: true, Verb: "watch", Resource: "pods"}},
		{"GET /api/v1/pods?fieldSelector=metadata.name=a", RequestInfo{IsResourceRequest: true, Verb: "list", Resource: "pods", Name: "a"}},
		{"GET /api/v1/pods?watch=1&fieldSelector=metadata.name=a%5C%2Cb", RequestInfo{IsResourceRequest: true, Verb: "watch", Resource: "pods", Name: "a,b"}},
		{"GET /api/v1/watch/pods/a%25b", RequestInfo{IsResourceRequest: true, Verb: "watch", Resource: "pods", Name: "a%b"}},
		{"GET /api/v1/watch/pods/a/log", RequestInfo{IsResourceRequest: true, Verb: "watch", Resource: "pods", Name: "a", Subresource: "log"}},
		{"GET /api/v1/proxy/nodes/a", RequestInfo{IsResourceRequest: true, Verb: "proxy", Resource: "nodes", Name: "a"}},
		{"PATCH /apis/apps/v1/namespaces/n/deployments/d/scale", RequestInfo{IsResourceRequest: true, Verb: "patch", APIGroup: "apps",
			Namespace: "n", Resource: "deployments", Name: "d", Subresource: "scale"}},
		{"DELETE /apis/batch/v1beta1/jobs", RequestInfo{IsResourceRequest: true, Verb: "deletecollection", APIGroup: "batch", APIVersion: "v1beta1", Resource: "jobs"}},
		{"GET /apis//v1/pods", RequestInfo{IsResourceRequest: true, Verb: "list", APIPrefix: "apis", Resource: "pods"}},
		{"PUT /api/v1/namespaces/n/finalize", RequestInfo{IsResourceRequest: true, Verb: "update", Namespace: "n", Resource: "namespaces", Name: "n", Subresource: "finalize"}},
		{"GET /api/v1/namespaces/a/namespaces/b", RequestInfo{IsResourceRequest: true, Verb: "get", Namespace: "a", Resource: "namespaces", Name: "b"}},
		{"DELETE /api/v1/namespaces//namespaces/b", RequestInfo{IsResourceRequest: true, Verb: "delete", Resource: "namespaces", Name: "b"}},
		{"GET /api/v1/namespaces//watch/a", RequestInfo{IsResourceRequest: true, Verb: "get", Resource: "watch", Name: "a"}},
		{"POST /api/v1////-", RequestInfo{IsResourceRequest: true, Verb: "create"}},
		{"OPTIONS /api/v1/pods", RequestInfo{IsResourceRequest: true, Resource: "pods"}},
		{"none", RequestInfo{IsResourceRequest: true, Verb: "get", Resource: "pods"}},
		{"none", RequestInfo{IsResourceRequest: true, Verb: "list", Resource: "pods", Name: "a/b"}},
		{"none", RequestInfo{IsResourceRequest: true, Verb: "create", Namespace: "n", Resource: "status"}},
		{"none", RequestInfo{IsResourceRequest: true, Verb: "proxy", Resource: "pods", Name: "a", Subresource: "log"}},
		{"none", RequestInfo{IsResourceRequest: true, Verb: "*", Resource: "pods"}},
	} {
		method, uri, ok := c.r.Request()
		got := method + " " + uri
		if !ok {
			got = "none"
		}
		if got != c.want {
			t.Errorf("%+v: %s, want %s", c.r, got, c.want)
		}
	}
}
