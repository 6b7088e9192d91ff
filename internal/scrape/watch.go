package scrape

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/klog"
	"kubetrail/internal/trail"
)

// Config says how a Watch works.
type Config struct {
	Every  time.Duration // 0: 15 seconds
	Logger *slog.Logger  // nil: silent
}

// Watch asks API servers for their counters while it runs, compares them with what
// passes its Tap, and tells of what is missing as a fault, through its Feeds.
type Watch struct {
	cfg    Config
	begun  time.Time
	active atomic.Bool // there are servers

	mu      sync.Mutex // guards servers and what is in them but for fetch
	servers []*server

	events, errors, rejected, up, missing *prometheus.Desc
}

// server is one API server.
type server struct {
	target Target
	fetch  fetcher // of the goroutine of Run that asks

	compared comparison
	last     *sample // nil: none yet
	err      error
	told     uint64 // faults
	missing  map[string]int64
	pending  []trail.Fault
	w        *Watch
}

// New prepares to watch no server at all.
func New(cfg Config) *Watch {
	if cfg.Every <= 0 {
		cfg.Every = 15 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	names := []string{"cluster", "server"}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("kubetrail_apiserver_"+name, help, append(names[:len(names):len(names)], labels...), nil)
	}
	return &Watch{cfg: cfg, begun: time.Now(),
		events:   desc("audit_events_total", "Events that the API server says it made: apiserver_audit_event_total."),
		errors:   desc("audit_errors_total", "Events that the API server says it could not deliver: apiserver_audit_error_total.", "plugin"),
		rejected: desc("audit_requests_rejected_total", "Requests that the API server refused because it could not audit them."),
		up:       desc("scrape_success", "1 if the API server's metrics could be read the last time."),
		missing:  desc("audit_missing_events_total", "Events that the API server counted since the start and that are certain to be missing, by cause.", "cause"),
	}
}

// Set says which API servers are asked from now on. It may be called from any goroutine.
// What is known of one that stays is kept.
func (w *Watch) Set(targets []Target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var servers []*server
	for _, t := range targets {
		var s *server
		for _, old := range w.servers {
			if old.target == t {
				s = old
			}
		}
		if s == nil {
			s = &server{target: t, fetch: fetcher{target: t, begun: w.begun}, missing: map[string]int64{}, w: w}
		}
		servers = append(servers, s)
	}
	w.servers = servers
	w.active.Store(len(servers) > 0)
}

// Run asks all servers, again and again, until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(w.cfg.Every)
	defer tick.Stop()
	for ctx.Err() == nil {
		w.round(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	for _, s := range w.list() {
		s.fetch.close()
	}
}

func (w *Watch) list() []*server {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.servers
}

// round asks all servers once, at the same time.
func (w *Watch) round(ctx context.Context) {
	var asking sync.WaitGroup
	for _, s := range w.list() {
		asking.Go(func() { s.ask(ctx) })
	}
	asking.Wait()
}

// ask asks one server and compares.
func (s *server) ask(ctx context.Context) {
	s.w.mu.Lock()
	recovered := s.compared.recovered
	s.w.mu.Unlock()
	got, err := s.fetch.fetch(ctx)
	if ctx.Err() != nil {
		return
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.err = err; err != nil {
		return
	}
	s.last = &got
	if got.at == 0 {
		return // it took too long, or does not tell its time
	}
	for _, l := range s.compared.take(got, recovered) {
		s.tell(l)
	}
}

// tell makes a fault of a loss. The mutex is held.
func (s *server) tell(l trail.Loss) {
	what := "the API server counted %d events from %s to %s that did not arrive, and that nothing explains"
	if l.Cause == CauseError {
		what = "the API server says that %d events from %s to %s could not be delivered, and its log does not name them"
	}
	stamp := func(at int64) string { return time.UnixMicro(at).UTC().Format(time.RFC3339) }
	s.told++
	s.missing[l.Cause] += l.Events
	s.pending = append(s.pending, trail.Fault{Source: s.name(), Cluster: s.target.Cluster, Server: s.target.Server,
		Reason: fmt.Sprintf(what, l.Events, stamp(l.From), stamp(l.To)), Lost: &l})
	s.w.cfg.Logger.Warn("events are missing", "cluster", s.target.Cluster, "server", s.target.Server,
		"events", l.Events, "cause", l.Cause, "from", stamp(l.From), "to", stamp(l.To))
}

func (s *server) name() string { return "metrics/" + s.target.Cluster + "/" + s.target.Server }

// Feeds are the servers, for collector.Config: each brings the faults that were found.
func (w *Watch) Feeds() []collect.Feed {
	var feeds []collect.Feed
	for _, s := range w.list() {
		feeds = append(feeds, s)
	}
	return feeds
}

// Pull implements [collect.Feed], as do the others.
func (s *server) Pull(_ context.Context, to collect.Appender, _ int64) (bool, error) {
	s.w.mu.Lock()
	pending, err := s.pending, s.err
	s.pending = nil
	s.w.mu.Unlock()
	for _, f := range pending { // unlocked: it passes the Tap
		to.SetAside(f)
	}
	return false, err
}

func (s *server) Committed()   {}
func (s *server) Close() error { return nil }

func (s *server) Status() collect.Status {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return collect.Status{Name: s.name(), Cluster: s.target.Cluster, Server: s.target.Server, Faults: s.told, Err: s.err}
}

// tap is the writing end of a trail, and counts what passes.
type tap struct {
	collect.Appender
	w *Watch
}

// Tap puts a tap on a writing end, to count what arrives.
func (w *Watch) Tap(to collect.Appender) collect.Appender { return &tap{to, w} }

// Append takes in an event.
func (t *tap) Append(e *audit.Event) {
	t.Appender.Append(e)
	if t.w.active.Load() {
		t.w.observe(e)
	}
}

// SetAside takes in a fault.
func (t *tap) SetAside(f trail.Fault) {
	t.Appender.SetAside(f)
	if f.Lost == nil || f.Lost.Cause != klog.CauseError || !t.w.active.Load() {
		return
	}
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	for _, s := range t.w.servers {
		if f.Cluster == s.target.Cluster && f.Server == s.target.Server && f.Source != s.name() {
			s.compared.recovered += f.Lost.Events
		}
	}
}

func (w *Watch) observe(e *audit.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.servers {
		if string(e.Text[audit.Cluster]) != s.target.Cluster || string(e.Text[audit.Server]) != s.target.Server {
			continue
		}
		marks := e.Text[audit.Marks]
		switch {
		case len(marks) > 0 && bytes.Contains(marks, []byte(`"recovered"`)):
			s.compared.recovered++
		case len(marks) > 0 && bytes.Contains(marks, []byte(`"repeat"`)):
		default:
			s.compared.observe(bytes.HasPrefix(e.Text[audit.Source], []byte("webhook/")), e)
		}
	}
}

// Describe implements [prometheus.Collector].
func (w *Watch) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{w.events, w.errors, w.rejected, w.up, w.missing} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (w *Watch) Collect(ch chan<- prometheus.Metric) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[[2]string]bool{}
	for _, s := range w.servers {
		of := [2]string{s.target.Cluster, s.target.Server}
		if seen[of] {
			continue
		}
		seen[of] = true
		send := func(d *prometheus.Desc, kind prometheus.ValueType, v int64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, kind, float64(v), append([]string{of[0], of[1]}, labels...)...)
		}
		up := int64(0)
		if s.last != nil {
			send(w.events, prometheus.CounterValue, s.last.events)
			send(w.rejected, prometheus.CounterValue, s.last.rejected)
			for plugin, n := range s.last.errors {
				send(w.errors, prometheus.CounterValue, n, plugin)
			}
			if s.err == nil {
				up = 1
			}
		}
		send(w.up, prometheus.GaugeValue, up)
		for _, cause := range []string{CauseNotDelivered, CauseError} {
			send(w.missing, prometheus.CounterValue, s.missing[cause], cause)
		}
	}
}
