package record

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
)

// A writer notes when an answer begins and with which code, has it looked at where it is
// taken from the wire, and holds it back where its event must be stored first. Like what
// net/http gives a handler it serves one goroutine at a time.
//
// Upstream: auditResponseWriter. It offers what WrapForHTTP1Or2 offers, since filters of
// k8s.io/apiserver inside look for that, and [http.ResponseController] works through it.
type writer struct {
	http.ResponseWriter
	r     *recording
	state atomic.Int32 // fresh, passing or tapped; changed under r.mu
	hold  *hold        // nil where nothing was ever held back; what it holds r.mu owns
}

const (
	fresh   = iota // the answer has not begun
	passing        // pieces of it go through
	tapped         // recording.tap sees each piece
)

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

// Unwrap is for [http.ResponseController].
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader notes the code. Informational answers (1xx) come before the answer.
func (w *writer) WriteHeader(code int) {
	if code < 100 || code >= 200 || code == http.StatusSwitchingProtocols {
		if w.state.Load() == fresh {
			w.r.started(code)
		}
		if w.hold != nil && w.hold.keepCode(w.r, code) {
			return
		}
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *writer) Write(b []byte) (int, error) {
	if w.state.Load() == fresh {
		w.r.started(http.StatusOK)
	}
	if w.state.Load() == tapped {
		if kept, err := w.r.tap(b); err != nil {
			return 0, err
		} else if kept {
			return len(b), nil
		}
	}
	return w.ResponseWriter.Write(b)
}

// A flushWriter is for answers that can be flushed, as all of net/http can.
type flushWriter struct{ *writer }

// Flush is FlushError.
func (w flushWriter) Flush() { _ = w.FlushError() }

// FlushError sends what was written. Unlike net/http's, and like upstream's, it is not
// the beginning of an answer as far as the event is concerned, but where the answer
// depends on the event.
func (w flushWriter) FlushError() error {
	if w.hold != nil {
		if w.state.Load() == fresh {
			w.r.started(http.StatusOK)
		}
		if err := w.letGo(); err != nil {
			return err
		}
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// CloseNotify is deprecated, but filters of k8s.io/apiserver take a writer without it for
// one that cannot be flushed.
func (w flushWriter) CloseNotify() <-chan bool {
	//lint:ignore SA1019 they look for it
	if n, ok := w.ResponseWriter.(http.CloseNotifier); ok {
		return n.CloseNotify()
	}
	c := make(chan bool, 1)
	context.AfterFunc(w.r, func() { c <- true })
	return c
}

// A connWriter is for answers whose connection can be taken over, as those of HTTP/1 can.
type connWriter struct{ flushWriter }

// Hijack notes the code 101: what takes the connection over answers by itself.
func (w connWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.ErrUnsupported
	}
	if w.state.Load() == fresh {
		w.r.started(http.StatusSwitchingProtocols)
	}
	if w.hold != nil {
		if err := w.letGo(); err != nil {
			return nil, nil, err
		}
	}
	return h.Hijack()
}
