package record

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kubetrail/audit"
	"kubetrail/policy"
)

// TestStrict fails to store the events of some stages, and sees what the client gets.
func TestStrict(t *testing.T) {
	const (
		short = "/api/v1/namespaces/default/pods/foo"
		long  = "/api/v1/namespaces/default/pods?watch=true"
		yes   = "201 answer"
		cut   = "cut"
	)
	refusal := func(uri string) string {
		return fmt.Sprintf("500 Internal Server Error: %q: failed to store audit event\n", uri)
	}
	answers := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Inside", "x")
		w.Header().Set("Content-Length", "6")
		w.WriteHeader(201)
		io.WriteString(w, "an")
		io.WriteString(w, "swer")
	}
	flushes := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(201)
		io.WriteString(w, "an")
		w.(http.Flusher).Flush()
		io.WriteString(w, "swer")
	}
	large := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(201)
		for range 3 {
			io.WriteString(w, strings.Repeat("x", maxHeld/2))
		}
	}
	hijacks := func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		io.WriteString(conn, "HTTP/1.1 201 Created\r\nContent-Length: 6\r\n\r\nanswer")
		conn.Close()
	}
	nothing := func(http.ResponseWriter, *http.Request) {}
	stages := func(s ...policy.Stage) []policy.Stage { return s }
	tests := []struct {
		name         string
		omit, refuse []policy.Stage
		uri          string
		h            http.HandlerFunc
		want         string
		events       string // that are stored
	}{
		{"all stored", nil, nil, short, answers, yes, "RequestReceived; ResponseComplete 201"},
		{"received", nil, stages(received), short, answers, refusal(short), ""},
		{"complete after received", nil, stages(complete), short, answers, yes, "RequestReceived"},
		{"complete", stages(received), stages(complete), short, answers, refusal(short), ""},
		{"complete stored", stages(received), nil, short, answers, yes, "ResponseComplete 201"},
		{"complete, nothing written", stages(received), stages(complete), short, nothing, refusal(short), ""},
		{"complete stored, nothing written", stages(received), nil, short, nothing, "200 ", "ResponseComplete 200 Success Connection closed early"},
		{"complete, flushed", stages(received), stages(complete), short, flushes, cut, ""},
		{"complete stored, flushed", stages(received), nil, short, flushes, yes, "ResponseComplete 201"},
		{"complete, large", stages(received), stages(complete), short, large, cut, ""},
		{"complete stored, large", stages(received), nil, short, large, "201 " + strings.Repeat("x", 3*(maxHeld/2)), "ResponseComplete 201"},
		{"all omitted", stages(received, complete), stages(complete), short, answers, yes, ""},
		{"started", stages(received), stages(begun), long, answers, refusal(long), "ResponseComplete 500 Failure InternalError failed to store audit event"},
		{"started stored", stages(received), stages(complete), long, answers, yes, "ResponseStarted 201"},
		{"started, nothing written", stages(received), stages(begun), long, nothing, refusal(long), "ResponseComplete 500 Failure InternalError failed to store audit event"},
		{"started, hijacked", stages(received), stages(begun), long, hijacks, refusal(long), "ResponseComplete 500 Failure InternalError failed to store audit event"},
		{"started stored, hijacked", stages(received), nil, long, hijacks, yes, "ResponseStarted 101; ResponseComplete 101"},
		{"complete of a stream", stages(received, begun), stages(complete), long, flushes, cut, ""},
		{"complete of a stream stored", stages(received, begun), nil, long, flushes, yes, "ResponseComplete 201"},
		{"panic", stages(received), stages("Panic"), short, func(w http.ResponseWriter, req *http.Request) { answers(w, req); panic("boom") }, cut, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &store{refuse: func(e *Event) bool {
				for _, r := range test.refuse {
					if string(e.Text[audit.Stage]) == string(r) {
						return true
					}
				}
				return false
			}}
			cfg := config(s, policy.LevelMetadata, test.omit...)
			cfg.Strict, cfg.Metrics = true, NewMetrics(prometheus.NewRegistry())
			res, body := do(t, quiet(Handler(test.h, cfg)), "GET", test.uri, "")
			got := cut
			if res != nil && !strings.Contains(body, "EOF") {
				got = fmt.Sprintf("%d %s", res.StatusCode, body)
				if want := res.StatusCode == 201; test.name != "received" && strings.Contains(test.name, "complete") && res.StatusCode == 500 && (res.Header.Get("Inside") != "") != want {
					t.Errorf("headers of the answer that was refused: %v", res.Header)
				}
				if res.StatusCode == 500 && res.Header.Get("Audit-Id") != "new-id" {
					t.Errorf("no audit ID in %v", res.Header)
				}
			}
			if got != test.want {
				t.Errorf("the client got %.200s, want %.200s", got, test.want)
			}
			if got := story(scan(t, s.taken())); got != test.events {
				t.Errorf("got  %s\nwant %s", got, test.events)
			}
			rejected := strings.HasPrefix(test.want, "500") || test.want == cut && test.name != "panic"
			if got := testutil.ToFloat64(cfg.Metrics.rejected); got != map[bool]float64{true: 1}[rejected] {
				t.Errorf("%v requests are counted as rejected", got)
			}
		})
	}
}

// A refusal to let somebody in waits for its event too.
func TestStrictFailed(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		cfg := config(&store{refuse: func(*Event) bool { return refuse }}, policy.LevelMetadata)
		cfg.Strict = true
		res, _ := do(t, Failed(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }), cfg, nil), "GET", "/", "")
		if want := map[bool]int{false: 401, true: 500}[refuse]; res.StatusCode != want {
			t.Errorf("%d, want %d", res.StatusCode, want)
		}
	}
}

// A watch that is refused is held back until its Status is known, and stored.
func TestStrictWire(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		s := &store{refuse: func(e *Event) bool { return refuse && string(e.Text[audit.Stage]) == string(begun) }}
		cfg := config(s, policy.LevelMetadata, received)
		cfg.Strict, cfg.Wire = true, bodies()
		const gone = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"old"}`
		res, body := do(t, Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(410)
			io.WriteString(w, gone)
		}), cfg), "GET", "/api/v1/pods?watch=1", "")
		want, events := "410 "+gone, "ResponseStarted 410 Failure old; ResponseComplete 410 Failure old"
		if refuse {
			want, events = "500 Internal Server Error: \"/api/v1/pods?watch=1\": failed to store audit event\n", "ResponseComplete 500 Failure InternalError failed to store audit event"
		}
		if got := fmt.Sprint(res.StatusCode, " ", body); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := story(scan(t, s.taken())); got != events {
			t.Errorf("got  %s\nwant %s", got, events)
		}
	}
}
