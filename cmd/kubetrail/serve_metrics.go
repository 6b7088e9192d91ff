package main

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"kubetrail/internal/collect"
)

// collectMetrics tells about collecting. How far the feeds are is asked whenever
// metrics are read.
type collectMetrics struct {
	state   func() collect.State
	commits prometheus.Histogram
	descs   map[string]*prometheus.Desc
}

// feedMetrics are told of every feed; the suffix _total makes a counter.
func feedMetrics() [][2]string {
	return [][2]string{
		{"received_events_total", "Events read since the start."},
		{"set_aside_total", "Stretches set aside since the start because they were no event."},
		{"received_bytes_total", "Bytes read since the start."},
		{"lag_bytes", "Bytes that are there and were not read yet."},
		{"lag_seconds", "How long nothing was read although there was something; 0 if all was read."},
		{"failing", "1 if the last attempt to read failed."},
	}
}

func newCollectMetrics() *collectMetrics {
	m := &collectMetrics{descs: map[string]*prometheus.Desc{}, commits: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "kubetrail_collect_commit_duration_seconds", Help: "Time to make durable what was read.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	})}
	for _, x := range feedMetrics() {
		m.descs[x[0]] = prometheus.NewDesc("kubetrail_collect_"+x[0], x[1], []string{"source", "cluster"}, nil)
	}
	m.descs["stored"] = prometheus.NewDesc("kubetrail_collect_stored_events_total", "Events made durable since the start.", nil, nil)
	m.descs["writable"] = prometheus.NewDesc("kubetrail_collect_trail_writable", "1 if the last commit worked.", nil, nil)
	m.descs["spool"] = prometheus.NewDesc("kubetrail_collect_spool_bytes", "Bytes that webhooks brought and that are not in the trail yet.", nil, nil)
	return m
}

// newRegistry returns what /metrics shows besides what the server knows.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

func (m *collectMetrics) committed(took time.Duration, _ uint64) { m.commits.Observe(took.Seconds()) }

func (m *collectMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range m.descs {
		ch <- d
	}
}

func (m *collectMetrics) Collect(ch chan<- prometheus.Metric) {
	send := func(name string, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(m.descs[name], kind, v, labels...)
	}
	truth := map[bool]float64{true: 1}
	s := m.state()
	send("stored", prometheus.CounterValue, float64(s.Stored))
	send("writable", prometheus.GaugeValue, truth[s.Err == nil])
	var spool int64
	for _, f := range s.Feeds {
		lag := 0.0
		if f.Waiting > 0 && !f.LastRead.IsZero() {
			lag = time.Since(f.LastRead).Seconds()
		}
		if strings.HasPrefix(f.Name, "webhook/") {
			spool += f.Waiting
		}
		for i, v := range []float64{float64(f.Events), float64(f.Faults), float64(f.Bytes), float64(f.Waiting), lag, truth[f.Err != nil]} {
			name, kind := feedMetrics()[i][0], prometheus.GaugeValue
			if strings.HasSuffix(name, "_total") {
				kind = prometheus.CounterValue
			}
			send(name, kind, v, f.Name, f.Cluster)
		}
	}
	send("spool", prometheus.GaugeValue, float64(spool))
}
