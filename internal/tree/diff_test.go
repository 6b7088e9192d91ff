package tree

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

// value decodes YAML, for tests.
func value(t testing.TB, text string) map[string]any {
	t.Helper()
	j, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	v, err := Decode(j)
	if err != nil {
		t.Fatal(err)
	}
	return Object(v)
}

func TestChanges(t *testing.T) {
	before := value(t, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: x, resourceVersion: "1", labels: {app.kubernetes.io/name: x, old: "1"}, finalizers: [a, b]}
spec:
  replicas: 1
  template:
    spec:
      containers:
      - {name: nginx, image: "nginx:1", args: [a, b], ports: [{containerPort: 80, protocol: TCP, name: w}]}
      - {name: side, image: side}
      volumes: [{name: v, emptyDir: {}}]`)
	after := value(t, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: x, resourceVersion: "2", labels: {app.kubernetes.io/name: "y"}, finalizers: [b, c]}
spec:
  replicas: 3
  template:
    spec:
      containers:
      - {name: side, image: side}
      - {name: nginx, image: "nginx:2", args: [a], ports: [{containerPort: 80, protocol: TCP, name: web}]}
      volumes: [{name: v, configMap: {name: c}}]`)
	want := []Change{
		{"metadata.finalizers[a]", Removed, "a", nil},
		{"metadata.finalizers[c]", Added, nil, "c"},
		{"metadata.labels[app.kubernetes.io/name]", Changed, "x", "y"},
		{"metadata.labels.old", Removed, "1", nil},
		{"spec.replicas", Changed, int64(1), int64(3)},
		{"spec.template.spec.containers[nginx].args[b]", Removed, "b", nil},
		{"spec.template.spec.containers[nginx].image", Changed, "nginx:1", "nginx:2"},
		{"spec.template.spec.containers[nginx].ports[80,TCP].name", Changed, "w", "web"},
		{"spec.template.spec.containers", Moved, []any{"nginx", "side"}, []any{"side", "nginx"}},
		{"spec.template.spec.volumes[v].configMap", Added, nil, map[string]any{"name": "c"}},
		{"spec.template.spec.volumes[v].emptyDir", Removed, map[string]any{}, nil},
	}
	if diff := cmp.Diff(want, Changes(before, after)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if c := Changes(before, before); len(c) != 0 {
		t.Errorf("no difference gives %v", c)
	}
	if c := Changes(nil, after); len(c) != 1 || c[0].Op != Added {
		t.Errorf("from nothing: %v", c)
	}
}

func TestUnified(t *testing.T) {
	a := AppendYAML(nil, value(t, "{a: 1, b: 2, c: 3, d: 4, e: 5, f: 6, g: 7, h: 8, i: 9, j: 10, k: 11}"))
	b := AppendYAML(nil, value(t, "{a: 1, b: two, c: 3, d: 4, e: 5, f: 6, g: 7, h: 8, i: 9, j: 10, k: 11, l: 12}"))
	want := "@@ -1,4 +1,4 @@\n a: 1\n-b: 2\n+b: two\n c: 3\n d: 4\n@@ -10,2 +10,3 @@\n j: 10\n k: 11\n+l: 12\n"
	if got := Unified(a, b, 2); got != want {
		t.Errorf("got:\n%s", got)
	}
}

// TestUnifiedIsRight checks that the lines of a difference are those of both texts.
func TestUnifiedIsRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 30)
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		join := func(l []string) []byte { return []byte(strings.Join(append(l[:len(l):len(l)], ""), "\n")) }
		var gotA, gotB []string
		changed := 0
		for line := range strings.Lines(Unified(join(a), join(b), 1000)) {
			line = strings.TrimSuffix(line, "\n")
			switch line[0] {
			case ' ':
				gotA, gotB = append(gotA, line[1:]), append(gotB, line[1:])
			case '-':
				gotA = append(gotA, line[1:])
				changed++
			case '+':
				gotB = append(gotB, line[1:])
				changed++
			}
		}
		if bytes.Equal(join(a), join(b)) {
			if gotA != nil {
				t.Fatal("a difference of what is the same")
			}
			return
		}
		if !bytes.Equal(join(gotA), join(a)) || !bytes.Equal(join(gotB), join(b)) {
			t.Fatalf("lines of neither text:\n%s", Unified(join(a), join(b), 1000))
		}
		if want := len(a) + len(b) - 2*common(a, b); changed != want {
			t.Fatalf("%d lines changed, where %d are enough:\n%s", changed, want, Unified(join(a), join(b), 1000))
		}
	})
}

// common is the length of the longest common subsequence, the slow way.
func common(a, b []string) int {
	row := make([]int, len(b)+1)
	for _, x := range a {
		diagonal := 0
		for j, y := range b {
			up := row[j+1]
			if x == y {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(row[j+1], row[j])
			}
			diagonal = up
		}
	}
	return row[len(b)]
}

// values draws JSON values with strings that YAML could take for something else.
func values() *rapid.Generator[any] {
	str := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "yes", "12", "1e3", "0x1f", "12:30:45", "~", "null", "a: b", "a #b", "- a",
		"a\nb", "a\nb\n", "a\n\nb\n\n", " a\nb", "a \nb", "\n", "\r\n", "\u2028", "2020-01-01", "=", "<<", ".5", "+1", "a,b", "[a", "{a", "%a", "@a", "`a", "a:", "Off", "0o7", "é", "\x7f", "\x01\n"}))
	scalar := rapid.OneOf(rapid.Map(str, func(s string) any { return strings.ToValidUTF8(s, "?") }), rapid.Just[any](nil), rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Map(rapid.Int64(), func(i int64) any { return i }), rapid.Map(rapid.Float64Range(-1e20, 1e20), func(f float64) any { return f }))
	var any_ func(depth int) *rapid.Generator[any]
	any_ = func(depth int) *rapid.Generator[any] {
		if depth == 0 {
			return scalar
		}
		key := rapid.Map(str, func(s string) string { return strings.ToValidUTF8(s, "?") })
		return rapid.OneOf(scalar,
			rapid.Map(rapid.SliceOfN(any_(depth-1), 0, 4), func(l []any) any { return l }),
			rapid.Map(rapid.MapOfN(key, any_(depth-1), 0, 4), func(m map[string]any) any { return m }))
	}
	return any_(3)
}

func TestYAMLIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := values().Draw(t, "value")
		text := AppendYAML(nil, v)
		j, err := yaml.YAMLToJSON(text)
		if err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
		got, err := Decode(j)
		if err != nil {
			t.Fatal(err)
		}
		if !Equal(v, got) {
			t.Fatalf("%s\nis read as %s", text, j)
		}
	})
}

func FuzzChanges(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"name":"a"}]}}`), []byte(`{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"name":"b"},{"name":"b"}]}}`))
	f.Add([]byte(`{"a":[1,"1"]}`), []byte(`{"a":["1",1]}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		x, errA := Decode(a)
		y, errB := Decode(b)
		if errA != nil || errB != nil {
			return
		}
		before, after := Object(x), Object(y)
		if len(Changes(before, before)) != 0 {
			t.Fatal("a difference of what is the same")
		}
		if before != nil && after != nil && len(Changes(before, after)) == 0 && !Equal(Canonical(before), Canonical(after)) {
			t.Fatal("no difference of what differs")
		}
		Unified(AppendYAML(nil, x), AppendYAML(nil, y), 3)
	})
}
