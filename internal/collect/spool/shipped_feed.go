package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/trail"
)

// shippedFeed reads what one agent ships, every file as a source of its own. A last line
// that has not ended waits, as in a log that is followed here.
type shippedFeed struct {
	shipper *shipper
	event   audit.Event
	live    []*stream // that have a decoder, the one that was used last at the end

	file *os.File // of segment, being read
	in   int64    // its number

	mu     sync.Mutex // guards status
	status collect.Status
}

// maxDecoders bounds the decoders of an agent's files, and so the memory for halves of
// lines that wait: the halves of others are read again when more comes.
const maxDecoders = 4

// reading is what the feed has of a stream.
type reading struct {
	decoder collect.Decoder // at source.Position; nil: none
	from    *pieceReader    // what it reads
	looked  int64           // the end up to which there was no more to read; 0: not looked at
}

func newShippedFeed(a *shipper) *shippedFeed {
	return &shippedFeed{shipper: a, status: collect.Status{Name: "agent/" + a.from.String(), Cluster: a.from.Cluster, Server: a.from.Server}}
}

// shippedRound is one call of Pull.
type shippedRound struct {
	ctx    context.Context
	w      collect.Appender
	read   int64
	limit  int64
	events uint64
	faults uint64
	more   bool // a decoder stopped where it was told to, and there is more behind
}

// leastRead is how many bytes a decoder gets at least in a round: some find nothing in
// all that they are given, so that the limit has to hold for what they are given too.
const leastRead = 64 << 10

// keptHalf is how much of a line that has not ended a decoder holds until more comes. It
// is begun anew with a longer one: decoders look at it from its beginning each time, and
// have only so much patience with a line.
const keptHalf = 32 << 10

func (p *shippedRound) over() bool { return p.read >= p.limit || p.ctx.Err() != nil }

// Pull appends what was shipped.
func (f *shippedFeed) Pull(ctx context.Context, w collect.Appender, limit int64) (bool, error) {
	a := f.shipper
	a.tidy() // on a full disk nothing may come that could be committed
	p := &shippedRound{ctx: ctx, w: w, limit: max(1, limit)}
	a.mu.Lock()
	streams := slices.Clone(a.order)
	a.mu.Unlock()
	var err error
	for _, st := range streams {
		if p.over() || p.more || err != nil {
			break
		}
		err = f.stream(p, st)
	}
	if err == nil {
		err = ctx.Err()
	}
	more := (p.read >= p.limit || p.more) && err == nil
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Events += p.events
	f.status.Faults += p.faults
	if f.status.Bytes += p.read; p.read > 0 {
		f.status.LastRead = a.cfg.Now()
	}
	f.status.Err = err
	return more, err
}

// ahead is what a stream has before it, as of one moment.
type ahead struct {
	stop       int64 // bytes can be read up to there
	gap        piece // what comes then, if anything
	end        int64
	done, gone bool // nothing comes after end
	reason     string
}

func (st *stream) ahead(at int64) ahead {
	h := ahead{stop: st.end, end: st.end, done: st.done && !st.source.Done, gone: st.gone && !st.left, reason: st.reason}
	for _, p := range st.pieces {
		if p.missing != "" && p.offset+p.length > at {
			h.stop, h.gap = p.offset, p
			break
		}
	}
	return h
}

// at is how far the bytes of a stream were read; its events may not be as far.
func (st *stream) at() int64 {
	if st.reading.from != nil {
		return st.reading.from.at
	}
	return st.source.Position
}

// stream appends what a stream has more of.
func (f *shippedFeed) stream(p *shippedRound, st *stream) error {
	for {
		f.shipper.mu.Lock()
		h := st.ahead(st.at())
		f.shipper.mu.Unlock()
		if h.end == st.reading.looked && !h.done && !h.gone {
			return nil
		}
		if h.stop > st.source.Position {
			if err := f.read(p, st, true, h.stop); err != nil || p.over() || p.more {
				return err
			}
		}
		switch {
		case st.at() < h.stop:
			return nil
		case h.gap.length > 0:
			if err := f.finish(p, st, h.stop); err != nil {
				return err
			}
			f.fault(p, st, trail.Fault{Offset: h.gap.offset, Length: h.gap.length, Reason: h.gap.missing})
			f.advance(p, st, h.gap.offset+h.gap.length, st.source.Line)
			continue
		case h.done || h.gone:
			if err := f.finish(p, st, h.stop); err != nil {
				return err
			}
			f.end(p, st, h)
		}
		if st.reading.looked = h.end; st.at()-st.source.Position > keptHalf {
			f.drop(st)
		}
		return nil
	}
}

// end notes that nothing more comes.
func (f *shippedFeed) end(p *shippedRound, st *stream, h ahead) {
	if h.done && h.reason != "" {
		f.fault(p, st, trail.Fault{Offset: h.end, Reason: h.reason})
	}
	f.shipper.mu.Lock()
	if h.end == st.end { // nothing came in the meantime after all
		st.source.Done = st.source.Done || h.done
		st.left = h.gone
	}
	s := st.source
	s.Gone = st.left
	f.shipper.mu.Unlock()
	p.w.Advance(s)
}

// finish reads what was not decoded of the bytes before stop, which is all there is.
func (f *shippedFeed) finish(p *shippedRound, st *stream, stop int64) error {
	f.drop(st)
	if st.source.Position == stop {
		return nil
	}
	err := f.read(p, st, false, stop)
	f.drop(st)
	if err == nil && st.source.Position < stop { // a decoder that passes over its end
		f.advance(p, st, stop, st.source.Line)
	}
	return err
}

// read appends events of the bytes before stop. Where it is growing, the half of an
// event is left for later, and a limit is kept.
func (f *shippedFeed) read(p *shippedRound, st *stream, growing bool, stop int64) error {
	for allow := max(p.limit-p.read, leastRead); ; allow *= 2 {
		if within, err := f.readSome(p, st, growing, stop, allow); !within {
			return err
		}
		f.drop(st) // see keptHalf
	}
}

// readSome is read, of the next so many bytes where it is growing. It reports whether
// they are too few to come to an end of a line.
func (f *shippedFeed) readSome(p *shippedRound, st *stream, growing bool, stop, allow int64) (within bool, err error) {
	r := &st.reading
	if r.decoder == nil {
		s := st.source
		f.shipper.mu.Lock()
		kind := st.kind
		f.shipper.mu.Unlock()
		r.from = &pieceReader{feed: f, st: st, at: s.Position}
		r.decoder = f.shipper.cfg.Formats[kind].Decode(r.from, audit.ReaderConfig{StartOffset: s.Position, StartLine: s.Line,
			Source: s.Name, Cluster: s.Cluster, Server: s.Server, Growing: growing})
	}
	f.use(st)
	start := r.decoder.Offset()
	r.from.stop, r.from.err = stop, nil
	if growing {
		r.from.stop = min(stop, r.from.at+allow)
	}
	for {
		if growing && p.over() {
			f.decoded(p, st)
			return false, nil
		}
		if p.w.Full() {
			f.decoded(p, st)
			if err := p.w.Seal(); err != nil {
				return false, err
			}
		}
		before := r.decoder.Offset()
		err := r.decoder.Next(&f.event)
		p.read += r.decoder.Offset() - before
		if err == nil {
			p.w.Append(&f.event)
			p.events++
			continue
		}
		if fault, ok := collect.FaultOf(err, st.source); ok {
			f.fault(p, st, fault)
			continue
		}
		f.decoded(p, st)
		if err == io.EOF && r.from.err == nil && r.from.at == r.from.stop && r.from.stop < stop && r.decoder.Offset() == start {
			return true, nil
		}
		if err == io.EOF {
			err = r.from.err
			p.more = err == nil && r.from.at == r.from.stop && r.from.stop < stop
		}
		if err != nil {
			f.drop(st)
			return false, fmt.Errorf("read what %s shipped: %w", f.shipper.from, err)
		}
		return false, nil
	}
}

// decoded notes how far the decoder of st is.
func (f *shippedFeed) decoded(p *shippedRound, st *stream) {
	f.advance(p, st, st.reading.decoder.Offset(), st.reading.decoder.Line())
}

func (f *shippedFeed) advance(p *shippedRound, st *stream, position, line int64) {
	f.shipper.mu.Lock()
	st.source.Position, st.source.Line, st.source.Read = position, line, f.shipper.cfg.Now().Unix()
	st.source.Done = false
	s := st.source
	f.shipper.mu.Unlock()
	if position > st.at() {
		f.drop(st)
	}
	p.w.Advance(s)
}

func (f *shippedFeed) fault(p *shippedRound, st *stream, fault trail.Fault) {
	fault.Source, fault.Cluster, fault.Server = st.source.Name, st.source.Cluster, st.source.Server
	p.faults++
	p.w.SetAside(fault)
	if f.shipper.cfg.OnFault != nil {
		f.shipper.cfg.OnFault(fault)
	}
}

// use notes that st has a decoder, and takes it from the one that was used longest ago
// where there are too many.
func (f *shippedFeed) use(st *stream) {
	if n := len(f.live); n > 0 && f.live[n-1] == st {
		return
	}
	f.live = append(slices.DeleteFunc(f.live, func(o *stream) bool { return o == st }), st)
	if len(f.live) > maxDecoders {
		f.drop(f.live[0])
	}
}

// drop forgets the decoder of st, which goes on at source.Position.
func (f *shippedFeed) drop(st *stream) {
	st.reading.decoder, st.reading.from = nil, nil
	f.live = slices.DeleteFunc(f.live, func(o *stream) bool { return o == st })
}

// Committed removes the files that hold nothing but what is in the trail.
func (f *shippedFeed) Committed() {
	f.shipper.stored(f.shipper.cfg.Sources())
	f.shipper.tidy()
}

// Status tells how far the feed is.
func (f *shippedFeed) Status() collect.Status {
	f.shipper.mu.Lock()
	waiting := f.shipper.unread()
	f.shipper.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	status := f.status
	status.Waiting = waiting
	return status
}

// Close closes the file being read.
func (f *shippedFeed) Close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// pieceReader reads the bytes of a stream, up to stop. There, and where anything is
// wrong, which err tells, it gives io.EOF.
type pieceReader struct {
	feed     *shippedFeed
	st       *stream
	at, stop int64
	err      error
}

func (r *pieceReader) Read(b []byte) (int, error) {
	if r.err != nil || r.at >= r.stop {
		return 0, io.EOF
	}
	a := r.feed.shipper
	a.mu.Lock()
	i, _ := slices.BinarySearchFunc(r.st.pieces, r.at, func(p piece, at int64) int {
		if p.offset+p.length <= at {
			return -1
		}
		return 1
	})
	if i == len(r.st.pieces) || r.at < r.st.pieces[i].offset || r.st.pieces[i].missing != "" {
		a.mu.Unlock()
		r.err = fmt.Errorf("byte %d of %s is not there", r.at, r.st.source.Name)
		return 0, io.EOF
	}
	p, number := r.st.pieces[i], r.st.pieces[i].in.number
	a.mu.Unlock()
	if err := r.feed.open(number); err != nil {
		return r.fail(i, err)
	}
	skip := r.at - p.offset
	b = b[:min(int64(len(b)), p.length-skip, r.stop-r.at)]
	if n, err := r.feed.file.ReadAt(b, p.at+skip); n < len(b) {
		return r.fail(i, err)
	}
	r.at += int64(len(b))
	return len(b), nil
}

// fail ends reading with an error. What is missing for good, because somebody removed or
// cut a file, is set aside the next time.
func (r *pieceReader) fail(i int, err error) (int, error) {
	if errors.Is(err, fs.ErrNotExist) || err == io.EOF {
		a := r.feed.shipper
		a.mu.Lock()
		p := &r.st.pieces[i]
		if skip := r.at - p.offset; skip > 0 { // what was read of it stays
			rest := *p
			rest.offset, rest.length, rest.missing = r.at, p.length-skip, missingReason
			p.length = skip
			p.in.pieces++
			r.st.pieces = slices.Insert(r.st.pieces, i+1, rest)
		} else {
			p.missing = missingReason
		}
		a.mu.Unlock()
	}
	r.err = err
	return 0, io.EOF
}

// open opens a segment to be read.
func (f *shippedFeed) open(number int64) error {
	if f.file != nil && f.in == number {
		return nil
	}
	if err := f.Close(); err != nil {
		return err
	}
	file, err := os.Open(f.shipper.name(number))
	f.file, f.in = file, number
	if err != nil {
		f.file = nil
	}
	return err
}
