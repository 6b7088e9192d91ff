package cause

import (
	"slices"

	"kubetrail/internal/body"
)

// deletions returns the requests before w that can have begun the deletion of an
// object: one, unless several were under way at the same time or it is not known which
// of them reached it.
func (t *Tracer) deletions(k key, uid string, w *write) []*write {
	var all []*write
	life, _ := t.life(k, uid, w)
	for _, x := range life {
		if x.verb == "delete" && x.sub == "" || x.sub == "eviction" {
			all = append(all, x)
		}
	}
	since := int64(-1 << 62)
	if len(life) > 0 && life[0].verb == "create" {
		since = life[0].at
	}
	for _, x := range t.bulk[key{k.group, k.resource, k.namespace, ""}] {
		switch {
		case byTime(x, w) >= 0 || x.end < since:
		case x.has(listed) && !slices.ContainsFunc(x.items, func(i ident) bool { return i.name == k.name && (uid == "" || i.uid == uid) }):
		case !x.has(listed) && survived(life, x):
		default:
			all = append(all, x)
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortStableFunc(all, byTime)
	first := all[:1]
	for _, x := range all[1:] {
		again := first[0].flags&blind != 0 && x.controller == "" && first[0].controller == ""
		if again || x.at <= first[0].end || first[len(first)-1].has(selective) && !first[len(first)-1].has(listed) || first[0].flags&older != 0 {
			first = append(first, x)
		}
	}
	return first
}

// survived reports whether an object was there after a collection was deleted that may
// have held it: somebody wrote to it later on. Where a selector chose, and may not have
// chosen it, sooner and by deleting it.
func survived(life []*write, x *write) bool {
	for _, y := range life {
		after := y.at - x.end
		switch {
		case after <= 0:
		case x.has(selective) && (y.verb == "delete" || after > stale):
			return true
		case y.verb != "delete" && y.controller != "generic-garbage-collector" && after > lag:
			return true
		}
	}
	return false
}

// garbage is the rule of the garbage collector, which deletes what has no owner any
// more, and takes its finalizers away from what was deleted.
func (t *Tracer) garbage(w *write) verdict {
	refs, author, known := t.owners(w)
	if w.verb != "delete" {
		return t.unlinked(w, refs, known)
	}
	if !known {
		return t.garbageByName(w)
	}
	var v verdict
	var lost string
	var when int64
	for _, r := range refs {
		k, found := t.ownerKey(r, w)
		d := []*write(nil)
		if found {
			d = t.deletions(k, r.UID, w)
		}
		if len(d) == 0 {
			lost = r.Kind + " " + r.Name
			continue
		}
		if d[0].at < when {
			continue // it went before another owner did
		}
		when, v.candidates = d[0].at, nil
		for _, x := range d {
			c := candidate{x, []Fact{fact("ownerReference", k.String())}, Likely}
			if x.uid == r.UID || x.has(listed) && slices.ContainsFunc(x.items, func(i ident) bool { return i.uid == r.UID }) {
				c = candidate{x, []Fact{fact("ownerUID", k.String())}, Certain}
			}
			if x.policy != "" {
				c.facts = append(c.facts, fact("policy", x.policy))
			}
			if len(refs) > 1 {
				c.strength = Likely
			}
			v.candidates = append(v.candidates, c)
		}
	}
	if len(v.candidates) == 0 {
		return unknown("noDeletion", lost)
	}
	return t.planted(w, author, v)
}

// planted looks at who wrote the owner reference. Whoever may change an object can make
// somebody else's deletion remove it: then both had a hand in it.
func (t *Tracer) planted(w, author *write, v verdict) verdict {
	if author == nil || author.controller != "" {
		return v
	}
	for i := range v.candidates {
		v.candidates[i].facts = append(v.candidates[i].facts, fact("writtenBy", author.actor.Name))
	}
	life, anchored := t.life(w.key, w.uid, w)
	if anchored && life[0].actor == author.actor {
		return v // it was made to go with its owner
	}
	for _, c := range v.candidates {
		if s := t.solve(c.w, maxDepth/2); s.root == nil || *s.root != author.actor {
			return unknown("foreignOwner", author.actor.Name)
		}
	}
	return v
}

// ownerKey finds the object that an owner reference means: in the namespace of what
// refers to it, or of the cluster.
func (t *Tracer) ownerKey(r body.Owner, w *write) (key, bool) {
	if at, ok := resourceOf[r.Kind]; ok {
		k := key{at[0], at[1], w.key.namespace, r.Name}
		if t.objects[k] == nil && (r.Kind == "Node" || r.Kind == "Namespace") {
			k.namespace = ""
		}
		return k, true
	}
	// A custom resource: by its uid, wherever it is.
	for k, o := range t.objects {
		if k.name == r.Name && (k.namespace == w.key.namespace || k.namespace == "") &&
			slices.ContainsFunc(o.writes, func(x *write) bool { return x.uid == r.UID }) {
			return k, true
		}
	}
	return key{}, false
}

// garbageByName decides where no owner reference was recorded.
func (t *Tracer) garbageByName(w *write) verdict {
	if life, anchored := t.life(w.key, w.uid, w); anchored && life[0].controller == "" {
		return unknown("noParent") // whoever made it gave it this name
	}
	var v verdict
	for _, k := range namesake(w.key) {
		for _, x := range t.deletions(k, "", w) {
			if t.objects[k] == nil && x.verb == "deletecollection" {
				continue // nothing says that there was such an object
			}
			c := candidate{x, []Fact{fact("name", k.String())}, Likely}
			if x.policy != "" {
				c.facts = append(c.facts, fact("policy", x.policy))
			}
			v.candidates = append(v.candidates, c)
		}
	}
	if len(v.candidates) == 0 {
		return unknown("noParent")
	}
	return v
}

// unlinked decides for the requests of the garbage collector that are no deletions: it
// takes the finalizer away from an object whose dependents are gone, or an owner
// reference where these are to be kept.
func (t *Tracer) unlinked(w *write, refs []body.Owner, known bool) verdict {
	if d := t.deletions(w.key, w.uid, w); len(d) > 0 {
		f := family{w.key, w.uid, []Fact{fact("sameObject")}, Likely}
		if w.uid != "" && d[0].uid == w.uid {
			f.facts, f.strength = []Fact{fact("sameUID")}, Certain
		}
		if d[0].policy != "" {
			f.facts = append(f.facts, fact("policy", d[0].policy))
		}
		return by(d, f, Certain)
	}
	var v verdict
	last := t.lastBodied(w)
	if last != nil {
		refs = slices.Concat(refs, last.owners)
	}
	for _, r := range refs {
		if k, ok := t.ownerKey(r, w); ok {
			for _, x := range t.deletions(k, r.UID, w) {
				if x.policy == "Orphan" {
					v.candidates = append(v.candidates, candidate{x, []Fact{fact("ownerUID", k.String()), fact("policy", x.policy)}, Certain})
				}
			}
		}
	}
	if !known && last == nil {
		for _, k := range namesake(w.key) {
			for _, x := range t.deletions(k, "", w) {
				v.candidates = append(v.candidates, candidate{x, []Fact{fact("name", k.String())}, Likely})
			}
		}
	}
	if len(v.candidates) == 0 {
		return unknown("noParent")
	}
	return v
}

// namespace is the rule of the namespace-controller, which empties namespaces that were
// deleted.
func (t *Tracer) namespace(w *write) verdict {
	k := key{"", "namespaces", "", w.key.namespace}
	if w.key.resource == "namespaces" {
		k.name = w.key.name
	}
	d := t.deletions(k, "", w)
	if len(d) == 0 {
		return unknown("noDeletion", k.String())
	}
	strength := Likely
	if _, anchored := t.life(k, "", w); anchored || d[0].flags&(doomed|older) == doomed {
		strength = Certain // nobody had deleted it before
	}
	return by(d, family{k, "", []Fact{fact("namespace")}, strength}, strength)
}

// ofNamespace is the rule of controllers that put something into every namespace, and
// again where it is deleted.
func (t *Tracer) ofNamespace(w *write) verdict {
	k := key{"", "namespaces", "", w.key.namespace}
	born, anchored := t.life(k, "", w)
	past := before(t.writesOf(w.key), w)
	for i := len(past) - 1; i >= 0; i-- {
		if x := past[i]; x.verb == "delete" && (!anchored || x.at > born[0].at) {
			return by([]*write{x}, family{w.key, "", []Fact{fact("sameObject")}, Likely}, Likely)
		} else if x.controller == "" {
			return by([]*write{x}, family{w.key, "", []Fact{fact("sameObject")}, Likely}, Likely)
		}
	}
	for _, x := range t.bulk[key{w.key.group, w.key.resource, w.key.namespace, ""}] {
		if byTime(x, w) < 0 && (!anchored || x.at > born[0].at) {
			return by([]*write{x}, family{w.key, "", []Fact{fact("collection")}, Likely}, Likely)
		}
	}
	if !anchored {
		return unknown("noTrigger")
	}
	return by(born[:1], family{k, "", []Fact{fact("namespaceNew")}, Certain}, pick(w.at-born[0].at < quiet && w.verb == "create", Certain, Likely))
}

// endpoints is the rule of the controllers that list the pods of Services.
func (t *Tracer) endpoints(w *write) verdict {
	f, ok := t.parent(w, "services")
	if !ok && w.key.name != "" {
		return unknown("noParent")
	}
	if w.verb == "delete" {
		d := t.deletions(f.key, f.uid, w)
		return by(d, f, Likely)
	}
	var triggers []*write
	if ok {
		all, anchored := t.spec(f.key, f.uid, w)
		triggers = t.burst(all, nil, w, quiet)
		if w.verb == "create" && anchored && len(triggers) == 1 {
			return by(triggers, f, Certain)
		}
	}
	seen := map[key]bool{}
	for _, x := range recent(t.spaces[w.key.namespace], w, quiet) {
		switch {
		case x == w || x.controller == w.controller:
		case !ok && x.key.resource == "services" && x.sub == "":
			triggers = append(triggers, x)
		case x.key.resource != "pods" || seen[x.key] && x.key.name != "":
		default:
			seen[x.key] = true
			triggers = append(triggers, t.behind(x, w)...)
		}
	}
	return by(triggers, f, Likely)
}

// behind is what put a pod into the state that x reports: its deletion, or its creation.
func (t *Tracer) behind(x, w *write) []*write {
	if x.controller != kubelet && x.controller != "kube-scheduler" {
		return []*write{x}
	}
	if d := t.deletions(x.key, x.uid, w); len(d) > 0 {
		return d
	}
	if life, _ := t.life(x.key, x.uid, w); len(life) > 0 && life[0].controller != kubelet {
		return life[:1] // its creation, or where that has no name, its binding
	}
	return []*write{x}
}
