// Package server answers questions to a trail over HTTP: a JSON API under /api/v1,
// one plain HTML page for people without another client, and what operators expect
// of a server (/livez, /readyz, /metrics). It receives what kube-apiserver posts to a
// webhook. openapi.yaml describes every route.
//
// Who may read may read everything, bodies of Secrets included. Tokens and client
// certificates have roles, for all clusters or for some, and a route asks for one of
// them. Without any, everybody who can connect has all roles: therefore the server
// listens on loopback then, and refuses to start otherwise. What only reads is a GET.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubetrail/internal/access"
	"kubetrail/internal/collect/spool"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

// DefaultListen is the address a server listens on if it is told nothing else.
const DefaultListen = "127.0.0.1:8417"

const (
	maxHeaderBytes = 64 << 10 // also bounds the question, which is part of the URL
	maxBodyBytes   = 64 << 10 // of requests other than the webhook's: none reads a body
)

// Config says what a Server serves, where and to whom. Files are read again when
// they change; a new version that is no good is logged and the old one kept.
type Config struct {
	Trail  trail.Reader
	Listen string // host:port; port 0 takes a free one; empty: DefaultListen

	Access access.Rules // who may do what; see Server.SetAccess

	// Receive keeps what was posted to the webhook for a cluster, see spool.Spools;
	// what it returns nil for is acknowledged. nil: nothing is received.
	Receive     func(ctx context.Context, from spool.Origin, body []byte) error
	BodyBytes   int64         // of one post at most; 0: 64 MiB
	BodiesBytes int64         // of all posts that are being received; 0: 256 MiB. One more waits, then gets 503
	BodyTimeout time.Duration // for a body to come; 0: 30 seconds, as long as kube-apiserver tries

	Shipped *spool.Shipped // keeps what agents send; nil: nothing is taken from them

	Queries      int           // answered at the same time; 0: 4. One more waits for a second, then gets 429
	QueryTimeout time.Duration // of one question; 0: one minute

	// Tail is the trail whose events are given as they arrive, to so many clients at a
	// time; nil: none is, 0: 16 clients.
	Tail  *disk.Trail
	Tails int

	// On shutdown /readyz fails at once, the server goes on for DrainDelay so that
	// load balancers notice, and then waits for open requests, DrainTimeout at
	// most; 0: 10 seconds.
	DrainDelay, DrainTimeout time.Duration

	Version  string // of the program, for kubetrail_build_info
	Checks   []Check
	Registry *prometheus.Registry // served as /metrics; nil: one of its own, with Go and process metrics
	Logger   *slog.Logger         // nil: silent
	Now      func() time.Time     // nil: time.Now
}

// Check is one more condition of /readyz.
type Check struct {
	Name string // one word
	Run  func(context.Context) error
}

// Server is an http.Handler and the loop that serves it.
type Server struct {
	cfg      Config
	log      *slog.Logger
	routes   map[string]route // by pattern
	mux      *http.ServeMux
	guard    *guard
	hook     *webhook
	shipped  *agents
	metrics  *metrics
	pages    *pages
	listener net.Listener
	http     *http.Server
	tls      bool
	slots    chan struct{} // one element per question being answered
	tails    *tails
	gapSlot  chan struct{} // one element while a question about gaps is
	ready    atomic.Bool   // between the start of Run and its shutdown
}

// startError is an error of New that says what to do about it.
type startError struct{ message, hint string }

func (e *startError) Error() string { return e.message }

// Hint returns the next step, one line.
func (e *startError) Hint() string { return e.hint }

// New checks cfg, reads its files and takes the address: what is wrong with any of
// them is its error, which may have a method Hint() string. Run must follow, for it
// gives the address back.
func New(cfg Config) (*Server, error) {
	setDefaults(&cfg)
	cfg.Trail = access.Scoped{Whole: cfg.Trail}
	s := &Server{cfg: cfg, log: cfg.Logger, slots: make(chan struct{}, cfg.Queries), gapSlot: make(chan struct{}, 1)}
	var err error
	if s.guard, err = newGuard(cfg); err != nil {
		return nil, err
	}
	tlsConfig := s.guard.TLS()
	var received []prometheus.Collector
	s.hook, received = newWebhook(cfg)
	if s.shipped, err = newAgents(cfg); err != nil {
		return nil, err
	}
	received = append(received, s.shipped, s.shipped.received)
	s.tails = newTails(cfg)
	received = append(received, s.tails.metric())
	if s.metrics, err = newMetrics(cfg, received...); err != nil {
		return nil, err
	}
	s.pages = newPages()
	s.mux, s.routes = newMux(s)
	s.http = newHTTP(s, tlsConfig)
	s.tls = tlsConfig != nil
	if s.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, &startError{
			fmt.Sprintf("listen on %s: %v", cfg.Listen, err),
			"another program may have this port; choose another one, or port 0 for any that is free",
		}
	}
	if !s.guard.loopback && tlsConfig == nil {
		s.log.Warn("the bearer token and all answers cross the network in clear text; give a certificate and key", "address", cfg.Listen)
	}
	if cfg.Receive != nil && len(cfg.Access.Tokens) > 0 && tlsConfig == nil {
		s.log.Warn("kube-apiserver sends its token over TLS only, so that all its posts will be refused; give a certificate and key", "address", cfg.Listen)
	}
	return s, nil
}

func setDefaults(cfg *Config) {
	if cfg.Listen == "" {
		cfg.Listen = DefaultListen
	}
	if cfg.BodyBytes <= 0 {
		cfg.BodyBytes = 64 << 20
	}
	if cfg.BodiesBytes <= 0 {
		cfg.BodiesBytes = 256 << 20
	}
	cfg.BodiesBytes = max(cfg.BodiesBytes, cfg.BodyBytes)
	if cfg.BodyTimeout <= 0 {
		cfg.BodyTimeout = 30 * time.Second
	}
	if cfg.Queries <= 0 {
		cfg.Queries = 4
	}
	if cfg.QueryTimeout <= 0 {
		cfg.QueryTimeout = time.Minute
	}
	if cfg.DrainTimeout <= 0 {
		cfg.DrainTimeout = 10 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
}

// SetAccess changes who may do what, for every request from now on. With an error all
// stays as it was. Whether TLS is spoken at all cannot change.
func (s *Server) SetAccess(rules access.Rules) error { return s.guard.Change(rules) }

func newHTTP(s *Server, t *tls.Config) *http.Server {
	return &http.Server{
		Handler:           s,
		TLSConfig:         t,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       max(30*time.Second, s.cfg.BodyTimeout),
		WriteTimeout:      s.cfg.QueryTimeout + 30*time.Second, // the question, and the way to a slow reader
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // handshakes broken off by scanners
	}
}

// URL is where the server is found. A wildcard address becomes this machine's
// loopback, which is one of its ways in.
func (s *Server) URL() string {
	scheme := "http://"
	if s.tls {
		scheme = "https://"
	}
	addr, err := netip.ParseAddrPort(s.listener.Addr().String())
	if err != nil || !addr.Addr().IsUnspecified() {
		return scheme + s.listener.Addr().String()
	}
	return scheme + netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addr.Port()).String()
}

// Run serves until ctx ends, then shuts down as Config says and returns nil. When
// it returns, nothing reads the trail or calls Config.Receive any more. It can be
// called once.
func (s *Server) Run(ctx context.Context) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.http.BaseContext = func(net.Listener) context.Context { return base }
	served := make(chan error, 1)
	s.ready.Store(true)
	go func() { served <- s.serve() }()

	var err error
	select {
	case err = <-served: // before its time
	case <-ctx.Done():
		err = s.drain(served)
	}
	s.ready.Store(false)
	cancel()
	s.http.Close()
	for range cap(s.slots) { // once every slot is ours, no question is being answered
		s.slots <- struct{}{}
	}
	s.tails.wait()
	s.hook.wait()
	return err
}

func (s *Server) serve() error {
	var err error
	if s.tls {
		err = s.http.ServeTLS(s.listener, "", "")
	} else {
		err = s.http.Serve(s.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", s.cfg.Listen, err)
}

// drain ends serving in an orderly way, and returns when it has ended.
func (s *Server) drain(served <-chan error) error {
	s.ready.Store(false)
	s.tails.end()
	s.log.Info("draining", "delay", s.cfg.DrainDelay, "timeout", s.cfg.DrainTimeout)
	select {
	case err := <-served:
		return err
	case <-time.After(s.cfg.DrainDelay):
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		s.log.Warn("requests were still open when the time for draining was over; they are cut off", "timeout", s.cfg.DrainTimeout)
	}
	return <-served
}
