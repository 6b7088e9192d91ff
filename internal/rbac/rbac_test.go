package rbac

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The judge: RBAC as its documentation tells it, written without the code it judges.

// allows is whether the objects let a user make a request.
func allows(objects []Object, a Attributes) bool {
	for _, binding := range objects {
		if binding.RoleRef == nil || !slices.ContainsFunc(binding.Subjects, func(s Subject) bool { return isSubject(s, a.User) }) {
			continue
		}
		switch binding.Kind {
		case "ClusterRoleBinding": // reaches every namespace, and what is in none
		case "RoleBinding": // reaches its own namespace
			if a.Namespace == "" || a.Namespace != binding.Metadata.Namespace || a.Resource == "" {
				continue
			}
		}
		for _, role := range objects {
			if role.Kind != binding.RoleRef.Kind || role.Metadata.Name != binding.RoleRef.Name || role.RoleRef != nil ||
				role.Kind == "Role" && role.Metadata.Namespace != binding.Metadata.Namespace {
				continue
			}
			if slices.ContainsFunc(role.Rules, func(r Rule) bool { return ruleAllows(r, a) }) {
				return true
			}
		}
	}
	return false
}

func isSubject(s Subject, user string) bool {
	if s.Kind == "ServiceAccount" {
		return user == "system:serviceaccount:"+s.Namespace+":"+s.Name
	}
	return s.Kind == "User" && s.Name == user
}

func ruleAllows(r Rule, a Attributes) bool {
	if !slices.Contains(r.Verbs, a.Verb) && !slices.Contains(r.Verbs, "*") {
		return false
	}
	if a.Resource == "" {
		return slices.ContainsFunc(r.NonResourceURLs, func(u string) bool {
			return u == a.Path || strings.HasSuffix(u, "*") && strings.HasPrefix(a.Path, strings.TrimSuffix(u, "*"))
		})
	}
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	if !slices.Contains(r.APIGroups, a.Group) && !slices.Contains(r.APIGroups, "*") ||
		!slices.Contains(r.Resources, resource) && !slices.Contains(r.Resources, "*") {
		return false
	}
	return len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, authorizedName(a))
}

// authorizedName is the name that an authorizer sees: what is created has none yet, and
// a collection has none.
func authorizedName(a Attributes) string {
	if a.Verb == "create" && a.Subresource == "" || a.Verb == "deletecollection" {
		return ""
	}
	return a.Name
}

func attributes(t *rapid.T) Attributes {
	a := Attributes{User: rapid.SampledFrom([]string{"eve", "Eve", "system:serviceaccount:ci:bot", "system:anonymous"}).Draw(t, "user")}
	if rapid.IntRange(0, 5).Draw(t, "url") == 0 {
		a.Verb = rapid.SampledFrom([]string{"get", "post"}).Draw(t, "method")
		a.Path = rapid.SampledFrom([]string{"/metrics", "/healthz", "/metrics/x"}).Draw(t, "path")
		return a
	}
	a.Verb = rapid.SampledFrom([]string{"get", "list", "watch", "create", "delete", "deletecollection", "impersonate-on:user-info:list"}).Draw(t, "verb")
	a.Group = rapid.SampledFrom([]string{"", "apps"}).Draw(t, "group")
	a.Resource = rapid.SampledFrom([]string{"pods", "secrets", "nodes"}).Draw(t, "resource")
	a.Subresource = rapid.SampledFrom([]string{"", "", "exec"}).Draw(t, "subresource")
	a.Namespace = rapid.SampledFrom([]string{"", "shop", "blog"}).Draw(t, "namespace")
	a.Name = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "name")
	return a
}

// covered is whether a request is one of those refused, or cannot be told from one of
// them by any rule of RBAC.
func covered(refused []Attributes, a Attributes) bool {
	return slices.ContainsFunc(refused, func(r Attributes) bool {
		name := authorizedName(r)
		r.Name = a.Name
		return r == a && (name == "" || name == authorizedName(a))
	})
}

func objectsOf(grants []Grant) (all []Object) {
	for i := range grants {
		all = append(all, grants[i].Objects()...)
	}
	return all
}

// TestSmallest proves of random refusals that the grants allow all of them and nothing
// else, and that no part of a grant can be left out.
func TestSmallest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		refused := rapid.SliceOfN(rapid.Custom(attributes), 1, 12).Draw(t, "refused")
		grants := Smallest(refused)
		objects := objectsOf(grants)
		for _, a := range refused {
			if !allows(objects, a) {
				t.Fatalf("%+v is still refused under %+v", a, objects)
			}
		}
		for range 50 {
			a := attributes(t)
			// A ClusterRoleBinding cannot be kept from namespaces: what it allows on the
			// whole cluster it allows in each.
			wide := a
			wide.Namespace = ""
			if got := allows(objects, a); got != (covered(refused, a) || a.Resource != "" && covered(refused, wide)) {
				t.Fatalf("%+v: allowed %v under %+v, though refused were %+v", a, got, objects, refused)
			}
		}
		for i := range grants {
			mustNeedEveryPart(t, grants, i, refused)
		}
	})
}

// mustNeedEveryPart leaves out each part of each rule of a grant.
func mustNeedEveryPart(t *rapid.T, grants []Grant, i int, refused []Attributes) {
	// What a grant of the whole cluster allows is no proof that this one is needed.
	mine := slices.DeleteFunc(slices.Clone(refused), func(a Attributes) bool { return a.User != grants[i].User || a.Namespace != grants[i].Namespace })
	try := func(what string, rules []Rule) {
		g := grants[i]
		g.Rules = rules
		objects := g.Objects()
		if !slices.ContainsFunc(mine, func(a Attributes) bool { return !allows(objects, a) }) {
			t.Fatalf("%s is not needed in %+v for %+v", what, grants[i], mine)
		}
	}
	for n, rule := range grants[i].Rules {
		try("a rule", slices.Delete(slices.Clone(grants[i].Rules), n, n+1))
		for _, list := range []func(*Rule) *[]string{
			func(r *Rule) *[]string { return &r.Verbs }, func(r *Rule) *[]string { return &r.APIGroups }, func(r *Rule) *[]string { return &r.Resources },
			func(r *Rule) *[]string { return &r.ResourceNames }, func(r *Rule) *[]string { return &r.NonResourceURLs },
		} {
			for at, value := range *list(&rule) {
				if len(rule.ResourceNames) == 1 && value == rule.ResourceNames[0] && list(&rule) != nil && slices.Equal(*list(&rule), rule.ResourceNames) {
					continue // without any name a rule holds for all: that gives more, not less
				}
				less := rule
				*list(&less) = slices.Delete(slices.Clone(*list(&rule)), at, at+1)
				rules := slices.Clone(grants[i].Rules)
				rules[n] = less
				try(value, rules)
			}
		}
	}
}

func TestSmallestIsReadable(t *testing.T) {
	got, err := json.Marshal(Smallest([]Attributes{
		{User: "veeru", Verb: "watch", Resource: "pods", Namespace: "shop"}, {User: "veeru", Verb: "list", Resource: "pods", Namespace: "shop"},
		{User: "veeru", Verb: "list", Resource: "services", Namespace: "shop"}, {User: "veeru", Verb: "watch", Resource: "services", Namespace: "shop"},
		{User: "veeru", Verb: "get", Resource: "secrets", Name: "db", Namespace: "shop"}, {User: "veeru", Verb: "get", Path: "/metrics"},
	}))
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"User":"veeru","Namespace":"","Rules":[{"nonResourceURLs":["/metrics"],"verbs":["get"]}],"Unnamed":false},` +
		`{"User":"veeru","Namespace":"shop","Rules":[{"apiGroups":[""],"resources":["pods","services"],"verbs":["list","watch"]},` +
		`{"apiGroups":[""],"resources":["secrets"],"resourceNames":["db"],"verbs":["get"]}],"Unnamed":false}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestManyNames(t *testing.T) {
	var refused []Attributes
	for i := range maxNames + 1 {
		refused = append(refused, Attributes{User: "eve", Verb: "get", Resource: "pods", Namespace: "shop", Name: strings.Repeat("x", i+1)})
	}
	if g := Smallest(refused[:maxNames]); g[0].Unnamed || len(g[0].Rules[0].ResourceNames) != maxNames {
		t.Errorf("%d names: %+v", maxNames, g)
	}
	if g := Smallest(refused); !g[0].Unnamed || len(g[0].Rules[0].ResourceNames) != 0 {
		t.Errorf("%d names: %+v", maxNames+1, g)
	}
}

func TestNames(t *testing.T) {
	seen := map[string]string{}
	for _, user := range []string{"alice", "Alice", "ALICE", "ci:deployer", "ci-deployer", "system:serviceaccount:ci:deployer", "王芳", "李雷", strings.Repeat("a", 300), strings.Repeat("a", 301), "-", "a/b", "\x1b[31m"} {
		g := Grant{User: user}
		name := g.Name()
		if seen[name] != "" {
			t.Errorf("%q and %q are both %s", user, seen[name], name)
		}
		seen[name] = user
		if strings.ContainsAny(name, "/%\x1b") || len(name) > 63 || strings.HasSuffix(name, "-") {
			t.Errorf("%q: bad name %q", user, name)
		}
	}
}

func TestGrantable(t *testing.T) {
	for _, c := range []struct {
		a    Attributes
		want bool
	}{
		{Attributes{User: "a", Verb: "get", Resource: "pods"}, true},
		{Attributes{User: "a", Verb: "", Resource: "pods"}, false},
		{Attributes{User: "a", Verb: "get", Resource: "..", Subresource: "secrets"}, false},
		{Attributes{User: "a", Verb: "get", Resource: "*"}, false},
		{Attributes{User: "a", Verb: "get", Path: "/metrics"}, true},
		{Attributes{User: "a", Verb: "get", Path: "/*"}, false},
		{Attributes{User: "", Verb: "get", Resource: "pods"}, false},
	} {
		if got := c.a.Grantable(); got != c.want {
			t.Errorf("%+v: grantable %v", c.a, got)
		}
	}
}

func TestDangers(t *testing.T) {
	for _, c := range []struct {
		rule Rule
		want []Danger
	}{
		{Rule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "delete"}}, nil},
		{Rule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"list"}}, []Danger{DangerSecrets}},
		{Rule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}, []Danger{DangerEverything}},
		{Rule{APIGroups: []string{""}, Resources: []string{"*"}, Verbs: []string{"get"}}, []Danger{DangerWildcard, DangerSecrets, DangerExec, DangerNodes}},
		{Rule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"create"}}, []Danger{DangerPods}},
		{Rule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"patch"}}, nil},
		{Rule{APIGroups: []string{""}, Resources: []string{"pods/exec"}, Verbs: []string{"get"}}, []Danger{DangerExec}},
		{Rule{APIGroups: []string{""}, Resources: []string{"pods/ephemeralcontainers"}, Verbs: []string{"patch"}}, []Danger{DangerExec}},
		{Rule{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, Verbs: []string{"create"}}, []Danger{DangerToken}},
		{Rule{APIGroups: []string{""}, Resources: []string{"nodes/proxy"}, Verbs: []string{"get"}}, []Danger{DangerNodes}},
		{Rule{APIGroups: []string{""}, Resources: []string{"users"}, Verbs: []string{"impersonate"}}, []Danger{DangerImpersonate}},
		{Rule{APIGroups: []string{apiGroup}, Resources: []string{"clusterroles"}, Verbs: []string{"bind"}}, []Danger{DangerEscalate}},
		{Rule{APIGroups: []string{apiGroup}, Resources: []string{"rolebindings"}, Verbs: []string{"create"}}, []Danger{DangerBindings}},
		{Rule{APIGroups: []string{"example.com"}, Resources: []string{"secrets"}, Verbs: []string{"get"}}, nil},
		{Rule{APIGroups: []string{"example.com"}, Resources: []string{"widgets"}, Verbs: []string{"*"}}, []Danger{DangerWildcard}},
		{Rule{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}, nil},
	} {
		if got := c.rule.Dangers(); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.rule, got, c.want)
		}
		for _, d := range c.rule.Dangers() {
			if d.Text(false) == "" || d.Text(true) == "" || d.Brief(false) == "" || d.Brief(true) == "" {
				t.Errorf("%s has no words", d)
			}
		}
	}
}

func TestParseReason(t *testing.T) {
	for reason, want := range map[string]Binding{
		`RBAC: allowed by RoleBinding "dev-edit/shop" of ClusterRole "edit" to Group "dev-team"`:            {"RoleBinding", "shop", "dev-edit", "ClusterRole", "edit", `Group "dev-team"`},
		`RBAC: allowed by ClusterRoleBinding "temp-debug" of ClusterRole "cluster-admin" to User "mallory"`: {"ClusterRoleBinding", "", "temp-debug", "ClusterRole", "cluster-admin", `User "mallory"`},
		`RBAC: allowed by RoleBinding "a/kube-system" of Role "b" to ServiceAccount "deployer/ci"`:          {"RoleBinding", "kube-system", "a", "Role", "b", `ServiceAccount "deployer/ci"`},
	} {
		if got, ok := ParseReason(reason); !ok || got != want {
			t.Errorf("%s: %+v, %v", reason, got, ok)
		}
	}
	for _, bad := range []string{"", "RBAC: allowed by ", `RBAC: allowed by RoleBinding "a" of Role "b" to User "c"`, `RBAC: allowed by Nothing "a" of Role "b" to User "c"`} {
		if got, ok := ParseReason(bad); ok {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}

func TestParseRefusal(t *testing.T) {
	for message, want := range map[string]Attributes{
		`pods is forbidden: User "alice" cannot impersonate-on:user-info:list resource "pods" in API group "" in the namespace "shop"`: {User: "alice", Verb: "impersonate-on:user-info:list", Resource: "pods", Namespace: "shop"},
		`deployments.apps "nginx" is forbidden: User "veeru" cannot delete resource "deployments" in API group "apps" in the namespace "default"`: {User: "veeru", Verb: "delete", Group: "apps",
			Resource: "deployments", Namespace: "default", Name: "nginx"},
		`forbidden: User "system:anonymous" cannot get path "/apis"`: {User: "system:anonymous", Verb: "get", Path: "/apis"},
		`crontabs.stable.example.com "x" is forbidden: User "jai" cannot patch resource "crontabs/scale" in API group "stable.example.com" at the cluster scope`: {User: "jai", Verb: "patch",
			Group: "stable.example.com", Resource: "crontabs", Subresource: "scale", Name: "x"},
		`users "admin" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the cluster scope`: {User: "alice", Verb: "impersonate", Resource: "users", Name: "admin"},
	} {
		if got, ok := ParseRefusal(message); !ok || got != want {
			t.Errorf("%s:\n%+v, %v, want\n%+v", message, got, ok, want)
		}
	}
	for _, bad := range []string{"", "Unauthorized", `pods "x" is forbidden: violates PodSecurity "restricted"`, `forbidden: User "a" cannot `,
		// A resource that reads like a refusal.
		`forbidden: User "b" cannot impersonate resource "users" in API group "" at the cluster scope is forbidden: User "a" cannot list resource "x" in API group "" in the namespace "a"`,
		`x is forbidden: User "b" cannot impersonate resource "users is forbidden: User "a" cannot list resource "x" in API group "" in the namespace "a"`} {
		if got, ok := ParseRefusal(bad); ok {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`RBAC: allowed by RoleBinding "dev-edit/shop" of ClusterRole "edit" to Group "dev-team"`)
	f.Add(`pods "web" is forbidden: User "eve" cannot delete resource "pods" in API group "" in the namespace "shop"`)
	f.Add(`forbidden: User "eve" cannot get path "/metrics"`)
	f.Fuzz(func(t *testing.T, s string) {
		if b, ok := ParseReason(s); ok && (b.Kind == "" || !strings.Contains(s, b.Role)) {
			t.Errorf("%q: %+v", s, b)
		}
		if a, ok := ParseRefusal(s); ok && a.Grantable() {
			g := Smallest([]Attributes{a})
			if len(g) != 1 || !allows(g[0].Objects(), a) {
				t.Errorf("%q: %+v does not allow %+v", s, g, a)
			}
		}
	})
}

// A client may send * as the method of a request that is no resource: what is granted
// must not be every verb.
func TestNoVerbIsAll(t *testing.T) {
	a := Attributes{User: "eve", Verb: "*", Path: "/metrics"}
	if a.Grantable() {
		t.Errorf("%+v is granted", a)
	}
}
