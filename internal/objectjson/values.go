package objectjson

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// known returns how types are written whose MarshalJSON is called for nearly every object.
func known(t reflect.Type) func([]byte, unsafe.Pointer, int) ([]byte, error) {
	if t != reflect.TypeFor[metav1.Time]() {
		return nil
	}
	return func(dst []byte, at unsafe.Pointer, _ int) ([]byte, error) {
		v := (*metav1.Time)(at)
		if v.IsZero() {
			return append(dst, "null"...), nil
		}
		dst = v.UTC().AppendFormat(append(dst, '"'), time.RFC3339)
		return append(dst, '"'), nil
	}
}

// scalar returns how strings, numbers and truth values are written.
func scalar(t reflect.Type) func([]byte, unsafe.Pointer, int) ([]byte, error) {
	number := func(n func(unsafe.Pointer) int64) func([]byte, unsafe.Pointer, int) ([]byte, error) {
		return func(dst []byte, at unsafe.Pointer, _ int) ([]byte, error) {
			return strconv.AppendInt(dst, n(at), 10), nil
		}
	}
	switch t.Kind() {
	case reflect.Bool:
		return func(dst []byte, at unsafe.Pointer, _ int) ([]byte, error) {
			return strconv.AppendBool(dst, *(*bool)(at)), nil
		}
	case reflect.Int8:
		return number(func(at unsafe.Pointer) int64 { return int64(*(*int8)(at)) })
	case reflect.Int16:
		return number(func(at unsafe.Pointer) int64 { return int64(*(*int16)(at)) })
	case reflect.Int32:
		return number(func(at unsafe.Pointer) int64 { return int64(*(*int32)(at)) })
	case reflect.Int64:
		return number(func(at unsafe.Pointer) int64 { return *(*int64)(at) })
	case reflect.Uint8:
		return number(func(at unsafe.Pointer) int64 { return int64(*(*uint8)(at)) })
	case reflect.Uint16:
		return number(func(at unsafe.Pointer) int64 { return int64(*(*uint16)(at)) })
	case reflect.Uint32:
		return number(func(at unsafe.Pointer) int64 { return int64(*(*uint32)(at)) })
	case reflect.String:
		if t != reflect.TypeFor[json.Number]() {
			return func(dst []byte, at unsafe.Pointer, _ int) ([]byte, error) {
				return appendString(dst, *(*string)(at)), nil
			}
		}
	}
	return nil
}

// slice returns how a slice is written.
func (e *Encoder) slice(k planKey, making map[planKey]*plan) func([]byte, unsafe.Pointer, int) ([]byte, error) {
	of := planKey{k.t.Elem(), true}
	if of.t.Kind() == reflect.Uint8 && !marshals(of) && !marshalsText(of) {
		return func(dst []byte, at unsafe.Pointer, _ int) ([]byte, error) {
			b := *(*[]byte)(at)
			if b == nil {
				return append(dst, "null"...), nil
			}
			dst = base64.StdEncoding.AppendEncode(append(dst, '"'), b)
			return append(dst, '"'), nil
		}
	}
	elem, size := e.plan(of, making), of.t.Size()
	return func(dst []byte, at unsafe.Pointer, depth int) ([]byte, error) {
		s := *(*[]struct{})(at)
		first := unsafe.Pointer(unsafe.SliceData(s))
		switch {
		case s == nil:
			return append(dst, "null"...), nil
		case depth > maxNested:
			return dst, errNested
		}
		dst = append(dst, '[')
		var err error
		for i := range s {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = elem.write(dst, unsafe.Add(first, uintptr(i)*size), depth+1); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	}
}

// mapping returns how a map is written: sorted by key.
func (e *Encoder) mapping(k planKey, making map[planKey]*plan) func([]byte, unsafe.Pointer, int) ([]byte, error) {
	key := k.t.Key()
	if key.Kind() != reflect.String || marshalsText(planKey{key, false}) || marshals(planKey{key, false}) {
		return whole(k)
	}
	if k.t.Elem() == reflect.TypeFor[string]() && key == k.t.Elem() {
		return appendTexts
	}
	elem := e.plan(planKey{k.t.Elem(), false}, making)
	return func(dst []byte, at unsafe.Pointer, depth int) ([]byte, error) {
		m := reflect.NewAt(k.t, at).Elem()
		switch {
		case m.IsNil():
			return append(dst, "null"...), nil
		case depth > maxNested:
			return dst, errNested
		}
		type member struct {
			key        string
			start, end int // in dst, of the value
		}
		var few [8]member
		members, start := few[:0], len(dst)
		value := reflect.New(k.t.Elem())
		var err error
		for i := m.MapRange(); i.Next(); {
			value.Elem().SetIterValue(i)
			n := len(dst)
			if dst, err = elem.write(dst, value.UnsafePointer(), depth+1); err != nil {
				return dst, err
			}
			members = append(members, member{i.Key().String(), n, len(dst)})
		}
		slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.key, b.key) })
		end := len(dst)
		dst = append(dst, '{')
		for i, m := range members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, m.key), ':')
			dst = append(dst, dst[m.start:m.end]...)
		}
		dst = append(dst, '}')
		return append(dst[:start], dst[end:]...), nil
	}
}

// appendTexts appends a map of strings.
func appendTexts(dst []byte, at unsafe.Pointer, _ int) ([]byte, error) {
	m := *(*map[string]string)(at)
	if m == nil {
		return append(dst, "null"...), nil
	}
	var few [8]string
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	dst = append(dst, '{')
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, k), ':')
		dst = appendString(dst, m[k])
	}
	return append(dst, '}'), nil
}

// A field is a member of a struct.
type field struct {
	name      string // with its quotes, a colon, and a comma before it
	offset    uintptr
	plan      *plan
	omitEmpty bool
	omitZero  func(unsafe.Pointer) bool // nil: written even if zero
}

// structure returns how a struct is written. What the rules of encoding/json for embedded
// types, names and options are needed for is left to it.
func (e *Encoder) structure(k planKey, making map[planKey]*plan) func([]byte, unsafe.Pointer, int) ([]byte, error) {
	fields, ok := e.fields(nil, k, 0, making)
	names := map[string]bool{}
	for i := range fields {
		ok = ok && !names[fields[i].name]
		names[fields[i].name] = true
	}
	if !ok {
		return whole(k)
	}
	return func(dst []byte, at unsafe.Pointer, depth int) ([]byte, error) {
		n := len(dst)
		var err error
		for i := range fields {
			f := &fields[i]
			p := unsafe.Add(at, f.offset)
			if f.omitEmpty && f.plan.empty(p) || f.omitZero != nil && f.omitZero(p) {
				continue
			}
			if dst, err = f.plan.write(append(dst, f.name...), p, depth+1); err != nil {
				return dst, err
			}
		}
		if len(dst) == n {
			return append(dst, '{', '}'), nil
		}
		dst[n] = '{' // instead of the comma
		return append(dst, '}'), nil
	}
}

// fields lists the fields of a struct that lies at an offset in another one.
func (e *Encoder) fields(list []field, k planKey, offset uintptr, making map[planKey]*plan) ([]field, bool) {
	for i := range k.t.NumField() {
		f := k.t.Field(i)
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case tag == "-":
			continue
		case f.Anonymous && name == "":
			if f.Type.Kind() != reflect.Struct {
				return nil, false
			}
			var ok bool
			if list, ok = e.fields(list, planKey{f.Type, k.addressable}, offset+f.Offset, making); !ok {
				return nil, false
			}
			continue
		case !f.IsExported():
			if f.Anonymous {
				return nil, false
			}
			continue
		case name == "":
			name = f.Name
		}
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.$/") != "" {
			return nil, false
		}
		of := planKey{f.Type, k.addressable}
		m := field{name: `,"` + name + `":`, offset: offset + f.Offset, plan: e.plan(of, making)}
		for o := range strings.SplitSeq(options, ",") {
			switch o {
			case "string":
				return nil, false
			case "omitempty":
				m.omitEmpty = emptiness(f.Type) != nil
			case "omitzero":
				m.omitZero = zeroness(f.Type)
			}
		}
		list = append(list, m)
	}
	return list, true
}

// zeroness returns what omitzero asks of a type: its own IsZero where it has one.
func zeroness(t reflect.Type) func(unsafe.Pointer) bool {
	type zeroer interface{ IsZero() bool }
	is := reflect.TypeFor[zeroer]()
	switch {
	case t.Kind() == reflect.Interface, t.Kind() == reflect.Pointer:
		if t.Implements(is) {
			return func(at unsafe.Pointer) bool {
				v := reflect.NewAt(t, at).Elem()
				return v.IsNil() || v.Kind() == reflect.Interface && v.Elem().Kind() == reflect.Pointer && v.Elem().IsNil() || v.Interface().(zeroer).IsZero()
			}
		}
	case reflect.PointerTo(t).Implements(is):
		return func(at unsafe.Pointer) bool { return reflect.NewAt(t, at).Interface().(zeroer).IsZero() }
	}
	return func(at unsafe.Pointer) bool { return reflect.NewAt(t, at).Elem().IsZero() }
}

// appendString appends a string as encoding/json writes it, safe for HTML.
func appendString(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= utf8.RuneSelf || special[c] {
			text, _ := json.Marshal(s) // no string fails
			return append(dst, text...)
		}
	}
	dst = append(append(dst, '"'), s...)
	return append(dst, '"')
}

// isText tells whether b is surely a string as appendString writes it, as times and
// quantities are.
func isText(b []byte) bool {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return false
	}
	for _, c := range b[1 : len(b)-1] {
		if c >= utf8.RuneSelf || special[c] {
			return false
		}
	}
	return true
}

// special are the characters that do not stand in a string as they are.
var special = func() (t [utf8.RuneSelf]bool) {
	for c := range t {
		t[c] = c < ' ' || strings.IndexByte(`"\<>&`, byte(c)) >= 0
	}
	return t
}()
