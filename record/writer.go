package record

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
)

// A writer notes when an answer begins, and with which code. Like what it is given by
// net/http it serves one goroutine at a time.
//
// Upstream: auditResponseWriter. It offers what WrapForHTTP1Or2 offers, since filters of
// k8s.io/apiserver inside look for that, and [http.ResponseController] works through it.
type writer struct {
	http.ResponseWriter
	r     *recording
	wrote atomic.Bool // set under r.mu, so that one goroutine alone starts the answer
}

// wrap makes w the writer of r, with the methods that the answer underneath has.
func (w *writer) wrap(inner http.ResponseWriter, r *recording) http.ResponseWriter {
	w.ResponseWriter, w.r = inner, r
	_, hijacks := inner.(http.Hijacker)
	_, flushes := inner.(http.Flusher)
	if _, ok := inner.(interface{ FlushError() error }); ok {
		flushes = true
	}
	switch {
	case hijacks:
		return connWriter{flushWriter{w}}
	case flushes:
		return flushWriter{w}
	}
	return w
}

func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader notes the code. Informational answers (1xx) come before the answer.
func (w *writer) WriteHeader(code int) {
	if !w.wrote.Load() && (code >= 200 || code == http.StatusSwitchingProtocols) {
		w.r.started(code)
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *writer) Write(b []byte) (int, error) {
	if !w.wrote.Load() {
		w.r.started(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// A flushWriter is for answers that can be flushed, as all of net/http can.
type flushWriter struct{ *writer }

func (w flushWriter) Flush() { _ = w.FlushError() }

// FlushError sends what was written. As upstream, it does not count as the beginning of
// an answer.
func (w flushWriter) FlushError() error {
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// CloseNotify is deprecated, but filters of k8s.io/apiserver take a writer without it for
// one that cannot be flushed.
func (w flushWriter) CloseNotify() <-chan bool {
	if n, ok := w.ResponseWriter.(http.CloseNotifier); ok { //lint:ignore SA1019 see above
		return n.CloseNotify()
	}
	c := make(chan bool, 1)
	context.AfterFunc(w.r, func() { c <- true })
	return c
}

// A connWriter is for answers whose connection can be taken over, as those of HTTP/1 can.
type connWriter struct{ flushWriter }

// Hijack notes the code 101: what takes the connection over will hardly answer by itself.
func (w connWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.ErrUnsupported
	}
	w.r.started(http.StatusSwitchingProtocols)
	return h.Hijack()
}
