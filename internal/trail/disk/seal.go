package disk

import (
	"bufio"
	"io"

	"github.com/klauspost/compress/zstd"

	"kubetrail/audit"
	"kubetrail/internal/parquet"
)

// maxRows bounds a part: three ranks of 21 bits each make a row's sort key.
const maxRows = 1 << 20

// A page of bodies is closed at pageBytes, but not before it holds pageValues of
// them: long lists compress well only beside their like. maxPageBytes bounds it
// anyway.
const (
	pageBytes    = 2 << 20
	pageValues   = 64
	maxPageBytes = 32 << 20
)

// bloomBits is the size of a Bloom filter in bits per distinct value.
const bloomBits = 7

// sealer writes batches as parts. It belongs to one goroutine at a time.
type sealer struct {
	file    *parquet.Writer // the one being used
	small   *parquet.Writer // what it writes is small
	quick   *parquet.Writer // it takes half the time, and a hundredth more room
	buffer  *bufio.Writer
	codes   []uint32
	numbers []int64
	lengths []int64
	page    []byte
	dict    [][]byte
	remap   []uint32
}

func newSealer() (*sealer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
		zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(4<<20))
	if err != nil {
		return nil, err
	}
	long, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
		zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(16<<20))
	if err != nil {
		return nil, err
	}
	return &sealer{small: parquet.NewWriter(enc, long), quick: parquet.NewWriter(long, long), buffer: bufio.NewWriterSize(nil, 256<<10)}, nil
}

// write writes b as a part to out.
func (s *sealer) write(out io.Writer, b *batch) error {
	s.buffer.Reset(out)
	if s.file = s.small; b.quick {
		s.file = s.quick
	}
	s.file.Reset(s.buffer)
	rows := b.order()
	if len(b.bodies.data) > 0 {
		s.long(colBodies, &b.bodies, rows)
	}
	if len(b.raw.data) > 0 {
		s.long(colRaw, &b.raw, rows)
	}
	s.file.Delta(columnOf(colStaged), s.gather(b.staged, rows))
	s.ids(b, rows)
	for i := range numDictionary {
		s.dictionary(i, b, rows)
	}
	s.file.Delta(columnOf(colSeq), s.gather(b.seq, rows))
	s.split(colDuration, s.duration(b, rows))
	s.split(colNanos, s.gather(b.nanos, rows))
	s.split(colMissing, s.gather(b.missing, rows))
	s.split(colLine, s.gather(b.line, rows))
	s.split(colGap, s.gather(b.gaps(), rows))
	s.split(colRequest, s.gather(b.request, rows))
	meta, err := encodeMeta(b.meta, b.sources, b.faults)
	if err != nil {
		return err
	}
	if err := s.file.Close(int64(b.rows), meta); err != nil {
		return err
	}
	return s.buffer.Flush()
}

func (s *sealer) gather(from []int64, rows []uint32) []int64 {
	s.numbers = s.numbers[:0]
	for _, r := range rows {
		s.numbers = append(s.numbers, from[r])
	}
	return s.numbers
}

func (s *sealer) duration(b *batch, rows []uint32) []int64 {
	s.numbers = s.numbers[:0]
	for _, r := range rows {
		s.numbers = append(s.numbers, b.staged[r]-b.received[r])
	}
	return s.numbers
}

func (s *sealer) split(column int, numbers []int64) {
	for _, n := range numbers {
		if n != 0 {
			s.file.Split(columnOf(column), numbers)
			return
		}
	}
}

// dictionary writes column i with its values in the order of the rows: neighbours
// in the dictionary are then neighbours in the part, and compress as such.
func (s *sealer) dictionary(i int, b *batch, rows []uint32) {
	v := &b.dict[i]
	if len(v.ends) == 1 { // only the empty value
		return
	}
	s.remap = append(s.remap[:0], make([]uint32, len(v.ends))...)
	s.codes, s.dict = s.codes[:0], s.dict[:0]
	for _, r := range rows {
		c := b.codes[i][r]
		if s.remap[c] == 0 {
			s.dict = append(s.dict, v.at(c))
			s.remap[c] = uint32(len(s.dict))
		}
		s.codes = append(s.codes, s.remap[c]-1)
	}
	if i == colCode {
		for k, d := range s.dict {
			if len(d) == 0 {
				s.dict[k] = appendInt32(nil, 0)
			}
		}
	}
	s.file.Dictionary(columnOf(i), s.dict, s.codes)
	if i == int(audit.Name) || i == int(audit.ObjectUID) {
		hashes := make([]uint64, len(s.dict))
		for k, d := range s.dict {
			hashes[k] = parquet.Hash(d)
		}
		s.file.Bloom(hashes, bloomBits)
	}
}

func (s *sealer) ids(b *batch, rows []uint32) {
	out := make([]byte, 0, len(b.ids))
	hashes := make([]uint64, 0, len(rows))
	for _, r := range rows {
		id := b.ids[16*r : 16*r+16]
		if n := len(out); n < 16 || string(out[n-16:]) != string(id) {
			hashes = append(hashes, parquet.Hash(id)) // stages of one request are neighbours
		}
		out = append(out, id...)
	}
	s.file.FixedBytes(columnOf(colID), out)
	s.file.Bloom(hashes, bloomBits)
}

// long writes a column of long values page by page.
func (s *sealer) long(column int, a *arena, rows []uint32) {
	s.file.BeginLong(columnOf(column))
	s.lengths, s.page = s.lengths[:0], s.page[:0]
	held := 0 // values in the page that are not empty
	for _, r := range rows {
		v := a.at(int(r))
		n := len(s.page) + len(v)
		if held > 0 && len(v) > 0 && (n > maxPageBytes || n > pageBytes && held >= pageValues) {
			s.file.LongPage(s.lengths, s.page)
			s.lengths, s.page, held = s.lengths[:0], s.page[:0], 0
		}
		if len(v) > 0 {
			held++
		}
		s.lengths = append(s.lengths, int64(len(v)))
		s.page = append(s.page, v...)
	}
	s.file.LongPage(s.lengths, s.page)
}
