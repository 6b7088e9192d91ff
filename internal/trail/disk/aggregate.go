package disk

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"kubetrail/audit"
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
		if err != nil || sel.empty() {
			return err
		}
		return v.tally(total, sel)
	})
	if err != nil {
		return trail.Groups{}, err
	}
	return total.groups(limit), nil
}

// tally counts groups. Every value of a field gets a number for the whole question,
// a group is the sequence of its values' numbers.
type tally struct {
	by []audit.Ref

	mu     sync.Mutex
	values []values          // per field
	counts map[string]uint64 // four bytes per field
	narrow map[uint64]uint64 // the same, where all numbers fit into 64 bits together
	events uint64
}

func newTally(by []audit.Ref) *tally {
	t := &tally{by: by, values: make([]values, len(by)), counts: map[string]uint64{}, narrow: map[uint64]uint64{}}
	for i := range t.values {
		t.values[i].reset()
	}
	return t
}

// maxNarrow fields have numbers of 21 bits each.
const maxNarrow = 3

// tally counts the rows in sel.
func (v *view) tally(t *tally, sel bitmap) error {
	codes := make([]*parquet.Codes, len(t.by))
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
	}
	return v.tallyCodes(t, codes, sel)
}

// maxDense is up to how many combinations of codes are counted in an array.
const maxDense = 1 << 18

func (v *view) tallyCodes(t *tally, codes []*parquet.Codes, sel bitmap) error {
	combinations := 1
	for _, c := range codes {
		if combinations *= max(1, c.Dict.Len()); combinations > maxDense {
			return v.tallySparse(t, codes, sel)
		}
	}
	counts := make([]uint32, combinations)
	index := v.combine(codes)
	for i := sel.next(0); i >= 0; i = sel.next(i + 1) {
		counts[index[i]]++
	}
	return t.merge(codes, func(add func(combination int, count uint64)) {
		for i, n := range counts {
			if n != 0 {
				add(i, uint64(n))
			}
		}
	})
}

func (v *view) tallySparse(t *tally, codes []*parquet.Codes, sel bitmap) error {
	counts := map[int]uint64{}
	index := v.combine(codes)
	for i := sel.next(0); i >= 0; i = sel.next(i + 1) {
		counts[int(index[i])]++
	}
	return t.merge(codes, func(add func(combination int, count uint64)) {
		for i, n := range counts {
			add(i, n)
		}
	})
}

// combine returns one number per row for the combination of its codes, the first
// column's code the most significant.
func (v *view) combine(codes []*parquet.Codes) []uint64 {
	index := make([]uint64, v.p.rows)
	for _, c := range codes {
		n := uint64(max(1, c.Dict.Len()))
		switch c.Width {
		case 8:
			for i, x := range c.B {
				index[i] = index[i]*n + uint64(x)
			}
		case 16:
			for i, x := range c.W {
				index[i] = index[i]*n + uint64(x)
			}
		case 32:
			for i, x := range c.D {
				index[i] = index[i]*n + uint64(x)
			}
		default:
			if n > 1 {
				panic("a column of several values without codes")
			}
		}
	}
	return index
}

// merge adds the counts of one part's combinations.
func (t *tally) merge(codes []*parquet.Codes, each func(add func(combination int, count uint64))) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	numbers := make([][]uint32, len(codes))
	for i, c := range codes {
		numbers[i] = make([]uint32, max(1, c.Dict.Len()))
		for k := range c.Dict.Len() {
			numbers[i][k] = t.values[i].code(text(c.Dict.Value(uint32(k)), t.by[i]))
		}
	}
	key := make([]uint32, len(codes))
	each(func(combination int, count uint64) {
		for i := len(codes) - 1; i >= 0; i-- {
			n := len(numbers[i])
			key[i] = numbers[i][combination%n]
			combination /= n
		}
		t.add(key, count)
		t.events += count
	})
	return t.check()
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
		t.narrow[k] += count
		return
	}
	var b []byte
	for _, n := range key {
		b = append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	}
	t.counts[string(b)] += count
}

func (t *tally) check() error {
	if n := len(t.narrow) + len(t.counts); n > MaxGroups {
		return fmt.Errorf("%w: more than %d groups", trail.ErrTooMany, MaxGroups)
	}
	return nil
}

// tallyRows counts row by row: for lists, keys of maps and paths into bodies.
func (v *view) tallyRows(t *tally, sel bitmap) error {
	defer v.forget()
	var needs audit.Columns
	for _, ref := range t.by {
		needs |= ref.Needs()
	}
	lists := make([][][]byte, len(t.by))
	for i := sel.next(0); i >= 0; i = sel.next(i + 1) {
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
	g := trail.Groups{Events: t.events, Groups: len(t.narrow) + len(t.counts)}
	type entry struct {
		key   []uint32
		count uint64
	}
	entries := make([]entry, 0, g.Groups)
	for k, n := range t.narrow {
		key := make([]uint32, len(t.by))
		for i := len(key) - 1; i >= 0; i-- {
			key[i] = uint32(k & (1<<21 - 1))
			k >>= 21
		}
		entries = append(entries, entry{key, n})
	}
	for k, n := range t.counts {
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
	candidates := overlapping(parts, q)
	first, last, ok := bucketRange(candidates, q, width)
	if !ok {
		return nil, nil
	}
	if last-first >= MaxBuckets {
		return nil, fmt.Errorf("%w: more than %d buckets of %v", trail.ErrTooMany, MaxBuckets, every)
	}
	var mu sync.Mutex
	counts := make([]uint64, last-first+1)
	err = t.each(ctx, candidates, func(v *view) error {
		sel, err := v.answers(q)
		if err != nil || sel.empty() {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		return v.countTimes(counts, sel, first, width)
	})
	if err != nil {
		return nil, err
	}
	return buckets(counts, first, width), nil
}

// bucketRange returns the numbers of the first and the last bucket that can hold an
// answer.
func bucketRange(parts []*part, q trail.Query, width int64) (first, last int64, ok bool) {
	for _, p := range parts {
		if p.meta.Oldest == audit.NoTime {
			continue
		}
		from, to := p.meta.Oldest, p.meta.Newest
		if q.Since != audit.NoTime {
			from = max(from, q.Since)
		}
		if q.Until != audit.NoTime {
			to = min(to, q.Until-1)
		}
		from, to = floorDiv(from, width), floorDiv(to, width)
		if from > to {
			continue
		}
		if !ok {
			first, last, ok = from, to, true
		}
		first, last = min(first, from), max(last, to)
	}
	return first, last, ok
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// countTimes adds the rows in sel to the buckets from number first on.
func (v *view) countTimes(counts []uint64, sel bitmap, first, width int64) error {
	staged, err := v.number(colStaged)
	if err != nil {
		return err
	}
	duration, err := []int64(nil), error(nil)
	if v.p.meta.RawLines > 0 {
		if duration, err = v.number(colDuration); err != nil {
			return err
		}
	}
	// Rows of one object follow each other in time: mostly the bucket is that of
	// the row before, and no division is needed.
	var from, to, at int64
	for i := sel.next(0); i >= 0; i = sel.next(i + 1) {
		t := staged[i]
		if t == 0 && duration != nil {
			if t = rowTime(0, duration[i]); t == audit.NoTime {
				continue
			}
		}
		if t < from || t >= to {
			at = floorDiv(t, width)
			from, to = at*width, (at+1)*width
			at -= first
		}
		if at < 0 || at >= int64(len(counts)) {
			return v.fail(fmt.Errorf("%w: a time outside its range", parquet.ErrDamaged))
		}
		counts[at]++
	}
	return nil
}

// buckets leaves out what is empty at both ends.
func buckets(counts []uint64, first, width int64) []trail.Bucket {
	for len(counts) > 0 && counts[0] == 0 {
		counts, first = counts[1:], first+1
	}
	for len(counts) > 0 && counts[len(counts)-1] == 0 {
		counts = counts[:len(counts)-1]
	}
	out := make([]trail.Bucket, len(counts))
	for i, n := range counts {
		out[i] = trail.Bucket{Start: (first + int64(i)) * width, Count: n}
	}
	return out
}
