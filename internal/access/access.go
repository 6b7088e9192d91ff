// Package access decides who may do what: bearer tokens and client certificates have
// roles, for all clusters or for some. It shows each request the part of a trail that it
// may see.
package access

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"kubetrail/internal/config"
	"kubetrail/internal/service"
)

// Rules say who may do what. Files are read again when they change; a new version
// that is no good is logged and the old one kept.
type Rules struct {
	TLS          config.TLS
	Tokens       []config.Token
	Certificates []config.Certificate // needs TLS.ClientCA
}

// Everybody is the access of whoever shows the token in a file, or a certificate of a
// client CA: all roles. Either may be "".
func Everybody(tokenFile string, t config.TLS) Rules {
	a := Rules{TLS: t}
	if tokenFile != "" {
		a.Tokens = []config.Token{{Name: "token", File: tokenFile, Roles: config.Roles()}}
	}
	if t.ClientCA != "" {
		a.Certificates = []config.Certificate{{Name: "certificate", Roles: config.Roles()}}
	}
	return a
}

// startError is an error that says what to do about it.
type startError struct{ message, hint string }

func (e *startError) Error() string { return e.message }

// Hint returns the next step, one line.
func (e *startError) Hint() string { return e.hint }

// A Gate knows what each request may do. It is safe for concurrent use.
type Gate struct {
	listen   string
	loopback bool // only this machine can connect
	log      *slog.Logger
	now      atomic.Pointer[credentials]
}

// New reads the files that rules name, for a server that listens on an address. Its
// error may have a method Hint() string.
func New(rules Rules, listen string, log *slog.Logger) (*Gate, error) {
	loopback, _, err := config.Loopback(listen)
	if err != nil {
		return nil, &startError{fmt.Sprintf("address %q %v", listen, err), "write it as host:port, as in " + config.Defaults("").Listen}
	}
	g := &Gate{listen: listen, loopback: loopback, log: log}
	return g, g.change(rules)
}

// Change puts other rules in force, for every request and handshake from now on, whole
// or, with an error, not at all. Whether TLS is spoken at all cannot change.
func (g *Gate) Change(rules Rules) error {
	if (rules.TLS.Cert != "") != (g.now.Load().tls != nil) {
		return &startError{"whether TLS is spoken is decided at the start", "start again"}
	}
	return g.change(rules)
}

func (g *Gate) change(rules Rules) error {
	if err := rules.check(g.listen, g.loopback); err != nil {
		return err
	}
	c, err := readAccess(rules, g.log)
	if err != nil {
		return err
	}
	g.now.Store(c)
	return nil
}

// Of returns what r may do by what it shows, nil for nothing.
func (g *Gate) Of(r *http.Request) Grants { return g.now.Load().of(r) }

// Tokens tells whether a token can be a way in.
func (g *Gate) Tokens() bool { return len(g.now.Load().tokens) > 0 }

// grant is what somebody may do.
type grant struct {
	roles    []config.Role
	clusters []string // nil: all
}

// Grants are everything that one request may do: what any of them allows.
type Grants []grant

// Allowed returns the clusters for which a role is granted; all tells that it is for
// every cluster, ok that it is granted at all.
func (g Grants) Allowed(role config.Role) (clusters []string, all, ok bool) {
	for _, x := range g {
		switch {
		case !slices.Contains(x.roles, role) &&
			(role != config.Metrics || len(x.clusters) > 0 || !slices.Contains(x.roles, config.Read)): // metrics tell of all
		case len(x.clusters) == 0:
			return nil, true, true
		default:
			clusters, ok = append(clusters, x.clusters...), true
		}
	}
	return clusters, false, ok
}

// everything is what may be done where nobody is asked who they are.
func everything() Grants { return Grants{{roles: config.Roles()}} }

// credentials are the tokens and certificates that are known at a time.
type credentials struct {
	tokens []token
	certs  []config.Certificate // empty: no certificate is a way in
	tls    *tlsFiles            // nil: plain HTTP
}

type token struct {
	name string
	hash *service.Reloaded[[sha256.Size]byte]
	grant
}

// tlsFiles are what a handshake takes from files.
type tlsFiles struct {
	pair *service.Reloaded[*tls.Certificate]
	pool *service.Reloaded[*x509.CertPool] // nil: no client certificate is asked for
}

// readAccess reads the files that a names. Its error may have a method Hint() string.
func readAccess(a Rules, log *slog.Logger) (*credentials, error) {
	c := &credentials{certs: a.Certificates}
	for _, t := range a.Tokens {
		hash, err := service.NewReloaded(log, parseToken, t.File)
		if err != nil {
			return nil, &startError{fmt.Sprintf("bearer token: %v", err), "make one: openssl rand -hex 32 > " + t.File}
		}
		c.tokens = append(c.tokens, token{t.Name, hash, grant{t.Roles, t.Clusters}})
	}
	if a.TLS.Cert == "" {
		return c, nil
	}
	c.tls = &tlsFiles{}
	var err error
	if c.tls.pair, err = service.NewReloaded(log, parseKeyPair, a.TLS.Cert, a.TLS.Key); err != nil {
		return nil, fmt.Errorf("TLS certificate %s and key %s: %w", a.TLS.Cert, a.TLS.Key, err)
	}
	if a.TLS.ClientCA == "" {
		return c, nil
	}
	if c.tls.pool, err = service.NewReloaded(log, parsePool, a.TLS.ClientCA); err != nil {
		return nil, fmt.Errorf("client CA %s: %w", a.TLS.ClientCA, err)
	}
	return c, nil
}

// CheckFiles reads the files that a names, and tells what is wrong with those that are
// of no use, by the path of the field that names them.
func (a Rules) CheckFiles() map[string]error {
	log, wrong := slog.New(slog.DiscardHandler), map[string]error{}
	for i, t := range a.Tokens {
		if _, err := readAccess(Rules{Tokens: []config.Token{t}}, log); err != nil {
			wrong[fmt.Sprintf("tokens[%d].file", i)] = err
		}
	}
	if a.TLS.Cert == "" {
		return wrong
	}
	if _, err := readAccess(Rules{TLS: config.TLS{Cert: a.TLS.Cert, Key: a.TLS.Key}}, log); err != nil {
		wrong["tls.cert"] = err
	} else if _, err := readAccess(Rules{TLS: a.TLS}, log); err != nil {
		wrong["tls.clientCA"] = err
	}
	return wrong
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

// none tells that nothing would tell who asks.
func (c *credentials) none() bool { return len(c.tokens) == 0 && len(c.certs) == 0 }

// of returns what r may do by what it shows: a certificate of the client CA, a token,
// which a browser can only send as a password, or both. It compares with every token,
// and the same way whether one is equal or not, so that time tells nothing.
func (c *credentials) of(r *http.Request) Grants {
	if c.none() {
		return everything()
	}
	var all Grants
	if len(c.certs) > 0 && r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		subject := r.TLS.VerifiedChains[0][0].Subject
		for _, x := range c.certs {
			if (x.CommonName == "" || x.CommonName == subject.CommonName) &&
				(x.Organization == "" || slices.Contains(subject.Organization, x.Organization)) {
				all = append(all, grant{x.Roles, x.Clusters})
			}
		}
	}
	_, given, ok := r.BasicAuth()
	if !ok {
		var scheme string
		scheme, given, ok = strings.Cut(r.Header.Get("Authorization"), " ")
		ok = ok && strings.EqualFold(scheme, "Bearer")
	}
	hash := sha256.Sum256([]byte(strings.TrimSpace(given)))
	for _, t := range c.tokens {
		want := t.hash.Get()
		if subtle.ConstantTimeCompare(hash[:], want[:]) == 1 && ok {
			all = append(all, t.grant)
		}
	}
	return all
}

// check looks at what goes together, before any file is read.
func (a Rules) check(listen string, loopback bool) error {
	switch t := a.TLS; {
	case (t.Cert == "") != (t.Key == ""):
		return &startError{"a TLS certificate and its key go together, one of them is missing", "give both files or none"}
	case t.ClientCA != "" && t.Cert == "":
		return &startError{"client certificates need TLS, and there is no server certificate", "give a certificate and key file as well"}
	case (t.ClientCA == "") != (len(a.Certificates) == 0):
		return &startError{"a client CA and what its certificates are good for go together, one of them is missing", "give both or none"}
	case !loopback && len(a.Tokens) == 0 && len(a.Certificates) == 0:
		return &startError{
			fmt.Sprintf("%s can be reached from other machines, and nothing would tell who asks: audit events hold secrets", listen),
			"give a bearer token file or a client CA file, or listen on " + config.Defaults("").Listen,
		}
	}
	return nil
}

// TLS returns how to speak TLS, nil for not at all. What it takes from files is what
// the rules name at the time of a handshake.
func (g *Gate) TLS() *tls.Config {
	if g.now.Load().tls == nil {
		return nil
	}
	t := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return g.now.Load().tls.pair.Get(), nil },

		// A CA taken out of the file, or the file out of the configuration, would live on
		// in resumed sessions.
		SessionTicketsDisabled: true,
	}
	plain := t.Clone()
	t.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := plain.Clone()
		if pool := g.now.Load().tls.pool; pool != nil {
			c.ClientAuth = tls.VerifyClientCertIfGiven // the guard asks for one, but not of probes
			c.ClientCAs = pool.Get()
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
