package oracle

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authentication/user"
)

// A scene is one request, the handler that answers it, and the policy that it meets. It
// is played twice, before upstream's filters and before ours.
type scene struct {
	name   string
	sent   sent
	policy string
	script script

	// early is what the authentication says before the request is audited: keys and
	// values of annotations.
	early []string

	// around is a filter that stands before the request is authenticated; nil for none.
	around func(http.Handler) http.Handler

	// naked leaves the recovery from panics to net/http.
	naked bool
}

// A script is what a handler does. It is told how to reach the filters it stands behind.
type script func(c *callbacks, w http.ResponseWriter, r *http.Request)

// callbacks are the functions by which a handler adds to the event of its request.
type callbacks struct {
	annotate       func(ctx context.Context, key, value string)
	impersonate    func(ctx context.Context, u user.Info, constraint string)
	requestObject  func(ctx context.Context, o runtime.Object, as schema.GroupVersion, gvr schema.GroupVersionResource, sub string)
	requestPatch   func(ctx context.Context, patch []byte, contentType string)
	responseObject func(ctx context.Context, o runtime.Object, as schema.GroupVersion)
}

// What is sent is a request, as it goes over the wire.
type sent struct {
	method, uri string
	headers     []string // "Name: value"
	body        string
	user        *user.DefaultInfo // nil for somebody whose authentication fails
	h2          bool              // HTTP/2 over TLS instead of HTTP/1.1
	certificate bool              // with a client certificate, over TLS
	leave       leaving

	raw string // all bytes of the request, instead of method, uri, headers and body
}

// leaving is when a client goes away.
type leaving int

const (
	stays       leaving = iota
	afterFirst          // once it has a byte of the answer
	beforeFirst         // once the handler runs
)

// codecs knows core/v1 and what every group has.
var codecs = func() serializer.CodecFactory {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, metav1.AddMetaToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return serializer.NewCodecFactory(s)
}()

// encoderFor is what upstream encodes the objects of an event with.
func encoderFor(as schema.GroupVersion) runtime.Encoder {
	info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	return codecs.EncoderForVersion(info.Serializer, as)
}

// An outcome is what became of a scene, without what differs at every run.
type outcome struct {
	answer string
	events []string
}

// play serves one request by the filters that chain puts before the script, and waits
// until everything has ended. The filters append lines to the slice that they are given.
func play(t *testing.T, s *scene, chain func(t *testing.T, s *scene, lines *lines) http.Handler) outcome {
	t.Helper()
	var got lines
	var running sync.WaitGroup
	entered := make(chan struct{}, 1)
	inner := s.script
	staged := *s
	staged.script = func(c *callbacks, w http.ResponseWriter, r *http.Request) {
		select {
		case entered <- struct{}{}:
		default:
		}
		inner(c, w, r)
	}
	filters := chain(t, &staged, &got)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Done()
		filters.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if s.sent.h2 || s.sent.certificate {
		server.EnableHTTP2 = s.sent.h2
		server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
		server.StartTLS()
	} else {
		server.Start()
	}
	var answer string
	if s.sent.h2 {
		answer = s.sent.overHTTP2(t, server, entered)
	} else {
		answer = s.sent.overHTTP1(t, server, entered)
	}
	server.Close()
	running.Wait()
	return outcome{answer: answer, events: got.all()}.normal(t)
}

// lines collects what a backend is given. It is safe for concurrent use.
type lines struct {
	mu   sync.Mutex
	list []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, string(p))
	return len(p), nil
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.list)
}

var (
	dates    = regexp.MustCompile(`(?mi)^Date: .*\r?\n`)
	received = regexp.MustCompile(`,"requestReceivedTimestamp":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)","stageTimestamp":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)"`)
	legacy   = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d) AUDIT:`)
	totals   = regexp.MustCompile(`"apiserver.latency.k8s.io/total":"[0-9hms.µ]+"`)
	uuids    = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)
)

// normal takes away times and random ids, after it has looked at what must hold of them.
func (o outcome) normal(t *testing.T) outcome {
	t.Helper()
	out := outcome{answer: dates.ReplaceAllString(o.answer, "")}
	ids, number := map[string]string{}, 0
	id := func(text string) string {
		return uuids.ReplaceAllStringFunc(text, func(u string) string {
			if ids[u] == "" {
				number++
				ids[u] = fmt.Sprintf("<id %d>", number)
			}
			return ids[u]
		})
	}
	last, first := "", ""
	for _, line := range o.events {
		line = totals.ReplaceAllString(line, `"total":""`)
		if legacy.MatchString(line) {
			out.events = append(out.events, id(legacy.ReplaceAllString(line, "<time> AUDIT:")))
			continue
		}
		times := received.FindStringSubmatch(line)
		if times == nil {
			t.Errorf("no times in %s", line)
			continue
		}
		if first == "" {
			first = times[1]
		}
		if times[1] != first {
			t.Errorf("requestReceivedTimestamp changes from %s to %s", first, times[1])
		}
		if times[2] < last || times[2] < times[1] {
			t.Errorf("stageTimestamp %s comes after %s", times[2], max(last, times[1]))
		}
		if last = times[2]; strings.Contains(line, `"stage":"RequestReceived"`) && times[1] != times[2] {
			t.Errorf("RequestReceived has two times: %s", line)
		}
		out.events = append(out.events, id(received.ReplaceAllString(line, `,<times>`)))
	}
	out.answer = id(out.answer)
	return out
}

// patience is how long anything is waited for. It is never reached.
const patience = time.Minute

// overHTTP1 sends the request and returns every byte that comes back.
func (a *sent) overHTTP1(t *testing.T, server *httptest.Server, entered <-chan struct{}) string {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if a.certificate {
		conn = tls.Client(conn, a.tls())
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: kubernetes\r\n", a.method, a.uri)
	for _, h := range a.headers {
		b.WriteString(h + "\r\n")
	}
	if a.body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(a.body))
	}
	b.WriteString("Connection: close\r\n\r\n" + a.body)
	if a.raw != "" {
		b.Reset()
		b.WriteString(a.raw)
	}
	if _, err := io.WriteString(conn, b.String()); err != nil {
		t.Fatal(err)
	}
	switch a.leave {
	case beforeFirst:
		<-entered
		return "left before the first byte"
	case afterFirst:
		if _, err := bufio.NewReader(conn).ReadByte(); err != nil {
			t.Fatal(err)
		}
		return "left after the first byte"
	}
	answer, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s %s: no answer", a.method, a.uri)
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return string(answer) + "\n" + endOf(err)
	}
	return string(answer)
}

// overHTTP2 sends the request and returns what came back, in words.
func (a *sent) overHTTP2(t *testing.T, server *httptest.Server, entered <-chan struct{}) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: a.tls(), ForceAttemptHTTP2: true, DisableCompression: true}
	defer transport.CloseIdleConnections()
	var body io.Reader
	if a.body != "" {
		body = strings.NewReader(a.body)
	}
	r, err := http.NewRequestWithContext(ctx, a.method, server.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	r.URL = &url.URL{Scheme: "https", Host: server.Listener.Addr().String(), Opaque: a.uri}
	for _, h := range a.headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	if a.leave == beforeFirst {
		go func() { <-entered; cancel() }()
	}
	resp, err := transport.RoundTrip(r)
	if a.leave == beforeFirst {
		return "left before the first byte"
	}
	if err != nil {
		return endOf(err)
	}
	defer resp.Body.Close()
	if a.leave == afterFirst {
		if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		return "left after the first byte"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\r\n", resp.Proto, resp.Status)
	resp.Header.Write(&b)
	read, err := io.ReadAll(resp.Body)
	fmt.Fprintf(&b, "\r\n%s", read)
	resp.Trailer.Write(&b)
	if err != nil {
		b.WriteString("\n" + endOf(err))
	}
	return b.String()
}

// endOf is an error without the addresses and numbers in it.
func endOf(err error) string {
	for _, known := range []string{"INTERNAL_ERROR", "connection reset", "EOF", "CANCEL", "PROTOCOL_ERROR", "malformed"} {
		if strings.Contains(err.Error(), known) {
			return "error: " + known
		}
	}
	return "error: " + err.Error()
}

// tls is how the client speaks TLS.
func (a *sent) tls() *tls.Config {
	c := &tls.Config{InsecureSkipVerify: true}
	if a.certificate {
		c.Certificates = []tls.Certificate{somebody()}
	}
	return c
}

// somebody is a client certificate that nobody has signed.
var somebody = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mallory"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(crand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})
