package space

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"kubetrail/policy"
)

// Example is a request that can be made.
type Example struct {
	Method, URI string
	Request     policy.Request // what ParseRequest makes of it, and who asks

	// Odd tells that no ordinary client sends such a request: its URI has an empty
	// part or one called "*", or its method is none of the usual. Where there is an
	// ordinary one, that is the example.
	Odd bool
}

// Reachable returns, for each rule of p, a smallest request that it decides; nil
// where there is none. The error is a [*TooLarge].
func Reachable(p *policy.Policy, budget int) ([]*Example, error) {
	out := make([]*Example, len(p.Rules))
	parts, err := Split(budget, func(l Leaf) int { return l.Rules[0] + 1 }, p)
	if err != nil {
		return nil, err
	}
	for label, e := range parts.Examples() {
		if label > 0 {
			out[label-1] = e
		}
	}
	return out, nil
}

// Examples returns a smallest request for each label that any request has.
func (p *Partition) Examples() map[int]*Example {
	out := map[int]*Example{}
	for label, way := range p.cheapest() {
		if e := p.realise(way); e != nil && !e.Odd {
			out[label] = e
			continue
		}
		// Whether a combination is odd shows in the whole only: look elsewhere.
		tries := 0
		p.each(p.cover(Want{Labels: []int{label}}), p.root, box0(p.Space), func(b box) bool {
			tries++
			if e := p.realise(b); e != nil && (out[label] == nil || !e.Odd) {
				out[label] = e
			}
			return tries < maxTries && (out[label] == nil || out[label].Odd)
		})
	}
	return out
}

// maxTries bounds the search for an example that is not odd.
const maxTries = 500

// each calls visit with the boxes of all ways that c wants, until it returns false.
func (p *Partition) each(c *cover, r ref, b box, visit func(box) bool) bool {
	switch {
	case !c.leadsOn(r):
		return true
	case r < 0:
		return visit(b)
	}
	n := p.nodes[r]
	return !slices.ContainsFunc(n.edges, func(e edge) bool {
		next := b
		next.take(n.level, e, len(p.dims[n.level]))
		return !p.each(c, e.to, next, visit)
	})
}

// box0 holds all requests.
func box0(s *Space) box { return box{groups: groupCond{not: newSet(len(s.groups))}} }

// box is a set of classes for each level; nil is all of them.
type box struct {
	sets   [levels]set
	groups groupCond
}

// cheapest returns a way to each label, the one whose classes cost least.
func (p *Partition) cheapest() map[int]box {
	if p.best != nil {
		return p.best
	}
	type step struct {
		cost int
		from ref // the node before; nowhere at the root
		edge int
	}
	best := map[ref]step{p.root: {from: nowhere}}
	for i := len(p.nodes) - 1; i >= 0; i-- { // parents first
		here, ok := best[ref(i)]
		if !ok {
			continue
		}
		for k, e := range p.nodes[i].edges {
			cost := here.cost + p.cost(p.nodes[i].level, e)
			if old, ok := best[e.to]; !ok || cost < old.cost {
				best[e.to] = step{cost, ref(i), k}
			}
		}
	}
	out := map[int]box{}
	for r, s := range best {
		label, ok := r.label()
		if !ok {
			continue
		}
		b := box0(p.Space)
		for ; s.from != nowhere; s = best[s.from] {
			n := p.nodes[s.from]
			b.take(n.level, n.edges[s.edge], len(p.dims[n.level]))
		}
		out[label] = b
	}
	p.best = out
	return out
}

// take narrows the box to an edge of a node.
func (b *box) take(l level, e edge, classes int) {
	if l == levelGroups {
		b.groups = e.groups
		return
	}
	b.sets[l] = newSet(classes)
	for _, c := range e.classes {
		b.sets[l].add(int(c))
	}
	if l == levelUser && int(e.classes[0]) == classes-1 {
		// Failed authentication is in no group: said, so that boxes compare.
		for i := range b.groups.not {
			b.groups.not = b.groups.not.clone()
			b.groups.not[i] = ^uint64(0)
		}
	}
}

// cost is that of the most ordinary value of an edge.
func (p *Partition) cost(l level, e edge) int {
	switch {
	case l == levelGroups:
		return 2 * len(e.groups.any)
	case l == levelKind:
		return 3 * int(e.classes[0])
	}
	least := math.MaxInt32
	for _, c := range e.classes {
		if l == levelUser && int(c) == p.failedAuthentication() {
			least = min(least, 10)
			continue
		}
		least = min(least, p.dims[l][c].values[0].cost)
	}
	return least
}

// choices are the values of a level in a box that are worth trying, the most ordinary
// first: of each shape there is one at least.
func (p *Partition) choices(b box, l level) []value {
	const most = 8
	var all []value
	for i, c := range p.dims[l] {
		if b.sets[l] == nil || b.sets[l].has(i) {
			all = append(all, c.values[:min(len(c.values), most)]...)
		}
	}
	slices.SortStableFunc(all, func(a, b value) int { return cmp.Compare(a.cost, b.cost) })
	var out []value
	seen := map[shape]bool{}
	for _, v := range all {
		if len(out) < most || !seen[v.shape] {
			out = append(out, v)
		}
		seen[v.shape] = true
	}
	return out
}

// realise makes the most ordinary request of a box.
func (p *Partition) realise(b box) *Example {
	var best *Example
	least := math.MaxInt32
	try := func(info policy.RequestInfo, cost int) {
		if cost > least {
			return
		}
		method, uri, ok := info.Request()
		if !ok {
			return
		}
		strange := isOdd(method, uri)
		if strange {
			cost += odd * (1 + strings.Count(uri, "//"))
		}
		if cost > least || cost == least && len(uri) >= len(best.URI) {
			return
		}
		if got, err := policy.ParseRequest(method, uri); err == nil {
			best, least = &Example{Method: method, URI: uri, Request: policy.Request{RequestInfo: got}, Odd: strange}, cost
		}
	}
	if kinds := b.sets[levelKind]; kinds == nil || kinds.has(kindResource) {
		p.realiseResource(b, try, &least)
	}
	if best == nil {
		for _, path := range p.choices(b, levelPath) {
			for _, verb := range p.choices(b, levelMethod) {
				try(policy.RequestInfo{Path: path.text, Verb: verb.text}, path.cost+verb.cost)
			}
		}
	}
	if best != nil {
		p.realiseUser(b, &best.Request)
	}
	return best
}

// realiseResource tries the requests for resources of a box that may cost no more
// than least.
func (p *Partition) realiseResource(b box, try func(policy.RequestInfo, int), least *int) {
	verbs, groups, resources := p.choices(b, levelVerb), p.choices(b, levelAPIGroup), p.choices(b, levelResource)
	spaces, all := p.choices(b, levelNamespace), p.choices(b, levelName)
	for _, v := range verbs {
		state, _ := step(levelVerb, 0, v.shape)
		for _, r := range resources {
			state, ok := step(levelResource, state, r.shape)
			if !ok {
				continue
			}
			for _, ns := range spaces {
				state, ok := step(levelNamespace, state, ns.shape)
				if !ok {
					continue
				}
				for _, name := range all {
					if _, ok := step(levelName, state, name.shape); !ok {
						continue
					}
					for _, g := range groups {
						cost := v.cost + g.cost + r.cost + ns.cost + name.cost
						if cost > *least {
							break // the groups behind cost no less
						}
						info := policy.RequestInfo{IsResourceRequest: true, Verb: v.text, APIGroup: g.text, APIVersion: "v1",
							APIPrefix: "apis", Resource: r.text, Subresource: r.sub, Namespace: ns.text, Name: name.text}
						if g.text == "" {
							info.APIPrefix = "api"
						}
						info, extra := p.usual(info, g, r, ns, name)
						try(info, cost+extra)
					}
				}
			}
		}
	}
}

// usual makes a request more like those that clusters see, within the same classes,
// and tells what is unusual about it nevertheless.
func (p *Partition) usual(r policy.RequestInfo, g, resource, ns, name value) (policy.RequestInfo, int) {
	cost := 0
	if !resource.named {
		if r.Resource = p.known(r.APIGroup); r.Resource == "" {
			r.Resource, cost = resource.text, 2
		}
	} else if known := p.homes[r.Resource]; known != nil && !slices.Contains(known, r.APIGroup) {
		cost += 4
	}
	if g.named {
		cost++
	}
	if g.text == "metrics.k8s.io" {
		cost++ // nothing there can be written
	}
	one := name.text != "" // one object, not a collection
	switch {
	case r.Resource == "namespaces" && one && ns.text != "":
		if !name.named && name.shape == 0 && !p.names(levelName, r.Namespace) {
			r.Name = r.Namespace
		}
		if r.Name != r.Namespace || r.Verb == "list" || r.Verb == "watch" {
			cost += odd // a second "namespaces" in the path
		}
	case clusterScoped(r.Resource) && ns.text != "":
		cost += 6
	case !clusterScoped(r.Resource) && ns.text == "" && (one || r.Verb == "create"):
		cost += 3
	}
	if ns.named {
		cost++
	}
	switch {
	case one && resource.sub == "" && (r.Verb == "create" || r.Verb == "list" || r.Verb == "watch"):
		cost += 4
	case !one && (r.Verb == "update" || r.Verb == "patch"):
		cost += 5
	}
	if name.named {
		cost++
	}
	return r, cost
}

// realiseUser says who asks.
func (p *Partition) realiseUser(b box, r *policy.Request) {
	users := b.sets[levelUser]
	least := math.MaxInt32
	for i, c := range p.dims[levelUser][:p.failedAuthentication()] {
		if (users == nil || users.has(i)) && c.values[0].cost < least {
			r.User, least, r.Authenticated = c.values[0].text, c.values[0].cost, true
		}
	}
	if !r.Authenticated {
		return
	}
	for _, g := range p.hit(b.groups) {
		r.Groups = append(r.Groups, p.groups[g].names[0])
	}
}

// hit returns few classes of groups that fulfil a condition.
func (p *Partition) hit(c groupCond) []int {
	var out []int
	left := slices.Clone(c.any)
	for len(left) > 0 {
		best, most := -1, 0
		for g := range p.groups {
			n := 0
			for _, any := range left {
				if any.has(g) && !c.not.has(g) {
					n++
				}
			}
			if n > most {
				best, most = g, n
			}
		}
		if best < 0 {
			return nil // not possible: then there is no such condition
		}
		out = append(out, best)
		left = slices.DeleteFunc(left, func(any set) bool { return any.has(best) })
	}
	return out
}

// known returns a well-known resource of an API group that no policy names.
func (p *Partition) known(group string) string {
	for r := range strings.FieldsSeq(resourcesOf(group)) {
		if !p.names(levelResource, r) {
			return r
		}
	}
	return ""
}

// names tells whether a policy names a text on level l.
func (p *Partition) names(l level, text string) bool {
	return slices.ContainsFunc(p.dims[l], func(c class) bool {
		return slices.ContainsFunc(c.values, func(v value) bool { return v.named && v.text == text })
	})
}

// resourcesOf lists resources of an API group, the best-known ones first.
func resourcesOf(group string) string {
	switch group {
	case "":
		return "pods services configmaps secrets serviceaccounts endpoints persistentvolumeclaims events replicationcontrollers limitranges resourcequotas podtemplates namespaces nodes persistentvolumes"
	case "apps":
		return "deployments statefulsets daemonsets replicasets controllerrevisions"
	case "batch":
		return "jobs cronjobs"
	case "networking.k8s.io":
		return "ingresses networkpolicies ingressclasses"
	case "rbac.authorization.k8s.io":
		return "roles rolebindings clusterroles clusterrolebindings"
	case "coordination.k8s.io":
		return "leases"
	case "authentication.k8s.io":
		return "tokenreviews selfsubjectreviews"
	case "authorization.k8s.io":
		return "subjectaccessreviews selfsubjectaccessreviews localsubjectaccessreviews selfsubjectrulesreviews"
	case "apiextensions.k8s.io":
		return "customresourcedefinitions"
	case "admissionregistration.k8s.io":
		return "validatingwebhookconfigurations mutatingwebhookconfigurations validatingadmissionpolicies validatingadmissionpolicybindings"
	case "apiregistration.k8s.io":
		return "apiservices"
	case "certificates.k8s.io":
		return "certificatesigningrequests"
	case "storage.k8s.io":
		return "storageclasses volumeattachments csidrivers csinodes"
	case "scheduling.k8s.io":
		return "priorityclasses"
	case "metrics.k8s.io":
		return "pods nodes"
	case "extensions":
		return "ingresses"
	case "policy":
		return "poddisruptionbudgets"
	case "autoscaling":
		return "horizontalpodautoscalers"
	case "discovery.k8s.io":
		return "endpointslices"
	}
	return ""
}

// homes maps the well-known resources to the API groups that have them.
func homes() map[string][]string {
	out := map[string][]string{"events": {"events.k8s.io"}}
	for _, g := range []string{"", "apps", "batch", "networking.k8s.io", "rbac.authorization.k8s.io", "coordination.k8s.io",
		"authentication.k8s.io", "authorization.k8s.io", "apiextensions.k8s.io", "admissionregistration.k8s.io",
		"apiregistration.k8s.io", "certificates.k8s.io", "storage.k8s.io", "scheduling.k8s.io", "policy", "autoscaling",
		"discovery.k8s.io", "metrics.k8s.io", "extensions"} {
		for r := range strings.FieldsSeq(resourcesOf(g)) {
			out[r] = append(out[r], g)
		}
	}
	return out
}

// clusterScoped tells the well-known resources whose objects are in no namespace.
func clusterScoped(resource string) bool {
	switch resource {
	case "namespaces", "nodes", "persistentvolumes", "componentstatuses", "clusterroles", "clusterrolebindings", "ingressclasses",
		"tokenreviews", "selfsubjectreviews", "subjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews",
		"customresourcedefinitions", "apiservices", "certificatesigningrequests", "storageclasses", "volumeattachments",
		"csidrivers", "csinodes", "priorityclasses",
		"validatingwebhookconfigurations", "mutatingwebhookconfigurations",
		"validatingadmissionpolicies", "validatingadmissionpolicybindings":
		return true
	}
	return false
}
