package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"kubetrail/test/e2e/plane"
)

// recorder stands between the webhook of one kube-apiserver and kubetrail and keeps
// every body, and how often it was answered 2xx. It changes nothing: where kubetrail
// does not answer, it does not answer either. But it may lose answers, as networks do.
type recorder struct {
	URL string

	dir    string
	server *http.Server
	link   *link // to kubetrail

	mu    sync.Mutex
	posts map[[32]byte]*post
	order []*post
	err   error
	deaf  bool // every other answer is lost

	answers, unheard int
}

// post is one body.
type post struct {
	file  string
	tried int // how often it was passed on
	acked int // how often it was answered 2xx
}

type body struct {
	io.Reader
	io.Closer
}

// newRecorder listens with the certificate of that name and passes on to the server
// that the link leads to.
func newRecorder(dir string, pki *plane.PKI, name string, to *link) (*recorder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	r := &recorder{dir: dir, posts: map[[32]byte]*post{}, link: to}
	trust, err := pki.TLS("")
	if err != nil {
		return nil, err
	}
	target := &url.URL{Scheme: "https", Host: to.Addr}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(x *httputil.ProxyRequest) {
			x.SetURL(target)
			x.Out.Host = x.In.Host
		},
		Transport:    &http.Transport{TLSClientConfig: trust, MaxIdleConnsPerHost: 16, IdleConnTimeout: 10 * time.Second},
		ErrorLog:     log.New(io.Discard, "", 0),
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.URL = "https://" + l.Addr().String()
	r.server = &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		text, err := io.ReadAll(q.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		p, err := r.note(text)
		if err != nil {
			r.fail(err)
			panic(http.ErrAbortHandler)
		}
		q.Body = body{bytes.NewReader(text), q.Body}
		// What kubetrail answered counts, whether or not that reaches kube-apiserver.
		answered := *proxy
		answered.ModifyResponse = func(a *http.Response) error {
			return r.answered(p, a.StatusCode)
		}
		answered.ServeHTTP(w, q)
	})}
	go func() { // ends with close
		if err := r.server.ServeTLS(l, pki.Path(name+".crt"), pki.Path(name+".key")); !errors.Is(err, http.ErrServerClosed) {
			r.fail(err)
		}
	}()
	return r, nil
}

// note keeps a body that is about to be passed on.
func (r *recorder) note(text []byte) (*post, error) {
	sum := sha256.Sum256(text)
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.posts[sum]
	if p == nil {
		p = &post{file: filepath.Join(r.dir, fmt.Sprintf("%06d.json", len(r.order)))}
		if err := os.WriteFile(p.file, text, 0o600); err != nil {
			return nil, err
		}
		r.posts[sum] = p
		r.order = append(r.order, p)
	}
	p.tried++
	return p, nil
}

// answered counts an answer. An error keeps it from kube-apiserver.
func (r *recorder) answered(p *post, status int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if status/100 == 2 {
		p.acked++
	}
	if r.answers++; r.deaf && r.answers%2 == 0 {
		r.unheard++
		return errors.New("lost on the way")
	}
	return nil
}

// lossy lets every other answer be lost on the way, or no longer.
func (r *recorder) lossy(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deaf = on
}

func (r *recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

func (r *recorder) close() error {
	err := r.server.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.err, err)
}

// link passes TCP connections on, as long as it is not cut. Cut, it is like a network
// that drops every packet: nothing moves, and nobody is told. Or it refuses, as a
// machine where nothing listens.
type link struct {
	Addr string

	l  net.Listener
	to string
	wg sync.WaitGroup

	mu     sync.Mutex
	healed chan struct{} // closed while it is whole
	conns  map[net.Conn]bool
	ended  bool
	closed bool // refuses
}

func newLink(to string) (*link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &link{Addr: l.Addr().String(), l: l, to: to, healed: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(k.healed)
	k.wg.Go(k.accept)
	return k, nil
}

func (k *link) accept() {
	for {
		in, err := k.l.Accept()
		if err != nil {
			return
		}
		k.wg.Go(func() { k.pass(in) })
	}
}

// whole waits until the link is not cut.
func (k *link) whole() {
	k.mu.Lock()
	healed := k.healed
	k.mu.Unlock()
	<-healed
}

func (k *link) add(c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended || k.closed {
		c.Close()
		return false
	}
	k.conns[c] = true
	return true
}

func (k *link) drop(c net.Conn) {
	c.Close()
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.conns, c)
}

func (k *link) pass(in net.Conn) {
	if !k.add(in) {
		return
	}
	defer k.drop(in)
	k.whole()
	out, err := net.Dial("tcp", k.to)
	if err != nil {
		return // as a closed port: the connection ends
	}
	if !k.add(out) {
		return
	}
	defer k.drop(out)
	var both sync.WaitGroup
	both.Go(func() { k.copy(out, in) })
	both.Go(func() { k.copy(in, out) })
	both.Wait()
}

// copy passes bytes on in one direction, and then ends both.
func (k *link) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		k.whole()
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut stops everything; heal lets it go on, on the connections that were not given up
// in the meantime.
func (k *link) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.healed = make(chan struct{})
}

func (k *link) heal() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = false
	select {
	case <-k.healed:
	default:
		close(k.healed)
	}
}

// refuse ends all connections and takes no other until it is healed.
func (k *link) refuse() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	for c := range k.conns {
		c.Close()
	}
}

func (k *link) close() {
	k.heal()
	k.l.Close()
	k.mu.Lock()
	k.ended = true
	for c := range k.conns {
		c.Close()
	}
	k.mu.Unlock()
	k.wg.Wait()
}
