package place

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// writer writes a value of lists and mappings, in JSON or YAML, and notes the offset of
// everything in it.
type writer struct {
	strings.Builder
	t     *rapid.T
	known map[string]int // the offset of the value at each path
	keys  map[string]int
}

func (w *writer) space() {
	w.WriteString(rapid.SampledFrom([]string{"", " ", "\n ", "\r\n  "}).Draw(w.t, "space"))
}

func (w *writer) value(path string, depth int) {
	w.space()
	w.known[path] = w.Len()
	switch kind := rapid.IntRange(0, 3).Draw(w.t, "kind"); {
	case kind == 0 && depth < 4:
		w.WriteString("[")
		for i := range rapid.IntRange(0, 3).Draw(w.t, "items") {
			if i > 0 {
				w.WriteString(", ")
			}
			w.value(fmt.Sprintf("%s[%d]", path, i), depth+1)
			w.space()
		}
		w.WriteString("]")
	case kind == 1 && depth < 4 || depth == 0:
		w.WriteString("{")
		for i, key := range []string{"a", "é.b", "日[0]"}[:rapid.IntRange(0, 3).Draw(w.t, "members")] {
			if i > 0 {
				w.WriteString(", ")
			}
			below := strings.TrimPrefix(path+"."+key, ".")
			w.space()
			w.keys[below] = w.Len()
			fmt.Fprintf(w, "%q: ", key)
			w.value(below, depth+1)
			w.space()
		}
		w.WriteString("}")
	default:
		w.WriteString(rapid.SampledFrom([]string{"5", "true", `"é😀"`, `"x y"`, `"[0]"`, "-1.5"}).Draw(w.t, "scalar"))
	}
}

// TestPlaces wants every value and key of a file where it was written, in flow YAML,
// JSON and after a BOM, and the offset of each place back.
func TestPlaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &writer{t: t, known: map[string]int{}, keys: map[string]int{}}
		head := rapid.SampledFrom([]string{"", "\n", "\ufeff# é\r\n", "---\n"}).Draw(t, "head")
		w.WriteString(head)
		w.value("", 0)
		data := []byte(w.String())
		f := New(data)
		for path, offset := range w.known {
			p := f.At(path)
			if p == (Position{}) || p != f.Offset(offset) {
				t.Fatalf("%q stands at %v, want %v\n%q", path, p, f.Offset(offset), data)
			}
			if back, ok := f.OffsetOf(p); !ok || back != offset {
				t.Fatalf("%v is at offset %d, %v, want %d", p, back, ok, offset)
			}
			if head == "" && len(w.known) > 1 && path != "" {
				// Reading has not gone beyond the first byte of the value.
				if got := PathAt(data, offset+1); got != path {
					t.Fatalf("offset %d is in %q, want %q\n%s", offset, got, path, data)
				}
			}
		}
		for path, offset := range w.keys {
			if p := f.Key(path); p != f.Offset(offset) {
				t.Fatalf("the key of %q stands at %v, want %v\n%q", path, p, f.Offset(offset), data)
			}
			if p := f.At(path + ".absent[3]"); p != f.At(path) {
				t.Fatalf("what is absent in %q stands at %v, want %v", path, p, f.At(path))
			}
		}
	})
}

// TestLines counts lines and characters as an editor does.
func TestLines(t *testing.T) {
	for _, c := range []struct {
		data   string
		offset int
		want   Position
	}{
		{"", 0, Position{1, 1}}, {"abc", 2, Position{1, 3}}, {"é日😀x", 9, Position{1, 4}}, {"\ufeffa", 3, Position{1, 1}}, {"a\nb", 2, Position{2, 1}}, {"a\r\nb", 3, Position{2, 1}},
		{"a\rb", 2, Position{2, 1}}, {"a\u2028b", 4, Position{2, 1}}, {"{\u2028b", 4, Position{1, 3}}, {"a\n\nb", 99, Position{3, 2}}, {"\xff\xffx", 2, Position{1, 3}},
	} {
		if got := New([]byte(c.data)).Offset(c.offset); got != c.want {
			t.Errorf("%q: offset %d is at %v, want %v", c.data, c.offset, got, c.want)
		}
	}
}

func TestSearchIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("m0: &m0 {k: 1}\n")
	for i := range 60 {
		fmt.Fprintf(&b, "m%d: &m%d {<<: [*m%d, *m%d]}\n", i+1, i+1, i, i)
	}
	f := New([]byte(b.String()))
	if p := f.At("m60.absent"); p.Line != 61 {
		t.Errorf("found at %v", p)
	}
	if p := f.At("m5.k"); p.Line != 1 {
		t.Errorf("a merged member stands at %v", p)
	}
	if New([]byte("a: 1\n#"+strings.Repeat("x", MaxSize))).At("a") != (Position{}) {
		t.Error("a file beyond MaxSize was read")
	}
}
