package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/access"
	"kubetrail/internal/collect/spool"
	"kubetrail/internal/config"
	"kubetrail/internal/corpustest"
	"kubetrail/internal/trail"
)

const emptyList = `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[]}`

// post sends a body as kube-apiserver does to a server that does not run.
func post(s *Server, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", target, strings.NewReader(body))
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// inbox keeps what a server receives in memory.
type inbox struct {
	mu     sync.Mutex
	bodies []string
	err    error
}

func (i *inbox) receive(_ context.Context, from spool.Origin, body []byte) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err == nil {
		i.bodies = append(i.bodies, from.String()+" "+string(body))
	}
	return i.err
}

// newReceiver returns a server that receives into an inbox, as if it ran.
func newReceiver(t testing.TB, cfg Config) (*Server, *inbox) {
	t.Helper()
	in := &inbox{}
	cfg.Receive = in.receive
	s := newServer(t, cfg)
	s.ready.Store(true)
	return s, in
}

func TestWebhookBodies(t *testing.T) {
	s, in := newReceiver(t, Config{})
	long := strings.Repeat(" ", judgedBytes)
	for _, body := range []string{
		emptyList,
		emptyList + "\n",
		" \n" + emptyList,
		`{"apiVersion":"audit.k8s.io/v1beta1","kind":"EventList","items":[]}`,
		`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[{"level":]}`, // set aside later
		`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":`,
		`{"kind":"EventList","metadata":{},"items":[`,
		`{"items":[],"kind":"EventList","apiVersion":"audit.k8s.io/v1"}`,
		`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata"}`,
		`{"level":"Metadata","auditID":"x"`,
		`{"metadata":{"x":"` + long + `"},"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[]}`,
		`{"metadata":{},"x":[{"kind":"Pod"}],"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[]}`,
	} {
		in.bodies = nil
		w := post(s, "/webhook/prod?timeout=30s", body)
		if w.Code != 200 || strings.TrimSpace(w.Body.String()) != "{}" || !slices.Equal(in.bodies, []string{"prod " + body}) {
			t.Errorf("%.100q: %d %s, kept %.200q", body, w.Code, w.Body, in.bodies)
		}
	}
	in.bodies = nil
	if w := post(s, "/webhook/prod/cp-1", emptyList); w.Code != 200 || !slices.Equal(in.bodies, []string{"prod/cp-1 " + emptyList}) {
		t.Errorf("%d %s, kept %q", w.Code, w.Body, in.bodies)
	}
	if w := post(s, "/webhook/prod/CP_1", emptyList); w.Code != 400 || len(in.bodies) != 1 {
		t.Errorf("a bad name of a server: %d %s", w.Code, w.Body)
	}
	in.bodies = nil
	for body, say := range map[string]string{
		"": "no JSON object", "x": "no JSON object", "null": "no JSON object", `[` + emptyList + `]`: "no JSON object", `"x"`: "no JSON object",
		"{}": "without a kind", "{": "not JSON", `{"kind":`: "not JSON", `{"kind" "EventList"}`: "not JSON", `{kind: EventList}`: "not JSON",
		`{"kind":"EventList","apiVersion":"v1","items":[]}`:                             `apiVersion "v1"`,
		`{"kind":"EventList","apiVersion":"events.k8s.io/v1","metadata":{},"items":[]}`: "events.k8s.io",
		`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`:                 `kind "AdmissionReview"`,
		`{"apiVersion":"audit.k8s.io/v1","kind":"Policy","rules":[]}`:                   `kind "Policy"`,
		`{"kind":7,"apiVersion":"audit.k8s.io/v1"}`:                                     "kind",
		`{"kind":"EventList"}`: "without a kind and items",
	} {
		w := post(s, "/webhook/prod", body)
		if w.Code != 400 || !strings.Contains(w.Body.String(), `"reason":"BadBody"`) || !strings.Contains(strings.ReplaceAll(w.Body.String(), `\"`, `"`), say) {
			t.Errorf("%q: %d %s, want %q", body, w.Code, w.Body, say)
		}
	}
	if len(in.bodies) > 0 {
		t.Errorf("kept %q", in.bodies)
	}
}

func TestWebhookRefuses(t *testing.T) {
	s, in := newReceiver(t, Config{BodyBytes: 1000})
	for _, tt := range []struct {
		name, target, body string
		header             []string
		code               int
		reason             string
	}{
		{"cluster in capitals", "/webhook/Prod", emptyList, nil, 400, "BadCluster"},
		{"a path", "/webhook/..%2f..%2fetc", emptyList, nil, 400, "BadCluster"},
		{"a path not escaped", "/webhook/a/b/c", emptyList, nil, 404, "NotFound"},
		{"no cluster", "/webhook/", emptyList, nil, 404, "NotFound"},
		{"another parameter", "/webhook/prod?cluster=x", emptyList, nil, 400, "BadParameter"},
		{"a form", "/webhook/prod", emptyList, []string{"Content-Type", "text/plain"}, 415, "BadMediaType"},
		{"no type", "/webhook/prod", emptyList, []string{"Content-Type", ""}, 415, "BadMediaType"},
		{"gzip", "/webhook/prod", emptyList, []string{"Content-Encoding", "gzip"}, 415, "BadMediaType"},
		{"too large", "/webhook/prod", emptyList + strings.Repeat(" ", 1000), nil, 413, "BodyTooLarge"},
		{"another site", "/webhook/prod", emptyList, []string{"Sec-Fetch-Site", "cross-site"}, 403, "CrossOrigin"},
	} {
		w := post(s, tt.target, tt.body, tt.header...)
		if w.Code != tt.code || !strings.Contains(w.Body.String(), `"reason":"`+tt.reason+`"`) {
			t.Errorf("%s: %d %s, want %d %s", tt.name, w.Code, w.Body, tt.code, tt.reason)
		}
	}
	if len(in.bodies) > 0 {
		t.Errorf("kept %q", in.bodies)
	}
	if w := get(s, "/webhook/prod"); w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	for body, code := range map[string]int{emptyList: 200, emptyList + strings.Repeat(" ", 1000-len(emptyList)): 200, emptyList + strings.Repeat(" ", 1001-len(emptyList)): 413} {
		r := httptest.NewRequest("POST", "/webhook/prod", struct{ io.Reader }{strings.NewReader(body)}) // of unknown length
		r.Host, r.ContentLength = "localhost", -1
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != code {
			t.Errorf("%d bytes of unknown length: %d, want %d", len(body), w.Code, code)
		}
	}
	none := newServer(t, Config{})
	none.ready.Store(true)
	if w := post(none, "/webhook/prod", emptyList); w.Code != 404 {
		t.Errorf("a server that receives nothing: %d", w.Code)
	}
}

// What passes is 503 with Retry-After: client-go then tries again by itself.
func TestWebhookUnavailable(t *testing.T) {
	var log bytes.Buffer
	s, in := newReceiver(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for _, tt := range []struct {
		err    error
		code   int
		reason string
	}{
		{fmt.Errorf("the spool of cluster prod: %w: 7 bytes", spool.ErrFull), 503, "SpoolFull"},
		{errors.New("input/output error"), 503, "SpoolFailed"},
		{spool.ErrClosed, 503, "SpoolFailed"},
		{fmt.Errorf("%w: one more", spool.ErrCluster), 400, "BadCluster"},
	} {
		in.err = tt.err
		w := post(s, "/webhook/prod", emptyList)
		if w.Code != tt.code || !strings.Contains(w.Body.String(), `"reason":"`+tt.reason+`"`) || (w.Header().Get("Retry-After") != "") != (tt.code == 503) {
			t.Errorf("%v: %d %s, Retry-After %q", tt.err, w.Code, w.Body, w.Header().Get("Retry-After"))
		}
		if !strings.Contains(log.String(), tt.err.Error()) || !strings.Contains(log.String(), "cluster=prod") {
			t.Errorf("the log does not tell of %v: %s", tt.err, &log)
		}
	}
	in.err = nil
	s.ready.Store(false)
	if w := post(s, "/webhook/prod", emptyList); w.Code != 503 || w.Header().Get("Retry-After") == "" || len(in.bodies) > 0 {
		t.Errorf("while draining: %d, kept %q", w.Code, in.bodies)
	}
	s.ready.Store(true)
	if w := post(s, "/webhook/prod", emptyList); w.Code != 200 {
		t.Errorf("afterwards: %d", w.Code)
	}
	text := get(s, "/metrics").Body.String()
	for _, want := range []string{
		fmt.Sprintf(`kubetrail_webhook_received_bytes_total{cluster="prod"} %d`, len(emptyList)),
		"kubetrail_webhook_bodies_bytes 0",
		`kubetrail_http_requests_total{code="200",handler="webhook"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
}

// Bodies that are being received take no more memory than they may; who waits too long
// for it is told to come again.
func TestWebhookMemoryIsBounded(t *testing.T) {
	entered, goOn := make(chan struct{}), make(chan struct{})
	s := newServer(t, Config{BodyBytes: 100, BodiesBytes: 250, Receive: func(context.Context, spool.Origin, []byte) error {
		entered <- struct{}{}
		<-goOn
		return nil
	}})
	s.ready.Store(true)
	body := emptyList + strings.Repeat(" ", 100-len(emptyList))
	codes := make(chan int, 3)
	for range 3 {
		go func() { codes <- post(s, "/webhook/prod", body).Code }()
	}
	<-entered
	<-entered
	select {
	case <-entered:
		t.Error("a third body is in memory")
	case code := <-codes:
		if code != 503 {
			t.Errorf("the third post: %d", code)
		}
	}
	if text := get(s, "/metrics").Body.String(); !strings.Contains(text, "kubetrail_webhook_bodies_bytes 200\n") {
		t.Error("the metric does not say 200")
	}
	close(goOn)
	if a, b := <-codes, <-codes; a != 200 || b != 200 {
		t.Errorf("the others: %d, %d", a, b)
	}
	go func() { <-entered }()
	if w := post(s, "/webhook/prod", body); w.Code != 200 {
		t.Errorf("the memory was not given back: %d", w.Code)
	}
}

// A sender that trickles is cut off; others are served meanwhile, and its memory comes
// back.
func TestWebhookSlowSender(t *testing.T) {
	in := &inbox{}
	s := newServer(t, Config{BodyTimeout: 300 * time.Millisecond, BodyBytes: 1000, BodiesBytes: 1500, Receive: in.receive})
	start(t, s)
	slow, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprintf(slow, "POST /webhook/prod HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post(s.URL()+"/webhook/prod", "application/json", strings.NewReader(emptyList))
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("beside a slow one: %v, %v", resp, err)
	}
	resp.Body.Close()
	began := time.Now()
	answer, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if took := time.Since(began); answer.StatusCode != 408 || took > 10*time.Second {
		t.Errorf("the slow one: %d after %v", answer.StatusCode, took)
	}
	if _, err := io.ReadAll(slow); err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the connection is still open: %v", err)
	}
	if !s.hook.bodies.TryAcquire(1500) {
		t.Error("its memory was not given back")
	}
	s.hook.bodies.Release(1500)
}

// Run waits for a post that is being kept, so that the spools can be closed after it.
func TestRunWaitsForPosts(t *testing.T) {
	entered, left := make(chan struct{}), make(chan struct{})
	s := newServer(t, Config{DrainTimeout: 50 * time.Millisecond, Receive: func(context.Context, spool.Origin, []byte) error {
		close(entered)
		time.Sleep(300 * time.Millisecond)
		close(left)
		return nil
	}})
	stop := start(t, s)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if resp, err := client.Post(s.URL()+"/webhook/prod", "application/json", strings.NewReader(emptyList)); err == nil {
			resp.Body.Close()
		}
	}()
	<-entered
	stop()
	select {
	case <-left:
	default:
		t.Error("Run returned while a post was being kept")
	}
	<-answered
}

func TestWebhookAccess(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/token", []byte("0123456789abcdef0123\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, in := newReceiver(t, Config{Access: access.Everybody(dir+"/token", config.TLS{}), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if !strings.Contains(log.String(), "over TLS only") {
		t.Errorf("nothing warns that kube-apiserver sends no token without TLS: %s", &log)
	}
	if w := post(s, "/webhook/prod", emptyList); w.Code != 401 || len(in.bodies) > 0 {
		t.Errorf("without a token: %d", w.Code)
	}
	if w := post(s, "/webhook/prod", emptyList, "Authorization", "Bearer 0123456789abcdef0123"); w.Code != 200 {
		t.Errorf("with it: %d", w.Code)
	}

	ca := newCA(t, dir, "ca")
	cert, key := newCert(t, dir, "server", ca)
	s, in = newReceiver(t, Config{Access: access.Everybody("", config.TLS{Cert: cert, Key: key, ClientCA: dir + "/ca.pem"})})
	start(t, s)
	for _, tt := range []struct {
		certs []tls.Certificate
		code  int
	}{{nil, 401}, {[]tls.Certificate{loadPair(t, dir, "client", ca)}, 200}} {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true,
			TLSClientConfig: &tls.Config{RootCAs: ca.pool(), Certificates: tt.certs}}}
		resp, err := client.Post(s.URL()+"/webhook/prod?timeout=30s", "application/json", strings.NewReader(emptyList))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.code || resp.ProtoMajor != 2 {
			t.Errorf("%d certificates: %s %d", len(tt.certs), resp.Proto, resp.StatusCode)
		}
	}
	if len(in.bodies) != 1 {
		t.Errorf("kept %q", in.bodies)
	}
}

// lines is a trail in memory, for what the spools bring.
type lines struct {
	events []string
	faults []trail.Fault
}

func (l *lines) Append(e *audit.Event)        { l.events = append(l.events, string(e.AppendLine(nil))) }
func (l *lines) SetAside(f trail.Fault)       { l.faults = append(l.faults, f) }
func (l *lines) Advance(trail.Source)         {}
func (l *lines) Full() bool                   { return false }
func (l *lines) Seal() error                  { return nil }
func (l *lines) Commit(context.Context) error { return nil }

// The posts of a real kube-apiserver, sent again with the headers that they had, come
// out of the spools event for event and byte for byte. What it sent again, because the
// first three were refused, is kept as often as it came.
func TestWebhookOfRealPosts(t *testing.T) {
	for _, tt := range []struct {
		corpus string
		again  int // bodies that came before
	}{{"webhook-batch", 0}, {"webhook-retry", 3}} {
		t.Run(tt.corpus, func(t *testing.T) {
			spools, err := spool.Open(spool.Config{Dir: t.TempDir(), SegmentBytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			defer spools.Close()
			s := newServer(t, Config{Receive: spools.Receive})
			start(t, s)
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			heads := map[string][]byte{}
			for _, m := range corpustest.Members(t, tt.corpus, "*.headers") {
				heads[strings.TrimSuffix(path.Base(m.Name), ".headers")] = m.Data
			}
			var want []string
			bodies := map[string]int{}
			again := 0
			for _, m := range corpustest.Members(t, tt.corpus, "*.json") {
				r := asSent(t, heads[strings.TrimSuffix(path.Base(m.Name), ".json")], m.Data)
				r.URL.Scheme, r.URL.Host, r.URL.Path, r.Host = "http", s.listener.Addr().String(), "/webhook/real", "localhost"
				resp, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Fatalf("%s: %s", m.Name, resp.Status)
				}
				if bodies[string(m.Data)]++; bodies[string(m.Data)] > 1 {
					again++
				}
				for _, e := range m.Events(t) {
					want = append(want, string(e))
				}
			}
			into := &lines{}
			for more := true; more; {
				if more, err = spools.Feeds()[0].Pull(t.Context(), into, 100<<10); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(into.events, want) || len(into.faults) > 0 {
				t.Errorf("%d events, want the %d that were sent; faults %+v", len(into.events), len(want), into.faults)
			}
			if again != tt.again {
				t.Errorf("%d bodies came again, want %d", again, tt.again)
			}
		})
	}
}

// asSent makes the request that a head and a body of the corpus were.
func asSent(t *testing.T, head, body []byte) *http.Request {
	t.Helper()
	_, head, _ = bytes.Cut(head, []byte("\n")) // the first line is a comment
	head = append(bytes.TrimSpace(head), "\r\n\r\n"...)
	r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(head), bytes.NewReader(body))))
	if err != nil {
		t.Fatal(err)
	}
	if r.ContentLength != int64(len(body)) || r.URL.Query().Get("timeout") != "30s" {
		t.Fatalf("length %d, URL %s", r.ContentLength, r.URL)
	}
	r.RequestURI = ""
	return r
}

// Many senders at once lose and double nothing.
func TestWebhookConcurrentPosts(t *testing.T) {
	spools, err := spool.Open(spool.Config{Dir: t.TempDir(), SegmentBytes: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	defer spools.Close()
	s := newServer(t, Config{Receive: spools.Receive})
	start(t, s)
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	const senders, posts = 32, 20
	var all sync.WaitGroup
	for sender := range senders {
		all.Go(func() {
			for n := range posts {
				body := fmt.Sprintf(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[{"level":"Metadata","auditID":"%d-%d","stage":"RequestReceived","requestURI":"/","verb":"get","user":{},"requestReceivedTimestamp":null,"stageTimestamp":null}]}`+"\n", sender, n)
				resp, err := client.Post(fmt.Sprintf("%s/webhook/c%d", s.URL(), sender%3), "application/json", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Error(resp.Status)
				}
			}
		})
	}
	all.Wait()
	into := &lines{}
	for _, f := range spools.Feeds() {
		for more := true; more; {
			if more, err = f.Pull(t.Context(), into, 5000); err != nil {
				t.Fatal(err)
			}
		}
	}
	seen := map[string]int{}
	for _, e := range into.events {
		_, id, _ := strings.Cut(e, `"auditID":"`)
		id, _, _ = strings.Cut(id, `"`)
		seen[id]++
	}
	if len(into.events) != senders*posts || len(seen) != senders*posts || len(into.faults) > 0 {
		t.Errorf("%d events, %d of them different, want %d; faults %v", len(into.events), len(seen), senders*posts, into.faults)
	}
}

// BenchmarkWebhook posts over HTTP into spools, from that many senders at a time:
// single events, as with --audit-webhook-mode=blocking, and batches of 400.
func BenchmarkWebhook(b *testing.B) {
	const event = `{"level":"Metadata","auditID":"0","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/default/pods","verb":"get","user":{"username":"system:serviceaccount:kube-system:x"},"requestReceivedTimestamp":"2026-11-20T15:00:01.000000Z","stageTimestamp":"2026-11-20T15:00:01.000000Z"}`
	for _, bb := range []struct{ senders, events int }{{1, 1}, {16, 1}, {128, 1}, {1, 400}} {
		b.Run(fmt.Sprintf("senders=%d/events=%d", bb.senders, bb.events), func(b *testing.B) {
			spools, err := spool.Open(spool.Config{Dir: b.TempDir(), MaxBytes: 1 << 40})
			if err != nil {
				b.Fatal(err)
			}
			defer spools.Close()
			s := newServer(b, Config{Receive: spools.Receive})
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			transport := &http.Transport{MaxIdleConnsPerHost: bb.senders}
			client := &http.Client{Transport: transport}
			body := `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + strings.TrimSuffix(strings.Repeat(event+",", bb.events), ",") + "]}\n"
			b.SetBytes(int64(len(body)))
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			for range bb.senders {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						resp, err := client.Post(s.URL()+"/webhook/prod", "application/json", strings.NewReader(body))
						if err != nil || resp.StatusCode != 200 {
							b.Error(resp, err)
							return
						}
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				})
			}
			all.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N*bb.events)/b.Elapsed().Seconds(), "events/s")
			cancel()
			<-done
			transport.CloseIdleConnections()
		})
	}
}

// TestSetBodyBytes changes the bound of a post while the server runs, both ways.
func TestSetBodyBytes(t *testing.T) {
	s, in := newReceiver(t, Config{BodyBytes: int64(len(emptyList)), BodiesBytes: 1000})
	larger := strings.TrimSuffix(emptyList, "}") + strings.Repeat(" ", 100) + "}"
	for _, c := range []struct{ set, holds, small, large int }{{0, 0, 200, 413}, {500, 500, 200, 200}, {5000, 1000, 200, 200}, {len(emptyList) - 1, len(emptyList) - 1, 413, 413}} {
		if c.set > 0 {
			if got := s.SetBodyBytes(int64(c.set)); got != int64(c.holds) {
				t.Errorf("%d bytes: %d hold", c.set, got)
			}
		}
		if w := post(s, "/webhook/prod", emptyList); w.Code != c.small {
			t.Errorf("%d bytes: the small one got %d", c.set, w.Code)
		}
		if w := post(s, "/webhook/prod", larger); w.Code != c.large {
			t.Errorf("%d bytes: the large one got %d", c.set, w.Code)
		}
	}
	if len(in.bodies) != 5 {
		t.Errorf("%d were kept", len(in.bodies))
	}
}
