package disk

import (
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/trailtest"
)

// The law holds for a trail of one part, of many, and of merged ones.
func TestLaw(t *testing.T) {
	for name, cfg := range map[string]struct {
		part    int64
		compact bool
	}{"OnePart": {1 << 30, false}, "ManyParts": {8 << 10, false}, "Merged": {16 << 10, true}} {
		t.Run(name, func(t *testing.T) {
			trailtest.RunReader(t, func(t *testing.T, lines [][]byte) trail.Reader {
				dir := t.TempDir()
				w := openWriter(t, Config{Dir: dir, PartBytes: cfg.part})
				defer w.Close()
				var e audit.Event
				e.Text[audit.Source], e.Text[audit.Cluster] = []byte(trailtest.Source), []byte(trailtest.Cluster)
				s := trail.Source{Name: trailtest.Source, Cluster: trailtest.Cluster}
				for i, line := range lines {
					e.Offset = s.Position
					if err := e.Scan(line); err != nil {
						t.Fatal(err)
					}
					w.Append(&e)
					s.Position += int64(len(line)) + 1
					w.Advance(s)
					if w.Full() || cfg.compact && i%7 == 6 {
						commit(t, w)
					}
				}
				commit(t, w)
				if cfg.compact {
					if _, err := w.Compact(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				return openTrail(t, dir)
			})
		})
	}
}
