package query

import (
	"bytes"
	"net/netip"
	"strconv"

	"kubetrail/audit"
)

// Match reports whether e is an answer. Only the columns in Needs are looked at.
func (n *Node) Match(e *audit.Event) bool {
	switch n.Op {
	case And:
		for _, k := range n.order {
			if !k.Match(e) {
				return false
			}
		}
		return true
	case Or:
		for _, k := range n.order {
			if k.Match(e) {
				return true
			}
		}
		return false
	case Not:
		return !n.Kids[0].Match(e)
	case Test:
		return n.test.match(&n.Ref, e)
	case Text:
		return n.text.match(e)
	}
	return true
}

// matchIn is Match for a question about one JSON object: that of field:{ … }.
func (n *Node) matchIn(object []byte) bool {
	switch n.Op {
	case And:
		for _, k := range n.order {
			if !k.matchIn(object) {
				return false
			}
		}
		return true
	case Or:
		for _, k := range n.order {
			if k.matchIn(object) {
				return true
			}
		}
		return false
	case Not:
		return !n.Kids[0].matchIn(object)
	case Test:
		return n.Ref.AnyIn(object, n.test.pass)
	case Text:
		return n.text.in(object, true)
	}
	return true
}

func (t *test) match(r *audit.Ref, e *audit.Event) bool {
	switch {
	case t.single:
		b := e.Text[t.column]
		return len(b) > 0 && t.passes(audit.Value{Kind: audit.StringValue, Bytes: b})
	case t.kind == between:
		v, ok := r.Int(e)
		return ok && t.lo <= v && v <= t.hi
	case t.kind == exists && r.Field.Type == audit.Number || t.kind == exists && r.Field.Type == audit.Time:
		_, ok := r.Int(e)
		return ok
	case t.kind == pattern && r.Field.Type == audit.Number && r.Field.Path != "duration":
		v, ok := r.Int(e)
		var digits [20]byte
		return ok && matchPattern(t.words, strconv.AppendInt(digits[:0], v, 10))
	case t.body:
		body := e.RequestObject
		if r.Field.Needs.Has(audit.ResponseObject) {
			body = e.ResponseObject
		}
		return mayHold(body, t.fragments) && r.AnyIn(body, t.pass)
	}
	return r.Any(e, t.pass)
}

// mayHold reports whether a body has the fragments, or cannot be judged by them.
func mayHold(body []byte, fragments [][]byte) bool {
	if len(body) == 0 {
		return false
	}
	for _, f := range fragments {
		if !bytes.Contains(body, f) {
			return Hidden(body)
		}
	}
	return true
}

// passes judges one value.
func (t *test) passes(v audit.Value) bool {
	switch t.kind {
	case exists:
		return v.Kind != audit.JSONValue || v.Bytes[0] != 'n'
	case nested:
		return v.Kind == audit.JSONValue && v.Bytes[0] == '{' && t.sub.matchIn(v.Bytes)
	}
	if v.Kind == audit.JSONValue {
		return false
	}
	switch t.kind {
	case equal:
		return t.equals(v)
	case pattern:
		return matchPattern(t.words, v.Bytes)
	case prose:
		return matchProse(t.words, v.Bytes)
	case within:
		a, err := parseAddr(v.Bytes)
		return err == nil && t.net.Contains(a)
	case compare:
		return t.compares(v)
	}
	return false
}

func (t *test) equals(v audit.Value) bool {
	for _, w := range t.words {
		if bytes.Equal(w, v.Bytes) {
			return true
		}
	}
	if !t.numeric || v.Kind != audit.NumberValue {
		return false
	}
	have, ok := parseNumber(v.Bytes)
	for _, w := range t.words {
		if want, isNumber := parseNumber(w); ok && isNumber && want.compare(have) == 0 {
			return true
		}
	}
	return false
}

// compares judges a range on a value that is no Number or Time field: number with
// number, time with time, anything else by bytes.
func (t *test) compares(v audit.Value) bool {
	c := 0
	if t.number.ok {
		n, ok := parseNumber(v.Bytes)
		if !ok {
			return false
		}
		c = n.compare(t.number)
	} else {
		if v.Kind != audit.StringValue {
			return false
		}
		if t.time != (span{}) {
			if s, ok := parseSpan(string(v.Bytes)); ok {
				lo, hi := t.time.bounds(t.op)
				return lo <= s.first && s.first <= hi
			}
		}
		c = bytes.Compare(v.Bytes, t.words[0])
	}
	switch t.op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// parseAddr reads an address; one of IPv4 inside IPv6 counts as IPv4.
func parseAddr(b []byte) (netip.Addr, error) {
	a, err := netip.ParseAddr(string(b))
	return a.Unmap().WithZone(""), err
}

// matchPattern reports whether the words occur in b in order, the first at the
// beginning and the last at the end.
func matchPattern(words [][]byte, b []byte) bool {
	last := len(words) - 1
	if !bytes.HasPrefix(b, words[0]) {
		return false
	}
	b = b[len(words[0]):]
	for _, w := range words[1:last] {
		i := bytes.Index(b, w)
		if i < 0 {
			return false
		}
		b = b[i+len(w):]
	}
	return bytes.HasSuffix(b, words[last])
}
