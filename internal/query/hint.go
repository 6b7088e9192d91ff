package query

import (
	"fmt"
	"strings"

	"kubetrail/audit"
)

// lookalike finds what other languages would have meant by words without quotes.
// In KQL they would be text, and silently match nothing. field is the name whose
// value they are, empty for bare text.
func (p *parser) lookalike(words []value, field string) error {
	for i := range words {
		w := &words[i]
		if w.quoted {
			continue
		}
		raw := p.raw(w)
		if hint := wideHint(raw); hint != "" {
			return p.errorAt(w.pos, w.end, fmt.Sprintf("%q has full-width characters", raw), hint)
		}
		if hint := p.operatorHint(words, i, field); hint != "" {
			return p.errorAt(w.pos, w.end, fmt.Sprintf("%q is not KQL", raw), hint)
		}
		if raw[0] == '\'' {
			return p.errorAt(w.pos, w.end, "single quotes mean nothing here", `use double quotes: "`+strings.Trim(raw, "'")+`"`)
		}
		if field == "" {
			continue
		}
		if hint := luceneHint(raw); hint != "" {
			return p.errorAt(w.pos, w.end, fmt.Sprintf("%q is Lucene, not KQL", raw), hint)
		}
	}
	if last := &words[len(words)-1]; field != "" && !words[0].quoted {
		raw := p.text[words[0].pos:last.end]
		if lo, hi, ok := strings.Cut(raw, " TO "); ok && raw[0] == '[' {
			return p.errorAt(words[0].pos, last.end, "this is Lucene, not KQL",
				fmt.Sprintf("write %[1]s >= %[2]s and %[1]s <= %[3]s", field, strings.Trim(lo, "[ "), strings.TrimRight(hi, "] ")))
		}
	}
	return nil
}

// operatorHint says what to write in place of an operator of another language.
func (p *parser) operatorHint(words []value, i int, field string) string {
	raw := p.raw(&words[i])
	switch raw {
	case "&&", "&":
		return "write and"
	case "||", "|":
		return "write or"
	case "!":
		return "write not"
	case "=", "==", "===", "!=", "<>", "=~", "!~":
		return p.equalsHint(p.fieldBefore(words, i), raw, "value")
	}
	if raw[0] == '!' && len(raw) > 1 && i == 0 {
		if field != "" {
			return "write not " + field + ":" + raw[1:] + ", or double quotes around a value that begins so"
		}
		return "write not " + raw[1:]
	}
	if field != "" && i == 0 { // a=b may well be a value
		return ""
	}
	if at := strings.IndexByte(raw, '='); at > 0 {
		name := strings.TrimRight(raw[:at], "!=")
		if _, err := audit.Resolve(name); err == nil {
			return p.equalsHint(name, raw[len(name):], strings.TrimLeft(raw[at:], "=~"))
		}
	}
	return ""
}

func (p *parser) fieldBefore(words []value, i int) string {
	if i == 0 {
		return "field"
	}
	return p.raw(&words[i-1])
}

func (p *parser) equalsHint(name, op, text string) string {
	if text == "" {
		text = "value"
	}
	if op[0] == '!' || op == "<>" {
		return fmt.Sprintf("write not %s:%s", name, text)
	}
	return fmt.Sprintf("write %s:%s", name, text)
}

// wideHint says which characters an input method for Chinese or Japanese has put in
// the place of those that KQL knows.
func wideHint(raw string) string {
	if name, _, ok := strings.Cut(raw, "："); ok {
		if _, err := audit.Resolve(name); err == nil {
			return "write " + name + ": with an ASCII colon"
		}
	}
	for wide, ascii := range map[string]string{"“": `"`, "”": `"`, "（": "("} {
		if strings.HasPrefix(raw, wide) {
			return "write " + ascii + " in place of " + wide
		}
	}
	return ""
}

// sqlHint recognises field in (…) and the like.
func (p *parser) sqlHint(words []value) string {
	if len(words) < 2 {
		return ""
	}
	if _, err := audit.Resolve(p.raw(&words[0])); err != nil {
		return ""
	}
	switch strings.ToLower(p.raw(&words[1])) {
	case "in", "is", "like", "matches", "contains":
		return fmt.Sprintf("write %s:(a or b), with * as the wildcard", p.raw(&words[0]))
	}
	return ""
}

// luceneHint says what to write in place of a regular expression or a fuzzy word.
func luceneHint(raw string) string {
	if len(raw) > 2 && raw[0] == '/' && raw[len(raw)-1] == '/' {
		for _, sign := range []string{".*", ".+", "[", "^", "$", `\d`, `\w`, "|"} {
			if strings.Contains(raw, sign) {
				return "KQL has no regular expressions: use * for any characters, or double quotes around a path"
			}
		}
	}
	if at := strings.LastIndexByte(raw, '~'); at > 0 && strings.Trim(raw[at+1:], "0123456789") == "" {
		return "KQL has no fuzzy search: use * for any characters, or double quotes if ~ belongs to the value"
	}
	return ""
}
