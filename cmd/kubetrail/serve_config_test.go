package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"kubetrail/internal/collect/collecttest"
	"kubetrail/internal/config"
)

// configured is a serve of the real program with a configuration file.
type configured struct {
	*daemon
	dir, file string
}

func newConfigured(t *testing.T, text string) *configured {
	t.Helper()
	dir := t.TempDir()
	c := &configured{&daemon{T: t, bin: program(t), data: dir + "/trail"}, dir, dir + "/config.yaml"}
	c.args = []string{"--config", c.file}
	c.write("config.yaml", text)
	return c
}

// write puts a file in place at once.
func (c *configured) write(name, text string) {
	c.Helper()
	if name == "config.yaml" {
		text = "apiVersion: kubetrail.io/v1alpha1\nkind: Config\n" + text
	}
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		c.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		c.Fatal(err)
	}
}

// append adds an event to a log.
func (c *configured) append(name string, id int) {
	c.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		c.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, collecttest.Event(id)); err != nil {
		c.Fatal(err)
	}
}

// ask sends one request with a token and returns the status and the answer.
func (c *configured) ask(method, path, token, body string) (int, string) {
	c.Helper()
	r, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		c.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		c.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// until waits until something is so.
func (c *configured) until(what string, so func() bool) {
	c.Helper()
	for end := time.Now().Add(30 * time.Second); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.Fatalf("it is not so that %s", what)
		}
	}
}

func (c *configured) found(token string, id int, cluster string) bool {
	_, text := c.ask("GET", fmt.Sprintf("/api/v1/events?query=id:id-%d+and+cluster:%s", id, cluster), token, "")
	return strings.Contains(text, fmt.Sprintf(`"auditID":"id-%d"`, id))
}

const tokenA, tokenB = "token-of-a-0123456789", "token-of-b-0123456789"

// TestServeReload changes everything that can change while serve runs: logs, tokens and
// the level of the log; and wants a configuration that is no good to change nothing.
func TestServeReload(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	tokens := "tokens:\n- {name: a, file: a.token, roles: [read, webhook]}\n"
	c := newConfigured(t, tokens+"clusters:\n- {name: one, sources: [{path: one/audit.log}]}\n")
	c.write("a.token", tokenA)
	c.write("b.token", tokenB)
	c.append("one/audit.log", 1)
	c.start()
	c.until("the first log is followed", func() bool { return c.found(tokenA, 1, "one") })
	metric := func(token, name string) string {
		_, text := c.ask("GET", "/metrics", token, "")
		_, value, _ := strings.Cut(text, "\n"+name+" ")
		value, _, _ = strings.Cut(value, "\n")
		return value
	}
	first := metric(tokenA, "kubetrail_config_last_reload_timestamp_seconds")
	if metric(tokenA, "kubetrail_config_reload_success") != "1" || first == "" {
		t.Error("no metric tells that the configuration was read")
	}

	c.write("config.yaml", tokens+"clusters:\n- {name: one, sources: [{pth: one/audit.log}]}\n")
	c.until("a bad file is told", func() bool { return metric(tokenA, "kubetrail_config_reload_success") == "0" })
	c.append("one/audit.log", 2)
	c.until("the former configuration is in force", func() bool { return c.found(tokenA, 2, "one") })
	if metric(tokenA, "kubetrail_config_last_reload_timestamp_seconds") != first {
		t.Error("a file that could not be used counts as read")
	}

	c.append("one/audit.log", 3)
	c.append("two/audit.log", 4)
	c.write("config.yaml", `limits: {bodyBytes: 1MiB, partBytes: 1MiB}
log: {level: debug}
tokens:
- {name: b, file: b.token, roles: [read], clusters: [two]}
- {name: a, file: a.token, roles: [webhook, metrics], clusters: [two]}
clusters:
- {name: two, sources: [{path: two/audit.log, server: cp-2}]}
`)
	c.until("the second log is followed", func() bool {
		code, _ := c.ask("GET", "/api/v1/summary", tokenB, "")
		return code == 200 && c.found(tokenB, 4, "two")
	})
	if metric(tokenA, "kubetrail_config_reload_success") != "1" || metric(tokenA, "kubetrail_config_last_reload_timestamp_seconds") <= first {
		t.Error("metrics do not tell that it was read again")
	}
	for _, x := range []struct {
		method, path, token string
		code                int
	}{
		{"GET", "/api/v1/summary", tokenA, 403}, {"GET", "/metrics", tokenA, 200}, {"POST", "/webhook/one", tokenA, 403},
		{"POST", "/webhook/two", tokenA, 200}, {"POST", "/webhook/two", tokenB, 403}, {"POST", "/webhook/two", "", 401},
	} {
		body := `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + hookItem("posted") + "]}"
		if code, text := c.ask(x.method, x.path, x.token, body); code != x.code {
			t.Errorf("%s %s with %s: %d %s, want %d", x.method, x.path, x.token, code, text, x.code)
		}
	}
	if c.found(tokenB, 3, "one") {
		t.Error("a token for one cluster finds events of another")
	}
	c.until("the log that left is closed", func() bool { return !holdsOpen(t, c.cmd.Process.Pid, "one/audit.log") })
	c.append("one/audit.log", 5)
	c.append("two/audit.log", 6)
	c.until("the second log is still followed", func() bool { return c.found(tokenB, 6, "two") })

	c.write("b.token", "another-"+tokenB) // is read without a change of the configuration
	c.until("the new token counts", func() bool { code, _ := c.ask("GET", "/api/v1/summary", "another-"+tokenB, ""); return code == 200 })
	if runtime.GOOS != "windows" {
		if err := c.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		before := metric(tokenA, "kubetrail_config_last_reload_timestamp_seconds")
		c.until("SIGHUP reads it again", func() bool { return metric(tokenA, "kubetrail_config_last_reload_timestamp_seconds") > before })
	}
	said := c.stop()
	for _, want := range []string{
		`line=6 column=26 finding="unknown field \"pth\"" hint="did you mean \"path\"?"`, "the former one stays in force",
		"field=limits.partBytes", "a log is not followed any more", `pipeline="two[follow<cp-2 `,
	} {
		if !strings.Contains(said, want) {
			t.Errorf("it did not say %s:\n%s", want, said)
		}
	}
	if strings.Contains(said, tokenA) || strings.Contains(said, tokenB) {
		t.Error("it told a token")
	}
	out, err := exec.Command(c.bin, "search", "--data", c.data, "-o", "jsonl", "--fields", "id,cluster,server", "--limit", "0").Output()
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"id-1": true, "id-2": true, "id-3": true, "id-4": true, "id-5": false, "id-6": true, "posted": true} {
		if got := strings.Count(string(out), `"`+id+`"`); got != map[bool]int{true: 1}[want] {
			t.Errorf("%s is there %d times: %s", id, got, out)
		}
	}
	if !strings.Contains(string(out), `"cluster":"two","server":"cp-2"`) {
		t.Errorf("no event names its server: %s", out)
	}
}

// TestServeHangup sends SIGHUP while serve ends, with a request still open: it ends no
// sooner for that.
func TestServeHangup(t *testing.T) {
	c := newConfigured(t, "clusters:\n- {name: one}\n")
	c.start()
	address := strings.TrimPrefix(c.url, "http://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + hookItem("late") + "]}"
	fmt.Fprintf(conn, "POST /webhook/one HTTP/1.1\r\nHost: %s\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", address, len(body))
	answers := bufio.NewReader(conn)
	if answer, err := http.ReadResponse(answers, nil); err != nil || answer.StatusCode != 100 { // it reads the body
		t.Fatal(answer, err)
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.until("it takes nobody else", func() bool {
		other, err := net.Dial("tcp", address)
		if err == nil {
			other.Close()
		}
		return err != nil
	})
	if err := c.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, body)
	if answer, err := http.ReadResponse(answers, nil); err != nil || answer.StatusCode != 200 {
		t.Error(answer, err)
	}
	rest := <-c.rest
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("serve ended with %v\n%s", err, rest)
	}
}

// holdsOpen tells whether a process has a file open, where that can be seen.
func holdsOpen(t *testing.T, pid int, name string) bool {
	t.Helper()
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasSuffix(target, name) {
			return true
		}
	}
	return false
}

// TestServeConfigMap changes the configuration as the kubelet does a mounted ConfigMap.
func TestServeConfigMap(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no kubelet mounts anything there")
	}
	defer http.DefaultClient.CloseIdleConnections()
	c := newConfigured(t, "")
	version := func(n int) {
		t.Helper()
		name := fmt.Sprintf("..%d", n)
		if err := os.Mkdir(filepath.Join(c.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("apiVersion: kubetrail.io/v1alpha1\nkind: Config\nclusters: [{name: c%d, sources: [{path: audit.log}]}]\n", n)
		if err := os.WriteFile(filepath.Join(c.dir, name, "config.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Symlink(name, c.dir+"/..tmp")
		if err := os.Rename(c.dir+"/..tmp", c.dir+"/..data"); err != nil {
			t.Fatal(err)
		}
	}
	version(1)
	os.Remove(c.file)
	if err := os.Symlink("..data/config.yaml", c.file); err != nil {
		t.Fatal(err)
	}
	c.append("audit.log", 1)
	c.start()
	c.until("the log is followed", func() bool { return c.found("", 1, "c1") })
	version(2)
	c.until("the change is seen", func() bool { return c.found("", 1, "c2") })
	c.stop()
}

// TestServeStops ends serve in order while a webhook's post is on its way: what was
// taken is in the trail when it has ended. A second signal ends it at once.
func TestServeStops(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	d := &daemon{T: t, bin: program(t), data: t.TempDir()}
	body := `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + hookItem("late") + "]}"
	begin := func() (net.Conn, *bufio.Reader) {
		t.Helper()
		conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /webhook/prod HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:20])
		for end := time.Now().Add(20 * time.Second); !strings.Contains(get(t, d.url+"/metrics"), fmt.Sprintf("kubetrail_webhook_bodies_bytes %d\n", len(body))); {
			if time.Now().After(end) {
				t.Fatal("the post is not being received")
			}
		}
		http.DefaultClient.CloseIdleConnections()
		return conn, bufio.NewReader(conn)
	}
	gone := func() {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
			if err != nil {
				return
			}
			conn.Close()
		}
		t.Fatal("it goes on listening")
	}
	d.start()
	conn, in := begin()
	defer conn.Close()
	d.cmd.Process.Signal(syscall.SIGTERM)
	gone()
	fmt.Fprint(conn, body[20:])
	answer, err := http.ReadResponse(in, nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("a post that had begun: %v, %v", answer, err)
	}
	said := <-d.rest
	if err := d.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	out, err := exec.Command(d.bin, "search", "--data", d.data, "-o", "raw").Output()
	if err != nil || !strings.Contains(string(out), `"late"`) {
		t.Errorf("what was acknowledged last is not in the trail: %s, %v", out, err)
	}

	d.start()
	conn, _ = begin()
	defer conn.Close()
	d.cmd.Process.Signal(syscall.SIGTERM)
	gone()
	d.cmd.Process.Signal(os.Interrupt)
	said = <-d.rest
	if d.cmd.Wait(); d.cmd.ProcessState.ExitCode() != exitInterrupted {
		t.Errorf("a second signal: %v\n%s", d.cmd.ProcessState, said)
	}
}

// TestServeSystemd plays systemd.
func TestServeSystemd(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no systemd")
	}
	defer http.DefaultClient.CloseIdleConnections()
	c := newConfigured(t, "clusters: [{name: prod, sources: [{path: audit.log}]}]\n")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: c.dir + "/notify", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", c.dir+"/notify")
	t.Setenv("WATCHDOG_USEC", "3000000")
	next := func(want string) string {
		t.Helper()
		b := make([]byte, 4096)
		for {
			socket.SetReadDeadline(time.Now().Add(30 * time.Second))
			n, err := socket.Read(b)
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			if got := string(b[:n]); strings.HasPrefix(got, want) {
				return got
			} else if got != "WATCHDOG=1" {
				t.Fatalf("%q instead of %s", got, want)
			}
		}
	}
	c.start()
	if got := next("READY=1"); !strings.Contains(got, "STATUS=prod[follow<"+c.dir+"/audit.log>] + webhook -> spool -> trail<0 events, 0 parts> -> query -> "+c.url) {
		t.Errorf("%q", got)
	}
	next("WATCHDOG=1")
	next("WATCHDOG=1") // the collector is alive though nothing comes
	c.write("config.yaml", "clusters: []\n")
	next("RELOADING=1\nMONOTONIC_USEC=")
	if got := next("READY=1"); strings.Contains(got, "follow") {
		t.Errorf("%q", got)
	}
	c.write("config.yaml", "cluster: []\n")
	next("RELOADING=1\nMONOTONIC_USEC=")
	if got := next("READY=1"); !strings.Contains(got, "no good") {
		t.Errorf("%q", got)
	}
	c.cmd.Process.Signal(syscall.SIGTERM)
	next("STOPPING=1")
	<-c.rest
	if err := c.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestServeFlagsAreFields wants every flag of serve to be for a field of the
// configuration, so that giving both is noticed.
func TestServeFlagsAreFields(t *testing.T) {
	a := &app{env: func(string) string { return "" }}
	known := map[string]bool{}
	for _, f := range config.Fields() {
		for path := f.Path; path != ""; {
			known[strings.TrimSuffix(path, "[]")] = true
			path = path[:max(strings.LastIndexByte(path, '.'), 0)]
		}
	}
	flags := a.serveVerb().Flags()
	fields := serveFields()
	flags.VisitAll(func(f *pflag.Flag) {
		path := fields[f.Name]
		if f.Name != "config" && f.Name != "sample" && !known[path] {
			t.Errorf("--%s is for the field %q, which there is none", f.Name, path)
		}
		delete(fields, f.Name)
	})
	if len(fields) > 0 {
		t.Errorf("no such flags: %v", fields)
	}
}

// TestConfigCheckFiles: all files that are named and not there are told, in the order of
// the configuration, with what to do where that is known.
func TestConfigCheckFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "config.yaml")
	text := "apiVersion: kubetrail.io/v1alpha1\nkind: Config\ndata: x\ntokens:\n- {name: a, file: none-1, roles: [read]}\n- {name: b, file: none-2, roles: [read]}\n" +
		"- {name: c, file: none-3, roles: [read]}\nclusters:\n- scrape: [{url: 'https://x:1/metrics', tokenFile: none-4, caFile: none-5}]\n"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		out, code := runHere(t, "config", "check", "--files", name)
		at := -1
		for n := range 5 {
			next := strings.Index(string(out), fmt.Sprintf("none-%d: ", n+1))
			if next <= at {
				t.Fatalf("file %d is told of at %d, after %d:\n%s", n+1, next, at, out)
			}
			at = next
		}
		if code != exitFindings || strings.Count(string(out), "openssl rand") != 3 || strings.Count(string(out), ": warning: ") != 2 {
			t.Fatalf("exit code %d:\n%s", code, out)
		}
	}
}
