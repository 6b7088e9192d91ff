package wire

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/serializer/cbor/direct"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"kubetrail/internal/rawjson"
)

const (
	typeYAML     = "application/yaml"
	typeCBOR     = "application/cbor"
	typeProtobuf = "application/vnd.kubernetes.protobuf"
)

// valid fails unless out is JSON that can stand in an event.
func valid(t testing.TB, out []byte) {
	t.Helper()
	if _, err := rawjson.Append(nil, out); err != nil {
		t.Errorf("%.300q: %v", out, err)
	}
}

func packed(t testing.TB, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestJSONByType(t *testing.T) {
	object := `{"a": 1}`
	for _, c := range []struct{ contentType, encoding, body, want string }{
		{"application/json", "", object, object},
		{"", "", object, object},
		{"Application/JSON; charset=utf-8", "identity", object, object},
		{"application/merge-patch+json", "", object, object},
		{"application/strategic-merge-patch+json", "", object, object},
		{"application/json-patch+json", "", `[]`, `[]`},
		{"application/apply-patch+yaml", "", object, `{"a":1}`},
		{"application/apply-patch+yaml", "", "a: 1", `{"a":1}`},
		{"application/apply-patch+yaml", "", "{a: 1}", `{"a":1}`},
		{"application/apply-patch+cbor", "", "\xa1\x61a\x01", `{"a":1}`},
		{typeCBOR, "", "\xd9\xd9\xf7\xa1\x61a\x01", `{"a":1}`},
		{"application/json", "gzip", string(packed(t, []byte(object))), object},
		{typeYAML, "GZIP", string(packed(t, []byte("a: 1"))), `{"a":1}`},
		{"application/json;stream=watch", "", object, object}, // which kube-apiserver takes
		{"application/cbor-seq", "", "\xa0\xa0", ""},
		{"text/plain", "", object, ""},
		{"application/json", "br", object, ""},
		{"application/json", "gzip", object, ""},
		{"application/json", "gzip", string(packed(t, []byte(object))[:20]), ""},
		{typeProtobuf, "", object, ""},
		{typeProtobuf, "", magic, ""},
	} {
		got, err := JSON(c.contentType, c.encoding, []byte(c.body))
		if string(got) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s, %s: %q becomes %q, %v; want %q", c.contentType, c.encoding, c.body, got, err, c.want)
		}
	}
}

func yamlSeeds() []string {
	return []string{
		"a: 1\nb: [x, 'y', \"z\"]\n", "- 1\n- 2.5\n- 1e3\n- 0x1F\n- 0o17\n- 017\n- 1_000\n- 12345678901234567890\n- -9223372036854775808\n- 123456789012345678901234567890\n- .5\n- +1\n",
		"a: yes\nb: off\nc: ~\nd: null\ne:\nf: Null\n", "a: .inf", "a: .nan", "1: a\n2.5: b\ntrue: c\n-1: d\n.inf: e\n1e10: f\n1e100: g",
		"~: a", "? [a]\n: b", "? {a: b}\n: c", "a: 1\na: 2\n", "base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\n", "a: &a [1]\nb: *a\nc: *a", "a: *unknown", "<<: 1",
		"a: !!binary aGVsbG8=\n", "a: !!binary /w==\n", "a: !!str 1\nb: !!int \"1\"\nc: !!float 1\nd: !custom x\n", "a: 2001-01-01\nb: 2001-12-14t21:59:43.10-05:00\nc: !!timestamp 2001-01-01\n", "!!timestamp 2001-01-01: a",
		"a: |\n  text\n  <more> & \u2028\nb: >-\n  folded\n  text\n", "a: b\n---\nc: d\n", "---\n", "", " ", "# nothing\n", "scalar", "\"\\ud800\"", "\"\\xff\"", "a: \"\\u0000\"", "\ufeffa: 1", "a: b\r\nc: d\r\n", "\ta: 1", "a: [", "a: b: c", "{", "[1, 2", "{\"a\": 1,}", "{a: 1, \"b\": [c]}", "%YAML 1.1\n---\na: 1", "&a [*a]", "a: &a {b: *a}",
		"1: a\n\"1\": b\n", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n  k: \"1\"\n",
	}
}

func checkYAML(t testing.TB, body []byte) {
	t.Helper()
	got, err := yamlToJSON(body, MaxSize)
	want, failed := yaml.YAMLToJSON(body)
	if err == nil {
		valid(t, got)
		if n := values(t, got); bytes.IndexByte(body, '*') < 0 && yamlValues(body) < n {
			t.Errorf("%q holds %d values, not at most %d", body, n, yamlValues(body))
		}
	}
	if failed != nil {
		if err == nil {
			t.Errorf("%q becomes %q, but upstream says %v", body, got, failed)
		}
		return
	}
	if err == nil && !bytes.Equal(got, want) {
		t.Errorf("%q becomes\n%q, want\n%q", body, got, want)
	}
	if err != nil && !strings.Contains(err.Error(), "UTF-8") && !strings.Contains(err.Error(), "two keys") {
		t.Errorf("%q: %v, want %q", body, err, want)
	}
}

// values counts values and names.
func values(t testing.TB, out []byte) (n int) {
	t.Helper()
	for d := json.NewDecoder(bytes.NewReader(out)); ; n++ {
		token, err := d.Token()
		if err == io.EOF {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		if token == json.Delim(']') || token == json.Delim('}') {
			n--
		}
	}
}

func TestYAML(t *testing.T) {
	for _, s := range yamlSeeds() {
		checkYAML(t, []byte(s))
	}
}

func TestYAMLNamesThatMeet(t *testing.T) {
	for _, body := range []string{"1: a\n\"1\": b\n", "true: a\n\"true\": b", "1e100: a\n.inf: b"} {
		if got, err := yamlToJSON([]byte(body), MaxSize); err == nil {
			t.Errorf("%q becomes %s", body, got)
		}
	}
}

// TestBombs checks that what is small and becomes large is refused.
func TestBombs(t *testing.T) {
	laughs := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		laughs += fmt.Sprintf("%c: &%c [%s*%c]\n", c, c, strings.Repeat(fmt.Sprintf("*%c, ", c-1), 9), c-1)
	}
	text := "a: &a \"" + strings.Repeat("x", 100_000) + "\"\nb: [" + strings.Repeat("*a, ", 10_000) + "]\n"
	name := "a: &a {\"" + strings.Repeat("x", 100_000) + "\": 1}\nb: [" + strings.Repeat("*a, ", 10_000) + "]\n"
	zeros := bytes.Repeat(packed(t, bytes.Repeat([]byte{' '}, 1<<20)), 100)
	for name, c := range map[string]struct {
		contentType, encoding string
		body                  []byte
	}{
		"laughs":      {typeYAML, "", []byte(laughs)},
		"one text":    {typeYAML, "", []byte(text)},
		"one name":    {typeYAML, "", []byte(name)},
		"large":       {typeYAML, "", bytes.Repeat([]byte("- a\n"), MaxSize/4)},
		"deep":        {typeYAML, "", []byte(strings.Repeat("[", 100_000))},
		"mappings":    {typeYAML, "", []byte("[" + strings.Repeat("{a},", 400_000) + "]")},
		"pairs":       {typeYAML, "", []byte("[" + strings.Repeat("a: b,", 400_000) + "]")},
		"empty keys":  {typeYAML, "", []byte(strings.Repeat("?\n", 400_000))},
		"dashes":      {typeYAML, "", []byte(strings.Repeat("-\n", 600_000))},
		"CBOR maps":   {typeCBOR, "", append([]byte("\x9a\x00\x08\x00\x00"), bytes.Repeat([]byte("\xa1\x60\xf6"), 1<<19)...)},
		"CBOR lists":  {typeCBOR, "", append([]byte("\x9f"), bytes.Repeat([]byte("\x80"), 2<<20)...)},
		"deep blocks": {typeYAML, "", []byte(strings.Repeat("- ", 100_000))},
		"CBOR deep":   {typeCBOR, "", bytes.Repeat([]byte{0x81}, 100_000)},
		"CBOR size":   {typeCBOR, "", []byte("\x9b\x00\x00\x00\x7f\xff\xff\xff\xff")},
		"CBOR text":   {typeCBOR, "", []byte("\x7b\x00\x00\x00\x7f\xff\xff\xff\xff")},
		"gzip":        {"application/json", "gzip", zeros},
		"gzip twice":  {"application/json", "gzip", append(bytes.Clone(zeros), zeros...)},
	} {
		got, err := JSON(c.contentType, c.encoding, c.body)
		if err == nil {
			t.Errorf("%s: %d bytes become %d", name, len(c.body), len(got))
		}
		if err != nil && len(err.Error()) > 400 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

// tree draws what JSON can hold of what CBOR can.
func tree() *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any { return drawn(t, 4) })
}

func drawn(t *rapid.T, depth int) any {
	kinds := 8
	if depth == 0 {
		kinds = 5
	}
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.Int64().Draw(t, "int")
	case 3:
		return rapid.Float64().Filter(func(f float64) bool { return !math.IsInf(f, 0) && !math.IsNaN(f) }).Draw(t, "float")
	case 4, 5:
		return rapid.String().Draw(t, "text")
	case 6:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			list = append(list, drawn(t, depth-1))
		}
		return list
	default:
		m := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			m[rapid.String().Draw(t, "name")] = drawn(t, depth-1)
		}
		return m
	}
}

// TestCBOR encodes trees as upstream does, and wants the JSON of the same tree.
func TestCBOR(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := tree().Draw(t, "tree")
		body, err := direct.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := JSON(typeCBOR, "", body)
		if err != nil {
			t.Fatalf("%x: %v", body, err)
		}
		if !bytes.Equal(got, want) && !sameNumbers(got, want) {
			t.Fatalf("%x becomes %s, want %s", body, got, want)
		}
	})
}

// sameNumbers compares by value: a float that is whole is an integer in CBOR.
func sameNumbers(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func TestCBORStrings(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{"\x43abc", `"abc"`},               // bytes are text
		{"\xd6\x43\xff\x00a", `"/wBh"`},    // to be encoded as base64
		{"\xd5\x43\xff\xfe\xfd", `"__79"`}, // as base64url
		{"\xd7\x42\xff\x00", `"ff00"`},     // as base16
		{"\xc0\x742013-03-21T20:04:00Z", `"2013-03-21T20:04:00Z"`},
		{"\xc1\x1a\x51\x4b\x67\xb0", `"2013-03-21T20:04:00Z"`},
		{"\x43a\xffc", ""},       // no UTF-8
		{"\x62\xff\xff", ""},     // nor here
		{"\xc2\x42\x01\x00", ""}, // a big number
		{"\xf9\x7c\x00", ""},     // infinity
		{"\xf7", ""},             // undefined
		{"\xa2\x61a\x01\x61a\x02", ""},
		{"\xa1\x01\x02", ""}, // a key that is no text
		{"\x1b\xff\xff\xff\xff\xff\xff\xff\xff", ""},
		{"\x01\x02", ""}, // two items
		{"\xbf\x61a\x9f\x01\xff\xff", `{"a":[1]}`},
		{"\x81\x63<\"&", `["\u003c\"\u0026"]`},
	} {
		got, err := JSON(typeCBOR, "", []byte(c.body))
		if string(got) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%x becomes %s, %v; want %s", c.body, got, err, c.want)
		}
	}
}

func FuzzYAML(f *testing.F) {
	for _, s := range yamlSeeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 4<<10 {
			return // upstream has no bound
		}
		checkYAML(t, body)
	})
}

func FuzzCBOR(f *testing.F) {
	for _, s := range []string{"\xa1\x61a\x01", "\xd9\xd9\xf7\xa1\x61a\x81\xf9\x3c\x00", "\xd6\x43abc", "\x9f\x01\xff", "\xfb\x7e\x37\xe4\x3c\x88\x00\x75\x9c", "\xc1\x1a\x51\x4b\x67\xb0", "\x43a\xffc"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := JSON(typeCBOR, "", body)
		if err != nil {
			return
		}
		valid(t, got)
		var want any
		if err := direct.Unmarshal(body, &want); err != nil {
			t.Fatal(err)
		}
		if n := values(t, got); cborValues(body) < n {
			t.Errorf("%x holds %d values, not at most %d", body, n, cborValues(body))
		}
		if plain, err := json.Marshal(want); err != nil || !bytes.Equal(plain, got) {
			t.Errorf("%x becomes %s, want %s (%v)", body, got, plain, err)
		}
	})
}

func FuzzGzip(f *testing.F) {
	limited := Limited(4096, 1)
	f.Add(packed(f, []byte(`{"a":1}`)))
	f.Add(packed(f, bytes.Repeat([]byte(" "), 10_000)))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := limited("application/json", "gzip", body)
		if err != nil {
			return
		}
		if len(got) > 4096 {
			t.Errorf("%d bytes", len(got))
		}
	})
}
