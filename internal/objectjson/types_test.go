package objectjson

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"
)

// leaves are what types are made of: every size, and everything that has its own mind.
var leaves = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[string](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
	reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](), reflect.TypeFor[uintptr](), reflect.TypeFor[float32](), reflect.TypeFor[float64](),
	reflect.TypeFor[any](), reflect.TypeFor[fmt.Stringer](), reflect.TypeFor[struct{}](), reflect.TypeFor[json.RawMessage](), reflect.TypeFor[json.Number](),
	reflect.TypeFor[textual](), reflect.TypeFor[zeroIsOne](), reflect.TypeFor[pointerOnly](), reflect.TypeFor[pointerText](), reflect.TypeFor[mapMarshaler](), reflect.TypeFor[octet](), reflect.TypeFor[zeroPointer](),
	reflect.TypeFor[Embedded](), reflect.TypeFor[Inner](), reflect.TypeFor[holder](), reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime](), reflect.TypeFor[resource.Quantity](), reflect.TypeFor[runtime.RawExtension](), reflect.TypeFor[metav1.ObjectMeta](),
}

type pointerText struct{ N int8 }

func (p *pointerText) MarshalText() ([]byte, error) { return []byte(strconv.Itoa(int(p.N)) + "<"), nil }

type mapMarshaler map[string]int

func (m mapMarshaler) MarshalJSON() ([]byte, error) {
	return []byte(`[ "&", ` + strconv.Itoa(len(m)) + ` ]`), nil
}

type octet uint8

func (o octet) MarshalJSON() ([]byte, error) { return []byte(strconv.Itoa(int(o)) + ".5"), nil }

type zeroPointer struct{ N int8 }

func (z *zeroPointer) IsZero() bool { return z.N < 0 }

// A holder embeds what can be embedded, with names that meet.
type holder struct {
	Embedded
	*Inner
	small
	metav1.TypeMeta `json:",inline"`
	Named           `json:"n"`
	A               int8 `json:"a,omitempty"`
	_               *holder
}

type small struct {
	X uint8 `json:",omitempty"`
	_ uint8
}

type Named struct {
	Next *holder `json:"next,omitempty"`
}

// typed draws a type.
func typed(t *rapid.T, depth int) reflect.Type {
	kind := rapid.IntRange(0, 9).Draw(t, "kind")
	if depth == 0 || kind < 4 {
		return rapid.SampledFrom(leaves).Draw(t, "leaf")
	}
	switch kind {
	case 4:
		return reflect.PointerTo(typed(t, depth-1))
	case 5:
		return reflect.SliceOf(typed(t, depth-1))
	case 6:
		return reflect.ArrayOf(rapid.IntRange(0, 2).Draw(t, "length"), typed(t, depth-1))
	case 7:
		keys := []reflect.Type{reflect.TypeFor[string](), reflect.TypeFor[int8](), reflect.TypeFor[textual](), reflect.TypeFor[resourceName](), reflect.TypeFor[uint16]()}
		return reflect.MapOf(rapid.SampledFrom(keys).Draw(t, "key"), typed(t, depth-1))
	}
	var fields []reflect.StructField
	for i := range rapid.IntRange(0, 5).Draw(t, "fields") {
		name := rapid.SampledFrom([]string{"", "a", "a", "b-c", "F0", "-", "é", "a&b", "a'b", "k8s.io/x", " "}).Draw(t, "name")
		options := rapid.SampledFrom([]string{"", ",omitempty", ",omitzero", ",omitempty,omitzero", ",string", ",inline", ",string,omitempty"}).Draw(t, "options")
		f := reflect.StructField{Name: "F" + strconv.Itoa(i), Type: typed(t, depth-1)}
		if name+options != "" {
			f.Tag = reflect.StructTag(`json:` + strconv.Quote(name+options))
		}
		fields = append(fields, f)
	}
	return reflect.StructOf(fields)
}

type resourceName string

// TestTypes writes random values of random types, themselves and in a map, where they
// cannot be addressed.
func TestTypes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		typ := typed(rt, 3)
		e := &Encoder{}
		r := filler{rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))}
		for range 4 {
			v := reflect.New(typ)
			r.fill(v.Elem(), 0)
			check(rt, e, v.Interface())
			m := reflect.MakeMap(reflect.MapOf(reflect.TypeFor[string](), typ))
			m.SetMapIndex(reflect.ValueOf("k<"), v.Elem())
			in := reflect.New(m.Type())
			in.Elem().Set(m)
			check(rt, e, in.Interface())
		}
	})
}
