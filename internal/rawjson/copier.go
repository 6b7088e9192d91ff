package rawjson

import (
	"encoding/binary"
	"math/bits"
)

// A copier copies one value. Pieces of src that stay as they are are copied when they
// end, so that a value in which nothing changes is copied once.
type copier struct {
	dst, src []byte
	kept     int // src before this is in dst, or left out
	at       int // where the fault is

	depth  int
	arrays [MaxDepth/64 + 1]uint64 // a bit for each level: whether it is an array

	omit bool // managed fields
	omitter
}

// value copies the value that src is, and tells what is wrong with it, or nothing.
//
// The labels are the states of the grammar: what may stand at i.
func (c *copier) value() string {
	src, i := c.src, 0
value:
	if spaceAt(src, i) {
		i = c.leaveSpace(i)
	}
	if i == len(src) {
		return c.fault(i, cutShort)
	}
	switch b := src[i]; b {
	case '"':
		end, fault := c.text(i + 1)
		if fault != "" {
			return c.fault(end, fault)
		}
		if c.omit && c.next == kind {
			c.table = string(src[i:end]) == `"Table"`
		}
		i = end
	case '{', '[':
		if c.depth == MaxDepth {
			return c.fault(i, tooDeep)
		}
		c.push(b == '[')
		i++
		if spaceAt(src, i) {
			i = c.leaveSpace(i)
		}
		if i == len(src) {
			return c.fault(i, cutShort)
		}
		if src[i] != b+2 { // the bracket that closes b
			if b == '[' {
				goto value
			}
			goto key
		}
		c.depth--
		i++
	case 't', 'f', 'n':
		end, fault := literal(src, i)
		if fault != "" {
			return c.fault(end, fault)
		}
		i = end
	default:
		end, fault := number(src, i)
		if fault != "" {
			return c.fault(end, fault)
		}
		i = end
	}
after:
	if c.depth == c.leaving {
		var comma bool
		if i, comma = c.left(i); comma {
			goto key
		}
	}
	if spaceAt(src, i) {
		i = c.leaveSpace(i)
	}
	if c.depth == 0 {
		if i < len(src) {
			return c.fault(i, "something after the value")
		}
		c.flush(i)
		return ""
	}
	if i == len(src) {
		return c.fault(i, cutShort)
	}
	if c.array() {
		switch src[i] {
		case ',':
			i++
			goto value
		case ']':
			c.depth--
			i++
			goto after
		}
		return c.fault(i, "no comma between elements")
	}
	switch src[i] {
	case ',':
		i++
		if spaceAt(src, i) {
			i = c.leaveSpace(i)
		}
		goto key
	case '}':
		c.depth--
		i++
		goto after
	}
	return c.fault(i, "no comma between members")
key:
	if i == len(src) {
		return c.fault(i, cutShort)
	}
	if src[i] != '"' {
		return c.fault(i, "no name of a member")
	}
	end, fault := c.text(i + 1)
	if fault != "" {
		return c.fault(end, fault)
	}
	if c.omit && c.depth < len(c.roles) && c.roles[c.depth] != none {
		c.member(i, end)
	}
	i = end
	if spaceAt(src, i) {
		i = c.leaveSpace(i)
	}
	if i == len(src) {
		return c.fault(i, cutShort)
	}
	if src[i] != ':' {
		return c.fault(i, "no colon after a name")
	}
	i++
	goto value
}

const (
	cutShort = "it ends"
	tooDeep  = "values nested too deep"
)

func (c *copier) fault(i int, what string) string {
	c.at = i
	return what
}

// push enters an array or an object.
func (c *copier) push(array bool) {
	if c.omit {
		c.enter(array)
	}
	c.depth++
	bit := uint64(1) << (c.depth & 63)
	if array {
		c.arrays[c.depth>>6] |= bit
	} else {
		c.arrays[c.depth>>6] &^= bit
	}
}

// array tells whether the innermost value that was entered is an array.
func (c *copier) array() bool { return c.arrays[c.depth>>6]>>(c.depth&63)&1 != 0 }

// flush copies what was kept before i.
func (c *copier) flush(i int) {
	c.dst = append(c.dst, c.src[c.kept:i]...)
	c.kept = i
}

// spaceAt tells whether there may be space at i.
func spaceAt(src []byte, i int) bool { return i < len(src) && src[i] <= ' ' }

// leaveSpace returns the offset of the first byte from i that is no space, and leaves out
// what is before.
func (c *copier) leaveSpace(i int) int {
	end := i
	for end < len(c.src) {
		b := c.src[end]
		if b != ' ' && b != '\n' && b != '\t' && b != '\r' {
			break
		}
		end++
	}
	if end > i {
		c.flush(i)
		c.kept = end
	}
	return end
}

const (
	eachByte = 0x0101010101010101
	highBits = 0x80 * eachByte
)

// special marks, by its high bit, each of the eight bytes in x at which a string of
// plain ASCII stops or must be changed: quote, backslash, <, >, &, control characters
// and all from 128. Bytes above the lowest one marked may be marked wrongly: only the
// lowest counts.
//
// With the bit 4 cleared and the bit 2 flipped, quote, & and control characters are the
// bytes below '!'. < and > are the same but for the bit 2.
func special(x uint64) uint64 {
	return (((x&^(4*eachByte) ^ 2*eachByte) - '!'*eachByte) |
		((x&^(2*eachByte) ^ '<'*eachByte) - eachByte) |
		((x ^ '\\'*eachByte) - eachByte) | x) & highBits
}

// text copies a string whose first byte, after its quote, is at i, and returns the
// offset after it.
func (c *copier) text(i int) (int, string) {
	src := c.src
	for {
		for ; i+8 <= len(src); i += 8 {
			if m := special(binary.LittleEndian.Uint64(src[i:])); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
		}
		if i == len(src) {
			return i, cutShort
		}
		switch b := src[i]; {
		case b == '"':
			return i + 1, ""
		case b == '\\':
			n, fault := escape(src, i)
			if fault != "" {
				return n, fault
			}
			i = n
		case b == '<' || b == '>' || b == '&':
			c.flush(i)
			c.dst = append(c.dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
			i++
			c.kept = i
		case b < ' ':
			return i, "a control character in a string"
		case b >= 0x80:
			i = c.beyondASCII(i)
		default: // one of the last seven bytes
			i++
		}
	}
}

const hex = "0123456789abcdef"

// beyondASCII copies bytes from 128, the line separators U+2028 and U+2029 escaped.
func (c *copier) beyondASCII(i int) int {
	src := c.src
	for ; i < len(src) && src[i] >= 0x80; i++ {
		if src[i] == 0xe2 && i+2 < len(src) && src[i+1] == 0x80 && src[i+2]&^1 == 0xa8 {
			c.flush(i)
			c.dst = append(c.dst, '\\', 'u', '2', '0', '2', hex[src[i+2]&15])
			i += 2
			c.kept = i + 1
		}
	}
	return i
}

// escape returns the offset after the escape whose backslash is at i.
func escape(src []byte, i int) (int, string) {
	if i+1 == len(src) {
		return i + 1, cutShort
	}
	switch src[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, ""
	case 'u':
		for n := i + 2; n < i+6; n++ {
			if n == len(src) {
				return n, cutShort
			}
			if b := src[n]; !isDigit(b) && (b|0x20 < 'a' || b|0x20 > 'f') {
				return n, "a malformed escape"
			}
		}
		return i + 6, ""
	}
	return i + 1, "an unknown escape"
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// literal returns the offset after true, false or null, one of which begins at i.
func literal(src []byte, i int) (int, string) {
	word := "true"
	switch src[i] {
	case 'f':
		word = "false"
	case 'n':
		word = "null"
	}
	if end := i + len(word); end <= len(src) && string(src[i:end]) == word {
		return end, ""
	}
	return i, "no value"
}

// number returns the offset after the number at i.
func number(src []byte, i int) (int, string) {
	if src[i] == '-' {
		i++
	}
	n := digits(src, i)
	if n == i || src[i] == '0' && n > i+1 {
		return i, "no value"
	}
	if n < len(src) && src[n] == '.' {
		i = n + 1
		if n = digits(src, i); n == i {
			return n, "a malformed number"
		}
	}
	if n < len(src) && src[n]|0x20 == 'e' {
		i = n + 1
		if i < len(src) && (src[i] == '+' || src[i] == '-') {
			i++
		}
		if n = digits(src, i); n == i {
			return n, "a malformed number"
		}
	}
	return n, ""
}

// digits returns the offset of the first byte from i that is no digit.
func digits(src []byte, i int) int {
	for i < len(src) && isDigit(src[i]) {
		i++
	}
	return i
}
