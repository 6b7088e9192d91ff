package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"kubetrail/internal/trail"
)

const (
	requestTimeout = time.Minute
	maxAnswer      = 4 << 20 // positions of all sources
	maxRetryAfter  = 5 * time.Minute

	// MediaType is that of what an agent posts: records, see spool.Record.
	MediaType = "application/vnd.kubetrail.records"
)

// The headers that tell the server how the agent is.
const (
	HeaderWaiting = "Kubetrail-Waiting-Bytes"
	HeaderBehind  = "Kubetrail-Behind-Seconds"
	HeaderHolds   = "Kubetrail-Holds-Seconds"
)

// Positions is what the server answers: how far sources are durable.
type Positions struct {
	Sources []trail.Source `json:"sources"`
}

// refusal is an answer that is no 2xx.
type refusal struct {
	code    int
	after   time.Duration // that the server asks to wait; 0: it does not
	message string
	hint    string
}

func (r *refusal) Error() string { return "the server says: " + r.message }

// Hint returns the next step, one line.
func (r *refusal) Hint() string { return r.hint }

// client speaks to the server.
type client struct {
	at        string
	tokenFile string
	http      *http.Client
	zip       *zstd.Encoder
	packed    []byte
}

func newClient(cfg Config) (*client, error) {
	base, err := url.Parse(cfg.Server)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("%q is no address of a server: want https://HOST:PORT", cfg.Server)
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, err
		}
		if t.RootCAs = x509.NewCertPool(); !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", cfg.CAFile)
		}
	}
	if cfg.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile); err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		// Read for each handshake: certificates are renewed while the agent runs.
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
			return &pair, err
		}
	}
	c := &client{at: base.JoinPath("agent", cfg.Cluster, cfg.Name).String(), tokenFile: cfg.TokenFile}
	if _, err := c.token(); err != nil {
		return nil, err
	}
	c.http = &http.Client{Timeout: requestTimeout, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: t,
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		WriteBufferSize: 32 << 10, ReadBufferSize: 8 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	c.zip, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(512<<10), zstd.WithLowerEncoderMem(true))
	return c, err
}

// ClearText reports whether what is sent to a server can be read on the network.
func ClearText(server string) bool {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() != "localhost" && (err != nil || !ip.IsLoopback())
}

func (c *client) close() { c.http.CloseIdleConnections() }

// token reads the token anew for each request: it may be renewed while the agent runs.
func (c *client) token() (string, error) {
	if c.tokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(c.tokenFile)
	return strings.TrimSpace(string(text)), err
}

// positions asks how far the server has everything.
func (c *client) positions(ctx context.Context, s Status) ([]trail.Source, error) {
	return c.do(ctx, http.MethodGet, c.at+"/positions", nil, s)
}

// ship sends records; none only tells how the agent is.
func (c *client) ship(ctx context.Context, records []byte, s Status) ([]trail.Source, error) {
	c.packed = c.zip.EncodeAll(records, c.packed[:0])
	return c.do(ctx, http.MethodPost, c.at, c.packed, s)
}

func (c *client) do(ctx context.Context, method, at string, body []byte, s Status) ([]trail.Source, error) {
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", MediaType)
		req.Header.Set("Content-Encoding", "zstd")
	}
	req.Header.Set(HeaderWaiting, strconv.FormatInt(s.Waiting, 10))
	req.Header.Set(HeaderBehind, strconv.FormatInt(int64(s.Behind.Seconds()), 10))
	req.Header.Set(HeaderHolds, strconv.FormatInt(int64(s.Holds.Seconds()), 10))
	answer, err := c.http.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the address is known
		}
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, refused(answer, text)
	}
	var p Positions
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("the server's answer is not understood: %w", err)
	}
	return p.Sources, nil
}

// refused is the error of an answer.
func refused(answer *http.Response, text []byte) error {
	r := &refusal{code: answer.StatusCode}
	var said struct{ Message, Hint string }
	if json.Unmarshal(text, &said) == nil {
		r.message, r.hint = said.Message, said.Hint
	}
	if r.message == "" {
		r.message = answer.Status
	}
	switch {
	case r.code == http.StatusUnauthorized: // its own hint is for browsers and curl
		r.hint = "--token-file or --tls-cert tells the server who ships"
	case r.code == http.StatusBadRequest && r.hint == "" && answer.Request != nil && answer.Request.URL.Scheme == "http":
		r.hint = "the server may have a certificate: write https:// instead of http://"
	}
	if n, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && n > 0 {
		r.after = min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	return r
}
