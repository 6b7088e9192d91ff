package wire

import (
	"encoding/binary"
	"math/bits"
)

// A jsonLook reads JSON in pieces. It looks closely at the members of the object and of
// its metadata, and else at brackets and quotes only.
type jsonLook struct {
	depth int  // of brackets that are open
	close int  // the depth of the innermost object that is looked at closely: 0, 1 or 2
	ended bool // the object has ended

	inText  bool // a string goes on in the next piece
	escaped bool // a backslash was its last byte
	taken   bool // the string is one that may matter
	text    []byte

	value  bool   // a colon has passed: a value comes or came
	scalar bool   // a literal or a number goes on
	member member // whose value comes

	last     texts // as meta, but of the last metadata alone
	mistyped bool  // a value was not of the type that it must be
}

// write is told the next piece. It returns false if the body is no object.
func (l *jsonLook) write(p []byte, m *texts) bool {
	for i := 0; i < len(p); {
		switch {
		case l.inText:
			i = l.goOn(p, i, m)
		case l.depth > l.close:
			i = l.skip(p, i)
		default:
			b := p[i]
			i++
			if !l.token(b) {
				return false
			}
			if b == '"' && l.taken {
				i = l.begin(p, i, m)
			}
		}
	}
	return true
}

// token looks at a byte outside of strings, where it looks closely.
func (l *jsonLook) token(b byte) bool {
	switch b {
	case ' ', '\t', '\r', '\n':
		return true
	case '{':
		return l.open(true)
	case '[':
		return l.open(false)
	case '}':
		if l.depth == 0 {
			return false
		}
		l.depth--
		l.close = l.depth
		l.ended = l.depth == 0
		l.value, l.scalar, l.member = false, false, otherMember
		return true
	case ']':
		return false
	}
	if l.depth == 0 {
		return false // no object, or something after it
	}
	switch b {
	case '"':
		l.taken, l.inText = !l.value || l.member > textMembers, true
		if l.value && l.member == metadataMember {
			l.forget(true)
		}
	case ':':
		l.value, l.scalar = true, false
	case ',':
		l.value, l.scalar, l.member = false, false, otherMember
	default:
		if !l.scalar && l.value {
			l.forget(b != 'n') // null is of every type
		}
		l.scalar = true
	}
	return true
}

// forget drops what the last value of the member was, if that matters, as there is another
// one, which may be of the wrong type.
func (l *jsonLook) forget(mistyped bool) {
	switch {
	case l.member == metadataMember:
		l.last = texts{}
	case l.member > textMembers:
		*l.last.text(l.member) = ""
	default:
		return
	}
	l.mistyped = l.mistyped || mistyped
}

// open enters an object or an array.
func (l *jsonLook) open(object bool) bool {
	switch {
	case l.ended || l.depth == 0 && !object:
		return false
	case l.depth == 0:
		l.close = 1
	case l.member == metadataMember && object:
		l.close = 2
		l.forget(false)
	default:
		l.forget(true)
	}
	l.depth++
	l.value, l.member = false, otherMember
	return true
}

// begin reads a string that may matter from its first byte.
func (l *jsonLook) begin(p []byte, i int, m *texts) int {
	if end := textEnd(p, i); end < len(p) && p[end] == '"' {
		l.inText = false
		l.found(p[i:end], m)
		return end + 1
	}
	l.text = l.text[:0]
	return i
}

// goOn reads a string up to its end, or to that of the piece.
func (l *jsonLook) goOn(p []byte, i int, m *texts) int {
	from := i
	if l.escaped {
		l.escaped = false
		i++
	}
	for {
		i = textEnd(p, i)
		if i >= len(p) || p[i] == '"' {
			break
		}
		if i += 2; i > len(p) {
			l.escaped = true
		}
	}
	i = min(i, len(p))
	if l.taken && len(l.text) <= maxText {
		l.text = append(l.text, p[from:min(i, from+maxText+1)]...)
	}
	if i == len(p) {
		return i
	}
	l.inText = false
	if l.taken {
		l.found(l.text, m)
	}
	return i + 1
}

// found takes a name or a text that has been read.
func (l *jsonLook) found(raw []byte, m *texts) {
	switch {
	case !l.value:
		l.member = otherMember
		if len(raw) <= maxText {
			l.member = memberOf(raw, l.depth)
		}
	default:
		text := ""
		if len(raw) <= maxText {
			text = plainText(raw)
		}
		*m.text(l.member), *l.last.text(l.member) = text, text
	}
}

// skip passes over values that do not matter, up to where brackets are as many as where it
// looks closely, or to a string that goes on in the next piece.
func (l *jsonLook) skip(p []byte, i int) int {
	depth := l.depth
	for i < len(p) {
		b := p[i]
		i++
		switch b {
		case '"':
			for {
				if i = textEnd(p, i); i >= len(p) || p[i] == '"' {
					break
				}
				i += 2
			}
			if i >= len(p) {
				l.inText, l.taken, l.escaped = true, false, i > len(p)
				l.depth = depth
				return len(p)
			}
			i++
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == l.close {
				l.depth = depth
				return i
			}
		}
	}
	l.depth = depth
	return i
}

const (
	eachByte = 0x0101010101010101
	highBits = 0x80 * eachByte
)

// textEnd returns the offset of the first quote or backslash from i, or at least len(p).
func textEnd(p []byte, i int) int {
	for ; i+8 <= len(p); i += 8 {
		x := binary.LittleEndian.Uint64(p[i:])
		quote, slash := x^'"'*eachByte, x^'\\'*eachByte
		if m := ((quote-eachByte)&^quote | (slash-eachByte)&^slash) & highBits; m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for i < len(p) && p[i] != '"' && p[i] != '\\' {
		i++
	}
	return i
}
