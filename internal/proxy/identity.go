package proxy

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"kubetrail/internal/service"
	"kubetrail/record"
)

// Names of Kubernetes that everybody knows.
const (
	anonymous       = "system:anonymous"
	authenticated   = "system:authenticated"
	unauthenticated = "system:unauthenticated"
	credentialID    = "authentication.kubernetes.io/credential-id"
)

// A way is how the upstream is told who sends a request.
type way int

const (
	asItself way = iota // by what the client sent itself
	forUser             // by the proxy, see Forward
	nobody              // not at all: the proxy refuses
)

// An identity is who sends one request.
type identity struct {
	user    *record.User // nil: not known, or nobody
	way     way
	refused bool         // the credentials are no good
	why     string       // the proxy refuses, where way is nobody
	unknown string       // why the user is not known, where the upstream may know
	key     key          // of a review that the identity is from
	wanted  *record.User // whom the client impersonates, nil for nobody
}

// A peer is what is known of one connection.
type peer struct {
	conn net.Conn

	mu sync.Mutex // guards what follows
	of [2]*x509.CertPool
	certificate
}

// certificate is what a certificate that a client has shown is good for.
type certificate struct {
	until time.Time    // all that follows holds
	front bool         // it is a declared proxy
	user  *record.User // of CAFile, or nil
	err   error        // why it is good for nothing
}

type peerKey struct{}

// identifier tells who sends requests.
type identifier struct {
	clients  *Clients
	users    *service.Reloaded[*x509.CertPool] // nil: no certificate is good
	proxies  *service.Reloaded[*x509.CertPool] // nil: no proxy is declared
	reviewer *reviewer
	now      func() time.Time
}

// identify tells who sends r, and takes the headers away that are not to be believed.
// Order and rules are kube-apiserver's: declared proxy, certificate, token, nobody.
func (i *identifier) identify(r *http.Request, s *sanitizer) identity {
	s.hop(r.Header)
	shown := i.shown(r)
	var id identity
	switch {
	case shown.front && i.claimed(r.Header) != "":
		id = identity{user: i.remote(r.Header), way: forUser}
	case shown.user != nil:
		id = identity{user: shown.user, way: forUser}
	}
	s.claims(r.Header)
	if !shown.front && !i.clients.trusts(r.RemoteAddr) {
		s.origin(r.Header)
	}
	if id.user == nil {
		id = i.credentials(r, shown.err)
	} else { // the upstream shall not see two users
		delete(r.Header, "Authorization")
		withoutToken(r.Header)
	}
	switch {
	case id.way != forUser:
	case !travels(id.user):
		id.way, id.why = nobody, "the name of the user or of a group does not pass through a header as it is"
	default:
		i.reviewer.confirm(r.Context(), &id)
	}
	id.wanted = wanted(r.Header)
	return id
}

// credentials tells who shows the token, if any, of a request.
func (i *identifier) credentials(r *http.Request, bad error) identity {
	values := r.Header["Authorization"]
	token, err := protocolToken(r)
	if err != nil {
		return identity{refused: true, way: nobody, why: err.Error()}
	}
	if token != "" {
		if len(values) > 0 {
			// kube-apiserver takes the second one where the first is no good.
			return identity{refused: true, way: nobody, why: "there are two tokens: one in the header Authorization, one in Sec-WebSocket-Protocol"}
		}
		values = []string{"Bearer " + token}
	}
	if len(values) > 0 && strings.TrimSpace(values[0]) != "" {
		if !proper(values[0]) {
			return identity{refused: true, way: nobody, why: "the header Authorization is too long, or its token has spaces"}
		}
		if len(values) > 1 { // kube-apiserver looks at the first one only
			values = values[:1]
			r.Header["Authorization"] = values
		}
		return i.reviewer.whose(r.Context(), values)
	}
	if bad != nil {
		return identity{refused: true, way: nobody, why: bad.Error()}
	}
	return identity{user: &record.User{Username: anonymous, Groups: []string{unauthenticated}}}
}

// maxAuthorization is how long a header Authorization may be: with a longer one the
// question whose it is might not pass where the request does.
const maxAuthorization = 64 << 10

// proper tells whether a header Authorization has nothing in it that kube-apiserver does
// not look at, by which one token could be written in any number of ways.
func proper(authorization string) bool {
	if len(authorization) > maxAuthorization {
		return false
	}
	words := strings.Fields(authorization)
	return len(words) <= 2 || !strings.EqualFold(words[0], "bearer")
}

// tokenProtocol begins the WebSocket subprotocol in which browsers send tokens.
const tokenProtocol = "base64url.bearer.authorization.k8s.io."

// protocolToken returns the token in the subprotocols of a WebSocket handshake. One that
// does not stand in a header Authorization as it is has no user: the upstream, asked by
// that header, would not tell of the same. Upstream: pkg/authentication/request/websocket.
func protocolToken(r *http.Request) (string, error) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return "", nil
	}
	seen, token := false, ""
	for _, line := range r.Header["Sec-Websocket-Protocol"] {
		for protocol := range strings.SplitSeq(line, ",") {
			encoded, ok := strings.CutPrefix(strings.TrimSpace(protocol), tokenProtocol)
			if !ok {
				continue
			}
			text, err := base64.RawURLEncoding.DecodeString(encoded)
			if err != nil || seen || slices.ContainsFunc(text, func(c byte) bool { return c <= ' ' || c >= 0x7f }) {
				return "", errors.New("the token in Sec-WebSocket-Protocol cannot be read")
			}
			seen, token = true, string(text)
		}
	}
	return token, nil
}

// withoutToken takes tokens out of the subprotocols of a WebSocket handshake.
func withoutToken(h http.Header) {
	var left []string
	for _, line := range h["Sec-Websocket-Protocol"] {
		for protocol := range strings.SplitSeq(line, ",") {
			if protocol = strings.TrimSpace(protocol); !strings.HasPrefix(protocol, tokenProtocol) {
				left = append(left, protocol)
			}
		}
	}
	if h.Del("Sec-Websocket-Protocol"); left != nil {
		h["Sec-Websocket-Protocol"] = []string{strings.Join(left, ",")}
	}
}

// travels tells whether headers bring a user to the upstream unchanged: the spaces around
// a value get lost, so that "system:masters " would arrive as the group without it.
func travels(u *record.User) bool {
	bad := func(v string) bool {
		return strings.TrimSpace(v) != v || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
	}
	for _, values := range u.Extra {
		if slices.ContainsFunc(values, bad) {
			return false
		}
	}
	return !bad(u.Username) && !bad(u.UID) && !slices.ContainsFunc(u.Groups, bad)
}

// claimed returns the name that a declared proxy gives.
func (i *identifier) claimed(h http.Header) string {
	for _, name := range i.clients.UserHeaders {
		if v := h.Get(name); v != "" {
			return v
		}
	}
	return ""
}

// remote reads the user out of the headers of a declared proxy. Upstream: headerrequest.
func (i *identifier) remote(h http.Header) *record.User {
	u := &record.User{Username: i.claimed(h)}
	for _, name := range i.clients.UIDHeaders {
		if u.UID == "" {
			u.UID = h.Get(name)
		}
	}
	for _, name := range i.clients.GroupHeaders {
		for _, v := range h.Values(name) {
			if v != "" {
				u.Groups = append(u.Groups, v)
			}
		}
	}
	for _, prefix := range i.clients.ExtraPrefixes {
		u.Extra = extras(u.Extra, h, prefix)
	}
	u.Groups = withAuthenticated(u.Username, u.Groups)
	return u
}

// extras adds the values of all headers with a prefix to a map, by their keys.
func extras(to map[string][]string, h http.Header, prefix string) map[string][]string {
	for name, values := range h {
		if len(name) < len(prefix) || !strings.EqualFold(name[:len(prefix)], prefix) || len(values) == 0 {
			continue
		}
		k := strings.ToLower(name[len(prefix):])
		if plain, err := url.PathUnescape(k); err == nil {
			k = plain
		}
		if to == nil {
			to = map[string][]string{}
		}
		to[k] = append(to[k], values...)
	}
	return to
}

// withAuthenticated adds the group of everybody who is known. Upstream:
// group.AuthenticatedGroupAdder.
func withAuthenticated(name string, groups []string) []string {
	if name == anonymous || slices.Contains(groups, authenticated) || slices.Contains(groups, unauthenticated) {
		return groups
	}
	return append(slices.Clone(groups), authenticated)
}

// shown tells what the certificate is good for that the client of r has shown. It is
// looked at once for each connection, and again when a CA or the time changes.
func (i *identifier) shown(r *http.Request) certificate {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || i.users == nil && i.proxies == nil {
		return certificate{}
	}
	var pools [2]*x509.CertPool
	if i.users != nil {
		pools[0] = i.users.Get()
	}
	if i.proxies != nil {
		pools[1] = i.proxies.Get()
	}
	now := i.now()
	p, _ := r.Context().Value(peerKey{}).(*peer)
	if p == nil {
		return i.look(r.TLS, pools, now)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of != pools || !now.Before(p.until) {
		p.of, p.certificate = pools, i.look(r.TLS, pools, now)
	}
	return p.certificate
}

// look verifies a certificate. Upstream: pkg/authentication/request/x509.
func (i *identifier) look(state *tls.ConnectionState, pools [2]*x509.CertPool, now time.Time) certificate {
	leaf := state.PeerCertificates[0]
	c := certificate{until: now.Add(time.Hour)}
	intermediates := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		intermediates.AddCert(cert)
	}
	verify := func(roots *x509.CertPool) error {
		chains, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: now,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err != nil {
			return err
		}
		for _, cert := range chains[0] {
			if cert.NotAfter.Before(c.until) {
				c.until = cert.NotAfter
			}
		}
		return nil
	}
	var errs []error
	if pools[1] != nil {
		err := verify(pools[1])
		if err == nil && len(i.clients.HeaderNames) > 0 && !slices.Contains(i.clients.HeaderNames, leaf.Subject.CommonName) {
			err = fmt.Errorf("common name %q is not allowed", leaf.Subject.CommonName)
		}
		if c.front = err == nil; err != nil {
			errs = append(errs, err)
		}
	}
	if pools[0] != nil {
		err := verify(pools[0])
		if err == nil && leaf.Subject.CommonName != "" {
			c.user = userOf(leaf)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if !c.front && c.user == nil && len(errs) > 0 {
		c.err = errs[len(errs)-1]
	}
	return c
}

// userOf is the user that a certificate names.
func userOf(cert *x509.Certificate) *record.User {
	hash := sha256.Sum256(cert.Raw)
	return &record.User{
		Username: cert.Subject.CommonName,
		Groups:   withAuthenticated(cert.Subject.CommonName, cert.Subject.Organization),
		UID:      uidOf(cert),
		Extra:    map[string][]string{credentialID: {"X509SHA256=" + hex.EncodeToString(hash[:])}},
	}
}

// uidOf is the UID in a subject, where there is exactly one. Upstream: parseUIDFromCert.
func uidOf(cert *x509.Certificate) string {
	uid := ""
	for _, name := range cert.Subject.Names {
		if name.Type.String() != "1.3.6.1.4.1.57683.2" {
			continue
		}
		value, ok := name.Value.(string)
		if !ok || uid != "" {
			return ""
		}
		uid = value
	}
	return uid
}
