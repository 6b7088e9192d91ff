package main

import (
	"context"

	"github.com/spf13/cobra"

	"kubetrail/internal/output"
	"kubetrail/internal/power"
	"kubetrail/internal/trail"
)

const sessionsLong = `Sessions tells of every exec, attach, port-forward, debug, log -f and proxy:
when it began and how long it lasted, who it was and in which pod and container,
the command, from where, with which tool, and whether it was let in.

An exec of tar, as kubectl cp makes it, is told as cp, with its direction. A
debug container and the attach to it are one session. A session without an end
was still open, or its end is not in the trail. The ports of a port-forward are
not in the URI that kubectl sends, and so not in the log; nor is what was typed.`

const sessionsExample = `  # who was in a container of payments since yesterday?
  kubetrail sessions -n payments --since 1d

  # what did mallory execute?
  kubetrail sessions user:mallory -o wide

  # every session for another program, in a log file
  kubetrail sessions -f audit.log -o jsonl`

func (a *app) sessionsVerb() *cobra.Command {
	f, known := &asked{}, ""
	cmd := &cobra.Command{Use: "sessions [QUESTION]", Short: "Tell of every exec, attach, port-forward and debug", Long: sessionsLong, Example: sessionsExample}
	policyFlag(cmd.Flags(), &known)
	cmd.Flags().IntVar(&f.limit, "limit", 1000, "At most so many sessions, the newest; 0 for 10,000")
	return a.answer(cmd, f, 0, func(ctx context.Context, r *opened, _ []string, q trail.Query) (output.Report, error) {
		p, err := a.knownPolicy(ctx, f, r, known)
		if err != nil {
			return output.Report{}, err
		}
		return power.Sessions(ctx, r.Reader, q, power.SessionsConfig{Limit: f.limit, Namespace: f.namespace, Policy: p})
	})
}
