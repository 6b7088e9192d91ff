package load

import (
	"bufio"
	"bytes"
	"io"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
	"kubetrail/internal/output"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
	"kubetrail/internal/trail/file"
)

// corpus is a real log beside the repository, with the events in it.
func corpus(t testing.TB, name string) (trail.Reader, [][]byte) {
	t.Helper()
	events := corpustest.Events(t, name)
	return logged(bytes.Join(events, []byte("\n")), nil), events
}

// logged is a log as a trail.
func logged(text []byte, err error) trail.Reader {
	return file.Open(file.Config{Inputs: []file.Input{{Name: "audit.log", Size: int64(len(text)),
		Each: func(visit func(string, io.Reader) error, _ func(*audit.Damage)) error {
			if err != nil {
				return err
			}
			return visit("audit.log", bytes.NewReader(text))
		},
		Decode: func(in io.Reader, cfg audit.ReaderConfig) func(*audit.Event) error {
			return audit.NewReader(in, cfg).Next
		}}}})
}

// onDisk is a log as a trail on disk, in several parts.
func onDisk(t *testing.T, events [][]byte) trail.Reader {
	t.Helper()
	dir := t.TempDir()
	w, err := disk.OpenWriter(disk.Config{Dir: dir, PartBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var e audit.Event
	source := trail.Source{Name: "audit.log"}
	for _, line := range events {
		if err := e.Scan(line); err != nil {
			t.Fatal(err)
		}
		e.Text[audit.Source], e.Offset = []byte("audit.log"), source.Position
		w.Append(&e)
		source.Position += int64(len(line)) + 1
		w.Advance(source)
		if w.Full() {
			if err := w.Seal(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := disk.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func asking(t testing.TB, text string) trail.Query {
	t.Helper()
	n, err := query.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return trail.Always(n)
}

// printed is what a report prints for people.
func printed(t testing.TB, r output.Report, chinese bool) string {
	t.Helper()
	var b bytes.Buffer
	p := &output.Page{W: bufio.NewWriter(&b), Chinese: chinese, Headers: true}
	if err := r.Print(p, "table"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
