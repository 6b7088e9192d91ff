package lint

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"kubetrail/policy"
)

// file is a policy as text: its first YAML document and where everything in it stands.
type file struct {
	data   []byte
	starts []int      // where each line begins
	root   *yaml.Node // nil where the file cannot be read or is no mapping
	shared bool       // it has aliases: an edit in one place would change another
	second *yaml.Node // what stands in a second document
}

func parse(data []byte) *file {
	f := &file{data: data, starts: lineStarts(data)}
	var doc, next yaml.Node
	documents := yaml.NewDecoder(bytes.NewReader(data))
	if documents.Decode(&doc) != nil || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return f
	}
	f.root = doc.Content[0]
	walk(f.root, func(n *yaml.Node) { f.shared = f.shared || n.Kind == yaml.AliasNode })
	if documents.Decode(&next) == nil && len(next.Content) == 1 && next.Content[0].Tag != "!!null" {
		f.second = next.Content[0]
	}
	return f
}

// lineStarts splits lines as YAML 1.1 does, which counts NEL, LS and PS as line ends.
func lineStarts(data []byte) []int {
	starts := []int{0}
	if bytes.HasPrefix(data, []byte("\ufeff")) {
		starts[0] = 3 // the byte order mark is in no column
	}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		i += n
		switch r {
		case '\r':
			if i < len(data) && data[i] == '\n' {
				i++
			}
			starts = append(starts, i)
		case '\n', '\u0085', '\u2028', '\u2029':
			starts = append(starts, i)
		}
	}
	return starts
}

// walk visits n and everything below it, aliases not followed.
func walk(n *yaml.Node, visit func(*yaml.Node)) {
	visit(n)
	for _, c := range n.Content {
		walk(c, visit)
	}
}

// offset is where in data a place is; false where there is no such place.
func (f *file) offset(line, column int) (int, bool) {
	if line < 1 || line > len(f.starts) {
		return 0, false
	}
	at := f.starts[line-1]
	for ; column > 1 && at < len(f.data); column-- {
		_, n := utf8.DecodeRune(f.data[at:])
		at += n
	}
	return at, column == 1
}

// position is offset the other way round.
func (f *file) position(at int) policy.Position {
	line := f.line(at)
	return policy.Position{Line: line + 1, Column: utf8.RuneCount(f.data[min(f.starts[line], at):at]) + 1}
}

// line is the index of the line that holds the byte at.
func (f *file) line(at int) int {
	line := len(f.starts) - 1
	for line > 0 && f.starts[line] > at {
		line--
	}
	return line
}

// lineEnd is where the line after the one that holds at begins.
func (f *file) lineEnd(at int) int {
	if line := f.line(at); line+1 < len(f.starts) {
		return f.starts[line+1]
	}
	return len(f.data)
}

// find returns the value at path, whose steps are names of members and indices of
// items; where it is absent, false and the nearest value that would hold it.
func (f *file) find(path ...any) (*yaml.Node, bool) {
	n := f.root
	for _, step := range path {
		next := child(n, step)
		if next == nil {
			return n, false
		}
		n = next
	}
	return n, n != nil
}

func child(n *yaml.Node, step any) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch step := step.(type) {
	case int:
		if n != nil && n.Kind == yaml.SequenceNode && step < len(n.Content) {
			return n.Content[step]
		}
	case string:
		if _, i := member(n, step); i >= 0 {
			return n.Content[i+1]
		}
	}
	return nil
}

// member returns the key called name of a mapping, the last one where it is there
// twice, since that one counts.
func member(n *yaml.Node, name string) (key *yaml.Node, index int) {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, -1
	}
	for i := len(n.Content) - 2; i >= 0; i -= 2 {
		if n.Content[i].Value == name {
			return n.Content[i], i
		}
	}
	return nil, -1
}

// place returns where the value at path begins and ends; the key of a member where
// its value is a list or a mapping, for nobody looks for those at their first item.
func (f *file) place(path ...any) (from, to policy.Position) {
	n, whole := f.find(path...)
	if n == nil {
		return policy.Position{Line: 1, Column: 1}, policy.Position{Line: 1, Column: 1}
	}
	if name, ok := last(path).(string); ok && whole && n.Kind != yaml.ScalarNode {
		holder, _ := f.find(path[:len(path)-1]...)
		if key, i := member(holder, name); i >= 0 {
			n = key
		}
	}
	return f.nodePlace(n)
}

func (f *file) nodePlace(n *yaml.Node) (from, to policy.Position) {
	from = policy.Position{Line: n.Line, Column: n.Column}
	if _, end, ok := f.scalar(n); ok {
		return from, f.position(end)
	}
	return from, from
}

func last(path []any) any {
	if len(path) == 0 {
		return nil
	}
	return path[len(path)-1]
}

// scalar returns the bytes of a scalar with its quotes; false where it stretches over
// lines or has a tag or an anchor, which no edit may touch.
func (f *file) scalar(n *yaml.Node) (start, end int, ok bool) {
	start, ok = f.offset(n.Line, n.Column)
	if !ok || n.Kind != yaml.ScalarNode || start >= len(f.data) {
		return 0, 0, false
	}
	switch n.Style {
	case yaml.DoubleQuotedStyle, yaml.SingleQuotedStyle:
		end = quoted(f.data, start)
		return start, end, end > start && f.line(start) == f.line(end-1)
	case 0:
		return start, start + len(n.Value), n.Value != "" && bytes.HasPrefix(f.data[start:], []byte(n.Value))
	}
	return 0, 0, false
}

// quoted returns the end of the quoted scalar that begins at start, or start.
func quoted(data []byte, start int) int {
	quote := data[start]
	if quote != '"' && quote != '\'' {
		return start
	}
	for i := start + 1; i < len(data); i++ {
		switch {
		case data[i] == '\\' && quote == '"':
			i++
		case data[i] == quote && quote == '\'' && i+1 < len(data) && data[i+1] == quote:
			i++
		case data[i] == quote:
			return i + 1
		}
	}
	return start
}

// end is where the text of n ends; false where that is not certain.
func (f *file) end(n *yaml.Node) (int, bool) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Value == "" && n.Style == 0:
		return f.offset(n.Line, n.Column) // nothing is written there
	case n.Kind == yaml.ScalarNode:
		_, end, ok := f.scalar(n)
		return end, ok
	case flow(n):
		return f.flowEnd(n)
	case len(n.Content) > 0 && n.Kind != yaml.AliasNode:
		return f.end(n.Content[len(n.Content)-1])
	}
	return 0, false
}

func flow(n *yaml.Node) bool { return n.Style&yaml.FlowStyle != 0 }

// flowEnd finds the bracket that closes a list or a mapping in brackets.
func (f *file) flowEnd(n *yaml.Node) (int, bool) {
	at, ok := f.offset(n.Line, n.Column)
	if !ok || at >= len(f.data) || !strings.ContainsRune("[{", rune(f.data[at])) {
		return 0, false
	}
	if k := len(n.Content); k > 0 {
		if at, ok = f.end(n.Content[k-1]); !ok {
			return 0, false
		}
	} else {
		at++
	}
	for ; at < len(f.data); at++ {
		switch f.data[at] {
		case ']', '}':
			return at + 1, true
		case '#':
			at = f.lineEnd(at) - 1
		case ' ', '\t', '\n', '\r', ',':
		default:
			return 0, false
		}
	}
	return 0, false
}

// crlf tells whether the file ends its lines as Windows does.
func (f *file) crlf() bool { return bytes.Contains(f.data, []byte("\r\n")) }

// Place tells where the byte at offset of data stands.
func Place(data []byte, offset int) policy.Position {
	f := &file{data: data, starts: lineStarts(data)}
	return f.position(min(max(offset, 0), len(data)))
}
