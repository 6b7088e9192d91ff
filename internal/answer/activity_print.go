package answer

import (
	"cmp"
	"fmt"
	"slices"

	"kubetrail/internal/output"
	"kubetrail/internal/subject"
	"kubetrail/internal/tally"
)

// Seen is one identity, credential, address or program, and how often it was used.
type Seen struct {
	User    string `json:"user,omitempty"`
	As      string `json:"as,omitempty"`
	Text    string `json:"value,omitempty"` // a credential, an address, a program
	Version string `json:"version,omitempty"`
	tally.Span
}

// report puts the answer together.
func (a *activity) report() output.Report {
	rows := a.sorted()
	a.total()
	r := output.Report{Kind: "ActivityList", Head: map[string]any{}}
	for _, d := range rows {
		r.Items = append(r.Items, d)
	}
	a.requests.Written()
	who, creds, from, tools := a.identities(), seen(a.creds), seen(a.from), a.programs()
	s := a.cfg.Subject
	r.Head["subject"] = map[string]string{"kind": s.Kind, "name": s.Name}
	r.Head["requests"], r.Head["writes"], r.Head["refused"] = a.requests, a.writes, a.refused
	r.Head["identities"], r.Head["credentials"], r.Head["addresses"], r.Head["tools"] = who, creds, from, tools
	if a.left.Count > 0 {
		r.Head["requestsLeftOut"] = a.left.Count
	}
	r.Text = func(p *output.Page) error {
		a.print(p, who, creds, from, tools)
		return a.printRows(p, rows)
	}
	return r
}

func (a *activity) identities() []Seen {
	out := []Seen{}
	for _, k := range a.who.Keys(func(x, y identity) int { return cmp.Or(cmp.Compare(x.user, y.user), cmp.Compare(x.as, y.as)) }) {
		out = append(out, Seen{User: k.user, As: k.as, Span: *a.who.Spans[k]})
	}
	return out
}

func (a *activity) programs() []Seen {
	out := []Seen{}
	for _, k := range a.tools.Keys(func(x, y [2]string) int { return slices.Compare(x[:], y[:]) }) {
		out = append(out, Seen{Text: k[0], Version: k[1], Span: *a.tools.Spans[k]})
	}
	return out
}

func seen(t *tally.By[string]) []Seen {
	out := []Seen{}
	for _, k := range t.Keys(cmp.Compare[string]) {
		out = append(out, Seen{Text: k, Span: *t.Spans[k]})
	}
	return out
}

// print says who it is about and what they used.
func (a *activity) print(p *output.Page, who, creds, from, tools []Seen) {
	name := output.Plain(a.cfg.Subject.Name, false)
	if a.requests.Count == 0 {
		p.Say("%s: no requests found. Only what the audit policy records is known.", "%s：没有找到任何请求。只知道审计策略所记录的内容。", name)
		return
	}
	n := a.requests.Count
	reads := n - a.left.Count - a.writes - a.refused
	count := func(n int, noun, chinese string) string {
		return p.Pick(output.Count(n, noun), fmt.Sprintf("%d 个"+chinese, n))
	}
	p.Say("%s%s: %s (%s, %s, %d refused), %s", "%s%s：%s（%s，%s，被拒绝 %d 个），%s", name, p.Pick(subjectWord(a.cfg.Subject)),
		count(n, "request", "请求"), count(a.writes, "write", "写操作"), count(reads, "read", "读操作"), a.refused, tally.LongPeriod(a.requests.From, a.requests.To))
	if len(who) > 1 || who[0].As != "" {
		for i, w := range who {
			if i == printedSeen && !p.Wide {
				p.Say("  and %d more identities", "  另有 %d 个身份", len(who)-i)
				break
			}
			text := output.Cell(w.User)
			if w.As != "" {
				text += p.Pick(" as ", " 扮演 ") + output.Cell(w.As)
			}
			p.Say("  identity    %s: %d, %s", "  身份    %s：%d 个，%s", text, w.Count, tally.Period(w.From, w.To))
		}
	}
	a.printSeen(p, "credential", "凭据", creds, a.creds.More)
	a.printSeen(p, "address   ", "地址", from, a.from.More)
	a.printSeen(p, "tool      ", "工具", tools, a.tools.More)
}

// printedSeen is how many of each are printed for people, unless they want all.
const printedSeen = 5

func (a *activity) printSeen(p *output.Page, en, zh string, list []Seen, more int) {
	for i, s := range list {
		if i == printedSeen && !p.Wide {
			p.Say("  "+en+"  and %d more", "  "+zh+"    另有 %d 个", len(list)-i+more)
			break
		}
		text := output.Plain(s.Text, false)
		if s.Version != "" {
			text += " " + output.Plain(s.Version, false)
		}
		if !p.Wide {
			text = output.Clip(text, 48)
		}
		p.Say("  "+en+"  %s: %d, %s", "  "+zh+"    %s：%d 个，%s", text, s.Count, tally.Period(s.From, s.To))
	}
}

func subjectWord(s Subject) (en, zh string) {
	switch {
	case s.Kind == "group":
		return " (group)", "（组）"
	case s.Kind == "address":
		return " (address)", "（地址）"
	case s.Kind == "tool":
		return " (tool)", "（工具）"
	}
	switch subject.Of(s.Name).Kind {
	case subject.ServiceAccount:
		return " (service account)", "（服务账号）"
	case subject.Node:
		return " (node)", "（节点）"
	case subject.ControlPlane:
		return " (control plane)", "（控制平面）"
	}
	return "", ""
}

// printRows prints what was done, as one table for writes and one for reads.
func (a *activity) printRows(p *output.Page, rows []*Done) error {
	several := len(a.who.Spans) > 1 || a.who.More > 0
	day := tally.SameDay(a.requests.From, a.requests.To)
	parts := []struct {
		en, zh string
		keep   func(*Done) bool
	}{
		{"Writes", "写操作", func(d *Done) bool { return d.Write }},
		{"Reads", "读操作", func(d *Done) bool { return !d.Write }},
	}
	if a.cfg.Notable {
		parts = parts[:1]
		parts[0].en, parts[0].zh, parts[0].keep = "Most notable first", "最值得注意的在前", func(*Done) bool { return true }
	}
	for _, part := range parts {
		t := p.Table("FIRST", "LAST", "RESULT")
		if a.cfg.Notable {
			t.Titles = append(t.Titles, "NOTABLE")
		}
		if several {
			t.Titles = append(t.Titles, "WHO")
			t.Soft = []int{len(t.Titles) - 1}
		}
		t.Titles = append(t.Titles, "WHAT")
		t.Soft = append([]int{len(t.Titles) - 1}, t.Soft...)
		any := false
		for _, d := range rows {
			if !part.keep(d) {
				continue
			}
			if !any {
				p.Say("\n%s", "\n%s", p.Pick(part.en, part.zh))
				any = true
			}
			cells := []string{tally.Clock(d.From, day), tally.Clock(d.To, day), result(d.Code, p.Chinese)}
			if a.cfg.Notable {
				cells = append(cells, output.Cell(d.Notable))
			}
			if several {
				cells = append(cells, who(d.User, d.As, p.Chinese))
			}
			if err := t.Add(append(cells, d.deed.phrase(p.Chinese))...); err != nil {
				return err
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if a.left.Count > 0 {
		p.Say("\n%d more requests of kinds that there was no room for: narrow the question.", "\n另有 %d 个请求因种类过多未列出：请缩小问题的范围。", a.left.Count)
	}
	return nil
}

// result is how a request ended, in one word.
func result(code int32, chinese bool) string {
	switch {
	case code == 0:
		return either(chinese, "未知", "unknown")
	case tally.Succeeded(code):
		return either(chinese, "成功", "ok")
	case tally.Refused(code):
		return fmt.Sprintf(either(chinese, "被拒绝 %d", "refused %d"), code)
	}
	return fmt.Sprintf(either(chinese, "失败 %d", "failed %d"), code)
}
