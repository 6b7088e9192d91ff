package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// program is a collector that is measured: one process at a time.
type program struct {
	dir   string // its own
	url   string // of kubetrail
	args  []string
	lines func(ctx context.Context, visit func(line []byte)) error // what it has, once it stopped
	have  func(ctx context.Context) (int64, error)                 // how much it has, in a unit of its own

	cmd  *exec.Cmd
	cpu  time.Duration
	peak int64
}

// outcome is what became of the events.
type outcome struct {
	cpu           time.Duration
	peak          int64 // resident bytes at most
	found         int64
	lost, doubled int64
}

func (p *program) log() string { return filepath.Join(p.dir, "log", "audit.log") }

// kubetrail is serve with a trail of its own.
func (c *collecting) kubetrail() *program {
	dir, err := os.MkdirTemp(c.dir, "kubetrail-*")
	if err != nil {
		panic(err) // c.dir was made a moment ago
	}
	self := c.path("kubetrail")
	address := freeAddress()
	p := &program{dir: dir, url: "http://" + address}
	p.args = []string{self, "serve", "--data", filepath.Join(dir, "trail"), "--listen", address, "--source", p.log()}
	p.have = p.stored
	p.lines = func(ctx context.Context, visit func([]byte)) error {
		cmd := exec.CommandContext(ctx, self, "search", "--data", filepath.Join(dir, "trail"), "--limit", "0", "-o", "jsonl")
		return eachLine(cmd, visit)
	}
	return p
}

// stored asks serve how many events it has.
func (p *program) stored(ctx context.Context) (int64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/api/v1/summary", nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil // it is starting
	}
	defer answer.Body.Close()
	var s struct{ Events int64 }
	return s.Events, json.NewDecoder(answer.Body).Decode(&s)
}

// collector is an OpenTelemetry collector that writes to a file.
func (c *collecting) collector() *program {
	dir, err := os.MkdirTemp(c.dir, "otel-*")
	if err != nil {
		panic(err) // c.dir was made a moment ago
	}
	p := &program{dir: dir, args: []string{c.otel, "--config", filepath.Join(dir, "collector.yaml")}}
	out := filepath.Join(dir, "otel.jsonl")
	p.have = func(context.Context) (int64, error) {
		info, err := os.Stat(out)
		if err != nil {
			return 0, nil // it is starting
		}
		return info.Size(), nil
	}
	p.lines = func(ctx context.Context, visit func([]byte)) error {
		f, err := os.Open(out)
		if err != nil {
			return err
		}
		defer f.Close()
		return recordsOf(f, visit)
	}
	return p
}

// recordsOf visits the bodies of all records in OTLP's JSON. What is cut off by a kill
// is passed over.
func recordsOf(r io.Reader, visit func([]byte)) error {
	in := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var batch struct {
			ResourceLogs []struct {
				ScopeLogs []struct {
					LogRecords []struct{ Body struct{ StringValue string } }
				}
			}
		}
		if json.Unmarshal(line, &batch) != nil {
			continue
		}
		for _, r := range batch.ResourceLogs {
			for _, s := range r.ScopeLogs {
				for _, l := range s.LogRecords {
					visit([]byte(l.Body.StringValue))
				}
			}
		}
	}
}

// start starts the process, with one processor.
func (p *program) start(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(p.log()), 0o700); err != nil {
		return err
	}
	for _, d := range []string{"otel-storage"} {
		if err := os.MkdirAll(filepath.Join(p.dir, d), 0o700); err != nil {
			return err
		}
	}
	if config, err := os.ReadFile("bench/otel/collector.yaml"); err == nil {
		text := strings.ReplaceAll(string(config), "DIR", p.dir)
		if err := os.WriteFile(filepath.Join(p.dir, "collector.yaml"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	said, err := os.OpenFile(filepath.Join(p.dir, "stderr.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer said.Close()
	p.cmd = exec.CommandContext(ctx, p.args[0], p.args[1:]...)
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	p.cmd.Stderr = said
	if err := p.cmd.Start(); err != nil || p.url == "" {
		return err
	}
	return p.ready(ctx)
}

// ready waits until serve answers.
func (p *program) ready(ctx context.Context) error {
	for range 100 {
		if answer, err := http.Get(p.url + "/readyz"); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	said, _ := os.ReadFile(filepath.Join(p.dir, "stderr.log"))
	return fmt.Errorf("%s is not ready: %s", p.args[0], said)
}

// end ends the process with a signal, and adds up what it took.
func (p *program) end(how os.Signal) {
	if p.cmd == nil || p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Signal(how) // it may have ended
	_ = p.cmd.Wait()              // it was killed
	p.cpu += p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	if u, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		p.peak = max(p.peak, u.Maxrss<<10)
	}
}

func (p *program) kill() { p.end(os.Kill) }

// finish waits until nothing more comes, ends the process in an orderly way, and
// counts what it has: want lines, all different.
func (p *program) finish(ctx context.Context, want int64) (outcome, error) {
	var last int64
	for quiet := 0; quiet < 10; {
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return outcome{}, err
		}
		n, err := p.have(ctx)
		if err != nil {
			return outcome{}, err
		}
		if quiet++; n != last {
			last, quiet = n, 0
		}
	}
	p.end(syscall.SIGTERM)
	o := outcome{cpu: p.cpu, peak: p.peak}
	seed := maphash.MakeSeed()
	seen := make(map[uint64]struct{}, want)
	err := p.lines(ctx, func(line []byte) {
		h := maphash.Bytes(seed, line)
		if _, again := seen[h]; again {
			o.doubled++
		}
		seen[h] = struct{}{}
	})
	o.found = int64(len(seen))
	o.lost = want - o.found
	return o, err
}

// follow writes events to a log that a program follows, rotates it, and kills the
// program now and then.
func (c *collecting) follow(ctx context.Context, p *program, events, rotate int64, kills int) (outcome, error) {
	defer os.RemoveAll(p.dir)
	if err := p.start(ctx); err != nil {
		return outcome{}, err
	}
	defer p.kill()
	rate := c.rate
	if kills > 0 {
		rate = min(rate, 5000)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- writeLog(ctx, p.log(), events, rotate, rate) }()
	random := rand.New(rand.NewPCG(1, 2)) // the same moments for everybody
	span := time.Duration(float64(events) / float64(rate) / float64(kills+1) * 1e9)
	for range kills {
		if err := sleep(ctx, span/2+time.Duration(random.Int64N(int64(span)))); err != nil {
			return outcome{}, errors.Join(err, <-wrote)
		}
		p.kill()
		if err := p.start(ctx); err != nil {
			return outcome{}, err
		}
	}
	if err := <-wrote; err != nil {
		return outcome{}, err
	}
	return p.finish(ctx, events)
}

// writeLog writes as kube-apiserver does: one write for each event, and a new file
// where one more would exceed the size.
func writeLog(ctx context.Context, path string, events, rotate int64, rate int) error {
	g, err := eventsToWrite(events, 1)
	if err != nil {
		return err
	}
	open := func() (*os.File, error) { return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) }
	f, err := open()
	if err != nil {
		return err
	}
	defer func() { f.Close() }()
	pace, size := newPace(rate), int64(0)
	var line []byte
	for i := int64(0); i < events; i++ {
		line = append(append(line[:0], g()...), '\n')
		if size+int64(len(line)) > rotate {
			f.Close()
			name := strings.TrimSuffix(path, ".log") + time.Now().UTC().Format("-2006-01-02T15-04-05.000") + ".log"
			if err := os.Rename(path, name); err != nil {
				return err
			}
			if f, err = open(); err != nil {
				return err
			}
			size = 0
		}
		n, err := f.Write(line)
		if err != nil {
			return err
		}
		size += int64(n)
		if i%100 == 99 {
			if err := pace.wait(ctx, 100); err != nil {
				return err
			}
		}
	}
	return nil
}

// pace keeps to a rate.
type pace struct {
	next time.Time
	each time.Duration
}

func newPace(rate int) *pace { return &pace{time.Now(), time.Second / time.Duration(rate)} }

// wait returns when n more may be written.
func (p *pace) wait(ctx context.Context, n int) error {
	p.next = p.next.Add(time.Duration(n) * p.each)
	return sleep(ctx, time.Until(p.next))
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// freeAddress is one that nobody listens on.
func freeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err) // there is no loopback
	}
	defer l.Close()
	return l.Addr().String()
}

// eachLine visits the lines that a program prints.
func eachLine(cmd *exec.Cmd, visit func([]byte)) error {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return err
	}
	in := bufio.NewReaderSize(out, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 1 {
			visit(bytes.TrimSuffix(line, []byte("\n")))
		}
		if err != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd, err, said.Bytes())
	}
	return nil
}
