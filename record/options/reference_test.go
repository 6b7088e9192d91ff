package options

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "rewrite docs/reference/audit-flags.md")

// TestReference checks that the manual has the flags as they are, upstream's first.
func TestReference(t *testing.T) {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	New().AddFlags(fs)
	var upstream, ours []string
	fs.VisitAll(func(f *pflag.Flag) {
		value := "`" + f.DefValue + "`"
		if f.DefValue == "" || f.DefValue == "[]" {
			value = ""
		}
		meaning := strings.ReplaceAll(f.Usage, "|", `\|`)
		if f.Deprecated != "" {
			meaning += " (deprecated)"
		}
		row := fmt.Sprintf("| `--%s` | %s | %s | %s |\n", f.Name, f.Value.Type(), value, meaning)
		if own(f.Name) {
			ours = append(ours, row)
		} else {
			upstream = append(upstream, row)
		}
	})
	if len(upstream) != 32 {
		t.Errorf("%d flags are called those of kube-apiserver, want 32", len(upstream))
	}
	const head = "| flag | type | default | meaning |\n|---|---|---|---|\n"
	text := "# The flags `--audit-*`\n\nWritten from the program; do not edit. [Record](../record.md) tells what they are for.\n\n" +
		"## Those of kube-apiserver\n\nNames, types, defaults and error texts are those of v1.36.\n\n" + head + strings.Join(upstream, "") +
		"\n## Ours\n\n" + head + strings.Join(ours, "")
	const name = "../../docs/reference/audit-flags.md"
	if *update {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if old, err := os.ReadFile(name); err != nil || string(old) != text {
		t.Errorf("%s is not what the flags say (%v); write it with -update", name, err)
	}
}

// own reports whether kube-apiserver has no such flag.
func own(name string) bool {
	for _, part := range []string{"redact", "-name", "spill", "-sync"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
