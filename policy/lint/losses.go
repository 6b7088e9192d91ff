package lint

import (
	"slices"
	"strings"

	"kubetrail/policy"
)

// losses finds what an investigation would miss.
func (l *linter) losses() {
	if l.recordsNothing() {
		return
	}
	l.catchAll()
	l.secretReads()
	l.changes()
	l.blindSpots()
	l.failedLogins()
	l.patches()
	l.halfOfEvents()
	l.outdated()
}

// recordsNothing reports a policy that drops all requests before a rule records one.
func (l *linter) recordsNothing() bool {
	rules := l.policy.Rules
	all, nothing := dropsAll(rules)
	if !nothing {
		return false
	}
	if all < 0 {
		l.report("records-nothing", say("all rules are of level None: nothing is ever recorded", "所有规则的级别都是 None：不会记录任何内容"), "rules").
			Fix = l.file.fix(say("record the rest", "记录其余请求"), l.file.appendRule("- level: Metadata"))
		return true
	}
	f := l.report("records-nothing", say("this rule drops every request, and none before it records any: nothing is ever recorded", "此规则丢弃所有请求，而前面没有规则记录任何内容：什么都不会记录"), "rules", all, "level")
	f.Fix = l.file.fix(say("record who did what", "记录谁做了什么"), l.file.SetAt("Metadata", "rules", all, "level"))
	if _, nothing := dropsAll(slices.Delete(slices.Clone(rules), all, all+1)); !nothing {
		f.Fix = l.file.fix(say("remove it, so that the rules behind it count", "删除它，使后面的规则生效"), l.file.removeRule(all))
	}
	return true
}

// dropsAll tells whether no rule records anything before one drops all that is left:
// its index, or -1 where there is no such rule.
func dropsAll(rules []policy.PolicyRule) (all int, nothing bool) {
	for i, r := range rules {
		switch {
		case r.Level != policy.LevelNone:
			return -1, false
		case unconditional(&r):
			return i, true
		}
	}
	return -1, true
}

// unconditional tells rules that match every request.
func unconditional(r *policy.PolicyRule) bool {
	return len(r.Users)+len(r.UserGroups)+len(r.Verbs)+len(r.Resources)+len(r.Namespaces)+len(r.NonResourceURLs) == 0
}

// catchAll reports requests that no rule matches.
func (l *linter) catchAll() {
	custom := target{"kubetrail-lint.example.com", "widgets", ""}
	var missed, zh []string
	miss := func(en, cn string, q policy.Request) {
		if l.matcher.Match(&q).Rule < 0 && !slices.Contains(missed, en) {
			missed, zh = append(missed, en), append(zh, cn)
		}
	}
	for _, verb := range apiVerbs() {
		miss("custom resources", "自定义资源", request(verb, custom))
		miss("custom resources", "自定义资源", inCluster(request(verb, custom)))
		for _, t := range []target{{"", "pods", ""}, {"apps", "deployments", ""}, {"", "pods", "status"}} {
			miss("resources", "资源", request(verb, t))
		}
	}
	for _, verb := range httpVerbs()[:6] {
		q := getURL("/kubetrail-lint")
		q.Verb = verb
		miss("other URLs", "其他 URL", q)
	}
	unknown := request("list", custom)
	unknown.Authenticated, unknown.User, unknown.Groups = false, "", nil
	miss("failed logins", "失败的登录", unknown)
	if len(missed) > 0 {
		l.report("no-catch-all", say("no rule matches some requests (%s): they leave no trace", "有些请求没有规则匹配（%[2]s）：它们不会留下任何痕迹", strings.Join(missed, ", "), strings.Join(zh, "、")).trim(), "rules").
			Fix = l.file.fix(say("record the rest", "记录其余请求"), l.file.appendRule("- level: Metadata"))
	}
}

// trim cuts what Sprintf says about arguments that only the other language uses.
func (t Text) trim() Text {
	t.En, _, _ = strings.Cut(t.En, "%!(EXTRA")
	t.Zh, _, _ = strings.Cut(t.Zh, "%!(EXTRA")
	return t
}

// secretReads reports secrets that anybody may read unseen.
func (l *linter) secretReads() {
	var hidden []string
	rule := -1
	for _, verb := range []string{"get", "list", "watch"} {
		q := request(verb, secrets())
		if d := l.matcher.Match(&q); d.Level == policy.LevelNone && d.Rule >= 0 {
			if rule < 0 {
				rule = d.Rule
			}
			hidden = append(hidden, verb)
		}
	}
	if rule >= 0 {
		l.report("secret-reads-lost", say("reading secrets (%s) is not recorded", "读取 secrets（%s）不会被记录", strings.Join(hidden, ", ")), "rules", rule, "level").
			Fix = l.recordAt(rule, policy.LevelMetadata, secrets())
	}
}

// changes reports changes to what attackers change that nobody would see.
func (l *linter) changes() {
	rbac := "rbac.authorization.k8s.io"
	type change struct {
		t       target
		cluster bool
		verbs   []string
	}
	write := []string{"create", "update", "patch", "delete"}
	byRule := map[int][]target{}
	for _, c := range []change{
		{target{"", "pods", ""}, false, write},
		{target{"", "pods", "exec"}, false, []string{"create", "get"}},
		{target{"", "pods", "attach"}, false, []string{"create", "get"}},
		{target{"", "pods", "ephemeralcontainers"}, false, []string{"update", "patch"}},
		{target{"", "secrets", ""}, false, write},
		{target{"", "serviceaccounts", ""}, false, write},
		{target{"", "serviceaccounts", "token"}, false, []string{"create"}},
		{target{"apps", "daemonsets", ""}, false, write},
		{target{"apps", "deployments", ""}, false, write},
		{target{rbac, "rolebindings", ""}, false, write},
		{target{rbac, "roles", ""}, false, write},
		{target{rbac, "clusterrolebindings", ""}, true, write},
		{target{rbac, "clusterroles", ""}, true, write},
		{target{"admissionregistration.k8s.io", "mutatingwebhookconfigurations", ""}, true, write},
	} {
		for _, verb := range c.verbs {
			q := request(verb, c.t)
			if c.cluster {
				q = inCluster(q)
			}
			if d := l.matcher.Match(&q); d.Level == policy.LevelNone && d.Rule >= 0 && !slices.Contains(byRule[d.Rule], c.t) {
				byRule[d.Rule] = append(byRule[d.Rule], c.t)
			}
		}
	}
	for i := range l.policy.Rules {
		if lost := byRule[i]; len(lost) > 0 {
			l.report("changes-lost", say("changes that anybody makes to %s are not recorded", "任何人对 %s 的更改都不会被记录", names(lost)), "rules", i, "level").
				Fix = l.recordAt(i, policy.LevelMetadata, lost...)
		}
	}
}

// blindSpots reports kinds of users whose changes are not recorded, though those of
// others are.
func (l *linter) blindSpots() {
	binding := target{"rbac.authorization.k8s.io", "rolebindings", ""}
	anybody := request("create", binding)
	if l.matcher.Match(&anybody).Level == policy.LevelNone {
		return // reported by changes
	}
	for _, who := range []struct {
		user   string
		groups []string
	}{
		{someone, []string{"system:masters", "system:authenticated"}},
		{"system:serviceaccount:" + somewhere + ":" + something, []string{"system:serviceaccounts", "system:serviceaccounts:" + somewhere, "system:authenticated"}},
		{"system:anonymous", []string{"system:unauthenticated"}},
	} {
		q := request("create", binding)
		q.User, q.Groups = who.user, who.groups
		d := l.matcher.Match(&q)
		if d.Level != policy.LevelNone || d.Rule < 0 {
			continue
		}
		group := who.groups[0]
		f := l.report("blind-spot", say("whatever users of the group %q change is not recorded", "组 %q 的用户所做的更改都不会被记录", group), "rules", d.Rule, "level")
		r := l.policy.Rules[d.Rule]
		if len(r.UserGroups) == 1 && len(r.Users)+len(r.Verbs)+len(r.Resources)+len(r.Namespaces) == 0 {
			f.Fix = l.file.fix(say("record who did what", "记录谁做了什么"), l.file.SetAt("Metadata", "rules", d.Rule, "level"))
			continue
		}
		f.Fix = l.file.fix(say("record their changes", "记录他们的更改"), l.file.insertRule(d.Rule, "- level: Metadata", "  userGroups: "+flowList(who.groups[:1]),
			`  verbs: ["create", "update", "patch", "delete", "deletecollection"]`))
	}
}

// failedLogins reports that requests which fail authentication are not seen: their one
// event is of the stage ResponseStarted.
func (l *linter) failedLogins() {
	msg := say("a failed login (401) has one event, of this stage: without it none is seen, nor when a watch or exec begins", "登录失败（401）只有这一个阶段的事件：省略它就看不到任何失败登录，也看不到 watch 和 exec 何时开始")
	if j := slices.Index(l.policy.OmitStages, policy.StageResponseStarted); j >= 0 {
		l.report("failed-logins-lost", msg, "omitStages", j).Fix = l.keepAll(l.omitting(policy.StageResponseStarted))
		return
	}
	q := request("list", target{"", "pods", ""})
	q.Authenticated, q.User, q.Groups = false, "", nil
	d := l.matcher.Match(&q)
	if d.Rule < 0 {
		return
	}
	if j := slices.Index(l.policy.Rules[d.Rule].OmitStages, policy.StageResponseStarted); j >= 0 && d.Level != policy.LevelNone {
		l.report("failed-logins-lost", msg, "rules", d.Rule, "omitStages", j).Fix = l.keepStage([]any{"rules", d.Rule, "omitStages", j})
	}
}

// patches reports that a patch in YAML or CBOR leaves no trace: up to 1.36 its
// ResponseComplete event cannot be encoded at level Request and above.
func (l *linter) patches() {
	if l.cfg.Kubernetes > 36 {
		return
	}
	var where [][]any
	everywhere := slices.Index(l.policy.OmitStages, policy.StageRequestReceived)
	if everywhere >= 0 {
		where = append(where, []any{"omitStages", everywhere})
	}
	first := -1
	for i, r := range l.policy.Rules {
		here := slices.Index(r.OmitStages, policy.StageRequestReceived)
		if r.Level.Less(policy.LevelRequest) || everywhere < 0 && here < 0 || !l.patched(i) {
			continue
		}
		if here >= 0 {
			where = append(where, []any{"rules", i, "omitStages", here})
		}
		if first < 0 {
			first = i
		}
	}
	if first < 0 {
		return
	}
	f := l.report("patch-without-trace", say("a patch sent as YAML or CBOR leaves no event at all on Kubernetes up to 1.36: RequestReceived is omitted, and at level %s (rules[%d]) ResponseComplete fails to encode",
		"在 Kubernetes 1.36 及更早版本上，以 YAML 或 CBOR 发送的 patch 不会留下任何事件：RequestReceived 被省略，而级别 %s（rules[%d]）的 ResponseComplete 编码失败", l.policy.Rules[first].Level, first), where[0]...)
	f.Fix = l.keepAll(where)
}

// patched tells whether rule i decides patches.
func (l *linter) patched(i int) bool {
	r := &l.policy.Rules[i]
	if len(r.Resources) == 0 {
		_, ok := l.asks(i, []string{"patch"}, target{"kubetrail-lint.example.com", "widgets", ""}, false)
		return ok
	}
	for _, g := range r.Resources {
		for _, name := range some(g.Resources, something) {
			base, sub, _ := strings.Cut(strings.TrimSuffix(name, "/*"), "/")
			if base == "*" {
				base = something
			}
			t := target{g.Group, base, sub}
			if _, ok := l.asks(i, []string{"patch"}, t, false); ok {
				return true
			}
			if _, ok := l.asks(i, []string{"patch"}, t, true); ok && len(r.Namespaces) == 0 {
				return true
			}
		}
	}
	return false
}

// halfOfEvents reports that Events are dropped in one group and recorded in the other.
func (l *linter) halfOfEvents() {
	groups := []string{"", "events.k8s.io"}
	for i, r := range l.policy.Rules {
		if r.Level != policy.LevelNone {
			continue
		}
		for n, group := range groups {
			other := groups[1-n]
			k := slices.IndexFunc(r.Resources, func(g policy.GroupResources) bool {
				return g.Group == group && slices.Contains(g.Resources, "events") && len(g.ResourceNames) == 0
			})
			if k < 0 || slices.ContainsFunc(r.Resources, func(g policy.GroupResources) bool { return g.Group == other && slices.Contains(g.Resources, "events") }) {
				continue
			}
			verbs := some(r.Verbs, "create")
			q, decides := l.asks(i, verbs, target{group, "events", ""}, false)
			q.APIGroup, q.APIPrefix = other, map[string]string{"": "api", "events.k8s.io": "apis"}[other]
			if d := l.matcher.Match(&q); !decides || d.Level == policy.LevelNone {
				continue
			}
			seq, _ := l.file.Find("rules", i, "resources")
			l.report("half-of-events", say("Events are dropped in group %q, but recorded in %q: they are the same objects", "组 %q 的 Events 被丢弃，组 %q 的却仍在记录：它们是同样的对象", group, other), "rules", i, "resources", k, "group").
				Fix = l.file.fix(say("drop them in both", "两个组都丢弃"), l.file.AppendItem(seq, `- group: "`+other+`"`, `  resources: ["events"]`))
		}
	}
}

// outdated reports rules against noise that has moved elsewhere since.
func (l *linter) outdated() {
	current := target{"discovery.k8s.io", "endpointslices", ""}
	for i, r := range l.policy.Rules {
		k, named := l.names(i, "", "endpoints")
		if r.Level != policy.LevelNone || !named || len(r.Resources[k].ResourceNames) > 0 {
			continue
		}
		for _, user := range r.Users {
			q := request("watch", current)
			q.User, q.Groups = user, []string{"system:authenticated"}
			old := request("watch", target{"", "endpoints", ""})
			old.User, old.Groups = q.User, q.Groups
			if user != "system:kube-proxy" || l.matcher.Match(&old).Rule != i || l.matcher.Match(&q).Level == policy.LevelNone {
				continue
			}
			seq, _ := l.file.Find("rules", i, "resources")
			l.report("outdated-exemption", say("kube-proxy watches endpointslices of discovery.k8s.io since Kubernetes 1.19, and those are recorded", "自 Kubernetes 1.19 起 kube-proxy 监视的是 discovery.k8s.io 的 endpointslices，而它们仍被记录"),
				"rules", i, "resources", k, "resources").Fix = l.file.fix(say("name them too", "也列出它们"), l.file.AppendItem(seq, `- group: "discovery.k8s.io"`, `  resources: ["endpointslices"]`))
		}
	}
}

// names tells which entry of rule i names a resource of a group.
func (l *linter) names(i int, group, resource string) (int, bool) {
	k := slices.IndexFunc(l.policy.Rules[i].Resources, func(g policy.GroupResources) bool {
		return g.Group == group && slices.Contains(g.Resources, resource)
	})
	return k, k >= 0
}
