package audit

import (
	"strings"
	"testing"
)

// TestLegacyWithoutTime: kube-apiserver writes a time that is null as the zero time.
func TestLegacyWithoutTime(t *testing.T) {
	var e Event
	if err := e.Scan([]byte(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"1","stage":"Panic","requestURI":"/","verb":"get","user":{},"requestReceivedTimestamp":null,"stageTimestamp":null}`)); err != nil {
		t.Fatal(err)
	}
	e.Form = FormLegacy
	line := string(e.AppendColumns(nil))
	if !strings.HasPrefix(line, "0001-01-01T00:00:00Z AUDIT: ") {
		t.Error(line)
	}
	var again Event
	if err := again.Scan([]byte(line)); err != nil || !again.Exact() {
		t.Errorf("%s: %v", line, err)
	}
}
