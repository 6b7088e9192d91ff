package sample

import (
	"bytes"
	"flag"
	"io"
	"os"
	"testing"

	"github.com/klauspost/compress/zstd"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
)

var update = flag.Bool("update", false, "cut the sample again")

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

// lines is where the story ends.
const lines = 2500

// TestCut checks that the sample is the beginning of the log that it was cut from,
// or cuts it.
func TestCut(t *testing.T) {
	log := corpustest.Members(t, "a-gce-derived", "audit.log")[0].Data
	end := 0
	for range lines {
		end += bytes.IndexByte(log[end:], '\n') + 1
	}
	if *update {
		z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("sample.jsonl.zst", z.EncodeAll(log[:end], nil), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(plain(t), log[:end]) {
		t.Errorf("the sample is not the first %d lines of the corpus", lines)
	}
}
