package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kubetrail/bench/generate"
)

// task is one measurement that a process of its own makes.
type task struct {
	Do       string // "scan", "import", "build" or "ask"
	How      string // scan: with what
	Question string // ask: its name
	File     string // scan, import: lines
	Trail    string // import, build: a directory to make; ask: the trail
	Seed     uint64
	Events   int64
	Facts    *generate.Facts `json:",omitempty"`
	Procs    int             `json:"-"`
}

// result is its outcome.
type result struct {
	Events   int64
	Bytes    int64         // of lines
	CPU      time.Duration // ask: mean
	Wall     time.Duration // ask: fastest
	Peak     int64         // resident memory at most, bytes
	Stored   int64         // bytes on disk
	RawLines uint64
	Wrong    string          // what is wrong with the answer, "" if nothing
	Facts    *generate.Facts `json:",omitempty"`
}

// rate is events per second of CPU time.
func (r result) rate() float64 { return float64(r.Events) / r.CPU.Seconds() }

// measure is the process: it reads a task and writes its result.
func measure(ctx context.Context, in io.Reader, out io.Writer) error {
	var t task
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return err
	}
	do := map[string]func(context.Context, task) (result, error){
		"scan": scanFile, "import": importFile, "build": buildTrail, "ask": askTrail,
	}[t.Do]
	if do == nil {
		return fmt.Errorf("no measurement %q", t.Do)
	}
	r, err := do(ctx, t)
	if err != nil {
		return err
	}
	if r.Peak, err = peakMemory(); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}

// run makes a measurement in another process.
func (t task) run(ctx context.Context) (result, error) {
	self, err := os.Executable()
	if err != nil {
		return result{}, err
	}
	input, err := json.Marshal(t)
	if err != nil {
		return result{}, err
	}
	cmd := exec.CommandContext(ctx, self, "measure")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
	if t.Procs > 0 {
		cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(t.Procs))
	}
	out, err := cmd.Output()
	if err != nil {
		return result{}, fmt.Errorf("%s %s%s: %w", t.Do, t.How, t.Question, err)
	}
	var r result
	return r, json.Unmarshal(out, &r)
}

// cpuTime is what this process has used of the processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory is the most memory that was resident in this process, in bytes.
func peakMemory() (int64, error) {
	lines, err := fileLines("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for _, line := range lines {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("/proc/self/status has no VmHWM")
}

// other runs other programs, in a shell, and returns their CPU time and what they
// wrote.
func other(ctx context.Context, script string, args ...string) (cpu time.Duration, out []byte, err error) {
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", script, "sh"}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err = cmd.Output()
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w: %s", script, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), out, nil
}

func installed(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}
