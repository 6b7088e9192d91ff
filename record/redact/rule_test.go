package redact

import (
	"testing"

	"pgregory.net/rapid"

	"kubetrail/audit"
)

// TestRule holds random paths, a piece at a time, against random patterns: they must match
// what a question with the same pattern matches.
func TestRule(t *testing.T) {
	letters := rapid.SampledFrom([]rune("aab.*"))
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(letters, 0, 12, -1).Draw(t, "pattern")
		r := newRule(text)
		path, state := "", r.stars(0)
		for _, piece := range rapid.SliceOfN(rapid.StringOfN(letters, 0, 8, -1), 0, 4).Draw(t, "path") {
			path += piece
			state = r.walk(state, []byte(piece))
			if got, want := state == len(text), audit.Glob(text, path); got != want {
				t.Fatalf("%q and %q: %v, want %v", text, path, got, want)
			}
		}
	})
}
