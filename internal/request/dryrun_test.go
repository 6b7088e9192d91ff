package request_test

import (
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/request"
)

// Whoever sends a request must not be able to make a write look like a dry run.
func TestDryRun(t *testing.T) {
	const pod = "/api/v1/namespaces/shop/pods/web"
	for _, c := range []struct {
		verb, sub, uri, body string
		dry, sure            bool
	}{
		{"create", "", pod + "?dryRun=All", `{}`, true, true},
		{"patch", "", pod + "?%64ryRun=All", `{}`, true, true},
		{"patch", "", pod + "?foodryRun=All", `{}`, false, true},
		{"patch", "", pod + "?fieldManager=dryRun=All", `{}`, false, true},
		{"delete", "", pod, `{"kind":"DeleteOptions","dryRun":["All"]}`, true, true},
		{"delete", "", pod, `{ "dryRun" : [ "All" ] }`, true, true},
		{"delete", "", pod + "?dryRun=All", `{"kind":"DeleteOptions","propagationPolicy":"Background"}`, false, true},
		{"delete", "", pod + "?dryRun=All", ``, true, false},
		{"create", "eviction", pod + "/eviction", `{"deleteOptions":{"dryRun":["All"]}}`, true, true},
		{"create", "eviction", pod + "/eviction", `{"metadata":{"managedFields":[{"fieldsV1":{"dryRun":["All"]}}]}}`, false, true},
		{"create", "eviction", pod + "/eviction", `{"dryRun":["All"]}`, false, true},
	} {
		var e audit.Event
		e.Text[audit.Verb], e.Text[audit.Subresource], e.Text[audit.RequestURI] = []byte(c.verb), []byte(c.sub), []byte(c.uri)
		e.RequestObject = []byte(c.body)
		if dry, sure := request.DryRun(&e); dry != c.dry || sure != c.sure {
			t.Errorf("%s %s %s: dry %t, sure %t, want %t, %t", c.verb, c.uri, c.body, dry, sure, c.dry, c.sure)
		}
	}
}
