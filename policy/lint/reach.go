package lint

import (
	"fmt"
	"slices"
	"strings"

	"kubetrail/policy"
	"kubetrail/policy/space"
)

// reach reports rules that decide no request, because rules before them decide all
// those that they match.
func (l *linter) reach() {
	if slices.ContainsFunc(l.found, func(f Finding) bool { return f.Check == "records-nothing" }) {
		return // it says why
	}
	rules := l.policy.Rules
	examples, err := space.Reachable(l.policy, space.Budget/10)
	for i := range rules {
		switch {
		case err == nil && examples[i] != nil:
			l.oddOnly(i, examples[i])
		case !l.possible(i):
			l.impossible(i)
		case err == nil:
			l.shadowed(i, l.shadowers(i))
		default: // too large to prove as a whole: one rule may do it alone
			if j := slices.IndexFunc(rules[:i], func(r policy.PolicyRule) bool { return covers(&r, &rules[i]) }); j >= 0 {
				l.shadowed(i, []int{j})
			}
		}
	}
}

// oddOnly reports a rule that is left only what no ordinary client asks for. A
// catch-all may be there for just that.
func (l *linter) oddOnly(i int, left *space.Example) {
	odd := left.Odd || left.Request.IsResourceRequest && !slices.Contains(apiVerbs(), left.Request.Verb)
	if !odd || unconditional(&l.policy.Rules[i]) || ordinarily(l.policy.Rules[:i+1]) || !ordinarily(l.policy.Rules[i:i+1]) {
		return
	}
	l.report("shadowed-rule", say("the rules before it leave it only requests that no ordinary client sends, such as %s %s", "前面的规则只给它留下了普通客户端不会发送的请求，例如 %s %s",
		left.Method, left.URI), "rules", i).Severity = Warning
}

// ordinarily tells whether the last of these rules decides a request that an ordinary
// client sends: one with a verb of the API, not that of an unknown method or of the
// old paths below /proxy/.
func ordinarily(rules []policy.PolicyRule) bool {
	p := &policy.Policy{Rules: append([]policy.PolicyRule{{Level: policy.LevelNone, Verbs: []string{"", "proxy"}}}, rules...)}
	examples, err := space.Reachable(p, space.Budget/10)
	return err != nil || examples[len(rules)] != nil && !examples[len(rules)].Odd
}

// decides tells whether the last of these rules decides any request.
func (l *linter) decides(rules ...int) bool {
	p := &policy.Policy{}
	for _, i := range rules {
		p.Rules = append(p.Rules, l.policy.Rules[i])
	}
	examples, err := space.Reachable(p, space.Budget/100)
	return err != nil || examples[len(rules)-1] != nil
}

func (l *linter) possible(i int) bool { return l.decides(i) }

// impossible reports a rule that matches no request though nothing stands before it,
// unless what makes it so is reported already.
func (l *linter) impossible(i int) {
	n, ok := l.file.Find("rules", i)
	if !ok {
		return
	}
	to := l.file.Lines() + 1
	if next, ok := l.file.Find("rules", i+1); ok {
		to = next.Line
	}
	if slices.ContainsFunc(l.found, func(f Finding) bool { return f.Line >= n.Line && f.Line < to && f.Severity == Error }) {
		return
	}
	l.report("contradiction", say("no request fulfils all conditions of this rule", "没有请求能同时满足此规则的所有条件"), "rules", i).
		Fix = l.file.fix(say("remove it; what is recorded stays the same", "删除它；记录的内容不变"), l.file.removeRule(i))
}

// shadowers returns the rules before rule i that leave it nothing: one where one
// suffices, else as few as were found.
func (l *linter) shadowers(i int) []int {
	for j := range i {
		if covers(&l.policy.Rules[j], &l.policy.Rules[i]) {
			return []int{j}
		}
	}
	const most = 40 // rules; to look for the fewest among more takes long
	if i > most {
		return nil
	}
	for j := range i {
		if !l.decides(j, i) {
			return []int{j}
		}
	}
	var all []int
	for j := range i {
		all = append(all, j)
	}
	for j := i - 1; j >= 0; j-- {
		without := slices.DeleteFunc(slices.Clone(all), func(k int) bool { return k == j })
		if !l.decides(append(without, i)...) {
			all = without
		}
	}
	return all
}

// covers tells, looking at the lists alone, that a matches whatever b does.
func covers(a, b *policy.PolicyRule) bool {
	if !within(b.Users, a.Users) || !within(b.UserGroups, a.UserGroups) || !within(b.Verbs, a.Verbs) {
		return false
	}
	switch {
	case len(a.Resources)+len(a.Namespaces) > 0:
		return within(b.Namespaces, a.Namespaces) && len(b.Resources)+len(b.Namespaces) > 0 && coverResources(a.Resources, b.Resources)
	case len(a.NonResourceURLs) > 0:
		return len(b.Resources)+len(b.Namespaces) == 0 && within(b.NonResourceURLs, a.NonResourceURLs)
	}
	return true
}

// within tells whether a list of conditions, of which one must hold, lets no more
// through than another; the empty list lets everything through.
func within(list, in []string) bool {
	return len(in) == 0 || len(list) > 0 && !slices.ContainsFunc(list, func(v string) bool { return !slices.Contains(in, v) })
}

func coverResources(a, b []policy.GroupResources) bool {
	if len(a) == 0 {
		return true
	}
	for _, g := range b {
		for _, name := range some(g.Resources, "*") {
			if !slices.ContainsFunc(a, func(h policy.GroupResources) bool {
				return (h.Group == g.Group || h.Group == "*") && within(g.ResourceNames, h.ResourceNames) &&
					(len(h.Resources) == 0 || slices.ContainsFunc(h.Resources, func(by string) bool { return coversResource(name, by) }))
			}) {
				return false
			}
		}
	}
	return len(b) > 0
}

// shadowed reports rule i, which the rules by leave nothing.
func (l *linter) shadowed(i int, by []int) {
	var f *Finding
	switch {
	case len(by) == 1:
		f = l.report("shadowed-rule", say("rules[%d] (line %d) already matches all of it: this rule never decides", "rules[%d]（第 %d 行）已完全覆盖它：此规则永远不起作用", by[0], l.lineOf(by[0])), "rules", i)
	case len(by) == 0:
		f = l.report("shadowed-rule", say("the rules before it match all of it together: this rule never decides", "前面的规则合起来已完全覆盖它：此规则永远不起作用"), "rules", i)
		for j := range i {
			by = append(by, j)
		}
	default:
		var en []string
		for _, j := range by {
			en = append(en, fmt.Sprintf("rules[%d] (line %d)", j, l.lineOf(j)))
		}
		var zh []string
		for _, j := range by {
			zh = append(zh, fmt.Sprintf("rules[%d]（第 %d 行）", j, l.lineOf(j)))
		}
		f = l.report("shadowed-rule", say("%s", "%[2]s", strings.Join(en, ", ")+" together match all of it: this rule never decides",
			strings.Join(zh, "、")+" 合起来已完全覆盖它：此规则永远不起作用").trim(), "rules", i)
	}
	remove := say("remove it, nothing changes; or move it before rules[%d] to make it count", "删除它，结果不变；或移到 rules[%d] 之前使其生效", by[0])
	if !slices.ContainsFunc(by, func(j int) bool { return !l.sameOutcome(i, j) }) {
		f.Severity = Warning
		remove = say("remove it: nothing changes", "删除它：结果不变")
	}
	f.Fix = l.file.fix(remove, l.file.removeRule(i))
}

func (l *linter) lineOf(i int) int {
	from, _ := l.file.Place("rules", i)
	return from.Line
}

// sameOutcome tells whether two rules record the same of what they match.
func (l *linter) sameOutcome(i, j int) bool {
	a, b := l.policy.Rules[i], l.policy.Rules[j]
	if a.Level != b.Level || a.Level == policy.LevelNone {
		return a.Level == b.Level
	}
	stages := func(r policy.PolicyRule) []policy.Stage {
		all := append(slices.Clone(r.OmitStages), l.policy.OmitStages...)
		slices.Sort(all)
		return slices.Compact(all)
	}
	fields := func(r policy.PolicyRule) bool {
		if r.OmitManagedFields != nil {
			return *r.OmitManagedFields
		}
		return l.policy.OmitManagedFields
	}
	return slices.Equal(stages(a), stages(b)) && (fields(a) == fields(b) || a.Level.Less(policy.LevelRequest))
}
