package explain

import (
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
)

// BenchmarkAppend says every event of a real log: ns/op is per sentence.
func BenchmarkAppend(b *testing.B) {
	for _, lang := range []string{"en", "zh"} {
		b.Run(lang, func(b *testing.B) {
			lines := corpustest.Events(b, "a-gce-derived")
			events := make([]audit.Event, len(lines))
			for i, line := range lines {
				if err := events[i].Scan(line); err != nil {
					b.Fatal(err)
				}
			}
			x, out, n := New(Config{Chinese: lang == "zh"}), []byte(nil), 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				out = x.Append(out[:0], &events[i%len(events)])
				n += len(out)
			}
			b.ReportMetric(float64(n)/float64(b.N), "B/sentence")
		})
	}
}
