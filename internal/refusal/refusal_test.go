package refusal_test

import (
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/refusal"
)

func TestOf(t *testing.T) {
	for _, c := range []struct {
		code              int32
		decision, message string
		want              string
	}{
		{401, "", "Unauthorized", "authentication"},
		{403, "forbid", `pods is forbidden: User "a" cannot list resource "pods" in API group "" at the cluster scope`, "rbac"},
		{403, "", `users "x" is forbidden: User "a" cannot impersonate resource "users" in API group "" at the cluster scope`, "impersonation"},
		// Names that clients choose so that the refusal looks like another one.
		{403, "forbid", `pods "x cannot impersonate" is forbidden: User "a" cannot get resource "pods" in API group "" in the namespace "b"`, "rbac"},
		{403, "forbid", `pods "\" is forbidden: User \"a\" cannot impersonate resource \"users" is forbidden: User "a" cannot get resource "pods" in API group "" in the namespace "b"`, "rbac"},
		{403, "forbid", `forbidden: User "b" cannot impersonate resource "users" in API group "" at the cluster scope is forbidden: User "a" cannot list resource ` +
			`"forbidden: User \"b\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope" in API group "" in the namespace "a"`, "rbac"},
		{422, "allow", `ConfigMap "x" is invalid: data: Invalid value: "ValidatingAdmissionPolicy 'p'"`, ""},
		{403, "allow", `pods "x" is forbidden: violates PodSecurity "baseline:v1.30": host namespaces`, "podSecurity:baseline:v1.30"},
		{403, "allow", `pods "x" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=4, limited: pods=4`, "quota:compute"},
		{403, "allow", `pods "x" is forbidden: failed quota: compute: must specify limits.cpu`, "quota:compute"},
		{403, "allow", `pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2`, "quota:LimitRange"},
		{403, "allow", `clusterroles.rbac.authorization.k8s.io "x" is forbidden: user "a" (groups=["b"]) is attempting to grant RBAC permissions not currently held:`, "escalation"},
		{403, "allow", `pods "x" is forbidden: error looking up service account shop/nosuch: serviceaccount "nosuch" not found`, "admission"},
		{400, "allow", `admission webhook "deny.example.com" denied the request: no`, "webhook:deny.example.com"},
		{403, "allow", `admission webhook "deny.example.com" denied the request: no`, "webhook:deny.example.com"},
		{422, "allow", `deployments.apps "x" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no`, "admissionPolicy:p"},
		{422, "allow", `ConfigMap "X" is invalid: metadata.name: Invalid value`, ""},
		{429, "allow", "Cannot evict pod as it would violate the pod's disruption budget.", "disruptionBudget"},
		{429, "", "Too many requests, please try again later.", "overload"},
		{403, "allow", "", "unknown"},
		{404, "allow", `pods "x" not found`, ""},
		{200, "allow", "", ""},
	} {
		e := &audit.Event{Code: c.code}
		e.Text[audit.Decision], e.Text[audit.Message], e.Text[audit.Resource] = []byte(c.decision), []byte(c.message), []byte("pods")
		got := refusal.Of(e)
		if got.Why() != c.want {
			t.Errorf("%d %s: %q, want %q", c.code, c.message, got.Why(), c.want)
		}
		if got.Cause != "" && (refusal.Text(got.Why(), false) == "" || refusal.Text(got.Why(), true) == "") {
			t.Errorf("%s has no words", got.Cause)
		}
	}
}
