package serve

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"kubetrail/internal/trail"
)

// TestFaultsDoNotFlood: a file that is no log cannot fill the log of serve, nor hide what
// another source has, and what is missing is always told.
func TestFaultsDoNotFlood(t *testing.T) {
	var out bytes.Buffer
	now := time.Date(2026, 11, 20, 15, 0, 0, 0, time.UTC)
	f := &faults{log: slog.New(slog.NewTextHandler(&out, nil)), now: func() time.Time { return now }}
	lines := func(of string) int { defer out.Reset(); return strings.Count(out.String(), of) }
	for n := range 1000 {
		f.tell(trail.Fault{Source: "/bin/ls", Offset: int64(n)})
	}
	if got := lines("\n"); got != faultsTold+1 {
		t.Errorf("%d lines of one source", got)
	}
	f.tell(trail.Fault{Source: "audit.log"})
	f.tell(trail.Fault{Source: "/bin/ls", Lost: &trail.Loss{}})
	if got := lines("\n"); got != 2 {
		t.Errorf("%d lines of another source and a loss, want both", got)
	}
	now = now.Add(faultsQuiet)
	f.tell(trail.Fault{Source: "/bin/ls"})
	if got := lines("set aside what is no event"); got != 1 {
		t.Errorf("%d lines a minute later", got)
	}
}
