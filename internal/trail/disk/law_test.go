package disk

import (
	"bytes"
	"errors"
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

// The law of faults holds before and after parts are merged.
func TestFaultsLaw(t *testing.T) {
	for name, compact := range map[string]bool{"Parts": false, "Merged": true} {
		t.Run(name, func(t *testing.T) {
			trailtest.RunFaults(t, func(t *testing.T, log []byte) trail.Reader {
				dir := t.TempDir()
				w := openWriter(t, Config{Dir: dir, PartBytes: 1 << 20})
				defer w.Close()
				r := audit.NewReader(bytes.NewReader(log), audit.ReaderConfig{Source: trailtest.Source, Cluster: trailtest.Cluster})
				var e audit.Event
				for n := 0; ; n++ {
					err := r.Next(&e)
					if f, ok := errors.AsType[*audit.Fault](err); ok {
						w.SetAside(trail.Fault{Source: trailtest.Source, Cluster: trailtest.Cluster,
							Offset: f.Offset, Length: f.Length, Reason: f.Reason, Head: f.Head})
					} else if err != nil {
						break
					} else {
						w.Append(&e)
					}
					if n%5 == 4 {
						commit(t, w)
					}
				}
				commit(t, w)
				if compact {
					if _, err := w.Compact(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				return openTrail(t, dir)
			})
		})
	}
}
