package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"kubetrail/internal/output"
	"kubetrail/policy"
	"kubetrail/policy/report"
)

const policyExplainLong = `Explain tells which rule of a policy decides about a request, what is recorded
of it and at which stages, and why each earlier rule does not match. It takes

METHOD URI as in the request line, with --user and --groups; give the groups too
that kube-apiserver adds, such as system:authenticated, where a rule asks for
them. Without --user the request counts as not authenticated.

--requests FILE, a line {"method","uri","user","groups"} for each request; no
user is not authenticated. Each gets a line in the same place: {"level",
"omitStages","omitManagedFields","rule"}, where rules count from 0 and -1 is
none. A request that kube-apiserver refuses and a line that is no request get
{"error"}; after any of the latter the exit code is 1.

-f AUDITLOG, the requests of recorded events, or of those that answer QUESTION.
They are counted by the rule that decides; -o jsonl gives a line for each event
instead. What a policy sees is rebuilt from requestURI and verb.`

const policyExplainExample = `  # what is recorded of an exec, and why?
  kubetrail policy explain -p audit-policy.yaml --user alice --groups dev \
    POST '/api/v1/namespaces/default/pods/web/exec?command=sh'

  # many requests at once
  kubetrail policy explain -p audit-policy.yaml --requests requests.jsonl

  # which rules decide about alice's requests of a log?
  kubetrail policy explain -p audit-policy.yaml -f audit.log user:alice`

// explainFlags are the flags of policy explain.
type explainFlags struct {
	asked
	policy     string
	release    policy.Kubernetes
	user       string
	hasUser    bool
	groups     []string
	requests   string
	hasOutput  bool
	hasNarrows bool // --since and the like, which only events have
}

func (a *app) policyExplainVerb() *cobra.Command {
	f := &explainFlags{}
	cmd := &cobra.Command{
		Use:     "explain -p FILE (METHOD URI | --requests FILE | -f LOG [QUESTION])",
		Short:   "Tell which rule decides about a request, and why the others do not",
		Long:    policyExplainLong,
		Example: policyExplainExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.hasUser, f.hasOutput = cmd.Flags().Changed("user"), cmd.Flags().Changed("output")
			for _, name := range []string{"since", "until", "namespace", "fail-empty", "strict"} {
				f.hasNarrows = f.hasNarrows || cmd.Flags().Changed(name)
			}
			return a.policyExplain(cmd.Context(), f, args)
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&f.policy, "policy", "p", "", "Policy `FILE`; - is stdin")
	releaseFlag(fs, &f.release)
	fs.StringVar(&f.user, "user", "", "`NAME` of the authenticated user")
	fs.StringSliceVar(&f.groups, "groups", nil, "`GROUPS` of the user, separated by commas")
	fs.StringVar(&f.requests, "requests", "", "Decide about the requests in this `FILE` of JSON lines; - is stdin")
	fs.StringArrayVarP(&f.files, "file", "f", nil, "Decide about the events in audit `FILE`s or directories; - is stdin")
	fs.BoolVar(&f.strict, "strict", false, "Exit with 1 where a file held lines that are no events")
	f.which(fs)
	f.how(fs, a, countOutputs)
	return cmd
}

func (a *app) policyExplain(ctx context.Context, f *explainFlags, args []string) error {
	if err := f.check(args); err != nil {
		return err
	}
	doc, err := a.loadPolicy(f.policy, f.release)
	switch {
	case err != nil:
		return err
	case f.requests != "":
		return a.explainRequests(ctx, doc, f.requests)
	case len(f.files) > 0:
		return a.explainEvents(ctx, f, doc, args)
	}
	return a.explainRequest(f, doc, args[0], args[1])
}

// check rejects flags and words that do not go together.
func (f *explainFlags) check(args []string) error {
	single := f.requests == "" && len(f.files) == 0
	switch {
	case f.policy == "":
		return usage("for example -p /etc/kubernetes/audit-policy.yaml", "-p is missing")
	case f.requests != "" && len(f.files) > 0:
		return usage("give one of them", "--requests and -f exclude each other")
	case single && len(args) != 2:
		return usage("for example GET '/api/v1/pods?limit=10' --user alice, or --requests FILE, or -f AUDITLOG", "want METHOD and URI, not %s", output.Count(len(args), "word"))
	case f.requests != "" && len(args) > 0:
		return usage("every request stands in the file", "unexpected argument %q", args[0])
	case !single && (f.hasUser || len(f.groups) > 0):
		return usage("every request names its own user", "--user and --groups go with METHOD and URI only")
	case !f.hasUser && len(f.groups) > 0:
		return usage("add --user NAME: a request that is not authenticated has no groups", "--groups without --user")
	case len(f.files) == 0 && f.hasNarrows:
		return usage("add -f AUDITLOG", "--since, --until, --namespace, --fail-empty and --strict choose among events")
	case f.requests != "" && f.hasOutput && f.output != "jsonl":
		return usage("leave -o away", "--requests gives JSON lines, not %s", f.output)
	case f.policy == "-" && (f.requests == "-" || slices.Contains(f.files, "-")):
		return usage("name a file for one of them", "standard input cannot be both policy and requests")
	}
	return f.asked.check(countOutputs)
}

// explainRequest explains one request.
func (a *app) explainRequest(f *explainFlags, doc *policy.Document, method, uri string) error {
	info, err := policy.ParseRequest(method, uri)
	if err != nil {
		return failed(err, "kube-apiserver answers such a request with an error and records nothing")
	}
	r := &policy.Request{Authenticated: f.hasUser, User: f.user, Groups: f.groups, RequestInfo: info}
	a.noteGroups(f, doc.Policy)
	return report.Explanation(doc, r, policy.Language(f.lang)).Print(a.page(&f.asked), f.output)
}

// noteGroups tells what kube-apiserver adds to the request and the command line did not
// say, where the policy asks for it.
func (a *app) noteGroups(f *explainFlags, p *policy.Policy) {
	const all = "system:authenticated"
	if !f.hasUser {
		fmt.Fprintln(a.err, "note: without --user the request is one that failed authentication")
		return
	}
	asks := slices.ContainsFunc(p.Rules, func(r policy.PolicyRule) bool { return slices.Contains(r.UserGroups, all) })
	if asks && !slices.Contains(f.groups, all) && f.user != "system:anonymous" {
		fmt.Fprintf(a.err, "note: every user who logged in is in %s, and a rule asks for it; add it to --groups\n", all)
	}
}
