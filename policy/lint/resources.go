package lint

import (
	"slices"
	"strconv"
	"strings"

	"kubetrail/policy"
	"kubetrail/policy/yamltext"
)

// group looks at item k of the resources of rule i.
func (l *linter) group(i, k int, g policy.GroupResources) {
	at := []any{"rules", i, "resources", k}
	_, known := l.apis[g.Group]
	switch since, gone := goneGroups()[g.Group]; {
	case gone:
		l.goneGroup(i, k, g, since)
		return
	case g.Group == "*" || known:
	default:
		l.unknownGroup(g, append(at, "group"))
	}
	l.repeated(g.Resources, coversResource, append(at, "resources")...)
	l.repeated(g.ResourceNames, func(value, by string) bool { return value == by }, append(at, "resourceNames")...)
	for j, name := range g.ResourceNames {
		if strings.Contains(name, "*") {
			l.dead("useless-wildcard", "", say("resourceNames have no wildcards: no object is called %q", "resourceNames 不支持通配符：没有名为 %q 的对象", name),
				append(at, "resourceNames", j)...).Fix = nil
		}
	}
	for j, text := range g.Resources {
		if !l.shape(g.Group, text, append(at, "resources", j)) && known {
			l.resource(i, k, j, g)
		}
	}
}

// coversResource tells whether by matches whatever value does.
func coversResource(value, by string) bool {
	base, sub, _ := strings.Cut(value, "/")
	byBase, bySub, hasSub := strings.Cut(by, "/")
	switch {
	case value == by, by == "*" && value != "*/*":
		return true
	case bySub == "*" && hasSub:
		return base == byBase && byBase != "*"
	case byBase == "*" && hasSub:
		return sub == bySub && sub != ""
	}
	return false
}

// unknownGroup reports a group that does not exist and was probably another.
func (l *linter) unknownGroup(g policy.GroupResources, at []any) {
	meant := ""
	switch strings.ToLower(g.Group) {
	case "core", "v1", "api", "legacy":
		f := l.report("unknown-group", say("no group is called %q: the core group is \"\"", "没有名为 %q 的组：核心组写作 \"\"", g.Group), at...)
		n, _ := l.file.Find(at...)
		f.Fix = l.file.fix(say("write \"\"", "改为 \"\""), l.file.Set(n, ""))
		return
	}
	for _, known := range l.apis.groups() {
		first, _, dots := strings.Cut(known, ".")
		if dots && (g.Group == first || g.Group == strings.TrimSuffix(known, ".k8s.io") || g.Group == first+".k8s.io") {
			meant = known
		}
	}
	if meant == "" {
		meant = nearest(g.Group, l.apis.groups())
	}
	if d := distance(g.Group, meant); d > 1 && strings.Contains(g.Group, ".") && !strings.HasSuffix(meant, ".k8s.io") {
		meant = ""
	}
	// A group of somebody's own has a dot: other names cannot be registered.
	if meant != "" || !strings.Contains(g.Group, ".") {
		l.dead("unknown-group", meant, say("no group is called %q", "没有名为 %q 的组", g.Group), at...)
	}
}

// goneGroup reports a group that is no longer served.
func (l *linter) goneGroup(i, k int, g policy.GroupResources, since policy.Kubernetes) {
	at := []any{"rules", i, "resources", k}
	f := l.report("gone-api", say("group %q is gone since Kubernetes %s: this matches nothing", "组 %q 自 Kubernetes %s 起已移除：不再匹配任何请求", g.Group, since), append(at, "group")...)
	home := ""
	for _, r := range g.Resources {
		base, _, _ := strings.Cut(r, "/")
		in := l.apis.homes(base, g.Group)
		if len(in) != 1 || home != "" && home != in[0] {
			home = "?"
			break
		}
		home = in[0]
	}
	if home != "" && home != "?" {
		f.Severity = Error
		f.Message.En += "; " + strings.Join(g.Resources, ", ") + " moved to " + home
		f.Message.Zh += "；" + strings.Join(g.Resources, "、") + " 已移到 " + home
		f.Fix = l.file.fix(say("name the group where it is now", "改为现在所在的组"), l.file.SetAt(home, append(at, "group")...))
		return
	}
	f.Fix = l.file.fix(removal(), l.file.drop(at...))
}

// shape reports a resource that no group can have by the way it is written.
func (l *linter) shape(group, text string, at []any) bool {
	base, sub, hasSub := strings.Cut(text, "/")
	switch {
	case text == "":
		l.dead("unknown-resource", "", say("no resource has an empty name", "没有名称为空的资源"), at...)
	case text == "*/*":
		l.dead("useless-wildcard", "*", say("\"*/*\" matches nothing; \"*\" is every resource and subresource", "\"*/*\" 不匹配任何资源；\"*\" 才表示所有资源和子资源"), at...)
	case hasSub && sub == "":
		l.dead("unknown-resource", l.sane(group, base), say("%q matches nothing: behind the slash comes a subresource", "%q 不匹配任何资源：斜杠后应是子资源", text), at...)
	case hasSub && base == "":
		l.dead("unknown-resource", l.sane(group, "*/"+sub), say("%q matches nothing: before the slash comes a resource", "%q 不匹配任何资源：斜杠前应是资源", text), at...)
	case strings.Count(text, "/") > 1:
		two, _, _ := strings.Cut(sub, "/")
		l.dead("unknown-resource", l.sane(group, base+"/"+two), say("%q matches nothing: a subresource has no further parts", "%q 不匹配任何资源：子资源之后没有其他部分", text), at...)
	case text == "*", base == "*" && !strings.Contains(sub, "*"), sub == "*" && !strings.Contains(base, "*"):
		return strings.ToLower(text) != text && l.upperCase(group, text, at)
	case strings.Contains(text, "*"):
		l.dead("useless-wildcard", "", say("a wildcard stands for a whole name, as in \"*\", \"pods/*\" and \"*/log\": %q matches nothing", "通配符只能代表整个名称，如 \"*\"、\"pods/*\"、\"*/log\"：%q 不匹配任何资源", text), at...).Fix = nil
	case strings.ToLower(text) != text:
		return l.upperCase(group, text, at)
	default:
		return false
	}
	return true
}

// sane returns an entry if nothing speaks against it in its group, else nothing.
func (l *linter) sane(group, text string) string {
	base, sub, hasSub := strings.Cut(text, "/")
	a, here := l.apis[group][base]
	switch _, known := l.apis[group]; {
	case !known && base != "*", text == "*":
		return text
	case base == "*" && l.anyHas(group, sub), here && (!hasSub || sub == "*" || slices.Contains(a.subresources, sub)):
		return text
	}
	return ""
}

func (l *linter) upperCase(group, text string, at []any) bool {
	lower := strings.ToLower(text)
	if base, sub, _ := strings.Cut(lower, "/"); len(l.apis.homes(base, "?")) == 0 && sub == "" {
		if plural := plural(base); len(l.apis.homes(plural, "?")) > 0 {
			lower = plural // a kind
		}
	}
	l.dead("unknown-resource", l.sane(group, lower), say("no resource is called %q: they are lower-case", "没有名为 %q 的资源：资源名都是小写", text), at...)
	return true
}

// plural is the name of the resource of a kind in lower case.
func plural(kind string) string {
	switch {
	case strings.HasSuffix(kind, "s"), strings.HasSuffix(kind, "ss"):
		return kind + "es"
	case strings.HasSuffix(kind, "y") && !strings.HasSuffix(kind, "ay"):
		return strings.TrimSuffix(kind, "y") + "ies"
	}
	return kind + "s"
}

// resource looks at entry j, whose group is one that Kubernetes serves by itself.
func (l *linter) resource(i, k, j int, g policy.GroupResources) {
	at := []any{"rules", i, "resources", k, "resources", j}
	base, sub, hasSub := strings.Cut(g.Resources[j], "/")
	a, here := l.apis[g.Group][base]
	switch {
	case base == "*":
		if hasSub && !l.anyHas(g.Group, sub) {
			l.dead("unknown-resource", "", say("no resource of %s has a subresource %q", "%s 中没有资源带有子资源 %q", groupName(g.Group), sub), at...)
		}
	case here && a.gone > 0 && l.cfg.Kubernetes >= a.gone:
		l.dead("gone-api", "", say("%s is gone since Kubernetes %s: this matches nothing", "%s 自 Kubernetes %s 起已移除：不再匹配任何请求", base, a.gone), at...)
	case here && hasSub && sub != "*" && !slices.Contains(a.subresources, sub):
		meant := nearest(sub, a.subresources)
		if meant == "" && slices.Contains(a.subresources, strings.TrimSuffix(sub, "s")) {
			meant = strings.TrimSuffix(sub, "s")
		}
		if meant != "" {
			meant = base + "/" + meant
		}
		l.dead("unknown-resource", meant, say("%s has no subresource %q", "%s 没有子资源 %q", base, sub), at...)
	case !here:
		l.absent(i, k, j, g)
	}
}

func (l *linter) anyHas(group, sub string) bool {
	for _, a := range l.apis[group] {
		if slices.Contains(a.subresources, sub) {
			return true
		}
	}
	return false
}

func groupName(group string) string {
	if group == "" {
		return "the core group"
	}
	return group
}

// absent reports a resource that the group does not have.
func (l *linter) absent(i, k, j int, g policy.GroupResources) {
	at := []any{"rules", i, "resources", k, "resources", j}
	base, sub, hasSub := strings.Cut(g.Resources[j], "/")
	withSub := func(name string) string {
		if hasSub && name != "" {
			return name + "/" + sub
		}
		return name
	}
	home := l.apis.homes(base, g.Group)
	if name, group, ok := strings.Cut(base, "."); ok && l.has(group, name) {
		home, base = []string{group}, name
	}
	if len(home) > 0 {
		quoted := make([]string, len(home))
		for n, h := range home {
			quoted[n] = strconv.Quote(h)
		}
		f := l.report("wrong-group", say("%s is not in group %q, but in %s: this matches nothing", "%s 不在组 %q 中，而在 %s 中：不匹配任何请求", base, g.Group, strings.Join(quoted, ", ")), at...)
		if len(home) == 1 {
			f.Fix = l.regroup(i, k, j, g, home[0], withSub(base))
		}
		return
	}
	meant := shortNames()[base]
	if meant == "" {
		meant = nearest(base, l.apis.names(g.Group))
	}
	if meant == "" && l.has(g.Group, plural(base)) {
		meant = plural(base)
	}
	if meant != "" && !l.has(g.Group, meant) {
		meant = ""
	}
	f := l.dead("unknown-resource", withSub(meant), say("no resource of %s is called %q", "%s 中没有名为 %q 的资源", groupName(g.Group), base), at...)
	if meant == "" {
		f.Severity = Warning // a release to come may have it
	}
}

func (l *linter) has(group, resource string) bool {
	a, ok := l.apis[group][resource]
	return ok && a.gone == 0
}

// regroup moves entry j to the group where it is: the whole item where all its
// entries are there, else an item of its own.
func (l *linter) regroup(i, k, j int, g policy.GroupResources, home, name string) *Fix {
	at := []any{"rules", i, "resources", k}
	what := say("say group: %s", "改为 group: %s", home)
	together := true
	for _, r := range g.Resources {
		base, _, _ := strings.Cut(r, "/")
		together = together && r != "*" && base != "*" && !l.has(g.Group, base) && l.has(home, base)
	}
	if together || len(g.Resources) == 1 {
		edits := []*yamltext.Edit{l.file.SetAt(home, append(at, "group")...)}
		if _, ok := l.file.Find(append(at, "group")...); !ok {
			edits[0] = l.file.AddMember("group", strconv.Quote(home), at...)
		}
		if name != g.Resources[j] {
			edits = append(edits, l.file.SetAt(name, append(at, "resources", j)...))
		}
		return l.file.fix(what, edits...)
	}
	seq, ok := l.file.Find("rules", i, "resources")
	if !ok || len(g.ResourceNames) > 0 {
		return nil
	}
	return l.file.fix(say("name it under its own group", "把它列在自己的组下"), l.file.Remove(append(at, "resources", j)...),
		l.file.AppendItem(seq, "- group: "+strconv.Quote(home), "  resources: ["+strconv.Quote(name)+"]"))
}
