package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/record/redact"
)

// A model redacts decoded trees, slowly and simply. It has no names given twice.
type model struct {
	r            *redact.Redactor
	secret       bool // the resource is secrets
	token        bool // or tokenreviews
	env, applied bool
	inner        int
	hits         *int // trees that were replaced
}

// hash replaces all scalars of a tree but null.
func (m model) hash(v any, data bool) any {
	*m.hits++
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = m.hash(e, data)
		}
		return out
	case []any:
		out := []any{}
		for _, e := range v {
			out = append(out, m.hash(e, data))
		}
		return out
	case string:
		if b, err := base64.StdEncoding.DecodeString(v); data && err == nil {
			return m.r.Hash(b)
		}
		return m.r.Hash([]byte(v))
	case nil:
		return nil
	}
	return m.r.Hash([]byte(fmt.Sprint(v)))
}

func (m model) body(v any) any {
	switch v := v.(type) {
	case []any:
		out := []any{}
		for _, op := range v {
			out = append(out, m.operation(op))
		}
		return out
	case map[string]any:
		if raw, ok := v["raw"]; ok && len(v) == 1 && m.inner == 0 && (m.secret || m.token || m.env) {
			return map[string]any{"raw": m.hash(raw, true)}
		}
	}
	return m.value(v, "subject", "")
}

// pick returns the value of a name whatever its case, and the name.
func pick(o map[string]any, name string) (key string, value any, n int) {
	for k, v := range o {
		if strings.EqualFold(k, name) {
			key, value = k, v
			n++
		}
	}
	return key, value, n
}

func (m model) operation(op any) any {
	o, ok := op.(map[string]any)
	if !ok {
		return m.value(op, "anywhere", "")
	}
	_, path, paths := pick(o, "path")
	key, value, values := pick(o, "value")
	pointer, isText := path.(string)
	switch {
	case paths == 0 || values == 0:
		return m.value(o, "anywhere", "")
	case paths > 1 || values > 1 || !isText:
		return m.hash(o, false)
	}
	out := map[string]any{}
	for k, v := range o {
		out[k] = v
	}
	out[key] = m.operand(value, pointer)
	return out
}

func (m model) operand(value any, pointer string) any {
	if pointer == "" {
		return m.value(value, "subject", "")
	}
	if pointer[0] != '/' {
		return m.hash(value, false)
	}
	p := "subject"
	tokens := strings.Split(pointer, "/")[1:]
	for i, token := range tokens {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		next := "anywhere"
		index := token == "-" || strings.Trim(token, "0123456789") == "" && token != ""
		switch k := strings.ToLower(token); {
		case index && p == "env":
			next = "variable"
		case index && p == "items":
			next = "subject"
		case k == "data" && m.secret && p == "subject":
			return m.hash(value, true)
		case k == "stringdata" && m.secret && p == "subject":
			return m.hash(value, false)
		case k == "items" && (m.secret || m.token) && p == "subject":
			next = "items"
		case (k == "spec" || k == "status") && m.token && p == "subject":
			next = "holder"
		case k == "object" && (m.secret || m.token) && p == "subject":
			next = "subject"
		case k == "token" && p == "holder", k == "value" && p == "variable":
			return m.hash(value, false)
		case k == "env" && m.env:
			next = "env"
		case strings.HasSuffix(token, "/last-applied-configuration"):
			if text, ok := value.(string); m.applied || ok && i == len(tokens)-1 && m.tells(text) {
				return m.hash(value, false)
			}
		}
		p = next
	}
	return m.value(value, p, "")
}

// value redacts a value at a place. kind is that of the object whose spec or status it is.
func (m model) value(v any, p, kind string) any {
	switch v := v.(type) {
	case []any:
		elements := map[string]string{"items": "subject", "env": "variable"}
		out := []any{}
		for _, e := range v {
			out = append(out, m.value(e, elements[p], ""))
		}
		return out
	case map[string]any:
		_, k, _ := pick(v, "kind")
		own, _ := k.(string)
		out := map[string]any{}
		for name, e := range v {
			out[name] = m.member(name, e, p, strings.ToLower(own), kind)
		}
		return out
	}
	return v
}

func (m model) member(name string, v any, p, kind, outer string) any {
	subject := p == "subject"
	switch k := strings.ToLower(name); {
	case k == "data" && (m.secret && subject || kind == "secret"):
		return m.hash(v, true)
	case k == "stringdata" && (m.secret && subject || kind == "secret"):
		return m.hash(v, false)
	case k == "items" && kind == "secretlist" && !(m.secret || m.token) || k == "items" && kind == "secretlist" && !subject:
		return m.hash(v, false)
	case k == "items" && subject && (m.secret || m.token):
		return m.value(v, "items", "")
	case k == "object" && subject && (m.secret || m.token):
		return m.value(v, "subject", "")
	case k == "spec" || k == "status":
		if m.token && subject {
			return m.value(v, "holder", kind)
		}
		return m.value(v, "anywhere", kind)
	case k == "token" && (p == "holder" || outer == "tokenreview"):
		return m.hash(v, false)
	case k == "env" && m.env:
		return m.value(v, "env", "")
	case k == "value" && p == "variable":
		return m.hash(v, false)
	case k == "kind":
		return v
	case k == "message" && m.env:
		if text, ok := v.(string); ok && (strings.Contains(text, "EnvVar") || strings.Contains(text, `"env"`) || strings.Contains(text, "byte of ...|")) {
			return m.hash(v, false)
		}
	case strings.HasSuffix(name, "/last-applied-configuration"):
		if text, ok := v.(string); m.applied || ok && m.tells(text) {
			return m.hash(v, false)
		}
	}
	return m.value(v, "anywhere", "")
}

func (m model) tells(text string) bool {
	v, err := decode([]byte(text))
	o, ok := v.(map[string]any)
	if m.inner++; err != nil || !ok || m.inner > 2 || strings.Trim(text[:1], " \n\t\r") == "" {
		return true
	}
	m.hits = new(int)
	m.body(o)
	return *m.hits > 0
}

func decode(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err = d.Decode(&v); err == nil && d.More() {
		err = fmt.Errorf("more")
	}
	return v, err
}

// modelled are what the model knows: everything but paths.
func modelled(t rapid.TB, resource string, applied bool) (*redact.Redactor, model) {
	what := []string{"secrets", "tokens", "env"}
	if applied {
		what = append(what, "last-applied")
	}
	r := redactor(t, what...)
	return r, model{r: r, secret: resource == "secrets", token: resource == "tokenreviews", env: true, applied: applied, hits: new(int)}
}

// checkModel compares what is made of a body with what the model makes of it. The body
// must have no name twice.
func checkModel(t rapid.TB, resource string, applied bool, body []byte) {
	v, err := decode(body)
	if err != nil {
		t.Fatal(err)
	}
	r, m := modelled(t, resource, applied)
	e := event(resource, string(body))
	r.Redact(e)
	if len(body) > 100 && string(e.RequestObject) == `{"raw":"`+r.Hash(body)+`"}` {
		return // it would have become too long
	}
	got, err := decode(e.RequestObject)
	if err != nil {
		t.Fatalf("%s became %s: %v", body, e.RequestObject, err)
	}
	if want := m.body(v); !reflect.DeepEqual(got, want) {
		text, _ := json.Marshal(want)
		t.Fatalf("%s: %s\n got %s\nwant %s", resource, body, e.RequestObject, text)
	}
}

var resources = []string{"secrets", "pods", "tokenreviews"}

// tree draws a tree in which what is looked for is frequent.
func tree(depth int) *rapid.Generator[any] {
	names := []string{"kind", "data", "Data", "stringData", "items", "spec", "status", "token", "env", "value", "name", "metadata",
		"annotations", "kubectl.kubernetes.io/last-applied-configuration", "object", "raw", "x", "op", "message"}
	kinds := []any{"Secret", "SecretList", "ConfigMap", "TokenReview", "secret", ""}
	return rapid.Custom(func(t *rapid.T) any {
		shape := rapid.IntRange(0, 14).Draw(t, "shape")
		if depth == 0 {
			shape = min(shape, 3)
		}
		switch {
		case shape == 0:
			return rapid.SampledFrom([]any{nil, true, json.Number("12"), json.Number("-1.5e3"), "", "eHl6", "a<b>", `x: EnvVar{}`, "\u2028\"\\"}).Draw(t, "scalar")
		case shape <= 2:
			return rapid.String().Draw(t, "text")
		case shape == 3:
			return rapid.SampledFrom(kinds).Draw(t, "kind")
		case shape <= 5:
			return anyList(rapid.SliceOfN(tree(depth-1), 0, 3).Draw(t, "list"))
		}
		o := map[string]any{}
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 7, rapid.ID).Draw(t, "names") {
			switch {
			case name == "kind" && rapid.Bool().Draw(t, "known"):
				o[name] = rapid.SampledFrom(kinds).Draw(t, "kind")
			case strings.Contains(name, "/"):
				b, _ := json.Marshal(tree(min(depth-1, 2)).Draw(t, "copy"))
				o[name] = string(b)
			case name == "env" || name == "items":
				o[name] = anyList(rapid.SliceOfN(tree(depth-1), 0, 3).Draw(t, name))
			default:
				o[name] = tree(depth-1).Draw(t, "value")
			}
		}
		return o
	})
}

func anyList(l []any) []any {
	if l == nil {
		return []any{}
	}
	return l
}

// patches draws JSON patches.
func patches() *rapid.Generator[any] {
	tokens := rapid.SampledFrom([]string{"data", "stringData", "spec", "env", "0", "-", "value", "a~1b", "metadata", "annotations",
		"kubectl.kubernetes.io~1last-applied-configuration", "token", "items", "", "x"})
	return rapid.Custom(func(t *rapid.T) any {
		ops := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "operations") {
			path := strings.Join(append([]string{""}, rapid.SliceOfN(tokens, 0, 4).Draw(t, "tokens")...), "/")
			op := map[string]any{"op": "add", "path": path}
			if rapid.IntRange(0, 9).Draw(t, "value") > 0 {
				op["value"] = tree(3).Draw(t, "value")
			}
			ops = append(ops, op)
		}
		return ops
	})
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body, err := json.Marshal(rapid.OneOf(tree(5), patches()).Draw(t, "body"))
		if err != nil {
			t.Fatal(err)
		}
		body = respell(t, body)
		checkModel(t, rapid.SampledFrom(resources).Draw(t, "resource"), rapid.Bool().Draw(t, "applied"), body)
	})
}

// respell writes a letter of a body here and there as an escape.
func respell(t *rapid.T, body []byte) []byte {
	if rapid.IntRange(0, 3).Draw(t, "escapes") > 0 {
		return body
	}
	every := rapid.IntRange(2, 20).Draw(t, "every")
	var out []byte
	inside := false
	for i := 0; i < len(body); i++ {
		c := body[i]
		switch {
		case c == '\\':
			n := 2
			if body[i+1] == 'u' {
				n = 6
			}
			out = append(out, body[i:i+n]...)
			i += n - 1
			continue
		case c == '"':
			inside = !inside
		case inside && i%every == 0 && c >= 'a' && c <= 'z':
			out = fmt.Appendf(out, `\u%04x`, c)
			continue
		}
		out = append(out, c)
	}
	return out
}

// TestNothingRemains checks that values which must not be recorded are nowhere in the
// line, however they may be written, and that what is around them is as it was.
func TestNothingRemains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := redactor(t, "secrets", "tokens", "env")
		secret := "§" + rapid.StringN(8, 40, -1).Draw(t, "secret") + "<&\"\u2028§"
		b64 := base64.StdEncoding.EncodeToString([]byte(secret))
		object := map[string]any{
			"apiVersion": "v1", "kind": "Secret", "type": rapid.StringMatching(`[a-z/]{3,20}`).Draw(t, "type"),
			"metadata": map[string]any{"name": rapid.StringMatching(`[a-z]{1,10}`).Draw(t, "name"), "labels": map[string]any{"a": "b"}},
		}
		keys := rapid.SliceOfN(rapid.String(), 1, 3).Draw(t, "keys")
		data, text := map[string]any{}, map[string]any{}
		for _, k := range keys {
			data[k], text[k] = b64, secret
		}
		object[rapid.SampledFrom([]string{"data", "stringData"}).Draw(t, "member")] = "?"
		if object["data"] != nil {
			object["data"] = data
		} else {
			object["stringData"] = text
		}
		copied, _ := json.Marshal(object)
		if rapid.Bool().Draw(t, "applied") {
			object["metadata"].(map[string]any)["annotations"] = map[string]any{"kubectl.kubernetes.io/last-applied-configuration": string(copied)}
		}
		var body any = object
		resource := "secrets"
		switch rapid.IntRange(0, 3).Draw(t, "shape") {
		case 1:
			body = map[string]any{"kind": "List", "items": []any{map[string]any{"kind": "Pod"}, object}}
		case 2:
			body, resource = map[string]any{"kind": "Bundle", "spec": map[string]any{"objects": []any{object}}}, "bundles"
		case 3:
			body = []any{map[string]any{"op": "replace", "path": "", "value": object}}
		}
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		e := event(resource, "")
		e.RequestObject, e.ResponseObject = encoded, encoded
		e.Text[audit.RequestURI] = []byte("/api?access_token=" + b64)
		r.Redact(e)
		line := e.Line()
		escaped, _ := json.Marshal(secret)
		twice, _ := json.Marshal(string(escaped[1 : len(escaped)-1]))
		for _, spelling := range []string{secret, b64, strings.TrimRight(b64, "="), string(escaped[1 : len(escaped)-1]), string(twice[1 : len(twice)-1])} {
			if bytes.Contains(line, []byte(spelling)) {
				t.Fatalf("%q remains in %s", spelling, line)
			}
		}
		for _, rest := range []string{object["type"].(string), `"labels":{"a":"b"}`, r.Hash([]byte(secret))} {
			if bytes.Count(line, []byte(rest)) < 2 {
				t.Fatalf("%q is not in both bodies of %s", rest, line)
			}
		}
	})
}
