package record

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what is recorded, under upstream's names where upstream has the same.
// A nil *Metrics counts nothing.
type Metrics struct {
	events, rejected prometheus.Counter
	errors           *prometheus.CounterVec // by plugin
	levels           *prometheus.CounterVec // by level
	lost             *prometheus.CounterVec // by backend and cause
	reloads          *prometheus.CounterVec // of the policy, by result
	waiting          *prometheus.GaugeVec   // on disk, by backend
	waitingBytes     *prometheus.GaugeVec   // likewise
}

// NewMetrics registers metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		events:       prometheus.NewCounter(prometheus.CounterOpts{Name: "apiserver_audit_event_total", Help: "Audit events generated and sent to the audit backend."}),
		rejected:     prometheus.NewCounter(prometheus.CounterOpts{Name: "apiserver_audit_requests_rejected_total", Help: "Requests rejected because their audit event could not be stored."}),
		errors:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "apiserver_audit_error_total", Help: "Audit events that a plugin failed to audit properly."}, []string{"plugin"}),
		levels:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "apiserver_audit_level_total", Help: "Policy levels of audited requests, one for each request."}, []string{"level"}),
		lost:         prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubetrail_record_lost_total", Help: "Audit events that were lost, by backend and cause."}, []string{"backend", "cause"}),
		reloads:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubetrail_record_policy_reloads_total", Help: "Times that the audit policy was read again, by result: success or failure."}, []string{"result"}),
		waiting:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "kubetrail_record_spilled_events", Help: "Audit events that wait on disk for their receiver, by backend."}, []string{"backend"}),
		waitingBytes: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "kubetrail_record_spilled_bytes", Help: "Bytes on disk of audit events that wait for their receiver, by backend."}, []string{"backend"}),
	}
	r.MustRegister(m.events, m.rejected, m.errors, m.levels, m.lost, m.reloads, m.waiting, m.waitingBytes)
	return m
}

// Lost counts n events that plugin lost by cause.
func (m *Metrics) Lost(plugin, cause string, n int) {
	if m == nil {
		return
	}
	m.errors.WithLabelValues(plugin).Add(float64(n))
	m.lost.WithLabelValues(plugin, cause).Add(float64(n))
}

// Spilled says how many events of a backend wait on disk, and how many bytes they take.
func (m *Metrics) Spilled(backend string, events uint64, bytes int64) {
	if m == nil {
		return
	}
	m.waiting.WithLabelValues(backend).Set(float64(events))
	m.waitingBytes.WithLabelValues(backend).Set(float64(bytes))
}

// PolicyReloaded counts that the policy was read again, and whether it was good.
func (m *Metrics) PolicyReloaded(good bool) {
	if m == nil {
		return
	}
	result := "success"
	if !good {
		result = "failure"
	}
	m.reloads.WithLabelValues(result).Inc()
}
