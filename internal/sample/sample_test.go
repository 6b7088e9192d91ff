package sample

import (
	"bytes"
	"io"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
)

func plain(t *testing.T) []byte {
	t.Helper()
	var text []byte
	err := audit.Unpack(Log(), "sample", func(_ string, r io.Reader) (err error) {
		text, err = io.ReadAll(r)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestSample checks that the sample is small, whole, and tells its story.
func TestSample(t *testing.T) {
	if len(compressed) > 200<<10 {
		t.Errorf("the sample adds %d bytes to every binary, want 200 KiB at most", len(compressed))
	}
	story := map[string]bool{"nginx-old": false, "temp-debug": false, "app-config": false}
	text := plain(t)
	var e audit.Event
	for i, line := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		if err := e.Scan(line); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		story[string(e.Text[audit.Name])] = true
	}
	for _, name := range []string{"nginx-old", "temp-debug", "app-config"} {
		if !story[name] {
			t.Errorf("nothing happens to %s", name)
		}
	}
}

// TestCut checks that the sample is the beginning of the log that cut.go names.
func TestCut(t *testing.T) {
	log := corpustest.Members(t, "a-gce-derived", "audit.log")[0].Data
	if text := plain(t); !bytes.HasPrefix(log, text) || len(text) == 0 {
		t.Error("the sample is no beginning of the corpus")
	}
}
