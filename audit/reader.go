package audit

import (
	"bytes"
	"errors"
	"io"
)

// DefaultMaxLine is the longest line that a [Reader] takes, unless it is told
// otherwise. The longest events are answers to list requests with their bodies.
const DefaultMaxLine = 32 << 20

// readSize is the size of a new read buffer: it stays in a core's own cache.
const readSize = 256 << 10

// ReaderConfig says how a stream is read. The zero value is ready to use.
type ReaderConfig struct {
	// MaxLine bounds the bytes of one event, and so the memory of the reader. A
	// longer one is passed over and reported as a fault. 0 is DefaultMaxLine.
	MaxLine int

	// StartOffset is the offset in the source of the first byte that will be read,
	// one that Reader.Offset gave before, and StartLine the number of newlines
	// before it.
	StartOffset, StartLine int64

	// Growing tells that the end of the stream is only the end for now, as in a log
	// that is being written: an unfinished last line is left unread, and Next may
	// be called again after io.EOF.
	Growing bool

	// Source, Cluster and Server become the columns of these names of every event.
	// Where Cluster is empty, the carrier may name the cluster, or an annotation of the
	// event ([ClusterAnnotation]); where Server is, likewise [ServerAnnotation].
	Source, Cluster, Server string
}

// Reader reads the events of one stream of plain bytes, whatever carries them: JSON
// lines, legacy text lines, EventLists and arrays, pretty-printed objects, lines
// with a prefix, and the wrappings of the clouds. It tells carriers by their
// content, anew at every event, so that they may be mixed.
//
// The grammar is: a stream is events and faults with white space and the syntax of
// lists between them (commas, brackets, what stands before and after the items of a
// list). Nothing read before an event is needed to understand it. So reading can go
// on at any [Reader.Offset], in the middle of a list as well, and one damaged event
// costs no other.
//
// A Reader is used from one goroutine.
type Reader struct {
	src io.Reader
	err error // what src ended with, nil while it goes on

	// buf[pos:end] is read and not yet returned; buf[pos:eol] holds no newline.
	buf           []byte
	pos, eol, end int
	base          int64 // offset of buf[0] in the source
	line          int64 // newlines before buf[pos]

	max                     int
	growing                 bool
	source, cluster, server []byte

	debt  int    // bytes looked at in vain, see affords
	inner []byte // the decoded text inside a carrier
}

// NewReader returns a Reader of r.
func NewReader(r io.Reader, cfg ReaderConfig) *Reader { return newReader(r, cfg, readSize) }

// newReader makes a Reader whose first buffer has size bytes.
func newReader(r io.Reader, cfg ReaderConfig, size int) *Reader {
	if cfg.MaxLine <= 0 {
		cfg.MaxLine = DefaultMaxLine
	}
	return &Reader{
		src: r, buf: make([]byte, size), base: cfg.StartOffset, line: cfg.StartLine,
		max: cfg.MaxLine, growing: cfg.Growing,
		source: []byte(cfg.Source), cluster: []byte(cfg.Cluster), server: []byte(cfg.Server),
	}
}

// Offset is where reading goes on: a new Reader that starts there returns what this
// one has not returned yet. After io.EOF it is the end of the stream or, of a
// growing one, of what was read.
func (r *Reader) Offset() int64 { return r.base + int64(r.pos+r.newline()) }

// Line is the number of newlines before Offset.
func (r *Reader) Line() int64 { return r.line + int64(r.newline()) }

// newline is 1 where a newline that comes next may be counted as read: unless a
// bracket or comma follows, which means another thing at the beginning of a line, or
// a byte order mark, behind which one may stand.
func (r *Reader) newline() int {
	w := r.window()
	if len(w) == 0 || w[0] != '\n' {
		return 0
	}
	if next := 1 + blanks(w[1:]); next < len(w) && (isSyntax(w[next]) || w[next] == bom[0]) {
		return 0
	}
	return 1
}

// place is what has been passed in one call of Next, before an event was found.
type place struct {
	line   bool // a line begins here
	column int  // blanks passed since
	list   bool // syntax of a list was passed on this line
	closed bool // the closing bracket of a list was passed
}

// Next reads the next event into e, which stays valid until the next call. e.Raw is
// the event as it was found and e.Offset the offset of its first byte: for JSON
// lines the line without its newline, for an item of a list the item, for an event
// wrapped in something else all of the wrapping. The Form of an item is what the
// item itself tells, not the list around it.
//
// The error is io.EOF at the end, or a [*Fault], after which Next may be called
// again, or the error of the source.
func (r *Reader) Next(e *Event) error {
	if r.growing && r.err == io.EOF {
		r.err = nil
	}
	at := place{line: r.base+int64(r.pos) == 0}
	for {
		if w := r.window(); len(w) > 0 && w[0] == '\n' {
			r.advance(1)
			at = place{line: true, closed: at.closed}
		}
		if r.nextEvent(e) {
			return nil
		}
		if len(r.window()) == 0 && !r.more() {
			return r.finish()
		}
		if done, err := r.step(e, &at); done || err != nil {
			return err
		}
	}
}

// nextEvent reads the event that begins at pos, the case that has to be fast. Where
// there is something else, or more than a full buffer, it reads nothing.
func (r *Reader) nextEvent(e *Event) bool {
	for {
		w := r.ahead()
		if len(w) == 0 || w[0] != '{' || bytes.HasPrefix(w, eventList) {
			return false
		}
		n, f := e.scanFirst(w)
		switch {
		case f == none && (n > r.max || slsFlattens(e)):
			return false
		case f == none && (n < len(w) || !r.growing):
			r.found(e, w[:n])
			return true
		case f != none && f != cutShort, len(w) == len(r.buf), !r.more():
			r.debt += n
			return false
		}
	}
}

// scanFirst is Scan of the event that b begins with, whatever follows it. It returns
// the length of the event, or a fault: badValue for an object that is no event.
func (e *Event) scanFirst(b []byte) (int, fault) {
	e.reset(b)
	s := scanner{Event: e, b: b, created: NoTime, timestamp: NoTime}
	n, f := s.event(0)
	if f == none && s.finish() != "" {
		f = badValue
	}
	return n, f
}

// found returns raw, which begins at pos, as the event e.
func (r *Reader) found(e *Event, raw []byte) {
	e.Raw, e.Length = raw, int32(len(raw))
	e.Offset = r.base + int64(r.pos)
	e.Text[Source] = r.source
	e.Text[Cluster] = r.cluster
	e.Text[Server] = r.server
	e.Text[Destination], e.Text[Marks] = nil, nil
	if annotations := e.Text[Annotations]; len(annotations) > 0 {
		if len(r.cluster) == 0 {
			e.Text[Cluster] = annotated(annotations, ClusterAnnotation)
		}
		if len(r.server) == 0 {
			e.Text[Server] = annotated(annotations, ServerAnnotation)
		}
	}
	r.advance(len(raw))
}

// Annotations by which a recorder says where it observed an event, which an event of
// kube-apiserver does not tell.
const (
	ClusterAnnotation = "kubetrail.io/cluster"
	ServerAnnotation  = "kubetrail.io/server"
)

// annotated returns the value of a key in the JSON of annotations, or nil where it is
// absent or not written plainly. What stands within a string cannot be taken for it: its
// quotes have backslashes.
func annotated(annotations []byte, key string) []byte {
	i := bytes.Index(annotations, []byte(key))
	if i < 1 || annotations[i-1] != '"' {
		return nil
	}
	value, found := bytes.CutPrefix(annotations[i+len(key):], []byte(`":"`))
	end := bytes.IndexAny(value, `"\`)
	if !found || end < 0 || value[end] != '"' {
		return nil
	}
	return value[:end]
}

// step passes one piece of syntax or reads one event. It is called with at least
// one byte in the window.
func (r *Reader) step(e *Event, at *place) (done bool, err error) {
	w := r.window()
	switch c := w[0]; c {
	case '\n':
		return false, nil
	case ' ', '\t', '\r':
		n := blanks(w)
		at.column += n
		r.advance(n)
		return false, nil
	case 0:
		return true, r.hole()
	case '{':
		return r.object(e, at)
	case '[':
		if r.opensArray() {
			at.list = true
			r.advance(1)
			return false, nil
		}
	case ',', ']', '}':
		if !at.line || at.list || r.onlySyntax() {
			at.list = true
			at.closed = at.closed || c == ']'
			r.advance(1)
			return false, nil
		}
	case '"':
		if at.closed && r.trailer() {
			return false, nil
		}
	case bom[0]:
		if r.fill(len(bom)); bytes.HasPrefix(r.window(), []byte(bom)) {
			r.advance(len(bom))
			return false, nil
		}
	}
	return r.text(e, at.list)
}

// bom is the byte order mark that some editors and shells put before UTF-8.
const bom = "\xef\xbb\xbf"

// object reads the object at pos: the head of a list, an event, or something with
// an event inside.
func (r *Reader) object(e *Event, at *place) (done bool, err error) {
	if n := r.listHead(); n > 0 {
		at.list = true
		r.advance(n)
		return false, nil
	}
	n, f := r.frame()
	w := r.window()
	switch {
	case f == none && n == len(w) && r.growing && !r.grow():
		return true, r.err
	case f == none && n <= r.max:
		return r.whole(e, n)
	case len(w) > r.max:
		return true, r.overlong()
	case f == cutShort && r.growing && r.err == io.EOF && !bytes.Contains(w, tornLine):
		return true, io.EOF
	}
	r.debt += n
	return true, r.broken(n, f, at)
}

// frame returns the length of the JSON value at pos, reading on as needed, or the
// fault in it and where it is. It gives up beyond max bytes.
func (r *Reader) frame() (int, fault) {
	for {
		w := r.ahead()
		n, f := skip(w, 0)
		if f != cutShort || len(w) > r.max || !r.affords() || !r.grow() {
			return n, f
		}
	}
}

// whole reads the well-formed object of n bytes at pos.
func (r *Reader) whole(e *Event, n int) (done bool, err error) {
	object := r.window()[:n]
	if r.accept(e, object) {
		return true, nil
	}
	if isEmptyList(object) {
		r.advance(n)
		return false, nil
	}
	if bytes.Contains(object, tornLine) {
		return true, r.setAside(r.begin(cutShort.reason()), 1, false)
	}
	if resyncs(object) {
		fault := r.begin("an audit event that cannot be read: " + e.Scan(object).Error())
		r.drop(fault, n)
		return true, fault
	}
	return true, r.noise(e, n, "a JSON object that is no audit event")
}

// window returns what is read and not yet returned.
func (r *Reader) window() []byte { return r.buf[r.pos:r.end] }

// advance passes n bytes of the window.
func (r *Reader) advance(n int) {
	r.line += int64(bytes.Count(r.buf[r.pos:r.pos+n], []byte{'\n'}))
	r.pos += n
	r.eol = max(r.eol, r.pos)
	r.debt = max(0, r.debt-16*n)
}

// lineEnd returns the length of the line at pos, without its newline, or -1 if the
// line is not over in a full buffer or at the end of the stream.
func (r *Reader) lineEnd() int {
	for {
		if i := bytes.IndexByte(r.buf[r.eol:r.end], '\n'); i >= 0 {
			r.eol += i
			return r.eol - r.pos
		}
		r.eol = r.end
		if len(r.window()) == len(r.buf) || !r.more() {
			return -1
		}
	}
}

// grow reads on until there is a newline in what was read or the window is twice as
// long, but not far beyond max bytes. It reports whether there was anything to read.
// It waits for no more than the end of a line: a pipe may not give more for long.
func (r *Reader) grow() bool {
	before := len(r.window())
	for len(r.window()) < min(2*before, r.max+1) && r.more() {
		if bytes.IndexByte(r.window()[before:], '\n') >= 0 {
			break
		}
	}
	return len(r.window()) > before
}

// fill reads on until the window holds n bytes or a line.
func (r *Reader) fill(n int) {
	for len(r.window()) < n && bytes.IndexByte(r.window(), '\n') < 0 && r.more() {
	}
}

// more reads more bytes, and reports whether there were any. What lies in the buffer
// may move.
func (r *Reader) more() bool {
	if r.err != nil {
		return false
	}
	if r.end == len(r.buf) {
		r.makeRoom()
	}
	for range 100 {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		r.err = err
		if n > 0 || err != nil {
			return n > 0
		}
	}
	r.err = io.ErrNoProgress
	return false
}

// makeRoom moves the window to the front of the buffer, and makes the buffer larger
// where that gains little.
func (r *Reader) makeRoom() {
	to := r.buf
	if len(r.window()) > len(r.buf)/2 {
		to = make([]byte, 2*len(r.buf))
	}
	n := copy(to, r.window())
	r.base += int64(r.pos)
	r.eol -= r.pos
	r.buf, r.pos, r.end = to, 0, n
}

// finish returns the error of the source. Damage is a fault first.
func (r *Reader) finish() error {
	var damage *Damage
	if errors.As(r.err, &damage) {
		r.err = io.EOF
		return &Fault{Offset: r.Offset(), Reason: damage.Error()}
	}
	return r.err
}

// trimRight returns b without the blanks at its end.
func trimRight(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\r' || b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// blanks counts the white space at the beginning of b, up to a newline.
func blanks(b []byte) int {
	n := 0
	for n < len(b) && (b[n] == ' ' || b[n] == '\t' || b[n] == '\r') {
		n++
	}
	return n
}

// isSyntax reports whether c stands between and after the items of a list.
func isSyntax(c byte) bool { return c == ',' || c == ']' || c == '}' }
