package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Of watches there may be tens of thousands, nearly all of them silent: what each one
// holds while it waits counts, and httputil.ReverseProxy would hold more than is needed.

// GCPercent is for debug.SetGCPercent: most of the memory of a proxy is watches, which
// collecting early costs little for. 50,000 of them take 1,548 MiB at 30 and 1,470 at 20,
// and a GET as long at both.
const GCPercent = 20

const (
	quiet = 512      // bytes of the buffer of a watch that waits
	busy  = 16 << 10 // and of one that has more to say
)

// large are the buffers of busy watches.
var large = sync.Pool{New: func() any { return new([busy]byte) }}

// watch passes a watch on.
func (f *forwarder) watch(w http.ResponseWriter, r *http.Request, s *passage) {
	resp, err := f.RoundTrip(f.outgoing(r, s))
	if err == nil {
		err = f.answered(resp)
	}
	if err != nil {
		if resp != nil {
			resp.Body.Close()
		}
		f.failed(w, r, err)
		return
	}
	defer resp.Body.Close()
	defer context.AfterFunc(f.p.watches, func() { resp.Body.Close() })()
	if err := f.begin(w, resp); err != nil {
		return // the client has gone
	}
	switch err := relay(w, resp.Body); {
	case err == nil, f.p.watches.Err() != nil, s.harmless(r.Context()):
	default:
		panic(http.ErrAbortHandler)
	}
}

// outgoing makes of r, which nobody needs any more as it is, the request to the upstream.
func (f *forwarder) outgoing(r *http.Request, s *passage) *http.Request {
	h := make(http.Header, len(r.Header)+2)
	for name, values := range r.Header {
		if !isHop(name) {
			h[name] = values
		}
	}
	if h["User-Agent"] == nil {
		h["User-Agent"] = []string{""} // none, rather than that of net/http
	}
	f.address(s, r, h)
	r.Header, r.Body, r.RequestURI, r.Close = h, nil, "", false
	return r
}

// begin sends the head of an answer.
func (f *forwarder) begin(w http.ResponseWriter, resp *http.Response) error {
	h := w.Header()
	for _, line := range resp.Header["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			resp.Header.Del(strings.TrimSpace(name))
		}
	}
	for name, values := range resp.Header {
		if !isHop(name) {
			h[name] = values
		}
	}
	resp.Header = nil // it would stay for as long as the watch
	w.WriteHeader(resp.StatusCode)
	return http.NewResponseController(w).Flush()
}

// isHop tells headers that are for one hop only.
func isHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// relay copies what comes, at once, until its end, through a small buffer that is
// exchanged for a large one as long as more comes than fits. It returns what was wrong
// with the body.
func relay(w http.ResponseWriter, body io.Reader) error {
	flush := http.NewResponseController(w).Flush
	small := make([]byte, quiet)
	buffer, big := small, (*[busy]byte)(nil)
	defer func() {
		if big != nil {
			large.Put(big)
		}
	}()
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			if _, gone := w.Write(buffer[:n]); gone != nil {
				return nil
			}
			if flush() != nil {
				return nil
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case n == len(small) && big == nil:
			big = large.Get().(*[busy]byte)
			buffer = big[:]
		case n < len(buffer) && big != nil:
			large.Put(big)
			buffer, big = small, nil
		}
	}
}
