package spool

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"kubetrail/internal/durable"
	"kubetrail/internal/trail"
)

// shipper keeps what one agent ships: records, in segments that are numbered in the
// order in which they were written. A segment is written once, from its beginning, by
// one process: a restart begins another one, and so does a write or fsync that fails.
// What follows the last whole record of a segment was never acknowledged. Records may
// overlap, so it does no harm either if such a record is there after all.
//
// Of each source it is known where its bytes stand. A segment is removed when the trail
// has all of them, wherever it stands among the others: half a line that waits for its
// other half keeps one segment, not all that came since.
type shipper struct {
	cfg  ShippedConfig
	from Origin
	dir  string
	feed *shippedFeed

	write sync.Mutex // held by the one who appends; taken before mu

	mu       sync.Mutex         // guards what follows
	streams  map[string]*stream // by Print: a file that was renamed is the same
	order    []*stream          // as they were met
	segments []*shippedSegment
	waiting  int64 // bytes of all segments
	closed   bool
	contact  Contact
	appended time.Time

	// Of who holds write.
	next int64        // number of the next segment
	file durable.File // of the last segment; nil: the next append begins one
	out  *bufio.Writer
}

// shippedSegment is one file of a shipper.
type shippedSegment struct {
	number int64
	size   int64 // of whole records
	open   bool  // being written
	pieces int   // that the trail does not have
}

// stream is one source: a file on the agent's machine. The mutex of the shipper guards
// all but reading.
type stream struct {
	source trail.Source // how far it was read; only the feed changes it
	kind   string
	pieces []piece // what is kept and not in the trail, one behind the other
	end    int64   // all before is durable, here or in the trail
	line   int64   // newlines before end
	done   bool    // nothing comes after end
	reason string  // why, if it ends though it should not
	gone   bool    // its position need not be known
	left   bool    // the trail was told that

	reading reading // the feed's
}

// piece is a stretch of a stream, and where it stands.
type piece struct {
	offset, length int64
	in             *shippedSegment
	at             int64  // in the file
	missing        string // why there are no bytes; "" where there are
}

const (
	holeReason    = "NUL bytes: a hole in the file"
	missingReason = "a file of the spool, or the end of one, is missing"
)

const recordsSuffix = ".records"

func (a *shipper) name(number int64) string {
	return filepath.Join(a.dir, fmt.Sprintf("%020d%s", number, recordsSuffix))
}

// openShipper opens what is kept of an agent, whose directory is there. known are the
// sources of the trail, as far as they are durable.
func openShipper(cfg ShippedConfig, from Origin, known []trail.Source) (*shipper, error) {
	a := &shipper{cfg: cfg, from: from, dir: filepath.Join(cfg.Dir, from.dir()), streams: map[string]*stream{}, out: bufio.NewWriterSize(nil, 64<<10)}
	for _, s := range known {
		if s.Cluster == from.Cluster && s.Server == from.Server && s.Print != "" {
			if st := a.streams[s.Print]; st == nil || st.end < s.Position {
				a.streams[s.Print] = &stream{source: s, end: s.Position, line: s.Line, done: s.Done}
			}
		}
	}
	for _, print := range slices.Sorted(maps.Keys(a.streams)) {
		a.order = append(a.order, a.streams[print])
	}
	a.feed = newShippedFeed(a)
	entries, err := os.ReadDir(a.dir) // sorted
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		digits, ours := strings.CutSuffix(e.Name(), recordsSuffix)
		number, err := strconv.ParseInt(digits, 10, 64)
		if !ours || len(digits) != 20 || err != nil || number < 0 || !e.Type().IsRegular() {
			continue
		}
		a.next = max(a.next, number+1)
		if err := a.recover(number); err != nil {
			return nil, err
		}
	}
	a.tidy()
	return a, nil
}

// recover takes the records of a segment that another process wrote.
func (a *shipper) recover(number int64) error {
	text, err := os.ReadFile(a.name(number))
	if err != nil {
		return err
	}
	g := &shippedSegment{number: number}
	a.segments = append(a.segments, g)
	for {
		r, n, err := ParseRecord(text[g.size:])
		if err != nil {
			break
		}
		a.take(a.stream(r), r, g, g.size+int64(n)-r.Length)
		g.size += int64(n)
	}
	a.waiting += g.size
	if g.size < int64(len(text)) {
		if err := a.cfg.FS.Cut(a.name(number), g.size); err != nil {
			return err
		}
		return a.cfg.FS.SyncDir(a.dir)
	}
	return nil
}

// stream returns the one that r is of, which it makes where there is none.
func (a *shipper) stream(r Record) *stream {
	st := a.streams[r.Print]
	if st == nil {
		st = &stream{source: trail.Source{Name: r.Source, Cluster: a.from.Cluster, Server: a.from.Server, Print: r.Print, PrintBytes: r.PrintBytes}}
		if r.Begin > 0 {
			st.source.Position, st.source.Line, st.end, st.line = r.Begin, r.Line, r.Begin, r.Line
		}
		a.streams[r.Print] = st
		a.order = append(a.order, st)
	}
	return st
}

// take notes a record whose bytes are durable in g, at an offset of its file. What is
// known already of it is passed over.
func (a *shipper) take(st *stream, r Record, g *shippedSegment, at int64) {
	st.kind = r.Kind
	put := func(p piece) {
		st.pieces = append(st.pieces, p)
		g.pieces++
		st.end = p.offset + p.length
		st.done, st.gone, st.left = false, false, false
	}
	if r.Offset > st.end {
		put(piece{offset: st.end, length: r.Offset - st.end, in: g, missing: missingReason})
	}
	if fresh := r.end() - st.end; fresh > 0 {
		p := piece{offset: st.end, length: fresh, in: g, at: at + r.Length - fresh}
		if r.Hole > 0 {
			p.missing = holeReason
		}
		put(p)
		st.line = r.endLine()
	}
	if r.end() == st.end && r.Done {
		st.done, st.reason = true, r.Reason
	}
	if r.Gone {
		st.gone = true
	}
}

// positions tells how far every source is durable.
func (a *shipper) positions() []trail.Source {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []trail.Source
	for _, st := range a.order {
		if !st.gone {
			all = append(all, st.durable())
		}
	}
	return all
}

func (st *stream) durable() trail.Source {
	s := st.source
	s.Position, s.Line, s.Done = st.end, st.line, st.done
	return s
}

// append keeps what of records is new. See [Shipped.Append].
func (a *shipper) append(records []Record) ([]trail.Source, error) {
	a.write.Lock()
	defer a.write.Unlock()
	fresh, err := a.plan(records)
	if err != nil {
		return nil, err
	}
	if len(fresh) > 0 {
		at, err := a.keep(fresh)
		if err != nil {
			return nil, noRoom(err)
		}
		a.mu.Lock()
		g := a.segments[len(a.segments)-1]
		for i, r := range fresh {
			a.take(a.stream(r), r, g, at[i])
		}
		a.appended = a.cfg.Now()
		long := g.size >= a.cfg.SegmentBytes
		a.mu.Unlock()
		if long {
			a.roll()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var now []trail.Source
	told := map[string]bool{}
	for _, r := range records {
		if st := a.streams[r.Print]; st != nil && !told[r.Print] {
			told[r.Print] = true
			now = append(now, st.durable())
		}
	}
	return now, nil
}

// plan returns what of records has to be kept: the bytes that are new, and what is said
// of a source beside them.
func (a *shipper) plan(records []Record) ([]Record, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, ErrClosed
	}
	var fresh []Record
	var size int64
	ends := map[string]int64{}
	names := 0
	for _, st := range a.order {
		names += len(st.source.Name)
	}
	for _, r := range records {
		r.Length = int64(len(r.Data))
		if a.cfg.Formats[r.Kind] == nil {
			return nil, fmt.Errorf("%w: %.80q", ErrKind, r.Kind)
		}
		end, met := ends[r.Print]
		if st := a.streams[r.Print]; st != nil && !met {
			end = st.end
		} else if st == nil && !met && len(a.streams)+len(ends) >= maxShippedSources {
			return nil, fmt.Errorf("%w: it has more than %d files", ErrFull, maxShippedSources)
		} else if st == nil && !met {
			if names += len(r.Source); names > maxShippedNames {
				return nil, fmt.Errorf("%w: the names of its files have more than %d bytes", ErrFull, maxShippedNames)
			}
			end = r.Begin
		}
		ends[r.Print] = end
		if r.Offset > end {
			return nil, fmt.Errorf("%w: of %.200q there are %d, these begin at %d", ErrOffset, r.Source, end, r.Offset)
		}
		known := min(end-r.Offset, r.Hole+r.Length)
		st := a.streams[r.Print]
		told := st != nil && !met
		if known == r.Hole+r.Length && (!r.Done || told && st.done) && (!r.Gone || told && st.gone) {
			continue
		}
		if r.Hole == 0 && known > 0 {
			r.Line += int64(bytes.Count(r.Data[:known], []byte{'\n'}))
			r.Offset, r.Data = r.Offset+known, r.Data[known:]
			r.Length, r.Begin = int64(len(r.Data)), 0
		} else if known > 0 && known < r.Hole { // half a hole is none
			return nil, fmt.Errorf("%w: a hole of %.200q is another one", ErrOffset, r.Source)
		}
		ends[r.Print] = max(end, r.end())
		fresh = append(fresh, r)
		size += r.Length + int64(len(r.Source)) + 300
	}
	// An empty spool takes any append: there is no other way for one larger than the bound.
	used := slices.ContainsFunc(a.segments, func(g *shippedSegment) bool { return g.pieces > 0 })
	if size > 0 && a.waiting+size > a.cfg.MaxBytes && used {
		return nil, fmt.Errorf("%w: %d bytes wait in it, and there is room for %d", ErrFull, a.waiting, a.cfg.MaxBytes)
	}
	return fresh, nil
}

// keep makes all records durable, or none of them, and returns where in the file of the
// last segment the bytes of each stand. Who holds write calls it.
func (a *shipper) keep(records []Record) (at []int64, err error) {
	if a.file == nil {
		if err := a.begin(); err != nil {
			return nil, err
		}
	}
	a.mu.Lock()
	g := a.segments[len(a.segments)-1]
	a.mu.Unlock()
	a.out.Reset(a.file)
	size := g.size
	var head []byte
	for _, r := range records {
		data := r.Data
		head = appendRecordHead(head[:0], r)
		a.out.Write(head) // its error comes again
		a.out.Write(data)
		size += int64(len(head))
		at = append(at, size)
		size += int64(len(data))
	}
	err = a.out.Flush()
	if err == nil {
		err = a.file.Sync()
	}
	if err != nil {
		// What is in the file may or may not be durable; trying again proves nothing.
		a.roll()
		a.cfg.FS.Cut(a.name(g.number), g.size)
		return nil, err
	}
	a.mu.Lock()
	a.waiting += size - g.size
	g.size = size
	a.mu.Unlock()
	return at, nil
}

// roll ends the last segment.
func (a *shipper) roll() {
	a.file.Close() // what counts of it is durable
	a.file = nil
	a.mu.Lock()
	defer a.mu.Unlock()
	a.segments[len(a.segments)-1].open = false
}

// begin begins a segment.
func (a *shipper) begin() error {
	g := &shippedSegment{number: a.next, open: true}
	file, err := a.cfg.FS.Create(a.name(g.number))
	if err != nil {
		return err
	}
	if err := a.cfg.FS.SyncDir(a.dir); err != nil {
		file.Close()
		return err
	}
	a.next++
	a.file = file
	a.mu.Lock()
	defer a.mu.Unlock()
	a.segments = append(a.segments, g)
	return nil
}

// stored notes how far the trail has the sources, and forgets what is not needed for it.
func (a *shipper) stored(durable []trail.Source) {
	forget := a.write.TryLock() // who appends may have a stream in hand
	if forget {
		defer a.write.Unlock()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	there := map[string]bool{}
	for _, s := range durable {
		if s.Cluster != a.from.Cluster || s.Server != a.from.Server {
			continue
		}
		if st := a.streams[s.Print]; st != nil && st.source.Name == s.Name {
			st.drop(s.Position)
			there[s.Print] = true
		}
	}
	a.order = slices.DeleteFunc(a.order, func(st *stream) bool {
		k := st.source.Print
		if !forget || !st.left || there[k] {
			return false
		}
		st.drop(st.end)
		delete(a.streams, k)
		return true
	})
}

// drop forgets the pieces before a position, which need not be kept.
func (st *stream) drop(position int64) {
	n := 0
	for n < len(st.pieces) && st.pieces[n].offset+st.pieces[n].length <= position {
		st.pieces[n].in.pieces--
		n++
	}
	st.pieces = slices.Delete(st.pieces, 0, n)
}

// tidy removes segments of which nothing is needed. What cannot be removed now is
// removed later; that a removal becomes durable is not waited for.
func (a *shipper) tidy() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.segments = slices.DeleteFunc(a.segments, func(g *shippedSegment) bool {
		if g.open || g.pieces > 0 {
			return false
		}
		if err := a.cfg.FS.Remove(a.name(g.number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false
		}
		a.waiting -= g.size
		return true
	})
}

// unread is how many bytes were not read yet. Who calls it holds mu.
func (a *shipper) unread() (n int64) {
	for _, st := range a.order {
		n += st.end - st.source.Position
	}
	return n
}

// close waits for who is writing and lets nobody write any more.
func (a *shipper) close() error {
	a.write.Lock()
	defer a.write.Unlock()
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	if a.file == nil {
		return nil
	}
	err := a.file.Close()
	a.file = nil
	return err
}
