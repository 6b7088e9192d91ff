package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
)

// wire is one request as it went over the wire, and what was recorded of it.
type wire struct {
	method, uri string
	header      http.Header
	body        []byte
	auditID     string
	answered    bool
	event       []byte // its last line in the audit log
}

// has reports whether the query names a parameter.
func (w *wire) has(name string) bool {
	u, err := url.Parse(w.uri)
	return err == nil && u.Query().Has(name)
}

func (w *wire) String() string { return w.method + " " + w.uri }

// tap is a server in place of kube-apiserver that passes everything on, in the name of
// an administrator, and keeps it.
type tap struct {
	*httptest.Server
	mu   sync.Mutex
	n    int // requests so far
	kept []*wire
	news chan struct{} // told of each answer, if somebody listens
}

func newTap(to string, config *tls.Config) (*tap, error) {
	target, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	t := &tap{news: make(chan struct{}, 1)}
	// The name of an administrator is the proxy's to give, and HTTP/1.1 can be upgraded.
	proxy := httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.URL.RawQuery = r.In.URL.RawQuery
		},
		Transport:     &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 16, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}},
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ModifyResponse: func(r *http.Response) error {
			w, _ := r.Request.Context().Value(wireKey{}).(*wire)
			t.mu.Lock()
			w.answered = true
			t.mu.Unlock()
			t.tell()
			return nil
		},
	}
	t.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kept := &wire{method: r.Method, uri: r.RequestURI, header: r.Header.Clone()}
		if r.Header.Get("Upgrade") == "" {
			kept.body, _ = io.ReadAll(r.Body) // what is missing is seen when it is compared
			r.Body = io.NopCloser(bytes.NewReader(kept.body))
		}
		t.mu.Lock()
		t.n++
		kept.auditID = fmt.Sprintf("tap-%d", t.n)
		t.kept = append(t.kept, kept)
		t.mu.Unlock()
		r.Header.Set("Audit-ID", kept.auditID) // an answer that upgrades the connection would not tell it
		proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), wireKey{}, kept)))
	}))
	return t, nil
}

// wireKey finds the wire of a request in its context.
type wireKey struct{}

func (t *tap) tell() {
	select {
	case t.news <- struct{}{}:
	default:
	}
}

// forget forgets what was kept.
func (t *tap) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = nil
}

// answered returns copies of the requests that were answered so far.
func (t *tap) answered() (all []*wire) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.kept {
		if w.answered {
			c := *w
			all = append(all, &c)
		}
	}
	return all
}

// mainOf are the requests of a command that are made again.
func mainOf(c typed, all []*wire) (main []*wire) {
	named := func(w *wire) bool {
		for _, m := range c.main {
			if strings.Contains(w.String(), m) {
				return true
			}
		}
		return false
	}
	discovery := func(w *wire) bool {
		path, _, _ := strings.Cut(w.uri, "?")
		return path == "/api" || path == "/apis" || strings.HasPrefix(path, "/openapi/")
	}
	var reads []*wire
	for _, w := range all {
		switch {
		case c.main != nil:
			if named(w) {
				main = append(main, w)
			}
		case w.method != http.MethodGet:
			main = append(main, w)
		case !discovery(w):
			reads = append(reads, w)
		}
	}
	if main == nil && len(reads) > 0 {
		main = reads[len(reads)-1:]
	}
	return main
}
