package policy

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// node is a value in a file. An alias is the node of its anchor, so the nodes may form
// a graph, even one with circles.
type node struct {
	Position
	members []member // of a mapping, in the order of the file
	items   []*node  // of a sequence
}

// member is a key of a mapping with its value.
type member struct {
	Position // of the key
	key      string
	value    *node
	merged   bool // from a merge key: explicit members go before it
}

// Position tells where the value at path stands, path being like
// "rules[0].resources[1].group"; for a member that is absent, where its parent does.
func (d *Document) Position(path string) Position {
	if d.root == nil {
		return Position{}
	}
	n, _ := d.root.find(path)
	return n.Position
}

// find returns the node at path, or the last one above it that exists.
func (n *node) find(path string) (found *node, whole bool) {
	switch {
	case path == "":
		return n, true
	case path[0] == '[':
		index, rest, ok := strings.Cut(path[1:], "]")
		i, err := strconv.Atoi(index)
		if !ok || err != nil || i < 0 || i >= len(n.items) {
			return n, false
		}
		return n.items[i].find(rest)
	}
	path = strings.TrimPrefix(path, ".")
	best := n
	// Keys may hold dots: try every member that the path could mean, the last of
	// equal keys first, since that is the one that counts.
	for _, merged := range []bool{false, true} {
		for i := len(n.members) - 1; i >= 0; i-- {
			m := n.members[i]
			rest, ok := strings.CutPrefix(path, m.key)
			if !ok || m.merged != merged || rest != "" && rest[0] != '.' && rest[0] != '[' {
				continue
			}
			below, whole := m.value.find(rest)
			if whole {
				return below, true
			}
			if best == n {
				best = below
			}
		}
	}
	return best, false
}

// places reads where the values of the first document in data stand; nil where it
// cannot be read.
func places(data []byte) *node {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
		return nil
	}
	return placesOf(doc.Content[0], map[*yaml.Node]*node{})
}

func placesOf(y *yaml.Node, known map[*yaml.Node]*node) *node {
	if y.Kind == yaml.AliasNode {
		y = y.Alias
	}
	if n, ok := known[y]; ok {
		return n
	}
	n := &node{Position: Position{y.Line, y.Column}}
	known[y] = n
	switch y.Kind {
	case yaml.SequenceNode:
		for _, item := range y.Content {
			n.items = append(n.items, placesOf(item, known))
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(y.Content); i += 2 {
			key := y.Content[i]
			m := member{Position{key.Line, key.Column}, key.Value, placesOf(y.Content[i+1], known), false}
			n.members = append(n.members, m)
			if key.Tag == "!!merge" {
				for _, from := range append(m.value.items, m.value) {
					for _, inherited := range from.members {
						inherited.merged = true
						n.members = append(n.members, inherited)
					}
				}
			}
		}
	}
	return n
}
