package main

import (
	"context"

	"github.com/spf13/cobra"

	"kubetrail/internal/load"
	"kubetrail/internal/output"
	"kubetrail/internal/trail"
	"kubetrail/policy"
)

const loadLong = `Load tells which clients, verbs and resources load the API server: how many
requests, how long they take, how many bytes they leave in the audit log; which
lists take long and how they were asked for, which watches do not last, where
slow requests spent their time, and what is asked for again and again.

With --log it tells which events fill the log, and with the policy that was in
force, which of its rules recorded them and what each costs in a day.`

const loadExample = `  # who loads the API server?
  kubetrail load --since 1h

  # the slowest verbs and resources of one client
  kubetrail load --by verb,resource 'user:system:serviceaccount:argocd:*'

  # which rules of the policy fill the log, and with what
  kubetrail load --log --policy policy.yaml`

func (a *app) loadVerb() *cobra.Command {
	f, cfg, log, file := &asked{}, load.Config{}, false, ""
	cmd := &cobra.Command{
		Use:     "load [QUESTION]",
		Short:   "Tell what loads the API server, and what fills the audit log",
		Long:    loadLong,
		Example: loadExample,
	}
	fs := cmd.Flags()
	fs.StringSliceVar(&cfg.By, "by", nil, "Tell apart by these: client, tool, resource or `FIELDS`; of the log also rule")
	fs.BoolVar(&log, "log", false, "Tell which events fill the log")
	fs.StringVar(&file, "policy", "", "`FILE` with the audit policy that was in force, for --log")
	return a.answer(cmd, f, 0, func(ctx context.Context, r *opened, _ []string, q trail.Query) (output.Report, error) {
		cfg.Chinese = f.lang == "zh"
		if err := load.CheckBy(cfg.By, log); err != nil {
			return output.Report{}, usage("kubetrail fields lists them all", "--by: %w", err)
		}
		if !log {
			if file != "" {
				return output.Report{}, usage("add --log", "--policy tells nothing of load")
			}
			return load.Find(ctx, r.Reader, q, cfg)
		}
		lc := load.LogConfig{By: cfg.By}
		if file != "" {
			doc, err := a.loadPolicy(file, policy.Newest)
			if err != nil {
				return output.Report{}, err
			}
			lc.Policy = doc
		}
		return load.Log(ctx, r.Reader, q, lc)
	})
}
