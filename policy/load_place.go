package policy

import (
	stdjson "encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"

	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"kubetrail/internal/place"
)

// Position tells where the value at path stands, path being like
// "rules[0].resources[1].group"; for a member that is absent, where its parent does.
// It is the zero Position where the places of the file are unknown: in protobuf, beyond
// 4 MiB, and where d was not loaded.
func (d *Document) Position(path string) Position {
	if d.file == nil {
		return Position{}
	}
	return Position(d.file.At(path))
}

// source finds the places in a file that its errors are about.
type source struct {
	data []byte
	*place.File
}

// locate gives findings about paths their places.
func (s *source) locate(findings []Finding) []Finding {
	for i, f := range findings {
		if f.Position == (Position{}) {
			findings[i].Position = Position(s.At(f.Path))
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
	case isSyntax && place.IsJSON(s.data):
		// The offset is behind the character that is wrong.
		f.Position = Position(s.Offset(max(0, int(syntax.Offset)-1)))
	case isType:
		f.Path = s.typePath(typ)
	case isTime:
		f.Path = s.PathOf(func(key, text string) bool {
			return text == when.Value && (key == "time" || strings.HasSuffix(strings.ToLower(key), "timestamp"))
		})
	case place.IsJSON(s.data), strings.HasPrefix(string(s.data), protobufPrefix):
	default:
		f.Position = Position(s.SyntaxError(err.Error()))
	}
	return s.locate([]Finding{f})[0]
}

var indexes = regexp.MustCompile(`\[\d+\]`)

// typePath is the path of a value that is of a wrong type. The error's own path lacks
// indexes; its offset is that in the JSON text, but not where the value reads itself.
func (s *source) typePath(err *stdjson.UnmarshalTypeError) string {
	field, text := scheme{}.upstreamField(err.Field), s.data
	if len(text) > place.MaxSize {
		return field
	}
	if !place.IsJSON(text) {
		text, _ = yaml.YAMLToJSON(text)
	}
	if path := place.PathAt(text, int(err.Offset)); strings.HasPrefix(indexes.ReplaceAllString(path, ""), field) {
		return path
	}
	return field
}

// strict makes findings of the faults that only strict decoding sees, one for each key.
func (s *source) strict(faults []error) (findings []Finding) {
	for _, err := range faults {
		if field, ok := err.(json.FieldError); ok {
			findings = append(findings, Finding{err.Error(), field.FieldPath(), Position(s.Key(field.FieldPath()))})
			continue
		}
		twice := s.Duplicates(err.Error())
		for _, d := range twice {
			findings = append(findings, Finding{d.Text, d.Path, Position(d.Position)})
		}
		if twice == nil {
			findings = append(findings, Finding{Text: err.Error(), Position: Position(s.SyntaxError(err.Error()))})
		}
	}
	return s.locate(findings)
}
