package recorded

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/trail"
	"kubetrail/policy"
)

// A Policy is the audit policy that was in force while what is in a trail was recorded.
type Policy struct {
	Doc  *policy.Document
	Name string // of its file
}

// Coverage is what may be said of requests that an answer does not show: whether they
// would have been recorded, of which time the trail tells, and what it lost of that.
type Coverage struct {
	From   string `json:"from,omitempty"` // of the question, as far as the trail has it; RFC 3339
	To     string `json:"to,omitempty"`
	Policy string `json:"policy,omitempty"`

	// Recorded is yes where the policy records every such request by anybody, no
	// where it hides some, and unknown where there is no policy or nothing is proved.
	Recorded string   `json:"recorded"`
	Verdict  *Verdict `json:"verdict,omitempty"`

	// Misfits is how many events, of those looked at, the policy would have recorded
	// otherwise or not at all: then it is not the one that was in force.
	Misfits int    `json:"misfits,omitempty"`
	Misfit  string `json:"misfit,omitempty"` // the audit ID of one

	Losses  int    `json:"losses,omitempty"`  // stretches of that time, or of an unknown one, in which events are known to be lost
	Damaged int    `json:"damaged,omitempty"` // stretches of sources that held no event
	Cause   string `json:"cause,omitempty"`   // of the first loss
}

// Cover tells what may be said of requests that are not in the answer to q, which is
// about those given, or about all where none are. p is nil where the policy is not known.
func Cover(ctx context.Context, r trail.Reader, q trail.Query, p *Policy, about ...Requests) (Coverage, error) {
	c := Coverage{Recorded: "unknown"}
	s, err := r.Summary(ctx)
	if err != nil {
		return c, err
	}
	from, to := s.First, s.Last
	if from != audit.NoTime {
		from, to = max(from, q.Since), s.Last
		if q.Until != audit.NoTime {
			to = min(to, q.Until)
		}
	}
	if from <= to {
		c.From, c.To = output.RFC3339(from), output.RFC3339(to)
	}
	if err := c.losses(ctx, r, s, from, to); err != nil {
		return c, err
	}
	if p == nil {
		return c, nil
	}
	var v Verdict
	if len(about) > 0 {
		v = By(p.Doc, about...)
	} else {
		v = Anything(p.Doc)
	}
	c.Policy, c.Verdict = p.Name, &v
	if err := c.fits(ctx, r, q, p); err != nil {
		return c, err
	}
	switch {
	case c.Misfits > 0:
	case v.All():
		c.Recorded = "yes"
	case !v.TooMany:
		c.Recorded = "no"
	}
	return c, nil
}

// maxHoles is how many rules are named.
const maxHoles = 10

// looked is how many events are looked at to see whether a policy is the one in force.
const looked = 500

// fits looks whether the newest and the oldest events of the time of q are such as the
// policy records.
func (c *Coverage) fits(ctx context.Context, r trail.Reader, q trail.Query, p *Policy) error {
	m := p.Doc.Policy.Compile()
	q.Where = nil
	columns := audit.Set(audit.Verb, audit.RequestURI, audit.Username, audit.UserGroups, audit.UserExtra, audit.UserUID, audit.Level, audit.Stage, audit.AuditID,
		audit.Staged, audit.Received, audit.Seq)
	visit := func(e *audit.Event) error {
		request, ok := requestOf(e)
		if !ok {
			return nil
		}
		d := m.Match(&request)
		if level := string(e.Text[audit.Level]); level != "" && (level != string(d.Level) || slices.Contains(d.OmitStages, policy.Stage(e.Text[audit.Stage]))) {
			if c.Misfits++; c.Misfits == 1 {
				c.Misfit = string(e.Text[audit.AuditID])
			}
		}
		return nil
	}
	if err := r.Search(ctx, q, trail.Page{Limit: looked / 2, Columns: columns}, visit); err != nil {
		return err
	}
	return r.Search(ctx, q, trail.Page{Limit: looked / 2, Oldest: true, Columns: columns}, visit)
}

// requestOf is what the policy looked at; ok is false where the event does not tell.
func requestOf(e *audit.Event) (q policy.Request, ok bool) {
	verb, uri := string(e.Text[audit.Verb]), string(e.Text[audit.RequestURI])
	method := map[string]string{"get": "GET", "list": "GET", "watch": "GET", "create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE", "deletecollection": "DELETE"}[verb]
	if method == "" || !strings.HasPrefix(uri, "/") {
		return q, false
	}
	info, err := policy.ParseRequest(method, uri)
	if err != nil || info.Verb != verb {
		return q, false
	}
	who := len(e.Text[audit.Username])+len(e.Text[audit.UserUID])+len(e.Text[audit.UserGroups])+len(e.Text[audit.UserExtra]) > 0
	return policy.Request{Authenticated: who, User: string(e.Text[audit.Username]), Groups: output.StringList(e.Text[audit.UserGroups]), RequestInfo: info}, true
}

// losses counts what the trail and its recorders say that they lack of a time.
func (c *Coverage) losses(ctx context.Context, r trail.Reader, s trail.Summary, from, to int64) error {
	lost := func(l trail.Loss) {
		if l.From != audit.NoTime && l.From > to || l.To != audit.NoTime && l.To < from {
			return
		}
		if c.Losses++; c.Losses == 1 {
			c.Cause = l.Cause
		}
	}
	where, err := trail.ReportedLosses()
	if err != nil {
		return err
	}
	err = r.Search(ctx, trail.Always(where), trail.Page{Limit: looked, Columns: trail.LossColumns()}, func(e *audit.Event) error {
		if l, ok := trail.ReportedLoss(e); ok {
			lost(l)
		}
		return nil
	})
	if err != nil || s.Faults == 0 {
		return err
	}
	return r.Faults(ctx, func(f trail.Fault) error {
		if f.Lost == nil {
			c.Damaged++
		} else {
			lost(*f.Lost)
		}
		return nil
	})
}

// Whole tells that nothing can be missing: every such request by anybody is recorded,
// and nothing is known to be lost. Whether an API server was not observed for a while
// is what gaps tells.
func (c *Coverage) Whole() bool {
	return c.Recorded == "yes" && c.Losses == 0 && c.Damaged == 0 && c.From != ""
}

// None prints that nothing was found. en and zh say, without a full stop, that nobody
// did what was asked about: they are printed as a fact only where that is one.
func (c *Coverage) None(p *output.Page, en, zh string) {
	switch {
	case c.From == "":
		p.Say("The trail holds nothing of that time.", "该时间段内没有任何事件。")
		return
	case c.Whole():
		p.Say(en+": the policy records every such request by anybody.", zh+"：审计策略会记录任何人的所有此类请求。")
	case c.Recorded == "no":
		p.Say("No such request is in the trail, but that does not mean there was none.", "日志中没有此类请求，但这不等于没有发生过。")
	default:
		p.Say("No such request is in the trail.", "日志中没有此类请求。")
	}
	c.rest(p, true)
}

// Rest prints below what was found what may be missing beside it.
func (c *Coverage) Rest(p *output.Page) { c.rest(p, false) }

func (c *Coverage) rest(p *output.Page, none bool) {
	switch {
	case c.Recorded == "no":
		for i := range c.Verdict.Holes {
			h := &c.Verdict.Holes[i]
			if i == maxHoles {
				p.Say("And %d more rules.", "另有 %d 条规则。", len(c.Verdict.Holes)-i)
				break
			}
			p.Say("Cannot know: %s.", "无法得知：%s。", output.Plain(h.Text(p.Chinese), false))
		}
	case c.Policy == "":
		p.Say("Whether all such requests are recorded is not known: --policy FILE tells.", "无法判断此类请求是否都被记录：可用 --policy FILE 指定当时的审计策略。")
	case c.Misfits > 0:
		p.Say("The policy does not fit what is recorded, such as event %s: another one was in force, or another API server wrote it.",
			"该审计策略与日志不符（例如事件 %s）：当时生效的是另一个策略，或事件来自另一个 API server。", output.Cell(c.Misfit))
	case c.Recorded == "unknown":
		p.Say("Whether the policy records all such requests could not be proved.", "无法证明该审计策略是否记录所有此类请求。")
	case !none:
		p.Say("The policy records every such request by anybody.", "审计策略会记录任何人的所有此类请求。")
	}
	if c.Verdict != nil && c.Misfits == 0 {
		for i := range c.Verdict.Results {
			h := &c.Verdict.Results[i]
			p.Say("With what result is not recorded of all: %s.", "部分请求的结果没有记录：%s。", output.Plain(h.Text(p.Chinese), false))
		}
		for _, h := range c.Verdict.Patches {
			p.Say("A hand-made patch that is no JSON leaves no event under rules[%d] before Kubernetes 1.37.",
				"在 Kubernetes 1.37 之前，按 rules[%d] 记录时，手工构造的非 JSON patch 不会留下事件。", h.Rule)
		}
	}
	if c.Losses > 0 {
		// Each may be of many events.
		p.Say("Events of that time are known to be lost (%s): kubetrail gaps tells more.", "已知该时间段内有事件丢失（%s）：详见 kubetrail gaps。",
			output.Plain(strings.TrimSuffix(fmt.Sprintf("%d ×, %s", c.Losses, c.Cause), ", "), false))
	}
	if c.Damaged > 0 {
		p.Say("Parts of the logs held no readable event: %d.", "日志中有 %d 处无法读出事件。", c.Damaged)
	}
	if none && c.From != "" {
		p.Say("The trail covers %s to %s; kubetrail gaps tells when nothing was observed.", "日志覆盖的时间：%s 至 %s；其间是否有未被观察到的时段，见 kubetrail gaps。", c.From, c.To)
	}
}
