package explain

import "bytes"

// bodyLimit is how many bytes of a body are looked at for a sentence: what it needs
// stands near the front of every object.
const bodyLimit = 16 << 10

// field returns the value at a path of keys in a JSON object, as it is written, a string
// without its quotes; nil where there is none within the first bytes, or anything is
// malformed on the way there. Of a list "^" names the first element and "$" the last.
//
// The first of two equal keys is taken: bodies are written by kube-apiserver, which
// writes none twice. Those of patches are not, and are read with [patched].
func field(body []byte, path ...string) []byte { return lookup(body, false, path) }

// patched is field for the body of a patch, which is kept as the client wrote it: where a
// key is written twice, or with escapes, it is unknown which one counted.
func patched(body []byte, path ...string) []byte { return lookup(body, true, path) }

func lookup(body []byte, strict bool, path []string) []byte {
	i := 0
	body = body[:min(len(body), bodyLimit)]
	for _, key := range path {
		if i = value(body, i, key, strict); i < 0 {
			return nil
		}
	}
	return scalar(body, i)
}

// scalar returns the string, number, true or false at i, a string without its quotes.
func scalar(body []byte, i int) []byte {
	end := skip(body, i)
	if end < 0 || body[i] == '{' || body[i] == '[' {
		return nil
	}
	if body[i] == '"' {
		return unescape(body[i+1 : end-1])
	}
	return body[i:end]
}

// value returns where the value of a key begins in the object at i, or the first or last
// element in the list; -1 where there is none. Where it is strict, the object must have
// the key once, and whole keys.
func value(body []byte, i int, key string, strict bool) int {
	if i = space(body, i); i >= len(body) {
		return -1
	}
	if body[i] == '[' && key == "$" {
		return last(body, i)
	}
	if body[i] == '[' && key == "^" {
		return space(body, i+1)
	}
	if body[i] != '{' {
		return -1
	}
	found := -1
	for i++; ; i++ {
		if i = space(body, i); i >= len(body) || body[i] != '"' {
			return -1
		}
		end := skip(body, i)
		if end < 0 {
			return -1
		}
		name := body[i+1 : end-1]
		if i = space(body, end); i >= len(body) || body[i] != ':' {
			return -1
		}
		i = space(body, i+1)
		if strict && bytes.IndexByte(name, '\\') >= 0 {
			return -1
		}
		if string(name) == key {
			if !strict {
				return i
			}
			if found >= 0 {
				return -1
			}
			found = i
		}
		if i = skip(body, i); i < 0 {
			return -1
		}
		if i = space(body, i); i >= len(body) || body[i] != ',' {
			break
		}
	}
	if i >= len(body) || body[i] != '}' {
		return -1
	}
	return found
}

// last returns where the last element of the list at i begins.
func last(body []byte, i int) int {
	at := -1
	for i++; ; i++ {
		if i = space(body, i); i >= len(body) || body[i] == ']' {
			return -1
		}
		at = i
		if i = skip(body, i); i < 0 {
			return -1
		}
		if i = space(body, i); i >= len(body) {
			return -1
		}
		if body[i] == ']' {
			return at
		}
		if body[i] != ',' {
			return -1
		}
	}
}

// several reports whether a list in a JSON object has more than one element.
func several(body []byte, key string) bool {
	body = body[:min(len(body), bodyLimit)]
	i := value(body, 0, key, false)
	if i < 0 || body[i] != '[' {
		return false
	}
	first := space(body, i+1)
	return last(body, i) > first
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skip returns the end of the JSON value at i, -1 where it does not end.
func skip(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		return skipTree(b, i)
	}
	start := i
	for i < len(b) && (b[i] >= '0' && b[i] <= '9' || b[i] >= 'a' && b[i] <= 'z' || b[i] == '-' || b[i] == '+' || b[i] == '.' || b[i] == 'E') {
		i++
	}
	if i == start || i == len(b) {
		return -1
	}
	return i
}

func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		slashes := 0
		for b[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i + 1
		}
	}
	return -1
}

func skipTree(b []byte, i int) int {
	for open := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			if i = skipString(b, i); i < 0 {
				return -1
			}
			i--
		case '{', '[':
			open++
		case '}', ']':
			if open--; open == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// eachMember calls f for each member of a JSON object whose value is a string.
func eachMember(object []byte, f func(key, value []byte)) {
	object = object[:min(len(object), bodyLimit)]
	for i := space(object, 0) + 1; i < len(object); i++ {
		i = space(object, i)
		end := skip(object, i)
		if end < 0 || object[i] != '"' {
			return
		}
		key := object[i+1 : end-1]
		if i = space(object, end); i >= len(object) || object[i] != ':' {
			return
		}
		i = space(object, i+1)
		if end = skip(object, i); end < 0 {
			return
		}
		if object[i] == '"' {
			f(key, unescape(object[i+1:end-1]))
		}
		if i = space(object, end); i >= len(object) || object[i] != ',' {
			return
		}
	}
}
