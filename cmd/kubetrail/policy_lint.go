package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"kubetrail/internal/output"
	"kubetrail/policy"
	"kubetrail/policy/lint"
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

// linted is a file with what was found in it.
type linted struct {
	name     string
	data     []byte
	findings []lint.Finding
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
		return a.listChecks(f)
	}
	var files []linted
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
		files = append(files, linted{name, data, lint.Run(data, f.cfg)})
	}
	if len(f.fix) > 0 {
		return nil
	}
	if err := a.printLint(f, files); err != nil {
		return err
	}
	for _, file := range files {
		for _, found := range file.findings {
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

func (a *app) printLint(f *linting, files []linted) error {
	switch f.output {
	case "table":
		return a.printFindings(f, files)
	case "sarif":
		return a.printSARIF(f, files)
	}
	type row struct {
		file  linted
		found lint.Finding
	}
	var rows []row
	for _, file := range files {
		for _, found := range file.findings {
			rows = append(rows, row{file, found})
		}
	}
	whys := whysOf(f.lang)
	head := map[string]any{"kubernetes": f.cfg.Kubernetes.String()}
	return output.Rows(a.stdout(), f.output, "PolicyLint", head, len(rows), func(b []byte, i int) []byte {
		text, err := json.Marshal(findingJSON(rows[i].file, rows[i].found, f.lang, whys))
		if err != nil {
			panic(err) // strings and numbers always encode
		}
		return append(b, text...)
	})
}

// findingJSON is a finding as -o json prints it.
func findingJSON(file linted, found lint.Finding, lang string, whys map[string]string) any {
	type edit struct {
		Start int    `json:"start"`
		End   int    `json:"end"`
		New   string `json:"new"`
	}
	type fix struct {
		Text  string   `json:"text"`
		Edits []edit   `json:"edits"`
		Diff  []string `json:"diff"`
	}
	out := struct {
		File      string `json:"file"`
		Line      int    `json:"line"`
		Column    int    `json:"column"`
		EndLine   int    `json:"endLine"`
		EndColumn int    `json:"endColumn"`
		Severity  string `json:"severity"`
		Check     string `json:"check"`
		Message   string `json:"message"`
		Why       string `json:"why"`
		Fix       *fix   `json:"fix,omitempty"`
	}{file.name, found.Line, found.Column, found.End.Line, found.End.Column, string(found.Severity), found.Check, found.Message.In(lang), whys[found.Check], nil}
	if found.Fix != nil {
		out.Fix = &fix{Text: found.Fix.Text.In(lang), Diff: yamltext.Diff(file.data, found.Fix.Edits)}
		for _, e := range found.Fix.Edits {
			out.Fix.Edits = append(out.Fix.Edits, edit{e.Start, e.End, e.New})
		}
	}
	return out
}

func whysOf(lang string) map[string]string {
	whys := map[string]string{}
	for _, c := range lint.Checks() {
		whys[c.ID] = c.Why.In(lang)
	}
	return whys
}

// printFindings prints findings for people: why a check matters with its first one.
func (a *app) printFindings(f *linting, files []linted) error {
	columns := terminal(a.out)
	colored := a.colored(f.color, a.out)
	whys := whysOf(f.lang)
	repair := map[string]string{"en": "repair: ", "zh": "修复："}[f.lang]
	w := a.stdout()
	counts := map[lint.Severity]int{}
	for _, file := range files {
		for _, found := range file.findings {
			counts[found.Severity]++
			head := fmt.Sprintf("%s:%d:%d: %s: %s [%s]", output.Plain(file.name, false), found.Line, found.Column,
				found.Severity, output.Plain(found.Message.In(f.lang), false), found.Check)
			if columns > 0 {
				head = wrap(head, columns)
			}
			if colored {
				head = paintSeverity(found.Severity, head)
			}
			fmt.Fprintln(w, head)
			if why, first := whys[found.Check]; first {
				fmt.Fprintln(w, below(why))
				delete(whys, found.Check)
			}
			if found.Fix != nil {
				fmt.Fprintln(w, below(repair+output.Plain(found.Fix.Text.In(f.lang), false)))
				for _, line := range yamltext.Diff(file.data, found.Fix.Edits) {
					fmt.Fprintln(w, "      "+output.Plain(line, false))
				}
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(a.err, tally(counts, len(files), f.lang))
	return nil
}

// tally says how many findings there are, the worst first.
func tally(counts map[lint.Severity]int, files int, lang string) string {
	words := map[lint.Severity][2]string{lint.Error: {"error", "个错误"}, lint.Warning: {"warning", "个警告"}, lint.Info: {"note", "个提示"}}
	var parts []string
	for _, s := range []lint.Severity{lint.Error, lint.Warning, lint.Info} {
		switch n := counts[s]; {
		case n == 0:
		case lang == "zh":
			parts = append(parts, strconv.Itoa(n)+" "+words[s][1])
		default:
			parts = append(parts, output.Count(n, words[s][0]))
		}
	}
	switch {
	case lang == "zh" && parts == nil:
		return fmt.Sprintf("%d 个文件中没有发现问题", files)
	case lang == "zh":
		return fmt.Sprintf("%d 个文件中有 %s", files, strings.Join(parts, "、"))
	case parts == nil:
		parts = []string{"nothing found"}
	}
	return strings.Join(parts, ", ") + " in " + output.Count(files, "file")
}

func paintSeverity(s lint.Severity, text string) string {
	switch s {
	case lint.Error:
		return "\x1b[31m" + text + "\x1b[0m"
	case lint.Warning:
		return "\x1b[33m" + text + "\x1b[0m"
	}
	return text
}

// below indents a text that explains the line before it.
func below(text string) string {
	const indent = "    "
	return indent + strings.ReplaceAll(wrap(text, 80-len(indent)), "\n", "\n"+indent)
}

// listChecks prints what is looked for.
func (a *app) listChecks(f *linting) error {
	if f.output != "table" {
		checks := lint.Checks()
		return output.Rows(a.stdout(), f.output, "PolicyCheckList", map[string]any{}, len(checks), func(b []byte, i int) []byte {
			b = output.AppendString(append(b, `{"check":`...), checks[i].ID)
			b = output.AppendString(append(b, `,"severity":`...), string(checks[i].Severity))
			b = output.AppendString(append(b, `,"title":`...), checks[i].Title.In(f.lang))
			b = output.AppendString(append(b, `,"why":`...), checks[i].Why.In(f.lang))
			return append(b, '}')
		})
	}
	t := output.Table{W: a.stdout(), Headers: true, Fit: terminal(a.out), Titles: []string{"CHECK", "SEVERITY", "FINDS"}, Soft: []int{2}}
	for _, c := range lint.Checks() {
		if err := t.Add(c.ID, string(c.Severity), c.Title.In(f.lang)); err != nil {
			return err
		}
	}
	return t.Flush()
}

// printSARIF prints findings as SARIF 2.1.0, which code hosts show beside the lines.
func (a *app) printSARIF(f *linting, files []linted) error {
	type object = map[string]any
	text := func(s string) object { return object{"text": s} }
	region := func(from, to policy.Position) object {
		return object{"startLine": from.Line, "startColumn": from.Column, "endLine": to.Line, "endColumn": to.Column}
	}
	level := map[lint.Severity]string{lint.Error: "error", lint.Warning: "warning", lint.Info: "note"}
	rules, index := []object{}, map[string]int{}
	for i, c := range lint.Checks() {
		index[c.ID] = i
		rules = append(rules, object{"id": c.ID, "shortDescription": text(c.Title.In(f.lang)), "fullDescription": text(c.Why.In(f.lang)),
			"help":                 object{"text": c.Why.In(f.lang), "markdown": "**" + c.Title.In(f.lang) + "**\n\n" + c.Why.In(f.lang) + "\n\nSee `docs/policy-lint.md`, " + c.ID + "."},
			"defaultConfiguration": object{"level": level[c.Severity]}})
	}
	results := []object{}
	for _, file := range files {
		artifact := object{"uri": artifactURI(file.name)}
		for _, found := range file.findings {
			result := object{"ruleId": found.Check, "ruleIndex": index[found.Check], "level": level[found.Severity], "message": text(found.Message.In(f.lang)),
				"locations": []object{{"physicalLocation": object{"artifactLocation": artifact, "region": region(found.Position, found.End)}}}}
			if found.Fix != nil {
				var replacements []object
				for _, e := range found.Fix.Edits {
					replacements = append(replacements, object{"deletedRegion": region(yamltext.Place(file.data, e.Start), yamltext.Place(file.data, e.End)), "insertedContent": text(e.New)})
				}
				result["fixes"] = []object{{"description": text(found.Fix.Text.In(f.lang)),
					"artifactChanges": []object{{"artifactLocation": artifact, "replacements": replacements}}}}
			}
			results = append(results, result)
		}
	}
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(object{"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": []object{{
		"tool":       object{"driver": object{"name": "kubetrail", "version": buildVersion().Version, "rules": rules}},
		"columnKind": "unicodeCodePoints", "results": results}}})
}

// artifactURI is a file name as a URI reference.
func artifactURI(name string) string {
	switch {
	case name == "-":
		return "stdin"
	case filepath.IsAbs(name):
		return (&url.URL{Scheme: "file", Path: filepath.ToSlash(name)}).String()
	}
	return (&url.URL{Path: filepath.ToSlash(name)}).String()
}
