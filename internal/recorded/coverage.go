package recorded

import (
	"context"
	"fmt"
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
	switch {
	case v.All():
		c.Recorded = "yes"
	case !v.TooMany:
		c.Recorded = "no"
	}
	return c, nil
}

// losses counts what the trail says it lacks of a time.
func (c *Coverage) losses(ctx context.Context, r trail.Reader, s trail.Summary, from, to int64) error {
	if s.Faults == 0 {
		return nil
	}
	return r.Faults(ctx, func(f trail.Fault) error {
		switch {
		case f.Lost == nil:
			c.Damaged++
		case f.Lost.From != audit.NoTime && f.Lost.From > to, f.Lost.To != audit.NoTime && f.Lost.To < from:
		default:
			if c.Losses++; c.Losses == 1 {
				c.Cause = f.Lost.Cause
			}
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
			p.Say("Cannot know: %s.", "无法得知：%s。", output.Plain(h.Text(p.Chinese), false))
		}
	case c.Policy == "":
		p.Say("Whether all such requests are recorded is not known: --policy FILE tells.", "无法判断此类请求是否都被记录：可用 --policy FILE 指定当时的审计策略。")
	case c.Recorded == "unknown":
		p.Say("Whether the policy records all such requests could not be proved.", "无法证明该审计策略是否记录所有此类请求。")
	case !none:
		p.Say("The policy records every such request by anybody.", "审计策略会记录任何人的所有此类请求。")
	}
	if c.Verdict != nil {
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
		p.Say("Events of that time are known to be lost (%s): kubetrail gaps tells more.", "已知该时间段内有事件丢失（%s）：详见 kubetrail gaps。",
			output.Plain(strings.TrimSuffix(fmt.Sprintf("%d, %s", c.Losses, c.Cause), ", "), false))
	}
	if c.Damaged > 0 {
		p.Say("Parts of the logs held no readable event: %d.", "日志中有 %d 处无法读出事件。", c.Damaged)
	}
	if none && c.From != "" {
		p.Say("The trail covers %s to %s.", "日志覆盖的时间：%s 至 %s。", c.From, c.To)
	}
}
