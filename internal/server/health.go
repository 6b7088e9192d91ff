package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kubetrail/internal/trail"
)

// checkTimeout is how long one condition of /readyz may take, and the trail's part
// of a scrape.
const checkTimeout = 5 * time.Second

// livez says that the process runs and answers. A trail that cannot be read does
// not become readable by a restart, so it is no part of it.
func (s *Server) livez(w http.ResponseWriter, r *http.Request, p params) error {
	return health(w, r, p, "livez", []Check{{"ping", func(context.Context) error { return nil }}})
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request, p params) error {
	return health(w, r, p, "readyz", slices.Concat([]Check{
		{"shutdown", func(context.Context) error {
			if !s.ready.Load() {
				return errors.New("not serving, or about to end")
			}
			return nil
		}},
		{"trail", func(ctx context.Context) error {
			_, err := s.cfg.Trail.Summary(ctx)
			return err
		}},
	}, s.cfg.Checks))
}

// health answers in the manner of kube-apiserver: the status is what counts, the
// text is for people.
func health(w http.ResponseWriter, r *http.Request, p params, name string, checks []Check) error {
	verbose, err := p.flag("verbose")
	if err != nil {
		return err
	}
	var text strings.Builder
	code, verdict := http.StatusOK, "passed"
	for _, c := range checks {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		err := c.Run(ctx)
		cancel()
		if err == nil {
			fmt.Fprintf(&text, "[+]%s ok\n", c.Name)
			continue
		}
		fmt.Fprintf(&text, "[-]%s failed: %v\n", c.Name, err)
		code, verdict = http.StatusServiceUnavailable, "failed"
	}
	fmt.Fprintf(&text, "%s check %s\n", name, verdict)
	answer := text.String()
	if code == http.StatusOK && !verbose {
		answer = "ok"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(answer))
	return nil
}

// metrics counts requests. Its labels are a status and a route: both have few
// values, and neither tells who asked or for what.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	handler  http.Handler
}

func newMetrics(cfg Config, more ...prometheus.Collector) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubetrail_http_requests_total", Help: "Requests answered, by status code and route.",
		}, []string{"code", "handler"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kubetrail_http_request_duration_seconds", Help: "Time from a request to the end of its answer.",
			Buckets: []float64{.001, .005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"handler"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kubetrail_build_info", Help: "Always 1; the labels tell the version of the program.",
		ConstLabels: prometheus.Labels{"version": cfg.Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	all := append([]prometheus.Collector{m.requests, m.duration, build, newTrailCollector(cfg.Trail)}, more...)
	registry := cfg.Registry
	if registry == nil {
		registry = prometheus.NewRegistry()
		all = append(all, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	for _, c := range all {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
	return m, nil
}

// trailCollector asks the trail what it holds whenever metrics are read, so that
// they never lag behind it.
type trailCollector struct {
	trail trail.Reader
	descs []*prometheus.Desc // in the order of values
}

func newTrailCollector(t trail.Reader) *trailCollector {
	c := &trailCollector{trail: t}
	for _, m := range [][2]string{
		{"events", "Events in the trail."},
		{"parts", "Immutable files the trail consists of."},
		{"stored_bytes", "Bytes the trail takes on disk."},
		{"sources", "Files, spools and streams that events came from."},
		{"faults", "Stretches of the sources that held no event and were set aside."},
	} {
		c.descs = append(c.descs, prometheus.NewDesc("kubetrail_trail_"+m[0], m[1], nil, nil))
	}
	return c
}

func (c *trailCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

func (c *trailCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	s, err := c.trail.Summary(ctx)
	values := []float64{float64(s.Events), float64(s.Parts), float64(s.StoredBytes), float64(len(s.Sources)), float64(s.Faults)}
	for i, d := range c.descs {
		if err != nil {
			ch <- prometheus.NewInvalidMetric(d, err)
			continue
		}
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, values[i])
	}
}
