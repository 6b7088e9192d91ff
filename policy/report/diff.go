package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"kubetrail/internal/output"
	"kubetrail/policy"
	"kubetrail/policy/diff"
	"kubetrail/policy/space"
)

// Differences reports what two policies, A and B, record otherwise. names are those of
// their files. As text it describes at most top of the differences; 0: all.
func Differences(r *diff.Result, names [2]string, docs [2]*policy.Document, top int) output.Report {
	report := output.Report{Kind: "PolicyDifferenceList", Text: func(p *output.Page) error { return printDifferences(p, r, names, docs, top) },
		Head: map[string]any{"a": names[0], "b": names[1], "equal": len(r.Changes) == 0, "classes": r.Classes, "steps": r.Steps}}
	for _, x := range r.Changes {
		report.Items = append(report.Items, change(x, docs))
	}
	return report
}

func printDifferences(p *output.Page, r *diff.Result, names [2]string, docs [2]*policy.Document, top int) error {
	if len(r.Changes) == 0 {
		classes := strconv.FormatUint(r.Classes, 10)
		if r.Classes == math.MaxUint64 {
			classes = p.Pick("2^64 - 1 or more", "至少 2^64 - 1")
		}
		p.Say("equal: proved over %s classes of requests", "相同：已在全部 %s 类请求上证明", classes)
		return nil
	}
	language, title := policy.English, fmt.Sprintf("%s between %s (A) and %s (B)", output.Count(len(r.Changes), "difference"), names[0], names[1])
	if p.Chinese {
		language, title = policy.Chinese, fmt.Sprintf("%s（A）与 %s（B）有 %d 处不同", names[0], names[1], len(r.Changes))
	}
	paragraph(p, output.Plain(title, false), "")
	for i, x := range r.Changes {
		if i == top && top > 0 {
			p.Say("\nand %d more: --top 0 describes all", "\n另有 %d 处：--top 0 列出全部", len(r.Changes)-i)
			break
		}
		fmt.Fprintln(p.W)
		for k, s := range x.Words(language, Lines(docs[0]), Lines(docs[1])) {
			if k == 0 {
				s.Text = fmt.Sprintf("%d. %s", i+1, s.Text)
			}
			paragraph(p, output.Plain(s.Text, false), strings.Repeat("  ", s.Depth))
		}
	}
	return nil
}

// decided is one side of a change in the JSON formats.
type decided struct {
	Rule              int            `json:"rule"`
	Line              int            `json:"line"`
	Level             policy.Level   `json:"level"`
	OmitStages        []policy.Stage `json:"omitStages"`
	OmitManagedFields bool           `json:"omitManagedFields"`
}

// stageChanged is one stage of a change in the JSON formats.
type stageChanged struct {
	Stage         policy.Stage `json:"stage"`
	A             policy.Level `json:"a"`
	B             policy.Level `json:"b"`
	ManagedFields bool         `json:"managedFieldsDiffer"`
}

// exampleOf is a request in the JSON formats; without a user it is not authenticated.
type exampleOf struct {
	Method string   `json:"method"`
	URI    string   `json:"uri"`
	User   *string  `json:"user,omitempty"`
	Groups []string `json:"groups,omitempty"`
	Odd    bool     `json:"odd"`
}

// change is a change in the JSON formats.
func change(x diff.Change, docs [2]*policy.Document) any {
	side := func(d policy.Decision, i int) decided {
		line := 0
		if d.Rule >= 0 {
			line = Lines(docs[i])(d.Rule)
		}
		return decided{d.Rule, line, d.Level, append([]policy.Stage{}, d.OmitStages...), d.OmitManagedFields}
	}
	var stages []stageChanged
	for _, s := range x.Stages {
		stages = append(stages, stageChanged{s.Stage, s.From, s.To, s.ManagedFields})
	}
	var examples []exampleOf
	for _, e := range x.Examples {
		example := exampleOf{Method: e.Method, URI: e.URI, Groups: e.Request.Groups, Odd: e.Odd}
		if e.Request.Authenticated {
			example.User = &e.Request.User
		}
		examples = append(examples, example)
	}
	return struct {
		Records  string         `json:"records"` // less, differently or more
		Stages   []stageChanged `json:"stages"`
		A        decided        `json:"a"`
		B        decided        `json:"b"`
		Regions  []space.Region `json:"regions"`
		Complete bool           `json:"complete"`
		Examples []exampleOf    `json:"examples"`
	}{[]string{"less", "differently", "more"}[x.Direction()], stages, side(x.A, 0), side(x.B, 1), x.Regions, x.Complete, examples}
}
