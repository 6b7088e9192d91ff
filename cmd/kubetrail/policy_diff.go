package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kubetrail/policy"
	"kubetrail/policy/diff"
	"kubetrail/policy/report"
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
		err = report.Differences(r, c.names, c.docs, c.top).Print(a.page(&c.asked), c.output)
	}
	if err == nil && len(r.Changes) > 0 {
		return errFindings
	}
	return err
}
