package proxy

import (
	"bytes"
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubetrail/record"
)

// A key names credentials without holding them.
type key [sha256.Size]byte

func keyOf(kind string, parts ...string) key {
	h := sha256.New()
	io.WriteString(h, kind)
	for _, p := range parts {
		fmt.Fprintf(h, "\n%d\n", len(p))
		io.WriteString(h, p)
	}
	return key(h.Sum(nil))
}

// An answer is what the upstream said about credentials.
type answer struct {
	user    *record.User // nil: it did not say
	refused bool         // 401
	failed  string       // why there is no user, where it is not refused
	until   time.Time    // it holds
	renew   time.Time    // it is time to ask again, beside requests
}

// A reviewer asks the upstream who somebody is, and remembers that for a while. Questions
// about the same credentials are asked once at a time.
type reviewer struct {
	cfg     Reviews
	ask     func(context.Context, way, http.Header) (*record.User, error)
	headers func(*record.User) http.Header // by which the upstream is told of a user
	metrics *metrics
	now     func() time.Time
	renewal chan question // read by run
	trusted atomic.Bool   // the upstream has taken a user from the proxy

	mu     sync.Mutex // guards what follows
	known  recent     // with a user
	denied recent     // without, so that made-up tokens do not drive users out
	asked  map[key]chan struct{}
}

// A question is what the upstream is asked.
type question struct {
	key    key
	way    way
	header http.Header
}

// errRefused is the error of ask for credentials that are no good.
var errRefused = errors.New("refused")

// whose tells who shows an Authorization header.
func (v *reviewer) whose(ctx context.Context, authorization []string) identity {
	q := question{keyOf("token", authorization...), asItself, http.Header{"Authorization": authorization}}
	a := v.get(ctx, q)
	return identity{user: a.user, refused: a.refused, unknown: a.failed, key: q.key}
}

// confirm makes sure that the upstream takes the user of id for whom it is, when the
// proxy says so: an upstream that does not trust the proxy's headers but knows its
// certificate would carry out everything as the proxy itself.
func (v *reviewer) confirm(ctx context.Context, id *identity) {
	header := v.headers(id.user)
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(header)) {
		parts = append(append(parts, name, strconv.Itoa(len(header[name]))), header[name]...)
	}
	q := question{keyOf("user", parts...), forUser, header}
	a := v.get(ctx, q)
	id.key = q.key
	if a.user != nil {
		v.trusted.Store(a.user.Username == id.user.Username)
	}
	switch {
	case a.user == nil && !a.refused && (v.cfg.Refuse || !v.trusted.Load()):
		id.way, id.why = nobody, "it is not known for whom the API server takes this user: "+a.failed
	case a.user != nil && a.user.Username != id.user.Username:
		id.way, id.why = nobody, fmt.Sprintf("the API server takes the proxy for %q, and not for the user whom it names", a.user.Username)
	case a.user != nil && slices.ContainsFunc(id.user.Groups, func(g string) bool { return !slices.Contains(a.user.Groups, g) }):
		id.way, id.why = nobody, "the API server does not take this user for a member of the groups that the proxy names: are its --requestheader-group-headers the same?"
	}
}

// get returns the answer to q: a remembered one, or one that it asks for.
func (v *reviewer) get(ctx context.Context, q question) answer {
	for {
		now := v.now()
		v.mu.Lock()
		a, ok := v.known.get(q.key)
		if !ok || !now.Before(a.until) {
			a, ok = v.denied.get(q.key)
		}
		if ok && now.Before(a.until) {
			renew := a.user != nil && now.After(a.renew)
			v.mu.Unlock()
			v.metrics.review("hit")
			if renew {
				select {
				case v.renewal <- q:
				default: // it is renewed when it is over, then
				}
			}
			return a
		}
		flying := v.asked[q.key]
		if flying == nil {
			flying = make(chan struct{})
			v.asked[q.key] = flying
			v.mu.Unlock()
			v.metrics.review("miss")
			return v.fly(ctx, q, flying)
		}
		v.mu.Unlock()
		select {
		case <-flying: // its answer may be forgotten at once, in a cache that is too small
		case <-ctx.Done():
			return answer{failed: "the client did not wait"}
		}
	}
}

// fly asks, and tells those who wait for it.
func (v *reviewer) fly(ctx context.Context, q question, done chan struct{}) answer {
	defer func() {
		v.mu.Lock()
		delete(v.asked, q.key)
		v.mu.Unlock()
		close(done)
	}()
	// Others may wait for the answer when this client has gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), v.cfg.Timeout)
	defer cancel()
	user, err := v.ask(ctx, q.way, q.header)
	now := v.now()
	a := answer{user: user, until: now.Add(v.cfg.TTL), renew: now.Add(v.cfg.TTL / 2)}
	switch {
	case errors.Is(err, errRefused):
		a = answer{refused: true, until: now.Add(v.cfg.Denied)}
	case err != nil:
		v.metrics.review("failure")
		a = answer{failed: err.Error(), until: now.Add(v.cfg.Denied)}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if old, ok := v.known.get(q.key); ok && a.failed != "" {
		old.renew = a.until // not at every request: it may have failed of too many
		v.known.put(q.key, old)
	}
	if a.user != nil && a.user.Username != anonymous { // what is no token anybody can send
		v.known.put(q.key, a)
		v.denied.remove(q.key)
	} else {
		v.denied.put(q.key, a)
		if a.refused {
			v.known.remove(q.key)
		}
	}
	return a
}

// forget drops what is remembered of credentials that the upstream has just refused.
func (v *reviewer) forget(k key) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known.remove(k)
}

// run renews answers in use before they are over, so that no request waits for that. A
// renewal that fails leaves the old answer until its end.
func (v *reviewer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case q := <-v.renewal:
			v.renewOne(ctx, q)
		}
	}
}

func (v *reviewer) renewOne(ctx context.Context, q question) {
	v.mu.Lock()
	a, ok := v.known.get(q.key)
	if !ok || v.asked[q.key] != nil || !v.now().After(a.renew) {
		v.mu.Unlock()
		return // another request was faster
	}
	done := make(chan struct{})
	v.asked[q.key] = done
	v.mu.Unlock()
	v.fly(ctx, q, done)
}

// recent remembers so many answers, those that were asked for last.
type recent struct {
	size  int
	at    map[key]*list.Element
	order list.List // of remembered, the last one first
}

type remembered struct {
	key key
	answer
}

func (r *recent) get(k key) (answer, bool) {
	e := r.at[k]
	if e == nil {
		return answer{}, false
	}
	r.order.MoveToFront(e)
	return e.Value.(*remembered).answer, true
}

func (r *recent) put(k key, a answer) {
	r.remove(k)
	if r.at == nil {
		r.at = map[key]*list.Element{}
	}
	r.at[k] = r.order.PushFront(&remembered{k, a})
	for r.order.Len() > r.size {
		r.remove(r.order.Back().Value.(*remembered).key)
	}
}

func (r *recent) remove(k key) {
	if e := r.at[k]; e != nil {
		r.order.Remove(e)
		delete(r.at, k)
	}
}

const (
	reviewPath = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
	reviewBody = `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}`

	maxReview = 64 << 10 // bytes of an answer: so much may be remembered of each user
)

// askUpstream asks the upstream who sends a request with these headers, by the way that
// such requests go.
func (p *Proxy) askUpstream(ctx context.Context, by way, header http.Header) (*record.User, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.target(reviewPath), strings.NewReader(reviewBody))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", p.cfg.UserAgent)
	if by == forUser {
		if err := p.roads.credentials(r.Header); err != nil {
			return nil, err
		}
	}
	resp, err := p.roads.take(by, false).RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("the API server cannot be asked who it is: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReview)) // cut, it cannot be read
	if err != nil {
		return nil, fmt.Errorf("the API server cannot be asked who it is: %w", err)
	}
	switch resp.StatusCode {
	case http.StatusCreated, http.StatusOK:
	case http.StatusUnauthorized:
		return nil, errRefused
	default:
		return whoIsForbidden(resp.StatusCode, body)
	}
	var review authenticationv1.SelfSubjectReview
	if err := json.Unmarshal(body, &review); err != nil {
		return nil, fmt.Errorf("the API server's SelfSubjectReview cannot be read: %w", err)
	}
	if review.Status.UserInfo.Username == "" {
		return nil, errors.New("the API server's SelfSubjectReview names nobody")
	}
	info := &review.Status.UserInfo
	u := &record.User{Username: info.Username, UID: info.UID, Groups: info.Groups}
	for k, values := range info.Extra {
		if u.Extra == nil {
			u.Extra = map[string][]string{}
		}
		u.Extra[k] = values
	}
	return u, nil
}

// whoIsForbidden makes of a refusal to review what it says of the user: that it is nobody
// in particular, or no more than that it is somebody.
func whoIsForbidden(code int, body []byte) (*record.User, error) {
	if code == http.StatusForbidden && bytes.Contains(body, []byte(`User \"`+anonymous+`\" cannot create`)) {
		return &record.User{Username: anonymous, Groups: []string{unauthenticated}}, nil
	}
	var status metav1.Status
	_ = json.Unmarshal(body, &status) // what is no Status has no message
	text := status.Message
	if len(text) > 300 {
		text = text[:300]
	}
	if code == http.StatusNotFound {
		text = "it has no SelfSubjectReview (Kubernetes has it since 1.28)"
	}
	return nil, fmt.Errorf("the API server does not say who it is: %d %s", code, strings.ToValidUTF8(text, ""))
}
