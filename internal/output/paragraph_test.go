package output

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestParagraph checks that setting a text loses nothing of it, keeps quoted values
// whole, and keeps lines short where a break is possible.
func TestParagraph(t *testing.T) {
	pieces := []string{"rules[0]", "asks", "for", `"a b\" c"`, `"王 芳"`, "，而不是", "（第 9 行）", "（核心组）", "（王芳）", "核心组", "要求", "and", "\"" + strings.Repeat("x", 90) + "\""}
	rapid.Check(t, func(t *rapid.T) {
		text := "rules[0] " + strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 40).Draw(t, "pieces"), " ")
		text = strings.NewReplacer(" ，", "，", " （", "（").Replace(text) // as in a sentence
		got := Paragraph(text, "  ", 80)
		set := strings.Split(got, "\n")
		spaceless := strings.NewReplacer(" ", "", "\n", "")
		if spaceless.Replace(got) != spaceless.Replace(text) {
			t.Fatalf("%q became %q", text, got)
		}
		for i, line := range set {
			if Width(line) > 80 && len(unbroken(strings.TrimSpace(line))) > 1 {
				t.Fatalf("line %d has %d columns: %q", i, Width(line), line)
			}
			if strings.Count(strings.ReplaceAll(line, `\"`, ""), `"`)%2 != 0 {
				t.Fatalf("a value is broken: %q", set)
			}
		}
		for _, word := range unbroken(text) {
			if strings.HasPrefix(word, "，") || strings.HasSuffix(strings.TrimRight(word, " "), "（") {
				t.Fatalf("a mark stands alone: %q in %q", word, text)
			}
		}
	})
}
