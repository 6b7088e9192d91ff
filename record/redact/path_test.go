package redact_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
	"kubetrail/record"
	"kubetrail/record/redact"
)

// checkPath checks that what a question finds by a path is not found any more after
// redaction by the same path: only hashes and null are.
func checkPath(t *testing.T, path, body string) {
	t.Helper()
	path = "requestObject." + path
	c, err := redact.Parse([]string{"path=" + path})
	if err != nil || !json.Valid([]byte(body)) || strings.TrimSpace(body)[0] == '[' {
		return // a patch is redacted by what it changes
	}
	c.Key = key
	r, err := redact.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := audit.Resolve(path)
	if err != nil {
		t.Fatal(err)
	}
	e := event("pods", body)
	r.Redact(e)
	ref.Each(&e.Event, func(v audit.Value) bool {
		leaves(t, v, func(leaf string) {
			if leaf != "null" && !strings.HasPrefix(leaf, "hmac:") {
				t.Fatalf("%s finds %q in %s, which was %s", path, leaf, e.RequestObject, body)
			}
		})
		return true
	})
}

// leaves gives the scalars in a value.
func leaves(t *testing.T, v audit.Value, yield func(string)) {
	if v.Kind != audit.JSONValue {
		yield(string(v.Bytes))
		return
	}
	d := json.NewDecoder(bytes.NewReader(v.Bytes))
	type level struct{ object, name bool }
	var levels []level
	for {
		token, err := d.Token()
		if err != nil {
			return
		}
		top := len(levels) - 1
		if delim, ok := token.(json.Delim); ok {
			if delim == '{' || delim == '[' {
				if top >= 0 {
					levels[top].name = true
				}
				levels = append(levels, level{delim == '{', true})
			} else {
				levels = levels[:top]
			}
			continue
		}
		if top >= 0 && levels[top].object && levels[top].name {
			levels[top].name = false
			continue
		}
		if top >= 0 {
			levels[top].name = true
		}
		if text, ok := token.(string); ok {
			yield(text)
		} else if token == nil {
			yield("null")
		} else {
			yield("a number")
		}
	}
}

func TestPaths(t *testing.T) {
	bodies := []string{
		`{"spec":{"key":"a","list":[{"key":"b"},{"key":{"c":[1,true,null]}}]},"metadata":{"annotations":{"example.com/key":"d"}}}`,
		`{"a.b":{"c":"d"},"a":{"b.c":"e","b":{"c":"f"}}}`,
	}
	for _, path := range []string{"spec", "spec.key", "spec.list", "spec.list.key", "*key", "*.c", "spec.*", "*", `"a.b".c`, "a.b", "a.b.c", "metadata.annotations.example.com/key", `metadata.annotations."example.com/key"`} {
		for _, body := range bodies {
			checkPath(t, path, body)
		}
	}
}

// TestCorpus redacts the logs of a real kube-apiserver. They hold no bodies of Secrets,
// so ConfigMaps are made Secrets of. No value of one may remain in any event of it, nor
// of a variable of a container; and events with neither stay as they are.
func TestCorpus(t *testing.T) {
	r := redactor(t, "secrets", "tokens", "env", "last-applied")
	configMaps := strings.NewReplacer(`"resource":"configmaps"`, `"resource":"secrets"`, `"kind":"ConfigMap`, `"kind":"Secret`)
	changed, same, values := 0, 0, 0
	for _, name := range []string{"a-gce-derived", "truncate-10k", "webhook-batch"} {
		for _, m := range corpustest.Members(t, name, "*") {
			if strings.HasSuffix(m.Name, ".gz") {
				continue
			}
			for _, line := range m.Events(t) {
				line = []byte(configMaps.Replace(string(line)))
				e := event("", "")
				if err := e.Scan(line); err != nil {
					continue
				}
				e.Raw, e.Form = nil, audit.FormV1
				known := hidden(e)
				before := bytes.Clone(e.Line())
				e.Changed()
				r.Redact(e)
				after := e.Line()
				switch {
				case !json.Valid(after):
					t.Fatalf("%s became %s", line, after)
				case bytes.Equal(before, after):
					same++
				case len(known) == 0 && !bytes.Contains(before, []byte("last-applied-configuration")) && !bytes.Contains(before, []byte("token")):
					t.Fatalf("%s became %s", before, after)
				default:
					changed++
				}
				values += len(known)
				for _, value := range known {
					if bytes.Contains(after, value) {
						t.Fatalf("%s remains in %.4000s", value, after)
					}
				}
			}
		}
	}
	t.Logf("%d events changed, %d did not; %d values", changed, same, values)
	if values < 1000 || changed < 500 || same < 1000 {
		t.Errorf("%d values in %d events, and %d others, are too few", values, changed, same)
	}
}

// hidden returns the values of Secrets and variables in the bodies of e that are too long
// to occur by chance, as they stand there.
func hidden(e *record.Event) (values [][]byte) {
	paths := []string{"requestObject.*env.value", "responseObject.*env.value"}
	if string(e.Text[audit.Resource]) == "secrets" {
		paths = append(paths, "requestObject.data.*", "responseObject.data.*", "responseObject.items.data.*")
	}
	for _, path := range paths {
		ref, err := audit.Resolve(path)
		if err != nil {
			panic(err)
		}
		ref.Each(&e.Event, func(v audit.Value) bool {
			if v.Kind == audit.StringValue && len(v.Bytes) >= 12 {
				text, _ := json.Marshal(string(v.Bytes))
				values = append(values, text)
			}
			return true
		})
	}
	return values
}
