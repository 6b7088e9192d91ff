package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"kubetrail/record"
)

// newReviewer returns a reviewer of ten answers whose upstream is a function.
func newReviewer(ask func(context.Context, way, http.Header) (*record.User, error)) *reviewer {
	cfg := Defaults().Reviews
	cfg.Size = 10
	return &reviewer{cfg: cfg, ask: ask, metrics: newMetrics(nil), now: time.Now, renewal: make(chan question, 4),
		known: recent{size: cfg.Size}, denied: recent{size: cfg.Size}, asked: map[key]chan struct{}{}}
}

// TestReviewsAreRemembered follows a token through its time.
func TestReviewsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, name, fault := 0, "alice", error(nil)
		v := newReviewer(func(context.Context, way, http.Header) (*record.User, error) {
			asked++
			if fault != nil {
				return nil, fault
			}
			return &record.User{Username: name}, nil
		})
		look := func(want string, wantAsked int) {
			t.Helper()
			id := v.whose(t.Context(), []string{"Bearer x"})
			got := "refused"
			switch {
			case id.user != nil:
				got = id.user.Username
			case id.unknown != "":
				got = "unknown: " + id.unknown
			}
			if got != want || asked != wantAsked {
				t.Fatalf("%s, asked %d times; want %s, %d", got, asked, want, wantAsked)
			}
		}
		look("alice", 1)
		name = "bob"
		time.Sleep(v.cfg.TTL - time.Second)
		look("alice", 1)
		time.Sleep(time.Second)
		look("bob", 2)
		fault = errors.New("overloaded")
		time.Sleep(v.cfg.TTL)
		look("unknown: overloaded", 3)
		look("unknown: overloaded", 3)
		time.Sleep(v.cfg.Denied)
		fault = errRefused
		look("refused", 4)
		fault = nil
		look("refused", 4)
		time.Sleep(v.cfg.Denied)
		look("bob", 5)
		v.forget(v.whose(t.Context(), []string{"Bearer x"}).key)
		look("bob", 6)
		if id := v.whose(t.Context(), []string{"Bearer y"}); id.user == nil || asked != 7 {
			t.Fatalf("another token: %+v, asked %d times", id, asked)
		}
	})
}

// TestReviewsAreRenewed checks that no request waits for the answer about a token in use.
func TestReviewsAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		v := newReviewer(func(ctx context.Context, _ way, _ http.Header) (*record.User, error) {
			if asked.Add(1) > 1 {
				time.Sleep(5 * time.Second)
			}
			return &record.User{Username: fmt.Sprint("v", asked.Load())}, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan bool)
		go func() { v.run(ctx); close(done) }()
		for range 20 {
			begin := time.Now()
			v.whose(ctx, []string{"Bearer x"})
			if waited := time.Since(begin); waited != 0 {
				t.Fatalf("a request waited %s", waited)
			}
			time.Sleep(v.cfg.TTL / 4)
		}
		synctest.Wait()
		if n := asked.Load(); n < 5 || n > 8 {
			t.Errorf("asked %d times in five lives of an answer", n)
		}
		cancel()
		<-done
	})
}

// TestRenewalsFail checks that an upstream that cannot answer is not asked again by every
// request with a token that is still known.
func TestRenewalsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		v := newReviewer(func(context.Context, way, http.Header) (*record.User, error) {
			if asked.Add(1) > 1 {
				return nil, errors.New("overloaded")
			}
			return &record.User{Username: "alice"}, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { v.run(ctx) })
		for begin := time.Now(); time.Since(begin) < v.cfg.TTL; time.Sleep(10 * time.Millisecond) {
			if id := v.whose(ctx, []string{"Bearer x"}); id.user == nil {
				t.Fatalf("%+v", id)
			}
			synctest.Wait()
		}
		if n := asked.Load() - 1; n < 2 || n > int32(v.cfg.TTL/2/v.cfg.Denied) {
			t.Errorf("asked again %d times", n)
		}
		cancel()
		all.Wait()
	})
}

// TestReviewsFlyOnce checks that many requests with one token ask once, and that those who
// wait have the answer though the one who asks has gone.
func TestReviewsFlyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		v := newReviewer(func(ctx context.Context, _ way, _ http.Header) (*record.User, error) {
			asked.Add(1)
			select {
			case <-time.After(time.Second):
				return &record.User{Username: "alice"}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		first, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { v.whose(first, []string{"Bearer x"}) })
		synctest.Wait()
		for range 100 {
			all.Go(func() {
				if id := v.whose(t.Context(), []string{"Bearer x"}); id.user == nil {
					t.Errorf("%+v", id)
				}
			})
		}
		impatient, give := context.WithTimeout(t.Context(), time.Millisecond)
		defer give()
		all.Go(func() {
			if id := v.whose(impatient, []string{"Bearer x"}); id.unknown == "" || id.refused {
				t.Errorf("%+v", id)
			}
		})
		leave()
		all.Wait()
		if asked.Load() != 1 {
			t.Errorf("asked %d times", asked.Load())
		}
	})
}

// TestReviewsAreBounded checks that made-up tokens neither fill the memory nor drive out
// the good ones.
func TestReviewsAreBounded(t *testing.T) {
	v := newReviewer(func(_ context.Context, _ way, h http.Header) (*record.User, error) {
		if h.Get("Authorization") == "Bearer good" {
			return &record.User{Username: "alice"}, nil
		}
		return nil, errRefused
	})
	v.whose(t.Context(), []string{"Bearer good"})
	for i := range 1000 {
		v.whose(t.Context(), []string{fmt.Sprint("Bearer ", i)})
	}
	if n := len(v.denied.at); n != v.cfg.Size || v.denied.order.Len() != n {
		t.Errorf("%d refusals are remembered", n)
	}
	before := testutil.ToFloat64(v.metrics.reviews.WithLabelValues("miss"))
	v.whose(t.Context(), []string{"Bearer good"})
	if testutil.ToFloat64(v.metrics.reviews.WithLabelValues("miss")) != before {
		t.Error("the good token was forgotten")
	}
}

// TestKeys checks that no two users have one key, whatever their groups are called.
func TestKeys(t *testing.T) {
	all := map[key]bool{}
	v := newReviewer(func(context.Context, way, http.Header) (*record.User, error) { return nil, errRefused })
	defaults := Defaults()
	v.headers = (&roads{clients: &defaults.Clients, forward: &defaults.Forward}).headers
	users := []*record.User{
		{Username: "bob", UID: "5", Groups: []string{"dev"}},
		{Username: "bob", Groups: []string{"dev", "X-Remote-Uid", "5"}},
		{Username: "bob", Groups: []string{"dev"}, Extra: map[string][]string{"a": {"b"}}},
		{Username: "bob", Groups: []string{"dev"}, Extra: map[string][]string{"a": {"b", "c"}}},
	}
	for _, u := range users {
		id := identity{user: u, way: forUser}
		v.confirm(t.Context(), &id)
		all[id.key] = true
	}
	if len(all) != len(users) {
		t.Errorf("%d keys of %d users", len(all), len(users))
	}
}

// TestReviewTimeout checks that an upstream that does not say who it is holds a request up
// for no longer than was configured.
func TestReviewTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newReviewer(func(ctx context.Context, _ way, _ http.Header) (*record.User, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		begin := time.Now()
		if id := v.whose(t.Context(), []string{"Bearer x"}); id.unknown == "" {
			t.Errorf("%+v", id)
		}
		if waited := time.Since(begin); waited != v.cfg.Timeout {
			t.Errorf("waited %s", waited)
		}
	})
}
