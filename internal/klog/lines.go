package klog

import (
	"bytes"
	"io"
)

// lines reads lines, with places in the source. A line longer than max is cut in pieces.
type lines struct {
	src io.Reader
	err error // what src ended with, nil while it goes on

	buf      []byte
	pos, end int
	base     int64 // offset of buf[0] in the source
	line     int64 // newlines before buf[pos]

	max     int
	growing bool
}

const readSize = 64 << 10

// resume tries a source again that is growing.
func (l *lines) resume() {
	if l.growing && l.err == io.EOF {
		l.err = nil
	}
}

// peek returns the line that begins skip bytes behind pos, without its newline, and its
// size with it. What was returned before becomes invalid. The error is io.EOF where
// there is none, or, in a source that is growing, none that ends.
func (l *lines) peek(skip int) (line []byte, size int, err error) {
	for from := skip; ; {
		w := l.buf[l.pos:l.end]
		if i := bytes.IndexByte(w[from:], '\n'); i >= 0 {
			end := min(from+i, skip+l.max)
			if end == from+i {
				return w[skip:end], end + 1 - skip, nil
			}
			return w[skip:end], end - skip, nil
		}
		if len(w)-skip >= l.max {
			return w[skip : skip+l.max], l.max, nil
		}
		from = len(w)
		if l.more() {
			continue
		}
		if w = l.buf[l.pos:l.end]; len(w) == skip || l.err != io.EOF || l.growing {
			return nil, 0, l.err
		}
		return w[skip:], len(w) - skip, nil
	}
}

// advance passes n bytes.
func (l *lines) advance(n int) {
	l.line += int64(bytes.Count(l.buf[l.pos:l.pos+n], []byte{'\n'}))
	l.pos += n
}

// more reads more bytes, and reports whether there were any.
func (l *lines) more() bool {
	if l.err != nil {
		return false
	}
	if l.end == len(l.buf) {
		to := l.buf
		if l.end-l.pos > len(l.buf)/2 || len(to) == 0 {
			to = make([]byte, max(readSize, 2*len(l.buf)))
		}
		n := copy(to, l.buf[l.pos:l.end])
		l.base += int64(l.pos)
		l.buf, l.pos, l.end = to, 0, n
	}
	for range 100 {
		n, err := l.src.Read(l.buf[l.end:])
		l.end += n
		l.err = err
		if n > 0 || err != nil {
			return n > 0
		}
	}
	l.err = io.ErrNoProgress
	return false
}
