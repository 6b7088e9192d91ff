package disk

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

// FuzzPart asks every kind of question of a part that somebody else may have
// written: it may be refused, it must not take the process down.
func FuzzPart(f *testing.F) {
	for _, n := range []int{1, 40, 300} {
		dir := f.TempDir()
		w := openWriter(f, Config{Dir: dir})
		add(f, w, "x", sample(n))
		commit(f, w)
		w.Close()
		b, err := os.ReadFile(filepath.Join(dir, "parts", partName(0, uint64(n-1))))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	var questions []trail.Query
	for _, text := range []string{"", "verb:update and code >= 201", `"p-3"`, "requestObject.n > 3 or not user:u1",
		"id:00000000-0000-4000-8000-000000000000", "uri:*pods* and ns:ns-1"} {
		n, err := query.Parse(text)
		if err != nil {
			f.Fatal(err)
		}
		questions = append(questions, trail.Always(n))
	}
	var by []audit.Ref
	for _, name := range []string{"user", "code", "group"} {
		ref, err := audit.Resolve(name)
		if err != nil {
			f.Fatal(err)
		}
		by = append(by, ref)
	}
	f.Fuzz(func(t *testing.T, part []byte) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "parts"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "parts", partName(0, 39)), part, 0o600); err != nil {
			t.Fatal(err)
		}
		tr, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		for _, q := range questions {
			page := trail.Page{Limit: 100, Columns: audit.AllColumns}
			_ = tr.Search(t.Context(), q, page, func(e *audit.Event) error { e.AppendLine(nil); return nil })
			_, _ = tr.Aggregate(t.Context(), q, by, 10)
			_, _ = tr.Aggregate(t.Context(), q, by[:2], 10)
			_, _ = tr.Histogram(t.Context(), q, time.Hour)
		}
		_ = tr.Faults(t.Context(), func(trail.Fault) error { return nil })
		if w, err := OpenWriter(Config{Dir: dir}); err == nil {
			_, _ = w.Compact(t.Context())
			_, _ = w.Expire(t.Context(), Retention{Before: audit.NoTime, MaxBytes: 1})
			w.Close()
		}
	})
}
