package disk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/durable/durabletest"
	"kubetrail/internal/trail"
)

// The plan of a faulty run: lines are added in batches and committed, every few
// commits the parts are merged, and what does not work is tried again as a
// collector would.
const (
	faultLines = 160
	faultBatch = 10
)

// run carries the plan out from wherever the trail stands, until it is done or a
// power cut ends it. It returns how many lines were acknowledged.
func run(tb testing.TB, fsys *durabletest.FS, dir string, lines [][]byte) (acknowledged int, finished bool) {
	w, err := OpenWriter(Config{Dir: dir, FS: fsys})
	if err != nil {
		return 0, false // a power cut while garbage was removed
	}
	defer w.Close()
	at := 0
	for _, s := range w.Sources() {
		at = int(s.Line)
	}
	acknowledged = at
	for round := 0; at < len(lines); round++ {
		next := min(at+faultBatch, len(lines))
		add(tb, w, "x", lines[at:next])
		at = next
		if !again(fsys, func() error { return w.Commit(context.Background()) }) {
			return acknowledged, false
		}
		acknowledged = at
		if round%5 == 4 && !again(fsys, func() error { _, err := w.Compact(context.Background()); return err }) {
			return acknowledged, false
		}
	}
	return acknowledged, true
}

// again repeats what failed; after a power cut nothing works any more.
func again(fsys *durabletest.FS, f func() error) bool {
	for range 3 {
		if f() == nil {
			return true
		}
		if fsys.Kind != durabletest.PowerCut {
			fsys.Heal()
		}
	}
	return false
}

// Whatever fails, at whatever moment: what was acknowledged is there, nothing is
// there twice, and going on from the committed position completes the trail.
func TestFaults(t *testing.T) {
	lines := sample(faultLines)
	for kind := durabletest.Kind(1); kind < durabletest.NumKinds; kind++ {
		t.Run(kind.String(), func(t *testing.T) {
			struck := 0
			for at := 0; ; at++ {
				fsys := &durabletest.FS{Kind: kind, At: at, Rand: rand.New(rand.NewPCG(uint64(at), 1))}
				dir := t.TempDir()
				acknowledged, finished := run(t, fsys, dir, lines)
				if !fsys.Struck() {
					break // the plan has fewer operations
				}
				struck++
				if kind == durabletest.PowerCut {
					if err := fsys.Restart(); err != nil {
						t.Fatal(err)
					}
				}
				mustHoldPrefix(t, dir, lines, acknowledged)
				if kind != durabletest.PowerCut && !finished {
					t.Fatalf("fault %d: trying again did not help", at)
				}
				if _, finished = run(t, &durabletest.FS{}, dir, lines); !finished {
					t.Fatalf("fault %d: the trail cannot be completed", at)
				}
				mustHold(t, dir, lines)
				if left, err := durabletest.Leftovers(filepath.Join(dir, "parts")); err != nil || len(left) > 0 {
					t.Fatalf("fault %d leaves %v %v", at, left, err)
				}
				if at > 40 { // the later ones are alike: take some of them
					at += 6
				}
			}
			if struck < 4 {
				t.Errorf("only %d faults struck", struck)
			}
			t.Logf("%d faults", struck)
		})
	}
}

// mustHoldPrefix fails unless the trail holds the first n lines for some n ≥ least,
// and says n is its position.
func mustHoldPrefix(t *testing.T, dir string, lines [][]byte, least int) {
	t.Helper()
	held, _ := contents(t, dir)
	if len(held) < least || len(held) > len(lines) {
		t.Fatalf("%d events held, %d acknowledged", len(held), least)
	}
	for i := range len(held) {
		if held[uint64(i)] != string(lines[i]) {
			t.Fatalf("event %d is %q", i, held[uint64(i)])
		}
	}
	tr := openTrail(t, dir)
	s, err := tr.Summary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(held) > 0 && (len(s.Sources) != 1 || s.Sources[0].Line != int64(len(held))) {
		t.Fatalf("%d events held, position %+v", len(held), s.Sources)
	}
}

// A power cut while expiring may leave more than it should, never less.
func TestExpirePowerCut(t *testing.T) {
	lines := sample(200)
	for at := 0; ; at++ {
		dir := t.TempDir()
		w := openWriter(t, Config{Dir: dir})
		for i := 0; i < len(lines); i += 50 {
			add(t, w, "x", lines[i:i+50])
			commit(t, w)
		}
		w.Close()
		fsys := &durabletest.FS{Kind: durabletest.PowerCut, At: at, Rand: rand.New(rand.NewPCG(uint64(at), 2))}
		keep := Retention{Before: audit.NoTime, MaxBytes: 1}
		w, err := OpenWriter(Config{Dir: dir, FS: fsys})
		if err == nil {
			_, err = w.Expire(context.Background(), keep)
			w.Close()
		}
		if err == nil {
			if at < 5 {
				t.Errorf("only %d operations", at)
			}
			return
		}
		if !errors.Is(err, durabletest.ErrInjected) {
			t.Fatal(err)
		}
		if err := fsys.Restart(); err != nil {
			t.Fatal(err)
		}
		w = openWriter(t, Config{Dir: dir})
		if s := w.Sources(); len(s) != 1 || s[0].Line != 200 {
			t.Fatalf("power cut %d: positions %+v", at, s)
		}
		if _, err := w.Expire(t.Context(), keep); err != nil {
			t.Fatal(err)
		}
		add(t, w, "x", lines[:1])
		commit(t, w)
		w.Close()
		if held, _ := contents(t, dir); len(held) != 1 || held[200] != string(lines[0]) {
			t.Fatalf("power cut %d: %d events left", at, len(held))
		}
	}
}

// A damaged part is named, and does not keep the others from being read.
func TestDamagedPart(t *testing.T) {
	dir, lines := t.TempDir(), sample(100)
	w := openWriter(t, Config{Dir: dir})
	add(t, w, "x", lines)
	commit(t, w)
	w.Close()
	name := filepath.Join(dir, "parts", partName(0, 99))
	flip(t, name, 2000)
	tr := openTrail(t, dir)
	err := tr.Search(t.Context(), trail.Always(nil), trail.Page{Columns: audit.AllColumns}, func(*audit.Event) error { return nil })
	if err == nil {
		t.Fatal("a damaged part was read")
	}
	if want := fmt.Sprintf("part %s: ", partName(0, 99)); !containsText(err, want) {
		t.Errorf("%v does not name the part", err)
	}
}

func containsText(err error, text string) bool { return strings.Contains(err.Error(), text) }

func flip(tb testing.TB, name string, at int) {
	tb.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	b[at] ^= 0xff
	if err := os.WriteFile(name, b, 0o600); err != nil {
		tb.Fatal(err)
	}
}
