package main

import (
	"context"
	"fmt"
	"strconv"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/policy"
	"kubetrail/policy/report"
	"kubetrail/policy/simulate"
)

// ruleCount counts the events that one rule decides about.
type ruleCount struct {
	Rule    int          `json:"rule"`
	Line    int          `json:"line"`
	Level   policy.Level `json:"level"`
	Events  uint64       `json:"events"`
	Example string       `json:"example"`
}

// explainEvents decides about the requests of recorded events.
func (a *app) explainEvents(ctx context.Context, f *explainFlags, doc *policy.Document, words []string) error {
	q, err := f.question(words, a.now())
	if err != nil {
		return err
	}
	r, err := a.openFiles(ctx, &f.asked)
	if err != nil {
		return err
	}
	defer r.close()
	var (
		m       = doc.Policy.Compile()
		line    = report.Lines(doc)
		rules   = make([]ruleCount, len(doc.Policy.Rules)+1) // rule i-1
		unknown ruleCount
		reason  string // of the first event that cannot be judged
		n       int
	)
	w := a.stdout()
	needs := audit.Set(audit.Verb, audit.RequestURI, audit.Username, audit.UserUID, audit.UserGroups, audit.UserExtra, audit.AuditID, audit.Stage)
	err = r.each(ctx, q, needs, func(e *audit.Event) error {
		n++
		request, err := simulate.Request(e)
		at := &unknown
		var d policy.Decision
		if err == nil {
			d = m.Match(&request)
			at = &rules[d.Rule+1]
			at.Rule, at.Level = d.Rule, d.Level
		} else if reason == "" {
			reason = err.Error()
		}
		if at.Events++; at.Events == 1 {
			at.Example = example(e)
		}
		if f.output != "jsonl" {
			return nil
		}
		_, err = w.Write(report.AppendEventDecision(nil, e, d, err))
		return err
	})
	if err == nil && f.output == "jsonl" {
		err = w.Flush()
	} else if err == nil {
		var used []ruleCount
		for _, c := range append(rules[1:], rules[0]) {
			if c.Events > 0 {
				if c.Rule >= 0 {
					c.Line = line(c.Rule)
				}
				used = append(used, c)
			}
		}
		err = a.printRuleCounts(f, used, unknown, uint64(n))
	}
	if err == nil && unknown.Events > 0 {
		fmt.Fprintf(a.err, "warning: %s cannot be judged, such as %s: %s\n", output.Count(unknown.Events, "event"), output.Plain(unknown.Example, false), output.Plain(reason, false))
	}
	return a.finish(&f.asked, r, n, err)
}

// example is an event as one can explain it again: its verb, URI and user.
func example(e *audit.Event) string {
	s := string(e.Text[audit.Verb]) + " " + string(e.Text[audit.RequestURI])
	if user := e.Text[audit.Username]; len(user) > 0 {
		s += " by " + string(user)
	}
	return s
}

func (a *app) printRuleCounts(f *explainFlags, rules []ruleCount, unknown ruleCount, events uint64) error {
	if f.output != "table" {
		head := map[string]any{"events": events, "unknown": unknown.Events}
		return output.Rows(a.stdout(), f.output, "RuleCountList", head, len(rules), func(b []byte, i int) []byte { return report.AppendJSON(b, rules[i]) })
	}
	t := output.Table{W: a.stdout(), Headers: !f.noHeaders, Fit: terminal(a.out), Right: []int{3, 4}, Soft: []int{5},
		Titles: []string{"RULE", "LINE", "LEVEL", "EVENTS", "SHARE", "EXAMPLE"}}
	for _, c := range rules {
		name, line := output.None, output.None
		if c.Rule >= 0 {
			name, line = fmt.Sprintf("rules[%d]", c.Rule), strconv.Itoa(c.Line)
		}
		if err := t.Add(name, line, string(c.Level), strconv.FormatUint(c.Events, 10), share(c.Events, events), output.Plain(c.Example, false)); err != nil {
			return err
		}
	}
	return t.Flush()
}
