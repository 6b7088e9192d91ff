package proxy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubetrail/policy"
	"kubetrail/record"
)

// authority is a CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// issue makes a certificate and its key, PEM.
func (a *authority) issue(t testing.TB, subject pkix.Name) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	template := &x509.Certificate{SerialNumber: serial, Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

func (a *authority) pair(t testing.TB, subject pkix.Name) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(a.issue(t, subject))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// upstream is an API server as far as the proxy sees it: it knows users by token, by the
// headers of a front proxy and by impersonation, and it tells who they are.
type upstream struct {
	*httptest.Server
	serving *authority
	front   *authority // of front proxies
	clients *authority // of users with certificates, of which the proxy may be one

	mu      sync.Mutex
	tokens  map[string]string // to user names
	reviews int
	seen    []*http.Request
	down    bool // reviews fail
	handle  http.HandlerFunc
}

func newUpstream(t testing.TB, handle http.HandlerFunc) *upstream {
	t.Helper()
	u := &upstream{serving: newAuthority(t, "upstream"), front: newAuthority(t, "front"), clients: newAuthority(t, "clients"),
		tokens: map[string]string{"alice-token": "alice", "proxy-token": "system:serviceaccount:kubetrail:proxy"}, handle: handle}
	u.Server = httptest.NewUnstartedServer(http.HandlerFunc(u.serve))
	u.Server.EnableHTTP2 = true
	u.Server.TLS = &tls.Config{Certificates: []tls.Certificate{u.serving.pair(t, pkix.Name{CommonName: "upstream"})}, ClientAuth: tls.RequestClientCert}
	u.Server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	u.Server.StartTLS()
	t.Cleanup(u.Server.Close)
	return u
}

// user tells who sends a request, "" for bad credentials.
func (u *upstream) user(r *http.Request) (name string, groups []string) {
	name, groups = anonymous, []string{unauthenticated}
	shows := func(a *authority) bool {
		if len(r.TLS.PeerCertificates) == 0 {
			return false
		}
		_, err := r.TLS.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: a.pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		return err == nil
	}
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case shows(u.front) && r.Header.Get("X-Remote-User") != "":
		name, groups = r.Header.Get("X-Remote-User"), r.Header.Values("X-Remote-Group")
	case shows(u.clients):
		name, groups = r.TLS.PeerCertificates[0].Subject.CommonName, []string{authenticated}
	case bearer:
		u.mu.Lock()
		defer u.mu.Unlock()
		name, groups = u.tokens[token], []string{"team", authenticated}
	}
	if as := r.Header.Get("Impersonate-User"); as != "" && name != "" {
		name, groups = as, append(slices.Clone(r.Header.Values("Impersonate-Group")), authenticated)
	}
	return name, groups
}

func (u *upstream) serve(w http.ResponseWriter, r *http.Request) {
	name, groups := u.user(r)
	if id := r.Header.Get("Audit-Id"); id != "" {
		w.Header().Set("Audit-Id", id)
	}
	u.mu.Lock()
	down := u.down
	if r.URL.Path == reviewPath {
		u.reviews++
	} else {
		u.seen = append(u.seen, r)
	}
	u.mu.Unlock()
	switch {
	case r.URL.Path == reviewPath && down:
		writeStatus(w, unavailable("overloaded"))
	case name == "":
		writeStatus(w, unauthorized())
	case r.URL.Path == reviewPath && name == anonymous:
		writeStatus(w, apiError{403, "Forbidden", `selfsubjectreviews.authentication.k8s.io is forbidden: User "system:anonymous" cannot create resource "selfsubjectreviews"`})
	case r.URL.Path == reviewPath:
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(map[string]any{"kind": "SelfSubjectReview", "status": map[string]any{"userInfo": map[string]any{"username": name, "uid": "uid-" + name, "groups": groups}}})
	case u.handle != nil:
		u.handle(w, r)
	default:
		fmt.Fprintf(w, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web"},"user":%q}`, name)
	}
}

func (u *upstream) requests() []*http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.seen)
}

func (u *upstream) last(t testing.TB) *http.Request {
	t.Helper()
	all := u.requests()
	if len(all) == 0 {
		t.Fatal("the upstream has seen no request")
	}
	return all[len(all)-1]
}

// memory is a backend that keeps events.
type memory struct {
	mu     sync.Mutex
	events []event
	more   chan struct{} // one element when something came
}

// event is what tests look at of an event.
type event struct {
	Stage, AuditID, Verb, RequestURI, UserAgent, Level string
	User, ImpersonatedUser                             struct {
		Username, UID string
		Groups        []string
		Extra         map[string][]string
	}
	SourceIPs      []string
	ObjectRef      struct{ Resource, Namespace, Name, Subresource string }
	ResponseStatus struct {
		Code            int
		Message, Reason string
	}
	Annotations map[string]string
}

func newMemory() *memory { return &memory{more: make(chan struct{}, 1)} }

func (m *memory) ProcessEvents(events ...*record.Event) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range events {
		var x event
		if err := json.Unmarshal(e.Line(), &x); err != nil {
			panic(err)
		}
		m.events = append(m.events, x)
	}
	select {
	case m.more <- struct{}{}:
	default:
	}
	return true
}

func (m *memory) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (m *memory) String() string                { return "memory" }

// wait returns the first event that is as wanted, when it is there.
func (m *memory) wait(t testing.TB, want func(event) bool) event {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		m.mu.Lock()
		i := slices.IndexFunc(m.events, want)
		var e event
		if i >= 0 {
			e = m.events[i]
		}
		all := fmt.Sprintf("%+v", m.events)
		m.mu.Unlock()
		if i >= 0 {
			return e
		}
		select {
		case <-m.more:
		case <-late:
			t.Fatalf("no such event in %s", all)
		}
	}
}

func (m *memory) all() []event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

// at wants an event of a request at a stage.
func at(stage policy.Stage, uri string) func(event) bool {
	return func(e event) bool { return e.Stage == string(stage) && e.RequestURI == uri }
}

// rig is a proxy before an upstream.
type rig struct {
	*Proxy
	up      *upstream
	events  *memory
	serving *authority
	users   *authority
	proxies *authority
	dir     string
	at      string // the address, where there is no Proxy
	stop    func() // and wait until it has ended
}

// newRig starts a proxy that knows users by certificates too. change may change what it
// is told before it starts.
func newRig(t testing.TB, handle http.HandlerFunc, change func(*rig, *Config)) *rig {
	t.Helper()
	g := &rig{up: newUpstream(t, handle), events: newMemory(), serving: newAuthority(t, "serving"), users: newAuthority(t, "users"),
		proxies: newAuthority(t, "proxies"), dir: t.TempDir()}
	cfg := Defaults()
	cfg.Serving.Listen = "127.0.0.1:0"
	cfg.Serving.DrainTimeout = 10 * time.Second
	cfg.Serving.CertFile, cfg.Serving.KeyFile = g.write(t, g.serving, "serving", pkix.Name{CommonName: "proxy"})
	cfg.Upstream.URL = g.up.URL
	cfg.Upstream.CAFile = g.file(t, "upstream.pem", g.up.serving.pem())
	cfg.Clients.CAFile = g.file(t, "users.pem", g.users.pem())
	cfg.Clients.HeaderCAFile = g.file(t, "proxies.pem", g.proxies.pem())
	cfg.Forward.CertFile, cfg.Forward.KeyFile = g.write(t, g.up.front, "front", pkix.Name{CommonName: "front-proxy-client"})
	cfg.Record = record.Config{Backend: g.events, Policy: everything}
	registry := prometheus.NewRegistry()
	cfg.Registerer, cfg.Gatherer, cfg.UserAgent = registry, registry, "kubetrail-proxy/test"
	if change != nil {
		change(g, &cfg)
	}
	var err error
	if g.Proxy, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Proxy.Run(ctx) }()
	g.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(g.stop)
	return g
}

// everything is recorded in full.
func everything(*policy.Request) policy.Decision {
	return policy.Decision{Level: policy.LevelRequestResponse}
}

func (g *rig) file(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (g *rig) write(t testing.TB, a *authority, name string, subject pkix.Name) (cert, key string) {
	t.Helper()
	c, k := a.issue(t, subject)
	return g.file(t, name+".crt", c), g.file(t, name+".key", k)
}

// client returns a client of the proxy, by HTTP/2 or HTTP/1.1, with certificates.
func (g *rig) client(t testing.TB, http2 bool, pairs ...tls.Certificate) *http.Client {
	t.Helper()
	protocols := &http.Protocols{}
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	tr := &http.Transport{TLSClientConfig: g.tls(pairs...), Protocols: protocols, DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

func (g *rig) tls(pairs ...tls.Certificate) *tls.Config {
	c := &tls.Config{RootCAs: g.serving.pool()}
	if len(pairs) > 0 {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pairs[0], nil }
	}
	return c
}

// get sends a request with header lines like "Name: value" and returns the answer and its body.
func (g *rig) get(t testing.TB, c *http.Client, path string, header ...string) (*http.Response, string) {
	t.Helper()
	return g.send(t, c, http.MethodGet, path, nil, header...)
}

func (g *rig) send(t testing.TB, c *http.Client, method, path string, body io.Reader, header ...string) (*http.Response, string) {
	t.Helper()
	base := g.at
	if g.Proxy != nil {
		base = g.URL()
	}
	r, err := http.NewRequest(method, base+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}
