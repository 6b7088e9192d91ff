package oracle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
)

// plain scripts know nothing of auditing.
var plain = map[string]script{
	"silent": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {},
	"reads":  func(_ *callbacks, w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) },
	"echoes": func(_ *callbacks, w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) },
	"writes": func(_ *callbacks, w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") },
	"writes nothing": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		w.Write(nil)
	},
	"writes thrice": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		for _, s := range []string{"one ", "two ", "three"} {
			io.WriteString(w, s)
		}
	},
	"writes and flushes": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "{\"n\":%d}\n", i)
			w.(http.Flusher).Flush()
		}
	},
	"flushes first": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		io.WriteString(w, "late")
	},
	"only flushes": func(_ *callbacks, w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush() },
	"flushes by a controller": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "flushed: ", http.NewResponseController(w).Flush())
	},
	"sets a deadline": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "deadline: ", http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)))
	},
	"copies a file": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		io.Copy(w, bytes.NewReader(bytes.Repeat([]byte("0123456789abcdef"), 8192)))
	},
	"sleeps": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		time.Sleep(5 * time.Millisecond)
		io.WriteString(w, "awake")
	},
	"sets headers": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Add("Warning", `299 - "old"`)
		w.Header().Set("Trailer", "X-After")
		io.WriteString(w, "{}")
		w.Header().Set("X-After", "1")
	},
	"takes the audit ID away": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		w.Header().Del("Audit-Id")
		io.WriteString(w, "gone")
	},
	"sets the audit ID": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Audit-Id", "mine")
		io.WriteString(w, "mine")
	},
	"says what it can": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		_, flushes := w.(http.Flusher)
		_, hijacks := w.(http.Hijacker)
		fmt.Fprint(w, "flushes ", flushes, ", hijacks ", hijacks)
	},
	"says a deadline": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "answers a request that has no bad timeout")
	},
	"two codes": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		w.WriteHeader(http.StatusOK)
		io.WriteString(w, "no")
	},
	"code after a write": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "yes")
		w.WriteHeader(http.StatusInternalServerError)
	},
	"early hints": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, "not here")
	},
	"processing": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusProcessing)
		io.WriteString(w, "done")
	},
	"no such code":  func(_ *callbacks, w http.ResponseWriter, r *http.Request) { w.WriteHeader(0) },
	"code too high": func(_ *callbacks, w http.ResponseWriter, r *http.Request) { w.WriteHeader(1000) },
	"writes more than it may": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3")
		_, err := io.WriteString(w, "four")
		fmt.Fprint(w, err)
	},
	"writes in a no content": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		io.WriteString(w, "content")
	},
}

// panics end in one. Its value becomes a message.
var panics = map[string]script{
	"panics":               func(_ *callbacks, w http.ResponseWriter, r *http.Request) { panic("boom") },
	"panics with markup":   func(_ *callbacks, w http.ResponseWriter, r *http.Request) { panic("<b>&\u2028\"\\\x01\xff</b>") },
	"panics with an error": func(_ *callbacks, w http.ResponseWriter, r *http.Request) { panic(errors.New("an error")) },
	"panics with a struct": func(_ *callbacks, w http.ResponseWriter, r *http.Request) { panic(struct{ A, B int }{1, 2}) },
	"panics with nil":      func(_ *callbacks, w http.ResponseWriter, r *http.Request) { panic(nil) },
	"panics at an index":   func(_ *callbacks, w http.ResponseWriter, r *http.Request) { _ = []int{}[len(r.Method)] },
	"aborts":               func(_ *callbacks, w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
	"panics after a code":  func(_ *callbacks, w http.ResponseWriter, r *http.Request) { w.WriteHeader(202); panic("boom") },
	"panics after a write": func(_ *callbacks, w http.ResponseWriter, r *http.Request) { io.WriteString(w, "some"); panic("boom") },
	"panics after a flush": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "some")
		w.(http.Flusher).Flush()
		panic("boom")
	},
	"aborts after a write": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "some")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	},
	"panics after a status": func(c *callbacks, w http.ResponseWriter, r *http.Request) {
		answerWith(404, notFound)(c, w, r)
		panic("boom")
	},
}

// upgrades take the connection over.
var upgrades = map[string]script{
	"hijacks": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		h, ok := w.(http.Hijacker)
		if !ok {
			io.WriteString(w, "cannot be hijacked")
			return
		}
		hijack(h.Hijack())
	},
	"hijacks by a controller": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		hijack(http.NewResponseController(w).Hijack())
	},
	"hijacks after a code": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusSwitchingProtocols)
		hijack(w.(http.Hijacker).Hijack())
	},
	"hijacks and panics": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		hijack(w.(http.Hijacker).Hijack())
		panic("boom")
	},
	"hijacks and writes": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		h := w.(http.Hijacker)
		conn, rw, err := h.Hijack()
		if _, werr := io.WriteString(w, "too late"); werr == nil {
			err = errors.New("a hijacked connection can be written")
		}
		hijack(conn, rw, err)
	},
}

// departures go on after the client has gone.
var departures = map[string]script{
	"writes and waits": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "{}\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		io.WriteString(w, "nobody reads this")
	},
	"waits": func(_ *callbacks, w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	"waits and writes": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		io.WriteString(w, "nobody reads this")
	},
	"waits and fails": func(c *callbacks, w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		answerWith(504, failure(504, metav1.StatusReasonTimeout, "Timeout: request did not complete within the allotted timeout"))(c, w, r)
	},
	"waits and panics": func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	},
}

// code answers with a status code and a body of it, where it may have one.
func code(n int) script {
	return func(_ *callbacks, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(n)
		if n >= 200 && n != 204 && n != 304 {
			io.WriteString(w, strconv.Itoa(n))
		}
	}
}

// answerWith answers with an object, as upstream's handlers do.
func answerWith(n int, o runtime.Object) script {
	return func(c *callbacks, w http.ResponseWriter, r *http.Request) {
		c.responseObject(r.Context(), o, groupOf(o))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(n)
		if err := encoderFor(groupOf(o)).Encode(o, w); err != nil {
			fmt.Fprint(w, "cannot be encoded")
		}
	}
}

// takes logs an object that was sent, and answers with another.
func takes(in runtime.Object, gvr schema.GroupVersionResource, sub string, next script) script {
	return func(c *callbacks, w http.ResponseWriter, r *http.Request) {
		c.requestObject(r.Context(), in, groupOf(in), gvr, sub)
		next(c, w, r)
	}
}

// patches logs the patch that was sent.
func patches(contentType string, next script) script {
	return func(c *callbacks, w http.ResponseWriter, r *http.Request) {
		patch, _ := io.ReadAll(r.Body)
		if len(patch) == 0 {
			patch = nil
		}
		c.requestPatch(r.Context(), patch, contentType)
		next(c, w, r)
	}
}

// notes adds annotations, keys and values, before what comes next.
func notes(pairs []string, next script) script {
	return func(c *callbacks, w http.ResponseWriter, r *http.Request) {
		for i := 0; i+1 < len(pairs); i += 2 {
			c.annotate(r.Context(), pairs[i], pairs[i+1])
		}
		next(c, w, r)
	}
}

// after plays one script after the other.
func after(first script, then ...script) script {
	return func(c *callbacks, w http.ResponseWriter, r *http.Request) {
		first(c, w, r)
		for _, s := range then {
			s(c, w, r)
		}
	}
}

// as plays a script once another user was impersonated.
func as(u *user.DefaultInfo, constraint string, next script) script {
	return func(c *callbacks, w http.ResponseWriter, r *http.Request) {
		c.impersonate(r.Context(), u, constraint)
		next(c, w, r)
	}
}

func hijack(conn io.WriteCloser, rw interface{ Flush() error }, err error) {
	if err != nil {
		return
	}
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nframes")
	conn.Close()
}

var v1 = schema.GroupVersion{Version: "v1"}

func groupOf(o runtime.Object) schema.GroupVersion {
	switch o.(type) {
	case *metav1.Table, *metav1.PartialObjectMetadata, *metav1.PartialObjectMetadataList:
		return schema.GroupVersion{Group: "meta.k8s.io", Version: "v1"}
	}
	return v1
}

func resource(name string) schema.GroupVersionResource { return v1.WithResource(name) }

var managed = []metav1.ManagedFieldsEntry{{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationApply, APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:a":{}}}`)}}

// configMap is an object of which everything is known but what with takes away or adds.
func configMap(with ...func(*corev1.ConfigMap)) *corev1.ConfigMap {
	c := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name: "settings", Namespace: "shop", UID: types.UID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), ResourceVersion: "4711",
			CreationTimestamp: metav1.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC), ManagedFields: managed,
		},
		Data: map[string]string{"b": "two", "a": "one", "markup": "<a href=\"x\">&amp;</a>\u2028\u2029\\"},
	}
	for _, f := range with {
		f(c)
	}
	return c
}

func nameless(c *corev1.ConfigMap) { c.Name, c.GenerateName = "", "settings-" }
func unplaced(c *corev1.ConfigMap) { c.Namespace = "" }
func unstored(c *corev1.ConfigMap) {
	c.UID, c.ResourceVersion, c.CreationTimestamp = "", "", metav1.Time{}
}
func unmanaged(c *corev1.ConfigMap) { c.ManagedFields = nil }
func odd8(c *corev1.ConfigMap)      { c.Data = map[string]string{"bytes": "\xff\xfe\u0000<\u2028"} }
func larger(c *corev1.ConfigMap) {
	c.Data = map[string]string{"a": strings.Repeat("0123456789", 20_000)}
}

var pod = &corev1.Pod{
	TypeMeta:   metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"},
	ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", Labels: map[string]string{"app": "web"}},
	Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "nginx", Image: "nginx:1.29", Command: []string{"sh", "-c", "a < b && c > d"}}}},
}

var configMaps = &corev1.ConfigMapList{
	ListMeta: metav1.ListMeta{ResourceVersion: "99", Continue: "more"},
	Items:    []corev1.ConfigMap{*configMap(), *configMap(nameless), *configMap(unmanaged)},
}

var table = &metav1.Table{
	ColumnDefinitions: []metav1.TableColumnDefinition{{Name: "Name", Type: "string"}},
	Rows: []metav1.TableRow{
		{Cells: []any{"settings", int64(3)}, Object: runtime.RawExtension{Object: &metav1.PartialObjectMetadata{ObjectMeta: configMap().ObjectMeta}}},
		{Cells: []any{"<none>", nil}},
	},
}

var partial = &metav1.PartialObjectMetadata{ObjectMeta: configMap().ObjectMeta}

var notFound = failure(404, metav1.StatusReasonNotFound, `configmaps "settings" not found`)

func failure(n int32, reason metav1.StatusReason, message string) *metav1.Status {
	return &metav1.Status{
		ListMeta: metav1.ListMeta{ResourceVersion: "7"},
		Status:   metav1.StatusFailure, Reason: reason, Message: message, Code: n,
		Details: &metav1.StatusDetails{Name: "settings", Kind: "configmaps", Causes: []metav1.StatusCause{{Type: "FieldValueInvalid", Message: "<must not>", Field: "data"}}, RetryAfterSeconds: 1},
	}
}

// unknown is an object that no scheme knows, so it cannot be encoded.
type unknown struct{ metav1.TypeMeta }

func (u *unknown) DeepCopyObject() runtime.Object { return u }
