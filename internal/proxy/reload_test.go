package proxy

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// mount puts files into a directory as the kubelet mounts a Secret: all of them are links
// to links, of which one is exchanged.
func mount(t testing.TB, dir, version string, files map[string][]byte) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, version), 0o700))
	for name, content := range files {
		must(os.WriteFile(filepath.Join(dir, version, name), content, 0o600))
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			must(os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
		}
	}
	must(os.Symlink(version, filepath.Join(dir, "..data_tmp")))
	must(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
}

// TestServingCertificateChanges exchanges the certificate while clients connect.
func TestServingCertificateChanges(t *testing.T) {
	var dir string
	g := newRig(t, nil, func(g *rig, c *Config) {
		dir = filepath.Join(g.dir, "mounted")
		cert, key := g.serving.issue(t, pkix.Name{CommonName: "v1"})
		mount(t, dir, "v1", map[string][]byte{"tls.crt": cert, "tls.key": key})
		c.Serving.CertFile, c.Serving.KeyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	})
	var stop atomic.Bool
	var load sync.WaitGroup
	names := make(chan string, 1000)
	for range 4 {
		load.Go(func() {
			for !stop.Load() {
				conn, err := tls.Dial("tcp", strings.TrimPrefix(g.URL(), "https://"), g.tls())
				if err != nil {
					t.Error(err)
					return
				}
				select {
				case names <- conn.ConnectionState().PeerCertificates[0].Subject.CommonName:
				default:
				}
				conn.Close()
			}
		})
	}
	if name := <-names; name != "v1" {
		t.Errorf("served %q", name)
	}
	// A key that does not fit changes nothing.
	_, key := g.serving.issue(t, pkix.Name{CommonName: "bad"})
	cert, _ := g.serving.issue(t, pkix.Name{CommonName: "bad"})
	mount(t, dir, "bad", map[string][]byte{"tls.crt": cert, "tls.key": key})
	for range 100 {
		if name := <-names; name != "v1" {
			t.Fatalf("served %q", name)
		}
	}
	cert, key = g.serving.issue(t, pkix.Name{CommonName: "v2"})
	mount(t, dir, "v2", map[string][]byte{"tls.crt": cert, "tls.key": key})
	late := time.After(20 * time.Second)
	for name := ""; name != "v2"; {
		select {
		case name = <-names:
		case <-late:
			t.Fatal("the new certificate is not served")
		}
	}
	stop.Store(true)
	load.Wait()
}

// eventually asks until the answer is as wanted: files are looked at once a second.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("it does not happen")
		}
	}
}

// TestOwnCertificateChanges checks that the upstream sees the proxy's new certificate,
// also from those whose connections are open.
func TestOwnCertificateChanges(t *testing.T) {
	g := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	}, nil)
	c := g.client(t, true, g.users.pair(t, pkix.Name{CommonName: "bob"}))
	if _, body := g.get(t, c, podPath); body != "front-proxy-client" {
		t.Fatal(body)
	}
	g.write(t, g.up.front, "front", pkix.Name{CommonName: "second"})
	eventually(t, func() bool { _, body := g.get(t, c, podPath); return body == "second" })
}

// TestClientCAChanges checks that a CA that is taken away is good for nothing any more,
// also on connections that are open.
func TestClientCAChanges(t *testing.T) {
	g := newRig(t, nil, nil)
	c := g.client(t, true, g.users.pair(t, pkix.Name{CommonName: "bob"}))
	if resp, _ := g.get(t, c, podPath); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	g.file(t, "users.pem", newAuthority(t, "others").pem())
	eventually(t, func() bool { resp, _ := g.get(t, c, podPath); return resp.StatusCode == 401 })
}

// TestUpstreamCAChanges checks that the upstream is verified by the CA of now.
func TestUpstreamCAChanges(t *testing.T) {
	g := newRig(t, nil, func(g *rig, c *Config) { g.file(t, "upstream.pem", newAuthority(t, "others").pem()) })
	c := g.client(t, true)
	if resp, _ := g.get(t, c, podPath); resp.StatusCode != 503 || len(g.up.requests()) != 0 {
		t.Fatalf("an upstream of another CA: %s", resp.Status)
	}
	g.file(t, "upstream.pem", g.up.serving.pem())
	eventually(t, func() bool { resp, _ := g.get(t, c, podPath); return resp.StatusCode == 200 })
}
