package space

import (
	"slices"
	"strings"

	"kubetrail/policy"
)

// value is one value of a dimension. Of the values that no policy names there is one
// that stands for all: named is false.
type value struct {
	text, sub       string // sub: the subresource, of levelResource
	named, subNamed bool
	shape           shape
	cost            int // 0 is the most ordinary
}

// odd is the cost of what no ordinary client sends.
const odd = 100

// isOdd tells a request that no ordinary client sends.
func isOdd(method, uri string) bool {
	path, _, _ := strings.Cut(uri, "?")
	return !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || strings.Contains(path+"/", "/*/") || strings.Contains(path+"/", "/%2A/") ||
		!slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, method)
}

// shape is what makes a value or the rest of a request impossible together with
// another dimension. The bits of a state say what is demanded of later levels.
type shape uint8

const (
	// Of a state, and of verbs: what the name must be.
	someName   shape = 1 << iota // not empty: get and delete
	noName                       // empty: deletecollection
	listedName                   // what a field selector of a list can ask for
	noSub                        // no subresource: proxy
	noSpace                      // no namespace: what follows a namespace's name would be its subresource

	// Of values.
	isEmpty  // an empty namespace or name
	isHidden // a name that a field selector cannot ask for
	hasSub   // a resource with a subresource
)

// step tells whether a value may follow a state, and what is demanded then.
func step(l level, state shape, v shape) (shape, bool) {
	switch l {
	case levelVerb:
		return v, true
	case levelResource:
		if state&noSub != 0 && v&hasSub != 0 {
			return 0, false
		}
		return state&^noSub | v&noSpace, true
	case levelNamespace:
		return state &^ noSpace, state&noSpace == 0 || v&isEmpty != 0
	case levelName:
		ok := !(state&someName != 0 && v&isEmpty != 0 ||
			state&noName != 0 && v&isEmpty == 0 ||
			state&listedName != 0 && v&isHidden != 0)
		return 0, ok
	}
	return state, true
}

// matters tells whether a state demands something of level l.
func (state shape) matters(l level) bool {
	switch l {
	case levelResource:
		return state&noSub != 0
	case levelNamespace:
		return state&noSpace != 0
	case levelName:
		return state&(someName|noName|listedName) != 0
	}
	return false
}

// apiVerbs are the verbs that a request for a resource can have. "" is that of
// methods such as OPTIONS.
func apiVerbs() []value {
	return []value{
		{text: "get", cost: 1, shape: someName}, {text: "list", shape: listedName}, {text: "watch", cost: 2},
		{text: "create", cost: 2}, {text: "update", cost: 2}, {text: "patch", cost: 2},
		{text: "delete", cost: 2, shape: someName}, {text: "deletecollection", cost: 3, shape: noName},
		{text: "proxy", cost: 20, shape: noSub}, {text: "", cost: 40},
	}
}

// names collects the distinct values that stand in a dimension of all terms.
func names(terms []term, of func(t *term) []string) []string {
	seen, out := map[string]bool{}, []string(nil)
	for i := range terms {
		for _, s := range of(&terms[i]) {
			if !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
		}
	}
	return out
}

// fresh returns the first of the usual values that is not named, or a new one.
func fresh(named []string, usual ...string) string {
	for _, s := range usual {
		if !slices.Contains(named, s) {
			return s
		}
	}
	for s := usual[0]; ; {
		s += "x"
		if !slices.Contains(named, s) {
			return s
		}
	}
}

// segment tells whether s can be a part of a path.
func segment(s string) bool { return !strings.Contains(s, "/") }

// valuesOf lists the values of level l that the terms can tell apart, each of them
// possible in some request; nil where they are more than most.
func valuesOf(l level, terms []term, most int) []value {
	switch l {
	case levelVerb:
		vs := apiVerbs()
		named := names(terms, func(t *term) []string { return t.verbs })
		for i := range vs {
			vs[i].named = slices.Contains(named, vs[i].text)
		}
		return vs
	case levelAPIGroup:
		named := names(terms, func(t *term) []string { return t.apiGroups })
		named = slices.DeleteFunc(named, func(s string) bool { return s == "*" })
		vs := append(texts(named, fresh(named, "apps", "batch", "example.com")), absent(named, "")...)
		vs[0].cost = 2 // the core group is more ordinary than any other
		return vs
	case levelResource:
		return resourceValues(terms, most)
	case levelNamespace:
		named := names(terms, func(t *term) []string { return t.namespaces })
		return emptied(append(texts(named, fresh(named, "default", "team-a", "dev")), absent(named, "")...))
	case levelName:
		named := names(terms, func(t *term) []string { return t.names })
		vs := emptied(append(texts(named, fresh(named, "web", "db", "app")), absent(named, "")...))
		vs[0].cost = 1
		return vs
	case levelMethod:
		return methodValues(terms)
	case levelPath:
		return pathValues(terms)
	case levelUser:
		named := names(terms, func(t *term) []string { return t.users })
		vs := []value{{text: fresh(named, "alice", "bob", "carol")}}
		for _, s := range named {
			vs = append(vs, value{text: s, named: true, cost: 1})
		}
		return vs
	}
	return nil
}

// texts makes values of the named parts of a path and one of those not named.
func texts(named []string, other string) []value {
	vs := []value{{text: other}}
	for _, s := range named {
		if segment(s) {
			v := value{text: s, named: true, cost: 1}
			switch s {
			case "":
				v.cost = 0
			case "*":
				v.cost = odd
			}
			vs = append(vs, v)
		}
	}
	return vs
}

// absent makes s a value where it is not named.
func absent(named []string, s string) []value {
	if slices.Contains(named, s) {
		return nil
	}
	return []value{{text: s}}
}

// emptied sets the shapes of names and namespaces.
func emptied(vs []value) []value {
	for i := range vs {
		switch s := vs[i].text; {
		case s == "":
			vs[i].shape = isEmpty
		case s == "." || s == ".." || strings.Contains(s, "%"):
			// Upstream: content.IsPathSegmentName of k8s.io/apimachinery.
			vs[i].shape, vs[i].cost = isHidden, odd
		}
	}
	return vs
}

// resourceValues are the pairs of a resource and a subresource; nil where they are more
// than most.
func resourceValues(terms []term, most int) []value {
	seen := map[string]bool{}
	resources, subs := []string(nil), []string(nil)
	add := func(list *[]string, key, s string) {
		if segment(s) && !seen[key+s] {
			seen[key+s] = true
			*list = append(*list, s)
		}
	}
	for _, item := range names(terms, func(t *term) []string { return t.resources }) {
		r, sub, _ := strings.Cut(item, "/")
		if item != "*" && r != "*" {
			add(&resources, "resource ", r)
		}
		if sub != "" && sub != "*" {
			add(&subs, "sub ", sub)
		}
		if strings.HasPrefix(item, "*/") && sub == "*" { // means what is called "*"
			add(&resources, "resource ", "*")
			add(&subs, "sub ", "*")
		}
	}
	if (len(resources)+1)*(len(subs)+2) > most {
		return nil
	}
	var vs []value
	pair := func(r, s string, named, subNamed bool) {
		v := value{text: r, sub: s, named: named, subNamed: subNamed}
		if s != "" {
			v.shape, v.cost = hasSub, 1
			if !subNamed {
				v.cost = 3
			}
		}
		if r == "status" || r == "finalize" {
			v.shape |= noSpace
		}
		if r == "" || r == "*" || s == "*" {
			v.cost = odd
		}
		vs = append(vs, v)
	}
	otherSub := fresh(subs, "scale", "ephemeralcontainers", "resize")
	other := fresh(resources, "widgets")
	for _, r := range append([]string{other}, resources...) {
		named := r != other
		pair(r, "", named, true)
		pair(r, otherSub, named, false)
		for _, s := range subs {
			pair(r, s, named, true)
		}
	}
	return vs
}

// methodValues are the verbs of requests for URLs.
func methodValues(terms []term) []value {
	named := names(terms, func(t *term) []string { return t.verbs })
	usual := []string{"get", "head", "post", "put", "patch", "delete", "options"}
	vs := []value{{text: fresh(named, append(usual, "report")...)}}
	if vs[0].text != "get" {
		vs[0].cost = 1
	}
	for _, s := range named {
		if _, _, ok := (policy.RequestInfo{Path: "/version", Verb: s}).Request(); ok {
			v := value{text: s, named: true, cost: 1}
			if s == "get" {
				v.cost = 0
			}
			vs = append(vs, v)
		}
	}
	return vs
}

// pathValues are the paths that are no resource's: those named, for each named prefix
// one that has no longer one, and one that has none.
func pathValues(terms []term) []value {
	specs := names(terms, func(t *term) []string { return t.urls })
	var vs []value
	for _, s := range specs {
		if !strings.HasSuffix(s, "*") {
			vs = appendPath(vs, value{text: s, named: true})
		}
	}
	for _, s := range append(specs, "*") {
		if prefix, ok := prefixOf(s); ok && !slices.ContainsFunc(vs, func(v value) bool { return v.sub == prefix && !v.named }) {
			vs = appendBelow(vs, prefix, specs)
		}
	}
	return vs
}

// appendBelow appends a path whose longest named prefix is this one and which is not
// named itself, where there is one.
func appendBelow(vs []value, prefix string, specs []string) []value {
	own := func(path string) bool {
		for _, s := range specs {
			if p, ok := prefixOf(s); s == path || ok && len(p) > len(prefix) && strings.HasPrefix(path, p) {
				return false
			}
		}
		return true
	}
	taken := func(path string) bool {
		n := len(vs)
		if own(path) {
			vs = appendPath(vs, value{text: path, sub: prefix, cost: 1})
		}
		return len(vs) > n
	}
	first, root, last := []string{prefix}, prefix, []string(nil)
	if prefix == "" {
		first, root, last = []string{"/version", "/metrics", "/livez", "/logs"}, "/", []string{"", "*"}
	}
	if slices.ContainsFunc(first, taken) {
		return vs
	}
	// Of more endings than there are constants one is free, if any is. Where each
	// ordinary ending makes the path a resource's, only slashes remain.
	const letters = "xyzabcdefghijklmnopqrstuvw0123456789"
	for i := range len(specs) + 1 {
		if taken(root + string(letters[i%36]) + string(letters[i/36%36]) + string(letters[i/1296%36])) {
			return vs
		}
	}
	for i := range len(specs) + 1 {
		if taken(root + strings.Repeat("/", i+1)) {
			return vs
		}
	}
	for _, path := range last {
		if taken(path) {
			break
		}
	}
	return vs
}

// appendPath appends a path that a request for no resource can have.
func appendPath(vs []value, v value) []value {
	method, uri, ok := (policy.RequestInfo{Path: v.text, Verb: "get"}).Request()
	if !ok {
		return vs
	}
	if info, err := policy.ParseRequest(method, uri); err != nil || info.IsResourceRequest {
		return vs
	}
	if isOdd(method, uri) {
		v.cost = odd
	}
	return append(vs, v)
}

// class is all values of a level that no term tells apart.
type class struct {
	bits   set // terms that take them
	shape  shape
	values []value // the most ordinary first
}

// classesOf groups the values of a level.
func classesOf(l level, terms []term, vs []value) []class {
	var out []class
	index := map[string]int{}
	var key []byte
	for _, v := range vs {
		bits := newSet(len(terms))
		for i := range terms {
			if terms[i].takes(l, v) {
				bits.add(i)
			}
		}
		key = append(bits.appendKey(key[:0]), byte(v.shape))
		i, ok := index[string(key)]
		if !ok {
			i = len(out)
			index[string(key)] = i
			out = append(out, class{bits: bits, shape: v.shape})
		}
		out[i].values = append(out[i].values, v)
	}
	for i := range out {
		slices.SortStableFunc(out[i].values, func(a, b value) int { return a.cost - b.cost })
	}
	return out
}
