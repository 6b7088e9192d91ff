package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
)

// File is the footer of a file.
type File struct {
	Rows   int64
	Chunks []Chunk
	Meta   [][2]string
}

// Chunk is where and how one column lies in the file.
type Chunk struct {
	Name       string
	Type       Type
	Length     int   // of Fixed
	Size       int64 // compressed, with headers
	encoding   int32
	codec      int32
	start      int64
	dataOffset int64
	hasDict    bool
	bloomAt    int64
	bloomLen   int64
	indexAt    int64
	indexLen   int64
}

// ErrDamaged is wrapped by every error about bytes that are not as they were written.
var ErrDamaged = errors.New("damaged file")

func damaged(what string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(what, args...))
}

const (
	tailGuess = 16 << 10
	maxFooter = 64 << 20
	maxPage   = 256 << 20
)

// ReadFile reads the footer of a file of size bytes.
func ReadFile(r io.ReaderAt, size int64) (*File, error) {
	tail, err := readAt(r, max(0, size-tailGuess), min(size, tailGuess))
	if err != nil {
		return nil, err
	}
	if len(tail) < 12 || string(tail[len(tail)-4:]) != magic {
		return nil, damaged("no footer at its end")
	}
	n := int64(binary.LittleEndian.Uint32(tail[len(tail)-8:]))
	if n > maxFooter || n > size-12 {
		return nil, damaged("footer of %d bytes in a file of %d", n, size)
	}
	if n+8 > int64(len(tail)) {
		if tail, err = readAt(r, size-n-8, n+8); err != nil {
			return nil, err
		}
	}
	f, err := parseFooter(tail[int64(len(tail))-8-n : len(tail)-8])
	if err != nil {
		return nil, err
	}
	for i := range f.Chunks {
		c := &f.Chunks[i]
		if c.start < 4 || c.Size < 0 || c.start > size-c.Size || c.dataOffset < c.start ||
			c.dataOffset > c.start+c.Size || c.bloomAt > size-c.bloomLen || c.indexAt > size-c.indexLen ||
			c.bloomLen < 0 || c.indexLen < 0 || c.indexLen > maxFooter {
			return nil, damaged("column %s lies outside the file", c.Name)
		}
	}
	return f, nil
}

func readAt(r io.ReaderAt, off, n int64) ([]byte, error) {
	b := make([]byte, n)
	_, err := r.ReadAt(b, off)
	if err == io.EOF {
		err = damaged("file ends at a page")
	}
	return b, err
}

func parseFooter(b []byte) (*File, error) {
	f := &File{}
	t := &thriftReader{b: b}
	var schema []Column
	t.each(func(id int16, typ byte) bool {
		switch {
		case id == 2 && typ == thriftList:
			n, _ := t.elements()
			for i := 0; i < n && t.err == nil; i++ {
				schema = append(schema, readSchemaElement(t))
			}
		case id == 3:
			f.Rows = t.varint()
		case id == 4 && typ == thriftList:
			n, _ := t.elements()
			for i := 0; i < n && t.err == nil; i++ {
				readRowGroup(t, f)
			}
		case id == 5 && typ == thriftList:
			n, _ := t.elements()
			for i := 0; i < n && t.err == nil; i++ {
				f.Meta = append(f.Meta, readKeyValue(t))
			}
		default:
			return false
		}
		return true
	})
	if t.err != nil || f.Rows < 0 || f.Rows > 1<<31-1 {
		return nil, damaged("its footer cannot be read")
	}
	for i := range f.Chunks {
		if i+1 < len(schema) && schema[i+1].Name == f.Chunks[i].Name {
			f.Chunks[i].Length = schema[i+1].Length
		}
	}
	return f, nil
}

func readSchemaElement(t *thriftReader) (c Column) {
	t.each(func(id int16, typ byte) bool {
		switch {
		case id == 2 && typ == thriftI32:
			c.Length = int(int32(t.varint()))
		case id == 4 && typ == thriftBinary:
			c.Name = string(t.bytes())
		default:
			return false
		}
		return true
	})
	return c
}

func readKeyValue(t *thriftReader) (kv [2]string) {
	t.each(func(id int16, typ byte) bool {
		if (id != 1 && id != 2) || typ != thriftBinary {
			return false
		}
		kv[id-1] = string(t.bytes())
		return true
	})
	return kv
}

func readRowGroup(t *thriftReader, f *File) {
	t.each(func(id int16, typ byte) bool {
		if id != 1 || typ != thriftList {
			return false
		}
		n, _ := t.elements()
		if f.Chunks == nil {
			f.Chunks = make([]Chunk, 0, min(n, 64))
		}
		for i := 0; i < n && t.err == nil; i++ {
			f.Chunks = append(f.Chunks, readChunk(t))
		}
		return true
	})
}

func readChunk(t *thriftReader) (c Chunk) {
	t.each(func(id int16, typ byte) bool {
		switch {
		case id == 3 && typ == thriftStruct:
			readChunkMeta(t, &c)
		case id == 4:
			c.indexAt = t.varint()
		case id == 5:
			c.indexLen = t.varint()
		default:
			return false
		}
		return true
	})
	return c
}

func readChunkMeta(t *thriftReader, c *Chunk) {
	t.each(func(id int16, typ byte) bool {
		switch id {
		case 1:
			c.Type = Type(t.varint())
		case 2:
			n, _ := t.elements()
			for i := 0; i < n && t.err == nil; i++ {
				c.encoding = int32(t.varint())
			}
		case 3:
			n, _ := t.elements()
			for i := 0; i < n && t.err == nil; i++ {
				c.Name = string(t.bytes())
			}
		case 4:
			c.codec = int32(t.varint())
		case 7:
			c.Size = t.varint()
		case 9:
			c.dataOffset = t.varint()
			if c.start == 0 {
				c.start = c.dataOffset
			}
		case 11:
			c.start = t.varint()
			c.hasDict = true
		case 14:
			c.bloomAt = t.varint()
		case 15:
			c.bloomLen = t.varint()
		default:
			return false
		}
		return true
	})
}

// Decoder reads columns. It keeps buffers and a zstd decoder; it belongs to one
// goroutine.
type Decoder struct {
	zstd *zstd.Decoder
	in   []byte
	out  []byte
}

// NewDecoder returns a Decoder.
func NewDecoder() (*Decoder, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPage))
	return &Decoder{zstd: z}, err
}

// Close releases the decoder.
func (d *Decoder) Close() { d.zstd.Close() }

type page struct {
	kind, encoding int32
	values         int
	plain, packed  int
	crc            uint32
}

func readPageHeader(b []byte) (p page, rest []byte, err error) {
	t := &thriftReader{b: b}
	p.encoding = -1
	t.each(func(id int16, typ byte) bool {
		switch id {
		case 1:
			p.kind = int32(t.varint())
		case 2:
			p.plain = int(t.varint())
		case 3:
			p.packed = int(t.varint())
		case 4:
			p.crc = uint32(t.varint())
		case 5, 7:
			t.each(func(id int16, typ byte) bool {
				switch id {
				case 1:
					p.values = int(t.varint())
				case 2:
					p.encoding = int32(t.varint())
				default:
					return false
				}
				return true
			})
		default:
			return false
		}
		return true
	})
	if t.err != nil || p.plain < 0 || p.plain > maxPage || p.packed < 0 || p.packed > len(t.b) || p.values < 0 {
		return p, nil, damaged("its page header cannot be read")
	}
	return p, t.b, nil
}

// body appends the decompressed bytes of a page to dst[:0].
func (d *Decoder) body(c *Chunk, p page, b, dst []byte) ([]byte, error) {
	b = b[:p.packed]
	if crc32.ChecksumIEEE(b) != p.crc {
		return nil, damaged("column %s: a page's checksum is wrong", c.Name)
	}
	if c.codec == codecNone {
		return append(dst[:0], b...), nil
	}
	if cap(dst) < p.plain {
		dst = make([]byte, 0, p.plain)
	}
	out, err := d.zstd.DecodeAll(b, dst[:0])
	if err != nil || len(out) != p.plain {
		return nil, damaged("column %s: a page does not decompress: %v", c.Name, err)
	}
	return out, nil
}

// chunk reads all bytes of a column.
func (d *Decoder) chunk(r io.ReaderAt, c *Chunk) ([]byte, error) {
	return d.read(r, c.start, c.Size)
}

func (d *Decoder) read(r io.ReaderAt, off, n int64) ([]byte, error) {
	if n > maxPage {
		return nil, damaged("a page of %d bytes", n)
	}
	if int64(cap(d.in)) < n {
		d.in = make([]byte, n)
	}
	d.in = d.in[:n]
	if _, err := r.ReadAt(d.in, off); err != nil {
		if err == io.EOF {
			err = damaged("file ends inside a page")
		}
		return nil, err
	}
	return d.in, nil
}

// Dictionary is the distinct values of a column.
type Dictionary struct {
	ends []uint32
	data []byte
	page []byte
}

// Len returns the number of values.
func (v *Dictionary) Len() int { return len(v.ends) }

// Value returns value i, which is valid until the Dictionary is read again; nil
// where there is no such value, as for a code in a file that somebody made up.
func (v *Dictionary) Value(i uint32) []byte {
	if int(i) >= len(v.ends) {
		return nil
	}
	if i == 0 {
		return v.data[:v.ends[0]:v.ends[0]]
	}
	// The 4 bytes of the length lie between two values.
	return v.data[v.ends[i-1]+4 : v.ends[i] : v.ends[i]]
}

func (v *Dictionary) parse(typ Type, n int, b []byte) error {
	v.ends = v.ends[:0]
	if typ == Int32 {
		return v.parseInt32(n, b)
	}
	if n > len(b)/4 {
		return damaged("its dictionary is too short")
	}
	at := 0
	for i := 0; i < n; i++ {
		if len(b)-at < 4 {
			return damaged("its dictionary is too short")
		}
		size := binary.LittleEndian.Uint32(b[at:])
		at += 4
		if uint64(size) > uint64(len(b)-at) {
			return damaged("its dictionary is too short")
		}
		at += int(size)
		v.ends = append(v.ends, uint32(at-4))
	}
	v.data = nil
	if n > 0 {
		v.data = b[4:]
	}
	return nil
}

// parseInt32 gives the numbers the same shape: as decimal text.
func (v *Dictionary) parseInt32(n int, b []byte) error {
	if n > len(b)/4 {
		return damaged("its dictionary is too short")
	}
	data := make([]byte, 0, n*8)
	for i := 0; i < n; i++ {
		if i > 0 {
			data = append(data, 0, 0, 0, 0)
		}
		data = fmt.Append(data, int32(binary.LittleEndian.Uint32(b[4*i:])))
		v.ends = append(v.ends, uint32(len(data)))
	}
	v.data = data
	return nil
}

// Codes is a dictionary column in memory: for every row the number of its value, of
// Width bits, little endian, in Data. That every code has a value is not checked
// beforehand, a pass over all rows: the page's checksum says that it is as written,
// and whoever uses a code must not trust it further than Value does.
type Codes struct {
	Dict  Dictionary
	Width int // 0 (every row has value 0), 8, 16 or 32
	Data  []byte
	page  []byte
}

// At returns the code of row i.
func (v *Codes) At(i int) uint32 {
	switch v.Width {
	case 8:
		return uint32(v.Data[i])
	case 16:
		return uint32(binary.LittleEndian.Uint16(v.Data[2*i:]))
	case 32:
		return binary.LittleEndian.Uint32(v.Data[4*i:])
	}
	return 0
}

// Dictionary reads a dictionary column of rows values into v, reusing its memory.
func (d *Decoder) Dictionary(r io.ReaderAt, c *Chunk, rows int, v *Codes) error {
	if !c.hasDict {
		return damaged("column %s has no dictionary", c.Name)
	}
	b, err := d.chunk(r, c)
	if err != nil {
		return err
	}
	p, b, err := readPageHeader(b)
	if err != nil || p.kind != pageDictionary {
		return damaged("column %s: no dictionary page", c.Name)
	}
	if v.Dict.page, err = d.body(c, p, b, v.Dict.page); err != nil {
		return err
	}
	if err := v.Dict.parse(c.Type, p.values, v.Dict.page); err != nil {
		return fmt.Errorf("column %s: %w", c.Name, err)
	}
	p, b, err = readPageHeader(b[p.packed:])
	if err != nil || p.kind != pageData || p.encoding != encodingDictionary || p.values != rows {
		return damaged("column %s: its data page cannot be read", c.Name)
	}
	if v.page, err = d.body(c, p, b, v.page); err != nil {
		return err
	}
	if err := v.parse(rows); err != nil {
		return fmt.Errorf("column %s: %w", c.Name, err)
	}
	return nil
}

func (v *Codes) parse(rows int) error {
	b := v.page
	v.Width, v.Data = 0, nil
	if rows == 0 {
		return nil
	}
	if len(b) < 2 {
		return damaged("no codes")
	}
	width := int(b[0])
	run, n := binary.Uvarint(b[1:])
	if n <= 0 || v.Dict.Len() == 0 {
		return damaged("no codes")
	}
	b = b[1+n:]
	if run&1 == 0 { // one value for every row
		if width != 1 || run>>1 != uint64(rows) || len(b) != 1 || b[0] != 0 {
			return damaged("a run that was never written")
		}
		return nil
	}
	v.Width = width
	if run>>1 != uint64(rows+7)/8 || (width != 8 && width != 16 && width != 32) ||
		len(b) != (rows+7)/8*width {
		return damaged("codes of another length")
	}
	v.Data = b[:rows*width/8]
	return nil
}

// Int64s reads an Int64 or Int32 column written by Delta or Split into dst, which
// is as long as the file has rows.
func (d *Decoder) Int64s(r io.ReaderAt, c *Chunk, dst []int64) error {
	b, err := d.chunk(r, c)
	if err != nil {
		return err
	}
	p, b, err := readPageHeader(b)
	if err != nil || p.kind != pageData || p.values != len(dst) {
		return damaged("column %s: its page cannot be read", c.Name)
	}
	if d.out, err = d.body(c, p, b, d.out); err != nil {
		return err
	}
	switch p.encoding {
	case encodingDelta:
		if _, err := readDelta(dst, d.out); err != nil {
			return damaged("column %s: %v", c.Name, err)
		}
		return nil
	case encodingByteStreamSplit:
		return join(c, d.out, dst)
	}
	return damaged("column %s: an encoding that was never written", c.Name)
}

func join(c *Chunk, b []byte, dst []int64) error {
	n := len(dst)
	switch {
	case c.Type == Int32 && len(b) == 4*n:
		b0, b1, b2, b3 := b[:n], b[n:2*n], b[2*n:3*n], b[3*n:]
		for i := range dst {
			dst[i] = int64(int32(uint32(b0[i]) | uint32(b1[i])<<8 | uint32(b2[i])<<16 | uint32(b3[i])<<24))
		}
	case c.Type == Int64 && len(b) == 8*n:
		clear(dst)
		for k := range 8 {
			plane := b[k*n : (k+1)*n]
			if zero(plane) {
				continue // most numbers are small
			}
			for i, v := range plane {
				dst[i] |= int64(v) << (8 * k)
			}
		}
	default:
		return damaged("column %s: a page of another length", c.Name)
	}
	return nil
}

// zero reports whether b holds nothing but zeros.
func zero(b []byte) bool {
	return len(b) == 0 || b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}

// FixedBytes reads a Fixed column of rows values into dst.
func (d *Decoder) FixedBytes(r io.ReaderAt, c *Chunk, rows int, dst []byte) ([]byte, error) {
	b, err := d.chunk(r, c)
	if err != nil {
		return nil, err
	}
	p, b, err := readPageHeader(b)
	if err != nil || p.values != rows {
		return nil, damaged("column %s: its page cannot be read", c.Name)
	}
	dst, err = d.body(c, p, b, dst)
	if err == nil && len(dst) != rows*c.Length {
		err = damaged("column %s: a page of another length", c.Name)
	}
	return dst, err
}

// Place is where a page of long values lies and which rows it holds.
type Place struct {
	offset   int64
	size     int64
	FirstRow int
	Rows     int
}

// Places returns the pages of a column written by LongPage.
func (d *Decoder) Places(r io.ReaderAt, c *Chunk, rows int) ([]Place, error) {
	if c.indexLen == 0 {
		return []Place{{c.start, c.Size, 0, rows}}, nil
	}
	b, err := d.read(r, c.indexAt, c.indexLen)
	if err != nil {
		return nil, err
	}
	t := &thriftReader{b: b}
	var places []Place
	t.each(func(id int16, typ byte) bool {
		if id != 1 || typ != thriftList {
			return false
		}
		n, _ := t.elements()
		for i := 0; i < n && t.err == nil; i++ {
			places = append(places, readPlace(t))
		}
		return true
	})
	for i := range places {
		next := rows
		if i+1 < len(places) {
			next = places[i+1].FirstRow
		}
		p := &places[i]
		p.Rows = next - p.FirstRow
		if p.Rows < 0 || p.FirstRow < 0 || p.size < 0 || p.offset < c.start || p.offset > c.start+c.Size-p.size {
			t.err = errThrift
			break
		}
	}
	if t.err != nil || len(places) == 0 || places[0].FirstRow != 0 {
		return nil, damaged("column %s: its page index cannot be read", c.Name)
	}
	return places, nil
}

func readPlace(t *thriftReader) (p Place) {
	t.each(func(id int16, typ byte) bool {
		switch id {
		case 1:
			p.offset = t.varint()
		case 2:
			p.size = t.varint()
		case 3:
			p.FirstRow = int(t.varint())
		default:
			return false
		}
		return true
	})
	return p
}

// Long is a page of long values: value i is Data[Ends[i-1]:Ends[i]].
type Long struct {
	Ends []int64
	Data []byte
	page []byte
}

// LongPage reads the page at p into v, reusing its memory.
func (d *Decoder) LongPage(r io.ReaderAt, c *Chunk, p Place, v *Long) error {
	b, err := d.read(r, p.offset, p.size)
	if err != nil {
		return err
	}
	h, b, err := readPageHeader(b)
	if err != nil || h.values != p.Rows || h.encoding != encodingDeltaLength {
		return damaged("column %s: its page cannot be read", c.Name)
	}
	if v.page, err = d.body(c, h, b, v.page); err != nil {
		return err
	}
	if cap(v.Ends) < p.Rows {
		v.Ends = make([]int64, p.Rows)
	}
	v.Ends = v.Ends[:p.Rows]
	if v.Data, err = readDelta(v.Ends, v.page); err != nil {
		return damaged("column %s: %v", c.Name, err)
	}
	var end int64
	for i, n := range v.Ends {
		if n < 0 || n > int64(len(v.Data))-end {
			return damaged("column %s: lengths beyond its page", c.Name)
		}
		end += n
		v.Ends[i] = end
	}
	return nil
}

// Value returns value i of the page.
func (v *Long) Value(i int) []byte {
	var from int64
	if i > 0 {
		from = v.Ends[i-1]
	}
	return v.Data[from:v.Ends[i]:v.Ends[i]]
}

// MayHold asks the column's Bloom filter; it is true where there is none.
func (d *Decoder) MayHold(r io.ReaderAt, c *Chunk, hash uint64) (bool, error) {
	if c.bloomLen == 0 {
		return true, nil
	}
	// The header is 15 to 19 bytes; what follows it are whole blocks.
	head := int64(0)
	for n := int64(1); n <= 24; n++ {
		if (c.bloomLen-n)%bloomBlock == 0 && n >= 12 {
			head = n
			break
		}
	}
	blocks := (c.bloomLen - head) / bloomBlock
	if head == 0 || blocks < 1 {
		return false, damaged("column %s: its filter cannot be read", c.Name)
	}
	b, err := d.read(r, c.bloomAt+head+int64(bloomIndex(hash, int(blocks))), bloomBlock)
	if err != nil {
		return false, err
	}
	return bloomHas(b, hash), nil
}
