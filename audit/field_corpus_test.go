package audit

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"kubetrail/internal/corpustest"
)

// TestFieldsOfRealEvents holds every field against the event as encoding/json
// decodes it, and finds no member of the event that no field names.
func TestFieldsOfRealEvents(t *testing.T) {
	var e Event
	fields := Fields()
	used := map[string]bool{}
	for _, m := range corpustest.Members(t, "a-gce-derived", "audit.log") {
		n := 0
		for line := range bytes.Lines(m.Data) {
			if n++; n%5 != 0 {
				continue
			}
			if err := e.Scan(line); err != nil {
				t.Fatal(err)
			}
			var event map[string]any
			if err := json.Unmarshal(line, &event); err != nil {
				t.Fatal(err)
			}
			for _, f := range fields {
				want, own := decodedAt(event, f.Path), strings.IndexByte(f.Path, '.') < 0 && event[f.Path] == nil
				r, err := Resolve(f.Path)
				if err != nil {
					t.Fatal(err)
				}
				var got any
				if err := json.Unmarshal(r.AppendJSON(nil, &e), &got); err != nil {
					t.Fatalf("%s: %v: %s", f.Path, err, r.AppendJSON(nil, &e))
				}
				if own { // a name of ours, or absent
					continue
				}
				if want == "" {
					want = nil
				}
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("%s is %v, want %v in\n%.2000s", f.Path, got, want, line)
				}
				used[f.Path] = used[f.Path] || want != nil
			}
			for _, path := range paths(event) {
				if _, err := Resolve(path); err != nil {
					t.Fatalf("%s is in an event: %v", path, err)
				}
			}
		}
	}
	for _, path := range []string{"user.extra", "impersonatedUser.username", "objectRef.subresource", "responseStatus.details", "responseObject", "annotations"} {
		if !used[path] {
			t.Errorf("no event has %s: the test proves little", path)
		}
	}
}

// decodedAt finds what a path of the dictionary names in a decoded event: it tries
// every key that the path begins with.
func decodedAt(v any, path string) any {
	if path == "" {
		return v
	}
	object, _ := v.(map[string]any)
	for key, below := range object {
		if path == key {
			return below
		}
		if rest, ok := strings.CutPrefix(path, key+"."); ok {
			if found := decodedAt(below, rest); found != nil {
				return found
			}
		}
	}
	return nil
}

// paths lists the members of an event down to the types of the API, leaving out
// what every event has alike.
func paths(event map[string]any) []string {
	var all []string
	for key, v := range event {
		switch key {
		case "kind", "apiVersion":
		case "user", "impersonatedUser", "objectRef", "responseStatus":
			for below := range v.(map[string]any) {
				if below != "metadata" {
					all = append(all, key+"."+below)
				}
			}
		default:
			all = append(all, key)
		}
	}
	return all
}
