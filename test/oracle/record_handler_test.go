package oracle

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
)

// what is a policy of one rule for everything.
func what(level string, more ...string) string {
	return "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: " + level + "}]\n" + strings.Join(more, "\n") + "\n"
}

func omitting(stages ...string) string { return "omitStages: [" + strings.Join(stages, ", ") + "]" }

const withoutManaged = "omitManagedFields: true"

var (
	jai   = &user.DefaultInfo{Name: "jai", UID: "42", Groups: []string{"devs", "system:authenticated"}, Extra: map[string][]string{"scopes": {"a", "<b>"}, "authentication.kubernetes.io/credential-id": {"X509SHA256=0011"}}}
	plebs = &user.DefaultInfo{Name: "system:anonymous", Groups: []string{"system:unauthenticated"}}
	blank = &user.DefaultInfo{}
	weird = &user.DefaultInfo{Name: "o'neil \"<&>\"\u2028\x00\xff", UID: "\\", Groups: []string{"", "<g>"}, Extra: map[string][]string{"": {}, "nil": nil, "K<": {""}}}
	ghost = &user.DefaultInfo{Name: "system:serviceaccount:shop:ghost", Groups: []string{"system:serviceaccounts"}, UID: "9", Extra: map[string][]string{"reason": {"support"}}}
)

// stages is what a policy can omit.
var stages = []string{"RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"}

// requests of the kinds that auditing tells apart.
var requests = map[string]sent{
	"get":         {method: "GET", uri: "/api/v1/namespaces/shop/configmaps/settings"},
	"list":        {method: "GET", uri: "/api/v1/configmaps?limit=500"},
	"watch":       {method: "GET", uri: "/api/v1/namespaces/shop/configmaps?watch=1"},
	"create":      {method: "POST", uri: "/api/v1/namespaces/shop/configmaps", body: `{"kind":"ConfigMap"}`},
	"update":      {method: "PUT", uri: "/api/v1/namespaces/shop/configmaps/settings", body: `{"kind":"ConfigMap"}`},
	"patch":       {method: "PATCH", uri: "/api/v1/namespaces/shop/configmaps/settings", body: `{"data":{"a":"<1>"}}`},
	"delete":      {method: "DELETE", uri: "/api/v1/namespaces/shop/configmaps/settings"},
	"log":         {method: "GET", uri: "/api/v1/namespaces/shop/pods/web/log?follow=true"},
	"exec":        {method: "POST", uri: "/api/v1/namespaces/shop/pods/web/exec?command=ls&command=%2Ftmp", headers: []string{"Connection: Upgrade", "Upgrade: SPDY/3.1"}},
	"portforward": {method: "GET", uri: "/api/v1/namespaces/shop/pods/web/portforward", headers: []string{"Connection: Upgrade", "Upgrade: websocket"}},
	"attach":      {method: "POST", uri: "/api/v1/namespaces/shop/pods/web/attach", headers: []string{"Connection: Upgrade", "Upgrade: SPDY/3.1"}},
	"proxy":       {method: "GET", uri: "/api/v1/proxy/namespaces/shop/services/web/index.html"},
	"sub proxy":   {method: "GET", uri: "/api/v1/namespaces/shop/services/web:80/proxy/a/b?c=d"},
	"health":      {method: "GET", uri: "/healthz"},
	"pprof":       {method: "GET", uri: "/debug/pprof/profile?seconds=1"},
}

// scenes are all cases, in a fixed order.
func scenes() []scene {
	var all []scene
	add := func(name string, s sent, policy string, play script, more ...func(*scene)) {
		if s.user == nil {
			s.user = jai
		}
		c := scene{name: name, sent: s, policy: policy, script: play}
		for _, f := range more {
			f(&c)
		}
		all = append(all, c)
	}
	addWriters(add)
	addPanics(add)
	addUpgrades(add)
	addDepartures(add)
	addStages(add)
	addIdentities(add)
	addOrigins(add)
	addURIs(add)
	addBodies(add)
	addAnnotations(add)
	addFailures(add)
	addProtocols(add)
	addResources(add)
	addObjects(add)
	addTimeouts(add)
	addLatencies(add)
	return all
}

type adder func(name string, s sent, policy string, play script, more ...func(*scene))

func naked(s *scene)     { s.naked = true }
func overHTTP2(s *scene) { s.sent.h2 = true }
func nobody(s *scene)    { s.sent.user = nil }

// sorted goes through a table in the order of its names.
func sorted[V any](table map[string]V, f func(name string, v V)) {
	for _, name := range slices.Sorted(maps.Keys(table)) {
		f(name, table[name])
	}
}

func addWriters(add adder) {
	sorted(plain, func(name string, play script) {
		add(name+", short", requests["update"], what("Metadata"), play)
		add(name+", long-running", requests["watch"], what("RequestResponse"), play)
		add(name+", HTTP/2", requests["log"], what("Request"), play, overHTTP2)
	})
	for _, n := range []int{200, 201, 204, 205, 226, 301, 304, 400, 401, 403, 404, 409, 418, 429, 500, 503, 504, 599, 600, 999} {
		add(fmt.Sprintf("code %d, short", n), requests["get"], what("RequestResponse"), code(n))
		add(fmt.Sprintf("code %d, long-running", n), requests["log"], what("Metadata"), code(n))
	}
	sorted(requests, func(name string, s sent) {
		for _, level := range []string{"None", "Metadata", "Request", "RequestResponse"} {
			add(name+" at "+level, s, what(level), plain["writes"])
		}
		add(name+" and silence", s, what("Metadata"), plain["silent"])
	})
	head := requests["get"]
	head.method = "HEAD"
	add("HEAD", head, what("Metadata"), plain["writes"])
}

func addPanics(add adder) {
	sorted(panics, func(name string, play script) {
		add(name+", short", requests["create"], what("RequestResponse"), play)
		add(name+", long-running", requests["watch"], what("Metadata"), play)
		add(name+", nobody recovers", requests["watch"], what("Metadata"), play, naked)
		add(name+", HTTP/2", requests["get"], what("Request"), play, overHTTP2, naked)
		add(name+", not audited", requests["get"], what("None"), play)
	})
}

func addUpgrades(add adder) {
	sorted(upgrades, func(name string, play script) {
		for _, kind := range []string{"exec", "portforward", "attach"} {
			add(kind+" "+name, requests[kind], what("RequestResponse"), play)
		}
		short := requests["get"]
		short.headers = requests["exec"].headers
		add("short "+name, short, what("Metadata"), play)
		add("not audited "+name, requests["exec"], what("None"), play)
	})
	add("exec over HTTP/2", sent{method: "GET", uri: requests["exec"].uri}, what("Metadata"), upgrades["hijacks"], overHTTP2)
}

func addDepartures(add adder) {
	sorted(departures, func(name string, play script) {
		for _, kind := range []string{"get", "watch", "log"} {
			for _, h2 := range []bool{false, true} {
				s := requests[kind]
				s.h2, s.leave = h2, beforeFirst
				if strings.HasPrefix(name, "writes") {
					s.leave = afterFirst
				}
				add(fmt.Sprintf("%s %s, HTTP/2 %v", kind, name, h2), s, what("Metadata"), play)
			}
		}
	})
}

func addStages(add adder) {
	for set := range 1 << len(stages) {
		var omitted []string
		for i, stage := range stages {
			if set>>i&1 == 1 {
				omitted = append(omitted, stage)
			}
		}
		policy := what("RequestResponse", omitting(omitted...))
		add(fmt.Sprintf("short without %v", omitted), requests["get"], policy, answerWith(404, notFound))
		add(fmt.Sprintf("long-running without %v", omitted), requests["watch"], policy, plain["writes and flushes"])
		add(fmt.Sprintf("long-running and silent without %v", omitted), requests["watch"], policy, plain["silent"])
		add(fmt.Sprintf("panic without %v", omitted), requests["log"], policy, panics["panics after a write"])
		add(fmt.Sprintf("401 without %v", omitted), requests["get"], policy, plain["writes"], nobody)
	}
}

func addIdentities(add adder) {
	for name, u := range map[string]*user.DefaultInfo{"nobody special": plebs, "no name": blank, "odd": weird, "service account": ghost} {
		s := requests["get"]
		s.user = u
		add("user "+name, s, what("Metadata"), plain["writes"])
		add("user "+name+" as another", s, what("Request"), as(ghost, "", plain["writes"]))
		add("impersonating "+name, requests["list"], what("Metadata"), as(u, "", plain["writes"]))
		add("impersonating "+name+" with a constraint", requests["watch"], what("Request"), as(u, "impersonate-on:user-info:get", plain["writes"]))
	}
	add("impersonating twice", requests["get"], what("Metadata"), as(ghost, "first", as(plebs, "", plain["writes"])))
	add("impersonating, not audited", requests["get"], what("None"), as(ghost, "first", plain["writes"]))
	add("impersonating after the answer", requests["get"], what("Metadata"), after(plain["writes"], as(ghost, "late", plain["silent"])))

	for name, id := range map[string]string{
		"plain": "4711", "empty": "", "a uuid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "blanks": "  a b  ",
		"long": strings.Repeat("0123456789", 800), "markup": `<script>&"\`, "Latin-1": "\xe4\xf6", "a line separator": "\u2028\u2029", "a tab": "a\tb", "commas": "a, b",
	} {
		s := requests["get"]
		s.headers = []string{"Audit-ID: " + id}
		add("Audit-ID "+name, s, what("Metadata"), plain["writes"])
		add("Audit-ID "+name+", not audited", s, what("None"), plain["writes"])
	}
	s := requests["get"]
	s.headers = []string{"Audit-ID: one", "Audit-ID: two"}
	add("Audit-ID twice", s, what("Metadata"), plain["writes"])
	s.headers = []string{"audit-id: small"}
	add("Audit-ID in small letters", s, what("Metadata"), plain["writes"])
	s.headers = []string{"Audit-ID: over two"}
	add("Audit-ID over HTTP/2", s, what("Metadata"), plain["writes"], overHTTP2)
}

func addOrigins(add adder) {
	for i, headers := range [][]string{
		{"X-Forwarded-For: 203.0.113.7"},
		{"X-Forwarded-For: 203.0.113.7, 198.51.100.1 ,10.0.0.1"},
		{"X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: 198.51.100.1"},
		{"X-Forwarded-For: "},
		{"X-Forwarded-For: ,,"},
		{"X-Forwarded-For: unknown, 203.0.113.7:443, [2001:db8::1]"},
		{"X-Forwarded-For: 2001:db8::1, ::ffff:192.0.2.1, fe80::1%eth0"},
		{"X-Forwarded-For: 010.001.1.1, 1.2.3, 1.2.3.4.5, 256.1.1.1"},
		{"X-Forwarded-For: 127.0.0.1"},
		{"X-Forwarded-For: 203.0.113.7, 127.0.0.1"},
		{"X-Forwarded-For: 127.0.0.1, 203.0.113.7"},
		{"X-Forwarded-For: 203.0.113.7, 203.0.113.7"},
		{"X-Forwarded-For: ::ffff:127.0.0.1"},
		{"X-Forwarded-For: 203.0.113.7\t,\t198.51.100.1"},
		{"X-Real-Ip: 203.0.113.9"},
		{"X-Real-Ip:  203.0.113.9 "},
		{"X-Real-Ip: 203.0.113.9, 198.51.100.1"},
		{"X-Real-Ip: junk"},
		{"X-Real-Ip: 127.0.0.1"},
		{"X-Real-Ip: 010.0.0.1"},
		{"X-Forwarded-For: 203.0.113.7", "X-Real-Ip: 203.0.113.9"},
		{"X-Forwarded-For: 203.0.113.7, 198.51.100.1", "X-Real-Ip: 203.0.113.7"},
		{"X-Forwarded-For: 203.0.113.7", "X-Real-Ip: ::ffff:203.0.113.7"},
		{"X-Forwarded-For: " + strings.Repeat("203.0.113.7,", 300) + "1.1.1.1"},
		{"Forwarded: for=203.0.113.7", "X-Forwarded: 203.0.113.7"},
	} {
		s := requests["get"]
		s.headers = headers
		add(fmt.Sprintf("origin %d", i), s, what("Metadata"), plain["writes"])
	}
	for name, agent := range map[string]string{
		"none": "", "plain": "kubectl/v1.36.3 (linux/amd64) kubernetes/0011223", "exact": strings.Repeat("a", 1024), "one more": strings.Repeat("a", 1025),
		"cut in a rune": strings.Repeat("ä", 600), "cut in a long rune": "abc" + strings.Repeat("\U0001F600", 300), "Latin-1": "agent \xe4\xf6\xfc", "cut short": "agent \xe2\x80",
		"markup": `<agent a="b">&\`, "surrogate": "\xed\xa0\x80", "separators": "a\u2028b\u2029", "tab": "a\tb", "replacement": "a\ufffdb", "very long": strings.Repeat("agent/1.0 ", 5000),
		"cut then broken": strings.Repeat("a", 1023) + "\xc3\xa4",
	} {
		s := requests["list"]
		s.headers = []string{"User-Agent: " + agent}
		add("agent "+name, s, what("Metadata"), plain["writes"])
	}
	s := requests["get"]
	s.headers = []string{"User-Agent: one", "User-Agent: two"}
	add("two agents", s, what("Metadata"), plain["writes"])
	add("agent of HTTP/2", requests["get"], what("Metadata"), plain["writes"], overHTTP2)
}

func addURIs(add adder) {
	for _, uri := range []string{
		"/", "//", "/api", "/api/", "/apis/apps/v1", "/api/v1//pods", "/api/v1/namespaces/", "/api/v1/namespaces/shop", "/api/v1/namespaces/shop/finalize",
		"/apis/apps/v1/namespaces/shop/deployments/web/scale", "/apis/a.b.c/v1alpha1/things/t/sub/sub2/sub3", "/api/v1/nodes/n/proxy/stats/", "/api/v1/watch/namespaces/shop/pods/web",
		"/api/v1/watch", "/api/v1/proxy", "/api/v1/pods?fieldSelector=metadata.name%3Dweb", "/api/v1/pods?fieldSelector=metadata.name=web&watch=true", "/api/v1/pods?watch=false", "/api/v1/pods?watch=maybe",
		"/api/v1/pods?limit=x&watch=1", "/api/v1/pods/web?watch=1", "/%61pi/v1/pods", "/api/v1/pods/%2e%2e", "/api/v1/pods/a%2Fb", "/api/v1/pods/%E2%80%A8%3Cb%3E", "/api/v1/pods/%FF%00",
		"/api/v1/pods/a+b?x=a+b%20c", "/api/v1/pods/;p=1?a;b", "/a/../b/./c", "/healthz?verbose&verbose", "/x?", "/x?#f", "/x%3Fy", "/x%23y", "/\"quoted\"", "/a<b>&c", "/api/v1/pods?q=<b>&\"",
		"/x?a=%zz", "/käse?ö=ü", "/api/v1/namespaces/shop/pods/web/exec?command=sh&command=-c&command=echo%20%22hi%22", "/debug/pprof/", "/debug/pprof", "/apis/metrics.k8s.io/v1beta1/nodes",
		"http://other.example/api/v1/pods", "/api/v1/secrets?access_token=abc", "/a|b^c`d{e}", "/x?" + strings.Repeat("k=v&", 800), "/logs/%2525", "/a%20b", "/~user/'()*!$,:@", "/x?timeout=5s", "/apis", "/api/v1/", "/version",
	} {
		add("URI "+uri[:min(len(uri), 50)], sent{method: "GET", uri: uri}, what("Metadata"), plain["writes"])
	}
	for _, method := range []string{"OPTIONS", "TRACE", "BREW", "PROPFIND", "get", "Patch", "M-SEARCH", "X!#$%&'*+-.^_`|~"} {
		add("method "+method, sent{method: method, uri: "/api/v1/namespaces/shop/pods/web"}, what("Metadata"), plain["writes"])
		add("method "+method+", non-resource", sent{method: method, uri: "/healthz"}, what("Metadata"), plain["writes"])
	}
	add("OPTIONS *", sent{method: "OPTIONS", uri: "*"}, what("Metadata"), plain["writes"])
	add("CONNECT", sent{method: "CONNECT", uri: "other:443"}, what("Metadata"), plain["writes"])
	add("collection deleted", sent{method: "DELETE", uri: "/api/v1/namespaces/shop/pods?labelSelector=a%3Db"}, what("Metadata"), plain["writes"])
}

func addBodies(add adder) {
	maps_ := resource("configmaps")
	for _, level := range []string{"None", "Metadata", "Request", "RequestResponse"} {
		for _, kept := range []bool{true, false} {
			policy, name := what(level), " at "+level
			if !kept {
				policy, name = what(level, withoutManaged), name+" without managed fields"
			}
			add("objects, create"+name, requests["create"], policy, takes(configMap(unstored), maps_, "", answerWith(201, configMap())))
			add("objects, create nameless"+name, requests["create"], policy, takes(configMap(nameless, unplaced, unstored), maps_, "", answerWith(201, configMap())))
			add("objects, update"+name, requests["update"], policy, takes(configMap(), maps_, "", answerWith(200, configMap())))
			add("objects, list"+name, requests["list"], policy, answerWith(200, configMaps))
			add("objects, table"+name, requests["list"], policy, answerWith(200, table))
			add("objects, partial"+name, requests["get"], policy, answerWith(200, partial))
			add("objects, status"+name, requests["get"], policy, answerWith(404, notFound))
			add("objects, patch"+name, requests["patch"], policy, patches("application/merge-patch+json", answerWith(200, configMap())))
		}
	}
	full := what("RequestResponse")
	for name, patch := range map[string]string{
		"array": `[ {"op": "replace", "path": "/data/a", "value": "<x>"} ]`, "spaces": "\n { \"a\" : [ 1 , 2 ] }\n", "empty": "", "null": "null", "number": "1e400", "string": `"\u2028 <"`,
		"escapes": `{"a":"\u003c\u00e4\/","b":"ä\u2028` + "\u2028" + `"}`, "duplicates": `{"a":1,"a":2}`, "large number": `{"n":123456789012345678901234567890.10}`, "deep": strings.Repeat("[", 900) + strings.Repeat("]", 900),
	} {
		s := requests["patch"]
		s.body = patch
		add("patch "+name, s, full, patches("application/json-patch+json", answerWith(200, configMap())))
		add("patch "+name+" at Metadata", s, what("Metadata"), patches("application/json-patch+json", answerWith(200, configMap())))
	}
	add("create a pod", sent{method: "POST", uri: "/api/v1/namespaces/shop/pods", body: "{}"}, full, takes(pod, resource("pods"), "", answerWith(201, pod)))
	add("odd strings", requests["create"], full, takes(configMap(odd8), maps_, "", answerWith(201, configMap(odd8))))
	add("large", requests["create"], full, takes(configMap(larger), maps_, "", answerWith(201, configMap(larger))))
	add("two request objects", requests["create"], full, takes(configMap(nameless), maps_, "", takes(configMap(), maps_, "other", answerWith(201, configMap()))))
	add("two response objects", requests["get"], full, after(answerWith(200, configMap()), answerWith(404, notFound)))
	add("status, then an object", requests["get"], full, after(answerWith(404, notFound), answerWith(200, configMap())))
	add("status, then a code", requests["get"], full, func(c *callbacks, w http.ResponseWriter, r *http.Request) {
		c.responseObject(r.Context(), notFound, v1)
		w.WriteHeader(http.StatusConflict)
	})
	add("code, then a status", requests["watch"], full, func(c *callbacks, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusConflict)
		c.responseObject(r.Context(), notFound, v1)
	})
	add("status and silence", requests["watch"], what("Metadata"), func(c *callbacks, w http.ResponseWriter, r *http.Request) {
		c.responseObject(r.Context(), notFound, v1)
	})
	add("empty status", requests["delete"], what("Metadata"), answerWith(200, &metav1.Status{}))
	add("success", requests["delete"], full, answerWith(200, &metav1.Status{Status: metav1.StatusSuccess, Details: &metav1.StatusDetails{Name: "settings", UID: "6"}}))
	add("status with empty details", requests["delete"], full, answerWith(200, &metav1.Status{Details: &metav1.StatusDetails{}}))
	add("status with markup", requests["delete"], what("Metadata"), answerWith(422, failure(422, "<Reason>", "a < b & \u2028 \xff \x00")))
	add("object that cannot be encoded", requests["create"], full, takes(&unknown{}, maps_, "", answerWith(201, &unknown{})))
	add("object for a long-running request", requests["watch"], full, takes(configMap(), maps_, "", answerWith(200, configMaps)))
	add("object of a panic", requests["create"], full, takes(configMap(), maps_, "", after(answerWith(200, configMap()), panics["panics"])))
	add("object where there is no resource", requests["health"], full, takes(configMap(), maps_, "status", answerWith(200, configMap())))
	add("object and no resource at Metadata", requests["health"], what("Metadata"), takes(configMap(unplaced, nameless), maps_, "", plain["writes"]))
	add("eviction", sent{method: "POST", uri: "/api/v1/namespaces/shop/pods/web/eviction"}, full, takes(pod, resource("pods"), "eviction", answerWith(201, &metav1.Status{Status: "Success", Code: 201})))
	add("scale of another group", sent{method: "PUT", uri: "/apis/apps/v1/namespaces/shop/deployments/web/scale"}, full, takes(configMap(), maps_, "scale", answerWith(200, partial)))
	add("body of a wild resource", sent{method: "POST", uri: "/apis/x.y/v1"}, full, takes(configMap(), maps_, "", answerWith(200, configMap())))
}

func addAnnotations(add adder) {
	k, metadata := []string{"authorization.k8s.io/decision", "allow", "authorization.k8s.io/reason", `RBAC: allowed by "view" <&>`}, what("Metadata")
	for name, pairs := range map[string][]string{
		"decision": k, "reason first": {k[2], k[3], k[0], k[1]}, "only a reason": k[2:], "only a decision": k[:2], "empty reason": {k[0], "allow", k[2], ""}, "empty decision": {k[0], ""},
		"others": {"b.example/x", "1", "a.example/x", "2", "z.example/x", "3"}, "decision among others": append([]string{"a", "1", "z", "2", "authorization.k8s.io/e", "3"}, k...),
		"first wins": {"a", "1", "a", "2"}, "same twice": {"a", "1", "a", "1"}, "first decision wins": {k[0], "forbid", k[0], "allow"}, "empty": {"", ""}, "empty value": {"a", ""}, "empty, then a value": {"a", "", "a", "1"},
		"markup": {"<a>&", "\u2028\"\\\n\x00\xff"}, "case": {"B", "1", "a", "2", "A", "3", "b", "4", "ä", "5"}, "equal prefixes": {"a/b", "1", "a", "2", "a.b", "3", "a-b", "4"}, "long": {"a", strings.Repeat("<", 5000)},
		"broken keys": {"\xff", "1", "\xfe", "2", "\ufffd", "3"}, "escaped keys": {"a\"b", "1", "a!b", "2", "a\\b", "3", "a\x01b", "4"},
	} {
		add("annotations "+name, requests["get"], metadata, notes(pairs, plain["writes"]))
		add("annotations "+name+" after the answer", requests["watch"], metadata, after(plain["writes"], notes(pairs, plain["silent"])))
	}
	add("annotations before and after", requests["watch"], metadata, after(notes([]string{"a", "1"}, plain["writes"]), notes([]string{"b", "2", "a", "3"}, plain["silent"])))
	add("annotations and a panic", requests["watch"], metadata, after(notes(k, plain["writes"]), panics["panics"]))
	add("annotations, not audited", requests["watch"], what("None"), notes(k, plain["writes"]))
	early := func(s *scene) { s.early = []string{"authentication.k8s.io/stale-token", "subject: <x>", "a", "early"} }
	add("annotations of the authentication", requests["get"], metadata, notes([]string{"a", "late", "b", "1"}, plain["writes"]), early)
	add("annotations of the authentication, not audited", requests["get"], what("None"), plain["writes"], early)
	add("annotations of an authentication that fails", requests["get"], metadata, plain["writes"], early, nobody)
}

func addFailures(add adder) {
	for name, headers := range map[string][]string{
		"nothing": nil, "bearer": {"Authorization: Bearer abc"}, "bearer in small": {"Authorization: bearer abc"}, "bearer alone": {"Authorization: Bearer"}, "bearer and blanks": {"Authorization:   Bearer   abc  def "},
		"basic": {"Authorization: Basic YTpi"}, "broken basic": {"Authorization: Basic ???"}, "negotiate": {"Authorization: Negotiate abc"}, "both": {"Authorization: Basic YTpi", "Authorization: Bearer abc"}, "empty": {"Authorization: "},
	} {
		for _, level := range []string{"None", "Metadata", "RequestResponse"} {
			s := requests["get"]
			s.headers = headers
			add("401 with "+name+" at "+level, s, what(level), plain["writes"], nobody)
		}
		s := requests["watch"]
		s.headers = headers
		add("401 with "+name+", long-running", s, what("Request"), plain["writes"], nobody)
	}
	token := sent{method: "GET", uri: "/api/v1/pods?access_token=abc"}
	add("401 with access_token", token, what("Metadata"), plain["writes"], nobody)
	certificate := requests["get"]
	certificate.certificate = true
	add("401 with a certificate", certificate, what("Metadata"), plain["writes"], nobody)
	add("401 with a certificate, HTTP/2", certificate, what("Metadata"), plain["writes"], nobody, overHTTP2)
	add("401 over HTTP/2", requests["get"], what("RequestResponse"), plain["writes"], nobody, overHTTP2)
	add("401 for no resource", requests["health"], what("RequestResponse"), plain["writes"], nobody)
	named := "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: None, users: [jai]}\n- {level: None, userGroups: ['system:unauthenticated']}\n- {level: Request, verbs: [get]}\n- {level: Metadata}\n"
	add("401 skips rules of users", requests["get"], named, plain["writes"], nobody)
	add("401 of another verb", requests["list"], named, plain["writes"], nobody)
	add("user met by a rule", requests["get"], named, plain["writes"])
	for _, timeout := range []string{"x", "1", "5", "-1s", "0s", "1h", "10s", "", "1s1", "%3Cb%3E", "%FF", "1m&timeout=x", "x&timeout=1m", "99999999999h", "%E2%80%A8"} {
		add("timeout "+timeout, sent{method: "GET", uri: "/api/v1/pods?timeout=" + timeout}, what("RequestResponse"), plain["says a deadline"])
		add("timeout "+timeout+" of nobody", sent{method: "GET", uri: "/api/v1/pods/a?timeout=" + timeout}, what("Metadata"), plain["says a deadline"], nobody)
		add("timeout "+timeout+" of a watch", sent{method: "GET", uri: "/api/v1/pods?watch=1&timeout=" + timeout}, what("Metadata"), plain["says a deadline"])
	}
	add("bad timeout, not audited", sent{method: "GET", uri: "/api/v1/pods?timeout=x"}, what("None"), plain["writes"])
	add("bad timeout over HTTP/2", sent{method: "GET", uri: "/healthz?timeout=x"}, what("Metadata"), plain["writes"], overHTTP2)
	add("bad timeout, ResponseStarted omitted", sent{method: "GET", uri: "/healthz?timeout=x"}, what("Metadata", omitting("ResponseStarted")), plain["writes"])
	accepting := sent{method: "GET", uri: "/api/v1/pods?timeout=x", headers: []string{"Accept: application/yaml"}}
	add("bad timeout in YAML", accepting, what("RequestResponse"), plain["writes"])
	accepting.headers = []string{"Accept: image/png"}
	add("bad timeout that cannot be negotiated", accepting, what("RequestResponse"), plain["writes"])
	add("401 that cannot be negotiated", accepting, what("RequestResponse"), plain["writes"], nobody)
}

// recovering makes upstream's recovery from panics answer, where it would end the process
// of a kube-apiserver's connection.
func recovering(t *testing.T) {
	t.Helper()
	really := utilruntime.ReallyCrash
	utilruntime.ReallyCrash = false
	t.Cleanup(func() { utilruntime.ReallyCrash = really })
}

// TestRecordScenes plays every scene twice before upstream: what differs from one run to
// the next must be gone, or nothing could be compared with it.
func TestRecordScenes(t *testing.T) {
	quiet(t)
	recovering(t)
	seen, events := map[string]bool{}, 0
	for _, s := range scenes() {
		if seen[s.name] {
			t.Errorf("two scenes are called %q", s.name)
		}
		seen[s.name] = true
		a, b := play(t, &s, upstreamChain), play(t, &s, upstreamChain)
		differ(t, s.name, b, a)
		events += len(a.events)
	}
	if len(seen) < 220 || events < len(seen) {
		t.Errorf("%d scenes with %d events", len(seen), events)
	}
	t.Logf("%d scenes, %d events", len(seen), events)
}

// differ tells where an outcome is another than upstream's.
func differ(t *testing.T, name string, got, want outcome) bool {
	t.Helper()
	equal := true
	if got.answer != want.answer {
		equal = false
		t.Errorf("%s: the client gets\n%q, upstream's\n%q", name, got.answer, want.answer)
	}
	for i := range max(len(got.events), len(want.events)) {
		g, w := "none", "none"
		if i < len(got.events) {
			g = got.events[i]
		}
		if i < len(want.events) {
			w = want.events[i]
		}
		if g != w {
			equal = false
			from := 0
			for from < min(len(g), len(w)) && g[from] == w[from] {
				from++
			}
			from = max(0, from-60)
			t.Errorf("%s: event %d is\n…%.300q, upstream's\n…%.300q", name, i, g[min(from, len(g)):], w[min(from, len(w)):])
		}
	}
	return equal
}
