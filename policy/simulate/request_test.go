package simulate

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubetrail/audit"
	"kubetrail/policy"
)

// TestRequest checks what becomes of an event: above all, what is not looked at.
func TestRequest(t *testing.T) {
	pods := policy.RequestInfo{IsResourceRequest: true, APIPrefix: "api", APIVersion: "v1", Namespace: "a", Resource: "pods"}
	for _, c := range []struct {
		name, verb, uri, rest string
		want                  policy.Request
	}{
		{"a create has no name, whatever objectRef says", "create", "/api/v1/namespaces/a/pods",
			alice + `"objectRef":{"resource":"pods","namespace":"b","name":"x"},`, of(pods, "create", "/api/v1/namespaces/a/pods", "")},
		{"the real user counts, not the one acted as", "get", "/api/v1/namespaces/a/pods/x",
			alice + `"impersonatedUser":{"username":"root","groups":["system:masters"]},`, of(pods, "get", "/api/v1/namespaces/a/pods/x", "x")},
		{"HEAD is recorded as get", "list", "/api/v1/namespaces/a/pods?limit=500", alice, of(pods, "list", "/api/v1/namespaces/a/pods", "")},
		{"the query makes a list a watch", "watch", "/api/v1/namespaces/a/pods?watch=true", alice, of(pods, "watch", "/api/v1/namespaces/a/pods", "")},
		{"or the verb does, where the query was cut off", "watch", "/api/v1/namespaces/a/pods?wat", alice, of(pods, "watch", "/api/v1/namespaces/a/pods", "")},
		{"a field selector names an object", "list", "/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Dx", alice, of(pods, "list", "/api/v1/namespaces/a/pods", "x")},
		{"a delete without a name", "deletecollection", "/api/v1/namespaces/a/pods", alice, of(pods, "deletecollection", "/api/v1/namespaces/a/pods", "")},
		{"a method that is none of the API's", "", "/api/v1/namespaces/a/pods", alice, of(pods, "", "/api/v1/namespaces/a/pods", "")},
		{"a patch", "patch", "/api/v1/namespaces/a/pods/x", alice, of(pods, "patch", "/api/v1/namespaces/a/pods/x", "x")},
		{"an update", "update", "/api/v1/namespaces/a/pods/x", alice, of(pods, "update", "/api/v1/namespaces/a/pods/x", "x")},
		{"the deprecated way to watch", "watch", "/api/v1/watch/namespaces/a/pods/x", alice, of(pods, "watch", "/api/v1/watch/namespaces/a/pods/x", "x")},
		{"a URL that is no resource", "post", "/a%20b/?q=1", alice,
			policy.Request{Authenticated: true, User: "alice", Groups: []string{"dev"}, RequestInfo: policy.RequestInfo{Path: "/a b/", Verb: "post"}}},
		{"nobody", "get", "/version", `"user":{},`, policy.Request{RequestInfo: policy.RequestInfo{Path: "/version", Verb: "get"}}},
		{"somebody without a name", "get", "/version", `"user":{"uid":"1"},`,
			policy.Request{Authenticated: true, RequestInfo: policy.RequestInfo{Path: "/version", Verb: "get"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var e audit.Event
			if err := e.Scan([]byte(event("Metadata", "ResponseComplete", c.verb, c.uri, c.rest))); err != nil {
				t.Fatal(err)
			}
			got, err := Request(&e)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

// of is a request of alice.
func of(info policy.RequestInfo, verb, path, name string) policy.Request {
	info.Verb, info.Path, info.Name = verb, path, name
	return policy.Request{Authenticated: true, User: "alice", Groups: []string{"dev"}, RequestInfo: info}
}

// TestRequestErrors checks what events cannot be judged.
func TestRequestErrors(t *testing.T) {
	for _, c := range []struct{ verb, uri, rest, want string }{
		{"get", "", alice, "no requestURI"},
		{"get", "pods/x", alice, "no path"},
		{"get", "/api/v1/pods/%zz", alice, "invalid URL escape"},
		{"get", "/api/v1/watch", alice, "unable to determine kind and namespace"},
		{"get", "/api/v1/namespaces/a/pods", alice, `one of verb "list", not "get"`},
		{"list", "/api/v1/namespaces/a/pods/x", alice, `one of verb "get", not "list"`},
		{"delete", "/api/v1/namespaces/a/pods", alice, `one of verb "deletecollection", not "delete"`},
		{"connect", "/api/v1/namespaces/a/pods/x/exec", alice, `one of verb "", not "connect"`},
		{"get", "/version", `"user":{"groups":[1]},`, "no list of names"},
	} {
		var e audit.Event
		if err := e.Scan([]byte(event("Metadata", "ResponseComplete", c.verb, c.uri, c.rest))); err != nil {
			t.Fatal(err)
		}
		if _, err := Request(&e); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: error %v, want one with %q", c.verb, c.uri, err, c.want)
		}
	}
}
