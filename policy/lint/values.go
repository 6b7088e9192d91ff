package lint

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kubetrail/policy"
	"kubetrail/policy/yamltext"
)

// values looks at each value of each rule: whether any request can have it.
func (l *linter) values() {
	for i := range l.policy.Rules {
		r := &l.policy.Rules[i]
		l.verbs(i, r)
		l.users(i, r)
		l.userGroups(i, r)
		l.namespaces(i, r)
		l.urls(i, r)
		for k := range r.Resources {
			l.group(i, k, r.Resources[k])
		}
		same := func(value, by string) bool { return value == by }
		l.repeated(r.Users, same, "rules", i, "users")
		l.repeated(r.UserGroups, same, "rules", i, "userGroups")
		l.repeated(r.Verbs, same, "rules", i, "verbs")
		l.repeated(r.Namespaces, same, "rules", i, "namespaces")
		l.repeated(r.NonResourceURLs, same, "rules", i, "nonResourceURLs")
		l.repeated(words(r.OmitStages), same, "rules", i, "omitStages")
		l.repeated(r.NonResourceURLs, func(value, by string) bool {
			return value != by && strings.HasSuffix(by, "*") && strings.HasPrefix(value, strings.TrimSuffix(by, "*"))
		}, "rules", i, "nonResourceURLs")
	}
	l.repeated(words(l.policy.OmitStages), func(value, by string) bool { return value == by }, "omitStages")
}

// repeated reports values of the list at path that another one of it covers.
func (l *linter) repeated(list []string, covers func(value, by string) bool, path ...any) {
	for j, v := range list {
		for by, w := range list {
			if by == j || !covers(v, w) || covers(w, v) && by > j {
				continue
			}
			at := append(slices.Clone(path), j)
			msg := say("%q says nothing that %q does not say already", "%q 已包含在 %q 中", v, w)
			if v == w {
				msg = say("%q stands in this list already", "列表中已有 %q", v)
			}
			l.report("duplicate-value", msg, at...).Fix = l.file.fix(say("remove it", "删除它"), l.file.Remove(at...))
			break
		}
	}
}

// dead reports a value that no request has. instead is what was probably meant; where
// it is empty, the repair takes the value out, and its rule if nothing is left.
func (l *linter) dead(id, instead string, msg Text, path ...any) *Finding {
	f := l.report(id, msg, path...)
	n, ok := l.file.Find(path...)
	list, ok2 := l.file.Find(path[:len(path)-1]...)
	there := false
	if ok && ok2 {
		for _, item := range list.Content {
			there = there || item.Value == instead
		}
	}
	switch {
	case !ok:
	case instead != "" && !there:
		f.Message.En += "; did you mean " + strconv.Quote(instead) + "?"
		f.Message.Zh += "；是否想写 " + strconv.Quote(instead) + "？"
		f.Fix = l.file.fix(say("write %s", "改为 %s", instead), l.file.Set(n, instead))
	case instead != "":
		f.Fix = l.file.fix(say("remove it: %s stands there already", "删除它：已有 %s", instead), l.file.Remove(path...))
	default:
		f.Fix = l.file.fix(removal(), l.file.drop(path...))
	}
	return f
}

// removal is what a repair says that takes out what no request has for which there is
// anything: one for a group that is gone gets 404, and is recorded, too.
func removal() Text {
	return say("remove it; only requests for what does not exist are recorded otherwise", "删除它；只有请求不存在的东西时记录才会不同")
}

// all reports a list with a wildcard that only means "any" where the list is absent.
func (l *linter) all(i int, field string, j int, msg Text) {
	l.report("useless-wildcard", msg, "rules", i, field, j).Fix =
		l.file.fix(say("leave %s out: without it the rule matches any", "去掉 %s：没有它时规则匹配任意值", field), l.file.Remove("rules", i, field))
}

// apiVerbs are the verbs of requests for resources, httpVerbs those of other URLs.
func apiVerbs() []string {
	return []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
}

func httpVerbs() []string {
	return []string{"get", "head", "post", "put", "patch", "delete", "options", "connect", "trace"}
}

// otherVerbs are what people write for a verb.
func otherVerbs() map[string]string {
	return map[string]string{"read": "get", "view": "get", "describe": "get", "edit": "update", "modify": "update", "replace": "update",
		"apply": "patch", "remove": "delete", "add": "create", "gets": "get", "gte": "get", "lists": "list", "deletes": "delete",
		"delete-collection": "deletecollection", "deletecollections": "deletecollection"}
}

// rbacVerbs are checked by authorization, or told to admission, but no request has them.
func rbacVerbs() []string {
	return []string{"impersonate", "bind", "escalate", "use", "approve", "sign", "attest", "connect"}
}

func (l *linter) verbs(i int, r *policy.PolicyRule) {
	forResources := len(r.Resources)+len(r.Namespaces) > 0
	forURLs := !forResources && len(r.NonResourceURLs) > 0
	toAPI := map[string]string{"post": "create", "put": "update", "head": "get"}
	toHTTP := map[string]string{"create": "post", "update": "put", "list": "get", "watch": "get", "deletecollection": "delete"}
	for j, v := range r.Verbs {
		at := []any{"rules", i, "verbs", j}
		isAPI, isHTTP := slices.Contains(apiVerbs(), v), slices.Contains(httpVerbs(), v)
		switch {
		case v == "*":
			l.all(i, "verbs", j, say("\"*\" is no wildcard in verbs: no request has this verb", "\"*\" 在 verbs 中不是通配符：没有请求使用该动词"))
		case strings.Contains(v, "*"):
			l.dead("useless-wildcard", "", say("verbs have no wildcards: no request has the verb %q", "verbs 不支持通配符：没有请求使用动词 %q", v), at...)
		case isAPI && forURLs && !isHTTP:
			l.dead("wrong-kind-of-verb", toHTTP[v], say("%q is a verb of resources, but this rule is for URLs, whose verbs are HTTP methods", "%q 是资源请求的动词，而此规则针对 URL，其动词为 HTTP 方法", v), at...)
		case isHTTP && forResources && !isAPI && v != "connect":
			l.dead("wrong-kind-of-verb", toAPI[v], say("%q is an HTTP method, but this rule is for resources, which have verbs of their own", "%q 是 HTTP 方法，而此规则针对资源，资源有自己的动词", v), at...)
		case isAPI, isHTTP && !forResources, v == "", v == "proxy":
		case slices.Contains(rbacVerbs(), strings.ToLower(v)):
			l.dead("unknown-verb", "", say("no request has the verb %q: only authorization and admission know it", "没有请求使用动词 %q：它只用于授权和准入", v), at...)
		default:
			known := apiVerbs()
			if forURLs {
				known = httpVerbs()
			}
			meant := otherVerbs()[strings.ToLower(v)]
			if meant == "" {
				meant = nearest(v, known)
			}
			if to := toAPI[strings.ToLower(v)]; meant == "" && !forURLs && to != "" {
				meant = to
			}
			if forURLs && toHTTP[meant] != "" {
				meant = toHTTP[meant]
			}
			l.dead("unknown-verb", meant, say("no request has the verb %q", "没有请求使用动词 %q", v), at...)
		}
	}
}

// Names that kube-apiserver gives to users and groups by itself.
var (
	serviceAccount = regexp.MustCompile(`^system:serviceaccount:[a-z0-9]([-a-z0-9]*[a-z0-9])?:[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`)
	accountGroup   = regexp.MustCompile(`^system:serviceaccounts(:[a-z0-9]([-a-z0-9]*[a-z0-9])?)?$`)
	dnsLabel       = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
)

// isGroup tells names that only groups have.
func isGroup(name string) bool {
	return slices.Contains([]string{"system:masters", "system:nodes", "system:authenticated", "system:unauthenticated", "system:bootstrappers", "system:monitoring"}, name) ||
		accountGroup.MatchString(name)
}

// isUser tells names that only users have.
func isUser(name string) bool {
	return slices.Contains([]string{"system:anonymous", "system:apiserver"}, name) ||
		serviceAccount.MatchString(name) || strings.HasPrefix(name, "system:node:") && len(name) > len("system:node:") && !strings.Contains(name, "*")
}

func (l *linter) users(i int, r *policy.PolicyRule) {
	for j, v := range r.Users {
		at := []any{"rules", i, "users", j}
		switch {
		case strings.Contains(v, "*"):
			l.userWildcard(i, r, j)
		case isGroup(v):
			f := l.report("user-or-group", say("%q is a group, no user: the condition never holds for it", "%q 是用户组而不是用户：该条件永远不成立", v), at...)
			if len(r.UserGroups) == 0 && !slices.ContainsFunc(r.Users, func(u string) bool { return !isGroup(u) }) {
				f.Fix = l.file.fix(say("say userGroups", "改用 userGroups"), l.file.Rename("userGroups", "rules", i, "users"))
			}
		case v == "":
			l.dead("malformed-user", "", say("no user has an empty name", "没有名字为空的用户"), at...)
		case v == "system:unsecured":
			l.dead("outdated-exemption", "", say("the user system:unsecured is gone: the insecure port was, in Kubernetes 1.20", "用户 system:unsecured 已不存在：非安全端口自 Kubernetes 1.20 起取消"), at...)
		case strings.HasPrefix(v, "system:serviceaccounts:") && serviceAccount.MatchString(strings.Replace(v, "accounts", "account", 1)):
			l.dead("malformed-user", strings.Replace(v, "accounts", "account", 1), say("no user is called %q", "没有名为 %q 的用户", v), at...)
		case strings.HasPrefix(v, "system:serviceaccount:") && !serviceAccount.MatchString(v):
			l.dead("malformed-user", "", say("no user is called %q: service accounts are system:serviceaccount:NAMESPACE:NAME", "没有名为 %q 的用户：服务账户的格式为 system:serviceaccount:NAMESPACE:NAME", v), at...)
		case strings.HasPrefix(v, "system:nodes:"):
			l.dead("malformed-user", strings.Replace(v, "nodes", "node", 1), say("no user is called %q", "没有名为 %q 的用户", v), at...)
		}
	}
}

// userWildcard reports a user with a wildcard, and says which group has those users.
func (l *linter) userWildcard(i int, r *policy.PolicyRule, j int) {
	v := r.Users[j]
	if v == "*" {
		l.all(i, "users", j, say("\"*\" is no wildcard in users: it matches only a user called *", "\"*\" 在 users 中不是通配符：只匹配名为 * 的用户"))
		return
	}
	f := l.report("useless-wildcard", say("users have no wildcards: no user is called %q", "users 不支持通配符：没有名为 %q 的用户", v), "rules", i, "users", j)
	group := userGroup(v)
	if group == "" {
		return
	}
	f.Message.En += "; those users are in the group " + strconv.Quote(group)
	f.Message.Zh += "；这些用户属于组 " + strconv.Quote(group)
	if len(r.UserGroups) > 0 || slices.ContainsFunc(r.Users, func(u string) bool { return userGroup(u) == "" }) {
		return
	}
	edits := []*yamltext.Edit{l.file.Rename("userGroups", "rules", i, "users")}
	for k, u := range r.Users {
		edits = append(edits, l.file.SetAt(userGroup(u), "rules", i, "users", k))
	}
	f.Fix = l.file.fix(say("name the group", "改用用户组"), edits...)
}

// userGroup is the group of the users that a wildcard was to match, or empty.
func userGroup(pattern string) string {
	if pattern == "system:node:*" {
		return "system:nodes"
	}
	rest, ok := strings.CutPrefix(pattern, "system:serviceaccount:")
	namespace, name, two := strings.Cut(rest, ":")
	switch {
	case !ok || two && name != "*":
		return ""
	case rest == "*", namespace == "*" && two:
		return "system:serviceaccounts"
	case two && dnsLabel.MatchString(namespace):
		return "system:serviceaccounts:" + namespace
	}
	return ""
}

func (l *linter) userGroups(i int, r *policy.PolicyRule) {
	for j, v := range r.UserGroups {
		at := []any{"rules", i, "userGroups", j}
		switch {
		case v == "*":
			l.all(i, "userGroups", j, say("\"*\" is no wildcard in userGroups: no user is in a group called *", "\"*\" 在 userGroups 中不是通配符：没有名为 * 的用户组"))
		case strings.Contains(v, "*"):
			instead := ""
			if v == "system:serviceaccounts:*" {
				instead = "system:serviceaccounts"
			}
			f := l.dead("useless-wildcard", instead, say("userGroups have no wildcards: no group is called %q", "userGroups 不支持通配符：没有名为 %q 的用户组", v), at...)
			if instead == "" {
				f.Fix = nil // what was meant is unknown
			}
		case isUser(v):
			f := l.report("user-or-group", say("%q is a user, no group: the condition never holds for it", "%q 是用户而不是用户组：该条件永远不成立", v), at...)
			if len(r.Users) == 0 && !slices.ContainsFunc(r.UserGroups, func(g string) bool { return !isUser(g) }) {
				f.Fix = l.file.fix(say("say users", "改用 users"), l.file.Rename("users", "rules", i, "userGroups"))
			}
		}
	}
	l.identity(i, r)
}

// identity reports users that are in none of the groups that the rule asks for too.
func (l *linter) identity(i int, r *policy.PolicyRule) {
	if len(r.Users) == 0 || len(r.UserGroups) == 0 {
		return
	}
	var groups []string
	for _, u := range r.Users {
		in := groupsOf(u)
		if in == nil || slices.ContainsFunc(in, func(g string) bool { return slices.Contains(r.UserGroups, g) }) {
			return
		}
		groups = append(groups, in[0])
	}
	f := l.report("contradiction", say("none of these users is in a group of userGroups (%s is in %s), and both are asked for: the rule matches nothing", "这些用户都不在 userGroups 的组中（%s 属于 %s），而两者必须同时满足：该规则不匹配任何请求",
		r.Users[0], groups[0]), "rules", i, "users")
	if groups = slices.Compact(groups); len(groups) == 1 && len(r.UserGroups) == 1 {
		f.Fix = l.file.fix(say("name the group that they are in", "改为它们所在的组"), l.file.SetAt(groups[0], "rules", i, "userGroups", 0))
	}
}

// groupsOf lists all groups of a user, where its name tells them; else nil.
func groupsOf(user string) []string {
	switch {
	case user == "system:anonymous":
		return []string{"system:unauthenticated"}
	case serviceAccount.MatchString(user):
		return []string{"system:serviceaccounts", "system:serviceaccounts:" + strings.Split(user, ":")[2], "system:authenticated"}
	case strings.HasPrefix(user, "system:node:") && isUser(user):
		return []string{"system:nodes", "system:authenticated"}
	}
	return nil
}

func (l *linter) namespaces(i int, r *policy.PolicyRule) {
	for j, v := range r.Namespaces {
		at := []any{"rules", i, "namespaces", j}
		switch {
		case v == "*" && len(r.Resources) > 0:
			l.all(i, "namespaces", j, say("\"*\" is no wildcard in namespaces: no namespace is called *", "\"*\" 在 namespaces 中不是通配符：没有名为 * 的命名空间"))
		case strings.Contains(v, "*"):
			l.report("useless-wildcard", say("namespaces have no wildcards: none can be called %q; name each one", "namespaces 不支持通配符：不可能有名为 %q 的命名空间；请逐一列出", v), at...)
		case v != "" && !dnsLabel.MatchString(v):
			instead := strings.ToLower(v)
			if !dnsLabel.MatchString(instead) {
				instead = ""
			}
			l.dead("impossible-namespace", instead, say("no namespace can be called %q: names are lower-case letters, digits and dashes", "不可能有名为 %q 的命名空间：名称只能含小写字母、数字和短横线", v), at...)
		}
	}
}

func (l *linter) urls(i int, r *policy.PolicyRule) {
	if len(r.Resources)+len(r.Namespaces) > 0 {
		return // rejected anyway
	}
	for j, v := range r.NonResourceURLs {
		at := []any{"rules", i, "nonResourceURLs", j}
		path, query, hasQuery := strings.Cut(v, "?")
		if hasQuery {
			l.dead("dead-url", path, say("%q has a query (%q), but only the path is compared", "%q 带有查询部分（%q），而比较的只是路径", v, "?"+query), at...)
			continue
		}
		stem := strings.TrimSuffix(v, "*")
		info, err := policy.ParseRequest("GET", stem)
		if err == nil && info.IsResourceRequest || stem != v && discovery.MatchString(stem) {
			f := l.dead("dead-url", "", say("%q is the path of a resource: nonResourceURLs never match those; use resources", "%q 是资源的路径：nonResourceURLs 不会匹配资源请求；请用 resources", v), at...)
			f.Fix = nil // the resource that was meant is not recorded as meant without it
		}
	}
}

// discovery matches prefixes below which there are only resources.
var discovery = regexp.MustCompile(`^/(api/[^/]+|apis/[^/]+/[^/]+)/$`)
