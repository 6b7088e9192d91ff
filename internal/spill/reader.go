package spill

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
)

// window is how many bytes are read at once.
const window = 256 << 10

// A reader reads the records of one segment, whose file it opens when it is asked first.
type reader struct {
	segment *segment
	file    *os.File
	limit   int64  // where the segment ends
	offset  int64  // of the next record
	buf     []byte // what was read ahead: the bytes from offset at
	at      int64
}

var errDamaged = errors.New("a record is damaged")

// record returns the next record, valid until the next call, or nil at the end.
func (r *reader) record(q *Queue, s *segment) ([]byte, error) {
	if r.offset == r.limit {
		return nil, nil
	}
	head, err := r.peek(q, s, headerSize)
	if err != nil {
		return nil, err
	}
	n, sum := int64(binary.LittleEndian.Uint32(head)), binary.LittleEndian.Uint32(head[4:])
	if n == 0 || n > r.limit-r.offset-headerSize {
		return nil, errDamaged
	}
	all, err := r.peek(q, s, headerSize+n)
	if err != nil {
		return nil, err
	}
	if crc32.Update(crc32.Checksum(all[:4], q.table), q.table, all[headerSize:]) != sum {
		return nil, errDamaged
	}
	r.offset += int64(len(all))
	return all[headerSize:], nil
}

// back makes record return the record that it has just returned again.
func (r *reader) back(record []byte) { r.offset -= int64(headerSize + len(record)) }

// peek returns the n bytes that come next.
func (r *reader) peek(q *Queue, s *segment, n int64) ([]byte, error) {
	if n > r.limit-r.offset {
		return nil, errDamaged
	}
	if skip := r.offset - r.at; skip >= 0 && skip+n <= int64(len(r.buf)) {
		return r.buf[skip : skip+n], nil
	}
	if r.file == nil {
		f, err := os.Open(q.path(s))
		if err != nil {
			return nil, err
		}
		r.file = f
	}
	size := min(max(n, window), r.limit-r.offset)
	if int64(cap(r.buf)) < size || cap(r.buf) > 16*window && size <= window {
		r.buf = make([]byte, size)
	}
	r.buf, r.at = r.buf[:size], r.offset
	if got, err := r.file.ReadAt(r.buf, r.offset); got < len(r.buf) {
		r.buf = r.buf[:0]
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return r.buf[:n], nil
}

// rest returns the bytes from the next record to the end of the segment, or as many of
// them as are enough to judge these.
func (r *reader) rest(q *Queue, s *segment) ([]byte, error) {
	return r.peek(q, s, r.limit-r.offset)
}

// stand makes the reader stand at an offset of a segment.
func (r *reader) stand(s *segment, offset int64) {
	if r.segment != s {
		r.close()
		r.file = nil
	}
	r.segment, r.offset, r.buf, r.at = s, offset, r.buf[:0], offset
	if s != nil {
		r.limit = s.size
	}
}

func (r *reader) close() {
	if r.file != nil {
		r.file.Close()
	}
}
