package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestProxyHangup sends SIGHUP as soon as the proxy says where it is, and while it delivers
// its last events: neither may end it.
func TestProxyHangup(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
	defer upstream.Close()
	got, answer := make(chan string, 10), make(chan bool)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		got <- string(text)
		<-answer
	}))
	defer receiver.Close()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cmd := exec.Command(program(t), "proxy", "--upstream", upstream.URL, "--insecure-http", "--listen", "127.0.0.1:0",
		"--audit-policy-file", file("policy.yaml", "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n"),
		"--audit-webhook-config-file", file("webhook.yaml", "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: '"+receiver.URL+"'}}]\n"))
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	said := bufio.NewReader(out)
	url := ""
	for url == "" {
		line, err := said.ReadString('\n')
		if err != nil {
			t.Fatalf("it ended: %s", line)
		}
		if m := regexp.MustCompile(`proxy<(http://[^>]+)>`).FindStringSubmatch(line); m != nil {
			url = m[1]
		}
	}
	signal := func(s os.Signal) {
		t.Helper()
		if err := cmd.Process.Signal(s); err != nil {
			t.Error(err)
		}
	}
	signal(syscall.SIGHUP)
	if text := get(t, url+"/api/v1/namespaces/shop/pods"); text != "{}" {
		t.Error(text)
	}
	http.DefaultClient.CloseIdleConnections()
	signal(syscall.SIGTERM)
	if text := <-got; !strings.Contains(text, `"requestURI":"/api/v1/namespaces/shop/pods"`) {
		t.Error(text)
	}
	signal(syscall.SIGHUP)
	close(answer)
	rest, _ := io.ReadAll(said)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, rest)
	}
}
