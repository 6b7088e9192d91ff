// Package place tells where the values of a YAML or JSON file stand. It expands no
// aliases and bounds every search, so that a hostile file costs no more than its size.
package place

import (
	"slices"
	"strconv"
	"strings"
)

// Position is a place in a file. The zero Position is unknown.
type Position struct {
	Line   int // from 1
	Column int // from 1, in characters
}

// node is a value in a file. An alias is the node of its anchor, so the nodes may form
// a graph, even one with circles.
type node struct {
	Position
	start, end int            // its bytes, in JSON
	text       string         // of a scalar
	members    []member       // of a mapping, in the order of the file
	index      map[string]int // the last member of each key, where there are many
	merged     []merge        // mappings whose members it has, too, the first ones first
	items      []*node        // of a sequence
}

// merge is a mapping whose members another one has, but for those that it gives itself
// from the member on that stands behind the merge key.
type merge struct {
	from  *node
	until int
}

// member is a key of a mapping with its value.
type member struct {
	Position // of the key
	key      string
	value    *node
}

// A search is bounded: merged mappings may be reached in many ways, and a path may
// have many dots.
const (
	maxSteps = 1000
	maxPath  = 4096
)

// find returns the node at path, with the member that it is the value of, or the last
// node above it that there is.
func (n *node) find(path string, steps *int) (found *node, m *member, whole bool) {
	if *steps++; path == "" || *steps > maxSteps || len(path) > maxPath {
		return n, nil, path == ""
	}
	if path[0] == '[' {
		index, rest, _ := strings.Cut(path[1:], "]")
		i, err := strconv.Atoi(index)
		if err != nil || i < 0 || i >= len(n.items) {
			return n, nil, false
		}
		return n.items[i].find(rest, steps)
	}
	path = strings.TrimPrefix(path, ".")
	found = n
	var given *member
	own := -1 // the index of the member that was found
	// Keys may hold dots and brackets: the path may mean several members.
	for end := 1; end <= len(path); end++ {
		if end < len(path) && path[end] != '.' && path[end] != '[' {
			continue
		}
		i, ok := n.member(path[:end])
		if !ok {
			continue
		}
		below, m, whole := n.members[i].value.find(path[end:], steps)
		if m == nil {
			m = &n.members[i]
		}
		if found = below; whole {
			given, own = m, i
			break
		}
	}
	for _, merged := range n.merged {
		if merged.until <= own {
			continue
		}
		if below, m, whole := merged.from.find(path, steps); whole {
			return below, m, true
		}
	}
	return found, given, given != nil
}

// member returns the last member named key, which is the one that counts.
func (n *node) member(key string) (int, bool) {
	if n.index != nil {
		i, ok := n.index[key]
		return i, ok
	}
	for i := len(n.members) - 1; i >= 0; i-- {
		if n.members[i].key == key {
			return i, true
		}
	}
	return 0, false
}

// indexed makes an index of n's members, where a search would be slow without.
func (n *node) indexed() *node {
	if len(n.members) > 16 {
		n.index = make(map[string]int, len(n.members))
		for i, m := range n.members {
			n.index[m.key] = i
		}
	}
	return n
}

// trail is the way to a node: the members and indexes that lead there.
type trail struct {
	up   *trail
	part string // ".key" or "[0]"
}

func (t *trail) path() string {
	var parts []string
	for ; t != nil; t = t.up {
		parts = append(parts, t.part)
	}
	slices.Reverse(parts)
	return strings.TrimPrefix(strings.Join(parts, ""), ".")
}

// walk calls see for all members under n, each once.
func (n *node) walk(see func(m *member, way *trail)) {
	seen := map[*node]bool{}
	var visit func(n *node, way *trail)
	visit = func(n *node, way *trail) {
		if seen[n] {
			return
		}
		seen[n] = true
		for i := range n.members {
			m := &n.members[i]
			below := &trail{way, "." + m.key}
			see(m, below)
			visit(m.value, below)
		}
		for i, item := range n.items {
			visit(item, &trail{way, "[" + strconv.Itoa(i) + "]"})
		}
	}
	visit(n, nil)
}
