package profile

import (
	"bytes"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kubetrail/policy"
	"kubetrail/policy/lint"
	"kubetrail/policy/space"
)

// load returns the policy of a profile as the newest kube-apiserver reads it.
func load(t testing.TB, p Profile) *policy.Policy {
	t.Helper()
	doc, err := policy.Load(p.YAML("en"), policy.Newest)
	if err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
	return doc.Policy
}

// TestLoads checks that every release takes every profile and has nothing to say.
func TestLoads(t *testing.T) {
	for _, p := range All() {
		want := load(t, p)
		for k := policy.Oldest; k <= policy.Newest; k++ {
			for _, lang := range []string{"en", "zh"} {
				doc, err := policy.Load(p.YAML(lang), k)
				if err != nil {
					t.Errorf("%s (%s) on %s: %v", p.Name, lang, k, err)
					continue
				}
				if len(doc.Warnings)+len(doc.Notes) > 0 {
					t.Errorf("%s (%s) on %s: %v %v", p.Name, lang, k, doc.Warnings, doc.Notes)
				}
				if diff := cmp.Diff(want, doc.Policy); diff != "" {
					t.Errorf("%s (%s) on %s is another policy:\n%s", p.Name, lang, k, diff)
				}
			}
		}
	}
}

// TestLint checks that our own lint has nothing to say, either where the advice on
// blocking-strict was followed.
func TestLint(t *testing.T) {
	for _, p := range All() {
		for k := policy.Oldest; k <= policy.Newest; k++ {
			for _, lang := range []string{"en", "zh"} {
				text := p.YAML(lang)
				for _, f := range lint.Run(text, lint.Config{Kubernetes: k}) {
					t.Errorf("%s (%s) on %s: line %d: %s: %s", p.Name, lang, k, f.Line, f.Check, f.Message.En)
				}
				text = bytes.ReplaceAll(text, []byte("    omitStages: [\"RequestReceived\"]\n"), nil)
				for _, f := range lint.Run(text, lint.Config{Kubernetes: k, BlockingStrict: true}) {
					t.Errorf("%s (%s) on %s with blocking-strict: line %d: %s: %s", p.Name, lang, k, f.Line, f.Check, f.Message.En)
				}
			}
		}
	}
}

func TestFind(t *testing.T) {
	for _, p := range All() {
		if got, ok := Find(p.Name); !ok || got.Name != p.Name {
			t.Errorf("Find(%q) = %v, %v", p.Name, got.Name, ok)
		}
		if p.About == "" || p.AboutZH == "" {
			t.Errorf("%s does not say what it is about", p.Name)
		}
	}
	if _, ok := Find("none"); ok {
		t.Error("found a profile that is not there")
	}
}

// TestComments checks that every rule has a comment, in both languages, that fits a
// terminal.
func TestComments(t *testing.T) {
	used := map[string]bool{}
	for _, p := range All() {
		for _, name := range slices.Concat(p.head, p.rules) {
			used["parts/"+name+".yaml"] = true
		}
		for _, lang := range []string{"en", "zh"} {
			text := string(p.YAML(lang))
			if han := strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) }); han != (lang == "zh") {
				t.Errorf("%s in %s: holds Chinese: %v", p.Name, lang, han)
			}
			for line := range strings.Lines(text) {
				if n := columns(strings.TrimSuffix(line, "\n")); n > 80 {
					t.Errorf("%s in %s: %d columns: %s", p.Name, lang, n, line)
				}
				if strings.TrimSpace(line) == "" && line != "\n" || strings.Contains(line, "#en") || strings.Contains(line, "#zh") {
					t.Errorf("%s in %s: %q", p.Name, lang, line)
				}
			}
			_, rules, _ := strings.Cut(text, "\nrules:\n")
			for block := range strings.SplitSeq(rules, "\n\n") {
				if !strings.HasPrefix(block, "  # ") {
					t.Errorf("%s in %s: no comment on\n%s", p.Name, lang, block)
				}
			}
		}
	}
	files, err := fs.Glob(parts, "parts/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, _ := parts.ReadFile(name)
		if en, zh := bytes.Count(text, []byte("#en")), bytes.Count(text, []byte("#zh")); !used[name] || (en == 0) != (zh == 0) {
			t.Errorf("%s: used %v, %d lines of English, %d of Chinese", name, used[name], en, zh)
		}
	}
}

func columns(line string) (n int) {
	for _, r := range line {
		n++
		if r >= 0x2e80 {
			n++
		}
	}
	return n
}

// requests draws a request as a cluster sees them: by somebody a profile names or
// nobody knows, for something a profile names or nobody knows.
func requests(all []*policy.Policy) *rapid.Generator[policy.Request] {
	users, groups := []string{"", "alice"}, []string{"system:masters", "dev"}
	resources, urls, namespaces := []policy.GroupResources{{Group: "stable.example.com", Resources: []string{"crontabs"}}},
		[]string{"/metrics", "/"}, []string{"", "default"}
	for _, p := range all {
		for _, r := range p.Rules {
			users, groups = append(users, r.Users...), append(groups, r.UserGroups...)
			urls, namespaces = append(urls, r.NonResourceURLs...), append(namespaces, r.Namespaces...)
			for _, g := range r.Resources {
				if len(g.Resources) == 0 {
					g.Resources = []string{"anything"}
				}
				resources = append(resources, g)
			}
		}
	}
	verbs := []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", ""}
	methods := []string{"get", "head", "post", "put", "patch", "delete", "options"}
	return rapid.Custom(func(t *rapid.T) policy.Request {
		var r policy.Request
		switch rapid.IntRange(0, 5).Draw(t, "who") {
		case 0: // failed to log in
		case 1:
			r = policy.Request{Authenticated: true, User: "system:anonymous", Groups: []string{"system:unauthenticated"}}
		default:
			r = policy.Request{Authenticated: true, User: rapid.SampledFrom(users).Draw(t, "user"),
				Groups: append(rapid.SliceOfN(rapid.SampledFrom(groups), 0, 3).Draw(t, "groups"), "system:authenticated")}
		}
		if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
			r.Path = strings.TrimSuffix(rapid.SampledFrom(urls).Draw(t, "url"), "*") + rapid.SampledFrom([]string{"", "x"}).Draw(t, "rest")
			r.Verb = rapid.SampledFrom(methods).Draw(t, "method")
			return r
		}
		r.IsResourceRequest, r.APIPrefix = true, "apis"
		g := rapid.SampledFrom(resources).Draw(t, "resource")
		r.APIGroup = g.Group
		r.Resource, r.Subresource, _ = strings.Cut(rapid.SampledFrom(g.Resources).Draw(t, "item"), "/")
		if r.Resource == "*" {
			r.Resource = rapid.SampledFrom([]string{"deployments", "services"}).Draw(t, "any")
		}
		if rapid.IntRange(0, 9).Draw(t, "deeper") == 0 {
			r.Subresource = "status"
		}
		r.Verb = rapid.SampledFrom(verbs).Draw(t, "verb")
		r.Namespace = rapid.SampledFrom(namespaces).Draw(t, "namespace")
		r.Name = rapid.SampledFrom([]string{"", "x"}).Draw(t, "name")
		return r
	})
}

// TestPromises checks what every profile promises, of any request.
func TestPromises(t *testing.T) {
	var all []*policy.Policy
	for _, p := range All() {
		all = append(all, load(t, p))
	}
	anyRequest := requests(all)
	for i, p := range All() {
		m := all[i].Compile()
		rapid.Check(t, func(t *rapid.T) {
			for _, r := range rapid.SliceOfN(anyRequest, 1, 50).Draw(t, "requests") {
				checkPromises(t, p, m.Match(&r), &r)
			}
		})
	}
}

func checkPromises(t rapid.TB, p Profile, d policy.Decision, r *policy.Request) {
	body := policy.LevelMetadata.Less(d.Level)
	received := !slices.Contains(d.OmitStages, policy.StageRequestReceived)
	switch {
	case d.Rule < 0:
		t.Fatalf("%s: no rule decides", p.Name)
	case slices.ContainsFunc(d.OmitStages, func(s policy.Stage) bool { return s != policy.StageRequestReceived }):
		t.Fatalf("%s: leaves out %v", p.Name, d.OmitStages)
	case !r.Authenticated && d.Level == policy.LevelNone:
		t.Fatalf("%s: hides a failed login", p.Name)
	case secret(r) && body:
		t.Fatalf("%s: records a secret in clear", p.Name)
	case r.APIGroup == "" && r.Resource == "secrets" && r.Subresource == "" && d.Level != policy.LevelMetadata:
		t.Fatalf("%s: hides an access to a secret", p.Name)
	case session(r) && d.Level != policy.LevelMetadata:
		t.Fatalf("%s: records a session at %s", p.Name, d.Level)
	case r.Verb == "patch" && body && !received:
		t.Fatalf("%s: a patch in YAML would leave no trace", p.Name)
	case (r.Verb == "list" || r.Verb == "watch") && body:
		t.Fatalf("%s: records a whole list", p.Name)
	case person(r) && d.Level == policy.LevelNone && r.IsResourceRequest && (changes(r) || r.User == "system:anonymous" || p.Name != "minimal"):
		t.Fatalf("%s: hides what %s did", p.Name, r.User)
	case r.Verb == "delete" && r.Resource == "events" && d.Level == policy.LevelNone:
		t.Fatalf("%s: hides how tracks are covered", p.Name)
	}
}

// person tells who is no part of Kubernetes.
func person(r *policy.Request) bool {
	return (r.User == "alice" || r.User == "system:anonymous") &&
		!slices.Contains(r.Groups, "system:nodes") && !slices.Contains(r.Groups, "system:serviceaccounts:kube-system")
}

func changes(r *policy.Request) bool {
	return slices.Contains([]string{"create", "update", "patch", "delete", "deletecollection"}, r.Verb)
}

// secret tells what must never be recorded with a body.
func secret(r *policy.Request) bool {
	switch r.APIGroup {
	case "":
		return r.Subresource == "" && (r.Resource == "secrets" || r.Resource == "configmaps") ||
			r.Resource == "serviceaccounts" && r.Subresource == "token"
	case "authentication.k8s.io":
		return r.Resource == "tokenreviews" && r.Subresource == ""
	case "oauth.openshift.io":
		return true
	}
	return false
}

func session(r *policy.Request) bool {
	return r.IsResourceRequest && r.APIGroup == "" &&
		(r.Resource == "pods" && slices.Contains([]string{"exec", "attach", "portforward", "proxy"}, r.Subresource) ||
			(r.Resource == "services" || r.Resource == "nodes") && r.Subresource == "proxy")
}

// tiers are the profiles of which each records all that the one before it records.
func tiers(t *testing.T) (all []*policy.Policy) {
	for _, name := range []string{"minimal", "default", "write-bodies", "all-bodies"} {
		p, ok := Find(name)
		if !ok {
			t.Fatalf("no profile %s", name)
		}
		all = append(all, load(t, p))
	}
	return all
}

// TestTiers proves of every request that each tier records all that the one before it
// records: at no lower a level, at every stage. Authenticated users are in
// system:authenticated: kube-apiserver sees to that.
func TestTiers(t *testing.T) {
	authenticated := &policy.Policy{Rules: []policy.PolicyRule{
		{UserGroups: []string{"system:authenticated"}},
		{UserGroups: []string{"system:nodes", "system:serviceaccounts:kube-system"}},
		{},
	}}
	all := tiers(t)
	for i := range all[1:] {
		low, high := all[i], all[i+1]
		const fine, less, impossible = 0, 1, 2
		parts, err := space.Split(space.Budget, func(l space.Leaf) int {
			switch {
			case l.Rules[2] == 1:
				return impossible
			case recordsLess(low.Rules[l.Rules[0]], high.Rules[l.Rules[1]]):
				return less
			}
			return fine
		}, low, high, authenticated)
		if err != nil {
			t.Fatal(err)
		}
		examples := parts.Examples()
		if examples[fine] == nil || examples[impossible] == nil {
			t.Fatalf("tier %d: the space is not whole: %v", i, examples)
		}
		if e := examples[less]; e != nil {
			t.Errorf("tier %d records more than tier %d of %+v", i, i+1, *e)
		}
	}
}

// recordsLess tells whether rule b records less of a request than rule a.
func recordsLess(a, b policy.PolicyRule) bool {
	return b.Level.Less(a.Level) || a.Level != policy.LevelNone && slices.ContainsFunc(b.OmitStages, func(s policy.Stage) bool {
		return !slices.Contains(a.OmitStages, s)
	})
}

// TestTiersOfLog checks the same of the requests that a log recorded.
func TestTiersOfLog(t *testing.T) {
	all := tiers(t)
	var matchers []*policy.Matcher
	for _, p := range all {
		matchers = append(matchers, p.Compile())
	}
	for _, e := range recorded(t) {
		for i := range matchers[1:] {
			low, high := matchers[i].Match(&e.request), matchers[i+1].Match(&e.request)
			if recordsLess(all[i].Rules[low.Rule], all[i+1].Rules[high.Rule]) {
				t.Fatalf("tier %d records more than tier %d of %+v", i, i+1, e.request)
			}
		}
	}
}

// TestIntruder checks that every profile keeps what an intruder did: whoever mallory
// became, her changes, her sessions and her reads of secrets are there.
func TestIntruder(t *testing.T) {
	events := recorded(t)
	for _, p := range All() {
		m := load(t, p).Compile()
		kept := 0
		for _, e := range events {
			r := &e.request
			if r.User != "mallory" || !secret(r) && !session(r) && (r.Verb == "get" || r.Verb == "list" || r.Verb == "watch") ||
				r.Resource == "configmaps" && p.Name == "minimal" {
				continue
			}
			if kept++; m.Match(r).Level == policy.LevelNone {
				t.Errorf("%s: lost: %s %s", p.Name, r.Verb, r.Path)
			}
		}
		if kept < 300 {
			t.Errorf("%s: mallory made only %d requests", p.Name, kept)
		}
	}
}

// TestBenchmark checks what section 3.2.2 of the CIS benchmark names.
func TestBenchmark(t *testing.T) {
	p, _ := Find("cis")
	m := load(t, p).Compile()
	for _, c := range []struct {
		method, uri string
		want        policy.Level
	}{
		{"GET", "/api/v1/namespaces/a/secrets/s", policy.LevelMetadata},
		{"PUT", "/api/v1/namespaces/a/configmaps/s", policy.LevelMetadata},
		{"POST", "/apis/authentication.k8s.io/v1/tokenreviews", policy.LevelMetadata},
		{"POST", "/api/v1/namespaces/a/pods", policy.LevelRequest},
		{"PATCH", "/api/v1/namespaces/a/pods/p/ephemeralcontainers", policy.LevelRequest},
		{"DELETE", "/apis/apps/v1/namespaces/a/deployments/d", policy.LevelRequest},
		{"PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", policy.LevelRequest},
		{"POST", "/api/v1/namespaces/a/pods/p/exec?command=sh", policy.LevelMetadata},
		{"GET", "/api/v1/namespaces/a/pods/p/exec?command=sh", policy.LevelMetadata},
		{"POST", "/api/v1/namespaces/a/pods/p/portforward", policy.LevelMetadata},
		{"GET", "/api/v1/namespaces/a/pods/p/proxy/x", policy.LevelMetadata},
		{"GET", "/api/v1/namespaces/a/services/p/proxy/x", policy.LevelMetadata},
		{"GET", "/api/v1/nodes", policy.LevelMetadata},
		{"POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", policy.LevelMetadata},
		{"GET", "/version", policy.LevelMetadata},
	} {
		info, err := policy.ParseRequest(c.method, c.uri)
		if err != nil {
			t.Fatal(err)
		}
		for _, user := range []string{"alice", "system:kube-controller-manager"} {
			r := policy.Request{Authenticated: true, User: user, Groups: []string{"system:authenticated"}, RequestInfo: info}
			if d := m.Match(&r); d.Level != c.want {
				t.Errorf("%s %s by %s: %s, want %s", c.method, c.uri, user, d.Level, c.want)
			}
		}
	}
}
