package rbac

import "strings"

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
	head, rest, ok := strings.Cut(message, `: User "`)
	if !ok || !strings.HasSuffix(head, "forbidden") {
		return a, false
	}
	if a.User, rest, ok = strings.Cut(rest, `" cannot `); !ok {
		return a, false
	}
	if _, name, found := strings.Cut(strings.TrimSuffix(head, " is forbidden"), ` "`); found {
		a.Name = strings.TrimSuffix(name, `"`)
	}
	if verb, path, found := strings.Cut(rest, ` path "`); found && !strings.Contains(verb, " ") {
		a.Verb, a.Path = verb, strings.TrimSuffix(path, `"`)
		return a, true
	}
	if a.Verb, rest, ok = strings.Cut(rest, ` resource "`); !ok {
		return a, false
	}
	if a.Resource, rest, ok = strings.Cut(rest, `" in API group "`); !ok {
		return a, false
	}
	a.Resource, a.Subresource, _ = strings.Cut(a.Resource, "/")
	if a.Group, rest, ok = strings.Cut(rest, `" `); !ok {
		return a, false
	}
	if namespace, found := strings.CutPrefix(rest, `in the namespace "`); found {
		a.Namespace, _, _ = strings.Cut(namespace, `"`)
		return a, true
	}
	return a, strings.HasPrefix(rest, "at the cluster scope")
}
