package disk

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/bitmap"
	"kubetrail/internal/parquet"
	"kubetrail/internal/trail"
)

// MaxGroups bounds the memory of Aggregate, MaxBuckets that of Histogram.
const (
	MaxGroups  = 1 << 20
	MaxBuckets = 1 << 21
)

// Aggregate implements [trail.Reader]. Its error wraps trail.ErrTooMany where there
// are more than MaxGroups groups.
func (t *Trail) Aggregate(ctx context.Context, q trail.Query, by []audit.Ref, limit int) (trail.Groups, error) {
	parts, err := t.snapshot()
	if err != nil {
		return trail.Groups{}, err
	}
	defer t.release(parts)
	total := newTally(by)
	err = t.each(ctx, overlapping(parts, q), func(v *view) error {
		sel, err := v.answers(q)
		if err != nil || sel.Empty() {
			return err
		}
		return v.tally(total, sel)
	})
	if err != nil {
		return trail.Groups{}, err
	}
	return total.groups(limit), nil
}

// tally counts groups. Every value of a field gets a number for the whole question;
// a group is the sequence of its values' numbers.
type tally struct {
	by []audit.Ref

	mu     sync.Mutex
	values []values          // per field
	narrow counter[uint64]   // groups of up to maxNarrow fields
	wide   map[string]uint64 // groups of more: four bytes a field
	events uint64
}

func newTally(by []audit.Ref) *tally {
	t := &tally{by: by, values: make([]values, len(by)), wide: map[string]uint64{}}
	for i := range t.values {
		t.values[i].reset()
	}
	return t
}

// maxNarrow fields have numbers of 21 bits each, one less than all ones together.
const maxNarrow = 3

// counter counts by keys other than the largest one: open addressing, without the
// safety against chosen keys that a map pays for, because keys are numbers of ours.
// Counting the rows of one part takes 32 bits and stays in the processor's cache.
type counter[T uint32 | uint64] struct {
	slots []struct{ key, count T } // key + 1, 0 free; a power of two of them
	used  []uint32                 // the slots in use
	shift int                      // 64 less the bits of a slot's number
}

// home is where a key is, or where the search for it begins: the upper bits of a
// product depend on all bits of the key.
func (c *counter[T]) home(key T) uint64 {
	return uint64(key) * 0x9e3779b97f4a7c15 >> (c.shift & 63)
}

func (c *counter[T]) add(key, count T) {
	if 2*len(c.used) >= len(c.slots) {
		c.grow()
	}
	mask := uint64(len(c.slots) - 1)
	for i := c.home(key); ; i = (i + 1) & mask {
		switch s := &c.slots[i]; s.key {
		case key + 1:
			s.count += count
			return
		case 0:
			s.key, s.count = key+1, count
			c.used = append(c.used, uint32(i))
			return
		}
	}
}

func (c *counter[T]) grow() {
	old := *c
	c.slots = make([]struct{ key, count T }, max(1024, 2*len(old.slots)))
	c.used = make([]uint32, 0, len(c.slots)/2)
	c.shift = bits.LeadingZeros64(uint64(len(c.slots) - 1))
	old.each(c.add)
}

func (c *counter[T]) reset() {
	for _, i := range c.used {
		c.slots[i].key = 0
	}
	c.used = c.used[:0]
}

// each calls f for every key and its count.
func (c *counter[T]) each(f func(key, count T)) {
	for _, i := range c.used {
		f(c.slots[i].key-1, c.slots[i].count)
	}
}

// tally counts the rows in sel.
func (v *view) tally(t *tally, sel bitmap.Rows) error {
	codes := make([]*parquet.Codes, len(t.by))
	combinations := uint64(1)
	for i, ref := range t.by {
		column, ok := ref.Column()
		if !ok || column == audit.AuditID || folded(column) {
			if ref.Needs() != audit.Set(audit.Code) {
				return v.tallyRows(t, sel)
			}
			column = colCode
		}
		c, err := v.dict(int(column))
		if err != nil {
			return err
		}
		codes[i] = c
		if combinations *= uint64(max(1, c.Dict.Len())); combinations >= 1<<32-1 {
			return v.tallyRows(t, sel)
		}
	}
	v.counts.reset()
	v.countCodes(codes, sel)
	return t.merge(codes, &v.counts)
}

// countCodes counts the rows in sel by the combination of their codes: the codes as
// the digits of a number, the first column's the most significant.
func (v *view) countCodes(codes []*parquet.Codes, sel bitmap.Rows) {
	if n := sel.Count(); n < v.p.rows/4 {
		for i := sel.Next(0); i >= 0; i = sel.Next(i + 1) {
			var key uint32
			for _, c := range codes {
				key = key*uint32(max(1, c.Dict.Len())) + c.At(i)
			}
			v.counts.add(key, 1)
		}
		return
	}
	keys := v.combine(codes)
	for i := 0; i < len(keys); {
		w := i >> 6
		if sel[w] == ^uint64(0) { // as far as every row is in
			for w++; w < len(sel) && sel[w] == ^uint64(0); w++ {
			}
			v.countRuns(keys[i:min(w<<6, len(keys))])
			i = w << 6
			continue
		}
		for word := sel[w]; word != 0; word &= word - 1 {
			v.counts.add(keys[i+bits.TrailingZeros64(word)], 1)
		}
		i += 64
	}
}

// countRuns counts keys of which many are the same as the one before.
func (v *view) countRuns(keys []uint32) {
	c := &v.counts
	run, n := keys[0], uint32(0)
	for _, k := range keys {
		if k == run {
			n++
			continue
		}
		if i := c.home(run); i < uint64(len(c.slots)) && c.slots[i].key == run+1 {
			c.slots[i].count += n
		} else {
			c.add(run, n)
		}
		run, n = k, 1
	}
	c.add(run, n)
}

// combine returns the combination of every row's codes.
func (v *view) combine(codes []*parquet.Codes) []uint32 {
	if cap(v.keys) < v.p.rows {
		v.keys = make([]uint32, v.p.rows)
	}
	keys := v.keys[:v.p.rows]
	clear(keys)
	for _, c := range codes {
		n := uint32(max(1, c.Dict.Len()))
		switch c.Width {
		case 8:
			for i, x := range c.Data[:len(keys)] {
				keys[i] = keys[i]*n + uint32(x)
			}
		case 16:
			data := c.Data[:2*len(keys)]
			for i := range keys {
				keys[i] = keys[i]*n + uint32(data[2*i]) + uint32(data[2*i+1])<<8
			}
		case 32:
			for i := range keys {
				keys[i] = keys[i]*n + c.At(i)
			}
		} // a column of one value adds nothing
	}
	return keys
}

// merge adds what was counted of one part.
func (t *tally) merge(codes []*parquet.Codes, counts *counter[uint32]) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	numbers := make([][]uint32, len(codes))
	for i, c := range codes {
		numbers[i] = make([]uint32, max(1, c.Dict.Len()))
		for k := range numbers[i] {
			numbers[i][k] = ^uint32(0)
		}
	}
	key := make([]uint32, len(codes))
	counts.each(func(combination, count uint32) {
		for i := len(codes) - 1; i >= 0; i-- {
			n := uint32(len(numbers[i]))
			code := combination % n
			combination /= n
			if numbers[i][code] == ^uint32(0) {
				numbers[i][code] = t.number(i, codes[i], code)
			}
			key[i] = numbers[i][code]
		}
		t.add(key, uint64(count))
		t.events += uint64(count)
	})
	return t.check()
}

// number returns the number of the value that a part calls code.
func (t *tally) number(field int, c *parquet.Codes, code uint32) uint32 {
	if c.Dict.Len() == 0 {
		return 0
	}
	return t.values[field].code(text(c.Dict.Value(code), t.by[field]))
}

// text is how a value stands in a key: no status code is an empty one.
func text(value []byte, ref audit.Ref) []byte {
	if ref.Needs() == audit.Set(audit.Code) && string(value) == "0" {
		return nil
	}
	return value
}

func (t *tally) add(key []uint32, count uint64) {
	if len(key) <= maxNarrow {
		var k uint64
		for _, n := range key {
			k = k<<21 | uint64(n)
		}
		t.narrow.add(k, count)
		return
	}
	var b []byte
	for _, n := range key {
		b = append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	}
	t.wide[string(b)] += count
}

func (t *tally) check() error {
	if n := len(t.narrow.used) + len(t.wide); n > MaxGroups {
		return fmt.Errorf("%w: more than %d groups", trail.ErrTooMany, MaxGroups)
	}
	return nil
}

// tallyRows counts row by row: for lists, keys of maps and paths into bodies.
func (v *view) tallyRows(t *tally, sel bitmap.Rows) error {
	defer v.forget()
	var needs audit.Columns
	for _, ref := range t.by {
		needs |= ref.Needs()
	}
	lists := make([][][]byte, len(t.by))
	for i := sel.Next(0); i >= 0; i = sel.Next(i + 1) {
		if err := v.fill(&v.scratch, i, needs); err != nil {
			return err
		}
		for k, ref := range t.by {
			lists[k] = keys(lists[k][:0], ref, &v.scratch)
		}
		t.mu.Lock()
		t.events++
		t.addAll(make([]uint32, 0, len(lists)), lists)
		err := t.check()
		t.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// keys appends the distinct values of ref in e to dst, one empty value if there is
// none.
func keys(dst [][]byte, ref audit.Ref, e *audit.Event) [][]byte {
	ref.Each(e, func(v audit.Value) bool {
		key := trail.AppendKey(nil, v)
		if !slices.ContainsFunc(dst, func(k []byte) bool { return bytes.Equal(k, key) }) {
			dst = append(dst, key)
		}
		return true
	})
	if len(dst) == 0 {
		dst = append(dst, nil)
	}
	return dst
}

// addAll counts every combination of one value of each list.
func (t *tally) addAll(key []uint32, lists [][][]byte) {
	if len(key) == len(lists) {
		t.add(key, 1)
		return
	}
	for _, value := range lists[len(key)] {
		t.addAll(append(key, t.values[len(key)].code(value)), lists)
	}
}

func (t *tally) groups(limit int) trail.Groups {
	g := trail.Groups{Events: t.events, Groups: len(t.narrow.used) + len(t.wide)}
	type entry struct {
		key   []uint32
		count uint64
	}
	entries := make([]entry, 0, g.Groups)
	t.narrow.each(func(k, n uint64) {
		key := make([]uint32, len(t.by))
		for i := len(key) - 1; i >= 0; i-- {
			key[i] = uint32(k & (1<<21 - 1))
			k >>= 21
		}
		entries = append(entries, entry{key, n})
	})
	for k, n := range t.wide {
		key := make([]uint32, len(t.by))
		for i := range key {
			key[i] = uint32(k[4*i]) | uint32(k[4*i+1])<<8 | uint32(k[4*i+2])<<16 | uint32(k[4*i+3])<<24
		}
		entries = append(entries, entry{key, n})
	}
	slices.SortFunc(entries, func(a, b entry) int {
		if c := cmp.Compare(b.count, a.count); c != 0 {
			return c
		}
		for i := range a.key {
			if c := bytes.Compare(t.values[i].at(a.key[i]), t.values[i].at(b.key[i])); c != 0 {
				return c
			}
		}
		return 0
	})
	if limit > 0 {
		entries = entries[:min(limit, len(entries))]
	}
	for _, e := range entries {
		row := trail.Group{Key: make([]string, len(t.by)), Count: e.count}
		for i, n := range e.key {
			row.Key[i] = string(t.values[i].at(n))
		}
		g.Rows = append(g.Rows, row)
	}
	return g
}

// Histogram implements [trail.Reader]. Its error wraps trail.ErrTooMany where there
// would be more than MaxBuckets buckets.
func (t *Trail) Histogram(ctx context.Context, q trail.Query, every time.Duration) ([]trail.Bucket, error) {
	width := every.Microseconds()
	if width <= 0 {
		return nil, fmt.Errorf("a bucket of %v is too narrow", every)
	}
	parts, err := t.snapshot()
	if err != nil {
		return nil, err
	}
	defer t.release(parts)
	var mu sync.Mutex
	var total counter[uint64]
	err = t.each(ctx, overlapping(parts, q), func(v *view) error {
		sel, err := v.answers(q)
		if err != nil || sel.Empty() {
			return err
		}
		if err := v.countTimes(sel, width); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		v.buckets.each(total.add)
		return nil
	})
	if err != nil || len(total.used) == 0 {
		return nil, err
	}
	return buckets(&total, width, every)
}

// countTimes counts the rows in sel by the number of their bucket. Numbers before
// 1970 are negative; as keys they are moved up by bucketZero.
func (v *view) countTimes(sel bitmap.Rows, width int64) error {
	times, err := v.times()
	if err != nil {
		return err
	}
	v.buckets.reset()
	// Rows of one object follow each other in time: mostly the bucket is that of
	// the row before, and no division is needed.
	var from, to, n int64
	key := uint64(0)
	for i := sel.Next(0); i >= 0; i = sel.Next(i + 1) {
		t := times[i]
		if t == audit.NoTime {
			continue
		}
		if t < from || t >= to {
			if n > 0 {
				v.buckets.add(key, uint64(n))
			}
			at := floorDiv(t, width)
			from, to, n = at*width, (at+1)*width, 0
			key = uint64(at + bucketZero)
		}
		n++
	}
	if n > 0 {
		v.buckets.add(key, uint64(n))
	}
	return nil
}

const bucketZero = 1 << 62

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// buckets lists the counts by time, with what is empty between them.
func buckets(total *counter[uint64], width int64, every time.Duration) ([]trail.Bucket, error) {
	first, last := uint64(1<<64-1), uint64(0)
	total.each(func(key, _ uint64) { first, last = min(first, key), max(last, key) })
	if last-first >= MaxBuckets {
		return nil, fmt.Errorf("%w: more than %d buckets of %v", trail.ErrTooMany, MaxBuckets, every)
	}
	out := make([]trail.Bucket, last-first+1)
	for i := range out {
		out[i].Start = (int64(first) - bucketZero + int64(i)) * width
	}
	total.each(func(key, n uint64) { out[key-first].Count = n })
	return out, nil
}
