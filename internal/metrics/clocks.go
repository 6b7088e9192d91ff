package metrics

import (
	"bytes"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/skew"
)

// Clocks tells by how much the clocks of API servers differ; it is a
// prometheus.Collector. What it tells is of the last hour at most, so that a clock that
// was set right is told right soon.
type Clocks struct {
	now         func() time.Time
	ahead, wide *prometheus.Desc

	mu         sync.Mutex // guards what follows
	first      map[string]string
	several    map[string]map[string]bool // servers of the clusters that have more than one
	young, old *skew.Estimator
	turned     time.Time
}

const clocksTurn = 30 * time.Minute

// maxSeveral bounds the clusters, and the servers of one, that are told of.
const maxSeveral = 64

// NewClocks returns Clocks that have seen nothing.
func NewClocks(now func() time.Time) *Clocks {
	labels := []string{"cluster", "server"}
	return &Clocks{now: now, young: skew.New(), turned: now(), first: map[string]string{}, several: map[string]map[string]bool{},
		ahead: prometheus.NewDesc("kubetrail_server_clock_skew_seconds",
			"By how much the clock of an API server is ahead of that of the first of its cluster by name; absent where that is not known.", labels, nil),
		wide: prometheus.NewDesc("kubetrail_server_clock_skew_bound_seconds",
			"How far the true skew may be from kubetrail_server_clock_skew_seconds.", labels, nil)}
}

// Tap is w, with events looked at that pass.
func (c *Clocks) Tap(w collect.Appender) collect.Appender { return &clocksTap{w, c} }

type clocksTap struct {
	collect.Appender
	c *Clocks
}

func (t *clocksTap) Append(e *audit.Event) {
	if len(e.Text[audit.Server]) > 0 && skew.Tells(e) && !bytes.Contains(e.Text[audit.Marks], []byte(`"`)) {
		t.c.observe(e)
	}
	t.Appender.Append(e)
}

// observe looks at an event whose server is known, if its cluster has several.
func (c *Clocks) observe(e *audit.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first, known := c.first[string(e.Text[audit.Cluster])]
	switch {
	case !known:
		if len(c.first) < maxSeveral {
			c.first[string(e.Text[audit.Cluster])] = string(e.Text[audit.Server])
		}
		return
	case first != string(e.Text[audit.Server]):
		several := c.several[string(e.Text[audit.Cluster])]
		if several == nil {
			several = map[string]bool{first: true}
			c.several[string(e.Text[audit.Cluster])] = several
		}
		if !several[string(e.Text[audit.Server])] && len(several) < maxSeveral {
			several[string(e.Text[audit.Server])] = true
		}
	case c.several[string(e.Text[audit.Cluster])] == nil:
		return
	}
	c.young.Add(e)
}

// Describe implements prometheus.Collector, as does Collect.
func (c *Clocks) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.ahead
	ch <- c.wide
}

func (c *Clocks) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.turned) >= clocksTurn {
		c.young, c.old, c.turned = skew.New(), c.young, now
	}
	for cluster, servers := range c.several {
		young := c.young.Skews(cluster)
		var old map[string]skew.Skew
		if c.old != nil {
			old = c.old.Skews(cluster)
		}
		for server := range servers {
			k := young[server]
			if !k.Known {
				k = old[server]
			}
			if !k.Known || !utf8.ValidString(cluster+server) {
				continue
			}
			ch <- prometheus.MustNewConstMetric(c.ahead, prometheus.GaugeValue, float64(k.Estimate())/1e6, cluster, server)
			ch <- prometheus.MustNewConstMetric(c.wide, prometheus.GaugeValue, float64(k.High-k.Low)/2e6, cluster, server)
		}
	}
}
