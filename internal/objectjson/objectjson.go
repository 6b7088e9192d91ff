// Package objectjson writes objects of the Kubernetes API as encoding/json does, byte for
// byte, in a fraction of the time: most fields of such an object are empty, and to see
// that costs encoding/json more than to write the others.
package objectjson

import (
	"encoding/json"
	"errors"
	"reflect"
	"sync"
	"unsafe"

	"kubetrail/internal/rawjson"
)

// An Encoder knows how to write the types that it has met. The zero Encoder is ready for
// use, by several goroutines too.
type Encoder struct {
	plans sync.Map // planKey to *plan
}

// Append appends what json.Marshal returns for v, or returns its error and dst as it was.
// v must not be changed meanwhile.
func (e *Encoder) Append(dst []byte, v any) ([]byte, error) {
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && !rv.IsNil() {
		p := e.plan(planKey{rv.Type().Elem(), true}, nil)
		if out, err := p.write(dst, rv.UnsafePointer(), 0); err == nil {
			return out, nil
		}
	}
	// It has the last word about what cannot be written, and why.
	out, err := json.Marshal(v)
	if err != nil {
		return dst, err
	}
	return append(dst, out...), nil
}

// maxNested is how deep values may lie in one another before encoding/json takes over,
// which finds cycles.
const maxNested = 200

var errNested = errors.New("nested too deep")

// A planKey is a type, and whether values of it can be addressed, as those in maps
// cannot: methods of the pointer to them are then not called.
type planKey struct {
	t           reflect.Type
	addressable bool
}

// A plan writes the values of one type.
type plan struct {
	write func(dst []byte, at unsafe.Pointer, depth int) ([]byte, error)
	empty func(at unsafe.Pointer) bool // as omitempty has it; nil: never
}

// plan returns the plan of a type. Those in making are met again where a type holds
// itself.
func (e *Encoder) plan(k planKey, making map[planKey]*plan) *plan {
	if p, ok := e.plans.Load(k); ok {
		return p.(*plan)
	}
	if p := making[k]; p != nil {
		return p
	}
	outermost := making == nil
	if outermost {
		making = map[planKey]*plan{}
	}
	p := &plan{}
	making[k] = p
	e.make(p, k, making)
	if outermost { // only now are all of them ready
		for k, p := range making {
			e.plans.LoadOrStore(k, p)
		}
	}
	return p
}

// make fills in a plan.
func (e *Encoder) make(p *plan, k planKey, making map[planKey]*plan) {
	t := k.t
	p.empty = emptiness(t)
	switch {
	case marshals(k):
		p.write = marshaler(t)
		return
	case marshalsText(k):
		p.write = whole(k)
		return
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if p.write = scalar(t); p.write == nil {
			p.write = whole(k)
		}
	case reflect.Pointer:
		elem := e.plan(planKey{t.Elem(), true}, making)
		p.write = func(dst []byte, at unsafe.Pointer, depth int) ([]byte, error) {
			to := *(*unsafe.Pointer)(at)
			if to == nil {
				return append(dst, "null"...), nil
			}
			if depth > maxNested {
				return dst, errNested
			}
			return elem.write(dst, to, depth+1)
		}
	case reflect.Slice:
		p.write = e.slice(k, making)
	case reflect.Map:
		p.write = e.mapping(k, making)
	case reflect.Struct:
		p.write = e.structure(k, making)
	default:
		p.write = whole(k)
	}
}

// whole leaves a value to encoding/json.
func whole(k planKey) func([]byte, unsafe.Pointer, int) ([]byte, error) {
	return func(dst []byte, at unsafe.Pointer, _ int) ([]byte, error) {
		v := reflect.NewAt(k.t, at)
		if !k.addressable {
			v = v.Elem()
		}
		out, err := json.Marshal(v.Interface())
		if err != nil {
			return dst, err
		}
		return append(dst, out...), nil
	}
}

// implements tells whether a method of an interface is called for a value.
func implements(k planKey, i reflect.Type) bool {
	return k.t.Implements(i) || k.addressable && k.t.Kind() != reflect.Pointer && reflect.PointerTo(k.t).Implements(i)
}

func marshals(k planKey) bool {
	return k.t.Kind() != reflect.Interface && implements(k, reflect.TypeFor[json.Marshaler]())
}

func marshalsText(k planKey) bool {
	type textMarshaler interface{ MarshalText() ([]byte, error) }
	return implements(k, reflect.TypeFor[textMarshaler]())
}

// marshaler calls MarshalJSON.
func marshaler(t reflect.Type) func([]byte, unsafe.Pointer, int) ([]byte, error) {
	if w := known(t); w != nil {
		return w
	}
	return func(dst []byte, at unsafe.Pointer, _ int) ([]byte, error) {
		v := reflect.NewAt(t, at)
		if t.Kind() == reflect.Pointer {
			if v = v.Elem(); v.IsNil() {
				return append(dst, "null"...), nil
			}
		}
		out, err := v.Interface().(json.Marshaler).MarshalJSON()
		switch {
		case err != nil:
			return dst, err
		case isText(out):
			return append(dst, out...), nil
		}
		return rawjson.Append(dst, out)
	}
}

// emptiness returns what omitempty asks of a type, nil where it leaves nothing out.
func emptiness(t reflect.Type) func(unsafe.Pointer) bool {
	switch t.Kind() {
	case reflect.Bool,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		switch t.Size() {
		case 1:
			return func(at unsafe.Pointer) bool { return *(*uint8)(at) == 0 }
		case 2:
			return func(at unsafe.Pointer) bool { return *(*uint16)(at) == 0 }
		case 4:
			return func(at unsafe.Pointer) bool { return *(*uint32)(at) == 0 }
		}
		return func(at unsafe.Pointer) bool { return *(*uint64)(at) == 0 }
	case reflect.Pointer, reflect.Interface:
		return func(at unsafe.Pointer) bool { return *(*unsafe.Pointer)(at) == nil }
	case reflect.String:
		return func(at unsafe.Pointer) bool { return len(*(*string)(at)) == 0 }
	case reflect.Slice:
		return func(at unsafe.Pointer) bool { return len(*(*[]struct{})(at)) == 0 }
	case reflect.Map, reflect.Array, reflect.Float32, reflect.Float64, reflect.Uintptr:
		return func(at unsafe.Pointer) bool {
			v := reflect.NewAt(t, at).Elem()
			switch v.Kind() {
			case reflect.Map, reflect.Array:
				return v.Len() == 0
			}
			return v.IsZero()
		}
	}
	return nil
}
