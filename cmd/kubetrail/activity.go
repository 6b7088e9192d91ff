package main

import (
	"context"

	"github.com/spf13/cobra"

	"kubetrail/internal/answer"
	"kubetrail/internal/output"
	"kubetrail/internal/trail"
)

const activityLong = `Activity tells everything that somebody did, and what others did in their name:
requests of one kind are one row, with how often, from when to when and how they
ended; writes and reads apart. Before that, the identities, credentials,
addresses and programs that were used.

SUBJECT is a user, a service account (ci/deployer), a node (node:NAME), a group
(group:NAME), an address or network, or a program (tool:kubectl). user:NAME
takes any name as that of a user.`

const activityExample = `  # what did mallory do, the remarkable first?
  kubetrail activity mallory --since 1d --notable

  # what did a service account write in a namespace?
  kubetrail activity ci/deployer -n shop 'verb:(create or update or patch)'

  # the least role that it would have got by with this week
  kubetrail activity ci/deployer --since 7d --used -o yaml

  # everything that came from a network, for another program
  kubetrail activity 10.1.0.0/16 --since 2h -o jsonl`

func (a *app) activityVerb() *cobra.Command {
	f, cfg := &asked{}, answer.ActivityConfig{}
	cmd := &cobra.Command{
		Use:     "activity SUBJECT [QUESTION]",
		Short:   "Tell everything that a user, group, address or program did",
		Long:    activityLong,
		Example: activityExample,
	}
	used, names := false, false
	cmd.Flags().BoolVar(&used, "used", false, "Tell the rights that were used; -o yaml prints them as roles")
	cmd.Flags().BoolVar(&names, "resource-names", false, "In roles, allow no other objects than those that were used")
	cmd.Flags().BoolVar(&cfg.Notable, "notable", false, "What deserves a look first: privileges, Secrets, shells, refusals")
	return a.answer(cmd, f, 1, func(ctx context.Context, r *opened, words []string, q trail.Query) (output.Report, error) {
		cfg.Subject, cfg.Chinese = answer.ParseSubject(words[0]), f.lang == "zh"
		if _, err := cfg.Subject.Where(); err != nil {
			return output.Report{}, &failure{exitUsage, err, "user:NAME takes any name as that of a user"}
		}
		switch s := cfg.Subject; {
		case used && s.Kind != "user" && s.Kind != "group":
			return output.Report{}, usage("name a user, a service account or a group", "%s has no rights", s.Text)
		case used:
			return answer.Used(ctx, r.Reader, q, answer.UsedConfig{Subject: s, Chinese: cfg.Chinese, Names: names})
		}
		return answer.Activity(ctx, r.Reader, q, cfg)
	})
}
