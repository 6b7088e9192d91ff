package audit

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// What the legacy format writes for what is absent.
const (
	legacyUnknown  = "<unknown>"
	legacyNone     = "<none>"
	legacySelf     = "<self>"
	legacyLookup   = "<lookup>"
	legacyDeferred = "<deferred>"
)

// scanLegacy reads a line of --audit-log-format=legacy that begins at i: a time,
// "AUDIT:", and members like id="…" in any order. Members it does not know are
// passed over.
func (e *Event) scanLegacy(line []byte, i int) error {
	const mark = " AUDIT: "
	n := bytes.IndexByte(line[i:], ' ')
	if n < 0 || !bytes.HasPrefix(line[i+n:], []byte(mark)) {
		return &ScanError{Offset: i, Reason: "neither a JSON object nor a legacy audit line"}
	}
	t, nanos, ok := parseTime(line[i : i+n])
	if !ok {
		return &ScanError{Offset: i, Reason: "a legacy audit line without a time"}
	}
	e.Form = FormLegacy
	e.Received, e.Staged, e.Nanos = t, t, nanos
	known := 0
	for i += n + len(mark); i < len(line); {
		eq := bytes.IndexByte(line[i:], '=')
		if eq < 0 {
			if space(line, i) == len(line) {
				break
			}
			return &ScanError{Offset: i, Reason: "a legacy audit line with something else than members"}
		}
		text, end, ok := e.unquote(line, i+eq+1)
		if !ok {
			return &ScanError{Offset: i + eq + 1, Reason: "a malformed value in a legacy audit line"}
		}
		if e.setLegacy(line[i:i+eq], text) {
			known++
		}
		if i = end; i < len(line) && line[i] == ' ' {
			i++
		}
	}
	if known < 2 {
		return &ScanError{Offset: i, Reason: "a legacy audit line without members"}
	}
	return nil
}

// setLegacy puts the text of one member into its column.
func (e *Event) setLegacy(name, text []byte) bool {
	switch string(name) {
	case "id":
		e.Text[AuditID] = text
	case "stage":
		e.Text[Stage] = text
	case "ip":
		e.Text[SourceIPs] = nil
		if string(text) != legacyUnknown {
			n := len(e.scratch)
			e.scratch = append(appendText(append(e.scratch, '['), text), ']')
			e.Text[SourceIPs] = e.scratch[n:len(e.scratch):len(e.scratch)]
		}
	case "method":
		e.Text[Verb] = text
	case "user":
		e.Text[Username] = unless(text, legacyNone)
	case "groups":
		e.Text[UserGroups] = e.legacyList(unless(text, legacyNone))
	case "as":
		e.Text[ImpersonatedUsername] = unless(text, legacySelf)
	case "asgroups":
		e.Text[ImpersonatedGroups] = e.legacyList(unless(text, legacyLookup))
	case "user-agent":
		e.Text[UserAgent] = text
	case "namespace":
		e.Text[Namespace] = unless(text, legacyNone)
	case "uri":
		e.Text[RequestURI] = text
	case "response":
		e.Code = parseInt32(text)
	default:
		return false
	}
	return true
}

// unless returns text, or nil where it is the word for what is absent.
func unless(text []byte, absent string) []byte {
	if string(text) == absent {
		return nil
	}
	return text
}

// legacyList turns a list of quoted strings, "a","b", into a JSON list in scratch.
// A text that is no such list becomes the list of that one text.
func (e *Event) legacyList(text []byte) []byte {
	if len(text) == 0 {
		return nil
	}
	n := len(e.scratch)
	list, ok := e.appendList(append(e.scratch, '['), text)
	if !ok {
		list = appendText(append(e.scratch[:n], '['), text)
	}
	e.scratch = append(list, ']')
	return e.scratch[n:len(e.scratch):len(e.scratch)]
}

// appendList appends the elements of a list of quoted strings as JSON.
func (e *Event) appendList(dst, text []byte) ([]byte, bool) {
	for i := 0; ; {
		end, plain := quotedEnd(text, i)
		if end < 0 {
			return dst, false
		}
		element := text[i+1 : end-1]
		if !plain {
			n := len(dst)
			var ok bool
			if dst, ok = appendUnquoted(dst, element); !ok {
				return dst, false
			}
			element = dst[n:]
			dst = appendText(dst, element)
			dst = append(dst[:n], dst[n+len(element):]...)
		} else {
			dst = appendText(dst, element)
		}
		if end == len(text) {
			return dst, true
		}
		if text[end] != ',' {
			return dst, false
		}
		dst = append(dst, ',')
		i = end + 1
	}
}

// unquote decodes the string that strconv.Quote wrote at i and returns the offset
// after it.
func (e *Event) unquote(b []byte, i int) ([]byte, int, bool) {
	end, plain := quotedEnd(b, i)
	if end < 0 {
		return nil, 0, false
	}
	if plain {
		return b[i+1 : end-1], end, true
	}
	n := len(e.scratch)
	text, ok := appendUnquoted(e.scratch, b[i+1:end-1])
	e.scratch = text
	return text[n:len(text):len(text)], end, ok
}

// quotedEnd returns the offset after the quoted string at i, or -1, and whether it
// holds no escape.
func quotedEnd(b []byte, i int) (end int, plain bool) {
	if i >= len(b) || b[i] != '"' {
		return -1, false
	}
	plain = true
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1, plain
		case '\\':
			plain = false
			i++
		}
	}
	return -1, false
}

// appendUnquoted appends what the inside of a quoted Go string stands for.
func appendUnquoted(dst, s []byte) ([]byte, bool) {
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			dst = append(dst, s[i])
			i++
			continue
		}
		if i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\') {
			dst = append(dst, s[i+1])
			i += 2
			continue
		}
		head := string(s[i:min(len(s), i+len(`\U0010ffff`))])
		r, multibyte, tail, err := strconv.UnquoteChar(head, '"')
		if err != nil {
			return dst, false
		}
		if r < utf8.RuneSelf || !multibyte {
			dst = append(dst, byte(r))
		} else {
			dst = utf8.AppendRune(dst, r)
		}
		i += len(head) - len(tail)
	}
	return dst, true
}

// appendLegacy appends the legacy line of e.
func (e *Event) appendLegacy(dst []byte) []byte {
	dst = appendNanoTime(dst, e.Received, e.Nanos)
	dst = appendQuoted(append(dst, ` AUDIT: id=`...), e.Text[AuditID])
	dst = appendQuoted(append(dst, ` stage=`...), e.Text[Stage])
	dst = appendQuotedFirst(append(dst, ` ip=`...), e.Text[SourceIPs])
	dst = appendQuoted(append(dst, ` method=`...), e.Text[Verb])
	dst = appendQuoted(append(dst, ` user=`...), or(e.Text[Username], legacyNone))
	dst = appendQuotedList(append(dst, ` groups=`...), e.Text[UserGroups], legacyNone)
	dst = appendQuoted(append(dst, ` as=`...), or(e.Text[ImpersonatedUsername], legacySelf))
	dst = appendQuotedList(append(dst, ` asgroups=`...), e.Text[ImpersonatedGroups], legacyLookup)
	dst = appendQuoted(append(dst, ` user-agent=`...), e.Text[UserAgent])
	dst = appendQuoted(append(dst, ` namespace=`...), or(e.Text[Namespace], legacyNone))
	dst = appendQuoted(append(dst, ` uri=`...), e.Text[RequestURI])
	dst = append(dst, ` response="`...)
	if e.Code == 0 {
		return append(append(dst, legacyDeferred...), '"')
	}
	return append(appendInt(dst, e.Code), '"')
}

// appendNanoTime appends a time as time.RFC3339Nano formats it in UTC, for no time the
// zero time.Time.
func appendNanoTime(dst []byte, micros int64, nanos int16) []byte {
	if micros == NoTime {
		return append(dst, "0001-01-01T00:00:00Z"...)
	}
	dst, fraction := appendSeconds(dst, micros)
	if n := fraction*1000 + int(nanos); n != 0 {
		dst = append(dst, '.')
		for scale := 100_000_000; n != 0; scale /= 10 {
			dst = append(dst, '0'+byte(n/scale))
			n %= scale
		}
	}
	return append(dst, 'Z')
}

// or returns text, or the word for what is absent.
func or(text []byte, absent string) []byte {
	if len(text) == 0 {
		return []byte(absent)
	}
	return text
}

// appendQuoted appends text as strconv.Quote writes it.
func appendQuoted(dst, text []byte) []byte {
	n := len(dst)
	dst = append(dst, '"')
	for _, c := range text {
		if c < ' ' || c > '~' {
			return strconv.AppendQuote(dst[:n], string(text))
		}
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// appendQuotedFirst appends the first string of a JSON list.
func appendQuotedFirst(dst, list []byte) []byte {
	text, _, ok := nextString(nil, list, 1)
	if !ok {
		return append(append(append(dst, '"'), legacyUnknown...), '"')
	}
	return appendQuoted(dst, text)
}

// appendQuotedList appends the strings of a JSON list, each quoted, as one quoted
// text.
func appendQuotedList(dst, list []byte, absent string) []byte {
	n := len(dst)
	var decoded []byte
	for i := 1; ; {
		text, next, ok := nextString(decoded[:0], list, i)
		if !ok {
			break
		}
		if len(dst) > n {
			dst = append(dst, ',')
		}
		dst = appendQuoted(dst, text)
		i = next
	}
	if len(dst) == n {
		return append(append(append(dst, '"'), absent...), '"')
	}
	end := len(dst)
	dst = appendQuoted(dst, dst[n:])
	return append(dst[:n], dst[end:]...)
}

// nextString decodes the string at i in a JSON list of strings, into dst where it
// has escapes, and returns the offset of the one after it.
func nextString(dst, list []byte, i int) ([]byte, int, bool) {
	if i >= len(list) || list[i] != '"' {
		return nil, 0, false
	}
	end, f := skipString(list, i+1)
	if f != none {
		return nil, 0, false
	}
	text := list[i+1 : end-1]
	if bytes.IndexByte(text, '\\') >= 0 {
		text = appendUnescaped(dst, text)
	}
	return text, end + 1, true
}
