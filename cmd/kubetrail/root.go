package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// app is what the verbs have of the world around them.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	now      func() time.Time
	self     string // how the program was called
}

// run carries out one command line and returns the exit code.
func (a *app) run(ctx context.Context, argv []string) int {
	a.self = argv[0]
	root := a.root(programName(argv[0]))
	root.SetArgs(argv[1:])
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	verb := root.CommandPath()
	if path := strings.TrimPrefix(cmd.CommandPath(), verb); path != "" {
		verb += ":" + path
	}
	return reportError(a.err, verb, err)
}

// programName is what help calls us: as a plugin of kubectl (a link named
// kubectl-audit_trail) we are "kubectl audit-trail".
func programName(argv0 string) string {
	name := strings.TrimSuffix(filepath.Base(argv0), ".exe")
	if plugin, ok := strings.CutPrefix(name, "kubectl-"); ok {
		return "kubectl " + strings.ReplaceAll(plugin, "_", "-")
	}
	return "kubetrail"
}

const rootLong = `KubeTrail answers who did what, when, to what, from where and with what result,
from the audit logs that kube-apiserver writes.

Questions are written in KQL, the language of Kibana's search bar:
  user:jai and verb:(delete or patch) and not ns:kube-*
Field names are the JSON paths of audit.k8s.io/v1 or short aliases.`

const rootExample = `  # ask a log file on the spot
  kubetrail search -f /var/log/kubernetes/audit 'verb:delete and ns:kube-system'

  # keep logs, then ask much faster
  kubetrail import /var/log/kubernetes/audit
  kubetrail top --by user,verb --since 24h`

// root builds the tree of commands. name is what help calls the program.
func (a *app) root(name string) *cobra.Command {
	root := &cobra.Command{
		Use:           "kubetrail",
		Short:         "Kubernetes audit logs: keep every event, answer who did what",
		Long:          rootLong,
		Example:       inHelp(name, rootExample),
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: name},
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := name + " --help lists the commands"
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "did you mean " + strings.Join(near, " or ") + "?"
			}
			return usage(hint, "unknown command %q", args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "FlagUsages |", fmt.Sprintf("FlagUsagesWrapped %d |", max(80, terminal(a.out)))))
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(cmd.CommandPath()+" --help lists the flags", "%w", err)
	})
	for _, verb := range []func() *cobra.Command{
		a.importVerb, a.searchVerb, a.historyVerb, a.activityVerb, a.changesVerb, a.loadVerb, a.topVerb, a.histogramVerb, a.showVerb, a.explainVerb, a.sessionsVerb, a.accessVerb, a.deniedVerb, a.grantsVerb, a.gapsVerb, a.serversVerb,
		a.tailVerb, a.serveVerb, a.proxyVerb, a.agentVerb, a.configVerb, a.policyVerb, a.fieldsVerb, a.versionVerb,
	} {
		cmd := verb()
		cmd.Example = inHelp(name, cmd.Example)
		root.AddCommand(cmd)
	}
	return root
}

// inHelp writes examples with the name that the program was called by.
func inHelp(name, examples string) string {
	return strings.ReplaceAll(examples, "  kubetrail ", "  "+name+" ")
}

// noArgs is cobra.NoArgs with our exit code and a hint.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(cmd.CommandPath()+" --help", "unexpected argument %q", args[0])
	}
	return nil
}

// terminal returns the number of columns of the terminal behind w, or 0 where w is
// something else.
func terminal(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil || columns < 40 {
		return 80
	}
	return columns
}

// colored tells whether to colour what is written to w.
func (a *app) colored(when string, w io.Writer) bool {
	switch when {
	case "always":
		return true
	case "never":
		return false
	}
	return terminal(w) > 0 && a.env("NO_COLOR") == "" && a.env("TERM") != "dumb"
}

// stdout is the buffered standard output; whoever takes it flushes it.
func (a *app) stdout() *bufio.Writer { return bufio.NewWriterSize(a.out, 64<<10) }
