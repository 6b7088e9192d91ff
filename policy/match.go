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
	m := &Matcher{
		hash: newHasher(),
		none: Decision{OmitStages: sortedStages(p.OmitStages, nil), OmitManagedFields: p.OmitManagedFields, Level: LevelNone, Rule: -1},
	}
	for i := range p.Rules {
		m.decisions = append(m.decisions, p.decision(i))
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

// decision is what rule i says about the requests that it decides.
func (p *Policy) decision(i int) Decision {
	r := &p.Rules[i]
	d := Decision{Level: r.Level, OmitStages: sortedStages(p.OmitStages, r.OmitStages), OmitManagedFields: p.OmitManagedFields, Rule: i}
	if r.OmitManagedFields != nil {
		d.OmitManagedFields = *r.OmitManagedFields
	}
	return d
}

// sortedStages returns the stages of both lists, sorted, each once.
func sortedStages(a, b []Stage) []Stage {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Clip(slices.Compact(all))
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
	m.prepare(&k, r)
	for i := range m.segments {
		s := &m.segments[i]
		if n := s.match(r, &k); n >= 0 {
			return m.decisions[s.first+n]
		}
	}
	return m.none
}

// Rules is how many rules the policy has.
func (m *Matcher) Rules() int { return len(m.decisions) }

// keys are the hashes of what a request is looked up by, the same for all segments.
type keys struct {
	group, resource, namespace uint64

	sub      uint64
	combined uint64 // of resource/subresource
	joined   []byte // resource/subresource itself, while it fits in buffer
	buffer   [96]byte

	path uint64
}

func (m *Matcher) prepare(k *keys, r *Request) {
	if !r.IsResourceRequest {
		k.path = m.hash.text(r.Path)
		return
	}
	k.group, k.resource = m.hash.text(r.APIGroup), m.hash.text(r.Resource)
	k.namespace = m.hash.text(r.Namespace)
	if r.Subresource != "" {
		// Longer ones are allocated: no resource of any cluster has such a name.
		k.joined = append(append(append(k.buffer[:0], r.Resource...), '/'), r.Subresource...)
		k.combined, k.sub = m.hash.bytes(k.joined), m.hash.text(r.Subresource)
	}
}

// A segment is the index of up to segmentRules rules.
type segment struct {
	first int // the index in the policy of its first rule
	rules []PolicyRule
	words int // of a row
	hash  hasher

	verbs, namespaces, users, userGroups table
	verbRows                             [len(knownVerbs)][]uint64

	resources resourceIndex
	urls      urlIndex

	open  []uint64 // rules that ask for neither users nor groups
	named []uint64 // rules with resourceNames, which the rows alone do not decide
	names table
}

func newSegment(h hasher, rules []PolicyRule, first int) segment {
	s := segment{first: first, rules: rules, words: (len(rules) + 63) / 64, hash: h}
	b := newBuilder(h, s.words)
	verbs, namespaces, users, groups, names := b.table(), b.table(), b.table(), b.table(), b.table()
	s.open, s.named = make([]uint64, s.words), make([]uint64, s.words)
	for i := range rules {
		r := &rules[i]
		verbs.list(i, r.Verbs)
		namespaces.list(i, r.Namespaces)
		users.list(i, r.Users)
		groups.list(i, r.UserGroups)
		names.list(i, r.names())
		if len(r.Users) == 0 && len(r.UserGroups) == 0 {
			set(s.open, i)
		}
		if slices.ContainsFunc(r.Resources, func(g GroupResources) bool { return len(g.ResourceNames) > 0 }) {
			set(s.named, i)
		}
	}
	s.verbs, s.namespaces, s.users, s.userGroups, s.names = verbs.done(), namespaces.done(), users.done(), groups.done(), names.done()
	for i, v := range knownVerbs {
		s.verbRows[i] = s.verbs.row(h.text(v), v)
	}
	s.resources, s.urls = newResourceIndex(b, rules), newURLIndex(b, rules)
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

func (s *segment) verbRow(verb string) []uint64 {
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
	return s.verbs.row(s.hash.text(verb), verb)
}

// match returns the first rule of s that matches r, or -1.
func (s *segment) match(r *Request, k *keys) int {
	where := resourceRows{}
	namespace := s.namespaces.rest // of all rules, where none asks
	if r.IsResourceRequest {
		s.resources.find(r, k, &where)
		namespace = s.namespaces.row(k.namespace, r.Namespace)
	} else {
		where.first = s.urls.row(k.path, r.Path)
	}
	verb, names, who := s.verbRow(r.Verb), s.names.rest, lookedUp{}
	if s.names.used() {
		names = s.names.row(s.hash.text(r.Name), r.Name)
	}
	for w := range s.words {
		c := verb[w] & where.word(w) & names[w]
		if r.IsResourceRequest {
			c &= namespace[w]
		}
		for c != 0 {
			low := c & -c
			if s.open[w]&low == 0 {
				// A rule that asks for somebody comes first: leave only rules that
				// ask for this one, or for nobody.
				if mine := c & who.word(s, r, w); mine != c {
					c = mine
					continue
				}
			}
			i := w*64 + bits.TrailingZeros64(low)
			if s.named[w]&low == 0 || s.rules[i].matchesResource(r) {
				return i
			}
			c &^= low
		}
	}
	return -1
}

// lookedUp are the rules that a request's user and groups satisfy, found when first
// asked for.
type lookedUp struct {
	done  bool
	words [segmentRules / 64]uint64
}

func (l *lookedUp) word(s *segment, r *Request, w int) uint64 {
	if !l.done {
		l.done = true
		s.who(r, l.words[:s.words])
	}
	return l.words[w]
}

// who sets in dst the rules whose users and userGroups r satisfies.
func (s *segment) who(r *Request, dst []uint64) {
	if !r.Authenticated {
		copy(dst, s.open)
		return
	}
	copy(dst, s.userGroups.rest)
	if s.userGroups.used() {
		for _, g := range r.Groups {
			if row := s.userGroups.find(s.hash.text(g), g); row != nil {
				for w := range dst {
					dst[w] |= row[w]
				}
			}
		}
	}
	if s.users.used() {
		row := s.users.row(s.hash.text(r.User), r.User)
		for w := range dst {
			dst[w] &= row[w]
		}
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
	return len(item) == len(resource)+1+len(sub) && item[:len(resource)] == resource &&
		item[len(resource)] == '/' && item[len(resource)+1:] == sub
}
