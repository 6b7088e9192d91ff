package kubectl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// mostBody is how long a body may be that is given in a line: longer ones are no help
// to who reads it.
const mostBody = 256 << 10

// readBody returns a recorded body as compact JSON in which characters stand for
// themselves, nil where there is none; or its size, where that is more than mostBody.
func readBody(recorded []byte) (body []byte, size int) {
	if len(recorded) > mostBody {
		return nil, len(recorded)
	}
	var b bytes.Buffer
	if len(recorded) == 0 || string(recorded) == "null" || json.Compact(&b, recorded) != nil || !utf8.Valid(b.Bytes()) {
		return nil, 0
	}
	return unescape(b.Bytes()), 0
}

// unescape writes characters for their \u escapes where that is the same JSON and can
// do no harm on a terminal, and escapes where it could.
func unescape(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		if text[i] == '\\' {
			r, n := escaped(text[i:])
			switch {
			case n == 0 || r == '"' || r == '\\' || hidden(r, utf8.RuneLen(r)) || r < 0x20:
				n = max(n, 2)
				out = append(out, text[i:i+n]...)
			default:
				out = utf8.AppendRune(out, r)
			}
			i += n
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		if hidden(r, n) {
			for _, u := range utf16.Encode([]rune{r}) {
				out = fmt.Appendf(out, `\u%04x`, u)
			}
		} else {
			out = append(out, text[i:i+n]...)
		}
		i += n
	}
	return out
}

// escaped reads \uXXXX, or the two of a surrogate pair, and how long that is; 0 where
// it stands for no character, or is another escape.
func escaped(text []byte) (rune, int) {
	unit := func(at int) (rune, bool) {
		if len(text) < at+6 || text[at] != '\\' || text[at+1] != 'u' {
			return 0, false
		}
		var v rune
		for _, c := range text[at+2 : at+6] {
			switch {
			case '0' <= c && c <= '9':
				v = v<<4 | rune(c-'0')
			case 'a' <= c|0x20 && c|0x20 <= 'f':
				v = v<<4 | rune(c|0x20-'a'+10)
			}
		}
		return v, true
	}
	r, ok := unit(0)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if low, ok := unit(6); ok {
		if r := utf16.DecodeRune(r, low); r != utf8.RuneError {
			return r, 12
		}
	}
	return 0, 0
}

// indent writes a body over several lines, unless it is nested so deeply that nobody
// would read it, or is mostly margins then.
func indent(body []byte) []byte {
	const deepest = 40
	depth, most, text := 0, 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			depth++
			most = max(most, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	var b bytes.Buffer
	if most > deepest || json.Indent(&b, body, "", "  ") != nil || b.Len() > 8*len(body)+1<<10 {
		return body
	}
	return b.Bytes()
}
