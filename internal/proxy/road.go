package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"

	"kubetrail/internal/service"
	"kubetrail/record"
)

// lookEvery is how often files are looked at that requests need.
const lookEvery = time.Second

// maxUnread bounds what the upstream may send of one stream before its client has read
// it, and so what a client that does not read costs.
const maxUnread = 1 << 20

// roads are the ways to the upstream. Requests of clients who bring their credentials
// never go by a connection with the proxy's own certificate: without credentials of
// their own they would be the proxy.
type roads struct {
	clients *Clients
	forward *Forward
	ca      *service.Reloaded[*x509.CertPool] // nil: those of the machine
	fixed   *x509.CertPool                    // of a kubeconfig
	pair    *service.Reloaded[*tls.Certificate]
	token   *service.Reloaded[string]
	name    string // of the upstream's certificate
	dialer  net.Dialer

	dials dials
	bare  [2]*http.Transport // HTTP/2 and, for upgrades, HTTP/1.1
	own   [2]atomic.Pointer[ownRoad]
}

// dials bounds how many connections are made at a time. http.Transport makes one for each
// request that finds none with room, though the first one will do for a hundred.
type dials struct {
	slots chan struct{}

	mu   sync.Mutex // guards what follows
	next *failure   // of those under way
}

// A failure is shared by those who wait.
type failure struct {
	done chan struct{} // closed when err is set
	err  error
}

func newDials(n int) dials {
	return dials{slots: make(chan struct{}, n), next: &failure{done: make(chan struct{})}}
}

// errNotNeeded ends a dial for a request that has found a connection.
var errNotNeeded = errors.New("the request went by another connection")

// do makes a connection when it is its turn.
func (d *dials) do(ctx context.Context, dial func() (net.Conn, error)) (net.Conn, error) {
	d.mu.Lock()
	f := d.next
	d.mu.Unlock()
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-f.done:
		return nil, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s := passageOf(ctx); s != nil && s.sent.Load() {
		return nil, errNotNeeded
	}
	conn, err := dial()
	if err != nil && ctx.Err() == nil { // not for the others because this one was given up
		d.mu.Lock()
		defer d.mu.Unlock()
		d.next.err = err
		close(d.next.done)
		d.next = &failure{done: make(chan struct{})}
	}
	return conn, err
}

// An ownRoad shows one certificate of the proxy. A new one gets a new road, as the
// upstream verifies a connection's certificate at every request.
type ownRoad struct {
	pair *tls.Certificate
	*http.Transport
}

func newRoads(cfg *Config, log *slog.Logger) (*roads, error) {
	r := &roads{clients: &cfg.Clients, forward: &cfg.Forward, name: cfg.Upstream.ServerName,
		dials: newDials(4), dialer: net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}}
	var err error
	if f := cfg.Upstream.CAFile; f != "" {
		if r.ca, err = service.NewReloaded(log, parsePool, f); err != nil {
			return nil, failing(fmt.Errorf("--upstream-ca-file %s: %w", f, err), "name a PEM file with the CA of the API server's certificate")
		}
		r.ca.Every = lookEvery
	} else if len(cfg.Upstream.ca) > 0 {
		if r.fixed, err = parsePool([][]byte{cfg.Upstream.ca}); err != nil {
			return nil, fmt.Errorf("the CA in kubeconfig %s: %w", cfg.Upstream.Kubeconfig, err)
		}
	}
	if f := cfg.Forward; f.CertFile != "" {
		if r.pair, err = service.NewReloaded(log, parsePair, f.CertFile, f.KeyFile); err != nil {
			return nil, failing(fmt.Errorf("--proxy-client-cert-file %s and --proxy-client-key-file %s: %w", f.CertFile, f.KeyFile, err), "name PEM files with a client certificate and its key")
		}
		r.pair.Every = lookEvery
	}
	if f := cfg.Forward.TokenFile; f != "" {
		if r.token, err = service.NewReloaded(log, parseToken, f); err != nil {
			return nil, failing(fmt.Errorf("--proxy-token-file %s: %w", f, err), "name a file whose only line is a token of the API server")
		}
		r.token.Every = lookEvery
	}
	for i := range r.bare {
		r.bare[i] = r.transport(nil, i == 1)
	}
	return r, nil
}

// take returns the road for a request; an upgrade cannot go by HTTP/2.
func (r *roads) take(by way, upgrade bool) http.RoundTripper {
	i := 0
	if upgrade {
		i = 1
	}
	if by != forUser || r.pair == nil {
		return r.bare[i]
	}
	pair := r.pair.Get()
	for {
		now := r.own[i].Load()
		if now != nil && now.pair == pair {
			return now
		}
		next := &ownRoad{pair, r.transport(pair, i == 1)}
		if r.own[i].CompareAndSwap(now, next) {
			if now != nil {
				now.CloseIdleConnections() // the rest ends with what it carries
			}
			return next
		}
	}
}

func (r *roads) transport(pair *tls.Certificate, http1 bool) *http.Transport {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(!http1)
	next := []string{"h2", "http/1.1"}
	if http1 {
		next = next[1:]
	}
	return &http.Transport{
		DialContext: r.dialer.DialContext,
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dial := func() (net.Conn, error) { return r.dialTLS(ctx, network, addr, pair, next) }
			if http1 {
				return dial()
			}
			return r.dials.do(ctx, dial)
		},
		Protocols:           protocols,
		DisableCompression:  true, // bodies pass as they are
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     90 * time.Second,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second, // as client-go
			MaxReceiveBufferPerStream: maxUnread,
		},
		ExpectContinueTimeout: time.Second,
	}
}

// dialTLS connects with the CA and the certificate of now.
func (r *roads) dialTLS(ctx context.Context, network, addr string, pair *tls.Certificate, protocols []string) (net.Conn, error) {
	conn, err := r.dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	name := r.name
	if name == "" {
		if name, _, err = net.SplitHostPort(addr); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name, NextProtos: protocols, RootCAs: r.fixed}
	if r.ca != nil {
		cfg.RootCAs = r.ca.Get()
	}
	if pair != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	secure := tls.Client(conn, cfg)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secure, nil
}

// close gives back the connections that nothing uses any more.
func (r *roads) close() {
	for i := range r.bare {
		r.bare[i].CloseIdleConnections()
		if own := r.own[i].Load(); own != nil {
			own.CloseIdleConnections()
		}
	}
}

// headers are those by which the upstream is told that a request comes from u.
func (r *roads) headers(u *record.User) http.Header {
	h := http.Header{}
	c := r.clients
	user, uid, group, extra := c.UserHeaders[0], c.UIDHeaders[0], c.GroupHeaders[0], c.ExtraPrefixes[0]
	impersonate := r.forward.By == ByImpersonate
	if impersonate {
		user, uid, group, extra = authenticationv1.ImpersonateUserHeader, authenticationv1.ImpersonateUIDHeader,
			authenticationv1.ImpersonateGroupHeader, authenticationv1.ImpersonateUserExtraHeaderPrefix
	}
	h.Set(user, u.Username)
	if u.UID != "" {
		h.Set(uid, u.UID)
	}
	for _, g := range u.Groups {
		if !impersonate || g != authenticated { // which it adds itself, and might not allow to ask for
			h.Add(group, g)
		}
	}
	for k, values := range u.Extra {
		if impersonate && k == credentialID {
			continue // every one would be another right that the proxy needs
		}
		for _, v := range values {
			h.Add(extra+escapeExtra(k), v)
		}
	}
	return h
}

// credentials adds the proxy's own to a request for a user.
func (r *roads) credentials(h http.Header) error {
	if r.token != nil {
		h["Authorization"] = []string{"Bearer " + r.token.Get()}
	}
	if r.token == nil && r.pair == nil {
		return errors.New("the proxy has no credentials to tell the API server of users by")
	}
	return nil
}

// escapeExtra writes the key of an extra so that it can stand in the name of a header.
func escapeExtra(k string) string {
	const token = "!#$&'*+-.^_`|~" // what a name may hold; % begins an escape
	var b strings.Builder
	for i := 0; i < len(k); i++ {
		c := k[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(token, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// parseURL reads where the upstream is.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, errors.New("want https://HOST:PORT")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("it holds more than a host, a port and a path")
	case u.Scheme == "http" && !loopbackHost(u.Hostname()):
		return nil, errors.New("tokens would cross the network in clear text")
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	return u, nil
}

func parsePool(contents [][]byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(contents[0]) {
		return nil, errors.New("holds no PEM certificate")
	}
	return pool, nil
}

func parsePair(contents [][]byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	return &pair, err
}

func parseToken(contents [][]byte) (string, error) {
	token := bytes.TrimSpace(contents[0])
	if len(token) == 0 || bytes.ContainsAny(token, " \t\r\n\x00") {
		return "", errors.New("holds no token, or more than one word")
	}
	return string(token), nil
}
