package power

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/query"
	"kubetrail/internal/recorded"
	"kubetrail/internal/refusal"
	"kubetrail/internal/request"
	"kubetrail/internal/schema"
	"kubetrail/internal/subject"
	"kubetrail/internal/tally"
	"kubetrail/internal/trail"
)

// AccessConfig says to what somebody may have had access.
type AccessConfig struct {
	Target    schema.Target
	Namespace string           // "" for any
	Policy    *recorded.Policy // nil: not known
}

// Accessor is one subject and what they did with the object, or the objects, asked
// about. Each request counts once.
type Accessor struct {
	User string `json:"user"`         // "" where authentication failed
	As   string `json:"as,omitempty"` // whom they impersonated
	Kind string `json:"kind"`         // of subject: person, serviceAccount, node, controlPlane, anonymous, unknown

	Counts

	First     string            `json:"first"`
	Last      string            `json:"last"`
	Addresses []tally.Count     `json:"addresses"`
	Tools     []tally.Count     `json:"tools"`
	AllowedBy []tally.Count     `json:"allowedBy,omitempty"`
	Refusals  []tally.Count     `json:"refusals,omitempty"` // why
	Usual     *Usual            `json:"usual,omitempty"`    // nil where there is no past to compare with
	Events    []output.EventRef `json:"events"`             // the first ones, at most 20

	first, last                         int64
	addresses, tools, allowed, refusals tally.Counts
}

// Counts are requests by what came of them.
type Counts struct {
	Reads    int `json:"reads"`   // by name
	Lists    int `json:"lists"`   // that it is in
	Watches  int `json:"watches"` // likewise
	Writes   int `json:"writes"`
	Connects int `json:"connects,omitempty"` // exec, attach, port-forward, proxy
	Refused  int `json:"refused"`            // 401, 403, 429
	Failed   int `json:"failed,omitempty"`   // answered with another error, such as 404
	Open     int `json:"open,omitempty"`     // no end is recorded

	InNamespace int `json:"listsOfNamespace,omitempty"` // of Lists and Watches: of the whole namespace
	InCluster   int `json:"listsOfCluster,omitempty"`   // likewise, of all namespaces
	Selected    int `json:"listsSelected,omitempty"`    // likewise, by labels or fields, or a page: they may have left it out
}

// Usual is what a subject did with the same before the time asked about.
type Usual struct {
	FirstTime    bool     `json:"firstTime"` // never before in this trail, successfully
	Before       int      `json:"before"`    // successful requests before
	Refused      int      `json:"refusedBefore,omitempty"`
	PerDay       float64  `json:"perDay,omitempty"` // of Before; 0 where less than two days are known
	Last         string   `json:"last,omitempty"`
	NewAddresses []string `json:"newAddresses,omitempty"`
	NewTools     []string `json:"newTools,omitempty"`
}

var accessColumns = request.KeyColumns | output.RefColumns | audit.Set(audit.Resource, audit.APIGroup, audit.Subresource, audit.Namespace,
	audit.Name, audit.ImpersonatedUsername, audit.UserAgent, audit.SourceIPs, audit.Code, audit.Message, audit.Decision, audit.Reason)

// maxAccessors bounds how many subjects are told apart.
const maxAccessors = 20_000

// Access tells who read, listed, watched or wrote an object, or tried to. Lists and
// watches of all objects that it is one of count as well, apart.
func Access(ctx context.Context, r trail.Reader, q trail.Query, cfg AccessConfig) (output.Report, error) {
	narrow, err := tally.Narrowed(q, cfg.question())
	if err != nil {
		return output.Report{}, err
	}
	now, err := accessors(ctx, r, narrow, cfg)
	if err != nil {
		return output.Report{}, err
	}
	var begin int64 = audit.NoTime
	if q.Since != audit.NoTime {
		s, err := r.Summary(ctx)
		if err != nil {
			return output.Report{}, err
		}
		if begin = s.First; begin != audit.NoTime && begin < q.Since {
			past := narrow
			past.Since, past.Until = audit.NoTime, q.Since
			before, err := accessors(ctx, r, past, cfg)
			if err != nil {
				return output.Report{}, err
			}
			now.compare(before, float64(q.Since-begin)/float64((24*time.Hour).Microseconds()))
		} else {
			begin = audit.NoTime
		}
	}
	cover, err := recorded.Cover(ctx, r, q, cfg.Policy, cfg.requests()...)
	if err != nil {
		return output.Report{}, err
	}
	rows := now.sorted()
	report := output.Report{Kind: "AccessList", Head: map[string]any{"target": cfg.target(), "coverage": cover, "moreSubjects": now.more, "openUnknown": now.blind,
		"comparedWithPastFrom": output.RFC3339(begin)}}
	for _, a := range rows {
		report.Items = append(report.Items, a)
	}
	report.Text = func(p *output.Page) error { return now.print(p, cfg, rows, begin, &cover, q.Where != nil) }
	return report, nil
}

// target names what is asked about, as kubectl does.
func (cfg *AccessConfig) target() string {
	s := cfg.Target.Resource
	if cfg.Target.Group != "" {
		s += "." + cfg.Target.Group
	}
	if cfg.Target.Name != "" {
		s += "/" + cfg.Target.Name
	}
	return s
}

// question is what concerns the object: requests for it by name, and those without a
// name in its namespace or in all.
func (cfg *AccessConfig) question() string {
	parts := []string{"resource:" + query.Quote(cfg.Target.Resource)}
	switch {
	case cfg.Target.AnyGroup:
	case cfg.Target.Group == "":
		parts = append(parts, "not apigroup:*")
	default:
		parts = append(parts, "apigroup:"+query.Quote(cfg.Target.Group))
	}
	if cfg.Namespace != "" {
		parts = append(parts, "(ns:"+query.Quote(cfg.Namespace)+" or not ns:*)")
	}
	if cfg.Target.Name != "" {
		parts = append(parts, "(name:"+query.Quote(cfg.Target.Name)+" or not name:*)")
	}
	return strings.Join(parts, " and ")
}

// requests are those whose absence may be told.
func (cfg *AccessConfig) requests() []recorded.Requests {
	t := cfg.Target
	r := recorded.Requests{Verbs: []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}, Group: t.Group, AnyGroup: t.AnyGroup,
		Resource: t.Resource, Namespace: cfg.Namespace, AnyNamespace: cfg.Namespace == "", Name: t.Name, AnyName: t.Name == "", Subresources: []string{""}}
	found := schema.Find(t.Group, t.Resource)
	if found != nil {
		if !found.Namespaced {
			r.Namespace, r.AnyNamespace = "", false
			if t.Group == "" && t.Resource == "namespaces" {
				r.Namespace, r.AnyNamespace = t.Name, t.Name == ""
			}
		}
		r.Verbs = slices.DeleteFunc(r.Verbs, func(v string) bool { return !slices.Contains(found.Verbs, v) })
	}
	all := []recorded.Requests{r}
	subs := []schema.Subresource{{Name: "status", Verbs: []string{"get", "update", "patch"}}, {Name: "scale", Verbs: []string{"get", "update", "patch"}}}
	if found != nil {
		subs = found.Subresources
	}
	for _, s := range subs { // those of a custom resource, where it is not built in
		sub := r
		sub.Subresources, sub.Verbs = []string{s.Name}, s.Verbs
		all = append(all, sub)
	}
	return all
}

// access is who was found, by user and whom they acted as.
type access struct {
	cfg  AccessConfig
	rows map[[2]string]*Accessor
	more int // requests by subjects beyond those kept

	unnamed int  // refused creations in the namespace, whose names are not recorded
	blind   bool // there were too many requests to know which have not ended
}

// accessors counts what concerns the object.
func accessors(ctx context.Context, r trail.Reader, q trail.Query, cfg AccessConfig) (*access, error) {
	a := &access{cfg: cfg, rows: map[[2]string]*Accessor{}}
	open := request.NewPairs[asking]()
	err := tally.Scan(ctx, r, q, accessColumns, func(e *audit.Event) error {
		if cfg.Target.Name != "" && len(e.Text[audit.Name]) == 0 && string(e.Text[audit.Verb]) == "create" {
			// Which object a creation was to make is recorded with its end, and not even
			// then where it was refused.
			if request.Ended(e) {
				a.unnamed++
			}
			return nil
		}
		row := a.row(e)
		if row == nil {
			if request.Ended(e) {
				a.more++
			}
			return nil
		}
		open.Note(e, func() asking { return row.asks(e) })
		if request.Ended(e) {
			row.note(e)
		} else if row.seen(e); len(row.Events) == 0 {
			row.Events = append(row.Events, output.Ref(e))
		}
		return nil
	})
	open.Unended(func(b asking) { b.row.unended(b) })
	a.blind = open.Full()
	// As whom somebody acts is not yet known when a request is received: it counts in
	// the row of its end.
	maps.DeleteFunc(a.rows, func(_ [2]string, row *Accessor) bool { return row.Counts == Counts{} })
	return a, err
}

// asking is a request that has begun.
type asking struct {
	row      *Accessor
	answered bool // a watch was let in
	scope    scope
	address  string
	tool     string
}

func (row *Accessor) asks(e *audit.Event) asking {
	return asking{row, string(e.Text[audit.Verb]) == "watch" && string(e.Text[audit.Stage]) == "ResponseStarted" && e.Code < 300, scopeOf(e), address(e), tool(e)}
}

// unended counts a request of which no end is recorded. Of a watch that was let in it
// does not matter.
func (a *Accessor) unended(b asking) {
	if !b.answered {
		a.Open++
		return
	}
	a.Watches++
	a.covers(b.scope)
	a.from(b.address, b.tool)
}

func (a *access) row(e *audit.Event) *Accessor {
	key := [2]string{string(e.Text[audit.Username]), string(e.Text[audit.ImpersonatedUsername])}
	row := a.rows[key]
	if row == nil && len(a.rows) < maxAccessors {
		row = &Accessor{User: key[0], As: key[1], Kind: subject.Of(cmp.Or(key[1], key[0])).Kind.String(), first: audit.NoTime, last: audit.NoTime}
		a.rows[key] = row
	}
	return row
}

// maxRefs is how many events an answer names of each of its rows.
const maxRefs = 20

// seen notes when something happened.
func (a *Accessor) seen(e *audit.Event) {
	at := e.Time()
	if at == audit.NoTime {
		return
	}
	if a.first == audit.NoTime || at < a.first {
		a.first = at
	}
	a.last = max(a.last, at)
}

// note counts one request at its end.
func (a *Accessor) note(e *audit.Event) {
	a.seen(e)
	if len(a.Events) < maxRefs {
		a.Events = append(a.Events, output.Ref(e))
	}
	a.from(address(e), tool(e))
	switch {
	case e.Code == 401 || e.Code == 403 || e.Code == 429:
		a.Refused++
		a.refusals.Add(refusal.Of(e).Why())
		return
	case e.Code >= 400 || string(e.Text[audit.Stage]) == "Panic":
		a.Failed++
		return
	}
	if reason := string(e.Text[audit.Reason]); reason != "" {
		a.allowed.Add(reason)
	}
	switch sub, verb := string(e.Text[audit.Subresource]), string(e.Text[audit.Verb]); {
	case sub == "exec" || sub == "attach" || sub == "portforward" || sub == "proxy" || verb == "proxy":
		a.Connects++
	case verb == "list" || verb == "watch":
		if verb == "list" {
			a.Lists++
		} else {
			a.Watches++
		}
		a.covers(scopeOf(e))
	case verb == "get" || verb == "head":
		a.Reads++
	default:
		a.Writes++
	}
}

// from notes where a request came from.
func (a *Accessor) from(address, tool string) {
	if address != "" {
		a.addresses.Add(address)
	}
	if tool != "" {
		a.tools.Add(tool)
	}
}

// scope is how much a list or a watch asks for.
type scope struct{ namespace, cluster, selected bool }

func scopeOf(e *audit.Event) scope {
	named, namespaced := len(e.Text[audit.Name]) > 0, len(e.Text[audit.Namespace]) > 0 // named: metadata.name was selected
	return scope{!named && namespaced, !named && !namespaced, selects(string(e.Text[audit.RequestURI]))}
}

func (a *Accessor) covers(s scope) {
	if s.namespace {
		a.InNamespace++
	}
	if s.cluster {
		a.InCluster++
	}
	if s.selected {
		a.Selected++
	}
}

// selects tells whether the URI of a list asks for some objects only, other than by
// name: by labels, by other fields, or for a page that is not the first.
func selects(uri string) bool {
	_, text, ok := strings.Cut(uri, "?")
	if !ok {
		return false
	}
	values, _ := url.ParseQuery(text)
	fields := strings.FieldsFunc(values.Get("fieldSelector"), func(r rune) bool { return r == ',' })
	return values.Get("labelSelector") != "" || values.Get("continue") != "" ||
		slices.ContainsFunc(fields, func(f string) bool { return !strings.HasPrefix(f, "metadata.name=") })
}

// compare tells what of it is usual, by what was before, which took so many days.
func (a *access) compare(before *access, days float64) {
	for key, row := range a.rows {
		u := &Usual{FirstTime: true}
		row.Usual = u
		past := before.rows[key]
		if past == nil {
			continue
		}
		u.Before = past.used()
		u.Refused = past.Refused
		u.FirstTime = u.Before == 0
		u.Last = output.RFC3339(past.last)
		if days >= 2 {
			u.PerDay = float64(int(10*float64(u.Before)/days+0.5)) / 10
		}
		if past.addresses.More == 0 && len(past.addresses.List) > 0 {
			u.NewAddresses = unknown(&row.addresses, &past.addresses)
		}
		if past.tools.More == 0 && len(past.tools.List) > 0 {
			u.NewTools = unknown(&row.tools, &past.tools)
		}
	}
}

// unknown are the values of now that are not in past.
func unknown(now, past *tally.Counts) (values []string) {
	for _, t := range now.List {
		if !past.Has(t.Value) {
			values = append(values, t.Value)
		}
	}
	return values
}

// sorted returns the rows: people first, machines last, whoever came last first.
func (a *access) sorted() []*Accessor {
	rows := make([]*Accessor, 0, len(a.rows))
	for _, row := range a.rows {
		row.First, row.Last = output.RFC3339(row.first), output.RFC3339(row.last)
		row.Addresses, row.Tools = row.addresses.Values(), row.tools.Values()
		row.AllowedBy, row.Refusals = row.allowed.Values(), row.refusals.Values()
		slices.SortFunc(row.Events, func(x, y output.EventRef) int { return cmp.Or(cmp.Compare(x.Time, y.Time), cmp.Compare(x.Seq, y.Seq)) })
		rows = append(rows, row)
	}
	machine := func(x *Accessor) int {
		if subject.Of(cmp.Or(x.As, x.User)).Machine() {
			return 1
		}
		return 0
	}
	slices.SortFunc(rows, func(x, y *Accessor) int {
		return cmp.Or(machine(x)-machine(y), cmp.Compare(y.last, x.last), cmp.Compare(x.User, y.User), cmp.Compare(x.As, y.As))
	})
	return rows
}

func (a *access) print(p *output.Page, cfg AccessConfig, rows []*Accessor, begin int64, cover *recorded.Coverage, narrow bool) error {
	what := output.Cell(cfg.target())
	if cfg.Namespace != "" {
		what += p.Pick(" in ", "（命名空间 ") + output.Cell(cfg.Namespace) + p.Pick("", "）")
	}
	if len(rows) == 0 {
		if narrow {
			cover.None(p, "There was no such request for "+what, "没有针对 "+what+" 的此类请求")
		} else {
			cover.None(p, "Nobody read or wrote "+what+", or tried to", "没有人读写过 "+what+"，也没有人尝试过")
		}
		a.asides(p)
		return nil
	}
	titles := []string{"SUBJECT", "READ", "LIST", "WATCH", "WRITE", "REFUSED", "LAST", "FIRST", "FROM", "TOOL", "USUAL"}
	if begin == audit.NoTime {
		titles = titles[:10]
	}
	t := p.Table(titles...)
	t.Right, t.Soft, t.Spare = []int{1, 2, 3, 4, 5}, []int{0}, []int{7, 9, 8, 10}[:len(titles)-7]
	for _, x := range rows {
		cells := []string{who(x.User, x.As, p.Chinese), count(x.Reads), count(x.Lists), count(x.Watches), count(x.Writes), count(x.Refused),
			shortTime(x.last), shortTime(x.first), cells(x.Addresses), cells(x.Tools), x.Usual.word(p)}
		if err := t.Add(cells[:len(titles)]...); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(p.W)
	a.lists(p, rows)
	a.unusual(p, rows, begin)
	a.refused(p, rows)
	a.asides(p)
	cover.Rest(p)
	return nil
}

// used is how many requests succeeded.
func (a *Accessor) used() int { return a.Reads + a.Lists + a.Watches + a.Writes + a.Connects }

// word is USUAL in the table.
func (u *Usual) word(p *output.Page) string {
	switch {
	case u == nil:
		return output.None
	case u.FirstTime:
		return p.Pick("first-time", "首次")
	case len(u.NewAddresses)+len(u.NewTools) > 0:
		return p.Pick("new-place", "新来源")
	}
	return p.Pick("yes", "是")
}

// lists says which lists count, and which of them may have left the object out.
func (a *access) lists(p *output.Page, rows []*Accessor) {
	var namespace, cluster, selected, open, failed int
	for _, x := range rows {
		namespace, cluster, selected, open, failed = namespace+x.InNamespace, cluster+x.InCluster, selected+x.Selected, open+x.Open, failed+x.Failed
	}
	if namespace+cluster > 0 && a.cfg.Target.Name != "" {
		p.Say("Lists and watches return it too: %d of the namespace, %d of the whole cluster.", "list 和 watch 同样会返回它：其中整个命名空间 %d 次，整个集群 %d 次。", namespace, cluster)
	} else if cluster > 0 {
		p.Say("Lists and watches of the whole cluster: %d.", "整个集群范围的 list 和 watch：%d 次。", cluster)
	}
	if selected > 0 {
		p.Say("Of these, %d asked by labels, fields or for a later page, and may have left it out.", "其中 %d 次使用了标签或字段选择器，或只取后续分页，不一定包含它。", selected)
	}
	if failed > 0 {
		p.Say("Requests that failed for another reason than a refusal (such as 404): %d.", "因其他原因（如 404）失败的请求：%d 次。", failed)
	}
	if open > 0 {
		p.Say("Requests of which no end is recorded, so that it is not known what they returned: %d.", "没有记录到结束、无法得知结果的请求：%d 个。", open)
	}
}

// unusual says what of it is new.
func (a *access) unusual(p *output.Page, rows []*Accessor, begin int64) {
	if begin == audit.NoTime {
		return
	}
	for _, x := range rows {
		name := who(x.User, x.As, p.Chinese)
		switch u := x.Usual; {
		case x.used() == 0 && x.Refused > 0 && u.FirstTime && u.Refused == 0:
			p.Say("%s: tried for the first time ever in this trail, which begins at %s.", "%s：在本日志（始于 %s）中首次尝试。", name, output.RFC3339(begin))
		case x.used() == 0:
		case u.FirstTime && u.Refused > 0:
			p.Say("%s: never succeeded before in this trail, which begins at %s; was refused %s.", "%s：在本日志（始于 %s）中此前从未成功，曾被拒绝 %s。", name, output.RFC3339(begin), times(u.Refused, p.Chinese))
		case u.FirstTime:
			p.Say("%s: first time ever in this trail, which begins at %s.", "%s：在本日志（始于 %s）中首次出现。", name, output.RFC3339(begin))
		case u.PerDay > 0:
			p.Say("%s: usually %g a day (%d before, last at %s).", "%s：平时每天约 %g 次（此前共 %d 次，最近一次 %s）。", name, u.PerDay, u.Before, u.Last)
		default:
			p.Say("%s: came before, too: %s, last at %s.", "%s：此前也有过：%s，最近一次 %s。", name, times(u.Before, p.Chinese), u.Last)
		}
		if u := x.Usual; !u.FirstTime && len(u.NewAddresses) > 0 {
			p.Say("%s: from a new address: %s.", "%s：来自新的地址：%s。", name, output.Plain(strings.Join(u.NewAddresses, ", "), false))
		}
		if u := x.Usual; !u.FirstTime && len(u.NewTools) > 0 {
			p.Say("%s: with a new tool: %s.", "%s：使用了新的工具：%s。", name, output.Plain(strings.Join(u.NewTools, ", "), false))
		}
	}
}

// refused says why.
func (a *access) refused(p *output.Page, rows []*Accessor) {
	for _, x := range rows {
		for _, t := range x.Refusals {
			p.Say("%s was refused %s: %s.", "%s 被拒绝 %s：%s。", who(x.User, x.As, p.Chinese), times(t.Count, p.Chinese), output.Plain(refusal.Text(t.Value, p.Chinese), false))
		}
	}
}

// asides says what no audit log can tell.
func (a *access) asides(p *output.Page) {
	if a.more > 0 {
		p.Say("By further subjects, not listed: %s.", "其他未列出的主体：%s。", times(a.more, p.Chinese))
	}
	if a.blind {
		p.Say("There were too many requests to tell which had not ended: a watch that is still open may be missing. Ask for a shorter time.",
			"请求过多，无法判断哪些尚未结束：仍在进行的 watch 可能未列出。请缩小时间范围。")
	}
	if a.unnamed > 0 {
		p.Say("Creations without a name in the event (refused, or generated): %d; one may have been of it.", "有 %d 个创建请求的事件中没有名称（被拒绝或由服务器生成名称），其中可能涉及它。", a.unnamed)
	}
	if t := a.cfg.Target; t.Group == "" && (t.Resource == "secrets" || t.Resource == "configmaps") {
		nodes := 0
		for _, x := range a.rows {
			if x.Kind == "node" && x.Reads+x.Lists+x.Watches > 0 {
				nodes++
			}
		}
		if nodes > 0 {
			p.Say("Nodes that read it: %d, for pods that mount it or take variables from it.", "读取过它的节点：%d 个，供挂载它或引用其环境变量的 Pod 使用。", nodes)
		}
		p.Say("Who read it inside a container that mounts it is in no audit log.", "在挂载了它的容器内部读取，任何审计日志都不会记录。")
	}
}
