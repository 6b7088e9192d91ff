package record

import (
	"maps"
	"net/http"

	"kubetrail/policy"
)

// maxHeld is how much of an answer is held back until its event is stored.
const maxHeld = 64 << 10

// A hold is an answer that waits until the event of the stage is stored. What went out
// before, because it was longer than maxHeld or flushed, is cut off if that fails, so
// that nobody takes it for complete. recording.mu owns it.
type hold struct {
	stage   policy.Stage // where it is decided
	header  http.Header  // as it was before the handler
	code    int          // 0: no header was written
	body    []byte
	uri     string // of the request, for the refusal
	verdict verdict
	gone    bool // it went out, or never will
	refused bool // it never will
	settled bool // the verdict was carried out
}

// A verdict is what became of the event on which an answer depends.
type verdict int

const (
	open verdict = iota // not known yet
	stored
	failed
)

// holdBack makes the answer of r depend on its first event, where that is not that of
// RequestReceived. Upstream's blocking-strict knows only the latter.
func (r *recording) holdBack(header http.Header, uri string) {
	if !r.h.Strict || r.h.failed == nil && !r.omits(policy.StageRequestReceived) {
		return
	}
	stage := policy.StageResponseComplete
	if r.long && !r.omits(policy.StageResponseStarted) {
		stage = policy.StageResponseStarted
	}
	if r.omits(stage) {
		return
	}
	r.writer.hold = &hold{stage: stage, header: header.Clone(), uri: uri}
	r.writer.hold.gone = r.long && stage == policy.StageResponseComplete // a stream does not wait
}

// keepCode keeps the code of an answer, or drops it where that was refused; otherwise it
// reports false.
func (o *hold) keepCode(r *recording, code int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.gone {
		return o.refused
	}
	if o.code == 0 {
		o.code = code
	}
	return true
}

// keep keeps a piece of an answer, unless it is no longer held back, or is too long now.
// recording.mu is held.
func (o *hold) keep(b []byte) (kept bool, err error) {
	switch {
	case o.refused:
		return false, errNotStored
	case o.gone || len(o.body)+len(b) > maxHeld:
		return false, nil
	}
	o.body = append(o.body, b...)
	return true, nil
}

// judge notes what became of the event of a stage, and what the later ones tell then. mu
// is held.
func (r *recording) judge(s policy.Stage, ok bool) {
	o := r.writer.hold
	switch {
	case o == nil || o.stage != s:
	case ok:
		o.verdict = stored
	default:
		o.verdict = failed
		if !o.gone {
			r.status = status{code: http.StatusInternalServerError, status: "Failure", reason: "InternalError", message: errNotStored.Error()}
		}
	}
}

// giveUp drops what is held back, and all that comes. recording.mu is held.
func (o *hold) giveUp() {
	if o != nil {
		o.gone, o.refused, o.settled, o.body = true, true, true, nil
	}
}

// letGo sends what is held back.
func (w *writer) letGo() error {
	o := w.hold
	w.r.mu.Lock()
	code, body, refused := o.code, o.body, o.refused
	if o.gone {
		code, body = 0, nil
	}
	o.gone, o.body = true, nil
	w.r.mu.Unlock()
	if refused {
		return errNotStored
	}
	if code != 0 {
		w.ResponseWriter.WriteHeader(code)
	}
	if len(body) == 0 {
		return nil
	}
	_, err := w.ResponseWriter.Write(body)
	return err
}

// settle sends the answer, or refuses it, once it is known whether its event is stored.
// It panics to cut off an answer that is out already.
func (w *writer) settle() {
	o := w.hold
	if o == nil {
		return
	}
	w.r.mu.Lock()
	v, gone := o.verdict, o.gone
	if v == open || o.settled {
		w.r.mu.Unlock()
		return
	}
	o.settled = true
	if v == failed {
		o.giveUp()
	}
	w.r.mu.Unlock()
	if v == stored {
		_ = w.letGo() // the handler knows no more of it
		return
	}
	w.r.h.rejected()
	if gone {
		panic(http.ErrAbortHandler)
	}
	header := w.Header()
	clear(header)
	maps.Copy(header, o.header)
	internalError(w.ResponseWriter, o.uri, errNotStored.Error())
}

// rejected counts a request that is refused because its event could not be stored.
func (h *recorder) rejected() {
	if h.Metrics != nil {
		h.Metrics.rejected.Inc()
	}
}
