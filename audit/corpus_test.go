package audit

import (
	"testing"

	"kubetrail/internal/corpustest"
)

// lines reads all events of a corpus's logs, and how many bytes they are.
func lines(tb testing.TB, name string) (lines [][]byte, size int) {
	tb.Helper()
	for _, m := range corpustest.Members(tb, name, "audit*.log") {
		lines = append(lines, m.Events(tb)...)
	}
	for _, line := range lines {
		size += len(line) + 1
	}
	return lines, size
}
