// Package klog finds the audit events that kube-apiserver lost in what it logs itself.
//
// An event that a log or webhook backend could not write is counted and dropped, and
// named in an error message on stderr. Upstream is HandlePluginError in
// k8s.io/apiserver/pkg/audit/metrics.go, the same from 1.23 to 1.37:
//
//	E1120 15:31:49.203222   11906 metrics.go:110] Error in audit plugin 'log' affecting 2 audit events: CAUSE
//	Impacted events:
//	2026-11-20T15:31:49.19777968Z AUDIT: id="…" stage="ResponseComplete" … response="200"
//	2026-11-20T15:31:49.20011200Z AUDIT: id="…" …
//
// Each of these lines, in the format that --audit-log-format=legacy writes too, is an
// event: who, what, when and with which result, without bodies and annotations.
package klog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"kubetrail/audit"
)

// Config says how a log is read.
type Config struct {
	audit.ReaderConfig

	// Now, in microseconds since the epoch, tells the year of the times that klog
	// writes, which have none; 0: they stay unknown. They are taken for UTC, which is
	// what the images of kube-apiserver know.
	Now int64
}

// Loss is a fault that means events are missing for good.
type Loss struct {
	audit.Fault
	From, To int64  // microseconds since the epoch, audit.NoTime where that is unknown
	Events   int64  // 0: unknown
	Cause    string // CauseError or CauseRestart
}

// The causes of a [Loss].
const (
	CauseError   = "plugin-error" // an audit plugin failed, and the log does not name all it lost
	CauseRestart = "restart"      // the API server did not run, and it had not shut down in good order
)

// Unwrap makes it an [audit.Fault] for those who do not ask for more.
func (l *Loss) Unwrap() error { return &l.Fault }

// Mark is what an event that was found so has in its column [audit.Marks].
const Mark = `["recovered"]`

// Annotation names the annotation that tells which plugin lost the event, and why.
const Annotation = "kubetrail.io/recovered"

const (
	maxCause = 500 // bytes of an error that are kept
	maxHead  = 256 // bytes of a message that are shown with a fault
)

// Decoder reads the lost events out of a log of kube-apiserver, whether that is what it
// wrote to stderr as text or with --logging-format=json, or the same in the lines of a
// container's log (CRI, Docker) or of the journal (short, json). Everything else in the
// log is passed over. It holds one line at a time, never a message.
//
// Raw of an event is the line in the legacy format as kube-apiserver composed it,
// without what carries it. The object is told from the URI as kube-apiserver does, and
// not part of the line.
//
// A message may have thousands of events, so Offset lies inside one as soon as its first
// event was returned. A Decoder that starts there has not seen the head: its annotation says so, and that the message named
// fewer events than it counted goes unnoticed. Where an event stands before any other
// line, it is taken for one of such a message; so of a plain file that mixes stderr with
// an audit log on stdout in the legacy format, what the log holds there is taken for
// lost. In a container's log stdout is told from stderr, and passed over.
//
// A Decoder is used from one goroutine.
type Decoder struct {
	lines lines
	cfg   Config

	line logical // the one being looked at, while at > 0
	at   int     // where in its text the next event begins
	msg  message
	any  bool // a line was seen that is not part of a message

	run     run
	scratch []byte
}

// message is one report of lost events.
type message struct {
	open   bool
	listed bool  // "Impacted events:" has passed
	over   bool  // it ended with the last event
	offset int64 // of its first line
	line   int64 // newlines before that
	head   []byte
	plugin string // empty: the message began before the first line
	cause  []byte
	events int64 // that it says to name; -1: unknown
	found  int64
	times  [2]int64 // of the first and the last
	note   []byte   // the annotations of its events
}

// NewDecoder returns a Decoder of r.
func NewDecoder(r io.Reader, cfg Config) *Decoder {
	if cfg.MaxLine <= 0 {
		cfg.MaxLine = audit.DefaultMaxLine
	}
	return &Decoder{cfg: cfg, lines: lines{src: r, base: cfg.StartOffset, line: cfg.StartLine, max: cfg.MaxLine, growing: cfg.Growing}}
}

// Offset is where reading goes on: a new Decoder that starts there returns the events
// that this one has not returned yet.
func (d *Decoder) Offset() int64 {
	at, _ := d.place()
	return at
}

// Line is the number of newlines before Offset.
func (d *Decoder) Line() int64 {
	_, n := d.place()
	return n
}

func (d *Decoder) place() (offset, line int64) {
	if m := &d.msg; m.open && m.found == 0 && m.events > 0 {
		return m.offset, m.line
	}
	return d.reached()
}

// reached is the place of what is looked at.
func (d *Decoder) reached() (offset, line int64) {
	offset, line = d.lines.base+int64(d.lines.pos), d.lines.line
	if d.at == 0 {
		return offset, line
	}
	at, n := d.line.found(d.at)
	return offset + int64(at), line + int64(n)
}

// Next reads the next lost event into e, which stays valid until the next call. The
// error is io.EOF at the end, a [*Loss], after which Next may be called again, or the
// error of the source.
func (d *Decoder) Next(e *audit.Event) error {
	d.lines.resume()
	for {
		if d.msg.over {
			if err := d.close("there it ends"); err != nil {
				return err
			}
		}
		if d.at > 0 {
			if ok, err := d.escaped(e); ok || err != nil {
				return err
			}
			continue
		}
		l, err := d.logical()
		if err == io.EOF && !d.cfg.Growing && d.msg.open {
			return d.close("the log ends within the message")
		}
		if err != nil {
			return err
		}
		if ok, err := d.step(e, l); ok || err != nil {
			return err
		}
	}
}

// step looks at a line. It reports true with an event.
func (d *Decoder) step(e *audit.Event, l logical) (bool, error) {
	if l.stdout {
		d.lines.advance(l.size)
		return false, nil
	}
	h, ok := readHeader(l.text)
	switch {
	case ok && d.msg.open: // the line comes again after that
		return false, d.close("the next message follows")
	case ok:
		return false, d.begin(l, h)
	case !d.any && !d.msg.open && isEscapedEvent(l.text):
		d.resumed()
		d.enter(l, 0)
		return false, nil
	case !d.any && !d.msg.open && isEvent(l.text):
		d.resumed()
	}
	return d.body(e, l)
}

// resumed begins a message whose head was not seen.
func (d *Decoder) resumed() {
	d.msg = message{open: true, listed: true, events: -1}
}

// begin reads the first line of a message of any kind.
func (d *Decoder) begin(l logical, h header) error {
	d.any = true
	offset := d.Offset()
	if err := d.run.see(h, l.time(), d.cfg.Now, offset); err != nil {
		d.lines.advance(l.size)
		return err
	}
	first, next, more := h.text, 0, false
	if h.escaped {
		var n int
		n, next, more = segment(h.text)
		first = unescape(nil, h.text[:n])
	}
	m, ok := readHead(first)
	if ok {
		m.line, m.offset, m.head = d.lines.line, offset, bytes.Clone(l.text[:min(maxHead, len(l.text))])
		m.over = h.escaped && !more
		d.msg = m
	}
	if ok && more {
		d.enter(l, h.at+next)
	} else {
		d.lines.advance(l.size)
	}
	return nil
}

// enter begins to read the message inside a string of JSON that goes on at.
func (d *Decoder) enter(l logical, at int) {
	d.line, d.at = l, at
	if at == 0 { // 0 says that there is none
		d.at = 1
		d.line.text = append([]byte{' '}, l.text...)
		d.line.shift = 1
	}
}

// escaped reads the next event out of a string of JSON.
func (d *Decoder) escaped(e *audit.Event) (bool, error) {
	text := d.line.text
	n, next, more := segment(text[d.at:])
	d.scratch = unescape(d.scratch[:0], text[d.at:d.at+n])
	at, _ := d.reached()
	end := d.at + next
	if more && string(text[end:min(len(text), end+1)]) == `"` {
		more = false // nothing but the last newline
	}
	d.at = end
	if !more {
		d.at = 0
		d.lines.advance(d.line.size)
	}
	ok := d.part(e, d.scratch, at)
	d.msg.over = d.msg.open && !more
	return ok, nil
}

// body looks at a line that begins no message.
func (d *Decoder) body(e *audit.Event, l logical) (bool, error) {
	at, _ := d.reached()
	ok := d.part(e, l.text, at)
	d.lines.advance(l.size)
	if !ok && d.msg.events <= 0 {
		d.msg, d.any = message{}, true
	}
	return ok, nil
}

// part looks at one line of a message. It reports true where that is an event.
func (d *Decoder) part(e *audit.Event, text []byte, at int64) bool {
	m := &d.msg
	switch {
	case !m.open:
		return false
	case !m.listed:
		if m.listed = string(text) == impacted; !m.listed && m.found == 0 {
			m.add(text)
		}
		return false
	case !isEvent(text) || e.Scan(text) != nil || e.Form != audit.FormLegacy:
		return false
	}
	d.fill(e, at)
	if m.found++; m.found == 1 {
		m.times[0] = e.Received
	}
	m.times[1] = e.Received
	if m.found == m.events {
		*m = message{}
	}
	return true
}

// close ends a message before all of its events were found. The error is a Loss, or nil
// where the message does not tell how many they are.
func (d *Decoder) close(why string) error {
	m := d.msg
	d.msg = message{}
	d.any = true
	if m.events <= m.found {
		return nil
	}
	loss := &Loss{From: audit.NoTime, To: audit.NoTime, Events: m.events - m.found, Cause: CauseError}
	loss.Fault = audit.Fault{Offset: m.offset, Length: max(0, d.Offset()-m.offset), Head: m.head,
		Reason: fmt.Sprintf("the audit plugin %q lost %d events and %d of them are named: %s", m.plugin, m.events, m.found, why)}
	if m.found > 0 {
		loss.From, loss.To = m.times[0], m.times[1]
	}
	return loss
}

// annotations are those of an event of the message.
func (m *message) annotations() []byte {
	if m.note != nil {
		return m.note
	}
	text := "unknown: the message begins before"
	if m.plugin != "" {
		text = m.plugin + ": " + string(bytes.ToValidUTF8(m.cause, []byte("\uFFFD")))
	}
	value, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always has an encoding
	}
	m.note = append(append([]byte(`{"`+Annotation+`":`), value...), '}')
	return m.note
}

// add appends a line to the cause.
func (m *message) add(text []byte) {
	if len(m.cause) > 0 {
		m.cause = append(m.cause, '\n')
	}
	m.cause = append(m.cause, text...)
	m.cause = m.cause[:min(maxCause, len(m.cause))]
}
