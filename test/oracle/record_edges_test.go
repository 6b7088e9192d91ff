package oracle

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/endpoints/request"
	serverfilters "k8s.io/apiserver/pkg/server/filters"

	"kubetrail/audit"
	"kubetrail/policy"
	"kubetrail/record"
)

// around puts a filter where kube-apiserver has those between WithAuditInit and WithAudit.
func around(filter func(http.Handler) http.Handler) func(*scene) {
	return func(s *scene) { s.around = filter }
}

// addProtocols has what HTTP can do and clients of Kubernetes seldom do.
func addProtocols(add adder) {
	pods := "/api/v1/namespaces/shop/pods"
	for _, method := range []string{"HEAD", "OPTIONS", "WATCH", "watch", "PROXY", "CONNECT", "DELETE", "PUT", "PATCH"} {
		for _, uri := range []string{pods, pods + "?watch=1", pods + "/web", pods + "/web/log", pods + "/web/status", "/healthz", "/debug/pprof/heap", "/apis", "/openapi/v2"} {
			if method != "CONNECT" {
				add(method+" "+uri, sent{method: method, uri: uri}, what("Metadata"), plain["writes"])
			}
		}
	}
	for _, name := range []string{"silent", "writes", "flushes first", "sets headers", "echoes", "only flushes", "copies a file", "says what it can"} {
		for _, kind := range []string{"get", "watch", "create"} {
			s := requests[kind]
			s.raw = fmt.Sprintf("%s %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s", s.method, s.uri, len(s.body), s.body)
			add("HTTP/1.0 "+kind+" "+name, s, what("RequestResponse"), plain[name])
		}
	}
	head := "POST " + pods + " HTTP/1.1\r\nHost: kubernetes\r\nConnection: close\r\n"
	for name, raw := range map[string]string{
		"chunks":                head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n1\r\n \r\n0\r\n\r\n",
		"trailers":              head + "Transfer-Encoding: chunked\r\nTrailer: Audit-ID\r\n\r\n2\r\n{}\r\n0\r\nAudit-ID: late\r\nUser-Agent: late\r\n\r\n",
		"broken chunks":         head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
		"continue":              head + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
		"another expectation":   head + "Expect: more\r\nContent-Length: 2\r\n\r\n{}",
		"continue without body": head + "Expect: 100-continue\r\n\r\n",
		"folded agent":          head + "User-Agent: a\r\n b\r\n\r\n",
		"absolute":              "GET http://x:y@other.example" + pods + "?a=b#c HTTP/1.1\r\nHost: kubernetes\r\nConnection: close\r\n\r\n",
		"no host":               "GET " + pods + " HTTP/1.1\r\nConnection: close\r\n\r\n",
	} {
		for _, play := range []string{"silent", "reads", "echoes", "writes"} {
			add("raw "+name+" "+play, sent{raw: raw}, what("RequestResponse"), plain[play])
		}
	}
	answer := func(f func(w http.ResponseWriter)) script {
		return func(_ *callbacks, w http.ResponseWriter, r *http.Request) { f(w) }
	}
	trailers := answer(func(w http.ResponseWriter) {
		w.Header().Set(http.TrailerPrefix+"X-After", "1")
		io.WriteString(w, "{}")
		w.Header().Set(http.TrailerPrefix+"Audit-Id", "2")
	})
	add("unannounced trailers", requests["get"], what("Metadata"), trailers)
	add("unannounced trailers, HTTP/2", requests["log"], what("Metadata"), trailers, overHTTP2)
	add("full duplex", requests["create"], what("Metadata"), answer(func(w http.ResponseWriter) {
		fmt.Fprint(w, "duplex: ", http.NewResponseController(w).EnableFullDuplex())
	}))
	add("continues by itself", requests["create"], what("Metadata"), answer(func(w http.ResponseWriter) { w.WriteHeader(http.StatusCreated); w.WriteHeader(http.StatusContinue) }))
}

// addResources has the kinds of requests whose verb or subresource decides.
func addResources(add adder) {
	shop := "/api/v1/namespaces/shop/"
	for _, s := range []sent{
		{method: "DELETE", uri: shop + "pods"}, {method: "DELETE", uri: shop + "pods?watch=1"}, {method: "DELETE", uri: "/api/v1/pods?fieldSelector=metadata.name%3Dweb"}, {method: "DELETE", uri: shop + "pods/web/log"},
		{method: "POST", uri: shop + "pods/web/binding"}, {method: "POST", uri: shop + "bindings"}, {method: "POST", uri: shop + "pods/web/eviction?dryRun=All"}, {method: "POST", uri: shop + "serviceaccounts/ghost/token"},
		{method: "PUT", uri: shop + "pods/web/ephemeralcontainers"}, {method: "PATCH", uri: shop + "pods/web/resize"}, {method: "PUT", uri: shop + "replicationcontrollers/web/scale"}, {method: "PUT", uri: "/api/v1/namespaces/shop/finalize"},
		{method: "GET", uri: shop + "pods/web/proxy"}, {method: "PUT", uri: shop + "services/https:web:443/proxy/a"}, {method: "GET", uri: "/api/v1/nodes/n/proxy/logs/x"}, {method: "GET", uri: "/apis/x.y/v1/things/t/log"}, {method: "GET", uri: "/apis/x.y/v1/things/t/attach/a/b"},
		{method: "GET", uri: "/api/v1/watch/pods"}, {method: "POST", uri: "/api/v1/watch/pods"}, {method: "GET", uri: "/apis/x.y/v1/proxy/things/t"}, {method: "GET", uri: "/apis/x.y/v1/log"}, {method: "GET", uri: "/log"}, {method: "GET", uri: "/debug/pprof/../../healthz"},
		{method: "POST", uri: shop + "configmaps?dryRun=All&fieldManager=a&fieldValidation=Strict"}, {method: "GET", uri: shop + "pods?watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"}, {method: "GET", uri: shop + "pods?follow=1"},
		{method: "GET", uri: "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/web"}, {method: "GET", uri: "/openapi/v3/apis/apps/v1?hash=A"}, {method: "GET", uri: "/api/v1/namespaces/shop/pods/web/log?previous=true&watch=1"},
	} {
		name := s.method + " " + s.uri
		for _, play := range []string{"writes", "silent"} {
			add(name+" "+play, s, what("RequestResponse"), plain[play])
		}
		add(name+" by rules", s, "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n"+
			"- {level: None, verbs: [deletecollection]}\n- {level: Request, resources: [{group: '', resources: ['pods/*']}], omitStages: [ResponseStarted]}\n"+
			"- {level: Metadata, verbs: [watch, proxy], omitStages: [ResponseComplete, RequestReceived]}\n- {level: RequestResponse}\n", plain["writes"])
	}
}

// addObjects has objects that encoders, copies without managed fields and kinds differ in.
func addObjects(add adder) {
	maps_ := resource("configmaps")
	rule := func(all, one string) string {
		return "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitManagedFields: " + all + "\nrules: [{level: RequestResponse, omitManagedFields: " + one + "}]\n"
	}
	for _, all := range []string{"true", "false"} {
		for _, one := range []string{"true", "false", "null"} {
			add("managed fields "+all+" and "+one, requests["update"], rule(all, one), takes(configMap(), maps_, "", answerWith(200, configMap())))
		}
	}
	meta := map[string]any{"name": "t", "namespace": "shop", "uid": "7", "resourceVersion": "8", "managedFields": []any{map[string]any{"manager": "<m>"}}}
	loose := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Thing", "metadata": meta, "spec": map[string]any{"n": int64(1), "f": 1.5, "deep": map[string]any{"metadata": meta}}}}
	only := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Thing", "metadata": map[string]any{"managedFields": meta["managedFields"]}}}
	templated := &corev1.ReplicationController{ObjectMeta: configMap().ObjectMeta, Spec: corev1.ReplicationControllerSpec{Template: &corev1.PodTemplateSpec{ObjectMeta: configMap().ObjectMeta}}}
	rows := &metav1.Table{Rows: []metav1.TableRow{{Object: runtime.RawExtension{Object: configMap()}}, {Object: runtime.RawExtension{Object: templated}}}}
	things := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "v1", "kind": "ThingList", "metadata": map[string]any{"resourceVersion": "1"}}, Items: []unstructured.Unstructured{*loose, *only}}
	raw := &corev1.List{Items: []runtime.RawExtension{{Raw: []byte(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"}}`)}}}
	for name, o := range map[string]runtime.Object{"unstructured": loose, "nothing but managed fields": only, "a template": templated, "rows with objects": rows, "unstructured list": things, "a list of raw objects": raw, "an empty list": &corev1.ConfigMapList{}, "an empty table": &metav1.Table{}, "a pod list": &corev1.PodList{Items: []corev1.Pod{*pod}}} {
		for _, policy := range []string{what("RequestResponse"), what("RequestResponse", withoutManaged)} {
			more := ""
			if strings.Contains(policy, withoutManaged) {
				more = ", without managed fields"
			}
			add("object "+name+more, requests["create"], policy, takes(o, maps_, "", answerWith(200, o)))
		}
	}
	misplaced := answerWith(201, &unknown{})
	add("an object, then one that cannot be encoded", requests["get"], what("RequestResponse"), after(answerWith(200, configMap()), misplaced))
	add("an object, then one that cannot be encoded, at Metadata", requests["get"], what("Metadata"), after(answerWith(404, notFound), misplaced))
	raws := &metav1.Table{Rows: []metav1.TableRow{{Object: runtime.RawExtension{Raw: []byte(`{"metadata":{"name":"a","managedFields":[]}}`)}}}}
	add("rows of raw objects", requests["list"], what("RequestResponse"), answerWith(200, raws))
	add("rows of raw objects, without managed fields", requests["list"], what("RequestResponse", withoutManaged), answerWith(200, raws))
	named := &namedUnknown{ObjectMeta: metav1.ObjectMeta{Name: "named", Namespace: "shop", UID: "1"}}
	add("an object that cannot be encoded, but named", requests["create"], what("Request"), takes(named, maps_, "", plain["writes"]))
	add("a status of a stream", requests["log"], what("RequestResponse"), answerWith(400, failure(400, metav1.StatusReasonBadRequest, "container is waiting")))
	add("a status without a code", requests["log"], what("RequestResponse"), func(c *callbacks, w http.ResponseWriter, r *http.Request) {
		c.responseObject(r.Context(), &metav1.Status{Message: "m", Code: -5}, v1)
	})
	add("a binding", sent{method: "POST", uri: "/api/v1/namespaces/shop/pods/web/binding"}, what("RequestResponse"),
		takes(&corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "other"}, Target: corev1.ObjectReference{Kind: "Node", Name: "n"}}, resource("pods"), "binding", answerWith(201, &metav1.Status{Status: "Success", Code: 201})))
	add("options of a deletion", requests["delete"], what("Request"), takes(&metav1.DeleteOptions{GracePeriodSeconds: new(int64)}, maps_, "", answerWith(200, configMap())))
	for _, media := range []string{"application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml"} {
		s := requests["patch"]
		s.uri += "/status?fieldManager=m&force=true&dryRun=All"
		add("patch as "+media, s, what("Request", withoutManaged), patches(media, answerWith(200, configMap())))
	}
	add("two patches", requests["patch"], what("Request"), patches("application/merge-patch+json", patches("application/merge-patch+json", plain["writes"])))
}

// A namedUnknown is an unknown object with metadata.
type namedUnknown struct {
	metav1.TypeMeta
	metav1.ObjectMeta
}

func (u *namedUnknown) DeepCopyObject() runtime.Object { return u }

type timeKey struct{}

// A timeLimit ends when the handler says so.
type timeLimit struct {
	end      context.CancelFunc
	answered chan struct{} // closed once the client has its answer
}

// limited is upstream's filter for requests that take too long. It answers while the
// handler goes on; all that waits for the handler to return as well.
func limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		done, limit := make(chan struct{}), &timeLimit{answered: make(chan struct{})}
		var ctx context.Context
		ctx, limit.end = context.WithCancel(context.WithValue(r.Context(), timeKey{}, limit))
		defer func() {
			limit.end()
			close(limit.answered)
			<-done
		}()
		inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(done)
			next.ServeHTTP(w, r)
		})
		serverfilters.WithTimeoutForNonLongRunningRequests(inner, longRunning).ServeHTTP(w, r.WithContext(ctx))
	})
}

// late plays a script, if any, and another one when the client has got an answer.
func late(before, then script) script {
	return func(c *callbacks, w http.ResponseWriter, r *http.Request) {
		before(c, w, r)
		limit := r.Context().Value(timeKey{}).(*timeLimit)
		limit.end()
		<-limit.answered
		then(c, w, r)
	}
}

func addTimeouts(add adder) {
	wait := around(limited)
	for _, level := range []string{"Metadata", "RequestResponse"} {
		add("timeout, then silence, at "+level, requests["get"], what(level), late(plain["silent"], plain["silent"]), wait)
		add("timeout, then an object, at "+level, requests["create"], what(level), late(plain["silent"], takes(configMap(), resource("configmaps"), "", answerWith(201, configMap()))), wait)
		add("timeout, then an error, at "+level, requests["get"], what(level), late(plain["silent"], answerWith(504, failure(504, metav1.StatusReasonTimeout, "context deadline exceeded"))), wait)
		add("timeout, then a panic, at "+level, requests["get"], what(level), late(plain["silent"], panics["panics"]), wait)
		add("timeout, then aborted, at "+level, requests["get"], what(level), late(plain["silent"], panics["aborts"]), wait)
		add("timeout of what had begun, at "+level, requests["get"], what(level), late(plain["writes"], plain["writes"]), wait)
		add("timeout of what had begun, then a panic, at "+level, requests["get"], what(level), late(plain["writes"], panics["panics"]), wait)
		add("timeout, HTTP/2, at "+level, requests["get"], what(level), late(plain["silent"], plain["writes"]), wait, overHTTP2)
		add("no timeout, at "+level, requests["get"], what(level), plain["writes"], wait)
		add("panic within the time, at "+level, requests["get"], what(level), panics["panics"], wait)
		add("hijacked within the time, at "+level, requests["get"], what(level), upgrades["hijacks"], wait)
		add("timeout of a hijacked connection, at "+level, requests["get"], what(level), late(upgrades["hijacks"], plain["writes"]), wait)
		add("no limit for a stream, at "+level, requests["watch"], what(level), plain["writes and flushes"], wait)
	}
	add("timeout, not audited", requests["get"], what("None"), late(plain["silent"], plain["writes"]), wait)
}

// slow lets a request have been received long ago, and measures where its time goes.
func slow(ago time.Duration) func(*scene) {
	return around(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := request.WithReceivedTimestamp(r.Context(), time.Now().Add(-ago))
			next.ServeHTTP(w, r.WithContext(request.WithLatencyTrackers(ctx)))
		})
	})
}

// telling is what somebody who measures as kube-apiserver does puts into our Handler, to
// record what upstream's filter records by itself.
func telling(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		received, ok := request.ReceivedTimestampFrom(r.Context())
		took := time.Since(received)
		if parts := request.AuditAnnotationsFromLatencyTrackers(r.Context()); ok && took > 500*time.Millisecond && len(parts) > 0 {
			for k, v := range parts {
				record.Annotate(r.Context(), k, v)
			}
			record.Annotate(r.Context(), "apiserver.latency.k8s.io/total", took.String())
		}
	})
}

func addLatencies(add adder) {
	tracked := func(next script) script {
		return func(c *callbacks, w http.ResponseWriter, r *http.Request) {
			request.TrackStorageLatency(r.Context(), 1593794341)
			request.TrackAuthorizationLatency(r.Context(), 899)
			request.TrackAPFQueueWaitLatency(r.Context(), 42*time.Microsecond)
			next(c, w, r)
		}
	}
	for _, kind := range []string{"get", "log", "create"} {
		add("slow "+kind, requests[kind], what("Metadata"), tracked(plain["writes"]), slow(time.Hour))
		add("slow and silent "+kind, requests[kind], what("Metadata"), tracked(plain["silent"]), slow(time.Hour))
		add("slow "+kind+" that panics", requests[kind], what("Metadata"), tracked(panics["panics after a write"]), slow(time.Hour))
		add("slow "+kind+", nothing measured", requests[kind], what("Metadata"), plain["writes"], slow(time.Hour))
	}
	add("slow and annotated", requests["get"], what("Metadata"), tracked(notes([]string{"apiserver.latency.k8s.io/etcd", "mine"}, plain["writes"])), slow(time.Hour))
	add("quick", requests["get"], what("Metadata"), tracked(plain["writes"]), slow(0))
}

// TestRecordSourceIPs compares where random requests come from with upstream.
func TestRecordSourceIPs(t *testing.T) {
	var got []byte
	h := record.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), record.Config{
		Policy:  func(*policy.Request) policy.Decision { return policy.Decision{Level: policy.LevelMetadata} },
		Backend: seeing{func(e *record.Event) { got = append(got[:0], e.Text[audit.SourceIPs]...) }},
	})
	part := rapid.OneOf(
		rapid.StringMatching(`[0-9]{1,4}(\.[0-9]{1,4}){3}`), rapid.StringMatching(`(::)?[0-9a-fA-F]{0,5}(:[0-9a-f]{0,5}){0,8}(%[a-z])?`), rapid.StringMatching(`::(ffff|FFFF|0):[0-9]{1,3}(\.[0-9]{1,3}){3}`),
		rapid.StringMatching(`[0-9a-f:.%\[\] \tx]{0,12}`), rapid.SampledFrom([]string{"127.0.0.1", "::1", "0:0:0:0:0:ffff:7f00:1", "010.0.0.1", "::00001"}))
	header := rapid.Map(rapid.SliceOfN(part, 0, 4), func(parts []string) string { return strings.Join(parts, ", ") })
	rapid.Check(t, func(t *rapid.T) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Forwarded-For", header.Draw(t, "forwarded"))
		r.Header.Set("X-Real-Ip", part.Draw(t, "real"))
		r.RemoteAddr = part.Draw(t, "peer")
		if rapid.Bool().Draw(t, "with a port") {
			r.RemoteAddr = "[" + r.RemoteAddr + "]:80"
		}
		var want []string
		for _, ip := range utilnet.SourceIPs(r) {
			want = append(want, `"`+ip.String()+`"`)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		if list := strings.Trim(string(got), "[]"); list != strings.Join(want, ",") {
			t.Fatalf("%q, %q and %q: %s, upstream's %s", r.Header["X-Forwarded-For"], r.Header["X-Real-Ip"], r.RemoteAddr, list, want)
		}
	})
}

// seeing is a backend that shows events to a function.
type seeing struct{ see func(*record.Event) }

func (b seeing) ProcessEvents(events ...*record.Event) bool {
	for _, e := range events {
		b.see(e)
	}
	return true
}
func (seeing) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (seeing) String() string                { return "seeing" }
