package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"

	"kubetrail/internal/rawjson"
)

// maxTree tells how large a body may be that is read into a tree of values, which takes
// many times its size. Of MaxSize it is the 3 MiB that kube-apiserver takes: nobody can
// pad a body with comments or texts until it is not read.
func maxTree(max int) int { return max / 8 * 3 }

// maxValues tells how many values such a body may hold, as far as that can be told before
// it is read: each can take a quarter of a kilobyte, however few bytes it is. Of MaxSize
// that is a million, of which no object has a tenth.
func maxValues(max int) int { return max / 8 }

// A treeWriter appends a tree of values as JSON, members sorted by name. The tree may hold
// a value in many places, so that what it makes can be any number of times as large.
type treeWriter struct {
	out   []byte
	max   int
	depth int
}

func (w *treeWriter) value(v any) error {
	switch v := v.(type) {
	case map[any]any:
		named, err := byName(v)
		if err != nil {
			return err
		}
		return w.members(named)
	case map[string]any:
		return w.members(v)
	case []any:
		return w.elements(v)
	case string:
		return w.text(v)
	case nil:
		w.out = append(w.out, "null"...)
	case bool:
		w.out = strconv.AppendBool(w.out, v)
	case int:
		w.out = strconv.AppendInt(w.out, int64(v), 10)
	case int64:
		w.out = strconv.AppendInt(w.out, v, 10)
	default: // floats, and what is rare
		out, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("no JSON: %w", err)
		}
		w.out = append(w.out, out...)
	}
	return w.full()
}

func (w *treeWriter) full() error {
	if len(w.out) > w.max {
		return errTooLarge
	}
	return nil
}

// text appends a string as encoding/json does. A string that is no UTF-8 has no JSON that
// would be the same.
func (w *treeWriter) text(s string) error {
	if len(w.out)+len(s) > w.max {
		return errTooLarge
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			if !utf8.ValidString(s) {
				return errors.New("a string is no UTF-8")
			}
			out, err := json.Marshal(s)
			w.out = append(w.out, out...)
			return err
		}
	}
	w.out = append(append(append(w.out, '"'), s...), '"')
	return nil
}

// enter begins an array or an object.
func (w *treeWriter) enter(bracket byte) error {
	if w.depth++; w.depth > rawjson.MaxDepth {
		return errors.New("values are nested too deep")
	}
	w.out = append(w.out, bracket)
	return w.full()
}

func (w *treeWriter) leave(bracket byte) error {
	w.depth--
	w.out = append(w.out, bracket)
	return w.full()
}

func (w *treeWriter) members(m map[string]any) error {
	if err := w.enter('{'); err != nil {
		return err
	}
	for i, name := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if err := w.text(name); err != nil {
			return err
		}
		w.out = append(w.out, ':')
		if err := w.value(m[name]); err != nil {
			return err
		}
	}
	return w.leave('}')
}

func (w *treeWriter) elements(list []any) error {
	if err := w.enter('['); err != nil {
		return err
	}
	for i, v := range list {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if err := w.value(v); err != nil {
			return err
		}
	}
	return w.leave(']')
}

// byName makes the keys of a mapping names as sigs.k8s.io/yaml does. That takes any of two
// keys that have the same name, such as 1 and "1"; here they are an error.
func byName(m map[any]any) (map[string]any, error) {
	named := make(map[string]any, len(m))
	for k, v := range m {
		name := ""
		switch k := k.(type) {
		case string:
			name = k
		case int:
			name = strconv.Itoa(k)
		case int64:
			name = strconv.FormatInt(k, 10)
		case float64:
			name = floatName(k)
		case bool:
			name = strconv.FormatBool(k)
		default:
			return nil, fmt.Errorf("a key is a %v", reflect.TypeOf(k))
		}
		if _, taken := named[name]; taken {
			return nil, fmt.Errorf("two keys are %.100q", name)
		}
		named[name] = v
	}
	return named, nil
}

// floatName is how YAML writes a float of 32 bits.
func floatName(f float64) string {
	switch s := strconv.FormatFloat(f, 'g', -1, 32); s {
	case "+Inf":
		return ".inf"
	case "-Inf":
		return "-.inf"
	case "NaN":
		return ".nan"
	default:
		return s
	}
}
