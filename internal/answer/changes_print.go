package answer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"kubetrail/internal/history"
	"kubetrail/internal/output"
	"kubetrail/internal/tally"
)

// print prints the changes, and what is not shown of them.
func (c *changes) print(p *output.Page, done, failed []*Change) error {
	written := c.shown.Count + c.failed
	for _, n := range c.hidden {
		written += n
	}
	switch {
	case written == 0:
		p.Say("No such write is in the trail. Only what the audit policy records is known.", "日志中没有此类写操作。只知道审计策略所记录的内容。")
	case len(done) == 0:
		p.Say("Nothing changed, as far as it was recorded.", "没有发生变更（就已记录的内容而言）。")
	case c.cfg.ByNamespace:
		if err := c.byNamespace(p, done); err != nil {
			return err
		}
	default:
		if err := c.table(p, done); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		p.Say("\nTried, but failed", "\n尝试过但未成功")
		if err := c.table(p, failed); err != nil {
			return err
		}
	}
	c.notes(p)
	return nil
}

func (c *changes) byNamespace(p *output.Page, rows []*Change) error {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(x, y *Change) int { return cmp.Compare(x.Namespace, y.Namespace) })
	for i := 0; i < len(rows); {
		n := i
		for n < len(rows) && rows[n].Namespace == rows[i].Namespace {
			n++
		}
		name := output.Cell(rows[i].Namespace)
		if rows[i].Namespace == "" {
			name = p.Pick("cluster, and several namespaces", "集群级以及多个命名空间")
		}
		p.Say(either(i > 0, "\n", "")+"%s", either(i > 0, "\n", "")+"%s", name)
		if err := c.table(p, rows[i:n]); err != nil {
			return err
		}
		i = n
	}
	return nil
}

func (c *changes) table(p *output.Page, rows []*Change) error {
	day := tally.SameDay(c.shown.From, c.shown.To) && !p.Wide
	t := p.Table("TIME", "WHO", "CAUSED", "WHAT")
	t.Right, t.Soft = []int{2}, []int{3, 1}
	failed := len(rows) > 0 && rows[0].unsuccessful()
	if failed {
		t.Titles[2], t.Right = "RESULT", nil
	}
	if p.Wide {
		t.Titles = append(t.Titles[:3:3], "TOOL", "WHAT")
	}
	for _, d := range rows {
		third := output.None
		switch {
		case failed:
			third = result(d.Code, p.Chinese)
		case d.ConsequenceCount > 0:
			third = itoa(d.ConsequenceCount)
		}
		cells := []string{tally.Clock(d.To, day), who(tally.Short(d.User), tally.Short(d.As), p.Chinese), third}
		what := d.deed.phrase(p.Chinese)
		if d.Detail != "" {
			what += p.Pick(": ", "：") + d.Detail
		}
		if p.Wide {
			cells = append(cells, output.Cell(d.Tool))
			what += d.consequences(p.Chinese)
			if d.Cause != "" {
				what += p.Pick(" ("+d.Cause+")", "（"+d.Cause+"）")
			}
		}
		if err := t.Add(append(cells, what)...); err != nil {
			return err
		}
	}
	return t.Flush()
}

// unsuccessful reports whether the change was tried only.
func (d *Change) unsuccessful() bool {
	return d.Class == history.Refused.String() || d.Class == history.Failed.String()
}

// notes says what is not shown.
func (c *changes) notes(p *output.Page) {
	var hidden []string
	total := 0
	for class, n := range c.hidden {
		if n > 0 {
			total += n
			k := history.Class(class)
			hidden = append(hidden, fmt.Sprintf("%s %d", p.Pick(k.English(), k.Chinese()), n))
		}
	}
	if total == 0 && (c.failed == 0 || c.cfg.Failed) && c.trace != nil && c.left == 0 {
		return
	}
	p.Say("", "")
	if total > 0 {
		p.Say("Hidden: %[2]s that changed nothing of note (%[1]s); --all shows them.",
			"已隐藏 %[2]s 个无实质变更的写操作（%[1]s）；用 --all 显示。", strings.Join(hidden, p.Pick(", ", "，")), p.Pick(output.Count(total, "write"), itoa(total)))
	}
	if c.failed > 0 && !c.cfg.Failed {
		p.Say("Not shown: %s that failed or were refused; --failed lists them.", "未列出 %s 个失败或被拒绝的写操作；用 --failed 列出。", p.Pick(output.Count(c.failed, "write"), itoa(c.failed)))
	}
	if c.trace == nil {
		p.Say("What controllers did is not told by what caused it: there are too many writes; narrow the time.",
			"未按起因归并控制器的写操作：写操作过多；请缩小时间范围。")
	}
	if c.left > 0 {
		p.Say("Left out: %s that there was no room for; narrow the question.", "另有 %s 个变更因数量过多未列出；请缩小问题的范围。", p.Pick(output.Count(c.left, "change"), itoa(c.left)))
	}
}
