package oracle

import (
	"encoding/json"

	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/audit"
	upstream "k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"

	"kubetrail/policy"
)

// judge is upstream's way from a policy and a request to a decision.
type judge struct{ rules audit.PolicyRuleEvaluator }

// newJudge loads a policy as kube-apiserver does.
func newJudge(tb testing.TB, text []byte) judge {
	tb.Helper()
	p, err := upstream.LoadPolicyFromBytes(text)
	if err != nil {
		tb.Fatalf("upstream refuses the policy: %v\n%s", err, text)
	}
	return judge{rules: upstream.NewPolicyRuleEvaluator(p)}
}

var infos = &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

// attributes are what upstream looks at of a request.
func attributes(tb testing.TB, c call) (authorizer.Attributes, error) {
	tb.Helper()
	u, err := url.ParseRequestURI(c.URI)
	if err != nil {
		tb.Fatalf("%q: %v", c.URI, err)
	}
	info, err := infos.NewRequestInfo(&http.Request{Method: c.Method, URL: u})
	if err != nil {
		return nil, err
	}
	a := authorizer.AttributesRecord{
		Verb: info.Verb, APIGroup: info.APIGroup, APIVersion: info.APIVersion, Resource: info.Resource,
		Subresource: info.Subresource, Namespace: info.Namespace, Name: info.Name,
		ResourceRequest: info.IsResourceRequest, Path: info.Path,
	}
	if c.Authenticated {
		a.User = &user.DefaultInfo{Name: c.User, Groups: c.Groups}
	}
	return a, nil
}

// A call is a request as a client makes it.
type call struct {
	Method, URI   string
	Authenticated bool
	User          string
	Groups        []string
}

// resolved resolves a call by our own code.
func resolved(c call) (policy.Request, error) {
	info, err := policy.ParseRequest(c.Method, c.URI)
	return policy.Request{Authenticated: c.Authenticated, User: c.User, Groups: c.Groups, RequestInfo: info}, err
}

// same compares a decision with upstream's, whose stages come in random order.
func same(d policy.Decision, c audit.RequestAuditConfig) bool {
	stages := map[string]bool{}
	for _, s := range c.OmitStages {
		stages[string(s)] = true
	}
	if len(stages) != len(d.OmitStages) || string(d.Level) != string(c.Level) || d.OmitManagedFields != c.OmitManagedFields {
		return false
	}
	return !slices.ContainsFunc(d.OmitStages, func(s policy.Stage) bool { return !stages[string(s)] })
}

// TestDecisions asks upstream and us about two million random pairs of policy and
// request, from the bytes of the file and the URI to the decision.
func TestDecisions(t *testing.T) {
	quiet(t)
	const policies, requests = 4000, 500
	r := rand.New(rand.NewPCG(36, 3))
	w := newWorld(r)
	levels := map[policy.Level]int{}
	refused := 0
	for range policies {
		text, err := json.Marshal(w.policy())
		if err != nil {
			t.Fatal(err)
		}
		j := newJudge(t, text)
		doc, err := policy.Load(text, 36)
		if err != nil {
			t.Fatalf("we refuse what upstream takes: %v\n%s", err, text)
		}
		m := doc.Policy.Compile()
		for range requests {
			c := w.call()
			a, wantErr := attributes(t, c)
			q, gotErr := resolved(c)
			if (wantErr == nil) != (gotErr == nil) {
				t.Fatalf("%+v: upstream says %v, we say %v", c, wantErr, gotErr)
			}
			if wantErr != nil {
				refused++
				continue
			}
			got, want := m.Match(&q), j.rules.EvaluatePolicyRule(a)
			if !same(got, want) {
				t.Fatalf("%s\n%+v\n%+v\nupstream %+v, we %+v", text, c, q, want, got)
			}
			levels[got.Level]++
		}
	}
	all := policies*requests - refused
	t.Logf("%d pairs agree, %d refused by both; levels %v", all, refused, levels)
	if none := levels[policy.LevelNone]; none*100 > all*40 || refused*100 > all*2 {
		t.Errorf("%d of %d decisions are None, %d refused: the random world is too thin", none, all, refused)
	}
	for _, l := range policy.Levels() {
		if levels[l]*100 < all*5 {
			t.Errorf("level %s in %d of %d only", l, levels[l], all)
		}
	}
}

// TestMatchTable asks upstream what policy/testdata/match.txt says about our own
// matching.
func TestMatchTable(t *testing.T) {
	quiet(t)
	text, err := os.ReadFile("../../policy/testdata/match.txt")
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]call{}
	var names []string
	var rule string
	var want []string
	check := func() {
		if rule == "" {
			return
		}
		p := strings.Replace(strings.Replace(rule, "{", "{level: Request, ", 1), ", }", "}", 1)
		j := newJudge(t, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- "+p+"\n"))
		for _, name := range names {
			a, err := attributes(t, calls[name])
			if err != nil {
				continue
			}
			if matched := j.rules.EvaluatePolicyRule(a).Level == "Request"; matched != slices.Contains(want, name) {
				t.Errorf("%s: upstream matches %s: %v", rule, name, matched)
			}
		}
		rule, want = "", nil
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || f[0][0] == '#':
		case f[0] == "request":
			c := call{Method: f[3], URI: f[4]}
			if user, groups, ok := strings.Cut(strings.TrimSuffix(f[2], "]"), "["); ok {
				c.Authenticated, c.User, c.Groups = true, user, strings.Split(groups, ",")
			}
			calls[f[1]], names = c, append(names, f[1])
		case f[0] == "rule":
			check()
			rule = strings.TrimSpace(strings.TrimPrefix(line, "rule"))
		default:
			want = append(want, f...)
		}
	}
	check()
}
