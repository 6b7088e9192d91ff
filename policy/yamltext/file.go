package yamltext

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"kubetrail/policy"
)

// File is a YAML file as text: its first document and where everything in it stands.
type File struct {
	Data   []byte
	Root   *yaml.Node // nil where the file cannot be read or is no mapping
	Second *yaml.Node // what stands in a second document, nil where there is none

	// Locked files must not be edited: in one with aliases an edit in one place
	// changes another, in one with tabs before a line it may change what they mean.
	Locked bool

	starts []int // where each line begins
}

// Parse reads a file. One that is not YAML has no Root.
func Parse(data []byte) *File {
	f := &File{Data: data, starts: lineStarts(data)}
	var doc, next yaml.Node
	documents := yaml.NewDecoder(bytes.NewReader(data))
	if documents.Decode(&doc) != nil || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return f
	}
	f.Root = doc.Content[0]
	f.Locked = regexp.MustCompile(`(?m)^ *\t`).Match(data)
	Walk(f.Root, func(n *yaml.Node) { f.Locked = f.Locked || n.Kind == yaml.AliasNode })
	if documents.Decode(&next) == nil && len(next.Content) == 1 && next.Content[0].Tag != "!!null" {
		f.Second = next.Content[0]
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
		if c := data[i]; c < utf8.RuneSelf && c != '\n' && c != '\r' {
			i++
			continue
		}
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

// Walk visits n and everything below it, aliases not followed.
func Walk(n *yaml.Node, visit func(*yaml.Node)) {
	visit(n)
	for _, c := range n.Content {
		Walk(c, visit)
	}
}

// Offset is where in Data a place is; false where there is no such place.
func (f *File) Offset(line, column int) (int, bool) {
	if line < 1 || line > len(f.starts) {
		return 0, false
	}
	at := f.starts[line-1]
	for ; column > 1 && at < len(f.Data); column-- {
		_, n := utf8.DecodeRune(f.Data[at:])
		at += n
	}
	return at, column == 1
}

// Position tells where the byte at offset at stands.
func (f *File) Position(at int) policy.Position {
	start, _ := f.Line(f.lineOf(at))
	return policy.Position{Line: f.lineOf(at), Column: utf8.RuneCount(f.Data[min(start, at):at]) + 1}
}

// lineOf is the number of the line that holds the byte at.
func (f *File) lineOf(at int) int {
	line, found := slices.BinarySearch(f.starts, at)
	if found {
		line++
	}
	return max(line, 1)
}

// Lines is how many lines there are.
func (f *File) Lines() int { return len(f.starts) }

// Line returns where a line begins, counted from 1, and where the next one does.
func (f *File) Line(number int) (start, end int) {
	if number < len(f.starts) {
		return f.starts[number-1], f.starts[number]
	}
	return f.starts[number-1], len(f.Data)
}

// LineAt is Line for the line that holds the byte at.
func (f *File) LineAt(at int) (start, end int) { return f.Line(f.lineOf(at)) }

// Comments returns where the lines of comment right above the line that begins at at
// begin; at where there are none.
func (f *File) Comments(at int) int {
	for at > 0 {
		start, _ := f.LineAt(at - 1)
		if !bytes.HasPrefix(bytes.TrimLeft(f.Data[start:at], " "), []byte("#")) {
			break
		}
		at = start
	}
	return at
}

// Find returns the value at path, whose steps are names of members and indices of
// items; where it is absent, false and the nearest value that would hold it.
func (f *File) Find(path ...any) (*yaml.Node, bool) {
	n := f.Root
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
		if _, i := Member(n, step); i >= 0 {
			return n.Content[i+1]
		}
	}
	return nil
}

// Member returns the key called name of a mapping, the last one where it is there
// twice, since that one counts.
func Member(n *yaml.Node, name string) (key *yaml.Node, index int) {
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

// Place returns where the value at path begins and ends; the key of a member where
// its value is a list or a mapping, for nobody looks for those at their first item.
func (f *File) Place(path ...any) (from, to policy.Position) {
	n, whole := f.Find(path...)
	if n == nil {
		return policy.Position{Line: 1, Column: 1}, policy.Position{Line: 1, Column: 1}
	}
	if name, ok := last(path).(string); ok && whole && n.Kind != yaml.ScalarNode {
		holder, _ := f.Find(path[:len(path)-1]...)
		if key, i := Member(holder, name); i >= 0 {
			n = key
		}
	}
	return f.NodePlace(n)
}

func (f *File) NodePlace(n *yaml.Node) (from, to policy.Position) {
	from = policy.Position{Line: n.Line, Column: n.Column}
	if _, end, ok := f.Scalar(n); ok {
		return from, f.Position(end)
	}
	return from, from
}

func last(path []any) any {
	if len(path) == 0 {
		return nil
	}
	return path[len(path)-1]
}

// Scalar returns the bytes of a scalar with its quotes; false where it stretches over
// lines or has a tag or an anchor, which no edit may touch.
func (f *File) Scalar(n *yaml.Node) (start, end int, ok bool) {
	start, ok = f.Offset(n.Line, n.Column)
	if !ok || n.Kind != yaml.ScalarNode || start >= len(f.Data) {
		return 0, 0, false
	}
	switch n.Style {
	case yaml.DoubleQuotedStyle, yaml.SingleQuotedStyle:
		end = quoted(f.Data, start)
		return start, end, end > start && f.lineOf(start) == f.lineOf(end-1)
	case 0:
		return start, start + len(n.Value), n.Value != "" && bytes.HasPrefix(f.Data[start:], []byte(n.Value))
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

// End is where the text of n ends; false where that is not certain.
func (f *File) End(n *yaml.Node) (int, bool) {
	switch {
	case n.Anchor != "":
		return 0, false // it stands before n, or where n would
	case n.Kind == yaml.ScalarNode && n.Value == "" && n.Style == 0:
		at, ok := f.Offset(n.Line, n.Column) // nothing is written there, but perhaps a tag
		return at, ok && !bytes.HasPrefix(f.Data[min(at, len(f.Data)):], []byte("!"))
	case n.Kind == yaml.ScalarNode:
		_, end, ok := f.Scalar(n)
		return end, ok
	case Flow(n):
		return f.flowEnd(n)
	case len(n.Content) > 0 && n.Kind != yaml.AliasNode:
		return f.End(n.Content[len(n.Content)-1])
	}
	return 0, false
}

func Flow(n *yaml.Node) bool { return n.Style&yaml.FlowStyle != 0 }

// flowEnd finds the bracket that closes a list or a mapping in brackets.
func (f *File) flowEnd(n *yaml.Node) (int, bool) {
	at, ok := f.Offset(n.Line, n.Column)
	if !ok || at >= len(f.Data) || !strings.ContainsRune("[{", rune(f.Data[at])) {
		return 0, false
	}
	if k := len(n.Content); k > 0 {
		if at, ok = f.End(n.Content[k-1]); !ok {
			return 0, false
		}
	} else {
		at++
	}
	for ; at < len(f.Data); at++ {
		switch f.Data[at] {
		case ']', '}':
			return at + 1, true
		case '#':
			_, next := f.LineAt(at)
			at = next - 1
		case ' ', '\t', '\n', '\r', ',':
		default:
			return 0, false
		}
	}
	return 0, false
}

// Place tells where the byte at offset of data stands.
func Place(data []byte, offset int) policy.Position {
	f := &File{Data: data, starts: lineStarts(data)}
	return f.Position(min(max(offset, 0), len(data)))
}
