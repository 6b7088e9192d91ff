package oracle

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"

	"github.com/parquet-go/parquet-go"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

// plainRow is an event as one would give it to parquet-go: the columns of a part
// that every event has something in, in the order of arrival, with the encodings
// that parquet-go offers.
type plainRow struct {
	Time, Received                     int64  `parquet:",delta,zstd"`
	ID                                 string `parquet:",zstd"`
	Level, Stage, Verb, URI, Agent     string `parquet:",dict,zstd"`
	User, UID, Groups, Extra, IPs      string `parquet:",dict,zstd"`
	Resource, Namespace, Name          string `parquet:",dict,zstd"`
	Object, Group, Version             string `parquet:",dict,zstd"`
	Sub, Status, Message, Cause        string `parquet:",dict,zstd"`
	Details, Decision, Reason, Further string `parquet:",dict,zstd"`
	Code                               int32  `parquet:",dict,zstd"`
	Offset, Seq                        int64  `parquet:",delta,zstd"`
	Request, Response                  string `parquet:",zstd"`
}

func (r *plainRow) fill(e *audit.Event, seq int64) {
	for column, to := range map[audit.Column]*string{
		audit.AuditID: &r.ID, audit.Level: &r.Level, audit.Stage: &r.Stage, audit.Verb: &r.Verb,
		audit.RequestURI: &r.URI, audit.UserAgent: &r.Agent, audit.Username: &r.User, audit.UserUID: &r.UID,
		audit.UserGroups: &r.Groups, audit.UserExtra: &r.Extra, audit.SourceIPs: &r.IPs,
		audit.Resource: &r.Resource, audit.Namespace: &r.Namespace, audit.Name: &r.Name,
		audit.ObjectUID: &r.Object, audit.APIGroup: &r.Group, audit.APIVersion: &r.Version,
		audit.Subresource: &r.Sub, audit.Status: &r.Status, audit.Message: &r.Message,
		audit.StatusReason: &r.Cause, audit.StatusDetails: &r.Details, audit.Decision: &r.Decision,
		audit.Reason: &r.Reason, audit.Annotations: &r.Further,
	} {
		*to = string(e.Text[column])
	}
	r.Time, r.Received, r.Code, r.Offset, r.Seq = e.Staged, e.Received, e.Code, e.Offset, seq
	r.Request, r.Response = string(e.RequestObject), string(e.ResponseObject)
}

// The same events as one part by us, sorted, exact and with filters, and as a plain
// file by parquet-go. Scanning is left out of both.
func BenchmarkWrite(b *testing.B) {
	for _, corpus := range []string{"a-gce-derived", "d-metadata-all"} {
		lines := corpustest.Events(b, corpus)
		events := make([]audit.Event, len(lines))
		rows := make([]plainRow, len(lines))
		for i, line := range lines {
			if err := events[i].Scan(line); err != nil {
				b.Fatal(err)
			}
			rows[i].fill(&events[i], int64(i))
		}
		report := func(b *testing.B, bytes int64) {
			b.ReportMetric(float64(len(lines)*b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(bytes)/float64(len(lines)), "B/event")
		}
		b.Run(corpus+"/kubetrail", func(b *testing.B) {
			dir := b.TempDir()
			w, err := disk.OpenWriter(disk.Config{Dir: dir})
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close()
			for b.Loop() {
				for i := range events {
					w.Append(&events[i])
				}
				if err := w.Commit(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			tr, err := disk.Open(dir)
			if err != nil {
				b.Fatal(err)
			}
			defer tr.Close()
			s, err := tr.Summary(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			report(b, s.StoredBytes/int64(b.N))
		})
		b.Run(corpus+"/parquet-go", func(b *testing.B) {
			var out bytes.Buffer
			for b.Loop() {
				out.Reset()
				w := parquet.NewGenericWriter[plainRow](&out, parquet.PageBufferSize(2<<20))
				if _, err := w.Write(rows); err != nil {
					b.Fatal(err)
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
			report(b, int64(out.Len()))
		})
	}
}

// Opening a part and looking at the codes of three columns, which is what a count
// by user, verb and resource needs.
func BenchmarkRead(b *testing.B) {
	dir, parts := writeTrail(b, corpustest.Events(b, "a-gce-derived"))
	b.Run("kubetrail", func(b *testing.B) {
		var by []audit.Ref
		for _, name := range []string{"user", "verb", "resource"} {
			ref, err := audit.Resolve(name)
			if err != nil {
				b.Fatal(err)
			}
			by = append(by, ref)
		}
		for b.Loop() {
			tr, err := disk.Open(dir)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := tr.Aggregate(b.Context(), trail.Always(nil), by, 20); err != nil {
				b.Fatal(err)
			}
			if err := tr.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parquet-go", func(b *testing.B) {
		for b.Loop() {
			for _, part := range parts {
				if err := readCodes(part, "user", "verb", "resource"); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

func readCodes(name string, columns ...string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	file, err := parquet.OpenFile(f, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return err
	}
	for _, column := range columns {
		leaf, _ := file.Schema().Lookup(column)
		pages := file.RowGroups()[0].ColumnChunks()[leaf.ColumnIndex].Pages()
		for {
			page, err := pages.ReadPage()
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			_ = page.Data()
			parquet.Release(page)
		}
		if err := pages.Close(); err != nil {
			return err
		}
	}
	return nil
}
