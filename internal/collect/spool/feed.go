package spool

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"sync"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/trail"
)

// Feed reads one spool, only what is durable, so that the trail is
// never ahead of it. Bodies are written whole: a reader need not wait for the rest of
// one, and what is no event is set aside at once.
type Feed struct {
	spool *spool
	event audit.Event

	// source is how far the feed is. solid is a position that the next commit makes
	// durable for certain: events before it were appended together with it. A commit
	// of nothing but positions is none.
	source trail.Source
	solid  int64
	stored int64 // what solid was when something was committed
	rows   bool  // something was appended since solid
	barren int64 // where the first byte stands after which nothing was appended
	lost   *trail.Fault
	old    []segment // not needed any more, and not yet removed

	file   *os.File // being read, from begin up to until in the spool; nil for none
	reader *audit.Reader
	begin  int64
	until  int64

	memory   memory
	limit    func() int // of lines in memory
	body     body       // that the event read last is in
	repeated []byte     // the mark of a repeat
	hasher   hash.Hash
	chunk    []byte

	mu     sync.Mutex // guards what follows
	status collect.Status
	passed int64 // source.Position, after a Pull
}

// maxBarren is how many bytes without an event or anything else to set aside, such as
// empty lists, are passed before they are themselves set aside. Otherwise no commit
// would note that they were read, and they would fill the spool.
const maxBarren = 1 << 20

// newSpoolFeed returns a feed that goes on where the trail is.
func newSpoolFeed(s *spool, from Origin, limit func() int) *Feed {
	f := &Feed{spool: s, limit: limit, repeated: []byte(repeatMark), hasher: sha256.New(), chunk: make([]byte, 32<<10),
		source: trail.Source{Name: "webhook/" + from.String(), Cluster: from.Cluster, Server: from.Server}}
	for _, known := range s.cfg.Sources {
		if known.Name == f.source.Name && known.Cluster == from.Cluster && known.Server == from.Server && known.Print == "" {
			f.source = known
		}
	}
	at := f.source.Position
	f.solid, f.stored, f.barren, f.passed = at, at, at, at
	f.status = collect.Status{Name: f.source.Name, Cluster: from.Cluster, Server: from.Server}
	return f
}

// Pull appends what was received. What the spool has lost is set aside as a fault.
func (f *Feed) Pull(ctx context.Context, w collect.Appender, limit int64) (bool, error) {
	before, stop := f.source.Position, f.source.Position+max(1, limit)
	f.tidy() // on a full disk nothing may come that could be committed
	var err error
	for more := true; more && err == nil && f.source.Position < stop; {
		if f.reader == nil {
			more, err = f.open(w)
			continue
		}
		err = f.read(ctx, w, stop)
	}
	if f.source.Position-f.barren >= maxBarren {
		f.fault(w, trail.Fault{Offset: f.barren, Length: f.source.Position - f.barren, Reason: "lists without an audit event"})
		f.advance(w)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.source.Position > before {
		f.status.Bytes += f.source.Position - before
		f.status.LastRead = f.spool.cfg.Now()
	}
	f.status.Err, f.passed = err, f.source.Position
	_, more := f.spool.behind(f.source.Position)
	return more && err == nil, err
}

// open opens the segment to go on with, or passes what was lost. It reports whether
// there is anything.
func (f *Feed) open(w collect.Appender) (bool, error) {
	at := f.source.Position
	next, ok := f.spool.behind(at)
	if !ok {
		return false, nil
	}
	if f.lost != nil {
		f.fault(w, *f.lost)
		f.lost = nil
	}
	if next.start > at {
		f.lose(w, next.start)
		return true, nil
	}
	file, err := os.Open(f.spool.name(next.start))
	if errors.Is(err, fs.ErrNotExist) {
		f.lose(w, next.end)
		return true, nil
	}
	if err != nil {
		return true, err
	}
	f.file, f.begin, f.until = file, next.start, next.end
	f.reader = audit.NewReader(io.NewSectionReader(file, at-next.start, next.end-at), audit.ReaderConfig{
		StartOffset: at, StartLine: f.source.Line, Source: f.source.Name, Cluster: f.source.Cluster, Server: f.source.Server,
	})
	return true, nil
}

// read appends events up to stop or the end of what was opened.
func (f *Feed) read(ctx context.Context, w collect.Appender, stop int64) error {
	for n := 0; f.reader.Offset() < stop; n++ {
		if w.Full() {
			f.advance(w)
			if err := w.Seal(); err != nil {
				return err
			}
		}
		if n%256 == 0 && ctx.Err() != nil {
			break
		}
		err := f.reader.Next(&f.event)
		if fault, ok := errors.AsType[*audit.Fault](err); ok {
			f.fault(w, trail.Fault{Offset: fault.Offset, Length: fault.Length, Reason: fault.Reason, Head: fault.Head})
			continue
		}
		if err != nil {
			f.advance(w)
			f.shut()
			if err != io.EOF {
				return fmt.Errorf("read the spool %s: %w", f.source.Name, err)
			}
			if f.source.Position < f.until {
				f.lose(w, f.until)
			}
			return nil
		}
		f.mark(&f.event)
		w.Append(&f.event)
		f.rows = true
		f.mu.Lock()
		f.status.Events++
		f.mu.Unlock()
	}
	f.advance(w)
	return ctx.Err()
}

// advance notes how far the reader is.
func (f *Feed) advance(w collect.Appender) {
	if f.reader != nil {
		f.source.Position, f.source.Line = f.reader.Offset(), f.reader.Line()
	}
	w.Advance(f.source)
	if f.rows {
		f.solid, f.barren, f.rows = f.source.Position, f.source.Position, false
	}
}

// lose sets aside everything up to an offset, because it is not there.
func (f *Feed) lose(w collect.Appender, to int64) {
	f.fault(w, trail.Fault{Offset: f.source.Position, Length: to - f.source.Position,
		Reason: "a file of the spool, or the end of one, is missing"})
	f.source.Position = to
	f.advance(w)
}

func (f *Feed) fault(w collect.Appender, fault trail.Fault) {
	fault.Source, fault.Cluster, fault.Server = f.source.Name, f.source.Cluster, f.source.Server
	if f.spool.cfg.OnFault != nil {
		f.spool.cfg.OnFault(fault)
	}
	w.SetAside(fault)
	f.rows = true
	f.mu.Lock()
	f.status.Faults++
	f.mu.Unlock()
}

// Committed removes the files that hold nothing but what is in the trail.
func (f *Feed) Committed() {
	f.stored = f.solid
	f.tidy()
}

// tidy removes segments. What cannot be removed now is removed later; that a removal
// becomes durable is not waited for either.
func (f *Feed) tidy() {
	var kept []segment
	gone := f.spool.forget(f.stored)
	if len(gone) > 0 {
		f.save()
	}
	for _, g := range append(f.old, gone...) {
		if err := f.spool.cfg.FS.Remove(f.spool.name(g.start)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			kept = append(kept, g)
		}
	}
	f.old = kept
}

// Status tells how far the feed is.
func (f *Feed) Status() collect.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	status := f.status
	status.Waiting = f.spool.waiting(f.passed)
	return status
}

// Close closes the file being read.
func (f *Feed) Close() error { return f.shut() }

func (f *Feed) shut() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file, f.reader = nil, nil
	return err
}
