// Package rbac knows how Kubernetes' RBAC decides: it reads the reasons that the
// authorizer gives in audit events, and makes the smallest grants that would allow what
// was refused.
//
// What is granted follows the documentation of RBAC: names can limit a rule only where
// the request has a name, which a create, a deletecollection, and a list or a watch of
// everything have not; a Role reaches one namespace, and whatever is in none, or in all,
// takes a ClusterRole and a ClusterRoleBinding.
package rbac

import (
	"cmp"
	"slices"
	"strings"
)

// Attributes are what RBAC looks at of a request. Upstream: authorizer.Attributes.
type Attributes struct {
	User        string
	Verb        string
	Group       string // of the API
	Resource    string // empty for a URL that is no resource
	Subresource string
	Namespace   string // empty: of the cluster, or of all namespaces
	Name        string
	Path        string // of a URL that is no resource
}

// Grantable tells whether a rule can allow a: kube-apiserver takes any method and any
// path, also those that mean nothing.
func (a *Attributes) Grantable() bool {
	switch {
	case a.Verb == "" || a.Verb == "*" || a.User == "": // a client may send * as its method
		return false
	case a.Resource == "":
		return strings.HasPrefix(a.Path, "/") && !strings.Contains(a.Path, "*")
	}
	return plain(a.Resource) && plain(a.Subresource) && plain(a.Group) && plain(a.Namespace)
}

// plain tells whether a name is made of what names of resources, groups and namespaces
// are made of.
func plain(s string) bool {
	return !strings.HasPrefix(s, ".") && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.')
	})
}

// Rule is one rule of a Role or a ClusterRole. Upstream: rbac.PolicyRule.
type Rule struct {
	APIGroups       []string `json:"apiGroups,omitempty"`
	Resources       []string `json:"resources,omitempty"`
	ResourceNames   []string `json:"resourceNames,omitempty"`
	NonResourceURLs []string `json:"nonResourceURLs,omitempty"`
	Verbs           []string `json:"verbs"`
}

// Grant is what one subject would need: a Role in a namespace, or a ClusterRole.
type Grant struct {
	User      string
	Namespace string // empty: of the cluster
	Rules     []Rule

	Unnamed bool // there were too many names to list: some rules hold for every name
}

// maxNames is how many names a rule lists. Where there are more it lists none.
const maxNames = 100

// Smallest returns the grants that allow the requests, which must be Grantable, and
// nothing else, one for each subject and namespace.
func Smallest(requests []Attributes) []Grant {
	type place struct{ user, namespace string }
	cells := map[place]map[cell]*names{}
	for i := range requests {
		a := &requests[i]
		at := place{a.User, a.Namespace}
		if cells[at] == nil {
			cells[at] = map[cell]*names{}
		}
		c := cell{a.Verb, a.Group, a.Resource, a.Path}
		if a.Resource != "" && a.Subresource != "" {
			c.resource += "/" + a.Subresource
		}
		n := cells[at][c]
		if n == nil {
			n = &names{}
			cells[at][c] = n
		}
		n.add(a)
	}
	var grants []Grant
	for at, of := range cells {
		g := Grant{User: at.user, Namespace: at.namespace}
		for _, n := range of {
			g.Unnamed = g.Unnamed || n.more
		}
		g.Rules = merged(of)
		grants = append(grants, g)
	}
	slices.SortFunc(grants, func(a, b Grant) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Namespace, b.Namespace))
	})
	return grants
}

// cell is what a rule allows at least: one verb on one resource, or one path.
type cell struct{ verb, group, resource, path string }

// names are those to which a cell is limited.
type names struct {
	all  bool // some request had none, or there are too many
	more bool // there are too many
	list []string
}

func (n *names) add(a *Attributes) {
	// The name of what is created is in its body, which RBAC never sees.
	named := a.Name != "" && a.Verb != "deletecollection" && (a.Verb != "create" || a.Subresource != "")
	switch {
	case n.all:
	case !named:
		n.all, n.more, n.list = true, false, nil
	case slices.Contains(n.list, a.Name):
	case len(n.list) == maxNames:
		n.all, n.more, n.list = true, true, nil
	default:
		n.list = append(n.list, a.Name)
	}
}

// merged makes few rules of cells, which allow neither more nor less.
func merged(cells map[cell]*names) []Rule {
	var rules []Rule
	for c, n := range cells {
		r := Rule{Verbs: []string{c.verb}}
		if c.resource == "" {
			r.NonResourceURLs = []string{c.path}
		} else {
			slices.Sort(n.list)
			r.APIGroups, r.Resources, r.ResourceNames = []string{c.group}, []string{c.resource}, n.list
		}
		rules = append(rules, r)
	}
	slices.SortFunc(rules, compareRules)
	// Verbs of the same resource first, then resources with the same verbs.
	rules = joined(rules, func(r *Rule) *[]string { return &r.Verbs })
	rules = joined(rules, func(r *Rule) *[]string { return &r.Resources })
	return joined(rules, func(r *Rule) *[]string { return &r.NonResourceURLs })
}

// joined makes one rule of those that differ in one list only.
func joined(rules []Rule, list func(*Rule) *[]string) []Rule {
	var out []Rule
next:
	for _, r := range rules {
		for i := range out {
			a, b := out[i], r
			*list(&a), *list(&b) = nil, nil
			if compareRules(a, b) == 0 && (len(*list(&r)) > 0) == (len(*list(&out[i])) > 0) {
				at := list(&out[i])
				*at = append(slices.Clone(*at), *list(&r)...)
				slices.SortFunc(*at, compareVerbs)
				*at = slices.Compact(*at)
				continue next
			}
		}
		out = append(out, r)
	}
	return out
}

func compareRules(a, b Rule) int {
	return cmp.Or(slices.Compare(a.NonResourceURLs, b.NonResourceURLs), slices.Compare(a.APIGroups, b.APIGroups), slices.Compare(a.Resources, b.Resources),
		slices.Compare(a.ResourceNames, b.ResourceNames), slices.CompareFunc(a.Verbs, b.Verbs, compareVerbs))
}

// compareVerbs orders verbs as people list them, and anything else by its letters.
func compareVerbs(a, b string) int {
	order := []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
	return cmp.Or(slices.Index(order, a)-slices.Index(order, b), strings.Compare(a, b))
}

// Danger is why a rule gives more than it seems to.
type Danger string

// The dangers, the worst first.
const (
	DangerEverything  Danger = "everything"  // a wildcard for verbs and resources
	DangerWildcard    Danger = "wildcard"    // one of them, or resources yet unknown
	DangerEscalate    Danger = "escalate"    // escalate, bind: to give oneself any right
	DangerImpersonate Danger = "impersonate" // to act as others
	DangerBindings    Danger = "bindings"    // to write roles and bindings
	DangerSecrets     Danger = "secrets"     // to read Secrets, credentials among them
	DangerExec        Danger = "exec"        // to run commands in containers, with all that they may do
	DangerPods        Danger = "pods"        // to start pods: they may mount any Secret of the namespace, as any of its service accounts
	DangerToken       Danger = "token"       // to be any service account of the namespace
	DangerNodes       Danger = "nodesProxy"  // to talk to kubelets, past admission and the audit log
	DangerCSR         Danger = "csr"         // to sign certificates for others
	DangerAdmission   Danger = "admission"   // to see and change whatever is written
)

// Dangers tells what is dangerous about r.
func (r *Rule) Dangers() []Danger {
	verb := func(names ...string) bool {
		return slices.Contains(r.Verbs, "*") || slices.ContainsFunc(names, func(n string) bool { return slices.Contains(r.Verbs, n) })
	}
	on := func(group string, names ...string) bool {
		if !slices.Contains(r.APIGroups, group) && !slices.Contains(r.APIGroups, "*") {
			return false
		}
		return slices.Contains(r.Resources, "*") || slices.ContainsFunc(names, func(n string) bool { return slices.Contains(r.Resources, n) })
	}
	var all []Danger
	add := func(d Danger, yes bool) {
		if yes {
			all = append(all, d)
		}
	}
	every := slices.Contains(r.Verbs, "*") && slices.Contains(r.Resources, "*")
	if every {
		return []Danger{DangerEverything}
	}
	const rbac = "rbac.authorization.k8s.io"
	add(DangerWildcard, slices.Contains(r.Verbs, "*") || slices.Contains(r.Resources, "*") || slices.Contains(r.NonResourceURLs, "*"))
	add(DangerEscalate, verb("escalate", "bind") && on(rbac, "roles", "clusterroles"))
	add(DangerImpersonate, slices.ContainsFunc(r.Verbs, func(v string) bool { return v == "*" || strings.HasPrefix(v, "impersonate") }) &&
		(!slices.Contains(r.Verbs, "*") || on("", "users", "groups", "serviceaccounts") || on("authentication.k8s.io", "users", "groups", "uids", "userextras")))
	add(DangerBindings, verb("create", "update", "patch") && on(rbac, "roles", "clusterroles", "rolebindings", "clusterrolebindings"))
	add(DangerSecrets, verb("get", "list", "watch") && on("", "secrets"))
	add(DangerExec, verb("get", "create") && on("", "pods/exec", "pods/attach") || verb("get", "create") && on("", "pods/portforward") ||
		verb("update", "patch") && on("", "pods/ephemeralcontainers"))
	add(DangerPods, verb("create", "update", "patch") && (on("apps", "deployments", "daemonsets", "statefulsets", "replicasets") ||
		on("batch", "jobs", "cronjobs") || on("", "replicationcontrollers")) || verb("create") && on("", "pods"))
	add(DangerToken, verb("create") && on("", "serviceaccounts/token"))
	add(DangerNodes, on("", "nodes/proxy"))
	add(DangerCSR, verb("update", "patch") && on("certificates.k8s.io", "certificatesigningrequests/approval") || verb("sign", "approve") && on("certificates.k8s.io", "signers"))
	add(DangerAdmission, verb("create", "update", "patch") && on("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "validatingwebhookconfigurations",
		"mutatingadmissionpolicies", "validatingadmissionpolicies"))
	return all
}

// BuiltIn tells what is dangerous about the ClusterRoles that every cluster has; ok is
// false for others.
func BuiltIn(role string) (dangers []Danger, ok bool) {
	switch role {
	case "cluster-admin":
		return []Danger{DangerEverything}, true
	case "admin":
		return []Danger{DangerImpersonate, DangerBindings, DangerSecrets, DangerExec, DangerPods, DangerToken}, true
	case "edit":
		return []Danger{DangerImpersonate, DangerSecrets, DangerExec, DangerPods, DangerToken}, true
	case "view", "system:discovery", "system:basic-user", "system:public-info-viewer", "system:monitoring":
		return nil, true
	}
	return nil, false
}

// Brief says a danger in few words, for lists of several.
func (d Danger) Brief(chinese bool) string {
	var en, zh string
	switch d {
	case DangerEverything:
		en, zh = "everything", "一切操作"
	case DangerWildcard:
		en, zh = "a wildcard", "通配符"
	case DangerEscalate:
		en, zh = "escalate or bind", "escalate 或 bind"
	case DangerImpersonate:
		en, zh = "acting as others", "扮演他人"
	case DangerBindings:
		en, zh = "writing roles and bindings", "写入角色和绑定"
	case DangerSecrets:
		en, zh = "reading Secrets", "读取 Secret"
	case DangerExec:
		en, zh = "entering containers", "进入容器"
	case DangerPods:
		en, zh = "starting pods", "启动 Pod"
	case DangerToken:
		en, zh = "tokens of service accounts", "签发服务账号令牌"
	case DangerNodes:
		en, zh = "kubelets (nodes/proxy)", "直接访问 kubelet（nodes/proxy）"
	case DangerCSR:
		en, zh = "certificates for others", "为他人签发证书"
	case DangerAdmission:
		en, zh = "changing admission", "修改准入控制"
	}
	if chinese {
		return zh
	}
	return en
}

// Text says a danger.
func (d Danger) Text(chinese bool) string {
	var en, zh string
	switch d {
	case DangerEverything:
		en, zh = "allows everything", "允许一切操作"
	case DangerWildcard:
		en, zh = "has a wildcard, which covers what is added later, too", "含通配符，也会涵盖以后新增的内容"
	case DangerEscalate:
		en, zh = "lets them give themselves any right (escalate, bind)", "可以给自己授予任何权限（escalate、bind）"
	case DangerImpersonate:
		en, zh = "lets them act as others (impersonate)", "可以扮演他人（impersonate）"
	case DangerBindings:
		en, zh = "lets them write roles or bindings", "可以写入 Role 或绑定"
	case DangerSecrets:
		en, zh = "lets them read Secrets", "可以读取 Secret"
	case DangerExec:
		en, zh = "lets them into containers, with all that these may do", "可以进入容器，拥有容器具备的一切权限"
	case DangerPods:
		en, zh = "lets them start pods, which may mount any Secret of the namespace and act as any of its service accounts", "可以启动 Pod，从而挂载该命名空间的任何 Secret，并使用其中任何 ServiceAccount 的身份"
	case DangerToken:
		en, zh = "lets them be any service account it names (serviceaccounts/token)", "可以冒用所涉及的 ServiceAccount（serviceaccounts/token）"
	case DangerNodes:
		en, zh = "lets them talk to kubelets, past admission and the audit log (nodes/proxy)", "可以直接访问 kubelet，绕过准入控制和审计日志（nodes/proxy）"
	case DangerCSR:
		en, zh = "lets them issue certificates for others", "可以为他人签发证书"
	case DangerAdmission:
		en, zh = "lets them see or change whatever is written (admission)", "可以查看或修改所有写入内容（准入控制）"
	}
	if chinese {
		return zh
	}
	return en
}
