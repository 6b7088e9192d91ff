// Package stored tells what a kube-apiserver makes of an object before it stores it:
// values in their canonical form, defaults, what an update cannot change, and what only
// the API server itself can give. It follows kube-apiserver v1.36 (the types, defaults and
// strategies of k8s.io/kubernetes), and says so where the outcome is not certain.
package stored

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"kubetrail/internal/schema"
	"kubetrail/internal/tree"
)

// Words are a reason in English and Chinese.
type Words struct{ En, Zh string }

var (
	ErrType   = errors.New("a value of another type")
	ErrUnsure = errors.New("a value whose stored form is not certain")
)

// A Storer does what decoding to a Go type and encoding again does: fields that a type
// does not have are gone, null and empty values become what they are in Go, and
// quantities and times take their canonical form.
type Storer struct {
	Doubt Words // why something may be stored in another form
}

// Object stores an object of a Struct type. What is the very object that was there before
// is stored as it is.
func (s *Storer) Object(before, v map[string]any, t *schema.Type) (map[string]any, error) {
	if before != nil && tree.Same(before, v) {
		return v, nil
	}
	out := make(map[string]any, len(v)+2)
	for _, f := range t.Fields {
		x := tree.Member(v, f.Name)
		old := tree.Member(before, f.Name)
		y, err := s.field(old, x, f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if y != tree.Absent {
			out[f.Name] = y
		}
	}
	switch err := setDefaults(out, t.Name); {
	case errors.Is(err, ErrUnsure):
		s.Doubt = Words{"what the API server fills in here is not certain", "API Server 在此处填充的值不确定"}
	case err != nil:
		return nil, err
	}
	return out, nil
}

// encodeBytes is how bytes stand in JSON.
func encodeBytes(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// field stores the value of a field; absent where it is not written.
func (s *Storer) field(old, v any, f *schema.Field) (any, error) {
	if v == nil || v == tree.Absent {
		switch {
		case f.OmitEmpty && f.Pointer, f.OmitZero:
			return tree.Absent, nil
		case f.Pointer:
			return nil, nil
		}
		return emptyField(f)
	}
	y, err := s.value(old, v, f.Type)
	if err != nil || f.Pointer || !f.OmitEmpty && !f.OmitZero {
		return y, err
	}
	if isZero(y) && f.Type.Form != schema.Quantity && f.Type.Form != schema.IntOrString {
		return tree.Absent, nil
	}
	if f.Type.Form == schema.Struct && f.OmitZero && len(tree.Object(y)) == 0 {
		return tree.Absent, nil
	}
	return y, nil
}

// emptyField is what is written for a field that is no pointer and has no value.
func emptyField(f *schema.Field) (any, error) {
	switch f.Type.Form {
	case schema.Struct:
		return (&Storer{}).Object(nil, nil, f.Type)
	case schema.Quantity:
		return "0", nil
	case schema.IntOrString:
		return int64(0), nil
	case schema.Time, schema.MicroTime, schema.Any:
		return nil, nil
	case schema.Duration:
		return "0s", nil
	}
	if f.OmitEmpty {
		return tree.Absent, nil
	}
	return zero(f.Type)
}

// zero is how Go writes the zero value of a type.
func zero(t *schema.Type) (any, error) {
	switch t.Form {
	case schema.String, schema.Bytes:
		return "", nil
	case schema.Bool:
		return false, nil
	case schema.Int32, schema.Int64, schema.Number, schema.IntOrString:
		return int64(0), nil
	case schema.Quantity:
		return "0", nil
	case schema.Duration:
		return "0s", nil
	case schema.Struct:
		return (&Storer{}).Object(nil, nil, t)
	}
	return nil, nil // lists, maps, times and what may be anything
}

// isZero tells values that omitempty leaves out.
func isZero(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case bool:
		return !v
	case int64:
		return v == 0
	case float64:
		return v == 0
	case map[string]any:
		return false // a struct is always written; maps that are empty are nil
	case []any:
		return len(v) == 0
	}
	return false
}

func (s *Storer) value(old, v any, t *schema.Type) (any, error) {
	if v == nil {
		return zero(t)
	}
	switch t.Form {
	case schema.Struct:
		m, ok := v.(map[string]any)
		if !ok {
			return nil, ErrType
		}
		before := tree.Object(old)
		return s.Object(before, m, t)
	case schema.Map:
		return s.mapping(old, v, t)
	case schema.List:
		return s.list(old, v, t)
	}
	return s.scalar(v, t, false)
}

// scalar stores a value that holds no others; one whose stored form is not certain as it
// is.
func (s *Storer) scalar(v any, t *schema.Type, milli bool) (any, error) {
	x, err := storeScalar(v, t, milli)
	if errors.Is(err, ErrUnsure) {
		s.Doubt = Words{"how the API server writes a value is not certain", "API Server 如何书写某个值并不确定"}
		return v, nil
	}
	return x, err
}

func (s *Storer) mapping(old, v any, t *schema.Type) (any, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, ErrType
	}
	if len(m) == 0 {
		return nil, nil
	}
	before := tree.Object(old)
	if tree.Same(before, m) {
		return m, nil
	}
	out := make(map[string]any, len(m))
	for k, x := range m {
		var y any
		var err error
		switch {
		case t.Item.Form == schema.Quantity && x != nil:
			y, err = s.scalar(x, t.Item, true)
		case t.Item.Form == schema.Bytes && x == nil:
			y, err = nil, nil // an empty slice of bytes
		default:
			y, err = s.value(before[k], x, t.Item)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		out[k] = y
	}
	return out, nil
}

func (s *Storer) list(old, v any, t *schema.Type) (any, error) {
	l, ok := v.([]any)
	if !ok {
		return nil, ErrType
	}
	if len(l) == 0 {
		return nil, nil
	}
	before := tree.List(old)
	if len(before) == len(l) && &before[0] == &l[0] {
		return l, nil
	}
	known := newKnown(before)
	out := make([]any, len(l))
	for i, x := range l {
		if m, ok := x.(map[string]any); ok && known.has(i, m) {
			out[i] = x
			continue
		}
		y, err := s.value(known.match(i, x, t), x, t.Item)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		out[i] = y
	}
	return out, nil
}

// known finds items that were in a list before.
type known struct {
	items []any
	at    map[string]int // by key, made when it is needed
}

func newKnown(items []any) *known { return &known{items: items} }

// has tells whether m is the very item that stood at i, or next to it.
func (k *known) has(i int, m map[string]any) bool {
	for j := max(i-1, 0); j <= i+1 && j < len(k.items); j++ {
		if x, ok := k.items[j].(map[string]any); ok && tree.Same(x, m) {
			return true
		}
	}
	return false
}

// match returns the item of a MapList with the same keys as x, nil for none.
func (k *known) match(_ int, x any, t *schema.Type) any {
	m := tree.Object(x)
	if m == nil || t.List != schema.MapList || len(k.items) == 0 {
		return nil
	}
	if k.at == nil {
		k.at = make(map[string]int, len(k.items))
		for i, item := range k.items {
			if name, ok := tree.ItemName(item, t.Keys); ok {
				k.at[name] = i
			}
		}
	}
	if name, ok := tree.ItemName(m, t.Keys); ok {
		if i, ok := k.at[name]; ok {
			return k.items[i]
		}
	}
	return nil
}

const microTime = "2006-01-02T15:04:05.000000Z07:00"

// storeScalar stores a value that holds no others. milli is for the values of a
// ResourceList.
func storeScalar(v any, t *schema.Type, milli bool) (any, error) {
	switch t.Form {
	case schema.Any:
		return v, nil
	case schema.IntOrString:
		if i, ok := v.(int64); ok {
			if i != int64(int32(i)) {
				return nil, ErrType
			}
			return i, nil
		}
	case schema.Bool:
		if b, ok := v.(bool); ok {
			return b, nil
		}
		return nil, ErrType
	case schema.Int32, schema.Int64:
		i, ok := v.(int64)
		if !ok {
			if _, ok := v.(float64); ok {
				return nil, ErrUnsure // 1.0, 1e3: decoders differ
			}
			return nil, ErrType
		}
		if t.Form == schema.Int32 && i != int64(int32(i)) {
			return nil, ErrType
		}
		return i, nil
	case schema.Number:
		switch v.(type) {
		case int64, float64:
			return v, nil
		}
		return nil, ErrType
	case schema.Quantity:
		if i, ok := v.(int64); ok {
			v = fmt.Sprint(i)
		} else if f, ok := v.(float64); ok {
			if f = math.Abs(f); f < 1e-6 || f > 1e15 {
				return nil, ErrUnsure
			}
			v = strconv.FormatFloat(v.(float64), 'f', -1, 64)
		}
	}
	str, ok := v.(string)
	if !ok {
		return nil, ErrType
	}
	return storeString(str, t, milli)
}

func storeString(s string, t *schema.Type, milli bool) (any, error) {
	switch t.Form {
	case schema.String, schema.IntOrString:
		return s, nil
	case schema.Bytes:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return nil, ErrType
		}
		return base64.StdEncoding.EncodeToString(b), nil
	case schema.Quantity:
		q, err := Quantity(s, milli)
		if err != nil {
			return nil, ErrUnsure
		}
		return q, nil
	case schema.Time:
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return nil, ErrType
		}
		if at.Year() < 1 || at.Year() > 9999 {
			return nil, ErrUnsure
		}
		return at.UTC().Format(time.RFC3339), nil
	case schema.MicroTime:
		at, err := time.Parse(microTime, s)
		if err != nil {
			return nil, ErrType
		}
		return at.UTC().Format(microTime), nil
	case schema.Duration:
		d, err := time.ParseDuration(s)
		if err != nil {
			return nil, ErrType
		}
		return d.String(), nil
	}
	return nil, ErrType
}
