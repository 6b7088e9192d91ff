package rbac

import (
	"encoding/json"
	"hash/fnv"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// Name is what the role and its binding are called: after the subject, told apart from
// other subjects whose names look alike.
func (g *Grant) Name() string {
	var b strings.Builder
	same := true
	for _, r := range strings.TrimPrefix(strings.ToLower(g.User), "system:serviceaccount:") {
		switch {
		case b.Len() >= 40:
			same = false
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || (r == '-' || r == '.') && b.Len() > 0:
			b.WriteRune(r)
		default:
			same = false
			if s := b.String(); s != "" && !strings.HasSuffix(s, "-") {
				b.WriteByte('-')
			}
		}
	}
	name := "allow-" + strings.Trim(b.String(), "-")
	if !same || strings.ToLower(g.User) != g.User {
		h := fnv.New32a()
		h.Write([]byte(g.User))
		name = strings.TrimSuffix(name, "-") + "-" + strconv.FormatUint(uint64(h.Sum32()), 36)
	}
	return name
}

// Object is a Role, ClusterRole, RoleBinding or ClusterRoleBinding, with its members in
// the order in which people write them.
type Object struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Metadata   Metadata  `json:"metadata"`
	Rules      []Rule    `json:"rules,omitempty"`
	RoleRef    *RoleRef  `json:"roleRef,omitempty"`
	Subjects   []Subject `json:"subjects,omitempty"`
}

// YAML is the object as a document for kubectl apply.
func (o *Object) YAML() ([]byte, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	return yaml.JSONToYAML(b)
}

// Metadata is what an Object needs of metav1.ObjectMeta.
type Metadata struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
}

// RoleRef names a role. Upstream: rbac.RoleRef.
type RoleRef struct {
	APIGroup string `json:"apiGroup"`
	Kind     string `json:"kind"`
	Name     string `json:"name"`
}

// Subject is who a binding is for. Upstream: rbac.Subject.
type Subject struct {
	APIGroup  string `json:"apiGroup,omitempty"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
}

const apiGroup = "rbac.authorization.k8s.io"

// Objects are the role and the binding that make the grant.
func (g *Grant) Objects() []Object {
	meta := Metadata{g.Name(), g.Namespace}
	kind := "Role"
	if g.Namespace == "" {
		kind = "ClusterRole"
	}
	subject := Subject{APIGroup: apiGroup, Kind: "User", Name: g.User}
	if rest, ok := strings.CutPrefix(g.User, "system:serviceaccount:"); ok {
		if namespace, name, ok := strings.Cut(rest, ":"); ok {
			subject = Subject{Kind: "ServiceAccount", Name: name, Namespace: namespace}
		}
	}
	return []Object{
		{APIVersion: apiGroup + "/v1", Kind: kind, Metadata: meta, Rules: g.Rules},
		{APIVersion: apiGroup + "/v1", Kind: kind + "Binding", Metadata: meta, RoleRef: &RoleRef{apiGroup, kind, meta.Name}, Subjects: []Subject{subject}},
	}
}

// Dangers are those of all rules, each once, and no more than that of everything.
func (g *Grant) Dangers() (all []Danger) {
	have := map[Danger]bool{}
	for i := range g.Rules {
		for _, d := range g.Rules[i].Dangers() {
			if d == DangerEverything {
				return []Danger{d}
			}
			if !have[d] {
				have[d], all = true, append(all, d)
			}
		}
	}
	return all
}
