package policy

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubetrail/internal/corpustest"
)

// TestRequestGoldens asks for every request of which ../shared holds upstream's answer.
func TestRequestGoldens(t *testing.T) {
	type golden struct {
		Method, URI string
		Expect      struct {
			RequestInfo RequestInfo
			Error       string
		}
	}
	count := 0
	for line := range bytes.Lines(corpustest.Shared(t, "policy/cases.jsonl.zst")) {
		var g golden
		if err := json.Unmarshal(line, &g); err != nil {
			t.Fatal(err)
		}
		info, err := ParseRequest(g.Method, g.URI)
		count++
		if g.Expect.Error != "" {
			if err == nil || err.Error() != g.Expect.Error {
				t.Errorf("%s %s: error %v, want %s", g.Method, g.URI, err, g.Expect.Error)
			}
			continue
		}
		if diff := cmp.Diff(g.Expect.RequestInfo, info); err != nil || diff != "" {
			t.Errorf("%s %s: error %v, -want +got:\n%s", g.Method, g.URI, err, diff)
		}
	}
	if count < 14_000 {
		t.Errorf("%d requests, want all 14,280", count)
	}
}
