package redact

import (
	"bytes"
	"encoding/json"
)

// peek returns the byte at i, 0 behind the end.
func (f *finder) peek(i int) byte {
	if i < len(f.b) {
		return f.b[i]
	}
	return 0
}

func (f *finder) fail() int {
	f.bad = true
	return len(f.b)
}

// space returns the offset of the first byte from i that is no white space.
func (f *finder) space(i int) int {
	for i < len(f.b) && f.b[i] <= ' ' {
		i++
	}
	return i
}

// first goes from the opening bracket at i to the first member or element; more is false
// behind the closing bracket where there is none.
func (f *finder) first(i int, end byte) (at int, more bool) {
	if f.depth++; f.depth > maxDepth {
		return f.fail(), false
	}
	i = f.space(i + 1)
	if f.peek(i) == end {
		f.depth--
		return i + 1, false
	}
	return i, true
}

// next goes from the end of a member or element to the next one; more is false behind the
// closing bracket.
func (f *finder) next(i int, end byte) (at int, more bool) {
	i = f.space(i)
	switch f.peek(i) {
	case ',':
		return f.space(i + 1), true
	case end:
		f.depth--
		return i + 1, false
	}
	return f.fail(), false
}

// key returns the name of the member at i, and where its value is. It is valid until the
// body changes.
func (f *finder) key(i int) (key []byte, value int) {
	if f.peek(i) != '"' {
		return nil, f.fail()
	}
	end := f.skipString(i)
	if f.bad {
		return nil, end
	}
	key = unquoted(f.b[i:end])
	if i = f.space(end); f.peek(i) != ':' {
		return nil, f.fail()
	}
	return key, f.space(i + 1)
}

// skipString returns the offset after the string at i.
func (f *finder) skipString(i int) int {
	for i++; ; {
		n := bytes.IndexByte(f.b[i:], '"')
		if n < 0 {
			return f.fail()
		}
		end := i + n
		slashes := 0
		for k := end - 1; k >= i && f.b[k] == '\\'; k-- {
			slashes++
		}
		i = end + 1
		if slashes&1 == 0 {
			return i
		}
	}
}

// skip returns the offset after the value at i.
func (f *finder) skip(i int) int {
	open := 0
	for start := i; ; {
		switch c := f.peek(i); {
		case c == '"':
			if i = f.skipString(i); f.bad {
				return i
			}
		case c == '{' || c == '[':
			open++
			i++
			continue
		case c == '}' || c == ']':
			open--
			i++
		case c == ',' || c == ':' || c <= ' ' && c != 0:
			i++
		case isScalar(c):
			for isScalar(f.peek(i)) {
				i++
			}
		default:
			return f.fail()
		}
		switch {
		case open < 0:
			return f.fail()
		case open == 0 && i > start:
			return i
		}
	}
}

func isScalar(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '+' || c == '.'
}

// unquoted returns the text of a string with its quotes: a part of it where it has no
// escapes.
func unquoted(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return raw[1 : len(raw)-1]
	}
	return []byte(s)
}
