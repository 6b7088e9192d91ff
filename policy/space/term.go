package space

import (
	"slices"
	"strings"

	"kubetrail/policy"
)

// level is a dimension, in the order in which they are gone through.
type level int

// The levels. From kind, a request for a resource goes through verb to name, any
// other through method and path; both end with user and groups.
const (
	levelKind level = iota
	levelVerb
	levelAPIGroup
	levelResource
	levelNamespace
	levelName
	levelMethod // the verb of a request for a URL that is no resource
	levelPath
	levelUser
	levelGroups
	levels
)

// The classes of levelKind.
const (
	kindResource = iota
	kindURL
)

// next is the level behind l, on the way of a request of the kind that l belongs to.
func (l level) next() level {
	if l == levelName {
		return levelUser
	}
	return l + 1
}

// A term is a conjunction of conditions, one for each level; a rule is the
// disjunction of its terms. Nil holds always.
type term struct {
	policy, rule int

	resource, url bool // which kinds it can match

	users, userGroups []string
	verbs             []string
	apiGroups         []string
	resources, names  []string
	namespaces        []string
	urls              []string
}

// termsOf takes a policy apart. Entries of a rule's resources that ask for the same
// resources and names differ in the group alone, and become one term.
func termsOf(p *policy.Policy, index int) []term {
	var out []term
	for i, r := range p.Rules {
		t := term{policy: index, rule: i, resource: true, url: true,
			users: r.Users, userGroups: r.UserGroups, verbs: r.Verbs, namespaces: r.Namespaces}
		switch {
		case len(r.Namespaces) > 0 || len(r.Resources) > 0:
			t.url = false
		case len(r.NonResourceURLs) > 0:
			t.resource, t.urls = false, r.NonResourceURLs
		}
		if len(r.Resources) == 0 {
			out = append(out, t)
			continue
		}
		first := len(out)
	entries:
		for _, e := range r.Resources {
			names := e.ResourceNames
			if len(e.Resources) == 0 {
				names = nil
			}
			for k := first; k < len(out); k++ {
				if slices.Equal(out[k].resources, e.Resources) && slices.Equal(out[k].names, names) {
					out[k].apiGroups = append(out[k].apiGroups, e.Group)
					continue entries
				}
			}
			t.apiGroups, t.resources, t.names = []string{e.Group}, e.Resources, names
			out = append(out, t)
		}
	}
	return out
}

// constrains tells whether the term has a condition on level l.
func (t *term) constrains(l level) bool {
	switch l {
	case levelKind:
		return !t.resource || !t.url
	case levelVerb, levelMethod:
		return len(t.verbs) > 0
	case levelAPIGroup:
		return len(t.apiGroups) > 0
	case levelResource:
		return len(t.resources) > 0
	case levelNamespace:
		return len(t.namespaces) > 0
	case levelName:
		return len(t.names) > 0
	case levelPath:
		return len(t.urls) > 0
	case levelUser:
		return len(t.users) > 0
	case levelGroups:
		return len(t.userGroups) > 0
	}
	return false
}

// takes tells whether value v of level l fulfils the term's condition there.
func (t *term) takes(l level, v value) bool {
	if !t.constrains(l) {
		return true
	}
	switch l {
	case levelVerb, levelMethod:
		return slices.Contains(t.verbs, v.text)
	case levelAPIGroup:
		return slices.Contains(t.apiGroups, v.text) || slices.Contains(t.apiGroups, "*")
	case levelResource:
		return slices.ContainsFunc(t.resources, func(item string) bool { return takesResource(item, v.text, v.sub) })
	case levelNamespace:
		return slices.Contains(t.namespaces, v.text)
	case levelName:
		return slices.Contains(t.names, v.text)
	case levelPath:
		return slices.ContainsFunc(t.urls, func(spec string) bool { return takesPath(spec, v.text) })
	case levelUser:
		return slices.Contains(t.users, v.text)
	}
	return false
}

// takesResource tells whether an item of a resources list means a resource and
// subresource. Upstream: ruleMatchesResource in pkg/audit/policy/checker.go.
func takesResource(item, resource, sub string) bool {
	switch {
	case item == "*", sub == "" && item == resource:
		return true
	case sub != "" && len(item) == len(resource)+1+len(sub) && item[len(resource)] == '/' &&
		strings.HasPrefix(item, resource) && strings.HasSuffix(item, sub):
		return true
	}
	if rest, ok := strings.CutPrefix(item, "*/"); ok && sub != "" && rest == sub {
		return true
	}
	rest, ok := strings.CutSuffix(item, "/*")
	return ok && rest == resource
}

// takesPath tells whether an entry of nonResourceURLs means a path. Upstream:
// pathMatches in pkg/audit/policy/checker.go.
func takesPath(spec, path string) bool {
	prefix, ok := prefixOf(spec)
	return spec == "*" || spec == path || ok && strings.HasPrefix(path, prefix)
}

// prefixOf is what stands before the stars that end an entry of nonResourceURLs.
func prefixOf(spec string) (string, bool) {
	return strings.TrimRight(spec, "*"), strings.HasSuffix(spec, "*")
}
