package backend_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kubetrail/audit"
	"kubetrail/internal/trail"
	"kubetrail/record"
	"kubetrail/record/backend"
)

func TestLossEvent(t *testing.T) {
	now := time.Date(2026, 11, 20, 15, 13, 23, 604_000_000, time.UTC)
	l := backend.NewLosses(backend.LossesConfig{
		Backend:     "webhook",
		Annotations: map[string]string{"kubetrail.io/cluster": "a<b>&c", "z": "\u2028 ü"},
		Now:         func() time.Time { return now },
		NewID:       func() string { return "an-id" },
	})
	l.Add("buffered", backend.CauseBufferFull, 4)
	now = now.Add(time.Second)
	l.Add("truncate", backend.CauseBufferFull, 16000)
	now = now.Add(time.Second)
	all := l.Take()
	if len(all) != 1 {
		t.Fatalf("took %v", all)
	}
	line := l.Event(all[0]).Line()
	want := `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"an-id",` +
		`"stage":"ResponseComplete","requestURI":"","verb":"lost","user":{"username":"system:kubetrail"},` +
		`"requestReceivedTimestamp":"2026-11-20T15:13:23.604000Z","stageTimestamp":"2026-11-20T15:13:25.604000Z",` +
		`"annotations":{"kubetrail.io/cluster":"a\u003cb\u003e\u0026c","kubetrail.io/lost":"16004",` +
		`"kubetrail.io/lost-backend":"webhook","kubetrail.io/lost-cause":"buffer-full","z":"\u2028 ü"}}` + "\n"
	if string(line) != want {
		t.Errorf("the event is\n%swant\n%s", line, want)
	}
	var e audit.Event
	if err := e.Scan(bytes.TrimSuffix(line, []byte("\n"))); err != nil || !e.Exact() {
		t.Errorf("scanned: %v, exact %v", err, e.Exact())
	}
	if read, ok := trail.ReportedLoss(&e); !ok || read.Events != 16004 || read.Cause != all[0].Cause || read.From != e.Received || read.To != e.Staged {
		t.Errorf("a trail reads %+v, %v", read, ok)
	}
}

// What was taken and given back is told with what was lost meanwhile.
func TestLossesRestore(t *testing.T) {
	l := backend.NewLosses(backend.LossesConfig{})
	if l.Pending() || l.Take() != nil {
		t.Error("something is pending from the start")
	}
	l.Add("log", backend.CauseWrite, 3)
	l.Add("log", backend.CauseTooLarge, 1)
	l.Add("log", backend.CauseTooLarge, 0)
	taken := l.Take()
	if l.Pending() || l.Take() != nil {
		t.Error("what was taken is still there")
	}
	l.Add("log", backend.CauseWrite, 2)
	<-l.Ready()
	l.Restore(taken)
	select {
	case <-l.Ready():
	default:
		t.Error("nobody is told of what came back")
	}
	got := l.Take()
	if len(got) != 2 || got[0].Count != 1 || got[1].Count != 5 || !got[1].Since.Equal(taken[1].Since) {
		t.Errorf("got %v after %v", got, taken)
	}
}

func TestNoLosses(t *testing.T) {
	var l *backend.Losses
	l.Add("log", backend.CauseWrite, 1)
	l.Restore([]backend.Lost{{Cause: backend.CauseWrite, Count: 1}})
	if l.Pending() || l.Take() != nil || l.Ready() != nil {
		t.Error("nothing remembers something")
	}
}

// However many are lost, the log tells it once a second, with all that were lost.
func TestLossesAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		metrics := prometheus.NewRegistry()
		l := backend.NewLosses(backend.LossesConfig{
			Backend: "log", Metrics: record.NewMetrics(metrics),
			Logger: slog.New(slog.NewTextHandler(&out, nil)),
		})
		l.Fail("log", backend.CauseWrite, 1, errors.New("no space left"))
		for range 1000 {
			l.Add("log", backend.CauseWrite, 2)
		}
		if n := strings.Count(out.String(), "\n"); n != 1 || !strings.Contains(out.String(), "no space left") {
			t.Errorf("%d lines in a moment:\n%s", n, &out)
		}
		time.Sleep(time.Second)
		l.Take()
		lines := slices.Collect(strings.Lines(out.String()))
		if len(lines) != 2 || !strings.Contains(lines[1], `"log: write-failed"=2000`) {
			t.Errorf("after a second:\n%s", &out)
		}
		want := fmt.Sprintf("# HELP %[1]s Audit events that were lost, by backend and cause.\n# TYPE %[1]s counter\n"+
			"%[1]s{backend=\"log\",cause=\"write-failed\"} 2001\n", "kubetrail_record_lost_total")
		if err := testutil.GatherAndCompare(metrics, strings.NewReader(want), "kubetrail_record_lost_total"); err != nil {
			t.Error(err)
		}
	})
}
