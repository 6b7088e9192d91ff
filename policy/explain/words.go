package explain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"kubetrail/policy"
)

// speaker writes in one language.
type speaker struct{ policy.Language }

// mostValues is how many values of a list are written out.
const mostValues = 4

// values writes a list: "a", "b" or "c". The last word is or, and where all holds and.
func (l speaker) values(list []string, and bool) string {
	quoted := make([]string, 0, len(list))
	for _, v := range list {
		quoted = append(quoted, strconv.Quote(v))
	}
	if rest := len(list) - mostValues; rest > 1 {
		quoted = append(quoted[:mostValues], l.Say("%d more", "另外 %d 个", rest))
	}
	return l.list(quoted, and)
}

// list joins what is already written.
func (l speaker) list(parts []string, and bool) string {
	between, last := l.Say(", ", "、"), l.Say(" or ", " 或 ")
	if and {
		last = l.Say(" and ", " 和 ")
	}
	if n := len(parts) - 1; n > 0 {
		return strings.Join(parts[:n], between) + last + parts[n]
	}
	return strings.Join(parts, "")
}

// sentence takes out of a Chinese sentence the spaces that set off Latin script where
// what was put in turned out to be Chinese. Quoted values stay as they are.
func (l speaker) sentence(s string) string {
	if l.Language != policy.Chinese {
		return s
	}
	var out strings.Builder
	in := []rune(s)
	quoted, escaped := false, false
	for i, r := range in {
		switch {
		case escaped:
			escaped = false
		case r == '\\':
			escaped = quoted
		case r == '"':
			quoted = !quoted
		case r == ' ' && !quoted && i > 0 && i < len(in)-1 && spaceless(in[i-1], in[i+1]):
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

// spaceless tells whether no space belongs between two characters.
func spaceless(a, b rune) bool {
	const marks = "，。、；：（）"
	return strings.ContainsRune(marks, a) || strings.ContainsRune(marks, b) || a >= utf8.RuneSelf && b >= utf8.RuneSelf
}

// apiGroup names an API group.
func (l speaker) apiGroup(name string) string {
	switch name {
	case "":
		return l.Say("the core group", "核心组")
	case "*":
		return l.Say("any group", "任意 API 组")
	}
	return l.Say("group %q", "API 组 %q", name)
}

// Words is an [Explanation] in sentences of one language. Values out of the policy and
// the request are quoted, so that nothing in them acts on a terminal.
type Words struct {
	Request  string   // how kube-apiserver takes the request
	Misses   []string // why each rule before the one that decides does not match
	Decision string   // which rule decides and by what, or that none does
	Events   string   // at which stages events are written, and with which bodies
}

// Words writes the explanation in lang. Line gives the line of a rule in its file, or 0.
func (x Explanation) Words(lang policy.Language, line func(rule int) int) Words {
	l := speaker{lang}
	w := Words{
		Request:  l.sentence(x.attributes(l)),
		Decision: l.Say("No rule matches: level None.", "没有规则匹配：级别 None。"),
		Events:   l.sentence(x.events(l)),
	}
	for _, t := range x.Trials {
		name := l.rule(t.Rule, line(t.Rule))
		if t.Matches() {
			w.Decision = l.sentence(x.hit(l, t, name))
		} else {
			w.Misses = append(w.Misses, l.sentence(x.miss(l, t, name)))
		}
	}
	return w
}

// rule names a rule by its index and, where it is known, its line.
func (l speaker) rule(rule, line int) string {
	name := fmt.Sprintf("rules[%d]", rule)
	if line > 0 {
		name += l.Say(" (line %d)", "（第 %d 行）", line)
	}
	return name
}

// attributes says what a policy looks at in the request.
func (x Explanation) attributes(l speaker) string {
	r := x.request
	parts := []string{l.Say("verb %q", "动词 %q", r.Verb)}
	if r.Verb == "" {
		parts[0] = l.Say("no verb", "没有动词")
	}
	if r.IsResourceRequest {
		parts = append(parts, l.Say("resource %[1]q of %[2]s", "%[2]s 的资源 %[1]q", combined(r), l.apiGroup(r.APIGroup)))
	} else {
		parts = append(parts, l.Say("URL %q, which is no resource", "非资源 URL %q", r.Path))
	}
	if r.Namespace != "" {
		parts = append(parts, l.Say("namespace %q", "命名空间 %q", r.Namespace))
	}
	if r.Name != "" {
		parts = append(parts, l.Say("name %q", "名称 %q", r.Name))
	}
	what := l.Say("The request has %s; ", "请求：%s；", l.list(parts, true))
	switch {
	case !r.Authenticated:
		return what + l.Say("it is not authenticated.", "未通过身份认证。")
	case len(r.Groups) == 0:
		return what + l.Say("its user is %q, in no group.", "用户 %q，不属于任何组。", r.User)
	}
	return what + l.Say("its user is %q, in group %s.", "用户 %q，属于组 %s。", r.User, l.values(r.Groups, true))
}

// hit says that a rule decides, and which value fulfils each of its conditions.
func (x Explanation) hit(l speaker, t Trial, name string) string {
	level := x.policy.Rules[t.Rule].Level
	if len(t.Tests) == 0 {
		return l.Say("%s has no conditions and matches every request: level %s.", "%s 没有条件，匹配所有请求：级别 %s。", name, level)
	}
	var by []string
	for _, test := range t.Tests {
		by = append(by, x.fulfilled(l, &x.policy.Rules[t.Rule], test))
	}
	return l.Say("%s matches by %s: level %s.", "%s 匹配（%s）：级别 %s。", name, l.list(by, true), level)
}

func (x Explanation) fulfilled(l speaker, rule *policy.PolicyRule, t Test) string {
	switch t.Condition {
	case ConditionUsers:
		return l.Say("user %q", "用户 %q", t.Value)
	case ConditionUserGroups:
		return l.Say("group %q", "组 %q", t.Value)
	case ConditionVerbs:
		return l.Say("verb %q", "动词 %q", t.Value)
	case ConditionNonResourceURLs:
		return l.Say("URL %q", "URL %q", t.Value)
	case ConditionNamespaces:
		if t.Value == "" {
			return l.Say(`namespace "" (none)`, `命名空间 ""（即没有）`)
		}
		return l.Say("namespace %q", "命名空间 %q", t.Value)
	}
	group := rule.Resources[t.Entry].Group
	if t.Value == "" && len(rule.Resources[t.Entry].Resources) == 0 {
		return l.Say("every resource of %s", "%s 的所有资源", l.apiGroup(group))
	}
	return l.Say("resource %[1]q of %[2]s", "%[2]s 的资源 %[1]q", t.Value, l.apiGroup(group))
}

// miss says of each condition that does not hold what the rule asks for and what the
// request has.
func (x Explanation) miss(l speaker, t Trial, name string) string {
	var parts []string
	for _, test := range t.Misses() {
		part := x.unfulfilled(l, &x.policy.Rules[t.Rule], test)
		if hint := x.hint(l, test); hint != "" {
			part += l.Say(" (%s)", "（%s）", hint)
		}
		parts = append(parts, part)
	}
	return l.Say("%s asks %s.", "%s %s。", name, strings.Join(parts, l.Say("; ", "；")))
}

func (x Explanation) unfulfilled(l speaker, rule *policy.PolicyRule, t Test) string {
	r := x.request
	switch {
	case t.Cause == CauseNoResource:
		return l.Say("for a resource, and %q is none", "要求请求资源，而 %q 不是资源", r.Path)
	case t.Cause == CauseIsResource:
		return l.Say("for a URL that is no resource, and %q is one", "要求非资源 URL，而 %q 是资源", combined(r))
	case t.Condition == ConditionResources:
		return x.otherResource(l, rule, t)
	}
	switch t.Condition {
	case ConditionUsers:
		return l.Say("for user %s", "要求用户为 %s", l.values(rule.Users, false)) + x.insteadOfUser(l, t)
	case ConditionUserGroups:
		return l.Say("for group %s", "要求用户属于组 %s", l.values(rule.UserGroups, false)) + x.insteadOfGroup(l, t)
	case ConditionVerbs:
		return l.Say("for verb %s", "要求动词为 %s", l.values(rule.Verbs, false)) +
			l.not(r.Verb, "and the method gives none", "而该方法没有对应的动词")
	case ConditionNamespaces:
		return l.Say("for namespace %s", "要求命名空间为 %s", l.values(rule.Namespaces, false)) +
			l.not(r.Namespace, "and the URL names none", "而 URL 中没有命名空间")
	}
	return l.Say("for URL %s, not %q", "要求 URL 为 %s，而不是 %q", l.values(rule.NonResourceURLs, false), r.Path)
}

// not says what the request has instead, or how it comes that it has nothing.
func (l speaker) not(value, enNone, zhNone string) string {
	if value == "" {
		return l.Say(", "+enNone, "，"+zhNone)
	}
	return l.Say(", not %q", "，而不是 %q", value)
}

func (x Explanation) insteadOfUser(l speaker, t Test) string {
	if t.Cause == CauseUnauthenticated {
		return l.Say(", and the request is not authenticated", "，而该请求未通过身份认证")
	}
	return l.Say(", not %q", "，而不是 %q", x.request.User)
}

func (x Explanation) insteadOfGroup(l speaker, t Test) string {
	switch {
	case t.Cause == CauseUnauthenticated:
		return x.insteadOfUser(l, t)
	case len(x.request.Groups) == 0:
		return l.Say(", and the user is in no group", "，而该用户不属于任何组")
	}
	return l.Say(", and the user is in %s", "，而该用户属于 %s", l.values(x.request.Groups, true))
}

func (x Explanation) otherResource(l speaker, rule *policy.PolicyRule, t Test) string {
	r := x.request
	entry := rule.Resources[t.Entry]
	switch t.Cause {
	case CauseAPIGroup:
		return l.Say("for resources of %s, not of %s", "要求 %s 的资源，而不是 %s 的资源", l.apiGroups(rule), l.apiGroup(r.APIGroup))
	case CauseResource:
		var listed []string
		for _, e := range rule.Resources {
			if e.Group == r.APIGroup || e.Group == "*" {
				listed = append(listed, e.Resources...)
			}
		}
		return l.Say("for %[1]s of %[2]s, not %[3]q", "要求 %[2]s 的资源 %[1]s，而不是 %[3]q",
			l.values(listed, false), l.apiGroup(r.APIGroup), combined(r))
	}
	return l.Say("for %q of %s named %s", "要求资源 %q（%s）的名称为 %s", combined(r), l.apiGroup(r.APIGroup), l.values(entry.ResourceNames, false)) +
		l.not(r.Name, "and the URL names no object", "而 URL 中没有对象名称")
}

// apiGroups lists the groups of a rule, each once.
func (l speaker) apiGroups(rule *policy.PolicyRule) string {
	var names []string
	for _, e := range rule.Resources {
		if name := l.apiGroup(e.Group); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if rest := len(names) - mostValues; rest > 1 {
		names = append(names[:mostValues], l.Say("%d more", "另外 %d 个 API 组", rest))
	}
	return l.list(names, false)
}

// hint says what may have been overlooked; empty where there is nothing to say.
func (x Explanation) hint(l speaker, t Test) string {
	would := l.Say("%s would match", "写作 %s 才能匹配", l.values(t.Would, false))
	switch t.Hint {
	case HintNoWildcard:
		return l.noWildcard(t)
	case HintCase:
		return l.Say("%q differs in upper and lower case", "%q 的大小写不同", t.Value)
	case HintVerbOfAPI:
		return l.Say("%q is an HTTP method; a request for a resource has a verb of the API", "%q 是 HTTP 方法；资源请求使用 API 动词", t.Value)
	case HintHTTPMethod:
		return l.Say("%q is a verb of the API; where the URL is no resource, the HTTP method is the verb", "%q 是 API 动词；对非资源 URL，动词就是小写的 HTTP 方法", t.Value)
	case HintCollection:
		return x.collection(l)
	case HintAnyNamespace:
		return l.Say(`"" stands for no namespace, not for any`, `"" 表示没有命名空间，而不是任意命名空间`)
	case HintOwnNamespace:
		return l.Say("a Namespace counts as in the namespace of its own name", "Namespace 对象视为位于与其同名的命名空间中")
	case HintNoNamespace:
		return l.Say(`objects of the cluster and lists over all namespaces have none; "" would match`, `集群级对象和跨所有命名空间的 list 都没有命名空间；写作 "" 才能匹配`)
	case HintStarStar:
		return l.Say(`"*/*" matches nothing; "*" takes every resource and subresource`, `"*/*" 不匹配任何资源；"*" 才匹配所有资源和子资源`)
	case HintOtherAPIGroup:
		return l.Say("%q is listed, but in %s", "规则列出了 %q，但属于 %s", combined(x.request), l.apiGroup(t.Value))
	case HintCoreGroup:
		return l.Say(`the core group is written "", not "core"`, `核心组应写作 ""，而不是 "core"`)
	case HintNoName:
		return x.noName(l)
	case HintTrailingSlash:
		return l.Say("a slash at the end counts; %s", "末尾的斜杠有区别；%s", would)
	case HintPrefixSlash:
		return l.Say("%q takes only what is below; %s", "%q 只匹配其下的路径；%s", t.Value, would)
	case HintSubresource, HintParent, HintBelow:
		return would
	}
	return ""
}

func (l speaker) noWildcard(t Test) string {
	member := string(t.Condition)
	if t.Cause == CauseName {
		member = "resourceNames"
	}
	if t.Value == "*" {
		return l.Say(`"*" is no wildcard here; without %s the rule takes all`, `"*" 在这里不是通配符；删去 %s 即匹配全部`, member)
	}
	return l.Say("%q is no wildcard: %s are compared as a whole", "%q 不是通配符：%s 按整个字符串比较", t.Value, member)
}

// collection says how the URL made another verb of the method's.
func (x Explanation) collection(l speaker) string {
	switch x.request.Verb {
	case "list":
		return l.Say("a GET without a name is a list", "没有名称的 GET 是 list")
	case "watch":
		return l.Say("a list that goes on with watch=true is a watch", "带有 watch=true 的 list 是 watch")
	}
	return l.Say("a DELETE without a name is a deletecollection", "没有名称的 DELETE 是 deletecollection")
}

func (x Explanation) noName(l speaker) string {
	switch verb := x.request.Verb; verb {
	case "list", "watch":
		return l.Say("a %s has a name only with fieldSelector=metadata.name=NAME", "%s 只有带 fieldSelector=metadata.name=NAME 时才有名称", verb)
	case "create":
		return l.Say("the name of what a create makes stands in the body, which is not looked at", "create 的对象名称在请求体中，策略不会查看")
	}
	return l.Say(`"" would match`, `写作 "" 才能匹配`)
}

// events says at which stages events are written and what is in them.
func (x Explanation) events(l speaker) string {
	if !policy.LevelNone.Less(x.Level) {
		return l.Say("No audit event is written.", "不写入审计事件。")
	}
	r := x.request
	var written, omitted []string
	for _, s := range r.Stages() {
		switch {
		case slices.Contains(x.OmitStages, s):
			omitted = append(omitted, string(s))
		case s == policy.StageResponseComplete && slices.Contains(x.OmitStages, policy.StagePanic):
			written = append(written, l.Say("%s (nothing if the handler panics)", "%s（处理程序 panic 时不写入）", s))
		case s == policy.StageResponseComplete:
			written = append(written, l.Say("%s (Panic if the handler panics)", "%s（处理程序 panic 时为 Panic）", s))
		default:
			written = append(written, string(s))
		}
	}
	complete := r.Authenticated && !slices.Contains(x.OmitStages, policy.StageResponseComplete)
	if r.Authenticated && !complete && !slices.Contains(x.OmitStages, policy.StagePanic) {
		written = append(written, l.Say("Panic (if the handler panics)", "Panic（仅当处理程序 panic）"))
	}
	var b strings.Builder
	switch {
	case !r.Authenticated:
		b.WriteString(l.Say("A request that is not authenticated passes only ResponseStarted. ", "未通过身份认证的请求只经过 ResponseStarted 阶段。"))
	case r.LongRunning():
		b.WriteString(l.Say("The request is long-running. ", "这是长时间运行的请求。"))
	}
	switch {
	case len(written) == 0:
		are := l.Say(" is", "")
		if len(omitted) > 1 {
			are = l.Say(" are", "")
		}
		b.WriteString(l.Say("No audit event is written: %s%s omitted.", "不写入审计事件：%s%s 被省略。", l.list(omitted, true), are))
		return b.String()
	case len(omitted) == 0:
		b.WriteString(l.Say("Audit events are written at %s.", "写入审计事件的阶段：%s。", l.list(written, true)))
	default:
		b.WriteString(l.Say("Audit events are written at %s; omitted: %s.", "写入审计事件的阶段：%s；被省略的阶段：%s。", l.list(written, true), l.list(omitted, true)))
	}
	b.WriteString(l.Say(" ", "") + x.bodies(l, complete))
	return b.String()
}

// bodies says what of the bodies is recorded. Complete tells whether the event at
// ResponseComplete is written, the only one that holds any.
func (x Explanation) bodies(l speaker, complete bool) string {
	request, response := bodies(x.request)
	request = request && !x.Level.Less(policy.LevelRequest)
	response = response && !x.Level.Less(policy.LevelRequestResponse)
	var what string
	switch {
	case !request && !response && x.Level == policy.LevelMetadata:
		return l.Say("They hold no bodies.", "事件不含请求体和响应体。")
	case !request && !response:
		return l.Say("They hold no bodies: of such a request none is recorded at this level.", "事件不含请求体和响应体：此类请求在该级别没有可记录的内容。")
	case !complete:
		return l.Say("They hold no bodies, which come only at ResponseComplete.", "事件不含请求体和响应体，它们只在 ResponseComplete 时记录。")
	case request && response:
		what = l.Say("the bodies of request and response", "请求体和响应体")
	case response:
		what = l.Say("the response body", "响应体")
	default:
		what = l.Say("the request body", "请求体")
	}
	if strings.HasPrefix(x.request.Verb, "delete") && request {
		what += l.Say(" (a delete may come without one)", "（delete 可能没有请求体）")
	}
	if x.OmitManagedFields {
		what += l.Say(", without managedFields", "，不含 managedFields")
	}
	return l.Say("The last one holds %s.", "最后一个事件包含%s。", what)
}

// bodies tells which bodies of a request can be recorded at all. None are of what is
// passed on as a stream, of requests that were not authenticated, and of URLs that
// are no resources. Upstream: the handlers of pkg/endpoints/handlers.
func bodies(r *policy.Request) (request, response bool) {
	stream := slices.Contains([]string{"exec", "attach", "portforward", "proxy"}, r.Subresource)
	if !r.Authenticated || !r.IsResourceRequest || stream {
		return false, false
	}
	switch r.Verb {
	case "create", "update", "patch", "delete", "deletecollection":
		return true, true
	case "get", "list":
		return false, r.Subresource != "log"
	}
	return false, false
}
