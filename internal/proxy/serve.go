package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kubetrail/internal/service"
	"kubetrail/record"
)

type pool = service.Reloaded[*x509.CertPool]

// A server serves clients at one address, and those who watch the proxy at another.
type server struct {
	p        *Proxy
	pair     *service.Reloaded[*tls.Certificate] // nil: plain HTTP
	listener net.Listener
	http     *http.Server
	watched  net.Listener // of --metrics-listen, or nil
	watch    *http.Server
	draining atomic.Bool
	open     gate

	mu      sync.Mutex // guards what follows
	checked time.Time  // the upstream was
	health  error
}

// maxHeaders is how large the headers of a request may be, in bytes, as with kube-apiserver.
const maxHeaders = 1 << 20

func newServer(p *Proxy) (_ *server, err error) {
	c := &p.cfg.Serving
	s := &server{p: p}
	if c.CertFile != "" {
		if s.pair, err = service.NewReloaded(p.log, parsePair, c.CertFile, c.KeyFile); err != nil {
			return nil, failing(fmt.Errorf("--tls-cert-file %s and --tls-private-key-file %s: %w", c.CertFile, c.KeyFile, err), "name PEM files with a certificate and its key")
		}
	}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	s.http = &http.Server{
		Handler: p, TLSConfig: s.tlsConfig(), Protocols: protocols,
		ReadHeaderTimeout: c.HeaderTimeout, IdleTimeout: c.IdleTimeout, MaxHeaderBytes: maxHeaders,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: c.MaxStreams, SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		ErrorLog: p.quiet, // handshakes broken off by scanners
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, &peer{conn: conn})
		},
	}
	if s.listener, err = listen("--listen", c.Listen); err != nil {
		return nil, err
	}
	if c.MaxConnections > 0 {
		s.listener = newBounded(s.listener, c.MaxConnections)
	}
	if c.MetricsListen == "" {
		return s, nil
	}
	if s.watched, err = listen("--metrics-listen", c.MetricsListen); err != nil {
		return nil, errors.Join(err, s.listener.Close())
	}
	s.watch = &http.Server{Handler: s.operators(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: p.quiet}
	return s, nil
}

func listen(flag, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, failing(fmt.Errorf("%s %s: %w", flag, address, err), "another program may have this port, or a proxy that runs already; choose another one, or port 0 for any that is free")
	}
	return l, nil
}

// tlsConfig asks for client certificates where they may be good for something, and leaves
// it to identifier to verify them, at every request.
func (s *server) tlsConfig() *tls.Config {
	if s.pair == nil {
		return nil
	}
	t := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.pair.Get(), nil },
	}
	if s.p.who.users != nil || s.p.who.proxies != nil {
		t.ClientAuth = tls.RequestClientCert
	}
	return t
}

// operators answers those who watch the proxy.
func (s *server) operators() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := s.ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	if g := s.p.cfg.Gatherer; g != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{}))
	}
	return mux
}

// ready tells why the proxy is of no use at the moment. The upstream is asked once a
// second at most.
func (s *server) ready(ctx context.Context) error {
	if s.draining.Load() {
		return errors.New("the proxy is about to end")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.p.cfg.Now().Sub(s.checked) >= time.Second {
		s.health = s.p.Reach(context.WithoutCancel(ctx)) // others may wait for the answer when this one has gone
		s.checked = s.p.cfg.Now()
	}
	return s.health
}

// Reach tells whether the upstream answers at all.
func (p *Proxy) Reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.target("/version"), nil)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", p.cfg.UserAgent)
	resp, err := p.roads.take(asItself, false).RoundTrip(r)
	if err != nil {
		return fmt.Errorf("the API server does not answer: %w", withoutURL(err))
	}
	return resp.Body.Close()
}

// Check tells what of the upstream would not work: that it answers, and that it takes
// users from the proxy, if that is asked for.
func (p *Proxy) Check(ctx context.Context) error {
	if err := p.Reach(ctx); err != nil {
		return failing(err, "check --upstream, --upstream-ca-file and --upstream-server-name")
	}
	if p.who.users == nil && p.who.proxies == nil {
		return nil
	}
	const name = "kubetrail:check" // who may do nothing
	u := &record.User{Username: name, Groups: []string{authenticated}}
	hint := "for front-proxy the API server must trust the CA of --proxy-client-cert-file by its --requestheader-client-ca-file; for impersonate it must allow the proxy to impersonate"
	switch got, err := p.askUpstream(ctx, forUser, p.roads.headers(u)); {
	case errors.Is(err, errRefused):
		return failing(errors.New("the API server refuses the credentials of the proxy"), hint)
	case err != nil:
		return failing(err, hint)
	case got.Username != name:
		return failing(fmt.Errorf("the API server takes the proxy for %q, and not for the users whom it names", got.Username), hint)
	}
	return nil
}

// url is where clients find the proxy.
func (s *server) url() string {
	scheme := "http://"
	if s.pair != nil {
		scheme = "https://"
	}
	return scheme + s.listener.Addr().String()
}

// URL is where clients find the proxy, and Operators where those do who watch it, ""
// for nowhere.
func (p *Proxy) URL() string { return p.server.url() }

// Operators is where /metrics, /livez and /readyz are, or "".
func (p *Proxy) Operators() string {
	if p.server.watched == nil {
		return ""
	}
	return "http://" + p.server.watched.Addr().String()
}

// Run serves until ctx is done, waits for open requests as long as Config says, and ends
// those that are still open then. When it returns, no request is being recorded any more.
func (p *Proxy) Run(ctx context.Context) error {
	s := p.server
	base, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(errEnding)
	s.http.BaseContext = func(net.Listener) context.Context { return base }
	var beside sync.WaitGroup
	s.http.Handler = s.open.through(p)
	beside.Go(func() { p.reviewer.run(base) })
	served := make(chan error, 1)
	beside.Go(func() { served <- s.serve() })
	if s.watch != nil {
		beside.Go(func() {
			if err := s.watch.Serve(s.watched); !errors.Is(err, http.ErrServerClosed) {
				p.log.Error("metrics are not served any more", "err", err)
			}
		})
	}
	var err error
	select {
	case err = <-served: // before its time
	case <-ctx.Done():
		s.drain()
		err = <-served
	}
	cancel(errEnding)
	s.http.Close()
	<-s.open.shut()
	if s.watch != nil {
		s.watch.Close()
	}
	beside.Wait()
	p.roads.close()
	return err
}

// errEnding is why requests are cut off in the end.
var errEnding = errors.New("the proxy ends")

// A gate counts the requests that are inside.
type gate struct {
	mu     sync.Mutex // guards what follows
	inside int
	closed bool
	empty  chan struct{} // closed when nobody is inside any more
}

// through lets requests in until the gate is shut.
func (g *gate) through(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		if g.closed {
			g.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		g.inside++
		g.mu.Unlock()
		defer func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.inside--; g.closed && g.inside == 0 {
				close(g.empty)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// Open is how many requests are being answered.
func (p *Proxy) Open() int {
	p.server.open.mu.Lock()
	defer p.server.open.mu.Unlock()
	return p.server.open.inside
}

// shut lets nobody in any more. What it returns is closed when everybody is out.
func (g *gate) shut() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed, g.empty = true, make(chan struct{})
		if g.inside == 0 {
			close(g.empty)
		}
	}
	return g.empty
}

func (s *server) serve() error {
	var err error
	if s.pair != nil {
		err = s.http.ServeTLS(s.listener, "", "")
	} else {
		err = s.http.Serve(s.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", s.listener.Addr(), err)
}

// drain waits for open requests. Watches would not end by themselves, and may end at any
// time.
func (s *server) drain() {
	s.draining.Store(true)
	s.p.endWatches()
	timeout := s.p.cfg.Serving.DrainTimeout
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err == nil {
		select {
		case <-s.open.shut(): // what was hijacked the server has forgotten
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		s.p.log.Warn("requests were still open when the time for them was over; they are cut off", "timeout", timeout)
	}
}

// bounded is a listener that has so many connections open at most; others wait.
type bounded struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	close sync.Once
}

func newBounded(l net.Listener, n int) *bounded {
	return &bounded{Listener: l, slots: make(chan struct{}, n), done: make(chan struct{})}
}

// Accept waits for a slot, then for a connection.
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.slots <- struct{}{}:
	case <-b.done:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.slots
		return nil, err
	}
	return &boundedConn{Conn: c, of: b}, nil
}

// Close ends Accept.
func (b *bounded) Close() error {
	b.close.Do(func() { close(b.done) })
	return b.Listener.Close()
}

type boundedConn struct {
	net.Conn
	of   *bounded
	once sync.Once
}

// Close gives the slot back.
func (c *boundedConn) Close() error {
	c.once.Do(func() { <-c.of.slots })
	return c.Conn.Close()
}

// loopbackHost tells whether a host is this machine.
func loopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Close gives the addresses of a Proxy back that never ran.
func (p *Proxy) Close() error {
	p.endWatches()
	p.roads.close()
	err := p.server.listener.Close()
	if p.server.watched != nil {
		err = errors.Join(err, p.server.watched.Close())
	}
	return err
}
