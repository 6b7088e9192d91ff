package record_test

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"
)

// exception is a difference between what the proxy and kube-apiserver record that has a
// reason.
type exception struct {
	field  string // of the event
	when   string // of which requests
	theirs string // what kube-apiserver has there
	ours   string // what the proxy has there
	why    string

	excuses func(p *pair, d difference) bool
}

// exceptions are all of them. Each is as narrow as it can be, and must be needed. The
// document of the proxy shows them.
func exceptions() []*exception {
	return append(append(seen(), bodies()...), answers()...)
}

// seen are those of who asked, when and whether.
func seen() []*exception {
	return []*exception{
		{
			"requestReceivedTimestamp, stageTimestamp", "all", "its own clock", "its own clock",
			"Both see the same request at different moments; the proxy sees it first.",
			func(p *pair, d difference) bool {
				theirs, err := time.Parse(time.RFC3339Nano, fmt.Sprint(d.theirs))
				ours, err2 := time.Parse(time.RFC3339Nano, fmt.Sprint(d.ours))
				switch {
				case err != nil || err2 != nil || theirs.Sub(ours).Abs() > 5*time.Second:
					return false
				case d.path == "requestReceivedTimestamp":
					return !ours.After(theirs)
				}
				return d.path == "stageTimestamp"
			},
		},
		{
			"sourceIPs", "all", "the client's, and then the proxy's", "the client's",
			"The proxy is one more hop.",
			func(_ *pair, d difference) bool {
				ours, ok := d.ours.([]any)
				return d.path == "sourceIPs" && ok && reflect.DeepEqual(d.theirs, append(ours[:len(ours):len(ours)], "127.0.0.1"))
			},
		},
		{
			"user, impersonatedUser", "client certificates, with --forward-by=impersonate", "the proxy's account, and from ResponseStarted on the client as impersonatedUser", "the client as user",
			"The proxy asks with its own credentials, in the client's name.",
			func(p *pair, d difference) bool {
				theirs, _ := p.theirs["user"].(map[string]any)
				ours, _ := p.ours["user"].(map[string]any)
				if p.by != byImpersonate || people()[p.who].certificate == "" || theirs["username"] != "kubetrail-impersonator" || p.ours["impersonatedUser"] != nil {
					return false
				}
				asked := maps.Clone(ours) // the credential is not told of
				delete(asked, "extra")
				is := p.theirs["impersonatedUser"]
				return (strings.HasPrefix(d.path, "user.") || d.path == "impersonatedUser") &&
					(p.stage == "RequestReceived" && is == nil || reflect.DeepEqual(is, any(asked)))
			},
		},
		{
			"annotations authorization.k8s.io/decision, authorization.k8s.io/reason", "all that are authorized or refused", "who allowed it", "nothing",
			"Authorization takes place in kube-apiserver, and no answer tells of it.",
			annotation("authorization.k8s.io/decision", "authorization.k8s.io/reason"),
		},
		{
			"annotations pod-security.kubernetes.io/*", "pods, and what has them", "what Pod Security finds", "nothing",
			"Admission takes place in kube-apiserver. The same holds for all annotations of admission plugins, webhooks and policies.",
			annotation("pod-security.kubernetes.io/enforce-policy", "pod-security.kubernetes.io/audit-violations"),
		},
		{
			"annotations k8s.io/deprecated", "deprecated API versions", "true", "nothing",
			"kube-apiserver alone knows which of its APIs are deprecated.",
			annotation("k8s.io/deprecated"),
		},
		{
			"annotation authentication.kubernetes.io/issued-credential-id", "create serviceaccounts/token", "the JTI of the token", "nothing",
			"The proxy does not look into tokens that are issued.",
			annotation("authentication.kubernetes.io/issued-credential-id"),
		},
		{
			"annotations apiserver.latency.k8s.io/*", "answers that took longer than half a second", "where the time went", "nothing",
			"The proxy does not see inside kube-apiserver.",
			func(p *pair, d difference) bool {
				all, _ := p.theirs["annotations"].(map[string]any)
				total, err := time.ParseDuration(fmt.Sprint(all["apiserver.latency.k8s.io/total"]))
				return strings.HasPrefix(d.path, "annotations.apiserver.latency.k8s.io/") && d.ours == nil && err == nil && total > 500*time.Millisecond
			},
		},
		{
			"authenticationMetadata.impersonationConstraint", "impersonation", "which verb allowed it", "nothing",
			"Impersonation is authorized in kube-apiserver.",
			func(_ *pair, d difference) bool {
				m, ok := d.theirs.(map[string]any)
				return d.path == "authenticationMetadata" && d.ours == nil && ok && len(m) == 1 && m["impersonationConstraint"] != nil
			},
		},
		{
			"the whole event", "client certificates that no CA of the proxy signed", "nothing", "ResponseStarted, 401",
			"The proxy refuses them itself: what it cannot verify it cannot pass on.",
			func(p *pair, d difference) bool {
				return d.path == "event" && d.theirs == nil && p.who == "stranger" && p.status == 401 && p.stage == "ResponseStarted"
			},
		},
	}
}

// annotation excuses annotations that the proxy does not have.
func annotation(names ...string) func(p *pair, d difference) bool {
	return func(_ *pair, d difference) bool {
		for _, name := range names {
			if d.path == "annotations."+name && d.ours == nil {
				return true
			}
		}
		return false
	}
}

// bodies are those of what was sent.
func bodies() []*exception {
	written := func(p *pair) bool { return p.method == "POST" || p.method == "PUT" }
	return []*exception{
		{
			"the whole event", "patches that are YAML, CBOR, malformed or empty", "nothing but RequestReceived", "ResponseComplete, with the body",
			"kube-apiserver before v1.37 loses them, and in a webhook's batch the other events with them.",
			func(p *pair, d difference) bool {
				sent, _ := p.ours["requestObject"].(map[string]any)
				return d.path == "event" && d.theirs == nil && p.hole && p.stage == "ResponseComplete" &&
					(p.status < 300 && sent["kind"] != nil || p.status == 400 && (sent["raw"] != nil || p.ask.body == ""))
			},
		},
		{
			"requestObject", "create, update", "also what is defaulted", "what was sent",
			"kube-apiserver records the object after it filled in defaults, kind and apiVersion.",
			func(p *pair, d difference) bool {
				return strings.HasPrefix(d.path, "requestObject.") && d.ours == nil && written(p)
			},
		},
		{
			"requestObject", "create, update", "without fields that it does not know, that are zero or that it converts", "what was sent",
			"kube-apiserver records the object that it made of the body.",
			func(p *pair, d difference) bool {
				converted := d.path == "requestObject.spec.hard.pods" && d.theirs == "1k" && fmt.Sprint(d.ours) == "1000"
				return strings.HasPrefix(d.path, "requestObject.") && (d.theirs == nil || converted) && written(p)
			},
		},
		{
			"requestObject.apiVersion", "delete, deletecollection", "meta.k8s.io/__internal", "what was sent",
			"kube-apiserver prints the version that it works with inside.",
			func(p *pair, d difference) bool {
				return d.path == "requestObject.apiVersion" && d.theirs == "meta.k8s.io/__internal" && p.method == "DELETE"
			},
		},
		{
			"requestObject.kind", "delete, deletecollection, where the body has none", "DeleteOptions", "nothing",
			"kube-apiserver prints the kind that it took the body for.",
			func(p *pair, d difference) bool {
				return d.path == "requestObject.kind" && d.theirs == "DeleteOptions" && d.ours == nil && p.method == "DELETE"
			},
		},
		{
			"requestObject", "refused before the body is decoded, or as it cannot be", "nothing", "what was sent",
			"kube-apiserver records what it decoded; the proxy what came.",
			func(p *pair, d difference) bool {
				return d.path == "requestObject" && d.theirs == nil && (p.status == 400 || p.status == 404 || p.status == 422)
			},
		},
	}
}

// answers are those of what was answered.
func answers() []*exception {
	answer := func(d difference) bool {
		return d.path == "responseObject" || d.path == "responseStatus" || strings.HasPrefix(d.path, "responseStatus.") && d.path != "responseStatus.code"
	}
	return []*exception{
		{
			"responseObject, responseStatus", "answers in no form that was asked for", "the code alone", "what was answered",
			"kube-apiserver does not record a Status that it writes outside negotiation.",
			func(p *pair, d difference) bool {
				return answer(d) && d.theirs == nil && (p.status == 406 || p.status == 400 && strings.Contains(p.uri, "includeObject="))
			},
		},
		{
			"responseObject, responseStatus", "HEAD", "what it would have answered", "the code alone",
			"An answer to HEAD has no body.",
			func(p *pair, d difference) bool { return answer(d) && d.ours == nil && p.method == "HEAD" },
		},
		{
			"responseObject, responseStatus", "answers that come too late for ?timeout=", "what it found out in the meantime", "504, as the client got it",
			"kube-apiserver records an answer that nobody got.",
			func(p *pair, d difference) bool {
				return p.status == 504 && strings.Contains(p.uri, "timeout=1ns") && (answer(d) || d.path == "responseStatus.code")
			},
		},
		{
			"the whole event", "connections that kube-apiserver breaks off before it answers", "Panic", "ResponseComplete, 503, as the client got it",
			"The proxy is not told why.",
			func(p *pair, d difference) bool {
				return strings.HasSuffix(p.uri, "/proxy/die") && (d.path == "event" && (p.stage == "Panic" && d.ours == nil || p.stage == "ResponseComplete" && d.theirs == nil) ||
					p.stage == "ResponseStarted" && strings.HasPrefix(d.path, "response"))
			},
		},
	}
}
