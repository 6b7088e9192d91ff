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

// Change is the requests that one rule decides in A and one in B, where that makes a
// difference.
type Change struct {
	// A and B are what the policies say; Rule is -1 where no rule matches.
	A, B policy.Decision

	// Stages are those with a difference, in the order of Stages. A request can lack
	// some of them: ResponseStarted is for streams (RequestInfo.LongRunning) and
	// failed authentication, which has no other.
	Stages []StageChange

	// Regions hold all requests of the change, and beside these only such as lack the
	// stages that differ. Complete is false where there are more than Options allow,
	// or than could be found with the effort that the budget allows.
	Regions  []space.Region
	Complete bool

	// Examples are smallest requests of the change: one, or as many as it takes to
	// show each difference of levels in Stages.
	Examples []*space.Example

	kinds [kinds]int // labels of requests that differ, by kind; 0 where none do
	mute  int        // label of requests that lack the stages that differ
}

// The kinds of requests that pass other stages.
const (
	short  = iota // authenticated, and no stream where that counts
	stream        // authenticated
	failed        // not authenticated
	kinds
)

// StageChange is what is recorded at one stage. None stands for an omitted stage, too.
type StageChange struct {
	Stage    policy.Stage
	From, To policy.Level

	// ManagedFields tells that the level is the same and bodies are recorded, on one
	// side with metadata.managedFields and on the other without.
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
			c.From == c.To && policy.LevelMetadata.Less(c.From)
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

// differ labels the leaves of the space: 0 where nothing differs.
type differ struct {
	a, b   *policy.Policy
	found  map[[2]int]*Change // by the rules of a and b
	labels int
}

// Diff compares a with b, which must be valid. The error is a *space.TooLarge.
func Diff(a, b *policy.Policy, o Options) (*Result, error) {
	if o.Budget == 0 {
		o.Budget = space.Budget
	}
	if o.Regions == 0 {
		o.Regions = 20
	}
	d := &differ{a: a, b: b, found: map[[2]int]*Change{}}
	policies := []*policy.Policy{a, b}
	if setsStreamsApart(a) || setsStreamsApart(b) {
		// A third policy tells streams from other requests, where that can count.
		policies = append(policies, streams())
	}
	parts, err := space.Split(o.Budget, d.label, policies...)
	if err != nil {
		return nil, err
	}
	r := &Result{Classes: parts.Classes(), Steps: parts.Steps}
	for _, c := range d.found {
		if len(c.Stages) > 0 {
			slices.SortFunc(c.Stages, func(a, b StageChange) int {
				return slices.Index(policy.Stages(), a.Stage) - slices.Index(policy.Stages(), b.Stage)
			})
			r.Changes = append(r.Changes, *c)
		}
	}
	slices.SortFunc(r.Changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Direction(), b.Direction()), cmp.Compare(a.A.Rule, b.A.Rule), cmp.Compare(a.B.Rule, b.B.Rule))
	})
	examples := parts.Examples()
	for i := range r.Changes {
		r.Changes[i].describe(parts, examples, o.Regions)
	}
	return r, nil
}

// describe fills in Regions and Examples.
func (c *Change) describe(parts *space.Partition, examples map[int]*space.Example, most int) {
	want := space.Want{Free: []int{c.mute}}
	shown := map[StageChange]bool{}
	for _, label := range c.kinds {
		if label == 0 {
			continue
		}
		want.Labels = append(want.Labels, label)
		news := false
		for _, s := range Compare(&examples[label].Request, c.A, c.B) {
			s.Stage = ""
			news = news || !shown[s]
			shown[s] = true
		}
		if news {
			c.Examples = append(c.Examples, examples[label])
		}
	}
	c.Regions, c.Complete = parts.Regions(want, most)
}

// setsStreamsApart tells whether some decision of p could make another difference to
// streams than to other requests, which have no ResponseStarted: it omits a stage, and
// not only RequestReceived, which both have.
func setsStreamsApart(p *policy.Policy) bool {
	for i := range p.Rules {
		if slices.ContainsFunc(p.Decision(i).OmitStages, func(s policy.Stage) bool { return s != policy.StageRequestReceived }) {
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
	all := policy.Stages()
	kind, stages := short, []policy.Stage{policy.StageRequestReceived, policy.StageResponseComplete, policy.StagePanic}
	switch {
	case !l.Authenticated:
		kind, stages = failed, []policy.Stage{policy.StageResponseStarted}
	case len(l.Rules) == 2:
		stages = all
	case l.Rules[2] >= 0:
		kind, stages = stream, all
	}
	a, b := d.a.Decision(l.Rules[0]), d.b.Decision(l.Rules[1])
	if len(compare(all, a, b)) == 0 {
		return 0
	}
	pair := [2]int{a.Rule, b.Rule}
	c := d.found[pair]
	if c == nil {
		c = &Change{A: a, B: b, mute: d.newLabel()}
		d.found[pair] = c
	}
	changes := compare(stages, a, b)
	if len(changes) == 0 {
		return c.mute
	}
	if c.kinds[kind] == 0 {
		c.kinds[kind] = d.newLabel()
	}
	for _, s := range changes {
		if !slices.ContainsFunc(c.Stages, func(o StageChange) bool { return o.Stage == s.Stage }) {
			c.Stages = append(c.Stages, s)
		}
	}
	return c.kinds[kind]
}

func (d *differ) newLabel() int {
	d.labels++
	return d.labels
}
