// Package selector reads the field and label selectors of Kubernetes' API, as far as
// that tells what a request is: whether one is valid, and which name it asks for.
package selector

import (
	"regexp"
	"strconv"
	"strings"
)

// MaxSubdomain is how long the name of a domain below another may be, such as that of
// an API group.
const MaxSubdomain = 253

// Subdomain is the pattern of such a name; its text is part of upstream's messages.
var Subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// Name returns the name that a field selector demands of an object; "" where
// it demands none. ok is false for a selector that upstream does not parse. Of several
// names the one of the term that sorts first counts. Upstream: fields.ParseSelector and
// RequiresExactMatch("metadata.name").
func Name(selector string) (name string, ok bool) {
	first, found := "", false
	for selector != "" {
		var term string
		term, selector = cutFieldTerm(selector)
		if term == "" {
			continue
		}
		i := strings.IndexByte(term, '=')
		if i < 0 {
			return "", false
		}
		field, value := term[:i], term[i+1:]
		not := strings.HasSuffix(field, "!")
		if !not {
			value = strings.TrimPrefix(value, "=")
		}
		value, ok := unescapeFieldValue(value)
		if !ok {
			return "", false
		}
		if !not && field == "metadata.name" && (!found || term < first) {
			name, first, found = value, term, true
		}
	}
	return name, true
}

// cutFieldTerm splits a field selector behind its first comma that no backslash
// escapes. The term keeps its backslashes.
func cutFieldTerm(selector string) (term, rest string) {
	for i := 0; i < len(selector); i++ {
		switch selector[i] {
		case '\\':
			i++
		case ',':
			return selector[:i], selector[i+1:]
		}
	}
	return selector, ""
}

// unescapeFieldValue undoes \\, \, and \= and refuses everything else that has to do
// with these characters. Upstream: fields.UnescapeValue, which on the way replaces
// what is not UTF-8, but only in a value that has one of them.
func unescapeFieldValue(s string) (string, bool) {
	if !strings.ContainsAny(s, `\,=`) {
		return s, true
	}
	var b strings.Builder
	escaped := false
	for _, c := range s {
		special := c == '\\' || c == ',' || c == '='
		switch {
		case c == '\\' && !escaped:
			escaped = true
			continue
		case special != escaped:
			return "", false
		}
		escaped = false
		b.WriteRune(c)
	}
	return b.String(), !escaped
}

// ValidLabels tells whether upstream parses a label selector, such as
// "a=b,c in (d,,e),!f,g>1". Upstream: labels.Parse.
func ValidLabels(selector string) bool {
	l := labelLexer{rest: selector}
	l.next()
	if l.kind == labelEnd {
		return true
	}
	for l.requirement() {
		if l.kind == labelEnd {
			return true
		}
		if !l.accept(",") {
			return false
		}
	}
	return false
}

// labelLexer reads a label selector token by token, and checks its parts: each of its
// other methods begins at the current token and, where it returns true, ends behind
// what it has checked.
type labelLexer struct {
	rest string
	kind labelKind
	text string
}

type labelKind int

const (
	labelEnd labelKind = iota
	labelWord
	labelSymbol
)

// next moves to the next token. As upstream's does it takes a NUL for the end of the
// text where a token could begin, and swallows one behind a token.
func (l *labelLexer) next() {
	s := strings.TrimLeft(l.rest, " \t\r\n")
	if s == "" || s[0] == 0 {
		*l = labelLexer{}
		return
	}
	n := 1
	if strings.IndexByte(labelSymbols, s[0]) >= 0 {
		l.kind = labelSymbol
		if len(s) > 1 && s[1] == '=' && (s[0] == '=' || s[0] == '!') {
			n = 2
		}
	} else {
		l.kind = labelWord
		if n = strings.IndexAny(s, labelSymbols+" \t\r\n\x00"); n < 0 {
			n = len(s)
		}
	}
	l.text, l.rest = s[:n], strings.TrimPrefix(s[n:], "\x00")
}

const labelSymbols = "=!(),><"

// accept moves on if the current token is the symbol.
func (l *labelLexer) accept(symbol string) bool {
	if l.kind != labelSymbol || l.text != symbol {
		return false
	}
	l.next()
	return true
}

// requirement checks "key", "!key" or "key operator value".
func (l *labelLexer) requirement() bool {
	not := l.accept("!")
	if l.kind != labelWord || !isLabelKey(l.text) {
		return false
	}
	l.next()
	if l.kind == labelEnd || l.text == "," {
		return true
	}
	operator := l.text
	l.next()
	switch operator {
	case "in", "notin":
		return !not && l.set()
	case "=", "==", "!=":
		value, ok := l.value()
		return !not && ok && isLabelValue(value)
	case ">", "<":
		value, ok := l.value()
		_, err := strconv.ParseInt(value, 10, 64)
		return !not && ok && err == nil && isLabelValue(value)
	}
	return false
}

// value reads one value; none before a comma or the end is an empty one.
func (l *labelLexer) value() (value string, ok bool) {
	if l.kind == labelEnd || l.text == "," {
		return "", true
	}
	value, ok = l.text, l.kind == labelWord
	l.next()
	return value, ok
}

// set checks "(a,b)". Each value may be empty.
func (l *labelLexer) set() bool {
	if !l.accept("(") {
		return false
	}
	for {
		if l.kind == labelWord {
			if !isLabelValue(l.text) {
				return false
			}
			l.next()
		}
		if l.accept(")") {
			return true
		}
		if !l.accept(",") {
			return false
		}
	}
}

// isLabelKey tells whether s is "name" or "domain/name". Upstream: content.IsLabelKey.
func isLabelKey(s string) bool {
	name := s
	if i := strings.IndexByte(s, '/'); i >= 0 {
		if i > MaxSubdomain || !Subdomain.MatchString(s[:i]) {
			return false
		}
		name = s[i+1:]
	}
	return isLabelName(name)
}

// isLabelValue tells whether s may be the value of a label. Upstream:
// content.IsLabelValue.
func isLabelValue(s string) bool { return s == "" || isLabelName(s) }

func isLabelName(s string) bool {
	if s == "" || len(s) > 63 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		inner := (c == '-' || c == '_' || c == '.') && i > 0 && i < len(s)-1
		if !inner && !isAlphanumeric(c) {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
