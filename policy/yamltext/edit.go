package yamltext

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
	f := &File{Data: data, starts: lineStarts(data)}
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
		line := f.lineOf(from)
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
func (f *File) whole(e Edit) (from, to int) {
	from, _ = f.LineAt(e.Start)
	if start, _ := f.LineAt(e.End); from == e.Start && e.End == start && (e.Start != e.End || strings.HasSuffix(e.New, "\n")) {
		return from, e.End
	}
	_, to = f.LineAt(max(e.Start, e.End-1))
	return min(from, e.Start), to
}

func splitLines(s string) []string {
	s = strings.TrimSuffix(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

// Set replaces a scalar, keeping its quotes.
func (f *File) Set(n *yaml.Node, value string) *Edit {
	start, end, ok := f.Scalar(n)
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

// SetAt is set for the scalar at path.
func (f *File) SetAt(value string, path ...any) *Edit {
	n, ok := f.Find(path...)
	if !ok {
		return nil
	}
	return f.Set(n, value)
}

// Rename gives the member at path another name.
func (f *File) Rename(name string, path ...any) *Edit {
	holder, ok := f.Find(path[:len(path)-1]...)
	if !ok {
		return nil
	}
	key, i := Member(holder, last(path).(string))
	if i < 0 {
		return nil
	}
	return f.Set(key, name)
}

// Remove takes out the item or member at path.
func (f *File) Remove(path ...any) *Edit {
	holder, ok := f.Find(path[:len(path)-1]...)
	if !ok {
		return nil
	}
	if name, ok := last(path).(string); ok {
		_, i := Member(holder, name)
		return f.RemovePart(holder, i, 2)
	}
	return f.RemovePart(holder, last(path).(int), 1)
}

// RemovePart takes the n nodes from index i on out of a list (n = 1) or a mapping
// (n = 2). The last one cannot be taken out: nothing would remain.
func (f *File) RemovePart(holder *yaml.Node, i, n int) *Edit {
	all := holder.Content
	if i < 0 || i+n > len(all) || len(all) == n {
		return nil
	}
	start, ok := f.Offset(all[i].Line, all[i].Column)
	end, ok2 := f.End(all[i+n-1])
	if !ok || !ok2 {
		return nil
	}
	switch {
	case Flow(holder) && i+n < len(all):
		next, ok := f.Offset(all[i+n].Line, all[i+n].Column)
		return f.gap(ok, end, next, &Edit{Start: start, End: next})
	case Flow(holder):
		before, ok := f.End(all[i-1])
		return f.gap(ok, before, start, &Edit{Start: before, End: end})
	}
	line, _ := f.LineAt(start)
	_, behind := f.LineAt(max(start, end-1))
	lead := strings.TrimLeft(string(f.Data[line:start]), " ")
	whole := &Edit{Start: line, End: behind}
	switch {
	case holder.Kind == yaml.SequenceNode && strings.TrimRight(lead, " ") == "-":
		return whole
	case holder.Kind == yaml.MappingNode && lead == "":
		return whole
	case holder.Kind == yaml.MappingNode && strings.TrimRight(lead, " ") == "-" && i+n < len(all):
		// The first member stands behind the dash of its item: the next one moves up.
		next, ok := f.Offset(all[i+n].Line, all[i+n].Column)
		return f.gap(ok, end, next, &Edit{Start: start, End: next})
	}
	return nil
}

// gap returns e where between from and to there is nothing but space and a comma.
func (f *File) gap(ok bool, from, to int, e *Edit) *Edit {
	if !ok || from > to || len(bytes.Trim(f.Data[from:to], " \t\r\n,")) > 0 {
		return nil
	}
	return e
}

// AppendItem puts an item, given as lines of YAML without indentation, behind the
// last one of a list in block style.
func (f *File) AppendItem(seq *yaml.Node, lines ...string) *Edit {
	if seq.Kind != yaml.SequenceNode || Flow(seq) || len(seq.Content) == 0 {
		return nil
	}
	end, ok := f.End(seq.Content[len(seq.Content)-1])
	if !ok || end == 0 {
		return nil
	}
	indent := strings.Repeat(" ", seq.Column-1)
	_, at := f.LineAt(end - 1)
	text := indent + strings.Join(lines, "\n"+indent) + "\n"
	if at == len(f.Data) && !bytes.HasSuffix(f.Data, []byte("\n")) {
		text = "\n" + strings.TrimSuffix(text, "\n")
	}
	return &Edit{at, at, text}
}

// AddMember puts "name: value" before the first member of the mapping at path.
func (f *File) AddMember(name, value string, path ...any) *Edit {
	n, ok := f.Find(path...)
	if !ok || n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		return nil
	}
	at, ok := f.Offset(n.Content[0].Line, n.Content[0].Column)
	if !ok {
		return nil
	}
	if Flow(n) {
		return &Edit{at, at, strconv.Quote(name) + ": " + value + ", "}
	}
	return &Edit{at, at, name + ": " + value + "\n" + strings.Repeat(" ", n.Content[0].Column-1)}
}
