package proxy

import (
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"kubetrail/policy"
)

const podPath = "/api/v1/namespaces/shop/pods/web"

var complete = at(policy.StageResponseComplete, podPath)

// protocols runs a test by HTTP/1.1 and by HTTP/2.
func protocols(t *testing.T, test func(t *testing.T, http2 bool)) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2=%t", http2), func(t *testing.T) { test(t, http2) })
	}
}

func TestToken(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		g := newRig(t, nil, nil)
		resp, body := g.get(t, g.client(t, http2), podPath, "Authorization: Bearer alice-token", "User-Agent: kubectl/v1")
		if resp.StatusCode != 200 || !strings.Contains(body, `"user":"alice"`) {
			t.Fatalf("%s %s", resp.Status, body)
		}
		e := g.events.wait(t, complete)
		if e.User.Username != "alice" || e.User.UID != "uid-alice" || !slices.Equal(e.User.Groups, []string{"team", authenticated}) {
			t.Errorf("user %+v", e.User)
		}
		if !slices.Equal(e.SourceIPs, []string{"127.0.0.1"}) || e.UserAgent != "kubectl/v1" || e.ObjectRef.Name != "web" || e.ResponseStatus.Code != 200 {
			t.Errorf("event %+v", e)
		}
		r := g.up.last(t)
		if got := r.Header.Get("Authorization"); got != "Bearer alice-token" {
			t.Errorf("the upstream got %q", got)
		}
		if got := r.Header.Get("X-Forwarded-For"); got != "127.0.0.1" {
			t.Errorf("X-Forwarded-For %q", got)
		}
		if id := r.Header.Get("Audit-Id"); id == "" || id != e.AuditID || !slices.Equal(resp.Header["Audit-Id"], []string{id}) {
			t.Errorf("audit IDs: upstream %q, event %q, client %q", id, e.AuditID, resp.Header["Audit-Id"])
		}
	})
}

func TestAnonymous(t *testing.T) {
	g := newRig(t, nil, nil)
	if resp, body := g.get(t, g.client(t, true), podPath); !strings.Contains(body, anonymous) {
		t.Fatalf("%s %s", resp.Status, body)
	}
	e := g.events.wait(t, complete)
	if e.User.Username != anonymous || !slices.Equal(e.User.Groups, []string{unauthenticated}) {
		t.Errorf("user %+v", e.User)
	}
	if g.up.reviews != 0 {
		t.Errorf("%d reviews of nothing", g.up.reviews)
	}
}

func TestBadToken(t *testing.T) {
	g := newRig(t, nil, nil)
	resp, body := g.get(t, g.client(t, true), podPath, "Authorization: Bearer made-up")
	if resp.StatusCode != 401 || !strings.Contains(body, "Unauthorized") {
		t.Fatalf("%s %s", resp.Status, body)
	}
	e := g.events.wait(t, at(policy.StageResponseStarted, podPath))
	if e.User.Username != "" || e.ResponseStatus.Code != 401 || e.ResponseStatus.Message != "Unauthorized" || e.ResponseStatus.Reason != "Unauthorized" {
		t.Errorf("event %+v", e)
	}
	if all := g.events.all(); len(all) != 1 {
		t.Errorf("%d events: %+v", len(all), all)
	}
}

// TestRefusedTokenStaysRefused checks that nothing is done for a token whose event says that
// it was refused, though it has become good in the meantime.
func TestRefusedTokenStaysRefused(t *testing.T) {
	g := newRig(t, nil, func(_ *rig, c *Config) { c.Reviews.Denied = time.Hour })
	c := g.client(t, true)
	g.get(t, c, "/early", "Authorization: Bearer soon")
	g.up.mu.Lock()
	g.up.tokens["soon"] = "mallory"
	g.up.mu.Unlock()
	for _, path := range []string{podPath, watchPath} {
		if resp, body := g.get(t, c, path, "Authorization: Bearer soon"); resp.StatusCode != 401 {
			t.Errorf("%s: %s %s", path, resp.Status, body)
		}
		if e := g.events.wait(t, at(policy.StageResponseStarted, path)); e.User.Username != "" || e.ResponseStatus.Code != 401 {
			t.Errorf("event %+v", e)
		}
	}
}

func TestCertificate(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		g := newRig(t, nil, nil)
		c := g.client(t, http2, g.users.pair(t, pkix.Name{CommonName: "bob", Organization: []string{"dev", "ops"}}))
		resp, body := g.get(t, c, podPath, "Authorization: Bearer alice-token", "X-Remote-User: root", "X-Remote-Extra-Scope: all", "x-remote-group: system:masters")
		if resp.StatusCode != 200 || !strings.Contains(body, `"user":"bob"`) {
			t.Fatalf("%s %s", resp.Status, body)
		}
		e := g.events.wait(t, complete)
		if e.User.Username != "bob" || !slices.Equal(e.User.Groups, []string{"dev", "ops", authenticated}) || !strings.HasPrefix(e.User.Extra[credentialID][0], "X509SHA256=") {
			t.Errorf("user %+v", e.User)
		}
		h := g.up.last(t).Header
		if h.Get("Authorization") != "" || h.Get("X-Remote-Extra-Scope") != "" || !slices.Equal(h["X-Remote-User"], []string{"bob"}) ||
			!slices.Equal(h["X-Remote-Group"], []string{"dev", "ops", authenticated}) || len(h["X-Remote-Extra-Authentication.kubernetes.io%2fcredential-Id"]) != 1 {
			t.Errorf("the upstream got %v", h)
		}
	})
}

// TestOwnCertificate checks that nobody acts as the proxy: its certificate never goes with
// what clients send by themselves.
func TestOwnCertificate(t *testing.T) {
	g := newRig(t, nil, func(g *rig, c *Config) {
		// The upstream knows the proxy as a user, and does not know of its headers.
		c.Forward.CertFile, c.Forward.KeyFile = g.write(t, g.up.clients, "own", pkix.Name{CommonName: "cluster-admin"})
	})
	if _, body := g.get(t, g.client(t, true), podPath); !strings.Contains(body, anonymous) {
		t.Errorf("anonymous: %s", body)
	}
	if _, body := g.get(t, g.client(t, true), podPath, "Authorization: Bearer alice-token"); !strings.Contains(body, `"user":"alice"`) {
		t.Errorf("token: %s", body)
	}
	bob := g.client(t, true, g.users.pair(t, pkix.Name{CommonName: "bob"}))
	before := len(g.up.requests())
	resp, body := g.get(t, bob, "/as-whom")
	if resp.StatusCode != 503 || !strings.Contains(body, `takes the proxy for`) || len(g.up.requests()) != before {
		t.Errorf("certificate: %s %s, and the upstream got %d requests", resp.Status, body, len(g.up.requests())-before)
	}
	if e := g.events.wait(t, at(policy.StageResponseComplete, "/as-whom")); e.User.Username != "bob" || e.ResponseStatus.Code != 503 {
		t.Errorf("event %+v", e)
	}
}

// TestNotConfirmed checks that nobody acts as the proxy while the upstream cannot say whom it
// takes users with certificates for, and that those whom it knows do not suffer from it.
func TestNotConfirmed(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		g := newRig(t, nil, func(g *rig, c *Config) {
			if !trusted {
				c.Forward.CertFile, c.Forward.KeyFile = g.write(t, g.up.clients, "own", pkix.Name{CommonName: "cluster-admin"})
			}
			c.Reviews.TTL = time.Nanosecond
		})
		if trusted {
			g.get(t, g.client(t, true, g.users.pair(t, pkix.Name{CommonName: "alice"})), "/before")
		}
		g.up.mu.Lock()
		g.up.down = true
		g.up.mu.Unlock()
		before := len(g.up.requests())
		resp, body := g.get(t, g.client(t, true, g.users.pair(t, pkix.Name{CommonName: "bob"})), podPath)
		if e := g.events.wait(t, complete); e.User.Username != "bob" || e.ResponseStatus.Code != resp.StatusCode {
			t.Errorf("event %+v", e)
		}
		if passed := len(g.up.requests()) > before; passed != trusted || trusted != (resp.StatusCode == 200) {
			t.Errorf("trusted %t: %s %s", trusted, resp.Status, body)
		}
	}
}

// TestOtherGroups checks that nobody passes whom the upstream takes for a member of other
// groups than the event says.
func TestOtherGroups(t *testing.T) {
	g := newRig(t, nil, func(_ *rig, c *Config) { c.Clients.GroupHeaders = []string{"X-Other-Group"} })
	bob := g.client(t, true, g.users.pair(t, pkix.Name{CommonName: "bob", Organization: []string{"dev"}}))
	resp, body := g.get(t, bob, podPath)
	if resp.StatusCode != 503 || !strings.Contains(body, "--requestheader-group-headers") {
		t.Errorf("%s %s", resp.Status, body)
	}
	if n := testutil.ToFloat64(g.metrics.refused.WithLabelValues("user-not-confirmed")); n != 1 {
		t.Errorf("%v refusals were counted", n)
	}
}

func byImpersonation(t *testing.T) func(*rig, *Config) {
	return func(g *rig, c *Config) {
		c.Forward = Forward{By: ByImpersonate, TokenFile: g.file(t, "token", []byte("proxy-token\n"))}
	}
}

func TestForwardByImpersonation(t *testing.T) {
	g := newRig(t, nil, byImpersonation(t))
	bob := g.client(t, true, g.users.pair(t, pkix.Name{CommonName: "bob", Organization: []string{"dev"}}))
	if resp, body := g.get(t, bob, podPath, "X-Remote-User: root"); resp.StatusCode != 200 || !strings.Contains(body, `"user":"bob"`) {
		t.Fatalf("%s %s", resp.Status, body)
	}
	h := g.up.last(t).Header
	if h.Get("Authorization") != "Bearer proxy-token" || h.Get("Impersonate-User") != "bob" || !slices.Equal(h["Impersonate-Group"], []string{"dev"}) || h.Get("X-Remote-User") != "" {
		t.Errorf("the upstream got %v", h)
	}
	if e := g.events.wait(t, complete); e.User.Username != "bob" || e.ImpersonatedUser.Username != "" {
		t.Errorf("event %+v", e)
	}
	before := len(g.up.requests())
	for i, header := range []string{"Impersonate-User: root", "Impersonate-Group: system:masters", "Impersonate-Uid: 1", "Impersonate-Extra-A: b", "impersonate-user: root"} {
		path := fmt.Sprint("/nested/", i)
		resp, body := g.get(t, bob, path, header)
		if resp.StatusCode != 403 || !strings.Contains(body, "cannot impersonate others") || len(g.up.requests()) != before {
			t.Errorf("%s: %s %s", header, resp.Status, body)
		}
		if e := g.events.wait(t, at(policy.StageResponseComplete, path)); e.User.Username != "bob" || e.ImpersonatedUser.Username != "" || e.ResponseStatus.Code != 403 {
			t.Errorf("event %+v", e)
		}
	}
	// With a token of their own clients may.
	if _, body := g.get(t, g.client(t, true), podPath, "Authorization: Bearer alice-token", "Impersonate-User: carol"); !strings.Contains(body, `"user":"carol"`) {
		t.Error(body)
	}
}

// TestClientImpersonates checks of whom an event tells when a client is somebody else.
func TestClientImpersonates(t *testing.T) {
	forbid := ""
	g := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		if forbid != "" {
			writeStatus(w, apiError{403, "Forbidden", forbid})
			return
		}
		io.WriteString(w, "{}")
	}, nil)
	alice := g.client(t, true)
	for i, c := range []struct {
		headers []string
		forbid  string
		name    string // impersonated, "" for nobody
		groups  []string
	}{
		{[]string{"Impersonate-User: carol"}, "", "carol", []string{authenticated}},
		{[]string{"Impersonate-User: carol", "Impersonate-Group: a", "Impersonate-Group: b", "Impersonate-Uid: 5", "Impersonate-Extra-Example.com%2fx: y"}, "", "carol", []string{"a", "b", authenticated}},
		{[]string{"Impersonate-User: carol", "Impersonate-Group: system:unauthenticated"}, "", "carol", []string{unauthenticated}},
		{[]string{"Impersonate-User: system:anonymous"}, "", anonymous, []string{unauthenticated}},
		{[]string{"Impersonate-User: system:serviceaccount:shop:web"}, "", "system:serviceaccount:shop:web", []string{"system:serviceaccounts", "system:serviceaccounts:shop", authenticated}},
		{[]string{"Impersonate-User: system:serviceaccount:Shop:web"}, "", "system:serviceaccount:Shop:web", []string{authenticated}},
		{[]string{"Impersonate-User: system:serviceaccount:shop:web", "Impersonate-Group: a"}, "", "system:serviceaccount:shop:web", []string{"a", authenticated}},
		{[]string{"Impersonate-Group: a"}, "", "", nil},
		{[]string{"Impersonate-User: carol"}, `users "carol" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the cluster scope`, "", nil},
		{[]string{"Impersonate-User: carol"}, `pods is forbidden: User "alice" cannot impersonate-on:user-info:list resource "pods" in API group "" in the namespace "shop"`, "", nil},
		{[]string{"Impersonate-User: carol"}, `forbidden: User "alice" cannot impersonate:user-info path "/x"`, "", nil},
		{[]string{"Impersonate-User: carol"}, `pods "web" is forbidden: User "carol" cannot get resource "pods" in API group "" in the namespace "shop"`, "carol", []string{authenticated}},
		{[]string{"Impersonate-User: carol"}, `pods "a\" is forbidden: User \"alice\" cannot impersonate resource" is forbidden: User "carol" cannot get resource "pods"`, "carol", []string{authenticated}},
		{[]string{"Impersonate-User: carol"}, `pods "web" is forbidden: exceeded quota: User "x" cannot impersonate `, "carol", []string{authenticated}},
	} {
		forbid = c.forbid
		path := fmt.Sprint("/impersonated/", i)
		g.get(t, alice, path, append(c.headers, "Authorization: Bearer alice-token")...)
		e := g.events.wait(t, at(policy.StageResponseComplete, path))
		if e.User.Username != "alice" || e.ImpersonatedUser.Username != c.name || !slices.Equal(e.ImpersonatedUser.Groups, c.groups) {
			t.Errorf("%q %s: event %+v", c.headers, c.forbid, e)
		}
		if e.ImpersonatedUser.UID == "5" && !slices.Equal(e.ImpersonatedUser.Extra["example.com/x"], []string{"y"}) {
			t.Errorf("event %+v", e)
		}
	}
}

// TestAnswerOfOthers checks that what stands behind the upstream, and answers as if the
// upstream refused, neither hides as whom it was asked nor makes the proxy ask who it is.
func TestAnswerOfOthers(t *testing.T) {
	const message = `users "carol" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the cluster scope`
	for _, e := range []apiError{unauthorized(), {http.StatusForbidden, "Forbidden", message}} {
		g := newRig(t, func(w http.ResponseWriter, _ *http.Request) { writeStatus(w, e) }, nil)
		c := g.client(t, true)
		for i := range 3 {
			path := fmt.Sprint(podPath, "/proxy/", i)
			g.get(t, c, path, "Authorization: Bearer alice-token", "Impersonate-User: carol")
			got := g.events.wait(t, at(policy.StageResponseComplete, path))
			if got.User.Username != "alice" || !strings.Contains(got.Annotations[UserUnknownAnnotation], `as user "carol"`) {
				t.Errorf("%d: event %+v", e.code, got)
			}
		}
		if g.up.reviews != 1 {
			t.Errorf("%d: the upstream was asked %d times", e.code, g.up.reviews)
		}
	}
}

// TestCertificateExpires checks that a certificate whose time is over is good for nothing
// any more, also on a connection that is open.
func TestCertificateExpires(t *testing.T) {
	var later atomic.Int64
	g := newRig(t, nil, func(_ *rig, c *Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	})
	c := g.client(t, true, g.users.pair(t, pkix.Name{CommonName: "bob"}))
	if resp, body := g.get(t, c, podPath); resp.StatusCode != 200 {
		t.Fatalf("%s %s", resp.Status, body)
	}
	later.Store(int64(2 * time.Hour))
	if resp, body := g.get(t, c, podPath); resp.StatusCode != 401 {
		t.Errorf("%s %s", resp.Status, body)
	}
}

// TestManyIdentities checks that nobody is taken for somebody else, however many share the
// connections.
func TestManyIdentities(t *testing.T) {
	g := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("X-Remote-User")+r.Header.Get("Authorization"))
	}, func(_ *rig, c *Config) { c.Reviews.Size, c.Reviews.Timeout = 3, time.Minute })
	for i := range 5 {
		g.up.tokens[fmt.Sprint("token-", i)] = fmt.Sprint("user-", i)
	}
	shared := g.client(t, true) // of all with tokens
	var all sync.WaitGroup
	for i := range 5 {
		certified := g.client(t, i%2 == 0, g.users.pair(t, pkix.Name{CommonName: fmt.Sprint("user-", i)}))
		for k := range 8 {
			path := fmt.Sprintf("/token/%d/%d", i, k)
			all.Go(func() {
				if _, body := g.get(t, shared, path, fmt.Sprint("Authorization: Bearer token-", i)); body != fmt.Sprint("Bearer token-", i) {
					t.Errorf("%s: %s", path, body)
				}
			})
			all.Go(func() {
				if _, body := g.get(t, certified, "/certificate"+path, "Authorization: Bearer token-1"); body != fmt.Sprint("user-", i) {
					t.Errorf("/certificate%s: %s", path, body)
				}
			})
		}
	}
	all.Wait()
	g.stop() // now all events are there
	seen := 0
	for _, e := range g.events.all() {
		if e.Stage != string(policy.StageResponseComplete) {
			continue
		}
		seen++
		at := strings.Split(strings.TrimPrefix(e.RequestURI, "/certificate"), "/")
		if e.User.Username != "user-"+at[2] || strings.HasPrefix(e.RequestURI, "/certificate") != (e.User.Extra[credentialID] != nil) {
			t.Errorf("%s of %+v, %v", e.RequestURI, e.User, e.Annotations)
		}
	}
	if seen != 80 {
		t.Errorf("%d events", seen)
	}
}

// TestRevoked checks that a token is asked about again as soon as the upstream refuses it.
func TestRevoked(t *testing.T) {
	g := newRig(t, nil, nil)
	c := g.client(t, true)
	g.get(t, c, podPath, "Authorization: Bearer alice-token")
	g.up.mu.Lock()
	delete(g.up.tokens, "alice-token")
	g.up.mu.Unlock()
	if resp, _ := g.get(t, c, "/first", "Authorization: Bearer alice-token"); resp.StatusCode != 401 {
		t.Fatal(resp.Status)
	}
	g.get(t, c, "/second", "Authorization: Bearer alice-token")
	if e := g.events.wait(t, at(policy.StageResponseStarted, "/second")); e.User.Username != "" || e.ResponseStatus.Code != 401 {
		t.Errorf("event %+v", e)
	}
}

// TestUnknownUser checks what happens when the upstream does not say whose a token is.
func TestUnknownUser(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		g := newRig(t, nil, func(_ *rig, c *Config) { c.Reviews.Refuse = refuse })
		g.up.down = true
		resp, body := g.get(t, g.client(t, true), podPath, "Authorization: Bearer alice-token")
		e := g.events.wait(t, complete)
		if e.User.Username != "" || !strings.Contains(e.Annotations[UserUnknownAnnotation], "503 overloaded") {
			t.Errorf("event %+v", e)
		}
		if refuse && (resp.StatusCode != 503 || len(g.up.requests()) != 0) || !refuse && (resp.StatusCode != 200 || !strings.Contains(body, `"alice"`)) {
			t.Errorf("refuse %t: %s %s", refuse, resp.Status, body)
		}
	}
}
