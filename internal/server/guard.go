package server

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"kubetrail/internal/access"
	"kubetrail/internal/config"
)

// guard decides who may be answered at all.
type guard struct {
	*access.Gate
	loopback bool   // only this machine can connect
	host     string // that the server listens on
	origin   *http.CrossOriginProtection
}

func newGuard(cfg Config) (*guard, error) {
	gate, err := access.New(cfg.Access, cfg.Listen, cfg.Logger)
	if err != nil {
		return nil, err
	}
	g := &guard{Gate: gate, origin: http.NewCrossOriginProtection()}
	g.loopback, g.host, err = config.Loopback(cfg.Listen)
	return g, err
}

// check returns what r may do, or why it is refused. Routes that are open ask for no
// credentials: probes of a kubelet have none.
func (g *guard) check(w http.ResponseWriter, r *http.Request, open bool) (access.Grants, error) {
	if g.loopback && !g.knownHost(r.Host) {
		// A page of another site whose name was made to resolve to 127.0.0.1
		// would otherwise be allowed by the browser to read the answer.
		return nil, newError(http.StatusForbidden, "BadHost", fmt.Sprintf("this server does not go by the name %q", r.Host),
			"use localhost or 127.0.0.1")
	}
	if err := g.origin.Check(r); err != nil {
		return nil, newError(http.StatusForbidden, "CrossOrigin", err.Error(), "")
	}
	if open {
		return nil, nil
	}
	if may := g.Of(r); len(may) > 0 {
		return may, nil
	}
	if !g.Tokens() {
		return nil, newError(http.StatusUnauthorized, "Unauthorized", "no valid client certificate", "show one that the server's client CA has signed")
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="kubetrail", charset="UTF-8"`)
	w.Header().Add("WWW-Authenticate", `Bearer realm="kubetrail"`)
	return nil, newError(http.StatusUnauthorized, "Unauthorized", "no valid credentials",
		"send the header Authorization: Bearer TOKEN; in a browser give the token as the password, under any name")
}

func (g *guard) knownHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") || strings.EqualFold(host, g.host) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// secure sets the headers that keep a browser from doing with an answer what it
// was not made for. No page has a script.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'self'; script-src 'none'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// authorize decides whether a request that may do so much may be answered by a route, and
// returns the context to answer it in: one in which the trail shows no other clusters
// than those that may be seen.
func authorize(r *http.Request, rt route, may access.Grants) (context.Context, error) {
	if rt.open {
		return r.Context(), nil
	}
	role := cmp.Or(rt.role, config.Read)
	clusters, all, ok := may.Allowed(role)
	refuse := func(what string) (context.Context, error) {
		return nil, newError(http.StatusForbidden, "Forbidden", what, "what is good for what stands under tokens and certificates of the server's configuration")
	}
	cluster := r.PathValue("cluster")
	switch {
	case !ok:
		return refuse(fmt.Sprintf("these credentials do not have the role %s", role))
	case all, role == config.Metrics:
		return r.Context(), nil
	case cluster == "" && role == config.Read:
		return access.WithClusters(r.Context(), clusters), nil
	case !slices.Contains(clusters, cluster):
		return refuse(fmt.Sprintf("these credentials do not have the role %s for this cluster", role))
	}
	return r.Context(), nil
}
