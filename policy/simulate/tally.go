package simulate

import (
	"cmp"
	"slices"
)

// tally adds up by key. It tells limit keys apart at any time and twice as many while
// it fills: then the lighter half is folded into one sum and forgotten, so that memory
// is bounded whatever comes in. A key that comes back later begins anew, and has lost
// no more than the weight in missed.
type tally[K comparable] struct {
	limit int
	rows  map[K]*group
	weigh func(*group) int64

	folded int    // keys, each time one was folded
	others Change // what they came to
	missed int64  // weight that a key told apart may have had before
}

// group is what a tally keeps of one key.
type group struct {
	Change
	example Example
}

func newTally[K comparable](limit int, weigh func(*group) int64) *tally[K] {
	return &tally[K]{limit: limit, rows: map[K]*group{}, weigh: weigh}
}

// at returns what is kept of a key, and whether that is new.
func (t *tally[K]) at(key K) (g *group, isNew bool) {
	if g := t.rows[key]; g != nil {
		return g, false
	}
	if len(t.rows) == 2*t.limit {
		t.fold()
	}
	g = &group{}
	t.rows[key] = g
	return g, true
}

func (t *tally[K]) fold() {
	weights := make([]int64, 0, len(t.rows))
	for _, g := range t.rows {
		weights = append(weights, t.weigh(g))
	}
	slices.Sort(weights)
	border := weights[len(weights)-t.limit]
	for key, g := range t.rows {
		// Those on the border go too: which of them stays would be chance.
		if t.weigh(g) <= border {
			t.others.add(&g.Change)
			t.folded++
			delete(t.rows, key)
		}
	}
	t.missed += border
}

// sorted returns the keys, heaviest first, equal ones by less.
func (t *tally[K]) sorted(compare func(a, b K) int) []K {
	keys := make([]K, 0, len(t.rows))
	for k := range t.rows {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b K) int {
		return cmp.Or(cmp.Compare(t.weigh(t.rows[b]), t.weigh(t.rows[a])), compare(a, b))
	})
	return keys
}
