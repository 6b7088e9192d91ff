// Package scrape asks API servers how many events they made and lost, and compares that
// with what arrived from them.
package scrape

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	timeout  = 10 * time.Second
	maxBody  = 64 << 20 // of an answer, unpacked
	maxLine  = 64 << 10
	maxNames = 16 // plugins that are told apart
)

// Target is the /metrics of one API server. What arrived from it is known by the names
// of its cluster and itself, which have to be those that its events have.
type Target struct {
	Cluster, Server string
	URL             string // https://HOST:6443/metrics
	TokenFile       string // whose only line is the bearer token; may be empty; read each time
	CAFile          string // PEM; empty: the system's; read each time
}

// fetcher asks one API server. It is used from one goroutine.
type fetcher struct {
	target Target
	client *http.Client
	ca     []byte // that client trusts
	begun  time.Time
}

// fetch asks once. The error does not hold the token.
func (f *fetcher) fetch(ctx context.Context) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := f.prepare(); err != nil {
		return sample{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.target.URL, nil)
	if err != nil {
		return sample{}, err
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4")
	if f.target.TokenFile != "" {
		token, err := readSmall(f.target.TokenFile)
		if err != nil {
			return sample{}, err
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	asked := time.Now()
	res, err := f.client.Do(req)
	if err != nil {
		return sample{}, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return sample{}, fmt.Errorf("GET %s: %s", f.target.URL, res.Status)
	}
	answered := time.Now()
	s := sample{here: answered.Sub(f.begun), errors: map[string]int64{}}
	if err := s.read(io.LimitReader(res.Body, maxBody+1), maxBody); err != nil {
		return sample{}, fmt.Errorf("GET %s: %w", f.target.URL, err)
	}
	at, err := http.ParseTime(res.Header.Get("Date"))
	if err == nil && answered.Sub(asked) <= maxTook {
		s.at = at.UnixMicro()
	}
	return s, nil
}

// prepare makes the client, anew when the CA has changed.
func (f *fetcher) prepare() error {
	var ca []byte
	if f.target.CAFile != "" {
		var err error
		if ca, err = readSmall(f.target.CAFile); err != nil {
			return err
		}
	}
	if f.client != nil && bytes.Equal(ca, f.ca) {
		return nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != nil {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(ca) {
			return fmt.Errorf("%s: no certificate in it", f.target.CAFile)
		}
	}
	f.close()
	f.ca = ca
	f.client = &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg, ForceAttemptHTTP2: true,
			MaxResponseHeaderBytes: 1 << 20, IdleConnTimeout: 2 * time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return nil
}

func (f *fetcher) close() {
	if f.client != nil {
		f.client.CloseIdleConnections()
	}
}

func readSmall(name string) ([]byte, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err == nil && len(data) == 1<<20 {
		err = fmt.Errorf("%s: too large", name)
	}
	return data, err
}

// The metrics that are looked at, of k8s.io/apiserver/pkg/audit and of every Go process.
const (
	nameEvents   = "apiserver_audit_event_total"
	nameErrors   = "apiserver_audit_error_total"
	nameRejected = "apiserver_audit_requests_rejected_total"
	nameStart    = "process_start_time_seconds"
)

// read takes from metrics in the text format of Prometheus what s is made of. It holds a
// line at a time.
func (s *sample) read(in io.Reader, most int) error {
	lines := bufio.NewReaderSize(in, maxLine)
	started := false
	var total int
	for {
		line, err := lines.ReadSlice('\n')
		total += len(line)
		for err == bufio.ErrBufferFull { // none of ours is that long
			line = nil
			var more []byte
			more, err = lines.ReadSlice('\n')
			total += len(more)
		}
		if total > most {
			return fmt.Errorf("more than %d bytes of metrics", most)
		}
		if name, labels, value, ok := cutMetric(line); ok {
			switch name {
			case nameEvents:
				s.events = value.int
			case nameErrors:
				s.count(labels, value.int)
			case nameRejected:
				s.rejected = value.int
			case nameStart:
				s.start, started = value.float, true
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if !started {
		return errors.New("these are not the metrics of an API server: " + nameStart + " is not there")
	}
	return nil
}

// count adds an error counter with those labels.
func (s *sample) count(labels string, n int64) {
	_, plugin, _ := strings.Cut(labels, `plugin="`)
	plugin, _, _ = strings.Cut(plugin, `"`)
	if _, known := s.errors[plugin]; plugin == "" || len(plugin) > 64 || !utf8.ValidString(plugin) || !known && len(s.errors) >= maxNames {
		plugin = "other"
	}
	s.errors[plugin] += n
}

type value struct {
	float float64
	int   int64
}

// cutMetric takes apart `name{labels} value`, where it is one of ours.
func cutMetric(line []byte) (name, labels string, v value, ok bool) {
	if !bytes.HasPrefix(line, []byte("apiserver_audit_")) && !bytes.HasPrefix(line, []byte("process_start_")) {
		return "", "", v, false
	}
	text := strings.TrimSpace(string(line))
	end := strings.IndexAny(text, "{ ")
	if end < 0 {
		return "", "", v, false
	}
	name = text[:end]
	rest := text[end:]
	if rest[0] == '{' {
		closing := strings.LastIndexByte(rest, '}')
		if closing < 0 {
			return "", "", v, false
		}
		labels, rest = rest[1:closing], rest[closing+1:]
	}
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ") // a time may follow
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > 1<<53 {
		return "", "", v, false
	}
	return name, labels, value{f, int64(f)}, true
}
