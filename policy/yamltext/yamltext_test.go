package yamltext

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestDiff checks what is shown of edits.
func TestDiff(t *testing.T) {
	data := "a: 1\nb: 2\nc: 3\n"
	for _, c := range []struct {
		edits []Edit
		want  string
	}{
		{[]Edit{{3, 4, "9"}}, "@@ line 1|- a: 1|+ a: 9"},
		{[]Edit{{5, 10, ""}}, "@@ line 2|- b: 2"},
		{[]Edit{{5, 5, "x: 0\n"}}, "@@ line 2|+ x: 0"},
		{[]Edit{{15, 15, "d: 4\n"}}, "@@ line 4|+ d: 4"},
		{[]Edit{{13, 14, "5"}, {3, 4, "7"}}, "@@ line 1|- a: 1|+ a: 7|@@ line 3|- c: 3|+ c: 5"},
		{[]Edit{{0, 1, "A"}, {3, 4, "7"}}, "@@ line 1|- a: 1|+ A: 7"},
		{[]Edit{{0, 0, "x: 0\ny: "}}, "@@ line 1|- a: 1|+ x: 0|+ y: a: 1"},
		{nil, ""},
	} {
		if got := strings.Join(Diff([]byte(data), c.edits), "|"); got != c.want {
			t.Errorf("%v: %s, want %s", c.edits, got, c.want)
		}
	}
}

// TestPlaces checks columns after a byte order mark, wide characters and all line ends.
func TestPlaces(t *testing.T) {
	f := Parse([]byte("\ufeffa: 王芳 # x\r\n\"b\": 'it''s'\r\n" + "c: [d,\n  {e: f}]\n"))
	for _, c := range []struct {
		path         []any
		line, column int
		end          string // what follows the value
	}{
		{[]any{"a"}, 1, 4, " # x"},
		{[]any{"b"}, 2, 6, "\r\n"},
		{[]any{"c", 0}, 3, 5, ","},
		{[]any{"c", 1, "e"}, 4, 7, "}]"},
	} {
		from, to := f.Place(c.path...)
		at, ok := f.Offset(to.Line, to.Column)
		if from.Line != c.line || from.Column != c.column || !ok || !strings.HasPrefix(string(f.Data[at:]), c.end) {
			t.Errorf("%v: from %v to %v", c.path, from, to)
		}
		if start, ok := f.Offset(from.Line, from.Column); !ok || f.Position(start) != from {
			t.Errorf("%v: offset and position disagree", c.path)
		}
	}
	if _, ok := f.Offset(9, 1); ok {
		t.Error("line 9 has an offset")
	}
}

// paths lists the paths to all values below n.
func paths(n *yaml.Node, to []any, all *[][]any) {
	for i, c := range n.Content {
		switch {
		case n.Kind == yaml.SequenceNode:
			path := append(slices.Clone(to), i)
			*all = append(*all, path)
			paths(c, path, all)
		case n.Kind == yaml.MappingNode && i%2 == 1:
			path := append(slices.Clone(to), n.Content[i-1].Value)
			*all = append(*all, path)
			paths(c, path, all)
		}
	}
}

// without returns v without what stands at path.
func without(v any, path []any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			switch {
			case key != path[0]:
				out[key] = value
			case len(path) > 1:
				out[key] = without(value, path[1:])
			}
		}
		return out
	case []any:
		var out []any
		for i, value := range v {
			switch {
			case i != path[0]:
				out = append(out, value)
			case len(path) > 1:
				out = append(out, without(value, path[1:]))
			}
		}
		return out
	}
	return v
}

// FuzzEdit checks each possible Remove, Set and AppendItem of any file by reading what
// comes out: what was to change did, and nothing else.
func FuzzEdit(f *testing.F) {
	for _, s := range []string{
		"a: 1\nb:\n  - c: [x, y]\n    d: 'it''s'\n  # comment\n  - e: {f: g, h: i}\n",
		"- a\n- b", "x: [1,\n 2, # two\n 3]\ny: {}\n", "{\"a\": [{\"b\": \"c\\\"d\"}, {}], \"e\": null}",
		"a:\n-   b: c\n    d: e # x\n\n-   f\n", "a: |\n  text\nb: >-\n  more\n\nc: d\n", "k: v\r\nl:\r\n- m\r\n- n\r\n", "a: b\n---\nc: d\n", "x: [1,&3]\ny:", "x: [1,!\n]",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<10 {
			return
		}
		file := Parse(data)
		var before map[string]any
		if file.Root == nil || file.Locked || yaml.Unmarshal(data, &before) != nil {
			return
		}
		// A key that is no string has no path.
		whole := true
		Walk(file.Root, func(n *yaml.Node) {
			for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
				whole = whole && n.Content[i].Tag == "!!str"
			}
		})
		if !whole {
			return
		}
		var all [][]any
		paths(file.Root, nil, &all)
		for _, path := range all {
			if e := file.Remove(path...); e != nil {
				compare(t, data, *e, without(before, path))
			}
			if e := file.SetAt("new: value", path...); e != nil {
				n, _ := file.Find(path...)
				kept := *n
				n.Value, n.Tag = "new: value", "!!str"
				var want map[string]any
				if err := file.Root.Decode(&want); err != nil {
					t.Fatal(err)
				}
				compare(t, data, *e, want)
				*n = kept
			}
		}
	})
}

func compare(t *testing.T, data []byte, e Edit, want any) {
	t.Helper()
	fixed := Apply(data, []Edit{e})
	var got map[string]any
	if err := yaml.Unmarshal(fixed, &got); err != nil {
		t.Fatalf("%q became %q: %v", data, fixed, err)
	}
	if !reflect.DeepEqual(any(got), want) {
		t.Fatalf("%q became %q: %v, want %v", data, fixed, got, want)
	}
}
