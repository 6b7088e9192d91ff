package collect

import (
	"os"
	"path/filepath"
	"testing"

	"kubetrail/internal/collect/collecttest"
)

func event(id int) string { return collecttest.Event(id) }

// events are lines with the IDs from first to before last.
func events(first, last int) string {
	s := ""
	for i := first; i < last; i++ {
		s += event(i) + "\n"
	}
	return s
}

// write makes files under a new directory and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		put(t, filepath.Join(dir, name), text)
	}
	return dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// load imports paths into m.
func load(t *testing.T, m *collecttest.Model, paths ...string) Report {
	t.Helper()
	set, err := Find(t.Context(), FindConfig{Paths: paths})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Import(t.Context(), m, m.Sources(), ImportConfig{Files: set.Files, Cluster: "c"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// expect checks how many events were added, and that there are all of them.
func expect(t *testing.T, m *collecttest.Model, r Report, added, all int) {
	t.Helper()
	if r.Events != uint64(added) || len(m.Lines) != all {
		t.Fatalf("%d events were added and there are %d, want %d and %d", r.Events, len(m.Lines), added, all)
	}
}
