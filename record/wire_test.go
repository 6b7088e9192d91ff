package record

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"kubetrail/audit"
	"kubetrail/policy"
	"kubetrail/record/wire"
)

// bodies reads bodies as package record/wire does.
func bodies() *Wire {
	return &Wire{JSON: wire.JSON, Object: wire.Object, Status: wire.Status}
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

// TestWire has bodies pass in both directions, and sees what is recorded of them.
func TestWire(t *testing.T) {
	const (
		maps   = "/api/v1/namespaces/ns/configmaps"
		pod    = "/api/v1/namespaces/ns/pods/p"
		json   = "application/json"
		object = `{"kind":"ConfigMap", "apiVersion":"v1", "metadata":{"name":"n","namespace":"ns","managedFields":[]}}`
		less   = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"n","namespace":"ns"}}`
		stored = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"n","namespace":"ns","uid":"u","resourceVersion":"1"}}`
		table  = `{"kind":"Table","apiVersion":"meta.k8s.io/v1","rows":[{"object":{"metadata":{"managedFields":[],"name":"a"}}}]}`
		forbid = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"configmaps is forbidden: User \"jane\" cannot create resource \"configmaps\"","reason":"Forbidden","details":{"kind":"configmaps"},"code":403}`
		denied = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"denied by admission","reason":"Forbidden","code":403}`
		gone   = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old","reason":"Expired","code":410}`
		done   = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","details":{"name":"p","kind":"pods"}}`
	)
	escaped := func(s string) string { return strings.NewReplacer(`\u0026`, "&").Replace(s) }
	pb, err := protobuf()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name              string
		level             policy.Level
		method, uri, body string
		headers           []string
		code              int
		contentType       string // of the answer
		answer            string
		want              string
	}{
		{"create", policy.LevelRequestResponse, "POST", maps, object, []string{"Content-Type", json}, 201, json, stored,
			"configmaps v1 ns n;  201 ; " + less + "; " + stored + "; "},
		{"create at Request", policy.LevelRequest, "POST", maps, object, []string{"Content-Type", json}, 201, json, stored,
			"configmaps v1 ns n;  201 ; " + less + "; ; "},
		{"create at Metadata", policy.LevelMetadata, "POST", maps, object, []string{"Content-Type", json}, 201, json, stored,
			"configmaps v1 ns n;  201 ; ; ; "},
		{"create of YAML", policy.LevelRequest, "POST", maps, "metadata:\n  name: \"n\"\n", []string{"Content-Type", "application/yaml"}, 201, json, stored,
			`configmaps v1 ns n;  201 ; {"metadata":{"name":"n"}}; ; `},
		{"create that says it is packed", policy.LevelRequest, "POST", maps, object, []string{"Content-Type", json, "Content-Encoding", "gzip"}, 201, json, stored,
			"configmaps v1 ns n;  201 ; " + less + "; ; "},
		{"create of nothing known", policy.LevelRequest, "POST", maps, object, []string{"Content-Type", json}, 404, json, strings.Replace(gone, "too old", "the server could not find the requested resource", 1),
			"configmaps v1 ns;  404 Failure Expired the server could not find the requested resource ; ; ; "},
		{"create of protobuf", policy.LevelMetadata, "POST", maps, pb, []string{"Content-Type", "application/vnd.kubernetes.protobuf"}, 201, json, stored,
			"configmaps v1 ns n;  201 ; ; ; "},
		{"not authorized", policy.LevelRequestResponse, "POST", maps, object, []string{"Content-Type", json}, 403, json, forbid,
			`configmaps v1 ns;  403 Failure Forbidden configmaps is forbidden: User "jane" cannot create resource "configmaps" {"kind":"configmaps"}; ; ` + forbid + "; "},
		{"not admitted", policy.LevelRequestResponse, "POST", maps, object, []string{"Content-Type", json}, 403, json, denied,
			"configmaps v1 ns n;  403 Failure Forbidden denied by admission ; " + less + "; " + denied + "; "},
		{"no such resource", policy.LevelRequestResponse, "POST", maps, object, []string{"Content-Type", json}, 404, "text/plain", "404 page not found",
			"configmaps v1 ns;  404 ; ; ; "},
		{"malformed", policy.LevelRequest, "PUT", maps + "/n", "{", []string{"Content-Type", json}, 500, json, stored,
			`configmaps v1 ns n;  500 ; {"raw":"ew=="}; ; `},
		{"status of an update", policy.LevelRequest, "PUT", maps + "/n/status", object, []string{"Content-Type", json}, 200, json, stored,
			"configmaps status v1 ns n;  200 ; " + less + "; ; "},
		{"patch", policy.LevelRequest, "PATCH", maps + "/n", `{"metadata":{"managedFields":[]}, "a":1}`, []string{"Content-Type", "application/merge-patch+json"}, 200, json, stored,
			`configmaps v1 ns n;  200 ; {"metadata":{"managedFields":[]},"a":1}; ; `},
		{"apply of YAML", policy.LevelRequest, "PATCH", maps + "/n", "a: <b>\n", []string{"Content-Type", "application/apply-patch+yaml"}, 200, json, stored,
			escaped(`configmaps v1 ns n;  200 ; {"a":"\u003cb\u003e"}; ; `)},
		{"malformed patch", policy.LevelRequest, "PATCH", maps + "/n", "a", []string{"Content-Type", "application/merge-patch+json"}, 400, json, denied,
			`configmaps v1 ns n;  400 Failure Forbidden denied by admission ; {"raw":"YQ=="}; ; `},
		{"empty patch", policy.LevelRequest, "PATCH", maps + "/n", "", []string{"Content-Type", "application/merge-patch+json"}, 400, json, denied,
			`configmaps v1 ns n;  400 Failure Forbidden denied by admission ; null; ; `},
		{"unsupported patch", policy.LevelRequest, "PATCH", maps + "/n", "a", []string{"Content-Type", "text/plain"}, 415, json, denied,
			`configmaps v1 ns n;  415 Failure Forbidden denied by admission ; ; ; `},
		{"delete", policy.LevelRequestResponse, "DELETE", pod, "", nil, 200, json, done,
			`pods v1 ns p;  200 Success {"name":"p","kind":"pods"}; ; ` + done + "; "},
		{"delete at Metadata", policy.LevelMetadata, "DELETE", pod, `{"propagationPolicy":"Background"}`, []string{"Content-Type", json}, 200, json, done,
			`pods v1 ns p;  200 Success {"name":"p","kind":"pods"}; ; ; `},
		{"delete with options", policy.LevelRequest, "DELETE", pod, `{"propagationPolicy":"Background"}`, []string{"Content-Type", json}, 200, json, done,
			`pods v1 ns p;  200 Success {"name":"p","kind":"pods"}; {"propagationPolicy":"Background"}; ; `},
		{"list as table", policy.LevelRequestResponse, "GET", maps, "", nil, 200, "application/json;as=Table;v=v1;g=meta.k8s.io", table,
			`configmaps v1 ns;  200 ; ; {"kind":"Table","apiVersion":"meta.k8s.io/v1","rows":[{"object":{"metadata":{"name":"a"}}}]}; `},
		{"get with a body", policy.LevelRequestResponse, "GET", maps, "{}", nil, 200, json, stored,
			"configmaps v1 ns;  200 ; ; " + stored + "; "},
		{"get of protobuf", policy.LevelRequestResponse, "GET", maps + "/n", "", nil, 200, "application/vnd.kubernetes.protobuf", pb,
			`configmaps v1 ns n;  200 ; ; {"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"n","namespace":"ns"}}; `},
		{"packed", policy.LevelRequestResponse, "GET", maps + "/n", "", []string{"Accept-Encoding", "gzip"}, 200, json + "|gzip", gzipped(stored),
			`configmaps v1 ns n;  200 ; ; ` + stored + `; `},
		{"packed badly", policy.LevelRequestResponse, "GET", maps + "/n", "", []string{"Accept-Encoding", "gzip"}, 200, json + "|gzip", "x",
			`configmaps v1 ns n;  200 ; ; {"raw":"eA=="}; `},
		{"log", policy.LevelRequestResponse, "GET", pod + "/log", "", nil, 200, json, "{}",
			"pods log v1 ns p;  200 ; ; ; "},
		{"watch", policy.LevelRequestResponse, "GET", maps + "?watch=1", "", nil, 200, "application/json;stream=watch", "{}\n{}",
			"configmaps v1 ns;  200 ; ; ; "},
		{"watch too old", policy.LevelRequestResponse, "GET", maps + "?watch=1", "", nil, 410, json, gone,
			"configmaps v1 ns;  410 Failure Expired too old ; ; " + gone + "; "},
		{"proxied error", policy.LevelRequestResponse, "GET", pod + "/proxy/x", "", nil, 500, json, `{"error":1}`,
			"pods proxy v1 ns p;  500 ; ; ; "},
		{"exec", policy.LevelRequestResponse, "POST", pod + "/exec", "{}", []string{"Content-Type", json}, 200, json, "{}",
			"pods exec v1 ns p;  200 ; ; ; "},
		{"version", policy.LevelRequestResponse, "GET", "/version", "", nil, 200, json, `{"major":"1"}`, ";  200 ; ; ; "},
		{"discovery", policy.LevelRequestResponse, "GET", "/apis", "", nil, 200, json, `{"kind":"APIGroupList"}`, `;  200 ; ; {"kind":"APIGroupList"}; `},
		{"forbidden URL", policy.LevelRequestResponse, "GET", "/metrics", "", nil, 403, json, denied, ";  403 Failure Forbidden denied by admission ; ; " + denied + "; "},
		{"HEAD", policy.LevelRequestResponse, "HEAD", maps + "/n", "", nil, 200, json, "", "configmaps v1 ns n;  200 ; ; ; "},
	}
	for _, test := range tests {
		for _, length := range []string{"announced", "chunked"} {
			t.Run(test.name+", "+length, func(t *testing.T) {
				cfg := config(nil, test.level)
				cfg.Policy = func(*policy.Request) policy.Decision {
					return policy.Decision{Level: test.level, OmitManagedFields: true}
				}
				cfg.Wire = bodies()
				e := one(t, cfg, test.method, test.uri, test.body, func(w http.ResponseWriter, req *http.Request) {
					if length == "chunked" {
						req.ContentLength = -1
					}
					got, err := io.ReadAll(req.Body)
					if err != nil || string(got) != test.body {
						t.Errorf("the handler got %q, %v", got, err)
					}
					contentType, encoding, _ := strings.Cut(test.contentType, "|")
					w.Header().Set("Content-Type", contentType)
					if encoding != "" {
						w.Header().Set("Content-Encoding", encoding)
					}
					w.WriteHeader(test.code)
					for _, b := range []byte(test.answer) { // in the smallest pieces
						w.Write([]byte{b})
					}
				}, test.headers...)
				if got := bodiesOf(e); got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
			})
		}
	}
}

func protobuf() (string, error) {
	info := scheme.Codecs.SupportedMediaTypes()
	for _, i := range info {
		if i.MediaType == "application/vnd.kubernetes.protobuf" {
			var b bytes.Buffer
			err := i.Serializer.Encode(&corev1.ConfigMap{TypeMeta: metav1.TypeMeta{Kind: "ConfigMap", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Name: "n", Namespace: "ns"}}, &b)
			return b.String(), err
		}
	}
	return "", fmt.Errorf("no protobuf")
}

// A watch that is refused has the same Status at both its stages, though the header goes
// out before the body.
func TestWireStartedWaits(t *testing.T) {
	s := &store{}
	cfg := config(s, policy.LevelMetadata, received)
	cfg.Wire = bodies()
	do(t, Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(410)
		w.(http.Flusher).Flush()
		if got := s.taken(); len(got) > 0 {
			t.Errorf("too early: %s", got)
		}
		io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"old"}`)
	}), cfg), "GET", "/api/v1/pods?watch=1", "")
	if got, want := story(scan(t, s.taken())), "ResponseStarted 410 Failure old; ResponseComplete 410 Failure old"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What did not pass as a whole is not recorded: the server cannot have read it. What is
// too large takes the other body along.
func TestWireParts(t *testing.T) {
	const uri = "/api/v1/namespaces/ns/configmaps"
	part := func(w http.ResponseWriter, req *http.Request) {
		io.ReadFull(req.Body, make([]byte, 5))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(201)
		io.WriteString(w, "{}")
	}
	cfg := config(nil, policy.LevelRequestResponse)
	cfg.Wire = bodies()
	if got, want := bodiesOf(one(t, cfg, "POST", uri, `{"metadata":{"name":"n"}}`, part)), "configmaps v1 ns;  201 ; ; {}; "; got != want {
		t.Errorf("a part of a request: got  %s\nwant %s", got, want)
	}
	cfg.MaxBody = 10
	whole := func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		part(w, req)
	}
	if got, want := bodiesOf(one(t, cfg, "POST", uri, `{"metadata":{"name":"n"}}`, whole, "Content-Type", "application/json")), `configmaps v1 ns n;  201 ; ; ; {"audit.k8s.io/truncated":"true"}`; got != want {
		t.Errorf("a large request: got  %s\nwant %s", got, want)
	}
	cfg.MaxBodies, cfg.MaxBody = 10, 100
	s := &store{}
	cfg.Backend = s
	h := Handler(http.HandlerFunc(whole), cfg)
	do(t, h, "POST", uri, `{"metadata":{"name":"n"}}`)
	if got := scan(t, s.taken())[1]; string(got.Text[audit.Annotations]) != `{"audit.k8s.io/truncated":"true"}` || h.(*recorder).held.Load() != 0 {
		t.Errorf("got %s", got.Raw)
	}
}

// TestReverseProxy puts the recorder before httputil.ReverseProxy and a server that
// changes protocols.
func TestReverseProxy(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := rw.ReadString('\n')
		io.WriteString(conn, line)
	}))
	defer upstream.Close()
	target, _ := url.Parse(upstream.URL)
	s := &store{}
	cfg := config(s, policy.LevelRequestResponse)
	cfg.Wire = bodies()
	ended := make(chan bool)
	h := Handler(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}, cfg)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		h.ServeHTTP(w, req)
		close(ended)
	}))
	defer front.Close()
	conn, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/v1/namespaces/ns/pods/p/exec?command=sh HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatal(res, err)
	}
	io.WriteString(conn, "hello\n")
	if line, err := r.ReadString('\n'); line != "hello\n" {
		t.Errorf("echoed %q, %v", line, err)
	}
	conn.Close()
	<-ended
	if got, want := story(scan(t, s.taken())), "RequestReceived; ResponseStarted 101; ResponseComplete 101"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Over HTTP/2 nothing can be hijacked, and all else works.
func TestHTTP2(t *testing.T) {
	s := &store{}
	srv := httptest.NewUnstartedServer(Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if _, ok := w.(http.Hijacker); ok || req.ProtoMajor != 2 {
			t.Error("can be hijacked")
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		w.Write(nil)
	}), config(s, policy.LevelMetadata)))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL + "/api/v1/pods?watch=1")
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if got, want := story(scan(t, s.taken())), "RequestReceived; ResponseStarted 200; ResponseComplete 200"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Goroutines that still read the request and write the answer when the handler has
// returned change nothing any more.
func TestWireLate(t *testing.T) {
	s := &store{}
	cfg := config(s, policy.LevelRequestResponse)
	cfg.Wire = bodies()
	var late sync.WaitGroup
	h := Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for range 2 {
			late.Go(func() {
				io.Copy(io.Discard, req.Body)
				w.Write([]byte("{}"))
			})
		}
	}), cfg)
	for range 200 {
		req := benchRequest()
		req.Header.Set("Content-Type", "application/json")
		req.Body = &shared{r: strings.NewReader(strings.Repeat(" ", 20_000) + "{}")}
		h.ServeHTTP(discard{http.Header{}}, req)
	}
	late.Wait()
	scan(t, s.taken())
	if held := h.(*recorder).held.Load(); held != 0 {
		t.Errorf("%d bytes are held by nobody", held)
	}
}

// A shared body can be read by several goroutines.
type shared struct {
	mu sync.Mutex // owns r
	r  io.Reader
}

func (s *shared) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.Read(p[:min(len(p), 1000)])
}

func (s *shared) Close() error { return nil }
