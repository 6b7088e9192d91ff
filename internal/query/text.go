package query

import (
	"bytes"
	"encoding/json"
	"slices"
	"unicode"
	"unicode/utf8"

	"kubetrail/audit"
)

// text is what a Text node looks for: parts that occur in one column in this order.
type text struct {
	parts     [][]byte
	escaped   [2][][]byte // as JSON writes them with and without HTML escapes; nil where that is parts
	fragments [][]byte
}

// textNode makes a node for bare text, parts being what stands between the stars.
func textNode(parts []string) *Node {
	t := &text{}
	for _, s := range parts {
		if s != "" {
			t.parts = append(t.parts, []byte(s))
			t.fragments = append(t.fragments, pieces([]byte(s))...)
		}
	}
	for i, html := range []bool{true, false} {
		var escaped [][]byte
		for _, part := range t.parts {
			escaped = append(escaped, escape(part, html))
		}
		if !slices.EqualFunc(escaped, t.parts, bytes.Equal) {
			t.escaped[i] = escaped
		}
	}
	t.fragments = longestFirst(t.fragments)
	return &Node{Op: Text, text: t, needs: textColumns(), cost: 1000}
}

// textColumns is where bare text is looked for.
func textColumns() audit.Columns {
	s := audit.Set(audit.RequestObject, audit.ResponseObject)
	for c := audit.Column(0); c < audit.NumText; c++ {
		if c.InLine() {
			s |= audit.Set(c)
		}
	}
	return s
}

// MatchText reports whether the text of a Text node occurs in one column of an
// event, given as the event holds it: decoded, or raw JSON where json is true.
func (n *Node) MatchText(column []byte, json bool) bool {
	return n.Op == Text && n.text.in(column, json)
}

func (t *text) match(e *audit.Event) bool {
	for c := audit.Column(0); c < audit.NumText; c++ {
		if c.InLine() && t.in(e.Text[c], c.JSON()) {
			return true
		}
	}
	return t.in(e.RequestObject, true) || t.in(e.ResponseObject, true)
}

func (t *text) in(column []byte, json bool) bool {
	if len(column) == 0 {
		return false
	}
	if !json {
		return inOrder(t.parts, column)
	}
	return t.inJSON(column) || Hidden(column) && t.inJSON(reveal(column))
}

// inJSON looks for the text as it is, so that names with their quotes are found, and
// as it is inside a JSON string.
func (t *text) inJSON(raw []byte) bool {
	if inOrder(t.parts, raw) {
		return true
	}
	for _, parts := range t.escaped {
		if parts != nil && inOrder(parts, raw) {
			return true
		}
	}
	return false
}

func inOrder(parts [][]byte, b []byte) bool {
	for _, p := range parts {
		i := bytes.Index(b, p)
		if i < 0 {
			return false
		}
		b = b[i+len(p):]
	}
	return true
}

// escape returns text as encoding/json writes it inside a string; kube-apiserver has
// it escape HTML too.
func escape(text []byte, html bool) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(html)
	if err := enc.Encode(string(text)); err != nil { // a string can always be written
		return text
	}
	return b.Bytes()[1 : b.Len()-2]
}

// pieces cuts text where JSON may write it in more than one way. What remains is in
// the raw JSON whatever wrote it, unless that is [Hidden].
func pieces(text []byte) [][]byte {
	var all [][]byte
	start := 0
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r < ' ' || r == '"' || r == '\\' || r == '/' || r == '<' || r == '>' || r == '&' ||
			r == '\u2028' || r == '\u2029' || r == utf8.RuneError {
			if i > start {
				all = append(all, text[start:i])
			}
			start = i + n
		}
		i += n
	}
	if start < len(text) {
		all = append(all, text[start:])
	}
	return all
}

// Hidden reports whether raw JSON has characters behind \u that kube-apiserver
// itself would have written plainly. The sender of a patch can hide a word so: its
// body is recorded as it came. The Fragments of a question say nothing about such a
// body.
func Hidden(raw []byte) bool {
	for {
		i := bytes.Index(raw, []byte(`\u`))
		if i < 0 {
			return false
		}
		raw = raw[i+2:]
		if len(raw) < 4 || !usual(raw[:4]) {
			return true
		}
	}
}

// usual reports whether encoding/json, HTML escapes included, writes \u and these
// four digits.
func usual(digits []byte) bool {
	r, ok := hex4(digits)
	switch {
	case !ok:
		return false
	case r < ' ', r == '<', r == '>', r == '&', r == '\u2028', r == '\u2029', r == utf8.RuneError:
		return true
	}
	return false
}

// reveal returns raw JSON with the characters that are Hidden written plainly.
func reveal(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		if raw[i] != '\\' || i+1 == len(raw) {
			out = append(out, raw[i])
			i++
			continue
		}
		if raw[i+1] != 'u' || i+6 > len(raw) || usual(raw[i+2:i+6]) {
			out = append(out, raw[i], raw[i+1])
			i += 2
			continue
		}
		end := i + 6
		for end+6 <= len(raw) && raw[end] == '\\' && raw[end+1] == 'u' && !usual(raw[end+2:end+6]) {
			end += 6
		}
		var s string
		if err := json.Unmarshal(append(append([]byte{'"'}, raw[i:end]...), '"'), &s); err != nil {
			s = string(raw[i:end])
			out = append(out, s...)
		} else {
			out = append(out, escapeQuotes(s)...)
		}
		i = end
	}
	return out
}

// escapeQuotes keeps the two characters that end a JSON string or begin an escape
// from doing so.
func escapeQuotes(s string) []byte {
	var out []byte
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			out = append(out, '\\')
		}
		out = append(out, s[i])
	}
	return out
}

// matchProse reports whether the words, in lower case, occur in b in order and in
// any case. The first begins and the last ends where a word of b does, unless it is
// empty: a star stood there.
func matchProse(words [][]byte, b []byte) bool {
	last := len(words) - 1
	at := 0
	for i, w := range words {
		if len(w) == 0 {
			continue
		}
		found := false
		for ; at <= len(b) && !found; at++ {
			n, ok := foldedPrefix(b[at:], w)
			if ok && (i > 0 || boundary(b, at)) && (i < last || boundary(b, at+n)) {
				at, found = at+n-1, true
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// foldedPrefix returns how many bytes of b are w in any case.
func foldedPrefix(b, w []byte) (int, bool) {
	n := 0
	for len(w) > 0 {
		if n == len(b) {
			return 0, false
		}
		if c := b[n]; c < utf8.RuneSelf && w[0] < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			if c != w[0] {
				return 0, false
			}
			n++
			w = w[1:]
			continue
		}
		r, size := utf8.DecodeRune(b[n:])
		want, width := utf8.DecodeRune(w)
		if unicode.ToLower(r) != want {
			return 0, false
		}
		n += size
		w = w[width:]
	}
	return n, true
}

// boundary reports whether a word may begin or end before b[i].
func boundary(b []byte, i int) bool {
	before, _ := utf8.DecodeLastRune(b[:i])
	after, _ := utf8.DecodeRune(b[i:])
	return i == 0 || i == len(b) || !inWord(before) || !inWord(after)
}

// inWord reports whether r is a letter or digit of a script that writes blanks
// between words.
func inWord(r rune) bool {
	return r == '_' || unicode.IsDigit(r) ||
		unicode.IsLetter(r) && !unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana)
}
