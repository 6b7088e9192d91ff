package wire

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/cbor/direct"
	"sigs.k8s.io/yaml"
)

func forbidden() *metav1.Status {
	s := errors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "db", nil).Status()
	s.Kind, s.APIVersion = "Status", "v1"
	s.Details.Causes = []metav1.StatusCause{{Type: "x", Message: "<y>", Field: "z"}}
	return &s
}

func lookForStatus(contentType, encoding string, body []byte, size int) (*metav1.Status, int) {
	s := newStatusLook(contentType, encoding)
	kept := 0
	for piece := range pieces(body, size) {
		_, _ = s.Write(piece)
		kept = max(kept, len(s.kept))
	}
	return s.Status(), kept
}

func TestStatus(t *testing.T) {
	want := forbidden()
	compact, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, compact, "", "  "); err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(compact, &members); err != nil {
		t.Fatal(err)
	}
	sorted, err := json.Marshal(members) // details come before kind
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.JSONToYAML(compact)
	if err != nil {
		t.Fatal(err)
	}
	asCBOR, err := direct.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	proto, _ := encode(t, want.DeepCopy(), schema.GroupVersionKind{Version: "v1", Kind: "Status"})
	for _, c := range []struct {
		contentType, encoding string
		body                  []byte
	}{
		{"application/json", "", compact}, {"application/json", "", pretty.Bytes()}, {"application/json", "", sorted},
		{typeYAML, "", asYAML}, {typeCBOR, "", asCBOR}, {typeProtobuf, "", proto},
		{"application/json", "gzip", packed(t, compact)}, {typeProtobuf, "gzip", packed(t, proto)},
	} {
		for _, size := range []int{1, 10, 1 << 20} {
			if got, _ := lookForStatus(c.contentType, c.encoding, c.body, size); !reflect.DeepEqual(got, want) {
				t.Errorf("%s %s in pieces of %d: %+v, want %+v", c.contentType, c.encoding, size, got, want)
			}
		}
		if c.contentType == typeYAML {
			continue
		}
		if got, _ := lookForStatus(c.contentType, c.encoding, c.body[:len(c.body)*2/3], 10); got != nil {
			t.Errorf("%s %s: what is cut off is %+v", c.contentType, c.encoding, got)
		}
	}
}

// TestNoStatus checks that answers which say what they are cost nothing, and those that do
// not, little.
func TestNoStatus(t *testing.T) {
	list, err := json.Marshal(pods(200))
	if err != nil {
		t.Fatal(err)
	}
	proto, asJSON := encode(t, pods(200), corev1.SchemeGroupVersion.WithKind("PodList"))
	custom := `{"apiVersion":"example.org/v1","items":[` + strings.Repeat(`{"kind":"Status"},`, 10_000) + `1],"kind":"ThingList"}`
	for name, c := range map[string]struct {
		contentType string
		body        []byte
		kept        int
	}{
		"list":       {"application/json", asJSON, 0},
		"pretty":     {"application/json", []byte("{\n  \"kind\": \"Pod\",\n  \"status\": \"Status\"}"), 0},
		"no kind":    {"application/json", list, maxKept},
		"protobuf":   {typeProtobuf, proto, 0},
		"custom":     {"application/json", []byte(custom), 0},
		"own Status": {"application/json", []byte(`{"apiVersion":"example.org/v1","kind":"Status"}`), 0},
		"text":       {"application/json", []byte("404 page not found Status"), 0},
		"array":      {"application/json", []byte(`[{"kind":"Status"}]`), 0},
		"CBOR":       {typeCBOR, bytes.Repeat([]byte("a"), 4*maxKept), maxKept},
	} {
		got, kept := lookForStatus(c.contentType, "", c.body, 4096)
		if got != nil || kept > c.kept {
			t.Errorf("%s: %+v, %d bytes were kept", name, got, kept)
		}
	}
	for _, contentType := range []string{"", "text/plain", "application/json;stream=watch"} {
		if w, told := Status(contentType, ""); w != nil || told != nil {
			t.Errorf("%q is looked at", contentType)
		}
	}
}

// FuzzStatus compares what is found in pieces with what decoding the whole finds.
func FuzzStatus(f *testing.F) {
	compact, err := json.Marshal(forbidden())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(compact)
	f.Add([]byte(`{"apiVersion":"v1","kind":"Status","kind":"Pod"}`))
	f.Add([]byte(" { \"message\" : \"\\u0022\" , \"kind\" : \"Status\", \"apiVersion\":\"v1\"}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		whole, _ := lookForStatus("application/json", "", body, len(body)+1)
		split, _ := lookForStatus("application/json", "", body, 3)
		if !reflect.DeepEqual(whole, split) {
			t.Errorf("%q: %+v, in pieces %+v", body, whole, split)
		}
		var want metav1.Status
		if err := json.Unmarshal(body, &want); err != nil || want.Kind != "Status" || want.APIVersion != "v1" {
			if whole != nil {
				t.Errorf("%q is %+v", body, whole)
			}
			return
		}
		if whole != nil && !reflect.DeepEqual(*whole, want) {
			t.Errorf("%q is %+v, want %+v", body, whole, want)
		}
	})
}
