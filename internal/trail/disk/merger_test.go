package disk

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/internal/durable/durabletest"
)

// TestMergePlan plays ten minutes and a day of commits at several rates, and bounds how
// many parts there are and how often every byte was written.
func TestMergePlan(t *testing.T) {
	const room = 64 << 20
	for _, c := range []struct {
		perSecond int64 // bytes of lines
		seconds   int
		parts     int     // at most, at any time
		written   float64 // times each byte, at most, the commit included
	}{
		{1 << 10, 86400, 60, 9},
		{10 << 10, 600, 40, 6},
		{10 << 10, 86400, 80, 8},
		{2 << 20, 600, 60, 4},
		{2 << 20, 7200, 500, 4},
		{20 << 20, 600, 210, 2.1},
		{10 << 20, 600, 230, 2.1},
	} {
		t.Run(fmt.Sprintf("%dKiBps-%ds", c.perSecond>>10, c.seconds), func(t *testing.T) {
			var all []extent
			var written, taken int64
			most, next := 0, uint64(0)
			for i := range c.seconds {
				all = append(all, extent{first: next, last: next, rows: int(c.perSecond >> 10), weight: c.perSecond})
				next++
				taken += c.perSecond
				written += c.perSecond
				if i%8 != 7 {
					continue
				}
				for run := worthMerging(all, room); run != nil; run = worthMerging(all, room) {
					all = replaced(all, run)
					for _, x := range run {
						written += x.weight
					}
				}
				most = max(most, len(all))
			}
			times := float64(written) / float64(taken)
			t.Logf("%d parts at most, %d at the end, every byte written %.1f times", most, len(all), times)
			if most > c.parts || times > c.written {
				t.Errorf("more than %d parts, or written more than %.1f times", c.parts, c.written)
			}
		})
	}
}

// replaced returns all with run as one.
func replaced(all, run []extent) []extent {
	var out []extent
	for _, x := range all {
		switch {
		case x.first == run[0].first:
			u := extent{first: x.first, last: run[len(run)-1].last}
			for _, r := range run {
				u.rows += r.rows
				u.weight += r.weight
			}
			out = append(out, u)
		case x.first < run[0].first || x.first > run[len(run)-1].last:
			out = append(out, x)
		}
	}
	return out
}

// TestMergePlanProperty checks for any parts that a run is of neighbours, fits, and is
// worth it, and that merging comes to an end.
func TestMergePlanProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const room = 1000
		var all []extent
		at := uint64(0)
		for range rapid.IntRange(0, 60).Draw(t, "parts") {
			at += uint64(rapid.SampledFrom([]int{0, 0, 0, 0, 1}).Draw(t, "hole"))
			rows := rapid.SampledFrom([]int{1, 1, 1, 0}).Draw(t, "rows")
			all = append(all, extent{first: at, last: at, rows: rows, weight: int64(rows * rapid.IntRange(1, 1100).Draw(t, "weight"))})
			at++
		}
		for steps := 0; ; steps++ {
			run := worthMerging(all, room)
			if run == nil {
				return
			}
			var sum, largest int64
			for i, x := range run {
				if i > 0 && x.first != run[i-1].last+1 || x.rows == 0 {
					t.Fatalf("no neighbours: %v", run)
				}
				sum, largest = sum+x.weight, max(largest, x.weight)
			}
			if len(run) < 2 || sum > room || 2*sum < 3*largest || steps > 60 {
				t.Fatalf("step %d: %v", steps, run)
			}
			all = replaced(all, run)
		}
	})
}

// TestMergeBesideWriter merges while the writer commits, and looks at every event after.
func TestMergeBesideWriter(t *testing.T) {
	dir := t.TempDir()
	w := openWriter(t, Config{Dir: dir})
	m, err := w.Merger()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	steps, done := 0, make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			merged, err := m.Step(context.Background())
			if err != nil {
				done <- err
				return
			}
			if merged {
				steps++
			}
		}
		done <- nil
	}()
	lines := sample(400)
	for i := 0; i < len(lines); i += 4 {
		add(t, w, "x", lines[i:i+4])
		commit(t, w)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.Close()
	parts, err := os.ReadDir(filepath.Join(dir, "parts"))
	if err != nil || steps == 0 || len(parts) > 50 {
		t.Errorf("%d parts after %d merges, %v", len(parts), steps, err)
	}
	mustHold(t, dir, lines)
}

// TestMergeFaults lets every operation of a merge fail in every way, and looks at the
// trail at once and after a restart.
func TestMergeFaults(t *testing.T) {
	lines := sample(40)
	for kind := durabletest.Kind(1); kind < durabletest.NumKinds; kind++ {
		for at := 0; ; at++ {
			dir := t.TempDir()
			w := openWriter(t, Config{Dir: dir, Merged: true})
			for i := 0; i < len(lines); i += 4 {
				add(t, w, "x", lines[i:i+4])
				commit(t, w)
			}
			m, err := w.Merger()
			if err != nil {
				t.Fatal(err)
			}
			fsys := &durabletest.FS{Kind: kind, At: at, Rand: rand.New(rand.NewPCG(uint64(at), 3))}
			m.cfg.FS = fsys
			merged, err := m.Step(t.Context())
			w.Close()
			if fsys.Struck() == (err == nil) || merged == fsys.Struck() {
				t.Fatalf("%s at %d: struck %v, merged %v, %v", kind, at, fsys.Struck(), merged, err)
			}
			mustHold(t, dir, lines)
			if kind == durabletest.PowerCut {
				if err := fsys.Restart(); err != nil {
					t.Fatal(err)
				}
			}
			openWriter(t, Config{Dir: dir}).Close()
			mustHold(t, dir, lines)
			if !fsys.Struck() {
				if at == 0 {
					t.Errorf("%s: a merge has no such operation", kind)
				}
				break
			}
		}
	}
}

// A listing made while parts are merged may hold neither those nor what they became:
// no question may take that for the truth.
func TestListingAmidAMerge(t *testing.T) {
	dir := t.TempDir()
	w := openWriter(t, Config{Dir: dir})
	for i := range 9 {
		add(t, w, "audit.log", [][]byte{fmt.Appendf(nil, `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"%d","stage":"ResponseComplete","requestURI":"/api","verb":"get","user":{}}`, i)})
		if err := w.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	torn := 0
	r.readDir = func(dir string) ([]os.DirEntry, error) {
		entries, err := os.ReadDir(dir)
		if torn++; torn%2 == 1 && len(entries) == 9 {
			entries = append(slices.Clone(entries[:3]), entries[6:]...)
		}
		return entries, err
	}
	for range 4 {
		s, err := r.Summary(t.Context())
		if err != nil || s.Events != 9 {
			t.Errorf("%d events, %v", s.Events, err)
		}
	}
	// What is gone for good is gone.
	for _, name := range []string{partName(4, 4), partName(5, 5)} {
		if err := os.Remove(filepath.Join(dir, "parts", name)); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := r.Summary(t.Context()); err != nil || s.Events != 7 {
		t.Errorf("%d events, %v", s.Events, err)
	}
}
