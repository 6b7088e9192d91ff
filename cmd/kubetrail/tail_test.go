package main

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestTail follows a log that is written and rotated: its files themselves, through
// the trail of a serve, and through its API. Each prints every line once, and ends
// with Ctrl-C.
func TestTail(t *testing.T) {
	logs := newLogDir(t, rand.New(rand.NewPCG(3, 4)))
	path := filepath.Join(logs.dir, "audit.log")
	d := &daemon{T: t, bin: program(t), data: t.TempDir(), args: []string{"--source", path}}
	d.start()
	type tail struct {
		*exec.Cmd
		name string
		said bytes.Buffer
	}
	var tails []*tail
	out := t.TempDir()
	for name, where := range map[string][]string{"files": {"-f", path}, "trail": {"--data", d.data}, "server": {"--server", d.url}} {
		x := &tail{Cmd: exec.Command(d.bin, append([]string{"tail", "-o", "raw", "--lines", "10000"}, where...)...), name: name}
		f, err := os.Create(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		x.Stdout, x.Stderr = f, &x.said
		if err := x.Start(); err != nil {
			t.Fatal(err)
		}
		defer x.Process.Kill()
		tails = append(tails, x)
	}
	for n := range 200 {
		logs.append(t, 20, n%4 == 0)
		if n%60 == 30 {
			logs.rotate(t)
		}
		time.Sleep(10 * time.Millisecond)
	}
	logs.append(t, 1, false) // ends a half line
	want := map[string]bool{}
	for _, f := range logs.files {
		for i := range f.lines() {
			want[string(f.line(i))] = true
		}
	}
	for _, x := range tails {
		var got []byte
		for end := time.Now().Add(30 * time.Second); bytes.Count(got, []byte("\n")) < len(want) && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			var err error
			if got, err = os.ReadFile(filepath.Join(out, x.name)); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[string]bool{}
		for line := range bytes.Lines(got) {
			line := string(bytes.TrimSuffix(line, []byte("\n")))
			if seen[line] || !want[line] {
				t.Fatalf("%s: twice, or never written: %s", x.name, line)
			}
			seen[line] = true
		}
		if len(seen) != len(want) {
			t.Errorf("%s: %d lines of %d; it said %s, serve has\n%s", x.name, len(seen), len(want), x.said.Bytes(), get(t, d.url+"/metrics"))
		}
		if err := x.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if e, ok := errors.AsType[*exec.ExitError](x.Wait()); !ok || e.ExitCode() != exitInterrupted || x.said.Len() > 0 {
			t.Errorf("%s ended with %v and said %s", x.name, e, x.said.Bytes())
		}
	}
	d.stop()
}

// TestTailLatency measures how long it takes from the writing of a line to its printing.
func TestTailLatency(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	line := func(id string) []byte { return []byte(hookItem(id) + "\n") }
	if err := os.WriteFile(path, line("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &daemon{T: t, bin: program(t), data: filepath.Join(dir, "trail"), args: []string{"--source", path}}
	d.start()
	cmd := exec.Command(d.bin, "tail", "--server", d.url, "-o", "raw")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	buf := make([]byte, 1<<16)
	if _, err := out.Read(buf); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var took []time.Duration
	for n := range 5 {
		start := time.Now()
		if _, err := log.Write(line(string(rune('a' + n)))); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(buf); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	t.Logf("printed after %s", took)
	if m := min(took[0], took[1], took[2], took[3], took[4]); m > 3*time.Second { // whatever else the machine does
		t.Errorf("none was printed before %s", m)
	}
	cmd.Process.Kill()
	cmd.Wait() // tells of the kill
	d.stop()
}
