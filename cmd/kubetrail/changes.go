package main

import (
	"context"

	"github.com/spf13/cobra"

	"kubetrail/audit"
	"kubetrail/internal/answer"
	"kubetrail/internal/output"
	"kubetrail/internal/trail"
)

const changesLong = `Changes tells what changed in the cluster before something happened: writes that
were carried out, in the order of time, newest last. What controllers wrote
because of them is counted under the change that caused it. What changed nothing
of note is hidden and counted: heartbeats, leader leases, status, Events, dry
runs, issued tokens, reviews of access.

A person's writes to one object are one row, and so are a program's to objects
of one resource in a namespace, and a controller's of one resource.`

const changesExample = `  # what changed in the half hour before it broke?
  kubetrail changes --before 2026-11-20T14:05:00Z --window 30m

  # in one namespace today, with what was tried and failed
  kubetrail changes --since 2026-11-20 -n shop --failed

  # what people changed, with what followed from it
  kubetrail changes --since 2h -o wide 'not user:system:*'`

func (a *app) changesVerb() *cobra.Command {
	f, cfg, before, window := &asked{}, answer.ChangesConfig{}, "", ""
	cmd := &cobra.Command{
		Use:     "changes [QUESTION]",
		Short:   "Tell what changed before a point in time, routine hidden",
		Long:    changesLong,
		Example: changesExample,
	}
	fs := cmd.Flags()
	fs.StringVar(&before, "before", "", "What changed in the time before this `TIME`")
	fs.StringVar(&window, "window", "30m", "With --before: how `LONG` before it")
	fs.BoolVar(&cfg.Failed, "failed", false, "List what was tried and failed, apart")
	fs.BoolVar(&cfg.All, "all", false, "Show also what is hidden as nothing of note")
	fs.BoolVar(&cfg.ByNamespace, "by-namespace", false, "Print changes by namespace")
	return a.answer(cmd, f, 0, func(ctx context.Context, r *opened, _ []string, q trail.Query) (output.Report, error) {
		if before == "" && cmd.Flags().Changed("window") {
			return output.Report{}, usage("for example --before 2026-11-20T14:05:00Z --window 30m", "--window goes with --before")
		}
		if before != "" {
			if q.Since != audit.NoTime || q.Until != audit.NoTime {
				return output.Report{}, usage("give one of them", "--before excludes --since and --until")
			}
			length, err := trail.ParseDuration(window)
			if err != nil {
				return output.Report{}, usage("for example --window 30m", "--window: %w", err)
			}
			if q.Until, err = f.moment("--before", before, a.now()); err != nil {
				return output.Report{}, err
			}
			q.Since = q.Until - length.Microseconds()
		}
		cfg.Chinese = f.lang == "zh"
		return answer.Changes(ctx, r.Reader, q, cfg)
	})
}
