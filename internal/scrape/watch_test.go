package scrape

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"kubetrail/audit"
	"kubetrail/internal/collect/collecttest"
	"kubetrail/internal/klog"
	"kubetrail/internal/trail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// metricsText is what the API server of the corpus lost-events says, with more around it.
func metricsText(events, log int) string {
	return fmt.Sprintf(`# HELP apiserver_audit_error_total [ALPHA] Counter of audit events that failed to be audited properly.
# TYPE apiserver_audit_error_total counter
apiserver_audit_error_total{plugin="log"} %d
apiserver_audit_error_total{plugin="webhook"} 112
apiserver_audit_event_total %d
apiserver_audit_level_total{level="RequestResponse"} 575
apiserver_audit_requests_rejected_total 3
apiserver_request_total{code="200",path="%s"} 1
process_start_time_seconds 1.76365270067e+09
`, log, events, strings.Repeat("x", 2*maxLine))
}

func TestReadMetrics(t *testing.T) {
	s := sample{errors: map[string]int64{}}
	if err := s.read(strings.NewReader(metricsText(1149, 8)), 1<<20); err != nil {
		t.Fatal(err)
	}
	if s.events != 1149 || s.errors["log"] != 8 || s.errors["webhook"] != 112 || s.rejected != 3 || s.start != 1.76365270067e+09 {
		t.Errorf("%+v", s)
	}
	strange := sample{errors: map[string]int64{}} // what is no UTF-8 would be no label
	if err := strange.read(strings.NewReader("process_start_time_seconds 1\napiserver_audit_error_total{plugin=\"\xff\"} 5\n"), 1<<20); err != nil || strange.errors["other"] != 5 {
		t.Errorf("%+v, %v", strange, err)
	}
	for text, want := range map[string]string{
		"hello":                            "not the metrics of an API server",
		"":                                 "not the metrics of an API server",
		strings.Repeat("x", 1<<20+1):       "more than 1048576 bytes",
		strings.Repeat("x\n", 1<<19+1):     "more than 1048576 bytes",
		"process_start_time_seconds NaN\n": "not the metrics of an API server",
		"process_start_time_seconds{a=\"}\"} -1\n": "not the metrics of an API server",
	} {
		s := sample{errors: map[string]int64{}}
		if err := s.read(strings.NewReader(text), 1<<20); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(strings.ReplaceAll(metricsText(1, 2), strings.Repeat("x", 2*maxLine), "x"))
	f.Add("apiserver_audit_error_total{plugin=\"\\\"\"} 1e3 7\nprocess_start_time_seconds 1")
	f.Fuzz(func(t *testing.T, text string) {
		s := sample{errors: map[string]int64{}}
		s.read(strings.NewReader(text), 1<<20)
		if len(s.errors) > maxNames+1 {
			t.Errorf("%d plugins", len(s.errors))
		}
	})
}

// TestWatch asks a server over TLS with a token that changes, and carries what it finds
// into a trail.
func TestWatch(t *testing.T) {
	var answer atomic.Pointer[string]
	say := func(s string) { answer.Store(&s) }
	token := filepath.Join(t.TempDir(), "token")
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(token, "first\n")
	want := "Bearer first"
	at := time.Now()
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != want {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Date", at.UTC().Format(http.TimeFormat))
		fmt.Fprint(w, *answer.Load())
	}))
	defer api.Close()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	put(ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})))

	w := New(Config{})
	w.Set([]Target{{Cluster: "prod", Server: "cp-1", URL: api.URL + "/metrics", TokenFile: token, CAFile: ca}})
	s := w.list()[0]
	defer s.fetch.close()
	m := collecttest.New()
	to := w.Tap(m)
	ask := func(wantErr string) {
		t.Helper()
		w.round(t.Context())
		_, err := s.Pull(t.Context(), to, 0)
		if wantErr == "" && err != nil || wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
			t.Fatalf("got %v, want %q", err, wantErr)
		}
		if err != nil && strings.Contains(err.Error(), "first") {
			t.Errorf("the error tells the token: %v", err)
		}
	}
	say(metricsText(100, 0))
	ask("")
	want = "Bearer second"
	ask("401")
	put(token, "second")
	ask("")

	// Ten errors, of which six are named, one by a message that lacks it.
	step := func(d time.Duration) { // time goes by
		at = at.Add(d)
		s.fetch.begun = s.fetch.begun.Add(-d)
	}
	step(15 * time.Second)
	say(metricsText(100, 10))
	ask("")
	for range 5 {
		e := audit.Event{Form: audit.FormLegacy}
		e.Text[audit.Cluster], e.Text[audit.Server], e.Text[audit.Marks] = []byte("prod"), []byte("cp-1"), []byte(klog.Mark)
		to.Append(&e)
	}
	to.SetAside(trail.Fault{Cluster: "prod", Server: "cp-1", Lost: &trail.Loss{Events: 1, Cause: klog.CauseError}})
	to.SetAside(trail.Fault{Cluster: "prod", Server: "cp-2", Lost: &trail.Loss{Events: 1, Cause: klog.CauseError}})
	for range 20 {
		step(15 * time.Second)
		ask("")
	}
	if err := m.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(m.Aside) != 3 {
		t.Fatalf("%+v", m.Aside)
	}
	f := m.Aside[2]
	if f.Lost == nil || f.Lost.Events != 4 || f.Lost.Cause != CauseError || f.Cluster != "prod" || f.Server != "cp-1" || f.Lost.To <= f.Lost.From {
		t.Errorf("%+v, %+v", f, f.Lost)
	}
	if st := s.Status(); st.Faults != 1 || st.Err != nil {
		t.Errorf("%+v", st)
	}
	wantText := `
		# HELP kubetrail_apiserver_audit_missing_events_total Events that the API server counted since the start and that are certain to be missing, by cause.
		# TYPE kubetrail_apiserver_audit_missing_events_total counter
		kubetrail_apiserver_audit_missing_events_total{cause="not-delivered",cluster="prod",server="cp-1"} 0
		kubetrail_apiserver_audit_missing_events_total{cause="plugin-error",cluster="prod",server="cp-1"} 4
		# HELP kubetrail_apiserver_scrape_success 1 if the API server's metrics could be read the last time.
		# TYPE kubetrail_apiserver_scrape_success gauge
		kubetrail_apiserver_scrape_success{cluster="prod",server="cp-1"} 1
`
	if err := testutil.CollectAndCompare(w, strings.NewReader(wantText), "kubetrail_apiserver_audit_missing_events_total", "kubetrail_apiserver_scrape_success"); err != nil {
		t.Error(err)
	}

	put(ca, "no certificate")
	ask("no certificate in it")
	os.Remove(ca)
	ask("no such file")
}

// TestRun checks that Run ends with its context, also while a server does not answer.
func TestRun(t *testing.T) {
	asked := make(chan struct{}, 1)
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer api.Close()
	w := New(Config{})
	w.Set([]Target{{URL: api.URL}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	<-asked
	cancel()
	<-done
	if len(w.Feeds()) != 1 {
		t.Errorf("%d feeds", len(w.Feeds()))
	}
	w.Set(nil)
	if len(w.Feeds()) != 0 {
		t.Errorf("%d feeds", len(w.Feeds()))
	}
}

func BenchmarkTap(b *testing.B) {
	w := New(Config{})
	w.Set([]Target{{Cluster: "prod", Server: "cp-1", URL: "https://x"}})
	to := w.Tap(nothing{})
	e := audit.Event{Staged: time.Now().UnixMicro()}
	e.Text[audit.Cluster], e.Text[audit.Server], e.Text[audit.Source] = []byte("prod"), []byte("cp-1"), []byte("/var/log/audit.log")
	for b.Loop() {
		e.Staged += 50
		to.Append(&e)
	}
}

type nothing struct{ *collecttest.Model }

func (nothing) Append(*audit.Event) {}
