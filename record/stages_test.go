package record

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kubetrail/audit"
	"kubetrail/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// story tells events as "stage code status message", one after the other.
func story(events []*audit.Event) string {
	var all []string
	for _, e := range events {
		s := string(e.Text[audit.Stage])
		if e.Code != 0 {
			s += fmt.Sprint(" ", e.Code)
		}
		for _, c := range []audit.Column{audit.Status, audit.StatusReason, audit.Message} {
			if len(e.Text[c]) > 0 {
				s += " " + string(e.Text[c])
			}
		}
		all = append(all, s)
	}
	return strings.Join(all, "; ")
}

const (
	received = policy.StageRequestReceived
	begun    = policy.StageResponseStarted
	complete = policy.StageResponseComplete
)

// TestStages has handlers of every kind answer short and long requests.
func TestStages(t *testing.T) {
	const (
		short = "/api/v1/namespaces/default/pods/foo"
		long  = "/api/v1/namespaces/default/pods?watch=true"
		early = " 200 Success Connection closed early"
		boom  = "Panic 500 Failure InternalError APIServer panic'd: boom"
	)
	nothing := func(http.ResponseWriter, *http.Request) {}
	writes := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "foo") }
	forbids := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403); io.WriteString(w, "foo") }
	panics := func(http.ResponseWriter, *http.Request) { panic("boom") }
	tests := []struct {
		name, method, uri string
		omit              []policy.Stage
		h                 http.HandlerFunc
		want              string
	}{
		{"nothing", "GET", short, nil, nothing, "RequestReceived; ResponseComplete" + early},
		{"write", "PUT", short, nil, writes, "RequestReceived; ResponseComplete 200"},
		{"forbid", "PUT", short, nil, forbids, "RequestReceived; ResponseComplete 403"},
		{"panic", "GET", short, nil, panics, "RequestReceived; " + boom},
		{"forbid and panic", "GET", short, nil, func(w http.ResponseWriter, r *http.Request) { forbids(w, r); panic("boom") }, "RequestReceived; " + boom},
		{"abort", "GET", short, nil, func(w http.ResponseWriter, r *http.Request) { writes(w, r); panic(http.ErrAbortHandler) },
			"RequestReceived; Panic 500 Failure InternalError APIServer panic'd: net/http: abort Handler"},
		{"long nothing", "GET", long, nil, nothing, "RequestReceived; ResponseStarted" + early + "; ResponseComplete" + early},
		{"long write", "GET", long, nil, writes, "RequestReceived; ResponseStarted 200; ResponseComplete 200"},
		{"long forbid", "GET", long, nil, forbids, "RequestReceived; ResponseStarted 403; ResponseComplete 403"},
		{"long panic", "GET", long, nil, panics, "RequestReceived; " + boom},
		{"long write and panic", "GET", long, nil, func(w http.ResponseWriter, r *http.Request) { writes(w, r); panic("boom") }, "RequestReceived; ResponseStarted 200; " + boom},
		{"omit received", "GET", long, []policy.Stage{received}, writes, "ResponseStarted 200; ResponseComplete 200"},
		{"omit started", "GET", long, []policy.Stage{begun}, writes, "RequestReceived; ResponseComplete 200"},
		{"omit complete", "GET", long, []policy.Stage{complete}, writes, "RequestReceived; ResponseStarted 200"},
		{"panic alone", "GET", long, []policy.Stage{received, begun, complete}, func(w http.ResponseWriter, r *http.Request) { writes(w, r); panic("boom") }, boom},
		{"informational", "GET", long, []policy.Stage{received}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(404) }, "ResponseStarted 404; ResponseComplete 404"},
		{"flush", "GET", short, []policy.Stage{received}, func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() }, "ResponseComplete" + early},
		{"flush and write", "GET", long, []policy.Stage{received}, func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); writes(w, r) }, "ResponseStarted 200; ResponseComplete 200"},
		{"hijack", "POST", short + "/exec?command=sh", []policy.Stage{received}, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			conn.Close()
		}, "ResponseStarted 101; ResponseComplete 101"},
		{"not resolved", "GET", "/api/v1/watch", nil, writes, ""},
		{"health", "GET", "/healthz", nil, writes, "RequestReceived; ResponseComplete 200"},
		{"profile", "GET", "/debug/pprof/heap", nil, writes, "RequestReceived; ResponseStarted 200; ResponseComplete 200"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &store{}
			do(t, quiet(Handler(test.h, config(s, policy.LevelMetadata, test.omit...))), test.method, test.uri, "")
			events := scan(t, s.taken())
			if got := story(events); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			for _, e := range events {
				if got := string(e.Text[audit.AuditID]); got != "new-id" {
					t.Errorf("audit ID %q", got)
				}
			}
		})
	}
}

// quiet keeps net/http from logging panics that a test is about: they end the connection
// all the same.
func quiet(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				panic(http.ErrAbortHandler)
			}
		}()
		h.ServeHTTP(w, req)
	})
}

func TestUnresolved(t *testing.T) {
	res, body := do(t, Handler(http.NotFoundHandler(), config(&store{}, policy.LevelMetadata)), "GET", "/api/v1/watch?a=<b>", "")
	want := "Internal Server Error: &#34;/api/v1/watch?a=&lt;b&gt;&#34;: failed to create RequestInfo: unable to determine kind and namespace from url, /api/v1/watch?a=&lt;b&gt;\n"
	want = strings.ReplaceAll(want, "&#34;", `"`)
	if res.StatusCode != 500 || body != want || res.Header.Get("Audit-Id") != "new-id" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestFailed(t *testing.T) {
	tests := []struct {
		name    string
		headers []string
		h       http.HandlerFunc
		message func(*http.Request) string
		want    string
	}{
		{"nothing tried", nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, nil, "ResponseStarted 401 Authentication failed, no credentials provided"},
		{"bearer", []string{"Authorization", "bearer x"}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, nil, "ResponseStarted 401 Authentication failed, attempted: bearer"},
		{"several", []string{"Authorization", "Basic YTpi"}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, nil, "ResponseStarted 401 Authentication failed, attempted: basic, access_token"},
		{"own words", nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) }, func(*http.Request) string { return "bad timeout" }, "ResponseStarted 400 bad timeout"},
		{"status", nil, func(w http.ResponseWriter, req *http.Request) {
			LogResponseJSON(req.Context(), []byte(`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}`))
			w.WriteHeader(401)
		}, nil, "ResponseStarted 401 Failure Unauthorized Unauthorized"},
		{"no answer", nil, func(http.ResponseWriter, *http.Request) {}, nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &store{}
			uri := "/api/v1/pods"
			if test.name == "several" {
				uri += "?access_token=x"
			}
			do(t, Failed(test.h, config(s, policy.LevelMetadata), test.message), "GET", uri, "", test.headers...)
			events := scan(t, s.taken())
			if got := story(events); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			for _, e := range events {
				if len(e.Text[audit.Username]) > 0 || string(e.Text[audit.Resource]) != "pods" {
					t.Errorf("wrong user or objectRef in %s", e.AppendColumns(nil))
				}
			}
		})
	}
}

// A client's audit ID is taken and echoed as it is, unless somebody inside or before has
// set one for the answer.
func TestAuditIDs(t *testing.T) {
	for _, id := range []string{"", "a", strings.Repeat("x", 5000), `"<&\`} {
		s := &store{}
		h := Handler(http.NotFoundHandler(), config(s, policy.LevelMetadata, received))
		res, _ := do(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if id == "a" {
				w.Header().Set("Audit-Id", "before")
			}
			h.ServeHTTP(w, req)
		}), "GET", "/", "", "Audit-Id", id)
		want := map[string]string{"": "new-id"}[id] + id
		echoed := want
		if id == "a" {
			echoed = "before"
		}
		if got := string(scan(t, s.taken())[0].Text[audit.AuditID]); got != want {
			t.Errorf("recorded %q, want %q", got, want)
		}
		if got := res.Header["Audit-Id"]; len(got) != 1 || got[0] != echoed {
			t.Errorf("echoed %q, want %q", got, echoed)
		}
	}
	if AuditID(context.Background()) != "" {
		t.Error("an audit ID of no request")
	}
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := newID()
		if seen[id] || len(id) != 36 || id[14] != '4' || !strings.ContainsRune("89ab", rune(id[19])) || strings.Count(id, "-") != 4 {
			t.Fatalf("%q", id)
		}
		seen[id] = true
	}
}

// Nothing is recorded at level None, and everything works.
func TestNone(t *testing.T) {
	s := &store{}
	h := Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		Annotate(req.Context(), "a", "b")
		LogRequestJSON(req.Context(), []byte("{}"))
		LogResponseJSON(req.Context(), []byte("{}"))
		LogRequestPatch(req.Context(), nil, "")
		LogImpersonatedUser(req.Context(), &User{}, "")
		io.WriteString(w, AuditID(req.Context()))
		if _, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
			t.Error("the writer is wrapped")
		}
	}), config(s, policy.LevelNone))
	if _, body := do(t, h, "GET", "/", ""); body != "new-id" || len(s.taken()) > 0 {
		t.Errorf("answer %q, events %q", body, s.taken())
	}
}

// What the writer underneath can do the writer of a handler can do, and nothing else.
func TestWriter(t *testing.T) {
	for _, test := range []struct {
		name             string
		w                http.ResponseWriter
		flushes, hijacks bool
	}{
		{"bare", &struct{ http.ResponseWriter }{discard{http.Header{}}}, false, false},
		{"flusher", &discard{http.Header{}}, true, false},
	} {
		h := Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if _, ok := w.(http.Flusher); ok != test.flushes {
				t.Errorf("%s: Flusher %v", test.name, ok)
			}
			//lint:ignore SA1019 filters of k8s.io/apiserver look for it
			if _, ok := w.(http.CloseNotifier); ok != test.flushes {
				t.Errorf("%s: CloseNotifier %v", test.name, ok)
			}
			if _, ok := w.(http.Hijacker); ok != test.hijacks {
				t.Errorf("%s: Hijacker %v", test.name, ok)
			}
			if got := w.(interface{ Unwrap() http.ResponseWriter }).Unwrap(); got != test.w {
				t.Errorf("%s: unwraps to %v", test.name, got)
			}
		}), config(&store{}, policy.LevelMetadata))
		h.ServeHTTP(test.w, benchRequest())
	}
}

// What stands between Init and Handler annotates every event, and the time and the ID are
// those of Init.
func TestInit(t *testing.T) {
	for _, failed := range []bool{false, true} {
		s := &store{}
		cfg := config(s, policy.LevelMetadata)
		cfg.Annotations = map[string]string{"cluster": "c"}
		outer := cfg
		outer.Now = func() time.Time { return time.Unix(1795305599, 0) }
		outer.NewID = func() string { return "outer" }
		h := Handler(Handler(http.NotFoundHandler(), cfg), cfg)
		want := "RequestReceived; ResponseComplete 404"
		if failed {
			h, want = Failed(http.NotFoundHandler(), cfg, nil), "ResponseStarted 404 Authentication failed, no credentials provided"
		}
		res, _ := do(t, Init(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			Annotate(req.Context(), "authentication.k8s.io/stale-token", "x")
			Annotate(req.Context(), "cluster", "mine")
			LogRequestJSON(req.Context(), []byte("{}")) // too early
			if AuditID(req.Context()) != "outer" {
				t.Error("no audit ID inside Init")
			}
			h.ServeHTTP(w, req)
			Annotate(req.Context(), "late", "x")
		}), outer), "GET", "/api/v1/pods", "")
		if got := res.Header["Audit-Id"]; len(got) != 1 || got[0] != "outer" {
			t.Errorf("answered with %q", got)
		}
		events := scan(t, s.taken())
		if got := story(events); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		for _, e := range events {
			if got := string(e.Text[audit.Annotations]); got != `{"authentication.k8s.io/stale-token":"x","cluster":"c"}` || e.Received != 1795305599000000 {
				t.Errorf("got %s", e.Raw)
			}
		}
	}
}
