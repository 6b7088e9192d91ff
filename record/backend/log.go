package backend

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"kubetrail/audit"
	"kubetrail/record"
)

// The formats of a log. Upstream: plugin/pkg/audit/log.
const (
	FormatJSON   = "json"   // one line of JSON for each event
	FormatLegacy = "legacy" // one line of text, without bodies and much else
)

// LogConfig says where and how events are logged. Either Out or File is required.
type LogConfig struct {
	// Out gets whole lines, by one Write for one ProcessEvents or for several that come
	// at a time.
	Out io.Writer

	// File is written to instead of Out, and run.
	File *File

	Format string // default FormatJSON
	Losses *Losses
}

// Log returns a backend that writes events as lines. ProcessEvents returns after the
// write: while one is at it, others put their lines together for the next write.
// Lines that cannot be written are lost and reported so. Upstream: plugin/pkg/audit/log.
func Log(c LogConfig) record.Backend {
	l := &logger{c: c, out: &lineWriter{w: c.Out}, writing: make(chan struct{}, 1)}
	if c.File != nil {
		l.out = c.File
	}
	l.groups.New = func() any { return new(group) }
	return l
}

type logger struct {
	c      LogConfig
	groups sync.Pool // of *group

	mu   sync.Mutex
	next *group // what lines are added to, or nil

	writing chan struct{} // holds a token while somebody writes to out
	out     io.Writer     // of whole lines: a *File or a *lineWriter
}

// A group is lines that are written together.
type group struct {
	lines   []byte
	waiting atomic.Int32 // callers that have not yet seen how it ended

	done   chan struct{} // closed after the write; nil if there is one caller only
	stored int           // the bytes of lines that were; valid after done
}

const (
	maxGroup  = 1 << 20 // bytes from which on nothing is added to a group
	keepGroup = 4 << 20 // bytes of the largest group whose memory is used again
)

func (l *logger) String() string { return "log" }

func (l *logger) ProcessEvents(events ...*record.Event) bool {
	if len(events) == 0 {
		return true
	}
	if l.c.Format != FormatLegacy {
		for _, e := range events {
			e.Line() // encoded now, so that nobody has to wait for it
		}
	}
	return l.put(func(dst []byte) []byte {
		for _, e := range events {
			if l.c.Format == FormatLegacy {
				dst = appendLegacy(dst, e.Event)
			} else {
				dst = append(dst, e.Line()...)
			}
		}
		return dst
	})
}

// processLines takes lines out of a buffer.
func (l *logger) processLines(lines [][]byte) bool {
	if len(lines) == 0 {
		return true
	}
	ok := true
	return l.put(func(dst []byte) []byte {
		var e audit.Event
		for _, line := range lines {
			if l.c.Format != FormatLegacy {
				dst = append(dst, line...)
			} else if err := e.Scan(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
				l.c.Losses.Fail("log", CauseEncoding, 1, err)
				ok = false
			} else {
				dst = appendLegacy(dst, e)
			}
		}
		return dst
	}) && ok
}

// put writes the lines that appendLines appends, at once or together with those of
// others, and reports whether they are stored.
func (l *logger) put(appendLines func(dst []byte) []byte) bool {
	l.mu.Lock()
	g := l.next
	leads := g == nil || len(g.lines) >= maxGroup
	if leads {
		g = l.groups.Get().(*group)
		l.next = g
	} else if g.done == nil {
		g.done = make(chan struct{})
	}
	g.waiting.Add(1)
	g.lines = appendLines(g.lines)
	end := len(g.lines)
	l.mu.Unlock()

	if leads {
		l.lead(g)
	} else {
		<-g.done
	}
	ok := end <= g.stored
	if g.waiting.Add(-1) == 0 {
		l.release(g)
	}
	return ok
}

// lead writes g, and whatever others add to it until its turn comes.
func (l *logger) lead(g *group) {
	l.writing <- struct{}{}
	l.mu.Lock()
	if l.next == g {
		l.next = nil
	}
	l.mu.Unlock()
	g.stored = l.write(g.lines)
	<-l.writing
	if g.done != nil {
		close(g.done)
	}
}

// release makes a group that nobody waits for any more ready for others.
func (l *logger) release(g *group) {
	if cap(g.lines) > keepGroup {
		return
	}
	g.lines, g.done, g.stored = g.lines[:0], nil, 0
	l.groups.Put(g)
}

// write writes lines, before them what was lost, and returns how many bytes of the lines
// are stored. The caller has put a token into l.writing.
func (l *logger) write(lines []byte) (stored int) {
	var head []byte
	losses := l.c.Losses.Take()
	if len(losses) > 0 {
		for _, lost := range losses {
			head = l.appendLoss(head, lost)
		}
		lines = append(head, lines...)
	}
	if len(lines) == 0 {
		return 0
	}
	n, err := l.out.Write(lines)
	if told := bytes.Count(lines[:min(n, len(head))], []byte("\n")); told < len(losses) {
		l.c.Losses.Restore(losses[told:])
	}
	if err != nil {
		cause := CauseWrite
		if errors.Is(err, errSync) {
			cause = CauseSync
		}
		lost := bytes.Count(lines[max(n, len(head)):], []byte("\n"))
		l.c.Losses.Fail("log", cause, lost, err)
	}
	return max(0, n-len(head))
}

func (l *logger) appendLoss(dst []byte, lost Lost) []byte {
	e := l.c.Losses.Event(lost)
	if l.c.Format != FormatLegacy {
		return append(dst, e.Line()...)
	}
	// This format has no annotations, but a URI.
	q := url.Values{"lost": {strconv.Itoa(lost.Count)}, "lost-cause": {lost.Cause}}
	e.Text[audit.RequestURI] = []byte("/kubetrail.io?" + q.Encode())
	return appendLegacy(dst, e.Event)
}

// appendLegacy appends the line that kube-apiserver's legacy format has for an event.
func appendLegacy(dst []byte, e audit.Event) []byte {
	e.Form = audit.FormLegacy
	if len(e.Text[audit.Username]) == 0 {
		e.Text[audit.UserGroups] = nil // as upstream
	}
	if e.Received == audit.NoTime {
		e.Received = time.Time{}.UnixMicro() // likewise
	}
	return append(e.AppendColumns(dst), '\n')
}

// Run runs the File, and writes what was lost where no event has done so within a second.
func (l *logger) Run(ctx context.Context) error {
	var file sync.WaitGroup
	var err error
	if l.c.File != nil {
		file.Go(func() { err = l.c.File.Run(ctx) })
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-l.c.Losses.Ready():
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
			l.flush()
		}
	}
	l.flush()
	file.Wait()
	return err
}

// flush writes what was lost and is not told of yet.
func (l *logger) flush() {
	if l.c.Losses.Pending() {
		l.writing <- struct{}{}
		l.write(nil)
		<-l.writing
	}
}

// A lineWriter writes whole lines to w. A line that w takes a part of only is not
// stored, and ended before the next one, so that it spoils no other.
type lineWriter struct {
	w    io.Writer
	torn bool // w ends in a part of a line
}

func (w *lineWriter) Write(lines []byte) (stored int, err error) {
	mended := 0
	if w.torn {
		lines, mended = append([]byte{'\n'}, lines...), 1
	}
	n, err := w.w.Write(lines)
	n = min(max(n, 0), len(lines))
	if n < len(lines) && err == nil {
		err = io.ErrShortWrite
	}
	whole := bytes.LastIndexByte(lines[:n], '\n') + 1
	if n > 0 {
		w.torn = whole < n
	}
	return max(0, whole-mended), err
}
