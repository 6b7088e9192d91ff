package audit

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// benchmark runs f over the events of two corpora, and over those with a response
// body alone; one operation is one event.
func benchmark(b *testing.B, f func(b *testing.B, lines [][]byte)) {
	for _, corpus := range []struct{ name, log, with string }{
		{"bodies", "a-gce-derived", `,"responseObject":`},
		{"mixed", "a-gce-derived", ""},
		{"metadata", "d-metadata-all", ""},
	} {
		b.Run(corpus.name, func(b *testing.B) {
			all, _ := lines(b, corpus.log)
			var chosen [][]byte
			size := 0
			for _, line := range all {
				if bytes.Contains(line, []byte(corpus.with)) {
					chosen = append(chosen, line)
					size += len(line) + 1
				}
			}
			b.SetBytes(int64(size / len(chosen)))
			b.ReportAllocs()
			b.ResetTimer()
			f(b, chosen)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func BenchmarkScan(b *testing.B) {
	benchmark(b, func(b *testing.B, lines [][]byte) {
		var e Event
		for i := 0; i < b.N; i++ {
			if err := e.Scan(lines[i%len(lines)]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// scanned scans a few lines: an event is written while what was scanned is still in
// the cache of the processor.
func scanned(b *testing.B, lines [][]byte) []Event {
	events := make([]Event, min(len(lines), 100))
	for i := range events {
		if err := events[i].Scan(lines[i*(len(lines)/len(events))]); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	return events
}

func BenchmarkExact(b *testing.B) {
	benchmark(b, func(b *testing.B, lines [][]byte) {
		events := scanned(b, lines)
		for i := 0; i < b.N; i++ {
			if !events[i%len(events)].Exact() {
				b.Fatal("not exact")
			}
		}
	})
}

func BenchmarkAppendLine(b *testing.B) {
	benchmark(b, func(b *testing.B, lines [][]byte) {
		events := scanned(b, lines)
		for i := range events {
			events[i].Raw = nil
		}
		var buf []byte
		for i := 0; i < b.N; i++ {
			buf = events[i%len(events)].AppendLine(buf[:0])
		}
	})
}

// jsonEvent is the event for encoding/json, with bodies of type B.
type jsonEvent[B any] struct {
	Kind                     string              `json:"kind"`
	APIVersion               string              `json:"apiVersion"`
	Level                    string              `json:"level"`
	AuditID                  string              `json:"auditID"`
	Stage                    string              `json:"stage"`
	RequestURI               string              `json:"requestURI"`
	Verb                     string              `json:"verb"`
	User                     jsonUser            `json:"user"`
	ImpersonatedUser         *jsonUser           `json:"impersonatedUser"`
	AuthenticationMetadata   *map[string]string  `json:"authenticationMetadata"`
	SourceIPs                []string            `json:"sourceIPs"`
	UserAgent                string              `json:"userAgent"`
	ObjectRef                *jsonObjectRef      `json:"objectRef"`
	ResponseStatus           *jsonResponseStatus `json:"responseStatus"`
	RequestObject            B                   `json:"requestObject"`
	ResponseObject           B                   `json:"responseObject"`
	RequestReceivedTimestamp time.Time           `json:"requestReceivedTimestamp"`
	StageTimestamp           time.Time           `json:"stageTimestamp"`
	Annotations              map[string]string   `json:"annotations"`
}

type jsonUser struct {
	Username string              `json:"username"`
	UID      string              `json:"uid"`
	Groups   []string            `json:"groups"`
	Extra    map[string][]string `json:"extra"`
}

type jsonObjectRef struct {
	Resource        string `json:"resource"`
	Namespace       string `json:"namespace"`
	Name            string `json:"name"`
	UID             string `json:"uid"`
	APIGroup        string `json:"apiGroup"`
	APIVersion      string `json:"apiVersion"`
	ResourceVersion string `json:"resourceVersion"`
	Subresource     string `json:"subresource"`
}

type jsonResponseStatus struct {
	Status  string          `json:"status"`
	Message string          `json:"message"`
	Reason  string          `json:"reason"`
	Details json.RawMessage `json:"details"`
	Code    int32           `json:"code"`
}

func benchmarkJSON[B any](b *testing.B) {
	benchmark(b, func(b *testing.B, lines [][]byte) {
		for i := 0; i < b.N; i++ {
			var e jsonEvent[B]
			if err := json.Unmarshal(lines[i%len(lines)], &e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkEncodingJSON is what Scan is measured against.
func BenchmarkEncodingJSON(b *testing.B) { benchmarkJSON[json.RawMessage](b) }

// BenchmarkEncodingJSONTyped decodes the bodies too.
func BenchmarkEncodingJSONTyped(b *testing.B) { benchmarkJSON[any](b) }

// BenchmarkSkip passes over bodies alone; one operation is one body.
func BenchmarkSkip(b *testing.B) {
	var bodies [][]byte
	size := 0
	lines, _ := lines(b, "a-gce-derived")
	for _, line := range lines {
		var e Event
		if err := e.Scan(line); err != nil {
			b.Fatal(err)
		}
		if len(e.ResponseObject) > 0 {
			bodies = append(bodies, e.ResponseObject)
			size += len(e.ResponseObject)
		}
	}
	b.SetBytes(int64(size / len(bodies)))
	for i := 0; b.Loop(); i++ {
		if _, f := skip(bodies[i%len(bodies)], 0); f != none {
			b.Fatal(f.reason())
		}
	}
}
