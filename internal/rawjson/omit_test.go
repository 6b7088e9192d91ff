package rawjson_test

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"

	"kubetrail/internal/rawjson"
)

// A node is a JSON value that keeps the order of its members and those named twice.
type node struct {
	token   json.Token // of a scalar; '{' or '['
	names   []string
	members []*node
}

func read(d *json.Decoder) (*node, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	n := &node{token: t}
	brace, ok := t.(json.Delim)
	if !ok {
		return n, nil
	}
	for d.More() {
		if brace == '{' {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			n.names = append(n.names, name.(string))
		}
		m, err := read(d)
		if err != nil {
			return nil, err
		}
		n.members = append(n.members, m)
	}
	_, err = d.Token()
	return n, err
}

func (n *node) is(brace json.Delim) bool { return n.token == brace }

// each calls f for each member with the name given, or for each element.
func (n *node) each(name string, f func(*node)) {
	for i, m := range n.members {
		if n.is('[') || n.is('{') && n.names[i] == name {
			f(m)
		}
	}
}

// without is the slow and simple twin: it removes managed fields from the tree.
func without(n *node) {
	object := func(n *node) {
		if !n.is('{') {
			return
		}
		n.each("metadata", func(meta *node) {
			if !meta.is('{') {
				return
			}
			for i := len(meta.names) - 1; i >= 0; i-- {
				if meta.names[i] == "managedFields" {
					meta.names = append(meta.names[:i], meta.names[i+1:]...)
					meta.members = append(meta.members[:i], meta.members[i+1:]...)
				}
			}
		})
	}
	if !n.is('{') {
		return
	}
	object(n)
	table := false
	for i, name := range n.names {
		m := n.members[i]
		switch {
		case name == "kind":
			table = m.token == "Table"
		case name == "items" && m.is('['):
			m.each("", object)
		case name == "rows" && m.is('[') && table:
			m.each("", func(row *node) {
				if row.is('{') {
					row.each("object", object)
				}
			})
		}
	}
}

func (n *node) write(b *bytes.Buffer) {
	brace, ok := n.token.(json.Delim)
	if !ok {
		out, _ := json.Marshal(n.token)
		b.Write(out)
		return
	}
	b.WriteByte(byte(brace))
	for i, m := range n.members {
		if i > 0 {
			b.WriteByte(',')
		}
		if brace == '{' {
			out, _ := json.Marshal(n.names[i])
			b.Write(append(out, ':'))
		}
		m.write(b)
	}
	b.WriteByte(byte(brace) + 2)
}

// same reads and writes raw, which makes escapes alike.
func same(raw []byte, change func(*node)) ([]byte, bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	n, err := read(d)
	if err != nil {
		return nil, false
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, false
	}
	change(n)
	var b bytes.Buffer
	n.write(&b)
	return b.Bytes(), true
}

func checkOmit(t interface {
	Errorf(string, ...any)
	Helper()
}, raw []byte) {
	t.Helper()
	got, err := rawjson.OmitManagedFields([]byte("before"), raw)
	if _, failed := rawjson.Append(nil, raw); failed != nil {
		if err == nil || string(got) != "before" {
			t.Errorf("%q becomes %q, but is no JSON", raw, got)
		}
		return
	}
	if err != nil {
		t.Errorf("%q: %v", raw, err)
		return
	}
	if again, err := rawjson.Append([]byte("before"), got[len("before"):]); err != nil || !bytes.Equal(again, got) {
		t.Errorf("%q becomes %q, which is not compact: %q, %v", raw, got, again, err)
	}
	want, ok := same(raw, without)
	if !ok {
		t.Errorf("%q: the twin cannot read it", raw)
		return
	}
	if got, _ = same(got[len("before"):], func(*node) {}); !bytes.Equal(got, want) {
		t.Errorf("%q becomes\n%q, want\n%q", raw, got, want)
	}
}

func omitSeeds() []string {
	object := `{"metadata":{"name":"a","managedFields":[{"manager":"<m>","fieldsV1":{"f:metadata":{"f:managedFields":[1,{}]}}}],"uid":"u"},"spec":{"metadata":{"managedFields":1}}}`
	return []string{
		object, `[` + object + `]`,
		`{"kind":"PodList","items":[` + object + `,` + object + `,1,"x",null,[` + object + `]],"rows":[{"object":` + object + `}]}`,
		`{"kind":"Table","rows":[{"cells":["a"],"object":` + object + `},{"object":null},1,[{"object":` + object + `}]],"items":{"metadata":{"managedFields":1}}}`,
		`{"rows":[{"object":` + object + `}],"kind":"Table"}`,
		`{"kind":"Table","kind":"Bench","rows":[{"object":` + object + `}]}`,
		`{"kind":{"kind":"Table"},"rows":[{"object":` + object + `}]}`,
		`{"metadata":{"managedFields":1}}`, `{"metadata":{"managedFields":1,"managedFields":2}}`, `{"metadata":{"managedFields":1,"managedFields":2,"a":3}}`, `{"metadata":{"a":3,"managedFields":1,"managedFields":2}}`,
		` { "metadata" : { "managedFields" : [ 1 ] , "a" : "<" , "managedFields" : null , "b" : 1 } } `,
		`{"metadata":{"managedFields":1,}}`, `{"metadata":{"managedFields":1 "a":2}}`, `{"metadata":{"managedFields":1,`, `{"metadata":{"managedFields":1`, `{"metadata":{"managedFields"`, `{"metadata":{"a":1,"managedFields":1,1}}`, `{"metadata":{"managedFields":1],"a":1}}`,
		`{"meta\u0064ata":{"managed\u0046ields":1,"b":"\u2028"}}`, `{"metadata":[{"managedFields":1}]}`, `{"metadata":{"metadata":{"managedFields":1}}}`, `{"items":[{"items":[{"metadata":{"managedFields":1}}]}]}`,
		`{"metadata":1,"a":{"managedFields":1}}`, `{"metadata":"x","items":[[{"metadata":{"managedFields":1}}]]}`,
		`{"metadata":{"managedFields":"a<b"},"x":"<"}`,
	}
}

func TestOmitManagedFields(t *testing.T) {
	for _, s := range omitSeeds() {
		checkOmit(t, []byte(s))
	}
	for _, s := range seeds() {
		checkOmit(t, []byte(s))
	}
}

func TestOmitManagedFieldsOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkOmit(t, value().Draw(t, "value")) })
}

// TestOmitManagedFieldsOfObjects compares with what encoding gives where the field is
// not set.
func TestOmitManagedFieldsOfObjects(t *testing.T) {
	pod := func(fields ...metav1.ManagedFieldsEntry) *corev1.Pod {
		p := &corev1.Pod{}
		p.Kind, p.APIVersion = "Pod", "v1"
		p.Name, p.ManagedFields = "a<b", fields
		p.Annotations = map[string]string{"managedFields": "[]", "metadata": `{"managedFields":[]}`}
		return p
	}
	field := metav1.ManagedFieldsEntry{Manager: "m&m", FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{".":{}}}}`)}
	makers := map[string]func(*corev1.Pod) any{
		"object": func(p *corev1.Pod) any { return p },
		"bare": func(p *corev1.Pod) any {
			return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{ManagedFields: p.ManagedFields}}
		},
		"list": func(p *corev1.Pod) any {
			return &corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList"}, Items: []corev1.Pod{*p, *p, *p}}
		},
		"table": func(p *corev1.Pod) any {
			row := metav1.TableRow{Cells: []any{"a", 1}, Object: runtime.RawExtension{Object: p}}
			return &metav1.Table{TypeMeta: metav1.TypeMeta{Kind: "Table"}, Rows: []metav1.TableRow{row, row, {}}}
		},
	}
	for name, make := range makers {
		with, err := json.Marshal(make(pod(field, field)))
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(make(pod()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(with, want) {
			t.Fatalf("%s: there are no managed fields to omit", name)
		}
		got, err := rawjson.OmitManagedFields(nil, with)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %s becomes\n%s (%v), want\n%s", name, with, got, err, want)
		}
	}
}

func FuzzOmitManagedFields(f *testing.F) {
	for _, s := range append(seeds(), omitSeeds()...) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if strings.Count(string(raw), "[")+strings.Count(string(raw), "{") > 5000 {
			return // the twin recurses
		}
		checkOmit(t, raw)
	})
}
