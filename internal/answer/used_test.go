package answer

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"kubetrail/internal/output"
	"kubetrail/internal/trail"
)

// A role is what is read back of a printed role.
type role struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Rules    []struct{ APIGroups, Resources, ResourceNames, NonResourceURLs, Verbs []string }
}

// printedRoles are the roles that a subject would have got by with.
func printedRoles(t *testing.T, r trail.Reader, subject string, names bool) (roles []role, text string) {
	t.Helper()
	report, err := Used(t.Context(), r, asking(t, ""), UsedConfig{Subject: ParseSubject(subject), Names: names})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := report.Print(&output.Page{W: newWriter(&b)}, "yaml"); err != nil {
		t.Fatal(err)
	}
	for _, doc := range strings.Split(b.String(), "---\n") {
		var x role
		if err := yaml.UnmarshalStrict([]byte(doc), &x, func(d *json.Decoder) *json.Decoder { return d }); err != nil && !strings.Contains(err.Error(), "unknown field") {
			t.Fatalf("%v:\n%s", err, doc)
		}
		roles = append(roles, x)
	}
	return roles, b.String()
}

// allows is authorization as RBAC does it, for one request.
func allows(roles []role, verb, group, resource, namespace, name, path string) bool {
	has := func(list []string, s string) bool { return slices.Contains(list, s) }
	for _, r := range roles {
		if r.Kind == "Role" && r.Metadata.Namespace != namespace {
			continue
		}
		for _, x := range r.Rules {
			switch {
			case !has(x.Verbs, verb):
			case path != "":
				if has(x.NonResourceURLs, path) {
					return true
				}
			case has(x.APIGroups, group) && has(x.Resources, resource) && (len(x.ResourceNames) == 0 || has(x.ResourceNames, name)):
				return true
			}
		}
	}
	return false
}

// TestUsedAllowsWhatWasDone: the roles of everybody in a real log allow each request of
// theirs that was allowed, and none that was refused for want of rights, unless the same
// was allowed at another time.
func TestUsedAllowsWhatWasDone(t *testing.T) {
	type event struct {
		Stage, Verb, RequestURI string
		User                    struct{ Username string }
		ImpersonatedUser        *struct{ Username string }
		ObjectRef               struct{ Resource, Subresource, Namespace, Name, APIGroup string }
		Annotations             map[string]string
	}
	for _, corpusName := range []string{"a-gce-derived", "d-metadata-all"} {
		r, lines := corpus(t, corpusName)
		by := map[string][]event{}
		for _, line := range lines {
			var e event
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatal(err)
			}
			if e.Stage != "ResponseComplete" {
				continue
			}
			user := e.User.Username
			if e.ImpersonatedUser != nil {
				user = e.ImpersonatedUser.Username
			}
			by[user] = append(by[user], e)
		}
		for _, user := range []string{"jai", "alice", "bob", "mallory", "王芳", "veeru", "system:serviceaccount:ci:deployer", "system:kube-scheduler"} {
			for _, names := range []bool{false, true} {
				roles, _ := printedRoles(t, r, "user:"+user, names)
				checked := 0
				once := map[string]bool{}
				for _, want := range []bool{true, false} {
					for _, e := range by[user] {
						decision := e.Annotations["authorization.k8s.io/decision"]
						o := e.ObjectRef
						name, resource, path := o.Name, o.Resource, ""
						if o.Subresource != "" {
							resource += "/" + o.Subresource
						} else if e.Verb == "create" {
							name = "" // authorization does not know it
						}
						if resource == "" {
							path, _, _ = strings.Cut(e.RequestURI, "?")
						}
						k := rightKey{verb: e.Verb, group: o.APIGroup, resource: resource, path: path}
						if decision == "" || (decision == "allow") != want || k.byDefault() || strings.Contains(e.Annotations["authorization.k8s.io/reason"], `to Group "system:authenticated"`) {
							continue
						}
						key := strings.Join([]string{e.Verb, o.APIGroup, resource, o.Namespace, path}, " ")
						got := allows(roles, e.Verb, o.APIGroup, resource, o.Namespace, name, path)
						switch {
						case want && !got:
							t.Errorf("%s: %s may not %s %s", corpusName, user, key, name)
						case want:
							once[key] = true
						case got && !once[key] && !once[strings.Join([]string{e.Verb, o.APIGroup, resource, "", path}, " ")]:
							t.Errorf("%s: %s may %s %s, which was refused", corpusName, user, key, name)
						}
						checked++
					}
				}
				if checked == 0 {
					t.Errorf("%s: nothing of %s was looked at", corpusName, user)
				}
			}
		}
	}
}

// TestUsedStory: what the roles of the sample say.
func TestUsedStory(t *testing.T) {
	roles, text := printedRoles(t, sampled(t), "mallory", true)
	if !strings.Contains(text, "this is no proof that it is not") || !strings.Contains(text, "Left out: what all users may") {
		t.Errorf("what the roles do not tell is not said:\n%s", text)
	}
	for _, want := range []struct {
		ok                                      bool
		verb, group, resource, namespace, named string
	}{
		{true, "get", "", "secrets", "payments", "db-password"},
		{false, "get", "", "secrets", "payments", "other"},
		{true, "list", "", "secrets", "", ""},
		{true, "create", "", "pods/exec", "kube-system", "toolbox"}, // of a get by WebSocket
		{true, "create", "", "pods", "kube-system", ""},
		{false, "delete", "", "pods", "default", "toolbox"},
	} {
		if got := allows(roles, want.verb, want.group, want.resource, want.namespace, want.named, ""); got != want.ok {
			t.Errorf("%+v: %v\n%s", want, got, text)
		}
	}
	admin, text := printedRoles(t, sampled(t), "kubernetes-admin", true)
	if !allows(admin, "impersonate", "", "users", "", "veeru", "") {
		t.Errorf("the right to impersonate is missing:\n%s", text)
	}
	chinese, err := Used(t.Context(), sampled(t), asking(t, ""), UsedConfig{Subject: ParseSubject("mallory")})
	if err != nil {
		t.Fatal(err)
	}
	if s := printed(t, chinese, true); !strings.Contains(s, "mallory 使用过以下权限") || !strings.Contains(s, "未使用不能证明不需要") {
		t.Error(s)
	}
}
