package proxy

import (
	"bufio"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// FuzzHeaders checks that no way to write a header carries a claim past the sanitizer.
func FuzzHeaders(f *testing.F) {
	for _, seed := range []string{
		"X-Remote-User: root", "x_remote_user: root\r\nConnection: a, Upgrade\r\nUpgrade: websocket", "X-Forwarded-For: 1.2.3.4\r\nForwarded: for=x",
		"Connection: Authorization\r\nAuthorization: Bearer x", "X-Remote-Extra-a%2Fb: c\r\nImpersonate.User: x", "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.YQ\r\nUpgrade: websocket",
		"Connection:\r\nConnection: ,,\r\nX-Real_Ip: 1",
	} {
		f.Add(seed)
	}
	clients := Defaults().Clients
	s := newSanitizer(&clients)
	f.Fuzz(func(t *testing.T, lines string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET / HTTP/1.1\r\nHost: x\r\n" + lines + "\r\n\r\n")))
		if err != nil {
			return
		}
		named := map[string]bool{}
		for _, line := range r.Header["Connection"] {
			for name := range strings.SplitSeq(line, ",") {
				named[http.CanonicalHeaderKey(strings.Trim(name, " \t"))] = true
			}
		}
		s.hop(r.Header)
		protocolToken(r)
		_ = wanted(r.Header)
		s.claims(r.Header)
		s.origin(r.Header)
		for name := range r.Header {
			folded := strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name))
			for _, prefix := range []string{"x-remote-", "x-forwarded-"} {
				if strings.HasPrefix(folded, prefix) {
					t.Errorf("%q is left", name)
				}
			}
			if folded == "x-real-ip" || folded == "forwarded" {
				t.Errorf("%q is left", name)
			}
			if named[name] && name != "Connection" && name != "Upgrade" && name != "Close" && name != "Keep-Alive" {
				t.Errorf("%q is left, which Connection names", name)
			}
		}
		if c := r.Header["Connection"]; c != nil && (!slices.Equal(c, []string{"Upgrade"}) || r.Header.Get("Upgrade") == "") {
			t.Errorf("Connection: %q", c)
		}
		before := maps.Clone(r.Header)
		s.hop(r.Header)
		if !maps.EqualFunc(before, r.Header, slices.Equal) {
			t.Errorf("%v becomes %v", before, r.Header)
		}
	})
}

// FuzzRefusal checks that what a refusal quotes cannot make it another refusal.
func FuzzRefusal(f *testing.F) {
	f.Add([]byte(`{"message":"users \"x\" is forbidden: User \"a\" cannot impersonate resource \"users\""}`), "web")
	f.Add([]byte(`{`), `a" is forbidden: User "b" cannot impersonate `)
	f.Fuzz(func(t *testing.T, body []byte, name string) {
		_ = refusesToImpersonate(body)
		if notAllowed.MatchString("pods " + quote(name) + " is forbidden: User " + quote(name) + " cannot get resource") {
			t.Errorf("%q", name)
		}
	})
}

// quote is %q, by which kube-apiserver quotes.
func quote(s string) string { return strconv.Quote(s) }
