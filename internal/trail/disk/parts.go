package disk

import (
	"cmp"
	"io/fs"
	"slices"
)

// liveParts splits a listing into the parts that make up the trail, by ascending
// sequence number, and the ones a crash left behind: those whose range lies inside
// another's.
func liveParts(entries []fs.DirEntry) (live, garbage []string) {
	type span struct {
		first, last uint64
		name        string
	}
	var spans []span
	for _, e := range entries {
		if first, last, ok := parsePartName(e.Name()); ok {
			spans = append(spans, span{first, last, e.Name()})
		}
	}
	// Of two that begin together the longer comes first and swallows the other.
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(b.last, a.last))
	})
	var end uint64 // one more than the last number of the live parts so far
	for _, s := range spans {
		if s.last < end {
			garbage = append(garbage, s.name)
			continue
		}
		live = append(live, s.name)
		end = s.last + 1
	}
	return live, garbage
}
