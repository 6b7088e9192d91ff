package space

import (
	"cmp"
	"slices"

	"kubetrail/policy"
)

// ref is a node of a diagram, or its end with a label, which is ^ref.
type ref int32

// nowhere is where no request leads.
const nowhere ref = -1 << 31

func end(label int) ref { return ^ref(label) }

// label returns the label of an end.
func (r ref) label() (int, bool) { return int(^r), r < 0 && r != nowhere }

// node tells where the classes of one level lead. Classes without an edge are those
// that cannot be, or that no way to the node allows.
type node struct {
	level level
	edges []edge
}

type edge struct {
	classes []int32 // of the node's level, ascending; nil on levelGroups
	groups  groupCond
	to      ref
}

// groupCond is a condition on the set of a user's groups: for each of any, the user
// is in at least one of its classes, and in none of not.
type groupCond struct {
	any []set
	not set
}

// Partition is a Space cut into the parts that have the same label. It is not safe for
// concurrent use.
type Partition struct {
	*Space
	root  ref
	nodes []node // children first

	// Steps is the work that it took, in the unit of the budget.
	Steps int

	best   map[int]box // what cheapest found
	effort int         // how many more nodes may be visited to describe parts
}

// Split explores every request that the policies can tell apart and labels it by the
// rules that decide. Labels are from 0; they are better few and dense. The error is a
// [*TooLarge].
func Split(budget int, label func(Leaf) int, policies ...*policy.Policy) (*Partition, error) {
	s, err := newSpace(budget, policies)
	if err != nil {
		return nil, err
	}
	b := &builder{Partition: Partition{Space: s}, budget: budget, label: label,
		known: map[string]ref{}, unique: map[string]ref{}, rules: make([]int, len(policies))}
	all := newSet(len(s.terms))
	for i := range s.terms {
		all.add(i)
	}
	b.root = b.visit(levelKind, 0, all)
	if b.Steps > budget {
		return nil, &TooLarge{budget}
	}
	b.effort = 2 * budget
	return &b.Partition, nil
}

// builder makes a Partition, depth first.
type builder struct {
	Partition
	budget int
	label  func(Leaf) int
	known  map[string]ref // what a level, a state and the rules left lead to
	unique map[string]ref // nodes by their content
	rules  []int
	key    []byte
}

// visit returns where requests lead of which the terms left may still match, and
// everything before level l is settled.
func (b *builder) visit(l level, state shape, left set) ref {
	left = b.settle(l, left)
	for l < levelUser && l != levelKind && !left.meets(b.bound[l]) && !state.matters(l) {
		l = l.next()
	}
	if left.within(b.free[l]) && l < levelUser {
		l, state = levelUser, 0 // only whether there is a user can still count
	}
	b.key = left.appendKey(append(b.key[:0], byte(l), byte(state)))
	if r, ok := b.known[string(b.key)]; ok {
		return r
	}
	key := string(b.key)
	var r ref
	if l == levelGroups {
		r = b.groupNode(left)
	} else {
		r = b.branch(l, state, left)
	}
	b.known[key] = r
	return r
}

// settle removes the terms behind the first of each policy that has no condition any
// more. It returns a new set.
func (b *builder) settle(l level, left set) set {
	left = left.clone()
	for p := range b.policies {
		lo, hi := b.from[p], b.from[p+1]
		for i := left.next(lo); i >= 0 && i < hi; i = left.next(i + 1) {
			if b.free[l].has(i) {
				left.cut(i+1, hi)
				break
			}
		}
	}
	return left
}

// branch tries each class of level l.
func (b *builder) branch(l level, state shape, left set) ref {
	classes := b.dims[l]
	b.Steps += len(classes)
	if b.Steps > b.budget {
		return nowhere
	}
	var edges []edge
	at := map[ref]int{}
	for i, c := range classes {
		next, ok := step(l, state, c.shape)
		if !ok {
			continue
		}
		to := b.child(l, next, left.and(c.bits), i)
		if to == nowhere {
			continue
		}
		k, known := at[to]
		if !known {
			k = len(edges)
			at[to] = k
			edges = append(edges, edge{to: to})
		}
		edges[k].classes = append(edges[k].classes, int32(i))
	}
	return b.add(node{l, edges})
}

// child is where class i of level l leads.
func (b *builder) child(l level, state shape, left set, i int) ref {
	switch {
	case l == levelKind && i == kindResource:
		return b.visit(levelVerb, state, left)
	case l == levelKind:
		return b.visit(levelMethod, state, left)
	case l == levelUser && i == b.failedAuthentication():
		return b.end(left, false)
	case l == levelUser:
		return b.visit(levelGroups, state, left)
	}
	return b.visit(l.next(), state, left)
}

// end labels a leaf whose deciding terms are the first of each policy that are left.
func (b *builder) end(left set, authenticated bool) ref {
	for p := range b.policies {
		b.rules[p] = -1
		if i := left.next(b.from[p]); i >= 0 && i < b.from[p+1] {
			b.rules[p] = b.terms[i].rule
		}
	}
	return end(b.label(Leaf{b.rules, authenticated}))
}

// groupNode settles the sets of groups. The first match of a policy is a term left if
// the user is in one of its groups and in none of those before it, so the choices are
// as many as tuples of terms, not as sets of groups.
func (b *builder) groupNode(left set) ref {
	var edges []edge
	chosen := newSet(len(b.terms))
	var choose func(p int, c groupCond)
	choose = func(p int, c groupCond) {
		b.Steps++
		if b.Steps > b.budget || !c.possible() {
			return
		}
		if p == b.policies {
			edges = append(edges, edge{groups: c.simple(), to: b.end(chosen, true)})
			return
		}
		lo, hi := b.from[p], b.from[p+1]
		for i := left.next(lo); i >= 0 && i < hi; i = left.next(i + 1) {
			d := c
			free := !b.bound[levelGroups].has(i)
			if !free {
				d.any = append(slices.Clip(c.any), b.inGroups[i])
			}
			chosen.add(i)
			choose(p+1, d)
			chosen.remove(i)
			if free {
				return
			}
			c.not = c.not.or(b.inGroups[i])
		}
		choose(p+1, c)
	}
	choose(0, groupCond{not: newSet(len(b.groups))})
	return b.add(node{levelGroups, edges})
}

// possible tells whether some set of groups fulfils the condition.
func (c groupCond) possible() bool {
	return !slices.ContainsFunc(c.any, func(g set) bool { return g.within(c.not) })
}

// and is the conjunction of two conditions.
func (c groupCond) and(d groupCond) groupCond {
	return groupCond{append(slices.Clip(c.any), d.any...), c.not.or(d.not)}
}

// simple removes what follows from the rest.
func (c groupCond) simple() groupCond {
	var any []set
	for _, g := range c.any {
		g = g.minus(c.not)
		if slices.ContainsFunc(any, func(h set) bool { return h.within(g) }) {
			continue
		}
		any = slices.DeleteFunc(any, func(h set) bool { return g.within(h) })
		any = append(any, g)
	}
	return groupCond{any, c.not}
}

// add returns the node with these edges: where all lead to the same place, that
// place.
func (b *builder) add(n node) ref {
	if len(n.edges) == 0 {
		return nowhere
	}
	same := true
	for _, e := range n.edges[1:] {
		same = same && e.to == n.edges[0].to
	}
	if same {
		return n.edges[0].to
	}
	if n.level != levelGroups {
		slices.SortFunc(n.edges, func(a, b edge) int { return cmp.Compare(a.to, b.to) })
	}
	key := n.appendKey(nil)
	if r, ok := b.unique[string(key)]; ok {
		return r
	}
	b.nodes = append(b.nodes, n)
	r := ref(len(b.nodes) - 1)
	b.unique[string(key)] = r
	return r
}

// appendKey appends a text that is the same for equal nodes alone.
func (n node) appendKey(b []byte) []byte {
	number := func(i int32) { b = append(b, byte(i), byte(i>>8), byte(i>>16), byte(i>>24)) }
	number(int32(n.level))
	for _, e := range n.edges {
		number(int32(e.to))
		number(int32(len(e.classes)))
		for _, c := range e.classes {
			number(c)
		}
		number(int32(len(e.groups.any)))
		for _, g := range e.groups.any {
			b = g.appendKey(b)
		}
		b = e.groups.not.appendKey(b)
	}
	return b
}
