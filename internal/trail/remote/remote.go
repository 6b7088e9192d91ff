// Package remote is the trail of a running server (internal/server), asked over its
// HTTP API: the same questions and answers as with a trail on this machine.
package remote

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// Config says which server to ask.
type Config struct {
	URL       string // http://host:port or https://host:port
	TokenFile string // a file whose only line is the bearer token; empty: none
	CAFile    string // PEM; who the server's certificate must be signed by; empty: the system's
}

// The API's own limits, see openapi.yaml.
const (
	pageSize = 10_000 // events in one answer
	maxTop   = 10_000 // rows of an aggregate
	maxText  = 64 << 20
)

// Trail asks a server. It is safe for concurrent use.
type Trail struct {
	base   *url.URL
	token  string
	client *http.Client
}

var _ trail.Reader = (*Trail)(nil)

// Open reads the files of cfg. It does not connect.
func Open(cfg Config) (*Trail, error) {
	base, err := url.Parse(cfg.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("%q is no address of a server: want http://HOST:PORT or https://HOST:PORT", cfg.URL)
	}
	t := &Trail{base: base}
	if cfg.TokenFile != "" {
		token, err := os.ReadFile(cfg.TokenFile)
		if err != nil {
			return nil, err
		}
		t.token = strings.TrimSpace(string(token))
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", cfg.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	t.client = &http.Client{Transport: transport}
	return t, nil
}

// Close ends idle connections.
func (t *Trail) Close() error {
	t.client.CloseIdleConnections()
	return nil
}

// Error is what the server answered instead of what it was asked for.
type Error struct {
	Status  string `json:"-"` // of HTTP
	code    int    // the number of it
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Next    string `json:"hint"` // what to do next

	Parameter string `json:"parameter"` // that it is about
}

func (err *Error) Error() string {
	if err.Message == "" {
		return "the server answered " + err.Status
	}
	return "the server says: " + err.Message
}

// askError is an error of the way to the server.
type askError struct {
	host string
	err  error
}

func (err *askError) Error() string { return "ask " + err.host + ": " + err.err.Error() }
func (err *askError) Unwrap() error { return err.err }

// Hint is the next step where a server cannot be talked to, one line in words of the
// command line; empty where nothing helps.
func Hint(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "--ca-file FILE names the CA that signed the server's certificate"
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		names := slices.Clone(e.Certificate.DNSNames)
		for _, ip := range e.Certificate.IPAddresses {
			names = append(names, ip.String())
		}
		return "ask it by a name that its certificate holds: " + strings.Join(names, ", ")
	}
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return "the server has no certificate: write http:// instead of https://"
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EHOSTUNREACH):
		return "is the address right, and is kubetrail serve running there?"
	}
	return ""
}

// Hint returns the next step, one line.
func (err *Error) Hint() string { return err.Next }

// Is reports the errors of package trail that the server passes on: an answer that
// is too large, or bars that are too many.
func (err *Error) Is(target error) bool {
	return target == trail.ErrTooMany && (err.Reason == "TooMany" || err.Parameter == "every")
}

// get asks for one path below /api/v1. Who calls it closes the body.
func (t *Trail) get(ctx context.Context, path string, values url.Values) (*http.Response, error) {
	return t.getWith(ctx, path, values, nil)
}

// getWith is get with headers of its own.
func (t *Trail) getWith(ctx context.Context, path string, values url.Values, header http.Header) (*http.Response, error) {
	u := t.base.JoinPath("/api/v1", path)
	u.RawQuery = values.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	for name := range header {
		req.Header.Set(name, header.Get(name))
	}
	if t.token != "" {
		req.Header.Set("Authorization", "Bearer "+t.token)
	}
	answer, err := t.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the whole question
		}
		return nil, &askError{t.base.Host, err}
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		e := &Error{Status: answer.Status, code: answer.StatusCode}
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
		if json.Unmarshal(text, e) != nil {
			e.Message = ""
		}
		if e.Message == "" && e.code == http.StatusBadRequest && t.base.Scheme == "http" {
			e.Next = "the server may have a certificate: write https:// instead of http://"
		}
		return nil, e
	}
	return answer, nil
}

// document asks for one path and decodes its answer.
func (t *Trail) document(ctx context.Context, path string, values url.Values, to any) error {
	answer, err := t.get(ctx, path, values)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxText)).Decode(to); err != nil {
		return fmt.Errorf("the answer of %s: %w", t.base.Host, err)
	}
	return nil
}

// params writes a question as the API reads it.
func params(q trail.Query) url.Values {
	v := url.Values{}
	if q.Where != nil {
		v.Set("query", q.Where.String())
	}
	if q.Since != audit.NoTime {
		v.Set("since", formatTime(q.Since))
	}
	if q.Until != audit.NoTime {
		v.Set("until", formatTime(q.Until))
	}
	return v
}

func formatTime(us int64) string {
	return time.UnixMicro(us).UTC().Format("2006-01-02T15:04:05.000000Z")
}

// empty reports whether q holds no moment at all, which the API takes for a mistake.
func empty(q trail.Query) bool {
	return q.Since != audit.NoTime && q.Until != audit.NoTime && q.Since >= q.Until
}

// item is an event as the API writes it.
type item struct {
	Seq                     uint64
	Cluster, Server, Source string

	Offset          int64
	Destination, Is json.RawMessage
	Event           json.RawMessage
	Raw             *string // set where Event is not the line as it was found
}

// Search implements [trail.Reader].
func (t *Trail) Search(ctx context.Context, q trail.Query, page trail.Page, yield func(*audit.Event) error) error {
	if empty(q) {
		return ctx.Err()
	}
	v := params(q)
	if page.Oldest {
		v.Set("order", "oldest")
	}
	left := page.Limit
	for {
		if page.After != (trail.Cursor{}) {
			v.Set("cursor", trail.FormatCursor(page.Oldest, page.After))
		}
		size := pageSize
		if page.Limit > 0 {
			size = min(size, left)
		}
		v.Set("limit", strconv.Itoa(size))
		n, err := t.page(ctx, v, &page.After, page.Columns.Has(audit.Line), yield)
		if err != nil {
			return err
		}
		if left -= n; n < size || page.Limit > 0 && left == 0 {
			return nil
		}
	}
}

// page yields one answer of the API and moves after behind it.
func (t *Trail) page(ctx context.Context, v url.Values, after *trail.Cursor, exact bool, yield func(*audit.Event) error) (n int, err error) {
	answer, err := t.get(ctx, "events", v)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	lines := bufio.NewReaderSize(answer.Body, 256<<10)
	var e audit.Event
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("the answer of %s broke off: %w", t.base.Host, err)
		}
		if err := t.event(ctx, line, exact, &e); err != nil {
			return n, err
		}
		n++
		*after = trail.Cursor{Time: e.Time(), Seq: e.Seq}
		if err := yield(&e); err != nil {
			return n, err
		}
	}
}

// event reads an item into e. Where the line itself is wanted and the item does not
// hold it, it is asked for.
func (t *Trail) event(ctx context.Context, line []byte, exact bool, e *audit.Event) error {
	var x item
	if err := json.Unmarshal(line, &x); err != nil {
		return fmt.Errorf("the answer of %s: %w", t.base.Host, err)
	}
	text := []byte(x.Event)
	if x.Raw != nil && (exact || text == nil) {
		answer, err := t.get(ctx, "events/"+strconv.FormatUint(x.Seq, 10), url.Values{"raw": {"true"}})
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if text, err = io.ReadAll(io.LimitReader(answer.Body, maxText)); err != nil {
			return err
		}
	}
	if err := e.Scan(text); err != nil {
		if s, ok := errors.AsType[*audit.ScanError](err); !ok || !s.Trailing {
			return t.carried(text, x, e)
		}
	}
	e.Text[audit.Source], e.Text[audit.Cluster] = []byte(x.Source), []byte(x.Cluster)
	x.label(e)
	if x.Raw != nil && !exact {
		e.Length = int32(len(*x.Raw))
		if strings.ContainsRune(*x.Raw, utf8.RuneError) {
			e.Length = 0 // not known: it stands for bytes that are no UTF-8
		}
	}
	return nil
}

// label sets what stands beside an event.
func (x *item) label(e *audit.Event) {
	e.Offset, e.Seq = x.Offset, x.Seq
	e.Text[audit.Server] = []byte(x.Server)
	e.Text[audit.Destination], e.Text[audit.Marks] = x.Destination, x.Is
}

// carried reads a line that holds its event inside of something else, as the exports
// of the clouds do.
func (t *Trail) carried(text []byte, x item, e *audit.Event) error {
	r := audit.NewReader(bytes.NewReader(text), audit.ReaderConfig{Source: x.Source, Cluster: x.Cluster})
	if err := r.Next(e); err != nil {
		return fmt.Errorf("event %d of %s: %w", x.Seq, t.base.Host, err)
	}
	e.Raw = text
	x.label(e)
	return nil
}

// Aggregate implements [trail.Reader]. A server gives 10,000 groups at most: its
// error is a trail.ErrTooMany where limit is 0 and there are more.
func (t *Trail) Aggregate(ctx context.Context, q trail.Query, by []audit.Ref, limit int) (trail.Groups, error) {
	if empty(q) {
		return trail.Groups{}, ctx.Err()
	}
	v := params(q)
	var names []string
	for _, r := range by {
		names = append(names, r.Name)
	}
	v.Set("by", strings.Join(names, ","))
	v.Set("top", strconv.Itoa(maxTop))
	if limit > 0 {
		v.Set("top", strconv.Itoa(min(limit, maxTop)))
	}
	var answer struct {
		Rows   []trail.Group
		Groups int
		Events uint64
	}
	if err := t.document(ctx, "aggregate", v, &answer); err != nil {
		return trail.Groups{}, err
	}
	if answer.Groups > len(answer.Rows) && (limit == 0 || len(answer.Rows) < limit) {
		return trail.Groups{}, fmt.Errorf("%w groups: %d, and a server gives %d", trail.ErrTooMany, answer.Groups, maxTop)
	}
	return trail.Groups{Rows: answer.Rows, Groups: answer.Groups, Events: answer.Events}, nil
}

// Histogram implements [trail.Reader].
func (t *Trail) Histogram(ctx context.Context, q trail.Query, every time.Duration) ([]trail.Bucket, error) {
	if empty(q) {
		return nil, ctx.Err()
	}
	v := params(q)
	v.Set("every", strconv.FormatInt(every.Milliseconds(), 10)+"ms")
	var answer struct {
		Buckets []struct {
			Start time.Time
			Count uint64
		}
	}
	if err := t.document(ctx, "histogram", v, &answer); err != nil {
		return nil, err
	}
	var buckets []trail.Bucket
	for _, b := range answer.Buckets {
		buckets = append(buckets, trail.Bucket{Start: b.Start.UnixMicro(), Count: b.Count})
	}
	return buckets, nil
}

// Summary implements [trail.Reader].
func (t *Trail) Summary(ctx context.Context) (trail.Summary, error) {
	var answer struct {
		trail.Summary
		First, Last *time.Time
	}
	if err := t.document(ctx, "summary", nil, &answer); err != nil {
		return trail.Summary{}, err
	}
	s := answer.Summary
	s.First, s.Last = audit.NoTime, audit.NoTime
	if answer.First != nil {
		s.First = answer.First.UnixMicro()
	}
	if answer.Last != nil {
		s.Last = answer.Last.UnixMicro()
	}
	return s, nil
}
