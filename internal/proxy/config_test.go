package proxy

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestConfig checks what is refused, and that something is said that helps.
func TestConfig(t *testing.T) {
	g := &rig{serving: newAuthority(t, "serving"), dir: t.TempDir()}
	cert, key := g.write(t, g.serving, "serving", pkix.Name{CommonName: "proxy"})
	ca := g.file(t, "ca.pem", g.serving.pem())
	junk := g.file(t, "junk", []byte("junk junk"))
	kubeconfig := func(cluster string) string {
		return g.file(t, "kubeconfig", []byte("apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {"+cluster+"}}]\n"))
	}
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Upstream.URL = "" }, "--upstream is missing"},
		{func(c *Config) { c.Upstream.URL = "10.0.0.1:6443" }, "--upstream 10.0.0.1:6443"},
		{func(c *Config) { c.Upstream.URL = "http://10.0.0.1" }, "clear text"},
		{func(c *Config) { c.Upstream.URL = "https://user:pass@10.0.0.1" }, "more than a host"},
		{func(c *Config) { c.Upstream.CAFile = junk }, "no PEM certificate"},
		{func(c *Config) { c.Upstream.Kubeconfig = g.dir + "/none" }, "no such file"},
		{func(c *Config) { c.Upstream.Kubeconfig = junk }, "--kubeconfig"},
		{func(c *Config) { c.Upstream.Kubeconfig, c.Upstream.Context = kubeconfig("server: https://x"), "y" }, `no context "y"`},
		{func(c *Config) {
			c.Upstream.Kubeconfig = kubeconfig("server: https://x, insecure-skip-tls-verify: true")
		}, "does not verify"},
		{func(c *Config) { c.Upstream.Kubeconfig = kubeconfig("server: https://x, proxy-url: http://y") }, "proxy-url"},
		{func(c *Config) { c.Serving.Listen = "8443" }, "missing port"},
		{func(c *Config) { c.Serving.CertFile = "" }, "belong together"},
		{func(c *Config) { c.Serving.CertFile, c.Serving.KeyFile = "", "" }, "are missing"},
		{func(c *Config) { c.Serving.KeyFile = cert }, "--tls-private-key-file"},
		{func(c *Config) { c.Serving.InsecureHTTP = true }, "exclude each other"},
		{func(c *Config) { c.Serving = Serving{Listen: "0.0.0.0:0", InsecureHTTP: true} }, "other machines"},
		{func(c *Config) {
			c.Serving = Serving{Listen: "127.0.0.1:0", InsecureHTTP: true}
			c.Clients.CAFile = ca
		}, "need TLS"},
		{func(c *Config) { c.Serving.MaxConnections = -1 }, "cannot be negative"},
		{func(c *Config) { c.Serving.MaxStreams = -1 }, "cannot be negative"},
		{func(c *Config) { c.Serving.DrainTimeout = -1 }, "cannot be negative"},
		{func(c *Config) { c.Serving.MetricsListen = "x" }, "--metrics-listen"},
		{func(c *Config) { c.Clients.CAFile = ca }, "need a way"},
		{func(c *Config) { c.Clients.CAFile, c.Forward.CertFile, c.Forward.KeyFile = junk, cert, key }, "--client-ca-file"},
		{func(c *Config) { c.Clients.HeaderNames = []string{"x"} }, "--requestheader-allowed-names"},
		{func(c *Config) { c.Clients.UserHeaders = nil }, "--requestheader-username-headers is empty"},
		{func(c *Config) { c.Clients.UserHeaders = []string{"X User"} }, "no name of a header"},
		{func(c *Config) { c.Clients.TrustedProxies = []string{"10.0.0.0/40"} }, "no range"},
		{func(c *Config) { c.Forward.By = "magic" }, "neither"},
		{func(c *Config) { c.Forward.CertFile = cert }, "belong together"},
		{func(c *Config) { c.Forward.TokenFile = junk }, "needs --forward-by"},
		{func(c *Config) { c.Forward = Forward{By: ByImpersonate, TokenFile: junk} }, "more than one word"},
		{func(c *Config) { c.Forward = Forward{By: ByImpersonate, TokenFile: junk, CertFile: cert, KeyFile: key} }, "exclude each other"},
		{func(c *Config) { c.Reviews.TTL = 0 }, "must be positive"},
	} {
		cfg := Defaults()
		cfg.Serving.Listen, cfg.Serving.CertFile, cfg.Serving.KeyFile = "127.0.0.1:0", cert, key
		cfg.Upstream.URL = "https://127.0.0.1:1"
		c.change(&cfg)
		p, err := New(cfg)
		if err == nil {
			p.Close()
			t.Errorf("taken, though %q", c.want)
			continue
		}
		var hinted interface{ Hint() string }
		if !strings.Contains(err.Error(), c.want) || !errors.As(err, &hinted) || hinted.Hint() == "" {
			t.Errorf("%v, want %q and a hint", err, c.want)
		}
	}
}

func TestKubeconfig(t *testing.T) {
	up := newUpstream(t, nil)
	dir := t.TempDir()
	g := &rig{dir: dir}
	ca := g.file(t, "ca.pem", up.serving.pem())
	for _, cluster := range []string{
		"certificate-authority: " + ca,
		"certificate-authority: ca.pem",
		"tls-server-name: 127.0.0.1, certificate-authority: " + ca,
	} {
		cfg := Defaults()
		cfg.Serving = Serving{Listen: "127.0.0.1:0", InsecureHTTP: true}
		cfg.Upstream.Kubeconfig = g.file(t, "config", []byte("apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: '"+up.URL+"', "+cluster+"}}]\n"))
		p, err := New(cfg)
		if err != nil {
			t.Errorf("%s: %v", cluster, err)
			continue
		}
		if err := p.Check(t.Context()); err != nil {
			t.Errorf("%s: %v", cluster, err)
		}
		p.Close()
	}
}

// TestCheck checks what can be asked of the upstream before clients come.
func TestCheck(t *testing.T) {
	g := newRig(t, nil, nil)
	if err := g.Check(t.Context()); err != nil {
		t.Error(err)
	}
	g = newRig(t, nil, func(g *rig, c *Config) {
		c.Forward.CertFile, c.Forward.KeyFile = g.write(t, g.up.clients, "own", pkix.Name{CommonName: "cluster-admin"})
	})
	if err := g.Check(t.Context()); err == nil || !strings.Contains(err.Error(), `for "cluster-admin"`) {
		t.Error(err)
	}
	g.up.CloseClientConnections()
	g.up.Listener.Close()
	if err := g.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Error(err)
	}
}

// TestOperators checks what those see who watch the proxy, and that clients see nothing
// of it.
func TestOperators(t *testing.T) {
	g := newRig(t, nil, func(_ *rig, c *Config) { c.Serving.MetricsListen = "127.0.0.1:0" })
	ask := func(path string) (int, string) {
		t.Helper()
		resp, err := http.Get(g.Operators() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	g.get(t, g.client(t, true), podPath, "Authorization: Bearer alice-token")
	for path, want := range map[string]string{"/livez": "ok", "/readyz": "ok", "/metrics": `kubetrail_proxy_identity_reviews_total{result="miss"} 1`} {
		if code, text := ask(path); code != 200 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		g.get(t, g.client(t, true), path)
		if got := g.up.last(t).URL.Path; got != path {
			t.Errorf("%s does not go to the upstream, but %s", path, got)
		}
	}
	g.up.CloseClientConnections()
	g.up.Listener.Close()
	eventually(t, func() bool {
		code, text := ask("/readyz")
		return code == 503 && strings.Contains(text, "does not answer")
	})
	if _, text := ask("/livez"); text != "ok\n" {
		t.Error(text)
	}
	g.get(t, g.client(t, true), podPath)
	if _, text := ask("/metrics"); !strings.Contains(text, `kubetrail_proxy_upstream_errors_total{cause="dial"} 1`) {
		t.Error(text)
	}
}

// TestReadyIsNotPoisoned checks that somebody who asks whether the proxy is ready, and does
// not wait for the answer, does not make it unready for others.
func TestReadyIsNotPoisoned(t *testing.T) {
	entered, release := make(chan bool, 2), make(chan bool)
	g := newRig(t, func(http.ResponseWriter, *http.Request) {
		entered <- true
		<-release
	}, func(_ *rig, c *Config) { c.Now = func() time.Time { return time.Unix(1_800_000_000, 0) } })
	impatient, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = g.server.ready(impatient) })
	<-entered
	leave()
	all.Go(func() {
		if err := g.server.ready(t.Context()); err != nil {
			t.Error(err)
		}
	})
	close(release)
	all.Wait()
	if n := len(g.up.requests()); n != 1 {
		t.Errorf("the upstream was asked %d times", n)
	}
}

// TestDialGivenUp checks that those who wait for their turn to connect do not fail because
// somebody else gave up.
func TestDialGivenUp(t *testing.T) {
	d := newDials(1)
	ctx, give := context.WithCancel(t.Context())
	dialling := make(chan bool)
	var all sync.WaitGroup
	all.Go(func() {
		_, _ = d.do(ctx, func() (net.Conn, error) { dialling <- true; <-ctx.Done(); return nil, ctx.Err() })
	})
	<-dialling
	waits := make(chan bool)
	all.Go(func() {
		close(waits)
		if _, err := d.do(t.Context(), func() (net.Conn, error) { return nil, nil }); err != nil {
			t.Error(err)
		}
	})
	<-waits
	give()
	all.Wait()
}

// TestMaxConnections checks that one client more than allowed waits for another to leave.
func TestMaxConnections(t *testing.T) {
	g := newRig(t, nil, func(_ *rig, c *Config) { c.Serving.MaxConnections = 2 })
	var clients []*http.Client
	for i := range 2 {
		clients = append(clients, g.client(t, true))
		g.get(t, clients[i], podPath)
	}
	done := make(chan string)
	go func() {
		_, body := g.get(t, g.client(t, true), podPath)
		done <- body
	}()
	// Accept waits for a slot before it takes the third connection.
	if l := g.server.listener.(*bounded); len(l.slots) != 2 || cap(l.slots) != 2 {
		t.Errorf("%d of %d slots are taken", len(l.slots), cap(l.slots))
	}
	clients[0].CloseIdleConnections()
	if body := <-done; !strings.Contains(body, "web") {
		t.Error(body)
	}
}

// TestPathOfUpstream checks that an API server below a path is found there.
func TestPathOfUpstream(t *testing.T) {
	g := newRig(t, nil, func(_ *rig, c *Config) { c.Upstream.URL += "/k8s/clusters/c-1/" })
	for _, uri := range []string{"/api/v1/pods?limit=5", "/api/v1/namespaces/a%2Fb"} {
		g.get(t, g.client(t, true), uri)
		if got := g.up.last(t).RequestURI; got != "/k8s/clusters/c-1"+uri {
			t.Errorf("%s arrives as %s", uri, got)
		}
	}
}
