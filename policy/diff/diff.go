// Package diff compares two audit policies by what they mean: for which requests, and
// at which stages, something else is recorded.
//
// [Diff] goes through the whole finite space of requests that the constants of both
// can tell apart (policy/space), so no change means that there is none: the policies
// are equal, whatever their text.
package diff

import (
	"cmp"
	"slices"

	"kubetrail/policy"
	"kubetrail/policy/space"
)

// Options bound the work. The zero Options are sensible.
type Options struct {
	// Budget is how many steps of policy/space may be made; 0 is space.Budget.
	Budget int

	// Regions is how many regions describe one Change at most; 0 is 20.
	Regions int
}

// Result is how two policies differ.
type Result struct {
	// Changes is empty where the policies are equal. What is recorded less comes
	// first, then by the rules of A and of B.
	Changes []Change

	// Classes is how many requests the two policies together can tell apart, Steps
	// how many steps of the budget were needed to go through them all.
	Classes uint64
	Steps   int
}

// Change is the requests that one rule decides in A and one in B, with the same
// consequences.
type Change struct {
	// A and B are what the policies say; Rule is -1 where no rule matches.
	A, B policy.Decision

	// Stages are those with a difference, in the order of Stages. A request can lack
	// some of them: ResponseStarted is for streams (RequestInfo.LongRunning) and
	// failed authentication, which has no other.
	Stages []StageChange

	// Regions hold all requests of the change, and only these. Complete is false where
	// there are more than Options allow, or than could be found with the effort that
	// the budget allows.
	Regions  []space.Region
	Complete bool

	// Example is a smallest request of the change.
	Example *space.Example

	label int // in the space
}

// StageChange is what is recorded at one stage. None stands for an omitted stage, too.
type StageChange struct {
	Stage    policy.Stage
	From, To policy.Level

	// ManagedFields tells that bodies are recorded on both sides, on one with
	// metadata.managedFields and on the other without.
	ManagedFields bool
}

// Direction tells whether B records more than A, less, or something of both.
type Direction int

// The directions, in the order of their urgency.
const (
	Less Direction = iota
	Mixed
	More
)

// Direction sums up the stages.
func (c *Change) Direction() Direction {
	less, more := false, false
	for _, s := range c.Stages {
		less = less || s.To.Less(s.From) || s.ManagedFields && c.B.OmitManagedFields
		more = more || s.From.Less(s.To) || s.ManagedFields && c.A.OmitManagedFields
	}
	switch {
	case less && more:
		return Mixed
	case less:
		return Less
	}
	return More
}

// Compare tells at which of the stages that r can have something else is recorded
// under b than under a.
func Compare(r *policy.Request, a, b policy.Decision) []StageChange {
	stages := r.Stages()
	if r.Authenticated {
		stages = append(stages, policy.StagePanic)
	}
	return compare(stages, a, b)
}

// compare is Compare for a request with these stages. Bodies, and in them managed
// fields, are recorded from level Request on, behind RequestReceived, and never where
// authentication failed.
func compare(stages []policy.Stage, a, b policy.Decision) []StageChange {
	var out []StageChange
	for _, s := range policy.Stages() {
		if !slices.Contains(stages, s) {
			continue
		}
		c := StageChange{Stage: s, From: at(s, a), To: at(s, b)}
		c.ManagedFields = a.OmitManagedFields != b.OmitManagedFields && s != policy.StageRequestReceived && len(stages) > 1 &&
			policy.LevelMetadata.Less(c.From) && policy.LevelMetadata.Less(c.To)
		if c.From != c.To || c.ManagedFields {
			out = append(out, c)
		}
	}
	return out
}

// at is the level that a decision gives to a stage.
func at(s policy.Stage, d policy.Decision) policy.Level {
	if d.Level == "" || slices.Contains(d.OmitStages, s) {
		return policy.LevelNone
	}
	return d.Level
}

// key is what the requests of one Change have in common. what is the differences
// without their stages.
type key struct {
	a, b int
	what string
}

// differ labels the leaves of the space: 0 where nothing differs, and for each key a
// number.
type differ struct {
	a, b   *policy.Policy
	labels map[key]int
	found  []Change // by label - 1
}

// Diff compares a with b, which must be valid. The error is a *space.TooLarge.
func Diff(a, b *policy.Policy, o Options) (*Result, error) {
	if o.Budget == 0 {
		o.Budget = space.Budget
	}
	if o.Regions == 0 {
		o.Regions = 20
	}
	d := &differ{a: a, b: b, labels: map[key]int{}}
	policies := []*policy.Policy{a, b}
	if setsStreamsApart(a) || setsStreamsApart(b) {
		// A third policy tells streams from other requests, where that can count.
		policies = append(policies, streams())
	}
	parts, err := space.Split(o.Budget, d.label, policies...)
	if err != nil {
		return nil, err
	}
	for _, c := range d.found {
		slices.SortFunc(c.Stages, func(a, b StageChange) int {
			return slices.Index(policy.Stages(), a.Stage) - slices.Index(policy.Stages(), b.Stage)
		})
	}
	slices.SortStableFunc(d.found, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Direction(), b.Direction()), cmp.Compare(a.A.Rule, b.A.Rule), cmp.Compare(a.B.Rule, b.B.Rule))
	})
	examples := parts.Examples()
	for i := range d.found {
		c := &d.found[i]
		c.Example = examples[c.label]
		c.Regions, c.Complete = parts.Regions(c.label, o.Regions)
	}
	return &Result{Changes: d.found, Classes: parts.Classes(), Steps: parts.Steps}, nil
}

// setsStreamsApart tells whether some decision of p could make more of a difference to
// streams than to other requests: it omits ResponseStarted, which the others do not
// have, or all that they have.
func setsStreamsApart(p *policy.Policy) bool {
	for i := range p.Rules {
		omit := decision(p, i).OmitStages
		if slices.Contains(omit, policy.StageResponseStarted) || len(omit) == len(policy.Stages())-1 {
			return true
		}
	}
	return false
}

// streams is a policy of which a rule decides if and only if a request is
// RequestInfo.LongRunning.
func streams() *policy.Policy {
	return &policy.Policy{Rules: []policy.PolicyRule{
		{Verbs: []string{"watch", "proxy"}},
		{Resources: []policy.GroupResources{{Group: "*", Resources: []string{"*/attach", "*/exec", "*/proxy", "*/log", "*/portforward"}}}},
		{NonResourceURLs: []string{"/debug/pprof/*"}},
	}}
}

// label is for space.Split.
func (d *differ) label(l space.Leaf) int {
	stages := policy.Stages()
	switch {
	case !l.Authenticated:
		stages = []policy.Stage{policy.StageResponseStarted}
	case len(l.Rules) > 2 && l.Rules[2] < 0:
		stages = []policy.Stage{policy.StageRequestReceived, policy.StageResponseComplete, policy.StagePanic}
	}
	a, b := decision(d.a, l.Rules[0]), decision(d.b, l.Rules[1])
	changes := compare(stages, a, b)
	if len(changes) == 0 {
		return 0
	}
	k := key{a: a.Rule, b: b.Rule}
	var what []string
	for _, c := range changes {
		what = append(what, string(c.From)+">"+string(c.To))
		if c.ManagedFields {
			what = append(what, "managed fields")
		}
	}
	slices.Sort(what)
	for _, w := range slices.Compact(what) {
		k.what += w + " "
	}
	n, ok := d.labels[k]
	if !ok {
		n = len(d.found) + 1
		d.found = append(d.found, Change{A: a, B: b, label: n})
		d.labels[k] = n
	}
	c := &d.found[n-1]
	for _, s := range changes {
		if !slices.ContainsFunc(c.Stages, func(o StageChange) bool { return o.Stage == s.Stage }) {
			c.Stages = append(c.Stages, s)
		}
	}
	return n
}

// decision is what rule i of p says about the requests that it decides; -1 is none.
func decision(p *policy.Policy, i int) policy.Decision {
	d := policy.Decision{Level: policy.LevelNone, OmitManagedFields: p.OmitManagedFields, Rule: i}
	d.OmitStages = slices.Clone(p.OmitStages)
	if i >= 0 {
		r := p.Rules[i]
		d.Level = r.Level
		d.OmitStages = append(d.OmitStages, r.OmitStages...)
		if r.OmitManagedFields != nil {
			d.OmitManagedFields = *r.OmitManagedFields
		}
	}
	slices.Sort(d.OmitStages)
	d.OmitStages = slices.Compact(d.OmitStages)
	return d
}
