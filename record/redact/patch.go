package redact

import (
	"bytes"
	"strings"
)

// operations finds in the array at i, which is a JSON patch where its elements are
// operations.
func (f *finder) operations(i int) int {
	for i, more := f.first(i, ']'); ; i, more = f.next(i, ']') {
		if !more {
			return i
		}
		if f.peek(i) == '{' {
			i = f.operation(i)
		} else {
			i = f.value(i, anywhere, nil)
		}
		if f.bad {
			return i
		}
	}
}

// operation finds in the operation of a JSON patch at i. Its path may come after its
// value, so it is looked at first.
func (f *finder) operation(i int) int {
	var path, value span
	paths, values := 0, 0
	end, more := f.first(i, '}')
	for ; more && !f.bad; end, more = f.next(end, '}') {
		key, at := f.key(end)
		m := memberOf(key)
		if end = f.skip(at); f.bad {
			return end
		}
		switch m {
		case pathName:
			path = span{start: at, end: end}
			paths++
		case valueName:
			value = span{start: at, end: end}
			values++
		}
	}
	switch {
	case f.bad:
	case paths == 0 || values == 0:
		return f.value(i, anywhere, nil)
	case paths > 1 || values > 1 || f.b[path.start] != '"':
		f.hit(i, end, asText) // who knows which counts
	default:
		f.operand(value.start, value.end, unquoted(f.b[path.start:path.end]))
	}
	return end
}

// operand finds in the value of an operation whose path is a JSON pointer.
func (f *finder) operand(i, end int, pointer []byte) {
	if len(pointer) > 0 && pointer[0] != '/' {
		f.hit(i, end, asText) // no pointer; servers differ in what they make of it
		return
	}
	here := position{len(f.path), len(f.states)}
	f.follow(i, end, pointer, false)
	f.pop(here)
	if len(f.rules) > 0 {
		// A number may be an index, which paths leave out, or a name.
		f.follow(i, end, pointer, true)
		f.pop(here)
	}
}

// follow goes along a pointer, then into the value at i. Numbers stand in the path if
// named says that they are names.
func (f *finder) follow(i, end int, pointer []byte, named bool) {
	p := subject
	for len(pointer) > 0 {
		token, last := pointer[1:], true
		if n := bytes.IndexByte(token, '/'); n >= 0 {
			token, last = token[:n], false
		}
		pointer = pointer[1+len(token):]
		if isIndex(token) {
			switch p {
			case subjects:
				p = subject
			case rows:
				p = row
			case envList:
				p = envVar
			default:
				p = anywhere
			}
			if named {
				f.push(token)
				if f.matches() {
					f.hit(i, end, asText)
					return
				}
			}
			continue
		}
		if bytes.IndexByte(token, '~') >= 0 {
			token = []byte(strings.NewReplacer("~1", "/", "~0", "~").Replace(string(token)))
		}
		m := memberOf(token)
		next, how, is := f.step(p, m)
		f.push(token)
		if is || f.matches() {
			f.hit(i, end, how)
			return
		}
		if m == copyName && last && f.b[i] == '"' && f.copyTells(i, end) {
			f.hit(i, end, asText)
			return
		}
		p = next
	}
	f.value(i, p, nil)
}

// isIndex tells tokens that name an element of a list.
func isIndex(token []byte) bool {
	if string(token) == "-" {
		return true
	}
	for _, c := range token {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(token) > 0
}
