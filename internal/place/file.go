package place

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// File is a file whose places are asked for. It is immutable.
type File struct {
	data []byte
	root *node // nil where the places of values are unknown
}

// New reads the first document in data. Where it cannot be read, or is larger than
// MaxSize, the places of its values are unknown.
func New(data []byte) *File { return &File{data, read(data)} }

// At tells where the value at path stands, path being like "a[0].b"; for what is
// absent, where its parent does.
func (f *File) At(path string) Position {
	if f.root == nil {
		return Position{}
	}
	found, _, _ := f.root.find(path, new(int))
	return found.Position
}

// Key tells where the key of the member at path stands.
func (f *File) Key(path string) Position {
	if f.root != nil {
		if _, m, whole := f.root.find(path, new(int)); whole && m != nil {
			return m.Position
		}
	}
	return Position{}
}

// PathOf is the path of the first member for whose key and text match is true; "" where
// there is none. The text of what is no scalar is empty.
func (f *File) PathOf(match func(key, text string) bool) (found string) {
	if f.root != nil {
		f.root.walk(func(m *member, way *trail) {
			if found == "" && match(m.key, m.value.text) {
				found = way.path()
			}
		})
	}
	return found
}

// PathAt returns the path of the innermost value that was being read when offset bytes
// of a JSON text had been; "" where it is no JSON.
func PathAt(text []byte, offset int) string {
	if root := jsonPlaces(text); root != nil {
		return root.pathAt(offset)
	}
	return ""
}

// Offset tells where the byte at an offset stands.
func (f *File) Offset(offset int) Position {
	c := newCursor(f.data)
	return c.to(f.data, offset)
}

// OffsetOf is the offset of a place, false where the file has none such.
func (f *File) OffsetOf(p Position) (int, bool) {
	c := newCursor(f.data)
	for c.offset < len(f.data) && c.Position != p {
		c.to(f.data, c.offset+1)
	}
	return c.offset, c.Position == p
}

var (
	atLine        = regexp.MustCompile(`line (\d+): `)
	unknownAnchor = regexp.MustCompile(`unknown anchor '(.*)' referenced`)

	// parserErrors are those with a line that is counted from 0; the scanner's are
	// counted from 1.
	parserErrors = regexp.MustCompile(`line \d+: (did not find expected (<document start>|node content|key|'-' indicator|',' or '[\]}]')|found duplicate %|found incompatible YAML|found undefined tag handle)`)
)

// SyntaxError is the place that the text of an error of the YAML library means.
func (f *File) SyntaxError(text string) Position {
	if m := unknownAnchor.FindStringSubmatch(text); m != nil {
		if i := strings.Index(string(f.data), "*"+m[1]); i >= 0 {
			return f.Offset(i)
		}
	}
	if m := atLine.FindStringSubmatch(text); m != nil {
		line, _ := strconv.Atoi(m[1])
		if parserErrors.MatchString(text) {
			line++
		}
		return f.line(line)
	}
	for i := 0; i < len(f.data); {
		r, size := utf8.DecodeRune(f.data[i:])
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) && !strings.ContainsRune("\t\r\n\u0085\u2028\u2029\ufeff\u00a0", r) {
			return f.Offset(i)
		}
		i += size
	}
	return Position{}
}

// line is where the text of a line begins, or of the last one.
func (f *File) line(line int) Position {
	c := newCursor(f.data)
	at := c.Position
	for c.offset < len(f.data) {
		r, _ := utf8.DecodeRune(f.data[c.offset:])
		if (!unicode.IsSpace(r) || r == '\t') && at.Line != c.Line && c.Line <= line {
			at = c.Position
		}
		if c.Line > line {
			break
		}
		c.to(f.data, c.offset+1)
	}
	return at
}

var duplicateKey = regexp.MustCompile(`line (\d+): key (.*) already set in map`)

// Duplicate is a key that stands twice in a mapping, at its last place.
type Duplicate struct {
	Text string // of the error
	Path string // "" where it is unknown
	Position
}

// MaxDuplicates is how many keys that stand twice are told one by one.
const MaxDuplicates = 1000

// Duplicates takes apart the text of an error of the YAML library about keys that
// stand twice; it tells at most MaxDuplicates. There is none where the error is another.
func (f *File) Duplicates(text string) (all []Duplicate) {
	type place struct {
		line int
		key  string
	}
	wanted := map[place][]int{} // of all
	for line := range strings.Lines(text) {
		m := duplicateKey.FindStringSubmatch(line)
		if m == nil || len(all) == MaxDuplicates {
			continue
		}
		at, _ := strconv.Atoi(m[1])
		key, err := strconv.Unquote(m[2])
		if err != nil {
			key = m[2]
		}
		wanted[place{at, key}] = append(wanted[place{at, key}], len(all))
		all = append(all, Duplicate{Text: strings.TrimSpace(line), Position: Position{Line: at}})
	}
	if all == nil {
		return nil
	}
	type match struct {
		*member
		way *trail
	}
	found := map[place]match{} // the last one, as the first one stands nowhere twice
	if f.root != nil {
		f.root.walk(func(m *member, way *trail) {
			if at := (place{m.Line, m.key}); wanted[at] != nil {
				found[at] = match{m, way}
			}
		})
	}
	for at, m := range found {
		path := m.way.path()
		for _, i := range wanted[at] {
			all[i].Path, all[i].Position = path, m.Position
		}
	}
	for i, d := range all {
		if d.Column == 0 {
			all[i].Position = f.line(d.Line)
		}
	}
	return all
}
