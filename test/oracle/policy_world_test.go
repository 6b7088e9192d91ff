package oracle

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"kubetrail/policy"
)

// A world holds the few names that random policies and random requests draw from, so
// that they meet.
type world struct{ *rand.Rand }

func newWorld(r *rand.Rand) world { return world{r} }

func (w world) oneOf(s ...string) string { return s[w.IntN(len(s))] }
func (w world) chance(percent int) bool  { return w.IntN(100) < percent }

func (w world) user() string {
	return w.oneOf("alice", "bob", "system:apiserver", "system:kube-proxy", "*", "", "system:serviceaccount:kube-system:x")
}

func (w world) group() string {
	return w.oneOf("system:authenticated", "system:nodes", "system:masters", "dev", "*", "")
}

func (w world) verb() string {
	return w.oneOf("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection",
		"get", "list", "watch", "create", "update", "patch", "delete", "*", "", "GET", "head", "post", "options", "proxy")
}

func (w world) namespace() string { return w.oneOf("", "default", "kube-system", "a", "*", "pods") }

func (w world) apiGroup() string {
	return w.oneOf("", "", "apps", "batch", "metrics.k8s.io", "authentication.k8s.io", "core")
}

func (w world) resource() string {
	return w.oneOf("pods", "pods", "secrets", "configmaps", "namespaces", "nodes", "deployments", "events", "log", "*")
}

func (w world) subresource() string {
	return w.oneOf("log", "exec", "status", "scale", "token", "finalize", "*", "pods")
}

func (w world) name() string { return w.oneOf("", "x", "y", "kube-root-ca.crt", "pods", "*") }

func (w world) path() string {
	return w.oneOf("/healthz", "/healthz/etcd", "/version", "/api", "/apis", "/apis/apps", "/api/v1", "/metrics", "/", "/swagger", "/a*", "/debug/pprof/heap", "/openapi/v3")
}

func (w world) urls() string {
	if w.chance(20) {
		return "*"
	}
	p := w.path()
	if w.chance(60) {
		p = p[:1+w.IntN(len(p))] + "*"
	}
	if i := strings.IndexByte(p, '*'); i >= 0 {
		p = p[:i+1]
	}
	return p
}

// item is an entry of resources.
func (w world) item() string {
	switch w.IntN(10) {
	case 0:
		return "*"
	case 1:
		return w.resource() + "/*"
	case 2:
		return "*/" + w.subresource()
	case 3:
		return w.oneOf("*/*", "pods/", "/log", "", "pods/log/x")
	case 4, 5:
		return w.resource() + "/" + w.subresource()
	}
	return w.resource()
}

// some returns a few values, most often none.
func (w world) some(percent int, value func() string) []string {
	if !w.chance(percent) {
		return nil
	}
	var all []string
	for range 1 + w.IntN(3) {
		all = append(all, value())
	}
	return all
}

func (w world) stages() []policy.Stage {
	var all []policy.Stage
	for w.chance(30) {
		all = append(all, policy.Stages()[w.IntN(4)])
	}
	return all
}

func (w world) rule() policy.PolicyRule {
	r := policy.PolicyRule{
		Level: policy.Levels()[w.IntN(4)], Users: w.some(20, w.user), UserGroups: w.some(20, w.group),
		Verbs: w.some(40, w.verb), OmitStages: w.stages(),
	}
	switch w.IntN(5) {
	case 0:
		r.NonResourceURLs = w.some(100, w.urls)
	case 1:
		r.Namespaces = w.some(90, w.namespace)
	case 2, 3:
		r.Namespaces = w.some(20, w.namespace)
		for range 1 + w.IntN(3) {
			g := policy.GroupResources{Group: w.apiGroup(), Resources: w.some(80, w.item)}
			if w.chance(10) {
				g.Group = "*"
			}
			if len(g.Resources) > 0 {
				g.ResourceNames = w.some(15, w.name)
			}
			r.Resources = append(r.Resources, g)
		}
	}
	if w.chance(20) {
		omit := w.chance(50)
		r.OmitManagedFields = &omit
	}
	return r
}

// policy makes a policy of one to some dozen rules, now and then of hundreds.
func (w world) policy() *policy.Policy {
	p := &policy.Policy{APIVersion: "audit.k8s.io/v1", Kind: "Policy", OmitStages: w.stages(), OmitManagedFields: w.chance(20)}
	n := 1 + w.IntN(24)
	if w.chance(2) {
		n = 60 + w.IntN(1200)
	}
	for range n {
		p.Rules = append(p.Rules, w.rule())
	}
	if w.chance(60) {
		p.Rules = append(p.Rules, policy.PolicyRule{Level: policy.Levels()[1+w.IntN(3)]})
	}
	return p
}

// uri makes a request URI, most often an ordinary one.
func (w world) uri() string {
	if w.chance(15) {
		return w.path()
	}
	var b strings.Builder
	if g := w.apiGroup(); g == "" {
		b.WriteString("/api/v1")
	} else {
		fmt.Fprintf(&b, "/apis/%s/%s", g, w.oneOf("v1", "v1beta1"))
	}
	if w.chance(4) {
		b.WriteString(w.oneOf("/watch", "/proxy"))
	}
	if w.chance(55) {
		fmt.Fprintf(&b, "/namespaces/%s", w.oneOf("default", "kube-system", "a", "*", "pods"))
	}
	if w.chance(95) {
		b.WriteString("/" + w.resource())
		if w.chance(65) {
			b.WriteString("/" + w.name())
			if w.chance(40) {
				b.WriteString("/" + w.subresource())
				if w.chance(10) {
					b.WriteString("/more/parts")
				}
			}
		}
	}
	if w.chance(20) {
		b.WriteString(w.oneOf("?watch=true", "?watch=1", "?limit=500", "?fieldSelector=metadata.name%3Dx", "?watch=false&fieldSelector=metadata.name=y",
			"?limit=x&watch=1", "?labelSelector=a%3D%3D", "?fieldSelector=metadata.name%3D%2A", "/", "?watch", "?resourceVersion=0&watch=0"))
	}
	return b.String()
}

func (w world) call() call {
	c := call{
		Method:        w.oneOf("GET", "GET", "GET", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "FOO"),
		URI:           w.uri(),
		Authenticated: w.chance(93),
	}
	if c.Authenticated {
		c.User = w.user()
		for w.chance(60) {
			c.Groups = append(c.Groups, w.group())
		}
	}
	return c
}
