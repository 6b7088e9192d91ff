package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kubetrail/internal/output"
	"kubetrail/policy"
	"kubetrail/policy/explain"
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
	x := explain.Request(doc.Policy, r)
	words := x.Words(policy.Language(f.lang), lines(doc))
	a.noteGroups(f, doc.Policy)
	if f.output != "table" {
		return a.printExplanation(f, doc, r, x, words)
	}
	w := a.stdout()
	for _, s := range []string{words.Request, words.Decision, words.Events} {
		paragraph(w, s, "")
	}
	if len(words.Misses) > 0 {
		title := "Rules tried before it, and why they do not match:"
		switch {
		case f.lang == "zh":
			title = "此前尝试的规则及其不匹配的原因："
		case x.Rule < 0:
			title = "Rules tried, and why they do not match:"
		}
		fmt.Fprintf(w, "\n%s\n", title)
	}
	for _, s := range words.Misses {
		paragraph(w, s, "  ")
	}
	return w.Flush()
}

// lines tells where the rules of doc stand.
func lines(doc *policy.Document) func(rule int) int {
	return func(rule int) int { return doc.Position(fmt.Sprintf("rules[%d]", rule)).Line }
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

// explained is one rule in the JSON formats.
type explained struct {
	Rule    int            `json:"rule"`
	Line    int            `json:"line"`
	Level   policy.Level   `json:"level"`
	Matches bool           `json:"matches"`
	Tests   []explain.Test `json:"tests"`
	Text    string         `json:"text"`
}

func (a *app) printExplanation(f *explainFlags, doc *policy.Document, r *policy.Request, x explain.Explanation, words explain.Words) error {
	rules := make([]explained, len(x.Trials))
	texts := append(slices.Clone(words.Misses), words.Decision)
	for i, t := range x.Trials {
		tests := append([]explain.Test{}, t.Tests...) // [], not null
		rules[i] = explained{t.Rule, lines(doc)(t.Rule), doc.Policy.Rules[t.Rule].Level, t.Matches(), tests, texts[i]}
	}
	head := map[string]any{
		"request": map[string]any{
			"authenticated": r.Authenticated, "user": r.User, "groups": append([]string{}, r.Groups...),
			"isResourceRequest": r.IsResourceRequest, "path": r.Path, "verb": r.Verb,
			"apiPrefix": r.APIPrefix, "apiGroup": r.APIGroup, "apiVersion": r.APIVersion,
			"namespace": r.Namespace, "resource": r.Resource, "subresource": r.Subresource, "name": r.Name,
		},
		"decision": json.RawMessage(appendDecision(nil, x.Decision)),
		"stages":   r.Stages(),
		"text":     []string{words.Request, words.Decision, words.Events},
	}
	return output.Rows(a.stdout(), f.output, "PolicyExplanation", head, len(rules), func(b []byte, i int) []byte {
		return appendJSON(b, rules[i])
	})
}

// appendDecision appends d as the object that --requests writes.
func appendDecision(b []byte, d policy.Decision) []byte {
	stages := append([]policy.Stage{}, d.OmitStages...) // [], not null
	return appendJSON(b, struct {
		Level             policy.Level   `json:"level"`
		OmitStages        []policy.Stage `json:"omitStages"`
		OmitManagedFields bool           `json:"omitManagedFields"`
		Rule              int            `json:"rule"`
	}{d.Level, stages, d.OmitManagedFields, d.Rule})
}

// appendJSON appends v, which holds nothing that cannot be encoded, without the escapes
// meant for HTML.
func appendJSON(b []byte, v any) []byte {
	var s strings.Builder
	e := json.NewEncoder(&s)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return append(b, strings.TrimSuffix(s.String(), "\n")...)
}

// paragraphColumns is how wide prose is set.
const paragraphColumns = 80

// paragraph writes a text in lines of paragraphColumns, all but the first indented by
// two columns more. It breaks at spaces outside of quotes and before Chinese
// characters.
func paragraph(w io.Writer, text, indent string) {
	line, col := indent, output.Width(indent)
	for i, word := range unbroken(text) {
		n := output.Width(strings.TrimRight(word, " "))
		if i > 0 && col+n > paragraphColumns {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			line, col = indent+"  ", output.Width(indent)+2
		}
		line += word
		col += output.Width(word)
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}

// unbroken cuts a text into the pieces that stay on one line. A Chinese mark stays with
// what it follows, or opens.
func unbroken(text string) []string {
	var words []string
	var word strings.Builder
	quoted, escaped, opened := false, false, false
	cut := func() {
		if word.Len() > 0 {
			words = append(words, word.String())
			word.Reset()
		}
	}
	for _, r := range text {
		if wide := output.RuneWidth(r) == 2; wide && !quoted && !opened && !strings.ContainsRune("，。、；：）", r) {
			cut()
		}
		word.WriteRune(r)
		opened = r == '（'
		switch {
		case escaped:
			escaped = false
		case r == '\\':
			escaped = quoted
		case r == '"':
			quoted = !quoted
		case !quoted && strings.ContainsRune(" ，、；：", r):
			cut()
		}
	}
	cut()
	return words
}
