package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/policy"
)

// one sends a request to a handler and returns its event at ResponseComplete.
func one(t *testing.T, cfg Config, method, uri, body string, h http.HandlerFunc, headers ...string) *audit.Event {
	t.Helper()
	s := &store{}
	cfg.Backend = s
	do(t, Handler(h, cfg), method, uri, body, headers...)
	events := scan(t, s.taken())
	if len(events) == 0 {
		t.Fatal("no event")
	}
	return events[len(events)-1]
}

// bodiesOf tells objectRef, status and bodies of an event.
func bodiesOf(e *audit.Event) string {
	var all []string
	for _, c := range []audit.Column{audit.Resource, audit.Subresource, audit.APIGroup, audit.APIVersion, audit.Namespace, audit.Name, audit.ObjectUID, audit.ResourceVersion} {
		if len(e.Text[c]) > 0 {
			all = append(all, string(e.Text[c]))
		}
	}
	s := strings.Join(all, " ") + "; " + story([]*audit.Event{e})[len("ResponseComplete"):]
	return fmt.Sprintf("%s %s; %s; %s; %s", s, e.Text[audit.StatusDetails], e.RequestObject, e.ResponseObject, e.Text[audit.Annotations])
}

var (
	configMap = &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{Kind: "ConfigMap", APIVersion: "v1"},
		ObjectMeta: metav1.ObjectMeta{Name: "n", Namespace: "other", UID: "u", ResourceVersion: "7", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}}},
		Data:       map[string]string{"a": "<"},
	}
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
)

// refuser is an encoder that cannot encode anything.
type refuser struct{}

func (refuser) Encode(runtime.Object, io.Writer) error { return errors.New("no") }
func (refuser) Identifier() runtime.Identifier         { return "refuser" }

// garbler is an encoder that does not write JSON.
type garbler struct{}

func (garbler) Encode(_ runtime.Object, w io.Writer) error { w.Write([]byte("{")); return nil }
func (garbler) Identifier() runtime.Identifier             { return "garbler" }

func TestBodies(t *testing.T) {
	encoder := scheme.Codecs.LegacyCodec(schema.GroupVersion{Version: "v1"})
	logs := func(enc runtime.Encoder) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) {
			LogRequestObject(req.Context(), configMap, configMaps, "", enc)
			LogResponseObject(req.Context(), configMap, enc)
			w.WriteHeader(201)
		}
	}
	const (
		uri   = "/api/v1/namespaces/ns/configmaps"
		ref   = "configmaps v1 ns n u 7;  201 "
		whole = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"n","namespace":"other","uid":"u","resourceVersion":"7","managedFields":[{"manager":"m"}]},"data":{"a":"\u003c"}}`
		less  = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"n","namespace":"other","uid":"u","resourceVersion":"7"},"data":{"a":"\u003c"}}`
	)
	status := &metav1.Status{Status: "Failure", Message: "m", Reason: "r", Details: &metav1.StatusDetails{Name: "x"}, Code: 999, ListMeta: metav1.ListMeta{ResourceVersion: "5"}}
	statusJSON, _ := json.Marshal(status)
	tests := []struct {
		name   string
		level  policy.Level
		omit   bool
		method string
		h      http.HandlerFunc
		want   string
	}{
		{"metadata", policy.LevelMetadata, false, "POST", logs(nil), ref + "; ; ; "},
		{"request", policy.LevelRequest, false, "POST", logs(nil), ref + "; " + whole + "; ; "},
		{"response", policy.LevelRequestResponse, false, "POST", logs(nil), ref + "; " + whole + "; " + whole + "; "},
		{"encoder", policy.LevelRequestResponse, false, "POST", logs(encoder), ref + "; " + whole + "; " + whole + "; "},
		{"managed fields", policy.LevelRequestResponse, true, "POST", logs(encoder), ref + "; " + less + "; " + less + "; "},
		{"managed fields without encoder", policy.LevelRequestResponse, true, "POST", logs(nil), ref + "; " + less + "; " + less + "; "},
		{"cannot encode", policy.LevelRequestResponse, true, "POST", logs(refuser{}), ref + "; ; ; "},
		{"encodes no JSON", policy.LevelRequestResponse, true, "POST", logs(garbler{}), ref + `; {"raw":"ew=="}; {"raw":"ew=="}; `},
		{"subresource", policy.LevelMetadata, false, "POST", func(w http.ResponseWriter, req *http.Request) {
			LogRequestObject(req.Context(), &metav1.DeleteOptions{}, schema.GroupVersionResource{Group: "g", Version: "v", Resource: "r"}, "s", nil)
			w.WriteHeader(200)
		}, "configmaps s v1 ns;  200 ; ; ; "},
		{"status", policy.LevelMetadata, false, "POST", func(w http.ResponseWriter, req *http.Request) {
			LogResponseObject(req.Context(), status, nil)
			w.WriteHeader(409)
		}, `configmaps v1 ns;  409 Failure r m {"name":"x"}; ; ; `},
		{"status without header", policy.LevelRequest, false, "POST", func(_ http.ResponseWriter, req *http.Request) {
			LogResponseObject(req.Context(), status, nil)
		}, `configmaps v1 ns;  999 Failure r m {"name":"x"}; ; ; `},
		{"JSON", policy.LevelRequestResponse, true, "POST", func(w http.ResponseWriter, req *http.Request) {
			LogRequestJSON(req.Context(), []byte("{ \"metadata\": {\"name\":\"n\",\"managedFields\":[]}, \"a\": 1e400}\n"))
			LogResponseJSON(req.Context(), []byte(`{"kind":"Status","status":"Failure","message":"<"}`))
			w.WriteHeader(400)
		}, `configmaps v1 ns n;  400 Failure < ; {"metadata":{"name":"n"},"a":1e400}; {"kind":"Status","status":"Failure","message":"\u003c"}; `},
		{"no JSON", policy.LevelRequestResponse, false, "POST", func(w http.ResponseWriter, req *http.Request) {
			LogRequestJSON(req.Context(), []byte("a: b\n"))
			LogResponseJSON(req.Context(), []byte(`{"kind":"Status",`))
			w.WriteHeader(400)
		}, `configmaps v1 ns;  400 ; {"raw":"YTogYgo="}; {"raw":"eyJraW5kIjoiU3RhdHVzIiw="}; `},
		{"patch", policy.LevelRequest, true, "PATCH", func(w http.ResponseWriter, req *http.Request) {
			LogRequestPatch(req.Context(), []byte(`{"metadata":{"managedFields": [] }}`), "application/merge-patch+json")
			w.WriteHeader(200)
		}, `configmaps v1 ns;  200 ; {"metadata":{"managedFields":[]}}; ; `},
		{"patch of YAML", policy.LevelRequest, false, "PATCH", func(w http.ResponseWriter, req *http.Request) {
			LogRequestPatch(req.Context(), []byte("a: b"), "application/apply-patch+yaml")
			w.WriteHeader(200)
		}, `configmaps v1 ns;  200 ; {"raw":"YTogYg=="}; ; `},
		{"empty patch", policy.LevelRequest, false, "PATCH", func(w http.ResponseWriter, req *http.Request) {
			LogRequestPatch(req.Context(), nil, "")
			w.WriteHeader(200)
		}, `configmaps v1 ns;  200 ; null; ; `},
		{"patch at Metadata", policy.LevelMetadata, false, "PATCH", func(w http.ResponseWriter, req *http.Request) {
			LogRequestPatch(req.Context(), []byte("{}"), "")
			w.WriteHeader(200)
		}, `configmaps v1 ns;  200 ; ; ; `},
		{"panic keeps bodies", policy.LevelRequestResponse, false, "POST", func(_ http.ResponseWriter, req *http.Request) {
			LogRequestJSON(req.Context(), []byte("{}"))
			LogResponseJSON(req.Context(), statusJSON)
			panic(http.ErrAbortHandler)
		}, `configmaps v1 ns; `},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := config(nil, test.level)
			cfg.Policy = func(*policy.Request) policy.Decision {
				return policy.Decision{Level: test.level, OmitManagedFields: test.omit}
			}
			e := one(t, cfg, test.method, uri, "", test.h)
			if test.name == "panic keeps bodies" {
				if string(e.Text[audit.Stage]) != "Panic" || string(e.RequestObject) != "{}" || len(e.ResponseObject) == 0 || len(e.Text[audit.StatusDetails]) > 0 {
					t.Errorf("got %s", e.Raw)
				}
				return
			}
			if got := bodiesOf(e); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// A request that is none for a resource gets an objectRef from its object, as upstream's
// does.
func TestObjectWithoutResource(t *testing.T) {
	e := one(t, config(nil, policy.LevelMetadata), "POST", "/x", "", func(_ http.ResponseWriter, req *http.Request) {
		LogRequestObject(req.Context(), configMap, schema.GroupVersionResource{Group: "g", Version: "v", Resource: "r"}, "s", nil)
	})
	if got, want := bodiesOf(e), "r s g v other n u 7;  200 Success Connection closed early ; ; ; "; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// An event whose body is too large for its request, or for all requests, has no body, and
// says so; the next one has its own.
func TestTooLarge(t *testing.T) {
	cfg := config(nil, policy.LevelRequestResponse, received)
	cfg.MaxBody, cfg.MaxBodies = 20, 30
	s := &store{}
	cfg.Backend = s
	h := Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		LogRequestJSON(req.Context(), []byte(`{"metadata":{}}`))
		body, _ := io.ReadAll(req.Body)
		LogResponseJSON(req.Context(), body)
		w.WriteHeader(201)
	}), cfg)
	const truncated = `{"audit.k8s.io/truncated":"true"}`
	for _, body := range []string{`"123456789012345678"`, `"1234567890123456789"`, `"12345678901"`, `"1234567890123"`, `"123456789012345"`} {
		do(t, h, "POST", "/api/v1/pods", body)
	}
	var got []string
	for _, e := range scan(t, s.taken()) {
		got = append(got, fmt.Sprintf("%s %s %s", e.RequestObject, e.ResponseObject, e.Text[audit.Annotations]))
	}
	want := []string{"  " + truncated, "  " + truncated, `{"metadata":{}} "12345678901" `, `{"metadata":{}} "1234567890123" `, "  " + truncated}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if held := h.(*recorder).held.Load(); held != 0 {
		t.Errorf("%d bytes are held by nobody", held)
	}
}

// Annotations keep their first value, are sorted, and come after those of the server.
func TestAnnotations(t *testing.T) {
	var log bytes.Buffer
	cfg := config(nil, policy.LevelMetadata)
	cfg.Annotations = map[string]string{"server": "s", "cluster": "c"}
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s := &store{}
	cfg.Backend = s
	do(t, Handler(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		for _, kv := range []string{"z=1", "cluster=mine", "z=1", "z=2", "a=", "authorization.k8s.io/decision=", "authorization.k8s.io/reason=r"} {
			k, v, _ := strings.Cut(kv, "=")
			Annotate(req.Context(), k, v)
		}
	}), cfg), "GET", "/", "")
	line := s.taken()[1]
	want := `"annotations":{"a":"","authorization.k8s.io/decision":"","authorization.k8s.io/reason":"r","cluster":"c","server":"s","z":"1"}}`
	if !strings.HasSuffix(line, want) {
		t.Errorf("got %s\nwant %s", line, want)
	}
	if got := strings.Count(log.String(), "level=WARN"); got != 2 {
		t.Errorf("%d warnings, want 2: %s", got, log.String())
	}
}

func TestImpersonation(t *testing.T) {
	e := one(t, config(nil, policy.LevelMetadata), "GET", "/", "", func(_ http.ResponseWriter, req *http.Request) {
		LogImpersonatedUser(req.Context(), &User{Username: "joe", UID: "1", Groups: []string{"<g>"}, Extra: map[string][]string{"b": nil, "a": {"x", "y"}, "c": {}}}, "impersonate:user-info")
	})
	want := `"impersonatedUser":{"username":"joe","uid":"1","groups":["\u003cg\u003e"],"extra":{"a":["x","y"],"b":null,"c":[]}},"authenticationMetadata":{"impersonationConstraint":"impersonate:user-info"}`
	if !strings.Contains(string(e.Raw), want) {
		t.Errorf("got %s\nwant %s", e.Raw, want)
	}
}

// What goroutines of a handler do when the request is long over reaches no other event.
// Every event here has its own ID in all that handlers tell.
func TestLateCalls(t *testing.T) {
	s := &store{}
	cfg := config(s, policy.LevelRequestResponse)
	cfg.NewID = nil
	var late sync.WaitGroup
	h := Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ctx := req.Context()
		id := AuditID(ctx)
		body := []byte(`{"metadata":{"name":"` + id + `"},"x":"` + strings.Repeat("x", 500) + `"}`)
		tell := func() {
			Annotate(ctx, "id", id)
			LogRequestJSON(ctx, body)
			LogResponseJSON(ctx, body)
			LogImpersonatedUser(ctx, &User{Username: id}, id)
			LogRequestPatch(ctx, body, "application/json")
		}
		for range 2 {
			late.Go(func() {
				tell()
				w.Write(nil)
				tell()
			})
		}
		tell()
	}), cfg)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				h.ServeHTTP(discard{http.Header{}}, benchRequest())
			}
		})
	}
	all.Wait()
	late.Wait()
	for _, e := range scan(t, s.taken()) {
		if string(e.Text[audit.Stage]) != "ResponseComplete" {
			continue
		}
		id := string(e.Text[audit.AuditID])
		for _, part := range []string{string(e.RequestObject), string(e.ResponseObject), string(e.Text[audit.Annotations]), string(e.Text[audit.ImpersonatedUsername]), string(e.Text[audit.Name])} {
			if !strings.Contains(part, id) {
				t.Fatalf("%s in the event of %s", part, id)
			}
		}
	}
	if held := h.(*recorder).held.Load(); held != 0 {
		t.Errorf("%d bytes are held by nobody", held)
	}
}

// Whatever a client sends and a handler tells, the event is one line that is read as it
// was meant.
func TestHostile(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }), rapid.Just("\u2028<&>\"\\\x00\xff"))
	rapid.Check(t, func(rt *rapid.T) {
		s := &store{}
		cfg := config(s, rapid.SampledFrom(policy.Levels()[1:]).Draw(rt, "level"))
		user := &User{Username: text.Draw(rt, "user"), UID: text.Draw(rt, "uid"), Groups: rapid.SliceOf(text).Draw(rt, "groups"), Extra: rapid.MapOf(text, rapid.SliceOf(text)).Draw(rt, "extra")}
		cfg.User = func(*http.Request) *User { return user }
		body := []byte(text.Draw(rt, "body"))
		if rapid.Bool().Draw(rt, "JSON") {
			body, _ = json.Marshal(map[string]any{"metadata": map[string]string{"name": text.Draw(rt, "name")}, "kind": rapid.SampledFrom([]string{"Status", "Pod"}).Draw(rt, "kind"), "message": text.Draw(rt, "message")})
		}
		panics := rapid.Bool().Draw(rt, "panics")
		req := benchRequest()
		req.URL.Path = "/" + text.Draw(rt, "path")
		req.URL.RawQuery = text.Draw(rt, "query")
		req.Method = rapid.SampledFrom([]string{"GET", "POST", "PUT", "PATCH", "DELETE", "X"}).Draw(rt, "method")
		for _, k := range []string{"Audit-Id", "User-Agent", "X-Forwarded-For", "X-Real-Ip"} {
			req.Header[k] = rapid.SliceOf(text).Draw(rt, k)
		}
		h := Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			LogRequestJSON(req.Context(), body)
			LogResponseJSON(req.Context(), body)
			Annotate(req.Context(), text.Draw(rt, "key"), text.Draw(rt, "value"))
			Annotate(req.Context(), text.Draw(rt, "key"), text.Draw(rt, "value"))
			if panics {
				panic(text.Draw(rt, "panic"))
			}
		}), cfg)
		func() {
			defer func() { _ = recover() }()
			h.ServeHTTP(discard{http.Header{}}, req)
		}()
		for _, l := range s.taken() {
			var e audit.Event
			if err := e.Scan([]byte(l)); err != nil {
				rt.Fatalf("%v in %s", err, l)
			}
			if !e.Exact() {
				rt.Fatalf("not exact: %s", l)
			}
			if strings.ContainsAny(l, "\n\r<>") || !json.Valid([]byte(l)) {
				rt.Fatalf("not one safe line: %s", l)
			}
		}
	})
}

// Redact sees every event before it is encoded, whole, and what it changes is what is
// recorded; the next stage has its own.
func TestRedact(t *testing.T) {
	s := &store{}
	cfg := config(s, policy.LevelRequestResponse)
	cfg.Metrics = NewMetrics(prometheus.NewRegistry())
	var seen []string
	cfg.Redact = func(e *Event) {
		seen = append(seen, fmt.Sprintf("%s %s %s", e.Text[audit.Stage], e.RequestObject, e.Text[audit.Name]))
		if e.RequestObject != nil {
			e.RequestObject = []byte(`"hidden"`)
		}
		e.Text[audit.RequestURI] = []byte("/hidden")
	}
	cfg.Policy = level(policy.LevelRequestResponse, received)
	do(t, Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		LogRequestJSON(req.Context(), []byte(`{"metadata":{"name":"n"}}`))
		w.WriteHeader(200)
	}), cfg), "POST", "/api/v1/namespaces/ns/pods?watch=1", "")
	do(t, Handler(http.NotFoundHandler(), cfg), "GET", "/api/v1/pods?watch=1", "")
	want := `ResponseComplete {"metadata":{"name":"n"}} n; ResponseStarted  ; ResponseComplete  `
	if got := strings.Join(seen, "; "); got != want {
		t.Errorf("saw  %s\nwant %s", got, want)
	}
	for i, e := range scan(t, s.taken()) {
		if string(e.Text[audit.RequestURI]) != "/hidden" || (string(e.RequestObject) == `"hidden"`) != (i == 0) {
			t.Errorf("got %s", e.Raw)
		}
	}
	if got := testutil.ToFloat64(cfg.Metrics.events); got != 3 {
		t.Errorf("%v events are counted, want 3", got)
	}
	if got := testutil.ToFloat64(cfg.Metrics.levels.WithLabelValues("RequestResponse")); got != 2 {
		t.Errorf("%v requests are counted, want 2", got)
	}
}
