package lint

import (
	"slices"
	"strings"

	"kubetrail/policy"
	"kubetrail/policy/yamltext"
)

// combinations looks at conditions that cannot hold together, and at settings that
// change nothing where they stand.
func (l *linter) combinations() {
	for i := range l.policy.Rules {
		r := &l.policy.Rules[i]
		l.scopes(i, r)
		l.createByName(i, r)
		l.stages(i, r)
	}
	l.policyStages()
}

// scopes compares a rule's namespaces with what its resources can be in.
func (l *linter) scopes(i int, r *policy.PolicyRule) {
	if len(r.Namespaces) == 0 {
		return
	}
	allNamespaced, entries := true, 0
	var cluster [][]any
	for k, g := range r.Resources {
		if len(g.Resources) == 0 {
			allNamespaced = false
			entries++
		}
		for j, text := range g.Resources {
			base, sub, _ := strings.Cut(text, "/")
			a, known := l.apis[g.Group][base]
			allNamespaced = allNamespaced && known && a.namespaced
			entries++
			// A Namespace, alone among the objects of the cluster, lies in the
			// namespace of its name.
			if known && !a.namespaced && !(g.Group == "" && base == "namespaces") && !(sub == "proxy") {
				cluster = append(cluster, []any{"rules", i, "resources", k, "resources", j})
			}
		}
	}
	if !slices.Contains(r.Namespaces, "") {
		for _, at := range cluster {
			n, _ := l.file.Find(at...)
			f := l.dead("cluster-scoped", "", say("%s are in no namespace: a rule with namespaces never matches them", "%s 不属于任何命名空间：带 namespaces 的规则不会匹配它们", n.Value), at...)
			if len(cluster) == entries && r.Level != policy.LevelNone {
				f.Fix = l.file.fix(say("leave namespaces out", "去掉 namespaces"), l.file.Remove("rules", i, "namespaces"))
			}
		}
		return
	}
	elsewhere := slices.ContainsFunc(r.Verbs, func(v string) bool { return v != "list" && v != "watch" })
	if !allNamespaced || entries == 0 || len(r.Verbs) > 0 && !elsewhere {
		return // to record lists over all namespaces is a use of it
	}
	f := l.report("empty-namespace", say("namespace \"\" is not every namespace: of these resources only lists over all namespaces match", "命名空间 \"\" 不表示所有命名空间：对这些资源，只有跨所有命名空间的列表请求匹配"),
		"rules", i, "namespaces", slices.Index(r.Namespaces, ""))
	if len(r.Namespaces) == 1 {
		f.Fix = l.file.fix(say("leave namespaces out: without it the rule matches in all of them", "去掉 namespaces：没有它时规则匹配所有命名空间"), l.file.Remove("rules", i, "namespaces"))
	}
}

// createByName reports verbs whose requests name no object, in a rule for objects of
// given names.
func (l *linter) createByName(i int, r *policy.PolicyRule) {
	if len(r.Resources) == 0 || len(r.Verbs) == 0 {
		return
	}
	for _, g := range r.Resources {
		if len(g.ResourceNames) == 0 || slices.Contains(g.ResourceNames, "") || len(g.Resources) == 0 {
			return
		}
		for _, text := range g.Resources {
			if strings.Contains(text, "/") || text == "*" {
				return // a subresource is created under the name of its parent
			}
		}
	}
	for j, v := range r.Verbs {
		if v != "create" && v != "deletecollection" {
			continue
		}
		l.dead("name-in-body", "", say("%s with resourceNames never matches: the name is not in the URL", "%s 与 resourceNames 同用时永远不匹配：名称不在 URL 中", v), "rules", i, "verbs", j)
	}
}

// stages looks at what a rule leaves out.
func (l *linter) stages(i int, r *policy.PolicyRule) {
	if r.Level == policy.LevelNone {
		if len(r.OmitStages) > 0 {
			l.useless(say("nothing is recorded at level None: omitStages changes nothing", "级别 None 不记录任何内容：omitStages 不起作用"), "rules", i, "omitStages")
		}
	} else {
		for j, s := range r.OmitStages {
			if slices.Contains(l.policy.OmitStages, s) {
				l.noEffect(say("the policy omits %s everywhere already", "策略已在所有规则中省略 %s", s), i, j)
			}
		}
		if at := slices.Index(r.OmitStages, policy.StageResponseComplete); at >= 0 && !slices.Contains(l.policy.OmitStages, policy.StageResponseComplete) {
			l.outcome([][]any{{"rules", i, "omitStages", at}})
		}
	}
	if r.OmitManagedFields != nil && r.Level.Less(policy.LevelRequest) {
		l.useless(say("no bodies are recorded at level %s: omitManagedFields changes nothing", "级别 %s 不记录请求体：omitManagedFields 不起作用", r.Level), "rules", i, "omitManagedFields")
	}
}

// noEffect reports entry j of what rule i leaves out.
func (l *linter) noEffect(msg Text, i, j int) {
	if len(l.policy.Rules[i].OmitStages) == 1 {
		l.useless(msg, "rules", i, "omitStages")
		return
	}
	at := []any{"rules", i, "omitStages", j}
	l.report("no-effect", msg, at...).Fix = l.file.fix(say("remove it", "删除它"), l.file.Remove(at...))
}

// useless reports a member that changes nothing.
func (l *linter) useless(msg Text, at ...any) {
	l.report("no-effect", msg, at...).Fix = l.file.fix(say("remove it", "删除它"), l.file.Remove(at...))
}

func (l *linter) outcome(where [][]any) {
	l.report("outcome-lost", say("without ResponseComplete no event says whether the request succeeded, and none holds a response", "省略 ResponseComplete 后，没有事件能说明请求是否成功，也没有响应内容"), where[0]...).
		Fix = l.keepAll(where)
}

// omitting lists where a stage is omitted: by the policy first, then by rules that
// record anything.
func (l *linter) omitting(s policy.Stage) [][]any {
	var where [][]any
	if j := slices.Index(l.policy.OmitStages, s); j >= 0 {
		where = append(where, []any{"omitStages", j})
	}
	for i, r := range l.policy.Rules {
		if j := slices.Index(r.OmitStages, s); j >= 0 && r.Level != policy.LevelNone {
			where = append(where, []any{"rules", i, "omitStages", j})
		}
	}
	return where
}

// keepAll takes stages out of all these lists.
func (l *linter) keepAll(where [][]any) *Fix {
	var all *Fix
	for _, at := range where {
		fix := l.keepStage(at)
		switch {
		case fix == nil:
			return nil
		case all == nil:
			all = fix
		default:
			all.Edits = append(all.Edits, fix.Edits...)
		}
	}
	return all
}

// keepStage takes the stage at path out of a list of stages to omit, as often as it
// is there, and the list with it if nothing else is.
func (l *linter) keepStage(at []any) *Fix {
	stage, ok := l.file.Find(at...)
	list, ok2 := l.file.Find(at[:len(at)-1]...)
	if !ok || !ok2 {
		return nil
	}
	var rest []string
	var edits []*yamltext.Edit
	for j, n := range list.Content {
		if n.Value == stage.Value {
			edits = append(edits, l.file.Remove(append(slices.Clone(at[:len(at)-1]), j)...))
			continue
		}
		rest = append(rest, n.Value)
	}
	start, ok := l.file.Offset(list.Line, list.Column)
	end, ok2 := l.file.End(list)
	switch {
	case len(rest) == 0:
		edits = []*yamltext.Edit{l.file.Remove(at[:len(at)-1]...)}
	case yamltext.Flow(list) && ok && ok2 && len(edits) > 1:
		edits = []*yamltext.Edit{{Start: start, End: end, New: flowList(rest)}}
	}
	return l.file.fix(say("record %s again", "恢复记录 %s", stage.Value), edits...)
}

// policyStages looks at what the policy leaves out everywhere.
func (l *linter) policyStages() {
	if slices.Contains(l.policy.OmitStages, policy.StageResponseComplete) {
		l.outcome(l.omitting(policy.StageResponseComplete))
	}
	where := l.omitting(policy.StageRequestReceived)
	if !l.cfg.BlockingStrict || len(where) == 0 {
		return
	}
	l.report("blocking-strict-void", say("blocking-strict fails requests whose RequestReceived event cannot be written: where that stage is omitted it fails none", "blocking-strict 会让 RequestReceived 事件写入失败的请求失败：省略该阶段后，它不再起作用"),
		where[0]...).Fix = l.keepAll(where)
}
