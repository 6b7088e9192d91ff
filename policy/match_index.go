package policy

import (
	"cmp"
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"
)

// hasher hashes text with a seed of its own, so that nobody can choose names that
// collide.
type hasher struct{ seed maphash.Seed }

func newHasher() hasher { return hasher{maphash.MakeSeed()} }

func (h hasher) text(s string) uint64 {
	if s == "" {
		return 0 // the core group, and most subresources
	}
	return maphash.String(h.seed, s)
}

// pair is the hash of a/b, made of those of a and b.
func pair(a, b uint64) uint64 { return bits.RotateLeft64(a, 32) ^ b }

// A row is where in the bits of a segment the rules stand that a value satisfies, one
// bit each. Row 0 has no rule in it and stands for the absence of a row.
type row uint32

// A table gives for each value that rules name the row of rules that it satisfies.
// Open addressing, at most half full.
type table struct {
	slots   []slot
	rest    row    // the rules that any other value satisfies
	lengths uint64 // bit n: there is a key of n bytes; bit 63: of 63 or more
}

// A slot is one value; scope keeps the values of one API group apart from those of
// another.
type slot struct {
	hash  uint64
	key   string
	scope uint32
	row   row // 0 in an empty slot

	number uint32 // of the API group that is the key
}

// row returns the rules that key satisfies, those that do not ask included.
func (t *table) row(h hasher, key string) row {
	if s := t.find(h, key); s != nil {
		return s.row
	}
	return t.rest
}

// find returns the slot of key, or nil where no rule names it.
func (t *table) find(h hasher, key string) *slot {
	if t.lengths>>min(len(key), 63)&1 == 0 {
		return nil // most keys are no key of any rule, and this is cheaper than a hash
	}
	return t.slot(h.text(key), 0, key)
}

// slot returns the slot of key in scope, or nil.
func (t *table) slot(hash uint64, scope uint32, key string) *slot {
	for i := hash + uint64(scope); len(t.slots) > 0; i++ {
		s := &t.slots[i&uint64(len(t.slots)-1)]
		switch {
		case s.row == 0:
			return nil
		case s.hash == hash && s.scope == scope && s.key == key:
			return s
		}
	}
	return nil
}

// pairSlot is slot for a key that is written resource/sub.
func (t *table) pairSlot(hash uint64, scope uint32, resource, sub string) *slot {
	for i := hash + uint64(scope); len(t.slots) > 0; i++ {
		s := &t.slots[i&uint64(len(t.slots)-1)]
		switch {
		case s.row == 0:
			return nil
		case s.hash == hash && s.scope == scope && isPair(s.key, resource, sub):
			return s
		}
	}
	return nil
}

// A builder makes the rows and tables of one segment.
type builder struct {
	hash  hasher
	words int
	bits  []uint64
}

func newBuilder(h hasher, words int) *builder {
	return &builder{hash: h, words: words, bits: make([]uint64, words)}
}

// row returns a new row without rules.
func (b *builder) row() row {
	b.bits = append(b.bits, make([]uint64, b.words)...)
	return row(len(b.bits) - b.words)
}

func (b *builder) set(r row, rule int) { b.bits[int(r)+rule/64] |= 1 << (rule % 64) }

// merge adds the rules of src to dst.
func (b *builder) merge(dst, src row) {
	for w := range b.words {
		b.bits[int(dst)+w] |= b.bits[int(src)+w]
	}
}

// A tableBuilder collects the rules of each value.
type tableBuilder struct {
	*builder
	rows map[scopedKey]row
	rest row
}

type scopedKey struct {
	scope uint32
	key   string
	rest  int // where its second part begins, if it is looked up as a pair; else 0
}

func (b *builder) table() *tableBuilder {
	return &tableBuilder{builder: b, rows: map[scopedKey]row{}, rest: b.row()}
}

// list adds a rule that asks for one of values, for any where there are none.
func (t *tableBuilder) list(rule int, values []string) {
	for _, v := range values {
		t.add(rule, scopedKey{key: v})
	}
	if len(values) == 0 {
		t.set(t.rest, rule)
	}
}

func (t *tableBuilder) add(rule int, k scopedKey) { t.set(t.rowOf(k), rule) }

func (t *tableBuilder) rowOf(k scopedKey) row {
	if t.rows[k] == 0 {
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
	for k, r := range t.rows {
		t.merge(r, t.rest)
		out.lengths |= 1 << min(len(k.key), 63)
		h := t.hash.text(k.key)
		if k.rest > 0 {
			h = pair(t.hash.text(k.key[:k.rest-1]), t.hash.text(k.key[k.rest:]))
		}
		i := h + uint64(k.scope)
		for out.slots[i&uint64(size-1)].row != 0 {
			i++
		}
		out.slots[i&uint64(size-1)] = slot{hash: h, scope: k.scope, key: k.key, row: r}
	}
	return out
}

// resourceIndex finds the rules that a resource satisfies. Resources are kept by API
// group, whose number is their scope; the group "*" is number 0. Every row also holds
// the rules that want everything in its group, and those that want any resource.
type resourceIndex struct {
	groups   table // an API group by itself; its slots have the numbers
	plain    table // "pods", and the resource of "pods/*", where there is no subresource
	combined table // "pods/log"
	whole    table // the resource of "pods/*", where there is a subresource
	sub      table // the subresource of "*/log"
	star     bool  // the group "*" is named
}

func newResourceIndex(b *builder, rules []PolicyRule) resourceIndex {
	groups, plain, combined, whole, sub := b.table(), b.table(), b.table(), b.table(), b.table()
	number := map[string]uint32{"*": 0}
	for i := range rules {
		r := &rules[i]
		if len(r.Resources) == 0 && (len(r.Namespaces) > 0 || len(r.NonResourceURLs) == 0) {
			b.set(groups.rest, i)
		}
		for _, g := range r.Resources {
			n, ok := number[g.Group]
			if !ok {
				n = uint32(len(number))
				number[g.Group] = n
			}
			own := groups.rest // the rules that want everything in the group
			if n != 0 {
				own = groups.rowOf(scopedKey{key: g.Group})
			}
			if len(g.Resources) == 0 || slices.Contains(g.Resources, "*") {
				b.set(own, i)
			}
			for _, item := range g.Resources {
				plain.add(i, scopedKey{scope: n, key: item})
				for at := range len(item) {
					if item[at] == '/' {
						combined.add(i, scopedKey{n, item, at + 1})
					}
				}
				if base, ok := strings.CutSuffix(item, "/*"); ok {
					plain.add(i, scopedKey{scope: n, key: base})
					whole.add(i, scopedKey{scope: n, key: base})
				}
				if any, ok := strings.CutPrefix(item, "*/"); ok {
					sub.add(i, scopedKey{scope: n, key: any})
				}
			}
		}
	}
	x := resourceIndex{groups: groups.done(), star: slices.ContainsFunc(rules, namesEveryGroup)}
	wants := make([]row, len(number)) // the rules that want everything in a group
	wants[0] = groups.rest
	for i := range x.groups.slots {
		if s := &x.groups.slots[i]; s.row != 0 {
			s.number = number[s.key]
			wants[s.number] = s.row
		}
	}
	for _, t := range []*tableBuilder{plain, combined, whole, sub} {
		for k, r := range t.rows {
			b.merge(r, wants[k.scope])
		}
	}
	x.plain, x.combined, x.whole, x.sub = plain.done(), combined.done(), whole.done(), sub.done()
	return x
}

func namesEveryGroup(r PolicyRule) bool {
	return slices.ContainsFunc(r.Resources, func(g GroupResources) bool { return g.Group == "*" })
}

// resourceRows are the rows that a resource satisfies: a rule matches if it is in
// any.
type resourceRows struct {
	first row
	more  [6]row
	n     int // of more
}

func (r *resourceRows) add(s *slot) {
	if s != nil {
		r.more[r.n] = s.row
		r.n++
	}
}

// find collects in dst the rows for the resource of q.
func (x *resourceIndex) find(h hasher, q *Request, k *keys, dst *resourceRows) {
	dst.first = x.groups.rest
	if s := x.groups.find(h, q.APIGroup); s != nil {
		dst.first = s.row
		x.within(s.number, q, k, dst)
	}
	if x.star {
		x.within(0, q, k, dst)
	}
}

// within collects the rows for the resource of q in the group with number n.
func (x *resourceIndex) within(n uint32, q *Request, k *keys, dst *resourceRows) {
	if q.Subresource == "" {
		dst.add(x.plain.slot(k.resource, n, q.Resource))
		return
	}
	dst.add(x.combined.pairSlot(pair(k.resource, k.sub), n, q.Resource, q.Subresource))
	dst.add(x.whole.slot(k.resource, n, q.Resource))
	dst.add(x.sub.slot(k.sub, n, q.Subresource))
}

// urlIndex finds the rules that a path satisfies.
type urlIndex struct {
	exact    table
	prefixes []prefix // sorted
	all      row      // the rules that every path satisfies
}

// A prefix is what stands before the trailing * of a URL.
type prefix struct {
	text   string
	parent int // the longest other prefix that text begins with, -1: none
	row    row // with the rules of all that text begins with
}

func newURLIndex(b *builder, rules []PolicyRule) urlIndex {
	exact, prefixes := b.table(), b.table()
	for i := range rules {
		r := &rules[i]
		if len(r.Namespaces) > 0 || len(r.Resources) > 0 {
			continue
		}
		if len(r.NonResourceURLs) == 0 {
			b.set(exact.rest, i)
		}
		for _, u := range r.NonResourceURLs {
			if strings.HasSuffix(u, "*") {
				prefixes.add(i, scopedKey{key: strings.TrimRight(u, "*")})
			} else {
				exact.add(i, scopedKey{key: u})
			}
		}
	}
	x := urlIndex{all: exact.rest}
	for k, r := range prefixes.rows {
		x.prefixes = append(x.prefixes, prefix{k.key, -1, r})
	}
	slices.SortFunc(x.prefixes, func(a, b prefix) int { return cmp.Compare(a.text, b.text) })
	for i := range x.prefixes {
		p := &x.prefixes[i]
		for p.parent = i - 1; p.parent >= 0 && !strings.HasPrefix(p.text, x.prefixes[p.parent].text); {
			p.parent = x.prefixes[p.parent].parent
		}
		b.merge(p.row, x.all)
		if p.parent >= 0 {
			b.merge(p.row, x.prefixes[p.parent].row)
		}
	}
	for k, r := range exact.rows {
		b.merge(r, x.under(k.key))
	}
	x.exact = exact.done()
	return x
}

// row returns the rules that path satisfies.
func (x *urlIndex) row(h hasher, path string) row {
	if s := x.exact.find(h, path); s != nil {
		return s.row
	}
	return x.under(path)
}

// under returns the rules of the prefixes that path begins with.
func (x *urlIndex) under(path string) row {
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
