package metrics

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/collect/collecttest"
	"kubetrail/internal/corpustest"
)

// write is the n-th write of a cluster, 10 ms after the one before, by a clock that is so
// far ahead.
func write(n int, server string, ahead time.Duration) *audit.Event {
	at := time.Date(2026, 11, 20, 15, 0, 0, 0, time.UTC).Add(time.Duration(n)*10*time.Millisecond + ahead).UnixMicro()
	e := &audit.Event{Code: 200, Received: at, Staged: at + 5000}
	for c, v := range map[audit.Column]string{audit.Stage: "ResponseComplete", audit.Verb: "create", audit.Resource: "pods",
		audit.Name: fmt.Sprint("p", n), audit.Cluster: "prod", audit.Server: server} {
		e.Text[c] = []byte(v)
	}
	e.ResponseObject = fmt.Appendf(nil, `{"metadata":{"resourceVersion":"%d"}}`, n+1)
	return e
}

func TestClocks(t *testing.T) {
	now := time.Now()
	c := NewClocks(func() time.Time { return now })
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	model := collecttest.New()
	w := c.Tap(model)
	w.Append(write(0, "cp-1", 0))
	w.Append(write(1, "cp-1", 0))
	alone := write(2, "other", 0)
	alone.Text[audit.Cluster] = []byte("test")
	w.Append(alone)
	w.Append(write(3, "", 0)) // nobody's
	check := func(want string) {
		t.Helper()
		if err := testutil.GatherAndCompare(r, strings.NewReader(want), "kubetrail_server_clock_skew_seconds", "kubetrail_server_clock_skew_bound_seconds"); err != nil {
			t.Error(err)
		}
	}
	check("")
	again := write(9999, "cp-2", time.Hour)
	again.Text[audit.Marks] = []byte(`["repeat"]`)
	w.Append(again) // tells nothing new
	for n := 4; n < 200; n += 2 {
		w.Append(write(n, "cp-1", 0))
		w.Append(write(n+1, "cp-2", -90*time.Second))
	}
	// cp-1 is never more than 10 ms and one request before cp-2, nor behind it
	const want = `
# HELP kubetrail_server_clock_skew_bound_seconds How far the true skew may be from kubetrail_server_clock_skew_seconds.
# TYPE kubetrail_server_clock_skew_bound_seconds gauge
kubetrail_server_clock_skew_bound_seconds{cluster="prod",server="cp-1"} 0
kubetrail_server_clock_skew_bound_seconds{cluster="prod",server="cp-2"} 0.015
# HELP kubetrail_server_clock_skew_seconds By how much the clock of an API server is ahead of that of the first of its cluster by name; absent where that is not known.
# TYPE kubetrail_server_clock_skew_seconds gauge
kubetrail_server_clock_skew_seconds{cluster="prod",server="cp-1"} 0
kubetrail_server_clock_skew_seconds{cluster="prod",server="cp-2"} -90
`
	check(want)
	now = now.Add(clocksTurn)
	check(want) // of the half hour before
	now = now.Add(clocksTurn)
	check("") // too long ago
	if n := len(model.Waiting); n != 201 {
		t.Errorf("%d events were passed on", n)
	}
}

// What an event costs where several API servers are known.
func BenchmarkClocks(b *testing.B) {
	events := make([]audit.Event, 4096)
	for i, line := range corpustest.Events(b, "d-metadata-all")[:7*len(events)] {
		if i%7 > 0 {
			continue
		}
		if err := events[i/7].Scan(line); err != nil {
			b.Fatal(err)
		}
		events[i/7].Text[audit.Cluster], events[i/7].Text[audit.Server] = []byte("prod"), fmt.Appendf(nil, "cp-%d", i%3)
	}
	w, n := NewClocks(time.Now).Tap(nowhere{}), 0
	for b.Loop() {
		w.Append(&events[n&4095])
		n++
	}
}

// nowhere takes events.
type nowhere struct{ collect.Appender }

func (nowhere) Append(*audit.Event) {}
