package metrics

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/collect/collector"
	"kubetrail/internal/collect/collecttest"
	"kubetrail/internal/trail"
)

func TestCollecting(t *testing.T) {
	began := time.Now().Add(-time.Hour)
	c := New(Config{DataDir: t.TempDir(), SpoolBytes: func() int64 { return 1 << 30 }, Now: began})
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	s := collector.State{Running: true, Stored: 7, Feeds: []collect.Status{
		{Name: "/a.log", Cluster: "prod", Server: "cp-1", Events: 5, Faults: 2, Bytes: 100},
		{Name: "webhook/prod", Cluster: "prod", Waiting: 50, Err: errors.New("no")},
		{Name: "webhook/prod", Cluster: "prod", Waiting: 60}, // the same once more must not spoil all
	}}
	c.Of(func() collector.State { return s })
	w := c.Tap(collecttest.New())
	var e audit.Event
	if err := e.Scan([]byte(collecttest.Event(1))); err != nil {
		t.Fatal(err)
	}
	e.Text[audit.Cluster] = []byte("prod")
	w.Append(&e)
	e.Text[audit.Marks] = []byte(`["repeat","recovered"]`)
	w.Append(&e)
	e.Text[audit.Marks] = []byte(`["recovered"]`)
	w.Append(&e)
	w.SetAside(trail.Fault{Cluster: "prod"})
	w.SetAside(trail.Fault{Cluster: "prod", Lost: &trail.Loss{Events: 4}})
	w.SetAside(trail.Fault{Cluster: "prod", Lost: &trail.Loss{}})
	c.Expired(3, nil)
	c.Expired(0, errors.New("no"))
	step := func(merged bool, err error) {
		_, _ = c.Merging(func(context.Context) (bool, error) { return merged, err })(t.Context())
	}
	step(true, nil)
	step(false, nil)
	step(false, errors.New("no"))
	want := `
# HELP kubetrail_collect_failing 1 if the last attempt to read failed.
# TYPE kubetrail_collect_failing gauge
kubetrail_collect_failing{cluster="prod",server="",source="webhook/prod"} 1
kubetrail_collect_failing{cluster="prod",server="cp-1",source="/a.log"} 0
# HELP kubetrail_collect_lost_events_total Events that are missing by what a source told since the start, where it told how many.
# TYPE kubetrail_collect_lost_events_total counter
kubetrail_collect_lost_events_total{cluster="prod",server=""} 4
# HELP kubetrail_collect_losses_total Times that a source told, or showed, since the start that events are missing.
# TYPE kubetrail_collect_losses_total counter
kubetrail_collect_losses_total{cluster="prod",server=""} 2
# HELP kubetrail_collect_marked_events_total Events read since the start that are a repeat of one that is there, or were recovered from another log.
# TYPE kubetrail_collect_marked_events_total counter
kubetrail_collect_marked_events_total{cluster="prod",mark="recovered",server=""} 2
kubetrail_collect_marked_events_total{cluster="prod",mark="repeat",server=""} 1
# HELP kubetrail_collect_received_events_total Events read since the start.
# TYPE kubetrail_collect_received_events_total counter
kubetrail_collect_received_events_total{cluster="prod",server="",source="webhook/prod"} 0
kubetrail_collect_received_events_total{cluster="prod",server="cp-1",source="/a.log"} 5
# HELP kubetrail_collect_spool_bytes Bytes that were received and are not in the trail yet.
# TYPE kubetrail_collect_spool_bytes gauge
kubetrail_collect_spool_bytes{cluster="prod",server="",source="webhook/prod"} 50
# HELP kubetrail_collect_trail_writable 1 if the last commit worked.
# TYPE kubetrail_collect_trail_writable gauge
kubetrail_collect_trail_writable 1
# HELP kubetrail_trail_expired_events_total Events that retention removed since the start.
# TYPE kubetrail_trail_expired_events_total counter
kubetrail_trail_expired_events_total 3
# HELP kubetrail_trail_upkeep_failures_total Merges and removals of old parts that failed since the start, by kind of work.
# TYPE kubetrail_trail_upkeep_failures_total counter
kubetrail_trail_upkeep_failures_total{work="expire"} 1
kubetrail_trail_upkeep_failures_total{work="merge"} 1
`
	var names []string
	for line := range strings.Lines(want) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "TYPE" {
			names = append(names, f[2])
		}
	}
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(r, "kubetrail_disk_free_bytes", "kubetrail_disk_size_bytes", "kubetrail_trail_merge_duration_seconds"); n != 3 || err != nil {
		t.Errorf("%d metrics, %v", n, err)
	}
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	s.Feeds = s.Feeds[:1] // what is gone vanishes
	if n, err := testutil.GatherAndCount(r, "kubetrail_collect_spool_bytes", "kubetrail_collect_lag_bytes"); n != 1 || err != nil {
		t.Errorf("%d metrics of sources, %v", n, err)
	}
}

func TestLag(t *testing.T) {
	began := time.Date(2026, 11, 20, 15, 0, 0, 0, time.UTC)
	now := began.Add(10 * time.Minute)
	for _, c := range []struct {
		s    collect.Status
		want float64
	}{
		{collect.Status{}, 0},
		{collect.Status{LastRead: began}, 0},
		{collect.Status{Waiting: 1}, 600}, // nothing was ever read
		{collect.Status{Waiting: 1, LastRead: now.Add(-30 * time.Second)}, 30},
		{collect.Status{Waiting: 1, LastRead: now.Add(time.Second)}, 0}, // the clock went back
	} {
		if got := lag(c.s, now, began); got != c.want {
			t.Errorf("%+v: %v, want %v", c.s, got, c.want)
		}
	}
}

// Names that are no UTF-8, as files may have, spoil nothing.
func TestStrangeNames(t *testing.T) {
	c := New(Config{DataDir: t.TempDir(), SpoolBytes: func() int64 { return 0 }, Now: time.Now()})
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	c.Of(func() collector.State {
		return collector.State{Feeds: []collect.Status{{Name: "/\xff.log", Cluster: "\xff", Server: "\xff"}, {Name: "/\ufffd.log", Cluster: "\ufffd", Server: "\ufffd"}}}
	})
	w := c.Tap(collecttest.New())
	w.SetAside(trail.Fault{Cluster: "\xff", Server: "\xff", Lost: &trail.Loss{Events: 1}})
	e := audit.Event{}
	e.Text[audit.Cluster], e.Text[audit.Server], e.Text[audit.Marks] = []byte("\xff"), []byte("\xff"), []byte(`["repeat"]`)
	w.Append(&e)
	if n, err := testutil.GatherAndCount(r, "kubetrail_collect_received_events_total", "kubetrail_collect_losses_total", "kubetrail_collect_marked_events_total"); n != 3 || err != nil {
		t.Errorf("%d metrics, %v", n, err)
	}
}
