package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// What a damaged stretch is searched for: the beginning of an event as no client of
// kube-apiserver can write it into one. Within a string every quote is escaped, and
// an object with this beginning inside of a body is followed by the rest of the
// body, see [Reader.resync].
var (
	eventList  = []byte(`{"kind":"EventList",`)
	eventStart = []byte(`{"kind":"Event","apiVersion":"audit.k8s.io/`)
	listStart  = []byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/`)
	itemStart  = []byte(`{"level":"`)
	itemGoesOn = []byte(`","auditID":"`)
	legacyMark = []byte(` AUDIT: id="`)
	tornLine   = []byte("\n{") // inside an object: the line before was never finished
)

// longestStart is how many bytes may be needed to tell the beginning of an event:
// a legacy line is told by what follows its time.
const longestStart = 64

// patience is how many bytes may be looked at in vain before the reader takes
// damage as it comes, one line at a time.
const patience = 64 << 20

// affords reports whether the reader may look far ahead once more. Each byte looked
// at in vain is a debt that sixteen times as many bytes passed pay back, so that
// the work for any input grows no faster than its size.
func (r *Reader) affords() bool { return r.debt < patience }

// ahead is what the reader may look at: the window, or only the line.
func (r *Reader) ahead() []byte {
	w := r.window()
	if !r.affords() {
		if n := bytes.IndexByte(w, '\n'); n >= 0 {
			return w[:n]
		}
	}
	return w
}

// resyncs reports whether b begins like an event or a list of events.
func resyncs(b []byte) bool {
	switch {
	case bytes.HasPrefix(b, eventStart), bytes.HasPrefix(b, listStart):
		return true
	case bytes.HasPrefix(b, itemStart):
		head := b[len(itemStart):min(len(b), longestStart)]
		level := bytes.IndexByte(head, '"')
		return level >= 0 && bytes.HasPrefix(head[level:], itemGoesOn)
	}
	return legacyTime(b) > 0
}

// legacyTime returns the length of the time that a legacy line begins with, or 0 if
// b is no legacy line.
func legacyTime(b []byte) int {
	n := bytes.Index(b[:min(len(b), longestStart)], legacyMark)
	if n <= 0 {
		return 0
	}
	if _, _, ok := parseTime(b[:n]); !ok {
		return 0
	}
	return n
}

// nextStart returns the offset of the first beginning of an event in b at from or
// later, or -1.
func nextStart(b []byte, from int) int {
	mark := indexFrom(b, legacyMark, from)
	for i := from; ; {
		if j := bytes.IndexByte(b[i:mark], '{'); j >= 0 {
			if i += j; resyncs(b[i:]) {
				return i
			}
			i++
			continue
		}
		if mark == len(b) {
			return -1
		}
		if start := timeBefore(b, mark); start >= from {
			return start
		}
		i = mark + 1
		mark = indexFrom(b, legacyMark, i)
	}
}

// indexFrom returns the offset of the first sep in b from i, or len(b).
func indexFrom(b, sep []byte, i int) int {
	if n := bytes.Index(b[i:], sep); n >= 0 {
		return i + n
	}
	return len(b)
}

// timeBefore returns the offset of the time that ends at end, or -1.
func timeBefore(b []byte, end int) int {
	t := bytes.LastIndexByte(b[max(0, end-longestStart):end], 'T')
	start := max(0, end-longestStart) + t - len("2006-01-02")
	if t < 0 || start < 0 || legacyTime(b[start:]) == 0 {
		return -1
	}
	return start
}

// resync returns the offset of the first event in line from i where reading can go
// on, or -1. The event must be whole, and nothing but another event or the end of
// the line may follow: an object inside of a body that looks like an event is no
// event. Among the items of a list, a comma or bracket may follow.
func (r *Reader) resync(line []byte, i int, list bool) int {
	for r.affords() {
		start := nextStart(line, i)
		if start < 0 || line[start] != '{' {
			return start
		}
		n, f := skip(line[start:], 0)
		rest := line[start+n:]
		rest = rest[blanks(rest):]
		if f == none && (len(rest) == 0 || resyncs(rest) || list && isSyntax(rest[0])) {
			return start
		}
		r.debt += n
		i = start + 1
	}
	return -1
}

// begin makes the fault that begins at pos.
func (r *Reader) begin(reason string) *Fault {
	return &Fault{Offset: r.base + int64(r.pos), Reason: reason}
}

// drop adds n bytes of the window to a fault.
func (r *Reader) drop(f *Fault, n int) {
	head := r.window()[:min(n, maxHead-len(f.Head))]
	f.Head = append(f.Head, head...)
	f.Length += int64(n)
	r.advance(n)
}

// setAside sets everything aside up to where reading can go on: the end of the line,
// a NUL byte, or an event further on in the line that begins at from or later. In a
// growing stream it leaves the last line for later, with io.EOF, if that is not over.
func (r *Reader) setAside(f *Fault, from int, list bool) error {
	for {
		w := r.window()
		stop := lineStop(w, from)
		last := stop < 0 && r.err != nil
		unfinished := last && r.growing && r.err == io.EOF
		end := stop
		if stop < 0 {
			end = len(w)
		}
		switch start := nextStart(w[:end], from); {
		case start >= 0 && stop < 0 && !last && len(w) <= r.max:
			from = start
			r.grow() // to see the rest of the line
			continue
		case start >= 0 && !unfinished:
			if start = r.resync(w[:end], start, list); start >= 0 {
				r.drop(f, start)
				if !list {
					f.Reason = "a line that breaks off, and another event goes on in its middle"
				}
				return f
			}
		}
		switch {
		case stop >= 0:
			r.drop(f, end)
			return f
		case unfinished && f.Length == 0:
			return io.EOF // the line may go on with an event
		case unfinished:
			return f
		case last:
			r.drop(f, end)
			r.cutShort(f)
			return f
		}
		n := max(0, len(w)-longestStart)
		r.drop(f, n)
		from = max(0, from-n)
		r.more()
	}
}

// cutShort says in a fault at the end of the stream that the stream is damaged.
func (r *Reader) cutShort(f *Fault) {
	var damage *Damage
	if errors.As(r.err, &damage) {
		f.Reason += "; " + damage.Error()
		r.err = io.EOF
	}
}

// lineStop returns the offset of the first newline or NUL byte in b from i, or -1.
func lineStop(b []byte, i int) int {
	end := len(b)
	stop := -1
	if n := bytes.IndexByte(b[i:], '\n'); n >= 0 {
		stop, end = i+n, i+n
	}
	if n := bytes.IndexByte(b[i:end], 0); n >= 0 {
		stop = i + n
	}
	return stop
}

// broken sets aside the object at pos, which is well formed only up to x, where it
// has the fault given.
func (r *Reader) broken(x int, what fault, at *place) error {
	w := r.window()
	newline := bytes.IndexByte(w[:x], '\n')
	if newline < 0 && x < len(w) && w[x] != '\n' {
		// All before x is one object's: an event can only begin where the fault
		// is, or two bytes before, if {" was taken for the end of a string.
		f := r.begin(fmt.Sprintf("%s at byte %d", what.reason(), x))
		return r.setAside(f, max(1, x-2), at.list)
	}
	f := r.begin(cutShort.reason())
	if newline < 0 || newline+1 == len(w) || w[newline+1] != ' ' && w[newline+1] != '\t' {
		return r.setAside(f, 1, at.list)
	}
	if torn := bytes.Index(w[:min(x+1, len(w))], tornLine); torn >= 0 {
		r.drop(f, torn)
		return f
	}
	f.Reason = fmt.Sprintf("%s at byte %d", what.reason(), x)
	return r.setAsidePretty(f, x, at.column)
}

// setAsidePretty sets a pretty-printed object aside that is broken at x: up to the
// first line, from that of x on, that is indented no further than the object is.
func (r *Reader) setAsidePretty(f *Fault, x, column int) error {
	r.drop(f, bytes.LastIndexByte(r.window()[:x], '\n'))
	for {
		for len(r.window()) < column+3 && r.more() {
		}
		w := r.window()
		if len(w) == 0 {
			r.cutShort(f)
			return f
		}
		if w[0] == '\n' {
			n := 1 + blanks(w[1:])
			if n <= 1+column && n < len(w) && w[n] != '\n' {
				return f
			}
			r.drop(f, 1)
		}
		n := r.lineEnd()
		if n < 0 {
			n = len(r.window())
		}
		r.drop(f, n)
	}
}

// hole sets a run of NUL bytes aside, of any length.
func (r *Reader) hole() error {
	f := r.begin("NUL bytes: a hole in the file")
	for {
		w := r.window()
		n := 0
		for n < len(w) && w[n] == 0 {
			n++
		}
		r.drop(f, n)
		if n < len(w) || !r.more() {
			return f
		}
	}
}

// overlong passes over an object that is longer than max, to its end or the end of
// its line, whichever is first.
func (r *Reader) overlong() error {
	f := r.begin(fmt.Sprintf("an object longer than %d bytes", r.max))
	var depth int
	var quoted, escaped bool
	for {
		for i, c := range r.window() {
			switch {
			case c == '\n' || c == 0:
				r.drop(f, i)
				return f
			case escaped:
				escaped = false
			case quoted:
				escaped = c == '\\'
				quoted = c != '"'
			case c == '"':
				quoted = true
			case c == '{' || c == '[':
				depth++
			case c == '}' || c == ']':
				if depth--; depth == 0 {
					r.drop(f, i+1)
					return f
				}
			}
		}
		r.drop(f, len(r.window()))
		if !r.more() {
			r.cutShort(f)
			return f
		}
	}
}

// maxNoise is how many bytes of lines without any event make one fault.
const maxNoise = 64 << 10

// noise sets aside the n bytes at pos, which are no event and do not look like part
// of one, and the lines after them that are of the same kind.
func (r *Reader) noise(e *Event, n int, reason string) error {
	f := r.begin(reason)
	r.drop(f, n)
	lines := 1
	for f.Length < maxNoise {
		n := r.noiseLine(e)
		if n == 0 {
			break
		}
		r.drop(f, n)
		lines++
	}
	if lines > 1 {
		f.Reason = fmt.Sprintf("%d lines without an audit event", lines)
	}
	return f
}

// noiseLine returns the length of the newline at pos and the line after it, if all
// of that is in the window and the line is certainly no event, part of one, or list.
func (r *Reader) noiseLine(e *Event) int {
	for len(r.window()) == 0 && r.more() {
	}
	w := r.window()
	if len(w) == 0 || w[0] != '\n' {
		return 0
	}
	n := 0
	for n = 1 + bytes.IndexByte(w[1:], '\n'); n == 0; n = 1 + bytes.IndexByte(w[1:], '\n') {
		if len(w) > maxNoise || !r.more() {
			return 0
		}
		w = r.window()
	}
	line := w[1:n]
	line = line[blanks(line):]
	switch {
	case len(line) == 0:
		return n
	case bytes.IndexByte([]byte("[,]}\x00\xef"), line[0]) >= 0, lineStop(line, 0) >= 0:
		return 0
	case line[0] == '{':
		m, f := skip(line, 0)
		if f != none || len(trimRight(line)) != m || head(line) > 0 || isEmptyList(line[:m]) || resyncs(line) || r.accepts(e, line[:m]) {
			return 0
		}
		return n
	case nextStart(line, 0) >= 0, bytes.Contains(line, []byte(`{"`)):
		return 0
	}
	return n
}
