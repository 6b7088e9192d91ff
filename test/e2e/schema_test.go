package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSchema compares what kubetrail knows of the built-in kinds with what a
// kube-apiserver says of itself, and the types that it is made of.
func TestSchema(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "run", "./schema", "-out", dir).CombinedOutput(); err != nil {
		t.Fatalf("schema: %v\n%s", err, out)
	}
	for _, name := range []string{"resources.tsv", "types.tsv"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		have, err := os.ReadFile(filepath.Join("../../internal/schema", name))
		must(t, err)
		if !bytes.Equal(want, have) {
			t.Errorf("internal/schema/%s is not what a program wrote of this release: run go -C test/e2e run ./schema -out ../../internal/schema\n%s",
				name, otherLines(have, want))
		}
	}
}

// otherLines shows the lines that only one of two texts has, not too many.
func otherLines(have, want []byte) string {
	var b strings.Builder
	show := func(sign string, of, not []byte) {
		known := map[string]bool{}
		for line := range strings.Lines(string(not)) {
			known[line] = true
		}
		n := 0
		for line := range strings.Lines(string(of)) {
			if !known[line] && n < 5 {
				n++
				fmt.Fprintf(&b, "%s %s", sign, line)
			}
		}
	}
	show("-", have, want)
	show("+", want, have)
	return b.String()
}
