package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kubetrail/audit"
	"kubetrail/internal/access"
	"kubetrail/internal/config"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/file"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sample is 200 lines of a kube-apiserver's audit log. Their numbers in the trail
// are 0 to 199.
func sample(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/audit.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func trailOf(log []byte) trail.Reader {
	return file.Open(file.Config{Cluster: "prod", Inputs: []file.Input{{
		Name: "audit.log", Size: int64(len(log)),
		Each: func(visit func(string, io.Reader) error, _ func(*audit.Damage)) error {
			return visit("audit.log", bytes.NewReader(log))
		},
	}}})
}

// now is after all events of the sample, on the same day.
var now = time.Date(2026, 11, 20, 20, 0, 0, 0, time.UTC)

// newServer returns a server that listens on a free port, but does not run.
func newServer(t testing.TB, cfg Config) *Server {
	t.Helper()
	if cfg.Trail == nil {
		cfg.Trail = trailOf(sample(t))
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	cfg.Now = func() time.Time { return now }
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.listener.Close() })
	return s
}

// start runs s and returns how to end it; Run must then return nil.
func start(t *testing.T, s *Server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// get asks a server that does not run.
func get(s *Server, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", target, nil)
	r.Host = "localhost"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// getJSON asks for a JSON document and decodes it.
func getJSON[T any](t testing.TB, s *Server, target string, status int) T {
	t.Helper()
	w := get(s, target, "Accept", "application/json")
	if w.Code != status {
		t.Fatalf("%s: status %d, want %d: %s", target, w.Code, status, w.Body)
	}
	var v T
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	return v
}

// hooked is a trail whose search does something before it begins and may end early.
type hooked struct {
	trail.Reader
	search func(ctx context.Context) error
	after  int // events, then search is called again
}

func (h *hooked) Search(ctx context.Context, q trail.Query, page trail.Page, yield func(*audit.Event) error) error {
	if h.after == 0 {
		if err := h.search(ctx); err != nil {
			return err
		}
	}
	n := 0
	return h.Reader.Search(ctx, q, page, func(e *audit.Event) error {
		if n++; h.after > 0 && n > h.after {
			return h.search(ctx)
		}
		return yield(e)
	})
}

func TestNewRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := dir + "/" + name
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token := write("token", strings.Repeat("a", 32)+"\n")
	short, two, empty := write("short", "secret\n"), write("two", strings.Repeat("a ", 20)), write("empty", "")
	cert, key := newCert(t, dir, "server", nil)
	tests := []struct {
		name string
		cfg  Config
		want string
	}{
		{"every address", Config{Listen: "0.0.0.0:0"}, "can be reached from other machines"},
		{"no host", Config{Listen: ":0"}, "can be reached from other machines"},
		{"every IPv6 address", Config{Listen: "[::]:0"}, "can be reached from other machines"},
		{"a name", Config{Listen: "localhost.example.com:0"}, "can be reached from other machines"},
		{"no port", Config{Listen: "localhost"}, "missing port"},
		{"a client CA whose certificates are good for nothing", Config{Access: access.Rules{TLS: config.TLS{Cert: cert, Key: key, ClientCA: cert}}}, "go together"},
		{"TLS alone does not tell who asks", Config{Listen: "0.0.0.0:0", Access: access.Everybody("", config.TLS{Cert: cert, Key: key})}, "can be reached"},
		{"no key", Config{Access: access.Everybody("", config.TLS{Cert: cert})}, "go together"},
		{"no certificate", Config{Access: access.Everybody("", config.TLS{ClientCA: cert})}, "need TLS"},
		{"no token file", Config{Access: access.Everybody(dir+"/none", config.TLS{})}, "no such file"},
		{"empty token", Config{Access: access.Everybody(empty, config.TLS{})}, "0 characters"},
		{"short token", Config{Access: access.Everybody(short, config.TLS{})}, "6 characters"},
		{"two tokens", Config{Access: access.Everybody(two, config.TLS{})}, "more than one word"},
		{"a token for a key", Config{Access: access.Everybody("", config.TLS{Cert: cert, Key: token})}, "TLS certificate"},
		{"a token for a CA", Config{Access: access.Everybody("", config.TLS{Cert: cert, Key: key, ClientCA: token})}, "no PEM certificate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Trail = trailOf(nil)
			s, err := New(tt.cfg)
			if err == nil {
				s.listener.Close()
				t.Fatal("it starts")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not say %q", err, tt.want)
			}
		})
	}
	_, err := New(Config{Trail: trailOf(nil), Listen: "0.0.0.0:0"})
	var hinted interface{ Hint() string }
	if !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), "token file") {
		t.Errorf("%v has no hint that names the token file", err)
	}
}

func TestListenOnLoopback(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "localhost:0", "LOCALHOST:0", "[::1]:0", "127.1.2.3:0", "[::ffff:127.0.0.1]:0"} {
		s, err := New(Config{Trail: trailOf(nil), Listen: listen})
		if err != nil {
			if strings.Contains(err.Error(), "cannot assign") || strings.Contains(err.Error(), "not supported") {
				continue // a machine without IPv6
			}
			t.Errorf("%s: %v", listen, err)
			continue
		}
		s.listener.Close()
	}
}

func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = New(Config{Trail: trailOf(nil), Listen: l.Addr().String()})
	var hinted interface{ Hint() string }
	if !errors.As(err, &hinted) {
		t.Errorf("%v, want an error with a hint", err)
	}
}

func TestRunAnswersAndEnds(t *testing.T) {
	s := newServer(t, Config{})
	if got := get(s, "/readyz"); got.Code != http.StatusServiceUnavailable {
		t.Errorf("ready before Run: %d", got.Code)
	}
	stop := start(t, s)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(s.URL() + "/api/v1/events?limit=3")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || bytes.Count(body, []byte("\n")) != 3 {
		t.Errorf("%d lines, %v; want 3", bytes.Count(body, []byte("\n")), err)
	}
	if cursor := resp.Trailer.Get(cursorTrailer); cursor == "" {
		t.Error("no cursor in the trailer")
	}
	stop()
	if _, err := net.Dial("tcp", s.listener.Addr().String()); err == nil {
		t.Error("the port is still open after Run")
	}
}

// A question that is being answered when the server is told to stop gets its whole
// answer, while /readyz says no.
func TestDrainFinishesOpenRequests(t *testing.T) {
	entered, goOn := make(chan struct{}), make(chan struct{})
	s := newServer(t, Config{DrainDelay: time.Second, DrainTimeout: time.Minute,
		Trail: &hooked{Reader: trailOf(sample(t)), search: func(context.Context) error {
			close(entered)
			<-goOn
			return nil
		}}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	lines := make(chan int, 1)
	go func() {
		resp, err := client.Get(s.URL() + "/api/v1/events")
		if err != nil {
			t.Error(err)
			lines <- -1
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		lines <- bytes.Count(body, []byte("\n"))
	}()
	<-entered
	cancel()
	for s.ready.Load() {
		time.Sleep(time.Millisecond)
	}
	resp, err := client.Get(s.URL() + "/readyz")
	if err != nil {
		t.Fatalf("not reachable during the delay: %v", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/readyz while draining: %d, want 503", resp.StatusCode)
	}
	select {
	case err := <-ended:
		t.Fatalf("Run returned %v with a request open", err)
	case <-time.After(1200 * time.Millisecond):
	}
	close(goOn)
	if n := <-lines; n != defaultLimit {
		t.Errorf("%d lines, want %d", n, defaultLimit)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A question that does not end in time is cancelled, and Run waits for that.
func TestDrainCutsOff(t *testing.T) {
	entered, left := make(chan struct{}), make(chan struct{})
	s := newServer(t, Config{DrainTimeout: 50 * time.Millisecond,
		Trail: &hooked{Reader: trailOf(nil), search: func(ctx context.Context) error {
			close(entered)
			<-ctx.Done()
			time.Sleep(50 * time.Millisecond)
			close(left)
			return ctx.Err()
		}}})
	stop := start(t, s)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if resp, err := client.Get(s.URL() + "/api/v1/events"); err == nil {
			resp.Body.Close()
		}
	}()
	<-entered
	stop()
	select {
	case <-left:
	default:
		t.Error("Run returned while a question was still reading the trail")
	}
	<-answered
}

func TestTooManyQuestions(t *testing.T) {
	entered, goOn := make(chan struct{}), make(chan struct{})
	s := newServer(t, Config{Queries: 1, Trail: &hooked{Reader: trailOf(nil), search: func(context.Context) error {
		entered <- struct{}{}
		<-goOn
		return nil
	}}})
	first := make(chan int, 1)
	go func() { first <- get(s, "/api/v1/events").Code }()
	<-entered
	w := get(s, "/api/v1/events", "Accept", "application/json")
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("second question: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	for _, path := range []string{"/livez", "/metrics", "/api/v1/fields"} {
		if w := get(s, path); w.Code != http.StatusOK {
			t.Errorf("%s beside a question: %d", path, w.Code)
		}
	}
	close(goOn)
	if code := <-first; code != http.StatusOK {
		t.Errorf("first question: %d", code)
	}
	go func() { <-entered }()
	if w := get(s, "/api/v1/events"); w.Code != http.StatusOK {
		t.Errorf("the slot was not given back: %d", w.Code)
	}
}

func TestQuestionsHaveADeadline(t *testing.T) {
	s := newServer(t, Config{QueryTimeout: 10 * time.Millisecond, Trail: &hooked{Reader: trailOf(nil), search: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}})
	e := getJSON[apiError](t, s, "/api/v1/events", http.StatusServiceUnavailable)
	if e.Reason != "Timeout" || e.Hint == "" {
		t.Errorf("%+v, want a Timeout with a hint", e)
	}
}

func TestClientThatLeavesEndsItsQuestion(t *testing.T) {
	entered, left := make(chan struct{}), make(chan struct{})
	s := newServer(t, Config{Trail: &hooked{Reader: trailOf(nil), search: func(ctx context.Context) error {
		close(entered)
		<-ctx.Done()
		close(left)
		return ctx.Err()
	}}})
	start(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL()+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { <-entered; cancel() }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if _, err := client.Do(r); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want canceled", err)
	}
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("the question goes on without its client")
	}
}

// An error in the middle of a stream must not look like its end.
func TestErrorInTheMiddleBreaksOff(t *testing.T) {
	many := bytes.Repeat(sample(t), 3)
	for _, accept := range []string{"application/x-ndjson", "application/json"} {
		s := newServer(t, Config{Trail: &hooked{Reader: trailOf(many), after: 500, search: func(context.Context) error {
			return errors.New("the disk is gone")
		}}})
		start(t, s)
		r, err := http.NewRequest("GET", s.URL()+"/api/v1/events?limit=1000", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", accept)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if len(body) == 0 || err == nil {
			t.Errorf("%s: %d bytes and %v, want a broken connection", accept, len(body), err)
		}
	}
}

// An error before anything was sent is a proper answer, however the list was asked for.
func TestErrorAtTheBeginningIsAnAnswer(t *testing.T) {
	s := newServer(t, Config{Trail: &hooked{Reader: trailOf(sample(t)), after: 3, search: func(context.Context) error {
		return errors.New("the disk is gone")
	}}})
	w := get(s, "/api/v1/events")
	if w.Code != http.StatusInternalServerError || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Trailer") != "" {
		t.Errorf("status %d, header %v", w.Code, w.Header())
	}
	if !strings.Contains(w.Body.String(), "the disk is gone") || strings.Contains(w.Body.String(), `"seq"`) {
		t.Errorf("body %s", w.Body)
	}
}

func TestAnswerTooLarge(t *testing.T) {
	s := newServer(t, Config{Trail: &hooked{Reader: trailOf(nil), search: func(context.Context) error {
		return fmt.Errorf("%w: more than 7 groups", trail.ErrTooMany)
	}}})
	if e := getJSON[apiError](t, s, "/api/v1/events", http.StatusBadRequest); e.Reason != "TooMany" || e.Hint == "" || !strings.Contains(e.Message, "7 groups") {
		t.Errorf("%+v", e)
	}
}

func TestLogsFailuresOnly(t *testing.T) {
	var log bytes.Buffer
	broken := &hooked{Reader: trailOf(nil), search: func(context.Context) error { return errors.New("the disk is gone") }}
	s := newServer(t, Config{Trail: broken, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	get(s, "/api/v1/events?limit=0")
	get(s, "/nowhere")
	if log.Len() > 0 {
		t.Errorf("errors of clients are in the log: %s", &log)
	}
	get(s, "/api/v1/events")
	if !strings.Contains(log.String(), "the disk is gone") {
		t.Errorf("log %q", &log)
	}
}

func TestMethodsAndPaths(t *testing.T) {
	s := newServer(t, Config{})
	for _, tt := range []struct {
		method, target string
		status         int
	}{
		{"HEAD", "/api/v1/events", 200},
		{"HEAD", "/livez", 200},
		{"POST", "/api/v1/events", 405},
		{"DELETE", "/api/v1/events/1", 405},
		{"OPTIONS", "/api/v1/events", 405},
		{"GET", "/api/v1/nothing", 404},
		{"GET", "/api/v2/events", 404},
		{"GET", "/events/", 404},
		{"GET", "//livez", 307},
		{"GET", "/api/v1/events/../../../etc/passwd", 404},
	} {
		r := httptest.NewRequest(tt.method, tt.target, nil)
		r.Host = "127.0.0.1:1"
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != tt.status {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.target, w.Code, tt.status)
		}
		if tt.status == 405 && !strings.Contains(w.Header().Get("Allow"), "GET") {
			t.Errorf("%s %s: Allow %q", tt.method, tt.target, w.Header().Get("Allow"))
		}
		if tt.status/100 == 4 && w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: Content-Type %q", tt.method, tt.target, w.Header().Get("Content-Type"))
		}
	}
	r := httptest.NewRequest("GET", "/livez", bytes.NewReader(make([]byte, maxBodyBytes+1)))
	r.Host = "localhost"
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %d, want 413", w.Code)
	}
}

func TestHealth(t *testing.T) {
	sick := errors.New("no space left")
	var err error
	s := newServer(t, Config{Checks: []Check{{"spool", func(context.Context) error { return err }}}})
	s.ready.Store(true)
	for _, tt := range []struct {
		target string
		err    error
		status int
		want   string
	}{
		{"/livez", sick, 200, "ok"},
		{"/livez?verbose", nil, 200, "[+]ping ok\nlivez check passed\n"},
		{"/healthz", sick, 200, "ok"},
		{"/readyz", nil, 200, "ok"},
		{"/readyz?verbose=1", nil, 200, "[+]shutdown ok\n[+]trail ok\n[+]spool ok\nreadyz check passed\n"},
		{"/readyz", sick, 503, "[+]shutdown ok\n[+]trail ok\n[-]spool failed: no space left\nreadyz check failed\n"},
	} {
		err = tt.err
		if w := get(s, tt.target); w.Code != tt.status || w.Body.String() != tt.want {
			t.Errorf("%s: %d %q, want %d %q", tt.target, w.Code, w.Body, tt.status, tt.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	s := newServer(t, Config{Version: "1.2.3"})
	get(s, "/api/v1/events?query=user:alice")
	get(s, "/api/v1/events?limit=x")
	get(s, "/wp-admin")
	text := get(s, "/metrics").Body.String()
	for _, want := range []string{
		`kubetrail_build_info{goversion="go`, `version="1.2.3"} 1`,
		`kubetrail_http_requests_total{code="200",handler="events"} 1`,
		`kubetrail_http_requests_total{code="400",handler="events"} 1`,
		`kubetrail_http_requests_total{code="404",handler="none"} 1`,
		`kubetrail_http_request_duration_seconds_count{handler="events"} 2`,
		"kubetrail_trail_events 200", "kubetrail_trail_parts 1", "kubetrail_trail_stored_bytes ",
		"kubetrail_trail_sources 1", "kubetrail_trail_faults 0",
		"go_goroutines ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
	for _, secret := range []string{"alice", "wp-admin", "kubernetes-admin"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the metrics", secret)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	s := newServer(t, Config{})
	for _, target := range []string{"/", "/events/1", "/events/999", "/api/v1/events", "/api/v1/events/1?raw=true", "/nowhere", "/metrics", "/style.css"} {
		h := get(s, target).Header()
		if !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'self'") || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") == "" {
			t.Errorf("%s: headers %v", target, h)
		}
		if h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: open to other sites", target)
		}
	}
}

func TestHostMustBeThisMachine(t *testing.T) {
	s := newServer(t, Config{})
	for host, status := range map[string]int{
		"localhost": 200, "localhost:8417": 200, "LOCALHOST": 200, "127.0.0.1:80": 200, "[::1]:80": 200, "[::1]": 200, "127.8.8.8": 200,
		"": 403, "evil.example": 403, "127.0.0.1.evil.example:8417": 403, "localhost.evil.example": 403, "10.0.0.1": 403, "0.0.0.0:80": 403,
	} {
		r := httptest.NewRequest("GET", "/livez", nil)
		r.Host = host
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != status {
			t.Errorf("Host %q: %d, want %d", host, w.Code, status)
		}
	}
}

func TestOtherSitesMayNotPost(t *testing.T) {
	s := newServer(t, Config{})
	r := httptest.NewRequest("POST", "/api/v1/events", nil)
	r.Host = "localhost"
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("a post from another site: %d, want 403", w.Code)
	}
}

func TestBearerToken(t *testing.T) {
	path := t.TempDir() + "/token"
	replace := func(token string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	const first, second = "first-0123456789abcdef", "second-0123456789abcdef"
	replace(first + "\n")
	s := newServer(t, Config{Access: access.Everybody(path, config.TLS{}), Listen: "0.0.0.0:0"})
	s.ready.Store(true)
	ask := func(authorization string) int {
		return get(s, "/api/v1/summary", "Authorization", authorization).Code
	}
	basic := func(token string) string {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth("anyone", token)
		return r.Header.Get("Authorization")
	}
	for authorization, status := range map[string]int{
		"": 401, "Bearer": 401, "Bearer ": 401, "Bearer " + first + "x": 401, "Bearer " + first[1:]: 401, first: 401, "Token " + first: 401,
		"Bearer " + second: 401, basic(second): 401, basic(""): 401,
		"Bearer " + first: 200, "bearer " + first: 200, basic(first): 200,
	} {
		if got := ask(authorization); got != status {
			t.Errorf("Authorization %q: %d, want %d", authorization, got, status)
		}
	}
	for _, target := range []string{"/", "/events/1", "/metrics", "/api/v1/openapi.yaml", "/style.css", "/nowhere"} {
		if w := get(s, target); w.Code != http.StatusUnauthorized || len(w.Header().Values("WWW-Authenticate")) != 2 {
			t.Errorf("%s without a token: %d, %v", target, w.Code, w.Header())
		}
	}
	for _, target := range []string{"/livez", "/readyz", "/healthz"} {
		if w := get(s, target); w.Code != http.StatusOK {
			t.Errorf("%s without a token: %d", target, w.Code)
		}
	}
	replace(second)
	if old, fresh := ask("Bearer "+first), ask("Bearer "+second); old != 401 || fresh != 200 {
		t.Errorf("after the change: old token %d, new one %d", old, fresh)
	}
	replace("")
	if fresh, none := ask("Bearer "+second), ask("Bearer "); fresh != 200 || none != 401 {
		t.Errorf("after a bad change: token in force %d, empty one %d", fresh, none)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca := newCA(t, dir, "ca")
	stranger := newCA(t, dir, "stranger")
	cert, key := newCert(t, dir, "server", ca)
	s := newServer(t, Config{Access: access.Everybody("", config.TLS{Cert: cert, Key: key, ClientCA: dir + "/ca.pem"})})
	start(t, s)
	ask := func(path string, certs ...tls.Certificate) (int, string) {
		t.Helper()
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true,
			TLSClientConfig: &tls.Config{RootCAs: ca.pool(), Certificates: certs}}}
		resp, err := client.Get(s.URL() + path)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, resp.TLS.PeerCertificates[0].Subject.CommonName + " " + resp.Proto + " " + resp.Trailer.Get(cursorTrailer)
	}
	client := loadPair(t, dir, "client", ca)
	code, how := ask("/api/v1/events?limit=1", client)
	if code != 200 || !strings.HasPrefix(how, "server HTTP/2.0 ") || strings.HasSuffix(how, " ") {
		t.Errorf("with a certificate: %d %q, want 200 over HTTP/2 with a cursor", code, how)
	}
	if code, _ := ask("/api/v1/summary"); code != 401 {
		t.Errorf("without a certificate: %d", code)
	}
	if code, _ := ask("/livez"); code != 200 {
		t.Errorf("/livez without a certificate: %d", code)
	}
	if code, how := ask("/api/v1/summary", loadPair(t, dir, "mallory", stranger)); code == 200 {
		t.Errorf("with a certificate of another CA: %d %s", code, how)
	}

	newCert(t, dir, "renewed", ca)
	swap(t, dir, "renewed", "server")
	if code, how := ask("/api/v1/summary", client); code != 200 || !strings.HasPrefix(how, "renewed ") {
		t.Errorf("after the certificate was renewed: %d %q", code, how)
	}
	if err := os.Rename(dir+"/stranger.pem", dir+"/ca.pem"); err != nil {
		t.Fatal(err)
	}
	if code, _ := ask("/api/v1/summary", client); code == 200 {
		t.Error("the old client CA is still trusted after it was replaced")
	}
}

// Every text of the page exists in both languages, and the template uses no other.
func TestWords(t *testing.T) {
	en, zh := words("en"), words("zh")
	page, err := files.ReadFile("page.html")
	if err != nil {
		t.Fatal(err)
	}
	source := string(page) + `.W.title .W.event .W.holds .W.holdsOne `
	for _, k := range slices.Sorted(maps.Keys(en)) {
		if zh[k] == "" || zh[k] == en[k] {
			t.Errorf("%q has no Chinese", k)
		}
		if !strings.Contains(source, ".W."+k) {
			t.Errorf("%q is not used", k)
		}
	}
	if len(zh) != len(en) {
		t.Errorf("%d texts in Chinese, %d in English", len(zh), len(en))
	}
}
