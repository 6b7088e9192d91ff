package backend_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kubetrail/record"
	"kubetrail/record/backend"
)

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue returns a certificate for a name and its key, both PEM.
func (a *authority) issue(t testing.TB, name string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: b})
}

// A seen request is what a server saw of it.
type seen struct {
	line, body, client string
	header             http.Header
}

// A recorder keeps what a server sees.
type recorder struct {
	mu  sync.Mutex
	all []seen
}

func (r *recorder) ServeHTTP(_ http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	s := seen{line: req.Method + " " + req.RequestURI + " " + req.Proto, body: string(body), header: req.Header}
	if req.TLS != nil && len(req.TLS.PeerCertificates) > 0 {
		s.client = req.TLS.PeerCertificates[0].Subject.CommonName
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, s)
}

func (r *recorder) last(t testing.TB) seen {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) == 0 {
		t.Fatal("the server saw nothing")
	}
	return r.all[len(r.all)-1]
}

// serveTLS starts a server that asks clients for certificates of a.
func serveTLS(t testing.TB, a *authority, name string, handler http.Handler) *httptest.Server {
	t.Helper()
	certPEM, keyPEM := a.issue(t, name)
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(t.Output(), "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// kubeconfig writes one, of members of its cluster and its user.
func kubeconfig(t testing.TB, cluster, user string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"now",
		"contexts":[{"name":"now","context":{"cluster":"c","user":"u"}},{"name":"other","context":{"cluster":"none"}}],
		"clusters":[{"name":"c","cluster":{%s}}],"users":[{"name":"u","user":{%s}}]}`, cluster, user)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func hookOf(t testing.TB, kubeconfig string) record.Backend {
	t.Helper()
	w, err := backend.Webhook(backend.WebhookConfig{Kubeconfig: kubeconfig, InitialBackoff: time.Millisecond, Attempts: 2})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// What arrives at a receiver that a kubeconfig names, in every way that it can say so.
func TestKubeconfig(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	clientCert, clientKey := a.issue(t, "apiserver")
	var r recorder
	server := serveTLS(t, a, "receiver.example", &r)
	ca := fmt.Sprintf(`"server":"%s/audit/%%s","certificate-authority-data":"%s"`, server.URL, base64Of(a.pem))
	files := t.TempDir()
	write := func(name string, content []byte) string {
		name = filepath.Join(files, name)
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	certs := fmt.Sprintf(`"client-certificate":"%s","client-key":"%s"`, write("cert", clientCert), write("key", clientKey))
	for name, c := range map[string]struct {
		cluster, user    string
		header           http.Header
		client, path, as string // as: the name that the server must have
	}{
		"ca":          {cluster: ca},
		"query":       {cluster: strings.Replace(ca, "%s", "deep/?a=b", 1), path: "/audit/deep"},
		"insecure":    {cluster: fmt.Sprintf(`"server":"%s","insecure-skip-tls-verify":true`, server.URL), path: "/"},
		"server name": {cluster: ca + `,"tls-server-name":"receiver.example"`},
		"certificate": {cluster: ca, user: certs, client: "apiserver"},
		"token":       {cluster: ca, user: `"token":"secret"`, header: http.Header{"Authorization": {"Bearer secret"}}},
		"token file":  {cluster: ca, user: fmt.Sprintf(`"tokenFile":"%s"`, write("token", []byte("filed\n"))), header: http.Header{"Authorization": {"Bearer filed"}}},
		"basic":       {cluster: ca, user: `"username":"u","password":"p"`, header: http.Header{"Authorization": {"Basic dTpw"}}},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := strings.Replace(c.cluster, "%s", "", 1)
			w := hookOf(t, kubeconfig(t, cluster, c.user))
			e := numbered(0, 0)
			if !w.ProcessEvents(e) {
				t.Fatal("not sent")
			}
			if c.path == "" {
				c.path = "/audit"
			}
			got := r.last(t)
			if want := "POST " + c.path + "?timeout=30s HTTP/2.0"; got.line != want {
				t.Errorf("%s, want %s", got.line, want)
			}
			if want := `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + string(e.AppendItem(nil)) + "]}\n"; got.body != want {
				t.Errorf("sent %s, want %s", got.body, want)
			}
			want := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, */*"},
				"Content-Length": {fmt.Sprint(len(got.body))}, "User-Agent": {"Go-http-client/2.0"}, "Accept-Encoding": {"gzip"}}
			for key, values := range c.header {
				want[key] = values
			}
			if fmt.Sprint(got.header) != fmt.Sprint(want) || got.client != c.client {
				t.Errorf("%v of %q, want %v of %q", got.header, got.client, want, c.client)
			}
		})
	}

	for name, cluster := range map[string]string{
		"another authority": fmt.Sprintf(`"server":"%s","certificate-authority-data":"%s"`, server.URL, base64Of(stranger.pem)),
		"another name":      strings.Replace(ca, "%s", "", 1) + `,"tls-server-name":"somebody.else"`,
	} {
		if hookOf(t, kubeconfig(t, cluster, "")).ProcessEvents(numbered(0, 0)) {
			t.Errorf("%s was trusted", name)
		}
	}
}

// Credentials are not shown to whoever listens on the way.
func TestKubeconfigInClear(t *testing.T) {
	var r recorder
	server := httptest.NewServer(&r)
	defer server.Close()
	w := hookOf(t, kubeconfig(t, fmt.Sprintf(`"server":"%s"`, server.URL), `"token":"secret"`))
	if !w.ProcessEvents(numbered(0, 0)) || r.last(t).header.Get("Authorization") != "" {
		t.Errorf("sent %v", r.all)
	}
}

func TestKubeconfigProxy(t *testing.T) {
	var r recorder
	proxy := httptest.NewServer(&r)
	defer proxy.Close()
	w := hookOf(t, kubeconfig(t, fmt.Sprintf(`"server":"http://receiver.example/audit","proxy-url":"%s"`, proxy.URL), ""))
	if got := "POST http://receiver.example/audit?timeout=30s HTTP/1.1"; !w.ProcessEvents(numbered(0, 0)) || r.last(t).line != got {
		t.Errorf("the proxy saw %q", r.last(t).line)
	}
}

// A client certificate that is exchanged on disk is the one shown from then on.
func TestKubeconfigReload(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { // client-go ends what watches the files when the transport is collected
		eventually(t, "nobody watches the files", func() bool { runtime.GC(); return goleak.Find(before) == nil })
	})
	a := newAuthority(t)
	var r recorder
	server := serveTLS(t, a, "receiver.example", &r)
	dir := t.TempDir()
	write := func(name string) {
		cert, key := a.issue(t, name)
		for file, content := range map[string][]byte{"cert": cert, "key": key} {
			if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("first")
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	w := hookOf(t, kubeconfig(t, fmt.Sprintf(`"server":"https://%s","certificate-authority-data":"%s"`, u.Host, base64Of(a.pem)),
		fmt.Sprintf(`"client-certificate":"%s/cert","client-key":"%s/key"`, dir, dir)))
	if !w.ProcessEvents(numbered(0, 0)) || r.last(t).client != "first" {
		t.Fatalf("the client is %q", r.last(t).client)
	}
	write("second")
	eventually(t, "the new certificate is shown", func() bool {
		server.CloseClientConnections()
		w.ProcessEvents(numbered(0, 1))
		return r.last(t).client == "second"
	})
}
