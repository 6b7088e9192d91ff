package parquet

import (
	"encoding/binary"
	"errors"
)

// Headers and footer are Thrift structs in the compact protocol: a field header is
// one byte (delta of the field number, type), integers are zigzag varints, lists
// carry their length and element type.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

// thriftWriter appends structs to b. last is the number of the field written last
// in the struct being written; stack keeps those of the enclosing ones.
type thriftWriter struct {
	b     []byte
	last  int16
	stack []int16
}

func (t *thriftWriter) field(id int16, typ byte) {
	if d := id - t.last; d > 0 && d < 16 {
		t.b = append(t.b, byte(d)<<4|typ)
	} else {
		t.b = append(t.b, typ)
		t.b = binary.AppendVarint(t.b, int64(id))
	}
	t.last = id
}

func (t *thriftWriter) int(id int16, v int64) {
	t.field(id, thriftI64)
	t.b = binary.AppendVarint(t.b, v)
}

func (t *thriftWriter) int32(id int16, v int32) {
	t.field(id, thriftI32)
	t.b = binary.AppendVarint(t.b, int64(v))
}

func (t *thriftWriter) bool(id int16, v bool) {
	typ := byte(thriftFalse)
	if v {
		typ = thriftTrue
	}
	t.field(id, typ)
}

func (t *thriftWriter) bytes(id int16, v []byte) {
	t.field(id, thriftBinary)
	t.b = binary.AppendUvarint(t.b, uint64(len(v)))
	t.b = append(t.b, v...)
}

func (t *thriftWriter) string(id int16, v string) { t.bytes(id, []byte(v)) }

func (t *thriftWriter) list(id int16, typ byte, n int) {
	t.field(id, thriftList)
	if n < 15 {
		t.b = append(t.b, byte(n)<<4|typ)
		return
	}
	t.b = append(t.b, 0xf0|typ)
	t.b = binary.AppendUvarint(t.b, uint64(n))
}

// begin opens the struct of field id; begin(0) opens an element of a list.
func (t *thriftWriter) begin(id int16) {
	if id != 0 {
		t.field(id, thriftStruct)
	}
	t.stack = append(t.stack, t.last)
	t.last = 0
}

func (t *thriftWriter) end() {
	t.b = append(t.b, 0)
	t.last = t.stack[len(t.stack)-1]
	t.stack = t.stack[:len(t.stack)-1]
}

// empty writes a struct without fields, which is how Thrift unions name a case.
func (t *thriftWriter) empty(id int16) {
	t.begin(id)
	t.end()
}

var errThrift = errors.New("damaged header")

// thriftReader reads from b. The first damage sets err; every read after it
// returns zero.
type thriftReader struct {
	b   []byte
	err error
}

func (t *thriftReader) fail() { t.err, t.b = errThrift, nil }

func (t *thriftReader) byte() byte {
	if len(t.b) == 0 {
		t.fail()
		return 0
	}
	c := t.b[0]
	t.b = t.b[1:]
	return c
}

func (t *thriftReader) uvarint() uint64 {
	v, n := binary.Uvarint(t.b)
	if n <= 0 {
		t.fail()
		return 0
	}
	t.b = t.b[n:]
	return v
}

func (t *thriftReader) varint() int64 {
	u := t.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (t *thriftReader) bytes() []byte {
	n := t.uvarint()
	if n > uint64(len(t.b)) {
		t.fail()
		return nil
	}
	v := t.b[:n:n]
	t.b = t.b[n:]
	return v
}

// each calls f for every field of the struct that begins here. f reads the value
// and returns true, or returns false to have it skipped.
func (t *thriftReader) each(f func(id int16, typ byte) bool) {
	t.structure(f, 0)
}

func (t *thriftReader) structure(f func(id int16, typ byte) bool, depth int) {
	var id int16
	for t.err == nil {
		h := t.byte()
		typ := h & 15
		if typ == 0 {
			return
		}
		if d := h >> 4; d != 0 {
			id += int16(d)
		} else {
			id = int16(t.varint())
		}
		if f == nil || !f(id, typ) {
			t.skip(typ, depth)
		}
	}
}

// elements reads the header of a list and returns how many elements follow; every
// element takes at least one byte.
func (t *thriftReader) elements() (n int, typ byte) {
	h := t.byte()
	n, typ = int(h>>4), h&15
	if n == 15 {
		u := t.uvarint()
		if u > uint64(len(t.b)) {
			t.fail()
			return 0, 0
		}
		n = int(u)
	}
	if n > len(t.b) {
		t.fail()
		return 0, 0
	}
	return n, typ
}

func (t *thriftReader) skip(typ byte, depth int) {
	if depth > 16 {
		t.fail()
		return
	}
	switch typ {
	case thriftTrue, thriftFalse:
	case thriftByte:
		t.byte()
	case thriftI16, thriftI32, thriftI64:
		t.uvarint()
	case thriftDouble:
		if len(t.b) < 8 {
			t.fail()
			return
		}
		t.b = t.b[8:]
	case thriftBinary:
		t.bytes()
	case thriftList, thriftSet:
		n, et := t.elements()
		for ; n > 0 && t.err == nil; n-- {
			if et == thriftTrue || et == thriftFalse {
				t.byte()
			} else {
				t.skip(et, depth+1)
			}
		}
	case thriftStruct:
		t.structure(nil, depth+1)
	default: // maps do not occur in Parquet
		t.fail()
	}
}
