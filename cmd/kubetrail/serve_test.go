package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// serving starts serve --sample on a free port and returns its address. stop ends it
// and returns the exit code.
func serving(t *testing.T) (base string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	var errs bytes.Buffer
	a := &app{out: w, err: &errs, env: func(string) string { return "" }, now: time.Now}
	done := make(chan int, 1)
	go func() {
		done <- a.run(ctx, []string{"kubetrail", "serve", "--sample", "--listen", "127.0.0.1:0"})
		w.Close()
	}()
	said := bufio.NewReader(r)
	for base == "" {
		line, err := said.ReadString('\n')
		if err != nil {
			t.Fatalf("serve ended: %s", errs.String())
		}
		base = regexp.MustCompile(`http://[0-9.:]+`).FindString(line)
	}
	rest := make(chan struct{})
	go func() {
		defer close(rest)
		io.Copy(io.Discard, said)
	}()
	return base, func() int {
		cancel()
		code := <-done
		<-rest
		return code
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%s", url, answer.Status, err, body)
	}
	return string(body)
}

// TestServeSample asks the three questions that serve --sample proposes.
func TestServeSample(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Setenv("TMPDIR", t.TempDir())
	base, stop := serving(t)
	for _, c := range []struct{ path, want string }{
		{"/api/v1/events?query=verb:delete+and+resource:deployments+and+name:nginx-old", `"username":"jai"`},
		{"/api/v1/events?query=user:mallory+and+code%3C300&limit=20", "toolbox"},
		{"/api/v1/aggregate?by=user&query=code:403", `{"key":["mallory"],"count":17}`},
		{"/?query=" + url.QueryEscape("user:mallory"), "mallory"},
		{"/livez", ""}, {"/readyz", ""}, {"/metrics", "kubetrail_"},
	} {
		if got := get(t, base+c.path); !strings.Contains(got, c.want) {
			t.Errorf("%s does not say %s: %.300s", c.path, c.want, got)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"search", "name:nginx-old and verb:delete", "-o", "jsonl", "--fields", "user,code"}, `{"user":"jai","code":200}`},
		{[]string{"top", "code:403", "--by", "user", "--limit", "2"}, "   17  19.8%  mallory"},
		{[]string{"histogram", "--every", "1m", "--no-headers"}, "2026-11-20T15:21:00Z"},
		{[]string{"show", "afbd22bb"}, "Who        jai"},
		{[]string{"search", "-o", "raw", "--limit", "1", "--oldest"}, `{"kind":"Event",`},
	} {
		got, code := runHere(t, append(c.args, "--server", base)...)
		if code != exitOK || !strings.Contains(string(got), c.want) {
			t.Errorf("%v --server: code %d, %.300s", c.args, code, got)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if code := stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestServeRefuses checks that nothing is opened to the network by accident.
func TestServeRefuses(t *testing.T) {
	data := t.TempDir()
	log := t.TempDir() + "/audit.log"
	if err := os.WriteFile(log, []byte(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","stage":"Panic","requestURI":"/","verb":"get","user":{},"requestReceivedTimestamp":null,"stageTimestamp":null}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, code := runHere(t, "import", "--data", data, log); code != exitOK {
		t.Fatal("import failed")
	}
	if _, code := runHere(t, "serve", "--data", data, "--listen", "0.0.0.0:0"); code != exitError {
		t.Errorf("serve on every address ended with %d", code)
	}
}

// TestInterrupted checks what Ctrl-C leads to.
func TestInterrupted(t *testing.T) {
	log := t.TempDir() + "/audit.log"
	line := `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","stage":"Panic","requestURI":"/","verb":"get","user":{},"requestReceivedTimestamp":null,"stageTimestamp":null}` + "\n"
	if err := os.WriteFile(log, []byte(strings.Repeat(line, 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var out, errs bytes.Buffer
	looks := 0
	a := &app{out: &out, err: &errs, env: func(string) string { return "" }, now: func() time.Time {
		if looks++; looks == 2 { // when the import has begun
			cancel()
		}
		return time.Now()
	}}
	if code := a.run(ctx, []string{"kubetrail", "import", "--data", data, log}); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	if s := errs.String(); !strings.Contains(s, "interrupted") || !strings.Contains(s, "hint: what was read is kept") {
		t.Errorf("it said %s", s)
	}
	if _, code := runHere(t, "import", "--data", data, log); code != exitOK {
		t.Error("cannot go on")
	}
	got, _ := runHere(t, "search", "--data", data, "--limit", "0", "-o", "raw")
	if n := bytes.Count(got, []byte("\n")); n != 1000 {
		t.Errorf("%d events after an interruption, want 1000", n)
	}
	errs.Reset()
	if code := a.run(ctx, []string{"kubetrail", "search", "-f", log}); code != exitInterrupted {
		t.Errorf("search: exit code %d, %s", code, errs.String())
	}
}
