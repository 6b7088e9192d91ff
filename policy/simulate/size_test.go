package simulate

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
	"kubetrail/policy"
)

// always is a policy of one rule for everything.
func always(rule policy.PolicyRule) *policy.Document {
	return &policy.Document{Policy: &policy.Policy{Rules: []policy.PolicyRule{rule}}}
}

func newSimulation(t rapid.TB, cfg Config) *Simulation {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// written encodes an event as an apiserver would have at a lower level, by another way
// than resize takes: bodies and annotations are taken out of the event, and all of it
// is encoded again.
func written(t *testing.T, line []byte, level policy.Level) int64 {
	t.Helper()
	var e audit.Event
	if err := e.Scan(line); err != nil {
		t.Fatal(err)
	}
	e.Text[audit.Level] = []byte(level)
	if level != policy.LevelRequestResponse {
		e.ResponseObject = nil
	}
	if level == policy.LevelMetadata {
		e.RequestObject = nil
		kept := map[string]string{}
		if all := e.Text[audit.Annotations]; len(all) > 0 {
			if err := json.Unmarshal(all, &kept); err != nil {
				t.Fatal(err)
			}
		}
		for name := range kept {
			if strings.HasPrefix(name, "patch.webhook.admission.k8s.io/") || name == "audit.k8s.io/truncated" {
				delete(kept, name)
			}
		}
		e.Text[audit.Annotations] = nil
		if len(kept) > 0 {
			text, err := json.Marshal(kept) // sorts, and escapes for HTML, as the apiserver does
			if err != nil {
				t.Fatal(err)
			}
			e.Text[audit.Annotations] = text
		}
	}
	return int64(len(e.AppendColumns(nil))) + 1
}

// TestLowered checks that an event recorded at a lower level takes the bytes of its line
// encoded again.
func TestLowered(t *testing.T) {
	for _, corpus := range []string{"a-gce-derived", "rotation-keepall", "truncate-10k", "webhook-batch"} {
		for _, level := range []policy.Level{policy.LevelMetadata, policy.LevelRequest} {
			t.Run(corpus+"/"+string(level), func(t *testing.T) {
				s := newSimulation(t, Config{Candidate: always(policy.PolicyRule{Level: level})})
				var e audit.Event
				exact, lowered := 0, 0
				for _, line := range corpustest.Events(t, corpus) {
					if err := e.Scan(line); err != nil {
						t.Fatal(err)
					}
					if !e.Exact() || levelOf(e.Text[audit.Level]).Less(level) {
						continue // what is written anew is not what was found
					}
					exact++
					before := s.total.After.Bytes
					if err := s.Add(&e); err != nil {
						t.Fatal(err)
					}
					if got, want := s.total.After.Bytes-before, written(t, line, level); got != want {
						t.Fatalf("%d bytes, want %d, of %s", got, want, line)
					}
				}
				r := s.Report()
				lowered = int(r.Lowered.Before.Events)
				if r.Total.Before.Events != r.Total.After.Events || exact == 0 || lowered == 0 {
					t.Errorf("%d events, %d of them lowered; %d of %d are kept", exact, lowered, r.Total.After.Events, r.Total.Before.Events)
				}
				t.Logf("%d events, %d of them lowered, %d bytes of %d", exact, lowered, r.Total.After.Bytes, r.Total.Before.Bytes)
			})
		}
	}
}

// withoutManagedFields decodes a body, takes metadata.managedFields out as upstream
// does, and encodes it again.
func withoutManagedFields(t *testing.T, body []byte, remove bool) []byte {
	t.Helper()
	var v any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	clean := func(object any) {
		if o, ok := object.(map[string]any); ok {
			if m, ok := o["metadata"].(map[string]any); ok {
				delete(m, "managedFields")
			}
		}
	}
	if o, ok := v.(map[string]any); ok && remove {
		clean(o)
		items, _ := o["items"].([]any)
		for _, item := range items {
			clean(item)
		}
		if rows, ok := o["rows"].([]any); ok && o["kind"] == "Table" {
			for _, row := range rows {
				if row, ok := row.(map[string]any); ok {
					clean(row["object"])
				}
			}
		}
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestManagedFields checks what a body loses against decoding and encoding it. Members
// change their order then, which does not change how many bytes they are.
func TestManagedFields(t *testing.T) {
	for _, corpus := range []string{"a-gce-derived", "rotation-keepall"} {
		t.Run(corpus, func(t *testing.T) {
			var e audit.Event
			bodies, lists, tables, strange := 0, 0, 0, 0
			for _, line := range corpustest.Events(t, corpus) {
				if err := e.Scan(line); err != nil {
					t.Fatal(err)
				}
				for _, body := range [][]byte{e.RequestObject, e.ResponseObject} {
					if !bytes.Contains(body, []byte("managedFields")) {
						continue
					}
					if len(withoutManagedFields(t, body, false)) != len(body) {
						strange++ // it does not come out as it went in, whatever is taken out
						continue
					}
					got := int64(len(body)) - managedFields(body)
					if want := int64(len(withoutManagedFields(t, body, true))); got != want {
						t.Fatalf("%d bytes are left, want %d, of %s", got, want, body)
					}
					bodies++
					if bytes.Contains(body, []byte(`"items":[`)) {
						lists++
					}
					if bytes.HasPrefix(body, []byte(`{"kind":"Table"`)) {
						tables++
					}
				}
			}
			if bodies == 0 || strange*100 > bodies {
				t.Errorf("%d bodies could be compared, %d not", bodies, strange)
			}
			t.Logf("%d bodies, %d lists, %d tables; %d not compared", bodies, lists, tables, strange)
		})
	}
}

func TestManagedFieldsOfShapes(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`{"metadata":{"name":"a","managedFields":[{"manager":"k\"}]"}]}}`, `{"metadata":{"name":"a"}}`},
		{`{"metadata":{"managedFields":[],"name":"a"}}`, `{"metadata":{"name":"a"}}`},
		{`{"metadata":{"managedFields":[]}}`, `{"metadata":{}}`},
		{`{"metadata":{"name":"a"},"spec":{"metadata":{"managedFields":[1]}}}`, ``},
		{`{"metadata":{"labels":{"managedFields":"x"}}}`, ``},
		{`{"items":[{"metadata":{"managedFields":[1]}},{"metadata":{"a":1,"managedFields":[2]}}]}`, `{"items":[{"metadata":{}},{"metadata":{"a":1}}]}`},
		{`{"kind":"Table","rows":[{"cells":["a"],"object":{"metadata":{"managedFields":[1]}}}]}`, `{"kind":"Table","rows":[{"cells":["a"],"object":{"metadata":{}}}]}`},
		{`{"kind":"Other","rows":[{"object":{"metadata":{"managedFields":[1]}}}]}`, ``},
		{`[{"op":"add","path":"/metadata/managedFields","value":[]}]`, ``},
		{`"managedFields"`, ``},
		{``, ``},
		{`{"metadata" : { "name":"a" , "managedFields" : [ ] } }`, ``}, // white space: counted below
	} {
		want := c.want
		if want == "" {
			want = c.body
		}
		if strings.Contains(c.body, " :") {
			want = c.body[:len(c.body)-len(`"managedFields" : [ ],`)]
		}
		if got := int64(len(c.body)) - managedFields([]byte(c.body)); got != int64(len(want)) {
			t.Errorf("%s: %d bytes are left, want %d", c.body, got, len(want))
		}
	}
}

// FuzzManagedFields checks that no body, valid or not, is misread beyond its bounds.
func FuzzManagedFields(f *testing.F) {
	for _, s := range []string{`{"metadata":{"managedFields":[{"a":"\\\""}],"b":1}}`, `{"items":[{"metadata":{"managedFields":`,
		`{"kind":"Table","rows":[{"object":{"metadata":{"managedFields":[]}}}]}`, `{"managedFields"`, `{"metadata":{"managedFields":]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if n := managedFields(body); n < 0 || n > int64(len(body)) {
			t.Errorf("%d of %d bytes", n, len(body))
		}
	})
}
