package tree

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Errors that tell that a patch cannot have been applied to an object as it is known here.
var (
	errPath      = errors.New("the path leads to nothing")
	errIndex     = errors.New("no such index")
	errOperation = errors.New("no operation of a JSON patch")
	errTest      = errors.New("a test operation fails")
	errTooMuch   = errors.New("more than 3 MiB are copied")
)

// What kube-apiserver allows.
const (
	maxOperations = 10000
	maxCopied     = 3 << 20 // bytes, by all copy operations together
)

// JSONPatch applies a JSON patch (RFC 6902) as kube-apiserver does: indexes may be
// negative and then count from the end, and replace makes members that are not there.
func JSONPatch(doc any, operations []any) (any, error) {
	if len(operations) > maxOperations {
		return nil, fmt.Errorf("%w: more than %d", errOperation, maxOperations)
	}
	budget := maxCopied
	for i, o := range operations {
		var err error
		if doc, err = operate(doc, Object(o), &budget); err != nil {
			return nil, fmt.Errorf("operation %d: %w", i, err)
		}
	}
	return doc, nil
}

func operate(doc any, o map[string]any, budget *int) (any, error) {
	path, ok := o["path"].(string)
	if !ok {
		return nil, errOperation
	}
	to, err := Pointer(path)
	if err != nil {
		return nil, err
	}
	value := Member(o, "value")
	switch op := Text(o["op"]); op {
	case "add", "replace":
		if value == Absent {
			value = nil // as the API server reads it
		}
		return edited(doc, to, op, value)
	case "remove":
		return edited(doc, to, op, nil)
	case "test":
		found, err := Find(doc, to)
		if err != nil {
			return nil, err
		}
		if value == Absent {
			value = nil
		}
		if found == Absent {
			found = nil
		}
		if !Equal(found, value) {
			return nil, errTest
		}
		return doc, nil
	case "move", "copy":
		return transfer(doc, op, Text(o["from"]), to, budget)
	}
	return nil, errOperation
}

func transfer(doc any, op, origin string, to []string, budget *int) (any, error) {
	from, err := Pointer(origin)
	if err != nil {
		return nil, err
	}
	v, err := Find(doc, from)
	if err != nil {
		return nil, err
	}
	if op == "move" {
		if doc, err = edited(doc, from, "remove", nil); err != nil {
			return nil, err
		}
	} else if *budget -= size(v, *budget); *budget < 0 {
		// Values are shared here, but each copy would be written out.
		return nil, errTooMuch
	}
	if v == Absent {
		v = nil
	}
	return edited(doc, to, "add", v)
}

// size is about how many bytes a value takes as JSON; it stops where that exceeds limit.
func size(v any, limit int) int {
	n := 4
	switch v := v.(type) {
	case string:
		n += len(v)
	case map[string]any:
		for k, x := range v {
			if n += len(k) + size(x, limit-n); n > limit {
				break
			}
		}
	case []any:
		for _, x := range v {
			if n += size(x, limit-n); n > limit {
				break
			}
		}
	}
	return n
}

// Pointer splits a JSON pointer (RFC 6901).
func Pointer(p string) ([]string, error) {
	if p == "" {
		return nil, nil
	}
	parts := strings.Split(p, "/")
	if len(parts) < 2 || len(parts) > MaxDepth {
		return nil, errPath
	}
	parts = parts[1:] // as the API server does, whatever stands before the first slash
	for i, part := range parts {
		parts[i] = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
	}
	return parts, nil
}

// Find returns the value at a path: absent for a member that is missing from an object
// that is there.
func Find(v any, path []string) (any, error) {
	for i, name := range path {
		switch x := v.(type) {
		case map[string]any:
			v = Member(x, name)
			if (v == Absent || v == nil) && i < len(path)-1 {
				return nil, errPath
			}
		case []any:
			n, err := index(name, len(x))
			if err != nil {
				return nil, err
			}
			v = x[n]
		default:
			return nil, errPath
		}
	}
	return v, nil
}

// index reads the index of an item; negative ones count from the end.
func index(name string, n int) (int, error) {
	i, err := strconv.Atoi(name)
	if err != nil {
		return 0, errIndex
	}
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		return 0, errIndex
	}
	return i, nil
}

// edited returns v with the value at a path added, replaced or removed.
func edited(v any, path []string, op string, value any) (any, error) {
	if len(path) == 0 {
		if op != "replace" {
			return nil, errPath
		}
		return value, nil
	}
	name, last := path[0], len(path) == 1
	switch x := v.(type) {
	case map[string]any:
		if last {
			switch _, there := x[name]; {
			case op == "remove" && !there:
				return nil, errPath
			case op == "remove":
				return With(x, name, Absent), nil
			}
			return With(x, name, value), nil
		}
		below, there := x[name]
		if !there || below == nil {
			return nil, errPath
		}
		below, err := edited(below, path[1:], op, value)
		if err != nil {
			return nil, err
		}
		return With(x, name, below), nil
	case []any:
		return editedItem(x, path, op, value)
	}
	return nil, errPath
}

func editedItem(l []any, path []string, op string, value any) (any, error) {
	name, last := path[0], len(path) == 1
	if last && op == "add" {
		at := len(l)
		if name != "-" {
			var err error
			if at, err = index(name, len(l)+1); err != nil {
				return nil, err
			}
		}
		return slices.Insert(slices.Clone(l), at, value), nil
	}
	at, err := index(name, len(l))
	if err != nil {
		return nil, err
	}
	switch {
	case last && op == "remove":
		return slices.Delete(slices.Clone(l), at, at+1), nil
	case !last:
		if value, err = edited(l[at], path[1:], op, value); err != nil {
			return nil, err
		}
	}
	l = slices.Clone(l)
	l[at] = value
	return l, nil
}

// MergePatch applies a merge patch (RFC 7386): null takes a member away, objects are
// merged, everything else is replaced.
func MergePatch(doc, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return WithoutNulls(patch)
	}
	m, ok := doc.(map[string]any)
	if !ok {
		return WithoutNulls(patch)
	}
	out := make(map[string]any, len(m)+len(p))
	for k, v := range m {
		out[k] = v
	}
	for k, v := range p {
		old, there := out[k]
		switch {
		case v == nil:
			delete(out, k)
		case !there || old == nil:
			out[k] = WithoutNulls(v)
		default:
			out[k] = MergePatch(old, v)
		}
	}
	return out
}

// WithoutNulls takes members that are null away, however deep. In lists null stays.
func WithoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			if x != nil {
				out[k] = WithoutNulls(x)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = WithoutNulls(x)
		}
		return out
	}
	return v
}
