package backend_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/client-go/rest"

	"kubetrail/audit"
	"kubetrail/record"
	"kubetrail/record/backend"
)

// event returns an event with an audit ID, of about a kilobyte.
func event(id string) *record.Event {
	e := &record.Event{Event: audit.Event{Received: 1_700_000_000_000_000, Staged: 1_700_000_000_000_500, Code: 200}}
	for column, text := range map[audit.Column]string{
		audit.Level: "Metadata", audit.AuditID: id, audit.Stage: "ResponseComplete",
		audit.RequestURI: "/api/v1/namespaces/shop/pods/" + strings.Repeat("x", 600), audit.Verb: "get",
		audit.Username: "system:node:worker-1", audit.UserGroups: `["system:nodes","system:authenticated"]`,
		audit.SourceIPs: `["10.0.0.7"]`, audit.UserAgent: "kubelet/v1.36.3 (linux/amd64) kubernetes/0000000",
		audit.Resource: "pods", audit.Namespace: "shop", audit.Name: "x", audit.APIVersion: "v1",
		audit.Decision: "allow",
	} {
		e.Text[column] = []byte(text)
	}
	return e
}

// numbered returns an event whose audit ID says which of a source it is.
func numbered(source, n int) *record.Event { return event(fmt.Sprintf("%d-%d", source, n)) }

// crowd begins to give b so many events of each of many sources at once. What it returns
// waits until b has them.
func crowd(b record.Backend, sources, each int) (wait func()) {
	var all sync.WaitGroup
	for source := range sources {
		all.Go(func() {
			for i := range each {
				b.ProcessEvents(numbered(source, i))
			}
		})
	}
	return all.Wait
}

// A received event is what a receiver needs of it.
type received struct {
	AuditID     string            `json:"auditID"`
	Verb        string            `json:"verb"`
	Annotations map[string]string `json:"annotations"`
}

// A receiver is an HTTP server that keeps what it accepts.
type receiver struct {
	*httptest.Server

	// answer decides about a request, nil accepts: it returns a status, or 0 after it
	// has answered or cut the connection by itself. What it accepts is kept before.
	answer func(w http.ResponseWriter, items []received) int

	mu       sync.Mutex
	items    []received
	requests int
	bad      []string // what is wrong with requests
}

func newReceiver(t testing.TB) *receiver {
	r := new(receiver)
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender has given up
	}
	var list struct {
		Kind, APIVersion string
		Metadata         *struct{}
		Items            []received
	}
	err = json.Unmarshal(body, &list)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	if err != nil || list.Kind != "EventList" || list.APIVersion != "audit.k8s.io/v1" || list.Metadata == nil || len(list.Items) == 0 {
		r.bad = append(r.bad, fmt.Sprintf("%v: %.200s", err, body))
	}
	status := http.StatusOK
	if r.answer != nil {
		status = r.answer(w, list.Items)
	}
	if status/100 == 2 {
		r.items = append(r.items, list.Items...)
	}
	if status != 0 {
		w.WriteHeader(status)
	}
}

// set changes how it answers.
func (r *receiver) set(answer func(w http.ResponseWriter, items []received) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// all returns what was accepted, and complains about requests that make no sense.
func (r *receiver) all(t testing.TB) []received {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, bad := range r.bad {
		t.Errorf("a bad request: %s", bad)
	}
	return append([]received(nil), r.items...)
}

// lost is what loss events have told, by cause.
func lost(items []received) map[string]int {
	all := map[string]int{}
	for _, e := range items {
		if e.Verb == backend.LostVerb {
			n, _ := strconv.Atoi(e.Annotations[backend.LostAnnotation])
			all[e.Annotations[backend.LostCauseAnnotation]] += n
		}
	}
	return all
}

// inOrder checks that of every source the events that are new come in order, and
// returns how many different ones there are and how many came again.
func inOrder(t testing.TB, items []received) (different, again int) {
	t.Helper()
	seen := map[string]bool{}
	next := map[int]int{}
	for _, e := range items {
		if e.Verb == backend.LostVerb {
			continue
		}
		if seen[e.AuditID] {
			again++
			continue
		}
		seen[e.AuditID] = true
		var source, n int
		if _, err := fmt.Sscanf(e.AuditID, "%d-%d", &source, &n); err != nil {
			t.Fatalf("%q: %v", e.AuditID, err)
		}
		if n < next[source] {
			t.Fatalf("event %d of source %d comes after %d", n, source, next[source]-1)
		}
		next[source] = n + 1
	}
	return len(seen), again
}

// distinct returns how many different events there are.
func distinct(items []received) int {
	seen := map[string]bool{}
	for _, e := range items {
		if e.Verb != backend.LostVerb {
			seen[e.AuditID] = true
		}
	}
	return len(seen)
}

// newWebhook returns a webhook that sends to a receiver, and does not wait long.
func newWebhook(t testing.TB, url string, change func(*backend.WebhookConfig)) record.Backend {
	t.Helper()
	c := backend.WebhookConfig{Client: &rest.Config{Host: url}, InitialBackoff: time.Millisecond}
	if change != nil {
		change(&c)
	}
	w, err := backend.Webhook(c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// noLeaks checks at the end of a test, after what was registered later, that no
// goroutine is left.
func noLeaks(t testing.TB) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		goleak.VerifyNone(t, before)
	})
}

// start runs a backend and returns what stops it and waits for its end.
func start(t testing.TB, b record.Backend) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
}

// eventually waits until a condition holds that something else is working on.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for range 3000 {
		if holds() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("half a minute, and still not: %s", what)
}

func logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}
