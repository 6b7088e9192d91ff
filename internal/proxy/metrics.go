package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the proxy itself counts.
type metrics struct {
	inFlight prometheus.Gauge
	errors   *prometheus.CounterVec // of the upstream, by cause
	reviews  *prometheus.CounterVec // by result
	refused  *prometheus.CounterVec // by reason
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "kubetrail_proxy_requests_in_flight", Help: "Requests that are being answered, watches included."}),
		errors:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubetrail_proxy_upstream_errors_total", Help: "Requests that the API server did not answer, by cause."}, []string{"cause"}),
		reviews:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubetrail_proxy_identity_reviews_total", Help: "Looks at who sent a request: hit (remembered), miss (the API server was asked), failure (it did not say)."}, []string{"result"}),
		refused:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubetrail_proxy_refused_total", Help: "Requests that the proxy answered itself, by reason."}, []string{"reason"}),
	}
	if r != nil {
		r.MustRegister(m.inFlight, m.errors, m.reviews, m.refused)
	}
	for _, result := range []string{"hit", "miss", "failure"} {
		m.reviews.WithLabelValues(result)
	}
	return m
}

func (m *metrics) review(result string) { m.reviews.WithLabelValues(result).Inc() }

// failed counts an error of the upstream.
func (m *metrics) failed(err error) { m.errors.WithLabelValues(causeOf(err)).Inc() }

// causeOf is one word for why the upstream did not answer.
func causeOf(err error) string {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var op *net.OpError
	switch {
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid):
		return "certificate"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(err, &op) && op.Op == "dial":
		return "dial"
	}
	return "broken"
}

// count counts a request while it is answered.
func (m *metrics) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.inFlight.Inc()
		defer m.inFlight.Dec()
		next.ServeHTTP(w, r)
	})
}
