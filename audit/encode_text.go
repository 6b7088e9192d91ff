package audit

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendText appends text as a JSON string, as encoding/json writes it with HTML
// escaping; U+FFFD is escaped too.
func appendText(dst, text []byte) []byte {
	dst = append(dst, '"')
	for {
		n := plain(text)
		dst = append(dst, text[:n]...)
		if n == len(text) {
			return append(dst, '"')
		}
		var size int
		dst, size = appendEscaped(dst, text[n:])
		text = text[n+size:]
	}
}

// plain returns how many bytes at the beginning of text a JSON string holds as they
// are.
func plain(text []byte) int {
	i := 0
	for ; i+8 <= len(text); i += 8 {
		x := binary.LittleEndian.Uint64(text[i:])
		if m := escaped(x); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for ; i < len(text); i++ {
		switch c := text[i]; {
		case c < ' ' || c >= utf8.RuneSelf:
			return i
		case c == '"' || c == '\\' || c == '<' || c == '>' || c == '&':
			return i
		}
	}
	return i
}

// escaped marks, as special does, each byte that a JSON string with HTML escaping
// may not hold as it is: what special marks, <, >, & and whatever is no ASCII. The
// first two differ in one bit.
func escaped(x uint64) uint64 {
	control := (x ^ 2*eachByte) - '!'*eachByte // and the quote, as in special
	slash := (x ^ '\\'*eachByte) - eachByte
	and := (x ^ '&'*eachByte) - eachByte
	angle := (x&^(2*eachByte) ^ '<'*eachByte) - eachByte
	return (control | slash | and | angle | x) & highBits
}

// appendEscaped appends the first rune of text, which plain stops at, and returns
// its size in text.
func appendEscaped(dst, text []byte) ([]byte, int) {
	c := text[0]
	if c < utf8.RuneSelf {
		switch c {
		case '"', '\\':
			return append(dst, '\\', c), 1
		case '\b':
			return append(dst, '\\', 'b'), 1
		case '\f':
			return append(dst, '\\', 'f'), 1
		case '\n':
			return append(dst, '\\', 'n'), 1
		case '\r':
			return append(dst, '\\', 'r'), 1
		case '\t':
			return append(dst, '\\', 't'), 1
		}
		return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15]), 1
	}
	switch r, size := utf8.DecodeRune(text); r {
	case utf8.RuneError:
		return append(dst, `\ufffd`...), size
	case '\u2028', '\u2029':
		return append(dst, '\\', 'u', '2', '0', '2', hexDigits[r&15]), size
	default:
		return append(dst, text[:size]...), size
	}
}
