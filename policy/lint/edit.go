package lint

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Edit replaces the bytes from Start to End of a file by New.
type Edit struct {
	Start, End int
	New        string
}

// Apply carries out edits, which must not overlap.
func Apply(data []byte, edits []Edit) []byte {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b Edit) int { return a.Start - b.Start })
	var out []byte
	at := 0
	for _, e := range edits {
		out = append(append(out, data[at:e.Start]...), e.New...)
		at = e.End
	}
	return append(out, data[at:]...)
}

// Diff shows what edits change: for each place "@@ line N", the lines that go, each
// after "- ", and those that come, each after "+ ".
func Diff(data []byte, edits []Edit) []string {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b Edit) int { return a.Start - b.Start })
	f := &file{data: data, starts: lineStarts(data)}
	var out []string
	for len(edits) > 0 {
		// Edits that share a line are one change.
		from, to := f.whole(edits[0])
		n := 1
		for ; n < len(edits) && edits[n].Start < to; n++ {
			_, end := f.whole(edits[n])
			to = max(to, end)
		}
		var inside []Edit
		for _, e := range edits[:n] {
			inside = append(inside, Edit{e.Start - from, e.End - from, e.New})
		}
		old := splitLines(string(data[from:to]))
		now := splitLines(string(Apply(data[from:to], inside)))
		line := f.line(from) + 1
		for len(old) > 0 && len(now) > 0 && old[0] == now[0] {
			old, now = old[1:], now[1:]
			line++
		}
		for len(old) > 0 && len(now) > 0 && old[len(old)-1] == now[len(now)-1] {
			old, now = old[:len(old)-1], now[:len(now)-1]
		}
		out = append(out, "@@ line "+strconv.Itoa(line))
		for _, line := range old {
			out = append(out, "- "+line)
		}
		for _, line := range now {
			out = append(out, "+ "+line)
		}
		edits = edits[n:]
	}
	return out
}

// whole returns the lines that an edit touches.
func (f *file) whole(e Edit) (from, to int) {
	from = f.starts[f.line(e.Start)]
	if from == e.Start && (e.End == f.starts[f.line(e.End)]) && (e.Start != e.End || strings.HasSuffix(e.New, "\n")) {
		return from, e.End
	}
	return min(from, e.Start), f.lineEnd(max(e.Start, e.End-1))
}

func splitLines(s string) []string {
	s = strings.TrimSuffix(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

// fix makes a Fix of edits; nil where one could not be made.
func (f *file) fix(what Text, edits ...*Edit) *Fix {
	if f.shared {
		return nil
	}
	fix := &Fix{Text: what}
	for _, e := range edits {
		if e == nil {
			return nil
		}
		if f.crlf() {
			e.New = strings.ReplaceAll(e.New, "\n", "\r\n")
		}
		fix.Edits = append(fix.Edits, *e)
	}
	return fix
}

// set replaces a scalar, keeping its quotes.
func (f *file) set(n *yaml.Node, value string) *Edit {
	start, end, ok := f.scalar(n)
	if !ok {
		return nil
	}
	switch n.Style {
	case yaml.DoubleQuotedStyle:
		value = strconv.Quote(value)
	case yaml.SingleQuotedStyle:
		value = "'" + strings.ReplaceAll(value, "'", "''") + "'"
	default:
		value = plainScalar(value)
	}
	return &Edit{start, end, value}
}

// plainScalar quotes a string where YAML would read it otherwise.
func plainScalar(value string) string {
	if regexp.MustCompile(`^[A-Za-z/][-A-Za-z0-9._/:]*$`).MatchString(value) && !strings.HasSuffix(value, ":") {
		return value
	}
	return strconv.Quote(value)
}

// setAt is set for the scalar at path.
func (f *file) setAt(value string, path ...any) *Edit {
	n, ok := f.find(path...)
	if !ok {
		return nil
	}
	return f.set(n, value)
}

// rename gives the member at path another name.
func (f *file) rename(name string, path ...any) *Edit {
	holder, ok := f.find(path[:len(path)-1]...)
	if !ok {
		return nil
	}
	key, i := member(holder, last(path).(string))
	if i < 0 {
		return nil
	}
	return f.set(key, name)
}

// remove takes out the item or member at path.
func (f *file) remove(path ...any) *Edit {
	holder, ok := f.find(path[:len(path)-1]...)
	if !ok {
		return nil
	}
	if name, ok := last(path).(string); ok {
		_, i := member(holder, name)
		return f.removePart(holder, i, 2)
	}
	return f.removePart(holder, last(path).(int), 1)
}

// removePart takes the n nodes from index i on out of a list (n = 1) or a mapping
// (n = 2). The last one cannot be taken out: nothing would remain.
func (f *file) removePart(holder *yaml.Node, i, n int) *Edit {
	all := holder.Content
	if i < 0 || i+n > len(all) || len(all) == n {
		return nil
	}
	start, ok := f.offset(all[i].Line, all[i].Column)
	end, ok2 := f.end(all[i+n-1])
	if !ok || !ok2 {
		return nil
	}
	switch {
	case flow(holder) && i+n < len(all):
		next, ok := f.offset(all[i+n].Line, all[i+n].Column)
		return f.gap(ok, end, next, &Edit{Start: start, End: next})
	case flow(holder):
		before, ok := f.end(all[i-1])
		return f.gap(ok, before, start, &Edit{Start: before, End: end})
	}
	line := f.starts[f.line(start)]
	lead := strings.TrimLeft(string(f.data[line:start]), " ")
	whole := &Edit{Start: line, End: f.lineEnd(max(start, end-1))}
	switch {
	case holder.Kind == yaml.SequenceNode && strings.TrimRight(lead, " ") == "-":
		return whole
	case holder.Kind == yaml.MappingNode && lead == "":
		return whole
	case holder.Kind == yaml.MappingNode && strings.TrimRight(lead, " ") == "-" && i+n < len(all):
		// The first member stands behind the dash of its item: the next one moves up.
		next, ok := f.offset(all[i+n].Line, all[i+n].Column)
		return f.gap(ok, end, next, &Edit{Start: start, End: next})
	}
	return nil
}

// gap returns e where between from and to there is nothing but space and a comma.
func (f *file) gap(ok bool, from, to int, e *Edit) *Edit {
	if !ok || from > to || len(bytes.Trim(f.data[from:to], " \t\r\n,")) > 0 {
		return nil
	}
	return e
}

// drop takes out a value that nothing matches, and what would be empty, and so match
// everything, without it: its list, and at last its rule.
func (f *file) drop(path ...any) *Edit {
	for len(path) > 0 {
		holder, ok := f.find(path[:len(path)-1]...)
		if !ok {
			return nil
		}
		if holder.Kind == yaml.SequenceNode && len(holder.Content) > 1 {
			if len(path) == 2 && path[0] == "rules" {
				return f.removeRule(path[1].(int))
			}
			return f.remove(path...)
		}
		path = path[:len(path)-1]
	}
	return nil
}

// removeRule takes out a rule with the comment right above it.
func (f *file) removeRule(i int) *Edit {
	e := f.remove("rules", i)
	if seq, ok := f.find("rules"); e != nil && ok && !flow(seq) {
		e.Start = f.comments(e.Start)
	}
	return e
}

// comments returns where the lines of comment right above the line at begin.
func (f *file) comments(at int) int {
	for line := f.line(at); line > 0; line-- {
		above := f.data[f.starts[line-1]:f.starts[line]]
		if !bytes.HasPrefix(bytes.TrimLeft(above, " "), []byte("#")) {
			break
		}
		at = f.starts[line-1]
	}
	return at
}

// ruleIndent returns the spaces before the dash of rule i; false where rules are
// written in brackets.
func (f *file) ruleIndent(i int) (indent string, line int, ok bool) {
	seq, found := f.find("rules")
	if !found || seq.Kind != yaml.SequenceNode || flow(seq) || i >= len(seq.Content) {
		return "", 0, false
	}
	at, ok := f.offset(seq.Content[i].Line, seq.Content[i].Column)
	if !ok {
		return "", 0, false
	}
	line = f.starts[f.line(at)]
	lead := string(f.data[line:at])
	indent = lead[:len(lead)-len(strings.TrimLeft(lead, " "))]
	return indent, line, strings.TrimSpace(lead) == "-"
}

// insertRule puts a rule, given as lines of YAML without indentation, before rule i
// and its comment.
func (f *file) insertRule(i int, lines ...string) *Edit {
	indent, line, ok := f.ruleIndent(i)
	if !ok {
		return nil
	}
	at := f.comments(line)
	return &Edit{at, at, indent + strings.Join(lines, "\n"+indent) + "\n"}
}

// appendRule puts a rule behind the last one.
func (f *file) appendRule(lines ...string) *Edit {
	seq, ok := f.find("rules")
	if !ok || len(seq.Content) == 0 {
		return nil
	}
	return f.appendItem(seq, lines...)
}

// appendItem puts an item, given as lines of YAML without indentation, behind the
// last one of a list in block style.
func (f *file) appendItem(seq *yaml.Node, lines ...string) *Edit {
	if seq.Kind != yaml.SequenceNode || flow(seq) || len(seq.Content) == 0 {
		return nil
	}
	end, ok := f.end(seq.Content[len(seq.Content)-1])
	if !ok || end == 0 {
		return nil
	}
	indent := strings.Repeat(" ", seq.Column-1)
	at := f.lineEnd(end - 1)
	text := indent + strings.Join(lines, "\n"+indent) + "\n"
	if at == len(f.data) && !bytes.HasSuffix(f.data, []byte("\n")) {
		text = "\n" + strings.TrimSuffix(text, "\n")
	}
	return &Edit{at, at, text}
}

// addMember puts "name: value" before the first member of the mapping at path.
func (f *file) addMember(name, value string, path ...any) *Edit {
	n, ok := f.find(path...)
	if !ok || n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		return nil
	}
	at, ok := f.offset(n.Content[0].Line, n.Content[0].Column)
	if !ok {
		return nil
	}
	if flow(n) {
		return &Edit{at, at, strconv.Quote(name) + ": " + value + ", "}
	}
	return &Edit{at, at, name + ": " + value + "\n" + strings.Repeat(" ", n.Content[0].Column-1)}
}
