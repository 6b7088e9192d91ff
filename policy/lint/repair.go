package lint

import (
	"bytes"
	"strings"

	"go.yaml.in/yaml/v3"

	"kubetrail/policy/yamltext"
)

// file is a policy as text.
type file struct{ *yamltext.File }

// fix makes a Fix of edits; nil where one could not be made.
func (f file) fix(what Text, edits ...*yamltext.Edit) *Fix {
	if f.Locked {
		return nil
	}
	fix := &Fix{Text: what}
	for _, e := range edits {
		if e == nil {
			return nil
		}
		if bytes.Contains(f.Data, []byte("\r\n")) {
			e.New = strings.ReplaceAll(e.New, "\n", "\r\n")
		}
		fix.Edits = append(fix.Edits, *e)
	}
	return fix
}

// drop takes out a value that nothing matches, and what would be empty, and so match
// everything, without it: its list, and at last its rule.
func (f file) drop(path ...any) *yamltext.Edit {
	for len(path) > 0 {
		holder, ok := f.Find(path[:len(path)-1]...)
		if !ok {
			return nil
		}
		if holder.Kind == yaml.SequenceNode && len(holder.Content) > 1 {
			if len(path) == 2 && path[0] == "rules" {
				return f.removeRule(path[1].(int))
			}
			return f.Remove(path...)
		}
		path = path[:len(path)-1]
	}
	return nil
}

// removeRule takes out a rule with the comment right above it.
func (f file) removeRule(i int) *yamltext.Edit {
	e := f.Remove("rules", i)
	if seq, ok := f.Find("rules"); e != nil && ok && !yamltext.Flow(seq) {
		e.Start = f.Comments(e.Start)
	}
	return e
}

// ruleIndent returns the spaces before the dash of rule i; false where rules are
// written in brackets.
func (f file) ruleIndent(i int) (indent string, line int, ok bool) {
	seq, found := f.Find("rules")
	if !found || seq.Kind != yaml.SequenceNode || yamltext.Flow(seq) || i >= len(seq.Content) {
		return "", 0, false
	}
	at, ok := f.Offset(seq.Content[i].Line, seq.Content[i].Column)
	if !ok {
		return "", 0, false
	}
	line, _ = f.LineAt(at)
	lead := string(f.Data[line:at])
	indent = lead[:len(lead)-len(strings.TrimLeft(lead, " "))]
	return indent, line, strings.TrimSpace(lead) == "-"
}

// insertRule puts a rule, given as lines of YAML without indentation, before rule i
// and its comment.
func (f file) insertRule(i int, lines ...string) *yamltext.Edit {
	indent, line, ok := f.ruleIndent(i)
	if !ok {
		return nil
	}
	at := f.Comments(line)
	return &yamltext.Edit{Start: at, End: at, New: indent + strings.Join(lines, "\n"+indent) + "\n"}
}

// appendRule puts a rule behind the last one.
func (f file) appendRule(lines ...string) *yamltext.Edit {
	seq, ok := f.Find("rules")
	if !ok || len(seq.Content) == 0 {
		return nil
	}
	return f.AppendItem(seq, lines...)
}
