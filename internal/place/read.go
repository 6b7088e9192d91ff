package place

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	yaml11 "sigs.k8s.io/yaml"

	"go.yaml.in/yaml/v3"
)

// IsJSON tells whether kube-apiserver takes data for JSON.
func IsJSON(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeftFunc(data, unicode.IsSpace), []byte("{"))
}

// MaxSize is the size in bytes up to which the values of a file are placed.
const MaxSize = 4 << 20

// read finds where the values of the first document in data stand; nil where it
// cannot be read.
func read(data []byte) *node {
	if len(data) > MaxSize {
		return nil
	}
	if IsJSON(data) {
		return jsonPlaces(data)
	}
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
		return nil
	}
	c := newCursor(data)
	r := yamlReader{end: c.to(data, len(data)), known: map[*yaml.Node]*node{}}
	return r.value(doc.Content[0])
}

// yamlReader makes nodes of those of the YAML library.
type yamlReader struct {
	end   Position // of the file
	known map[*yaml.Node]*node
}

// at is where y stands. What is absent behind a last line that nothing ends, the
// library sees on the line after it.
func (r *yamlReader) at(y *yaml.Node) Position {
	if y.Line > r.end.Line {
		return r.end
	}
	return Position{y.Line, y.Column}
}

func (r *yamlReader) value(y *yaml.Node) *node {
	if y.Kind == yaml.AliasNode {
		y = y.Alias
	}
	if n, ok := r.known[y]; ok {
		return n
	}
	n := &node{Position: r.at(y), text: y.Value}
	r.known[y] = n
	switch y.Kind {
	case yaml.SequenceNode:
		for _, item := range y.Content {
			n.items = append(n.items, r.value(item))
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(y.Content); i += 2 {
			key, value := y.Content[i], r.value(y.Content[i+1])
			if key.Tag == "!!merge" {
				// The first of several counts, but the last of several merge keys.
				var merged []merge
				for _, from := range append([]*node{value}, value.items...) {
					merged = append(merged, merge{from, len(n.members)})
				}
				n.merged = append(merged, n.merged...)
				continue
			}
			at := r.at(key)
			if absent := y.Content[i+1]; absent.Value == "" && absent.Style == 0 && absent.Kind == yaml.ScalarNode {
				value.Position = at
			}
			n.members = append(n.members, member{at, yamlKey(key), value})
		}
	}
	return n.indexed()
}

// ordinaryKey is a key that is a string in all versions of YAML, as are all the names
// of members of a policy.
var ordinaryKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./-]{3,}$`)

// yamlKey is the key that YAML 1.1 makes JSON of: "y" is true, and 0x10 is 16.
func yamlKey(key *yaml.Node) string {
	if key.Kind == yaml.AliasNode {
		key = key.Alias
	}
	if key.Style != 0 || ordinaryKey.MatchString(key.Value) && !strings.EqualFold(key.Value, "false") && !strings.EqualFold(key.Value, "true") {
		return key.Value
	}
	text, err := yaml11.YAMLToJSON([]byte(key.Value + ": 0"))
	if err != nil {
		return key.Value
	}
	object := map[string]int{}
	if json.Unmarshal(text, &object) == nil {
		for resolved := range object {
			return resolved
		}
	}
	return key.Value
}

// jsonPlaces is read for JSON.
func jsonPlaces(data []byte) *node {
	r := jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), cursor: newCursor(data)}
	r.dec.UseNumber()
	n, err := r.value()
	if err != nil {
		return nil
	}
	return n
}

// jsonReader reads the nodes of a JSON text.
type jsonReader struct {
	data []byte
	dec  *json.Decoder
	cursor
}

// value reads the next value. Where the text ends too early or is wrong, so is what
// was read so far.
func (r *jsonReader) value() (*node, error) {
	start := int(r.dec.InputOffset())
	for start < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[start]) >= 0 {
		start++
	}
	token, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	n := &node{Position: r.to(r.data, start), start: start}
	switch token {
	case json.Delim('{'):
		for r.dec.More() {
			key, err := r.value()
			if err != nil {
				return nil, err
			}
			value, err := r.value()
			if err != nil {
				return nil, err
			}
			n.members = append(n.members, member{key.Position, key.text, value})
		}
		_, err = r.dec.Token()
	case json.Delim('['):
		for r.dec.More() {
			item, err := r.value()
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
		_, err = r.dec.Token()
	default:
		if text, ok := token.(string); ok {
			n.text = text
		}
	}
	n.end = int(r.dec.InputOffset())
	return n.indexed(), err
}

// pathAt returns the path of the innermost value that was being read when offset bytes
// of a JSON text had been.
func (n *node) pathAt(offset int) string {
	in := func(n *node) bool { return n.start < offset && offset <= n.end }
	for i := range n.members {
		if m := &n.members[i]; in(m.value) {
			below := m.value.pathAt(offset)
			if below == "" || below[0] == '[' {
				return m.key + below
			}
			return m.key + "." + below
		}
	}
	for i, item := range n.items {
		if in(item) {
			below := item.pathAt(offset)
			if below != "" && below[0] != '[' {
				below = "." + below
			}
			return "[" + strconv.Itoa(i) + "]" + below
		}
	}
	return ""
}

// cursor counts lines and characters on the way through a file.
type cursor struct {
	Position
	offset int
	yaml   bool // whose lines end at U+0085, U+2028 and U+2029, too
}

func newCursor(data []byte) cursor {
	return cursor{Position: Position{1, 1}, yaml: !IsJSON(data)}
}

// to goes on to an offset, from where it was before.
func (c *cursor) to(data []byte, offset int) Position {
	for c.offset < min(offset, len(data)) {
		r, size := utf8.DecodeRune(data[c.offset:])
		c.offset += size
		switch {
		case r == '\r' && c.offset < len(data) && data[c.offset] == '\n':
		case r == '\n', r == '\r', c.yaml && (r == '\u0085' || r == '\u2028' || r == '\u2029'):
			c.Line, c.Column = c.Line+1, 1
		case r == '\ufeff' && c.offset == size:
		default:
			c.Column++
		}
	}
	return c.Position
}
