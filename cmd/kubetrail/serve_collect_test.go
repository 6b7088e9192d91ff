package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// daemon is a serve of the real program that follows a log.
type daemon struct {
	*testing.T
	bin, data string
	args      []string
	cmd       *exec.Cmd
	url       string
	said      *bufio.Reader
	rest      chan string // what it said after the pipeline
}

func (d *daemon) start() {
	d.Helper()
	d.cmd = exec.Command(d.bin, append([]string{"serve", "--data", d.data, "--listen", "127.0.0.1:0"}, d.args...)...)
	out, err := d.cmd.StderrPipe()
	if err != nil {
		d.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { d.cmd.Process.Kill() })
	d.said = bufio.NewReader(out)
	var before strings.Builder
	for d.url = ""; d.url == ""; {
		line, err := d.said.ReadString('\n')
		before.WriteString(line)
		if err != nil {
			d.Fatalf("serve ended: %s", before.String())
		}
		d.url = regexp.MustCompile(`http://[0-9.]+:\d+`).FindString(line)
	}
	d.rest = make(chan string, 1)
	go func(r io.Reader, rest chan string) {
		text, _ := io.ReadAll(r) // ends with the process
		rest <- string(text)
	}(d.said, d.rest)
}

// kill ends it as a power cut of the process does.
func (d *daemon) kill() {
	d.Helper()
	if err := d.cmd.Process.Kill(); err != nil {
		d.Fatal(err)
	}
	<-d.rest
	d.cmd.Wait() // tells of the kill
}

// stop ends it in an orderly way and returns what it said.
func (d *daemon) stop() string {
	d.Helper()
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		d.Fatal(err)
	}
	rest := <-d.rest
	if err := d.cmd.Wait(); err != nil {
		d.Errorf("serve ended with %v\n%s", err, rest)
	}
	return rest
}

// A sender posts batches as kube-apiserver does, and remembers what was acknowledged.
type sender struct {
	mu    sync.Mutex
	url   string
	acked map[string]bool
	tried int
}

func (s *sender) at(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.url = url
}

// run posts batches until stop is closed.
func (s *sender) run(stop <-chan struct{}) {
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(3 * time.Millisecond):
		}
		var items []string
		var ids []string
		for i := range 5 {
			id := fmt.Sprintf("hook-%d-%d", n, i)
			ids = append(ids, id)
			items = append(items, hookItem(id))
		}
		s.mu.Lock()
		url := s.url
		s.tried += len(ids)
		s.mu.Unlock()
		body := `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + strings.Join(items, ",") + "]}\n"
		answer, err := client.Post(url+"/webhook/prod", "application/json", strings.NewReader(body))
		if err != nil {
			continue // killed; kube-apiserver would try again
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			continue
		}
		s.mu.Lock()
		for _, id := range ids {
			s.acked[id] = true
		}
		s.mu.Unlock()
	}
}

func hookItem(id string) string {
	return `{"level":"Metadata","auditID":"` + id + `","stage":"ResponseComplete","requestURI":"/healthz","verb":"get",` +
		`"user":{"username":"alice"},"requestReceivedTimestamp":"2026-11-20T15:00:00.000000Z","stageTimestamp":"2026-11-20T15:00:00.000000Z"}`
}

// TestServeCrash kills serve at any moment while a log is written and rotated and a
// webhook sends, starts it again each time, and looks at the trail in the end: every
// line of the log and every acknowledged event of the webhook is there once, byte for
// byte, and nothing else.
func TestServeCrash(t *testing.T) {
	n := *kills / 2
	if testing.Short() {
		n = min(n, 3)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	logs := newLogDir(t, rnd)
	d := &daemon{T: t, bin: program(t), data: t.TempDir(), args: []string{"--source", filepath.Join(logs.dir, "audit.log")}}
	send := &sender{acked: map[string]bool{}}
	stop, sent := make(chan struct{}), make(chan struct{})
	for killed := 0; killed < n; killed++ {
		d.start()
		send.at(d.url)
		if killed == 0 {
			go func() { defer close(sent); send.run(stop) }()
		}
		life := time.Duration(rnd.Int64N(int64(2500 * time.Millisecond)))
		for end := time.Now().Add(life); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			logs.turn(t)
		}
		d.kill()
		for range rnd.IntN(10) { // kube-apiserver does not wait for us
			logs.turn(t)
		}
	}
	d.start()
	send.at(d.url)
	for range 100 {
		logs.turn(t)
		time.Sleep(10 * time.Millisecond)
	}
	close(stop)
	<-sent
	logs.append(t, 1, false) // ends a half line
	d.stop()
	checkTrail(t, d, logs, send)
	d.start() // and nothing is read again
	time.Sleep(1500 * time.Millisecond)
	d.stop()
	checkTrail(t, d, logs, send)
	t.Logf("%d kills, %d lines in %d files, %d of %d posted events acknowledged", n, logs.total(), len(logs.files), len(send.acked), send.tried)
}

// turn lets ten milliseconds pass at 2,000 events a second.
func (l *logDir) turn(t *testing.T) {
	t.Helper()
	l.append(t, 20, l.rnd.IntN(4) == 0)
	if l.rnd.IntN(80) == 0 {
		l.rotate(t)
		if l.rnd.IntN(3) == 0 {
			l.compress(t)
		}
	}
}

// checkTrail compares what search prints with what was written and sent.
func checkTrail(t *testing.T, d *daemon, logs *logDir, send *sender) {
	t.Helper()
	out, err := exec.Command(d.bin, "search", "--data", d.data, "-o", "raw", "--limit", "0").Output()
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for line := range bytes.Lines(out) {
		times[string(bytes.TrimSuffix(line, []byte("\n")))]++
	}
	lines, wrong := 0, 0
	for _, f := range logs.files {
		for i := range f.lines() {
			lines++
			if n := times[string(f.line(i))]; n != 1 {
				if wrong++; wrong <= 3 {
					t.Errorf("line %d of %d of %s is there %d times", i, f.lines(), filepath.Base(f.path), n)
				}
			}
		}
	}
	for id := range send.acked {
		lines++
		if n := times[hookItem(id)]; n != 1 {
			if wrong++; wrong <= 3 {
				t.Errorf("acknowledged event %s is there %d times", id, n)
			}
		}
	}
	for line, n := range times {
		if !strings.Contains(line, `"auditID":"hook-`) {
			continue
		}
		if n > 1 {
			t.Errorf("%d times: %s", n, line)
		}
		if id := line[strings.Index(line, "hook-"):]; !send.acked[id[:strings.IndexByte(id, '"')]] {
			lines++ // kept, but the answer did not arrive
		}
	}
	if len(times) != lines {
		t.Errorf("%d different lines in the trail, %d were written", len(times), lines)
	}
	if wrong > 0 {
		t.Fatalf("%d events are missing or there twice", wrong)
	}
}

// TestServeLatency follows 2,000 events a second through rotations, and measures how
// long it takes until the API finds one.
func TestServeLatency(t *testing.T) {
	seconds := 8
	if testing.Short() {
		seconds = 3
	}
	logs := newLogDir(t, rand.New(rand.NewPCG(1, 2)))
	d := &daemon{T: t, bin: program(t), data: t.TempDir(), args: []string{"--source", filepath.Join(logs.dir, "audit.log")}}
	d.start()
	type probe struct {
		id string
		at time.Time
	}
	probes := make(chan probe, 100*seconds)
	late := make(chan []time.Duration, 1)
	go func() {
		var all []time.Duration
		for p := range probes {
			for !found(d.url, p.id) && time.Since(p.at) < 20*time.Second {
				time.Sleep(10 * time.Millisecond)
			}
			all = append(all, time.Since(p.at))
		}
		late <- all
	}()
	start := time.Now()
	for n := 0; n < seconds*100; n++ {
		logs.turn(t)
		if n%4 == 0 { // the last whole line, which may be the one before the half one
			f := logs.growing()
			line := f.line(f.lines() - 1)
			id := line[bytes.Index(line, []byte(auditID))+len(auditID):]
			probes <- probe{string(id[:36]), time.Now()}
		}
		time.Sleep(time.Until(start.Add(time.Duration(n+1) * 10 * time.Millisecond)))
	}
	rate := float64(logs.total()-400) / time.Since(start).Seconds()
	close(probes)
	all := <-late
	slices.SortFunc(all, func(a, b time.Duration) int { return cmp.Compare(a, b) })
	p50, p99, most := all[len(all)/2], all[len(all)*99/100], all[len(all)-1]
	t.Logf("%.0f events/s, %d probes: found after %s (median), %s (p99), %s (most)", rate, len(all), p50, p99, most)
	if p99 > 1500*time.Millisecond {
		t.Errorf("an event is found after %s at p99", p99)
	}
	metrics := get(t, d.url+"/metrics")
	for _, name := range []string{"received_events_total{", "set_aside_total{", "lag_bytes{", "lag_seconds{", "stored_events_total ",
		"commit_duration_seconds_count ", "spool_limit_bytes ", "trail_writable 1"} {
		if !strings.Contains(metrics, "kubetrail_collect_"+name) {
			t.Errorf("no metric %s", name)
		}
	}
	for _, check := range []string{"[+]collector ok", "[+]writable ok"} {
		if got := get(t, d.url+"/readyz?verbose"); !strings.Contains(got, check) {
			t.Errorf("readyz says %s", got)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	d.stop()
}

func found(url, id string) bool {
	answer, err := http.Get(url + "/api/v1/events?limit=1&query=id:" + id)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return bytes.Contains(body, []byte(id))
}

// TestServeAlone checks that two do not write to one trail, and that one that only
// answers goes on beside one that writes.
func TestServeAlone(t *testing.T) {
	d := &daemon{T: t, bin: program(t), data: filepath.Join(t.TempDir(), "new")}
	d.start()
	out, err := exec.Command(d.bin, "serve", "--data", d.data, "--listen", "127.0.0.1:0").CombinedOutput()
	if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != exitError || !bytes.Contains(out, []byte("--read-only")) {
		t.Errorf("a second one: %v\n%s", err, out)
	}
	reader := &daemon{T: t, bin: d.bin, data: d.data, args: []string{"--read-only"}}
	reader.start()
	answer, err := http.Post(reader.url+"/webhook/prod", "application/json", strings.NewReader(`{"kind":"EventList"}`))
	if err != nil || answer.StatusCode != http.StatusNotFound {
		t.Errorf("--read-only answers a webhook with %v, %v", answer.Status, err)
	}
	answer.Body.Close()
	body := `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + hookItem("one") + `]}`
	if answer, err = http.Post(d.url+"/webhook/prod", "application/json", strings.NewReader(body)); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("a webhook is answered with %v, %v", answer, err)
	}
	answer.Body.Close()
	for end := time.Now().Add(10 * time.Second); !found(reader.url, "one"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what one writes the other does not find")
		}
	}
	http.DefaultClient.CloseIdleConnections()
	reader.stop()
	if said := d.stop(); strings.Contains(said, "level=ERROR") || strings.Contains(said, "level=WARN") {
		t.Errorf("it said %s", said)
	}
}
