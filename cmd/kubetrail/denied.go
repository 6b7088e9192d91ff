package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"kubetrail/internal/output"
	"kubetrail/internal/power"
	"kubetrail/internal/trail"
)

const deniedLong = `Denied tells of refused requests: who was refused what, how often, when and why.

A refusal is a 401, a 403 or a 429, or an answer by which admission denied what
RBAC had allowed: Pod Security, a ValidatingAdmissionPolicy, a webhook, a quota.
Refusals to act as somebody else are told apart.

--grant writes the smallest grants that allow what RBAC refused, and nothing
else, as YAML for kubectl apply: a Role and a RoleBinding for each subject and
namespace, a ClusterRole and a ClusterRoleBinding for what is of the cluster.
What would be dangerous to grant is said in a comment. Judge before you apply.`

const deniedExample = `  # who was refused what today?
  kubetrail denied --since 1d

  # by resource, in buckets of an hour
  kubetrail denied --by resource --every 1h

  # what would veeru need?
  kubetrail denied 'user:veeru' --grant`

func (a *app) deniedVerb() *cobra.Command {
	f, known, cfg, every := &asked{}, "", power.DeniedConfig{}, ""
	cmd := &cobra.Command{Use: "denied [QUESTION]", Short: "Tell of refused requests, why, and what would allow them", Long: deniedLong, Example: deniedExample}
	fs := cmd.Flags()
	policyFlag(fs, &known)
	fs.StringVar(&cfg.By, "by", "subject", "Put together by `WHAT`: subject or resource")
	fs.StringVar(&every, "every", "", "`LENGTH` of a bar over time, such as 1h (default: at most 24 bars)")
	fs.BoolVar(&cfg.Grant, "grant", false, "Write the smallest grants that would allow it, as YAML")
	fs.IntVar(&f.limit, "limit", 100, "At most so many rows in a table; 0 for all")
	return a.answer(cmd, f, 0, func(ctx context.Context, r *opened, _ []string, q trail.Query) (_ output.Report, err error) {
		if !oneOf(cfg.By, "subject, resource") {
			return output.Report{}, usage("choose one of subject, resource", "unknown --by %q", cfg.By)
		}
		if every != "" {
			if cfg.Every, err = trail.ParseDuration(every); err != nil || cfg.Every < time.Second {
				return output.Report{}, usage("at least a second, such as 1h", "--every %s is no length", every)
			}
		}
		cfg.Limit = f.limit
		if cfg.Policy, err = a.knownPolicy(ctx, f, r, known); err != nil {
			return output.Report{}, err
		}
		return power.Denied(ctx, r.Reader, q, cfg)
	})
}
