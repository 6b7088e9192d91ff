package collect

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// model is a trail in memory that keeps what is committed and forgets the rest when
// it crashes.
type model struct {
	partLines int // lines after which a part is full
	waiting   []string
	pending   map[string]trail.Source
	faults    []trail.Fault

	lines   []string
	sources map[string]trail.Source
	aside   []trail.Fault
}

func newModel() *model {
	return &model{partLines: 100, pending: map[string]trail.Source{}, sources: map[string]trail.Source{}}
}

func (m *model) Sources() []trail.Source {
	var out []trail.Source
	for _, s := range m.sources {
		out = append(out, s)
	}
	return out
}

func (m *model) Append(e *audit.Event) {
	m.waiting = append(m.waiting, fmt.Sprintf("%s\x00%s", e.Text[audit.Cluster], e.AppendLine(nil)))
}

func (m *model) SetAside(f trail.Fault) { m.faults = append(m.faults, f) }
func (m *model) Advance(s trail.Source) { m.pending[s.Cluster+"\x00"+s.Name+"\x00"+s.Print] = s }
func (m *model) Full() bool             { return len(m.waiting) >= m.partLines }
func (m *model) Seal() error            { return m.Commit(context.Background()) }
func (m *model) crash()                 { m.waiting, m.faults, m.pending = nil, nil, map[string]trail.Source{} }

func (m *model) Commit(context.Context) error {
	if len(m.waiting)+len(m.faults) == 0 {
		return nil // as on disk: a part without rows is not written
	}
	m.lines = append(m.lines, m.waiting...)
	m.aside = append(m.aside, m.faults...)
	for k, s := range m.pending {
		m.sources[k] = s
	}
	m.crash()
	return nil
}

// event is a line of about 300 bytes.
func event(id int) string {
	return fmt.Sprintf(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"id-%d","stage":"ResponseComplete",`+
		`"requestURI":"/api/v1/namespaces/default/pods/pod-%d","verb":"get","user":{"username":"alice"},`+
		`"requestReceivedTimestamp":"2026-11-20T15:%02d:%02d.000000Z","stageTimestamp":"2026-11-20T15:%02d:%02d.000000Z"}`, id, id, id/60%60, id%60, id/60%60, id%60)
}

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
func load(t *testing.T, m *model, paths ...string) Report {
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
func (m *model) expect(t *testing.T, r Report, added, all int) {
	t.Helper()
	if r.Events != uint64(added) || len(m.lines) != all {
		t.Fatalf("%d events were added and there are %d, want %d and %d", r.Events, len(m.lines), added, all)
	}
}
