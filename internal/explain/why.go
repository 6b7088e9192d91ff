package explain

import (
	"bytes"

	"kubetrail/audit"
)

// why appends what allowed the request, where the event says it.
func (x *Explainer) why(r *request) {
	x.say(".", "。")
	if r.mood != done && r.mood != begun || string(r.Text[audit.Decision]) != "allow" {
		return
	}
	reason := r.Text[audit.Reason]
	if len(reason) == 0 {
		groups := r.Text[audit.UserGroups]
		if len(r.Text[audit.ImpersonatedUsername]) > 0 || len(r.Text[audit.ImpersonatedGroups]) > 0 {
			groups = r.Text[audit.ImpersonatedGroups]
		}
		if bytes.Contains(groups, []byte(`"system:masters"`)) {
			x.say(" Allowed as a member of system:masters.", "因属于 system:masters 组而获准。")
		}
		return
	}
	s, ok := x.reasons.get(reason)
	if !ok {
		w := Explainer{writer: writer{zh: x.zh}}
		w.grant(reason)
		s = string(w.b)
		x.reasons.put(reason, s)
	}
	x.say(" ", "")
	x.b = append(x.b, s...)
}

// A grant is what the RBAC authorizer says of what allowed a request.
type grant struct {
	binding, bindingName, namespace []byte // ClusterRoleBinding or RoleBinding
	role, roleName                  []byte
	kind, to                        []byte // User, Group or ServiceAccount
}

// parseGrant reads
//
//	RBAC: allowed by RoleBinding "dev-edit/shop" of ClusterRole "edit" to Group "dev-team"
//
// Names are quoted as Go does; one that needs escapes makes it unreadable here.
func parseGrant(reason []byte) (g grant, ok bool) {
	rest, ok := bytes.CutPrefix(reason, []byte("RBAC: allowed by "))
	if !ok || bytes.IndexByte(rest, '\\') >= 0 || bytes.Count(rest, []byte{'"'}) != 6 {
		return g, false
	}
	next := func(before string) (word, name []byte) {
		if rest, ok = bytes.CutPrefix(rest, []byte(before)); !ok {
			return nil, nil
		}
		word, rest, _ = bytes.Cut(rest, []byte(` "`))
		name, rest, _ = bytes.Cut(rest, []byte{'"'})
		return word, name
	}
	g.binding, g.bindingName = next("")
	if g.role, g.roleName = next(" of "); !ok {
		return g, false
	}
	if g.kind, g.to = next(" to "); !ok || len(rest) > 0 {
		return g, false
	}
	if string(g.binding) == "RoleBinding" {
		if i := bytes.LastIndexByte(g.bindingName, '/'); i >= 0 {
			g.bindingName, g.namespace = g.bindingName[:i], g.bindingName[i+1:]
		}
	}
	return g, true
}

// grant appends what allowed a request, as a sentence.
func (x *Explainer) grant(reason []byte) {
	g, ok := parseGrant(reason)
	if !ok {
		x.say("Allowed: ", "授权依据：")
		x.message(reason)
		x.say(".", "。")
		return
	}
	x.say("Allowed by ", "由")
	if x.zh && len(g.namespace) > 0 {
		x.name(g.namespace)
		x.words("命名空间中的")
	}
	x.words(string(g.binding))
	x.words(" ")
	x.name(g.bindingName)
	if !x.zh && len(g.namespace) > 0 {
		x.words(" in ")
		x.name(g.namespace)
	}
	group := string(g.kind) == "Group"
	if same := bytes.Equal(g.bindingName, g.roleName); !same || group {
		x.say(" (", "（")
		if !same {
			x.words(string(g.role))
			x.words(" ")
			x.name(g.roleName)
		}
		if group {
			x.say(pick(same, "for group ", " for group "), pick(same, "授予组", "，授予组"))
			x.name(g.to)
		}
		x.say(")", "）")
	}
	x.say(".", "授权。")
}

// notes appends what admission noted beside its answer, as sentences of their own: that
// it was not asked, or would have objected.
func (x *Explainer) notes(r *request) {
	notes := r.Text[audit.Annotations]
	if len(notes) == 0 {
		return
	}
	if bytes.Contains(notes, []byte(`"failed-open.`)) {
		n := 0
		eachMember(notes, func(key, value []byte) {
			if bytes.HasPrefix(key, []byte("failed-open.")) && n < 3 {
				n++
				x.say(" Admission webhook ", "准入 webhook ")
				x.name(value)
				x.say(" could not be asked, and was passed over.", "无法调用，已被跳过。")
			}
		})
	}
	if said := field(notes, "pod-security.kubernetes.io/audit-violations"); r.mood == done && said != nil {
		level, _, _ := bytes.Cut(bytes.TrimPrefix(said, []byte(`would violate PodSecurity "`)), []byte{'"'})
		x.say(" This would violate Pod Security ", "此操作会违反 Pod Security ")
		x.name(level)
		x.say(", were it enforced.", "（未强制执行）。")
	}
	if !x.knows("machine", r) && string(field(notes, "k8s.io/deprecated")) == "true" {
		x.say(" This version of the API is deprecated.", "该 API 版本已弃用。")
	}
}
