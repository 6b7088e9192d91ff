package simulate

import (
	"slices"

	"kubetrail/policy"
	"kubetrail/policy/space"
)

// reach is which requests lead to each rule of a candidate. Every request that the
// policies can tell apart was looked at, unless that was too large a number.
type reach struct {
	tooLarge  bool
	seen      map[int]bool // rules that decide about requests which the policy in force records, or may record
	unseen    map[int]bool // about those which it does not record
	invisible []Invisible  // the rules of unseen that record them
}

// explore looks at every request. current is nil where the policy in force is not
// known.
func explore(candidate, current *policy.Document) reach {
	r := reach{seen: map[int]bool{}, unseen: map[int]bool{}, invisible: []Invisible{}}
	policies := []*policy.Policy{candidate.Policy}
	if current != nil {
		policies = append(policies, current.Policy)
	}
	parts, err := space.Split(space.Budget, func(l space.Leaf) int {
		if l.Rules[0] < 0 {
			return 0
		}
		// Three labels a rule: what is recorded anyway, what is not, and what of that
		// the candidate records.
		label := 1 + 3*l.Rules[0]
		if current == nil || records(current.Policy, l.Rules[1], l.Authenticated) {
			return label
		}
		if !records(candidate.Policy, l.Rules[0], l.Authenticated) {
			return label + 1
		}
		return label + 2
	}, policies...)
	if err != nil {
		r.tooLarge = true
		return r
	}
	for label, x := range parts.Examples() {
		rule, kind := (label-1)/3, (label-1)%3
		switch {
		case label == 0:
		case kind == 0:
			r.seen[rule] = true
		default:
			r.unseen[rule] = true
		}
		if label > 0 && kind == 2 {
			r.invisible = append(r.invisible, Invisible{Rule: rule, Line: candidate.Position(rulePath(rule)).Line,
				Level:   candidate.Policy.Rules[rule].Level,
				Example: RequestLine{Method: x.Method, URI: x.URI, User: x.Request.User, Groups: x.Request.Groups}})
		}
	}
	slices.SortFunc(r.invisible, func(a, b Invisible) int { return a.Rule - b.Rule })
	return r
}

// why tells why a rule matched no event.
func (r *reach) why(rule int) Never {
	switch {
	case r.tooLarge || r.seen[rule]:
		return NeverSeen
	case r.unseen[rule]:
		return NeverRecorded
	}
	return NeverReached
}

// records tells whether a rule of p has an event written of a request at all. One that
// failed authentication has a single stage.
func records(p *policy.Policy, rule int, authenticated bool) bool {
	if rule < 0 || p.Rules[rule].Level == policy.LevelNone {
		return false
	}
	stages := []policy.Stage{policy.StageRequestReceived, policy.StageResponseStarted, policy.StageResponseComplete}
	if !authenticated {
		stages = []policy.Stage{policy.StageResponseStarted}
	}
	return slices.ContainsFunc(stages, func(s policy.Stage) bool {
		return !slices.Contains(p.OmitStages, s) && !slices.Contains(p.Rules[rule].OmitStages, s)
	})
}
