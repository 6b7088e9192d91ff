package cause

import "slices"

// workload is the rule of the controllers that make pods and delete them.
func (t *Tracer) workload(w *write) verdict {
	kind := resourceOf[kindOf(w.controller)]
	f, ok := t.parent(w, kind[1])
	switch {
	case !ok && w.key.resource == "pods" && w.key.name == "":
		return t.nameless(w, key{kind[0], kind[1], w.key.namespace, ""})
	case !ok:
		return unknown("noParent")
	case w.key.resource != "pods":
		triggers, anchored := t.spec(f.key, f.uid, w)
		if w.sub == "status" {
			return t.status(w, f, triggers)
		}
		if anchored && len(triggers) == 1 && w.at-triggers[0].at < lag {
			return by(triggers, f, Likely)
		}
		return by(t.burst(triggers, t.effects(f, w), w, isOver(f.key.resource)), f, Likely)
	}
	if w.verb == "delete" || w.verb == "create" {
		if v, ok := t.again(w, f); ok {
			return v
		}
		if v, ok := t.owed(w, f); ok {
			return v
		}
	}
	triggers := t.podTriggers(f, w)
	if kind[1] == "jobs" {
		if d := t.deletions(w.key, w.uid, w); w.verb != "create" && w.key.name != "" && len(d) > 0 {
			return by(d, family{w.key, w.uid, []Fact{fact("sameObject")}, Likely}, Likely)
		}
		triggers, _ = t.spec(f.key, f.uid, w)
	}
	return by(t.burst(triggers, t.effects(f, w), w, isOver(f.key.resource)), f, Likely)
}

// again decides for a pod that has a name of its own, as those of a StatefulSet: it is
// made again because it was deleted.
func (t *Tracer) again(w *write, f family) (verdict, bool) {
	if f.key.resource != "statefulsets" || w.verb != "create" {
		return verdict{}, false
	}
	past := before(t.writesOf(w.key), w)
	for i := len(past) - 1; i >= 0; i-- {
		if x := past[i]; x.verb == "create" && x.sub == "" {
			if d := t.deletions(w.key, x.uid, w); len(d) > 0 {
				v := by(d, f, Likely, fact("missing", f.key.String()))
				return v, true
			}
			return verdict{}, false
		}
	}
	return verdict{}, false
}

// podTriggers returns, newest first, what may make a controller create or delete pods:
// requests that change the object that it serves, and pods that go away.
func (t *Tracer) podTriggers(f family, w *write) []*write {
	spec, _ := t.spec(f.key, f.uid, w)
	triggers := slices.Clone(spec)
	for _, o := range t.kids(f) {
		if o.key.resource != "pods" {
			continue
		}
		for _, x := range t.leaving(o, w) {
			if x.controller != w.controller || f.key.resource != "replicasets" {
				triggers = append(triggers, x)
			}
		}
		for _, x := range before(o.writes, w) {
			if touched(x) || x.controller == "" && x.verb == "create" && x.sub == "" {
				triggers = append(triggers, x)
			}
		}
	}
	if f.key.resource == "daemonsets" {
		for _, x := range recent(t.spaces[""], w, lag) {
			if x.key.resource == "nodes" && x.sub == "" && x.controller == "" && (len(spec) == 0 || x.at > spec[0].at) {
				triggers = append(triggers, x)
			}
		}
	}
	slices.SortFunc(triggers, func(a, b *write) int { return byTime(b, a) })
	return triggers
}

// leaving returns the requests before w that made a pod go away, each incarnation's
// first.
func (t *Tracer) leaving(o *object, w *write) (found []*write) {
	gone := false
	for _, x := range before(o.writes, w) {
		switch {
		case x.verb == "create" && x.sub == "":
			gone = false
		case gone:
		case x.verb == "delete" && x.sub == "", x.sub == "eviction", x.flags&failed != 0 && x.sub == "status":
			gone = true
			found = append(found, x)
		}
	}
	for _, x := range t.bulk[key{o.key.group, o.key.resource, o.key.namespace, ""}] {
		if byTime(x, w) < 0 && x != w && (!x.has(listed) || slices.ContainsFunc(x.items, func(i ident) bool { return i.name == o.key.name })) {
			found = append(found, x)
		}
	}
	return found
}

// touched reports whether somebody who is no controller changed a pod, which may then
// belong to another owner or to none.
func touched(x *write) bool {
	return x.key.resource == "pods" && x.controller == "" && (x.verb == "patch" || x.verb == "update") && x.sub == ""
}

// debt is what a controller of replicas still has to do on account of a request.
type debt struct {
	w    *write
	pods int64 // negative: nobody knows how many
}

// ledger is what a controller owes: pods to create and to delete.
type ledger struct {
	known          bool // what happened before does not matter any more
	replicas       int64
	missing, extra []debt
}

// owed decides for the pods of a ReplicaSet by counting: what it was asked to have,
// what it created and what went away. That needs bodies.
func (t *Tracer) owed(w *write, f family) (verdict, bool) {
	if f.key.resource != "replicasets" && f.key.resource != "replicationcontrollers" || f.uid == "" || !w.has(bodied) && w.verb == "create" {
		return verdict{}, false
	}
	l := ledger{replicas: -1}
	life, _ := t.life(f.key, f.uid, w)
	all := slices.Clone(life)
	for _, o := range t.kids(f) {
		if o.key.resource != "pods" {
			continue
		}
		all = append(all, t.leaving(o, w)...)
		for _, x := range before(o.writes, w) {
			if x.verb == "create" && x.sub == "" || touched(x) {
				all = append(all, x)
			}
		}
	}
	slices.SortStableFunc(all, byTime)
	for i, x := range all {
		if x == w || i > 0 && x == all[i-1] {
			continue
		}
		l.take(x, f, w.controller)
	}
	if !l.known {
		return verdict{}, false
	}
	owed, why := l.missing, "missing"
	if w.verb == "delete" {
		owed, why = l.extra, "surplus"
	}
	var triggers []*write
	for _, d := range owed {
		if !slices.Contains(triggers, d.w) {
			triggers = append(triggers, d.w)
		}
	}
	if len(triggers) == 0 {
		return unknown("noTrigger"), true
	}
	slices.Reverse(triggers)
	// Never certain: where an event is missing, the count is wrong.
	return by(triggers, f, Likely, fact(why, f.key.String())), true
}

// take enters one request.
func (l *ledger) take(x *write, f family, controller string) {
	ours := x.controller == controller
	switch {
	case x.key == f.key && x.sub == "status":
		if ours && x.has(bodied) && x.running == x.replicas && x.observed >= x.gen {
			l.known, l.replicas = true, x.replicas
			l.missing, l.extra = since(l.missing, x.at-stale), since(l.extra, x.at-stale)
		}
	case x.key == f.key:
		l.asked(x)
	case x.verb == "create" && x.sub == "" && ours:
		l.missing = pay(l.missing)
	case x.verb == "create" && x.sub == "":
		if l.missing, l.extra = pay(l.missing), append(l.extra, debt{x, 1}); len(l.missing) > 0 {
			l.known = false // it may have been adopted for one that was missing
		}
	case touched(x):
		// A pod whose labels are changed may leave, or come.
		l.missing, l.extra = append(l.missing, debt{x, -1}), append(l.extra, debt{x, -1})
	case x.verb == "deletecollection":
		l.missing = append(l.missing, debt{x, -1})
	case ours:
		l.extra = pay(l.extra)
	case len(l.extra) > 0:
		l.extra = pay(l.extra)
	default:
		l.missing = append(l.missing, debt{x, 1})
	}
}

// since leaves out the debts from before a time.
func since(debts []debt, at int64) []debt {
	return slices.DeleteFunc(debts, func(d debt) bool { return d.w.at < at })
}

// asked enters a request that changed the number of replicas.
func (l *ledger) asked(x *write) {
	if x.replicas < 0 {
		if x.verb != "delete" && x.gen == 0 {
			l.missing, l.extra = append(l.missing, debt{x, -1}), append(l.extra, debt{x, -1})
		}
		return
	}
	before := l.replicas
	l.replicas = x.replicas
	switch {
	case x.verb == "create":
		l.known, l.missing, l.extra = true, []debt{{x, x.replicas}}, nil
	case before < 0:
		l.missing, l.extra = append(l.missing, debt{x, -1}), append(l.extra, debt{x, -1})
	case x.replicas > before:
		l.missing, l.extra = settle(l.missing, l.extra, debt{x, x.replicas - before})
	case x.replicas < before:
		l.extra, l.missing = settle(l.extra, l.missing, debt{x, before - x.replicas})
	}
}

// settle adds d to a list of debts, after what it cancels in the opposite one.
func settle(same, opposite []debt, d debt) (a, b []debt) {
	for d.pods > 0 && len(opposite) > 0 && opposite[len(opposite)-1].pods > 0 {
		last := &opposite[len(opposite)-1]
		n := min(d.pods, last.pods)
		d.pods -= n
		if last.pods -= n; last.pods == 0 {
			opposite = opposite[:len(opposite)-1]
		}
	}
	if d.pods > 0 {
		same = append(same, d)
	}
	return same, opposite
}

// pay takes one from the oldest debt.
func pay(debts []debt) []debt {
	if len(debts) == 0 || debts[0].pods < 0 {
		return debts
	}
	if debts[0].pods--; debts[0].pods > 0 {
		return debts
	}
	return debts[1:]
}

// nameless decides for a pod whose name and owner were not recorded: only where
// everything that could have caused it has one root.
func (t *Tracer) nameless(w *write, parents key) verdict {
	var triggers []*write
	for _, x := range recent(t.spaces[w.key.namespace], w, lag) {
		if x == w || x.controller == w.controller && x.verb != "delete" || x.controller == kubelet || x.key.resource == "events" {
			continue
		}
		parent := x.key.resource == parents.resource && x.sub != "status" && x.verb != "delete"
		pod := x.key.resource == "pods" && (x.verb == "deletecollection" || x.key.name != "" && slices.Contains(t.leaving(t.objects[x.key], w), x))
		if (parent || pod) && !t.served(x, w) {
			triggers = append(triggers, x)
		}
	}
	if len(triggers) == 0 {
		return unknown("noParent")
	}
	return by(triggers, family{facts: []Fact{fact("near")}, strength: Likely}, Likely)
}

// served reports whether the controller of w had done what x asks for before w: it
// writes the status of an object after it has created pods for it.
func (t *Tracer) served(x, w *write) bool {
	parents := []key{x.key}
	if x.key.resource == "pods" {
		parents = namesake(x.key)
	}
	for _, k := range parents {
		for _, s := range before(t.writesOf(k), w) {
			if s.sub == "status" && s.controller == w.controller && s.at > x.at+stale/3 {
				return true
			}
		}
	}
	return false
}

// scheduler is the rule of kube-scheduler: it acts on pods that were created.
func (t *Tracer) scheduler(w *write) verdict {
	if w.key.resource != "pods" || w.sub == "" {
		return t.same(w, unknown("noTrigger"))
	}
	life, anchored := t.life(w.key, w.uid, w)
	if anchored {
		f := family{w.key, w.uid, []Fact{fact("sameObject")}, Likely}
		if w.uid != "" && life[0].uid == w.uid || len(life) > 0 && life[0].uid != "" {
			f.facts, f.strength = []Fact{fact("sameUID")}, Certain
		}
		return by(life[:1], f, Certain)
	}
	var v verdict
	for _, controller := range []string{"replicaset-controller", "daemon-set-controller", "job-controller", "statefulset-controller", "replication-controller"} {
		kind := resourceOf[kindOf(controller)]
		asIf := *w
		asIf.controller = controller
		if f, ok := t.parent(&asIf, kind[1]); ok && t.objects[f.key] != nil {
			v.candidates = append(v.candidates, by(t.burst(t.podTriggers(f, &asIf), nil, w, quiet), f, Likely).candidates...)
		}
	}
	if len(v.candidates) == 0 {
		return unknown("noParent")
	}
	return v
}

// kubelet is the rule of nodes: they remove pods that were deleted, and report.
func (t *Tracer) kubelet(w *write) verdict {
	if w.key.resource != "pods" || w.verb != "delete" {
		return own("nodeState")
	}
	d := t.deletions(w.key, w.uid, w)
	if len(d) == 0 {
		return unknown("noDeletion", w.key.String())
	}
	f := family{w.key, w.uid, []Fact{fact("grace"), fact("sameObject")}, Likely}
	if w.uid != "" && d[0].uid == w.uid {
		f.facts[1], f.strength = fact("sameUID"), Certain
	}
	return by(d, f, Certain)
}
