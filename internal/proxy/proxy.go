package proxy

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"kubetrail/internal/config"
	"kubetrail/internal/service"
	"kubetrail/record"
	"kubetrail/record/wire"
)

// A Proxy serves one upstream.
type Proxy struct {
	cfg      Config
	log      *slog.Logger
	quiet    *log.Logger // of net/http
	url      *url.URL    // of the upstream; its path has no slash at its end
	roads    *roads
	reviewer *reviewer
	who      *identifier
	clean    *sanitizer
	metrics  *metrics
	handler  http.Handler // of everything
	server   *server

	watches    context.Context // of all watches
	endWatches context.CancelFunc
}

// New checks cfg, reads its files and takes its addresses. Its error may have a method
// Hint() string. Run must follow, for it gives the addresses back.
func New(cfg Config) (*Proxy, error) {
	p, err := assemble(cfg)
	if err != nil {
		return nil, err
	}
	if p.server, err = newServer(p); err != nil {
		return nil, err
	}
	return p, nil
}

// assemble makes a Proxy without addresses.
func assemble(cfg Config) (*Proxy, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Record.Wire == nil {
		cfg.Record.Wire = &record.Wire{JSON: wire.Limited(wire.MaxSize, 2), Object: wire.Object, Status: wire.Status}
	}
	if err := cfg.Upstream.settle(&cfg.Forward); err != nil {
		return nil, err
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	p := &Proxy{cfg: cfg, log: cfg.Logger, quiet: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug), url: cfg.Upstream.url,
		clean: newSanitizer(&cfg.Clients), metrics: newMetrics(cfg.Registerer)}
	var err error
	if p.roads, err = newRoads(&p.cfg, p.log); err != nil {
		return nil, err
	}
	p.reviewer = &reviewer{cfg: cfg.Reviews, ask: p.askUpstream, headers: p.roads.headers, metrics: p.metrics, now: cfg.Now,
		renewal: make(chan question, 64), known: recent{size: cfg.Reviews.Size}, denied: recent{size: cfg.Reviews.Size}, asked: map[key]chan struct{}{}}
	p.who = &identifier{clients: &p.cfg.Clients, reviewer: p.reviewer, now: cfg.Now}
	for _, ca := range []struct {
		flag, file string
		to         **pool
	}{{"--client-ca-file", cfg.Clients.CAFile, &p.who.users}, {"--requestheader-client-ca-file", cfg.Clients.HeaderCAFile, &p.who.proxies}} {
		if ca.file == "" {
			continue
		}
		made, err := service.NewReloaded(p.log, parsePool, ca.file)
		if err != nil {
			return nil, failing(fmt.Errorf("%s %s: %w", ca.flag, ca.file, err), "name a PEM file with CA certificates")
		}
		made.Every = lookEvery
		*ca.to = made
	}
	p.watches, p.endWatches = context.WithCancel(context.Background())
	p.handler = p.assembleHandler()
	return p, nil
}

// assembleHandler puts the way of a request together.
func (p *Proxy) assembleHandler() http.Handler {
	f := newForwarder(p)
	pass := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.serve(w, r, false) })
	fail := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.serve(w, r, true) })
	cfg := p.cfg.Record
	cfg.User = func(r *http.Request) *record.User { return passageOf(r.Context()).id.user }
	recorded, failed, late := http.Handler(pass), http.Handler(fail), http.Handler(pass)
	if cfg.Backend != nil && cfg.Policy != nil {
		recorded, failed, late = record.Handler(pass, cfg), record.Failed(fail, cfg, nil), record.Failed(pass, cfg, badTimeout)
	}
	return p.metrics.count(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "" && r.URL.Opaque == "" { // as the upstream will see it
			r.URL.Path = "/"
		}
		s := &passage{id: p.who.identify(r, p.clean)}
		r = r.WithContext(context.WithValue(r.Context(), passageKey{}, s))
		if s.id.refused {
			failed.ServeHTTP(w, r)
			return
		}
		if badTimeout(r) != "" {
			late.ServeHTTP(w, r)
			return
		}
		recorded.ServeHTTP(w, r)
	}))
}

// ServeHTTP serves one request of a client.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// target is the URL of a path at the upstream.
func (p *Proxy) target(path string) string { return p.url.JoinPath(path).String() }

// check looks at what goes together, before any file is read.
func (c *Config) check() error {
	s := &c.Serving
	loopback, _, err := config.Loopback(s.Listen)
	switch {
	case err != nil:
		return wrong(fmt.Errorf("--listen %q %w", s.Listen, err), "write it as host:port, as in 127.0.0.1:8443")
	case (s.CertFile == "") != (s.KeyFile == ""):
		return wrong(errors.New("--tls-cert-file and --tls-private-key-file belong together"), "give both")
	case s.CertFile == "" && !s.InsecureHTTP:
		return wrong(errors.New("--tls-cert-file and --tls-private-key-file are missing"), "clients send their credentials over TLS only; --insecure-http serves plain HTTP on a loopback address, to try things")
	case s.CertFile != "" && s.InsecureHTTP:
		return wrong(errors.New("--insecure-http and --tls-cert-file exclude each other"), "leave one of them away")
	case s.InsecureHTTP && !loopback:
		return wrong(fmt.Errorf("--insecure-http: %s can be reached from other machines", s.Listen), "give --tls-cert-file and --tls-private-key-file, or listen on 127.0.0.1")
	case s.InsecureHTTP && (c.Clients.CAFile != "" || c.Clients.HeaderCAFile != ""):
		return wrong(errors.New("client certificates need TLS"), "give --tls-cert-file and --tls-private-key-file")
	}
	if s.MaxConnections < 0 || s.MaxStreams < 0 || s.DrainTimeout < 0 {
		return wrong(errors.New("--max-connections, --http2-max-streams-per-connection and --drain-timeout cannot be negative"), "leave them away for what is usual")
	}
	if s.MetricsListen != "" {
		if _, _, err := config.Loopback(s.MetricsListen); err != nil {
			return wrong(fmt.Errorf("--metrics-listen %q %w", s.MetricsListen, err), "write it as host:port, as in 127.0.0.1:8444")
		}
	}
	if err := c.checkClients(); err != nil {
		return err
	}
	return c.checkForward()
}

func (c *Config) checkClients() error {
	l := &c.Clients
	for _, names := range []struct {
		flag string
		of   []string
	}{{"username-headers", l.UserHeaders}, {"uid-headers", l.UIDHeaders}, {"group-headers", l.GroupHeaders}, {"extra-headers-prefix", l.ExtraPrefixes}} {
		if len(names.of) == 0 {
			return wrong(fmt.Errorf("--requestheader-%s is empty", names.flag), "leave it away for the usual ones")
		}
		for _, name := range names.of {
			if !plainName(name) || name == "" {
				return wrong(fmt.Errorf("--requestheader-%s: %q is no name of a header", names.flag, name), "letters, digits and dashes make one")
			}
		}
	}
	if len(l.HeaderNames) > 0 && l.HeaderCAFile == "" {
		return wrong(errors.New("--requestheader-allowed-names needs --requestheader-client-ca-file"), "give both")
	}
	l.trusted = nil
	for _, text := range l.TrustedProxies {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			var addr netip.Addr
			if addr, err = netip.ParseAddr(text); err == nil {
				prefix = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
			}
		}
		if err != nil {
			return wrong(fmt.Errorf("--trusted-proxy-cidr %q is no range of addresses", text), "for example 10.0.0.0/8")
		}
		l.trusted = append(l.trusted, prefix.Masked())
	}
	return nil
}

func (c *Config) checkForward() error {
	f := &c.Forward
	certs := c.Clients.CAFile != "" || c.Clients.HeaderCAFile != ""
	switch {
	case f.By != ByFrontProxy && f.By != ByImpersonate:
		return wrong(fmt.Errorf("--forward-by %q is neither front-proxy nor impersonate", f.By), "front-proxy needs a certificate of the API server's --requestheader-client-ca-file, impersonate the right to impersonate")
	case (f.CertFile == "") != (f.KeyFile == ""):
		return wrong(errors.New("--proxy-client-cert-file and --proxy-client-key-file belong together"), "give both")
	case f.TokenFile != "" && f.By == ByFrontProxy:
		return wrong(errors.New("--proxy-token-file needs --forward-by=impersonate"), "an API server takes X-Remote-* headers by a certificate only")
	case f.TokenFile != "" && f.CertFile != "":
		return wrong(errors.New("--proxy-token-file and --proxy-client-cert-file exclude each other"), "leave one of them away")
	case certs && f.CertFile == "" && f.TokenFile == "":
		return wrong(errors.New("users with certificates need a way to the API server, and there is none"), "give --proxy-client-cert-file and --proxy-client-key-file, signed by the CA of the API server's --requestheader-client-ca-file; or --forward-by=impersonate with --proxy-token-file")
	case c.Reviews.TTL <= 0 || c.Reviews.Size <= 0 || c.Reviews.Timeout <= 0:
		return wrong(errors.New("--identity-cache-ttl, --identity-cache-size and --identity-timeout must be positive"), "leave them away for what is usual")
	}
	return nil
}

// String says what the proxy does, in one line.
func (p *Proxy) String() string {
	var ways []string
	if p.cfg.Clients.HeaderCAFile != "" {
		ways = append(ways, "declared proxy")
	}
	if p.cfg.Clients.CAFile != "" {
		ways = append(ways, "certificate by "+p.cfg.Forward.By)
	}
	ways = append(ways, "token by SelfSubjectReview", "anonymous")
	chain := p.cfg.Chain
	if chain == "" {
		chain = "nothing is recorded"
	}
	return fmt.Sprintf("proxy<%s> -> %s; users: %s; events: %s", p.server.url(), p.url, strings.Join(ways, ", "), chain)
}
