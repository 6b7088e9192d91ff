//go:build unix

package gap

import (
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
)

// realEvents are the events of a corpus, each with bytes of its own.
func realEvents(tb testing.TB, name string) []*audit.Event {
	tb.Helper()
	var events []*audit.Event
	for _, line := range corpustest.Events(tb, name) {
		e := &audit.Event{}
		if err := e.Scan(line); err != nil {
			tb.Fatal(err)
		}
		e.Text[audit.Source] = []byte("/var/log/kubernetes/audit/audit.log")
		e.Text[audit.Cluster] = []byte("prod")
		events = append(events, e)
	}
	return events
}

// cpu is the processor time of this process so far: on a shared machine the clock says
// little.
func cpu() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkObserve is what a collector pays for each event.
func BenchmarkObserve(b *testing.B) {
	for _, name := range []string{"d-metadata-all", "a-gce-derived"} {
		b.Run(name, func(b *testing.B) {
			events := realEvents(b, name)[5000:6000] // what the collector gives is in the cache
			length := events[len(events)-1].Staged - events[0].Staged + second
			d := New(Config{})
			n := 0
			before := cpu()
			for b.Loop() {
				e := events[n%len(events)]
				n++
				e.Staged += length
				d.Observe(e)
			}
			b.ReportMetric(float64(cpu()-before)/float64(n), "cpu-ns/op")
		})
	}
}

// BenchmarkFind looks through a trail, KUBETRAIL_BENCH_EVENTS large: a million events of
// an idle pulse amid 2,000 events a second where it is not given.
func BenchmarkFind(b *testing.B) {
	events, _ := strconv.Atoi(os.Getenv("KUBETRAIL_BENCH_EVENTS"))
	if events == 0 {
		events = 1_000_000
	}
	real := realEvents(b, "d-metadata-all")
	var all []moment
	for i := range events {
		all = append(all, moment{midnight + int64(i)*500, real[i%len(real)]})
	}
	r := onDisk(b, all, nil)
	all = nil
	before, n := cpu(), 0
	for b.Loop() {
		if _, err := Find(b.Context(), r, always()); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric((cpu()-before).Seconds()/float64(n)/float64(events)*1e6, "cpu-s/Mevents")
	b.ReportMetric(b.Elapsed().Seconds()/float64(n), "s")
}
