// Package oracle holds the tests in which another implementation is the judge.
package oracle

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/parquet-go/parquet-go"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

// writeTrail keeps a corpus in a trail of several parts and returns their paths.
func writeTrail(tb testing.TB, lines [][]byte) (dir string, parts []string) {
	tb.Helper()
	dir = tb.TempDir()
	w, err := disk.OpenWriter(disk.Config{Dir: dir, PartBytes: 8 << 20})
	if err != nil {
		tb.Fatal(err)
	}
	defer w.Close()
	var e audit.Event
	e.Text[audit.Source] = []byte("audit.log")
	for _, line := range lines {
		if err := e.Scan(line); err != nil {
			tb.Fatal(err)
		}
		w.Append(&e)
		e.Offset += int64(len(line)) + 1
		if w.Full() {
			if err := w.Seal(); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if err := w.Commit(context.Background()); err != nil {
		tb.Fatal(err)
	}
	parts, err = filepath.Glob(filepath.Join(dir, "parts", "*.parquet"))
	if err != nil || len(parts) == 0 {
		tb.Fatalf("%d parts, %v", len(parts), err)
	}
	return dir, parts
}

// row is one event as parquet-go reads it: text by column name, numbers likewise.
type row struct {
	text   map[string]string
	number map[string]int64
}

// readWithParquetGo reads every column of a part.
func readWithParquetGo(tb testing.TB, name string) map[int64]row {
	tb.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	file, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		tb.Fatal(err)
	}
	columns := file.Schema().Columns()
	groups := file.RowGroups()
	if len(groups) != 1 {
		tb.Fatalf("%d row groups", len(groups))
	}
	rows := groups[0].Rows()
	defer rows.Close()
	out := map[int64]row{}
	buffer := make([]parquet.Row, 100)
	for {
		n, err := rows.ReadRows(buffer)
		for _, values := range buffer[:n] {
			r := row{map[string]string{}, map[string]int64{}}
			for _, v := range values {
				name := columns[v.Column()][0]
				switch v.Kind() {
				case parquet.Int32, parquet.Int64:
					r.number[name] = v.Int64()
				default:
					r.text[name] = string(v.Bytes())
				}
			}
			out[r.number["seq"]] = r
		}
		if err == io.EOF {
			return out
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// Another Parquet reader finds in every row of every part what the trail finds.
func TestPartsReadByParquetGo(t *testing.T) {
	for _, corpus := range []string{"a-gce-derived", "d-metadata-all", "legacy"} {
		t.Run(corpus, func(t *testing.T) {
			dir, parts := writeTrail(t, corpustest.Events(t, corpus))
			tr, err := disk.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			var all []map[int64]row
			var last []int64
			for _, p := range parts {
				rows := readWithParquetGo(t, p)
				all = append(all, rows)
				last = append(last, int64(len(rows)))
			}
			n := 0
			page := trail.Page{Columns: audit.AllColumns}
			err = tr.Search(t.Context(), trail.Always(nil), page, func(e *audit.Event) error {
				seq, part := int64(e.Seq), 0
				for seq >= last[part] {
					seq -= last[part]
					part++
				}
				r := all[part][seq]
				for column, want := range map[string][]byte{
					"verb": e.Text[audit.Verb], "user": e.Text[audit.Username], "name": e.Text[audit.Name],
					"message": e.Text[audit.Message], "source_ips": e.Text[audit.SourceIPs],
					"annotations": e.Text[audit.Annotations], "user_extra": e.Text[audit.UserExtra],
					"bodies": append(bytes.Clone(e.RequestObject), e.ResponseObject...),
				} {
					if r.text[column] != string(want) {
						t.Fatalf("event %d: %s is %q, parquet-go reads %q", e.Seq, column, want, r.text[column])
					}
				}
				for column, want := range map[string]int64{
					"time": e.Staged, "duration_us": e.Staged - e.Received, "code": int64(e.Code),
					"request_bytes": int64(len(e.RequestObject)), "line_bytes": int64(len(e.AppendLine(nil))),
				} {
					if r.number[column] != want {
						t.Fatalf("event %d: %s is %d, parquet-go reads %d", e.Seq, column, want, r.number[column])
					}
				}
				n++
				return nil
			})
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			t.Logf("%d events in %d parts", n, len(parts))
		})
	}
}
