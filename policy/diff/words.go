package diff

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kubetrail/policy"
	"kubetrail/policy/space"
)

// Line is a line of text, or a paragraph, and the depth of its indentation.
type Line struct {
	Text  string
	Depth int
}

// Words tells the change in one language. Lines give the line of a rule of A and of B in
// their files, or 0.
func (c *Change) Words(lang policy.Language, lineA, lineB func(rule int) int) []Line {
	l := speaker{lang}
	out := []Line{{Text: l.direction(c.Direction())}}
	for i, s := range l.stages(c) {
		if i == 0 {
			out[0].Text += s
		} else {
			out = append(out, Line{s, 1})
		}
	}
	lead := l.Say("where ", "条件：")
	for _, same := range alike(c.Regions) {
		out = append(out, Line{lead + l.conditions(same, true), 1})
		for _, x := range alike(same[0].Except) {
			out = append(out, Line{l.Say("but not ", "但不含：") + l.conditions(x, false), 2})
		}
		lead = l.Say("or ", "或者：")
	}
	if !c.Complete {
		out = append(out, Line{l.Say("or under more conditions", "或者：更多条件"), 1})
	}
	out = append(out, Line{l.Say("A: ", "A：") + l.decision(c.A, lineA), 1}, Line{l.Say("B: ", "B：") + l.decision(c.B, lineB), 1})
	for _, e := range c.Examples {
		out = append(out, Line{l.Say("example: ", "例如：") + l.request(e), 1})
	}
	return out
}

func (l speaker) direction(d Direction) string {
	switch d {
	case Less:
		return l.Say("B records less: ", "B 记录得更少：")
	case Mixed:
		return l.Say("B records differently: ", "B 记录得不同：")
	}
	return l.Say("B records more: ", "B 记录得更多：")
}

// speaker writes in one language.
type speaker struct{ policy.Language }

// mostValues is how many values of a list are written out.
const mostValues = 8

// uniform tells whether the stages that change do so in the same way.
func (c *Change) uniform() bool {
	return !slices.ContainsFunc(c.Stages, func(s StageChange) bool {
		s.Stage = c.Stages[0].Stage
		return s != c.Stages[0]
	})
}

// recordsElsewhere tells whether something is recorded at a stage that does not change.
func (c *Change) recordsElsewhere() bool {
	return slices.ContainsFunc(policy.Stages(), func(s policy.Stage) bool {
		changes := slices.ContainsFunc(c.Stages, func(x StageChange) bool { return x.Stage == s })
		return !changes && at(s, c.A) != policy.LevelNone
	})
}

// list writes values one behind the other, quoted where they are no plain words.
func (l speaker) list(values []string) string {
	var out []string
	for _, v := range values {
		out = append(out, word(v))
	}
	if rest := len(out) - mostValues; rest > 1 {
		out = append(out[:mostValues], l.Say("%d more", "另外 %d 个", rest))
	}
	return strings.Join(out, l.Say(", ", "、"))
}

// word quotes a text that holds anything but what names are made of.
func word(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:/@*+~=") == "" {
		return s
	}
	return strconv.Quote(s)
}

// stages says what changes at which stages, such as "Metadata -> None at every stage".
func (l speaker) stages(c *Change) []string {
	switch {
	case c.uniform() && len(c.Stages) == len(policy.Stages()):
		return []string{l.Say("%s at every stage", "%s，所有阶段", l.levels(c.Stages[0]))}
	case c.uniform() && len(c.Stages) > 1 && !c.recordsElsewhere():
		return []string{l.Say("%s at every stage that is recorded", "%s，所有被记录的阶段", l.levels(c.Stages[0]))}
	}
	var out []string
	for i := 0; i < len(c.Stages); {
		stages := []string{}
		first := l.levels(c.Stages[i])
		for ; i < len(c.Stages) && l.levels(c.Stages[i]) == first; i++ {
			stages = append(stages, string(c.Stages[i].Stage))
		}
		text := l.Say("%s at %s", "%s，阶段 %s", first, strings.Join(stages, l.Say(", ", "、")))
		if len(stages) == 1 && stages[0] == string(policy.StageResponseStarted) {
			text += l.Say(" (of streams and failed authentication)", "（仅限流式请求和身份认证失败）")
		}
		out = append(out, text)
	}
	return out
}

func (l speaker) levels(c StageChange) string {
	if c.ManagedFields {
		return l.Say("%s with other managedFields", "%s，managedFields 不同", c.From)
	}
	return fmt.Sprintf("%s -> %s", c.From, c.To)
}

// decision says what a decision is, such as "rules[3] (line 9): Metadata, omits
// RequestReceived".
func (l speaker) decision(d policy.Decision, line func(rule int) int) string {
	text := l.Say("no rule", "没有规则")
	if d.Rule >= 0 {
		text = fmt.Sprintf("rules[%d]", d.Rule)
		if n := line(d.Rule); n > 0 {
			text += l.Say(" (line %d)", "（第 %d 行）", n)
		}
	}
	text += l.Say(": %s", "：%s", d.Level)
	if d.Level == policy.LevelNone {
		return text
	}
	var omits []string
	for _, s := range d.OmitStages {
		omits = append(omits, string(s))
	}
	if d.OmitManagedFields {
		omits = append(omits, "managedFields")
	}
	if len(omits) > 0 {
		text += l.Say(", omits %s", "，省略 %s", strings.Join(omits, l.Say(", ", "、")))
	}
	return text
}

// conditions says which requests are in regions that are alike, such as "verb get;
// secrets; in namespace kube-system", but for their exceptions. Where whole, it also says
// which kind of requests these are if there is no condition on them.
func (l speaker) conditions(same []space.Region, whole bool) string {
	var parts []string
	add := func(s string) {
		if s != "" {
			parts = append(parts, s)
		}
	}
	r := same[0]
	switch {
	case r.Resource && r.URL:
		add(l.Say("every request", "所有请求"))
	case r.URL:
		if whole || !r.Paths.Any() {
			add(l.any(r.Paths, l.Say("URL", " URL"), l.Say("any URL that is no resource", "任意非资源 URL")))
		}
		add(l.any(r.Verbs, l.Say("verb", "动词"), ""))
	default:
		add(l.any(r.Verbs, l.Say("verb", "动词"), ""))
		var what []string
		for _, r := range same {
			if whole || !r.Resources.Any() || !r.APIGroups.Any() {
				what = append(what, l.resources(r, whole))
			}
		}
		add(strings.Join(what, l.Say(", or ", "，或 ")))
		add(l.namespaces(r.Namespaces))
		add(l.names(r.Names))
	}
	add(l.who(r))
	return strings.Join(parts, l.Say("; ", "；"))
}

// listed tells whether a region names its API groups, and no resources that it leaves
// out, so that other such regions may be named beside it.
func listed(r space.Region) bool {
	return !r.URL && len(r.Except) == 0 && r.APIGroups.Only != nil && len(r.Resources.But) == 0
}

// alike puts regions together that differ in what they list of resources alone.
func alike(regions []space.Region) [][]space.Region {
	var out [][]space.Region
	at := map[string]int{}
	for _, r := range regions {
		if !listed(r) {
			out = append(out, []space.Region{r})
			continue
		}
		key := fmt.Sprintf("%q %q %q %q %q %q %t %t", r.Verbs, r.Namespaces, r.Names, r.Users, r.Groups, r.NotGroups, r.Authenticated, r.Failed)
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], r)
	}
	return out
}

// any writes values of one kind, by default resources, which need not be named so; free
// is what is said where there is no condition.
func (l speaker) any(v space.Values, kind, free string) string {
	only := strings.TrimSpace(kind + " " + l.list(v.Only))
	if kind == "" {
		kind = l.Say("resource", "资源")
	}
	switch {
	case v.Any():
		return free
	case v.Only == nil:
		return l.Say("any %s but %s", "任意%s，%s 除外", kind, l.list(v.But))
	case len(v.But) > 0:
		return l.Say("%s, but not %s", "%s，但不含 %s", only, l.list(v.But))
	}
	return only
}

// resources writes resources and their API groups. Where whole is false, any of them
// goes without saying.
func (l speaker) resources(r space.Region, whole bool) string {
	what := l.any(r.Resources, "", l.Say("any resource", "任意资源"))
	core := len(r.APIGroups.Only) == 1 && r.APIGroups.Only[0] == ""
	switch {
	case core && r.Resources.Only != nil:
		return what
	case r.APIGroups.Any() && (!whole || r.Resources.Any()):
		return what
	}
	if listed(r) {
		return l.Say("%s of API group %s", "%[1]s（API 组 %[2]s）", what, l.list(coreNamed(r.APIGroups).Only))
	}
	groups := l.any(coreNamed(r.APIGroups), l.Say("API group", " API 组"), l.Say("any API group", "任意 API 组"))
	if r.Resources.Any() && !whole {
		return groups
	}
	if r.APIGroups.Any() && len(r.Resources.But) == 0 {
		return l.Say("%s of %s", "%s（%s）", what, groups)
	}
	return what + l.Say("; ", "；") + groups
}

// coreNamed gives the core group a name.
func coreNamed(v space.Values) space.Values {
	named := func(list []string) []string {
		var out []string
		for _, s := range list {
			if s == "" {
				s = "core"
			}
			out = append(out, s)
		}
		return out
	}
	return space.Values{Only: named(v.Only), But: named(v.But)}
}

// withoutEmpty removes "", and tells whether it was there.
func withoutEmpty(list []string) (rest []string, had bool) {
	for _, s := range list {
		if s == "" {
			had = true
		} else {
			rest = append(rest, s)
		}
	}
	return rest, had
}

func (l speaker) namespaces(v space.Values) string {
	only, none := withoutEmpty(v.Only)
	but, some := withoutEmpty(v.But)
	switch {
	case v.Any():
		return ""
	case v.Only != nil && len(only) == 0:
		return l.Say("without a namespace", "不带命名空间")
	case v.Only != nil && none:
		return l.Say("in namespace %s, or without one", "命名空间 %s，或不带命名空间", l.list(only))
	case v.Only != nil:
		return l.Say("in namespace %s", "命名空间 %s", l.list(only))
	case len(but) == 0:
		return l.Say("in any namespace", "带命名空间")
	case some:
		return l.Say("in any namespace but %s", "带命名空间，%s 除外", l.list(but))
	}
	return l.Say("not in namespace %s", "不在命名空间 %s", l.list(but))
}

func (l speaker) names(v space.Values) string {
	only, none := withoutEmpty(v.Only)
	but, some := withoutEmpty(v.But)
	switch {
	case v.Any():
		return ""
	case v.Only != nil && len(only) == 0:
		return l.Say("without a name", "不带名称")
	case v.Only != nil && none:
		return l.Say("named %s, or without a name", "名称 %s，或不带名称", l.list(only))
	case v.Only != nil:
		return l.Say("named %s", "名称 %s", l.list(only))
	case len(but) == 0:
		return l.Say("with a name", "带名称")
	case some:
		return l.Say("with any name but %s", "带名称，%s 除外", l.list(but))
	}
	return l.Say("not named %s", "名称不是 %s", l.list(but))
}

// who says whose requests are in a region; nothing where they are everybody's.
func (l speaker) who(r space.Region) string {
	if !r.Authenticated {
		return l.Say("failed authentication", "身份认证失败")
	}
	text := ""
	switch {
	case r.Users.Only != nil:
		text = l.Say("user %s", "用户 %s", l.list(r.Users.Only))
	case len(r.Users.But) > 0 && !r.Failed:
		text = l.Say("any authenticated user but %s", "任意已认证用户，%s 除外", l.list(r.Users.But))
	case len(r.Users.But) > 0:
		text = l.Say("any user but %s", "任意用户，%s 除外", l.list(r.Users.But))
	case !r.Failed && len(r.Groups) == 0:
		text = l.Say("any authenticated user", "任意已认证用户")
	case !r.Failed || len(r.NotGroups) > 0:
		text = l.Say("any user", "任意用户")
	}
	if !r.Users.Any() {
		text += l.Say(",", "")
	}
	for _, g := range r.Groups {
		text += l.Say(" in group %s", "，属于组 %s", strings.Join(strings.Split(l.list(g), l.Say(", ", "、")), l.Say(" or ", " 或 ")))
	}
	if len(r.NotGroups) > 0 {
		text += l.Say(" not in group %s", "，不属于组 %s", l.list(r.NotGroups))
	}
	text = strings.TrimSuffix(text, ",")
	if r.Failed && r.Users.Only != nil {
		text += l.Say(", or failed authentication", "，或身份认证失败")
	}
	return text
}

// request says who makes an example, and which, such as "GET /version as user alice".
func (l speaker) request(e *space.Example) string {
	text := e.Method + " " + e.URI
	if !e.Request.Authenticated {
		text += l.Say(" without authentication", "，未通过身份认证")
	} else {
		text += l.Say(" as user %s", "，用户 %s", word(e.Request.User))
	}
	if len(e.Request.Groups) > 0 {
		text += l.Say(" in group %s", "，组 %s", l.list(e.Request.Groups))
	}
	if e.Odd {
		text += l.Say(" (no ordinary client sends such a request)", "（普通客户端不会发送这样的请求）")
	}
	return text
}
