package spill

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"slices"
)

// window is how many bytes are read at once.
const window = 256 << 10

const headerSize = 8 // length, CRC-32C of length and record; little-endian

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errDamaged = errors.New("a record is damaged")

// appendRecord appends a record as it is in a segment.
func appendRecord(dst, record []byte) []byte {
	n := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(record)))
	dst = binary.LittleEndian.AppendUint32(dst, checksum(dst[n:], record))
	return append(dst, record...)
}

func checksum(length, record []byte) uint32 {
	return crc32.Update(crc32.Checksum(length, castagnoli), castagnoli, record)
}

// whole reports whether bytes are a header and the record that it is about.
func whole(b []byte) bool {
	return checksum(b[:4], b[headerSize:]) == binary.LittleEndian.Uint32(b[4:])
}

// torn reports whether bytes are what is left of a record whose writing was cut short:
// its beginning, behind which nothing is, or zeros that a file system has put in its
// place.
func torn(rest []byte) bool {
	if !slices.ContainsFunc(rest, func(b byte) bool { return b != 0 }) {
		return true
	}
	if len(rest) < headerSize {
		return true
	}
	if n := int(binary.LittleEndian.Uint32(rest)); n <= len(rest)-headerSize {
		return false // all of it is there, but is not what was written
	}
	work := 4 * len(rest) // enough for whatever was not made to cost time
	for from := 1; len(rest)-from > headerSize && work > 0; from++ {
		n := int(binary.LittleEndian.Uint32(rest[from:]))
		if n == 0 || n > len(rest)-from-headerSize {
			continue
		}
		if work -= n; whole(rest[from : from+headerSize+n]) {
			return false // the length is not what was written
		}
	}
	return work > 0
}

// A reader reads the records of one segment, whose file it opens when it is asked first.
type reader struct {
	dir     *dir
	segment *segment
	file    *os.File
	offset  int64  // of the next record
	buf     []byte // what was read ahead: the bytes from at on
	at      int64
}

// stand makes the reader stand at an offset of a segment, or nowhere.
func (r *reader) stand(s *segment, offset int64) {
	if r.segment != s {
		r.close()
	}
	r.segment, r.offset, r.buf, r.at = s, offset, r.buf[:0], offset
}

func (r *reader) close() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// left is how many bytes the segment has from the next record on.
func (r *reader) left() int64 { return r.segment.size - r.offset }

// record returns the next record, valid until the next call, or nil at the end.
func (r *reader) record() ([]byte, error) {
	if r.left() == 0 {
		return nil, nil
	}
	head, err := r.peek(headerSize)
	if err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(head))
	if n == 0 {
		return nil, errDamaged
	}
	all, err := r.peek(headerSize + n)
	if err != nil {
		return nil, err
	}
	if !whole(all) {
		return nil, errDamaged
	}
	r.offset += int64(len(all))
	return all[headerSize:], nil
}

// back makes record return the record that it has just returned again.
func (r *reader) back(record []byte) { r.offset -= int64(headerSize + len(record)) }

// peek returns the n bytes that come next.
func (r *reader) peek(n int64) ([]byte, error) {
	left := r.left()
	if n > left {
		return nil, errDamaged
	}
	if skip := r.offset - r.at; skip >= 0 && skip+n <= int64(len(r.buf)) {
		return r.buf[skip : skip+n], nil
	}
	if r.file == nil {
		f, err := r.dir.open(r.segment.name(), os.O_RDONLY)
		if err != nil {
			return nil, err
		}
		r.file = f
	}
	size := min(max(n, window), left)
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
