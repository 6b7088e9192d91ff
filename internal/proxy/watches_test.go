package proxy

import (
	"bufio"
	"context"
	"crypto/x509/pkix"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kubetrail/policy"
	"kubetrail/record"
)

var (
	watches  = flag.Int("watches", 300, "how many watches TestManyWatches opens")
	watchDir = flag.String("watch-dir", "", "be the proxy of TestManyWatches, told by the files in this directory")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *watchDir != "" {
		if err := beProxy(*watchDir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// beProxy serves until its standard input ends.
func beProxy(dir string) error {
	upstream, err := os.ReadFile(filepath.Join(dir, "url"))
	if err != nil {
		return err
	}
	cfg := Defaults()
	cfg.Serving.Listen, cfg.Serving.DrainTimeout = "127.0.0.1:0", time.Second
	cfg.Serving.CertFile, cfg.Serving.KeyFile = filepath.Join(dir, "serving.crt"), filepath.Join(dir, "serving.key")
	cfg.Upstream.URL, cfg.Upstream.CAFile = string(upstream), filepath.Join(dir, "upstream.pem")
	cfg.Record = record.Config{Backend: discard{newMemory()}, Policy: func(*policy.Request) policy.Decision { return policy.Decision{Level: policy.LevelMetadata} }}
	p, err := New(cfg)
	if err != nil {
		return err
	}
	debug.SetGCPercent(GCPercent)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	fmt.Println(p.URL())
	return p.Run(ctx)
}

// TestManyWatches opens watches through a proxy in a process of its own and reports what
// memory that takes: with -watches 50000, 1.5 GB are the bound.
func TestManyWatches(t *testing.T) {
	var open sync.WaitGroup // watches at the upstream
	open.Add(*watches)
	more := make(chan bool)
	up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/version" {
			return
		}
		event := []byte(`{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","annotations":{"a":"` + strings.Repeat("x", 1500) + `"}}}}` + "\n")
		w.Write(event)
		http.NewResponseController(w).Flush()
		open.Done()
		<-more
		w.Write(event)
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	g := &rig{up: up, serving: newAuthority(t, "serving"), dir: t.TempDir()}
	g.write(t, g.serving, "serving", pkix.Name{CommonName: "proxy"})
	g.file(t, "upstream.pem", up.serving.pem())
	g.file(t, "url", []byte(up.URL))

	cmd := exec.Command(os.Args[0], "-watch-dir", g.dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the proxy does not start")
	}
	url := lines.Text()
	g.at = url
	idle := memoryOf(t, cmd.Process.Pid, "VmRSS")

	ctx, cancel := context.WithCancel(context.Background())
	var seen, all sync.WaitGroup // the second event; the end of clients
	seen.Add(*watches)
	const perClient = 200
	began := time.Now()
	for first := 0; first < *watches; first += perClient {
		client := g.client(t, true)
		client.Timeout = 0
		g.get(t, client, "/version") // or each watch would make a connection of its own
		for i := first; i < min(first+perClient, *watches); i++ {
			all.Go(func() {
				if err := watch(ctx, client, fmt.Sprintf("%s/api/v1/namespaces/ns-%d/pods?watch=true&resourceVersion=%d", url, i, i), seen.Done); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			})
		}
	}
	open.Wait()
	took := time.Since(began)
	close(more)
	seen.Wait()
	rss, peak := memoryOf(t, cmd.Process.Pid, "VmRSS"), memoryOf(t, cmd.Process.Pid, "VmHWM")
	t.Logf("%d watches open in %s: %d MB, at most %d MB, before %d MB: %d KB each", *watches, took.Round(time.Millisecond), rss>>10, peak>>10, idle>>10, (peak-idle) / *watches)
	if limit := 100<<10 + *watches*30; peak > limit && !raced {
		t.Errorf("%d KB are more than %d", peak, limit)
	}
	cancel()
	all.Wait()
}

// watch reads two events, tells of the second, and waits for the end.
func watch(ctx context.Context, c *http.Client, url string, second func()) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer alice-token")
	r.Header.Set("User-Agent", "kubelet/v1.36.3 (linux/amd64) kubernetes/0000000")
	resp, err := c.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	events := bufio.NewReaderSize(resp.Body, 2048)
	for range 2 {
		if _, err := events.ReadString('\n'); err != nil {
			return err
		}
	}
	second()
	_, err = io.Copy(io.Discard, events)
	return errors.Join(err, errors.New("the watch ended"))
}

// memoryOf returns a line of a process's status in kilobytes.
func memoryOf(t *testing.T, pid int, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("this machine does not tell of memory")
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s", name)
	return 0
}
