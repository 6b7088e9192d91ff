package proxy

import (
	"crypto/x509/pkix"
	"fmt"
	"slices"
	"strings"
	"testing"

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
