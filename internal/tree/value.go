// Package tree reads, compares and prints objects of the API as they are in JSON: what
// differs between two versions, with items of lists known by their keys, as paths or as
// lines of YAML.
//
// Objects are decoded JSON: map[string]any, []any, string, bool, int64, float64 and nil.
// Nothing here changes a value that it was given; what is returned shares with it whatever
// is the same, and must not be changed either.
package tree

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"reflect"

	kjson "sigs.k8s.io/json"
)

const (
	maxBody  = 32 << 20 // bytes of a body
	MaxDepth = 1000     // levels of a value
)

// Errors of Decode.
var (
	ErrTooLarge = errors.New("larger than 32 MiB")
	ErrTooDeep  = errors.New("nested deeper than 1000 levels")
)

// Decode reads one JSON value as the API server does: names of members are compared case
// by case, the last of several wins, and integers stay integers.
func Decode(text []byte) (any, error) {
	if len(text) > maxBody {
		return nil, ErrTooLarge
	}
	if depth(text) > MaxDepth {
		return nil, ErrTooDeep
	}
	var v any
	err := kjson.UnmarshalCaseSensitivePreserveInts(text, &v)
	return v, err
}

// depth is how deep the brackets outside strings are nested.
func depth(text []byte) int {
	deepest, now := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			now++
			deepest = max(deepest, now)
		case '}', ']':
			now--
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		}
	}
	return deepest
}

// Equal tells whether two values are the same. Numbers are, where they have one value.
func Equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) || (a == nil) != (b == nil) {
			return false
		}
		if Same(a, b) {
			return true
		}
		for k, x := range a {
			if y, ok := b[k]; !ok || !Equal(x, y) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		if len(a) > 0 && &a[0] == &b[0] {
			return true
		}
		for i := range a {
			if !Equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case int64:
		if f, ok := b.(float64); ok {
			return float64(a) == f
		}
	case float64:
		if i, ok := b.(int64); ok {
			return a == float64(i)
		}
	}
	return a == b
}

// Same tells whether two maps are one and the same.
func Same(a, b map[string]any) bool {
	return len(a) > 0 && len(a) == len(b) && reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// With returns m with a member set, or taken away where v is absent.
func With(m map[string]any, key string, v any) map[string]any {
	out := make(map[string]any, len(m)+1)
	maps.Copy(out, m)
	if v == Absent {
		delete(out, key)
	} else {
		out[key] = v
	}
	return out
}

// absent is no value at all, where nil is null.
var Absent any = missing{}

type missing struct{}

// Member returns m[key], absent where there is none.
func Member(m map[string]any, key string) any {
	if v, ok := m[key]; ok {
		return v
	}
	return Absent
}

// Object returns v as an object, nil where it is none.
func Object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// List returns v as a list, nil where it is none.
func List(v any) []any {
	l, _ := v.([]any)
	return l
}

// Text returns v as a string, "" where it is none.
func Text(v any) string {
	s, _ := v.(string)
	return s
}

// At returns what stands in an object below the names of path, nil where nothing does.
func At(v any, path ...string) any {
	for _, name := range path {
		v = Object(v)[name]
	}
	return v
}

// Put returns m with the value at path replaced, and the objects above it copied. An
// object that is missing on the way is made, unless v is absent.
func Put(m map[string]any, v any, path ...string) map[string]any {
	if len(path) == 1 {
		if v == Absent {
			if _, ok := m[path[0]]; !ok {
				return m
			}
		}
		return With(m, path[0], v)
	}
	below := Object(m[path[0]])
	if below == nil && v == Absent {
		return m
	}
	return With(m, path[0], Put(below, v, path[1:]...))
}

// Integer returns a number that is whole as an int64.
func Integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v), true
		}
	}
	return 0, false
}

// Compact writes a value as JSON with ordered members.
func Compact(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}
