// Package metrics tells Prometheus how collecting goes. docs/operating.md lists every
// metric, deploy/prometheus holds alerts on them.
package metrics

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/collect/collector"
	"kubetrail/internal/trail"
)

// Config says what to tell of.
type Config struct {
	DataDir    string       // whose file system is told of
	SpoolBytes func() int64 // that each spool may take now
	Now        time.Time    // when collecting began
}

// Collecting tells about collecting; it is a prometheus.Collector. How far the feeds are
// is asked whenever metrics are read, so that a source that is gone is told of no more.
// Its methods may be called from any goroutine.
type Collecting struct {
	cfg     Config
	descs   []*prometheus.Desc // of feedMetrics
	alone   map[string]*prometheus.Desc
	commits prometheus.Histogram
	merges  prometheus.Histogram
	expired prometheus.Counter
	failed  *prometheus.CounterVec // by work: merge, expire
	marks   *prometheus.CounterVec // by mark, cluster and server
	losses  *prometheus.CounterVec // by cluster and server, as is lost
	lost    *prometheus.CounterVec

	mu    sync.Mutex // guards state
	state func() collector.State
}

// feed is what is told of a feed.
type feed struct {
	name, help string
	kind       prometheus.ValueType
	value      func(s collect.Status, now, began time.Time) float64
}

func feedMetrics() []feed {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return []feed{
		{"received_events_total", "Events read since the start.", counter,
			func(s collect.Status, _, _ time.Time) float64 { return float64(s.Events) }},
		{"received_bytes_total", "Bytes read since the start.", counter,
			func(s collect.Status, _, _ time.Time) float64 { return float64(s.Bytes) }},
		{"set_aside_total", "Stretches set aside since the start because they were no event.", counter,
			func(s collect.Status, _, _ time.Time) float64 { return float64(s.Faults) }},
		{"lag_bytes", "Bytes that are there and were not read yet.", gauge,
			func(s collect.Status, _, _ time.Time) float64 { return float64(s.Waiting) }},
		{"lag_seconds", "How long nothing was read although there was something; 0 if all was read.", gauge, lag},
		{"failing", "1 if the last attempt to read failed.", gauge,
			func(s collect.Status, _, _ time.Time) float64 { return truth(s.Err != nil) }},
	}
}

// lag is how long nothing was read although there was something, since the start at most.
func lag(s collect.Status, now, began time.Time) float64 {
	if s.Waiting == 0 {
		return 0
	}
	if s.LastRead.After(began) {
		began = s.LastRead
	}
	return max(0, now.Sub(began).Seconds())
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// New returns metrics of a collector that was not made yet.
func New(cfg Config) *Collecting {
	c := &Collecting{cfg: cfg, alone: map[string]*prometheus.Desc{},
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kubetrail_collect_commit_duration_seconds", Help: "Time to make durable what was read.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		merges: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kubetrail_trail_merge_duration_seconds", Help: "Time to make one larger part of small ones.",
			Buckets: []float64{.01, .05, .1, .5, 1, 5, 10, 30},
		}),
		expired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kubetrail_trail_expired_events_total", Help: "Events that retention removed since the start.",
		}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubetrail_trail_upkeep_failures_total", Help: "Merges and removals of old parts that failed since the start, by kind of work.",
		}, []string{"work"}),
		marks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubetrail_collect_marked_events_total", Help: "Events read since the start that are a repeat of one that is there, or were recovered from another log.",
		}, []string{"mark", "cluster", "server"}),
		losses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubetrail_collect_losses_total", Help: "Times that a source told, or showed, since the start that events are missing.",
		}, []string{"cluster", "server"}),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubetrail_collect_lost_events_total", Help: "Events that are missing by what a source told since the start, where it told how many.",
		}, []string{"cluster", "server"}),
	}
	for _, work := range []string{"merge", "expire"} {
		c.failed.WithLabelValues(work)
	}
	labels := []string{"source", "cluster", "server"}
	for _, x := range feedMetrics() {
		c.descs = append(c.descs, prometheus.NewDesc("kubetrail_collect_"+x.name, x.help, labels, nil))
	}
	for _, x := range []struct{ name, help string }{
		{"collect_stored_events_total", "Events made durable since the start."},
		{"collect_running", "1 while events are being collected."},
		{"collect_trail_writable", "1 if the last commit worked."},
		{"collect_spool_limit_bytes", "What each spool may hold; posts are answered 503 beyond it."},
		{"disk_free_bytes", "Bytes that are free on the file system of the trail."},
		{"disk_size_bytes", "Size of the file system of the trail."},
	} {
		c.alone[x.name] = prometheus.NewDesc("kubetrail_"+x.name, x.help, nil, nil)
	}
	c.alone["spool"] = prometheus.NewDesc("kubetrail_collect_spool_bytes", "Bytes that were received and are not in the trail yet.", labels, nil)
	return c
}

// Of tells whose state is told.
func (c *Collecting) Of(state func() collector.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = state
}

// Committed notes a commit; it is collector.Config.OnCommit.
func (c *Collecting) Committed(took time.Duration, _ uint64) { c.commits.Observe(took.Seconds()) }

// Merging is step, with the time it takes noted; it is collector.Config.Merge.
func (c *Collecting) Merging(step func(context.Context) (bool, error)) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		start := time.Now()
		merged, err := step(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			c.failed.WithLabelValues("merge").Inc()
		case merged:
			c.merges.Observe(time.Since(start).Seconds())
		}
		return merged, err
	}
}

// Expired notes what retention removed.
func (c *Collecting) Expired(events uint64, err error) {
	c.expired.Add(float64(events))
	if err != nil {
		c.failed.WithLabelValues("expire").Inc()
	}
}

// Tap is w, with the events noted that have a mark.
func (c *Collecting) Tap(w collect.Appender) collect.Appender { return &tap{w, c} }

type tap struct {
	collect.Appender
	c *Collecting
}

func (t *tap) Append(e *audit.Event) {
	if marks := e.Text[audit.Marks]; len(marks) > 0 {
		for _, mark := range []string{"repeat", "recovered"} {
			if bytes.Contains(marks, []byte(`"`+mark+`"`)) {
				t.c.marks.WithLabelValues(mark, label(string(e.Text[audit.Cluster])), label(string(e.Text[audit.Server]))).Inc()
			}
		}
	}
	t.Appender.Append(e)
}

func (t *tap) SetAside(f trail.Fault) {
	if f.Lost != nil {
		t.c.losses.WithLabelValues(label(f.Cluster), label(f.Server)).Inc()
		t.c.lost.WithLabelValues(label(f.Cluster), label(f.Server)).Add(float64(max(0, f.Lost.Events)))
	}
	t.Appender.SetAside(f)
}

// label is a name as Prometheus takes it: files may have others, and it panics at those.
func label(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }

// Describe implements prometheus.Collector, as does Collect.
func (c *Collecting) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
	for _, d := range c.alone {
		ch <- d
	}
	for _, x := range c.others() {
		x.Describe(ch)
	}
}

func (c *Collecting) others() []prometheus.Collector {
	return []prometheus.Collector{c.commits, c.merges, c.expired, c.failed, c.marks, c.losses, c.lost}
}

func (c *Collecting) Collect(ch chan<- prometheus.Metric) {
	for _, x := range c.others() {
		x.Collect(ch)
	}
	send := func(name string, kind prometheus.ValueType, v float64) {
		ch <- prometheus.MustNewConstMetric(c.alone[name], kind, v)
	}
	if free, size, err := diskSpace(c.cfg.DataDir); err == nil {
		send("disk_free_bytes", prometheus.GaugeValue, float64(free))
		send("disk_size_bytes", prometheus.GaugeValue, float64(size))
	}
	c.mu.Lock()
	state := c.state
	c.mu.Unlock()
	if state == nil {
		return
	}
	s := state()
	send("collect_stored_events_total", prometheus.CounterValue, float64(s.Stored))
	send("collect_running", prometheus.GaugeValue, truth(s.Running))
	send("collect_trail_writable", prometheus.GaugeValue, truth(s.Err == nil))
	send("collect_spool_limit_bytes", prometheus.GaugeValue, float64(c.cfg.SpoolBytes()))
	now, told := time.Now(), map[[3]string]bool{}
	for _, f := range s.Feeds {
		labels := [3]string{label(f.Name), label(f.Cluster), label(f.Server)}
		if told[labels] { // the registry would refuse all of them
			continue
		}
		told[labels] = true
		for i, x := range feedMetrics() {
			ch <- prometheus.MustNewConstMetric(c.descs[i], x.kind, x.value(f, now, c.cfg.Now), labels[:]...)
		}
		if strings.HasPrefix(f.Name, "webhook/") || strings.HasPrefix(f.Name, "agent/") {
			ch <- prometheus.MustNewConstMetric(c.alone["spool"], prometheus.GaugeValue, float64(f.Waiting), labels[:]...)
		}
	}
}
