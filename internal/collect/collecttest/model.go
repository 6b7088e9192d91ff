// Package collecttest gives tests of collecting a trail to write to.
package collecttest

import (
	"context"
	"fmt"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// Model is a trail in memory that keeps what is committed and forgets the rest when
// it crashes.
type Model struct {
	PartLines int      // lines after which a part is full
	Waiting   []string // cluster, a NUL byte and the line of what is not committed
	pending   map[string]trail.Source
	faults    []trail.Fault

	// What is committed.
	Lines []string
	Read  map[string]trail.Source // by cluster, server, name and print
	Aside []trail.Fault
}

// New returns an empty trail whose parts are small.
func New() *Model {
	return &Model{PartLines: 100, pending: map[string]trail.Source{}, Read: map[string]trail.Source{}}
}

// Sources returns how far every source is committed.
func (m *Model) Sources() []trail.Source {
	var out []trail.Source
	for _, s := range m.Read {
		out = append(out, s)
	}
	return out
}

// Append implements collect.Appender, as do the others.
func (m *Model) Append(e *audit.Event) {
	m.Waiting = append(m.Waiting, fmt.Sprintf("%s\x00%s", e.Text[audit.Cluster], e.AppendLine(nil)))
}

func (m *Model) SetAside(f trail.Fault) { m.faults = append(m.faults, f) }
func (m *Model) Advance(s trail.Source) {
	m.pending[s.Cluster+"\x00"+s.Server+"\x00"+s.Name+"\x00"+s.Print] = s
}
func (m *Model) Full() bool  { return len(m.Waiting) >= m.PartLines }
func (m *Model) Seal() error { return m.Commit(context.Background()) }

// Crash forgets what is not committed.
func (m *Model) Crash() { m.Waiting, m.faults, m.pending = nil, nil, map[string]trail.Source{} }

func (m *Model) Commit(context.Context) error {
	if len(m.Waiting)+len(m.faults) == 0 {
		return nil // as on disk: a part without rows is not written
	}
	m.Lines = append(m.Lines, m.Waiting...)
	m.Aside = append(m.Aside, m.faults...)
	for k, s := range m.pending {
		if m.Read[k] = s; s.Gone {
			delete(m.Read, k)
		}
	}
	m.Crash()
	return nil
}

// Event is a line of about 300 bytes with an auditID made of id.
func Event(id int) string {
	return fmt.Sprintf(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"id-%d","stage":"ResponseComplete",`+
		`"requestURI":"/api/v1/namespaces/default/pods/pod-%d","verb":"get","user":{"username":"alice"},`+
		`"requestReceivedTimestamp":"2026-11-20T15:%02d:%02d.000000Z","stageTimestamp":"2026-11-20T15:%02d:%02d.000000Z"}`, id, id, id/60%60, id%60, id/60%60, id%60)
}
