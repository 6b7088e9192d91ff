package space

import (
	"fmt"
	"math"

	"kubetrail/policy"
)

// Budget is a sensible bound for the steps of [Split] and [Reachable]: some seconds,
// and some hundred megabytes.
const Budget = 5_000_000

// TooLarge is the error where the budget did not suffice. Nothing is known then.
type TooLarge struct {
	Budget int // steps
}

func (e *TooLarge) Error() string {
	return fmt.Sprintf("too large to prove: more than %d steps", e.Budget)
}

// Leaf is what is known at the end of a way through the dimensions.
type Leaf struct {
	// Rules holds, for each policy, the index of the rule that decides; -1 for none.
	// It is valid during the call only.
	Rules []int

	// Authenticated is false for requests that failed authentication.
	Authenticated bool
}

// Space is the requests that the constants of some policies can tell apart.
type Space struct {
	policies int
	terms    []term
	from     []int // first term of each policy, and len(terms)
	dims     [levels][]class
	free     [levels]set // terms without a condition on this level and those behind it
	bound    [levels]set // terms with a condition on this level
	groups   []groupClass
	inGroups []set               // for each term, the classes of groups of which it asks for one
	homes    map[string][]string // where well-known resources are
}

// groupClass is groups that all terms treat alike.
type groupClass struct {
	names []string
}

// failedAuthentication is the index of the class of levelUser that holds no user.
func (s *Space) failedAuthentication() int { return len(s.dims[levelUser]) - 1 }

// newSpace finds the classes. It fails where there are more than budget values.
func newSpace(budget int, policies []*policy.Policy) (*Space, error) {
	s := &Space{policies: len(policies), homes: homes()}
	for i, p := range policies {
		s.from = append(s.from, len(s.terms))
		s.terms = append(s.terms, termsOf(p, i)...)
	}
	s.from = append(s.from, len(s.terms))
	values := 0
	for l := levelVerb; l <= levelUser; l++ {
		vs := valuesOf(l, s.terms, budget)
		if values += len(vs) * (1 + len(s.terms)/64); vs == nil || values > budget {
			return nil, &TooLarge{budget}
		}
		s.dims[l] = classesOf(l, s.terms, vs)
	}
	resource, url, none := newSet(len(s.terms)), newSet(len(s.terms)), newSet(len(s.terms))
	for i := range s.terms {
		t := &s.terms[i]
		if t.resource {
			resource.add(i)
		}
		if t.url {
			url.add(i)
		}
		if len(t.users) == 0 && len(t.userGroups) == 0 {
			none.add(i)
		}
	}
	s.dims[levelKind] = []class{{bits: resource}, {bits: url}}
	s.dims[levelUser] = append(s.dims[levelUser], class{bits: none})
	for l := range levels {
		s.bound[l], s.free[l] = newSet(len(s.terms)), newSet(len(s.terms))
		for i := range s.terms {
			if s.terms[i].constrains(l) {
				s.bound[l].add(i)
			}
		}
	}
	for i := range s.terms {
		for l := range levels {
			if s.freeFrom(i, l) {
				s.free[l].add(i)
			}
		}
	}
	s.findGroups()
	return s, nil
}

// freeFrom tells whether term i has no condition on level l and those behind it.
func (s *Space) freeFrom(i int, l level) bool {
	for ; l < levels; l = l.next() {
		if s.bound[l].has(i) {
			return false
		}
	}
	return true
}

func (s *Space) findGroups() {
	named := names(s.terms, func(t *term) []string { return t.userGroups })
	index, of := map[string]int{}, map[string]int{}
	for _, g := range named {
		bits := newSet(len(s.terms))
		for i := range s.terms {
			for _, h := range s.terms[i].userGroups {
				if h == g {
					bits.add(i)
				}
			}
		}
		key := string(bits.appendKey(nil))
		c, ok := index[key]
		if !ok {
			c = len(s.groups)
			index[key] = c
			s.groups = append(s.groups, groupClass{})
		}
		of[g] = c
		s.groups[c].names = append(s.groups[c].names, g)
	}
	s.inGroups = make([]set, len(s.terms))
	for i := range s.terms {
		s.inGroups[i] = newSet(len(s.groups))
		for _, g := range s.terms[i].userGroups {
			s.inGroups[i].add(of[g])
		}
	}
}

// Classes is how many requests there are that the policies can tell apart: the
// product of the classes of all dimensions, every set of groups counting, without
// what cannot be. math.MaxUint64 stands for that many or more.
func (s *Space) Classes() uint64 {
	who := float64(s.failedAuthentication())*math.Pow(2, float64(len(s.groups))) + 1
	what := float64(len(s.dims[levelMethod]) * len(s.dims[levelPath]))
	for _, v := range s.dims[levelVerb] {
		state, _ := step(levelVerb, 0, v.shape)
		what += s.count(levelAPIGroup, state)
	}
	if n := who * what; n < math.MaxUint64 {
		return uint64(n)
	}
	return math.MaxUint64
}

// count is the number of combinations of classes from level l to the name.
func (s *Space) count(l level, state shape) float64 {
	if l > levelName {
		return 1
	}
	n, same := 0.0, map[shape]float64{}
	for _, c := range s.dims[l] {
		next, ok := step(l, state, c.shape)
		if !ok {
			continue
		}
		if _, known := same[next]; !known {
			same[next] = s.count(l+1, next)
		}
		n += same[next]
	}
	return n
}
