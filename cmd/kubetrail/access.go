package main

import (
	"context"

	"github.com/spf13/cobra"

	"kubetrail/internal/output"
	"kubetrail/internal/power"
	"kubetrail/internal/schema"
	"kubetrail/internal/trail"
)

const accessLong = `Access tells who read, listed, watched or wrote an object, or tried to.

An object is named as for kubectl. Lists and watches of its namespace and of the
whole cluster return it as well, and are counted apart; a get of the same name
in another namespace is not it. Without a name all objects of the type count.

With --since, what happened from then on is compared with what the trail has of
the time before: who came for the first time ever, how often the others usually
come, and who came from a new address or with a new tool.

That nobody did is said only where the audit policy records every such request:
--policy names the one that was in force. What a container reads that mounts the
object is in no audit log.`

const accessExample = `  # who got at this Secret, and who was refused?
  kubetrail access secret/db-password -n payments

  # is what happened since yesterday usual?
  kubetrail access secrets -n payments --since 1d

  # nobody at all? prove it
  kubetrail access cm/app-config -n shop --policy policy.yaml`

func (a *app) accessVerb() *cobra.Command {
	f, known := &asked{}, ""
	cmd := &cobra.Command{Use: "access TYPE/NAME [QUESTION]", Short: "Tell who read or wrote an object, or tried to", Long: accessLong, Example: accessExample}
	policyFlag(cmd.Flags(), &known)
	namespace := ""
	// The namespace narrows the object, not the requests: lists of all namespaces count.
	cmd.PreRun = func(*cobra.Command, []string) { namespace, f.namespace = f.namespace, "" }
	return a.answer(cmd, f, 1, func(ctx context.Context, r *opened, words []string, q trail.Query) (output.Report, error) {
		p, err := a.knownPolicy(ctx, f, r, known)
		if err != nil {
			return output.Report{}, err
		}
		f.object, f.objectIn = schema.ParseTarget(words[0]), namespace
		return power.Access(ctx, r.Reader, q, power.AccessConfig{Target: f.object, Namespace: namespace, Policy: p})
	})
}
