package policy

import (
	stdjson "encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// source finds the places in a file that its errors are about.
type source struct {
	data []byte
	root *node // nil where the places are unknown
}

// locate gives findings about paths their places.
func (s *source) locate(findings []Finding) []Finding {
	for i, f := range findings {
		if s.root != nil && f.Position == (Position{}) {
			findings[i].Position = s.root.at(f.Path).Position
		}
	}
	return findings
}

// failure is what to say of an error that stopped decoding.
func (s *source) failure(text string, err error) Finding {
	f := Finding{Text: text}
	blame, _ := errors.AsType[*fault](err)
	syntax, isSyntax := errors.AsType[*stdjson.SyntaxError](err)
	typ, isType := errors.AsType[*stdjson.UnmarshalTypeError](err)
	when, isTime := errors.AsType[*time.ParseError](err)
	switch {
	case blame != nil && blame.path != "":
		f.Path = blame.path
	case isSyntax && isJSON(s.data):
		// The offset is behind the character that is wrong.
		f.Position = s.position(max(0, int(syntax.Offset)-1))
	case isType:
		f.Path = s.typePath(typ)
	case isTime:
		f.Path = s.timePath(when.Value)
	case isJSON(s.data), strings.HasPrefix(string(s.data), protobufPrefix):
	default:
		f.Position = s.yamlPlace(err.Error())
	}
	return s.locate([]Finding{f})[0]
}

// position is that of an offset.
func (s *source) position(offset int) Position {
	c := newCursor(s.data)
	return c.to(s.data, offset)
}

var indexes = regexp.MustCompile(`\[\d+\]`)

// typePath is the path of a value that is of a wrong type. The error's own path lacks
// indexes; its offset is that in the JSON text, but not where the value reads itself.
func (s *source) typePath(err *stdjson.UnmarshalTypeError) string {
	field := scheme{}.upstreamField(err.Field)
	tree := s.root
	if !isJSON(s.data) && s.root != nil {
		asJSON, _ := yaml.YAMLToJSON(s.data)
		tree = jsonPlaces(asJSON)
	}
	if tree != nil {
		if path := tree.pathAt(int(err.Offset)); strings.HasPrefix(indexes.ReplaceAllString(path, ""), field) {
			return path
		}
	}
	return field
}

// timePath is the path of a time that cannot be read.
func (s *source) timePath(text string) (found string) {
	if s.root == nil {
		return ""
	}
	s.root.walk(func(m *member, way *trail) {
		if found == "" && m.value.text == text && (m.key == "time" || strings.HasSuffix(strings.ToLower(m.key), "timestamp")) {
			found = way.path()
		}
	})
	return found
}

var (
	atLine        = regexp.MustCompile(`line (\d+): `)
	unknownAnchor = regexp.MustCompile(`unknown anchor '(.*)' referenced`)

	// parserErrors are those with a line that is counted from 0; the scanner's are
	// counted from 1.
	parserErrors = regexp.MustCompile(`line \d+: (did not find expected (<document start>|node content|key|'-' indicator|',' or '[\]}]')|found duplicate %|found incompatible YAML|found undefined tag handle)`)
)

// yamlPlace is the place that an error of the YAML library means.
func (s *source) yamlPlace(text string) Position {
	if m := unknownAnchor.FindStringSubmatch(text); m != nil {
		if i := strings.Index(string(s.data), "*"+m[1]); i >= 0 {
			return s.position(i)
		}
	}
	if m := atLine.FindStringSubmatch(text); m != nil {
		line, _ := strconv.Atoi(m[1])
		if parserErrors.MatchString(text) {
			line++
		}
		return s.line(line)
	}
	for i := 0; i < len(s.data); {
		r, size := utf8.DecodeRune(s.data[i:])
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) && !strings.ContainsRune("\t\r\n\u0085\u2028\u2029\ufeff\u00a0", r) {
			return s.position(i)
		}
		i += size
	}
	return Position{}
}

// line is where the text of a line begins, or of the last one.
func (s *source) line(line int) Position {
	c := newCursor(s.data)
	at := c.Position
	for c.offset < len(s.data) {
		r, _ := utf8.DecodeRune(s.data[c.offset:])
		if (!unicode.IsSpace(r) || r == '\t') && at.Line != c.Line && c.Line <= line {
			at = c.Position
		}
		if c.Line > line {
			break
		}
		c.to(s.data, c.offset+1)
	}
	return at
}

var duplicateKey = regexp.MustCompile(`line (\d+): key (.*) already set in map`)

// strict makes findings of the faults that only strict decoding sees, one for each key.
func (s *source) strict(faults []error) (findings []Finding) {
	for _, err := range faults {
		if field, ok := err.(json.FieldError); ok {
			f := Finding{Text: err.Error(), Path: field.FieldPath()}
			if s.root != nil {
				if _, m, whole := s.root.find(f.Path, new(int)); whole && m != nil {
					f.Position = m.Position
				}
			}
			findings = append(findings, f)
			continue
		}
		findings = append(findings, s.duplicates(err.Error())...)
	}
	return s.locate(findings)
}

// maxDuplicates is how many keys that stand twice are told one by one.
const maxDuplicates = 1000

// duplicates makes findings of the error of the YAML library about keys that stand
// twice in a mapping.
func (s *source) duplicates(text string) (findings []Finding) {
	type place struct {
		line int
		key  string
	}
	wanted := map[place][]int{} // of findings
	for line := range strings.Lines(text) {
		m := duplicateKey.FindStringSubmatch(line)
		if m == nil || len(findings) == maxDuplicates {
			continue
		}
		at, _ := strconv.Atoi(m[1])
		key, err := strconv.Unquote(m[2])
		if err != nil {
			key = m[2]
		}
		wanted[place{at, key}] = append(wanted[place{at, key}], len(findings))
		findings = append(findings, Finding{Text: strings.TrimSpace(line), Position: Position{Line: at}})
	}
	if findings == nil {
		return []Finding{{Text: text, Position: s.yamlPlace(text)}}
	}
	type match struct {
		*member
		way *trail
	}
	found := map[place]match{} // the last one, as the first one stands nowhere twice
	if s.root != nil {
		s.root.walk(func(m *member, way *trail) {
			if at := (place{m.Line, m.key}); wanted[at] != nil {
				found[at] = match{m, way}
			}
		})
	}
	for at, m := range found {
		path := m.way.path()
		for _, i := range wanted[at] {
			findings[i].Path, findings[i].Position = path, m.Position
		}
	}
	for i, f := range findings {
		if f.Column == 0 {
			findings[i].Position = s.line(f.Line)
		}
	}
	return findings
}
