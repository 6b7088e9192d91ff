package explain

import (
	"strconv"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"kubetrail/policy"
	"kubetrail/policy/policytest"
)

func noLine(int) int { return 0 }

// TestMissWords checks the sentence for each cause and hint, in both languages, and that
// what a hint suggests would have held.
func TestMissWords(t *testing.T) {
	hints := map[Hint]bool{}
	one := func(group string, names []string, resources ...string) policy.PolicyRule {
		return policy.PolicyRule{Resources: []policy.GroupResources{{Group: group, Resources: resources, ResourceNames: names}}}
	}
	for _, c := range []struct {
		rule        policy.PolicyRule
		method, uri string
		en, zh      string
	}{
		{policy.PolicyRule{Users: []string{"bob"}, UserGroups: []string{"ops"}}, "GET", "/api",
			`for user "bob", not "alice"; for group "ops", and the user is in "dev" and "system:authenticated".`,
			`要求用户为 "bob"，而不是 "alice"；要求用户属于组 "ops"，而该用户属于 "dev" 和 "system:authenticated"。`},
		{policy.PolicyRule{Users: []string{"a", "b", "c", "d", "e", "f"}}, "GET", "/api",
			`for user "a", "b", "c", "d" or 2 more, not "alice".`,
			`要求用户为 "a"、"b"、"c"、"d" 或另外 2 个，而不是 "alice"。`},
		{policy.PolicyRule{Users: []string{"al*"}, Verbs: []string{"*"}}, "GET", "/api",
			`for user "al*", not "alice" ("al*" is no wildcard: users are compared as a whole); for verb "*", not "get" ("*" is no wildcard here; without verbs the rule takes all).`,
			`要求用户为 "al*"，而不是 "alice"（"al*" 不是通配符：users 按整个字符串比较）；要求动词为 "*"，而不是 "get"（"*" 在这里不是通配符；删去 verbs 即匹配全部）。`},
		{policy.PolicyRule{Verbs: []string{"GET"}}, "GET", "/api/v1/pods/a",
			`for verb "GET", not "get" ("GET" differs in upper and lower case).`,
			`要求动词为 "GET"，而不是 "get"（"GET" 的大小写不同）。`},
		{policy.PolicyRule{Verbs: []string{"post"}}, "POST", "/api/v1/pods",
			`for verb "post", not "create" ("post" is an HTTP method; a request for a resource has a verb of the API).`,
			`要求动词为 "post"，而不是 "create"（"post" 是 HTTP 方法；资源请求使用 API 动词）。`},
		{policy.PolicyRule{Verbs: []string{"create"}}, "POST", "/logs",
			`for verb "create", not "post" ("create" is a verb of the API; where the URL is no resource, the HTTP method is the verb).`,
			`要求动词为 "create"，而不是 "post"（"create" 是 API 动词；对非资源 URL，动词就是小写的 HTTP 方法）。`},
		{policy.PolicyRule{Verbs: []string{"get"}}, "GET", "/api/v1/pods",
			`for verb "get", not "list" (a GET without a name is a list).`,
			`要求动词为 "get"，而不是 "list"（没有名称的 GET 是 list）。`},
		{policy.PolicyRule{Verbs: []string{"list"}}, "GET", "/api/v1/pods?watch=1",
			`for verb "list", not "watch" (a list that goes on with watch=true is a watch).`,
			`要求动词为 "list"，而不是 "watch"（带有 watch=true 的 list 是 watch）。`},
		{policy.PolicyRule{Verbs: []string{"delete"}}, "DELETE", "/api/v1/pods",
			`for verb "delete", not "deletecollection" (a DELETE without a name is a deletecollection).`,
			`要求动词为 "delete"，而不是 "deletecollection"（没有名称的 DELETE 是 deletecollection）。`},
		{policy.PolicyRule{Verbs: []string{"get"}}, "OPTIONS", "/api/v1/pods",
			`for verb "get", and the method gives none.`,
			`要求动词为 "get"，而该方法没有对应的动词。`},
		{policy.PolicyRule{Namespaces: []string{"a"}}, "GET", "/api/v1/pods",
			`for namespace "a", and the URL names none (objects of the cluster and lists over all namespaces have none; "" would match).`,
			`要求命名空间为 "a"，而 URL 中没有命名空间（集群级对象和跨所有命名空间的 list 都没有命名空间；写作 "" 才能匹配）。`},
		{policy.PolicyRule{Namespaces: []string{""}}, "GET", "/api/v1/namespaces/a/pods",
			`for namespace "", not "a" ("" stands for no namespace, not for any).`,
			`要求命名空间为 ""，而不是 "a"（"" 表示没有命名空间，而不是任意命名空间）。`},
		{policy.PolicyRule{Namespaces: []string{""}}, "GET", "/api/v1/namespaces/a",
			`for namespace "", not "a" (a Namespace counts as in the namespace of its own name).`,
			`要求命名空间为 ""，而不是 "a"（Namespace 对象视为位于与其同名的命名空间中）。`},
		{one("", nil, "pods"), "GET", "/version",
			`for a resource, and "/version" is none.`,
			`要求请求资源，而 "/version" 不是资源。`},
		{policy.PolicyRule{NonResourceURLs: []string{"*"}}, "GET", "/api/v1/pods/a/log",
			`for a URL that is no resource, and "pods/log" is one.`,
			`要求非资源 URL，而 "pods/log" 是资源。`},
		{policy.PolicyRule{Resources: []policy.GroupResources{{Group: "apps"}, {Group: "apps"}, {Group: "a"}, {Group: "b"}, {Group: "c"}, {Group: "d"}, {Group: "e"}}}, "GET", "/api/v1/pods",
			`for resources of group "apps", group "a", group "b", group "c" or 2 more, not of the core group.`,
			`要求 API 组 "apps"、API 组 "a"、API 组 "b"、API 组 "c" 或另外 2 个 API 组的资源，而不是核心组的资源。`},
		{one("", nil, "deployments"), "GET", "/apis/apps/v1/deployments",
			`for resources of the core group, not of group "apps" ("deployments" is listed, but in the core group).`,
			`要求核心组的资源，而不是 API 组 "apps" 的资源（规则列出了 "deployments"，但属于核心组）。`},
		{one("core", nil, "pods"), "GET", "/api/v1/pods",
			`for resources of group "core", not of the core group (the core group is written "", not "core").`,
			`要求 API 组 "core" 的资源，而不是核心组的资源（核心组应写作 ""，而不是 "core"）。`},
		{one("", nil, "secrets", "pods"), "GET", "/api/v1/pods/a/log",
			`for "secrets" or "pods" of the core group, not "pods/log" ("pods/log" or "pods/*" would match).`,
			`要求核心组的资源 "secrets" 或 "pods"，而不是 "pods/log"（写作 "pods/log" 或 "pods/*" 才能匹配）。`},
		{one("apps", nil, "deployments/scale"), "GET", "/apis/apps/v1/deployments",
			`for "deployments/scale" of group "apps", not "deployments" ("deployments" or "deployments/*" would match).`,
			`要求 API 组 "apps" 的资源 "deployments/scale"，而不是 "deployments"（写作 "deployments" 或 "deployments/*" 才能匹配）。`},
		{one("*", nil, "*/*"), "GET", "/apis/apps/v1/deployments",
			`for "*/*" of group "apps", not "deployments" ("*/*" matches nothing; "*" takes every resource and subresource).`,
			`要求 API 组 "apps" 的资源 "*/*"，而不是 "deployments"（"*/*" 不匹配任何资源；"*" 才匹配所有资源和子资源）。`},
		{one("", []string{"x"}, "pods"), "GET", "/api/v1/namespaces/a/pods/y",
			`for "pods" of the core group named "x", not "y".`,
			`要求资源 "pods"（核心组）的名称为 "x"，而不是 "y"。`},
		{one("", []string{"x"}, "pods"), "POST", "/api/v1/namespaces/a/pods",
			`for "pods" of the core group named "x", and the URL names no object (the name of what a create makes stands in the body, which is not looked at).`,
			`要求资源 "pods"（核心组）的名称为 "x"，而 URL 中没有对象名称（create 的对象名称在请求体中，策略不会查看）。`},
		{one("", []string{"x"}, "pods"), "GET", "/api/v1/namespaces/a/pods",
			`for "pods" of the core group named "x", and the URL names no object (a list has a name only with fieldSelector=metadata.name=NAME).`,
			`要求资源 "pods"（核心组）的名称为 "x"，而 URL 中没有对象名称（list 只有带 fieldSelector=metadata.name=NAME 时才有名称）。`},
		{one("", []string{"x"}, "pods"), "DELETE", "/api/v1/namespaces/a/pods",
			`for "pods" of the core group named "x", and the URL names no object ("" would match).`,
			`要求资源 "pods"（核心组）的名称为 "x"，而 URL 中没有对象名称（写作 "" 才能匹配）。`},
		{one("", []string{"*"}, "pods"), "GET", "/api/v1/namespaces/a/pods/y",
			`for "pods" of the core group named "*", not "y" ("*" is no wildcard here; without resourceNames the rule takes all).`,
			`要求资源 "pods"（核心组）的名称为 "*"，而不是 "y"（"*" 在这里不是通配符；删去 resourceNames 即匹配全部）。`},
		{policy.PolicyRule{NonResourceURLs: []string{"/version", "/healthz"}}, "GET", "/healthz/ping",
			`for URL "/version" or "/healthz", not "/healthz/ping" ("/healthz/*" or "/healthz*" would match).`,
			`要求 URL 为 "/version" 或 "/healthz"，而不是 "/healthz/ping"（写作 "/healthz/*" 或 "/healthz*" 才能匹配）。`},
		{policy.PolicyRule{NonResourceURLs: []string{"/healthz"}}, "GET", "/healthz/",
			`for URL "/healthz", not "/healthz/" (a slash at the end counts; "/healthz/" or "/healthz*" would match).`,
			`要求 URL 为 "/healthz"，而不是 "/healthz/"（末尾的斜杠有区别；写作 "/healthz/" 或 "/healthz*" 才能匹配）。`},
		{policy.PolicyRule{NonResourceURLs: []string{"/healthz/*"}}, "GET", "/healthz",
			`for URL "/healthz/*", not "/healthz" ("/healthz/*" takes only what is below; "/healthz*" would match).`,
			`要求 URL 为 "/healthz/*"，而不是 "/healthz"（"/healthz/*" 只匹配其下的路径；写作 "/healthz*" 才能匹配）。`},
	} {
		r := parsed(t, c.method, c.uri)
		r.Groups = []string{"dev", "system:authenticated"}
		p := &policy.Policy{Rules: []policy.PolicyRule{c.rule}}
		checkTrials(t, p, &r)
		x := Request(p, &r)
		for _, test := range x.Trials[0].Tests {
			hints[test.Hint] = true
		}
		for l, want := range map[policy.Language]string{policy.English: "rules[0] asks " + c.en, policy.Chinese: "rules[0] " + c.zh} {
			got := x.Words(l, noLine).Misses
			if len(got) != 1 || got[0] != want {
				t.Errorf("%s %s:\n got %s\nwant %s", c.method, c.uri, got, want)
			}
		}
	}
	for _, h := range []Hint{HintNoWildcard, HintCase, HintVerbOfAPI, HintHTTPMethod, HintCollection, HintAnyNamespace,
		HintOwnNamespace, HintNoNamespace, HintSubresource, HintParent, HintStarStar, HintOtherAPIGroup, HintCoreGroup,
		HintNoName, HintBelow, HintTrailingSlash, HintPrefixSlash} {
		if !hints[h] {
			t.Errorf("no sentence here has the hint %s", h)
		}
	}
}

// TestWordsWithoutUser checks what is said of a request that is not authenticated, and
// of a user without groups.
func TestWordsWithoutUser(t *testing.T) {
	p := &policy.Policy{OmitStages: []policy.Stage{policy.StageResponseStarted}, Rules: []policy.PolicyRule{
		{Level: policy.LevelNone, Users: []string{"bob"}, UserGroups: []string{"dev"}}, {Level: policy.LevelMetadata}}}
	r := parsed(t, "GET", "/api")
	for _, c := range []struct {
		authenticated          bool
		miss, zh, events, zhEv string
	}{
		{true,
			`rules[0] (line 7) asks for user "bob", not "alice"; for group "dev", and the user is in no group.`,
			`rules[0]（第 7 行）要求用户为 "bob"，而不是 "alice"；要求用户属于组 "dev"，而该用户不属于任何组。`,
			"Audit events are written at RequestReceived and ResponseComplete (Panic if the handler panics). They hold no bodies.",
			"写入审计事件的阶段：RequestReceived 和 ResponseComplete（处理程序 panic 时为 Panic）。事件不含请求体和响应体。"},
		{false,
			`rules[0] (line 7) asks for user "bob", and the request is not authenticated; for group "dev", and the request is not authenticated.`,
			`rules[0]（第 7 行）要求用户为 "bob"，而该请求未通过身份认证；要求用户属于组 "dev"，而该请求未通过身份认证。`,
			"A request that is not authenticated passes only ResponseStarted. No audit event is written: ResponseStarted is omitted.",
			"未通过身份认证的请求只经过 ResponseStarted 阶段。不写入审计事件：ResponseStarted 被省略。"},
	} {
		r.Authenticated = c.authenticated
		x := Request(p, &r)
		line := func(rule int) int { return 7 + rule }
		en, zh := x.Words(policy.English, line), x.Words(policy.Chinese, line)
		if en.Misses[0] != c.miss || en.Events != c.events || zh.Misses[0] != c.zh || zh.Events != c.zhEv {
			t.Errorf("authenticated %t:\n%+v\n%+v", c.authenticated, en, zh)
		}
		if en.Decision != "rules[1] (line 8) has no conditions and matches every request: level Metadata." ||
			zh.Decision != "rules[1]（第 8 行）没有条件，匹配所有请求：级别 Metadata。" {
			t.Errorf("%s\n%s", en.Decision, zh.Decision)
		}
	}
}

// TestRequestWords checks what is said of requests of each kind.
func TestRequestWords(t *testing.T) {
	for _, c := range []struct {
		method, uri, user, groups string // user "-" is none
		en, zh                    string
	}{
		{"GET", "/apis/apps/v1/namespaces/a/deployments/b/scale", "alice", "dev,ops",
			`The request has verb "get", resource "deployments/scale" of group "apps", namespace "a" and name "b"; its user is "alice", in group "dev" and "ops".`,
			`请求：动词 "get"、API 组 "apps" 的资源 "deployments/scale"、命名空间 "a" 和名称 "b"；用户 "alice"，属于组 "dev" 和 "ops"。`},
		{"OPTIONS", "/api/v1/pods", "alice", "",
			`The request has no verb and resource "pods" of the core group; its user is "alice", in no group.`,
			`请求：没有动词和核心组的资源 "pods"；用户 "alice"，不属于任何组。`},
		{"POST", "/logs?a=b", "-", "",
			`The request has verb "post" and URL "/logs", which is no resource; it is not authenticated.`,
			`请求：动词 "post" 和非资源 URL "/logs"；未通过身份认证。`},
	} {
		r := parsed(t, c.method, c.uri)
		r.Authenticated, r.User = c.user != "-", c.user
		if c.groups != "" {
			r.Groups = strings.Split(c.groups, ",")
		}
		x := Request(&policy.Policy{}, &r)
		if en, zh := x.Words(policy.English, noLine).Request, x.Words(policy.Chinese, noLine).Request; en != c.en || zh != c.zh {
			t.Errorf("%s %s:\n%s\n%s", c.method, c.uri, en, zh)
		}
	}
}

// TestDecisionWords checks what is said of the rule that decides.
func TestDecisionWords(t *testing.T) {
	for _, c := range []struct {
		rule        policy.PolicyRule
		method, uri string
		en, zh      string
	}{
		{policy.PolicyRule{Users: []string{"alice"}, UserGroups: []string{"ops", "dev"}, Verbs: []string{"get"}, Namespaces: []string{"a"}, Resources: []policy.GroupResources{{Resources: []string{"pods/*"}}}},
			"GET", "/api/v1/namespaces/a/pods/b/log",
			`rules[0] matches by user "alice", group "dev", verb "get", namespace "a" and resource "pods/*" of the core group: level Request.`,
			`rules[0] 匹配（用户 "alice"、组 "dev"、动词 "get"、命名空间 "a" 和核心组的资源 "pods/*"）：级别 Request。`},
		{policy.PolicyRule{Namespaces: []string{""}, Resources: []policy.GroupResources{{Group: "*"}}}, "GET", "/apis/apps/v1/deployments",
			`rules[0] matches by namespace "" (none) and every resource of any group: level Request.`,
			`rules[0] 匹配（命名空间 ""（即没有）和任意 API 组的所有资源）：级别 Request。`},
		{policy.PolicyRule{NonResourceURLs: []string{"/a*"}}, "GET", "/abc",
			`rules[0] matches by URL "/a*": level Request.`, `rules[0] 匹配（URL "/a*"）：级别 Request。`},
		{policy.PolicyRule{Verbs: []string{"list"}}, "GET", "/abc",
			"No rule matches: level None.", "没有规则匹配：级别 None。"},
	} {
		c.rule.Level = policy.LevelRequest
		r := parsed(t, c.method, c.uri)
		r.Groups = []string{"dev"}
		x := Request(&policy.Policy{Rules: []policy.PolicyRule{c.rule}}, &r)
		if en, zh := x.Words(policy.English, noLine).Decision, x.Words(policy.Chinese, noLine).Decision; en != c.en || zh != c.zh {
			t.Errorf("%s %s:\n%s\n%s", c.method, c.uri, en, zh)
		}
	}
}

// TestEventWords checks which events and bodies are promised for requests of each kind.
func TestEventWords(t *testing.T) {
	const panics = " (Panic if the handler panics)"
	for _, c := range []struct {
		level       policy.Level
		omit        []policy.Stage
		method, uri string
		want        string
	}{
		{policy.LevelNone, nil, "GET", "/api/v1/pods", "No audit event is written."},
		{policy.LevelMetadata, []policy.Stage{policy.StageRequestReceived}, "POST", "/api/v1/pods", "Audit events are written at ResponseComplete" + panics + "; omitted: RequestReceived. They hold no bodies."},
		{policy.LevelRequest, nil, "POST", "/api/v1/pods", "Audit events are written at RequestReceived and ResponseComplete" + panics + ". The last one holds the request body."},
		{policy.LevelRequest, nil, "DELETE", "/api/v1/pods/a", "Audit events are written at RequestReceived and ResponseComplete" + panics + ". The last one holds the request body (a delete may come without one)."},
		{policy.LevelRequest, nil, "GET", "/api/v1/pods", "Audit events are written at RequestReceived and ResponseComplete" + panics + ". They hold no bodies: of such a request none is recorded at this level."},
		{policy.LevelRequestResponse, nil, "GET", "/api/v1/pods", "Audit events are written at RequestReceived and ResponseComplete" + panics + ". The last one holds the response body."},
		{policy.LevelRequestResponse, nil, "PATCH", "/api/v1/pods/a", "Audit events are written at RequestReceived and ResponseComplete" + panics + ". The last one holds the bodies of request and response."},
		{policy.LevelRequestResponse, nil, "GET", "/api/v1/pods?watch=1", "The request is long-running. Audit events are written at RequestReceived, ResponseStarted and ResponseComplete" + panics + ". They hold no bodies: of such a request none is recorded at this level."},
		{policy.LevelRequestResponse, nil, "POST", "/api/v1/pods/a/exec", "The request is long-running. Audit events are written at RequestReceived, ResponseStarted and ResponseComplete" + panics + ". They hold no bodies: of such a request none is recorded at this level."},
		{policy.LevelRequestResponse, nil, "GET", "/api/v1/pods/a/log", "The request is long-running. Audit events are written at RequestReceived, ResponseStarted and ResponseComplete" + panics + ". They hold no bodies: of such a request none is recorded at this level."},
		{policy.LevelRequestResponse, []policy.Stage{policy.StagePanic}, "POST", "/logs", "Audit events are written at RequestReceived and ResponseComplete (nothing if the handler panics). They hold no bodies: of such a request none is recorded at this level."},
		{policy.LevelRequest, []policy.Stage{policy.StageResponseComplete}, "POST", "/api/v1/pods", "Audit events are written at RequestReceived and Panic (if the handler panics); omitted: ResponseComplete. They hold no bodies, which come only at ResponseComplete."},
		{policy.LevelRequest, []policy.Stage{policy.StageResponseComplete, policy.StageRequestReceived, policy.StagePanic}, "POST", "/api/v1/pods", "No audit event is written: RequestReceived and ResponseComplete are omitted."},
	} {
		r := parsed(t, c.method, c.uri)
		x := Request(&policy.Policy{Rules: []policy.PolicyRule{{Level: c.level, OmitStages: c.omit}}}, &r)
		if got := x.Words(policy.English, noLine).Events; got != c.want {
			t.Errorf("%s, %s %s:\n got %s\nwant %s", c.level, c.method, c.uri, got, c.want)
		}
	}
	r := parsed(t, "POST", "/api/v1/pods")
	x := Request(&policy.Policy{OmitManagedFields: true, Rules: []policy.PolicyRule{{Level: policy.LevelRequest}}}, &r)
	if got, want := x.Words(policy.Chinese, noLine).Events, "最后一个事件包含请求体，不含 managedFields。"; !strings.HasSuffix(got, want) {
		t.Errorf("%s does not end with %s", got, want)
	}
}

// TestWordsAreWhole checks on random policies and requests that every rule gets its
// sentence, that nothing is left unfilled, and that no language speaks the other.
func TestWordsAreWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policytest.Policy(t)
		r := policytest.Request(t, p)
		r.User += rapid.SampledFrom([]string{"", "\x1b[31m", "王 芳", "a\"b c", `\`, "\u202e"}).Draw(t, "hostile")
		x := Request(p, r)
		en, zh := x.Words(policy.English, noLine), x.Words(policy.Chinese, noLine)
		misses := len(x.Trials)
		if x.Rule >= 0 {
			misses--
		}
		if len(en.Misses) != misses || len(zh.Misses) != misses {
			t.Fatalf("%d and %d sentences for %d misses", len(en.Misses), len(zh.Misses), misses)
		}
		for _, s := range append([]string{en.Request, en.Decision, en.Events}, en.Misses...) {
			checkSentence(t, s, ".")
			if strings.ContainsFunc(strings.ReplaceAll(s, "王 芳", ""), func(c rune) bool { return unicode.Is(unicode.Han, c) }) {
				t.Fatalf("Chinese in %s", s)
			}
		}
		for _, s := range append([]string{zh.Request, zh.Decision, zh.Events}, zh.Misses...) {
			checkSentence(t, s, "。")
		}
		for i := range en.Misses {
			if v := strconv.Quote(r.User); strings.Contains(en.Misses[i], v) != strings.Contains(zh.Misses[i], v) {
				t.Fatalf("the user is not the same in %s and %s", en.Misses[i], zh.Misses[i])
			}
		}
	})
}

func checkSentence(t *rapid.T, s, end string) {
	if !strings.HasSuffix(s, end) || strings.Contains(s, "%!") || strings.Contains(s, "()") || strings.Contains(s, "（）") {
		t.Fatalf("no sentence: %s", s)
	}
	for _, c := range s {
		if !unicode.IsPrint(c) {
			t.Fatalf("%q in %s", c, s)
		}
	}
}
