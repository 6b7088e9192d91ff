package power

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/rbac"
	"kubetrail/internal/recorded"
	"kubetrail/internal/refusal"
	"kubetrail/internal/request"
	"kubetrail/internal/tally"
	"kubetrail/internal/trail"
)

// DeniedConfig says how refusals are told.
type DeniedConfig struct {
	By     string        // subject or resource
	Every  time.Duration // length of a bucket of the histogram; 0: chosen
	Limit  int           // rows listed; 0: all
	Grant  bool          // print the grants alone, as documents for kubectl apply
	Policy *recorded.Policy
}

// Denial is refused requests of one subject that are alike: same verb, resource,
// namespace and reason.
type Denial struct {
	User string `json:"user"` // "" where authentication failed
	As   string `json:"as,omitempty"`

	Wanted

	Cause   refusal.Cause `json:"cause"`
	Detail  string        `json:"detail,omitempty"`  // the name of the policy, webhook, quota or standard
	Message string        `json:"message,omitempty"` // of the first one
	Codes   []tally.Count `json:"codes"`

	Count     int               `json:"count"`
	First     string            `json:"first,omitempty"`
	Last      string            `json:"last,omitempty"`
	Times     []Bucket          `json:"times"` // how often when; empty buckets are left out
	Addresses []tally.Count     `json:"addresses,omitempty"`
	Tools     []tally.Count     `json:"tools,omitempty"`
	Events    []output.EventRef `json:"events"`

	first, last             int64
	codes, addresses, tools tally.Counts
	at                      map[int64]int
	asked                   []rbac.Attributes // one for each name
}

// Wanted is what was asked for.
type Wanted struct {
	Verb        string   `json:"verb"`
	Group       string   `json:"group,omitempty"`
	Resource    string   `json:"resource,omitempty"`
	Subresource string   `json:"subresource,omitempty"`
	Namespace   string   `json:"namespace,omitempty"`
	Path        string   `json:"path,omitempty"`
	Names       []string `json:"names,omitempty"` // some of them
	MoreNames   bool     `json:"moreNames,omitempty"`
}

// Bucket is how often something happened in one stretch of time.
type Bucket struct {
	Start string `json:"start"`
	Count int    `json:"count"`
}

// Proposal is the smallest grant for one subject and namespace, of what RBAC refused.
type Proposal struct {
	User      string        `json:"user"`
	Namespace string        `json:"namespace,omitempty"`
	Requests  int           `json:"requests"`
	Objects   []rbac.Object `json:"objects"`
	Dangers   []rbac.Danger `json:"dangers,omitempty"`
	Notes     []string      `json:"notes,omitempty"`

	grant rbac.Grant
}

const deniedQuestion = `code:(401 or 403 or 429) or (code >= 400 and message:("denied request" or "denied the request"))`

var deniedColumns = request.KeyColumns | output.RefColumns | audit.Set(audit.Resource, audit.APIGroup, audit.Subresource, audit.Namespace,
	audit.Name, audit.ImpersonatedUsername, audit.UserAgent, audit.SourceIPs, audit.Code, audit.Message, audit.Decision)

// Bounds of what denied keeps.
const (
	maxDenials = 20_000
	maxNames   = 200
	maxWaiting = 64 << 20 // bytes of requests that have not ended
)

// Denied tells of refused requests: who was refused what, how often and why, and the
// smallest grants that would allow it.
func Denied(ctx context.Context, r trail.Reader, q trail.Query, cfg DeniedConfig) (output.Report, error) {
	narrow, err := tally.Narrowed(q, deniedQuestion)
	if err != nil {
		return output.Report{}, err
	}
	d := &denied{cfg: cfg, rows: map[denialKey]*Denial{}, unit: cmp.Or(cfg.Every, time.Second), first: audit.NoTime, last: audit.NoTime}
	open := request.NewPairs[func()]()
	err = tally.Scan(ctx, r, narrow, deniedColumns, func(e *audit.Event) error {
		why := refusal.Of(e)
		if why.Cause == "" {
			return nil
		}
		if request.Ended(e) {
			d.note(e, why, output.Ref(e))
		}
		if longRunning(e) { // refused at both stages, of which the policy may omit one
			open.Note(e, func() func() {
				if d.waiting > maxWaiting {
					d.blind = true
					return func() {}
				}
				at, ref := *e, output.Ref(e)
				at.Text = d.copied(e)
				return func() { d.note(&at, why, ref) }
			})
		}
		return nil
	})
	if err != nil {
		return output.Report{}, err
	}
	open.Unended(func(note func()) { note() })
	d.blind = d.blind || open.Full()
	cover, err := recorded.Cover(ctx, r, q, cfg.Policy)
	if err != nil {
		return output.Report{}, err
	}
	d.cover = &cover
	rows := d.sorted()
	proposals := d.proposals(rows)
	report := output.Report{Kind: "DenialList", Head: map[string]any{"total": d.total, "from": output.RFC3339(d.first), "to": output.RFC3339(d.last),
		"every": output.Brief(d.every()), "proposals": proposals, "moreKinds": d.more, "openUnknown": d.blind, "coverage": cover}}
	for _, x := range rows {
		report.Items = append(report.Items, x)
	}
	report.Text = func(p *output.Page) error { return d.print(p, rows, proposals) }
	if cfg.Grant {
		report.Items = nil
		for _, x := range proposals {
			report.Items = append(report.Items, x)
		}
		report.Kind, report.Text = "GrantList", func(p *output.Page) error { return printGrants(p, proposals) }
	}
	return report, nil
}

func longRunning(e *audit.Event) bool {
	if string(e.Text[audit.Verb]) == "watch" {
		return true
	}
	return refusal.Proxied(e)
}

// denialKey is what denials have in common.
type denialKey struct {
	user, as, verb, group, resource, sub, namespace, path, why string
}

type denied struct {
	cfg         DeniedConfig
	rows        map[denialKey]*Denial
	total, more int // requests, and those of kinds beyond what is kept
	first, last int64
	unit        time.Duration // how exactly times are kept
	slots       int           // counts by time, of all rows
	cover       *recorded.Coverage
	waiting     int  // bytes that requests without an end take
	blind       bool // there were too many to know which have not ended
}

// copied keeps the text of an event beyond the call.
func (d *denied) copied(e *audit.Event) (text [audit.NumText][]byte) {
	d.waiting += 2 << 10
	for c := range e.Text {
		if deniedColumns.Has(audit.Column(c)) && len(e.Text[c]) < 64<<10 {
			text[c] = slices.Clone(e.Text[c])
			d.waiting += len(text[c])
		}
	}
	return text
}

func (d *denied) note(e *audit.Event, why refusal.Refused, ref output.EventRef) {
	d.total++
	text := func(c audit.Column) string { return string(e.Text[c]) }
	key := denialKey{user: text(audit.Username), as: text(audit.ImpersonatedUsername), verb: text(audit.Verb), group: text(audit.APIGroup),
		resource: text(audit.Resource), sub: text(audit.Subresource), namespace: text(audit.Namespace), why: why.Why()}
	if key.resource == "" {
		key.path, _, _ = strings.Cut(text(audit.RequestURI), "?")
	}
	x := d.rows[key]
	switch {
	case x == nil && len(d.rows) == maxDenials:
		d.more++
		return
	case x == nil:
		x = &Denial{User: key.user, As: key.as, Wanted: Wanted{Verb: key.verb, Group: key.group, Resource: key.resource, Subresource: key.sub,
			Namespace: key.namespace, Path: key.path}, Cause: why.Cause, Detail: why.Detail, Message: clipped(text(audit.Message)), at: map[int64]int{}, first: audit.NoTime, last: audit.NoTime}
		d.rows[key] = x
	}
	x.Count++
	x.codes.Add(fmt.Sprint(e.Code))
	x.tools.Add(tool(e))
	if ip := address(e); ip != "" {
		x.addresses.Add(ip)
	}
	x.Events = keptRef(x.Events, ref)
	x.asks(e)
	if t := e.Time(); t != audit.NoTime {
		x.first, x.last = earlier(x.first, t), max(x.last, t)
		d.first, d.last = earlier(d.first, t), max(d.last, t)
		d.count(x, t)
	}
}

// maxSlots bounds how many counts by time are kept.
const maxSlots = 200_000

// steps are the lengths of buckets, each a multiple of the one before.
func steps() []time.Duration {
	return []time.Duration{time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour,
		3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 364 * 24 * time.Hour}
}

// count counts a refusal by time, as exactly as there is room for.
func (d *denied) count(x *Denial, t int64) {
	unit := int64(d.unit / time.Second)
	at := floor(t/1e6, unit)
	if _, ok := x.at[at]; !ok {
		d.slots++
	}
	x.at[at]++
	if d.slots <= maxSlots {
		return
	}
	for _, step := range steps() {
		if step > d.unit && step%d.unit == 0 {
			d.unit = step
			break
		}
	}
	d.slots = 0
	for _, row := range d.rows {
		row.at = rounded(row.at, int64(d.unit/time.Second))
		d.slots += len(row.at)
	}
}

// rounded puts counts by time into longer buckets.
func rounded(at map[int64]int, unit int64) map[int64]int {
	out := make(map[int64]int, len(at))
	for t, n := range at {
		out[floor(t, unit)] += n
	}
	return out
}

// floor is the last multiple of unit that is not above t.
func floor(t, unit int64) int64 { return t - ((t%unit)+unit)%unit }

// clipped is a message of a bounded length.
func clipped(s string) string {
	if len(s) > 1<<10 {
		return strings.ToValidUTF8(s[:1<<10], "") + "…"
	}
	return s
}

// earlier is the earlier one of two times, of which either may not be known.
func earlier(a, b int64) int64 {
	if a == audit.NoTime || b != audit.NoTime && b < a {
		return b
	}
	return a
}

// keptRef adds a reference while there is room.
func keptRef(refs []output.EventRef, ref output.EventRef) []output.EventRef {
	if len(refs) < maxRefs {
		refs = append(refs, ref)
	}
	return refs
}

// asks notes what RBAC was asked, once for each name.
func (x *Denial) asks(e *audit.Event) {
	name := string(e.Text[audit.Name])
	if name != "" && !slices.Contains(x.Names, name) {
		if len(x.Names) < maxNames {
			x.Names = append(x.Names, name)
		} else {
			x.MoreNames = true
		}
	}
	if x.Cause != refusal.RBAC && x.Cause != refusal.Impersonation || len(x.asked) > maxNames {
		return
	}
	a := rbac.Attributes{User: cmp.Or(x.As, x.User), Verb: x.Verb, Group: x.Group, Resource: x.Resource, Subresource: x.Subresource,
		Namespace: x.Namespace, Name: name, Path: x.Path}
	if x.Cause == refusal.Impersonation {
		// What was refused is not the request, but to act as somebody else in it.
		refused, ok := rbac.ParseRefusal(string(e.Text[audit.Message]))
		if !ok {
			return
		}
		a, a.User = refused, x.User
	}
	if a.Grantable() && !slices.Contains(x.asked, a) {
		x.asked = append(x.asked, a)
	}
}

// every is how long a bucket is: what was asked for, or so that there are at most 24.
func (d *denied) every() time.Duration {
	if d.cfg.Every > 0 {
		return max(d.cfg.Every, d.unit)
	}
	span := time.Duration(min((d.last-d.first)/1e6, 1<<33)) * time.Second
	for _, step := range steps() {
		if step >= d.unit && span/step < 24 {
			return step
		}
	}
	return 364 * 24 * time.Hour
}

// sorted finishes the rows: those who were refused most often first.
func (d *denied) sorted() []*Denial {
	totals := map[string]int{}
	rows := make([]*Denial, 0, len(d.rows))
	every := int64(d.every() / time.Second)
	for _, x := range d.rows {
		totals[d.head(x)] += x.Count
		x.First, x.Last, x.Codes, x.Addresses, x.Tools = output.RFC3339(x.first), output.RFC3339(x.last), x.codes.Values(), x.addresses.Values(), x.tools.Values()
		slices.Sort(x.Names)
		x.at = rounded(x.at, every)
		x.Times = []Bucket{}
		for at, n := range x.at {
			x.Times = append(x.Times, Bucket{output.RFC3339(at * 1e6), n})
		}
		slices.SortFunc(x.Times, func(a, b Bucket) int { return cmp.Compare(a.Start, b.Start) })
		rows = append(rows, x)
	}
	slices.SortFunc(rows, func(x, y *Denial) int {
		a, b := d.head(x), d.head(y)
		return cmp.Or(totals[b]-totals[a], cmp.Compare(a, b), y.Count-x.Count, cmp.Compare(x.first, y.first), cmp.Compare(x.what(), y.what()),
			cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Cause, y.Cause))
	})
	return rows
}

// head is what rows are put together by.
func (d *denied) head(x *Denial) string {
	if d.cfg.By == "resource" {
		return x.resource()
	}
	return x.User + "\x00" + x.As
}

// resource is "pods/exec" or a path.
func (x *Denial) resource() string {
	s := x.Resource
	if s == "" {
		return x.Path
	}
	if x.Group != "" {
		s += "." + x.Group
	}
	if x.Subresource != "" {
		s += "/" + x.Subresource
	}
	return s
}

func (x *Denial) what() string { return cmp.Or(x.Verb, output.None) + " " + x.resource() }

// proposals are the smallest grants for what RBAC refused.
func (d *denied) proposals(rows []*Denial) []*Proposal {
	var asked []rbac.Attributes
	requests := map[[2]string]int{}
	impersonation := map[string]bool{}
	for _, x := range rows {
		asked = append(asked, x.asked...)
		for _, a := range x.asked[:min(1, len(x.asked))] {
			requests[[2]string{a.User, a.Namespace}] += x.Count
			impersonation[a.User] = impersonation[a.User] || x.Cause == refusal.Impersonation
		}
	}
	out := []*Proposal{}
	for _, g := range rbac.Smallest(asked) {
		p := &Proposal{User: g.User, Namespace: g.Namespace, Requests: requests[[2]string{g.User, g.Namespace}], Objects: g.Objects(), Dangers: g.Dangers(), grant: g}
		if g.Unnamed {
			p.Notes = append(p.Notes, "too many names to list: holds for every name")
		}
		if impersonation[g.User] && slices.ContainsFunc(g.Rules, func(r rbac.Rule) bool { return strings.HasPrefix(r.Verbs[0], "impersonate-on:") }) {
			p.Notes = append(p.Notes, "constrained impersonation (Kubernetes 1.36) also wants the verb impersonate:user-info (or impersonate:serviceaccount) on the users, groups "+
				"or serviceaccounts to be acted as, in API group authentication.k8s.io; the event does not name them")
		}
		if g.User == "system:anonymous" {
			p.Notes = append(p.Notes, "system:anonymous is everybody who reaches the API server")
		}
		out = append(out, p)
	}
	return out
}

func (d *denied) print(p *output.Page, rows []*Denial, proposals []*Proposal) error {
	if len(rows) == 0 {
		d.cover.None(p, "No request was refused", "没有被拒绝的请求")
		return nil
	}
	p.Say("Refused: %s, %s to %s. %s", "被拒绝的请求：%s，%s 至 %s。%s", p.Pick(output.Count(d.total, "request"), fmt.Sprintf("%d 个", d.total)), output.RFC3339(d.first), output.RFC3339(d.last), d.spark(p, rows))
	head, shown := "", 0
	var t *output.Table
	for i, x := range rows {
		if h := d.head(x); h != head || t == nil {
			if t != nil {
				if err := t.Flush(); err != nil {
					return err
				}
			}
			if d.cfg.Limit > 0 && shown >= d.cfg.Limit {
				p.Say("\nNot listed: %d more kinds of refusals; --limit 0 lists all.", "\n另有 %d 类未列出；--limit 0 列出全部。", len(rows)-i)
				t = nil
				break
			}
			head = h
			d.printHead(p, rows[i:])
			t = p.Table("", "COUNT", "WHAT", "WHERE", "WHY")
			t.Headers, t.Right, t.Soft = false, []int{1}, []int{4, 2, 3}
		}
		shown++
		what := x.what()
		if d.cfg.By == "resource" {
			what = x.Verb + " " + p.Pick("by ", "，来自 ") + who(x.User, x.As, p.Chinese)
		}
		if err := t.Add(" ", fmt.Sprint(x.Count), output.Plain(what, false), x.where(p.Chinese), output.Plain(refusal.Text(refusal.Refused{Cause: x.Cause, Detail: x.Detail}.Why(), p.Chinese), false)); err != nil {
			return err
		}
	}
	if t != nil {
		if err := t.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprintln(p.W)
	d.advise(p, rows, proposals)
	return nil
}

// printHead introduces the rows of one subject, or resource, which come first in rows.
func (d *denied) printHead(p *output.Page, rows []*Denial) {
	n := 0
	for n < len(rows) && d.head(rows[n]) == d.head(rows[0]) {
		n++
	}
	rows = rows[:n]
	total, first, last := 0, int64(audit.NoTime), int64(audit.NoTime)
	for _, x := range rows {
		total, first, last = total+x.Count, earlier(first, x.first), max(last, x.last)
	}
	name := who(rows[0].User, rows[0].As, p.Chinese)
	if d.cfg.By == "resource" {
		name = output.Cell(rows[0].resource())
	}
	p.Say("\n%s: refused %s, %s to %s %s", "\n%s：被拒绝 %s，%s 至 %s %s", name, times(total, p.Chinese), shortTime(first), shortTime(last), d.spark(p, rows))
}

// where is the namespace, in words.
func (x *Denial) where(chinese bool) string {
	switch {
	case x.Namespace != "" && chinese:
		return "命名空间 " + output.Cell(x.Namespace)
	case x.Namespace != "":
		return "in " + output.Cell(x.Namespace)
	case x.Resource == "":
		return ""
	case chinese:
		return "集群范围"
	}
	return "cluster-wide"
}

// spark draws how often something happened over the whole time, where that helps.
func (d *denied) spark(p *output.Page, rows []*Denial) string {
	every := int64(d.every() / time.Second)
	begin, end := floor(d.first/1e6, every), floor(d.last/1e6, every)
	n := (end-begin)/every + 1
	if n < 2 || n > 60 {
		return ""
	}
	counts := make([]int, n)
	most := 1
	for _, x := range rows {
		for at, c := range x.at {
			if i := (at - begin) / every; i >= 0 && i < n {
				counts[i] += c
				most = max(most, counts[i])
			}
		}
	}
	bars := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, c := range counts {
		if c == 0 {
			b.WriteRune('·')
			continue
		}
		b.WriteRune(bars[c*(len(bars)-1)/most])
	}
	return b.String()
}

// advise says what would help.
func (d *denied) advise(p *output.Page, rows []*Denial, proposals []*Proposal) {
	if d.spark(p, rows) != "" {
		p.Say("One bar is %s.", "每格为 %s。", output.Brief(d.every()))
	}
	count := map[refusal.Cause]int{}
	for _, x := range rows {
		count[x.Cause] += x.Count
	}
	if len(proposals) > 0 {
		p.Say("%s would allow what RBAC refused: kubetrail denied --grant prints YAML.", "RBAC 拒绝的请求需要 %s：kubetrail denied --grant 以 YAML 输出。", p.Pick(output.Count(len(proposals), "grant"), fmt.Sprintf("%d 个授权", len(proposals))))
	}
	adviseAgainst(p, proposals)
	if count[refusal.Login] > 0 {
		p.Say("Against failed authentication (401, %s) no grant helps: who sent it is not known.", "身份认证失败（401，%s）无法通过授权解决：发送者未知。", times(count[refusal.Login], p.Chinese))
	}
	if n := count[refusal.PodSecurity] + count[refusal.Policy] + count[refusal.Webhook] + count[refusal.Quota] + count[refusal.Admission]; n > 0 {
		p.Say("What admission denied (%s) RBAC had allowed: the object has to change, or the policy.", "准入控制拒绝的请求（%s）已通过 RBAC：需要修改对象或策略。", times(n, p.Chinese))
	}
	if d.blind {
		p.Say("There were too many watches and connections to tell which had not ended: refused ones may be missing.",
			"watch 与长连接过多，无法判断哪些尚未结束：被拒绝的请求可能未全部列出。")
	}
	if d.more > 0 {
		p.Say("Of further kinds, not kept: %d.", "其他未保留的种类：%d 个。", d.more)
	}
	if d.cover.Verdict != nil {
		for i := range d.cover.Verdict.Logins {
			h := &d.cover.Verdict.Logins[i]
			p.Say("Failed logins may be missing: %s.", "登录失败可能没有记录：%s。", output.Plain(h.Text(p.Chinese), false))
		}
	}
}

// adviseAgainst says what would be dangerous to grant, and to whom.
func adviseAgainst(p *output.Page, proposals []*Proposal) {
	var order []rbac.Danger
	of := map[rbac.Danger][]string{}
	for _, x := range proposals {
		for _, d := range x.Dangers {
			if of[d] == nil {
				order = append(order, d)
			}
			of[d] = append(of[d], output.Cell(x.User)+x.in(p.Chinese))
		}
	}
	for _, d := range order {
		whom := of[d]
		if more := len(whom) - 8; more > 0 {
			whom = append(whom[:8:8], fmt.Sprintf("+%d", more))
		}
		p.Say("Dangerous, it %s: a grant to %s.", "有风险的授权（%s）：%s。", d.Text(p.Chinese), strings.Join(whom, p.Pick(", ", "、")))
	}
}

// in is the namespace of a proposal, in words.
func (x *Proposal) in(chinese bool) string {
	switch {
	case x.Namespace == "" && chinese:
		return "（集群范围）"
	case x.Namespace == "":
		return " in the whole cluster"
	case chinese:
		return "（命名空间 " + output.Cell(x.Namespace) + "）"
	}
	return " in " + output.Cell(x.Namespace)
}
