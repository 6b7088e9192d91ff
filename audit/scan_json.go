package audit

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep the value of a member may be nested. It is what makes a line
// no deeper than the 10,000 levels that encoding/json reads: the event and an object
// in it come on top.
const maxDepth = 10_000 - 2

// fault says what is wrong at the offset returned with it.
type fault uint8

const (
	none fault = iota
	ended
	cutShort
	badValue
	badLiteral
	badNumber
	badControl
	badEscape
	noKey
	noColon
	noComma
	wrongClose
	tooDeep
)

func (f fault) reason() string {
	return [...]string{
		none:       "no fault",
		ended:      "end of object",
		cutShort:   "the line ends inside the event",
		badValue:   "no JSON value where one must stand",
		badLiteral: "a literal that is not true, false or null",
		badNumber:  "a malformed number",
		badControl: "a control character in a string",
		badEscape:  "an unknown escape in a string",
		noKey:      "no member name where one must stand",
		noColon:    "no colon after a member name",
		noComma:    "no comma between two values",
		wrongClose: "a bracket that closes nothing",
		tooDeep:    "values nested more than 10,000 deep",
	}[f]
}

// space returns the offset of the first byte from i that is no JSON white space.
func space(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' {
		switch b[i] {
		case ' ', '\t', '\n', '\r':
			i++
		default:
			return i
		}
	}
	return i
}

const (
	eachByte = 0x0101010101010101
	highBits = 0x8080808080808080
)

// special marks, by the high bit of the byte, each of the eight bytes in x at which
// a plain string stops: quote, backslash and control characters. Bytes above the
// lowest one marked may be marked wrongly: only the lowest counts.
//
// A quote is the one byte from ' ' that comes below '!' when the bit 2 is flipped.
func special(x uint64) uint64 {
	return (((x ^ 2*eachByte) - '!'*eachByte) | ((x ^ '\\'*eachByte) - eachByte)) &^ x & highBits
}

// stringEnd returns the offset of the first quote, backslash or control character
// from i, or len(b). If high is zero, no byte before that is above 127.
func stringEnd(b []byte, i int) (end int, high uint64) {
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		if m := special(x); m != 0 {
			high |= x & (m&-m - 1)
			return i + bits.TrailingZeros64(m)>>3, high & highBits
		}
		high |= x
	}
	for ; i < len(b); i++ {
		c := b[i]
		if c == '"' || c == '\\' || c < ' ' {
			break
		}
		high |= uint64(c)
	}
	return i, high & highBits
}

// skipString returns the offset after the string whose first byte, after its quote,
// is at i.
func skipString(b []byte, i int) (int, fault) {
	for {
		i, _ = stringEnd(b, i)
		if i >= len(b) {
			return i, cutShort
		}
		switch b[i] {
		case '"':
			return i + 1, none
		case '\\':
			n, f := skipEscape(b, i)
			if f != none {
				return i, f
			}
			i = n
		default:
			return i, badControl
		}
	}
}

// skipEscape returns the offset after the escape whose backslash is at i.
func skipEscape(b []byte, i int) (int, fault) {
	if i+1 >= len(b) {
		return i, cutShort
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, none
	case 'u':
		if _, ok := hex4(b, i+2); ok {
			return i + 6, none
		}
		if i+6 > len(b) {
			return i, cutShort
		}
	}
	return i, badEscape
}

// hex4 reads four hexadecimal digits at i.
func hex4(b []byte, i int) (rune, bool) {
	if i+4 > len(b) {
		return 0, false
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// appendUnescaped appends the text of a string whose raw bytes, known to be well
// formed, are s. As in encoding/json, half a surrogate pair and a byte that is no
// UTF-8 become U+FFFD.
func appendUnescaped(dst, s []byte) []byte {
	for {
		n, high := stringEnd(s, 0)
		if high == 0 {
			dst = append(dst, s[:n]...)
		} else {
			dst = appendValid(dst, s[:n])
		}
		if n == len(s) {
			return dst
		}
		s = s[n:] // at a backslash
		if s[1] == 'u' {
			var size int
			dst, size = appendUnicode(dst, s)
			s = s[size:]
			continue
		}
		dst = append(dst, unescaped(s[1]))
		s = s[2:]
	}
}

// appendValid appends s with U+FFFD for every byte that is no UTF-8.
func appendValid(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRune(s[i:])
		dst = utf8.AppendRune(dst, r)
		i += n
	}
	return dst
}

// appendUnicode appends what the \u escape at the beginning of s stands for,
// together with a second one if the two are a surrogate pair. It returns their size
// in s.
func appendUnicode(dst, s []byte) ([]byte, int) {
	const size = len(`\u0000`)
	r, _ := hex4(s, 2)
	if !utf16.IsSurrogate(r) {
		return utf8.AppendRune(dst, r), size
	}
	if len(s) >= 2*size && s[size] == '\\' && s[size+1] == 'u' {
		low, _ := hex4(s, size+2)
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return utf8.AppendRune(dst, pair), 2 * size
		}
	}
	return utf8.AppendRune(dst, utf8.RuneError), size
}

// unescaped is the byte that a backslash and c stand for.
func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// skipLiteral returns the offset after the literal word at i.
func skipLiteral(b []byte, i int, word string) (int, fault) {
	for k := 0; k < len(word); k++ {
		if i+k >= len(b) {
			return len(b), cutShort
		}
		if b[i+k] != word[k] {
			return i, badLiteral
		}
	}
	return i + len(word), none
}

// skipNumber returns the offset after the number at i.
func skipNumber(b []byte, i int) (int, fault) {
	start := i
	if i < len(b) && b[i] == '-' {
		i++
	}
	n := digits(b, i)
	if n == i || b[i] == '0' && n > i+1 {
		return start, badNumber
	}
	i = n
	if i < len(b) && b[i] == '.' {
		if n = digits(b, i+1); n == i+1 {
			return start, badNumber
		}
		i = n
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if n = digits(b, i); n == i {
			return start, badNumber
		}
		i = n
	}
	return i, none
}

// digits returns the offset after the decimal digits at i.
func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// nesting remembers for each open bracket whether it is that of an object: the
// innermost 64 in bits, those further out in deep.
type nesting struct {
	bits  uint64
	depth int
	deep  []uint64
}

// push opens a bracket.
func (n *nesting) push(object bool) {
	if n.depth != 0 && n.depth&63 == 0 {
		n.deep = append(n.deep, n.bits)
	}
	n.bits <<= 1
	if object {
		n.bits |= 1
	}
	n.depth++
}

// pop closes the innermost bracket with c.
func (n *nesting) pop(c byte) fault {
	switch {
	case c == '}' && n.bits&1 != 0, c == ']' && n.bits&1 == 0:
	case c == '}' || c == ']':
		return wrongClose
	default:
		return noComma
	}
	n.depth--
	n.bits >>= 1
	if n.depth != 0 && n.depth&63 == 0 {
		n.bits = n.deep[len(n.deep)-1]
		n.deep = n.deep[:len(n.deep)-1]
	}
	return none
}

// inObject reports whether the innermost bracket, of which there is one, is that of
// an object.
func (n *nesting) inObject() bool { return n.bits&1 != 0 }

// skip returns the offset after the JSON value at i, which it checks to be well
// formed. It decodes nothing. Most of the bytes of a log pass through this loop: it
// holds a copy of stringEnd for strings without escapes, and takes the short way
// where no white space stands between the tokens.
func skip(b []byte, i int) (int, fault) {
	var n nesting
	name := false // the name of a member must stand at i
	for {
		if i >= len(b) {
			return i, cutShort
		}
		var f fault
		switch c := b[i]; {
		case c == '"':
			i++
			for {
				if i+8 > len(b) {
					i, f = skipString(b, i)
					break
				}
				m := special(binary.LittleEndian.Uint64(b[i:]))
				if m == 0 {
					i += 8
					continue
				}
				i += bits.TrailingZeros64(m) >> 3
				if b[i] == '"' {
					i++
				} else {
					i, f = skipString(b, i)
				}
				break
			}
		case name:
			return i, noKey
		case c == '{' || c == '[':
			if n.depth == maxDepth {
				return i, tooDeep
			}
			n.push(c == '{')
			i = space(b, i+1)
			if i == len(b) || b[i] != c+2 { // the bracket that closes it
				name = c == '{'
				continue
			}
		default:
			i, f = skipScalar(b, i)
		}
		if f != none {
			return i, f
		}
		if name {
			name = false
			if i+1 < len(b) && b[i] == ':' && b[i+1] > ' ' {
				i++
			} else if i, f = skipColon(b, i); f != none {
				return i, f
			}
			continue
		}
		for { // what follows a value: brackets that close, and a comma
			if n.depth == 0 {
				return i, none
			}
			if i+1 < len(b) && b[i] == ',' && b[i+1] > ' ' {
				i++
				break
			}
			if i = space(b, i); i >= len(b) {
				return i, cutShort
			}
			if b[i] == ',' {
				i = space(b, i+1)
				break
			}
			if f = n.pop(b[i]); f != none {
				return i, f
			}
			i++
		}
		name = n.inObject()
	}
}

// skipScalar returns the offset after the literal or number at i.
func skipScalar(b []byte, i int) (int, fault) {
	switch c := b[i]; {
	case c == 't':
		return skipLiteral(b, i, "true")
	case c == 'f':
		return skipLiteral(b, i, "false")
	case c == 'n':
		return skipLiteral(b, i, "null")
	case c == '-' || c-'0' <= 9:
		return skipNumber(b, i)
	}
	return i, badValue
}

// skipKey returns the offset of the value of the member whose name begins at i.
func skipKey(b []byte, i int) (int, fault) {
	if i >= len(b) {
		return i, cutShort
	}
	if b[i] != '"' {
		return i, noKey
	}
	i, f := skipString(b, i+1)
	if f != none {
		return i, f
	}
	return skipColon(b, i)
}

// skipColon returns the offset of the value after the colon at i.
func skipColon(b []byte, i int) (int, fault) {
	i = space(b, i)
	if i >= len(b) {
		return i, cutShort
	}
	if b[i] != ':' {
		return i, noColon
	}
	return space(b, i+1), none
}
