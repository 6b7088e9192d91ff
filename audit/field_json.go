package audit

import (
	"bytes"
	"strconv"
)

// maxNesting is how deep the scanner of fields follows arrays and patterns into
// JSON. What lies deeper has no value; no Kubernetes object comes near it.
const maxNesting = 500

// walker looks values up in raw JSON that need not be well-formed: it goes on as
// long as it understands what it sees and ends there. It belongs to one call.
type walker struct {
	data []byte
	pos  int
	test func(Value) bool
	glob string // pattern of leaves
	path []byte // where leaves is

	// whole: give each value once as it is written, arrays not taken apart.
	whole bool
	bad   bool // malformed: stop
}

// find tests the values at the path sub below the value at pos, and leaves pos
// behind that value unless a test passed.
func (w *walker) find(sub []string, depth int) bool {
	w.space()
	if w.pos >= len(w.data) || depth > maxNesting {
		w.bad = true
		return false
	}
	switch w.data[w.pos] {
	case '{':
		if len(sub) > 0 {
			return w.findMember(sub, depth)
		}
	case '[':
		if len(sub) > 0 || !w.whole {
			return w.findElement(sub, depth)
		}
	}
	start := w.pos
	w.skip()
	if len(sub) > 0 || w.bad {
		return false
	}
	return w.value(w.data[start:w.pos])
}

// findMember goes through an object. A key may be several elements of the path: it
// has dots.
func (w *walker) findMember(sub []string, depth int) bool {
	w.pos++
	for {
		key, more := w.key()
		if !more {
			return false
		}
		if n := elements(key, sub); n > 0 {
			if w.find(sub[n:], depth+1) {
				return true
			}
		} else {
			w.skip()
		}
		if !w.next('}') {
			return false
		}
	}
}

func (w *walker) findElement(sub []string, depth int) bool {
	w.pos++
	if w.peek(']') {
		return false
	}
	for {
		if w.find(sub, depth+1) {
			return true
		}
		if !w.next(']') {
			return false
		}
	}
}

// leaves tests every scalar below the value at pos whose path matches the pattern.
func (w *walker) leaves(depth int) bool {
	w.space()
	if w.pos >= len(w.data) || depth > maxNesting {
		w.bad = true
		return false
	}
	switch w.data[w.pos] {
	case '{':
		return w.leafMembers(depth)
	case '[':
		w.pos++
		if w.peek(']') {
			return false
		}
		for {
			if w.leaves(depth + 1) {
				return true
			}
			if !w.next(']') {
				return false
			}
		}
	}
	start := w.pos
	w.skip()
	if w.bad || w.glob != "*" && !Glob(w.glob, w.path) {
		return false
	}
	return w.value(w.data[start:w.pos])
}

func (w *walker) leafMembers(depth int) bool {
	w.pos++
	at := len(w.path)
	for {
		key, more := w.key()
		if !more {
			return false
		}
		if w.glob != "*" {
			if at > 0 {
				w.path = append(w.path, '.')
			}
			w.path = append(w.path, key...)
		}
		if w.leaves(depth + 1) {
			return true
		}
		w.path = w.path[:at]
		if !w.next('}') {
			return false
		}
	}
}

// value tests one JSON value, given as written.
func (w *walker) value(raw []byte) bool {
	if w.whole {
		return w.test(Value{Kind: JSONValue, Bytes: raw})
	}
	switch c := raw[0]; {
	case c == '"':
		return w.test(Value{Kind: StringValue, Bytes: unquote(raw)})
	case c == 't' || c == 'f':
		return w.test(Value{Kind: BoolValue, Bytes: raw})
	case c == '-' || '0' <= c && c <= '9':
		n, _ := parseInt(raw)
		return w.test(Value{Kind: NumberValue, Bytes: raw, Int: n})
	}
	return w.test(Value{Kind: JSONValue, Bytes: raw})
}

// key reads the next key of an object and its colon; more is false behind the last
// member.
func (w *walker) key() (key []byte, more bool) {
	if w.peek('}') || w.bad {
		return nil, false
	}
	if w.pos >= len(w.data) || w.data[w.pos] != '"' {
		w.bad = true
		return nil, false
	}
	start := w.pos
	w.skipString()
	raw := w.data[start:w.pos]
	w.space()
	if w.bad || w.pos >= len(w.data) || w.data[w.pos] != ':' {
		w.bad = true
		return nil, false
	}
	w.pos++
	return unquote(raw), true
}

// next steps over the comma before the next member or element, or over the end.
func (w *walker) next(end byte) bool {
	if w.bad || w.peek(end) {
		return false
	}
	if w.pos >= len(w.data) || w.data[w.pos] != ',' {
		w.bad = true
		return false
	}
	w.pos++
	return true
}

// peek steps over c where it comes next.
func (w *walker) peek(c byte) bool {
	w.space()
	if w.pos < len(w.data) && w.data[w.pos] == c {
		w.pos++
		return true
	}
	return false
}

func (w *walker) space() { w.pos = space(w.data, w.pos) }

// skip steps over the value at pos.
func (w *walker) skip() {
	w.space()
	if w.pos >= len(w.data) {
		w.bad = true
		return
	}
	switch c := w.data[w.pos]; c {
	case '"':
		w.skipString()
	case '{', '[':
		w.skipTree()
	default:
		start := w.pos
		for w.pos < len(w.data) && isScalar(w.data[w.pos]) {
			w.pos++
		}
		w.bad = w.bad || w.pos == start
	}
}

// skipTree steps over an object or array by counting brackets outside strings.
func (w *walker) skipTree() {
	open := 0
	for w.pos < len(w.data) {
		switch w.data[w.pos] {
		case '"':
			w.skipString()
			if w.bad {
				return
			}
			continue
		case '{', '[':
			open++
		case '}', ']':
			open--
			if open == 0 {
				w.pos++
				return
			}
		}
		w.pos++
	}
	w.bad = true
}

// skipString steps over the string at pos.
func (w *walker) skipString() {
	end, f := skipString(w.data, w.pos+1)
	w.pos, w.bad = end, w.bad || f != none
}

func isScalar(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
		c == '-' || c == '+' || c == '.'
}

// elements returns how many of the first elements of path, joined by dots, are the
// key; 0 where it is none.
func elements(key []byte, path []string) int {
	for n, el := range path {
		if n > 0 {
			if len(key) == 0 || key[0] != '.' {
				return 0
			}
			key = key[1:]
		}
		if len(key) < len(el) || string(key[:len(el)]) != el {
			return 0
		}
		key = key[len(el):]
		if len(key) == 0 {
			return n + 1
		}
	}
	return 0
}

// unquote returns the text of a well-formed JSON string with its quotes: a part of
// raw where it has no escapes.
func unquote(raw []byte) []byte {
	raw = raw[1 : len(raw)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	return appendUnescaped(make([]byte, 0, len(raw)), raw)
}

// parseInt reads an integer as JSON writes it; ok is false where raw is another
// number or does not fit.
func parseInt(raw []byte) (n int64, ok bool) {
	digits := raw
	if len(raw) > 0 && raw[0] == '-' {
		digits = raw[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if len(digits) < len(raw) {
		n = -n
	}
	return n, true
}

// command returns the words of the command parameters of a request URI joined by
// blanks, nil where it has none: /api/v1/…/exec?command=ls&command=-l is "ls -l".
func command(uri []byte) []byte {
	_, query, ok := bytes.Cut(uri, []byte("?"))
	if !ok || !bytes.Contains(query, []byte("command=")) {
		return nil
	}
	var out []byte
	for len(query) > 0 {
		var param []byte
		param, query, _ = bytes.Cut(query, []byte("&"))
		word, ok := bytes.CutPrefix(param, []byte("command="))
		if !ok {
			continue
		}
		if out != nil {
			out = append(out, ' ')
		}
		out = appendQueryValue(out, word)
	}
	return out
}

// appendQueryValue appends a percent-encoded query value.
func appendQueryValue(dst, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			dst = append(dst, ' ')
		case s[i] == '%' && i+2 < len(s):
			c, err := strconv.ParseUint(string(s[i+1:i+3]), 16, 8)
			if err != nil {
				dst = append(dst, '%')
				continue
			}
			dst = append(dst, byte(c))
			i += 2
		default:
			dst = append(dst, s[i])
		}
	}
	return dst
}
