package power

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/query"
	"kubetrail/internal/rbac"
	"kubetrail/internal/recorded"
	"kubetrail/internal/refusal"
	"kubetrail/internal/request"
	"kubetrail/internal/schema"
	"kubetrail/internal/subject"
	"kubetrail/internal/tally"
	"kubetrail/internal/trail"
)

// GrantsConfig says what is wanted of grants.
type GrantsConfig struct {
	Next   time.Duration // how long it is looked what a power was used for; 0: an hour
	All    bool          // also what the control plane and nodes do
	Limit  int           // at most so many, the newest; 0: 10,000
	Policy *recorded.Policy
}

// Gift is one request that gave, took or used power over the cluster.
type Gift struct {
	Kind   string `json:"kind"`   // binding, role, certificate, token, admission, pod, session, secret, impersonation
	Action string `json:"action"` // created, changed, removed, approved, denied, issued, opened, used
	User   string `json:"user"`
	As     string `json:"as,omitempty"`
	Time   string `json:"time"`

	Outcome string `json:"outcome"` // done, refused, failed
	Why     string `json:"why,omitempty"`

	Thing
	Given

	AllowedBy string `json:"allowedBy,omitempty"` // the binding that allowed it
	Count     int    `json:"count,omitempty"`     // of impersonation: requests
	Refused   int    `json:"refused,omitempty"`   // of these
	Last      string `json:"last,omitempty"`

	Use     *Use     `json:"use,omitempty"` // nil where use leaves no exact evidence
	Removed *Removal `json:"removed,omitempty"`

	Address string            `json:"address,omitempty"`
	Tool    string            `json:"tool,omitempty"`
	Events  []output.EventRef `json:"events"`

	at         int64
	cluster    string
	credential string // that was issued
	binding    rbac.Binding
	through    []*Gift // what was given by using it
	under      bool    // is told under another
}

// Thing is the object of a request.
type Thing struct {
	Group     string `json:"group,omitempty"`
	Resource  string `json:"resource,omitempty"`
	ObjectAs  string `json:"objectKind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"` // empty where the event does not name it
}

// Given is what power was given to whom.
type Given struct {
	RoleKind string   `json:"roleKind,omitempty"` // of a binding
	Role     string   `json:"role,omitempty"`
	To       []string `json:"to,omitempty"`      // User "mallory", Group "dev", ServiceAccount "ns/name"
	Known    string   `json:"known,omitempty"`   // how that is known: body, or use (of a binding, by the reasons of later requests)
	Detail   []string `json:"detail,omitempty"`  // of a pod: privileged, hostPath; of a certificate: its requester and signer; of a session: the command
	Unknown  bool     `json:"unknown,omitempty"` // what it gives, or to whom, is not recorded

	Dangers []rbac.Danger `json:"dangers,omitempty"`
}

// Use is the requests that the authorizer says it allowed because of a binding, or that
// were sent with a credential.
type Use struct {
	Count   int               `json:"count"`
	First   string            `json:"first,omitempty"`
	Last    string            `json:"last,omitempty"`
	Seconds float64           `json:"secondsAfter,omitempty"` // the first one after it was given
	By      []tally.Count     `json:"by,omitempty"`
	Did     []tally.Count     `json:"did,omitempty"` // in the order in which it was done first
	More    int               `json:"more,omitempty"`
	Events  []output.EventRef `json:"events,omitempty"`

	by, did     tally.Counts
	first, last int64
}

// Removal is when and by whom power was taken back.
type Removal struct {
	Time    string          `json:"time"`
	User    string          `json:"user"`
	As      string          `json:"as,omitempty"`
	Seconds float64         `json:"secondsAfter"`
	Event   output.EventRef `json:"event"`
}

const rbacGroup = "rbac.authorization.k8s.io"

// machines are those who make pods because others asked them to.
const machines = `user:("system:serviceaccount:kube-system:replicaset-controller" or "system:serviceaccount:kube-system:daemon-set-controller" or ` +
	`"system:serviceaccount:kube-system:job-controller" or "system:serviceaccount:kube-system:statefulset-controller" or ` +
	`"system:serviceaccount:kube-system:cronjob-controller" or "system:serviceaccount:kube-system:deployment-controller" or "system:kube-scheduler" or "system:kube-controller-manager")`

// Kubelets have a token issued for every pod: these are counted, not read.
const (
	tokenQuestion = "resource:serviceaccounts and sub:token and verb:create"
	tokenMachines = `user:(system:node:* or "system:kube-controller-manager")`
)

// giftQuestions are what gives power, or is the use of much of it. What has to be looked
// for in bodies is asked for alone, so that other bodies are not read.
func giftQuestions(all bool) []string {
	tokens := tokenQuestion
	if !all {
		tokens += " and not " + tokenMachines
	}
	const writes = "verb:(create or update or patch or delete or deletecollection)"
	return []string{"(" + strings.Join([]string{
		`apigroup:"` + rbacGroup + `" and ` + writes,
		`apigroup:"admissionregistration.k8s.io" and not sub:status and ` + writes,
		`resource:certificatesigningrequests and sub:approval and ` + writes,
		tokens,
		`ns:kube-system and resource:pods and sub:(exec or attach or portforward or ephemeralcontainers)`,
	}, ") or (") + ")",
		`resource:secrets and verb:create and requestObject.type:"kubernetes.io/service-account-token"`,
		`resource:(pods or deployments or daemonsets or statefulsets or replicasets or jobs or cronjobs) and verb:(create or update or patch) and not sub:* and not ` + machines +
			` and requestObject:*`}
}

var giftColumns = request.KeyColumns | output.RefColumns | audit.Set(audit.Resource, audit.APIGroup, audit.Subresource, audit.Namespace, audit.Name,
	audit.ImpersonatedUsername, audit.UserAgent, audit.SourceIPs, audit.Code, audit.Message, audit.Decision, audit.Reason, audit.Annotations,
	audit.RequestObject, audit.ResponseObject)

const maxGifts = 10_000

// Grants tells who gave power over the cluster to whom: roles and bindings, certificates,
// tokens, admission, privileged pods, sessions in kube-system, impersonation; and what
// was done with it next, until it was taken back.
func Grants(ctx context.Context, r trail.Reader, q trail.Query, cfg GrantsConfig) (output.Report, error) {
	g := &gifts{cfg: cfg, roles: map[string][]rbac.Danger{}, seen: map[uint64]bool{}, keys: request.NewKeys()}
	g.cfg.Next = cmp.Or(cfg.Next, time.Hour)
	for _, question := range giftQuestions(cfg.All) {
		narrow, err := tally.Narrowed(q, question)
		if err != nil {
			return output.Report{}, err
		}
		if err := tally.Scan(ctx, r, narrow, giftColumns, g.note); err != nil {
			return output.Report{}, err
		}
	}
	if err := g.countTokens(ctx, r, q); err != nil {
		return output.Report{}, err
	}
	if err := g.impersonations(ctx, r, q); err != nil {
		return output.Report{}, err
	}
	g.trim()
	if q.Where != nil || q.Until != audit.NoTime {
		if err := g.follow(ctx, r); err != nil {
			return output.Report{}, err
		}
	}
	if err := g.uses(ctx, r); err != nil {
		return output.Report{}, err
	}
	if err := g.removals(ctx, r); err != nil {
		return output.Report{}, err
	}
	g.join()
	cover, err := recorded.Cover(ctx, r, q, cfg.Policy, giftRequests()...)
	if err != nil {
		return output.Report{}, err
	}
	if s, err := r.Summary(ctx); err == nil {
		g.last = s.Last
	}
	report := output.Report{Kind: "PowerList", Head: map[string]any{"coverage": cover, "next": output.Brief(g.cfg.Next), "machines": g.machines, "more": g.more}}
	for _, x := range g.list {
		report.Items = append(report.Items, x)
	}
	report.Text = func(p *output.Page) error { return g.print(p, &cover) }
	return report, nil
}

// giftRequests are those whose absence may be told: all that give power or take it. That
// somebody acted as somebody else is no such request, and may be any.
func giftRequests() []recorded.Requests {
	writes := []string{"create", "update", "patch", "delete", "deletecollection"}
	all := sessionRequests("kube-system")
	add := func(group string, verbs []string, namespaced bool, resources ...string) {
		for _, resource := range resources {
			resource, sub, _ := strings.Cut(resource, "/")
			all = append(all, recorded.Requests{Verbs: verbs, Group: group, Resource: resource, Subresources: []string{sub}, AnyName: true, AnyNamespace: namespaced})
		}
	}
	add(rbacGroup, writes, true, "roles", "rolebindings")
	add(rbacGroup, writes, false, "clusterroles", "clusterrolebindings")
	add("certificates.k8s.io", writes[1:3], false, "certificatesigningrequests/approval")
	add("", writes[:1], true, "serviceaccounts/token", "secrets")
	add("", writes[:3], true, "pods")
	add("apps", writes[:3], true, "deployments", "daemonsets", "statefulsets", "replicasets")
	add("batch", writes[:3], true, "jobs", "cronjobs")
	for _, r := range schema.Resources() {
		if r.Group == "admissionregistration.k8s.io" {
			add(r.Group, writes, false, r.Name)
		}
	}
	return all
}

// gifts is what was found.
type gifts struct {
	cfg      GrantsConfig
	list     []*Gift
	machines int // requests of the control plane and of nodes, not listed
	more     int
	roles    map[string][]rbac.Danger // what is dangerous about roles of which a body is recorded
	last     int64                    // event of the trail
	seen     map[uint64]bool          // requests, for those that answer two questions
	keys     request.Keys
}

// countTokens counts the tokens that are not listed.
func (g *gifts) countTokens(ctx context.Context, r trail.Reader, q trail.Query) error {
	if g.cfg.All {
		return nil
	}
	q, err := tally.Narrowed(q, tokenQuestion+" and stage:ResponseComplete and "+tokenMachines)
	if err != nil {
		return err
	}
	verb, err := audit.Resolve("verb")
	if err != nil {
		return err
	}
	groups, err := r.Aggregate(ctx, q, []audit.Ref{verb}, 1)
	g.machines += int(groups.Events)
	return err
}

// follow looks for what was given by using what was found, whoever did it: the question
// may have asked for the giver only. That may have been given on in turn.
func (g *gifts) follow(ctx context.Context, r trail.Reader) error {
	asked := map[string]bool{}
	for range 4 {
		given := map[string][]*Gift{}
		var names []string
		from, to := int64(audit.NoTime), int64(audit.NoTime)
		for _, x := range g.list {
			if k := x.bindingKey(); k != "" && !asked[k] {
				asked[k], names = true, appendOnce(names, query.Quote(x.reasonName()))
				given[k] = append(given[k], x)
				from, to = earlier(from, x.at), max(to, x.at)
			}
		}
		next := g.cfg.Next.Microseconds()
		for words := range slices.Chunk(names, maxAsked) {
			q, err := tally.Narrowed(trail.Query{Since: from, Until: to + next}, "("+strings.Join(giftQuestions(g.cfg.All), ") or (")+") and reason:("+strings.Join(words, " or ")+")")
			if err != nil {
				return err
			}
			err = tally.Scan(ctx, r, q, giftColumns, func(e *audit.Event) error {
				b, ok := rbac.ParseReason(string(e.Text[audit.Reason]))
				if !ok || latest(given[bindingKey(string(e.Text[audit.Cluster]), b.Kind, b.Namespace, b.Name)], e, next) == nil {
					return nil
				}
				return g.note(e)
			})
			if err != nil {
				return err
			}
		}
		if len(names) == 0 {
			break
		}
	}
	g.trim()
	return nil
}

// note takes one event.
func (g *gifts) note(e *audit.Event) error {
	x := g.gift(e)
	if x == nil {
		return nil
	}
	if subject.Of(x.User).Machine() && x.As == "" && !g.cfg.All {
		g.machines++
		return nil
	}
	if k := g.keys.Of(e); g.seen[k] {
		return nil
	} else if len(g.seen) < request.MaxOpen {
		g.seen[k] = true
	}
	g.list = append(g.list, x)
	if len(g.list) >= 4*maxGifts {
		g.trim()
	}
	return nil
}

// trim keeps the newest.
func (g *gifts) trim() {
	slices.SortStableFunc(g.list, func(x, y *Gift) int { return cmp.Compare(x.at, y.at) })
	if n := len(g.list) - cmp.Or(g.cfg.Limit, maxGifts); n > 0 {
		g.list, g.more = slices.Clone(g.list[n:]), g.more+n
	}
}

// gift makes of an event what it gives, nil where that is nothing.
func (g *gifts) gift(e *audit.Event) *Gift {
	text := func(c audit.Column) string { return string(e.Text[c]) }
	sub := text(audit.Subresource)
	session := sub == "exec" || sub == "attach" || sub == "portforward" || sub == "ephemeralcontainers"
	if !request.Ended(e) && !(session && text(audit.Stage) == "ResponseStarted") {
		return nil
	}
	if dry, sure := request.DryRun(e); dry && sure {
		return nil
	}
	x := &Gift{User: text(audit.Username), As: text(audit.ImpersonatedUsername), Time: output.RFC3339(e.Time()), Outcome: "done",
		Thing: Thing{Group: text(audit.APIGroup), Resource: text(audit.Resource), Namespace: text(audit.Namespace), Name: text(audit.Name)}, Address: address(e), Tool: tool(e),
		Events: []output.EventRef{output.Ref(e)}, at: e.Time(), cluster: text(audit.Cluster), AllowedBy: text(audit.Reason)}
	x.binding, _ = rbac.ParseReason(x.AllowedBy)
	if found := schema.Find(x.Group, x.Resource); found != nil {
		x.ObjectAs = found.Kind
	}
	switch {
	case refusal.Of(e).Cause != "":
		x.Outcome, x.Why = "refused", refusal.Of(e).Why()
	case e.Code >= 400 || text(audit.Stage) == "Panic":
		x.Outcome = "failed"
	}
	x.Action = map[string]string{"create": "created", "update": "changed", "patch": "changed", "delete": "removed", "deletecollection": "removed"}[text(audit.Verb)]
	switch {
	case session:
		x.session(e)
	case sub == "token":
		x.Kind, x.Action, x.credential = "token", "issued", issued(e)
	case sub == "approval":
		x.certificate(e)
	case x.Group == "admissionregistration.k8s.io":
		x.Kind = "admission"
	case x.Group == rbacGroup && sub == "":
		g.rbac(x, e)
	case x.Group == "" && x.Resource == "secrets":
		x.Kind = "secret"
	case sub == "" && slices.Contains([]string{"", "apps", "batch"}, x.Group):
		if x.pod(e); len(x.Detail) == 0 {
			return nil
		}
	default:
		return nil
	}
	return x
}

// body is the object as it became, as far as it was recorded.
func body(e *audit.Event) map[string]any {
	if m := object(e.ResponseObject); m != nil && m["kind"] != "Status" && m["kind"] != nil {
		return m
	}
	if verb := string(e.Text[audit.Verb]); verb == "create" || verb == "update" {
		return object(e.RequestObject)
	}
	return nil
}

// rbac reads a role or a binding.
func (g *gifts) rbac(x *Gift, e *audit.Event) {
	m := body(e)
	if x.Name == "" {
		x.Name = at[string](m, "metadata", "name")
	}
	if strings.HasSuffix(x.Resource, "roles") {
		x.Kind = "role"
		if x.Action == "removed" {
			return
		}
		x.Unknown = m == nil
		if m != nil {
			x.Dangers = dangersOf(m)
			if x.Outcome == "done" && len(g.roles) < maxGifts {
				g.roles[roleKey(x.cluster, x.Namespace, x.ObjectAs, x.Name)] = x.Dangers
			}
		}
		return
	}
	x.Kind = "binding"
	if x.Action == "removed" {
		return
	}
	if m == nil {
		x.Unknown = true
		return
	}
	x.Known = "body"
	x.RoleKind, x.Role = at[string](m, "roleRef", "kind"), at[string](m, "roleRef", "name")
	for _, s := range at[[]any](m, "subjects") {
		sm, _ := s.(map[string]any)
		name := at[string](sm, "name")
		if ns := at[string](sm, "namespace"); ns != "" {
			name = ns + "/" + name
		}
		if len(x.To) < 50 {
			x.To = append(x.To, at[string](sm, "kind")+" "+name)
		}
	}
}

func roleKey(cluster, namespace, kind, name string) string {
	if kind == "ClusterRole" {
		namespace = ""
	}
	return cluster + "\x00" + namespace + "\x00" + kind + "\x00" + name
}

// dangersOf tells what is dangerous about the rules of a role.
func dangersOf(m map[string]any) []rbac.Danger {
	g := rbac.Grant{}
	for _, r := range at[[]any](m, "rules") {
		rm, _ := r.(map[string]any)
		g.Rules = append(g.Rules, rbac.Rule{APIGroups: strs(rm, "apiGroups"), Resources: strs(rm, "resources"), NonResourceURLs: strs(rm, "nonResourceURLs"), Verbs: strs(rm, "verbs")})
		if len(g.Rules) == 1000 {
			break
		}
	}
	return g.Dangers()
}

// at is a member of an object, the zero value where it is not there or of another type.
func at[T any](m map[string]any, path ...string) T {
	var v any = m
	for _, p := range path {
		inner, _ := v.(map[string]any)
		v = inner[p]
	}
	t, _ := v.(T)
	if s, ok := any(t).(string); ok && len(s) > maxWord {
		v = strings.ToValidUTF8(s[:maxWord], "")
		t, _ = v.(T)
	}
	return t
}

// maxWord is the longest text out of a body that is kept: no name is longer.
const maxWord = 512

func strs(m map[string]any, member string) (out []string) {
	for _, v := range at[[]any](m, member) {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// certificate reads an approval or a denial of a certificate.
func (x *Gift) certificate(e *audit.Event) {
	x.Kind, x.Action, x.Unknown = "certificate", "decided", true
	m := body(e)
	if m == nil {
		return
	}
	conditions := at[[]any](m, "status", "conditions")
	for _, c := range conditions {
		cm, _ := c.(map[string]any)
		switch at[string](cm, "type") {
		case "Approved":
			x.Action, x.Unknown = "approved", false
		case "Denied":
			x.Action, x.Unknown = "denied", false
		}
	}
	for _, s := range []string{at[string](m, "spec", "username"), at[string](m, "spec", "signerName")} {
		if s != "" {
			x.Detail = append(x.Detail, s)
		}
	}
}

// issued is the id of the credential that a request had issued.
func issued(e *audit.Event) string {
	return at[string](object(e.Text[audit.Annotations]), "authentication.kubernetes.io/issued-credential-id")
}

// session reads an exec, attach, port-forward or debug in kube-system.
func (x *Gift) session(e *audit.Event) {
	s := newSession(e, sessionKind(e))
	x.Kind, x.Action = "session", "opened"
	x.Detail = []string{s.Kind}
	if len(s.Command) > 0 {
		x.Detail = append(x.Detail, shellWords(s.Command))
	}
	if s.Container != "" {
		x.Detail = append(x.Detail, "container "+s.Container)
	}
}

// mayEscape tells, without decoding it, whether a body may have what pod looks for.
// kube-apiserver writes objects without blanks.
func mayEscape(raw []byte) bool {
	for _, text := range []string{`"privileged":true`, "SYS_ADMIN", `"hostPath":`, `"hostNetwork":true`, `"hostPID":true`, `"hostIPC":true`} {
		if bytes.Contains(raw, []byte(text)) {
			return true
		}
	}
	return bytes.Contains(raw, []byte(`"ALL"`)) && bytes.Contains(raw, []byte(`"add":[`)) || query.Hidden(raw)
}

// pod looks for what lets the containers of a pod, or of a template of pods, out of
// themselves.
func (x *Gift) pod(e *audit.Event) {
	x.Kind = "pod"
	if !mayEscape(e.RequestObject) && !mayEscape(e.ResponseObject) {
		return
	}
	m := body(e)
	spec := at[map[string]any](m, "spec")
	for _, path := range [][]string{{"template", "spec"}, {"jobTemplate", "spec", "template", "spec"}} {
		if inner := at[map[string]any](spec, path...); inner != nil {
			spec = inner
		}
	}
	add := func(what string, yes bool) {
		if yes && !slices.Contains(x.Detail, what) {
			x.Detail = append(x.Detail, what)
		}
	}
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		for _, c := range at[[]any](spec, list) {
			cm, _ := c.(map[string]any)
			add("privileged", at[bool](cm, "securityContext", "privileged"))
			for _, capability := range at[[]any](cm, "securityContext", "capabilities", "add") {
				add("capability SYS_ADMIN", capability == "SYS_ADMIN" || capability == "ALL")
			}
		}
	}
	for _, member := range []string{"hostNetwork", "hostPID", "hostIPC"} {
		add(member, at[bool](spec, member))
	}
	for _, v := range at[[]any](spec, "volumes") {
		vm, _ := v.(map[string]any)
		if path := at[string](vm, "hostPath", "path"); path != "" && len(x.Detail) < 10 {
			add("hostPath "+path, true)
		}
	}
	if x.Name == "" {
		x.Name = at[string](m, "metadata", "name")
	}
}
