package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// TestRequestsAreAnsweredAtOnce checks that a program may ask one request after the
// other through a pipe.
func TestRequestsAreAnsweredAtOnce(t *testing.T) {
	file := t.TempDir() + "/policy.yaml"
	text := "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	in, ask := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan int)
	go func() {
		a := &app{in: in, out: out, err: io.Discard, env: func(string) string { return "" }}
		done <- a.run(t.Context(), []string{"kubetrail", "policy", "explain", "-p", file, "--requests", "-"})
		out.Close()
	}()
	late := time.AfterFunc(10*time.Second, func() { answers.CloseWithError(errors.New("no answer in 10 seconds")) })
	defer late.Stop()
	r := bufio.NewReader(answers)
	for range 3 {
		if _, err := io.WriteString(ask, `{"method":"GET","uri":"/version"}`+"\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := r.ReadString('\n'); err != nil || !strings.HasSuffix(line, `"rule":0}`+"\n") {
			t.Fatalf("%q, %v", line, err)
		}
	}
	ask.Close()
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
