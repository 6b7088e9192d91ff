package record_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"kubetrail/test/e2e/plane"
)

// person is somebody who sends requests.
type person struct {
	certificate string // that shows who this is, or ""
	groups      []string
	header      string // Authorization
}

// people are all of them. {token} is one of a service account.
func people() map[string]person {
	return map[string]person{
		"admin":     {certificate: "admin"},
		"alice":     {certificate: "alice", groups: []string{"dev", "系统"}},
		"mallory":   {certificate: "mallory", groups: []string{"interns"}},
		"王芳":        {certificate: "王芳", groups: []string{"dev"}},
		"deployer":  {header: "Bearer {token}"},
		"robot":     {header: "Bearer " + robotToken},
		"anonymous": {},
		"nobody":    {header: "Bearer nonsense"},
		"empty":     {header: "Bearer  "},
		"basic":     {header: "Basic YTpi"},
		"stranger":  {certificate: "stranger"},
	}
}

const robotToken = "e2e-token-of-a-robot-that-guards-nothing"

// sender sends requests to one server.
type sender struct {
	url  *url.URL
	tls  map[string]*tls.Config
	one  map[string]*http.Client // HTTP/1.1, by person
	two  map[string]*http.Client // HTTP/2
	vars map[string]string
	sent int
	from net.IP // the address that it connects from
}

// answered is what became of a request.
type answered struct {
	*ask
	id     string // Audit-ID
	status int
	header http.Header
	body   []byte
}

// newSender makes clients of everybody for the server at that URL.
func newSender(pki, strangers *plane.PKI, to string, vars map[string]string) (*sender, error) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	// Proxies connect from 127.0.0.1, so that addresses tell who is who.
	s := &sender{url: u, tls: map[string]*tls.Config{}, one: map[string]*http.Client{}, two: map[string]*http.Client{}, vars: vars, from: net.IPv4(127, 0, 0, 2)}
	for name, p := range people() {
		config, err := pki.TLS("")
		if err == nil && p.certificate != "" {
			from := pki
			if name == "stranger" {
				from = strangers
			}
			var shown *tls.Config
			if shown, err = from.TLS(p.certificate); err == nil {
				config.Certificates = shown.Certificates
				// A server that names the authorities it knows is shown the certificate anyway.
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &config.Certificates[0], nil }
			}
		}
		if err != nil {
			return nil, err
		}
		s.tls[name] = config
		client := func(two bool) *http.Client {
			t := &http.Transport{TLSClientConfig: config.Clone(), DialContext: s.dial, DisableCompression: true, ForceAttemptHTTP2: two}
			if !two {
				t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
			}
			return &http.Client{Transport: t, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		}
		s.one[name], s.two[name] = client(false), client(true)
	}
	return s, nil
}

func (s *sender) close() {
	for name := range s.one {
		s.one[name].CloseIdleConnections()
		s.two[name].CloseIdleConnections()
	}
}

func (s *sender) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: s.from}}
	return d.DialContext(ctx, network, address)
}

// fill puts what earlier answers told into a text.
func (s *sender) fill(text string) string {
	for name, value := range s.vars {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}

// nested reports whether somebody with a certificate asks to be somebody else.
func (a *ask) nested() bool {
	return people()[a.who].certificate != "" && slices.ContainsFunc(a.headers, func(h string) bool { return strings.HasPrefix(h, "Impersonate-") })
}

// send sends a request, by HTTP/1.1 and HTTP/2 in turn.
func (s *sender) send(ctx context.Context, a *ask) (*answered, error) {
	s.sent++
	if a.raw || a.upgrade != "" {
		return s.sendRaw(a)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var body io.Reader
	if a.body != "" {
		body = strings.NewReader(s.fill(a.body))
	}
	r, err := http.NewRequestWithContext(ctx, a.method, s.url.String()+s.fill(a.uri), body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "e2e/1")
	s.headers(a, r.Header.Add)
	if a.who == "empty" {
		r.Header["Authorization"] = []string{"Bearer  "}
	}
	client := s.one[a.who]
	if s.sent%2 == 0 {
		client = s.two[a.who]
	}
	answer, err := client.Do(r)
	if err != nil {
		if a.want == 0 {
			return &answered{ask: a, id: r.Header.Get("Audit-ID")}, nil
		}
		return nil, err
	}
	defer answer.Body.Close()
	out := &answered{ask: a, id: answer.Header.Get("Audit-Id"), status: answer.StatusCode, header: answer.Header}
	if a.closes {
		// Something comes, and the rest is waited for in vain.
		time.AfterFunc(300*time.Millisecond, cancel)
		out.body, _ = io.ReadAll(answer.Body)
		return out, nil
	}
	if out.body, err = io.ReadAll(answer.Body); err != nil && a.want == 0 {
		out.status = 0
		return out, nil
	}
	if err == nil && a.save != "" && answer.StatusCode < 300 {
		name, path, _ := strings.Cut(a.save, "=")
		s.vars[name], err = member(out.body, path)
	}
	return out, err
}

// headers adds those of a request.
func (s *sender) headers(a *ask, add func(name, value string)) {
	if a.media != "" {
		add("Content-Type", a.media)
	}
	if h := people()[a.who].header; h != "" {
		add("Authorization", s.fill(h))
	}
	for i := 0; i+1 < len(a.headers); i += 2 {
		add(a.headers[i], s.fill(a.headers[i+1]))
	}
}

// sendRaw writes a request to a connection of its own, byte for byte.
func (s *sender) sendRaw(a *ask) (*answered, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	plain, err := s.dial(ctx, "tcp", s.url.Host)
	if err != nil {
		return nil, err
	}
	config := s.tls[a.who].Clone()
	config.ServerName = s.url.Hostname()
	conn := tls.Client(plain, config)
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	id := ""
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", a.method, s.fill(a.uri), s.url.Host)
	agent := false
	s.headers(a, func(name, value string) {
		agent = agent || name == "User-Agent"
		if name == "Audit-ID" {
			id = value
		}
		fmt.Fprintf(&b, "%s: %s\r\n", name, value)
	})
	if !agent {
		b.WriteString("User-Agent: e2e/1\r\n")
	}
	switch a.upgrade {
	case "websocket":
		b.WriteString("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " +
			base64.StdEncoding.EncodeToString([]byte("0123456789abcdef")) + "\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n")
	case "SPDY":
		b.WriteString("Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\nContent-Length: 0\r\n")
	}
	if a.upgrade != "" { // its answer does not tell the ID
		id = fmt.Sprintf("upgrade-%d-%s", s.sent, s.vars["RUN"])
		fmt.Fprintf(&b, "Audit-ID: %s\r\n", id)
	}
	b.WriteString("\r\n" + a.body)
	if _, err := conn.Write(b.Bytes()); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, &http.Request{Method: a.method})
	if err == nil && answer.StatusCode == http.StatusContinue {
		answer, err = http.ReadResponse(reader, &http.Request{Method: a.method})
	}
	if err != nil {
		return nil, err
	}
	out := &answered{ask: a, id: id, status: answer.StatusCode, header: answer.Header}
	if out.id == "" {
		out.id = answer.Header.Get("Audit-Id")
	}
	if answer.StatusCode == http.StatusSwitchingProtocols {
		// A moment of what it is for: commands print, and that is enough.
		_ = conn.SetDeadline(time.Now().Add(700 * time.Millisecond))
		out.body, _ = io.ReadAll(reader)
		return out, nil
	}
	out.body, err = io.ReadAll(answer.Body)
	return out, err
}

// member is the text that a JSON document has at a path.
func member(text []byte, path string) (string, error) {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return "", err
	}
	for name := range strings.SplitSeq(path, ".") {
		o, _ := v.(map[string]any)
		if v = o[name]; v == nil {
			return "", fmt.Errorf("no %s in %.300s", path, text)
		}
	}
	return fmt.Sprint(v), nil
}
