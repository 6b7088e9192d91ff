package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"kubetrail/internal/trail"
)

// shipping is an agent of the real program.
type shipping struct {
	*testing.T
	cmd  *exec.Cmd
	said *bytes.Buffer
}

func startAgent(t *testing.T, bin string, args ...string) *shipping {
	t.Helper()
	a := &shipping{T: t, cmd: exec.Command(bin, append([]string{"agent", "--cluster", "prod", "--name", "cp-1"}, args...)...), said: &bytes.Buffer{}}
	a.cmd.Stderr = a.said
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.cmd.Process.Kill() })
	return a
}

func (a *shipping) kill() {
	a.Helper()
	if err := a.cmd.Process.Kill(); err != nil {
		a.Fatalf("%v\n%s", err, a.said)
	}
	a.cmd.Wait() // tells of the kill
}

// stop ends it in an orderly way.
func (a *shipping) stop() {
	a.Helper()
	if err := a.cmd.Process.Signal(os.Interrupt); err != nil {
		a.Fatal(err)
	}
	if err := a.cmd.Wait(); err != nil {
		a.Errorf("agent ended with %v\n%s", err, a.said)
	}
}

// freeAddress returns an address that nobody listens on, so that a server can be started
// there again.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// synced waits until the server has all of every file.
func synced(t *testing.T, server string, sizes map[int64]bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		answer, err := http.Get("http://" + server + "/agent/prod/cp-1/positions")
		if err != nil {
			continue
		}
		var there struct{ Sources []trail.Source }
		err = json.NewDecoder(answer.Body).Decode(&there)
		answer.Body.Close()
		if err != nil {
			continue
		}
		missing := maps.Clone(sizes)
		for _, s := range there.Sources {
			delete(missing, s.Position)
		}
		if len(missing) == 0 {
			return
		}
	}
	t.Fatal("the agent does not come to an end")
}

// sizes are those of all files that were written.
func (l *logDir) sizes() map[int64]bool {
	all := map[int64]bool{}
	for _, f := range l.files {
		all[int64(len(f.content))] = true
	}
	return all
}

// TestAgentCrash kills the agent and the server at any moment while a log is written and
// rotated, and starts them again: every line is in the trail once, byte for byte.
func TestAgentCrash(t *testing.T) {
	n := *kills / 4
	if testing.Short() {
		n = min(n, 3)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	logs := newLogDir(t, rnd)
	address, health := freeAddress(t), freeAddress(t)
	d := &daemon{T: t, bin: program(t), data: t.TempDir(), args: []string{"--listen", address}}
	args := []string{"--server", "http://" + address, "--source", filepath.Join(logs.dir, "audit.log"), "--listen", health}
	d.start()
	a := startAgent(t, d.bin, args...)
	for range n {
		for end := time.Now().Add(time.Duration(rnd.Int64N(int64(1500 * time.Millisecond)))); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			logs.turn(t)
		}
		who := rnd.IntN(3)
		if who != 0 {
			a.kill()
		}
		if who != 1 {
			d.kill()
		}
		for range rnd.IntN(10) {
			logs.turn(t)
		}
		if who != 1 {
			d.start()
		}
		if who != 0 {
			a = startAgent(t, d.bin, args...)
		}
	}
	for range 50 {
		logs.turn(t)
		time.Sleep(10 * time.Millisecond)
	}
	logs.append(t, 1, false) // ends a half line
	synced(t, address, logs.sizes())
	a.stop()
	d.stop()
	checkTrail(t, d, logs, &sender{})
	d.start() // and nothing is shipped again
	a = startAgent(t, d.bin, args...)
	logs.append(t, 1, false)
	synced(t, address, logs.sizes())
	a.stop()
	d.stop()
	checkTrail(t, d, logs, &sender{})
	t.Logf("%d kills, %d lines in %d files", n, logs.total(), len(logs.files))
}

// TestAgentMemory ships a log of 300 MB through rotations and looks how much memory that
// took.
func TestAgentMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells the peak of resident memory")
	}
	if testing.Short() {
		t.Skip("ships 300 MB")
	}
	const limit = 64 << 20
	address, dir := freeAddress(t), t.TempDir()
	log := filepath.Join(dir, "audit.log")
	d := &daemon{T: t, bin: program(t), data: t.TempDir(), args: []string{"--listen", address}}
	d.start()
	defer d.stop()
	a := startAgent(t, d.bin, "--server", "http://"+address, "--source", log, "--listen", "127.0.0.1:0")
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	made := make(chan error, 1)
	go func() {
		err := generateLines(w, nil)
		w.CloseWithError(err)
		made <- err
	}()
	var written int64
	sizes := map[int64]bool{}
	for file := 0; ; file++ {
		n, err := io.CopyN(out, r, 30<<20) // a line may go on in the next file
		written += n
		if sizes[n] = true; err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(log, filepath.Join(dir, fmt.Sprintf("audit-2026-11-20T15-00-%02d.000.log", file))); err != nil {
			t.Fatal(err)
		}
		if out, err = os.Create(log); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	delete(sizes, written%(30<<20)) // of the last file, which goes on
	// An event as large as a reader takes.
	if _, err := fmt.Fprintf(out, "\n%s\n", strings.Replace(hookItem("big"), "alice", strings.Repeat("a\U0001F600b", 3<<20), 1)); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(log)
	if err != nil {
		t.Fatal(err)
	}
	sizes[info.Size()] = true
	synced(t, address, sizes)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	kib, err := strconv.ParseInt(string(bytes.Fields(rest)[0]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	cpu := a.cmd
	a.stop()
	t.Logf("%d MB shipped: %d KiB resident at most, %v of a processor", written/1e6, kib, cpu.ProcessState.UserTime()+cpu.ProcessState.SystemTime())
	if kib<<10 > limit {
		t.Errorf("%d KiB resident", kib)
	}
}

func TestAgentUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--cluster c --source x", "--server is missing"},
		{"--server http://x --source x", "--cluster is missing"},
		{"--server http://x --cluster c", "--source is missing"},
		{"--server http://x --cluster c --source apiserver-log:", "names no file"},
		{"--server http://x --cluster c --source x --source ./x", "is there twice"},
		{"--server http://x --cluster c --source x --tls-cert y", "belong together"},
		{"--server http://x --cluster c --source x --listen :80", "no loopback address"},
		{"--server http://x --cluster c --source x --check -o yaml", "unknown output format"},
	} {
		var errs bytes.Buffer
		a := &app{out: io.Discard, err: &errs, env: func(string) string { return "" }, now: time.Now}
		code := a.run(t.Context(), append([]string{"kubetrail", "agent"}, strings.Fields(c.args)...))
		if code != exitUsage || !strings.Contains(errs.String(), c.want) || !strings.Contains(errs.String(), "hint: ") {
			t.Errorf("%s: %d %s", c.args, code, errs.String())
		}
	}
}
