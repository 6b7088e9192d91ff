// Package spill is a queue of records on disk, for what cannot be delivered yet: within
// a bound of bytes, in order, and in spite of a crash at any instant.
//
// What Append has returned survives the end of the process however it comes, and a power
// cut once Sync has returned. A record is given out again after a restart unless Ack
// was called for it. The directory holds
//
//	lock                        who has it
//	front                       the number of the first record that was not acknowledged
//	00000000000000000400.spill  a segment: the records from number 400 on
//	00000000000000000400.bad    a segment that was damaged, set aside
//
// Records are numbered from 0 for ever, so that the names of two neighbours tell how many
// records are between them, though one cannot be read.
package spill

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"kubetrail/internal/durable"
)

// Config says where a queue is and how much it holds.
type Config struct {
	Dir      string // made for its owner only
	MaxBytes int64  // of all segments; default 1 GiB, at least 64 KiB

	// Damaged, if not nil, is told of records that cannot be read any more. Where their
	// number is not known, because they were the last ones, it is told of 1. It must not
	// call the queue.
	Damaged func(records int, err error)

	FS     durable.FS   // default durable.OS{}
	Logger *slog.Logger // default: none
}

// ErrFull means that a record does not fit until others are acknowledged, ErrTooLarge
// that it never will.
var (
	ErrFull     = errors.New("the spill is full")
	ErrTooLarge = errors.New("larger than the spill takes")
)

const (
	suffix     = ".spill"
	badSuffix  = ".bad"
	headerSize = 8 // length, CRC-32C of length and record; little-endian
	slotSize   = 12
)

// A Queue is first in, first out. It is safe for concurrent use.
type Queue struct {
	c      Config
	table  *crc32.Table
	lock   *durable.Lock
	front  *os.File
	slot   int64      // of the front file, written last
	toSync sync.Mutex // held while syncing; guards synced

	mu       sync.Mutex
	segments []*segment // in order; reading is in the first whose end is after cursor
	file     durable.File
	next     uint64 // number of the next record
	cursor   uint64 // of the next record that is read
	acked    uint64
	bytes    int64
	buf      []byte // what Append writes
	newFile  bool   // the directory was not synced since a segment was made
	unsynced error  // why a segment could not be synced when it was closed
	r        reader

	synced uint64 // records before it are durable
}

// A segment is one file.
type segment struct {
	first uint64
	size  int64
	bad   error // it is to be set aside
}

// Open opens the queue in a directory, which no other process may have open: the error
// wraps durable.ErrLocked otherwise.
func Open(c Config) (*Queue, error) {
	if c.MaxBytes <= 0 {
		c.MaxBytes = 1 << 30
	}
	c.MaxBytes = max(c.MaxBytes, 64<<10)
	if c.FS == nil {
		c.FS = durable.OS{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Damaged == nil {
		c.Damaged = func(int, error) {}
	}
	if err := durable.MkdirAll(c.Dir); err != nil {
		return nil, err
	}
	lock, err := durable.TakeLock(filepath.Join(c.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Dir, err)
	}
	q := &Queue{c: c, lock: lock, table: crc32.MakeTable(crc32.Castagnoli)}
	if err := q.load(); err != nil {
		q.Close()
		return nil, err
	}
	return q, nil
}

// load finds out what the directory holds.
func (q *Queue) load() error {
	var err error
	if q.front, err = os.OpenFile(filepath.Join(q.c.Dir, "front"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	q.acked = q.readFront()
	entries, err := os.ReadDir(q.c.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), suffix)
		first, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil || len(digits) != 20 || first >= 1<<62 {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		q.segments = append(q.segments, &segment{first: first, size: info.Size()})
		q.bytes += info.Size()
	}
	slices.SortFunc(q.segments, func(a, b *segment) int { return cmp.Compare(a.first, b.first) })
	q.next = q.acked
	if n := len(q.segments); n > 0 {
		end, err := q.inspect(q.segments[n-1])
		if err != nil {
			return err
		}
		q.next = max(q.next, end)
		q.acked = max(q.acked, q.segments[0].first)
	}
	q.cursor = q.acked
	q.removeAcked()
	return nil
}

// inspect reads the last segment and returns the number after its last whole record.
// What is left of a record whose writing was cut short is removed.
func (q *Queue) inspect(s *segment) (uint64, error) {
	var r reader
	defer r.close()
	for n := s.first; ; n++ {
		r.limit = s.size
		record, err := r.record(q, s)
		if err == nil && record != nil {
			continue
		}
		if err == nil {
			return n, nil // the end
		}
		rest, readErr := r.rest(q, s)
		if readErr != nil {
			return 0, readErr
		}
		if !torn(rest) {
			q.damaged(s, 1, err)
			return n, nil
		}
		if err := q.c.FS.Cut(q.path(s), r.offset); err != nil {
			return 0, err
		}
		q.bytes -= s.size - r.offset
		s.size = r.offset
		return n, nil
	}
}

// torn reports whether bytes are what is left of a record whose writing was cut short:
// its beginning, or zeros that a file system has put in its place.
func torn(rest []byte) bool {
	if len(rest) < headerSize || len(rest) < headerSize+int(binary.LittleEndian.Uint32(rest)) {
		return true
	}
	return !slices.ContainsFunc(rest, func(b byte) bool { return b != 0 })
}

func (q *Queue) path(s *segment) string {
	return filepath.Join(q.c.Dir, fmt.Sprintf("%020d", s.first)+suffix)
}

// readFront returns the number in the front file: the larger of two slots, which are
// written in turn, so that one is whole whenever writing ends.
func (q *Queue) readFront() uint64 {
	var b [2 * slotSize]byte
	n, _ := q.front.ReadAt(b[:], 0)
	var front uint64
	for i := range int64(2) {
		slot := b[i*slotSize : (i+1)*slotSize]
		number := binary.LittleEndian.Uint64(slot)
		if n >= int(i+1)*slotSize && crc32.Checksum(slot[:8], q.table) == binary.LittleEndian.Uint32(slot[8:]) && number >= front && number < 1<<62 {
			front, q.slot = number, i
		}
	}
	return front
}

func (q *Queue) writeFront() error {
	var slot [slotSize]byte
	binary.LittleEndian.PutUint64(slot[:], q.acked)
	binary.LittleEndian.PutUint32(slot[8:], crc32.Checksum(slot[:8], q.table))
	q.slot = 1 - q.slot
	_, err := q.front.WriteAt(slot[:], q.slot*slotSize)
	return err
}

// segmentBytes is how large a segment becomes. Room becomes free a segment at a time.
func (q *Queue) segmentBytes() int64 { return min(q.c.MaxBytes/16, 32<<20) }

// maxRecord is the largest record that is taken.
func (q *Queue) maxRecord() int { return int(min(q.c.MaxBytes/4, 1<<30)) }

// Append adds as many of the records as fit, and returns how many these are: all of
// them, or those before an error. Records are not empty. Concerning durability see Sync.
func (q *Queue) Append(records [][]byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	done := 0
	for done < len(records) {
		n, err := q.appendSome(records[done:])
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// appendSome adds records to one segment, at least one without an error. q.mu is held.
func (q *Queue) appendSome(records [][]byte) (int, error) {
	if q.file == nil || q.last().size >= q.segmentBytes() {
		if err := q.roll(); err != nil {
			return 0, err
		}
	}
	var err error
	s := q.last()
	q.buf = q.buf[:0]
	n := 0
	for _, record := range records {
		if len(record) == 0 || len(record) > q.maxRecord() {
			err = ErrTooLarge
			break
		}
		if q.bytes+int64(len(q.buf)+headerSize+len(record)) > q.c.MaxBytes {
			err = ErrFull
			break
		}
		if n > 0 && s.size+int64(len(q.buf)) >= q.segmentBytes() {
			break
		}
		q.buf = appendRecord(q.buf, record, q.table)
		n++
	}
	if n == 0 {
		return 0, err
	}
	if _, err := q.file.Write(q.buf); err != nil {
		// Nobody knows what was written. The next segment goes on with the same number,
		// so whatever it is, it is no record.
		q.closeFile()
		return 0, err
	}
	q.next += uint64(n)
	s.size += int64(len(q.buf))
	q.bytes += int64(len(q.buf))
	if cap(q.buf) > 4<<20 {
		q.buf = nil
	}
	return n, err
}

func appendRecord(dst, record []byte, table *crc32.Table) []byte {
	n := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(record)))
	sum := crc32.Update(crc32.Checksum(dst[n:], table), table, record)
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	return append(dst, record...)
}

func (q *Queue) last() *segment { return q.segments[len(q.segments)-1] }

// roll begins a new segment. q.mu is held.
func (q *Queue) roll() error {
	q.closeFile()
	if n := len(q.segments); n > 0 && q.segments[n-1].first == q.next {
		// Nothing was ever appended to it, or nothing that can be read.
		q.drop(q.segments[n-1])
		q.segments = q.segments[:n-1]
	}
	s := &segment{first: q.next}
	f, err := q.c.FS.Create(q.path(s))
	if err != nil {
		return err
	}
	q.segments = append(q.segments, s)
	q.file, q.newFile = f, true
	return nil
}

// closeFile ends the segment that is being written, if any. q.mu is held.
func (q *Queue) closeFile() {
	if q.file == nil {
		return
	}
	err := q.file.Sync()
	if err := errors.Join(err, q.file.Close()); err != nil {
		q.unsynced = err
	}
	q.file = nil
	// After a write that failed it may be longer than what was appended.
	s := q.last()
	if info, err := os.Stat(q.path(s)); err == nil {
		q.bytes += info.Size() - s.size
		s.size = info.Size()
	}
}

// Sync makes durable whatever Append has returned before. Callers at the same time wait
// for one sync together.
func (q *Queue) Sync() error {
	q.mu.Lock()
	upTo := q.next
	q.mu.Unlock()
	q.toSync.Lock()
	defer q.toSync.Unlock()
	if q.synced >= upTo {
		return nil
	}
	q.mu.Lock()
	upTo = q.next
	file, newFile, err := q.file, q.newFile, q.unsynced
	q.newFile, q.unsynced = false, nil
	q.mu.Unlock()
	if file != nil {
		if failed := file.Sync(); failed != nil && !errors.Is(failed, fs.ErrClosed) { // closed means synced, or no longer needed
			err = errors.Join(err, failed)
		}
	}
	if newFile {
		err = errors.Join(err, q.c.FS.SyncDir(q.c.Dir))
	}
	if err == nil {
		q.synced = upTo
		return nil
	}
	// Another sync of the same file may succeed though its bytes are gone.
	q.mu.Lock()
	if q.file == file {
		q.closeFile()
	}
	q.newFile = true
	q.mu.Unlock()
	return err
}

// Read calls each for the records that come next, at most maxRecords, and at most
// maxBytes of them unless the first has more, and returns the number after the last.
// What each gets is valid until it returns. Where nothing is left each is not called.
func (q *Queue) Read(maxRecords, maxBytes int, each func(record []byte)) uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := 0
	for n := 0; n < maxRecords && q.cursor < q.next; {
		s, end := q.reading()
		if s == nil {
			break
		}
		q.r.limit = s.size // it may have grown
		record, err := q.r.record(q, s)
		if err == nil && record == nil {
			err = errors.New("it is too short")
		}
		if err != nil {
			q.damaged(s, int(end-q.cursor), err)
			q.cursor = end
			continue
		}
		if n > 0 && size+len(record) > maxBytes {
			q.r.back(record)
			break
		}
		each(record)
		n++
		size += len(record)
		q.cursor++
	}
	return q.cursor
}

// reading makes q.r stand at the record that comes next, and returns its segment and the
// number after the last record of that. q.mu is held.
func (q *Queue) reading() (*segment, uint64) {
	for i, s := range q.segments {
		end := q.next
		if i+1 < len(q.segments) {
			end = q.segments[i+1].first
		}
		if q.cursor >= end {
			continue
		}
		if q.r.segment == s {
			return s, end
		}
		q.r.stand(s, 0)
		number := s.first
		for ; number < q.cursor; number++ {
			if record, err := q.r.record(q, s); err != nil || record == nil {
				break // Read will find the same
			}
		}
		q.cursor = max(q.cursor, s.first)
		return s, end
	}
	return nil, 0
}

// Pass makes Read go on after the last record, as if all had been read.
func (q *Queue) Pass() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.cursor = q.next
	if q.file != nil {
		q.r.stand(q.last(), q.last().size)
	}
}

// damaged notes that records of a segment cannot be read. q.mu is held, or nobody else
// knows q.
func (q *Queue) damaged(s *segment, records int, err error) {
	if s.bad == nil {
		s.bad = err
	}
	err = fmt.Errorf("%s: %w", q.path(s), err)
	q.c.Logger.Error("part of the spill is damaged and set aside", "records", records, "err", err)
	q.c.Damaged(records, err)
}

// Ack says that the records before number n are not needed any more.
func (q *Queue) Ack(n uint64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n <= q.acked {
		return nil
	}
	q.acked = min(n, q.next)
	err := q.writeFront()
	q.removeAcked()
	return err
}

// removeAcked removes the segments that are not needed any more. q.mu is held, or
// nobody else knows q.
func (q *Queue) removeAcked() {
	n := 0
	for i, s := range q.segments {
		end := q.next
		if i+1 < len(q.segments) {
			end = q.segments[i+1].first
		}
		if end > q.acked {
			break
		}
		if i == len(q.segments)-1 && q.file != nil {
			q.file.Close()
			q.file = nil
		}
		q.drop(s)
		n = i + 1
	}
	q.segments = slices.Delete(q.segments, 0, n)
}

// drop removes the file of a segment, or sets it aside if it is damaged. One that
// cannot be removed is at the next start, or is read again then.
func (q *Queue) drop(s *segment) {
	if q.r.segment == s {
		q.r.stand(nil, 0)
	}
	q.bytes -= s.size
	var err error
	if s.bad != nil {
		err = q.c.FS.Rename(q.path(s), strings.TrimSuffix(q.path(s), suffix)+badSuffix)
	} else {
		err = q.c.FS.Remove(q.path(s))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		q.c.Logger.Warn("a file of the spill stays", "err", err)
	}
}

// Unread is how many records Read would give.
func (q *Queue) Unread() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.next - q.cursor
}

// Next is the number that the next record will have.
func (q *Queue) Next() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.next
}

// Size returns how many records wait to be acknowledged, and the bytes of the segments.
func (q *Queue) Size() (records uint64, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.next - q.acked, q.bytes
}

// Close syncs the queue and gives it back. Nothing may be called after it.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closeFile()
	err := q.unsynced
	if q.newFile {
		err = errors.Join(err, q.c.FS.SyncDir(q.c.Dir))
	}
	q.r.close()
	if q.front != nil {
		err = errors.Join(err, q.front.Close())
	}
	return errors.Join(err, q.lock.Release())
}
