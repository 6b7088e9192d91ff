package query

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"sort"
	"strconv"
	"strings"
	"time"

	"kubetrail/audit"
)

// kind is how a test judges one value.
type kind uint8

const (
	exists  kind = iota // there is one
	equal               // it is one of words
	pattern             // words occur in it in this order, the first at its beginning, the last at its end
	prose               // the same, at the bounds of words and in any case
	within              // it is an address in net
	between             // an integer from lo to hi, of a Number or Time field
	compare             // op bound, of any other field
	nested              // it is an object that sub matches
)

// test is what a Test node asks of a value.
type test struct {
	kind    kind
	words   [][]byte
	numeric bool // equal: one of words is a number, which has several spellings

	op     string // between, compare: "" for equality, else < <= > >=
	bound  string // as asked for
	number number
	time   span
	lo, hi int64

	net netip.Prefix
	sub *Node

	fragments [][]byte
	single    bool // the field is the text column column
	column    audit.Column
	body      bool // the field is in a body
	pass      func(audit.Value) bool
}

// testNode completes a test and puts it into a node.
func testNode(r audit.Ref, t *test) *Node {
	n := &Node{Op: Test, Ref: r, test: t, needs: r.Needs()}
	t.column, t.single = r.Column()
	t.pass = t.passes
	t.body = n.needs&audit.Set(audit.RequestObject, audit.ResponseObject) != 0
	switch {
	case t.body || n.needs == 0:
		n.cost = 100
		t.fragments = testFragments(r, t)
	case t.single && t.kind == equal, t.kind == between, t.single && t.kind == exists:
		n.cost = 1
	case t.single:
		n.cost = 4
	default:
		n.cost = 8
	}
	return n
}

// equal makes the test for field:value where the value compares whole.
func (p *parser) equal(r audit.Ref, v value) (*Node, error) {
	if v.wild() && strings.Trim(v.text(), "*") == "" {
		return testNode(r, &test{kind: exists}), nil
	}
	switch r.Field.Type {
	case audit.Number:
		if v.wild() {
			return testNode(r, &test{kind: pattern, words: split(v.parts)}), nil
		}
		return p.between(r, "", v)
	case audit.Time:
		return p.between(r, "", v)
	case audit.Object:
		if len(r.Sub) == 0 { // a whole tree equals nothing: ask its leaves
			var err error
			if r, err = audit.Resolve(r.Field.Path + ".*"); err != nil {
				return nil, p.errorAt(v.pos, v.end, err.Error(), "")
			}
		}
	case audit.Keyword:
		if v.text() == "" {
			return nil, p.errorAt(v.pos, v.end, "no field of an event is empty: it is absent", "write not "+r.Name+":*")
		}
	}
	if v.wild() {
		return testNode(r, &test{kind: pattern, words: split(v.parts)}), nil
	}
	if r.Field.Path == "sourceIPs" {
		if net, err := netip.ParsePrefix(v.text()); err == nil {
			return testNode(r, &test{kind: within, net: net.Masked(), bound: v.text()}), nil
		}
	}
	return equalNode(r, [][]byte{[]byte(v.text())}), nil
}

func equalNode(r audit.Ref, words [][]byte) *Node {
	t := &test{kind: equal, words: words}
	if r.Field.Type == audit.Object {
		for _, w := range words {
			_, ok := parseNumber(w)
			t.numeric = t.numeric || ok
		}
	}
	return testNode(r, t)
}

// prose makes the test for one word, phrase or pattern in text for people.
func (p *parser) prose(r audit.Ref, v value) (*Node, error) {
	if v.wild() && strings.Trim(v.text(), "*") == "" {
		return testNode(r, &test{kind: exists}), nil
	}
	if v.text() == "" {
		return nil, p.errorAt(v.pos, v.end, "no field of an event is empty: it is absent", "write not "+r.Name+":*")
	}
	words := split(v.parts)
	for i, w := range words {
		words[i] = bytes.ToLower(w)
	}
	return testNode(r, &test{kind: prose, words: words}), nil
}

// compare makes the test for a range.
func (p *parser) compare(r audit.Ref, op string, v value) (*Node, error) {
	if r.Field.Type == audit.Number || r.Field.Type == audit.Time {
		return p.between(r, op, v)
	}
	t := &test{kind: compare, op: op, bound: v.text(), words: [][]byte{[]byte(v.text())}}
	t.number, _ = parseNumber(t.words[0])
	t.time, _ = parseSpan(v.text())
	if r.Field.Type == audit.Object && len(r.Sub) == 0 {
		return nil, p.errorAt(v.pos, v.end, "a whole body cannot be compared", "name a path in it: "+r.Name+".spec.replicas")
	}
	return testNode(r, t), nil
}

// between makes the test for the integers of a Number or Time field.
func (p *parser) between(r audit.Ref, op string, v value) (*Node, error) {
	t := &test{kind: between, op: op, bound: v.text()}
	if r.Field.Type == audit.Number {
		n, ok := parseNumber([]byte(v.text()))
		if !ok {
			return nil, p.errorAt(v.pos, v.end, fmt.Sprintf("%q is a number, and this is none", r.Name), fmt.Sprintf("write %s >= 400", r.Name))
		}
		if r.Field.Path == "duration" {
			n = n.thousandfold()
		}
		t.lo, t.hi = n.bounds(op)
		return testNode(r, t), nil
	}
	if strings.HasPrefix(v.text(), "now") {
		return nil, p.errorAt(v.pos, v.end, "a question knows no clock", "ask with --since 1h, or write a time: "+r.Name+` >= "2026-11-20T15:20:00Z"`)
	}
	s, ok := parseSpan(v.text())
	if n, isNumber := parseNumber([]byte(v.text())); !ok && isNumber && n.whole {
		s, ok = span{n.int * 1000, n.int*1000 + 999}, n.int > 0 && n.int < math.MaxInt64/1000
	}
	if !ok {
		return nil, p.errorAt(v.pos, v.end, fmt.Sprintf("%q is a time, and this is none", r.Name), `write "2026-11-20", "2026-11-20T15:20:00Z" or milliseconds since 1970`)
	}
	t.lo, t.hi = s.bounds(op)
	return testNode(r, t), nil
}

func split(parts []string) [][]byte {
	words := make([][]byte, len(parts))
	for i, s := range parts {
		words[i] = []byte(s)
	}
	return words
}

// number is a number of a question: exact where it is an integer that fits.
type number struct {
	ok    bool
	whole bool
	int   int64
	float float64
}

// parseNumber reads a number as JSON writes it.
func parseNumber(b []byte) (number, bool) {
	digit := b
	if len(b) > 0 && b[0] == '-' {
		digit = b[1:]
	}
	if len(digit) == 0 || digit[0] < '0' || digit[0] > '9' {
		return number{}, false
	}
	whole := true
	for _, c := range digit {
		if c < '0' || c > '9' {
			whole = false
			if c != '.' && c != 'e' && c != 'E' && c != '+' && c != '-' {
				return number{}, false
			}
		}
	}
	if whole && len(digit) <= 18 {
		n := int64(0)
		for _, c := range digit {
			n = n*10 + int64(c-'0')
		}
		if len(digit) < len(b) {
			n = -n
		}
		return number{true, true, n, float64(n)}, true
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil && !math.IsInf(f, 0) {
		return number{}, false
	}
	return fromFloat(f), true
}

func fromFloat(f float64) number {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return number{true, true, int64(f), f}
	}
	return number{true, false, 0, f}
}

// compare returns how a stands to b: -1, 0 or 1.
func (a number) compare(b number) int {
	if a.whole && b.whole {
		switch {
		case a.int < b.int:
			return -1
		case a.int > b.int:
			return 1
		}
		return 0
	}
	switch {
	case a.float < b.float:
		return -1
	case a.float > b.float:
		return 1
	}
	return 0
}

// thousandfold turns milliseconds into microseconds; what a float adds to decimals
// is taken off again.
func (a number) thousandfold() number {
	f := a.float * 1000
	if near := math.Round(f); math.Abs(f-near) < 1e-6 {
		f = near
	}
	return fromFloat(f)
}

// bounds returns the integers for which v op a holds.
func (a number) bounds(op string) (lo, hi int64) {
	floor, ceil := saturate(math.Floor(a.float)), saturate(math.Ceil(a.float))
	if a.whole {
		floor, ceil = a.int, a.int
	}
	switch op {
	case "<":
		return math.MinInt64, minus1(ceil)
	case "<=":
		return math.MinInt64, floor
	case ">":
		return plus1(floor), math.MaxInt64
	case ">=":
		return ceil, math.MaxInt64
	}
	return ceil, floor
}

func saturate(f float64) int64 {
	switch {
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	}
	return int64(f)
}

func plus1(n int64) int64 { return max(n, n+1) }

func minus1(n int64) int64 { return min(n, n-1) }

// span is the microseconds that a time names: all of a day for a date.
type span struct{ first, last int64 }

// bounds returns the times for which v op s holds.
func (s span) bounds(op string) (lo, hi int64) {
	switch op {
	case "<":
		return math.MinInt64, s.first - 1
	case "<=":
		return math.MinInt64, s.last
	case ">":
		return s.last + 1, math.MaxInt64
	case ">=":
		return s.first, math.MaxInt64
	}
	return s.first, s.last
}

// parseSpan reads a time, cut short after any of its parts, UTC where it has no zone.
func parseSpan(text string) (span, bool) {
	text = strings.Replace(text, " ", "T", 1)
	for _, f := range []struct {
		layout              string
		years, months, days int
		rest                time.Duration
	}{
		{layout: "2006-01-02T15:04:05Z07:00", rest: time.Second},
		{layout: "2006-01-02T15:04:05", rest: time.Second},
		{layout: "2006-01-02T15:04Z07:00", rest: time.Minute},
		{layout: "2006-01-02T15:04", rest: time.Minute},
		{layout: "2006-01-02T15", rest: time.Hour},
		{layout: "2006-01-02", days: 1},
		{layout: "2006-01", months: 1},
		{layout: "2006", years: 1},
	} {
		t, err := time.Parse(f.layout, text)
		if err != nil {
			continue
		}
		end := t.AddDate(f.years, f.months, f.days).Add(f.rest)
		if f.rest == time.Second {
			if _, decimals, ok := strings.Cut(text, "."); ok {
				n := len(decimals) - len(strings.TrimLeft(decimals, "0123456789"))
				end = t.Add(max(time.Microsecond, time.Second/time.Duration(math.Pow10(min(n, 6)))))
			}
		}
		return span{t.UnixMicro(), max(t.UnixMicro(), end.UnixMicro()-1)}, true
	}
	return span{}, false
}

// testFragments returns what a body must hold for a test on a path in it: the names
// on the path and the parts of a value that JSON writes as they are.
func testFragments(r audit.Ref, t *test) [][]byte {
	var all [][]byte
	for _, el := range r.Sub {
		for _, part := range strings.Split(el, "*") {
			if !strings.Contains(el, "*") {
				all = append(all, pieces([]byte(part))...)
				continue
			}
			for _, key := range strings.Split(part, ".") {
				all = append(all, pieces([]byte(key))...)
			}
		}
	}
	switch {
	case t.kind == pattern, t.kind == equal && len(t.words) == 1 && !t.numeric:
		for _, w := range t.words {
			all = append(all, pieces(w)...)
		}
	case t.kind == nested:
		all = append(all, sureFragments(t.sub)...)
	}
	return longestFirst(all)
}

// sureFragments returns what any JSON holds that n matches.
func sureFragments(n *Node) [][]byte {
	switch n.Op {
	case Test, Text:
		return n.Fragments()
	case And:
		var all [][]byte
		for _, k := range n.Kids {
			all = append(all, sureFragments(k)...)
		}
		return all
	}
	return nil
}

// maxFragments is how many fragments are worth looking for before the JSON itself is
// walked.
const maxFragments = 4

func longestFirst(all [][]byte) [][]byte {
	sort.SliceStable(all, func(i, j int) bool { return len(all[i]) > len(all[j]) })
	return all[:min(len(all), maxFragments)]
}
