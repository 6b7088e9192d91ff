package server

import (
	"bytes"
	"cmp"
	"context"
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

	"kubetrail/internal/config"
)

// Access says who may do what. Files are read again when they change; a new version
// that is no good is logged and the old one kept.
type Access struct {
	TLS          config.TLS
	Tokens       []config.Token
	Certificates []config.Certificate // needs TLS.ClientCA
}

// Everybody is the access of whoever shows the token in a file, or a certificate of a
// client CA: all roles. Either may be "".
func Everybody(tokenFile string, t config.TLS) Access {
	a := Access{TLS: t}
	if tokenFile != "" {
		a.Tokens = []config.Token{{Name: "token", File: tokenFile, Roles: config.Roles()}}
	}
	if t.ClientCA != "" {
		a.Certificates = []config.Certificate{{Name: "certificate", Roles: config.Roles()}}
	}
	return a
}

// grant is what somebody may do.
type grant struct {
	roles    []config.Role
	clusters []string // nil: all
}

// grants are everything that one request may do: what any of them allows.
type grants []grant

// allowed returns the clusters for which a role is granted; all tells that it is for
// every cluster, ok that it is granted at all.
func (g grants) allowed(role config.Role) (clusters []string, all, ok bool) {
	for _, x := range g {
		switch {
		case !slices.Contains(x.roles, role) && (role != config.Metrics || !slices.Contains(x.roles, config.Read)):
		case len(x.clusters) == 0:
			return nil, true, true
		default:
			clusters, ok = append(clusters, x.clusters...), true
		}
	}
	return clusters, false, ok
}

// everything is what may be done where nobody is asked who they are.
func everything() grants { return grants{{roles: config.Roles()}} }

// credentials are the tokens and certificates that are known at a time.
type credentials struct {
	tokens []token
	certs  []config.Certificate // empty: no certificate is a way in
	tls    *tlsFiles            // nil: plain HTTP
}

type token struct {
	name string
	hash *reloaded[[sha256.Size]byte]
	grant
}

// tlsFiles are what a handshake takes from files.
type tlsFiles struct {
	pair *reloaded[*tls.Certificate]
	pool *reloaded[*x509.CertPool] // nil: no client certificate is asked for
}

// readAccess reads the files that a names. Its error may have a method Hint() string.
func readAccess(a Access, log *slog.Logger) (*credentials, error) {
	c := &credentials{certs: a.Certificates}
	for _, t := range a.Tokens {
		hash, err := newReloaded(log, parseToken, t.File)
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
	if c.tls.pair, err = newReloaded(log, parseKeyPair, a.TLS.Cert, a.TLS.Key); err != nil {
		return nil, fmt.Errorf("TLS certificate %s and key %s: %w", a.TLS.Cert, a.TLS.Key, err)
	}
	if a.TLS.ClientCA == "" {
		return c, nil
	}
	if c.tls.pool, err = newReloaded(log, parsePool, a.TLS.ClientCA); err != nil {
		return nil, fmt.Errorf("client CA %s: %w", a.TLS.ClientCA, err)
	}
	return c, nil
}

// CheckFiles reads the files that a names, and tells what is wrong with those that are
// of no use, by the path of the field that names them.
func (a Access) CheckFiles() map[string]error {
	log, wrong := slog.New(slog.DiscardHandler), map[string]error{}
	for i, t := range a.Tokens {
		if _, err := readAccess(Access{Tokens: []config.Token{t}}, log); err != nil {
			wrong[fmt.Sprintf("tokens[%d].file", i)] = err
		}
	}
	if a.TLS.Cert == "" {
		return wrong
	}
	if _, err := readAccess(Access{TLS: config.TLS{Cert: a.TLS.Cert, Key: a.TLS.Key}}, log); err != nil {
		wrong["tls.cert"] = err
	} else if _, err := readAccess(Access{TLS: a.TLS}, log); err != nil {
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
func (c *credentials) of(r *http.Request) grants {
	if c.none() {
		return everything()
	}
	var all grants
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
		want := t.hash.get()
		if subtle.ConstantTimeCompare(hash[:], want[:]) == 1 && ok {
			all = append(all, t.grant)
		}
	}
	return all
}

// authorize decides whether a request that may do g may be answered by a route, and
// returns the context to answer it in: one in which the trail shows no other clusters
// than those that may be seen.
func authorize(r *http.Request, rt route, g grants) (context.Context, error) {
	if rt.open {
		return r.Context(), nil
	}
	role := cmp.Or(rt.role, config.Read)
	clusters, all, ok := g.allowed(role)
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
		return withClusters(r.Context(), clusters), nil
	case !slices.Contains(clusters, cluster):
		return refuse(fmt.Sprintf("these credentials do not have the role %s for this cluster", role))
	}
	return r.Context(), nil
}
