package policy

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Unserved is why a request never comes to a policy: the HTTP server that
// kube-apiserver is built on (net/http, golang.org/x/net/http2) answers it by itself,
// nearly always with 400. Error returns our words, not upstream's.
type Unserved struct {
	Reason string
}

func (u *Unserved) Error() string { return "not a request for kube-apiserver: " + u.Reason }

// ParseRequest resolves a method and a request URI (as in the request line: a path
// with its query, percent-encoded) as kube-apiserver's RequestInfo does.
//
// The error is an [*Unserved] where the server refuses the request before any code of
// Kubernetes sees it. Any other error is upstream's, in its words: a request it
// answers with 500 before it is audited; what it had resolved so far is returned with
// it, as upstream does.
//
// Upstream: request.RequestInfoFactory.NewRequestInfo with the prefixes "api" and
// "apis", of which "api" has no groups. It is the same in 1.23, 1.30, 1.35, 1.36 and
// 1.37 but for the label selector of a list: 1.23 and 1.30 refuse an even number of
// commas before a closing parenthesis, as in "a in (b,,)", and then do not see the name
// that the field selector beside it asks for. We read it as the newer ones do.
func ParseRequest(method, uri string) (RequestInfo, error) {
	path, query, plain := splitURI(uri)
	if !plain || !validMethod(method) {
		u, err := parseURI(method, uri)
		if err != nil {
			return RequestInfo{}, err
		}
		path, query = u.Path, u.RawQuery
	}
	info, ok := resolve(method, path, query)
	if !ok {
		u, err := parseURI(method, uri)
		if err != nil {
			return RequestInfo{}, err
		}
		return info, fmt.Errorf("unable to determine kind and namespace from url, %v", u)
	}
	return info, nil
}

// splitURI splits a URI as net/url would where that needs no decoding: it begins with
// a slash, has no control character, and none in its path is escaped.
func splitURI(uri string) (path, query string, plain bool) {
	if uri == "" || uri[0] != '/' {
		return "", "", false
	}
	mark := len(uri)
	for i := 0; i < len(uri); i++ {
		switch c := uri[i]; {
		case c < ' ' || c == 0x7f || c == '%' && mark == len(uri):
			return "", "", false
		case c == '?' && mark == len(uri):
			mark = i
		}
	}
	if mark == len(uri) {
		return uri, "", true
	}
	return uri[:mark], uri[mark+1:], true
}

// parseURI reads a request line's URI as net/http does. A space may stand in it, as
// in HTTP/2.
func parseURI(method, uri string) (*url.URL, error) {
	switch {
	case !validMethod(method):
		return nil, &Unserved{fmt.Sprintf("invalid method %q", method)}
	case method == "OPTIONS" && uri == "*":
		return nil, &Unserved{"OPTIONS * asks the HTTP server itself"}
	}
	authority := method == "CONNECT" && !strings.HasPrefix(uri, "/")
	rawURL := uri
	if authority {
		rawURL = "http://" + uri
	}
	u, err := url.ParseRequestURI(rawURL)
	if err != nil {
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err
		}
		return nil, &Unserved{fmt.Sprintf("invalid URI %q: %v", uri, err)}
	}
	if authority {
		u.Scheme = ""
	}
	return u, nil
}

// validMethod tells whether HTTP/2 carries a method, which takes all that HTTP/1 does.
func validMethod(method string) bool {
	for i := 0; i < len(method); i++ {
		if c := method[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return method != ""
}

// resolve tells what a method, a decoded path and a query mean; ok is false where
// the path ends behind "watch" or "proxy".
func resolve(method, path, query string) (info RequestInfo, ok bool) {
	info.Path, info.Verb = path, lowerMethod(method)
	prefix, rest, _ := strings.Cut(strings.Trim(path, "/"), "/")
	if prefix != "api" && prefix != "apis" {
		return info, true
	}
	first, rest, more := strings.Cut(rest, "/")
	if !more {
		return info, true
	}
	info.APIPrefix = prefix
	version := first
	if prefix == "apis" {
		if version, rest, more = strings.Cut(rest, "/"); !more {
			return info, true
		}
		info.APIGroup = first
	}
	info.IsResourceRequest, info.APIVersion = true, version

	part, tail, more := strings.Cut(rest, "/")
	if part == "watch" || part == "proxy" {
		if !more {
			return info, false
		}
		info.Verb, rest = part, tail
		part, tail, _ = strings.Cut(rest, "/")
	} else {
		info.Verb = resourceVerb(method)
	}
	if part == "namespaces" {
		namespace, below, more := strings.Cut(tail, "/")
		info.Namespace = namespace
		if kind, _, _ := strings.Cut(below, "/"); more && kind != "status" && kind != "finalize" {
			rest = below
		}
	}
	info.Resource, rest, _ = strings.Cut(rest, "/")
	info.Name, rest, _ = strings.Cut(rest, "/")
	if info.Verb != "proxy" {
		info.Subresource, _, _ = strings.Cut(rest, "/")
	}
	if info.Name == "" {
		switch info.Verb {
		case "get":
			info.Verb, info.Name = listOrWatch(query)
		case "delete":
			info.Verb = "deletecollection"
		}
	}
	return info, true
}

// resourceVerb is the API's verb for a method, before lists are told from gets.
func resourceVerb(method string) string {
	switch method {
	case "GET", "HEAD":
		return "get"
	case "POST":
		return "create"
	case "PUT":
		return "update"
	case "PATCH":
		return "patch"
	case "DELETE":
		return "delete"
	}
	return ""
}

// lowerMethod is strings.ToLower, which allocates, for the methods that occur.
func lowerMethod(method string) string {
	switch method {
	case "GET":
		return "get"
	case "POST":
		return "post"
	case "PUT":
		return "put"
	case "PATCH":
		return "patch"
	case "DELETE":
		return "delete"
	case "HEAD":
		return "head"
	case "OPTIONS":
		return "options"
	}
	return strings.ToLower(method)
}

// Stages lists the stages that a request like r passes, in the order of time. At the
// last one it ends; if its handler panics, StagePanic takes the place of
// StageResponseComplete. Upstream: WithAudit and WithFailedAuthenticationAudit in
// pkg/endpoints/filters.
func (r *Request) Stages() []Stage {
	switch {
	case !r.Authenticated:
		return []Stage{StageResponseStarted}
	case r.LongRunning():
		return []Stage{StageRequestReceived, StageResponseStarted, StageResponseComplete}
	}
	return []Stage{StageRequestReceived, StageResponseComplete}
}

// LongRunning tells requests whose answer is a stream: watches, logs, connections
// to a pod or through a proxy, and profiles. Upstream: BasicLongRunningRequestCheck
// with the verbs and subresources that kube-apiserver gives it.
func (r *RequestInfo) LongRunning() bool {
	switch {
	case r.Verb == "watch", r.Verb == "proxy":
		return true
	case r.IsResourceRequest:
		return slices.Contains([]string{"attach", "exec", "proxy", "log", "portforward"}, r.Subresource)
	}
	return strings.HasPrefix(r.Path, "/debug/pprof/")
}
