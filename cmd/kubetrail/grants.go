package main

import (
	"context"

	"github.com/spf13/cobra"

	"kubetrail/internal/output"
	"kubetrail/internal/power"
	"kubetrail/internal/trail"
)

const grantsLong = `Grants tells who gave power over the cluster to whom, and what they did with it.

Roles and bindings, approved certificates, issued tokens, changed admission,
privileged pods, sessions in kube-system and acting as somebody else are told in
the order of time. What a binding gives stands in its body, where that is
recorded.

What came next is no guess: the authorizer names the binding by which it allowed
a request, and a token has an id. Under each binding stand its first use, how
often and for what it was used within --next, what was given by using it, and
who removed it when.`

const grantsExample = `  # who gave rights to whom today?
  kubetrail grants --since 1d

  # what did bob give away, and what was done with it within two hours?
  kubetrail grants user:bob --next 2h

  # as lines for another program
  kubetrail grants -f audit.log -o jsonl`

func (a *app) grantsVerb() *cobra.Command {
	f, known, cfg, next := &asked{}, "", power.GrantsConfig{}, ""
	cmd := &cobra.Command{Use: "grants [QUESTION]", Short: "Tell who gave power to whom, and what was done with it", Long: grantsLong, Example: grantsExample}
	fs := cmd.Flags()
	policyFlag(fs, &known)
	fs.StringVar(&next, "next", "1h", "How `LONG` after it was given it is looked what a power was used for")
	fs.BoolVar(&cfg.All, "all", false, "Also what the control plane and nodes do")
	fs.IntVar(&f.limit, "limit", 1000, "At most so many, the newest; 0 for 10,000")
	return a.answer(cmd, f, 0, func(ctx context.Context, r *opened, _ []string, q trail.Query) (_ output.Report, err error) {
		if cfg.Next, err = trail.ParseDuration(next); err != nil || cfg.Next <= 0 {
			return output.Report{}, usage("such as 1h or 30m", "--next %s is no length", next)
		}
		cfg.Limit = f.limit
		if cfg.Policy, err = a.knownPolicy(ctx, f, r, known); err != nil {
			return output.Report{}, err
		}
		return power.Grants(ctx, r.Reader, q, cfg)
	})
}
