package cause

import (
	"slices"

	"kubetrail/audit"
)

// verdict is what a rule says of one request of a controller: what may have caused it,
// or that nothing did, or why that cannot be known.
type verdict struct {
	candidates []candidate
	own        *Fact // of its own accord, why
	unknown    *Fact
}

// candidate is a request that may have caused another one.
type candidate struct {
	w        *write
	facts    []Fact
	strength Strength
}

func unknown(kind string, values ...string) verdict {
	f := fact(kind, values...)
	return verdict{unknown: &f}
}

func own(kind string) verdict {
	f := fact(kind)
	return verdict{own: &f}
}

// answer is what was found about one request.
type answer struct {
	w         *write
	from      *answer // what caused it; nil for a root, and where that is unknown
	facts     []Fact  // what ties it to from
	link      Strength
	strength  Strength // of all the way to the root
	root      *Actor
	why       *Fact
	competing []Actor
}

// maxDepth bounds chains; the longest of a real cluster has seven links.
const maxDepth = 16

// Trace tells through whom e happened, from what the tracer has been told by now: what
// comes after e may still help. e itself need not have been noted. The chain of an
// event that is no change has no links.
func (t *Tracer) Trace(e *audit.Event) Chain {
	w := t.write(e)
	if w == nil {
		why := fact("noChange")
		return Chain{Links: []Link{}, Strength: Unknown, Why: &why}
	}
	if noted := t.find(w); noted != nil {
		w = noted
	}
	return t.solve(w, 0).chain()
}

// find returns the record that was made of the same event.
func (t *Tracer) find(w *write) *write {
	space := t.spaces[w.key.namespace]
	i, _ := slices.BinarySearchFunc(space, w, byTime)
	for ; i < len(space) && byTime(space[i], w) == 0; i++ {
		x := space[i]
		if x.event == w.event && x.verb == w.verb && x.key == w.key && x.actor == w.actor {
			return x
		}
	}
	return nil
}

func (t *Tracer) solve(w *write, depth int) *answer {
	if a := t.solved[w]; a != nil {
		return a
	}
	a := &answer{w: w, strength: Unknown}
	why := fact("loop")
	a.why = &why
	if depth > maxDepth {
		return a
	}
	t.solved[w] = a // while it is being looked for, it is no cause of itself
	if w.token != nil {
		*a = *t.judge(w, by([]*write{w.token}, family{facts: []Fact{fact("credential")}, strength: Certain}, Certain), depth)
		return a
	}
	if w.controller == "" {
		root := w.actor
		*a = answer{w: w, strength: Certain, link: Certain, root: &root}
		if root.Kind == "controlPlane" {
			borrowed := fact("borrowed")
			a.why = &borrowed
		}
		return a
	}
	*a = *t.judge(w, t.rule(w), depth)
	return a
}

// judge makes an answer of a verdict: candidates that lead to one root have that root.
func (t *Tracer) judge(w *write, v verdict, depth int) *answer {
	a := &answer{w: w, strength: Unknown, why: v.unknown}
	if v.own != nil {
		root := w.actor
		root.OwnAccord = true
		strength := Certain
		if v.own.Kind == "state" {
			strength = Likely // as far as is recorded
		}
		return &answer{w: w, link: strength, strength: strength, root: &root, why: v.own}
	}
	if len(v.candidates) == 0 {
		if a.why == nil {
			f := fact("noTrigger")
			a.why = &f
		}
		return a
	}
	var roots []Actor
	lost := false
	for _, c := range v.candidates {
		s := t.solve(c.w, depth+1)
		switch {
		case s.root == nil:
			lost = true
			for _, r := range s.competing {
				if !slices.Contains(roots, r) {
					roots = append(roots, r)
				}
			}
		case !slices.Contains(roots, *s.root):
			roots = append(roots, *s.root)
		}
	}
	if len(v.candidates) > 1 && (lost || len(roots) > 1) {
		f := fact("competing")
		a.why, a.competing = &f, roots
		return a
	}
	chosen := v.candidates[0]
	best := t.solve(chosen.w, depth+1)
	if chosen.w.flags&blind != 0 {
		chosen.strength = weaker(chosen.strength, Likely)
	}
	facts := append(slices.Clone(chosen.facts), after(w.at-chosen.w.at))
	return &answer{w: w, from: best, facts: facts, link: chosen.strength,
		strength: weaker(chosen.strength, best.strength), root: best.root, why: best.why, competing: best.competing}
}

// chain writes an answer out, the root first.
func (a *answer) chain() Chain {
	c := Chain{Strength: a.strength, Root: a.root, Why: a.why, Competing: a.competing}
	if a.root != nil {
		c.Competing = nil
	}
	for x := a; x != nil; x = x.from {
		w := x.w
		l := Link{
			Event: w.eventRef(),
			Actor: w.actor, Verb: w.verb, Object: w.key.object(), Did: w.did(), Evidence: x.facts, Strength: x.link,
		}
		l.Object.Subresource, l.Object.UID = w.sub, w.uid
		if x.from == nil {
			l.Strength = pick(x.root != nil, x.strength, Unknown)
			if x.root != nil {
				l.Actor = *x.root
			}
			c.Competing = x.competing
		}
		c.Links = append(c.Links, l)
	}
	slices.Reverse(c.Links)
	return c
}
