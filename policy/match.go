package policy

import (
	"math/bits"
	"slices"
	"strings"
)

// A Matcher answers which decision a request meets. It is immutable and safe for
// concurrent use.
//
// Every condition of a rule is looked up, not tried: for each value that some rule
// names there is a row of bits, one for each rule that the value satisfies, and the
// first rule that matches is the lowest bit that the rows of a request have in common.
// So the number of rules hardly matters. Rows of rules that ask for no user decide
// first: only where a rule that asks for one stands before them are the user and the
// groups looked up at all.
type Matcher struct {
	segments  []segment
	decisions []Decision // of each rule
	none      Decision   // where no rule matches
	hash      hasher
}

// segmentRules is how many rules share one index. Rows grow with the rules they cover
// and their number with the constants that rules name: without a bound, a hostile
// policy would take memory by the square of its size.
const segmentRules = 1024

// Compile prepares p, which must be valid, for matching. Later changes of p do not
// reach the Matcher.
func (p *Policy) Compile() *Matcher {
	m := &Matcher{hash: newHasher(), none: p.Decision(-1)}
	for i := range p.Rules {
		m.decisions = append(m.decisions, p.Decision(i))
	}
	rules := make([]PolicyRule, len(p.Rules))
	for i, r := range p.Rules {
		rules[i] = r.clone()
	}
	for first := 0; first < len(rules); first += segmentRules {
		m.segments = append(m.segments, newSegment(m.hash, rules[first:min(first+segmentRules, len(rules))], first))
	}
	return m
}

// Decision is what a rule, by its index, says about the requests that it decides; -1 is
// none, for the requests that no rule matches.
func (p *Policy) Decision(rule int) Decision {
	d := Decision{Level: LevelNone, OmitManagedFields: p.OmitManagedFields, Rule: rule}
	stages := p.OmitStages
	if rule >= 0 {
		r := &p.Rules[rule]
		d.Level, stages = r.Level, slices.Concat(stages, r.OmitStages)
		if r.OmitManagedFields != nil {
			d.OmitManagedFields = *r.OmitManagedFields
		}
	}
	d.OmitStages = slices.Clip(slices.Compact(slices.Sorted(slices.Values(stages))))
	return d
}

func (r PolicyRule) clone() PolicyRule {
	r.Users, r.UserGroups, r.Verbs = slices.Clone(r.Users), slices.Clone(r.UserGroups), slices.Clone(r.Verbs)
	r.Namespaces, r.NonResourceURLs = slices.Clone(r.Namespaces), slices.Clone(r.NonResourceURLs)
	r.Resources = slices.Clone(r.Resources)
	for i := range r.Resources {
		g := &r.Resources[i]
		g.Resources, g.ResourceNames = slices.Clone(g.Resources), slices.Clone(g.ResourceNames)
	}
	return r
}

// Match returns the decision for r. It allocates nothing.
func (m *Matcher) Match(r *Request) Decision {
	var k keys
	if r.IsResourceRequest {
		k = keys{m.hash.text(r.Resource), m.hash.text(r.Subresource)}
	}
	for i := range m.segments {
		s := &m.segments[i]
		if n := s.match(r, &k); n >= 0 {
			return m.decisions[s.first+n]
		}
	}
	return m.none
}

// keys are the hashes of a resource and its subresource, which are looked up several
// times.
type keys struct{ resource, sub uint64 }

// A segment is the index of up to segmentRules rules.
type segment struct {
	first int // the index in the policy of its first rule
	rules []PolicyRule
	words int // of a row
	hash  hasher
	bits  []uint64 // all rows, one after the other

	verbs, namespaces, users, userGroups, names table

	verbRows  [len(knownVerbs)]row
	resources resourceIndex
	urls      urlIndex

	all   row // every rule
	open  row // rules that ask for neither users nor groups
	named row // rules with resourceNames, which the rows alone do not decide
}

func newSegment(h hasher, rules []PolicyRule, first int) segment {
	b := newBuilder(h, (len(rules)+63)/64)
	verbs, namespaces, users, groups, names := b.table(), b.table(), b.table(), b.table(), b.table()
	s := segment{first: first, rules: rules, words: b.words, hash: h, all: b.row(), open: b.row(), named: b.row()}
	for i := range rules {
		r := &rules[i]
		b.set(s.all, i)
		verbs.list(i, r.Verbs)
		namespaces.list(i, r.Namespaces)
		users.list(i, r.Users)
		groups.list(i, r.UserGroups)
		names.list(i, r.names())
		if len(r.Users) == 0 && len(r.UserGroups) == 0 {
			b.set(s.open, i)
		}
		if slices.ContainsFunc(r.Resources, func(g GroupResources) bool { return len(g.ResourceNames) > 0 }) {
			b.set(s.named, i)
		}
	}
	s.verbs, s.namespaces, s.users, s.userGroups, s.names = verbs.done(), namespaces.done(), users.done(), groups.done(), names.done()
	for i, v := range knownVerbs {
		s.verbRows[i] = s.verbs.row(h, v)
	}
	s.resources, s.urls = newResourceIndex(b, rules), newURLIndex(b, rules)
	s.bits = slices.Clip(b.bits)
	return s
}

// names lists the resource names without which r cannot match; none where one of its
// resources asks for no name.
func (r *PolicyRule) names() []string {
	var all []string
	for _, g := range r.Resources {
		if len(g.ResourceNames) == 0 || len(g.Resources) == 0 {
			return nil
		}
		all = append(all, g.ResourceNames...)
	}
	return all
}

// knownVerbs are those that requests for resources have, the most frequent first.
var knownVerbs = [...]string{"get", "watch", "list", "update", "patch", "create", "delete", "deletecollection"}

func (s *segment) verbRow(verb string) row {
	switch verb {
	case "get":
		return s.verbRows[0]
	case "watch":
		return s.verbRows[1]
	case "list":
		return s.verbRows[2]
	case "update":
		return s.verbRows[3]
	case "patch":
		return s.verbRows[4]
	case "create":
		return s.verbRows[5]
	case "delete":
		return s.verbRows[6]
	case "deletecollection":
		return s.verbRows[7]
	}
	return s.verbs.row(s.hash, verb)
}

// what are the rows that a request satisfies, but for those of its user.
type what struct {
	verb, namespace, names row
	where                  resourceRows
}

// word returns the rules, of the 64 from 64*w on, that want what q asks for.
func (s *segment) word(q *what, w int) uint64 {
	at := s.bits[w:]
	c := at[q.where.first]
	for _, r := range q.where.more[:q.where.n] {
		c |= at[r]
	}
	return c & at[q.verb] & at[q.namespace] & at[q.names]
}

// match returns the first rule of s that matches r, or -1.
func (s *segment) match(r *Request, k *keys) int {
	q := what{verb: s.verbRow(r.Verb), namespace: s.all, names: s.names.rest}
	if r.IsResourceRequest {
		s.resources.find(s.hash, r, k, &q.where)
		q.namespace = s.namespaces.row(s.hash, r.Namespace)
		q.names = s.names.row(s.hash, r.Name)
	} else {
		q.where.first = s.urls.row(s.hash, r.Path)
	}
	for w := range s.words {
		for c := s.word(&q, w); c != 0; c &= c - 1 {
			i := bits.TrailingZeros64(c)
			switch {
			case s.bits[int(s.open)+w]>>i&1 == 0:
				return s.matchAsking(r, &q, w)
			case s.bits[int(s.named)+w]>>i&1 == 0 || s.rules[w*64+i].matchesResource(r):
				return w*64 + i
			}
		}
	}
	return -1
}

// matchAsking goes on from word first, where a rule asks for somebody: rules that
// ask for others are left out.
func (s *segment) matchAsking(r *Request, q *what, first int) int {
	var who [segmentRules / 64]uint64
	s.who(r, who[:s.words])
	for w := first; w < s.words; w++ {
		for c := s.word(q, w) & who[w]; c != 0; c &= c - 1 {
			i := w*64 + bits.TrailingZeros64(c)
			if s.bits[int(s.named)+w]&c&-c == 0 || s.rules[i].matchesResource(r) {
				return i
			}
		}
	}
	return -1
}

// who sets in dst the rules whose users and userGroups r satisfies.
func (s *segment) who(r *Request, dst []uint64) {
	if !r.Authenticated {
		copy(dst, s.bits[s.open:])
		return
	}
	copy(dst, s.bits[s.userGroups.rest:])
	for _, g := range r.Groups {
		if found := s.userGroups.find(s.hash, g); found != nil {
			for w := range dst {
				dst[w] |= s.bits[int(found.row)+w]
			}
		}
	}
	user := s.users.row(s.hash, r.User)
	for w := range dst {
		dst[w] &= s.bits[int(user)+w]
	}
}

// matchesResource compares r with the resources of a rule one by one, for the rules
// whose names depend on the resource.
func (r *PolicyRule) matchesResource(q *Request) bool {
	for i := range r.Resources {
		if r.Resources[i].matches(q) {
			return true
		}
	}
	return len(r.Resources) == 0
}

// matches tells whether g names the resource of q.
func (g *GroupResources) matches(q *Request) bool {
	if g.Group != q.APIGroup && g.Group != "*" {
		return false
	}
	if len(g.Resources) == 0 {
		return true
	}
	if len(g.ResourceNames) > 0 && !slices.Contains(g.ResourceNames, q.Name) {
		return false
	}
	return slices.ContainsFunc(g.Resources, func(item string) bool { return itemMatches(item, q.Resource, q.Subresource) })
}

// itemMatches tells whether an entry of resources names a resource with its
// subresource.
func itemMatches(item, resource, sub string) bool {
	if item == "*" || sub == "" && item == resource {
		return true
	}
	if base, ok := strings.CutSuffix(item, "/*"); ok && base == resource {
		return true
	}
	if sub == "" {
		return false
	}
	if any, ok := strings.CutPrefix(item, "*/"); ok && any == sub {
		return true
	}
	return isPair(item, resource, sub)
}

// isPair tells whether s is a/b.
func isPair(s, a, b string) bool {
	return len(s) == len(a)+1+len(b) && s[:len(a)] == a && s[len(a)] == '/' && s[len(a)+1:] == b
}
