package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"kubetrail/internal/collect/spool"
)

// document is openapi.yaml as far as the tests look at it.
type document struct {
	root    map[string]any
	paths   map[string]map[string]any // operations: a path has one
	methods map[string]string         // by path
}

func readDocument(t *testing.T, s *Server) *document {
	t.Helper()
	w := get(s, "/api/v1/openapi.yaml")
	d := &document{paths: map[string]map[string]any{}, methods: map[string]string{}}
	if err := yaml.UnmarshalStrict(w.Body.Bytes(), &d.root); err != nil {
		t.Fatal(err)
	}
	for path, item := range d.root["paths"].(map[string]any) {
		for method, operation := range item.(map[string]any) {
			if d.paths[path] != nil {
				t.Fatalf("%s has more than one operation, which the tests do not look at", path)
			}
			d.paths[path], d.methods[path] = operation.(map[string]any), strings.ToUpper(method)
		}
	}
	return d
}

// resolve follows a $ref.
func (d *document) resolve(v any) map[string]any {
	m := v.(map[string]any)
	ref, ok := m["$ref"].(string)
	if !ok {
		return m
	}
	at := any(d.root)
	for _, name := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		at = at.(map[string]any)[name]
	}
	if at == nil {
		panic("nothing at " + ref)
	}
	return d.resolve(at)
}

// validate says where v, decoded by encoding/json, breaks schema. It knows the part
// of JSON Schema that the document uses and panics at any other.
func (d *document) validate(schema, v any, at string) error {
	s := d.resolve(schema)
	for keyword := range s {
		switch keyword {
		case "type", "required", "properties", "additionalProperties", "items", "enum", "minimum", "maximum", "format":
		case "description", "default", "example":
		default:
			panic("the test does not know the keyword " + keyword)
		}
	}
	if !d.isOneOf(s["type"], v) {
		return fmt.Errorf("%s is %v, not of type %v", at, v, s["type"])
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, v) {
		return fmt.Errorf("%s is %v, not one of %v", at, v, enum)
	}
	switch v := v.(type) {
	case float64:
		if least, ok := s["minimum"].(float64); ok && v < least {
			return fmt.Errorf("%s is %v, less than %v", at, v, least)
		}
	case string:
		if _, err := time.Parse(time.RFC3339, v); s["format"] == "date-time" && err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	case []any:
		for i, element := range v {
			if err := d.validate(s["items"], element, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case map[string]any:
		return d.validateObject(s, v, at)
	}
	return nil
}

func (d *document) isOneOf(types, v any) bool {
	if list, ok := types.([]any); ok {
		return slices.ContainsFunc(list, func(t any) bool { return d.isOneOf(t, v) })
	}
	switch v := v.(type) {
	case nil:
		return types == "null"
	case bool:
		return types == "boolean"
	case float64:
		return types == "number" || types == "integer" && v == math.Trunc(v)
	case string:
		return types == "string"
	case []any:
		return types == "array"
	}
	return types == "object"
}

func (d *document) validateObject(s, v map[string]any, at string) error {
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			return fmt.Errorf("%s has no %s", at, name)
		}
	}
	properties, _ := s["properties"].(map[string]any)
	for name, member := range v {
		schema, known := properties[name]
		if !known {
			schema = s["additionalProperties"]
			if schema == false {
				return fmt.Errorf("%s has an undocumented %s", at, name)
			}
			if schema == nil {
				continue
			}
		}
		if err := d.validate(schema, member, at+"."+name); err != nil {
			return err
		}
	}
	return nil
}

// checkResponse holds an answer against what the document says about its status
// and media type.
func (d *document) checkResponse(path string, w *httptest.ResponseRecorder) error {
	responses := d.paths[path]["responses"].(map[string]any)
	response, ok := responses[fmt.Sprint(w.Code)]
	if !ok {
		response, ok = responses["default"]
	}
	if !ok {
		return fmt.Errorf("status %d is not documented", w.Code)
	}
	r := d.resolve(response)
	mediaType, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	content, ok := r["content"].(map[string]any)[mediaType]
	if !ok {
		return fmt.Errorf("status %d is not documented with media type %q", w.Code, mediaType)
	}
	for name := range w.Result().Trailer {
		headers, _ := r["headers"].(map[string]any)
		if headers[name] == nil {
			return fmt.Errorf("the trailer %s is not documented", name)
		}
	}
	schema, ok := content.(map[string]any)["schema"]
	if !ok || !strings.HasSuffix(mediaType, "json") {
		return nil
	}
	decoder := json.NewDecoder(w.Body)
	for {
		var v any
		if err := decoder.Decode(&v); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := d.validate(schema, v, "$"); err != nil {
			return err
		}
	}
}

var braces = regexp.MustCompile(`\{\w+\}`)

// The document has the routes of the server, no more and no fewer, and each has the
// parameters that its handler reads.
func TestDocumentHasEveryRoute(t *testing.T) {
	s := newServer(t, Config{})
	d := readDocument(t, s)
	var served []string
	for pattern, rt := range s.routes {
		method, path, _ := strings.Cut(strings.TrimSuffix(pattern, "{$}"), " ")
		served = append(served, path)
		operation, ok := d.paths[path]
		if !ok {
			t.Errorf("%s is not documented", path)
			continue
		}
		if d.methods[path] != method {
			t.Errorf("%s is documented with %s, and served with %s", path, d.methods[path], method)
		}
		want := slices.Clone(rt.params)
		for _, name := range braces.FindAllString(path, -1) {
			want = append(want, strings.Trim(name, "{}"))
		}
		var documented []string
		parameters, _ := operation["parameters"].([]any)
		for _, p := range parameters {
			documented = append(documented, d.resolve(p)["name"].(string))
		}
		slices.Sort(want)
		slices.Sort(documented)
		if !slices.Equal(want, documented) {
			t.Errorf("%s: parameters %v are documented, %v are read", path, documented, want)
		}
		if _, open := operation["security"]; open != rt.open {
			t.Errorf("%s: documented as open: %v, served so: %v", path, open, rt.open)
		}
	}
	slices.Sort(served)
	if documented := slices.Sorted(maps.Keys(d.paths)); !slices.Equal(documented, served) {
		t.Errorf("documented are %v,\nserved are %v", documented, served)
	}
}

// values are what the test gives for a parameter: first good ones, then bad ones.
func values(parameter map[string]any) (good, bad []string) {
	schema := parameter["schema"].(map[string]any)
	name := parameter["name"].(string)
	switch {
	case name == "seq":
		return []string{"0", "199"}, []string{"200", "-1", "x"}
	case parameter["in"] == "query" && (name == "cluster" || name == "server"):
		return []string{"prod", "A b", ""}, nil // what it may be called where it is only looked for
	case name == "cluster", name == "server":
		return []string{"prod", "eu-1.prod"}, []string{"Prod", "a_b", "a%2Fb"}
	case name == "timeout":
		return []string{"30s", "x", ""}, nil
	case name == "query":
		return []string{"verb:get", ""}, []string{"verb:(", "usr:x"}
	case name == "since":
		return []string{"1d", "2026-11-20", "2026-11-20T00:00:00Z"}, []string{"soon"}
	case name == "until":
		return []string{"now"}, []string{"later"}
	case name == "cursor":
		return []string{formatCursorOfSample}, []string{"x"}
	case name == "fields":
		return []string{"verb,code,user", "requestObject.spec,annotations,time"}, []string{"nothing"}
	case name == "by":
		return []string{"user", "verb,code"}, []string{"", "nothing"}
	case name == "every":
		return []string{"1m", "1d"}, []string{"x", "1ms"}
	case schema["type"] == "boolean":
		return []string{"true", "false", ""}, []string{"x"}
	case schema["type"] == "integer":
		return []string{fmt.Sprint(schema["minimum"]), fmt.Sprint(schema["maximum"]), fmt.Sprint(schema["default"])}, []string{"-1", "x"}
	case schema["enum"] != nil:
		for _, v := range schema["enum"].([]any) {
			good = append(good, v.(string))
		}
		return good, []string{"x"}
	}
	panic("no values for the parameter " + name)
}

// formatCursorOfSample is a place amid the sample, newest first.
const formatCursorOfSample = "bgAGYLiCeMAAAAAAAAAAAGQ"

// Every path with every parameter gives what the document says, and refuses what it
// does not allow.
func TestServerKeepsToTheDocument(t *testing.T) {
	s := newServer(t, Config{Receive: func(context.Context, spool.Origin, []byte) error { return nil }, Shipped: newShipped(t, spool.ShippedConfig{})})
	s.ready.Store(true)
	d := readDocument(t, s)
	for _, path := range slices.Sorted(maps.Keys(d.paths)) {
		parameters, _ := d.paths[path]["parameters"].([]any)
		if path == "/api/v1/openapi.yaml" {
			continue // read above
		}
		if path == "/api/v1/tail" {
			continue // does not end: see TestTail
		}
		required, one := url.Values{}, path
		for _, p := range parameters {
			p := d.resolve(p)
			if p["in"] == "path" {
				one = strings.ReplaceAll(one, "{"+p["name"].(string)+"}", "1")
			} else if p["required"] == true {
				good, _ := values(p)
				required.Set(p["name"].(string), good[0])
			}
		}
		ask := func(target string, status func(int) bool) {
			t.Helper()
			for _, accept := range []string{"*/*", "application/json"} {
				w := get(s, target, "Accept", accept)
				if d.methods[path] == "POST" {
					w = post(s, target, emptyList, "Accept", accept)
				}
				if strings.HasPrefix(path, "/agent/") && d.methods[path] == "POST" {
					w = post(s, target, "", "Accept", accept, "Content-Type", agentMediaType, "Content-Encoding", "zstd")
				}
				if !status(w.Code) {
					t.Errorf("%s: status %d: %s", target, w.Code, w.Body)
				}
				if err := d.checkResponse(path, w); err != nil {
					t.Errorf("%s: %v", target, err)
				}
			}
		}
		ok := func(code int) bool { return code == http.StatusOK }
		refused := func(code int) bool { return code == http.StatusBadRequest || code == http.StatusNotFound }
		ask(one+"?"+required.Encode(), ok)
		required.Set("no-such-parameter", "1")
		ask(one+"?"+required.Encode(), refused)
		required.Del("no-such-parameter")
		for _, p := range parameters {
			p := d.resolve(p)
			good, bad := values(p)
			for i, v := range append(slices.Clone(good), bad...) {
				target, query := one, maps.Clone(required)
				if p["in"] == "path" {
					target = braces.ReplaceAllString(path, v)
				} else {
					query.Set(p["name"].(string), v)
				}
				switch {
				case i < len(good):
					ask(target+"?"+query.Encode(), ok)
				case p["name"] == "lang": // a language that the page has not is not an error
				default:
					ask(target+"?"+query.Encode(), refused)
				}
			}
		}
	}
}

// The validator itself must be able to say no.
func TestValidatorRefuses(t *testing.T) {
	d := readDocument(t, newServer(t, Config{}))
	schemas := d.root["components"].(map[string]any)["schemas"].(map[string]any)
	for _, tt := range []struct{ schema, document, say string }{
		{"EventItem", `{"seq":1,"cluster":"","source":"","offset":0}`, ""},
		{"EventItem", `{"seq":1,"cluster":"","source":""}`, "no offset"},
		{"EventItem", `{"seq":-1,"cluster":"","source":"","offset":0}`, "less than 0"},
		{"EventItem", `{"seq":1.5,"cluster":"","source":"","offset":0}`, "integer"},
		{"EventItem", `{"seq":1,"cluster":"","source":"","offset":0,"x":1}`, "undocumented x"},
		{"EventList", `{"apiVersion":"v1","kind":"EventList","items":[]}`, "not one of"},
		{"EventList", `{"apiVersion":"kubetrail.io/v1alpha1","kind":"EventList","items":[null]}`, "$.items[0]"},
		{"Summary", `{"apiVersion":"kubetrail.io/v1alpha1","kind":"Summary","events":0,"parts":0,"storedBytes":0,"lineBytes":0,"rawLines":0,"first":"now","last":null,"nextSeq":0,"faults":0,"sources":[]}`, "$.first"},
	} {
		var v any
		if err := json.NewDecoder(bytes.NewBufferString(tt.document)).Decode(&v); err != nil {
			t.Fatal(err)
		}
		err := d.validate(schemas[tt.schema], v, "$")
		if (err == nil) != (tt.say == "") || err != nil && !strings.Contains(err.Error(), tt.say) {
			t.Errorf("%s: %v, want %q", tt.document, err, tt.say)
		}
	}
}

// Errors that only happen under circumstances are documented too.
func TestRareErrorsAreDocumented(t *testing.T) {
	s := newServer(t, Config{})
	d := readDocument(t, s)
	for _, tt := range []struct {
		request *http.Request
		status  int
	}{
		{&http.Request{Method: "GET", Host: "evil.example"}, 403},
		{&http.Request{Method: "PUT", Host: "localhost"}, 405},
		{&http.Request{Method: "GET", Host: "localhost", ContentLength: 1 << 20}, 413},
	} {
		tt.request.URL = &url.URL{Path: "/api/v1/events"}
		tt.request.Header, tt.request.Body = http.Header{}, http.NoBody
		w := httptest.NewRecorder()
		s.ServeHTTP(w, tt.request)
		if err := d.checkResponse("/api/v1/events", w); err != nil || w.Code != tt.status {
			t.Errorf("%d, want %d: %v", w.Code, tt.status, err)
		}
	}
}
