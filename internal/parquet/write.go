package parquet

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// Writer writes one file: columns one after the other, then Close. Errors of the
// underlying writer stick and are returned by Close. Buffers are kept from one file
// to the next: Reset begins a new one.
type Writer struct {
	w      io.Writer
	zstd   *zstd.Encoder // of short pages
	long   *zstd.Encoder // of pages of long values
	off    int64
	err    error
	chunks []chunk

	raw    []byte // a page before compression
	packed []byte // and after
	head   thriftWriter
}

// chunk is what the footer says of one column.
type chunk struct {
	Column
	encoding         int32
	codec            int32
	values           int64
	dataOffset       int64
	dictOffset       int64 // 0: no dictionary
	start, end       int64
	uncompressed     int64
	low, high        []byte // statistics, nil if none
	pages            []pagePlace
	bloom            []byte
	bloomAt, indexAt int64
	bloomLen         int
	indexLen         int
	last             bool // goes to the end of the schema, wherever its bytes are
}

// pagePlace is one entry of an offset index.
type pagePlace struct {
	offset   int64
	size     int32 // with its header
	firstRow int64
}

// NewWriter returns a Writer that compresses the pages of long values with long and
// all others with short. Call Reset before use.
func NewWriter(short, long *zstd.Encoder) *Writer { return &Writer{zstd: short, long: long} }

// Reset begins a new file on w.
func (w *Writer) Reset(to io.Writer) {
	w.w, w.off, w.err = to, 0, nil
	w.chunks = w.chunks[:0]
	w.write([]byte(magic))
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.w.Write(b)
	w.off += int64(n)
	w.err = err
}

func (w *Writer) begin(c Column, encoding int32) *chunk {
	w.chunks = append(w.chunks, chunk{Column: c, encoding: encoding, start: w.off, codec: codecZstd})
	return &w.chunks[len(w.chunks)-1]
}

// page writes one page of n values, compressed.
func (w *Writer) page(c *chunk, kind int32, encoding int32, n int, body []byte) {
	enc := w.zstd
	if c.last {
		enc = w.long
	}
	w.packed = enc.EncodeAll(body, w.packed[:0])
	w.put(c, kind, encoding, n, len(body), w.packed)
}

// put writes one page of n values that is size bytes long without compression.
func (w *Writer) put(c *chunk, kind int32, encoding int32, n, size int, out []byte) {
	h := &w.head
	h.b, h.last = h.b[:0], 0
	h.stack = append(h.stack[:0], 0)
	h.int32(1, kind)
	h.int32(2, int32(size))
	h.int32(3, int32(len(out)))
	h.int32(4, int32(crc32.ChecksumIEEE(out)))
	if kind == pageDictionary {
		h.begin(7)
		h.int32(1, int32(n))
		h.int32(2, encodingPlain)
		h.end()
	} else {
		h.begin(5)
		h.int32(1, int32(n))
		h.int32(2, encoding)
		h.int32(3, encodingRLE)
		h.int32(4, encodingRLE)
		h.end()
	}
	h.end()
	if kind == pageData {
		if c.dataOffset == 0 {
			c.dataOffset = w.off
		}
		c.pages = append(c.pages, pagePlace{w.off, int32(len(h.b) + len(out)), c.values})
		c.values += int64(n)
	} else {
		c.dictOffset = w.off
	}
	c.uncompressed += int64(len(h.b) + size)
	w.write(h.b)
	w.write(out)
	c.end = w.off
}

// lone writes the only page of a chunk, uncompressed where that saves a reader
// the work and costs less than 1 in 32.
func (w *Writer) lone(c *chunk, n int, body []byte) {
	w.packed = w.zstd.EncodeAll(body, w.packed[:0])
	out := w.packed
	if len(out) >= len(body)-len(body)/32 {
		c.codec, out = codecNone, body
	}
	w.put(c, pageData, c.encoding, n, len(body), out)
}

// Dictionary writes a column of codes into dict. Int32 dictionaries hold 4 bytes a
// value, Bytes any number.
func (w *Writer) Dictionary(col Column, dict [][]byte, codes []uint32) {
	c := w.begin(col, encodingDictionary)
	w.raw = w.raw[:0]
	for _, v := range dict {
		if col.Type == Bytes {
			w.raw = binary.LittleEndian.AppendUint32(w.raw, uint32(len(v)))
		}
		w.raw = append(w.raw, v...)
	}
	w.page(c, pageDictionary, encodingPlain, len(dict), w.raw)
	w.raw = appendCodes(w.raw[:0], codes, len(dict))
	w.page(c, pageData, encodingDictionary, len(codes), w.raw)
}

// appendCodes writes a page of RLE_DICTIONARY codes: one run of a single value, or
// one bit-packed run of 8, 16 or 32 bits a code.
func appendCodes(dst []byte, codes []uint32, distinct int) []byte {
	if distinct == 1 {
		dst = append(dst, 1)
		dst = binary.AppendUvarint(dst, uint64(len(codes))<<1)
		return append(dst, 0)
	}
	groups := uint64(len(codes)+7) / 8
	pad := int(groups*8) - len(codes)
	switch {
	case distinct <= 1<<8:
		dst = append(dst, 8)
		dst = binary.AppendUvarint(dst, groups<<1|1)
		for _, c := range codes {
			dst = append(dst, byte(c))
		}
		return append(dst, make([]byte, pad)...)
	case distinct <= 1<<16:
		dst = append(dst, 16)
		dst = binary.AppendUvarint(dst, groups<<1|1)
		for _, c := range codes {
			dst = append(dst, byte(c), byte(c>>8))
		}
		return append(dst, make([]byte, 2*pad)...)
	}
	dst = append(dst, 32)
	dst = binary.AppendUvarint(dst, groups<<1|1)
	for _, c := range codes {
		dst = binary.LittleEndian.AppendUint32(dst, c)
	}
	return append(dst, make([]byte, 4*pad)...)
}

// Delta writes an Int64 column in DELTA_BINARY_PACKED, with its smallest and
// largest value as statistics.
func (w *Writer) Delta(col Column, values []int64) {
	c := w.begin(col, encodingDelta)
	if len(values) > 0 {
		low, high := values[0], values[0]
		for _, v := range values {
			low, high = min(low, v), max(high, v)
		}
		c.low = binary.LittleEndian.AppendUint64(nil, uint64(low))
		c.high = binary.LittleEndian.AppendUint64(nil, uint64(high))
	}
	w.raw = appendDelta(w.raw[:0], values)
	w.lone(c, len(values), w.raw)
}

// Split writes an Int32 or Int64 column in BYTE_STREAM_SPLIT.
func (w *Writer) Split(col Column, values []int64) {
	c := w.begin(col, encodingByteStreamSplit)
	width := 8
	if col.Type == Int32 {
		width = 4
	}
	n := len(values)
	w.raw = slices.Grow(w.raw[:0], width*n)[:width*n]
	for b := range width {
		stream := w.raw[b*n : (b+1)*n]
		for i, v := range values {
			stream[i] = byte(v >> (8 * b))
		}
	}
	w.page(c, pageData, encodingByteStreamSplit, len(values), w.raw)
}

// FixedBytes writes a Fixed column; data holds all values one after the other.
func (w *Writer) FixedBytes(col Column, data []byte) {
	c := w.begin(col, encodingPlain)
	w.lone(c, len(data)/col.Length, data)
}

// BeginLong begins a Bytes column of long values, written by LongPage. It comes
// last in the schema.
func (w *Writer) BeginLong(col Column) {
	w.begin(col, encodingDeltaLength).last = true
}

// LongPage writes one page: the lengths of its values, and the values themselves
// one after the other.
func (w *Writer) LongPage(lengths []int64, data []byte) {
	c := &w.chunks[len(w.chunks)-1]
	w.raw = appendDelta(w.raw[:0], lengths)
	w.raw = append(w.raw, data...)
	w.page(c, pageData, encodingDeltaLength, len(lengths), w.raw)
}

// Bloom gives the column written last a split-block Bloom filter of the hashes
// ([Hash]) with about bits bits each.
func (w *Writer) Bloom(hashes []uint64, bits int) {
	w.chunks[len(w.chunks)-1].bloom = buildBloom(hashes, bits)
}

// Close writes filters, page index and footer. meta are keys and values for the
// footer; rows is the number of values of every column.
func (w *Writer) Close(rows int64, meta [][2]string) error {
	for i := range w.chunks {
		c := &w.chunks[i]
		if c.values != rows && w.err == nil {
			w.err = fmt.Errorf("column %s has %d values instead of %d", c.Name, c.values, rows)
		}
		w.extras(c)
	}
	ordered := make([]*chunk, 0, len(w.chunks))
	for _, last := range []bool{false, true} {
		for i := range w.chunks {
			if w.chunks[i].last == last {
				ordered = append(ordered, &w.chunks[i])
			}
		}
	}
	foot := w.footer(ordered, rows, meta)
	foot = binary.LittleEndian.AppendUint32(foot, uint32(len(foot)))
	w.write(append(foot, magic...))
	return w.err
}

// extras writes the Bloom filter and the offset index of a chunk.
func (w *Writer) extras(c *chunk) {
	h := &w.head
	if c.bloom != nil {
		c.bloomAt = w.off
		h.b, h.last, h.stack = h.b[:0], 0, append(h.stack[:0], 0)
		h.int32(1, int32(len(c.bloom)))
		for id := int16(2); id <= 4; id++ { // BLOCK, XXHASH, UNCOMPRESSED
			h.begin(id)
			h.empty(1)
			h.end()
		}
		h.end()
		w.write(h.b)
		w.write(c.bloom)
		c.bloomLen = int(w.off - c.bloomAt)
	}
	if len(c.pages) < 2 {
		return
	}
	c.indexAt = w.off
	h.b, h.last, h.stack = h.b[:0], 0, append(h.stack[:0], 0)
	h.list(1, thriftStruct, len(c.pages))
	for _, p := range c.pages {
		h.begin(0)
		h.int(1, p.offset)
		h.int32(2, p.size)
		h.int(3, p.firstRow)
		h.end()
	}
	h.end()
	w.write(h.b)
	c.indexLen = int(w.off - c.indexAt)
}

func (w *Writer) footer(chunks []*chunk, rows int64, meta [][2]string) []byte {
	t := &thriftWriter{stack: []int16{0}}
	t.int32(1, 2) // version
	t.list(2, thriftStruct, len(chunks)+1)
	t.begin(0)
	t.string(4, "event")
	t.int32(5, int32(len(chunks)))
	t.end()
	var total, packed int64
	for _, c := range chunks {
		schemaElement(t, &c.Column)
		total += c.uncompressed
		packed += c.end - c.start
	}
	t.int(3, rows)
	t.list(4, thriftStruct, 1)
	t.begin(0)
	t.list(1, thriftStruct, len(chunks))
	for _, c := range chunks {
		columnChunk(t, c)
	}
	t.int(2, total)
	t.int(3, rows)
	t.int(6, packed)
	t.end()
	t.list(5, thriftStruct, len(meta))
	for _, kv := range meta {
		t.begin(0)
		t.string(1, kv[0])
		t.string(2, kv[1])
		t.end()
	}
	t.string(6, "kubetrail")
	t.list(7, thriftStruct, len(chunks))
	for range chunks { // every column is in the order of its type
		t.begin(0)
		t.empty(1)
		t.end()
	}
	t.end()
	return t.b
}

func schemaElement(t *thriftWriter, c *Column) {
	t.begin(0)
	t.int32(1, int32(c.Type))
	if c.Type == Fixed {
		t.int32(2, int32(c.Length))
	}
	t.int32(3, 0) // required
	t.string(4, c.Name)
	converted := map[Logical]int32{Text: 0, Timestamp: 10}
	if v, ok := converted[c.Logical]; ok {
		t.int32(6, v)
	}
	switch c.Logical {
	case Text:
		t.begin(10)
		t.empty(1)
		t.end()
	case UUID:
		t.begin(10)
		t.empty(14)
		t.end()
	case Timestamp:
		t.begin(10)
		t.begin(8)
		t.bool(1, true)
		t.begin(2)
		t.empty(2) // MICROS
		t.end()
		t.end()
		t.end()
	}
	t.end()
}

func columnChunk(t *thriftWriter, c *chunk) {
	t.begin(0)
	t.int(2, c.start) // file_offset
	t.begin(3)
	t.int32(1, int32(c.Type))
	t.list(2, thriftI32, 1)
	t.b = binary.AppendVarint(t.b, int64(c.encoding))
	t.list(3, thriftBinary, 1)
	t.b = binary.AppendUvarint(t.b, uint64(len(c.Name)))
	t.b = append(t.b, c.Name...)
	t.int32(4, c.codec)
	t.int(5, c.values)
	t.int(6, c.uncompressed)
	t.int(7, c.end-c.start)
	t.int(9, c.dataOffset)
	if c.dictOffset != 0 {
		t.int(11, c.dictOffset)
	}
	if c.low != nil {
		t.begin(12)
		t.bytes(5, c.high)
		t.bytes(6, c.low)
		t.end()
	}
	if c.bloom != nil {
		t.int(14, c.bloomAt)
		t.int32(15, int32(c.bloomLen))
	}
	t.end()
	if c.indexLen != 0 {
		t.int(4, c.indexAt)
		t.int32(5, int32(c.indexLen))
	}
	t.end()
}
