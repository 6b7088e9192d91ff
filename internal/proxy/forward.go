package proxy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubetrail/policy"
	"kubetrail/record"
)

// UserUnknownAnnotation says why an event does not tell who sent the request, though the
// upstream may have known.
const UserUnknownAnnotation = "kubetrail.io/user-unknown"

// A forwarder brings requests to the upstream and answers back, as they come.
type forwarder struct {
	p     *Proxy
	short httputil.ReverseProxy
	long  httputil.ReverseProxy // for streams, of which there may be many
	bad   string                // a token that is no good
}

func newForwarder(p *Proxy) *forwarder {
	f := &forwarder{p: p, bad: "refused-" + rand.Text()}
	f.short = httputil.ReverseProxy{Rewrite: f.rewrite, Transport: f, ModifyResponse: f.answered, ErrorHandler: f.failed,
		BufferPool: newBuffers(32 << 10), ErrorLog: p.quiet}
	f.long = f.short
	f.long.BufferPool = newBuffers(2 << 10)
	f.long.FlushInterval = -1
	return f
}

// A passage is one request on its way.
type passage struct {
	in     *http.Request
	id     identity
	failed bool // recorded by record.Failed
	long   bool
	behind bool        // what stands behind the upstream may answer in its place
	broken error       // what ended the answer before its time
	sent   atomic.Bool // the upstream has answered, or will not
}

type passageKey struct{}

// serve brings one request to the upstream. It stands inside of record.Handler.
func (f *forwarder) serve(w http.ResponseWriter, r *http.Request, failed bool) {
	s := passageOf(r.Context())
	s.in, s.failed = r, failed
	id := &s.id
	if id.unknown != "" {
		record.Annotate(r.Context(), UserUnknownAnnotation, id.unknown)
	}
	if e, reason := f.refusal(id, r); reason != "" {
		f.p.metrics.refused.WithLabelValues(reason).Inc()
		writeStatus(w, e)
		return
	}
	if made := w.Header()["Audit-Id"]; made != nil { // by record.Handler: the upstream gets it, and answers with it
		r.Header["Audit-Id"] = made
		delete(w.Header(), "Audit-Id")
	}
	if p, ok := r.Context().Value(peerKey{}).(*peer); ok && r.Header.Get("Upgrade") != "" {
		// At the end of the proxy nobody else does: net/http forgets what was hijacked.
		defer context.AfterFunc(r.Context(), func() { p.conn.Close() })()
	}
	info, err := policy.ParseRequest(r.Method, r.URL.RequestURI())
	s.long = err == nil && info.LongRunning()
	s.behind = info.Subresource == "proxy"
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &clientBody{ReadCloser: r.Body}
	}
	switch {
	case info.Verb == "watch" && r.Method == http.MethodGet && r.ContentLength == 0 && r.Header.Get("Upgrade") == "":
		f.watch(w, r, s)
	case s.long:
		f.reverse(&f.long, w, r, s)
	default:
		f.reverse(&f.short, w, r, s)
	}
}

// refusal is the answer of the proxy itself to a request that it does not pass on, and the
// reason in one word, "" where it does.
func (f *forwarder) refusal(id *identity, r *http.Request) (e apiError, reason string) {
	switch {
	case id.way == nobody && id.refused:
		return unauthorized(), "credentials"
	case id.way == nobody:
		return unavailable(id.why), "user-not-confirmed"
	case id.user == nil && !id.refused && f.p.cfg.Reviews.Refuse:
		return unavailable("it is not known who sends this request: " + id.unknown), "user-unknown"
	case r.URL.Opaque != "": // as of GET x:https://host/path, where nobody knows what the path is
		return apiError{http.StatusBadRequest, metav1.StatusReasonBadRequest, "the URL of this request has no path"}, "url"
	case r.Method == http.MethodConnect:
		return methodNotAllowed(r.Method), "method"
	case id.way == forUser && f.p.cfg.Forward.By == ByImpersonate && impersonates(r.Header):
		return cannotImpersonate(), "impersonation"
	}
	return apiError{}, ""
}

// reverse has one of the proxies of net/http do the work.
func (f *forwarder) reverse(proxy *httputil.ReverseProxy, w http.ResponseWriter, r *http.Request, s *passage) {
	defer func() {
		if v := recover(); v != nil && (v != http.ErrAbortHandler || !s.harmless(r.Context())) {
			panic(v)
		}
	}()
	proxy.ServeHTTP(w, r)
}

// harmless tells whether an answer that was cut off shall be recorded as one that ended:
// its client has gone, as kube-apiserver records it. Otherwise the client must be told, by cutting it off as well.
func (s *passage) harmless(ctx context.Context) bool {
	if s.broken == nil {
		return true // writing failed, not reading
	}
	if b, ok := s.in.Body.(*clientBody); ok && b.caused(s.broken) {
		return true // and so is one that ends because of the body of its request
	}
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), errEnding)
}

func passageOf(ctx context.Context) *passage {
	s, _ := ctx.Value(passageKey{}).(*passage)
	return s
}

// rewrite makes of a client's request the one to the upstream.
func (f *forwarder) rewrite(pr *httputil.ProxyRequest) {
	s := passageOf(pr.In.Context())
	f.address(s, pr.Out, pr.Out.Header)
}

// address makes out, which is s.in or a copy of it, a request to the upstream; h are its
// headers.
func (f *forwarder) address(s *passage, out *http.Request, h http.Header) {
	in := s.in
	u := *in.URL
	u.Scheme, u.Host, u.User = f.p.url.Scheme, f.p.url.Host, nil
	if base := f.p.url.Path; base != "" {
		u.Path = base + in.URL.Path
		if in.URL.RawPath != "" {
			u.RawPath = f.p.url.EscapedPath() + in.URL.RawPath
		}
	}
	out.URL, out.Host = &u, ""
	for name, values := range in.Header { // of trusted proxies: it is taken away from others
		if strings.HasPrefix(name, "X-Forwarded-") || name == "Forwarded" {
			h[name] = values
		}
	}
	if host, _, err := net.SplitHostPort(in.RemoteAddr); err == nil {
		// In one line, as kube-apiserver looks at the first one only.
		h["X-Forwarded-For"] = []string{strings.Join(append(slices.Clip(h["X-Forwarded-For"]), host), ", ")}
	}
	if s.id.refused {
		// The token may be good by now, but its event will say that nobody was known: so
		// that the upstream refuses it too, and records that, it gets one that never is.
		h["Authorization"] = []string{"Bearer " + f.bad}
		delete(h, "Sec-Websocket-Protocol")
	}
	if s.id.way != forUser {
		return
	}
	for name, values := range f.p.roads.headers(s.id.user) {
		h[name] = values
	}
	if err := f.p.roads.credentials(h); err != nil {
		s.broken = err // RoundTrip tells
	}
}

// RoundTrip chooses the road.
func (f *forwarder) RoundTrip(r *http.Request) (*http.Response, error) {
	s := passageOf(r.Context())
	if s.broken != nil {
		return nil, s.broken
	}
	if headerSize(r) > maxHeaders {
		return nil, errHeaders
	}
	defer s.sent.Store(true)
	return f.p.roads.take(s.id.way, r.Header.Get("Upgrade") != "").RoundTrip(r)
}

// errHeaders is what becomes of a request that HTTP/1.1 brought, and that is too large as
// HTTP/2 counts: kube-apiserver might end the connection for it, with the watches of others.
var errHeaders = errors.New("the URL and the headers of this request are too large for the API server")

// headerSize is the size of the headers of r as HTTP/2 counts.
func headerSize(r *http.Request) int {
	n := len(r.URL.EscapedPath()) + len(r.URL.RawQuery)
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v) + 32
		}
	}
	return n
}

// maxError is how much of an error is looked at before it passes.
const maxError = 64 << 10

// answered looks at the head of an answer.
func (f *forwarder) answered(resp *http.Response) error {
	s := passageOf(resp.Request.Context())
	ctx := s.in.Context()
	code := resp.StatusCode
	if code < 100 {
		return fmt.Errorf("the API server answered with the code %d", code) // which net/http panics on
	}
	if u := s.id.user; code != http.StatusBadRequest && u != nil && badTimeout(s.in) != "" {
		// An event of a bad timeout names nobody, as the API server should not have served it.
		record.Annotate(ctx, UserUnknownAnnotation, fmt.Sprintf("the API server has answered a request with a bad timeout, of user %q", u.Username))
	}
	if code == http.StatusUnauthorized && !s.behind && s.id.user != nil && s.id.user.Username != anonymous {
		f.p.reviewer.forget(s.id.key)
	}
	if code == http.StatusSwitchingProtocols {
		if conn, ok := resp.Body.(io.ReadWriteCloser); ok {
			resp.Body = upgraded{conn}
		}
		if s.id.wanted != nil {
			record.LogImpersonatedUser(ctx, s.id.wanted, "")
		}
		return nil
	}
	refused := code == http.StatusUnauthorized
	if code >= 400 && (s.failed || s.long || code == http.StatusForbidden && s.id.wanted != nil) {
		head, err := peek(resp)
		if err != nil {
			return err
		}
		if status, err := f.p.cfg.statusOf(resp, head); err == nil {
			refused = refused || code == http.StatusForbidden && refusesToImpersonate(status)
			if s.failed || s.long {
				record.LogResponseJSON(ctx, status)
			}
		}
	}
	switch {
	case s.id.wanted == nil:
	case !refused:
		record.LogImpersonatedUser(ctx, s.id.wanted, "")
	case s.behind:
		record.Annotate(ctx, UserUnknownAnnotation, fmt.Sprintf("the answer may come from behind the API server, which then has asked as user %q", s.id.wanted.Username))
	}
	resp.Body = &watchedBody{ReadCloser: resp.Body, s: s}
	return nil
}

// An upgraded is a connection to the upstream that ends as a whole when the upstream ends it,
// as it does in kube-apiserver: the client may never end its half.
type upgraded struct{ io.ReadWriteCloser }

var errUpgradeOver = errors.New("the upstream has ended the connection")

func (u upgraded) Read(p []byte) (int, error) {
	n, err := u.ReadWriteCloser.Read(p)
	if err == io.EOF {
		err = errUpgradeOver
	}
	return n, err
}

// CloseWrite tells the upstream that the client has said everything.
func (u upgraded) CloseWrite() error {
	if c, ok := u.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return http.ErrNotSupported
}

// peek reads the beginning of a body, which can be read again after.
func peek(resp *http.Response) ([]byte, error) {
	head, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(strings.NewReader(string(head)), resp.Body), resp.Body}
	return head, nil
}

// clientBody remembers what was wrong with the body of a request, so that nobody can send
// what looks like an API server that is down.
type clientBody struct {
	io.ReadCloser
	broken atomic.Pointer[error]
}

func (b *clientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.broken.Store(&err)
	}
	return n, err
}

// caused tells whether a request failed with err because of its body.
func (b *clientBody) caused(err error) bool {
	broken := b.broken.Load()
	return broken != nil && errors.Is(err, *broken)
}

// watchedBody remembers how the upstream's answer ended.
type watchedBody struct {
	io.ReadCloser
	s *passage
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.s.broken = err
	}
	return n, err
}

// failed answers where the upstream does not.
func (f *forwarder) failed(w http.ResponseWriter, r *http.Request, err error) {
	s := passageOf(r.Context())
	if id := s.in.Header["Audit-Id"]; len(id) > 0 {
		w.Header()["Audit-Id"] = id
	}
	switch {
	case r.Context().Err() == nil:
	case errors.Is(context.Cause(r.Context()), errEnding):
		writeStatus(w, unavailable(errEnding.Error()))
		return
	default:
		writeStatus(w, timeout("the client did not wait for the answer of the API server"))
		return
	}
	if b, ok := s.in.Body.(*clientBody); ok && b.caused(err) {
		f.p.metrics.refused.WithLabelValues("body").Inc()
		writeStatus(w, apiError{http.StatusBadRequest, metav1.StatusReasonBadRequest, "the body of this request cannot be read"})
		return
	}
	if errors.Is(err, errHeaders) {
		f.p.metrics.refused.WithLabelValues("headers").Inc()
		writeStatus(w, apiError{http.StatusRequestHeaderFieldsTooLarge, metav1.StatusReasonRequestEntityTooLarge, errHeaders.Error()})
		return
	}
	f.p.metrics.failed(err)
	f.p.log.Warn("the API server did not answer", "method", r.Method, "err", withoutURL(err))
	writeStatus(w, unavailable("the API server behind this proxy does not answer"))
}

// withoutURL is err without the URL of the request, which may hold tokens.
func withoutURL(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// buffers are those that bodies are copied through.
type buffers struct {
	size int
	pool sync.Pool
}

func newBuffers(size int) *buffers { return &buffers{size: size} }

// Get returns a buffer.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, b.size)
}

// Put takes it back.
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
