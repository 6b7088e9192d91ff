package record_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load is many requests at a time: 60 % GET, 10 % LIST of 50, 20 % CREATE of 1 kB, of
// which as many are deleted again, and 10 % PATCH.
type load struct {
	client  *http.Client
	url     string
	prefix  string // of names
	workers int

	made atomic.Int64 // objects
	gone atomic.Int64

	mu     sync.Mutex
	ids    []string // Audit-ID of each answer
	took   []time.Duration
	failed []string
}

// newLoad makes what is read.
func newLoad(t *testing.T, s *sender, prefix string) *load {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second, Transport: s.one["admin"].Transport}
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	l := &load{client: client, url: s.url.String() + "/api/v1/namespaces/default/configmaps", prefix: prefix, workers: 8}
	for range 100 {
		if _, err := l.do(t.Context(), "POST", l.url, l.object()); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (l *load) object() string {
	return fmt.Sprintf(`{"metadata":{"name":"%s-%d"},"data":{"k":%q}}`, l.prefix, l.made.Add(1), strings.Repeat("0123456789abcdef", 60))
}

// do sends a request and keeps what became of it.
func (l *load) do(ctx context.Context, method, url, body string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	if body != "" {
		r.Header.Set("Content-Type", map[string]string{"POST": jsonMedia, "PATCH": mergeMedia}[method])
	}
	begun := time.Now()
	answer, err := l.client.Do(r)
	if err == nil {
		_, err = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, time.Since(begun))
	l.ids = append(l.ids, answer.Header.Get("Audit-Id"))
	if answer.StatusCode >= 400 && answer.StatusCode != 404 && answer.StatusCode != 429 {
		l.failed = append(l.failed, fmt.Sprintf("%s %s: %s", method, url, answer.Status))
	}
	return answer.StatusCode, nil
}

// run sends requests until ctx is done. What then is on its way is waited for.
func (l *load) run(ctx context.Context) {
	var all sync.WaitGroup
	for w := range l.workers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for ctx.Err() == nil {
				name := func() string { // one of the youngest
					made := l.made.Load()
					return fmt.Sprintf("%s/%s-%d", l.url, l.prefix, made-random.Int64N(min(made, 90)))
				}
				var err error
				switch n := random.IntN(100); {
				case n < 60:
					_, err = l.do(context.WithoutCancel(ctx), "GET", name(), "")
				case n < 70:
					_, err = l.do(context.WithoutCancel(ctx), "GET", l.url+"?limit=50", "")
				case n < 90 && l.made.Load()-l.gone.Load() > 2000:
					_, err = l.do(context.WithoutCancel(ctx), "DELETE", fmt.Sprintf("%s/%s-%d", l.url, l.prefix, l.gone.Add(1)), "")
				case n < 90:
					_, err = l.do(context.WithoutCancel(ctx), "POST", l.url, l.object())
				default:
					_, err = l.do(context.WithoutCancel(ctx), "PATCH", name(), fmt.Sprintf(`{"data":{"n":"%d"}}`, random.Int()))
				}
				if err != nil {
					l.mu.Lock()
					l.failed = append(l.failed, err.Error())
					l.mu.Unlock()
					time.Sleep(20 * time.Millisecond) // nobody is there
				}
			}
		})
	}
	all.Wait()
}

// share is the time that so many of a hundred answers took at most.
func (l *load) share(percent int) time.Duration {
	slices.Sort(l.took)
	if len(l.took) == 0 {
		return 0
	}
	return l.took[min(len(l.took)-1, len(l.took)*percent/100)]
}

// stamps calls f with the audit ID and the stage of each event in lines or in lists of
// events. It looks for both where they stand first: user data come later.
func stamps(text []byte, f func(id, stage string)) {
	for {
		_, rest, found := bytes.Cut(text, []byte(`"auditID":"`))
		if !found {
			return
		}
		id, rest, _ := bytes.Cut(rest, []byte(`","stage":"`))
		stage, rest, _ := bytes.Cut(rest, []byte(`"`))
		f(string(id), string(stage))
		text = rest
	}
}
