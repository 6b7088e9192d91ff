package disk

import (
	"encoding/binary"
	"math/bits"
)

// bitmap is a set of the rows of a part.
type bitmap []uint64

// full makes b hold the rows 0 to rows-1.
func (b bitmap) full(rows int) bitmap {
	n := (rows + 63) / 64
	if cap(b) < n {
		b = make(bitmap, n)
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

func (b bitmap) clone() bitmap { return append(bitmap(nil), b...) }

func (b bitmap) empty() bool {
	for _, w := range b {
		if w != 0 {
			return false
		}
	}
	return true
}

func (b bitmap) count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

func (b bitmap) set(i int)   { b[i>>6] |= 1 << (i & 63) }
func (b bitmap) unset(i int) { b[i>>6] &^= 1 << (i & 63) }

// next returns the first row of b at or after i, -1 if there is none.
func (b bitmap) next(i int) int {
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

func (b bitmap) union(o bitmap) {
	for i, w := range o {
		b[i] |= w
	}
}

func (b bitmap) minus(o bitmap) {
	for i, w := range o {
		b[i] &^= w
	}
}

// keep leaves in b only the rows for which hit says so. It asks for whole words of
// rows at a time: passing over what is already out costs nothing.
func (b bitmap) keep(rows int, hit func(i int) bool) {
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

// keepBytes is keep for codes of 8 bits and a table of the codes that stay.
func (b bitmap) keepBytes(codes []byte, stays *[256]byte) {
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

// keepWords is keepBytes for codes of 16 bits, little endian.
func (b bitmap) keepWords(codes []byte, stays []byte) {
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

// keepRange is keep for numbers from lo to hi, both included.
func (b bitmap) keepRange(values []int64, lo, hi int64) {
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
