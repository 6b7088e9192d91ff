// Package report prints what the tools for audit policies find: findings of lint,
// explanations, differences and simulations, for people and for programs.
package report

import (
	"encoding/json"
	"fmt"
	"slices"

	"kubetrail/internal/output"
	"kubetrail/policy"
	"kubetrail/policy/explain"
)

// explained is one rule in the JSON formats.
type explained struct {
	Rule    int            `json:"rule"`
	Line    int            `json:"line"`
	Level   policy.Level   `json:"level"`
	Matches bool           `json:"matches"`
	Tests   []explain.Test `json:"tests"`
	Text    string         `json:"text"`
}

// Explanation reports which rule of doc decides about r, and why those before it do not.
func Explanation(doc *policy.Document, r *policy.Request, language policy.Language) output.Report {
	x := explain.Request(doc.Policy, r)
	words := x.Words(language, Lines(doc))
	rules := make([]explained, len(x.Trials))
	texts := append(slices.Clone(words.Misses), words.Decision)
	for i, t := range x.Trials {
		tests := append([]explain.Test{}, t.Tests...) // [], not null
		rules[i] = explained{t.Rule, Lines(doc)(t.Rule), doc.Policy.Rules[t.Rule].Level, t.Matches(), tests, texts[i]}
	}
	head := map[string]any{
		"request": map[string]any{
			"authenticated": r.Authenticated, "user": r.User, "groups": append([]string{}, r.Groups...),
			"isResourceRequest": r.IsResourceRequest, "path": r.Path, "verb": r.Verb,
			"apiPrefix": r.APIPrefix, "apiGroup": r.APIGroup, "apiVersion": r.APIVersion,
			"namespace": r.Namespace, "resource": r.Resource, "subresource": r.Subresource, "name": r.Name,
		},
		"decision": json.RawMessage(AppendDecision(nil, x.Decision)),
		"stages":   r.Stages(),
		"text":     []string{words.Request, words.Decision, words.Events},
	}
	items := make([]any, len(rules))
	for i := range rules {
		items[i] = rules[i]
	}
	return output.Report{Kind: "PolicyExplanation", Head: head, Items: items, Text: func(p *output.Page) error {
		for _, s := range []string{words.Request, words.Decision, words.Events} {
			paragraph(p, s, "")
		}
		switch {
		case len(words.Misses) == 0:
		case x.Rule < 0:
			p.Say("\nRules tried, and why they do not match:", "\n此前尝试的规则及其不匹配的原因：")
		default:
			p.Say("\nRules tried before it, and why they do not match:", "\n此前尝试的规则及其不匹配的原因：")
		}
		for _, s := range words.Misses {
			paragraph(p, s, "  ")
		}
		return nil
	}}
}

// AppendDecision appends d as the object that --requests writes.
func AppendDecision(b []byte, d policy.Decision) []byte {
	stages := append([]policy.Stage{}, d.OmitStages...) // [], not null
	return AppendJSON(b, struct {
		Level             policy.Level   `json:"level"`
		OmitStages        []policy.Stage `json:"omitStages"`
		OmitManagedFields bool           `json:"omitManagedFields"`
		Rule              int            `json:"rule"`
	}{d.Level, stages, d.OmitManagedFields, d.Rule})
}

// AppendJSON appends v, which holds nothing that cannot be encoded, without the escapes
// meant for HTML.
func AppendJSON(b []byte, v any) []byte {
	b, err := output.AppendJSON(b, v)
	if err != nil {
		panic(err)
	}
	return b
}

// Lines tells where the rules of doc stand.
func Lines(doc *policy.Document) func(rule int) int {
	return func(rule int) int { return doc.Position(fmt.Sprintf("rules[%d]", rule)).Line }
}

// columns is how wide prose is set.
const columns = 80

// paragraph prints a text that is safe already.
func paragraph(p *output.Page, text, indent string) {
	fmt.Fprintln(p.W, output.Paragraph(text, indent, columns))
}
