package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
	kjson "sigs.k8s.io/json"
)

// judged is what the decoders of kube-apiserver make of a body: of one for a type that is
// compiled in, or of one for a custom resource.
func judged(body []byte) (texts, bool) {
	var tree map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(body, &tree); err != nil || tree == nil {
		return texts{}, false
	}
	version, _ := tree["apiVersion"].(string)
	if isCompiledIn(version) {
		return judgedTyped(body)
	}
	kind, ok := tree["kind"].(string)
	metadata, _ := tree["metadata"].(map[string]any)
	text := func(name string) string {
		s, _ := metadata[name].(string)
		return s
	}
	m := texts{version, kind, text("name"), text("generateName"), text("namespace"), text("uid"), text("resourceVersion")}
	return m, ok || tree["kind"] == nil
}

func judgedTyped(body []byte) (texts, bool) {
	var o struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name            string `json:"name"`
			GenerateName    string `json:"generateName"`
			Namespace       string `json:"namespace"`
			UID             string `json:"uid"`
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(body, &o); err != nil {
		return texts{}, false
	}
	m := texts{o.APIVersion, o.Kind, o.Metadata.Name, o.Metadata.GenerateName, o.Metadata.Namespace, o.Metadata.UID, o.Metadata.ResourceVersion}
	return m, true
}

func objectSeeds() []string {
	return []string{
		`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","generateName":"g","namespace":"n","uid":"u","resourceVersion":"1"},"spec":{"metadata":{"name":"no"}}}`,
		`{"spec":{"name":"no","list":[{"metadata":{"name":"no"}},[],"}",1]},"metadata":{"labels":{"name":"no"},"name":"a"},"kind":"Pod"}`,
		`{"metadata":{"name":"a","name":"b"}}`, `{"metadata":{"name":1,"name":"b"}}`, `{"metadata":{"name":"a"},"metadata":{"namespace":"n"}}`, `{"metadata":{"name":"a"},"metadata":null}`, `{"metadata":{"name":"a","name":null}}`,
		`{"kind":"PodList","metadata":{"name":"a"},"items":[],"kind":"Pod"}`,
		`{"apiVersion":"example.org/v1","kind":"A","metadata":{"name":"decoy"},"metadata":{"generateName":"a-"}}`, `{"metadata":{"name":"decoy"},"metadata":null,"apiVersion":"example.org/v1","kind":"A"}`,
		`{"apiVersion":"example.org/v1","kind":"A","metadata":{"name":1,"name":"a"}}`, `{"apiVersion":"example.org/v1","kind":"A","metadata":{"name":"a","name":[1]}}`, `{"apiVersion":"example.org/v1","kind":"A","metadata":3,"metadata":{"name":"a"}}`, `{"apiVersion":"example.org/v1","kind":"A","metadata":{"name":"a"},"metadata":"x"}`,
		`{"meta\u0064ata":{"n\u0061me":"\u0061\"\\\u00e4\ud83d\ude00"}}`, `{"Metadata":{"name":"a"},"metadata":{"Name":"a"}}`,
		" {\n\t\"metadata\" : { \"name\" : \"a\" , \"labels\" : { } } \r\n} ", `{}`, `{"metadata":{}}`,
		`{"metadata":[{"name":"a"}]}`, `{"metadata":"a"}`, `{"metadata":1}`, `{"metadata":true}`, `{"metadata":{"name":1}}`, `{"metadata":{"name":{}}}`, `{"metadata":{"name":["a"]}}`, `{"kind":1}`, `{"kind":{}}`, `{"kind":null}`,
		`[{"metadata":{"name":"a"}}]`, `"metadata"`, `null`, `1`, ``, ` `, `{`, `{"metadata":{"name":"a"}`, `{"metadata":{"name":"a"}}}`, `{"metadata":{"name":"a"}} {}`, `{"metadata":{"name":"a`, `{"metadata":{"name":"a\`, `}`, `]`, `{"a":]}`,
		`{"metadata":{"name":"` + strings.Repeat("x", maxText) + `"}}`, `{"` + strings.Repeat("metadata", 1000) + `":"\\","metadata":{"name":"a"}}`,
		`{"data":{"a":"\\\"","b":"\\\\"},"metadata":{"name":"a\\"}}`, "{\"metadata\":{\"name\":\"\xff\xe4\"}}", `{"metadata":{"name":"ä日本"}}`,
		`{"deep":` + strings.Repeat(`[{"metadata":{"name":"no"},"a":`, 500) + "1" + strings.Repeat("}]", 500) + `,"metadata":{"name":"a"}}`,
	}
}

// checkObject compares with the judge, in pieces of several sizes, where the judge takes
// the body.
func checkObject(t testing.TB, body []byte) {
	t.Helper()
	whole, ok := look("application/json", body, len(body)+1)
	for _, size := range []int{1, 2, 3, 7, 64} {
		if got, also := look("application/json", body, size); got != whole || ok != also {
			t.Errorf("%.300q in pieces of %d: %+v, %v; whole: %+v, %v", body, size, got, also, whole, ok)
		}
	}
	want, taken := judged(body)
	if !taken {
		return // whether the server takes it, its answer tells
	}
	for _, text := range []*string{&want.APIVersion, &want.Kind, &want.Name, &want.GenerateName, &want.Namespace, &want.UID, &want.ResourceVersion} {
		if len(*text) > maxText/6 {
			return // may be longer where it stands
		}
	}
	if !ok || whole != want {
		t.Errorf("%.300q: %+v, %v, want %+v", body, whole, ok, want)
	}
}

func TestObjectOfJSON(t *testing.T) {
	for _, s := range objectSeeds() {
		checkObject(t, []byte(s))
	}
}

// Bodies that the server cannot decode into an object are those of which nothing is known.
func TestNoObject(t *testing.T) {
	for _, s := range objectSeeds() {
		_, taken := judged([]byte(s))
		if _, ok := look("application/json", []byte(s), 10); ok != taken && json.Valid([]byte(s)) {
			t.Errorf("%.200q is known: %v", s, ok)
		}
	}
}

func TestObjectOfAnything(t *testing.T) {
	name := rapid.OneOf(rapid.SampledFrom([]string{"example.org/v1", "v1", "metadata", "name", "namespace", "uid", "kind", "apiVersion", "resourceVersion", "generateName"}), rapid.String())
	var value func(t *rapid.T, depth int) string
	value = func(t *rapid.T, depth int) string {
		switch rapid.IntRange(0, 9).Draw(t, "form") {
		case 0:
			return rapid.SampledFrom([]string{"null", "1", "true", "-1.5e3"}).Draw(t, "literal")
		case 1, 2, 3:
			out, _ := json.Marshal(name.Draw(t, "text"))
			return string(out)
		case 4:
			if depth > 0 {
				return "[" + value(t, depth-1) + ", " + value(t, depth-1) + "]"
			}
			return "[]"
		default:
			if depth == 0 {
				return "{}"
			}
			var members []string
			for range rapid.IntRange(0, 4).Draw(t, "members") {
				out, _ := json.Marshal(name.Draw(t, "name"))
				members = append(members, string(out)+": "+value(t, depth-1))
			}
			return "{" + strings.Join(members, ",") + "}"
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		body := value(t, 5)
		want, taken := judged([]byte(body))
		got, ok := look("application/json", []byte(body), rapid.IntRange(1, 20).Draw(t, "size"))
		if taken && (!ok || got != want) {
			t.Fatalf("%s: %+v, %v, want %+v, %v", body, got, ok, want, taken)
		}
	})
}

// TestObject checks by headers which bodies are looked at.
func TestObject(t *testing.T) {
	asJSON := []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"n","uid":"u"}}`)
	for _, c := range [][2]string{{"text/plain"}, {typeYAML}, {typeCBOR}, {"application/apply-patch+yaml"}, {"application/json", "gzip"}, {typeProtobuf, "gzip"}} {
		if w, told := Object(c[0], c[1]); w != nil || told != nil {
			t.Errorf("%q is looked at", c)
		}
	}
	for _, c := range [][2]string{{"application/json"}, {"application/json;stream=watch", "identity"}, {"", ""}} {
		w, told := Object(c[0], c[1])
		_, _ = w.Write(asJSON)
		if namespace, name, uid, _ := told(); namespace != "n" || name != "a" || uid != "u" {
			t.Errorf("%q: %q, %q, %q", c, namespace, name, uid)
		}
	}
}

// TestObjectKeepsLittle writes megabytes of hostile JSON.
func TestObjectKeepsLittle(t *testing.T) {
	for _, body := range []string{
		`{"metadata":{"name":"` + strings.Repeat("x", 4<<20),
		`{"` + strings.Repeat("x", 4<<20),
		strings.Repeat(`{"metadata":`, 1<<18),
		strings.Repeat("[", 4<<20),
	} {
		o := objectLook{format: formatJSON}
		for piece := range pieces([]byte(body), 32<<10) {
			_, _ = o.Write(piece)
		}
		if n := cap(o.json.text); n > 4*maxText {
			t.Errorf("%.30s: %d bytes are kept", body, n)
		}
		if m, ok := o.told(); ok {
			t.Errorf("%.30s is %+v", body, m)
		}
	}
}

func FuzzObject(f *testing.F) {
	for _, s := range objectSeeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) { checkObject(t, body) })
}

// TestSecondObject checks that of two objects in one envelope the second counts alone, as
// it does for kube-apiserver.
func TestSecondObject(t *testing.T) {
	object := func(m metav1.ObjectMeta) []byte {
		raw, err := (&corev1.ConfigMap{ObjectMeta: m}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	body := append([]byte(magic), message2(2, object(metav1.ObjectMeta{Name: "decoy", UID: "u"}))...)
	body = append(body, message2(2, message2(1, message2(2, []byte("real-"))))...)
	body = append(body, message2(1, append(message2(1, []byte("v1")), message2(2, []byte("ConfigMap"))...))...)
	want := texts{APIVersion: "v1", Kind: "ConfigMap", GenerateName: "real-"}
	if got, ok := look(typeProtobuf, body, 4); !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
	out, err := JSON(typeProtobuf, "", body)
	if err != nil || bytes.Contains(out, []byte("decoy")) || !bytes.Contains(out, []byte("real-")) {
		t.Errorf("%s, %v", out, err)
	}
}
