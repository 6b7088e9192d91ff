package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"kubetrail/internal/history"
	"kubetrail/internal/output"
	"kubetrail/internal/trail"
)

const historyLong = `History tells the life of one object: who changed what and when, from its
creation to its end, and how sure that is. exact: the answer of the API server
was recorded. derived: worked out from the request. unknown: events without
bodies do not tell.

Heartbeats, status, what changed nothing and what was refused are counted, and
shown with --all. QUESTION and --since choose what is shown; what a request
changed is known from those before.

The values in Secrets are shown as sizes; --show-secrets shows them.`

const historyExample = `  # what happened to it, as differences
  kubetrail history deploy/nginx -n default --diff

  # the last YAML before it was deleted
  kubetrail history deploy/nginx-old -n default --at last > nginx-old.yaml

  # who set which field?
  kubetrail history deploy/cart -n shop --blame --at 2026-11-20T15:22:40Z`

func (a *app) historyVerb() *cobra.Command {
	f, at, known, c := &asked{}, "", "", history.Config{}
	cmd := &cobra.Command{Use: "history KIND/NAME [QUESTION]", Short: "Tell the life of one object: every change, by whom, how sure",
		Long: historyLong, Example: historyExample}
	fs := cmd.Flags()
	policyFlag(fs, &known)
	fs.BoolVar(&c.Diff, "diff", false, "Show every change as a difference of YAML")
	fs.StringVar(&at, "at", "", "The object as it was at this `TIME`, as YAML; last is the last version")
	fs.BoolVar(&c.Managed, "managed-fields", false, "With --at: print metadata.managedFields, too")
	fs.BoolVar(&c.Blame, "blame", false, "Who set each field last")
	fs.BoolVar(&c.All, "all", false, "Show heartbeats, status, what changed nothing and what failed, too")
	fs.BoolVar(&c.Objects, "objects", false, "With -o json, jsonl, yaml: every version whole")
	fs.BoolVar(&c.ShowSecrets, "show-secrets", false, "Show the values in Secrets")
	namespace := ""
	// The namespace is that of the object: there are requests that have none.
	cmd.PreRun = func(*cobra.Command, []string) { namespace, f.namespace = f.namespace, "" }
	return a.answer(cmd, f, 1, func(ctx context.Context, r *opened, words []string, q trail.Query) (output.Report, error) {
		var err error
		if c.Target, err = history.ParseTarget(words[0], namespace, f.cluster); err != nil {
			return output.Report{}, usage("for example deploy/nginx, secret/db-password, crontabs.example.com/mine", "%w", err)
		}
		f.object, f.objectIn = c.Target.Target, c.Target.Namespace
		c.Where, c.Since, c.Until = q.Where, q.Since, q.Until
		if at != "" && at != "last" {
			if c.Until, err = f.moment("--at", at, a.now()); err != nil {
				return output.Report{}, err
			}
			c.Until++ // what happened at that moment has happened
		}
		if c.Policy, err = a.knownPolicy(ctx, f, r, known); err != nil {
			return output.Report{}, err
		}
		c.Last, c.Whole = at == "last", at != "" && !c.Blame
		if c.Whole && f.output == "yaml" {
			f.output = "table" // which is YAML here
		}
		report, err := history.Answer(ctx, r.Reader, c)
		x, several := errors.AsType[*history.Ambiguous](err)
		switch {
		case several:
			err = usage("say which: "+output.Plain(x.Places[0], false), "%s: %w", words[0], err)
		case errors.Is(err, history.ErrGone):
			err = failed(err, "--at last prints the last version")
		case errors.Is(err, history.ErrUnknown):
			err = failed(err, "without --at and --blame it is told what is known")
		}
		return report, err
	})
}
