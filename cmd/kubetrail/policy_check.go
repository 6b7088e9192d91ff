package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"kubetrail/internal/output"
	"kubetrail/policy"
)

const policyCheckLong = `Check tells what kube-apiserver would say on starting with an audit policy, and
nothing else. The first line is "accepted" or "rejected:" and its error; each
warning follows on a line "warning:". A text of several lines is printed as it
is.

The exit code is 0 where it would start, 3 where it would not. -o json also
tells the line and column of each error and warning. kubetrail policy lint finds
what is legal and yet wrong.`

func (a *app) policyCheckVerb() *cobra.Command {
	f := &asked{}
	var k policy.Kubernetes
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Tell what kube-apiserver would say about a policy",
		Long:  policyCheckLong,
		Example: `  # would kube-apiserver 1.36 start with it?
  kubetrail policy check audit-policy.yaml --kubernetes 1.36

  # where is what it complains of?
  kubetrail policy check audit-policy.yaml -o json`,
		Args: oneFile,
		RunE: func(_ *cobra.Command, args []string) error { return a.checkPolicy(f, args[0], k) },
	}
	releaseFlag(cmd.Flags(), &k)
	cmd.Flags().StringVarP(&f.output, "output", "o", "table", "Output `FORMAT`: "+countOutputs)
	return cmd
}

// oneFile demands exactly one argument.
func oneFile(_ *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return usage("- is standard input", "no file given")
	case len(args) > 1:
		return usage("give one file", "unexpected argument %q", args[1])
	}
	return nil
}

// policyVerdict is what kube-apiserver says about a policy.
type policyVerdict struct {
	rejected *policy.Rejection // nil where it was accepted
	warnings []policy.Finding  // in its words
	strict   []policy.Finding  // what a warning is about, one by one
}

func (a *app) checkPolicy(f *asked, name string, k policy.Kubernetes) error {
	if !oneOf(f.output, countOutputs) {
		return usage("choose one of "+countOutputs, "unknown output format %q", f.output)
	}
	v, err := a.judgePolicy(name, k)
	if err != nil {
		return err
	}
	if f.output == "table" {
		err = a.printVerdict(v)
	} else {
		err = a.printVerdictRows(f, v, k)
	}
	if err == nil && v.rejected != nil {
		return errFindings
	}
	return err
}

// judgePolicy asks for the verdict of release k. That a file cannot be read is one.
func (a *app) judgePolicy(name string, k policy.Kubernetes) (v policyVerdict, err error) {
	if name == "" {
		v.rejected = &policy.Rejection{Text: "file path not specified"}
		return v, nil
	}
	data, err := a.readPolicy(name)
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		v.rejected = &policy.Rejection{Text: fmt.Sprintf("failed to read file path %q: %s", name, at.Error())}
		return v, nil
	}
	if err != nil {
		return v, err
	}
	doc, err := policy.Load(data, k)
	if rejected, ok := errors.AsType[*policy.Rejection](err); ok {
		return policyVerdict{rejected, rejected.Warnings, rejected.Strict}, nil
	}
	return policyVerdict{nil, doc.Warnings, doc.Strict}, err
}

// printVerdict prints the texts as they are, but to a terminal without what could
// change it: a policy may quote anything.
func (a *app) printVerdict(v policyVerdict) error {
	shown := func(text string) string { return text }
	if terminal(a.out) > 0 {
		shown = func(text string) string { return output.Plain(text, true) }
	}
	w := a.stdout()
	if v.rejected != nil {
		fmt.Fprintf(w, "rejected: %s\n", shown(v.rejected.Text))
	} else {
		io.WriteString(w, "accepted\n")
	}
	for _, warning := range v.warnings {
		fmt.Fprintf(w, "warning: %s\n", shown(warning.Text))
	}
	return w.Flush()
}

// printVerdictRows prints each error and each fault behind a warning with its place.
func (a *app) printVerdictRows(f *asked, v policyVerdict, k policy.Kubernetes) error {
	head := map[string]any{"kubernetes": k.String(), "accepted": v.rejected == nil}
	var severities []string
	var rows []policy.Finding
	add := func(severity string, findings ...policy.Finding) {
		for _, found := range findings {
			severities, rows = append(severities, severity), append(rows, found)
		}
	}
	if v.rejected != nil {
		head["error"] = v.rejected.Text
		add("error", v.rejected.Findings...)
	}
	var texts []string
	for _, warning := range v.warnings {
		texts = append(texts, warning.Text)
		if strings.Contains(warning.Text, "strict decoding error") {
			add("warning", v.strict...)
		} else {
			add("warning", warning)
		}
	}
	if texts != nil {
		head["warnings"] = texts
	}
	return output.Rows(a.stdout(), f.output, "PolicyCheck", head, len(rows), func(b []byte, i int) []byte {
		b = output.AppendString(append(b, `{"severity":`...), severities[i])
		b = output.AppendString(append(b, `,"text":`...), rows[i].Text)
		if rows[i].Path != "" {
			b = output.AppendString(append(b, `,"path":`...), rows[i].Path)
		}
		if rows[i].Line > 0 {
			b = fmt.Appendf(b, `,"line":%d,"column":%d`, rows[i].Line, rows[i].Column)
		}
		return append(b, '}')
	})
}
