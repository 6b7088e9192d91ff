package load

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"kubetrail/internal/output"
	"kubetrail/internal/tally"
)

// printedRows is how many shares are printed for people, unless they want all.
const printedRows = 20

func (l *load) print(p *output.Page, rows []*Share) error {
	if l.all.Requests == 0 {
		p.Say("No requests found.", "没有找到任何请求。")
		return nil
	}
	a := &l.all
	p.Say("%s, %s per second, %s; %s of audit log; %d failed, %d of them with 429",
		"%s，每秒 %s 个，%s；审计日志 %s；失败 %d 个，其中 429 有 %d 个",
		p.Pick(output.Count(a.Requests, "request"), fmt.Sprintf("%d 个请求", a.Requests)), decimal(a.Rate), tally.LongPeriod(l.span.From, l.span.To), size(a.LogBytes), a.Errors, a.Throttle)
	p.Say("", "")
	t := p.Table()
	for i, d := range l.by {
		t.Titles = append(t.Titles, output.Cell(strings.ToUpper(d.name)))
		t.Soft = append(t.Soft, i)
	}
	n := len(l.by)
	t.Titles = append(t.Titles, "REQUESTS", "SHARE", "PER-S", "LOG", "P50", "P99", "MAX", "ERRORS", "429")
	t.Right = []int{n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7, n + 8}
	t.Spare = []int{n + 2, n + 8, n + 4} // who it is must not be clipped for these
	for i, x := range rows {
		if i == printedRows && !p.Wide {
			break
		}
		var cells []string
		for _, k := range x.Key {
			cells = append(cells, cell(k))
		}
		cells = append(cells, itoa(x.Requests), percent(x.Part), decimal(x.Rate), size(x.LogBytes))
		cells = append(cells, latency(&x.sketch)...)
		if err := t.Add(append(cells, itoa(x.Errors), itoa(x.Throttle))...); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if more := len(rows) - printedRows; more > 0 && !p.Wide {
		p.Say("and %d more; -o wide prints all", "另有 %d 行；用 -o wide 全部列出", more)
	}
	if l.left > 0 {
		p.Say("%d more requests of others that there was no room for", "另有 %d 个请求因种类过多未列出", l.left)
	}
	if l.failed > 0 {
		p.Say("%d requests have no duration: a time is missing", "%d 个请求缺少时间，无法计算耗时", l.failed)
	}
	p.Say("Times are from received to complete, watches and connections left out; of more than 64 they are right within 1.6%%.",
		"耗时从收到请求到完成计算，不含 watch 与长连接；超过 64 个时误差在 1.6%% 以内。")
	return nil
}

// cell is a key in a table: without quotes, since no other column holds text.
func cell(s string) string {
	if s = output.Plain(strings.TrimSpace(s), false); s == "" {
		return output.None
	}
	return s
}

// latency are the cells of the median, the 99th percentile and the longest.
func latency(s *tally.Sketch) []string {
	if s.N == 0 {
		return []string{output.None, output.None, output.None}
	}
	return []string{brief(s.Quantile(0.5)), brief(s.Quantile(0.99)), brief(s.Max())}
}

// brief writes a duration with three digits.
func brief(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%dµs", d.Microseconds())
	case d < time.Second:
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'g', 3, 64) + "ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'g', 3, 64) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// size writes a number of bytes with its unit.
func size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1_000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

func percent(x float64) string { return strconv.FormatFloat(100*x, 'f', 1, 64) + "%" }

func decimal(x float64) string {
	if x >= 100 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 2, 64)
}

func printLists(p *output.Page, lists []*List) error {
	if len(lists) == 0 {
		return nil
	}
	p.Say("\nLists, those that took most time in all first", "\nlist 请求（按总耗时排序）")
	t := p.Table("CLIENT", "RESOURCE", "COUNT", "TOTAL", "P50", "MAX", "OBJECTS", "HOW")
	t.Right, t.Soft = []int{2, 3, 4, 5, 6}, []int{0, 7, 1}
	for _, x := range lists {
		objects := output.None
		if x.Objects != nil {
			objects = itoa(*x.Objects)
		}
		what := x.Resource
		if x.Namespace != "" {
			what = x.Namespace + "/" + what
		}
		err := t.Add(output.Cell(tally.Short(x.User)), output.Cell(what), itoa(x.Count), brief(x.sketch.Sum), brief(x.sketch.Quantile(0.5)), brief(x.sketch.Max()), objects, x.way(p))
		if err != nil {
			return err
		}
	}
	return t.Flush()
}

func printWatches(p *output.Page, watches []*Watching) error {
	if len(watches) == 0 {
		return nil
	}
	p.Say("\nWatches, those that end within ten seconds most often first", "\nwatch 请求（十秒内结束次数最多的在前）")
	t := p.Table("CLIENT", "RESOURCE", "COUNT", "SHORT", "ERRORS", "MEDIAN", "LONGEST")
	t.Right, t.Soft = []int{2, 3, 4, 5, 6}, []int{0, 1}
	for _, w := range watches {
		err := t.Add(output.Cell(tally.Short(w.User)), output.Cell(w.Resource), itoa(w.Durations.Count), itoa(w.Short), itoa(w.Errors), brief(w.sketch.Quantile(0.5)), brief(w.sketch.Max()))
		if err != nil {
			return err
		}
	}
	return t.Flush()
}

func printPhases(p *output.Page, phases []*Phase) error {
	if len(phases) == 0 {
		return nil
	}
	p.Say("\nWhere requests of more than half a second spent it, as kube-apiserver noted", "\n超过半秒的请求耗时去向（由 kube-apiserver 记录）")
	t := p.Table("PHASE", "COUNT", "TOTAL", "P50", "MAX")
	t.Right = []int{1, 2, 3, 4}
	for _, x := range phases {
		if err := t.Add(output.Cell(x.Name), itoa(x.Count), brief(x.sketch.Sum), brief(x.sketch.Quantile(0.5)), brief(x.sketch.Max())); err != nil {
			return err
		}
	}
	return t.Flush()
}

func (l *load) printLoops(p *output.Page, loops []*Loop) error {
	if len(loops) == 0 {
		return nil
	}
	p.Say("\nThe same request again and again", "\n反复发送的相同请求")
	t := p.Table("CLIENT", "VERB", "RESOURCE", "OBJECT", "COUNT", "PER-MIN", "FAILED")
	t.Right, t.Soft = []int{4, 5, 6}, []int{3, 0, 2}
	for _, x := range loops {
		err := t.Add(output.Cell(tally.Short(x.User)), output.Cell(x.Verb), output.Cell(x.Resource), output.Cell(x.Object), itoa(x.Count), decimal(x.PerMinute), itoa(x.Errors))
		if err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if l.loops.off > 0 {
		p.Say("Counts may be too low by up to %d: there were more kinds of requests than there is room for.", "请求种类过多，次数最多可能少计 %d。", l.loops.off)
	}
	return nil
}

func itoa(n int) string { return strconv.Itoa(n) }

func rank(b bool) int {
	if b {
		return 1
	}
	return 0
}
