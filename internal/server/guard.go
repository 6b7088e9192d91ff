package server

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard decides whether a request may be answered at all.
type guard struct {
	loopback bool   // only this machine can connect
	host     string // that the server listens on
	tokens   *reloaded[[sha256.Size]byte]
	certs    bool // a client certificate is a way in
	origin   *http.CrossOriginProtection
}

func newGuard(cfg Config, loopback bool, host string) (*guard, error) {
	g := &guard{loopback: loopback, host: host, certs: cfg.ClientCAFile != "", origin: http.NewCrossOriginProtection()}
	if cfg.TokenFile == "" {
		return g, nil
	}
	var err error
	if g.tokens, err = newReloaded(cfg.Logger, parseToken, cfg.TokenFile); err != nil {
		return nil, &startError{fmt.Sprintf("bearer token: %v", err), "make one: openssl rand -hex 32 > " + cfg.TokenFile}
	}
	return g, nil
}

const minTokenBytes = 16

// parseToken returns the hash of a token: it has the same length for all of them,
// so that comparing takes the same time.
func parseToken(contents [][]byte) ([sha256.Size]byte, error) {
	token := bytes.TrimSpace(contents[0])
	switch {
	case len(token) < minTokenBytes:
		return [sha256.Size]byte{}, fmt.Errorf("the token file holds %d characters, at least %d are needed", len(token), minTokenBytes)
	case bytes.ContainsAny(token, " \t\r\n"):
		return [sha256.Size]byte{}, errors.New("the token file holds more than one word")
	}
	return sha256.Sum256(token), nil
}

// check returns why r is refused, or nil. Routes that are open ask for no
// credentials: probes of a kubelet have none.
func (g *guard) check(w http.ResponseWriter, r *http.Request, open bool) error {
	if g.loopback && !g.knownHost(r.Host) {
		// A page of another site whose name was made to resolve to 127.0.0.1
		// would otherwise be allowed by the browser to read the answer.
		return newError(http.StatusForbidden, "BadHost", fmt.Sprintf("this server does not go by the name %q", r.Host),
			"use localhost or 127.0.0.1")
	}
	if err := g.origin.Check(r); err != nil {
		return newError(http.StatusForbidden, "CrossOrigin", err.Error(), "")
	}
	if open || g.tokens == nil && !g.certs || g.authenticated(r) {
		return nil
	}
	if g.tokens == nil {
		return newError(http.StatusUnauthorized, "Unauthorized", "no valid client certificate", "show one that the server's client CA has signed")
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="kubetrail", charset="UTF-8"`)
	w.Header().Add("WWW-Authenticate", `Bearer realm="kubetrail"`)
	return newError(http.StatusUnauthorized, "Unauthorized", "no valid credentials",
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

// authenticated reports whether r comes with a certificate of the client CA or
// with the token, which a browser can only send as a password.
func (g *guard) authenticated(r *http.Request) bool {
	if g.certs && r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return true
	}
	if g.tokens == nil {
		return false
	}
	_, token, ok := r.BasicAuth()
	if !ok {
		var scheme string
		scheme, token, ok = strings.Cut(r.Header.Get("Authorization"), " ")
		ok = ok && strings.EqualFold(scheme, "Bearer")
	}
	given, want := sha256.Sum256([]byte(strings.TrimSpace(token))), g.tokens.get()
	return subtle.ConstantTimeCompare(given[:], want[:]) == 1 && ok
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

// newTLS returns how to speak TLS, nil for not at all.
func newTLS(cfg Config) (*tls.Config, error) {
	if cfg.CertFile == "" {
		return nil, nil
	}
	cert, err := newReloaded(cfg.Logger, parseKeyPair, cfg.CertFile, cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("TLS certificate %s and key %s: %w", cfg.CertFile, cfg.KeyFile, err)
	}
	t := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.get(), nil },
	}
	if cfg.ClientCAFile == "" {
		return t, nil
	}
	pool, err := newReloaded(cfg.Logger, parsePool, cfg.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("client CA %s: %w", cfg.ClientCAFile, err)
	}
	t.ClientAuth = tls.VerifyClientCertIfGiven // the guard asks for one, but not of probes
	t.SessionTicketsDisabled = true            // or a CA taken out of the file would live on in resumed sessions
	withoutPool := t.Clone()
	t.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := withoutPool.Clone()
		c.ClientCAs = pool.get()
		return c, nil
	}
	return t, nil
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
