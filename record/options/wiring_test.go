package options_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubetrail/audit"
	"kubetrail/record"
	"kubetrail/record/options"
)

// These tests check that each option reaches what it is for.

// logged returns what a log on standard output has after events.
func logged(t *testing.T, events []*record.Event, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	args = append(args, "--audit-log-path=-", "--audit-policy-file="+write(t, "policy", everything))
	cfg, _, stop := start(t, parse(t, args...), options.Env{Stdout: &out, Hostname: "host"})
	cfg.Backend.ProcessEvents(events...)
	stop()
	return out.String()
}

// large is an event of about n bytes.
func large(id string, n int) *record.Event {
	e := event(id)
	e.Text[audit.Level] = []byte("Request")
	e.RequestObject = []byte(`{"a":"` + strings.Repeat("x", n) + `"}`)
	return e
}

func TestFormat(t *testing.T) {
	if got := logged(t, []*record.Event{event("a")}, "--audit-log-format=legacy"); !strings.Contains(got, ` AUDIT: id="a" `) {
		t.Error(got)
	}
}

func TestTruncate(t *testing.T) {
	got := logged(t, []*record.Event{large("a", 3000), large("b", 100)}, "--audit-log-truncate-enabled", "--audit-log-truncate-max-event-size=2000")
	if strings.Contains(got, strings.Repeat("x", 3000)) || !strings.Contains(got, strings.Repeat("x", 100)) || strings.Count(got, `"audit.k8s.io/truncated":"true"`) != 1 {
		t.Error(got)
	}
}

// TestLossesTellWhere checks that events about losses have the annotations of all others.
func TestLossesTellWhere(t *testing.T) {
	got := logged(t, []*record.Event{event("a")}, "--audit-log-truncate-enabled", "--audit-log-truncate-max-event-size=100", "--audit-cluster-name=prod")
	for _, want := range []string{`"kubetrail.io/lost":"1"`, `"kubetrail.io/lost-backend":"log"`, `"kubetrail.io/cluster":"prod"`, `"kubetrail.io/server":"host"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}

// TestReceiversAreToldApart checks that a loss says of which receiver, though their files
// have the same name.
func TestReceiversAreToldApart(t *testing.T) {
	args := []string{"--audit-webhook-truncate-enabled", "--audit-webhook-truncate-max-event-size=100", "--audit-policy-file=" + write(t, "policy", everything)}
	got := map[string]chan string{}
	for range 2 {
		told := make(chan string, 10)
		file := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			told <- string(text)
		})
		got[file] = told
		args = append(args, "--audit-webhook-config-file="+file)
	}
	cfg, _, stop := start(t, parse(t, args...), options.Env{})
	cfg.Backend.ProcessEvents(event("a"))
	stop()
	for file, told := range got {
		if text := <-told; !strings.Contains(text, `"kubetrail.io/lost-backend":"webhook `+file+`"`) {
			t.Errorf("%s was sent %s", file, text)
		}
	}
}

// TestRotation checks that sizes are megabytes, and that backups are bounded and
// compressed.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	o := parse(t, "--audit-log-path="+path, "--audit-log-maxsize=1", "--audit-log-maxbackup=2", "--audit-log-compress", "--audit-policy-file="+write(t, "policy", everything))
	for range 2 { // what is left undone at the end is done by the next one
		cfg, _, stop := start(t, o, options.Env{})
		for range 10 {
			cfg.Backend.ProcessEvents(large("a", 400<<10))
		}
		stop()
	}
	cfg, runner, err := o.Build(options.Env{})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Backend.ProcessEvents(event("b"))
	ended := make(chan error)
	ctx, stop := contextOf(t)
	go func() { ended <- runner.Run(ctx) }()
	var names []string
	for done := false; !done; {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		names = names[:0]
		zipped := 0
		for _, f := range files {
			names = append(names, f.Name())
			if strings.HasSuffix(f.Name(), ".gz") {
				zipped++
			}
		}
		done = len(names) == 3 && zipped == 2 || t.Context().Err() != nil
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	f, err := os.Open(filepath.Join(dir, names[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil || len(text) > 1<<20 || len(text) < 800<<10 {
		t.Errorf("a backup of %d bytes, %v", len(text), err)
	}
}

// TestBatchBytes checks that the size of batches is bounded where they are made.
func TestBatchBytes(t *testing.T) {
	sizes := make(chan int64, 100)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { sizes <- r.ContentLength })
	o := parse(t, "--audit-webhook-config-file="+s, "--audit-webhook-truncate-enabled", "--audit-webhook-truncate-max-event-size=2000",
		"--audit-webhook-truncate-max-batch-size=4000", "--audit-policy-file="+write(t, "policy", everything))
	cfg, _, stop := start(t, o, options.Env{})
	for range 12 {
		cfg.Backend.ProcessEvents(large("a", 1000))
	}
	stop()
	close(sizes)
	posts := 0
	for size := range sizes {
		if posts++; size > 4200 {
			t.Errorf("a batch of %d bytes", size)
		}
	}
	if posts < 4 {
		t.Errorf("%d batches", posts)
	}
}

// TestBatchesAtOnce checks that a batch is sent while another one is on its way, and
// tried again soon.
func TestBatchesAtOnce(t *testing.T) {
	met := make(chan struct{})
	failures := make(chan struct{}, 2)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case met <- struct{}{}:
		case <-met:
		case <-r.Context().Done():
		}
		select {
		case failures <- struct{}{}:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
		}
	})
	o := parse(t, "--audit-webhook-config-file="+s, "--audit-webhook-batch-max-size=1", "--audit-webhook-initial-backoff=1ms", "--audit-policy-file="+write(t, "policy", everything))
	cfg, _, stop := start(t, o, options.Env{})
	cfg.Backend.ProcessEvents(event("a"), event("b"))
	stop()
}

// TestSpillIsWaitedFor checks that in a mode that blocks an event is on disk when it is
// said to be stored, though its receiver is away.
func TestSpillIsWaitedFor(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	spill := t.TempDir()
	o := parse(t, "--audit-webhook-config-file="+s, "--audit-webhook-mode=blocking-strict", "--audit-webhook-spill-dir="+spill, "--audit-policy-file="+write(t, "policy", everything))
	cfg, _, stop := start(t, o, options.Env{})
	if !cfg.Backend.ProcessEvents(event("waits")) {
		t.Error("not stored")
	}
	found := false
	err := filepath.WalkDir(spill, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			text, _ := os.ReadFile(path)
			found = found || bytes.Contains(text, []byte(`"auditID":"waits"`))
		}
		return err
	})
	if err != nil || !found {
		t.Errorf("it is not on disk (%v)", err)
	}
	stop()
}
