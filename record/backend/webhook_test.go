package backend_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kubetrail/record"
	"kubetrail/record/backend"
)

// losses returns losses, and what sums up those of a cause.
func losses(t testing.TB) (*backend.Losses, func() map[string]int) {
	l := backend.NewLosses(backend.LossesConfig{Backend: "webhook", Logger: logger(t)})
	return l, func() map[string]int {
		all := map[string]int{}
		for _, one := range l.Take() {
			all[one.Cause] += one.Count
		}
		return all
	}
}

func events(source, n int) []*record.Event {
	all := make([]*record.Event, n)
	for i := range all {
		all[i] = numbered(source, i)
	}
	return all
}

// An attempt that fails in whatever way is made again, until the fifth has failed.
func TestWebhookRetries(t *testing.T) {
	fail := map[string]func(w http.ResponseWriter) int{
		"500":                  func(http.ResponseWriter) int { return 500 },
		"503 with Retry-After": func(w http.ResponseWriter) int { w.Header().Set("Retry-After", "0"); return 503 },
		"404":                  func(http.ResponseWriter) int { return 404 },
		"401":                  func(http.ResponseWriter) int { return 401 },
		"302 to itself":        func(w http.ResponseWriter) int { w.Header().Set("Location", "/"); return 302 },
		"reset": func(w http.ResponseWriter) int {
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Close()
			return 0
		},
		"another server": func(w http.ResponseWriter) int { w.Header().Set("Location", "http://127.0.0.2:1/"); return 307 },
		"no end": func(w http.ResponseWriter) int {
			w.Header().Set("Content-Length", "5000000")
			w.WriteHeader(500)
			w.Write([]byte("\x1b[31mnot what was promised"))
			return 0
		},
	}
	for name, failure := range fail {
		for _, times := range []int{1, 4, 5} {
			t.Run(fmt.Sprintf("%s %d times", name, times), func(t *testing.T) {
				noLeaks(t)
				r := newReceiver(t)
				r.answer = func(w http.ResponseWriter, _ []received) int {
					if r.requests <= times {
						return failure(w)
					}
					return 200
				}
				l, lost := losses(t)
				w := newWebhook(t, r.URL, func(c *backend.WebhookConfig) { c.Losses = l })
				ok := w.ProcessEvents(events(0, 3)...)
				got, told := len(r.all(t)), lost()
				if times < 5 && (!ok || got != 3 || len(told) != 0 || r.requests != times+1) {
					t.Errorf("%v, %d events after %d requests, lost %v", ok, got, r.requests, told)
				}
				if times == 5 && (ok || got != 0 || told[backend.CauseUnsent] != 3 || r.requests != 5) {
					t.Errorf("%v, %d events after %d requests, lost %v", ok, got, r.requests, told)
				}
			})
		}
	}
}

// One that hangs is given up after the timeout.
func TestWebhookHangs(t *testing.T) {
	noLeaks(t)
	r := newReceiver(t)
	var first atomic.Bool
	end := make(chan struct{})
	hang := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if first.CompareAndSwap(false, true) {
			<-end
			return
		}
		r.ServeHTTP(w, req)
	}))
	defer hang.Close()
	defer close(end)
	w := newWebhook(t, hang.URL, func(c *backend.WebhookConfig) { c.Client.Timeout = 3 * time.Second })
	if !w.ProcessEvents(events(0, 2000)...) || len(r.all(t)) != 2000 {
		t.Errorf("%d events arrived", len(r.all(t)))
	}
}

func TestWebhookWaitsAsAsked(t *testing.T) {
	noLeaks(t)
	r := newReceiver(t)
	var first, second time.Time
	r.answer = func(w http.ResponseWriter, _ []received) int {
		if r.requests == 1 {
			first = time.Now()
			w.Header().Set("Retry-After", "1")
			return http.StatusTooManyRequests
		}
		second = time.Now()
		return http.StatusNoContent
	}
	w := newWebhook(t, r.URL, func(c *backend.WebhookConfig) { c.Attempts = 1 })
	if !w.ProcessEvents(event("0-0")) {
		t.Error("given up after one attempt, though the receiver asked for another")
	}
	if d := second.Sub(first); d < time.Second {
		t.Errorf("asked to wait for a second, it waited %v", d)
	}
}

// An event that the receiver refuses is lost alone. Upstream loses the batch.
func TestWebhookRefused(t *testing.T) {
	noLeaks(t)
	r := newReceiver(t)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(2, 60).Draw(rt, "events")
		bad := rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 0, min(4, n-1), rapid.ID).Draw(rt, "bad")
		limit := rapid.IntRange(1, n).Draw(rt, "limit")
		code := rapid.SampledFrom([]int{400, 422}).Draw(rt, "code")
		r.mu.Lock()
		r.items, r.requests = nil, 0
		r.mu.Unlock()
		r.set(func(_ http.ResponseWriter, items []received) int {
			for _, e := range items {
				if slices.ContainsFunc(bad, func(n int) bool { return e.AuditID == fmt.Sprint("0-", n) }) {
					return code
				}
			}
			if len(items) > limit {
				return http.StatusRequestEntityTooLarge
			}
			return 200
		})
		l := backend.NewLosses(backend.LossesConfig{})
		w := newWebhook(t, r.URL, func(c *backend.WebhookConfig) { c.Losses, c.InitialBackoff = l, time.Microsecond })
		ok := w.ProcessEvents(events(0, n)...)
		all := r.all(t)
		different, again := inOrder(t, all)
		missing := lost(all)[backend.CauseRefused]
		for _, one := range l.Take() {
			missing += one.Count
		}
		if ok != (len(bad) == 0) || different != n-len(bad) || again != 0 || missing != len(bad) {
			rt.Errorf("%v; %d of %d arrived, %d again, %d of %d counted as lost", ok, different, n, again, missing, len(bad))
		}
	})
}

// A receiver that accepts nothing at all costs a bounded number of requests.
func TestWebhookAllRefused(t *testing.T) {
	noLeaks(t)
	r := newReceiver(t)
	r.set(func(http.ResponseWriter, []received) int { return 400 })
	l, lost := losses(t)
	w := newWebhook(t, r.URL, func(c *backend.WebhookConfig) { c.Losses = l })
	if w.ProcessEvents(events(0, 400)...) {
		t.Error("reported as stored")
	}
	if told := lost(); told[backend.CauseRefused] != 400 || r.requests > 60 {
		t.Errorf("%v lost after %d requests", told, r.requests)
	}
}

// A redirect is followed only where the events arrive, at the same server.
func TestWebhookRedirects(t *testing.T) {
	noLeaks(t)
	r := newReceiver(t)
	elsewhere := newReceiver(t)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/moved":
			http.Redirect(w, req, "/to", http.StatusPermanentRedirect)
		case "/to":
			r.ServeHTTP(w, req)
		case "/away":
			http.Redirect(w, req, elsewhere.URL, http.StatusTemporaryRedirect)
		case "/get":
			http.Redirect(w, req, "/to", http.StatusSeeOther)
		}
	}))
	defer front.Close()
	for path, want := range map[string]bool{"/moved": true, "/away": false, "/get": false} {
		if got := newWebhook(t, front.URL+path, nil).ProcessEvents(events(0, 2)...); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	if n := len(r.all(t)); n != 2 || len(elsewhere.all(t)) != 0 {
		t.Errorf("%d arrived, %d elsewhere", n, len(elsewhere.all(t)))
	}
}

// A receiver that has stored events and then breaks down gets them again, and none is
// lost.
func TestWebhookAnswerLost(t *testing.T) {
	noLeaks(t)
	r := newReceiver(t)
	r.answer = func(w http.ResponseWriter, items []received) int {
		if r.requests%2 == 1 {
			r.items = append(r.items, items...)
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Close()
			return 0
		}
		return 200
	}
	w := newWebhook(t, r.URL, nil)
	for i := range 20 {
		if !w.ProcessEvents(numbered(0, i)) {
			t.Fatal("lost")
		}
	}
	if different, again := inOrder(t, r.all(t)); different != 20 || again == 0 {
		t.Errorf("%d different, %d again", different, again)
	}
}

// What is lost is told before the next events, or within a second where none come, or
// at the end.
func TestWebhookTellsLosses(t *testing.T) {
	noLeaks(t)
	r := newReceiver(t)
	l, _ := losses(t)
	w := newWebhook(t, r.URL, func(c *backend.WebhookConfig) { c.Losses = l })
	l.Add("buffered", backend.CauseBufferFull, 16004)
	w.ProcessEvents(event("0-0"))
	if all := r.all(t); len(all) != 2 || lost(all[:1])[backend.CauseBufferFull] != 16004 {
		t.Fatalf("got %v", all)
	}
	stop := start(t, w)
	r.set(func(http.ResponseWriter, []received) int { return 500 })
	l.Add("truncate", backend.CauseTooLarge, 1)
	eventually(t, "an attempt to tell", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.requests > 1 })
	r.set(nil)
	l.Add("truncate", backend.CauseTooLarge, 2)
	eventually(t, "told", func() bool { return lost(r.all(t))[backend.CauseTooLarge] == 3 })
	l.Add("buffered", backend.CauseShutDown, 7)
	stop()
	if told := lost(r.all(t)); told[backend.CauseShutDown] != 7 {
		t.Errorf("told %v", told)
	}
}

// Requests at a time are bounded, however many ask.
func TestWebhookMaxPosts(t *testing.T) {
	noLeaks(t)
	var now, most atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		n := now.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		time.Sleep(5 * time.Millisecond)
		now.Add(-1)
	}))
	defer server.Close()
	w := newWebhook(t, server.URL, func(c *backend.WebhookConfig) { c.MaxPosts = 3 })
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() { w.ProcessEvents(numbered(i, 0)) })
	}
	all.Wait()
	if most.Load() != 3 {
		t.Errorf("%d at a time", most.Load())
	}
}

func TestWebhookConfig(t *testing.T) {
	if _, err := backend.Webhook(backend.WebhookConfig{Kubeconfig: t.TempDir() + "/none"}); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("no kubeconfig: %v", err)
	}
}
