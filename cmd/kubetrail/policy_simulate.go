package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/output"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
	"kubetrail/policy"
	"kubetrail/policy/simulate"
)

const policySimulateLong = `Simulate replays recorded events under a candidate policy: how many of them, and
how many bytes, it would have kept, by rule, level, user and resource; what
would vanish; and what no replay can know, because it was never recorded.

The first -p is the candidate. A second one is the policy that was in force when
the events were recorded: then it is checked that the events agree with it, and
told which rules of the candidate could match requests that it does not record.

Events come from the trail, a server or files, as with search, and a QUESTION,
--since, --until and --namespace narrow them. The bytes are those of the lines
that kube-apiserver would write, exact where the level stays or falls; ≥ stands
before what may be more.

Memory does not grow with the events: at least 10,000 users, resources and
groups that vanish are told apart, and it is said where there were more.`

const policySimulateExample = `  # what would this policy have kept of the last week?
  kubetrail policy simulate -p candidate.yaml --since 7d

  # what would it save, beside the policy in force, in money?
  kubetrail policy simulate -p candidate.yaml -p audit-policy.yaml \
    -f audit.log --price-per-gb 0.50`

const simulateOutputs = "table, json"

// simulateFlags are the flags of policy simulate beside those of a question.
type simulateFlags struct {
	policies   []string
	kubernetes policy.Kubernetes
	price      float64
	top        int
	quiet      bool
}

func (a *app) policySimulateVerb() *cobra.Command {
	f, s := &asked{}, &simulateFlags{}
	cmd := &cobra.Command{
		Use:     "simulate -p CANDIDATE [-p CURRENT] [QUESTION]",
		Short:   "Replay recorded events under a policy",
		Long:    policySimulateLong,
		Example: policySimulateExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.simulate(cmd.Context(), f, s, args)
		},
	}
	f.where(cmd.Flags(), a)
	f.which(cmd.Flags())
	f.how(cmd.Flags(), a, simulateOutputs)
	cmd.Flags().StringArrayVarP(&s.policies, "policy", "p", nil, "Policy `FILE`: the candidate, then the one in force; - is stdin")
	cmd.Flags().Float64Var(&s.price, "price-per-gb", 0, "What 10^9 bytes cost, for costs per day")
	cmd.Flags().IntVar(&s.top, "top", 10, "Print at most this many users, resources and groups that vanish; 0 is all")
	cmd.Flags().BoolVarP(&s.quiet, "quiet", "q", false, "Print no progress")
	releaseFlag(cmd.Flags(), &s.kubernetes)
	return cmd
}

func (a *app) simulate(ctx context.Context, f *asked, s *simulateFlags, words []string) error {
	if err := f.check(simulateOutputs); err != nil {
		return err
	}
	switch {
	case len(s.policies) == 0:
		return usage("-p FILE names the policy to try", "no candidate policy")
	case len(s.policies) > 2:
		return usage("the first is the candidate, the second the one in force", "%d policies are too many", len(s.policies))
	case s.top < 0 || !(s.price >= 0 && s.price <= math.MaxFloat64):
		return usage("0 leaves it out", "--price-per-gb and --top cannot be negative or infinite")
	case !atMostOne("-", slices.Concat(s.policies, f.files)):
		return usage("name a file for one of them", "standard input can be read only once")
	}
	q, err := f.question(words, a.now())
	if err != nil {
		return err
	}
	cfg := simulate.Config{}
	if cfg.Candidate, err = a.loadPolicy(s.policies[0], s.kubernetes); err != nil {
		return err
	}
	if len(s.policies) == 2 {
		if cfg.Current, err = a.loadPolicy(s.policies[1], s.kubernetes); err != nil {
			return err
		}
	}
	sim, err := simulate.New(cfg)
	if err != nil {
		return err
	}
	r, err := a.open(ctx, f)
	if err != nil {
		return err
	}
	defer r.close()
	meter := newMeter(a, s.quiet)
	progress := collect.Progress{Name: "replaying"}
	if t, ok := r.Reader.(*disk.Trail); ok && q == trail.Always(nil) {
		if all, err := t.Summary(ctx); err == nil {
			progress.Total = all.LineBytes
		}
	}
	err = replay(ctx, r, q, sim, func(seen simulate.Volume) {
		progress.Events, progress.Bytes = uint64(seen.Events), seen.Bytes
		meter.show(progress)
	})
	meter.clear()
	report := sim.Report()
	if err == nil {
		err = a.printSimulation(f, s, &report)
	}
	return a.finish(f, r, int(min(report.Total.Before.Events, 1<<30)), err)
}

// atMostOne tells whether at most one of words is this one.
func atMostOne(word string, words []string) bool {
	i := slices.Index(words, word)
	return i < 0 || !slices.Contains(words[i+1:], word)
}

// replay gives every answer to q to sim, and tells show now and then what it has seen.
func replay(ctx context.Context, r *opened, q trail.Query, sim *simulate.Simulation, show func(simulate.Volume)) error {
	add := func(e *audit.Event) error {
		_ = sim.Add(e) // the report counts what cannot be judged
		if seen := sim.Seen(); seen.Events%4096 == 0 {
			show(seen)
		}
		return nil
	}
	return r.each(ctx, q, audit.Set(audit.Line), add)
}

func (a *app) printSimulation(f *asked, s *simulateFlags, r *simulate.Report) error {
	r.Limit(s.top)
	if f.output == "json" {
		return a.printSimulationJSON(s, r)
	}
	w := a.stdout()
	for i, section := range r.Sections(simulate.Options{Language: policy.Language(f.lang), PricePerGB: s.price}) {
		if i > 0 {
			w.WriteString("\n")
		}
		w.WriteString(section.Title + "\n")
		t := output.Table{W: w, Headers: !f.noHeaders, Fit: max(80, terminal(a.out)),
			Titles: section.Columns, Right: section.Right, Soft: section.Soft}
		for _, row := range section.Rows {
			for i := range row {
				row[i] = output.Plain(row[i], false)
			}
			if err := t.Add(row...); err != nil {
				return err
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
		for _, note := range section.Notes {
			w.WriteString(wrap(output.Plain(note, false), 80) + "\n")
		}
	}
	return w.Flush()
}

// wrap breaks a text into lines of at most columns, the later ones indented. It breaks
// at spaces, and between Chinese characters.
func wrap(text string, columns int) string {
	const indent = "  "
	var lines []string
	for output.Width(text) > columns {
		cut, at := 0, 0
		for i, r := range text {
			n := output.RuneWidth(r)
			if i > len(indent) && (r == ' ' || n == 2 && !strings.ContainsRune("，。；：、）", r)) {
				cut = i
			}
			if at += n; at > columns && cut > 0 {
				break
			}
		}
		if cut == 0 {
			break
		}
		lines = append(lines, text[:cut])
		text = indent + strings.TrimLeft(text[cut:], " ")
	}
	return strings.Join(append(lines, text), "\n")
}

// simulation is a report as JSON.
type simulation struct {
	Kind       string   `json:"kind"`
	APIVersion string   `json:"apiVersion"`
	Policies   []string `json:"policies"`
	First      string   `json:"first,omitempty"`
	Last       string   `json:"last,omitempty"`
	Seconds    float64  `json:"seconds"`
	PerDay     *perDay  `json:"perDay,omitempty"`
	MoreEvents bool     `json:"moreEvents"` // the candidate may record more than is said
	MoreBytes  bool     `json:"moreBytes"`
	*simulate.Report
}

// perDay is what the events come to in a day.
type perDay struct {
	Before dayVolume `json:"before"`
	After  dayVolume `json:"after"`
}

type dayVolume struct {
	Events float64  `json:"events"`
	Bytes  float64  `json:"bytes"`
	Cost   *float64 `json:"cost,omitempty"`
}

func (a *app) printSimulationJSON(s *simulateFlags, r *simulate.Report) error {
	out := simulation{Kind: "PolicySimulation", APIVersion: "kubetrail.io/v1alpha1", Policies: s.policies,
		Seconds: r.Span().Seconds(), MoreEvents: r.MoreEvents(), MoreBytes: r.MoreBytes(), Report: r}
	if r.First != audit.NoTime {
		out.First, out.Last = rfc3339(r.First), rfc3339(r.Last)
	}
	if r.Span() > 0 {
		day := func(v simulate.Volume) dayVolume {
			d := dayVolume{Events: r.PerDay(v.Events), Bytes: r.PerDay(v.Bytes)}
			if s.price > 0 {
				cost := d.Bytes / 1e9 * s.price
				d.Cost = &cost
			}
			return d
		}
		out.PerDay = &perDay{day(r.Total.Before), day(r.Total.After)}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	w := a.stdout()
	w.Write(b.Bytes())
	return w.Flush()
}

func rfc3339(us int64) string {
	return time.UnixMicro(us).UTC().Format("2006-01-02T15:04:05.000000Z")
}
