package simulate

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/policy"
)

// Section is one part of a report for people: a table, sentences, or both. Texts of
// events and policies are in it as they are: who prints it makes them harmless.
type Section struct {
	Title   string
	Columns []string // empty: no table
	Right   []int    // columns of numbers
	Soft    []int    // columns that may be cut where the table is too wide, in this order
	Rows    [][]string
	Notes   []string
}

// Options say how a Report is written down.
type Options struct {
	Language policy.Language

	// PricePerGB is what 10⁹ bytes cost, in any currency; 0 leaves costs out.
	PricePerGB float64
}

// Sections writes the report down. Its numbers are those of the Report; ≥ stands
// before those that may be larger.
func (r *Report) Sections(o Options) []Section {
	w := writer{Report: r, Options: o}
	return []Section{w.summary(), w.changes(), w.rules(), w.levels(),
		w.top(w.say("TOP USERS", "主要用户"), "USER", &r.Users), w.top(w.say("TOP RESOURCES", "主要资源"), "RESOURCE", &r.Resources),
		w.vanish(), w.never(), w.cannotKnow()}
}

type writer struct {
	*Report
	Options
}

func (w *writer) say(en, zh string, values ...any) string {
	return w.Language.Say(en, zh, values...)
}

func (w *writer) summary() Section {
	s := Section{Title: w.say("SUMMARY", "总览"), Columns: []string{"", "EVENTS", "BYTES"}}
	span := w.Span()
	if span > 0 {
		s.Columns = append(s.Columns, "EVENTS/S", "BYTES/DAY")
		if w.PricePerGB > 0 {
			s.Columns = append(s.Columns, "COST/DAY")
		}
	}
	row := func(name string, v Volume, moreEvents, moreBytes bool) {
		cells := []string{name, least(moreEvents) + number(v.Events), least(moreBytes) + decimal(float64(v.Bytes))}
		if span > 0 {
			day := w.PerDay(v.Bytes)
			cells = append(cells, least(moreEvents)+rate(w.PerDay(v.Events)/86400), least(moreBytes)+decimal(day))
			if w.PricePerGB > 0 {
				cells = append(cells, least(moreBytes)+fmt.Sprintf("%.2f", day/1e9*w.PricePerGB))
			}
		}
		s.Rows = append(s.Rows, cells)
	}
	row(w.say("recorded", "已记录"), w.Total.Before, false, false)
	row(w.say("candidate", "候选策略"), w.Total.After, w.MoreEvents(), w.MoreBytes())
	for i := range s.Columns[1:] {
		s.Right = append(s.Right, i+1)
	}
	if span > 0 {
		exact := time.Second
		if span < 10*time.Second {
			exact = time.Millisecond
		}
		s.Notes = append(s.Notes, w.say("The events span %s, from %s to %s; a day is extrapolated from that. 1 GB is 10^9 bytes.",
			"事件跨越 %s，从 %s 到 %s；每日数值由此推算。1 GB 为 10^9 字节。", span.Round(exact), moment(w.First), moment(w.Last)))
	} else {
		s.Notes = append(s.Notes, w.say("The events span no time: nothing can be said per day.", "事件没有时间跨度：无法给出每日数值。"))
	}
	return s
}

// least marks a number that may be larger.
func least(more bool) string {
	if more {
		return "≥"
	}
	return ""
}

// changes tells what becomes of the events.
func (w *writer) changes() Section {
	s := Section{Title: w.say("CHANGES", "变化"), Columns: []string{"", "EVENTS", "BYTES", "AFTER"}, Right: []int{1, 2, 3}}
	same := w.Total
	for _, c := range []*Change{&w.Lowered, &w.Raised, {Before: w.Vanished}} {
		same.sub(c)
	}
	for _, u := range w.Unknown.Unreadable {
		same.sub(&Change{Before: u.Volume})
	}
	add := func(name string, c *Change) {
		if c.Before.Events > 0 {
			s.Rows = append(s.Rows, []string{name, number(c.Before.Events), decimal(float64(c.Before.Bytes)), after(c, c.After.Bytes)})
		}
	}
	add(w.say("same level", "级别不变"), &same)
	add(w.say("lower level", "级别降低"), &w.Lowered)
	add(w.say("higher level", "级别提高"), &w.Raised)
	add(w.say("vanished", "消失"), &Change{Before: w.Vanished})
	add(w.say("of these without managedFields", "其中去除 managedFields"), &w.Cleaned)
	return s
}

func (c *Change) sub(d *Change) {
	c.Before.Events -= d.Before.Events
	c.Before.Bytes -= d.Before.Bytes
	c.After.Events -= d.After.Events
	c.After.Bytes -= d.After.Bytes
	c.Partly -= d.Partly
}

// fourColumns are the numbers of a Change.
func fourColumns(c *Change) []string {
	return []string{number(c.Before.Events), number(c.After.Events), decimal(float64(c.Before.Bytes)), after(c, c.After.Bytes)}
}

// after writes the bytes of what is kept.
func after(c *Change, bytes int64) string { return least(c.Partly > 0) + decimal(float64(bytes)) }

func (w *writer) rules() Section {
	s := Section{Title: w.say("BY RULE of the candidate", "按候选策略的规则"), Right: []int{1, 3, 4, 5, 6},
		Columns: []string{"RULE", "LINE", "LEVEL", "EVENTS", "AFTER", "BYTES", "AFTER"}}
	for i := range w.Rules {
		if r := &w.Rules[i]; r.Before.Events > 0 {
			s.Rows = append(s.Rows, append([]string{w.rule(r.Rule), line(r.Line), string(r.Level)}, fourColumns(&r.Change)...))
		}
	}
	return s
}

func (w *writer) levels() Section {
	s := Section{Title: w.say("BY LEVEL", "按级别"), Right: []int{1, 2, 3, 4},
		Columns: []string{"LEVEL", "EVENTS", "AFTER", "BYTES", "AFTER"}}
	for i := range w.Levels {
		l := &w.Levels[i]
		name := string(l.Level)
		if name == "" {
			name = w.say("not said", "未注明")
		}
		s.Rows = append(s.Rows, append([]string{name}, fourColumns(&l.Change)...))
	}
	return s
}

func (w *writer) top(title, column string, t *Top[Named]) Section {
	s := Section{Title: title, Right: []int{1, 2, 3, 4}, Soft: []int{0},
		Columns: []string{column, "EVENTS", "AFTER", "BYTES", "AFTER"}}
	for i := range t.Rows {
		row := &t.Rows[i]
		s.Rows = append(s.Rows, append([]string{orDash(row.Name)}, fourColumns(&row.Change)...))
	}
	s.Notes = w.more(t.More, t.Folded, t.Missed, "bytes", "字节")
	return s
}

// shortID is enough of an audit ID for kubetrail show to find the event by.
func shortID(id string) string {
	if len(id) > 8 {
		return strings.ToValidUTF8(id[:8], "")
	}
	return orDash(id)
}

// orDash stands in for an empty name.
func orDash(name string) string {
	if name == "" {
		return "-"
	}
	return name
}

// more tells what a table does not show: rest rows, and what was folded.
func (w *writer) more(rest, folded int, missed int64, en, zh string) (notes []string) {
	if rest > 0 {
		notes = append(notes, w.say("and %d more", "另有 %d 项", rest))
	}
	if folded > 0 {
		notes = append(notes, w.say("More came up than are told apart: the %d lightest were added up in between, so that a row may lack up to %d %s.",
			"项数超出可区分的数量：中途合并了最轻的 %d 项，因此每行最多可能少计 %d %s。", folded, missed, w.say(en, zh)))
	}
	return notes
}

func (w *writer) vanish() Section {
	s := Section{Title: w.say("VANISHES", "将消失"), Right: []int{0, 1}, Soft: []int{3}}
	if len(w.Vanish.Rows) == 0 {
		s.Notes = []string{w.say("Nothing.", "无。")}
		return s
	}
	s.Columns = []string{"EVENTS", "BYTES", "BECAUSE OF", "WHAT, WHO AND AN EXAMPLE"}
	for _, v := range w.Vanish.Rows {
		because := w.rule(v.Rule)
		if v.Stage != "" {
			because = string(v.Stage)
		}
		s.Rows = append(s.Rows,
			[]string{number(v.Events), decimal(float64(v.Bytes)), because, strings.TrimSpace(v.Verb + " " + v.Resource)},
			[]string{"", "", "", orDash(v.User)}, []string{"", "", "", shortID(v.Example.AuditID) + " " + v.Example.URI})
	}
	s.Notes = w.more(w.Vanish.More, w.Vanish.Folded, w.Vanish.Missed, "events", "个事件")
	return s
}

func (w *writer) never() Section {
	s := Section{Title: w.say("NEVER MATCHED", "从未匹配的规则"), Columns: []string{"RULE", "LINE", "LEVEL", "WHY"}, Right: []int{1}}
	why := map[Never]string{
		NeverReached:  w.say("no request can reach it", "任何请求都到不了它"),
		NeverRecorded: w.say("the policy in force does not record its requests", "当时生效的策略不记录它的请求"),
		NeverSeen:     w.say("no such request was recorded", "没有记录到这样的请求"),
	}
	for _, r := range w.Rules {
		if r.Before.Events == 0 {
			s.Rows = append(s.Rows, []string{w.rule(r.Rule), line(r.Line), string(r.Level), why[r.Never]})
		}
	}
	if len(s.Rows) == 0 {
		s.Columns, s.Notes = nil, []string{w.say("Every rule matched an event.", "每条规则都匹配过事件。")}
	}
	return s
}

// rule names a rule as explain and lint do.
func (w *writer) rule(index int) string {
	if index < 0 {
		return w.say("no rule", "无规则")
	}
	return rulePath(index)
}

func line(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func (w *writer) cannotKnow() Section {
	s := Section{Title: w.say("CANNOT KNOW", "无法得知")}
	tell := func(en, zh string, values ...any) {
		s.Notes = append(s.Notes, strings.TrimSpace(w.say(en, zh, values...)))
	}
	u := &w.Unknown
	for _, x := range u.Raised {
		tell("%s recorded at %s would be at %s: bodies that were never recorded would come in. They count with the %s they have: at least that.",
			"%s以 %s 级别记录，候选策略要求 %s：从未记录的请求体和响应体会加入。按现有的 %s 计算：至少如此。",
			w.events(x.Events), x.From, x.To, decimal(float64(x.Bytes)))
	}
	for _, x := range u.Stages {
		if x.Stage == policy.StageResponseStarted {
			tell("Stage ResponseStarted is not recorded: at least %s would be added, one for each long-running request, and one for each failed login, of which nothing is known.",
				"没有记录 ResponseStarted 阶段：至少会多出%s，每个长时间运行的请求一个；每次登录失败也会有一个，其数量不得而知。", w.events(x.Requests))
			continue
		}
		tell("Stage %s is not recorded: at least %s would be added, one for each request.", "没有记录 %s 阶段：至少会多出%s，每个请求一个。", x.Stage, w.events(x.Requests))
	}
	for _, x := range u.Unreadable {
		tell("%s, %s, cannot be judged (%s), and count as recorded, but not after.", "%s（%s）无法判断（%s）：计入已记录，不计入之后。",
			w.events(x.Events), decimal(float64(x.Bytes)), x.Text)
	}
	if u.NoLevel.Events > 0 {
		tell("%s do not say their level: they count with the bytes they have.", "%s未注明级别：按现有字节计算。", w.events(u.NoLevel.Events))
	}
	if u.Truncated.Events > 0 {
		tell("%s lost their bodies to --audit-log-truncate-enabled; at the lower level the request body may be short enough.",
			"%s的内容被 --audit-log-truncate-enabled 截去；在较低级别下请求体可能足够短。", w.events(u.Truncated.Events))
	}
	if u.Cleaned.Events > 0 {
		tell("%s were recorded without metadata.managedFields, which the candidate keeps.", "%s记录时没有 metadata.managedFields，而候选策略会保留。", w.events(u.Cleaned.Events))
	}
	if u.Current == nil {
		tell("Requests that were not recorded at all are invisible here. Give the policy that was in force as a second -p to learn which rules could match some.",
			"完全没有记录的请求在这里不可见。用第二个 -p 给出当时生效的策略，即可得知哪些规则可能匹配它们。")
		return s
	}
	w.currentUnknown(u.Current, tell)
	return s
}

func (w *writer) currentUnknown(u *CurrentUnknown, tell func(en, zh string, values ...any)) {
	for _, x := range u.Invisible {
		tell("%s (line %s, %s) could match requests of which the policy in force records nothing, such as: %s",
			"%s（第 %s 行，%s）可能匹配当时生效的策略完全不记录的请求，例如：%s", w.rule(x.Rule), line(x.Line), x.Level, w.request(&x.Example))
	}
	for _, x := range u.Disagree {
		if x.Stage != "" {
			tell("%s of stage %s are recorded, which the policy in force omits, such as %s.",
				"%s属于 %s 阶段，而当时生效的策略会略去，例如 %s。", w.events(x.Events), x.Stage, orDash(x.Example.AuditID))
			continue
		}
		tell("%s are recorded at %s, where the policy in force says %s, such as %s.",
			"%s以 %s 级别记录，而当时生效的策略为 %s，例如 %s。", w.events(x.Events), x.Recorded, x.Policy, orDash(x.Example.AuditID))
	}
	if len(u.Disagree) == 0 {
		tell("All %s are recorded as the policy in force says.", "全部%s都与当时生效的策略一致。", w.events(u.Agree))
	} else {
		tell("So that was not the policy in force, or not all the time, or some events are of another apiserver. %s agree with it.",
			"因此当时生效的并非这份策略，或并非一直如此，或部分事件来自另一个 apiserver。与之一致的有%s。", w.events(u.Agree))
	}
	if u.TooLarge {
		tell("The two policies name too much to find out which rules could match requests that the policy in force does not record.",
			"两份策略涉及的内容过多，无法得知哪些规则可能匹配当时生效的策略不记录的请求。")
	} else if len(u.Invisible) == 0 {
		tell("No rule that records anything can match a request that the policy in force does not record.", "凡是有所记录的规则，都不会匹配当时生效的策略不记录的请求。")
	}
}

// request is a request in one line.
func (w *writer) request(r *RequestLine) string {
	who := r.User
	if who == "" {
		who = w.say("without authentication", "未经认证")
	}
	if len(r.Groups) > 0 {
		who += " (" + strings.Join(r.Groups, ", ") + ")"
	}
	return r.Method + " " + r.URI + ", " + who
}

func (w *writer) events(n int64) string {
	switch {
	case w.Language == policy.Chinese:
		return fmt.Sprintf(" %d 个事件", n)
	case n == 1:
		return "1 event"
	}
	return fmt.Sprintf("%d events", n)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func rate(perSecond float64) string {
	if perSecond >= 100 {
		return fmt.Sprintf("%.0f", perSecond)
	}
	return fmt.Sprintf("%.1f", perSecond)
}

// decimal writes bytes with a unit of powers of 1,000, in which storage is sold.
func decimal(n float64) string {
	unit := 0
	units := [...]string{"B", "kB", "MB", "GB", "TB", "PB"}
	for n >= 999.95 && unit < len(units)-1 {
		n /= 1000
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%.0f B", n)
	}
	return fmt.Sprintf("%.1f %s", n, units[unit])
}

func moment(t int64) string {
	if t == audit.NoTime {
		return "-"
	}
	return time.UnixMicro(t).UTC().Format("2006-01-02T15:04:05Z")
}
