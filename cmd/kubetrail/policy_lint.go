package main

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"kubetrail/internal/output"
	"kubetrail/policy"
	"kubetrail/policy/lint"
	"kubetrail/policy/report"
	"kubetrail/policy/yamltext"
)

const lintOutputs = "table, json, jsonl, yaml, sarif"

const policyLintLong = `Lint tells what is wrong with audit policies: first what kube-apiserver itself
says, then what it never says: rules that can never match, fields that it
ignores, secrets in clear, evidence that is lost, noise that costs. Each finding
comes with its place, why it matters, and where one is safe with a repair.
--checks lists what is looked for.

A comment on the line of a finding, or alone above it, silences it:
  # kubetrail:ignore no-catch-all: the proxy records the rest

With --fix the repaired policy is written to standard output, with -w in place
of the file; nothing but what a repair says is changed. The exit code is 3 where
a finding is as bad as --fail-on says.`

const policyLintExample = `  # what is wrong with it, for the release that will read it?
  kubetrail policy lint audit-policy.yaml --kubernetes 1.35

  # in a pipeline: annotations for the code review
  kubetrail policy lint -o sarif --fail-on warning policies/*.yaml > lint.sarif

  # remove the rules that never decide, and see what that changes
  kubetrail policy lint --fix shadowed-rule audit-policy.yaml |
    diff audit-policy.yaml -`

// linting is what policy lint was asked for.
type linting struct {
	asked
	cfg     lint.Config
	failOn  string
	fix     []string
	inPlace bool
	list    bool
}

func (a *app) policyLintVerb() *cobra.Command {
	f := &linting{}
	cmd := &cobra.Command{
		Use:     "lint FILE...",
		Short:   "Find what is wrong with a policy, legal or not",
		Long:    policyLintLong,
		Example: policyLintExample,
		RunE:    func(_ *cobra.Command, args []string) error { return a.lintPolicies(f, args) },
	}
	fs := cmd.Flags()
	releaseFlag(fs, &f.cfg.Kubernetes)
	fs.BoolVar(&f.cfg.BlockingStrict, "blocking-strict", false, "kube-apiserver runs with --audit-log-mode=blocking-strict")
	fs.StringVar(&f.failOn, "fail-on", "error", "Exit with 3 on findings of this `SEVERITY` and worse: error, warning, info or never")
	fs.StringSliceVar(&f.fix, "fix", nil, "Write the policy with the repairs of these `CHECKS`, or of all")
	fs.BoolVarP(&f.inPlace, "write", "w", false, "With --fix, replace the file instead of writing to standard output")
	fs.BoolVar(&f.list, "checks", false, "List what is looked for")
	fs.StringVarP(&f.output, "output", "o", "table", "Output `FORMAT`: "+lintOutputs)
	fs.StringVar(&f.color, "color", "auto", "Colour: auto, always or never")
	fs.StringVar(&f.lang, "lang", a.language(), "Language of prose: en or zh")
	return cmd
}

func (f *linting) checkFlags(names []string) error {
	if err := f.check(lintOutputs); err != nil {
		return err
	}
	switch {
	case !oneOf(f.failOn, "error, warning, info, never"):
		return usage("choose one of error, warning, info, never", "unknown --fail-on %q", f.failOn)
	case len(names) == 0 && !f.list:
		return usage("- is standard input", "no file given")
	case f.inPlace && len(f.fix) == 0:
		return usage("name the checks, for example --fix shadowed-rule", "-w goes with --fix")
	case len(f.fix) > 0 && len(names) != 1 && !f.inPlace:
		return usage("give one file, or -w", "--fix writes one policy to standard output")
	case f.inPlace && slices.Contains(names, "-"):
		return usage("leave -w away", "standard input cannot be replaced")
	}
	for _, id := range f.fix {
		if id != "all" && !slices.ContainsFunc(lint.Checks(), func(c lint.Check) bool { return c.ID == id }) {
			return usage("kubetrail policy lint --checks lists them", "--fix: no check is called %q", id)
		}
	}
	return nil
}

func (a *app) lintPolicies(f *linting, names []string) error {
	if err := f.checkFlags(names); err != nil {
		return err
	}
	if f.list {
		return report.Checks(policy.Language(f.lang)).Print(a.page(&f.asked), f.output)
	}
	var files []report.Linted
	for _, name := range names {
		data, err := a.readPolicy(name)
		if err != nil {
			return err
		}
		if len(f.fix) > 0 {
			if err := a.fixPolicy(f, name, data); err != nil {
				return err
			}
			continue
		}
		files = append(files, report.Linted{Name: name, Data: data, Findings: lint.Run(data, f.cfg)})
	}
	if len(f.fix) > 0 {
		return nil
	}
	if err := a.printLint(f, files); err != nil {
		return err
	}
	for _, file := range files {
		for _, found := range file.Findings {
			if f.failOn != "never" && found.Severity.AtLeast(lint.Severity(f.failOn)) {
				return errFindings
			}
		}
	}
	return nil
}

// fixPolicy repairs one finding after another, since a repair moves the others. One
// that leads back to what was there before is left out: it would undo another.
func (a *app) fixPolicy(f *linting, name string, data []byte) error {
	fixed := data
	const most = 1000 // repairs; a policy has a few dozen faults at worst
	seen := map[[sha256.Size]byte]bool{sha256.Sum256(data): true}
	for again := true; again && len(seen) <= most; {
		again = false
		for _, found := range lint.Run(fixed, f.cfg) {
			if found.Fix == nil || !slices.Contains(f.fix, "all") && !slices.Contains(f.fix, found.Check) {
				continue
			}
			next := yamltext.Apply(fixed, found.Fix.Edits)
			sum := sha256.Sum256(next)
			if again = !seen[sum]; again {
				fmt.Fprintf(a.err, "%s:%d:%d: %s: %s\n", output.Plain(name, false), found.Line, found.Column, found.Check, output.Plain(found.Fix.Text.In(f.lang), false))
				seen[sum] = true
				fixed = next
				break
			}
		}
	}
	switch {
	case !f.inPlace:
		_, err := a.out.Write(fixed)
		return err
	case string(fixed) == string(data):
		return nil
	}
	return replaceFile(name, fixed)
}

func (a *app) printLint(f *linting, files []report.Linted) error {
	language := policy.Language(f.lang)
	if f.output == "sarif" {
		return report.SARIF(a.out, files, language, buildVersion().Version)
	}
	err := report.Findings(files, f.cfg.Kubernetes, language).Print(a.page(&f.asked), f.output)
	if err == nil && f.output == "table" {
		fmt.Fprintln(a.err, report.Tally(files, language))
	}
	return err
}
