package objectjson

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	"pgregory.net/rapid"
)

// check compares what is written of v with encoding/json.
func check(t interface {
	Helper()
	Fatalf(string, ...any)
}, e *Encoder, v any) {
	t.Helper()
	want, wantErr := json.Marshal(v)
	got, err := e.Append([]byte("x"), v)
	if (err != nil) != (wantErr != nil) {
		t.Fatalf("%T: error %v, want %v", v, err, wantErr)
	}
	if string(got) != "x"+string(want) {
		t.Fatalf("%T:\ngot  %s\nwant %s", v, got[1:], want)
	}
}

// A filler fills values at random, about half of their fields.
type filler struct{ *rand.Rand }

func (r filler) text() string {
	words := []string{"", "a", "kubernetes.io/x", "<b>", "\"\\", "\u2028", "\xff", "é", "\x00", "a longer text without anything special"}
	return words[r.IntN(len(words))]
}

func (r filler) fill(v reflect.Value, depth int) {
	if depth > 0 && r.IntN(2) == 0 || depth > 12 {
		return
	}
	switch x := v.Addr().Interface().(type) {
	case *resource.Quantity:
		*x = *resource.NewMilliQuantity(r.Int64N(1e9)-1000, resource.DecimalSI)
		return
	case *metav1.Time:
		*x = metav1.NewTime(time.Unix(r.Int64N(4e9)-1e9, r.Int64N(1e9)))
		return
	case *metav1.MicroTime:
		*x = metav1.NewMicroTime(time.Unix(r.Int64N(4e9), r.Int64N(1e9)))
		return
	case *metav1.FieldsV1:
		x.SetRawBytes([]byte(`{ "f:a": {"<": 1} }`))
		return
	case *runtime.RawExtension:
		x.Raw = []byte(`{"a" : [1, "&"]}`)
		return
	case *json.RawMessage:
		*x = [][]byte{nil, {}, []byte(` [1, "<\u003c" ] `), []byte("null"), []byte("{")}[r.IntN(5)]
		return
	case *json.Number:
		*x = []json.Number{"", "1e400", "-0", "x"}[r.IntN(4)]
		return
	case *intstr.IntOrString:
		*x = []intstr.IntOrString{intstr.FromInt32(5), intstr.FromString("5<")}[r.IntN(2)]
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.Uint64()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64())
	case reflect.Float32, reflect.Float64:
		v.SetFloat(r.Float64())
	case reflect.String:
		v.SetString(r.text())
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.fill(v.Elem(), depth+1)
	case reflect.Slice:
		n := r.IntN(3)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			r.fill(v.Index(i), depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			r.fill(v.Index(i), depth+1)
		}
	case reflect.Interface:
		for _, x := range []any{1.5, "<", zeroIsOne{1}, &pointerOnly{1}, (*pointerOnly)(nil), map[string]any{"b": nil, "a": []any{true}}} {
			if reflect.TypeOf(x).AssignableTo(v.Type()) && r.IntN(3) == 0 {
				v.Set(reflect.ValueOf(x))
			}
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range r.IntN(4) {
			key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			r.fill(key, depth+1)
			r.fill(elem, depth+1)
			v.SetMapIndex(key, elem)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				r.fill(v.Field(i), depth+1)
			}
		}
	}
}

// TestObjects writes random objects of every kind that client-go knows.
func TestObjects(t *testing.T) {
	e := &Encoder{}
	r := filler{rand.New(rand.NewPCG(1, 2))}
	n := 0
	for gvk, typ := range scheme.Scheme.AllKnownTypes() {
		for range 20 {
			v := reflect.New(typ)
			r.fill(v.Elem(), 0)
			check(t, e, v.Interface())
		}
		if gvk.Kind != "" {
			n++
		}
	}
	if n < 500 {
		t.Errorf("only %d kinds", n)
	}
}

// odd has what objects of Kubernetes seldom have.
type odd struct {
	Embedded
	*Inner  `json:"inner"`
	Named   Embedded          `json:"named"`
	Any     any               `json:"any,omitempty"`
	Floats  []float64         `json:"floats"`
	Array   [2]int            `json:"array,omitempty"`
	Empty   [0]int            `json:"empty,omitempty"`
	Bytes   []byte            `json:"bytes"`
	Ints    map[int]string    `json:"ints"`
	Secrets map[string][]byte `json:"secrets"`
	Number  json.Number       `json:"number,omitempty"`
	Rune    rune              `json:"-"`
	//lint:ignore SA5008 what it means is tested
	Dash     string `json:"-,"`
	Plain    uint
	hidden   int
	Values   map[string]pointerOnly `json:"values"`
	Pointers []pointerOnly          `json:"pointers"`
	Zero     zeroIsOne              `json:"zero,omitzero"`
	Point    *zeroIsOne             `json:"point,omitzero"`
	Struct   struct{ A int }        `json:"struct,omitzero"`
	Text     textual                `json:"text"`
	Texts    map[textual]int        `json:"texts"`
	Raw      json.RawMessage        `json:"raw,omitempty"`
	Self     *odd                   `json:"self,omitempty"`
	Strange  string                 `json:"a&b,omitempty"`
}

type Embedded struct {
	A string `json:"a,omitempty"`
	B int8
}

type Inner struct{ C *bool }

type pointerOnly struct{ N int }

func (p *pointerOnly) MarshalJSON() ([]byte, error) { return []byte(` "<p>" `), nil }

type zeroIsOne struct{ N int }

func (z zeroIsOne) IsZero() bool { return z.N == 1 }

type textual string

func (t textual) MarshalText() ([]byte, error) { return []byte("<" + t + ">"), nil }

func TestOdd(t *testing.T) {
	e := &Encoder{}
	check(t, e, &odd{})
	check(t, e, odd{})
	check(t, e, nil)
	check(t, e, (*odd)(nil))
	rapid.Check(t, func(rt *rapid.T) {
		r := filler{rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))}
		v := &odd{hidden: 1}
		r.fill(reflect.ValueOf(v).Elem(), 0)
		check(t, e, v)
		check(t, e, *v)
	})
	check(t, e, &odd{Any: math.Inf(1)})
	check(t, e, &odd{Raw: json.RawMessage("{")})
	ring := &odd{}
	ring.Self = ring
	if _, err := e.Append(nil, ring); err == nil {
		t.Error("a cycle has an end")
	}
	deep := &odd{}
	for range 500 {
		deep = &odd{Self: deep}
	}
	check(t, e, deep)
	check(t, e, &unstructured.Unstructured{Object: map[string]any{"kind": "<", "a": []any{1.5, nil}}})
}

// Several goroutines may meet a type for the first time.
func TestTogether(t *testing.T) {
	e := &Encoder{}
	want, _ := json.Marshal(&corev1.Pod{})
	done := make(chan []byte)
	for range 4 {
		go func() {
			out, _ := e.Append(nil, &corev1.Pod{})
			done <- out
		}()
	}
	for range 4 {
		if got := <-done; !bytes.Equal(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
