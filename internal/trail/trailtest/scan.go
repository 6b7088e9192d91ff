package trailtest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// testScan checks that a scan gives the answers of a search, each once, with its line;
// that an error of yield is the last call of it; and that it ends with its context.
func (m *model) testScan(t *testing.T, s trail.Scanner) {
	lines := map[uint64][]byte{}
	for i, e := range m.events {
		lines[e.Seq] = m.lines[i]
	}
	for _, text := range questions() {
		q := trail.Always(ask(t, text))
		var want, got []uint64
		for _, e := range m.answers(q) {
			want = append(want, e.Seq)
		}
		err := s.Scan(t.Context(), q, audit.Set(audit.Line, audit.Seq), func(e *audit.Event) error {
			got = append(got, e.Seq)
			if line := e.AppendLine(nil); !bytes.Equal(line, lines[e.Seq]) {
				t.Errorf("%s: event %d has the line %s, want %s", text, e.Seq, line, lines[e.Seq])
			}
			return nil
		})
		slices.Sort(want)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v; got %s, want %s", text, err, m.ids(got), m.ids(want))
		}
	}

	n := 0
	err := s.Scan(t.Context(), trail.Always(nil), 0, func(*audit.Event) error {
		if n++; n >= 3 {
			return errEnough
		}
		return nil
	})
	if err != errEnough || n != 3 {
		t.Errorf("error %v after %d events, want %v after 3", err, n, errEnough)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = s.Scan(ctx, trail.Always(nil), 0, func(*audit.Event) error { t.Error("an event after the end"); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a scan with an ended context: %v", err)
	}
}
