package redact_test

import (
	"encoding/json"
	"testing"

	"kubetrail/audit"
)

// FuzzRedact checks that whatever a body is, redaction gives JSON for JSON, and what the
// model says; that URIs and annotations can be anything; and that paths can.
func FuzzRedact(f *testing.F) {
	for _, body := range []string{
		`{"kind":"Secret","data":{"a":"eA=="},"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"data\":{}}"}}}`,
		`[{"op":"add","path":"/spec/containers/0/env/-","value":{"name":"a","value":"b"}}]`,
		`{"spec":{"token":"x","key":{"a":[1,null]}},"kind":"TokenReview"}`,
		`{"d\u0061ta":"x","items":[{"stringData":{}}],"kind":"SecretList"}`,
		`{"raw":"AAAA"}`, `{"a":"\"`, `[`, `""`, `{"kind":1,"data":}`,
	} {
		f.Add(body, byte(0), "/x?token=a%20b&c=d;e", "spec.key")
	}
	f.Add(`{}`, byte(5), "/x?a=%253Ftoken%253Dx", "*.key")
	f.Fuzz(func(t *testing.T, body string, choice byte, uri, path string) {
		resource := resources[int(choice>>1)%len(resources)]
		r, _ := modelled(t, resource, choice&1 == 1)
		e := event(resource, body)
		e.ResponseObject = []byte(body)
		e.Text[audit.RequestURI], e.Text[audit.Annotations] = []byte(uri), []byte(body)
		r.Redact(e)
		if json.Valid([]byte(body)) {
			for _, b := range [][]byte{e.RequestObject, e.ResponseObject, e.Text[audit.Annotations]} {
				if len(b) > 0 && !json.Valid(b) {
					t.Fatalf("%s became %s", body, b)
				}
			}
		}
		if v, err := decode([]byte(body)); err == nil {
			again, err := json.Marshal(v) // without names given twice
			if err != nil {
				t.Fatal(err)
			}
			checkModel(t, resource, choice&1 == 1, again)
		}
		checkPath(t, path, body)
	})
}
