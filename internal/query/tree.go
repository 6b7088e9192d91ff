package query

import (
	"bytes"
	"sort"

	"kubetrail/audit"
)

// Op is what a node of a question does.
type Op uint8

const (
	All  Op = iota // matches everything: the empty question
	And            // every kid
	Or             // any kid
	Not            // not its only kid
	Test           // some value of Ref passes a test
	Text           // bare text: the fragments occur somewhere in the event
)

// Node is a question, or part of one. Parse builds it; it is immutable and safe for
// concurrent use.
type Node struct {
	Op   Op
	Kids []*Node
	Ref  audit.Ref // of a Test

	test  *test
	text  *text
	order []*Node // of And and Or: the kids, what costs least first
	needs audit.Columns
	cost  int
}

// Needs returns the columns that Match looks at.
func (n *Node) Needs() audit.Columns { return n.needs }

// Literals returns, for a Test that holds only where a value of Ref equals one of a
// few strings, those strings; ok is false for any other node.
func (n *Node) Literals() (values [][]byte, ok bool) {
	if n.Op != Test || n.test.kind != equal || n.test.numeric {
		return nil, false
	}
	return n.test.words, true
}

// Range returns, for a Test on a Number or Time field that holds exactly for the
// integers lo ≤ v ≤ hi (microseconds for a Time), these bounds; ok is false for any
// other node, and for duration, which is no column.
func (n *Node) Range() (lo, hi int64, ok bool) {
	if n.Op != Test || n.test.kind != between || n.Ref.Field.Path == "duration" {
		return 0, 0, false
	}
	return n.test.lo, n.test.hi, true
}

// Fragments returns byte strings each of which occurs in the raw JSON of a body
// wherever the node matches because of that body, unless the body is [Hidden]: for a
// Text node the text as JSON writes it, for a Test on a path into a body its literal
// parts; the longest first. Empty means that nothing is known.
func (n *Node) Fragments() [][]byte {
	switch n.Op {
	case Test:
		return n.test.fragments
	case Text:
		return n.text.fragments
	}
	return nil
}

// and joins kids that all must match, or kids of which one must.
func and(kids []*Node) *Node { return group(And, kids) }

// Both is the question for what answers a and b; nil is the question for everything.
func Both(a, b *Node) *Node {
	switch {
	case a == nil || a.Op == All:
		return b
	case b == nil || b.Op == All:
		return a
	}
	return and([]*Node{a, b})
}

func or(kids []*Node) *Node { return group(Or, kids) }

func not(kid *Node) *Node {
	return &Node{Op: Not, Kids: []*Node{kid}, needs: kid.needs, cost: kid.cost}
}

func group(op Op, kids []*Node) *Node {
	n := &Node{Op: op}
	for _, k := range kids {
		if k.Op == op {
			n.Kids = append(n.Kids, k.Kids...)
		} else {
			n.Kids = append(n.Kids, k)
		}
	}
	if op == Or {
		n.Kids = mergeEquals(n.Kids)
	}
	if len(n.Kids) == 1 {
		return n.Kids[0]
	}
	for _, k := range n.Kids {
		n.needs |= k.needs
		n.cost += k.cost
	}
	n.order = append([]*Node(nil), n.Kids...)
	sort.SliceStable(n.order, func(i, j int) bool { return n.order[i].cost < n.order[j].cost })
	return n
}

// mergeEquals makes one test of several for strings that the same field may equal.
func mergeEquals(kids []*Node) []*Node {
	var merged []*Node
	at := map[string]int{}
	for _, k := range kids {
		if k.Op != Test || k.test.kind != equal {
			merged = append(merged, k)
			continue
		}
		path := k.Ref.Path()
		i, ok := at[path]
		if !ok {
			at[path] = len(merged)
			merged = append(merged, k)
			continue
		}
		merged[i] = equalNode(k.Ref, union(merged[i].test.words, k.test.words))
	}
	return merged
}

func union(a, b [][]byte) [][]byte {
	all := append([][]byte(nil), a...)
next:
	for _, w := range b {
		for _, have := range all {
			if bytes.Equal(have, w) {
				continue next
			}
		}
		all = append(all, w)
	}
	return all
}
