package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"kubetrail/internal/output"
	"kubetrail/policy"
	"kubetrail/policy/diff"
	"kubetrail/policy/space"
)

const policyDiffLong = `Diff compares two policies by what they mean, not as texts: for which requests,
and at which stages, B records something else than A. Each difference has the
rules that decide on both sides and a smallest example; what is recorded less
comes first.

The comparison is exact: it goes through every request that the constants of the
two policies can tell apart. Where it finds no difference there is none, and the
exit code is 0; otherwise it is 3.`

const policyDiffExample = `  # what would the new policy record otherwise?
  kubetrail policy diff /etc/kubernetes/audit-policy.yaml new.yaml

  # did tidying up change anything?
  git show HEAD:audit-policy.yaml | kubetrail policy diff - audit-policy.yaml`

// compared is two policies of policy diff, A and B.
type compared struct {
	asked
	release policy.Kubernetes
	budget  int
	names   [2]string
	docs    [2]*policy.Document
	top     int // differences that a table describes; 0: all
}

func (a *app) policyDiffVerb() *cobra.Command {
	c := &compared{}
	cmd := &cobra.Command{
		Use:     "diff A B",
		Short:   "Tell for which requests two policies record different things",
		Long:    policyDiffLong,
		Example: policyDiffExample,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) != 2:
				return usage("for example old.yaml new.yaml", "want two policies, not %d", len(args))
			case args[0] == "-" && args[1] == "-":
				return usage("name a file for one of them", "standard input cannot be both policies")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c.names = [2]string(args)
			return a.policyDiff(c)
		},
	}
	releaseFlag(cmd.Flags(), &c.release)
	cmd.Flags().IntVar(&c.budget, "budget", space.Budget, "Give up after this many `STEPS`, of which a million takes about a second")
	cmd.Flags().IntVar(&c.top, "top", 100, "Describe only the first `N` differences in a table; 0: all")
	c.how(cmd.Flags(), a, countOutputs)
	return cmd
}

func (a *app) policyDiff(c *compared) error {
	if err := c.check(countOutputs); err != nil {
		return err
	}
	if c.budget < 1 {
		return usage("the default is enough for nearly all policies", "--budget %d is not positive", c.budget)
	}
	if c.top < 0 {
		return usage("0 describes all of them", "--top %d is negative", c.top)
	}
	for i, name := range c.names {
		doc, err := a.loadPolicy(name, c.release)
		if err != nil {
			return err
		}
		c.docs[i] = doc
	}
	r, err := diff.Diff(c.docs[0].Policy, c.docs[1].Policy, diff.Options{Budget: c.budget})
	if large, ok := errors.AsType[*space.TooLarge](err); ok {
		return failed(err, fmt.Sprintf("nothing was compared; try --budget %d, which takes more time and memory", large.Budget*10))
	}
	if err == nil {
		err = a.printDiff(c, r)
	}
	if err == nil && len(r.Changes) > 0 {
		return errFindings
	}
	return err
}

func (a *app) printDiff(c *compared, r *diff.Result) error {
	if c.output != "table" {
		head := map[string]any{"a": c.names[0], "b": c.names[1], "equal": len(r.Changes) == 0, "classes": r.Classes, "steps": r.Steps}
		return output.Rows(a.stdout(), c.output, "PolicyDifferenceList", head, len(r.Changes), func(b []byte, i int) []byte {
			return appendJSON(b, c.change(r.Changes[i]))
		})
	}
	zh := c.lang == "zh"
	w := a.stdout()
	if len(r.Changes) == 0 {
		classes, format := strconv.FormatUint(r.Classes, 10), "equal: proved over %s classes of requests\n"
		if zh {
			format = "相同：已在全部 %s 类请求上证明\n"
		}
		if r.Classes == math.MaxUint64 {
			classes = "2^64 - 1 or more"
			if zh {
				classes = "至少 2^64 - 1"
			}
		}
		fmt.Fprintf(w, format, classes)
		return w.Flush()
	}
	title := fmt.Sprintf("%s between %s (A) and %s (B)", output.Count(len(r.Changes), "difference"), c.names[0], c.names[1])
	if zh {
		title = fmt.Sprintf("%s（A）与 %s（B）有 %d 处不同", c.names[0], c.names[1], len(r.Changes))
	}
	paragraph(w, output.Plain(title, false), "")
	for i, change := range r.Changes {
		if i == c.top && c.top > 0 {
			more := fmt.Sprintf("and %d more: --top 0 describes all", len(r.Changes)-i)
			if zh {
				more = fmt.Sprintf("另有 %d 处：--top 0 列出全部", len(r.Changes)-i)
			}
			fmt.Fprintf(w, "\n%s\n", more)
			break
		}
		fmt.Fprintln(w)
		for k, s := range change.Words(policy.Language(c.lang), lines(c.docs[0]), lines(c.docs[1])) {
			if k == 0 {
				s.Text = fmt.Sprintf("%d. %s", i+1, s.Text)
			}
			paragraph(w, output.Plain(s.Text, false), strings.Repeat("  ", s.Depth))
		}
	}
	return w.Flush()
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
func (c *compared) change(x diff.Change) any {
	side := func(d policy.Decision, i int) decided {
		line := 0
		if d.Rule >= 0 {
			line = lines(c.docs[i])(d.Rule)
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
