package backend_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"kubetrail/record"
	"kubetrail/record/backend"
)

// counting is a receiver that reads bodies and counts items.
func counting(b *testing.B) (url string, count *atomic.Int64) {
	count = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		buf := make([]byte, 64<<10)
		n := 0
		for {
			got, err := req.Body.Read(buf)
			n += got
			count.Add(int64(bytes.Count(buf[:got], []byte(`"auditID"`))))
			if err != nil {
				if err != io.EOF {
					b.Error(err)
				}
				return
			}
		}
	}))
	b.Cleanup(server.Close)
	return server.URL, count
}

// metadata returns an event of 1.1 KB, encoded.
func metadata() *record.Event {
	e := numbered(0, 0)
	e.Line()
	return e
}

// One connection, batches of 400 one after the other, the receiver in the same process.
func BenchmarkWebhook400(b *testing.B) {
	url, _ := counting(b)
	w := newWebhook(b, url, nil)
	e := metadata()
	batch := make([]*record.Event, 400)
	for i := range batch {
		batch[i] = e
	}
	b.SetBytes(int64(len(e.Line())))
	b.ResetTimer()
	for i := 0; i < b.N; i += len(batch) {
		if !w.ProcessEvents(batch[:min(len(batch), b.N-i)]...) {
			b.Fatal("lost")
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// The chain of mode batch, without its throttle: put into the buffer, sent in batches.
func BenchmarkBufferedWebhook(b *testing.B) {
	for _, spill := range []string{"", "spill", "spill sync"} {
		b.Run("disk "+spill, func(b *testing.B) {
			url, _ := counting(b)
			l := backend.NewLosses(backend.LossesConfig{})
			config := backend.BufferedConfig{BufferSize: 10000, MaxBatchSize: 400, MaxBatchWait: time.Second, AsyncDelegate: true, MaxInFlight: 2, Losses: l}
			if spill != "" {
				config.SpillDir, config.SpillSync = filepath.Join(b.TempDir(), "spill"), spill == "spill sync"
			}
			chain := buffered(b, newWebhook(b, url, nil), config)
			stop := start(b, chain)
			e := metadata()
			batch := make([]*record.Event, 100) // for the fsync of spill sync
			for i := range batch {
				batch[i] = e
			}
			b.SetBytes(int64(len(e.Line())))
			b.ResetTimer()
			for i := 0; i < b.N; i += len(batch) {
				chain.ProcessEvents(batch[:min(len(batch), b.N-i)]...)
				if l.Pending() {
					for _, one := range l.Take() {
						i -= one.Count // offered again
					}
					time.Sleep(time.Millisecond)
				}
			}
			stop()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
