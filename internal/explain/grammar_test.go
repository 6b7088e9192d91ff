package explain

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
	"kubetrail/internal/schema"
)

// made is an event put together by a test.
type made struct {
	verb, group, resource, sub, namespace, name string
	user, agent, uri                            string
	stage, decision, reason, message            string
	code                                        int32
	request, response                           string
}

func (m made) event() *audit.Event {
	e := &audit.Event{Code: m.code, Received: 1e15, Staged: 1e15 + 3e6}
	for c, v := range map[audit.Column]string{
		audit.Verb: m.verb, audit.APIGroup: m.group, audit.Resource: m.resource, audit.Subresource: m.sub,
		audit.Namespace: m.namespace, audit.Name: m.name, audit.Username: m.user, audit.UserAgent: m.agent,
		audit.RequestURI: m.uri, audit.Stage: m.stage, audit.Decision: m.decision, audit.Reason: m.reason, audit.Message: m.message,
		audit.SourceIPs: `["10.0.0.7"]`,
	} {
		e.Text[c] = []byte(v)
	}
	e.RequestObject, e.ResponseObject = []byte(m.request), []byte(m.response)
	return e
}

// outcomes are the ways in which a request ends.
func outcomes() []made {
	forbids := `x "n1" is forbidden: User "u1" cannot do resource "x" in API group "" at the cluster scope`
	all := []made{
		{stage: "RequestReceived"},
		{stage: "ResponseStarted", code: 200, decision: "allow"},
		{stage: "ResponseComplete", code: 200, decision: "allow", reason: `RBAC: allowed by RoleBinding "b1/ns1" of Role "r1" to User "u1"`},
		{stage: "ResponseComplete", code: 201, decision: "allow", reason: `RBAC: allowed by ClusterRoleBinding "b1" of ClusterRole "b1" to Group "g1"`},
		{stage: "ResponseComplete", code: 200, decision: "allow", message: "Connection closed early"},
		{stage: "ResponseComplete"},
		{},
		{stage: "ResponseComplete", code: 403, decision: "forbid", message: forbids},
		{stage: "ResponseComplete", code: 403, decision: "forbid", message: forbids, reason: "no"},
		{stage: "ResponseComplete", code: 403, message: `x is forbidden: User "u1" cannot impersonate-on:user-info:list resource "x" in API group "" at the cluster scope`},
		{stage: "ResponseComplete", code: 403, message: `users "u2" is forbidden: User "u1" cannot impersonate resource "users" in API group "" at the cluster scope`},
		{stage: "ResponseComplete", code: 403, decision: "allow", message: `pods "n1" is forbidden: violates PodSecurity "restricted:latest": this`},
		{stage: "ResponseComplete", code: 403, decision: "allow", message: `pods "n1" is forbidden: exceeded quota: q1, requested: pods=1, used: pods=1, limited: pods=1`},
		{stage: "ResponseComplete", code: 403, decision: "allow", message: `pods "n1" is forbidden: unable to create new content in namespace ns1 because it is being terminated`},
		{stage: "ResponseComplete", code: 422, decision: "allow", message: `x "n1" is forbidden: ValidatingAdmissionPolicy 'p1' with binding 'b1' denied request: no`},
		{stage: "ResponseComplete", code: 400, decision: "allow", message: `admission webhook "w1" denied the request: no`},
		{stage: "ResponseComplete", code: 403, decision: "allow", message: `admission webhook "w1" denied the request without explanation`},
		{stage: "ResponseComplete", code: 500, decision: "allow", message: `Internal error occurred: failed calling webhook "w1": failed to call webhook: Post`},
		{stage: "ResponseComplete", code: 404, decision: "allow", message: `namespaces "ns1" not found`},
		{stage: "ResponseComplete", code: 409, decision: "allow", message: `x "n1" already exists`},
		{stage: "ResponseComplete", code: 409, decision: "allow", message: `Operation cannot be fulfilled on x "n1": the object has been modified; please`},
		{stage: "ResponseComplete", code: 409, decision: "allow", message: "Apply failed with 1 conflict: conflict with \"m1\" using v1: .f1"},
		{stage: "ResponseComplete", code: 409, decision: "allow", message: "Apply failed with 4 conflicts: conflicts with \"m1\":\n- .f1\n- .f2\n- .f3\n- .f4"},
		{stage: "ResponseComplete", code: 429, decision: "allow", message: "Cannot evict pod as it would violate the pod's disruption budget."},
		{stage: "Panic", code: 500, decision: "allow", message: "APIServer panic'd: net/http: abort Handler"},
		{stage: "Panic", code: 500, decision: "allow", message: "APIServer panic'd: oh"},
	}
	for _, code := range []int32{101, 202, 301, 304, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 413, 415, 422, 429, 500, 501, 502, 503, 504} {
		all = append(all, made{stage: "ResponseComplete", code: code, decision: "allow"},
			made{stage: "ResponseComplete", code: code, decision: "allow", message: "because"})
	}
	return all
}

var (
	englishWord = regexp.MustCompile(`[A-Za-z][A-Za-z0-9:./'-]*`)
	quotedText  = regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`")
	badShapes   = regexp.MustCompile(`  |%!|%\(|\( | \)|（ | ）|\(\)|（）|""| [,;:]| \.(?:\s|$)|，，|：。|：，|,,|::|\{|\}|<|>`)
)

// tokens are the words that stay English in a Chinese sentence beside names and kinds.
var tokens = map[string]bool{"API": true, "server": true, "RBAC": true, "webhook": true, "Security": true, "GET": true,
	"POST": true, "PUT": true, "PATCH": true, "DELETE": true, "panic": true, "UID": true, "OpenAPI": true, "ClusterRole": true,
	"curl": true, "v1": true, "restricted:latest": true, "delete": true, "pods": true, "connect": true, "proxy": true}

// wrong says what is wrong with a sentence, if anything.
func wrong(s string, zh bool) string {
	plain := quotedText.ReplaceAllString(s, "Q1")
	switch {
	case s == "" || !utf8.ValidString(s):
		return "empty or not UTF-8"
	case zh != strings.HasSuffix(s, "。") || !zh && !strings.HasSuffix(s, "."):
		return "no full stop"
	case badShapes.MatchString(plain):
		return "bad shape: " + badShapes.FindString(plain)
	case strings.Count(plain, "(") != strings.Count(plain, ")") || strings.Count(plain, "（") != strings.Count(plain, "）"):
		return "brackets"
	}
	for _, r := range s {
		if !zh && (unicode.Is(unicode.Han, r) || r >= 0x3000 && r <= 0x303f || r >= 0xff00) {
			return "Chinese in an English sentence"
		}
	}
	if !zh {
		return ""
	}
	for i, r := range plain {
		if next, _ := utf8.DecodeRuneInString(plain[i+utf8.RuneLen(r):]); unicode.Is(unicode.Han, r) && next < utf8.RuneSelf && joins(byte(next)) ||
			r < utf8.RuneSelf && joins(byte(r)) && unicode.Is(unicode.Han, next) {
			return fmt.Sprintf("no space between %c and %c", r, next)
		}
	}
	for _, w := range englishWord.FindAllString(plain, -1) {
		if !tokens[w] && !kinds()[w] && !strings.ContainsAny(w, "0123456789") {
			return "English: " + w
		}
	}
	return ""
}

var kinds = sync.OnceValue(func() map[string]bool {
	m := map[string]bool{}
	for _, r := range schema.Resources() {
		m[r.Kind] = true
	}
	return m
})

// TestEverything says every verb of every built-in resource and subresource with every
// outcome, with a name and without.
func TestEverything(t *testing.T) {
	en, zh := New(Config{}), New(Config{Chinese: true})
	n := 0
	say := func(m made, fallback ...string) {
		e := m.event()
		for _, x := range []*Explainer{en, zh} {
			n++
			s := string(x.Append(nil, e))
			if w := wrong(s, x.zh); w != "" {
				t.Fatalf("%s: %s\n%+v", w, s, m)
			}
			for _, words := range fallback {
				if strings.Contains(quotedText.ReplaceAllString(s, ""), words) {
					t.Fatalf("fallback %q: %s\n%+v", words, s, m)
				}
			}
		}
	}
	all := outcomes()
	for i, r := range schema.Resources() {
		for j, o := range all {
			if r.Name != "deployments" && r.Name != "pods" && j >= 8 && (i+j)%8 > 0 {
				continue // the cause of a failure is said alike for every resource
			}
			o.user, o.agent, o.group, o.resource, o.uri = "u1", "curl/7", r.Group, r.Name, "/x?container=c1&command=ls1"
			for _, verb := range r.Verbs {
				o.verb, o.sub, o.name, o.namespace = verb, "", "", ""
				say(o, " a request", " request for", "方法", "subresource", "子资源")
				if r.Namespaced {
					o.namespace = "ns1"
				}
				say(o, " a request", " request for", "方法", "subresource", "子资源")
				o.name = "n1"
				say(o, " a request", " request for", "方法", "subresource", "子资源")
			}
			for _, sub := range r.Subresources {
				for _, verb := range sub.Verbs {
					o.verb, o.sub = verb, sub.Name
					say(o, " a request", " request for", "方法", "subresource", "子资源")
				}
			}
			for _, verb := range []string{"", "connect", "proxy"} {
				o.verb, o.sub = verb, ""
				say(o)
			}
		}
	}
	for _, o := range outcomes() {
		for _, path := range []string{"/", "/api", "/apis", "/api/v1", "/apis/apps/v1", "/healthz", "/livez/etcd", "/readyz?verbose", "/metrics", "/metrics/slis", "/version", "/openapi/v2", "/x1", "/debug/pprof/profile", "/logs/x1", "/.well-known/openid-configuration", "/openid/v1/jwks", ""} {
			for _, verb := range []string{"get", "post", "put", "head", "options", "foo1", ""} {
				o.user, o.verb, o.uri = "system:anonymous", verb, path
				e := o.event()
				for _, x := range []*Explainer{en, zh} {
					if s := string(x.Append(nil, e)); badShapes.MatchString(quotedText.ReplaceAllString(s, "Q1")) {
						t.Fatalf("%s\n%+v", s, o)
					}
				}
			}
		}
	}
	t.Logf("%d sentences", n)
}

// TestMany holds the English plurals of kinds to those of the API.
func TestMany(t *testing.T) {
	for _, r := range schema.Resources() {
		if got := strings.ToLower(many(r.Kind, r.Name)); got != r.Name {
			t.Errorf("%s: %s, want %s", r.Kind, got, r.Name)
		}
	}
}

// TestHostile puts names in sentences that would be something else if they were taken
// for words.
func TestHostile(t *testing.T) {
	for name, want := range map[string][2]string{
		"alice deleted Pod x":           {`"alice deleted Pod x"`, `"alice deleted Pod x"`},
		"alice.":                        {`"alice."`, `"alice."`},
		"alice,":                        {`"alice,"`, `"alice,"`},
		`alice" deleted "x`:             {"`alice\" deleted \"x`", "`alice\" deleted \"x`"},
		"a\"`b":                         {"\"a\\\"`b\"", "\"a\\\"`b\""},
		"alice\x1b[2J":                  {`"alice\x1b[2J"`, `"alice\x1b[2J"`},
		"alice\nbob":                    {`"alice bob"`, `"alice bob"`},
		"a\u202eb":                      {`"a\u202eb"`, `"a\u202eb"`},
		"a\u3164":                       {"\"a\u3164\"", "\"a\u3164\""},
		"王芳":                            {"王芳", "王芳"},
		"匿名客户端":                         {"匿名客户端", `"匿名客户端"`},
		"王芳删除了公告":                       {"王芳删除了公告", `"王芳删除了公告"`},
		"王芳，李四":                         {`"王芳，李四"`, `"王芳，李四"`},
		"an anonymous client":           {`"an anonymous client"`, `"an anonymous client"`},
		"oidc:alice@example.com":        {"oidc:alice@example.com", "oidc:alice@example.com"},
		"CN=x":                          {"CN=x", "CN=x"},
		"bad\xff":                       {`"bad\xff"`, `"bad\xff"`},
		strings.Repeat("a", 1000):       {strings.Repeat("a", 79) + "…", strings.Repeat("a", 79) + "…"},
		"system:serviceaccount:a b:c":   {`Service account "a b/c"`, `服务账号 "a b/c"`},
		"system:node:n (control plane)": {`Node "n (control plane)"`, `节点 "n (control plane)"`},
	} {
		en, zh := both(made{verb: "get", resource: "pods", namespace: "default", name: "web", user: name, stage: "ResponseComplete", code: 200}.event())
		if got, ok := strings.CutSuffix(en, " read Pod web in default. From 10.0.0.7."); !ok || got != want[0] {
			t.Errorf("%q: %s", name, en)
		}
		if got, ok := strings.CutSuffix(zh, " 读取了 default 命名空间中的 Pod web。来自 10.0.0.7。"); !ok || got != want[1] {
			t.Errorf("%q: %s", name, zh)
		}
	}
}

// TestNamesStayNames holds that a name, whatever it is, stands in the sentence as one
// word or in quotes, and changes nothing else of it.
func TestNamesStayNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z .,:"'()\\被了的，。删除王芳/`+"`"+`-]{1,12}`)).Draw(t, "name")
		if name == "" || strings.HasPrefix(name, "system:") {
			return
		}
		for _, zh := range []bool{false, true} {
			w := writer{zh: zh}
			w.name([]byte(name))
			shown := string(w.b)
			if rest := quotedText.ReplaceAllString(shown, ""); rest != "" && (rest != shown || strings.ContainsAny(shown, " \t\n\"`,;()，。；：（）")) {
				t.Fatalf("%q is shown as %s", name, shown)
			}
			x := New(Config{Chinese: zh})
			sentence := func(name string) string {
				return string(x.Append(nil, made{verb: "delete", resource: "configmaps", namespace: name, name: name, user: name, stage: "ResponseComplete", code: 200}.event()))
			}
			if got, want := sentence(name), strings.ReplaceAll(sentence("NAME"), "NAME", shown); got != want {
				t.Fatalf("%q:\n got %s\nwant %s", name, got, want)
			}
		}
	})
}

// TestCorpora says events of real logs, every fifth.
func TestCorpora(t *testing.T) {
	en, zh := New(Config{}), New(Config{Chinese: true})
	for _, name := range []string{"legacy", "webhook-retry", "truncate-10k", "a-gce-derived", "d-metadata-all"} {
		for i, line := range corpustest.Events(t, name) {
			if i%5 > 0 {
				continue
			}
			var e audit.Event
			if e.Scan(line) != nil {
				continue
			}
			for _, x := range []*Explainer{en, zh} {
				s := string(x.Append(nil, &e))
				if plain := quotedText.ReplaceAllString(s, "Q1"); badShapes.MatchString(strings.ReplaceAll(plain, "::", ":")) {
					t.Fatalf("%s: %s: %s\n%s", name, badShapes.FindString(plain), s, line[:min(len(line), 2000)])
				}
			}
		}
	}
}

// FuzzAppend says events of any making.
func FuzzAppend(f *testing.F) {
	for _, o := range outcomes() {
		o.verb, o.resource, o.name, o.user, o.agent, o.uri = "get", "pods", "n", "u", "a", "/x?container=%41&command=a+b"
		e := o.event()
		f.Add(e.AppendLine(nil))
	}
	f.Add([]byte(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"","auditID":"","stage":"","requestURI":"","verb":"","user":{},"requestReceivedTimestamp":null,"stageTimestamp":null}`))
	en, zh := New(Config{}), New(Config{Chinese: true})
	f.Fuzz(func(t *testing.T, line []byte) {
		var e audit.Event
		if e.Scan(line) != nil {
			return
		}
		for _, x := range []*Explainer{en, zh} {
			s := x.Append(nil, &e)
			if len(s) == 0 || utf8.RuneCount(s) > 3000 || !utf8.Valid(s) {
				t.Fatalf("%d bytes: %q", len(s), s)
			}
			if i := bytes.IndexFunc(s, unicode.IsControl); i >= 0 {
				t.Fatalf("control character at %d: %q", i, s)
			}
			if again := x.Append(nil, &e); !bytes.Equal(s, again) {
				t.Fatalf("said differently the second time:\n%s\n%s", s, again)
			}
			answers := Seven(&e, x.zh)
			if len(answers) != 9 || slices.ContainsFunc(answers, func(a Answer) bool { return a.Text == "" || a.Question == "" }) {
				t.Fatalf("%+v", answers)
			}
		}
	})
}
