package record_test

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kubetrail/test/e2e/plane"
)

var duration = flag.Duration("duration", 24*time.Second, "how long the soak lasts")

// receiver is where the webhook of a proxy sends events: it is slow, and now and then it
// is not there at all.
type receiver struct {
	addr string

	mu     sync.Mutex
	server *http.Server
	seen   map[string]int // by audit ID and stage
	posts  int
	events int
	slow   time.Duration // before each answer
	forget bool          // what came; only its number is kept
}

// newReceiver listens.
func newReceiver(t *testing.T) *receiver {
	t.Helper()
	v := &receiver{seen: map[string]int{}, addr: "127.0.0.1:0"}
	must(t, v.listen())
	t.Cleanup(v.leave)
	return v
}

// listen starts to listen, where it listened before.
func (v *receiver) listen() error {
	l, err := net.Listen("tcp", v.addr)
	if err != nil {
		return err
	}
	v.addr = l.Addr().String()
	server := &http.Server{Handler: v}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.server = server
	go server.Serve(l) // ends with leave
	return nil
}

// leave goes away, whatever is on its way.
func (v *receiver) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	_ = v.server.Close() // connections that end late are no matter
}

// ServeHTTP takes a list of events.
func (v *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	text, err := io.ReadAll(q.Body)
	if err != nil {
		return
	}
	v.mu.Lock()
	slow := v.slow
	v.mu.Unlock()
	time.Sleep(slow) // is what it means to be slow
	v.mu.Lock()
	defer v.mu.Unlock()
	v.posts++
	stamps(text, func(id, stage string) {
		v.events++
		if !v.forget {
			v.seen[id+" "+stage]++
		}
	})
}

// be makes it answer so late.
func (v *receiver) be(slow time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.slow = slow
}

// lacks counts which events have not come.
func (v *receiver) lacks(ids []string) (missing int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range ids {
		if v.seen[id+" RequestReceived"] == 0 || v.seen[id+" ResponseComplete"] == 0 {
			missing++
		}
	}
	return missing
}

// kubeconfig writes the file that says where it is.
func (v *receiver) kubeconfig(t *testing.T, path string) string {
	must(t, os.WriteFile(path, fmt.Appendf(nil, "apiVersion: v1\nkind: Config\nclusters:\n- name: r\n  cluster: {server: \"http://%s/events\"}\n"+
		"contexts:\n- name: r\n  context: {cluster: r}\ncurrent-context: r\n", v.addr), 0o600))
	return path
}

// counts counts the events in an audit log and its backups, by audit ID and stage.
func counts(log string) (map[string]int, int64, error) {
	all, err := filepath.Glob(strings.TrimSuffix(log, ".log") + "*.log")
	if err != nil {
		return nil, 0, err
	}
	seen, size := map[string]int{}, int64(0)
	for _, path := range all {
		f, err := os.Open(path)
		if err != nil {
			return nil, 0, err
		}
		for r := bufio.NewReaderSize(f, 1<<20); ; {
			line, err := r.ReadBytes('\n')
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, 0, err
			}
			size += int64(len(line))
			stamps(line[:min(len(line), 4096)], func(id, stage string) { seen[id+" "+stage]++ })
		}
		if err := f.Close(); err != nil {
			return nil, 0, err
		}
	}
	return seen, size, nil
}

// sample is how much memory a process held.
type sample struct {
	at  time.Duration
	rss float64 // MB
}

// sizeOf is how much the files below a directory hold.
func sizeOf(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error { // what goes in the meantime holds nothing
		if err == nil && !e.IsDir() {
			if i, err := e.Info(); err == nil {
				size += i.Size()
			}
		}
		return nil
	})
	return size
}

// watchMemory looks at a process again and again until ctx is done, and does something
// else each time.
func watchMemory(ctx context.Context, p *plane.Process, every time.Duration, also func()) (all []sample) {
	begun := time.Now()
	for {
		also()
		if now, _, err := p.RSS(); err == nil {
			all = append(all, sample{time.Since(begun), float64(now) / (1 << 20)})
		}
		select {
		case <-ctx.Done():
			return all
		case <-time.After(every):
		}
	}
}

// slope is the growth that fits samples best, in MB a minute, and their mean.
func slope(all []sample) (growth, mean float64) {
	var n, x, y, xx, xy float64
	for _, s := range all {
		at := s.at.Minutes()
		n, x, y, xx, xy = n+1, x+at, y+s.rss, xx+at*at, xy+at*s.rss
	}
	if n*xx == x*x {
		return 0, y / max(1, n)
	}
	return (n*xy - x*y) / (n*xx - x*x), y / n
}

// TestRecordSoak sends as many requests as go through the proxy, which writes all bodies
// to a log and to a webhook whose receiver is slow for a while and then away. Memory must
// not grow, and no event may be lost.
func TestRecordSoak(t *testing.T) {
	r := newRig(t)
	s := r.addServer("cp-1", "")
	v := newReceiver(t)
	port, err := plane.FreePort()
	must(t, err)
	operators := fmt.Sprintf("127.0.0.1:%d", port)
	must(t, os.Mkdir(r.path("spill"), 0o700))
	p := r.addProxy(s, r.policy("RequestResponse"), byFrontProxy, "--audit-log-maxsize", "100", "--audit-log-maxbackup", "0", "--audit-log-maxage", "0",
		"--audit-webhook-config-file", v.kubeconfig(t, r.path("receiver.kubeconfig")), "--audit-webhook-batch-max-wait", "1s",
		"--audit-webhook-initial-backoff", "1s", "--audit-webhook-spill-dir", r.path("spill"),
		"--audit-webhook-spill-max-size", fmt.Sprint(16<<30), // 100 seconds of a fast machine are more than the default holds
		"--metrics-listen", operators)
	sender, err := newSender(r.plane.PKI, r.strangers, p.url, map[string]string{})
	must(t, err)
	defer sender.close()
	l := newLoad(t, sender, "soak")
	ctx, cancel := context.WithTimeout(t.Context(), *duration)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() {
		for _, step := range []struct {
			what string
			do   func()
		}{
			{"slow", func() { v.be(300 * time.Millisecond) }},
			{"away", v.leave},
			{"back", func() { v.be(0); must(t, v.listen()) }},
		} {
			select {
			case <-ctx.Done():
				t.Errorf("too short for the receiver to be %s", step.what)
				return
			case <-time.After(*duration / 6):
				step.do()
			}
		}
	})
	var memory []sample
	spilled := int64(0)
	all.Go(func() {
		memory = watchMemory(ctx, p.Process, *duration/100, func() { spilled = max(spilled, sizeOf(r.path("spill"))) })
	})
	l.run(ctx)
	all.Wait()
	ids := slices.Compact(slices.Sorted(slices.Values(l.ids)))
	begun := time.Now()
	for until := begun.Add(2 * time.Minute); v.lacks(ids) > 0 && time.Now().Before(until); {
		time.Sleep(200 * time.Millisecond)
	}
	caughtUp := time.Since(begun)
	answer, err := http.Get("http://" + operators + "/metrics")
	must(t, err)
	metrics, err := io.ReadAll(answer.Body)
	must(t, err)
	answer.Body.Close()
	cpu, err := p.CPU()
	must(t, err)
	must(t, p.Stop(time.Minute))

	seen, size, err := counts(p.log)
	must(t, err)
	half, _ := slope(memory[len(memory)/2:])
	_, third := slope(memory[len(memory)/2 : len(memory)*3/4])
	_, last := slope(memory[len(memory)*3/4:])
	t.Logf("%s: %d requests, %.0f a second, p50 %s, p99 %s; %d MB of log, %d posts of %d events, caught up after %s, %.2f ms CPU a request",
		*duration, len(ids), float64(len(ids))/duration.Seconds(), l.share(50), l.share(99), size>>20, v.posts, v.events, caughtUp.Round(time.Millisecond),
		cpu.Seconds()*1000/float64(max(1, len(ids))))
	t.Logf("memory in MB: %s", series(memory))
	t.Logf("at most %d MB waited on disk for the receiver", spilled>>20)
	if spilled == 0 {
		t.Error("nothing waited on disk while the receiver was away")
	}
	t.Logf("second half: %+.2f MB a minute; third quarter %.0f MB, last quarter %.0f MB", half, third, last)
	if last > third*1.15+16 {
		t.Errorf("memory grows: %.0f MB in the third quarter, %.0f MB in the last", third, last)
	}
	if len(l.failed) > 0 {
		t.Errorf("%d requests failed: %.1000q", len(l.failed), l.failed)
	}
	if len(ids) != len(l.ids) || ids[0] == "" {
		t.Errorf("%d answers have %d audit IDs", len(l.ids), len(ids))
	}
	wrong := 0
	for _, id := range ids {
		for _, stage := range []string{"RequestReceived", "ResponseComplete"} {
			if n := seen[id+" "+stage]; n != 1 {
				if wrong++; wrong < 5 {
					t.Errorf("the log has %d events of %s %s", n, id, stage)
				}
			}
		}
	}
	if lacks := v.lacks(ids); wrong > 0 || lacks > 0 {
		t.Errorf("%d events are not once in the log; events of %d requests did not reach the webhook", wrong, lacks)
	}
	for _, m := range regexp.MustCompile(`(?m)^(kubetrail_record_lost_total|apiserver_audit_error_total).* (\S+)$`).FindAllStringSubmatch(string(metrics), -1) {
		if m[2] != "0" {
			t.Errorf("%s", m[0])
		}
	}
	if !bytes.Contains(metrics, []byte("apiserver_audit_event_total")) {
		t.Errorf("no metrics: %.500s", metrics)
	}
	for key := range seen {
		if strings.HasSuffix(key, " ResponseStarted") || strings.HasPrefix(key, " ") {
			t.Errorf("the log has %q", key)
		}
	}
}

// series prints every tenth sample.
func series(all []sample) string {
	var b strings.Builder
	for i := 0; i < len(all); i += 10 {
		fmt.Fprintf(&b, "%.0f ", all[i].rss)
	}
	return b.String()
}

// TestRecordKill kills the proxy with -9 under load, again and again: each request that
// was answered must have its event in the log.
func TestRecordKill(t *testing.T) {
	const times = 6
	r := newRig(t)
	s := r.addServer("cp-1", "")
	p := r.addProxy(s, r.policy("Metadata"), byFrontProxy)
	sender, err := newSender(r.plane.PKI, r.strangers, p.url, map[string]string{})
	must(t, err)
	defer sender.close()
	l := newLoad(t, sender, "kill")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { l.run(ctx) })
	for i := range times {
		time.Sleep(time.Second + time.Duration(i)*37*time.Millisecond) // of load
		if !p.Kill() {
			t.Fatalf("it ended by itself: %v\n%s", p.Err(), p.Tail(2000))
		}
		must(t, p.start(r, "proxy-1"))
	}
	cancel()
	all.Wait()
	must(t, p.Stop(time.Minute))
	seen, _, err := counts(p.log)
	must(t, err)
	none, begun := 0, 0
	for _, id := range l.ids {
		switch {
		case seen[id+" ResponseComplete"] == 1:
		case seen[id+" RequestReceived"] == 1:
			begun++
		default:
			none++
		}
	}
	t.Logf("killed %d times with -9: of %d answered requests %d have no event, and %d only that of their beginning; %d were not answered", times, len(l.ids), none, begun, len(l.failed))
	if none+begun > 0 {
		t.Errorf("%d answered requests have no event, %d only that of their beginning", none, begun)
	}
	// What a kill tore must not spoil what comes after it.
	if _, err := readLog(p.log); err != nil {
		t.Error(err)
	}
}
