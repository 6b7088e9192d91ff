package rbac

import (
	"regexp"
	"strconv"
	"strings"
)

// Binding is the binding by which a request was allowed, as the authorizer's reason
// names it.
type Binding struct {
	Kind      string // ClusterRoleBinding, RoleBinding
	Namespace string // of a RoleBinding
	Name      string
	RoleKind  string // ClusterRole, Role
	Role      string
	Subject   string // such as User "alice", Group "dev-team", ServiceAccount "deployer/ci"
}

// ParseReason reads the annotation authorization.k8s.io/reason of a request that RBAC
// allowed:
//
//	RBAC: allowed by RoleBinding "dev-edit/shop" of ClusterRole "edit" to Group "dev-team"
//
// Upstream: appliesTo and VisitRulesFor in pkg/registry/rbac/validation.
func ParseReason(reason string) (b Binding, ok bool) {
	rest, ok := strings.CutPrefix(reason, "RBAC: allowed by ")
	if !ok {
		return b, false
	}
	if b.Kind, rest, ok = strings.Cut(rest, ` "`); !ok || b.Kind != "ClusterRoleBinding" && b.Kind != "RoleBinding" {
		return b, false
	}
	if b.Name, rest, ok = strings.Cut(rest, `" of `); !ok {
		return b, false
	}
	if b.RoleKind, rest, ok = strings.Cut(rest, ` "`); !ok {
		return b, false
	}
	if b.Role, b.Subject, ok = strings.Cut(rest, `" to `); !ok {
		return b, false
	}
	if b.Kind == "RoleBinding" {
		if b.Name, b.Namespace, ok = strings.Cut(b.Name, "/"); !ok {
			return b, false
		}
	}
	return b, true
}

// ParseRefusal reads what was asked of the authorizer out of the message of a 403. That
// is not always the request itself: where acting as somebody else is refused, it is the
// right to do that.
//
//	pods "web" is forbidden: User "eve" cannot delete resource "pods" in API group "" in the namespace "shop"
//	forbidden: User "eve" cannot get path "/metrics"
//
// Upstream: forbiddenMessage in pkg/endpoints/handlers/responsewriters.
func ParseRefusal(message string) (a Attributes, ok bool) {
	m := refusal.FindStringSubmatch(message)
	if m == nil {
		return a, false
	}
	var quoted [6]string // name, user, resource, group, namespace, path
	for i, n := range [...]int{2, 3, 5, 6, 7, 8} {
		if quoted[i], ok = unquoted(m[n]); !ok {
			return a, false
		}
	}
	a = Attributes{Name: quoted[0], User: quoted[1], Verb: m[4], Group: quoted[3], Namespace: quoted[4], Path: quoted[5]}
	a.Resource, a.Subresource, _ = strings.Cut(quoted[2], "/")
	return a, (m[1] == "") == (a.Path != "")
}

// refusal is the message that ParseRefusal reads. The resource it begins with is the one
// name in it that is not quoted: only what cannot be mistaken for more is taken for it.
var refusal = regexp.MustCompile(`^(?:([a-z0-9./-]+)(?: ("(?:[^"\\]|\\.)*"))? is )?forbidden: User ("(?:[^"\\]|\\.)*") cannot ([^ ]*) (?:resource ("(?:[^"\\]|\\.)*") in API group ("(?:[^"\\]|\\.)*") (?:in the namespace ("(?:[^"\\]|\\.)*")|at the cluster scope)|path ("(?:[^"\\]|\\.)*"))`)

// unquoted undoes %q, and what the API server does against HTML.
func unquoted(s string) (string, bool) {
	if s == "" {
		return "", true
	}
	s, err := strconv.Unquote(s)
	return strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">").Replace(s), err == nil
}
