package audit

import (
	"strconv"
	"time"
)

const timeFormat = "2006-01-02T15:04:05.000000Z"

// AppendJSON appends the value of r in e as one line of JSON: a string, a number,
// the list or object as it was written, an array where a path has several values,
// null where the field is absent. Times are strings in UTC with six decimals.
func (r Ref) AppendJSON(dst []byte, e *Event) []byte {
	switch r.Field.Type {
	case List, Map, Object:
		return r.appendTree(dst, e)
	}
	n := len(dst)
	r.Each(e, func(v Value) bool {
		switch v.Kind {
		case StringValue:
			dst = appendText(dst, v.Bytes)
		case TimeValue:
			dst = append(dst, '"')
			dst = time.UnixMicro(v.Int).UTC().AppendFormat(dst, timeFormat)
			dst = append(dst, '"')
		default:
			dst = append(dst, v.Bytes...)
		}
		return false
	})
	if len(dst) == n {
		dst = append(dst, "null"...)
	}
	return dst
}

// appendTree appends what r names inside JSON.
func (r Ref) appendTree(dst []byte, e *Event) []byte {
	raw := r.Field.json(e)
	if len(r.Sub) == 0 && r.Field.at == Annotations {
		return appendMerged(dst, e)
	}
	if len(r.Sub) == 0 {
		if len(raw) == 0 {
			return append(dst, "null"...)
		}
		return appendCompact(dst, raw)
	}
	n, start := 0, len(dst)
	hit := func(v Value) bool {
		n++
		dst = append(dst, ',')
		if v.Kind == StringValue {
			dst = appendText(dst, v.Bytes)
		} else {
			dst = appendCompact(dst, v.Bytes)
		}
		return false
	}
	if r.Field.at == Annotations {
		r.anyDecision(e, hit)
	}
	w := walker{data: raw, test: hit, whole: true}
	if r.glob {
		w.glob = r.Sub[0]
		w.leaves(0)
	} else if len(raw) > 0 {
		w.find(r.Sub, 0)
	}
	switch n {
	case 0:
		return append(dst, "null"...)
	case 1:
		return append(dst[:start], dst[start+1:]...)
	}
	dst[start] = '['
	return append(dst, ']')
}

// appendMerged appends all annotations: those in columns of their own among the
// others, in the order of their keys.
func appendMerged(dst []byte, e *Event) []byte {
	member := e.appendAnnotations(nil)
	if len(member) == 0 {
		return append(dst, "null"...)
	}
	return appendCompact(dst, member[len(`,"annotations":`):])
}

// AppendText appends the value of r in e for people: strings as they are, several
// values joined by commas, nothing where the field is absent.
func (r Ref) AppendText(dst []byte, e *Event) []byte {
	if r.Field.Type == Map && len(r.Sub) == 0 {
		n := len(dst)
		if dst = r.appendTree(dst, e); string(dst[n:]) == "null" {
			dst = dst[:n]
		}
		return dst
	}
	first := true
	r.Each(e, func(v Value) bool {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		switch v.Kind {
		case TimeValue:
			dst = time.UnixMicro(v.Int).UTC().AppendFormat(dst, timeFormat)
		case JSONValue:
			dst = appendCompact(dst, v.Bytes)
		default:
			dst = append(dst, v.Bytes...)
		}
		return true
	})
	return dst
}

// appendCompact appends JSON without the blanks and newlines between its tokens.
func appendCompact(dst, raw []byte) []byte {
	quoted := false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\' && i+1 < len(raw):
			dst = append(dst, c)
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\n' || c == '\r' || c == '\t'):
			continue
		}
		dst = append(dst, raw[i])
	}
	return dst
}

// appendMillis appends microseconds as decimal milliseconds: 1500 is 1.5.
func appendMillis(dst []byte, us int64) []byte {
	if us < 0 {
		dst, us = append(dst, '-'), -us
	}
	dst = strconv.AppendInt(dst, us/1000, 10)
	frac := us % 1000
	if frac == 0 {
		return dst
	}
	dst = append(dst, '.', byte('0'+frac/100), byte('0'+frac/10%10), byte('0'+frac%10))
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}
