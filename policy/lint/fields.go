package lint

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"kubetrail/policy"
	"kubetrail/policy/yamltext"
)

// version reports a policy in a version that is going or gone.
func (l *linter) version(doc *policy.Document) {
	if doc.Version == "audit.k8s.io/v1" {
		return
	}
	f := l.report("old-version", say("kube-apiserver does not start: no kind \"Policy\" is registered for version %q; Kubernetes 1.23 was the last to read it", "kube-apiserver 无法启动：no kind \"Policy\" is registered for version %q；Kubernetes 1.23 是最后支持它的版本",
		doc.Version), "apiVersion")
	if l.cfg.Kubernetes <= 23 {
		f.Severity = Warning
		f.Message = say("%s is deprecated and gone in Kubernetes 1.24", "%s 已弃用，Kubernetes 1.24 起不再支持", doc.Version)
	}
	f.Fix = l.file.fix(say("write the version that every release reads; nothing else differs", "改用所有版本都支持的 v1；其余内容相同"),
		l.file.SetAt("audit.k8s.io/v1", "apiVersion"))
}

// The members of a policy, of its rules and of their resources, as strict decoding
// knows them.
func policyFields() []string {
	return []string{"kind", "apiVersion", "metadata", "rules", "omitStages", "omitManagedFields"}
}

func ruleFields() []string {
	return []string{"level", "users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs", "omitStages", "omitManagedFields"}
}

func resourceFields() []string { return []string{"group", "resources", "resourceNames"} }

// otherNames are what people write for the name of a field, mostly from RBAC.
func otherNames() map[string]string {
	return map[string]string{
		"namespace": "namespaces", "verb": "verbs", "user": "users", "username": "users", "usernames": "users", "userNames": "users",
		"groups": "userGroups", "userGroup": "userGroups", "usergroups": "userGroups", "resource": "resources",
		"nonResourceURL": "nonResourceURLs", "nonResourceUrls": "nonResourceURLs", "nonResourceUrl": "nonResourceURLs",
		"nonResourcePaths": "nonResourceURLs", "resourceURLs": "nonResourceURLs", "urls": "nonResourceURLs",
		"apiGroup": "group", "apiGroups": "group", "groupName": "group", "resourceName": "resourceNames", "names": "resourceNames",
		"omitStage": "omitStages", "stages": "omitStages",
	}
}

// fields reports members that kube-apiserver ignores, and those that are there twice,
// and returns how many.
func (l *linter) fields() int {
	before := len(l.found)
	if l.file.Root == nil {
		return 0
	}
	if kind, ok := l.file.Find("kind"); ok && kind.Value != "" && kind.Value != "Policy" {
		return 0 // something else altogether, which is said once
	}
	l.members(policyFields(), nil)
	rules, _ := l.file.Find("rules")
	if rules == nil || rules.Kind != yaml.SequenceNode {
		return len(l.found) - before
	}
	for i := range rules.Content {
		l.members(ruleFields(), []any{"rules", i})
		resources, ok := l.file.Find("rules", i, "resources")
		if !ok || resources.Kind != yaml.SequenceNode {
			continue
		}
		for k := range resources.Content {
			l.members(resourceFields(), []any{"rules", i, "resources", k})
		}
	}
	return len(l.found) - before
}

// members reports the members of the mapping at path that are unknown or double.
func (l *linter) members(known []string, path []any) {
	n, ok := l.file.Find(path...)
	if !ok || n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		if _, at := yamltext.Member(n, key.Value); at != i {
			f := l.report("duplicate-key", say("%q is set again on line %d: only the last one counts", "%q 在第 %d 行又设置了一次：只有最后一个有效",
				key.Value, n.Content[at].Line), path...)
			f.Position, f.End = l.file.NodePlace(key)
			f.Fix = l.file.fix(say("remove the one that does not count", "删除无效的那一个"), l.file.RemovePart(n, i, 2))
			continue
		}
		if !slices.Contains(known, key.Value) && key.Tag != "!!merge" {
			l.unknownField(n, key, known, path)
		}
	}
}

// unknownField reports a member that is ignored.
func (l *linter) unknownField(holder, key *yaml.Node, known []string, path []any) {
	meant := key.Value
	if other, ok := otherNames()[meant]; ok {
		meant = other
	} else if near := nearest(meant, known); near != "" {
		meant = near
	}
	f := l.report("unknown-field", say("kube-apiserver ignores %q", "kube-apiserver 会忽略 %q", key.Value), path...)
	f.Position, f.End = l.file.NodePlace(key)
	where := dotted(append(slices.Clone(path), key.Value))
	how := say("and only warns", "仅给出警告")
	if l.cfg.Kubernetes < 26 { // the first that decodes strictly
		how = say("and says nothing", "且不给任何提示")
	}
	if !condition(meant) {
		f.Severity = Warning
		f.Message = Text{"kube-apiserver ignores " + where + ", " + how.En, "kube-apiserver 会忽略 " + where + "，" + how.Zh}
	} else {
		f.Message = Text{"kube-apiserver ignores " + where + ", " + how.En + ": the rule matches more than it says",
			"kube-apiserver 会忽略 " + where + "，" + how.Zh + "：该规则匹配的范围比所写的更广"}
	}
	switch {
	case slices.Contains(known, meant) && meant != key.Value:
		f.Message.En += "; did you mean " + strconv.Quote(meant) + "?"
		f.Message.Zh += "；是否想写 " + strconv.Quote(meant) + "？"
		f.Fix = l.renamed(holder, key, meant)
	case len(path) == 4 && slices.Contains(ruleFields(), meant):
		f.Message.En += "; it belongs to the rule, two levels further out"
		f.Message.Zh += "；它属于规则本身，应少缩进两级"
		f.Fix = l.moved(holder, key, meant, path[:2], "level")
	case len(path) == 2 && slices.Contains(resourceFields(), meant):
		f.Message.En += "; it belongs to an item of resources"
		f.Message.Zh += "；它属于 resources 下的某一项"
		f.Fix = l.moved(holder, key, meant, append(slices.Clone(path), "resources", 0), "")
	case len(path) == 0 && key.Value == "spec":
		f.Message.En += "; a policy has no spec: its rules stand at the top"
		f.Message.Zh += "；策略没有 spec：rules 应直接写在顶层"
	}
}

// condition tells the fields that narrow a rule.
func condition(field string) bool {
	return slices.Contains([]string{"users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs", "group", "resourceNames"}, field)
}

// dotted writes a path as upstream's messages do.
func dotted(path []any) string {
	var b strings.Builder
	for _, step := range path {
		switch step := step.(type) {
		case int:
			b.WriteString("[" + strconv.Itoa(step) + "]")
		case string:
			b.WriteString(strings.TrimPrefix("."+step, strings.Repeat(".", max(0, 1-b.Len()))))
		}
	}
	return b.String()
}

// shaped writes the value of a member as the field called name takes it: a list in
// brackets, or one string.
func (l *linter) shaped(value *yaml.Node, name string) (string, bool) {
	items := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		items = value.Content
	}
	var texts []string
	for _, item := range items {
		start, end, ok := l.file.Scalar(item)
		if !ok {
			return "", false
		}
		texts = append(texts, string(l.file.Data[start:end]))
	}
	switch {
	case name == "level" || name == "omitManagedFields":
		return "", false
	case name == "group":
		return strings.Join(texts, ""), len(texts) == 1
	}
	return "[" + strings.Join(texts, ", ") + "]", len(texts) > 0
}

// renamed gives a field the name that was meant, and its value the right shape.
func (l *linter) renamed(holder, key *yaml.Node, meant string) *Fix {
	if _, there := yamltext.Member(holder, meant); there >= 0 {
		return nil
	}
	_, i := yamltext.Member(holder, key.Value)
	value := holder.Content[i+1]
	edits := []*yamltext.Edit{l.file.Set(key, meant)}
	list := meant != "group" && meant != "level" && meant != "kind" && meant != "apiVersion" && meant != "omitManagedFields"
	if list != (value.Kind == yaml.SequenceNode) {
		text, ok := l.shaped(value, meant)
		start, ok2 := l.file.Offset(value.Line, value.Column)
		end, ok3 := l.file.End(value)
		if !ok || !ok2 || !ok3 || value.Kind == yaml.SequenceNode && !yamltext.Flow(value) {
			return nil
		}
		edits = append(edits, &yamltext.Edit{Start: start, End: end, New: text})
	}
	return l.file.fix(say("call it %s", "改名为 %s", meant), edits...)
}

// moved takes a member out of its mapping and puts it, called name, into the one at
// path to, behind the member called after.
func (l *linter) moved(holder, key *yaml.Node, name string, to []any, after string) *Fix {
	target, ok := l.file.Find(to...)
	_, i := yamltext.Member(holder, key.Value)
	if _, there := yamltext.Member(target, name); !ok || there >= 0 || target.Kind != yaml.MappingNode || yamltext.Flow(target) {
		return nil
	}
	text, ok := l.shaped(holder.Content[i+1], name)
	if !ok {
		return nil
	}
	add := l.file.AddMember(name, text, to...)
	if value, ok := l.file.Find(append(slices.Clone(to), after)...); ok && after != "" {
		if _, end, ok := l.file.Scalar(value); ok {
			_, at := l.file.LineAt(end)
			add = &yamltext.Edit{Start: at, End: at, New: strings.Repeat(" ", target.Content[0].Column-1) + name + ": " + text + "\n"}
		}
	}
	return l.file.fix(say("move it to where it counts", "移到它能生效的位置"), l.file.RemovePart(holder, i, 2), add)
}

// rejected reports an error with which kube-apiserver does not start, and repairs what
// can only have been meant in one way.
func (l *linter) rejected(f policy.Finding) {
	path := undotted(f.Path)
	name := ""
	if len(path) > 0 {
		name, _ = path[len(path)-1].(string)
	}
	if name == "group" {
		l.rejectedGroup(f, path)
		return
	}
	found := l.upstream("rejected", say("kube-apiserver does not start: %s", "kube-apiserver 无法启动：%s", f.Text), f)
	switch {
	case strings.Contains(f.Text, "Required value") && name == "level":
		edit := l.file.SetAt("Metadata", path...) // it may be there, as null
		if _, there := l.file.Find(path...); !there {
			edit = l.file.AddMember("level", "Metadata", path[:len(path)-1]...)
		}
		found.Fix = l.file.fix(say("record who did what, without bodies", "记录谁做了什么，不含请求体"), edit)
	case strings.HasPrefix(f.Text, "unknown group version field"):
		found.Fix = l.typeMeta()
	case strings.Contains(f.Text, "cannot unmarshal") && strings.Contains(f.Text, "of type []"):
		l.listOfOne(found)
	case strings.Contains(f.Text, "GroupResources") && len(path) == 4:
		l.namesOnly(found, path[:3])
	default:
		found.Fix = l.respelt(path)
	}
}

// undotted reads a path as upstream writes it.
func undotted(path string) []any {
	var steps []any
	for _, m := range regexp.MustCompile(`\[(\d+)\]|[^.\[\]]+`).FindAllStringSubmatch(path, -1) {
		if i, err := strconv.Atoi(m[1]); err == nil {
			steps = append(steps, i)
		} else {
			steps = append(steps, m[0])
		}
	}
	return steps
}

// respelt repairs a level, stage or URL at path.
func (l *linter) respelt(path []any) *Fix {
	n, ok := l.file.Find(path...)
	if !ok || n.Kind != yaml.ScalarNode || len(path) < 2 {
		return nil
	}
	meant := ""
	field, _ := path[len(path)-2].(string)
	switch {
	case path[len(path)-1] == "level":
		meant = nearest(n.Value, words(policy.Levels()))
	case field == "omitStages":
		meant = nearest(n.Value, words(policy.Stages()))
	case field == "nonResourceURLs" && !strings.HasPrefix(n.Value, "/") && !strings.Contains(strings.TrimSuffix(n.Value, "*"), "*"):
		meant = "/" + n.Value
	case field == "nonResourceURLs" && strings.HasSuffix(n.Value, "**") && !strings.Contains(strings.TrimRight(n.Value, "*"), "*"):
		meant = strings.TrimRight(n.Value, "*") + "*"
	}
	if meant == "" || meant == n.Value {
		return nil
	}
	return l.file.fix(say("write %s", "改为 %s", meant), l.file.Set(n, meant))
}

func words[T ~string](values []T) []string {
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	return out
}

// typeMeta adds the members that say what the file is.
func (l *linter) typeMeta() *Fix {
	if l.file.Root == nil {
		return nil
	}
	if n, ok := l.file.Find("apiVersion"); ok && n.Value != "" {
		return nil
	}
	if _, i := yamltext.Member(l.file.Root, "apiVersion"); i >= 0 || yamltext.Flow(l.file.Root) {
		return nil
	}
	what := "audit.k8s.io/v1"
	if n, ok := l.file.Find("kind"); !ok {
		what += "\nkind: Policy"
	} else if n.Value != "Policy" {
		return nil
	}
	return l.file.fix(say("say that it is an audit policy", "声明它是审计策略"), l.file.AddMember("apiVersion", what))
}

// listOfOne repairs the first member that must be a list and is one value.
func (l *linter) listOfOne(found *Finding) {
	rules, _ := l.file.Find("rules")
	if rules == nil || rules.Kind != yaml.SequenceNode {
		return
	}
	for i := range rules.Content {
		for _, name := range []string{"users", "userGroups", "verbs", "namespaces", "nonResourceURLs", "omitStages"} {
			n, ok := l.file.Find("rules", i, name)
			if !ok || n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
				continue
			}
			found.Position, found.End = l.file.NodePlace(n)
			if start, end, ok := l.file.Scalar(n); ok {
				found.Fix = l.file.fix(say("make it a list", "改为列表"), &yamltext.Edit{Start: start, End: end, New: "[" + string(l.file.Data[start:end]) + "]"})
			}
			return
		}
	}
}

// namesOnly repairs resources that are listed by name, as in RBAC, where it is known
// which group each is in.
func (l *linter) namesOnly(found *Finding, path []any) {
	found.Message.En += "; each of resources has a group and its resources"
	found.Message.Zh += "；resources 的每一项都包含 group 和 resources"
	list, ok := l.file.Find(path...)
	if !ok || list.Kind != yaml.SequenceNode {
		return
	}
	var edits []*yamltext.Edit
	all := builtin()
	for _, n := range list.Content {
		base, _, _ := strings.Cut(n.Value, "/")
		home := all.homes(base, "?")
		start, end, ok := l.file.Scalar(n)
		if !ok || len(home) != 1 {
			return
		}
		edits = append(edits, &yamltext.Edit{Start: start, End: end, New: "{group: " + quote(home[0]) + ", resources: [" + quote(n.Value) + "]}"})
	}
	found.Fix = l.file.fix(say("name the group of each", "写明各自的组"), edits...)
}

// rejectedGroup reports the group at path, which cannot be one.
func (l *linter) rejectedGroup(f policy.Finding, path []any) {
	n, ok := l.file.Find(path...)
	if ok && n.Value == "*" {
		l.report("group-wildcard", say("kube-apiserver does not start: group \"*\" needs Kubernetes 1.36, this is for %s", "kube-apiserver 无法启动：组 \"*\" 需要 Kubernetes 1.36，目标版本是 %s",
			l.cfg.Kubernetes), path...)
		return
	}
	found := l.report("rejected", say("kube-apiserver does not start: %s", "kube-apiserver 无法启动：%s", f.Text), path...)
	if !ok {
		return
	}
	meant, _, _ := strings.Cut(strings.ToLower(n.Value), "/")
	if meant == "v1" || meant == "core" || meant == "api" {
		meant = ""
	}
	if meant != n.Value && regexp.MustCompile(`^[a-z0-9.-]*$`).MatchString(meant) {
		found.Fix = l.file.fix(say("name the group alone: %q", "只写组名：%q", meant), l.file.Set(n, meant))
	}
}
