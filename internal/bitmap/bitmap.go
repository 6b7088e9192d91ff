// Package bitmap holds sets of the rows of a part, and narrows them a word at a time.
package bitmap

import (
	"encoding/binary"
	"math/bits"
)

// Rows is a set of row numbers from 0 on, 64 in each word.
type Rows []uint64

// Full makes b hold the rows 0 to rows-1.
func (b Rows) Full(rows int) Rows {
	n := (rows + 63) / 64
	if cap(b) < n {
		b = make(Rows, n)
	}
	b = b[:n]
	for i := range b {
		b[i] = ^uint64(0)
	}
	if rest := rows % 64; rest != 0 {
		b[n-1] = 1<<rest - 1
	}
	return b
}

// Clone returns a copy.
func (b Rows) Clone() Rows { return append(Rows(nil), b...) }

// Empty reports whether there is no row in b.
func (b Rows) Empty() bool {
	for _, w := range b {
		if w != 0 {
			return false
		}
	}
	return true
}

// Count is how many rows there are in b.
func (b Rows) Count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// Set adds a row, and Unset takes one out: b was made by Full for more than i rows.
func (b Rows) Set(i int)   { b[i>>6] |= 1 << (i & 63) }
func (b Rows) Unset(i int) { b[i>>6] &^= 1 << (i & 63) }

// Next returns the first row of b at or after i, -1 if there is none.
func (b Rows) Next(i int) int {
	w := i >> 6
	if w >= len(b) {
		return -1
	}
	if word := b[w] >> (i & 63); word != 0 {
		return i + bits.TrailingZeros64(word)
	}
	for w++; w < len(b); w++ {
		if b[w] != 0 {
			return w<<6 + bits.TrailingZeros64(b[w])
		}
	}
	return -1
}

// Union adds the rows of o, which is as long as b.
func (b Rows) Union(o Rows) {
	for i, w := range o {
		b[i] |= w
	}
}

// Minus takes out the rows of o, which is as long as b.
func (b Rows) Minus(o Rows) {
	for i, w := range o {
		b[i] &^= w
	}
}

// Keep leaves in b only the rows for which hit says so. It asks for whole words of
// rows at a time: passing over what is already out costs nothing.
func (b Rows) Keep(rows int, hit func(i int) bool) {
	for w, word := range b {
		for rest := word; rest != 0; rest &= rest - 1 {
			i := w<<6 + bits.TrailingZeros64(rest)
			if i >= rows || !hit(i) {
				word &^= rest & -rest
			}
		}
		b[w] = word
	}
}

// KeepBytes is Keep for codes of 8 bits and a table of the codes that stay.
func (b Rows) KeepBytes(codes []byte, stays *[256]byte) {
	for w, word := range b {
		if word == 0 {
			continue
		}
		var m uint64
		for j, c := range codes[w<<6 : min(w<<6+64, len(codes))] {
			m |= uint64(stays[c]) << (j & 63)
		}
		b[w] = word & m
	}
}

// KeepWords is KeepBytes for codes of 16 bits, little endian.
func (b Rows) KeepWords(codes []byte, stays []byte) {
	for w, word := range b {
		if word == 0 {
			continue
		}
		var m uint64
		for j, c := 0, codes[w<<7:min(w<<7+128, len(codes))]; len(c) >= 2; j, c = j+1, c[2:] {
			m |= uint64(stays[binary.LittleEndian.Uint16(c)]) << (j & 63)
		}
		b[w] = word & m
	}
}

// KeepRange is Keep for numbers from lo to hi, both included.
func (b Rows) KeepRange(values []int64, lo, hi int64) {
	span := uint64(hi) - uint64(lo)
	for w, word := range b {
		if word == 0 {
			continue
		}
		var m uint64
		for j, v := range values[w<<6 : min(w<<6+64, len(values))] {
			if uint64(v)-uint64(lo) <= span {
				m |= 1 << (j & 63)
			}
		}
		b[w] = word & m
	}
}
