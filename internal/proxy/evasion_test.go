package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"kubetrail/policy"
	"kubetrail/record"
)

// protocolTokenThere is the token of a handshake as kube-apiserver takes it, the white
// space in which its reader of JSON Web Tokens does not see, "" for none.
func protocolTokenThere(r *http.Request) string {
	seen, token := 0, ""
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			if encoded, ok := strings.CutPrefix(strings.TrimSpace(p), "base64url.bearer.authorization.k8s.io."); ok {
				seen++
				text, err := base64.RawURLEncoding.DecodeString(encoded)
				if err != nil {
					return ""
				}
				token = strings.Join(strings.Fields(string(text)), "")
			}
		}
	}
	if seen > 1 {
		return ""
	}
	return token
}

// TestTokenSpellings checks that a token that the upstream finds in the subprotocols of a
// WebSocket handshake is that of the user in the event, however it is written.
func TestTokenSpellings(t *testing.T) {
	there := func(r *http.Request, u *upstream) string {
		if r.Header.Get("Authorization") == "" {
			if token := protocolTokenThere(r); token != "" {
				return u.tokens[token]
			}
		}
		name, _ := u.user(r)
		return name
	}
	g := newRig(t, nil, nil)
	word := func(token string) string { return tokenProtocol + base64.RawURLEncoding.EncodeToString([]byte(token)) }
	bob := g.users.pair(t, pkix.Name{CommonName: "bob"})
	for i, c := range []struct {
		name, header, user string
		pairs              []tls.Certificate
	}{
		{"plain", "Sec-WebSocket-Protocol: v5.channel.k8s.io, " + word("alice-token"), "alice", nil},
		{"after another space", "Sec-WebSocket-Protocol: v5.channel.k8s.io,\u00a0" + word("alice-token") + "\u2003", "alice", nil},
		{"on a second line", "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\nSec-WebSocket-Protocol: " + word("alice-token"), "alice", nil},
		{"a space before the token", "Sec-WebSocket-Protocol: v5.channel.k8s.io, " + word(" alice-token"), "", nil},
		{"a space in the token", "Sec-WebSocket-Protocol: v5.channel.k8s.io, " + word("alice -token"), "", nil},
		{"a newline in the token", "Sec-WebSocket-Protocol: v5.channel.k8s.io, " + word("\nalice-token"), "", nil},
		{"two", "Sec-WebSocket-Protocol: " + word("bad") + ", " + word("alice-token"), "", nil},
		{"beside a certificate", "Sec-WebSocket-Protocol: v5.channel.k8s.io, " + word("alice-token"), "bob", []tls.Certificate{bob}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := fmt.Sprint("/case/", i)
			before := len(g.up.requests())
			g.raw(t, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+c.header+"\r\n\r\n", c.pairs...)
			e := g.events.wait(t, func(e event) bool { return e.RequestURI == path && e.Stage != string(policy.StageRequestReceived) })
			if e.User.Username != c.user {
				t.Errorf("event of %q", e.User.Username)
			}
			for _, r := range g.up.requests()[before:] {
				if name := there(r, g.up); name != c.user {
					t.Errorf("the upstream took it for %q", name)
				}
				if len(c.pairs) > 0 && protocolTokenThere(r) != "" {
					t.Error("the upstream got two users")
				}
			}
			if c.user == "" && len(g.up.requests()) != before {
				t.Error("it was passed on")
			}
		})
	}
}

// TestSpacesOfGroups checks that no certificate gets another group at the upstream than
// it names: HTTP/1.1, as upgrades need it, drops the spaces around the value of a header.
func TestSpacesOfGroups(t *testing.T) {
	g := newRig(t, nil, nil)
	for i, subject := range []pkix.Name{
		{CommonName: "bob", Organization: []string{"system:masters "}}, {CommonName: "bob", Organization: []string{"team", "\tsystem:masters"}}, {CommonName: "admin "},
	} {
		path := fmt.Sprint("/case/", i)
		before := len(g.up.requests())
		resp, _ := g.raw(t, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", g.users.pair(t, subject))
		for _, r := range g.up.requests()[before:] {
			t.Errorf("%v arrives as %q of %q", subject, r.Header["X-Remote-User"], r.Header["X-Remote-Group"])
		}
		if e := g.events.wait(t, at(policy.StageResponseComplete, path)); resp.StatusCode != 503 || e.User.Username != subject.CommonName {
			t.Errorf("%s, event %+v", resp.Status, e)
		}
	}
}

// TestOpaqueURL checks that a URL whose path is hidden from a policy does not pass.
func TestOpaqueURL(t *testing.T) {
	paths := make(chan string, 10)
	g := newRig(t, nil, func(_ *rig, c *Config) {
		c.Record.Policy = func(r *policy.Request) policy.Decision {
			paths <- r.Path
			return policy.Decision{Level: policy.LevelMetadata}
		}
	})
	for _, uri := range []string{"x:" + g.up.URL + "/metrics", "x:http://evil/metrics", "x:*"} {
		resp, _ := g.raw(t, "GET "+uri+" HTTP/1.1\r\nHost: x\r\n\r\n")
		if len(g.up.requests()) != 0 {
			t.Errorf("%s arrives as %s, the policy was asked of %q", uri, g.up.last(t).RequestURI, <-paths)
		}
		if e := g.events.wait(t, at(policy.StageResponseComplete, strings.TrimPrefix(uri, "x:"))); resp.StatusCode != 400 || e.ResponseStatus.Code != 400 {
			t.Errorf("%s, event %+v", resp.Status, e)
		}
	}
}

// TestTimeoutIsServed checks that an upstream that does not mind a bad timeout makes
// nobody nameless.
func TestTimeoutIsServed(t *testing.T) {
	g := newRig(t, nil, nil)
	path := podPath + "?timeout=never"
	resp, _ := g.get(t, g.client(t, true), path, "Authorization: Bearer alice-token")
	e := g.events.wait(t, at(policy.StageResponseStarted, path))
	if resp.StatusCode != 200 || !strings.Contains(e.Annotations[UserUnknownAnnotation], `user "alice"`) {
		t.Errorf("%s, event %+v", resp.Status, e)
	}
}

// TestCodes checks that no code of an answer makes the proxy panic.
func TestCodes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	code := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 64<<10))
			_, _ = io.WriteString(conn, "HTTP/1.1 "+<-code+" x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			conn.Close()
		}
	}()
	defer func() { l.Close(); <-done }()
	cfg := Defaults()
	cfg.Serving.Listen, cfg.Serving.InsecureHTTP, cfg.Upstream.URL = "127.0.0.1:0", true, "http://"+l.Addr().String()
	events := newMemory()
	cfg.Record = record.Config{Backend: events, Policy: everything}
	p, err := assemble(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.roads.close()
	for _, bad := range []string{"000", "099", "101"} {
		for _, path := range []string{podPath, watchPath} {
			code <- bad
			w := httptest.NewRecorder()
			p.ServeHTTP(w, httptest.NewRequest("GET", path, nil).WithContext(context.Background()))
			if w.Code < 500 && bad != "101" {
				t.Errorf("%s: %d", bad, w.Code)
			}
		}
	}
	if i := slices.IndexFunc(events.all(), func(e event) bool { return e.Stage == string(policy.StagePanic) }); i >= 0 {
		t.Errorf("event %+v", events.all()[i])
	}
}

// TestInformational checks that answers before the answer, however many, pass and are not
// recorded.
func TestInformational(t *testing.T) {
	g := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 2000 {
			w.Header().Set("Link", "</style.css>")
			w.WriteHeader(http.StatusEarlyHints)
		}
		fmt.Fprint(w, "{}")
	}, nil)
	resp, body := g.get(t, g.client(t, false), podPath)
	if e := g.events.wait(t, complete); resp.StatusCode != 200 || body != "{}" || e.ResponseStatus.Code != 200 || len(g.events.all()) != 2 {
		t.Errorf("%s %s, event %+v", resp.Status, body, e)
	}
}

// TestOtherHTTP checks that nobody gets a connection on which the proxy sees no requests.
func TestOtherHTTP(t *testing.T) {
	g := newRig(t, nil, nil)
	for _, protocol := range []string{"h2c", "H2C", "foo, h2c", "HTTP/2.0"} {
		g.raw(t, "GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: "+protocol+"\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n")
		if r := g.up.last(t); r.Header.Get("Upgrade") != "" || r.Header.Get("Http2-Settings") != "" {
			t.Errorf("%s: the upstream got %v", protocol, r.Header)
		}
	}
}

// TestUnknownByHeaders checks that requests of users with certificates are refused too,
// where that is asked for, while it is not known for whom the upstream takes them.
func TestUnknownByHeaders(t *testing.T) {
	g := newRig(t, nil, func(g *rig, c *Config) { c.Reviews.Refuse, g.up.down = true, true })
	resp, body := g.get(t, g.client(t, true, g.users.pair(t, pkix.Name{CommonName: "bob"})), podPath)
	if resp.StatusCode != 503 || len(g.up.requests()) != 0 {
		t.Errorf("%s %s, %d requests", resp.Status, body, len(g.up.requests()))
	}
}

// TestLongToken checks that nobody becomes unknown by a header that fits into a request of
// HTTP/1.1, as upgrades need it, and not into the question whose it is.
func TestLongToken(t *testing.T) {
	g := newRig(t, nil, nil)
	for i, c := range []struct{ name, header string }{
		{"behind the token", "Authorization: Bearer alice-token " + strings.Repeat("x", 1_050_000)},
		{"a little behind the token", "Authorization: Bearer alice-token x"},
		{"of another kind", "Authorization: Basic " + strings.Repeat("x", 1_050_000)},
	} {
		path := fmt.Sprint("/case/", i)
		resp, _ := g.raw(t, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+c.header+"\r\n\r\n")
		if resp.StatusCode != 401 || len(g.up.requests()) != 0 {
			t.Errorf("%s: %s, %d requests", c.name, resp.Status, len(g.up.requests()))
		}
		if e := g.events.wait(t, at(policy.StageResponseStarted, path)); e.Annotations[UserUnknownAnnotation] != "" || e.ResponseStatus.Code != 401 {
			t.Errorf("%s: event %+v", c.name, e)
		}
	}
}

// TestTokensAreNotDrivenOut checks that nobody without a token can make the proxy forget
// those of others.
func TestTokensAreNotDrivenOut(t *testing.T) {
	g := newRig(t, nil, func(_ *rig, c *Config) { c.Reviews.Size = 4 })
	c := g.client(t, true)
	asked := func() int {
		g.up.mu.Lock()
		defer g.up.mu.Unlock()
		return g.up.reviews
	}
	g.get(t, c, podPath, "Authorization: Bearer alice-token")
	for i := range 8 {
		g.get(t, c, podPath, fmt.Sprint("Authorization: Basic ", i))
	}
	before := asked()
	if g.get(t, c, podPath, "Authorization: Bearer alice-token"); asked() != before {
		t.Error("the upstream was asked again whose a token is")
	}
}

// TestSpacesOfHTTP2 checks that a value arrives as the event has it, by whatever HTTP.
func TestSpacesOfHTTP2(t *testing.T) {
	g := newRig(t, nil, nil)
	g.get(t, g.client(t, true), podPath, "Authorization: Bearer alice-token", "Impersonate-User: bob ", "Impersonate-Group: \tteam", "Audit-Id: a ")
	e := g.events.wait(t, at(policy.StageResponseComplete, podPath))
	h := g.up.last(t).Header
	if e.ImpersonatedUser.Username != "bob" || e.ImpersonatedUser.Groups[0] != "team" || e.AuditID != "a" ||
		h.Get("Impersonate-User") != "bob" || h.Get("Impersonate-Group") != "team" || h.Get("Audit-Id") != "a" {
		t.Errorf("event %+v, the upstream got %v", e, h)
	}
}

// TestBrokenBody checks that nobody can send what looks like an upstream that is down.
func TestBrokenBody(t *testing.T) {
	g := newRig(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, nil)
	for _, upgrade := range []string{"", "Connection: Upgrade\r\nUpgrade: websocket\r\n"} {
		resp, body := g.raw(t, "POST /api/v1/namespaces/shop/pods HTTP/1.1\r\nHost: x\r\n"+upgrade+"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
		if resp.StatusCode != 400 {
			t.Errorf("%s %s", resp.Status, body)
		}
	}
	if n := testutil.CollectAndCount(g.metrics.errors); n != 0 {
		t.Errorf("%d errors of the upstream", n)
	}
	if n := testutil.ToFloat64(g.metrics.refused.WithLabelValues("body")); n != 2 {
		t.Errorf("%v refusals were counted", n)
	}
}

// TestManyHeaders checks that headers that fit into a request of HTTP/1.1 and, counted as
// HTTP/2 counts, not into the one to the upstream, do not look like an upstream that is down,
// nor end the connection on which the watches of others are.
func TestManyHeaders(t *testing.T) {
	g := newRig(t, nil, nil)
	var headers strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&headers, "A%d: b\r\n", i)
	}
	for _, path := range []string{podPath, watchPath, "/api?" + strings.Repeat("x", 1<<20)} {
		lines := headers.String()
		if len(path) > 1000 {
			lines = ""
		}
		resp, body := g.raw(t, "GET "+path+" HTTP/1.1\r\nHost: x\r\n"+lines+"\r\n")
		if e := g.events.wait(t, at(policy.StageResponseComplete, path)); resp.StatusCode != 431 || e.ResponseStatus.Code != 431 {
			t.Errorf("%s %s, event %+v", resp.Status, body, e)
		}
	}
	if n := testutil.CollectAndCount(g.metrics.errors); n != 0 {
		t.Errorf("%d errors of the upstream", n)
	}
	if n := testutil.ToFloat64(g.metrics.refused.WithLabelValues("headers")); n != 3 {
		t.Errorf("%v refusals were counted", n)
	}
}

// TestAuditIDs checks which ID the upstream and the client get, also where nothing is
// recorded.
func TestAuditIDs(t *testing.T) {
	for _, recorded := range []bool{true, false} {
		g := newRig(t, nil, func(_ *rig, c *Config) {
			if !recorded {
				c.Record.Backend = nil
			}
		})
		for _, ids := range [][]string{{"mine"}, {"mine", "yours"}, {strings.Repeat("m", 100_000)}, {"\xff\t<&>中"}} {
			header := ""
			for _, id := range ids {
				header += "Audit-ID: " + id + "\r\n"
			}
			resp, _ := g.raw(t, "GET "+podPath+" HTTP/1.1\r\nHost: x\r\n"+header+"\r\n")
			if got := g.up.last(t).Header.Get("Audit-Id"); got != ids[0] || !slices.Equal(resp.Header["Audit-Id"], ids[:1]) {
				t.Errorf("recorded %t: %.20q arrives as %.20q, the client gets %.20q", recorded, ids, got, resp.Header["Audit-Id"])
			}
			if recorded {
				g.events.wait(t, func(e event) bool { return e.AuditID == strings.ToValidUTF8(ids[0], "\ufffd") })
			}
		}
	}
}

// TestNoPath checks that a policy is asked of the path that the upstream sees.
func TestNoPath(t *testing.T) {
	paths := make(chan string, 2)
	g := newRig(t, nil, func(_ *rig, c *Config) {
		c.Record.Policy = func(r *policy.Request) policy.Decision {
			paths <- r.Path
			return policy.Decision{Level: policy.LevelNone}
		}
	})
	g.raw(t, "GET https://x HTTP/1.1\r\nHost: x\r\n\r\n")
	if asked, seen := <-paths, g.up.last(t).URL.Path; asked != "/" || seen != "/" {
		t.Errorf("the policy was asked of %q, the upstream sees %q", asked, seen)
	}
}
