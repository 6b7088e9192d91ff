package cause

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"kubetrail/internal/body"
)

// rule tells what may have caused a request of a controller. The rules are those of
// kube-controller-manager v1.36, kube-scheduler and kubelet.
func (t *Tracer) rule(w *write) verdict {
	events := w.key.resource == "events" && w.controller != "namespace-controller"
	switch w.controller {
	case "cronjob-controller":
		return own("schedule")
	case "horizontal-pod-autoscaler":
		return own("metrics")
	case "ttl-after-finished-controller", "token-cleaner", "legacy-service-account-token-cleaner", "podcertificaterequestcleaner":
		return own("expired")
	case "node-controller":
		if events {
			return own("state")
		}
	}
	if events {
		return t.event(w)
	}
	switch w.controller {
	case "deployment-controller":
		return t.deployment(w)
	case "replicaset-controller", "replication-controller", "statefulset-controller", "daemon-set-controller", "job-controller":
		return t.workload(w)
	case "generic-garbage-collector":
		return t.garbage(w)
	case "namespace-controller":
		return t.namespace(w)
	case "service-account-controller", "root-ca-cert-publisher":
		return t.ofNamespace(w)
	case "endpoint-controller", "endpointslice-controller", "endpointslicemirroring-controller":
		return t.endpoints(w)
	case "kube-scheduler":
		return t.scheduler(w)
	case kubelet:
		return t.kubelet(w)
	case "taint-eviction-controller", "pod-garbage-collector", "device-taint-eviction-controller":
		return t.ofNode(w)
	case "node-controller", "ttl-controller", "cloud-controller-manager":
		return t.same(w, own("state"))
	case "apiserver", manager, "aggregator":
		return t.server(w)
	case "clusterrole-aggregation-controller":
		return t.aggregation(w)
	case "disruption-controller":
		return t.disruption(w)
	}
	return t.same(w, unknown("noTrigger"))
}

// before returns the writes until w, without it.
func before(writes []*write, w *write) []*write {
	i, _ := slices.BinarySearchFunc(writes, w, byTime)
	for i < len(writes) && byTime(writes[i], w) == 0 && writes[i] != w {
		i++
	}
	return writes[:i]
}

// matches reports whether x can have been about the incarnation with that uid.
func (w *write) matches(uid string) bool { return uid == "" || w.uid == "" || w.uid == uid }

// life returns the writes to an object until w, beginning with its creation where that
// is known; anchored tells that it is.
func (t *Tracer) life(k key, uid string, w *write) (writes []*write, anchored bool) {
	o := t.objects[k]
	if o == nil {
		return nil, false
	}
	all := before(o.writes, w)
	for i := len(all) - 1; i >= 0; i-- {
		x := all[i]
		if !x.matches(uid) {
			continue
		}
		writes = append(writes, x)
		if x.verb == "create" && x.sub == "" {
			anchored = true
			break
		}
	}
	slices.Reverse(writes)
	return writes, anchored
}

// spec returns the requests until w, newest first, that changed what an object is to
// be, or may have: not those of the controller that sent w.
func (t *Tracer) spec(k key, uid string, w *write) (triggers []*write, anchored bool) {
	life, anchored := t.life(k, uid, w)
	var gen int64
	for _, x := range life {
		unchanged := x.gen != 0 && x.gen == gen
		if x.gen != 0 {
			gen = x.gen
		}
		if x.sub != "" && x.sub != "scale" && x.sub != "resize" && x.sub != "approval" && x.sub != "ephemeralcontainers" ||
			x.controller == w.controller || x.controller == kubelet || unchanged && x.verb != "delete" {
			continue
		}
		triggers = append(triggers, x)
	}
	slices.Reverse(triggers)
	byGeneration(triggers)
	return triggers, anchored
}

// byGeneration puts requests that tell a generation into the order of these, newest
// first: two that were received at the same time may have been stored the other way.
func byGeneration(triggers []*write) {
	var known []*write
	for _, x := range triggers {
		if x.gen != 0 {
			known = append(known, x)
		}
	}
	slices.SortStableFunc(known, func(a, b *write) int { return cmp.Compare(b.gen, a.gen) })
	for i, x := range triggers {
		if x.gen != 0 {
			triggers[i], known = known[0], known[1:]
		}
	}
}

// family is an object that w belongs to, and how that is known.
type family struct {
	key      key
	uid      string
	facts    []Fact
	strength Strength
}

// owners returns the owner references of the object of w as they were last seen, and
// the request that wrote them first, or may have: what it wrote is not recorded.
func (t *Tracer) owners(w *write) (refs []body.Owner, author *write, known bool) {
	life, _ := t.life(w.key, w.uid, w)
	if w.has(bodied) {
		life = append(slices.Clone(life), w)
	}
	var hidden *write
	for i := len(life) - 1; i >= 0; i-- {
		x := life[i]
		switch {
		case !x.has(bodied) && x.controller == "" && x.sub == "" && (x.verb == "update" || x.verb == "patch"):
			hidden = x
		case !x.has(bodied):
		case !known:
			refs, author, known, hidden = x.owners, x, true, nil
		case slices.Equal(x.owners, refs):
			author, hidden = x, nil
		default:
			return refs, pick(hidden != nil, hidden, author), true
		}
	}
	if known && hidden != nil {
		author = hidden
	}
	return refs, author, known
}

// parent finds the object of one of those resources that w's object belongs to.
func (t *Tracer) parent(w *write, resources ...string) (f family, ok bool) {
	if slices.Contains(resources, w.key.resource) {
		f := family{key: w.key, uid: w.uid, facts: []Fact{fact("sameObject")}, strength: Likely}
		if w.uid != "" {
			f.facts[0], f.strength = fact("sameUID"), Certain
		}
		return f, true
	}
	if refs, _, known := t.owners(w); known && (len(refs) > 0 || w.key.resource != "endpoints") {
		for _, r := range refs {
			if at, ok := resourceOf[r.Kind]; ok && r.Controller && slices.Contains(resources, at[1]) {
				k := key{at[0], at[1], w.key.namespace, r.Name}
				return family{k, r.UID, []Fact{fact("ownerUID", k.String())}, Certain}, true
			}
		}
		return f, false
	}
	if life, anchored := t.life(w.key, w.uid, w); anchored && life[0].controller == "" {
		return f, false // somebody made it and gave it this name
	}
	var found []family
	for _, k := range namesake(w.key) {
		if slices.Contains(resources, k.resource) && (t.objects[k] != nil || len(resources) == 1) {
			found = append(found, family{k, "", []Fact{fact("name", k.String())}, Likely})
		}
	}
	if len(found) != 1 {
		return f, false
	}
	return found[0], true
}

// isOver is how long nothing must be recorded of an object and what belongs to it for
// what was asked for before to be over.
func isOver(resource string) int64 {
	if resource == "jobs" {
		return 1 << 60 // a Job makes pods until it is done, however long that takes
	}
	return quiet
}

// burst chooses, among triggers (newest first), those that may still have been at work
// when w happened: going back from w, until for a while neither a trigger nor an effect
// is recorded. A pod that becomes ready carries on what made it, however long ago.
func (t *Tracer) burst(triggers, effects []*write, w *write, over int64) (chosen []*write) {
	all := slices.Concat(triggers, effects)
	asked := make(map[*write]bool, len(triggers))
	for _, x := range triggers {
		asked[x] = true
	}
	slices.SortFunc(all, func(a, b *write) int { return byTime(b, a) })
	at := w.at
	for _, x := range all {
		if x == w || byTime(x, w) > 0 {
			continue
		}
		gap := at - x.at
		if gap > over && (len(chosen) > 0 || gap > max(over, lag)) {
			break
		}
		if asked[x] {
			chosen = append(chosen, x)
		}
		at = min(at, x.at)
		if x.controller == kubelet && x.sub == "status" {
			at = min(at, t.born(x))
		}
	}
	return chosen
}

// born is when the pod was made that a kubelet reports about, as far as it is known; or
// now, where it is going away.
func (t *Tracer) born(x *write) int64 {
	life, _ := t.life(x.key, x.uid, x)
	for _, y := range life {
		if y.verb == "delete" || y.sub == "eviction" {
			return x.at
		}
	}
	if len(life) == 0 || life[0].controller == kubelet {
		return x.at
	}
	return life[0].at
}

// by makes the verdict that one of those requests caused w, being what f tells it
// belongs to.
func by(triggers []*write, f family, strength Strength, more ...Fact) verdict {
	if len(triggers) == 0 {
		return unknown("noTrigger")
	}
	var v verdict
	for _, x := range triggers {
		facts := append(slices.Clone(f.facts), more...)
		if len(triggers) == 1 {
			facts = append(facts, fact("only"))
		}
		v.candidates = append(v.candidates, candidate{x, facts, weaker(f.strength, strength)})
	}
	return v
}

// deployment is the rule of the deployment-controller, which makes ReplicaSets, scales
// and deletes them.
func (t *Tracer) deployment(w *write) verdict {
	f, ok := t.parent(w, "deployments")
	if !ok {
		return unknown("noParent")
	}
	triggers, anchored := t.spec(f.key, f.uid, w)
	// Somebody may have touched the ReplicaSet, and the controller puts that right.
	var meddled []*write
	if w.key.resource == "replicasets" {
		life, _ := t.life(w.key, w.uid, w)
		if w.verb == "create" {
			life = before(t.writesOf(w.key), w)
		}
		for i := len(life) - 1; i >= 0 && life[i].controller != w.controller; i-- {
			if life[i].controller == "" && life[i].sub != "status" || life[i].controller == "horizontal-pod-autoscaler" {
				meddled = append(meddled, life[i])
			}
		}
	}
	if len(meddled) == 0 && w.has(bodied) && w.key.resource == "replicasets" {
		if v, ok := t.rollout(w, f, triggers); ok {
			return v
		}
	}
	if w.sub == "status" {
		return t.status(w, f, triggers)
	}
	all := slices.Concat(meddled, triggers)
	if len(all) == 1 && anchored && w.at-all[0].at < lag {
		return by(all, f, Likely)
	}
	return by(t.burst(t.able(all, w), t.effects(f, w), w, isOver(f.key.resource)), f, Likely)
}

// rollout decides by what ReplicaSets and Deployments say of themselves which request
// the deployment-controller acts on.
func (t *Tracer) rollout(w *write, f family, triggers []*write) (verdict, bool) {
	byTemplate, sure := introduced(triggers, func(x *write) (bool, bool) { return x.template == w.template, x.template != 0 })
	if w.verb == "create" {
		if len(byTemplate) == 0 {
			return verdict{}, false
		}
		return by(byTemplate, f, pick(sure, Certain, Likely), fact("template", f.key.String())), true
	}
	last := t.lastBodied(w)
	if last == nil || len(triggers) == 0 {
		return verdict{}, false
	}
	grows := w.replicas > last.replicas && last.replicas >= 0 && w.replicas >= 0
	if grows && w.desired == last.desired {
		if len(byTemplate) == 0 || !sure {
			return verdict{}, false
		}
		return by(byTemplate, f, Likely, fact("template", f.key.String())), true
	}
	// The rollout that goes on is that to the newest template.
	byTemplate, sure = introduced(triggers, func(x *write) (bool, bool) {
		return x.template == newestTemplate(triggers), x.template != 0
	})
	if w.desired != last.desired && w.desired != "" {
		byScale, proven := introduced(triggers, func(x *write) (bool, bool) { return itoa(x.replicas) == w.desired, x.replicas >= 0 })
		switch {
		case len(byScale) == 0:
			return verdict{}, false
		case len(byTemplate) > 0 && sure && byTemplate[0].at > byScale[0].at && byTemplate[0].at-byScale[0].at > close:
			return by(byTemplate, f, Likely, fact("revision")), true
		case len(byTemplate) > 0 && byTemplate[0].at > byScale[0].at && byTemplate[0] != byScale[0]:
			return by(append(byScale, byTemplate...), f, Likely), true
		}
		// Between what is known of the ReplicaSet and w nothing else was done to it.
		proven = proven && last.gen > 0 && w.gen == last.gen+1 && last.at < byScale[0].at
		return by(byScale, f, pick(proven, Certain, Likely), fact("desired", w.desired)), true
	}
	if len(byTemplate) == 0 || !sure {
		return verdict{}, false
	}
	return by(byTemplate, f, Likely, fact("revision")), true
}

func newestTemplate(triggers []*write) uint64 {
	for _, x := range triggers {
		if x.template != 0 {
			return x.template
		}
	}
	return 0
}

// lastBodied is the last request before w that tells what its object was.
func (t *Tracer) lastBodied(w *write) *write {
	life, _ := t.life(w.key, w.uid, w)
	for i := len(life) - 1; i >= 0; i-- {
		if life[i].has(bodied) {
			return life[i]
		}
	}
	return nil
}

// introduced returns, of triggers (newest first), the one that first made something
// hold that holds from then on, together with those that do not tell; sure means that
// before it, it did not hold.
func introduced(triggers []*write, holds func(*write) (holds, known bool)) (found []*write, sure bool) {
	var silent []*write
	for _, x := range triggers {
		yes, known := holds(x)
		switch {
		case known && yes:
			found, silent = []*write{x}, nil
			sure = x.verb == "create" && x.sub == ""
		case known && len(found) > 0:
			return append(found, silent...), len(silent) == 0
		case !known && len(found) > 0 && x.sub != "scale" && !x.has(bodied):
			silent = append(silent, x)
		}
	}
	return append(found, silent...), sure && len(silent) == 0
}

// writesOf is everything that is remembered of the object of that name.
func (t *Tracer) writesOf(k key) []*write {
	if o := t.objects[k]; o != nil {
		return o.writes
	}
	return nil
}

// able leaves out what cannot have caused w: a new ReplicaSet is not made because of a
// number of replicas.
func (t *Tracer) able(triggers []*write, w *write) []*write {
	if w.key.resource != "replicasets" || w.verb != "create" {
		return triggers
	}
	return slices.DeleteFunc(slices.Clone(triggers), func(x *write) bool { return x.sub == "scale" })
}

// effects are what controllers and nodes did to an object and to what belongs to it,
// and to what belongs to that.
func (t *Tracer) effects(f family, w *write) (all []*write) {
	take := func(writes []*write) {
		for _, x := range before(writes, w) {
			if x.controller != "" {
				all = append(all, x)
			}
		}
	}
	take(t.writesOf(f.key))
	for _, o := range t.kids(f) {
		take(o.writes)
		if o.key.resource == "replicasets" {
			for _, pod := range t.kids(family{key: o.key, uid: o.uid()}) {
				take(pod.writes)
			}
		}
	}
	return all
}

// uid is that of the newest incarnation, where it is known.
func (o *object) uid() string {
	for i := len(o.writes) - 1; i >= 0; i-- {
		if o.writes[i].uid != "" {
			return o.writes[i].uid
		}
	}
	return ""
}

// stale is by how much what a controller knows may be behind what it writes.
const stale = int64(500 * time.Millisecond / time.Microsecond)

// status is the rule of the status of what owns pods or ReplicaSets: it tells of a new
// generation, or of what happened to these since it was written before.
func (t *Tracer) status(w *write, f family, triggers []*write) verdict {
	var last *write
	for _, x := range before(t.writesOf(w.key), w) {
		if x.sub == "status" && x.controller == w.controller && x.matches(w.uid) {
			last = x
		}
	}
	if w.observed != 0 && (last == nil || last.observed < w.observed && last.observed != 0) {
		for _, x := range triggers {
			if x.gen == w.observed {
				return by([]*write{x}, f, Likely, fact("generation", itoa(x.gen)))
			}
		}
	}
	since := w.at - lag
	if last != nil {
		since = last.at - stale
	}
	seen := slices.DeleteFunc(slices.Clone(triggers), func(x *write) bool { return x.at < since })
	for _, o := range t.kids(f) {
		kids := before(o.writes, w)
		for i := len(kids) - 1; i >= 0 && kids[i].at >= since; i-- {
			seen = append(seen, kids[i])
		}
	}
	f.facts = []Fact{fact("sinceStatus")}
	slices.SortFunc(seen, func(a, b *write) int { return byTime(b, a) })
	var found []*write
	at := w.at
	for _, x := range seen {
		if at-x.at > quiet && len(found) > 0 {
			break // what was before is told already
		}
		at = x.at
		causes := []*write{x}
		if x.key.resource == "pods" && f.key.resource != "pods" {
			causes = t.behind(x, w)
		}
		for _, y := range causes {
			if !slices.Contains(found, y) {
				found = append(found, y)
			}
		}
	}
	return by(found, f, Likely)
}

// kids are the objects that belong to one, by owner reference or, where none is known,
// by name.
func (t *Tracer) kids(f family) []*object {
	var kids []*object
	if f.uid != "" {
		kids = slices.Clone(t.owned[f.uid])
	}
	for _, o := range t.named[f.key] {
		if slices.Contains(kids, o) {
			continue
		}
		if len(o.uids) == 0 && !(o.writes[0].verb == "create" && o.writes[0].controller == "") {
			kids = append(kids, o)
		}
		if f.uid == "" && len(o.uids) > 0 {
			for _, x := range o.writes {
				if slices.ContainsFunc(x.owners, func(r body.Owner) bool { return r.Name == f.key.name }) {
					kids = append(kids, o)
					break
				}
			}
		}
	}
	return kids
}

// same is the rule of controllers that write to the object that somebody else wrote to,
// on its account: a status, a finalizer. Where nobody did, v is the verdict.
func (t *Tracer) same(w *write, v verdict) verdict {
	life, _ := t.life(w.key, w.uid, w)
	var triggers []*write
	for i := len(life) - 1; i >= 0; i-- {
		if x := life[i]; x.controller != w.controller && x.sub != "status" {
			triggers = append(triggers, x)
		}
	}
	chosen := t.burst(triggers, nil, w, quiet)
	if len(chosen) == 0 || w.at-chosen[0].at > quiet {
		return v
	}
	f := family{w.key, w.uid, []Fact{fact("sameObject")}, Likely}
	if w.uid != "" && chosen[0].uid == w.uid {
		f.facts = []Fact{fact("sameUID")}
	}
	return by(chosen, f, Likely)
}

func (t *Tracer) aggregation(w *write) verdict {
	var triggers []*write
	for _, x := range recent(t.spaces[""], w, quiet) {
		if x.key.resource == "clusterroles" && x.controller != w.controller {
			triggers = append(triggers, x)
		}
	}
	return by(triggers, family{strength: Likely}, Likely)
}

// recent returns the writes within so many microseconds before w, newest first.
func recent(writes []*write, w *write, us int64) (found []*write) {
	until := before(writes, w)
	for i := len(until) - 1; i >= 0 && w.at-until[i].at <= us; i-- {
		found = append(found, until[i])
	}
	return found
}

// event is the rule of Events that controllers write: each is about what its writer has
// just done, or seen.
func (t *Tracer) event(w *write) verdict {
	if w.controller == kubelet || w.subject == "" {
		return own("nodeState")
	}
	var v verdict
	nameless := false
	for _, x := range recent(t.spaces[w.key.namespace], w, lag) {
		nameless = nameless || x.actor == w.actor && x.key.name == "" && w.at-x.at <= quiet
		if x.actor != w.actor || x.key.resource == "events" || w.at-x.at > quiet && len(v.candidates) > 0 {
			continue
		}
		about := x.key.name == w.subject || slices.ContainsFunc(x.owners, func(r body.Owner) bool { return r.Name == w.subject })
		if !about {
			for _, k := range namesake(x.key) {
				about = about || k.name == w.subject
			}
		}
		if about {
			v.candidates = append(v.candidates, candidate{x, []Fact{fact("about", w.actor.Name)}, Likely})
		}
	}
	if len(v.candidates) > 0 && !nameless {
		return v // its cause is that of what it tells of
	}
	if resource, ok := resourceOf[kindOf(w.controller)]; ok {
		f := family{key{resource[0], resource[1], w.key.namespace, w.subject}, "", []Fact{fact("about", w.actor.Name)}, Likely}
		if more := t.burst(t.podTriggers(f, w), nil, w, quiet); len(more) > 0 {
			v.candidates = append(v.candidates, by(more, f, Likely).candidates...)
		}
	}
	return v
}

// kindOf is the kind that a controller is there for.
func kindOf(controller string) string {
	switch controller {
	case "replicaset-controller":
		return "ReplicaSet"
	case "replication-controller":
		return "ReplicationController"
	case "statefulset-controller":
		return "StatefulSet"
	case "daemon-set-controller":
		return "DaemonSet"
	case "job-controller":
		return "Job"
	case "deployment-controller":
		return "Deployment"
	case "kube-scheduler":
		return "Pod"
	}
	return ""
}

// ofNode is the rule of controllers that delete pods because of their node.
func (t *Tracer) ofNode(w *write) verdict {
	node := w.node
	for _, x := range before(t.writesOf(w.key), w) {
		if x.node != "" {
			node = x.node
		}
	}
	if node == "" {
		return unknown("noParent")
	}
	f := family{key{"", "nodes", "", node}, "", []Fact{fact("node", node)}, Likely}
	triggers, _ := t.spec(f.key, "", w)
	if len(triggers) == 0 {
		return unknown("noTrigger")
	}
	return by(triggers, f, Likely)
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// server is the rule of what the API server asks of itself.
func (t *Tracer) server(w *write) verdict {
	switch w.key.resource {
	case "ipaddresses":
		return unknown("noTrigger") // some Service got or lost it
	case "poddisruptionbudgets":
		var triggers []*write
		for _, x := range recent(t.spaces[w.key.namespace], w, lag) {
			if x.sub == "eviction" && x.end >= w.at {
				triggers = append(triggers, x)
			}
		}
		return by(triggers, family{facts: []Fact{fact("within")}, strength: Likely}, Likely)
	case "apiservices":
		_, group, _ := strings.Cut(w.key.name, ".")
		var triggers []*write
		for _, x := range recent(t.spaces[""], w, quiet) {
			if x.key.resource == "customresourcedefinitions" && x.controller == "" && strings.HasSuffix(x.key.name, "."+group) {
				triggers = append(triggers, x)
			}
		}
		if len(triggers) > 0 {
			return by(triggers, family{facts: []Fact{fact("sameGroup", group)}, strength: Likely}, Likely)
		}
	}
	return t.same(w, own("state"))
}

// disruption is the rule of budgets: their status tells of a new generation, or of pods,
// and which pods these are stands in a selector.
func (t *Tracer) disruption(w *write) verdict {
	triggers, _ := t.spec(w.key, w.uid, w)
	f := family{w.key, w.uid, []Fact{fact("sameObject")}, Likely}
	v := t.status(w, f, triggers)
	for _, x := range recent(t.spaces[w.key.namespace], w, stale*4) {
		if x.key.resource == "pods" {
			for _, y := range t.behind(x, w) {
				v.candidates = append(v.candidates, candidate{y, []Fact{fact("near")}, Likely})
			}
		}
	}
	return v
}
