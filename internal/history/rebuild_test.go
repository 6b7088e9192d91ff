package history

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/internal/tree"
)

// TestRequests has requests whose answers were not recorded.
func TestRequests(t *testing.T) {
	ref := m{"resource": "configmaps", "namespace": "default", "name": "c", "apiVersion": "v1"}
	request := func(body any) m { return m{"objectRef": ref, "level": "Request", "requestObject": body} }
	object := func(rv string, data m) m {
		return m{"objectRef": ref, "responseObject": m{"kind": "ConfigMap", "apiVersion": "v1", "data": data,
			"metadata": m{"name": "c", "namespace": "default", "uid": "u", "resourceVersion": rv, "managedFields": []any{}}}}
	}
	s := &scene{t: t}
	s.add("jai", "create", 201, object("1", m{"a": "1"}))
	s.add("jai", "patch", 200, request([]any{m{"op": "replace", "path": "/data/a", "value": "2"}}))
	s.add("jai", "patch", 200, request(m{"metadata": m{"labels": m{"tier": "front"}}}))
	s.add("jai", "patch", 200, m{"objectRef": ref, "level": "Metadata"})
	s.add("jai", "patch", 200, request(m{"data": m{"b": "1"}}))
	s.add("jai", "patch", 200, request([]any{m{"op": "add", "path": "/data/c", "value": "1"}, m{"op": "remove", "path": "/data/b"}}))
	s.add("jai", "update", 200, request(m{"kind": "ConfigMap", "apiVersion": "v1", "metadata": m{"name": "c", "namespace": "default"}, "data": m{"a": "3"}}))
	s.add("jai", "patch", 200, object("9", m{"a": "4"}))
	story := s.expect("cm/c", func(c *Config) { c.Objects = true }, `
1 jai create real exact: created
1 jai patch real exact: a 1 → 2
1 jai patch real exact: +tier front
1 jai patch real unknown: not recorded
1 jai patch real unknown: b=1
1 jai patch real unknown: c=1
1 jai update real derived: a 2 → 3; -labels
1 jai patch real derived: a 3 → 4
`)
	var o map[string]any
	if err := json.Unmarshal(story.Rows[1].Object.(json.RawMessage), &o); err != nil || at(o, "data", "a") != "2" {
		t.Errorf("%v in %s", err, story.Rows[1].Object)
	}
	if meta := o["metadata"].(map[string]any); meta["resourceVersion"] != nil || meta["managedFields"] != nil {
		t.Errorf("what the request does not tell is told: %v", meta)
	}
	for i, want := range map[int]string{6: "3 writes before it", 7: "against a version before that is derived"} {
		if why := story.Rows[i].Reason; !strings.Contains(why, want) {
			t.Errorf("row %d: %q, want %q", i, why, want)
		}
	}
}

// TestExactIsTrue draws lives of an object of which some is recorded: what is called exact
// is what the object was.
func TestExactIsTrue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := &scene{t: t}
		data, versions := m{"a": "0"}, []m{}
		object := func(n int) m {
			copied := m{}
			for k, v := range data {
				copied[k] = v
			}
			return m{"kind": "ConfigMap", "apiVersion": "v1", "metadata": m{"name": "c", "namespace": "default", "uid": "u", "resourceVersion": fmt.Sprint(n + 1)}, "data": copied}
		}
		ref := m{"resource": "configmaps", "namespace": "default", "name": "c", "apiVersion": "v1"}
		n := rapid.IntRange(1, 12).Draw(rt, "versions")
		for i := range n {
			body := any(object(i))
			verb, code := "create", 201
			if i > 0 {
				verb, code = rapid.SampledFrom([]string{"patch", "update"}).Draw(rt, "verb"), 200
				key, value := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "key"), rapid.SampledFrom([]string{"0", "1", "2"}).Draw(rt, "value")
				data[key] = value
				body = object(i)
				if verb == "patch" {
					body = []any{m{"op": "add", "path": "/data/" + key, "value": value}}
				}
			}
			versions = append(versions, object(i))
			e := m{"objectRef": ref, "requestURI": "/api/v1/namespaces/default/configmaps/c", "requestObject": body, "responseObject": object(i)}
			switch rapid.SampledFrom([]string{"all", "all", "request", "metadata"}).Draw(rt, "recorded") {
			case "request":
				e["level"], e["responseObject"] = "Request", nil
			case "metadata":
				e["level"], e["requestObject"], e["responseObject"] = "Metadata", nil, nil
			}
			s.add("jai", verb, code, e)
		}
		story := s.story("cm/c", func(c *Config) { c.All, c.Objects = true, true })
		if len(story.Rows) != n {
			rt.Fatalf("%d rows of %d requests", len(story.Rows), n)
		}
		for i, r := range story.Rows {
			if r.Certainty != Exact {
				continue
			}
			raw, _ := r.Object.(json.RawMessage)
			got, err := tree.Decode(raw)
			if err != nil {
				rt.Fatalf("row %d has no object: %v", i, r)
			}
			text, _ := json.Marshal(versions[i])
			want, _ := tree.Decode(text)
			g, w := got.(map[string]any), want.(map[string]any)
			if !tree.Equal(g["data"], w["data"]) {
				rt.Fatalf("row %d, %s, is %v, want %v", i, r.Verb, g["data"], w["data"])
			}
			if r.Class == NoChange || i == 0 {
				continue
			}
			for _, c := range r.Changes {
				before := versions[i-1]["data"].(m)
				if key, ok := strings.CutPrefix(c.Path, "data."); ok && c.Op == "changed" && c.Old != before[key] {
					rt.Fatalf("row %d changes %s from %v, was %v", i, key, c.Old, before[key])
				}
			}
		}
	})
}

// FuzzLife gives a life bodies and attributes that no API server writes.
func FuzzLife(f *testing.F) {
	whole, _ := json.Marshal(web("2", "web:2", 3, m{"finalizers": []any{"a"}, "deletionTimestamp": "x"}))
	for _, verb := range []string{"create", "update", "patch", "delete", "deletecollection", "get"} {
		for _, sub := range []string{"", "scale", "status", "binding", "eviction"} {
			f.Add(verb, sub, `{"spec":{"replicas":2},"target":{"name":"n"}}`, string(whole), 200)
		}
	}
	f.Add("patch", "", `[{"op":"add","path":"/metadata/labels/a","value":1}]`, `{"kind":"PartialObjectMetadata","metadata":{"name":"web"}}`, 201)
	f.Add("delete", "", `{"dryRun":["All"],"gracePeriodSeconds":1e9}`, `{"kind":"Status"}`, 202)
	f.Fuzz(func(t *testing.T, verb, sub, request, response string, code int) {
		target, _ := ParseTarget("deploy/web", "default", "")
		l := newLife(&target)
		for i := range 3 {
			e := &audit.Event{Code: int32(code)}
			for c, v := range map[audit.Column]string{audit.Stage: "ResponseComplete", audit.Verb: verb, audit.Subresource: sub, audit.Resource: "deployments",
				audit.APIGroup: "apps", audit.APIVersion: "v1", audit.Namespace: "default", audit.Name: "web", audit.RequestURI: "/x?fieldManager=a&" + request} {
				e.Text[c] = []byte(v)
			}
			e.RequestObject, e.ResponseObject = []byte(request), []byte(response)
			if i == 0 {
				e.Text[audit.Verb], e.Text[audit.Subresource], e.Code = []byte("create"), nil, 201
				e.ResponseObject, _ = json.Marshal(web("1", "web:1", 1, nil))
			}
			before := l.now
			row := l.step(e)
			if row == nil {
				continue
			}
			s := &Story{cfg: &Config{Diff: true, Objects: true}, Target: target, life: l}
			s.dress(row, before)
			if row.Certainty == Exact && row.Object != nil && !json.Valid(row.Object.(json.RawMessage)) {
				t.Errorf("%s", row.Object)
			}
		}
	})
}
