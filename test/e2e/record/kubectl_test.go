package record_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kubetrail/test/e2e/plane"
)

// terminal is where kubectl is run: with one kubeconfig, in a namespace of its own.
type terminal struct {
	r          *rig
	kubeconfig string
	namespace  string
}

// command makes a command of kubectl. {ns} is the namespace.
func (x *terminal) command(ctx context.Context, args ...string) *exec.Cmd {
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "{ns}", x.namespace)
	}
	cmd := exec.CommandContext(ctx, x.r.plane.Bin.Path("kubectl"), append([]string{"--kubeconfig", x.kubeconfig,
		"--cache-dir", x.r.path("cache-" + filepath.Base(x.kubeconfig)), "-n", x.namespace}, args...)...)
	cmd.Dir = x.r.dir
	return cmd
}

// run runs a command and returns what it prints and how it ends, with nothing in it that
// is different each time.
func (x *terminal) run(stdin string, args ...string) string {
	ctx, cancel := context.WithTimeout(x.r.t.Context(), 40*time.Second)
	defer cancel()
	cmd := x.command(ctx, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "KUBECTL_REMOTE_COMMAND_WEBSOCKETS="+fmt.Sprint(!strings.Contains(strings.Join(args, " "), "spdy")),
		"KUBECTL_PORT_FORWARD_WEBSOCKETS=true", "KUBECTL_EXTERNAL_DIFF=diff -N")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		return err.Error()
	} else if ok {
		fmt.Fprintf(&stderr, "exit %d\n", exit.ExitCode())
	}
	return x.plain(stdout.String()) + "---\n" + x.plain(stderr.String())
}

// plain replaces what tells one run from another.
func (x *terminal) plain(text string) string {
	text = strings.ReplaceAll(text, x.namespace, "{ns}")
	for pattern, with := range map[string]string{
		`\b\d+(\.\d+)?(ms|s|m|h)(\d+s)?\b`: "AGE", `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`: "UID",
		`"?resourceVersion"?: ?"?\d+"?`: "RV", `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`: "TIME", `127\.0\.0\.1:\d+`: "ADDRESS", ` +`: " ",
		`(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]+ \d{4} \d\d:\d\d:\d\d \+\d{4}`: "DATE", `10\.20\.0\.\d+`: "IP", `(web|job)-[0-9a-z]{8,10}(-[0-9a-z]{5})?\b`: "$1-HASH",
		`kube-api-access-[0-9a-z]{5}`: "kube-api-access-HASH", `/tmp/LIVE-\d+`: "LIVE", `/tmp/MERGED-\d+`: "MERGED", `pod-template-hash[=:] ?\S+`: "pod-template-hash", `(?m)^Waiting for deployment .*\n`: "", `10\.96\.0\.\d+`: "IP"} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, with)
	}
	return text
}

// settings is what is applied.
const settings = `apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {of: web}}
data:
  color: blue # the best one
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: registry.invalid/web}]}
`

// session is what is typed, one after the other, with a file to copy; what follows a | is the input.
func session(file string) []string {
	return []string{
		"apply -f - | " + settings,
		"apply -f - | " + settings,
		"diff -f - | " + strings.Replace(settings, "blue", "red", 1),
		"apply -f - | " + strings.Replace(settings, "blue", "red", 1),
		"apply --server-side --force-conflicts -f - | " + strings.Replace(settings, "blue", "green", 1),
		"apply --server-side --dry-run=server -f - | " + settings,
		"create configmap plain --from-literal=a=b",
		"create configmap plain --from-literal=a=b",
		"create -f - | not: an object",
		"run solo --image=registry.invalid/solo --labels=app=solo",
		"wait --for=condition=Ready --timeout=30s pod/solo",
		"rollout status deployment/web --timeout=30s",
		"get pods -o wide",
		"get pods,configmaps,deployments",
		"get configmap settings -o yaml",
		"get pod solo -o json",
		"get pods -o jsonpath={.items[*].status.phase}",
		"get configmaps --chunk-size=1 -o name",
		"get --raw /api/v1/namespaces/{ns}/configmaps?limit=1&fieldSelector=metadata.name%3Dplain",
		"get nothing",
		"get pod absent",
		"describe pod solo",
		"describe deployment web",
		"label pod solo touched=yes",
		"annotate configmap plain note=<&>",
		"patch configmap plain --type=json -p [{\"op\":\"add\",\"path\":\"/data/c\",\"value\":\"d\"}]",
		"patch configmap plain -p {\"data\":{\"c\":\"e\"}}",
		"patch configmap plain --type=merge -p {\"data\":",
		"set image deployment/web main=registry.invalid/web:2",
		"scale deployment/web --replicas=2",
		"rollout status deployment/web --timeout=30s",
		"rollout history deployment/web",
		"rollout undo deployment/web",
		"logs solo",
		"logs solo --tail=1 --timestamps",
		"logs absent",
		"exec solo -- echo over websocket",
		"exec solo -- echo over spdy",
		"exec -i solo -- head -n 1 | from the input\n",
		"exec -i solo -- sh -c head\t-n1;echo\tspdy>&2;exit\t3 | over the other protocol\n",
		"exec -i solo -- sh -c head\t-c3000000|wc\t-c | " + strings.Repeat("0123456789\n", 300_000),
		"exec solo -- sh -c exit\t7",
		// The other way waits for the end of an input that kwok never tells of.
		"cp solo:" + file + " {ns}-down.txt",
		"auth whoami",
		"auth can-i create pods",
		"auth can-i --list",
		"version",
		"api-versions",
		"api-resources -o name --sort-by=name",
		"explain deployment.spec.replicas",
		"get --raw /healthz",
		"cluster-info",
		"events --for pod/solo",
		"create token default --duration=10m -o jsonpath={.status.expirationTimestamp}",
		"drain node-2",
		"replace -f - | " + strings.ReplaceAll(strings.Split(settings, "---")[0], "blue", "black"),
		"delete pod solo",
		"delete -f - | " + settings,
		"delete configmap plain --wait=false",
		"get configmap plain",
	}
}

// type types a line of a session.
func (x *terminal) types(line string) string {
	line, stdin, _ := strings.Cut(line, " | ")
	args := strings.Split(line, " ")
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "\t", " ")
	}
	if i := strings.Index(line, " sh -c "); i >= 0 {
		args = append(strings.Fields(line[:i]), "sh", "-c", strings.ReplaceAll(line[i+len(" sh -c "):], "\t", " "))
	}
	if strings.HasPrefix(line, "exec") && strings.Contains(line, " echo ") {
		args = append(args, strings.Split(stdin, " ")...)[:len(args)]
	}
	return x.run(stdin, args...)
}

// TestRecordKubectl types commands of kubectl directly at the API server and through the
// proxy, as people are known to it in all ways: they must print the same.
func TestRecordKubectl(t *testing.T) {
	r := newRig(t, "kube-scheduler", "kwok")
	s := r.addServer("cp-1", r.policy("Metadata"), "--anonymous-auth=true")
	r.addNode(s)
	must(t, os.WriteFile(r.path("up.txt"), bytes.Repeat([]byte("all the bytes of a file\n"), 50_000), 0o600))
	admin := &terminal{r, s.Kubeconfig, "default"}
	front := r.addProxy(s, r.policy("RequestResponse"), byFrontProxy)
	other := r.addProxy(s, r.policy("RequestResponse"), byImpersonate)
	must(t, r.plane.PKI.Issue("boss", "system:masters"))
	out := admin.run(`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"robot"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},
		"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"robot"}]}`, "create", "-f", "-")
	if !strings.Contains(out, "created") {
		t.Fatal(out)
	}
	t.Run("sessions", func(t *testing.T) { r.sessions(t, s, admin, front, other) })
	t.Run("1000 watches", func(t *testing.T) { r.thousand(t, s, front) })
	t.Run("restart", func(t *testing.T) { r.restart(t, front) })
}

// sessions types the same directly and through a proxy, all ways at a time.
func (r *rig) sessions(t *testing.T, s *plane.Server, admin *terminal, front, other *proxy) {
	for i, c := range []struct {
		name, person, token string
		proxy               *proxy
	}{{"certificate and front proxy", "boss", "", front}, {"token", "", robotToken, front}, {"certificate and impersonation", "boss", "", other}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var both [2]*terminal
			for k, url := range []string{s.URL, c.proxy.url} {
				both[k] = &terminal{r, r.path(fmt.Sprintf("session-%d-%d.kubeconfig", i, k)), fmt.Sprintf("room-%d-%c", i, 'a'+k)}
				must(t, r.plane.PKI.Kubeconfig(both[k].kubeconfig, url, c.person, c.token))
				if out := admin.run("", "create", "namespace", both[k].namespace); !strings.Contains(out, "created") {
					t.Fatal(out)
				}
				r.wait(both[k].namespace)
			}
			differ := 0
			for _, line := range session(r.path("up.txt")) {
				begun := time.Now()
				var said [2]string
				var all sync.WaitGroup
				for k, x := range both {
					all.Go(func() { said[k] = x.types(line) })
				}
				all.Wait()
				if c.proxy == other && line == "auth whoami" {
					// An impersonated user has no credential: it is the proxy's.
					said[0] = regexp.MustCompile(`(?m)^Extra: authentication.kubernetes.io/credential-id .*\n`).ReplaceAllString(said[0], "")
				}
				if said[0] != said[1] {
					differ++
					t.Errorf("kubectl %.200s\nprints directly:\n%s\nthrough the proxy:\n%s", line, said[0], said[1])
				}
				if took := time.Since(begun); took > 3*time.Second {
					t.Logf("kubectl %.60s took %s", line, took.Round(time.Millisecond))
				}
			}
			for _, x := range both {
				up, err := os.ReadFile(r.path("up.txt"))
				must(t, err)
				if down, err := os.ReadFile(r.path(x.namespace + "-down.txt")); err != nil || !bytes.Equal(up, down) {
					t.Errorf("%s: %d bytes copied instead of %d: %v", x.namespace, len(down), len(up), err)
				}
			}
			t.Logf("%d commands, %d print something else through the proxy", len(session("")), differ)
			t.Run("streams", func(t *testing.T) { r.streams(t, both) })
		})
	}
}

// wait waits for the service account of a namespace: pods need it.
func (r *rig) wait(namespace string) {
	must(r.t, r.plane.Ask(r.t.Context(), r.plane.Servers[0], "get", "serviceaccount", "default", "-n", namespace, ""))
}

// streams tries what does not end by itself: watches, logs that are followed, attach and
// port-forward.
func (r *rig) streams(t *testing.T, both [2]*terminal) {
	for _, x := range both {
		if out := x.run("", "run", "talker", "--image=registry.invalid/x"); !strings.Contains(out, "created") {
			t.Fatal(out)
		}
		if out := x.run("", "wait", "--for=condition=Ready", "--timeout=30s", "pod/talker"); !strings.Contains(out, "condition met") {
			t.Fatal(out)
		}
	}
	var said [2]string
	for k, x := range both {
		lines := x.stream(t, "get", "configmaps", "--watch", "-o", "name")
		x.until(t, lines, "configmap/kube-root-ca.crt")
		for _, name := range []string{"one", "two"} {
			x.run("", "create", "configmap", name)
			said[k] += x.until(t, lines, "configmap/"+name)
		}
		lines = x.stream(t, "logs", "-f", "talker")
		said[k] += x.until(t, lines, "it is me")
		lines = x.stream(t, "port-forward", "pod/talker", ":80")
		first := x.until(t, lines, "Forwarding from 127.0.0.1")
		address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(first)
		body := strings.Repeat("all of it ", 100_000)
		answer, err := http.Post("http://"+address+"/there", "text/plain", strings.NewReader(body))
		must(t, err)
		text, err := io.ReadAll(answer.Body)
		must(t, err)
		answer.Body.Close()
		if !strings.HasPrefix(string(text), "POST /there all of it") || !bytes.Contains(text, []byte(body)) {
			t.Errorf("forwarded: %.100s, %d bytes", text, len(text))
		}
	}
	if said[0] != said[1] {
		t.Errorf("directly\n%s\nthrough the proxy\n%s", said[0], said[1])
	}
}

// stream starts a command that does not end, and returns its lines. It ends with the test.
func (x *terminal) stream(t *testing.T, args ...string) <-chan string {
	t.Helper()
	cmd := x.command(t.Context(), args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	must(t, err)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	must(t, cmd.Start())
	lines := make(chan string, 1000)
	done := make(chan struct{})
	go func() { // ends with the command
		defer close(done)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
		_ = cmd.Wait()
		close(lines)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		if t.Failed() {
			t.Logf("%v: %s", args, stderr.Bytes())
		}
	})
	return lines
}

// until reads lines until one has a text in it, and returns all.
func (x *terminal) until(t *testing.T, lines <-chan string, text string) (all string) {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case line, more := <-lines:
			if !more {
				t.Fatalf("it ended before %q: %s", text, all)
			}
			all += strings.ReplaceAll(line, x.namespace, "{ns}") + "\n"
			if strings.Contains(line, text) {
				return all
			}
		case <-late:
			t.Fatalf("no %q: %s", text, all)
		}
	}
}

// thousand opens a thousand watches, half by HTTP/1.1 and half by HTTP/2, each of which
// must see an event.
func (r *rig) thousand(t *testing.T, s *plane.Server, p *proxy) {
	const count = 1000
	sender, err := newSender(r.plane.PKI, r.strangers, p.url, map[string]string{})
	must(t, err)
	defer sender.close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var opened, seen, all sync.WaitGroup
	var mu sync.Mutex
	var problems []string
	ids := map[string]bool{}
	fail := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		problems = append(problems, fmt.Sprintf(format, args...))
	}
	begun := time.Now()
	for i := range count {
		opened.Add(1)
		seen.Add(1)
		all.Go(func() {
			isOpen, hasSeen := sync.OnceFunc(opened.Done), sync.OnceFunc(seen.Done)
			defer hasSeen()
			defer isOpen()
			client := sender.one["admin"]
			if i%2 == 0 {
				client = sender.two["admin"]
			}
			request, err := http.NewRequestWithContext(ctx, "GET", p.url+"/api/v1/namespaces/default/configmaps?watch=1&fieldSelector=metadata.name%3Dnews", nil)
			if err != nil {
				fail("%v", err)
				return
			}
			answer, err := (&http.Client{Transport: client.Transport}).Do(request)
			if err != nil {
				fail("%v", err)
				return
			}
			defer answer.Body.Close()
			mu.Lock()
			ids[answer.Header.Get("Audit-Id")] = true
			mu.Unlock()
			isOpen()
			var e struct {
				Type   string
				Object struct{ Metadata struct{ Name string } }
			}
			if err := json.NewDecoder(answer.Body).Decode(&e); err != nil || e.Type != "ADDED" || e.Object.Metadata.Name != "news" {
				fail("%s: %v, %v", answer.Status, e, err)
				return
			}
			hasSeen()
			_, _ = io.Copy(io.Discard, answer.Body) // until all have seen it
		})
	}
	opened.Wait()
	now, _, err := p.RSS()
	must(t, err)
	t.Logf("%d watches are open after %s, the proxy holds %d MB", count, time.Since(begun).Round(time.Millisecond), now>>20)
	begun = time.Now()
	if out := (&terminal{r, s.Kubeconfig, "default"}).run("", "create", "configmap", "news"); !strings.Contains(out, "created") {
		t.Error(out)
	}
	seen.Wait()
	t.Logf("all have seen an event %s after it was asked for", time.Since(begun).Round(time.Millisecond))
	cancel()
	all.Wait()
	if len(problems) > 0 {
		t.Errorf("%d of %d watches failed: %.2000q", len(problems), count, problems)
	}
	complete := 0
	for until := time.Now().Add(20 * time.Second); complete != len(ids) && time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		ours, err := readLog(p.log)
		must(t, err)
		complete = 0
		for id := range ids {
			if len(ours[id]["ResponseStarted"]) == 1 && len(ours[id]["ResponseComplete"]) == 1 {
				complete++
			}
		}
	}
	if complete != count {
		t.Errorf("%d of %d watches have both their events", complete, count)
	}
}

// restart ends the proxy in order while a watch is open through it, and starts it again.
func (r *rig) restart(t *testing.T, p *proxy) {
	sender, err := newSender(r.plane.PKI, r.strangers, p.url, map[string]string{})
	must(t, err)
	defer sender.close()
	request, err := http.NewRequestWithContext(t.Context(), "GET", p.url+"/api/v1/configmaps?watch=1", nil)
	must(t, err)
	answer, err := sender.one["admin"].Do(request)
	must(t, err)
	defer answer.Body.Close()
	begun := time.Now()
	must(t, p.Stop(time.Minute))
	t.Logf("ended in %s with a watch open", time.Since(begun).Round(time.Millisecond))
	var lost net.Error
	if _, err := io.Copy(io.Discard, answer.Body); errors.As(err, &lost) && lost.Timeout() {
		t.Errorf("the watch hangs: %v", err)
	}
	must(t, p.start(r, "proxy-again"))
	again := sender.ask(t, &ask{what: "after the restart", who: "admin", method: "GET", uri: "/version", want: 200})
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		ours, err := readLog(p.log)
		must(t, err)
		before, after := ours[answer.Header.Get("Audit-Id")], ours[again.id]
		if len(before["ResponseComplete"]) == 1 && len(after["ResponseComplete"]) == 1 {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("the log has %v of the watch and %v of the request after it", before, after)
		}
	}
}
