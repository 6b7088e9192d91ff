package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lostReport is what kube-apiserver says in the log of its container about one event that
// it lost, and how that event has to be found.
func lostReport(id string) string {
	var b strings.Builder
	for _, line := range []string{
		`I1120 15:31:40.679794       1 server.go:150] this is the pod of ` + id,
		`E1120 15:31:49.203222       1 metrics.go:110] Error in audit plugin 'log' affecting 1 audit events: disk full`,
		`Impacted events:`,
		`2026-11-20T15:31:49.19777968Z AUDIT: id="` + id + `" stage="ResponseComplete" ip="127.0.0.1" method="patch" user="jai" groups="\"dev\"" as="<self>" asgroups="<lookup>" user-agent="x" namespace="default" uri="/api/v1/namespaces/default/configmaps/c1?x=1" response="200"`,
	} {
		b.WriteString("2026-11-20T15:31:49.203222154Z stderr F " + line + "\n")
	}
	return b.String()
}

// answerOf returns what the server answers, "" where that is not 200.
func answerOf(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// TestServeLost follows the log of kube-apiserver's container and asks for its counters:
// an event that it lost is found, with its object and with why, once, also after a kill
// and in the directory of the pod that comes next.
func TestServeLost(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "apiserver_audit_event_total 1149\napiserver_audit_error_total{plugin=\"log\"} 2\nprocess_start_time_seconds 1\n")
	}))
	defer api.Close()
	dir := t.TempDir()
	pod := func(uid, id string) {
		t.Helper()
		log := filepath.Join(dir, "kube-system_kube-apiserver-cp-1_"+uid, "kube-apiserver", "0.log")
		if err := os.MkdirAll(filepath.Dir(log), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(log, []byte(lostReport(id)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pod("a", "one")
	d := &daemon{T: t, bin: program(t), data: t.TempDir(), args: []string{
		"--apiserver-log", "prod/cp-1=" + filepath.Join(dir, "kube-system_kube-apiserver-*", "kube-apiserver"),
		"--scrape", "prod/cp-1=" + api.URL + "/metrics"}}
	wait := func(path, want string) {
		t.Helper()
		var got string
		for end := time.Now().Add(20 * time.Second); !strings.Contains(got, want); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s answers\n%s\nnot %s", path, got, want)
			}
			got = answerOf(t, d.url+path)
		}
	}
	const question = "/api/v1/events?query=is:recovered+and+server:cp-1+and+cluster:prod+and+resource:configmaps+and+name:c1+and+verb:patch+and+id:"
	d.start()
	wait(question+"one", `"kubetrail.io/recovered":"log: disk full"`)
	wait("/metrics", `kubetrail_apiserver_audit_errors_total{cluster="prod",plugin="log",server="cp-1"} 2`)
	d.kill()
	d.start()
	pod("b", "two")
	wait(question+"two", `"auditID":"two"`)
	if n := strings.Count(answerOf(t, d.url+"/api/v1/events?query=is:recovered"), `"auditID"`); n != 2 {
		t.Errorf("%d events", n)
	}
	http.DefaultClient.CloseIdleConnections()
	d.stop()
}
