package proxy

import (
	"bufio"
	"crypto/tls"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"kubetrail/policy"
)

// raw sends bytes over a connection of its own and returns the first answer.
func (g *rig) raw(t *testing.T, request string, pairs ...tls.Certificate) (*http.Response, string) {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(g.URL(), "https://"), g.tls(pairs...))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp, string(body)
}

// TestHostileHeaders checks what the upstream gets of what clients say that they may not
// say, and that the event tells the same.
func TestHostileHeaders(t *testing.T) {
	g := newRig(t, nil, nil)
	for i, c := range []struct {
		name    string
		headers string            // of the client, lines
		user    string            // of the event
		gone    []string          // what the upstream must not get, canonical
		got     map[string]string // what it must
	}{
		{"another user", "X-Remote-User: root\r\nX-Remote-Group: system:masters\r\nX-Remote-Uid: 0\r\nX-Remote-Extra-Scopes: all", anonymous,
			[]string{"X-Remote-User", "X-Remote-Group", "X-Remote-Uid", "X-Remote-Extra-Scopes"}, nil},
		{"in other letters", "x-rEMOTE-uSER: root\r\nX-REMOTE-GROUP: system:masters\r\nX-remote-extra-a%2fb: c", anonymous,
			[]string{"X-Remote-User", "X-Remote-Group", "X-Remote-Extra-A%2fb"}, nil},
		{"with other dashes", "X_Remote_User: root\r\nX-Remote_Group: system:masters\r\nImpersonate_User: root\r\nX_Forwarded_For: 9.9.9.9\r\nAuthorization_: x\r\nX.Remote.User: root", anonymous,
			[]string{"X_remote_user", "X_Remote_User", "X-Remote_group", "X-Remote_Group", "Impersonate_user", "Impersonate_User", "X_forwarded_for", "X_Forwarded_For", "X.remote.user", "X.Remote.User"}, nil},
		{"unknown kinds", "X-Remote-Whatever: x\r\nX-Remote-: y", anonymous, []string{"X-Remote-Whatever", "X-Remote-"}, nil},
		{"another address", "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\nX-Real-Ip: 7.7.7.7\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: http", anonymous,
			[]string{"X-Real-Ip", "Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto"}, map[string]string{"X-Forwarded-For": "127.0.0.1"}},
		{"a token for this hop", "Authorization: Bearer alice-token\r\nConnection: Authorization", anonymous, []string{"Authorization", "Connection"}, nil},
		{"a token for this hop, in other letters", "Authorization: Bearer alice-token\r\nConnection: keep-alive, aUTHORIZATION", anonymous, []string{"Authorization"}, nil},
		{"somebody else for this hop", "Authorization: Bearer alice-token\r\nImpersonate-User: bob\r\nConnection: close, Impersonate-User", "alice", []string{"Impersonate-User"}, nil},
		{"the address for this hop", "Authorization: Bearer alice-token\r\nConnection: X-Forwarded-For", "alice", nil, map[string]string{"X-Forwarded-For": "127.0.0.1"}},
		{"the audit ID for this hop", "Audit-ID: mine\r\nConnection: Audit-ID", anonymous, nil, nil},
		{"hop by hop", "Keep-Alive: 5\r\nProxy-Authorization: Basic eA==\r\nProxy-Connection: x\r\nTe: gzip\r\nUpgrade: h2c", anonymous,
			[]string{"Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te", "Upgrade"}, nil},
		{"two tokens", "Authorization: Bearer alice-token\r\nAuthorization: Bearer proxy-token", "alice", nil, nil},
		{"a token in small letters", "authorization: Bearer alice-token", "alice", nil, map[string]string{"Authorization": "Bearer alice-token"}},
		{"no token", "Authorization: Basic eDp5", anonymous, nil, map[string]string{"Authorization": "Basic eDp5"}},
		{"something else", "X-Remotely: fine\r\nX-Under_score: fine\r\nAccept: application/json;as=Table", anonymous, nil,
			map[string]string{"X-Remotely": "fine", "X-Under_score": "fine", "Accept": "application/json;as=Table"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := fmt.Sprint("/case/", i)
			resp, body := g.raw(t, "GET "+path+" HTTP/1.1\r\nHost: x\r\n"+c.headers+"\r\n\r\n")
			if resp.StatusCode != 200 {
				t.Fatalf("%s %s", resp.Status, body)
			}
			e := g.events.wait(t, at(policy.StageResponseComplete, path))
			if e.User.Username != c.user || !slices.Equal(e.SourceIPs, []string{"127.0.0.1"}) || e.ImpersonatedUser.Username != "" {
				t.Errorf("event %+v", e)
			}
			r := g.up.last(t)
			if name, _ := g.up.user(r); name != c.user {
				t.Errorf("the upstream took it for %q, the event tells of %q", name, c.user)
			}
			for _, name := range c.gone {
				if v, ok := r.Header[name]; ok {
					t.Errorf("the upstream got %s: %q", name, v)
				}
			}
			for name, want := range c.got {
				if !slices.Equal(r.Header[name], []string{want}) {
					t.Errorf("the upstream got %s: %q", name, r.Header[name])
				}
			}
			if id := r.Header.Get("Audit-Id"); id != e.AuditID || id == "" || id == "mine" {
				t.Errorf("audit ID %q, event %q", id, e.AuditID)
			}
		})
	}
}

// TestSmuggling checks that requests whose length is in doubt do not become two.
func TestSmuggling(t *testing.T) {
	g := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	}, nil)
	const inner = "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, c := range []struct{ name, head, body string }{
		{"both lengths", "Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n" + inner},
		{"two lengths", "Content-Length: 5\r\nContent-Length: 60", "hello" + inner},
		{"a list of lengths", "Content-Length: 5, 5", "hello" + inner},
		{"a signed length", "Content-Length: +5", "hello" + inner},
		{"another encoding", "Transfer-Encoding: xchunked", "0\r\n\r\n" + inner},
		{"encodings", "Transfer-Encoding: chunked, identity", "0\r\n\r\n" + inner},
		{"two encodings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "0\r\n\r\n" + inner},
		{"a space before the colon", "Transfer-Encoding : chunked\r\nContent-Length: 5", "0\r\n\r\n" + inner},
		{"a folded line", "X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 0", inner},
		{"a bare newline in a name", "X-A\nTransfer-Encoding: chunked", inner},
		{"the name of a user after a space", "X-Remote-User : root\r\nContent-Length: 0", ""},
		{"a long name", strings.Repeat("X", 1<<20) + ": y", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(g.up.requests())
			resp, _ := g.raw(t, "POST /first HTTP/1.1\r\nHost: x\r\n"+c.head+"\r\nConnection: close\r\n\r\n"+c.body)
			after := g.up.requests()[before:]
			if resp.StatusCode < 400 && len(after) != 1 || resp.StatusCode >= 400 && len(after) != 0 {
				t.Errorf("%s, and the upstream got %d requests", resp.Status, len(after))
			}
			for _, r := range after {
				if r.URL.Path != "/first" || r.Header.Get("X-Remote-User") != "" {
					t.Errorf("the upstream got %s %v", r.URL, r.Header)
				}
			}
		})
	}
}

// TestURIs checks that the upstream gets a URI as the client wrote it, and that the event
// tells of the same.
func TestURIs(t *testing.T) {
	g := newRig(t, nil, nil)
	for _, uri := range []string{
		"/api/v1/namespaces/a%2Fb/pods/c", "/api/v1/pods?labelSelector=a%3Db;c&watch=0", "/a//b/../c/./d", "//evil.example/api", "/%61pi/v1/pods",
		"/api/v1/pods?x=%zz&y=1", "/api/v1/pods?a=1&a=2&b", "/x?", "/a%20b?c+d", "/logs/%2e%2e/x",
	} {
		resp, body := g.raw(t, "GET "+uri+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if resp.StatusCode != 200 {
			t.Errorf("%s: %s %s", uri, resp.Status, body)
			continue
		}
		g.events.wait(t, at(policy.StageResponseComplete, uri))
		if got := g.up.last(t).RequestURI; got != uri {
			t.Errorf("%s arrives as %s", uri, got)
		}
	}
	resp, _ := g.raw(t, "GET https://evil.example/api/v1/pods HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if r := g.up.last(t); resp.StatusCode != 200 || r.RequestURI != "/api/v1/pods" || r.Host == "evil.example" {
		t.Errorf("absolute: %s, %s at %s", resp.Status, r.RequestURI, r.Host)
	}
	before := len(g.up.requests())
	if resp, _ := g.raw(t, "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n"); resp.StatusCode < 400 || len(g.up.requests()) != before {
		t.Errorf("CONNECT: %s", resp.Status)
	}
}

// TestDeclaredProxy checks that the headers of declared proxies are believed, and those of
// others with a certificate are not.
func TestDeclaredProxy(t *testing.T) {
	g := newRig(t, nil, func(_ *rig, c *Config) { c.Clients.HeaderNames = []string{"gateway"} })
	claims := []string{"X-Remote-User: carol", "X-Remote-Group: g1", "X-Remote-Group: g2", "X-Remote-Uid: 7", "X-Remote-Extra-Example.com%2fscopes: a", "X-Forwarded-For: 192.0.2.1"}
	send := func(path string, pair tls.Certificate, header ...string) event {
		t.Helper()
		if resp, body := g.get(t, g.client(t, true, pair), path, header...); resp.StatusCode != 200 {
			t.Fatalf("%s %s", resp.Status, body)
		}
		return g.events.wait(t, at(policy.StageResponseComplete, path))
	}
	e := send("/declared", g.proxies.pair(t, pkix.Name{CommonName: "gateway"}), claims...)
	if e.User.Username != "carol" || e.User.UID != "7" || !slices.Equal(e.User.Groups, []string{"g1", "g2", authenticated}) ||
		!slices.Equal(e.User.Extra["example.com/scopes"], []string{"a"}) || !slices.Equal(e.SourceIPs, []string{"192.0.2.1", "127.0.0.1"}) {
		t.Errorf("event %+v", e)
	}
	h := g.up.last(t).Header
	if h.Get("X-Remote-User") != "carol" || h.Get("X-Remote-Uid") != "7" || h.Get("X-Remote-Extra-Example.com%2fscopes") != "a" || h.Get("X-Forwarded-For") != "192.0.2.1, 127.0.0.1" {
		t.Errorf("the upstream got %v", h)
	}
	if e := send("/no-claim", g.proxies.pair(t, pkix.Name{CommonName: "gateway"}), "Authorization: Bearer alice-token", "X-Forwarded-For: 192.0.2.1"); e.User.Username != "alice" || len(e.SourceIPs) != 2 {
		t.Errorf("event %+v", e)
	}
	if e := send("/user", g.users.pair(t, pkix.Name{CommonName: "bob"}), claims...); e.User.Username != "bob" || len(e.SourceIPs) != 1 {
		t.Errorf("event %+v", e)
	}
	// The CA of proxies is not one of users, and this is no name of a proxy.
	resp, _ := g.get(t, g.client(t, true, g.proxies.pair(t, pkix.Name{CommonName: "mallory"})), "/mallory", claims...)
	if e := g.events.wait(t, at(policy.StageResponseStarted, "/mallory")); resp.StatusCode != 401 || e.User.Username != "" {
		t.Errorf("%s, event %+v", resp.Status, e)
	}
	stranger := newAuthority(t, "users").pair(t, pkix.Name{CommonName: "bob"})
	if resp, _ := g.get(t, g.client(t, true, stranger), "/stranger"); resp.StatusCode != 401 {
		t.Errorf("a certificate of another CA: %s", resp.Status)
	}
	if e := send("/stranger-with-token", stranger, "Authorization: Bearer alice-token"); e.User.Username != "alice" {
		t.Errorf("event %+v", e)
	}
}

func TestTrustedAddress(t *testing.T) {
	for _, ranges := range [][]string{{"127.0.0.0/8"}, {"127.0.0.1"}} {
		g := newRig(t, nil, func(_ *rig, c *Config) { c.Clients.TrustedProxies = ranges })
		g.get(t, g.client(t, true), podPath, "X-Forwarded-For: 192.0.2.1, 192.0.2.2", "X-Real-Ip: 192.0.2.3", "X-Remote-User: root")
		e := g.events.wait(t, complete)
		if !slices.Equal(e.SourceIPs, []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "127.0.0.1"}) || e.User.Username != anonymous {
			t.Errorf("event %+v", e)
		}
		if got := g.up.last(t).Header.Get("X-Forwarded-For"); got != "192.0.2.1, 192.0.2.2, 127.0.0.1" {
			t.Errorf("the upstream got %q", got)
		}
	}
}
