package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/tally"
	"kubetrail/internal/trail"
	"kubetrail/policy"
	"kubetrail/policy/simulate"
)

// LogConfig says how what fills a log is told apart.
type LogConfig struct {
	By     []string         // resource, user, rule or fields; empty: rule if there is a policy, level and stage, verb and resource, user
	Policy *policy.Document // that was in force; nil where it is not known
	Rows   int              // at most so many are told apart; 0 is 10,000
}

// CheckBy says what is wrong with what load is to be told apart by.
func CheckBy(by []string, log bool) error {
	for _, name := range by {
		switch name {
		case "client", "tool", "resource":
			continue
		case "rule":
			if log {
				continue
			}
			return errors.New("rule is known of the log alone: add --log")
		}
		if _, err := audit.Resolve(name); err != nil {
			return err
		}
	}
	return nil
}

// Filling is what fills a part of the log.
type Filling struct {
	By       []string `json:"by"`
	Key      []string `json:"key"`
	Events   int      `json:"events"`
	Bytes    int64    `json:"bytes"` // of lines, newlines included
	Part     float64  `json:"share"` // of all bytes, 0 to 1
	PerDay   int64    `json:"bytesPerDay"`
	Rule     *int     `json:"rule,omitempty"` // of the policy, as it counts: rules[0] is the first
	Line     int      `json:"line,omitempty"` // of the policy's file
	Level    string   `json:"level,omitempty"`
	MostlyOf string   `json:"mostlyOf,omitempty"` // the verb and resource that most bytes of a rule are of

	inside map[string]int64 // bytes by verb and resource
}

// fillTable is one way to tell the events of a log apart.
type fillTable struct {
	by   []string
	dims []dimension
	rows map[string]*Filling
	left int64 // bytes that there was no room for
}

// filling collects what fills a log. Its memory is bounded by cfg.Rows.
type filling struct {
	cfg      LogConfig
	load     load // for its dimensions
	tables   []*fillTable
	matcher  *policy.Matcher
	rule     int // of the event at hand; -1: none
	judged   bool
	key      []byte
	span     tally.Span
	bytes    int64
	unjudged int
	disagree int
}

// insideKept is how many verbs and resources of a rule are told apart.
const insideKept = 256

// Log answers which events fill the log, by how many bytes their lines have.
func Log(ctx context.Context, r trail.Reader, q trail.Query, cfg LogConfig) (output.Report, error) {
	if cfg.Rows <= 0 {
		cfg.Rows = 10_000
	}
	f := &filling{cfg: cfg, span: tally.NewSpan(), load: load{tool: tally.Memo[[2]string]{Work: tally.Tool}}}
	ways := [][]string{cfg.By}
	if len(cfg.By) == 0 {
		ways = [][]string{{"level", "stage"}, {"verb", "resource"}, {"user"}}
		if cfg.Policy != nil {
			ways = append([][]string{{"rule"}}, ways...)
		}
	}
	needs := output.RefColumns | audit.Set(audit.Offset, audit.Verb, audit.Resource, audit.APIGroup, audit.Subresource, audit.RequestURI,
		audit.Username, audit.UserAgent, audit.Level, audit.Stage)
	if cfg.Policy != nil {
		f.matcher = cfg.Policy.Policy.Compile()
		needs |= audit.Set(audit.UserUID, audit.UserGroups, audit.UserExtra)
	}
	for _, by := range ways {
		more, err := f.table(by)
		if err != nil {
			return output.Report{}, err
		}
		needs |= more
	}
	if err := tally.Scan(ctx, r, q, needs, f.add); err != nil {
		return output.Report{}, err
	}
	return f.report(), nil
}

// table prepares one way to tell events apart.
func (f *filling) table(by []string) (needs audit.Columns, err error) {
	t := &fillTable{by: by, rows: map[string]*Filling{}}
	for _, name := range by {
		if name == "rule" {
			if f.matcher == nil {
				return 0, errors.New("rule: the policy is not known")
			}
			t.dims = append(t.dims, dimension{name, func(b []byte, _ *audit.Event) []byte { return append(b, f.ruleText()...) }})
			continue
		}
		f.load.by, f.load.cfg.By = nil, []string{name}
		more, err := f.load.dimensions()
		if err != nil {
			return 0, err
		}
		needs |= more
		t.dims = append(t.dims, f.load.by[0])
	}
	f.tables = append(f.tables, t)
	return needs, nil
}

func (f *filling) ruleText() string {
	switch {
	case !f.judged:
		return "unknown"
	case f.rule < 0:
		return "none"
	}
	return "rules[" + itoa(f.rule) + "]"
}

// add takes in one event, of any stage.
func (f *filling) add(e *audit.Event) error {
	f.span.Note(e.Time())
	n := int64(e.Length) + 1
	f.bytes += n
	if f.matcher != nil {
		f.judge(e)
	}
	for _, t := range f.tables {
		k := f.key[:0]
		for _, d := range t.dims {
			from := len(k)
			k = d.text(k, e)
			k = sealed(k, from)
		}
		f.key = k
		x := t.rows[string(k)]
		if x == nil {
			if len(t.rows) >= f.cfg.Rows {
				t.left += n
				continue
			}
			x = &Filling{By: t.by, Key: strings.Split(string(k[:len(k)-1]), "\x00")}
			if slices.Contains(t.by, "rule") {
				f.about(x)
			}
			t.rows[string(k)] = x
		}
		x.Events++
		x.Bytes += n
		if x.inside != nil {
			what := string(e.Text[audit.Verb]) + " " + resourceOrPath(e)
			if _, ok := x.inside[what]; ok || len(x.inside) < insideKept {
				x.inside[what] += n
			}
		}
	}
	return nil
}

// judge finds the rule that decides about the request of an event.
func (f *filling) judge(e *audit.Event) {
	request, err := simulate.Request(e)
	if f.judged = err == nil; !f.judged {
		f.unjudged++
		return
	}
	d := f.matcher.Match(&request)
	f.rule = d.Rule
	if level := string(e.Text[audit.Level]); level != "" && string(d.Level) != level || slices.Contains(d.OmitStages, policy.Stage(e.Text[audit.Stage])) {
		f.disagree++
	}
}

// about says which rule a row is of.
func (f *filling) about(x *Filling) {
	x.inside = map[string]int64{}
	if !f.judged || f.rule < 0 {
		return
	}
	rule := f.rule
	x.Rule, x.Level = &rule, string(f.cfg.Policy.Policy.Rules[rule].Level)
	x.Line = f.cfg.Policy.Position(fmt.Sprintf("rules[%d]", rule)).Line
}

// sorted are the rows of a table, the largest first.
func (f *filling) sorted(t *fillTable) []*Filling {
	days := max(float64(f.span.To-f.span.From)/86_400e6, 1/86_400.0)
	out := make([]*Filling, 0, len(t.rows))
	for _, x := range t.rows {
		x.Part, x.PerDay = part(x.Bytes, f.bytes), int64(float64(x.Bytes)/days)
		most := int64(0)
		for what, n := range x.inside {
			if n > most || n == most && what < x.MostlyOf {
				most, x.MostlyOf = n, what
			}
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b *Filling) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), slices.Compare(a.Key, b.Key)) })
	return out
}

// report puts the answer together.
func (f *filling) report() output.Report {
	f.span.Written()
	r := output.Report{Kind: "LogLoadList", Head: map[string]any{
		"first": f.span.First, "last": f.span.Last, "events": f.span.Count, "bytes": f.bytes,
	}}
	if f.matcher != nil {
		r.Head["unjudged"], r.Head["disagree"] = f.unjudged, f.disagree
	}
	var tables [][]*Filling
	for _, t := range f.tables {
		rows := f.sorted(t)
		for _, x := range rows {
			r.Items = append(r.Items, x)
		}
		tables = append(tables, rows)
	}
	r.Text = func(p *output.Page) error { return f.print(p, tables) }
	return r
}

// print prints what fills the log, one table for each way to tell it apart.
func (f *filling) print(p *output.Page, tables [][]*Filling) error {
	if f.span.Count == 0 {
		p.Say("No events found.", "没有找到任何事件。")
		return nil
	}
	perDay := int64(float64(f.bytes) / max(float64(f.span.To-f.span.From)/86_400e6, 1/86_400.0))
	p.Say("%s, %s of audit log, %s: %s in a day at that rate", "%s，审计日志 %s，%s；按此速度每天 %s",
		p.Pick(output.Count(f.span.Count, "event"), fmt.Sprintf("%d 个事件", f.span.Count)), size(f.bytes), tally.LongPeriod(f.span.From, f.span.To), size(perDay))
	for i, t := range f.tables {
		p.Say("", "")
		if err := f.printTable(p, t, tables[i]); err != nil {
			return err
		}
	}
	if f.unjudged > 0 {
		p.Say("\n%d events cannot be judged by a policy: they lack a URI that can be read.", "\n%d 个事件无法按策略判断：缺少可解析的 URI。", f.unjudged)
	}
	if f.disagree > 0 {
		p.Say("\n%d events are not as this policy has them recorded: it was not in force for all of the time.",
			"\n%d 个事件与该策略不符：它并非整段时间内生效的策略。", f.disagree)
	}
	return nil
}

func (f *filling) printTable(p *output.Page, t *fillTable, rows []*Filling) error {
	w := p.Table()
	for i, d := range t.dims {
		w.Titles = append(w.Titles, output.Cell(strings.ToUpper(d.name)))
		w.Soft = append(w.Soft, i)
	}
	n := len(t.dims)
	ruled := slices.Contains(t.by, "rule")
	w.Titles = append(w.Titles, "EVENTS", "BYTES", "SHARE", "PER-EVENT", "PER-DAY")
	w.Right = []int{n, n + 1, n + 2, n + 3, n + 4}
	if ruled {
		w.Titles = append(w.Titles, "LINE", "LEVEL", "MOSTLY")
		w.Right, w.Soft = append(w.Right, n+5), append([]int{n + 7}, w.Soft...)
	}
	for i, x := range rows {
		if i == mostShown && !p.Wide && !ruled {
			break
		}
		var cells []string
		for _, k := range x.Key {
			cells = append(cells, cell(k))
		}
		cells = append(cells, itoa(x.Events), size(x.Bytes), percent(x.Part), size(x.Bytes/int64(max(x.Events, 1))), size(x.PerDay))
		if ruled {
			line := output.None
			if x.Line > 0 {
				line = itoa(x.Line)
			}
			cells = append(cells, line, output.Cell(x.Level), cell(x.MostlyOf))
		}
		if err := w.Add(cells...); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if more := len(rows) - mostShown; more > 0 && !p.Wide && !ruled {
		p.Say("and %d more; -o wide prints all", "另有 %d 行；用 -o wide 全部列出", more)
	}
	if t.left > 0 {
		p.Say("%s more in rows that there was no room for", "另有 %s 因种类过多未列出", size(t.left))
	}
	return nil
}
