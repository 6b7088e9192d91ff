package parquet

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// DELTA_BINARY_PACKED: blocks of 128 deltas in 4 miniblocks, each miniblock packed
// with the width of its largest delta less the block's smallest.
const (
	deltaBlock     = 128
	deltaMini      = 32
	deltaMinis     = deltaBlock / deltaMini
	maxDeltaHeader = 10 + deltaMinis
)

var errDelta = errors.New("damaged delta encoding")

// appendDelta appends values in DELTA_BINARY_PACKED.
func appendDelta(dst []byte, values []int64) []byte {
	dst = binary.AppendUvarint(dst, deltaBlock)
	dst = binary.AppendUvarint(dst, deltaMinis)
	dst = binary.AppendUvarint(dst, uint64(len(values)))
	if len(values) == 0 {
		return binary.AppendVarint(dst, 0)
	}
	dst = binary.AppendVarint(dst, values[0])
	var deltas [deltaBlock]uint64
	for prev, rest := values[0], values[1:]; len(rest) > 0; {
		n := min(len(rest), deltaBlock)
		low := int64(1<<63 - 1)
		for i, v := range rest[:n] {
			d := v - prev // wraps where it must, as the format wants
			low = min(low, d)
			deltas[i] = uint64(d)
			prev = v
		}
		dst = appendDeltaBlock(dst, deltas[:n], low)
		rest = rest[n:]
	}
	return dst
}

func appendDeltaBlock(dst []byte, deltas []uint64, low int64) []byte {
	dst = binary.AppendVarint(dst, low)
	widths := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for m := 0; m*deltaMini < len(deltas); m++ {
		mini := deltas[m*deltaMini : min((m+1)*deltaMini, len(deltas))]
		var all uint64
		for i := range mini {
			mini[i] -= uint64(low)
			all |= mini[i]
		}
		w := bits.Len64(all)
		dst[widths+m] = byte(w)
		dst = appendPacked(dst, mini, w)
	}
	return dst
}

// appendPacked appends 32 values (missing ones as zeros) of w bits each, least
// significant bit first.
func appendPacked(dst []byte, values []uint64, w int) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, deltaMini*w/8)...)
	out := dst[at:]
	var acc uint64
	var have, o int
	for _, v := range values {
		acc |= v << have
		have += w
		for have >= 64 {
			binary.LittleEndian.PutUint64(out[o:], acc)
			o += 8
			have -= 64
			acc = 0
			if have > 0 {
				acc = v >> (w - have)
			}
		}
	}
	for ; have > 0; have -= 8 {
		out[o] = byte(acc)
		acc >>= 8
		o++
	}
	return dst
}

// readDelta decodes DELTA_BINARY_PACKED values that begin src into dst, which must
// be as long as there are values, and returns what follows them.
func readDelta(dst []int64, src []byte) (rest []byte, err error) {
	t := thriftReader{b: src} // its varints are the same
	block, minis, total := t.uvarint(), t.uvarint(), t.uvarint()
	first := t.varint()
	if t.err != nil || block != deltaBlock || minis != deltaMinis || total != uint64(len(dst)) {
		return nil, errDelta
	}
	if len(dst) == 0 {
		return t.b, nil
	}
	dst[0] = first
	for at := 1; at < len(dst); {
		low := t.varint()
		if t.err != nil || len(t.b) < deltaMinis {
			return nil, errDelta
		}
		widths := t.b[:deltaMinis]
		t.b = t.b[deltaMinis:]
		for m := 0; m < deltaMinis && at < len(dst); m++ {
			w := int(widths[m])
			size := deltaMini * w / 8
			if w > 64 || len(t.b) < size {
				return nil, errDelta
			}
			n := min(deltaMini, len(dst)-at)
			unpackDeltas(dst[at:at+n], dst[at-1], low, t.b[:size], w)
			at += n
			t.b = t.b[size:]
		}
	}
	return t.b, nil
}

// unpackDeltas turns one miniblock of deltas into values that go on from prev.
func unpackDeltas(dst []int64, prev, low int64, src []byte, w int) {
	if w == 0 {
		for i := range dst {
			prev += low
			dst[i] = prev
		}
		return
	}
	if w > 56 {
		unpackWide(dst, prev, low, src, w)
		return
	}
	mask := uint64(1)<<w - 1
	bit := 0
	for i := range dst {
		at := bit >> 3
		var word uint64
		if at+8 <= len(src) {
			word = binary.LittleEndian.Uint64(src[at:])
		} else {
			word = tailWord(src[at:])
		}
		prev += low + int64(word>>(bit&7)&mask)
		dst[i] = prev
		bit += w
	}
}

func tailWord(src []byte) uint64 {
	var word uint64
	for i, c := range src {
		word |= uint64(c) << (8 * i)
	}
	return word
}

func unpackWide(dst []int64, prev, low int64, src []byte, w int) {
	for i := range dst {
		var v uint64
		for b := 0; b < w; b++ {
			bit := i*w + b
			v |= uint64(src[bit>>3]>>(bit&7)&1) << b
		}
		prev += low + int64(v)
		dst[i] = prev
	}
}
