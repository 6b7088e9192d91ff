// Package record_test judges kubetrail proxy by the audit log of the kube-apiserver
// behind it.
package record_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"kubetrail/test/e2e/plane"
)

var (
	given  = flag.String("kubetrail", "", "a program that is built already, to be tested instead of this tree")
	direct = flag.Bool("direct", false, "send requests to kube-apiserver itself, to see what they are answered")
)

// rig is a control plane with a node, and what goes before it.
type rig struct {
	t         *testing.T
	dir       string
	kubetrail string
	plane     *plane.Plane
	front     *plane.PKI // of who may say X-Remote-User
	strangers *plane.PKI // whom nobody knows
	backend   *httptest.Server
	ip        string // of this machine
	proxies   int
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newRig builds and starts etcd alone. Where the test fails, its files are kept.
func newRig(t *testing.T, programs ...string) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "kubetrail-record-*")
	must(t, err)
	r := &rig{t: t, dir: dir, kubetrail: *given, ip: "127.0.0.1"}
	t.Cleanup(func() {
		if t.Failed() {
			kept := filepath.Join(os.TempDir(), "kubetrail-record-failed")
			_ = os.RemoveAll(kept)
			must(t, os.Rename(dir, kept))
			t.Logf("logs and what processes said are in %s", kept)
			return
		}
		must(t, os.RemoveAll(dir))
	})
	bin, err := plane.Build(t.Context(), "..", os.Stdout, programs...)
	must(t, err)
	if r.kubetrail == "" {
		r.kubetrail = filepath.Join(dir, "kubetrail")
		build := exec.CommandContext(t.Context(), "go", "build", "-o", r.kubetrail, "./cmd/kubetrail")
		build.Dir = "../../.."
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build kubetrail: %v\n%s", err, out)
		}
	}
	r.plane, err = plane.New(t.Context(), dir, bin)
	must(t, err)
	t.Cleanup(func() {
		must(t, r.plane.Stop())
		if t.Failed() {
			for _, path := range r.plane.Logs() {
				t.Logf("the end of %s:\n%s", filepath.Base(path), plane.Tail(path, 1500))
			}
		}
	})
	r.front, err = plane.NewPKI(filepath.Join(dir, "front"))
	must(t, err)
	must(t, r.front.Issue("kubetrail-proxy"))
	r.strangers, err = plane.NewPKI(filepath.Join(dir, "strangers"))
	must(t, err)
	must(t, r.strangers.Issue("stranger", "system:masters"))
	must(t, r.plane.PKI.Issue("kubetrail-impersonator", "system:masters"))
	for name, p := range people() {
		if p.certificate != "" && name != "admin" && name != "stranger" {
			must(t, r.plane.PKI.Issue(name, p.groups...))
		}
	}
	must(t, os.WriteFile(r.path("tokens.csv"), []byte(robotToken+`,robot,uid-7,"robots,machines"`+"\n"), 0o600))
	addresses, err := net.InterfaceAddrs()
	must(t, err)
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() && r.ip == "127.0.0.1" {
			r.ip = n.IP.String()
		}
	}
	return r
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

// policy writes one that records everything at a level.
func (r *rig) policy(level string) string {
	path := r.path("policy-" + level + ".yaml")
	must(r.t, os.WriteFile(path, fmt.Appendf(nil, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: %s\n", level), 0o600))
	return path
}

// addServer starts a kube-apiserver that believes the proxy, and records with a policy.
func (r *rig) addServer(name, policy string, flags ...string) *plane.Server {
	r.t.Helper()
	s, err := r.plane.AddServer(r.t.Context(), name, plane.Audit{Policy: policy, Log: r.path(name + ".log"), Flags: append([]string{
		"--audit-log-maxsize", "0", "--token-auth-file", r.path("tokens.csv"), "--feature-gates", "CBORServingAndStorage=true",
		"--requestheader-client-ca-file", r.front.Path("ca.crt"), "--requestheader-allowed-names", "kubetrail-proxy",
		"--requestheader-username-headers", "X-Remote-User", "--requestheader-group-headers", "X-Remote-Group",
		"--requestheader-extra-headers-prefix", "X-Remote-Extra-", "--requestheader-uid-headers", "X-Remote-Uid",
	}, flags...)})
	must(r.t, err)
	return s
}

// addNode adds what makes pods run on a node that answers, and something to proxy to.
func (r *rig) addNode(s *plane.Server) {
	r.t.Helper()
	if r.ip == "127.0.0.1" {
		r.t.Fatal("this machine has no address but that of the loopback, and kube-apiserver is no proxy to that")
	}
	must(r.t, r.plane.AddManager(s))
	must(r.t, r.plane.AddScheduler(s))
	r.backend = newBackend(r.t)
	logs := r.path("pod.log")
	must(r.t, os.WriteFile(logs, []byte("2026-11-20T10:00:00.000000000Z stdout F hello\n2026-11-20T10:00:01.000000000Z stdout F it is me\n"), 0o600))
	must(r.t, r.plane.AddNode(r.t.Context(), s, plane.Node{Name: "node-1", IP: r.ip, Log: logs, Forward: r.port()}))
}

func (r *rig) port() int { return r.backend.Listener.Addr().(*net.TCPAddr).Port }

// newBackend is a web server on all addresses.
func newBackend(t *testing.T) *httptest.Server {
	l, err := net.Listen("tcp", ":0")
	must(t, err)
	b := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/fail":
			http.Error(w, "it fails", http.StatusInternalServerError)
		case "/die", "/die/later":
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "half of it")
			_ = http.NewResponseController(w).Flush()
			if q.URL.Path == "/die/later" {
				time.Sleep(time.Second) // kube-apiserver passes on what came, five times a second
			}
			panic(http.ErrAbortHandler)
		default:
			text, _ := io.ReadAll(q.Body) // what comes is given back
			fmt.Fprintf(w, "%s %s %s\n", q.Method, q.URL.Path, text)
		}
	}))
	b.Listener.Close()
	b.Listener = l
	b.Start()
	t.Cleanup(b.Close)
	return b
}

// proxy is a kubetrail proxy that runs.
type proxy struct {
	*plane.Process
	url, log string
	args     []string
	program  string
}

// how a proxy tells the API server who sends a request.
const (
	byFrontProxy  = "front-proxy"
	byImpersonate = "impersonate"
)

// addProxy starts a proxy before a server. It ends with the test.
func (r *rig) addProxy(s *plane.Server, policy, by string, flags ...string) *proxy {
	r.t.Helper()
	r.proxies++
	port, err := plane.FreePort()
	must(r.t, err)
	name := fmt.Sprintf("proxy-%d", r.proxies)
	p := &proxy{url: fmt.Sprintf("https://127.0.0.1:%d", port), log: r.path(name + ".log"), program: r.kubetrail}
	p.args = []string{"proxy", "--upstream", s.URL, "--upstream-ca-file", r.plane.PKI.Path("ca.crt"), "--listen", fmt.Sprintf("127.0.0.1:%d", port),
		"--tls-cert-file", r.plane.PKI.Path("kube-apiserver.crt"), "--tls-private-key-file", r.plane.PKI.Path("kube-apiserver.key"),
		"--client-ca-file", r.plane.PKI.Path("ca.crt")}
	p.args = append(p.args, r.forward(by)...)
	if policy != "" {
		p.args = append(p.args, "--audit-policy-file", policy, "--audit-log-path", p.log, "--audit-log-maxsize", "0")
	}
	p.args = append(p.args, flags...)
	must(r.t, p.start(r, name))
	r.t.Cleanup(func() { p.Kill() })
	return p
}

// forward are the flags of who speaks to the API server in the place of a client whose
// certificate cannot be passed on.
func (r *rig) forward(by string) []string {
	if by == byImpersonate {
		return []string{"--forward-by", by, "--proxy-client-cert-file", r.plane.PKI.Path("kubetrail-impersonator.crt"), "--proxy-client-key-file", r.plane.PKI.Path("kubetrail-impersonator.key")}
	}
	return []string{"--forward-by", by, "--proxy-client-cert-file", r.front.Path("kubetrail-proxy.crt"), "--proxy-client-key-file", r.front.Path("kubetrail-proxy.key")}
}

// start starts a proxy that does not run, and waits until it answers.
func (p *proxy) start(r *rig, name string) (err error) {
	if p.Process, err = plane.Start(name, r.path(name+".stderr"), p.program, p.args...); err != nil {
		return err
	}
	config, err := r.plane.PKI.TLS("admin")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	return p.Answers(ctx, &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}, p.url+"/readyz")
}

// signingRequest is one for a certificate, in base64.
func signingRequest(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "jai"}}, key)
	must(t, err)
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}
