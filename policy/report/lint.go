package report

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"kubetrail/internal/output"
	"kubetrail/policy"
	"kubetrail/policy/lint"
	"kubetrail/policy/yamltext"
)

// Linted is a file with what lint found in it.
type Linted struct {
	Name     string // - for standard input
	Data     []byte
	Findings []lint.Finding
}

// Findings reports what lint found in files, for one release of kube-apiserver. As text
// it says why a check matters with the first finding of it.
func Findings(files []Linted, release policy.Kubernetes, language policy.Language) output.Report {
	r := output.Report{Kind: "PolicyLint", Head: map[string]any{"kubernetes": release.String()},
		Text: func(p *output.Page) error { return printFindings(p, files, language) }}
	whys := whysOf(language)
	for _, file := range files {
		for _, found := range file.Findings {
			r.Items = append(r.Items, findingJSON(file, found, language, whys))
		}
	}
	return r
}

// findingJSON is a finding as -o json prints it.
func findingJSON(file Linted, found lint.Finding, lang policy.Language, whys map[string]string) any {
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
	}{file.Name, found.Line, found.Column, found.End.Line, found.End.Column, string(found.Severity), found.Check, found.Message.In(string(lang)), whys[found.Check], nil}
	if found.Fix != nil {
		out.Fix = &fix{Text: found.Fix.Text.In(string(lang)), Diff: yamltext.Diff(file.Data, found.Fix.Edits)}
		for _, e := range found.Fix.Edits {
			out.Fix.Edits = append(out.Fix.Edits, edit{e.Start, e.End, e.New})
		}
	}
	return out
}

func whysOf(lang policy.Language) map[string]string {
	whys := map[string]string{}
	for _, c := range lint.Checks() {
		whys[c.ID] = c.Why.In(string(lang))
	}
	return whys
}

func printFindings(p *output.Page, files []Linted, language policy.Language) error {
	lang := string(language)
	whys := whysOf(language)
	for _, file := range files {
		for _, found := range file.Findings {
			head := fmt.Sprintf("%s:%d:%d: %s: %s [%s]", output.Plain(file.Name, false), found.Line, found.Column,
				found.Severity, output.Plain(found.Message.In(lang), false), found.Check)
			if p.Fit > 0 {
				head = output.Paragraph(head, "", p.Fit)
			}
			if p.Color {
				head = paintSeverity(found.Severity, head)
			}
			fmt.Fprintln(p.W, head)
			if why, first := whys[found.Check]; first {
				paragraph(p, why, "    ")
				delete(whys, found.Check)
			}
			if found.Fix != nil {
				paragraph(p, p.Pick("repair: ", "修复：")+output.Plain(found.Fix.Text.In(lang), false), "    ")
				for _, line := range yamltext.Diff(file.Data, found.Fix.Edits) {
					fmt.Fprintln(p.W, "      "+output.Plain(line, false))
				}
			}
		}
	}
	return nil
}

// Tally says how many findings there are, the worst first.
func Tally(linted []Linted, lang policy.Language) string {
	counts, files := map[lint.Severity]int{}, len(linted)
	for _, file := range linted {
		for _, found := range file.Findings {
			counts[found.Severity]++
		}
	}
	words := map[lint.Severity][2]string{lint.Error: {"error", "个错误"}, lint.Warning: {"warning", "个警告"}, lint.Info: {"note", "个提示"}}
	var parts []string
	for _, s := range []lint.Severity{lint.Error, lint.Warning, lint.Info} {
		switch n := counts[s]; {
		case n == 0:
		case lang == policy.Chinese:
			parts = append(parts, strconv.Itoa(n)+" "+words[s][1])
		default:
			parts = append(parts, output.Count(n, words[s][0]))
		}
	}
	switch {
	case lang == policy.Chinese && parts == nil:
		return fmt.Sprintf("%d 个文件中没有发现问题", files)
	case lang == policy.Chinese:
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

// Checks reports what lint looks for.
func Checks(language policy.Language) output.Report {
	lang := string(language)
	type check struct {
		Check    string `json:"check"`
		Severity string `json:"severity"`
		Title    string `json:"title"`
		Why      string `json:"why"`
	}
	r := output.Report{Kind: "PolicyCheckList"}
	for _, c := range lint.Checks() {
		r.Items = append(r.Items, check{c.ID, string(c.Severity), c.Title.In(lang), c.Why.In(lang)})
	}
	r.Text = func(p *output.Page) error {
		t := p.Table("CHECK", "SEVERITY", "FINDS")
		t.Headers, t.Soft = true, []int{2}
		for _, c := range lint.Checks() {
			if err := t.Add(c.ID, string(c.Severity), c.Title.In(lang)); err != nil {
				return err
			}
		}
		return t.Flush()
	}
	return r
}

// SARIF writes findings as SARIF 2.1.0, which code hosts show beside the lines. version
// is that of kubetrail.
func SARIF(w io.Writer, files []Linted, language policy.Language, version string) error {
	lang := string(language)
	type object = map[string]any
	text := func(s string) object { return object{"text": s} }
	region := func(from, to policy.Position) object {
		return object{"startLine": from.Line, "startColumn": from.Column, "endLine": to.Line, "endColumn": to.Column}
	}
	level := map[lint.Severity]string{lint.Error: "error", lint.Warning: "warning", lint.Info: "note"}
	rules, index := []object{}, map[string]int{}
	for i, c := range lint.Checks() {
		index[c.ID] = i
		rules = append(rules, object{"id": c.ID, "shortDescription": text(c.Title.In(lang)), "fullDescription": text(c.Why.In(lang)),
			"help":                 object{"text": c.Why.In(lang), "markdown": "**" + c.Title.In(lang) + "**\n\n" + c.Why.In(lang) + "\n\nSee `docs/policy-lint.md`, " + c.ID + "."},
			"defaultConfiguration": object{"level": level[c.Severity]}})
	}
	results := []object{}
	for _, file := range files {
		artifact := object{"uri": artifactURI(file.Name)}
		for _, found := range file.Findings {
			result := object{"ruleId": found.Check, "ruleIndex": index[found.Check], "level": level[found.Severity], "message": text(found.Message.In(lang)),
				"locations": []object{{"physicalLocation": object{"artifactLocation": artifact, "region": region(found.Position, found.End)}}}}
			if found.Fix != nil {
				var replacements []object
				for _, e := range found.Fix.Edits {
					replacements = append(replacements, object{"deletedRegion": region(yamltext.Place(file.Data, e.Start), yamltext.Place(file.Data, e.End)), "insertedContent": text(e.New)})
				}
				result["fixes"] = []object{{"description": text(found.Fix.Text.In(lang)),
					"artifactChanges": []object{{"artifactLocation": artifact, "replacements": replacements}}}}
			}
			results = append(results, result)
		}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(object{"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": []object{{
		"tool":       object{"driver": object{"name": "kubetrail", "version": version, "rules": rules}},
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
