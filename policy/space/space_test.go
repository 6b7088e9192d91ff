package space

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/policy"
)

// decides is the contract of rule matching, written down once more and as plainly as
// can be: the index of the first rule that matches, or -1.
func decides(p *policy.Policy, r *policy.Request) int {
	return slices.IndexFunc(p.Rules, func(rule policy.PolicyRule) bool {
		switch {
		case len(rule.Users) > 0 && !(r.Authenticated && slices.Contains(rule.Users, r.User)),
			len(rule.UserGroups) > 0 && !(r.Authenticated && slices.ContainsFunc(r.Groups, func(g string) bool { return slices.Contains(rule.UserGroups, g) })),
			len(rule.Verbs) > 0 && !slices.Contains(rule.Verbs, r.Verb):
			return false
		case len(rule.Namespaces) > 0 || len(rule.Resources) > 0:
			return r.IsResourceRequest && (len(rule.Namespaces) == 0 || slices.Contains(rule.Namespaces, r.Namespace)) &&
				(len(rule.Resources) == 0 || slices.ContainsFunc(rule.Resources, func(e policy.GroupResources) bool { return means(e, r) }))
		case len(rule.NonResourceURLs) > 0:
			return !r.IsResourceRequest && slices.ContainsFunc(rule.NonResourceURLs, func(u string) bool {
				return u == "*" || u == r.Path || strings.HasSuffix(u, "*") && strings.HasPrefix(r.Path, strings.TrimRight(u, "*"))
			})
		}
		return true
	})
}

func means(e policy.GroupResources, r *policy.Request) bool {
	if e.Group != r.APIGroup && e.Group != "*" {
		return false
	}
	if len(e.Resources) == 0 {
		return true
	}
	if len(e.ResourceNames) > 0 && !slices.Contains(e.ResourceNames, r.Name) {
		return false
	}
	whole := r.Resource
	if r.Subresource != "" {
		whole += "/" + r.Subresource
	}
	return slices.ContainsFunc(e.Resources, func(item string) bool {
		return item == "*" || item == whole || r.Subresource != "" && item == "*/"+r.Subresource || item == r.Resource+"/*"
	})
}

// some draws a list of at most three of the texts; it is empty half of the time.
func some(t *rapid.T, label string, texts ...string) []string {
	if rapid.Bool().Draw(t, label+"?") {
		return nil
	}
	return rapid.SliceOfN(rapid.SampledFrom(texts), 1, 3).Draw(t, label)
}

var (
	someUsers     = []string{"alice", "bob", "system:apiserver", "", "*"}
	someGroups    = []string{"dev", "ops", "system:nodes", "system:authenticated"}
	someVerbs     = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "proxy", "", "GET", "*", "post", "head"}
	someAPIGroups = []string{"", "apps", "batch", "*", "core"}
	someResources = []string{"pods", "pods/log", "pods/*", "*/log", "*", "*/*", "secrets", "namespaces", "namespaces/status", "status", "", "pods/", "a/b/c", "/log", "watch", "*/status"}
	someNames     = []string{"web", "db", "", ".", "a%b", "kube-system", "x/y"}
	someSpaces    = []string{"default", "kube-system", "", "web", "a/b", "status"}
	someURLs      = []string{"/healthz", "/healthz*", "/", "/*", "*", "/api", "/api/*", "/api/v1/*", "/api/v1/pods*", "/apis/apps/v1/", "/healthz/ready", "/api/v1/pods", "/apis*", "/a//b"}
)

func drawPolicy(t *rapid.T, most int) *policy.Policy {
	p := &policy.Policy{}
	for range rapid.IntRange(0, most).Draw(t, "rules") {
		r := policy.PolicyRule{Level: rapid.SampledFrom(policy.Levels()).Draw(t, "level"),
			Users: some(t, "users", someUsers...), UserGroups: some(t, "groups", someGroups...), Verbs: some(t, "verbs", someVerbs...)}
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0, 1:
			r.Namespaces = some(t, "namespaces", someSpaces...)
			for range rapid.IntRange(0, 3).Draw(t, "entries") {
				r.Resources = append(r.Resources, policy.GroupResources{Group: rapid.SampledFrom(someAPIGroups).Draw(t, "group"),
					Resources: some(t, "resources", someResources...), ResourceNames: some(t, "names", someNames...)})
			}
		case 2:
			r.NonResourceURLs = some(t, "urls", someURLs...)
		}
		p.Rules = append(p.Rules, r)
	}
	return p
}

// drawRequest draws a request that can be made, of the constants that drawPolicy uses
// and others.
func drawRequest(t *rapid.T) policy.Request {
	var r policy.Request
	for {
		method := rapid.SampledFrom([]string{"GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "*", "list"}).Draw(t, "method")
		parts := rapid.SliceOfN(rapid.SampledFrom([]string{"pods", "web", "log", "status", "namespaces", "default", "kube-system", "watch", "proxy",
			"secrets", "db", "", "*", "widgets", "a%25b", "finalize", ".", "exec", "deployments"}), 0, 6).Draw(t, "parts")
		uri := rapid.SampledFrom([]string{"/api/v1/", "/api/v1/", "/apis/apps/v1/", "/apis/core/v1/", "/apis/x/v1/", "/", "/healthz", "/healthz/", "/api", "//"}).Draw(t, "root") +
			strings.Join(parts, "/") +
			rapid.SampledFrom([]string{"", "", "?watch=1", "?fieldSelector=metadata.name%3Dweb", "?fieldSelector=metadata.name%3Dzz&watch=true"}).Draw(t, "query")
		info, err := policy.ParseRequest(method, uri)
		if err == nil {
			r.RequestInfo = info
			break
		}
	}
	if r.Authenticated = rapid.IntRange(0, 5).Draw(t, "authenticated") > 0; r.Authenticated {
		r.User = rapid.SampledFrom(append(someUsers, "carol")).Draw(t, "user")
		r.Groups = rapid.SliceOfN(rapid.SampledFrom(append(someGroups, "other")), 0, 3).Draw(t, "in")
	}
	return r
}

// labelOf goes through the diagram as r says.
func (p *Partition) labelOf(t *rapid.T, r policy.Request) int {
	at := p.root
	for at >= 0 {
		n := p.nodes[at]
		next := nowhere
		for _, e := range n.edges {
			if n.level == levelGroups {
				if p.fulfils(e.groups, r.Groups) {
					next = e.to
				}
			} else if slices.Contains(e.classes, int32(p.classOf(t, n.level, r))) {
				next = e.to
			}
		}
		if at = next; at == nowhere {
			t.Fatalf("%+v leads nowhere at level %d", r, n.level)
		}
	}
	label, _ := at.label()
	return label
}

func (p *Partition) fulfils(c groupCond, groups []string) bool {
	in := newSet(len(p.groups))
	for i, g := range p.groups {
		if slices.ContainsFunc(groups, func(s string) bool { return slices.Contains(g.names, s) }) {
			in.add(i)
		}
	}
	return !in.meets(c.not) && !slices.ContainsFunc(c.any, func(s set) bool { return !s.meets(in) })
}

// classOf finds the class of r by its bits and shape.
func (p *Partition) classOf(t *rapid.T, l level, r policy.Request) int {
	v := value{}
	switch l {
	case levelKind:
		if r.IsResourceRequest {
			return kindResource
		}
		return kindURL
	case levelVerb:
		return slices.IndexFunc(p.dims[l], func(c class) bool {
			return slices.ContainsFunc(c.values, func(v value) bool { return v.text == r.Verb })
		})
	case levelMethod:
		v.text = r.Verb
	case levelAPIGroup:
		v.text = r.APIGroup
	case levelResource:
		v.text, v.sub = r.Resource, r.Subresource
		if v.sub != "" {
			v.shape |= hasSub
		}
		if v.text == "status" || v.text == "finalize" {
			v.shape |= noSpace
		}
	case levelNamespace:
		v = emptied([]value{{text: r.Namespace}})[0]
	case levelName:
		v = emptied([]value{{text: r.Name}})[0]
	case levelPath:
		v.text = r.Path
	case levelUser:
		if !r.Authenticated {
			return p.failedAuthentication()
		}
		v.text = r.User
	}
	c := classesOf(l, p.terms, []value{v})[0]
	// What is demanded of the shape is met by the plain class too.
	for _, shape := range []shape{c.shape, c.shape &^ (noSpace | isHidden)} {
		if i := slices.IndexFunc(p.dims[l], func(d class) bool { return slices.Equal(d.bits, c.bits) && d.shape == shape }); i >= 0 {
			return i
		}
	}
	t.Fatalf("no class of level %d holds %+v", l, r)
	return -1
}

// pairs labels pairs of deciding rules.
func pairs(of map[int][2]int) func(Leaf) int {
	labels := map[[2]int]int{}
	return func(l Leaf) int {
		k := [2]int{l.Rules[0], l.Rules[1]}
		if _, ok := labels[k]; !ok {
			labels[k] = len(labels)
			of[labels[k]] = k
		}
		return labels[k]
	}
}

func TestSplitAgreesWithEachRequest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawPolicy(t, 5), drawPolicy(t, 5)
		of := map[int][2]int{}
		parts, err := Split(Budget, pairs(of), a, b)
		if err != nil {
			t.Fatal(err)
		}
		examples := parts.Examples()
		for label, e := range examples {
			if got := [2]int{decides(a, &e.Request), decides(b, &e.Request)}; got != of[label] {
				t.Fatalf("%s %s as %+v: rules %v decide, not %v", e.Method, e.URI, e.Request, got, of[label])
			}
		}
		for range 30 {
			r := drawRequest(t)
			label := parts.labelOf(t, r)
			if got := [2]int{decides(a, &r), decides(b, &r)}; got != of[label] {
				t.Fatalf("%+v: rules %v decide, not %v", r, got, of[label])
			}
			if examples[label] == nil {
				t.Fatalf("%+v is decided by rules %v, of which there is no example", r, of[label])
			}
		}
		for label := range of {
			if examples[label] == nil {
				t.Fatalf("no example for rules %v", of[label])
			}
		}
	})
}

// holds tells, from the description alone, whether a request is in a region.
func (r Region) holds(q *policy.Request) bool {
	in := func(v Values, fit func(pattern string) int) bool {
		best, held := 0, v.Only == nil
		for _, s := range v.Only {
			if n := fit(s); n > best {
				best, held = n, true
			}
		}
		for _, s := range v.But {
			if n := fit(s); n > best {
				best, held = n, false
			}
		}
		return held
	}
	is := func(text string) func(string) int {
		return func(s string) int {
			if s == text {
				return 1
			}
			return 0
		}
	}
	member := func(names []string) bool {
		return slices.ContainsFunc(q.Groups, func(g string) bool { return slices.Contains(names, g) })
	}
	if slices.ContainsFunc(r.Except, func(r Region) bool { return r.holds(q) }) {
		return false
	}
	if q.Authenticated {
		if !r.Authenticated || !in(r.Users, is(q.User)) || member(r.NotGroups) || slices.ContainsFunc(r.Groups, func(g []string) bool { return !member(g) }) {
			return false
		}
	} else if !r.Failed || len(r.Groups) > 0 {
		return false
	}
	if !in(r.Verbs, is(q.Verb)) {
		return false
	}
	if !q.IsResourceRequest {
		return r.URL && in(r.Paths, func(s string) int {
			if prefix, ok := strings.CutSuffix(s, "*"); ok && strings.HasPrefix(q.Path, prefix) {
				return len(s) * 2
			}
			return is(q.Path)(s) * (1 + len(s)*2 + 2)
		})
	}
	return r.Resource && in(r.APIGroups, is(q.APIGroup)) && in(r.Namespaces, is(q.Namespace)) && in(r.Names, is(q.Name)) &&
		in(r.Resources, func(s string) int {
			resource, sub, _ := strings.Cut(s, "/")
			switch {
			case s == "*/*":
				return 0 // what is called so, which we do not ask for
			case s == "*":
				return 1
			case resource == "*" && sub == q.Subresource, sub == "*" && resource == q.Resource:
				return 2
			case resource == q.Resource && sub == q.Subresource:
				return 3
			}
			return 0
		})
}

func TestRegionsHoldTheirRequests(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawPolicy(t, 4), drawPolicy(t, 4)
		of := map[int][2]int{}
		label := pairs(of)
		if rapid.Bool().Draw(t, "few labels") {
			fine := label
			label = func(l Leaf) int { return fine(l) % 2 }
		}
		parts, err := Split(Budget, label, a, b)
		if err != nil {
			t.Fatal(err)
		}
		regions := map[int][]Region{}
		for label := range of {
			var all bool
			if regions[label], all = parts.Regions(Want{Labels: []int{label}}, 1000); !all {
				t.Skip("more than 1,000 regions")
			}
			for _, r := range regions[label] {
				if r.Failed && len(r.Groups) > 0 {
					t.Fatalf("%+v asks for a group of who is nobody", r)
				}
			}
		}
		try := func(r policy.Request) {
			if r.Resource == "*" || r.Subresource == "*" {
				return // descriptions do not name what is called so
			}
			mine := parts.labelOf(t, r)
			for label, all := range regions {
				i := slices.IndexFunc(all, func(g Region) bool { return g.holds(&r) })
				if label == mine && i < 0 {
					t.Fatalf("%+v is in none of %+v", r, all)
				}
				if label != mine && i >= 0 {
					t.Fatalf("%+v has other rules than %v, but is in %+v", r, of[label], all[i])
				}
			}
		}
		for _, e := range parts.Examples() {
			try(e.Request)
		}
		for range 30 {
			try(drawRequest(t))
		}
	})
}

// TestPossible holds what we think can be against what Request can make.
func TestPossible(t *testing.T) {
	texts := []string{"", "a", ".", "..", "a%b", "*", "status", "finalize", "namespaces", "watch", "proxy", "log"}
	verbs := append(apiVerbs(), value{text: "GET"}, value{text: "head"})
	rapid.Check(t, func(t *rapid.T) {
		text := func(label string) string { return rapid.SampledFrom(texts).Draw(t, label) }
		v := rapid.SampledFrom(verbs).Draw(t, "verb")
		info := policy.RequestInfo{IsResourceRequest: true, Verb: v.text, APIPrefix: "apis", APIGroup: "apps", APIVersion: "v1",
			Resource: text("resource"), Subresource: text("sub"), Namespace: text("namespace"), Name: text("name")}
		shapeOf := shape(0)
		if info.Subresource != "" {
			shapeOf |= hasSub
		}
		if info.Resource == "status" || info.Resource == "finalize" {
			shapeOf |= noSpace
		}
		want := slices.ContainsFunc(apiVerbs(), func(w value) bool { return w.text == v.text })
		state := v.shape
		for _, x := range []struct {
			level level
			shape shape
		}{{levelResource, shapeOf}, {levelNamespace, emptied([]value{{text: info.Namespace}})[0].shape}, {levelName, emptied([]value{{text: info.Name}})[0].shape}} {
			var ok bool
			if state, ok = step(x.level, state, x.shape); !ok {
				want = false
				break
			}
		}
		method, uri, ok := info.Request()
		if ok != want {
			t.Fatalf("%+v: Request says %v, we say %v", info, ok, want)
		}
		if !ok {
			return
		}
		got, err := policy.ParseRequest(method, uri)
		got.Path, got.APIPrefix = info.Path, info.APIPrefix
		if err != nil || got != info {
			t.Fatalf("%s %s is %+v, %v; not %+v", method, uri, got, err, info)
		}
	})
}
