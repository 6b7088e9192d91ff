package answer

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/query"
	"kubetrail/internal/schema"
	"kubetrail/internal/tally"
	"kubetrail/internal/trail"
)

// UsedConfig says whose rights are asked for, and how they are told.
type UsedConfig struct {
	Subject Subject // a user or a group
	Chinese bool
	Names   bool // in roles, restrict what can be to the names of the objects
	Rows    int  // at most so many; 0 is 20,000
}

// usedColumns is what the rights that were used are found in.
var usedColumns = output.RefColumns | audit.Set(audit.Verb, audit.APIGroup, audit.Resource, audit.Subresource, audit.Namespace,
	audit.Name, audit.RequestURI, audit.Username, audit.UserGroups, audit.ImpersonatedUsername, audit.ImpersonatedGroups,
	audit.ImpersonatedUID, audit.ImpersonatedExtra, audit.Code, audit.Decision, audit.Reason)

// Right is something that a subject may do, and did: one verb on one resource in one
// namespace, or on one path.
type Right struct {
	Verb      string   `json:"verb"`
	Group     string   `json:"group"`
	Resource  string   `json:"resource,omitempty"` // with its subresource: pods/log
	Namespace string   `json:"namespace,omitempty"`
	Path      string   `json:"path,omitempty"`
	Names     []string `json:"names,omitempty"`   // the first in the alphabet
	Objects   int      `json:"objects,omitempty"` // how many names there are
	AtLeast   bool     `json:"atLeast,omitempty"` // there are more

	// Everybody tells that the right came from a binding for all users, such as that
	// to system:discovery: a role of the subject's own need not have it.
	Everybody bool `json:"everybody,omitempty"`
	tally.Span
	Events []output.EventRef `json:"events"`

	unnamed bool // it was used without a name, or the name is none for authorization
	mapped  tally.Names
	refs    tally.Refs
}

// used collects rights. Its memory is bounded by cfg.Rows.
type used struct {
	cfg      UsedConfig
	rights   map[rightKey]*Right
	left     int
	requests tally.Span
	denied   int
	notes    map[string]bool // which of the notes below the roles apply
	groups   tally.Memo[[]string]
}

type rightKey struct {
	verb, group, resource, namespace, path string
	everybody                              bool
}

// Used answers which rights a subject used: of the requests that were allowed, the verbs,
// resources, namespaces and names. It prints roles that allow just these with -o yaml.
func Used(ctx context.Context, r trail.Reader, q trail.Query, cfg UsedConfig) (output.Report, error) {
	where, err := cfg.Subject.Where()
	if err != nil {
		return output.Report{}, err
	}
	q.Where = query.Both(q.Where, where)
	if cfg.Rows <= 0 {
		cfg.Rows = 20_000
	}
	u := &used{cfg: cfg, rights: map[rightKey]*Right{}, requests: tally.NewSpan(), notes: map[string]bool{},
		groups: tally.Memo[[]string]{Work: func(s string) []string { return output.StringList([]byte(s)) }}}
	if err := tally.Scan(ctx, r, tally.Requests(q), usedColumns, u.add); err != nil {
		return output.Report{}, err
	}
	return u.report(), nil
}

// allowed reports whether a request passed authorization, whatever came after. Where
// the event does not say so, its code does.
func allowed(e *audit.Event) bool {
	if d := e.Text[audit.Decision]; len(d) > 0 {
		return string(d) == "allow"
	}
	return e.Code != 0 && !tally.Refused(e.Code)
}

// is reports whether the subject is who is named, or in a group.
func (u *used) is(name, groups []byte) bool {
	if u.cfg.Subject.Kind == "group" {
		return slices.Contains(u.groups.Of(groups), u.cfg.Subject.Name)
	}
	return string(name) == u.cfg.Subject.Name
}

// add takes in one request. Who impersonates needs the right to do so; what is then done
// is done with the rights of who is impersonated.
func (u *used) add(e *audit.Event) error {
	if !tally.Ended(e) {
		return nil
	}
	as := e.Text[audit.ImpersonatedUsername]
	if len(as) > 0 && u.is(e.Text[audit.Username], e.Text[audit.UserGroups]) {
		u.impersonates(e)
	}
	if len(as) > 0 && !u.is(as, e.Text[audit.ImpersonatedGroups]) || len(as) == 0 && !u.is(e.Text[audit.Username], e.Text[audit.UserGroups]) {
		return nil
	}
	if !allowed(e) {
		u.denied++
		return nil
	}
	u.requests.Note(e.Time())
	t := func(c audit.Column) string { return string(e.Text[c]) }
	k := rightKey{verb: t(audit.Verb), group: t(audit.APIGroup), resource: t(audit.Resource), namespace: t(audit.Namespace)}
	name := e.Text[audit.Name]
	sub := t(audit.Subresource)
	switch {
	case k.resource == "":
		path, _, _ := strings.Cut(t(audit.RequestURI), "?")
		k.path, k.group, k.namespace = tally.Clip(path), "", ""
	case sub != "":
		k.resource += "/" + sub
	case k.verb == "create":
		name = nil // known only after the request was authorized
	}
	if k.resource == "namespaces" && k.verb == "create" {
		k.namespace = ""
	}
	k.everybody = strings.HasSuffix(t(audit.Reason), `to Group "system:authenticated"`) ||
		strings.HasSuffix(t(audit.Reason), `to Group "system:unauthenticated"`) || k.byDefault()
	u.Note(k, name, e)
	// What the API server asks beside that.
	switch {
	case k.verb == "get" && (k.resource == "pods/exec" || k.resource == "pods/attach" || k.resource == "pods/portforward"):
		k.verb = "create" // of a WebSocket, since 1.35
		u.Note(k, name, e)
	case (k.verb == "patch" || k.verb == "update") && e.Code == 201:
		k.verb = "create"
		u.Note(k, nil, e)
	}
	u.remark(k)
	return nil
}

// byDefault reports whether every cluster gives a right to all users: that of
// system:discovery, system:basic-user and system:public-info-viewer.
func (k *rightKey) byDefault() bool {
	if k.path == "" {
		return k.verb == "create" && (k.group == "authorization.k8s.io" || k.group == "authentication.k8s.io") &&
			strings.HasPrefix(k.resource, "selfsubject")
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(k.path, "/"), "/")
	return k.verb == "get" && slices.Contains([]string{"api", "apis", "openapi", "healthz", "livez", "readyz", "version"}, first)
}

// impersonates notes the rights to impersonate that a request takes.
func (u *used) impersonates(e *audit.Event) {
	as := string(e.Text[audit.ImpersonatedUsername])
	k := rightKey{verb: "impersonate", resource: "users"}
	name, account := as, false
	if rest, ok := strings.CutPrefix(as, "system:serviceaccount:"); ok {
		k.namespace, name, account = "", rest, true
		k.resource = "serviceaccounts"
		k.namespace, name, _ = strings.Cut(rest, ":")
	}
	u.Note(k, []byte(name), e)
	for _, g := range u.groups.Of(e.Text[audit.ImpersonatedGroups]) {
		given := g == "system:authenticated" || account && strings.HasPrefix(g, "system:serviceaccounts")
		if !given { // those come by themselves
			u.Note(rightKey{verb: "impersonate", resource: "groups"}, []byte(g), e)
		}
	}
	if uid := e.Text[audit.ImpersonatedUID]; len(uid) > 0 {
		u.Note(rightKey{verb: "impersonate", group: "authentication.k8s.io", resource: "uids"}, uid, e)
	}
	var extra map[string][]string
	if raw := e.Text[audit.ImpersonatedExtra]; len(raw) > 0 && json.Unmarshal(raw, &extra) == nil {
		for key, values := range extra {
			for _, v := range values {
				u.Note(rightKey{verb: "impersonate", group: "authentication.k8s.io", resource: "userextras/" + tally.Clip(key)}, []byte(v), e)
			}
		}
	}
}

func (u *used) Note(k rightKey, name []byte, e *audit.Event) {
	r := u.rights[k]
	if r == nil {
		if len(u.rights) >= u.cfg.Rows {
			u.left++
			return
		}
		r = &Right{Verb: k.verb, Group: k.group, Resource: k.resource, Namespace: k.namespace, Path: k.path, Everybody: k.everybody}
		u.rights[k] = r
	}
	r.Note(e.Time())
	r.refs.Note(e)
	if len(name) > 0 {
		r.mapped.Note(name)
	} else {
		r.unnamed = true
	}
}

// remark notes what a role cannot be made of: rights that are checked inside a request
// and that no event tells of.
func (u *used) remark(k rightKey) {
	switch {
	case k.group == "rbac.authorization.k8s.io" && k.verb != "get" && k.verb != "list" && k.verb != "watch" && k.verb != "delete":
		u.notes["escalate"] = true
	case strings.HasPrefix(k.resource, "certificatesigningrequests/") && k.verb != "get":
		u.notes["signers"] = true
	}
}

// sorted are the rights by namespace, resource and verb: those for the whole cluster
// first.
func (u *used) sorted() []*Right {
	all := make([]*Right, 0, len(u.rights))
	for _, r := range u.rights {
		r.Written()
		r.Events = r.refs.List()
		r.Names, r.Objects, r.AtLeast = r.mapped.First, r.mapped.Len(), r.mapped.Full
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *Right) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resource, b.Resource),
			cmp.Compare(a.Path, b.Path), cmp.Compare(a.Verb, b.Verb), cmp.Compare(rank(a.Everybody), rank(b.Everybody)))
	})
	return all
}

// report puts the answer together.
func (u *used) report() output.Report {
	rights := u.sorted()
	u.requests.Written()
	r := output.Report{Kind: "UsedRightList", Head: map[string]any{
		"subject":  map[string]string{"kind": u.cfg.Subject.Kind, "name": u.cfg.Subject.Name},
		"requests": u.requests, "denied": u.denied,
	}}
	for _, x := range rights {
		r.Items = append(r.Items, x)
	}
	r.Text = func(p *output.Page) error { return u.print(p, rights) }
	r.YAML = func(p *output.Page) error { return u.roles(p, rights) }
	return r
}

// print prints what was used, for people.
func (u *used) print(p *output.Page, rights []*Right) error {
	name := output.Plain(u.cfg.Subject.Name, false)
	if len(rights) == 0 {
		p.Say("%s: no allowed requests found, %d denied. Only what the audit policy records is known.",
			"%s：没有找到被允许的请求，被拒绝 %d 个。只知道审计策略所记录的内容。", name, u.denied)
		return nil
	}
	p.Say("%s used these rights in %s, %s (%d more denied):", "%s 使用过以下权限，共 %s，%s（另有 %d 个请求被拒绝）：",
		name, p.Pick(output.Count(u.requests.Count, "request"), itoa(u.requests.Count)+" 个请求"), tally.LongPeriod(u.requests.From, u.requests.To), u.denied)
	p.Say("", "")
	t := p.Table("NAMESPACE", "RESOURCE", "VERB", "COUNT", "LAST", "NAMES")
	t.Right, t.Soft = []int{3}, []int{5, 1}
	for _, r := range rights {
		what := r.Resource
		if r.Group != "" {
			base, sub, ok := strings.Cut(r.Resource, "/")
			what = base + "." + r.Group + either(ok, "/"+sub, "")
		}
		if r.Path != "" {
			what = r.Path
		}
		err := t.Add(output.Cell(r.Namespace), output.Cell(what), output.Cell(r.Verb), itoa(r.Count),
			tally.Clock(r.To, tally.SameDay(u.requests.From, u.requests.To) && !p.Wide), r.some(p))
		if err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	p.Say("", "")
	for _, line := range u.caveats(p) {
		p.Say("%s", "%s", line)
	}
	return nil
}

// some are the names of a right as a cell: a few, or all where there is room.
func (r *Right) some(p *output.Page) string {
	if len(r.Names) == 0 {
		return output.None
	}
	n := len(r.Names)
	if !p.Wide {
		n = min(n, shown)
	}
	var list []string
	for _, s := range r.Names[:n] {
		list = append(list, output.Plain(s, false))
	}
	if more := r.Objects - n; more > 0 {
		list = append(list, "+"+itoa(more)+either(r.AtLeast, "+", ""))
	}
	return strings.Join(list, ",")
}

// caveats is what the answer does not tell.
func (u *used) caveats(p *output.Page) []string {
	lines := []string{p.Pick("What was not used in this time may be needed at another: this is no proof that it is not.",
		"这段时间内未使用的权限，其他时间可能仍然需要：未使用不能证明不需要。")}
	if u.notes["escalate"] {
		lines = append(lines, p.Pick("Writing roles and bindings takes every right in them, or escalate and bind: no event tells which.",
			"写入角色和绑定时，还须拥有其中的全部权限，或者 escalate、bind：审计事件不记录这一点。"))
	}
	if u.notes["signers"] {
		lines = append(lines, p.Pick("Approving or signing certificates takes approve or sign on the signer: no event tells which.",
			"批准或签发证书还须对签名者拥有 approve 或 sign：审计事件不记录这一点。"))
	}
	if u.left > 0 {
		lines = append(lines, p.Pick(itoa(u.left)+" requests are left out: too many kinds of rights. Narrow the question.",
			"有 "+itoa(u.left)+" 个请求因权限种类过多未计入：请缩小问题的范围。"))
	}
	return lines
}

// listed reports whether authorization knows the names of objects for a right: not of
// those that are being created.
func (r *Right) restrictable() bool {
	return !r.unnamed && len(r.Names) > 0 && r.Objects == len(r.Names) && !r.AtLeast &&
		(r.Verb != "create" || strings.Contains(r.Resource, "/"))
}

// namespacedRight reports whether a Role may hold a right: it was used in a namespace.
func (r *Right) namespacedRight() bool {
	if r.Namespace == "" || r.Path != "" {
		return false
	}
	base, _, _ := strings.Cut(r.Resource, "/")
	s := schema.Find(r.Group, base)
	return s == nil || s.Namespaced || base == "namespaces"
}
