package policy

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
)

// hasher hashes text with a seed of its own, so that nobody can choose names that
// collide.
type hasher struct{ seed maphash.Seed }

func newHasher() hasher { return hasher{maphash.MakeSeed()} }

func (h hasher) text(s string) uint64  { return maphash.String(h.seed, s) }
func (h hasher) bytes(b []byte) uint64 { return maphash.Bytes(h.seed, b) }

func set(row []uint64, i int) { row[i/64] |= 1 << (i % 64) }
func merge(dst []uint64, a []uint64) {
	for w := range dst {
		dst[w] |= a[w]
	}
}

// A table gives for each value that rules name the rules that it satisfies.
// Open addressing, at most half full.
type table struct {
	slots []slot
	rest  []uint64 // the rules that any other value satisfies
}

// A slot is one value; scope keeps the values of one API group apart from those of
// another.
type slot struct {
	hash  uint64
	scope int
	key   string
	row   []uint64 // nil in an empty slot
}

// used tells whether the value matters to any rule.
func (t *table) used() bool { return len(t.slots) > 0 }

// row returns the rules that key satisfies, those that do not ask included.
func (t *table) row(hash uint64, key string) []uint64 {
	if row := t.find(hash, key); row != nil {
		return row
	}
	return t.rest
}

// find returns the row of key, or nil where no rule names it.
func (t *table) find(hash uint64, key string) []uint64 {
	if i := t.index(hash, 0, key); i >= 0 {
		return t.slots[i].row
	}
	return nil
}

// index returns the slot of key in scope, or -1.
func (t *table) index(hash uint64, scope int, key string) int {
	if len(t.slots) == 0 {
		return -1
	}
	mask := uint64(len(t.slots) - 1)
	for i := (hash + uint64(scope)) & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		switch {
		case s.row == nil:
			return -1
		case s.hash == hash && s.scope == scope && s.key == key:
			return int(i)
		}
	}
}

// indexBytes is index for a key that is no string.
func (t *table) indexBytes(hash uint64, scope int, key []byte) int {
	if len(t.slots) == 0 {
		return -1
	}
	mask := uint64(len(t.slots) - 1)
	for i := (hash + uint64(scope)) & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		switch {
		case s.row == nil:
			return -1
		case s.hash == hash && s.scope == scope && s.key == string(key):
			return int(i)
		}
	}
}

// A builder makes the tables of one segment.
type builder struct {
	hash  hasher
	words int
}

func newBuilder(h hasher, words int) builder { return builder{h, words} }

func (b builder) row() []uint64 { return make([]uint64, b.words) }

// A tableBuilder collects the rules of each value.
type tableBuilder struct {
	builder
	rows map[scopedKey][]uint64
	rest []uint64
}

type scopedKey struct {
	scope int
	key   string
}

func (b builder) table() *tableBuilder {
	return &tableBuilder{builder: b, rows: map[scopedKey][]uint64{}, rest: b.row()}
}

// list adds a rule that asks for one of values, for any where there are none.
func (t *tableBuilder) list(rule int, values []string) {
	for _, v := range values {
		t.add(rule, 0, v)
	}
	if len(values) == 0 {
		set(t.rest, rule)
	}
}

func (t *tableBuilder) add(rule, scope int, key string) { set(t.rowOf(scope, key), rule) }

func (t *tableBuilder) rowOf(scope int, key string) []uint64 {
	k := scopedKey{scope, key}
	if t.rows[k] == nil {
		t.rows[k] = t.row()
	}
	return t.rows[k]
}

// done returns the table; the rules that do not ask are in every row.
func (t *tableBuilder) done() table {
	out := table{rest: t.rest}
	if len(t.rows) == 0 {
		return out
	}
	size := 4
	for size < 2*len(t.rows) {
		size *= 2
	}
	out.slots = make([]slot, size)
	mask := uint64(size - 1)
	for k, row := range t.rows {
		merge(row, t.rest)
		h := t.hash.text(k.key)
		i := (h + uint64(k.scope)) & mask
		for out.slots[i].row != nil {
			i = (i + 1) & mask
		}
		out.slots[i] = slot{hash: h, scope: k.scope, key: k.key, row: row}
	}
	return out
}

// resourceIndex finds the rules that a resource satisfies. Resources are kept by API
// group, whose number is their scope; the group "*" is number 0. Every row also holds
// the rules that want everything in its group, and those that want any resource.
type resourceIndex struct {
	groups   table // an API group by itself
	numbers  []int // of the group in each slot of groups
	plain    table // "pods", and the resource of "pods/*", where there is no subresource
	combined table // "pods/log"
	whole    table // the resource of "pods/*", where there is a subresource
	sub      table // the subresource of "*/log"
	star     bool  // the group "*" is named
}

func newResourceIndex(b builder, rules []PolicyRule) resourceIndex {
	groups, plain, combined, whole, sub := b.table(), b.table(), b.table(), b.table(), b.table()
	x := resourceIndex{}
	number := map[string]int{"*": 0}
	for i := range rules {
		r := &rules[i]
		if len(r.Resources) == 0 && (len(r.Namespaces) > 0 || len(r.NonResourceURLs) == 0) {
			set(groups.rest, i)
		}
		for _, g := range r.Resources {
			n, ok := number[g.Group]
			if !ok {
				n = len(number)
				number[g.Group] = n
			}
			if g.Group == "*" {
				x.star = true
			} else {
				groups.rowOf(0, g.Group) // so that it has a number
			}
			everything := len(g.Resources) == 0 || slices.Contains(g.Resources, "*")
			switch {
			case everything && g.Group == "*":
				set(groups.rest, i)
			case everything:
				groups.add(i, 0, g.Group)
			}
			for _, item := range g.Resources {
				plain.add(i, n, item)
				combined.add(i, n, item)
				if base, ok := strings.CutSuffix(item, "/*"); ok {
					plain.add(i, n, base)
					whole.add(i, n, base)
				}
				if any, ok := strings.CutPrefix(item, "*/"); ok {
					sub.add(i, n, any)
				}
			}
		}
	}
	x.groups = groups.done()
	x.numbers = make([]int, len(x.groups.slots))
	wants := make([][]uint64, len(number)) // the rules that want everything in a group
	wants[0] = groups.rest
	for i, s := range x.groups.slots {
		if s.row != nil {
			x.numbers[i] = number[s.key]
			wants[x.numbers[i]] = s.row
		}
	}
	for _, t := range []*tableBuilder{plain, combined, whole, sub} {
		for k, row := range t.rows {
			merge(row, wants[k.scope])
		}
	}
	x.plain, x.combined, x.whole, x.sub = plain.done(), combined.done(), whole.done(), sub.done()
	return x
}

// resourceRows are the rows that a resource satisfies: a rule matches if it is in
// any.
type resourceRows struct {
	first []uint64
	more  [6][]uint64
	n     int // of more
}

func (r *resourceRows) add(row []uint64) {
	if row != nil {
		r.more[r.n] = row
		r.n++
	}
}

func (r *resourceRows) word(w int) uint64 {
	x := r.first[w]
	for _, row := range r.more[:r.n] {
		x |= row[w]
	}
	return x
}

// find collects in dst the rows for the resource of q.
func (x *resourceIndex) find(q *Request, k *keys, dst *resourceRows) {
	dst.first = x.groups.rest
	if i := x.groups.index(k.group, 0, q.APIGroup); i >= 0 {
		dst.first = x.groups.slots[i].row
		x.within(x.numbers[i], q, k, dst)
	}
	if x.star {
		x.within(0, q, k, dst)
	}
}

// within collects the rows for the resource of q in the group with number n.
func (x *resourceIndex) within(n int, q *Request, k *keys, dst *resourceRows) {
	if q.Subresource == "" {
		if i := x.plain.index(k.resource, n, q.Resource); i >= 0 {
			dst.add(x.plain.slots[i].row)
		}
		return
	}
	if i := x.combined.indexBytes(k.combined, n, k.joined); i >= 0 {
		dst.add(x.combined.slots[i].row)
	}
	if i := x.whole.index(k.resource, n, q.Resource); i >= 0 {
		dst.add(x.whole.slots[i].row)
	}
	if i := x.sub.index(k.sub, n, q.Subresource); i >= 0 {
		dst.add(x.sub.slots[i].row)
	}
}

// urlIndex finds the rules that a path satisfies.
type urlIndex struct {
	exact    table
	prefixes []prefix // sorted
	all      []uint64 // the rules that every path satisfies
}

// A prefix is what stands before the trailing * of a URL.
type prefix struct {
	text   string
	parent int      // the longest other prefix that text begins with, -1: none
	row    []uint64 // with the rules of all that text begins with
}

func newURLIndex(b builder, rules []PolicyRule) urlIndex {
	x := urlIndex{all: b.row()}
	exact := b.table()
	prefixes := map[string][]uint64{}
	for i := range rules {
		r := &rules[i]
		if len(r.Namespaces) > 0 || len(r.Resources) > 0 {
			continue
		}
		if len(r.NonResourceURLs) == 0 {
			set(x.all, i)
		}
		for _, u := range r.NonResourceURLs {
			if !strings.HasSuffix(u, "*") {
				exact.add(i, 0, u)
				continue
			}
			u = strings.TrimRight(u, "*")
			if prefixes[u] == nil {
				prefixes[u] = b.row()
			}
			set(prefixes[u], i)
		}
	}
	for text, row := range prefixes {
		x.prefixes = append(x.prefixes, prefix{text, -1, row})
	}
	slices.SortFunc(x.prefixes, func(a, b prefix) int { return cmp.Compare(a.text, b.text) })
	for i := range x.prefixes {
		p := &x.prefixes[i]
		for p.parent = i - 1; p.parent >= 0 && !strings.HasPrefix(p.text, x.prefixes[p.parent].text); {
			p.parent = x.prefixes[p.parent].parent
		}
		merge(p.row, x.all)
		if p.parent >= 0 {
			merge(p.row, x.prefixes[p.parent].row)
		}
	}
	copy(exact.rest, x.all)
	for k, row := range exact.rows {
		merge(row, x.under(k.key))
	}
	x.exact = exact.done()
	return x
}

// row returns the rules that path satisfies.
func (x *urlIndex) row(hash uint64, path string) []uint64 {
	if row := x.exact.find(hash, path); row != nil {
		return row
	}
	return x.under(path)
}

// under returns the rules of the prefixes that path begins with.
func (x *urlIndex) under(path string) []uint64 {
	// What path begins with sorts before it, the longest one last, but for prefixes
	// that belong to siblings of path.
	low, high := 0, len(x.prefixes)
	for low < high {
		mid := int(uint(low+high) >> 1)
		if x.prefixes[mid].text <= path {
			low = mid + 1
		} else {
			high = mid
		}
	}
	for i := low - 1; i >= 0; i = x.prefixes[i].parent {
		if strings.HasPrefix(path, x.prefixes[i].text) {
			return x.prefixes[i].row
		}
	}
	return x.all
}
