package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kubetrail/internal/proxy"
	"kubetrail/record/options"
)

const proxyLong = `Proxy stands before a kube-apiserver and records what passes as kube-apiserver
itself would: for control planes whose flags or audit policy are not yours to
set. Clients use its address instead of the API server's.

Users are told apart as by kube-apiserver: by a client certificate, by a bearer
token, which is passed on unchanged and about which the API server is asked
(SelfSubjectReview), or not at all (system:anonymous). Headers by which a client
says who it is or where it comes from are taken away, unless it is a proxy that
was declared.

Watches, logs, exec, attach and port-forward pass as they come. Events carry the
audit ID that the API server sees, so that both logs can be joined.

SIGHUP opens the log again and reads the policy again; certificates are read
again when they change.`

const proxyExample = `  # record who does what to the cluster of a kubeconfig
  kubetrail proxy --kubeconfig ~/.kube/config \
    --tls-cert-file tls.crt --tls-private-key-file tls.key \
    --audit-policy-file policy.yaml --audit-log-path audit.log

  # users with certificates too, as the aggregation layer tells of them
  kubetrail proxy --upstream https://10.0.0.1:6443 --upstream-ca-file ca.crt \
    --listen :8443 --tls-cert-file tls.crt --tls-private-key-file tls.key \
    --client-ca-file ca.crt --proxy-client-cert-file front-proxy-client.crt \
    --proxy-client-key-file front-proxy-client.key \
    --audit-policy-file policy.yaml --audit-webhook-config-file webhook.yaml

  # would it work?
  kubetrail proxy ... --check`

// proxyFlags are the flags of proxy.
type proxyFlags struct {
	proxy.Config
	audit *options.Options
	check bool
	json  bool
}

func (a *app) proxyVerb() *cobra.Command {
	f := &proxyFlags{Config: proxy.Defaults(), audit: options.New()}
	cmd := &cobra.Command{
		Use:     "proxy",
		Short:   "Record what passes on the way to an API server",
		Long:    proxyLong,
		Example: proxyExample,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.proxy(cmd.Context(), f) },
	}
	events := pflag.NewFlagSet("events", pflag.ContinueOnError)
	events.SortFlags = false
	f.audit.AddFlags(events)
	rest := pflag.NewFlagSet("rest", pflag.ContinueOnError)
	rest.BoolVar(&f.check, "check", false, "Check everything, reach the API server once, and end")
	rest.BoolVar(&f.json, "log-json", false, "Log in JSON")
	rest.BoolP("help", "h", false, "Help for proxy")
	groups := append(f.Flags(), proxy.FlagGroup{Title: "Events", Flags: events}, proxy.FlagGroup{Title: "All else", Flags: rest})
	for _, g := range groups {
		cmd.Flags().AddFlagSet(g.Flags)
	}
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		w := cmd.OutOrStderr()
		fmt.Fprintf(w, "Usage:\n  %s\n\nExamples:\n%s\n", cmd.UseLine(), cmd.Example)
		for _, g := range groups {
			fmt.Fprintf(w, "\n%s:\n", g.Title)
			g.Flags.VisitAll(func(flag *pflag.Flag) { printFlag(w, flag) })
		}
		return nil
	})
	return cmd
}

// printFlag prints a flag, and below it what it does: many of these names leave no room
// beside them.
func printFlag(w io.Writer, f *pflag.Flag) {
	if f.Hidden || f.Deprecated != "" {
		return
	}
	value, text := pflag.UnquoteUsage(f)
	line := "--" + f.Name
	if f.Shorthand != "" {
		line = "-" + f.Shorthand + ", " + line
	}
	if value != "" {
		line += " " + value
	}
	switch f.DefValue {
	case "", "false", "0", "0s", "[]":
	default:
		line += " (default " + strings.Trim(f.DefValue, "[]") + ")"
	}
	fmt.Fprintf(w, "  %s\n", line)
	for column, words := 80, strings.Fields(text); len(words) > 0; words = words[1:] {
		if column+1+len(words[0]) > 78 {
			if column < 80 {
				fmt.Fprintln(w)
			}
			fmt.Fprint(w, "       ")
			column = 7
		}
		fmt.Fprint(w, " ", words[0])
		column += 1 + len(words[0])
	}
	fmt.Fprintln(w)
}
