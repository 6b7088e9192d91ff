package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kubetrail/test/e2e/plane"
)

// Two requests are held to be the same where these agree: method, path, query, the
// headers Impersonate-*, for a PATCH the Content-Type, and the body. What is left out:
//
//   - of the query timeout and timeoutSeconds (how long to wait), limit and continue (how
//     a list is cut), includeObject and pretty (the form of the answer),
//     allowWatchBookmarks; the resourceVersion of a watch, which is the state that the
//     client had listed just before; fieldManager, where the request named none, or it is
//     kubectl's; fieldValidation of a patch, which kubectl patch cannot send, and where the
//     request named none: of built-in kinds no unknown fields are recorded;
//   - whether a patch was a merge patch or a strategic one where it holds no list and no
//     directive: then both mean the same;
//   - of the body what the API server did not record: unknown fields, and which values
//     are defaults. The bodies of creates and updates are compared as the API server
//     recorded them, those of patches and deletions as they were sent;
//   - of the body metadata.namespace, where the path says the same;
//   - of approvals, for which the request for a certificate is made anew, its uid, its
//     resourceVersion and its times.
func same(a, b *wire) string {
	if a.method != b.method {
		return "method"
	}
	au, err := url.Parse(a.uri)
	bu, err2 := url.Parse(b.uri)
	if err != nil || err2 != nil || au.Path != bu.Path {
		return "path"
	}
	if !reflect.DeepEqual(meaning(a, au.Query(), bu.Query()), meaning(a, bu.Query(), au.Query())) {
		return fmt.Sprintf("query: %s and %s", au.RawQuery, bu.RawQuery)
	}
	for name := range headerNames(a, b) {
		x, y := slices.Sorted(slices.Values(a.header.Values(name))), slices.Sorted(slices.Values(b.header.Values(name)))
		if strings.HasPrefix(name, "Impersonate-") && !slices.Equal(x, y) {
			return fmt.Sprintf("header %s: %q and %q", name, x, y)
		}
	}
	if x, y := a.header.Get("Content-Type"), b.header.Get("Content-Type"); a.method == "PATCH" && x != y {
		merge := func(s string) bool { return strings.HasSuffix(s, "merge-patch+json") }
		if !merge(x) || !merge(y) || bytes.ContainsAny(a.body, "[$") {
			return fmt.Sprintf("patch: %s and %s", x, y)
		}
	}
	if x, y := content(a), content(b); !reflect.DeepEqual(x, y) {
		return fmt.Sprintf("body: %v and %v", x, y)
	}
	return ""
}

func headerNames(ws ...*wire) map[string]bool {
	names := map[string]bool{}
	for _, w := range ws {
		for name := range w.header {
			names[name] = true
		}
	}
	return names
}

// meaning is what counts of a query.
func meaning(w *wire, q, other url.Values) url.Values {
	for _, name := range []string{"timeout", "timeoutSeconds", "limit", "continue", "includeObject", "pretty", "allowWatchBookmarks"} {
		q.Del(name)
	}
	if q.Get("watch") != "" {
		q.Del("resourceVersion")
	}
	if w.method == "PATCH" || !w.has("fieldValidation") {
		q.Del("fieldValidation")
	}
	if !other.Has("fieldManager") || strings.HasPrefix(q.Get("fieldManager"), "kubectl") && strings.HasPrefix(other.Get("fieldManager"), "kubectl") {
		q.Del("fieldManager")
	}
	return q
}

// content is the body of a request: as it was recorded, or else as it was sent.
func content(w *wire) any {
	body := w.body
	var e struct{ RequestObject json.RawMessage }
	if json.Unmarshal(w.event, &e) == nil && e.RequestObject != nil && w.method != "PATCH" && w.method != "DELETE" {
		body = e.RequestObject
	}
	var v any
	if json.Unmarshal(body, &v) != nil {
		return string(body)
	}
	if strings.HasSuffix(w.uri, "/approval") {
		forget(v, "uid", "creationTimestamp", "resourceVersion", "lastUpdateTime", "lastTransitionTime", "managedFields")
	}
	if o, ok := v.(map[string]any); ok {
		if m, ok := o["metadata"].(map[string]any); ok && strings.Contains(w.uri, fmt.Sprintf("/namespaces/%v/", m["namespace"])) {
			delete(m, "namespace")
		}
	}
	return v
}

// forget removes members of a JSON tree wherever they are.
func forget(v any, names ...string) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if slices.Contains(names, k) {
				delete(v, k)
			} else {
				forget(x, names...)
			}
		}
	case []any:
		for _, x := range v {
			forget(x, names...)
		}
	}
}

// counter is where commands are typed: a control plane behind a tap.
type counter struct {
	t         *testing.T
	dir       string // a copy of testdata/kubectl, where the commands run
	kubetrail string
	server    *plane.Server
	tap       *tap
	env       []string

	log    *os.File
	rest   []byte
	events map[string][]byte // the last event of each audit ID
}

func newCounter(t *testing.T, kubetrail, level string) *counter {
	t.Helper()
	c := &counter{t: t, dir: t.TempDir(), kubetrail: kubetrail, events: map[string][]byte{}}
	must(t, os.CopyFS(c.dir, os.DirFS("testdata/kubectl")))
	bin, err := plane.Build(t.Context(), ".", os.Stdout)
	must(t, err)
	p, err := plane.New(t.Context(), t.TempDir(), bin)
	must(t, err)
	t.Cleanup(func() { must(t, p.Stop()) })
	rules := filepath.Join(p.Dir, "policy.yaml")
	must(t, os.WriteFile(rules, fmt.Appendf(nil, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: %s\n", level), 0o600))
	// There is no controller that would make the service accounts of pods.
	c.server, err = p.AddServer(t.Context(), "cp-1", plane.Audit{Policy: rules, Log: filepath.Join(p.Dir, "audit.log"),
		Flags: []string{"--audit-log-maxsize", "0", "--disable-admission-plugins", "ServiceAccount"}})
	must(t, err)
	c.log, err = os.Open(c.server.AuditLog)
	must(t, err)
	t.Cleanup(func() { must(t, c.log.Close()) })
	config, err := p.PKI.TLS("admin")
	must(t, err)
	c.tap, err = newTap(c.server.URL, config)
	must(t, err)
	t.Cleanup(func() {
		c.tap.CloseClientConnections()
		c.tap.Close()
	})
	kubeconfig := filepath.Join(p.Dir, "tap.kubeconfig")
	must(t, os.WriteFile(kubeconfig, fmt.Appendf(nil, "apiVersion: v1\nkind: Config\nclusters:\n- name: e2e\n  cluster: {server: %q}\n"+
		"contexts:\n- name: e2e\n  context: {cluster: e2e}\ncurrent-context: e2e\n", c.tap.URL), 0o600))
	c.env = []string{"PATH=" + string(bin) + ":/usr/bin:/bin", "HOME=" + p.Dir, "KUBECONFIG=" + kubeconfig, "LANG=C.UTF-8"}
	c.prepare()
	return c
}

// prepare makes what the commands are about.
func (c *counter) prepare() {
	c.t.Helper()
	for _, name := range []string{"jai", "veeru"} {
		must(c.t, os.WriteFile(filepath.Join(c.dir, name+"-csr.yaml"), signingRequest(c.t, name), 0o600))
	}
	for _, line := range []string{
		"kubectl create namespace shop", "kubectl create -f world.yaml", "kubectl create -f jai-csr.yaml -f veeru-csr.yaml",
		"kubectl wait --for=condition=Established crd/crontabs.stable.example.com", "kubectl create -f crontab.yaml",
		`for pod in web-1 web-2 web-3; do kubectl patch pod $pod -n shop --subresource=status --type=merge -p '{"status":{"phase":"Running"}}'; done`,
		`for node in node-1 node-2; do kubectl patch node $node --subresource=status --type=merge -p '{"status":{"addresses":[{"type":"InternalIP","address":"127.0.0.1"}],"daemonEndpoints":{"kubeletEndpoint":{"Port":1}}}}'; done`,
	} {
		if out, err := c.shell(line, time.Minute, nil); err != nil {
			c.t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
}

func signingRequest(t *testing.T, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	must(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	return fmt.Appendf(nil, "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {name: %s}\n"+
		"spec: {signerName: kubernetes.io/kube-apiserver-client, usages: [client auth], request: %s}\n", name, base64.StdEncoding.EncodeToString(text))
}

// shell runs a line, until it ends, so long, or till enough says that enough was seen.
func (c *counter) shell(line string, atMost time.Duration, enough func() bool) ([]byte, error) {
	ctx, stop := context.WithTimeout(c.t.Context(), atMost)
	defer stop()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir, cmd.Env = c.dir, c.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // is waited for below
	var patience <-chan time.Time
	for {
		select {
		case err := <-ended:
			return out.Bytes(), err
		case <-c.tap.news:
			if patience == nil && enough != nil && enough() {
				patience = time.After(time.Second) // it may have more to say
			}
		case <-patience:
			stop()
			patience = nil
		}
	}
}

// long reports whether a request is answered for as long as the client likes.
func long(w *wire) bool {
	for _, s := range []string{"watch=", "follow=", "/exec?", "/attach?", "/portforward"} {
		if strings.Contains(w.uri, s) {
			return true
		}
	}
	return false
}

// recorded finds the events of requests in the audit log.
func (c *counter) recorded(all []*wire) {
	c.t.Helper()
	until := time.Now().Add(20 * time.Second)
	for {
		missing := ""
		for _, w := range all {
			if w.event = c.events[w.auditID]; w.event == nil {
				missing = w.String()
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(until) {
			c.t.Fatalf("no event of %s", missing)
		}
		c.read()
	}
}

// read reads what is new in the log. Requests that are over are of interest alone.
func (c *counter) read() {
	c.t.Helper()
	buf := make([]byte, 1<<20)
	n, _ := c.log.Read(buf) // at the end there is more later
	if n == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	c.rest = append(c.rest, buf[:n]...)
	for {
		line, rest, whole := bytes.Cut(c.rest, []byte("\n"))
		if !whole {
			return
		}
		c.rest = rest
		var e struct{ AuditID, Stage string }
		if json.Unmarshal(line, &e) == nil && (e.Stage == "ResponseComplete" || e.Stage == "Panic") {
			c.events[e.AuditID] = slices.Clone(line)
		}
	}
}

// retold is what KubeTrail says of an event.
type retold struct {
	Kubectl string
	Note    string
}

// explain asks KubeTrail for the commands of events.
func (c *counter) explain(all []*wire) (answers []retold) {
	c.t.Helper()
	for _, w := range all {
		file := filepath.Join(c.t.TempDir(), "event.log")
		must(c.t, os.WriteFile(file, append(slices.Clone(w.event), '\n'), 0o600))
		cmd := exec.CommandContext(c.t.Context(), c.kubetrail, "explain", "-f", file, "-o", "jsonl", "--lang", "en", "--kubectl")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			c.t.Fatalf("explain: %v\n%s", err, stderr.Bytes())
		}
		var a retold
		must(c.t, json.Unmarshal(out, &a))
		answers = append(answers, a)
	}
	return answers
}

// again types a command, has KubeTrail tell how to make its requests again, makes them
// so, and says what is different, empty for nothing.
func (c *counter) again(x typed) (difference string, answers []retold) {
	c.t.Helper()
	c.tap.forget()
	out, _ := c.shell(x.line, 30*time.Second, func() bool { return slices.ContainsFunc(mainOf(x, c.tap.answered()), long) }) // many fail, and are to
	original := c.tap.answered()
	main := mainOf(x, original)
	if len(main) == 0 {
		c.t.Errorf("%s makes no request\n%s", x.line, out)
		return "no request", nil
	}
	c.recorded(main)
	answers = c.explain(main)
	for i, a := range answers {
		if a.Kubectl == "" {
			return fmt.Sprintf("%s: no command: %s", main[i], a.Note), answers
		}
		if x.before != "" {
			if out, err := c.shell(x.before, time.Minute, nil); err != nil {
				c.t.Fatalf("%s: %v\n%s", x.before, err, out)
			}
		}
		c.tap.forget()
		met := func(w *wire) bool { return w.method == main[i].method && path(w) == path(main[i]) }
		out, _ := c.shell(a.Kubectl, 30*time.Second, func() bool { return slices.ContainsFunc(c.tap.answered(), met) })
		if d := c.compare(main[i], original, c.tap.answered()); d != "" {
			return fmt.Sprintf("%s: %s\n%s", main[i], d, out), answers
		}
	}
	return "", answers
}

func path(w *wire) string {
	p, _, _ := strings.Cut(w.uri, "?")
	return p
}

// compare says how far the requests of a second command are from that of the first: it
// must be among them, and nothing that changes something may be that was not before.
func (c *counter) compare(want *wire, before, all []*wire) string {
	c.t.Helper()
	nearest := "no such request"
	for _, w := range all {
		if w.method != want.method || path(w) != path(want) {
			continue
		}
		c.recorded([]*wire{w})
		if nearest = same(want, w); nearest == "" {
			break
		}
	}
	for _, w := range all {
		if w.method != "GET" && !slices.ContainsFunc(before, func(b *wire) bool { return b.method == w.method && path(b) == path(w) }) {
			return "it also makes " + w.String()
		}
	}
	return nearest
}

// TestKubectl types commands of kubectl, asks KubeTrail for the commands that make their
// requests again, and compares both on the wire.
func TestKubectl(t *testing.T) {
	program := *given
	if program == "" {
		program = filepath.Join(t.TempDir(), "kubetrail")
		build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/kubetrail")
		build.Dir = "../.."
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build kubetrail: %v\n%s", err, out)
		}
	}
	lines := typedLines()
	if len(lines) < 120 {
		t.Errorf("%d commands, fewer than 120", len(lines))
	}
	t.Run("RequestResponse", func(t *testing.T) {
		c := newCounter(t, program, "RequestResponse")
		missed := 0
		for _, x := range lines {
			if d, answers := c.again(x); d != "" {
				missed++
				t.Logf("MISSED %s\n%s\n%s", x.line, d, says(answers))
			}
		}
		t.Logf("%d of %d commands are equivalent, %.1f %%", len(lines)-missed, len(lines), 100*float64(len(lines)-missed)/float64(len(lines)))
		if missed*20 > len(lines) {
			t.Errorf("%d of %d commands are not equivalent, more than 5 %%", missed, len(lines))
		}
	})
	t.Run("Metadata", func(t *testing.T) {
		c := newCounter(t, program, "Metadata")
		equal, admitted := 0, 0
		for _, x := range lines {
			d, answers := c.again(x)
			switch {
			case d == "":
				equal++
			case slices.ContainsFunc(answers, func(a retold) bool { return a.Note != "" }):
				admitted++ // it says that the event does not hold enough
			default:
				t.Errorf("%s\n%s\n%s", x.line, d, says(answers))
			}
		}
		t.Logf("%d of %d commands are equivalent without bodies, of %d it is said what is missing", equal, len(lines), admitted)
	})
}

func says(answers []retold) string {
	var b strings.Builder
	for _, a := range answers {
		fmt.Fprintf(&b, "%s\n# %s\n", a.Kubectl, a.Note)
	}
	return b.String()
}
