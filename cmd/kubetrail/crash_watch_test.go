package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A watch sees from outside what a writer does to its parts.
type watch struct {
	dir    string
	start  time.Time
	before map[string]bool // names at the start
	seen   map[string]bool // names ever seen
	now    []string        // names at the last look

	parts   int // new ones
	temps   int // files begun
	merges  int // files begun for the union of parts
	unions  int // such that are done
	expired int // parts gone that no union replaced
}

// numbers is a range of sequence numbers.
type numbers struct{ first, last uint64 }

// rangeOf reads the name of a part, or the temporary one of a part to be.
func rangeOf(name string) (r numbers, ok bool) {
	name = strings.TrimSuffix(name, ".tmp")
	n, err := fmt.Sscanf(name, "%d-%d.parquet", &r.first, &r.last)
	return r, n == 2 && err == nil
}

func (r numbers) within(o numbers) bool { return o.first <= r.first && r.last <= o.last && r != o }

func isTemp(name string) bool { return strings.HasSuffix(name, ".tmp") }

func listing(dir string) (names []string) {
	entries, _ := os.ReadDir(dir) // none before the first import
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func newWatch(data string) *watch {
	w := &watch{dir: filepath.Join(data, "parts"), before: map[string]bool{}, seen: map[string]bool{}}
	for _, name := range listing(w.dir) {
		w.before[name], w.seen[name] = true, true
		w.now = append(w.now, name)
	}
	w.start = time.Now()
	return w
}

// look takes note of what changed since the last look.
func (w *watch) look() {
	last := w.now
	w.now = listing(w.dir)
	still := map[string]bool{}
	for _, name := range w.now {
		still[name] = true
		if w.seen[name] {
			continue
		}
		union := w.isUnion(name)
		w.seen[name] = true
		switch {
		case isTemp(name) && union:
			w.merges++
		case isTemp(name):
			w.temps++
		case union:
			w.unions++
		default:
			w.parts++
		}
	}
	for _, name := range last {
		if r, ok := rangeOf(name); ok && !still[name] && !isTemp(name) && !w.replaced(r) {
			w.expired++
		}
	}
}

// isUnion reports whether a file holds, or will hold, what others held before.
func (w *watch) isUnion(name string) bool {
	r, ok := rangeOf(name)
	for other := range w.seen {
		if o, is := rangeOf(other); ok && is && !isTemp(other) && o.within(r) {
			return true
		}
	}
	return false
}

// replaced reports whether a part that is there holds the numbers of one that is not.
func (w *watch) replaced(r numbers) bool {
	for _, name := range w.now {
		if o, ok := rangeOf(name); ok && !isTemp(name) && r.within(o) {
			return true
		}
	}
	return false
}

// stage says what the writer did last.
func (w *watch) stage() stage {
	switch {
	case w.expired > 0:
		return removing
	case w.merges+w.unions > 0:
		return merging
	case w.parts+w.temps > 0:
		return reading
	}
	return starting
}
