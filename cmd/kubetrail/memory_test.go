package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"kubetrail/bench/generate"
)

// TestMemoryIsBounded checks that what a process takes is bounded by configuration,
// not by input: 512 MiB for an import, 256 MiB for a question.
func TestMemoryIsBounded(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells the peak of resident memory")
	}
	if testing.Short() {
		t.Skip("imports 300 MB")
	}
	bin, data := program(t), t.TempDir()
	const importing, asking = 512 << 20, 256 << 20
	for _, c := range []struct {
		name  string
		input func(w io.Writer) error
	}{
		{"events as they come", func(w io.Writer) error { return generateLines(w, nil) }},
		{"lines that are kept whole", func(w io.Writer) error { return generateLines(w, []byte("{ ")) }},
	} {
		args := []string{"import", "--data", data, "--cluster", c.name, "-"}
		if peak := peakOf(t, exec.Command(bin, args...), c.input); peak > importing {
			t.Errorf("import of %s took %s", c.name, size(peak))
		} else {
			t.Logf("import of %s: %s", c.name, size(peak))
		}
	}
	candidate := filepath.Join(data, "candidate.yaml")
	const text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None, verbs: [get, list]}, {level: Metadata}]\n"
	if err := os.WriteFile(candidate, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, output := range []string{"table", "jsonl"} {
		args := []string{"policy", "explain", "-p", candidate, "-f", "-", "-o", output}
		input := func(w io.Writer) error { return generateLines(w, nil) }
		if peak := peakOf(t, exec.Command(bin, args...), input); peak > asking {
			t.Errorf("%v took %s", args, size(peak))
		} else {
			t.Logf("%v: %s", args, size(peak))
		}
	}
	for _, args := range [][]string{
		{"search", "--limit", "0", "-o", "raw"},
		{"search", "--limit", "0", "--fields", "time,user,uri", "requestObject.spec.nodeName:*1"},
		{"top", "--by", "user,verb,resource"},
		{"top", "--by", "name,uri,time"},
		{"policy", "simulate", "-p", candidate},
		{"policy", "simulate", "-p", candidate, "--top", "0", "-o", "json"},
	} {
		if peak := peakOf(t, exec.Command(bin, append(args, "--data", data)...), nil); peak > asking {
			t.Errorf("%v took %s", args, size(peak))
		} else {
			t.Logf("%v: %s", args, size(peak))
		}
	}
}

// generateLines writes 300 MB of events. Where begin is not nil, each begins with it
// instead of the brace.
func generateLines(w io.Writer, begin []byte) error {
	g, err := generate.New(generate.Config{Events: 1 << 20, Seed: 1})
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<20)
	for n := 0; n < 300e6; {
		line := g.Next()
		if begin != nil {
			out.Write(begin) // an error comes back from Flush
			line = line[1:]
		}
		n += len(begin) + len(line) + 1
		out.Write(line)
		if err := out.WriteByte('\n'); err != nil {
			return err
		}
	}
	return out.Flush()
}

// peakOf runs a command to its end and returns the most resident memory that it was
// seen to have, in bytes.
func peakOf(t *testing.T, cmd *exec.Cmd, input func(io.Writer) error) (peak int64) {
	t.Helper()
	var says bytes.Buffer
	cmd.Stderr = &says
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	done, fed := make(chan error, 1), make(chan error, 1)
	go func() {
		var err error
		if input != nil {
			err = input(stdin)
		}
		stdin.Close()
		fed <- err
	}()
	go func() { done <- cmd.Wait() }()
	for status := fmt.Sprintf("/proc/%d/status", cmd.Process.Pid); ; {
		select {
		case err := <-done:
			if fedErr := <-fed; err != nil || fedErr != nil {
				t.Fatalf("%v: %v, %v\n%s", cmd.Args, err, fedErr, says.Bytes())
			}
			if peak == 0 {
				t.Errorf("%v ended before its memory could be looked at", cmd.Args)
			}
			return peak
		case <-time.After(2 * time.Millisecond):
		}
		text, _ := os.ReadFile(status) // none once it has ended
		if _, rest, ok := bytes.Cut(text, []byte("VmHWM:")); ok {
			kib, err := strconv.ParseInt(string(bytes.Fields(rest)[0]), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			peak = max(peak, kib<<10)
		}
	}
}
