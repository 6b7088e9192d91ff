package record

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"kubetrail/audit"
	"kubetrail/policy"
)

// store keeps the lines of events, and refuses those for which refuse says so.
type store struct {
	mu     sync.Mutex // owns lines
	lines  []string
	refuse func(e *Event) bool
}

func (s *store) ProcessEvents(events ...*Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		if s.refuse != nil && s.refuse(e) {
			return false
		}
		s.lines = append(s.lines, strings.TrimSuffix(string(e.Line()), "\n"))
	}
	return true
}

func (s *store) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (s *store) String() string                { return "store" }

// taken returns the lines stored so far.
func (s *store) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.lines...)
}

// level is a policy of one rule.
func level(l policy.Level, omit ...policy.Stage) func(*policy.Request) policy.Decision {
	return func(*policy.Request) policy.Decision { return policy.Decision{Level: l, OmitStages: omit} }
}

// config is a Config whose times and IDs are always the same.
func config(s *store, l policy.Level, omit ...policy.Stage) Config {
	return Config{
		Policy: level(l, omit...), Backend: s,
		User: func(*http.Request) *User {
			return &User{Username: "jane", Groups: []string{"dev", "system:authenticated"}}
		},
		Now:   func() time.Time { return time.UnixMicro(1795305600123456) },
		NewID: func() string { return "new-id" },
	}
}

// do sends one request through h on a real server, waits until h is done with it, and
// returns the answer and its body. The server itself waits for no handler that has taken
// its connection.
func do(t *testing.T, h http.Handler, method, uri, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	var at sync.WaitGroup
	defer at.Wait()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		at.Add(1)
		defer at.Done()
		h.ServeHTTP(w, req)
	}))
	defer srv.Close()
	req, err := http.NewRequest(method, srv.URL+uri, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := srv.Client().Do(req)
	if err != nil {
		return nil, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return res, err.Error()
	}
	return res, string(text)
}

// scan reads lines as events, which must be exact.
func scan(t *testing.T, lines []string) []*audit.Event {
	t.Helper()
	var all []*audit.Event
	for _, l := range lines {
		e := &audit.Event{}
		if err := e.Scan([]byte(l)); err != nil {
			t.Fatalf("%v in %s", err, l)
		}
		if !e.Exact() {
			t.Errorf("not exact: %s", l)
		}
		all = append(all, e)
	}
	return all
}

func TestWholeEvent(t *testing.T) {
	s := &store{}
	h := Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if AuditID(req.Context()) != "mine" {
			t.Error("the handler does not know the audit ID")
		}
		Annotate(req.Context(), "authorization.k8s.io/decision", "allow")
		Annotate(req.Context(), "authorization.k8s.io/reason", "because")
		Annotate(req.Context(), "authorization.k8s.io/reason", "no")
		Annotate(req.Context(), "a", "<")
		w.WriteHeader(http.StatusTeapot)
	}), config(s, policy.LevelMetadata, policy.StageRequestReceived))
	res, _ := do(t, h, "GET", "/api/v1/namespaces/shop/pods/p?x=%3C", "",
		"User-Agent", strings.Repeat("a", 1025), "Audit-Id", "mine", "X-Forwarded-For", "010.1.1.1, junk, ::1, 1.2.3.4:80", "X-Real-Ip", "::1")
	if got := res.Header["Audit-Id"]; len(got) != 1 || got[0] != "mine" {
		t.Errorf("audit ID %q in the answer", got)
	}
	want := `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"mine","stage":"ResponseComplete",` +
		`"requestURI":"/api/v1/namespaces/shop/pods/p?x=%3C","verb":"get","user":{"username":"jane","groups":["dev","system:authenticated"]},` +
		`"sourceIPs":["10.1.1.1","::1","127.0.0.1"],"userAgent":"` + strings.Repeat("a", 1024) + `...TRUNCATED",` +
		`"objectRef":{"resource":"pods","namespace":"shop","name":"p","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":418},` +
		`"requestReceivedTimestamp":"2026-11-22T00:00:00.123456Z","stageTimestamp":"2026-11-22T00:00:00.123456Z",` +
		`"annotations":{"a":"\u003c","authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"because"}}`
	if got := s.taken(); len(got) != 1 || got[0] != want {
		t.Errorf("got %s\nwant %s", strings.Join(got, "\n"), want)
	}
	scan(t, s.taken())
}
