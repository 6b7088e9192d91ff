package redact

import (
	"bytes"
	"net/url"
)

// uri returns a request URI without the tokens in its query, nil where it has none.
func (w *work) uri(uri []byte) []byte {
	query := bytes.IndexAny(uri, "?#;")
	if query < 0 || bytes.IndexByte(uri, '=') < 0 {
		return nil
	}
	var dst []byte
	done := 0
	for i := query; i < len(uri); i++ {
		if !startsParameter(uri[i]) {
			continue
		}
		name, ok := parameter(uri, i)
		if !ok {
			continue
		}
		// A ";" ends a value for some servers and not for others.
		at := i + 1 + len(name) + 1
		value := uri[at:]
		if end := bytes.IndexByte(value, '&'); end >= 0 {
			value = value[:end]
		}
		if len(value) > 0 && (isToken(unescape(name)) || nestsToken(value)) {
			dst = append(dst, uri[done:at]...)
			dst = w.appendHash(dst, unescape(value))
			done = at + len(value)
		}
		i = at + len(value) - 1
	}
	if dst == nil {
		return nil
	}
	return append(dst, uri[done:]...)
}

// parameter returns the name of a parameter that b[i] starts; ok is false where it has no
// value.
func parameter(b []byte, i int) (name []byte, ok bool) {
	for k := i + 1; k < len(b) && !startsParameter(b[k]); k++ {
		if b[k] == '=' {
			return b[i+1 : k], true
		}
	}
	return nil, false
}

// startsParameter tells what may stand before the name of a parameter.
func startsParameter(c byte) bool { return c == '?' || c == '&' || c == ';' || c == '#' }

// isToken tells names of parameters whose values let in whoever has them.
func isToken(name []byte) bool {
	var buf [len("authorization")]byte // the end of the name in lower case, signs left out
	at := len(buf)
	for i := len(name) - 1; i >= 0; i-- {
		c := lower(name[i])
		if c == '_' || c == '-' || c == '.' || c == ']' || c == '[' {
			continue
		}
		if at == 0 {
			break
		}
		at--
		buf[at] = c
	}
	end := buf[at:]
	switch string(end) {
	case "sig", "pwd", "pass", "auth":
		return true
	}
	for _, word := range [...]string{"token", "secret", "password", "passwd", "apikey", "accesskey", "jwt",
		"bearer", "authorization", "credential", "credentials", "signature"} {
		if len(end) >= len(word) && string(end[len(end)-len(word):]) == word {
			return true
		}
	}
	return false
}

// nestsToken reports whether a value is itself a URI with a token, such as that of a
// redirection.
func nestsToken(value []byte) bool {
	for range 4 { // escaped so often
		plain := unescape(value)
		for i, c := range plain {
			if !startsParameter(c) {
				continue
			}
			if name, ok := parameter(plain, i); ok && isToken(name) {
				return true
			}
		}
		if bytes.Equal(plain, value) {
			return false
		}
		value = plain
	}
	return true // nobody needs more
}

// unescape resolves the escapes of a query, those that are none left as they are.
func unescape(b []byte) []byte {
	if bytes.IndexByte(b, '%') < 0 && bytes.IndexByte(b, '+') < 0 {
		return b
	}
	if s, err := url.QueryUnescape(string(b)); err == nil {
		return []byte(s)
	}
	dst := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '%' && i+2 < len(b) {
			if s, err := url.QueryUnescape(string(b[i : i+3])); err == nil {
				dst = append(dst, s...)
				i += 2
				continue
			}
		}
		dst = append(dst, b[i])
	}
	return dst
}
