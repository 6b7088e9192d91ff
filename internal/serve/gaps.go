package serve

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/gap"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

// GapTap is the writing end of a trail, and looks for gaps in what passes.
type GapTap struct {
	collect.Appender
	now func() time.Time

	mu    sync.Mutex // guards found: a scrape looks at it too
	found *gap.Detector

	gaps, smallest, silent *prometheus.Desc
}

const (
	gapsOf   = 24 * time.Hour // gaps that ended longer ago are not counted any more
	gapGrace = time.Minute    // what was observed until now may take so long to come
	gapWarm  = 20 * time.Second
)

// TapGaps puts a tap on w, which writes to the trail in dir. It knows the pulses of the
// last hour, where reading them takes no longer than a start may.
func TapGaps(ctx context.Context, dir string, w collect.Appender, now func() time.Time, log *slog.Logger) *GapTap {
	names := []string{"cluster", "server"}
	t := &GapTap{Appender: w, now: now, found: gap.New(gap.Config{}),
		gaps: prometheus.NewDesc("kubetrail_gaps", "Times of the last 24 hours in which an API server was not observed, by cause.",
			append(names, "cause"), nil),
		smallest: prometheus.NewDesc("kubetrail_gap_smallest_seconds",
			"The shortest silence that is certain to be taken for a gap; 0 where there is no pulse to tell by.", names, nil),
		silent: prometheus.NewDesc("kubetrail_silent_seconds", "How long ago the latest event of an API server happened.", names, nil),
	}
	ctx, cancel := context.WithTimeout(ctx, gapWarm)
	defer cancel()
	r, err := disk.Open(dir)
	if err == nil {
		t.found, err = gap.Warm(ctx, r, gap.Config{})
		r.Close()
	}
	if err != nil {
		log.Warn("cannot learn the pulses of API servers from the trail; learning them anew", "err", err)
	}
	return t
}

// Append takes in an event.
func (t *GapTap) Append(e *audit.Event) {
	t.Appender.Append(e)
	t.mu.Lock()
	t.found.Observe(e)
	t.mu.Unlock()
}

// SetAside takes in a fault.
func (t *GapTap) SetAside(f trail.Fault) {
	t.Appender.SetAside(f)
	t.mu.Lock()
	t.found.Lose(f)
	t.mu.Unlock()
}

// Describe implements [prometheus.Collector].
func (t *GapTap) Describe(ch chan<- *prometheus.Desc) {
	ch <- t.gaps
	ch <- t.smallest
	ch <- t.silent
}

// Collect implements [prometheus.Collector].
func (t *GapTap) Collect(ch chan<- prometheus.Metric) {
	now := t.now()
	t.mu.Lock()
	r := t.found.Report(now.Add(-gapGrace).UnixMicro())
	t.mu.Unlock()
	type labels struct{ cluster, server, cause string }
	counts := map[labels]float64{}
	for _, s := range r.Servers {
		l := labels{label(s.Cluster), label(cmp.Or(s.Server, s.Source)), gap.Silence}
		if _, twice := counts[l]; twice {
			continue // a log of the same name as a server
		}
		counts[l] = 0
		ch <- prometheus.MustNewConstMetric(t.smallest, prometheus.GaugeValue, s.Smallest, l.cluster, l.server)
		ago := max(0, now.Sub(time.UnixMicro(int64(s.Last))).Seconds())
		ch <- prometheus.MustNewConstMetric(t.silent, prometheus.GaugeValue, ago, l.cluster, l.server)
	}
	since := gap.Time(now.Add(-gapsOf).UnixMicro())
	for _, g := range r.Gaps {
		if g.To == audit.NoTime || g.To >= since {
			counts[labels{label(g.Cluster), label(cmp.Or(g.Server, g.Source)), label(g.Cause)}]++
		}
	}
	for l, n := range counts {
		ch <- prometheus.MustNewConstMetric(t.gaps, prometheus.GaugeValue, n, l.cluster, l.server, l.cause)
	}
}

// label is a name as Prometheus takes it: files may have others.
func label(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }
