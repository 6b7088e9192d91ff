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
//
// What is in the directory is believed, so it must be one that nobody else may write to.
package spill

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"kubetrail/internal/durable"
)

// Config says where a queue is and how much it holds.
type Config struct {
	Dir      string // made for its owner only; see ErrUntrusted
	MaxBytes int64  // of all segments; default 1 GiB, at least 64 KiB

	// Damaged, if not nil, is told of records that cannot be read any more. Where their
	// number is not known, because they were the last ones, it is told of 1. It must not
	// call the queue.
	Damaged func(records int, err error)

	FS     durable.FS   // for tests; default: the directory
	Logger *slog.Logger // default: none
}

// ErrFull means that a record does not fit until others are acknowledged, ErrTooLarge
// that it never will.
var (
	ErrFull     = errors.New("the spill is full")
	ErrTooLarge = errors.New("larger than the spill takes")
)

const (
	suffix    = ".spill"
	badSuffix = ".bad"
	slotSize  = 12      // in the front file: number, CRC-32C
	spare     = 4 << 10 // of MaxBytes, for AppendNote only
)

// A Queue is first in, first out. It is safe for concurrent use.
type Queue struct {
	c       Config
	syncing sync.Mutex // held by who syncs

	mu       sync.Mutex
	dir      *dir
	slot     int64        // of the front file, written last
	segments []*segment   // in order; reading is in the first whose end is after cursor
	file     durable.File // the last segment, or nil
	next     uint64       // number of the next record
	cursor   uint64       // of the next record that is read
	acked    uint64
	bytes    int64
	buf      []byte // what Append writes
	r        reader
	newFile  bool   // the directory was not synced since a segment was made
	synced   uint64 // records before it were synced, but for
	doubtful uint64 // those before it: of some the disk did not say that it has them
	doubt    error  // why
}

// A segment is one file.
type segment struct {
	first   uint64
	size    int64
	bad     error  // if not nil, it is to be set aside,
	badFrom uint64 // because records from this number on cannot be read
}

func (s *segment) name() string { return fmt.Sprintf("%020d", s.first) + suffix }

// Open opens the queue in a directory, which no other process may have open: the error
// wraps durable.ErrLocked otherwise.
func Open(c Config) (*Queue, error) {
	if c.MaxBytes <= 0 {
		c.MaxBytes = 1 << 30
	}
	c.MaxBytes = max(c.MaxBytes, 64<<10)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Damaged == nil {
		c.Damaged = func(int, error) {}
	}
	if err := durable.MkdirAll(c.Dir); err != nil {
		return nil, err
	}
	d, err := openDir(c.Dir)
	if err != nil {
		return nil, err
	}
	q := &Queue{c: c}
	q.use(d)
	if err := q.load(); err != nil {
		d.close()
		return nil, err
	}
	return q, nil
}

// use makes the queue be in a directory.
func (q *Queue) use(d *dir) { q.dir, q.r.dir = d, d }

// fs is where segments are made and removed.
func (q *Queue) fs() durable.FS {
	if q.c.FS != nil {
		return q.c.FS
	}
	return q.dir
}

// load finds out what the directory holds.
func (q *Queue) load() error {
	q.acked = q.readFront()
	entries, err := fs.ReadDir(q.dir.root.FS(), ".")
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
		if !info.Mode().IsRegular() {
			return notRegular(filepath.Join(q.c.Dir, e.Name()))
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
	r := reader{dir: q.dir}
	defer r.close()
	r.stand(s, 0)
	for n := s.first; ; n++ {
		record, err := r.record()
		if err == nil && record != nil {
			continue
		}
		if err == nil {
			return n, nil // the end
		}
		rest, readErr := r.peek(r.left())
		if readErr != nil {
			return 0, readErr
		}
		if !torn(rest) {
			q.damaged(s, n, 1, err)
			return n, nil
		}
		if err := q.fs().Cut(q.path(s), r.offset); err != nil {
			return 0, err
		}
		q.bytes -= r.left()
		s.size = r.offset
		return n, nil
	}
}

func (q *Queue) path(s *segment) string { return filepath.Join(q.c.Dir, s.name()) }

// readFront returns the number in the front file: the larger of two slots, which are
// written in turn, so that one is whole whenever writing ends.
func (q *Queue) readFront() uint64 {
	var b [2 * slotSize]byte
	n, _ := q.dir.front.ReadAt(b[:], 0)
	var front uint64
	for i := range int64(2) {
		slot := b[i*slotSize : (i+1)*slotSize]
		number := binary.LittleEndian.Uint64(slot)
		if n >= int(i+1)*slotSize && crc32.Checksum(slot[:8], castagnoli) == binary.LittleEndian.Uint32(slot[8:]) && number >= front && number < 1<<62 {
			front, q.slot = number, i
		}
	}
	return front
}

func (q *Queue) writeFront() error {
	var slot [slotSize]byte
	binary.LittleEndian.PutUint64(slot[:], q.acked)
	binary.LittleEndian.PutUint32(slot[8:], crc32.Checksum(slot[:8], castagnoli))
	q.slot = 1 - q.slot
	_, err := q.dir.front.WriteAt(slot[:], q.slot*slotSize)
	return err
}

// segmentBytes is how large a segment becomes. Room becomes free a segment at a time.
func (q *Queue) segmentBytes() int64 { return min(q.c.MaxBytes/16, 32<<20) }

// MaxRecord is how many bytes a record may have.
func (q *Queue) MaxRecord() int { return int(min(q.c.MaxBytes/4, 1<<30)) }

// Append adds as many of the records as fit, and returns how many these are: all of
// them, or those before an error. Records are not empty. Concerning durability see Sync.
func (q *Queue) Append(records [][]byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	done := 0
	for done < len(records) {
		n, err := q.appendSome(records[done:], q.c.MaxBytes-spare)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// AppendNote is Append for a record that must find room though there is none for others,
// because it says so. Several of a few hundred bytes do.
func (q *Queue) AppendNote(record []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, err := q.appendSome([][]byte{record}, q.c.MaxBytes)
	return err
}

// appendSome adds records to one segment, at least one without an error, as long as all
// segments have no more than room bytes. q.mu is held.
func (q *Queue) appendSome(records [][]byte, room int64) (int, error) {
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
		if len(record) == 0 || len(record) > q.MaxRecord() {
			err = ErrTooLarge
			break
		}
		if q.bytes+int64(len(q.buf)+headerSize+len(record)) > room {
			err = ErrFull
			break
		}
		if n > 0 && s.size+int64(len(q.buf)) >= q.segmentBytes() {
			break
		}
		q.buf = appendRecord(q.buf, record)
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
	f, err := q.fs().Create(q.path(s))
	if errors.Is(err, fs.ErrNotExist) {
		// Somebody has removed the directory, and perhaps made it again.
		if d, openErr := openDir(q.c.Dir); openErr == nil {
			q.dir.close()
			q.use(d)
			f, err = q.fs().Create(q.path(s))
		}
	}
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
	if err := errors.Join(q.file.Sync(), q.file.Close()); err != nil {
		q.doubtful, q.doubt = q.next, err
	}
	q.file = nil
	// After a write that failed it may be longer than what was appended.
	s := q.last()
	if info, err := q.dir.root.Stat(s.name()); err == nil {
		q.bytes += info.Size() - s.size
		s.size = info.Size()
	}
}

// Sync makes durable whatever Append has returned before. Callers at the same time wait
// for one sync together. Where it failed it fails again until something else is appended:
// another sync of the same file may succeed though its bytes are gone.
func (q *Queue) Sync() error {
	q.mu.Lock()
	upTo := q.next
	q.mu.Unlock()
	q.syncing.Lock()
	defer q.syncing.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	if upTo > max(q.synced, q.doubtful) {
		q.sync()
	}
	if upTo <= q.doubtful {
		return q.doubt
	}
	return nil
}

// sync syncs what was appended, and notes how that ended. q.syncing is held, and q.mu but
// while it waits for the disk.
func (q *Queue) sync() {
	upTo, file, fsys, newFile := q.next, q.file, q.fs(), q.newFile
	q.newFile = false
	q.mu.Unlock()
	var err error
	if file != nil {
		if err = file.Sync(); errors.Is(err, fs.ErrClosed) {
			err = nil // closeFile has synced it, or it is not needed any more
		}
	}
	if newFile {
		err = errors.Join(err, fsys.SyncDir(q.c.Dir))
	}
	q.mu.Lock()
	if err == nil {
		q.synced = upTo
		return
	}
	q.newFile = q.newFile || newFile
	if q.file == file {
		q.closeFile()
	}
	q.doubtful, q.doubt = q.next, err
}

// Read calls each for the records that come next, at most maxRecords, and at most
// maxBytes of them unless the first has more, and returns the number after the last.
// What each gets is valid until it returns. Where nothing is left each is not called.
// With an error the next record cannot be read now, but perhaps later.
func (q *Queue) Read(maxRecords, maxBytes int, each func(record []byte)) (uint64, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := 0
	for n := 0; n < maxRecords && q.cursor < q.next; {
		s, end, err := q.reading()
		if err != nil {
			return q.cursor, err
		}
		record, err := q.r.record()
		if passing(err) {
			return q.cursor, err
		}
		if err == nil && record == nil {
			err = errors.New("it is too short")
		}
		if err != nil {
			q.damaged(s, q.cursor, int(end-q.cursor), err)
			if q.file != nil && s == q.last() {
				q.closeFile() // what is appended after the damage could not be read either
			}
			q.cursor = end
			if err := q.ack(q.acked); err != nil {
				q.c.Logger.Warn("records may be read again after a restart", "err", err)
			}
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
	return q.cursor, nil
}

// passing reports whether an error says nothing about a file, like that too many files
// are open.
func passing(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && errno.Temporary()
}

// reading makes q.r stand at the record that comes next, of which there is one, and
// returns its segment and the number after the last record of that. q.mu is held.
func (q *Queue) reading() (s *segment, end uint64, err error) {
	i := 0
	for q.cursor >= q.end(i) {
		i++
	}
	s, end = q.segments[i], q.end(i)
	if q.r.segment == s {
		return s, end, nil
	}
	q.r.stand(s, 0)
	for n := s.first; n < q.cursor; n++ {
		record, err := q.r.record()
		if passing(err) {
			q.r.stand(nil, 0)
			return s, end, err
		}
		if err != nil || record == nil {
			break // Read will find the same
		}
	}
	return s, end, nil
}

// end is the number after the last record of a segment. q.mu is held.
func (q *Queue) end(i int) uint64 {
	if i+1 < len(q.segments) {
		return q.segments[i+1].first
	}
	return q.next
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

// damaged notes that records of a segment cannot be read, from a number on. q.mu is
// held, or nobody else knows q.
func (q *Queue) damaged(s *segment, from uint64, records int, err error) {
	s.bad, s.badFrom = err, from
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
	return q.ack(min(n, q.next))
}

// ack is Ack, and of those after n that cannot be read. q.mu is held.
func (q *Queue) ack(n uint64) error {
	for i, s := range q.segments {
		if s.bad != nil && s.badFrom <= n {
			n = max(n, min(q.end(i), q.cursor))
		}
	}
	if n == q.acked {
		return nil
	}
	q.acked = n
	err := q.writeFront()
	q.removeAcked()
	return err
}

// removeAcked removes the segments that are not needed any more. q.mu is held, or
// nobody else knows q.
func (q *Queue) removeAcked() {
	n := 0
	for n < len(q.segments) && q.end(n) <= q.acked {
		if n == len(q.segments)-1 && q.file != nil {
			q.file.Close()
			q.file = nil
		}
		q.drop(q.segments[n])
		n++
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
		err = q.fs().Rename(q.path(s), strings.TrimSuffix(q.path(s), suffix)+badSuffix)
	} else {
		err = q.fs().Remove(q.path(s))
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

// Close syncs the queue and gives it back. Nothing but Sync may be called after it.
func (q *Queue) Close() error {
	err := q.Sync()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closeFile()
	q.r.close()
	return errors.Join(err, q.dir.close())
}
