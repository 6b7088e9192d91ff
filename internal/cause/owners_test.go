package cause

import (
	"fmt"
	"strings"
	"testing"

	"kubetrail/audit"
)

// An object with more owners than anything has takes no more room than any other.
func TestManyOwners(t *testing.T) {
	var refs strings.Builder
	for i := range maxOwners + 1 {
		fmt.Fprintf(&refs, `,{"kind":"ReplicaSet","name":"r","uid":"u%d"}`, i)
	}
	var e audit.Event
	line := `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"1","stage":"ResponseComplete","requestURI":"/x","verb":"create","user":{"username":"eve"},` +
		`"objectRef":{"resource":"pods","namespace":"shop","name":"p","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":201},"responseObject":{"kind":"Pod","metadata":{"name":"p","uid":"x","ownerReferences":[` +
		refs.String()[1:] + `]}},"requestReceivedTimestamp":"2026-01-01T10:00:00.000000Z","stageTimestamp":"2026-01-01T10:00:00.100000Z"}`
	if err := e.Scan([]byte(line)); err != nil {
		t.Fatal(err)
	}
	x := New(Config{})
	x.Note(&e)
	if len(x.owned) != 0 {
		t.Errorf("%d owners are remembered", len(x.owned))
	}
}
