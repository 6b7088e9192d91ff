package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
)

// guard decides who may be answered at all.
type guard struct {
	loopback bool   // only this machine can connect
	host     string // that the server listens on
	origin   *http.CrossOriginProtection
	log      *slog.Logger
	access   atomic.Pointer[credentials]
}

func newGuard(cfg Config, loopback bool, host string) (*guard, error) {
	g := &guard{loopback: loopback, host: host, origin: http.NewCrossOriginProtection(), log: cfg.Logger}
	return g, g.change(cfg.Access, cfg.Listen)
}

// change puts another access in force, whole or, with an error, not at all.
func (g *guard) change(a Access, listen string) error {
	if err := checkAccess(a, listen, g.loopback); err != nil {
		return err
	}
	c, err := readAccess(a, g.log)
	if err != nil {
		return err
	}
	g.access.Store(c)
	return nil
}

// check returns what r may do, or why it is refused. Routes that are open ask for no
// credentials: probes of a kubelet have none.
func (g *guard) check(w http.ResponseWriter, r *http.Request, open bool) (grants, error) {
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
	access := g.access.Load()
	may := access.of(r)
	if len(may) > 0 {
		return may, nil
	}
	if len(access.tokens) == 0 {
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

// newTLS returns how to speak TLS, nil for not at all. What it takes from files is what
// access names at the time of a handshake.
func (g *guard) newTLS() *tls.Config {
	if g.access.Load().tls == nil {
		return nil
	}
	t := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return g.access.Load().tls.pair.get(), nil },

		// A CA taken out of the file, or the file out of the configuration, would live on
		// in resumed sessions.
		SessionTicketsDisabled: true,
	}
	plain := t.Clone()
	t.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := plain.Clone()
		if pool := g.access.Load().tls.pool; pool != nil {
			c.ClientAuth = tls.VerifyClientCertIfGiven // the guard asks for one, but not of probes
			c.ClientCAs = pool.get()
		}
		return c, nil
	}
	return t
}

func parseKeyPair(contents [][]byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	return &pair, err
}

func parsePool(contents [][]byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(contents[0]) {
		return nil, errors.New("holds no PEM certificate")
	}
	return pool, nil
}
