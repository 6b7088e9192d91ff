package space

import "slices"

// Want says what Regions are to describe: together they hold all requests with one of
// Labels; beside these they may hold requests with one of Free, and what cannot be.
type Want struct {
	Labels, Free []int
}

// Regions describes requests in few conditions. They may overlap. Of more than most,
// and where the effort for descriptions is used up, it returns some, and false.
func (p *Partition) Regions(want Want, most int) ([]Region, bool) {
	if p.effort < 0 {
		for _, label := range want.Labels {
			if b, ok := p.cheapest()[label]; ok {
				return []Region{p.region(b)}, false
			}
		}
	}
	all := p.cover(want)
	all.most = 4 * most // exceptions may describe them in fewer
	all.walk(p.root, box0(p.Space))
	var out []Region
	var of [2][]box
	for i, b := range all.found {
		switch kinds := b.sets[levelKind]; {
		case slices.ContainsFunc(all.found[i+1:], b.within):
		case kinds == nil:
			out = append(out, p.region(b))
		default:
			kind := kinds.next(0)
			of[kind] = append(of[kind], b)
		}
	}
	for _, boxes := range of {
		if r, ok := p.without(want, boxes, most); ok && !all.cut {
			out = append(out, r)
			continue
		}
		for _, b := range all.tidy(boxes) {
			out = append(out, p.region(b))
		}
	}
	if len(out) > most {
		return out[:most], false
	}
	return out, !all.cut
}

// without describes several boxes by one that holds them all and what it holds too
// much, where that takes no more words.
func (p *Partition) without(want Want, boxes []box, most int) (Region, bool) {
	if len(boxes) < 2 {
		return Region{}, false
	}
	hull := p.hull(boxes)
	rest := p.cover(want)
	rest.not, rest.within, rest.most = true, &hull, min(len(boxes)-1, most)
	rest.walk(p.root, box0(p.Space))
	if rest.cut {
		return Region{}, false
	}
	var found []box
	for i, b := range rest.found {
		if !slices.ContainsFunc(rest.found[i+1:], b.within) {
			found = append(found, inside(b, hull))
		}
	}
	r := p.region(hull)
	for _, b := range rest.tidy(found) {
		r.Except = append(r.Except, p.region(b))
	}
	return r, true
}

// tidy removes from the conditions of each box the classes with which it holds nothing
// that another box does not hold, or nothing at all.
func (c *cover) tidy(boxes []box) []box {
	for i := range boxes {
		b := &boxes[i]
		for l, s := range b.sets {
			if s == nil || level(l) == levelKind || c.holdsOthers(level(l), s) {
				continue
			}
			b.sets[l] = s.clone()
			for k := s.next(0); k >= 0; k = s.next(k + 1) {
				one := *b
				one.sets[l] = newSet(len(c.dims[l]))
				one.sets[l].add(k)
				if slices.ContainsFunc(boxes[:i], one.within) || slices.ContainsFunc(boxes[i+1:], one.within) {
					b.sets[l].remove(k)
				}
			}
		}
	}
	for i := range boxes {
		whole := boxes[i]
		if c.within != nil {
			whole = intersection(whole, *c.within)
		}
		for _, l := range []level{levelVerb, levelMethod, levelName} {
			if s := boxes[i].sets[l]; s != nil {
				wanted, _ := c.leads(whole, l)
				boxes[i].sets[l] = s.and(wanted)
			}
		}
	}
	return slices.DeleteFunc(boxes, func(b box) bool {
		return slices.ContainsFunc(b.sets[:], func(s set) bool { return s != nil && s.empty() })
	})
}

// holdsOthers tells whether a set of classes holds values that no policy names: then it
// is described by those that it does not hold, the fewer the better.
func (c *cover) holdsOthers(l level, s set) bool {
	for i := s.next(0); i >= 0 && l != levelVerb; i = s.next(i + 1) {
		if slices.ContainsFunc(c.dims[l][i].values, func(v value) bool { return !v.named && v.text != "" }) {
			return true
		}
	}
	return false
}

// intersection is what both boxes hold.
func intersection(a, b box) box {
	for l, s := range b.sets {
		switch {
		case a.sets[l] == nil:
			a.sets[l] = s
		case s != nil:
			a.sets[l] = a.sets[l].and(s)
		}
	}
	a.groups = a.groups.and(b.groups)
	return a
}

// inside narrows the conditions of a box to what hull holds, and drops those that then
// are none.
func inside(b, hull box) box {
	for l, s := range b.sets {
		switch h := hull.sets[l]; {
		case s == nil || h == nil:
		case h.within(s):
			b.sets[l] = nil
		default:
			b.sets[l] = s.and(h)
		}
	}
	b.sets[levelKind] = hull.sets[levelKind]
	return b
}

// hull is a box that holds all boxes.
func (p *Partition) hull(boxes []box) box {
	out := boxes[0]
	for _, b := range boxes[1:] {
		for l := range out.sets {
			if out.sets[l] != nil && b.sets[l] != nil {
				out.sets[l] = out.sets[l].or(b.sets[l])
			} else {
				out.sets[l] = nil
			}
		}
		out.groups.not = out.groups.not.and(b.groups.not)
		out.groups.any = slices.DeleteFunc(slices.Clone(out.groups.any), func(g set) bool {
			return !slices.ContainsFunc(b.groups.any, func(h set) bool { return slices.Equal(g, h) })
		})
	}
	return out
}

// cover collects boxes that hold all requests that are wanted, or all others.
type cover struct {
	*Partition
	want    Want
	not     bool // the others are looked for
	within  *box // only in this box
	most    int
	reaches map[ref]bool // what leadsOn found
	found   []box
	cut     bool
}

// What a way can lead to.
const (
	toWanted = 1 << iota // what the boxes must hold
	toFree               // what they may hold
	toOther              // what they must not hold
)

// kind tells what an end is.
func (c *cover) kind(r ref) uint8 {
	label, _ := r.label()
	switch {
	case slices.Contains(c.want.Free, label):
		return toFree
	case slices.Contains(c.want.Labels, label) != c.not:
		return toWanted
	}
	return toOther
}

// cover is ready to walk, but for most.
func (p *Partition) cover(want Want) *cover {
	return &cover{Partition: p, want: want, reaches: map[ref]bool{}}
}

// leadsOn tells whether some way from a node ends where it is wanted.
func (c *cover) leadsOn(r ref) bool {
	if r < 0 {
		return c.kind(r) == toWanted
	}
	to, known := c.reaches[r]
	if !known {
		c.effort--
		to = slices.ContainsFunc(c.nodes[r].edges, func(e edge) bool { return c.leadsOn(e.to) })
		c.reaches[r] = to
	}
	return to
}

// walk goes on from a node, to which the ways of b lead.
func (c *cover) walk(r ref, b box) {
	c.effort--
	switch {
	case c.cut || !c.leadsOn(r):
		return
	case slices.ContainsFunc(c.found, b.within):
		return
	case r < 0 && len(c.found) == c.most, c.effort < 0 && len(c.found) > 0:
		c.cut = true
		return
	case r < 0:
		c.found = append(c.found, c.widen(b))
		return
	}
	n := c.nodes[r]
	for _, e := range n.edges {
		if c.within == nil || c.within.allows(n.level, e) {
			next := b
			next.take(n.level, e, len(c.dims[n.level]))
			c.walk(e.to, next)
		}
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

// widen removes from a box what is not needed to hold only what is wanted.
func (c *cover) widen(b box) box {
	nobody := c.nobody(b)
	if !nobody {
		b = c.widenGroups(b)
	}
	for _, l := range []level{levelUser, levelName, levelNamespace, levelMethod, levelPath, levelAPIGroup, levelResource, levelVerb} {
		if b.sets[l] != nil {
			b.sets[l] = c.widest(b, l)
		}
		if l == levelUser && len(b.groups.any) > 0 {
			b.sets[l] = c.withUser(b.sets[l])
		}
		if l == levelUser && nobody && !c.nobody(b) {
			b = c.widenGroups(b)
		}
	}
	everything := b
	everything.sets = [levels]set{levelUser: b.sets[levelUser]}
	if b.sets[levelKind] != nil && c.holds(everything) {
		return everything
	}
	return b
}

// nobody tells whether a box holds only requests that failed authentication.
func (c *cover) nobody(b box) bool {
	users := b.sets[levelUser]
	return users != nil && users.next(0) == c.failedAuthentication()
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

// holds tells whether no request of the box is one that it must not hold.
func (c *cover) holds(b box) bool {
	return c.below(c.root, &b, map[ref]uint8{})&toOther == 0
}

// below tells where the ways of a box lead from a node.
func (c *cover) below(r ref, b *box, known map[ref]uint8) uint8 {
	if r < 0 {
		return c.kind(r)
	}
	if to, ok := known[r]; ok {
		return to
	}
	c.effort--
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

// widest returns the classes of level l with which the box still holds only what is
// wanted; nil where these are all. Classes with which it holds none at all are left out
// where that is the fault of the verb or the name.
func (c *cover) widest(b box, l level) set {
	wanted, other := c.leads(b, l)
	switch {
	case other.empty():
		return nil
	case l == levelVerb || l == levelName || l == levelMethod:
		return wanted.minus(other)
	}
	all := newSet(len(c.dims[l]))
	for i := range c.dims[l] {
		all.add(i)
	}
	return all.minus(other)
}

// leads tells with which classes of level l, whatever the box says of it, the box holds
// requests that are welcome, and with which it holds others.
func (c *cover) leads(b box, l level) (wanted, other set) {
	b.sets[l] = nil
	n := len(c.dims[l])
	wanted, other = newSet(n), newSet(n)
	known, seen := map[ref]uint8{}, map[ref]bool{}
	mark := func(i int, to uint8) {
		if to&toOther != 0 {
			other.add(i)
		}
		if to&toWanted != 0 || to&toFree != 0 && !c.not {
			wanted.add(i)
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
		c.effort--
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
	return wanted, other
}
