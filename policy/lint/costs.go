package lint

import (
	"slices"
	"strconv"
	"strings"

	"kubetrail/policy"
	"kubetrail/policy/yamltext"
)

// costs finds what fills the log without telling anything.
func (l *linter) costs() {
	l.reads()
	l.leases()
	l.healthChecks()
	l.managedFields()
}

// reads reports rules that write the answers of get, list and watch into the log.
func (l *linter) reads() {
	for i, r := range l.policy.Rules {
		if r.Level != policy.LevelRequestResponse {
			continue
		}
		// A list is what costs: its answer holds all objects.
		q, costly := l.asks(i, []string{"list"}, target{"kubetrail-lint.example.com", "widgets", ""}, false)
		for _, g := range r.Resources {
			if _, gone := goneGroups()[g.Group]; gone {
				continue
			}
			for _, name := range some(g.Resources, something) {
				base, sub, _ := strings.Cut(name, "/")
				if base == "*" {
					base = something
				}
				if sub != "" && sub != "*" {
					continue // a subresource is one object
				}
				t := target{g.Group, base, ""}
				known := l.apis[g.Group][base]
				if by, ok := l.asks(i, []string{"list"}, t, len(r.Namespaces) == 0 && !known.namespaced); ok {
					q, costly = by, true
				}
			}
		}
		if costly {
			f := l.report("costly-reads", say("each list is written to the log with all the objects in its answer", "每次 list 都会把应答中的所有对象写入日志"), "rules", i, "level")
			f.Fix = l.readsBefore(i, r)
			if !ordinary(q) {
				f.Severity = Info // of these users alone: it seems to be on purpose
			}
		}
	}
}

// readsBefore puts a copy of rule i before it, for reads and at level Metadata.
func (l *linter) readsBefore(i int, r policy.PolicyRule) *Fix {
	what := say("record reads without bodies", "读取请求只记录元数据")
	reads := slices.DeleteFunc(slices.Clone(r.Verbs), func(v string) bool { return !slices.Contains([]string{"get", "list", "watch"}, v) })
	if len(r.Verbs) == 0 {
		reads = []string{"get", "list", "watch"}
	}
	if len(reads) == len(r.Verbs) {
		return l.file.fix(what, l.file.SetAt("Metadata", "rules", i, "level"))
	}
	rule := []string{"- level: Metadata"}
	for _, list := range []struct {
		name   string
		values []string
	}{{"users", r.Users}, {"userGroups", r.UserGroups}, {"verbs", reads}, {"namespaces", r.Namespaces}, {"omitStages", words(r.OmitStages)}} {
		if len(list.values) > 0 {
			rule = append(rule, "  "+list.name+": "+flowList(list.values))
		}
	}
	if len(r.Resources) > 0 {
		rule = append(rule, "  resources:")
	}
	for _, g := range r.Resources {
		rule = append(rule, "    - group: "+quote(g.Group))
		if len(g.Resources) > 0 {
			rule = append(rule, "      resources: "+flowList(g.Resources))
		}
		if len(g.ResourceNames) > 0 {
			rule = append(rule, "      resourceNames: "+flowList(g.ResourceNames))
		}
	}
	return l.file.fix(what, l.file.insertRule(i, rule...))
}

func quote(s string) string { return strconv.Quote(s) }

func flowList(values []string) string {
	var quoted []string
	for _, v := range values {
		quoted = append(quoted, quote(v))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// leases reports that the renewals of leases are recorded, by nodes every ten seconds
// each and by controllers every two.
func (l *linter) leases() {
	lease := target{"coordination.k8s.io", "leases", ""}
	q := request("update", lease)
	q.User, q.Groups, q.Namespace, q.Name = "system:node:"+something, []string{"system:nodes", "system:authenticated"}, "kube-node-lease", something
	d := l.matcher.Match(&q)
	if d.Level == policy.LevelNone {
		return
	}
	f := l.report("noisy-leases", say("each node renews its lease every ten seconds, and each time is recorded, at level %s", "每个节点每十秒续约一次 lease，每次都会以级别 %s 记录", d.Level), "rules", d.Rule, "level")
	if !d.Level.Less(policy.LevelRequest) {
		f.Severity = Warning
	}
	f.Fix = l.file.fix(say("drop them", "丢弃这些请求"), l.file.insertRule(d.Rule, ruleFor(policy.LevelNone, []target{lease},
		`  userGroups: ["system:nodes"]`, `  verbs: ["get", "update"]`, `  namespaces: ["kube-node-lease"]`)...))
}

// healthChecks reports that health checks are recorded.
func (l *linter) healthChecks() {
	rule := -1
	var recorded []string
	for _, path := range []string{"/healthz", "/livez", "/readyz"} {
		q := getURL(path)
		if d := l.matcher.Match(&q); d.Level != policy.LevelNone {
			recorded = append(recorded, path)
			if rule < 0 || d.Rule < rule {
				rule = d.Rule
			}
		}
	}
	if rule < 0 {
		return
	}
	var urls []string
	for _, path := range recorded {
		urls = append(urls, path+"*")
	}
	l.report("noisy-health-checks", say("health checks (%s) come every few seconds, and each is recorded", "健康检查（%s）每隔几秒一次，每次都会记录", strings.Join(recorded, ", ")), "rules", rule, "level").
		Fix = l.file.fix(say("drop them", "丢弃这些请求"), l.file.insertRule(rule, "- level: None", "  nonResourceURLs: "+flowList(urls)))
}

// managedFields reports that metadata.managedFields is recorded with each response.
func (l *linter) managedFields() {
	if l.policy.OmitManagedFields {
		return
	}
	for i, r := range l.policy.Rules {
		if r.Level != policy.LevelRequestResponse || r.OmitManagedFields != nil {
			continue
		}
		f := l.report("managed-fields-kept", say("responses are recorded with metadata.managedFields, often half of an object", "响应连同 metadata.managedFields 一起记录，它常占对象的一半"), "rules", i, "level")
		f.Fix = l.file.fix(say("leave them out everywhere", "处处省略它们"), l.file.AddMember("omitManagedFields", "true"))
		if _, there := yamltext.Member(l.file.Root, "omitManagedFields"); there >= 0 {
			f.Fix = l.file.fix(say("leave them out everywhere", "处处省略它们"), l.file.SetAt("true", "omitManagedFields"))
		}
		return
	}
}
