package main

import (
	"context"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
	"kubetrail/policy"
	"kubetrail/policy/report"
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
	result := sim.Report()
	if err == nil {
		err = a.printSimulation(f, s, &result)
	}
	return a.finish(f, r, int(min(result.Total.Before.Events, 1<<30)), err)
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
		return report.SimulationJSON(a.stdout(), r, s.policies, s.price)
	}
	return report.Simulation(a.page(f), r, simulate.Options{Language: policy.Language(f.lang), PricePerGB: s.price})
}
