package space

import "slices"

// Regions describes the requests with a label in few conditions: each Region holds
// only requests with this label (and what cannot be), together they hold all of them,
// and they may overlap. Of more than most it returns the first ones, and false.
func (p *Partition) Regions(label, most int) ([]Region, bool) {
	c := cover{Partition: p, label: label, most: most, reaches: p.reaching(label)}
	c.walk(p.root, box0(p.Space))
	var out []Region
	for i, b := range c.found {
		if !slices.ContainsFunc(c.found[i+1:], func(o box) bool { return b.within(o) }) {
			out = append(out, p.region(b))
		}
	}
	return out, !c.cut
}

// cover collects boxes that hold all requests with a label.
type cover struct {
	*Partition
	label   int
	most    int
	reaches []bool
	found   []box
	cut     bool
}

// reaching tells for each node whether some request with the label passes it.
func (p *Partition) reaching(label int) []bool {
	out := make([]bool, len(p.nodes))
	for i, n := range p.nodes {
		out[i] = slices.ContainsFunc(n.edges, func(e edge) bool {
			return e.to == end(label) || e.to >= 0 && out[e.to]
		})
	}
	return out
}

// walk goes on from a node, to which the ways of b lead.
func (c *cover) walk(r ref, b box) {
	switch {
	case r < 0 && r != end(c.label), r >= 0 && !c.reaches[r], c.cut:
		return
	case slices.ContainsFunc(c.found, func(o box) bool { return b.within(o) }):
		return
	case r < 0 && len(c.found) == c.most:
		c.cut = true
		return
	case r < 0:
		c.found = append(c.found, c.widen(b))
		return
	}
	n := c.nodes[r]
	for _, e := range n.edges {
		next := b
		next.take(n.level, e, len(c.dims[n.level]))
		c.walk(e.to, next)
	}
}

// within tells whether o holds all of b.
func (b box) within(o box) bool {
	for l, s := range o.sets {
		if s != nil && (b.sets[l] == nil || !b.sets[l].within(s)) {
			return false
		}
	}
	return b.groups.implies(o.groups)
}

// implies tells whether d holds wherever c does.
func (c groupCond) implies(d groupCond) bool {
	return d.not.within(c.not) && !slices.ContainsFunc(d.any, func(g set) bool {
		return !slices.ContainsFunc(c.any, func(h set) bool { return h.minus(c.not).within(g) })
	})
}

// widen removes from a box what is not needed to hold requests of the label alone.
func (c *cover) widen(b box) box {
	b = c.widenGroups(b)
	for _, l := range []level{levelUser, levelName, levelNamespace, levelMethod, levelPath, levelAPIGroup, levelResource, levelVerb} {
		if b.sets[l] != nil {
			b.sets[l] = c.widest(b, l)
		}
		if l == levelUser && len(b.groups.any) > 0 {
			b.sets[l] = c.withUser(b.sets[l])
		}
	}
	everything := b
	everything.sets = [levels]set{levelUser: b.sets[levelUser]}
	if b.sets[levelKind] != nil && c.holds(everything) {
		return everything
	}
	return b
}

// withUser removes failed authentication from a set of classes of users: who is in a
// group is somebody.
func (c *cover) withUser(users set) set {
	out := newSet(len(c.dims[levelUser]))
	for i := range c.failedAuthentication() {
		if users == nil || users.has(i) {
			out.add(i)
		}
	}
	return out
}

// widenGroups drops conditions on groups.
func (c *cover) widenGroups(b box) box {
	for i := 0; i < len(b.groups.any); {
		less := b
		less.groups.any = slices.Delete(slices.Clone(b.groups.any), i, i+1)
		if c.holds(less) {
			b = less
		} else {
			i++
		}
	}
	for i := range c.groups {
		less := b
		less.groups.not = b.groups.not.clone()
		if less.groups.not.remove(i); b.groups.not.has(i) && c.holds(less) {
			b = less
		}
	}
	return b
}

// What a way can lead to.
const (
	toLabel = 1 << iota
	toOther
)

// holds tells whether all requests of the box have the label.
func (c *cover) holds(b box) bool {
	return c.below(c.root, &b, map[ref]uint8{})&toOther == 0
}

// below tells where the ways of a box lead from a node.
func (c *cover) below(r ref, b *box, known map[ref]uint8) uint8 {
	if r < 0 {
		if r == end(c.label) {
			return toLabel
		}
		return toOther
	}
	if to, ok := known[r]; ok {
		return to
	}
	n, to := c.nodes[r], uint8(0)
	for _, e := range n.edges {
		if b.allows(n.level, e) {
			to |= c.below(e.to, b, known)
		}
	}
	known[r] = to
	return to
}

// allows tells whether a way of the box takes an edge.
func (b *box) allows(l level, e edge) bool {
	if l == levelGroups {
		return b.groups.and(e.groups).possible()
	}
	return b.sets[l] == nil || slices.ContainsFunc(e.classes, func(i int32) bool { return b.sets[l].has(int(i)) })
}

// widest returns the classes of level l with which the box still holds requests of
// the label alone; nil where these are all. Classes with which it holds none at all
// are left out where that is the fault of the verb or the name.
func (c *cover) widest(b box, l level) set {
	b.sets[l] = nil
	n := len(c.dims[l])
	other, same := newSet(n), newSet(n)
	known, seen := map[ref]uint8{}, map[ref]bool{}
	mark := func(i int, to uint8) {
		if to&toOther != 0 {
			other.add(i)
		}
		if to&toLabel != 0 {
			same.add(i)
		}
	}
	var above func(r ref)
	above = func(r ref) {
		if r < 0 || c.nodes[r].level > l {
			to := c.below(r, &b, known)
			for i := range n {
				mark(i, to)
			}
			return
		}
		if seen[r] {
			return
		}
		seen[r] = true
		for _, e := range c.nodes[r].edges {
			if c.nodes[r].level < l {
				if b.allows(c.nodes[r].level, e) {
					above(e.to)
				}
				continue
			}
			to := c.below(e.to, &b, known)
			for _, i := range e.classes {
				mark(int(i), to)
			}
		}
	}
	above(c.root)
	if other.empty() {
		return nil
	}
	if l == levelVerb || l == levelName || l == levelMethod {
		return same.minus(other)
	}
	all := newSet(n)
	for i := range n {
		all.add(i)
	}
	return all.minus(other)
}
