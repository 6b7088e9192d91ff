package tally

import "slices"

// Count is how often one value was met.
type Count struct {
	Value string `json:"value"`
	Count int    `json:"count"`
}

// Counts counts few values, of which it keeps those that came first.
type Counts struct {
	List []Count // in the order in which they came
	More int     // how often others came
}

const maxCounts = 16

// Add counts a value once more.
func (c *Counts) Add(value string) {
	i := slices.IndexFunc(c.List, func(x Count) bool { return x.Value == value })
	switch {
	case i >= 0:
		c.List[i].Count++
	case len(c.List) < maxCounts:
		c.List = append(c.List, Count{value, 1})
	default:
		c.More++
	}
}

// Has reports whether a value is among those that are kept.
func (c *Counts) Has(value string) bool {
	return slices.ContainsFunc(c.List, func(x Count) bool { return x.Value == value })
}

// Values are those that are kept, most frequent first.
func (c *Counts) Values() []Count {
	list := slices.Clone(c.List)
	slices.SortStableFunc(list, func(a, b Count) int { return b.Count - a.Count })
	return list
}
