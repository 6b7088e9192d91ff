package agent

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler serves health and metrics: /livez, /readyz and /metrics. An agent is alive while it runs, and ready
// while the server takes what it ships.
func (a *Agent) Handler() http.Handler {
	r := prometheus.NewRegistry()
	gauge := func(name, help string, value func(Status) float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kubetrail_agent_" + name, Help: help}, func() float64 { return value(a.Status()) }))
	}
	counter := func(name, help string, value func(Status) uint64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "kubetrail_agent_" + name, Help: help}, func() float64 { return float64(value(a.Status())) }))
	}
	truth := map[bool]float64{true: 1}
	gauge("lag_bytes", "Bytes that are there and that the server does not have.", func(s Status) float64 { return float64(s.Waiting) })
	gauge("lag_seconds", "Since when there are some.", func(s Status) float64 { return s.Behind.Seconds() })
	gauge("holds_seconds", "How long the logs keep what was not sent; 0: unknown.", func(s Status) float64 { return s.Holds.Seconds() })
	gauge("last_contact_timestamp_seconds", "When the server answered last.", func(s Status) float64 {
		if s.Contact.IsZero() {
			return 0
		}
		return float64(s.Contact.UnixMilli()) / 1000
	})
	gauge("failing", "1 if the last request failed.", func(s Status) float64 { return truth[s.Err != nil] })
	gauge("read_failing", "1 if not everything can be read.", func(s Status) float64 { return truth[s.ReadError != nil] })
	counter("shipped_bytes_total", "Bytes of logs that the server has taken.", func(s Status) uint64 { return s.Shipped })
	counter("requests_total", "Requests to the server.", func(s Status) uint64 { return s.Requests })
	counter("failed_requests_total", "Requests that failed.", func(s Status) uint64 { return s.Refused })
	counter("restarts_total", "Times that the server had another position than expected.", func(s Status) uint64 { return s.Restarts })
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		s := a.Status()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if s.Err != nil || s.ReadError != nil || s.Contact.IsZero() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintln(w, s)
	})
	return mux
}
