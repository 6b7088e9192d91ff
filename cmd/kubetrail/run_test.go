package main

import (
	"bytes"
	"slices"
	"testing"
	"time"
)

// runHere runs the program in this process and returns its output and exit code.
// What it says on standard error goes to the log of the test.
func runHere(t *testing.T, args ...string) ([]byte, int) {
	t.Helper()
	var out, err bytes.Buffer
	a := &app{in: bytes.NewReader(nil), out: &out, err: &err, env: func(string) string { return "" },
		now: func() time.Time { return time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC) }}
	code := a.run(t.Context(), append([]string{"kubetrail"}, args...))
	if err.Len() > 0 {
		t.Logf("%v: %s", args, err.Bytes())
	}
	return out.Bytes(), code
}

func sortedLines(b []byte) []byte {
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	slices.SortFunc(lines, bytes.Compare)
	return bytes.Join(lines, []byte("\n"))
}
