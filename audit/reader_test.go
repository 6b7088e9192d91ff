package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"kubetrail/internal/corpustest"
)

// sample returns a log line as kube-apiserver writes them, without its newline. Its
// auditID tells n.
func sample(n int) string {
	return fmt.Sprintf(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"%s","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/configmaps?fieldManager=kubectl","verb":"create","user":{"username":"alice","groups":["dev-team","system:authenticated"]},"sourceIPs":["10.0.0.7"],"userAgent":"kubectl/v1.36.3 (linux/amd64) kubernetes/abc","objectRef":{"resource":"configmaps","namespace":"shop","name":"c-%d","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":201},"requestObject":{"kind":"ConfigMap","apiVersion":"v1","data":{"a":"x \"y\" {z}"}},"responseObject":{"kind":"ConfigMap","apiVersion":"v1","data":{"a":"x \"y\" {z}"}},"requestReceivedTimestamp":"2026-11-20T15:37:15.398305Z","stageTimestamp":"2026-11-20T15:37:15.401999Z","annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":""}}`, sampleID(n), n)
}

// sampleItem is the same as an item of an EventList.
func sampleItem(n int) string {
	return "{" + strings.TrimPrefix(sample(n), `{"kind":"Event","apiVersion":"audit.k8s.io/v1",`)
}

// sampleLegacy is the same in the legacy format.
func sampleLegacy(n int) string {
	return fmt.Sprintf(`2026-11-20T15:34:44.696864233Z AUDIT: id="%s" stage="ResponseComplete" ip="127.0.0.1" method="get" user="alice" groups="\"dev-team\"" as="<self>" asgroups="<lookup>" user-agent="kubectl" namespace="<none>" uri="/openapi/v3" response="200"`, sampleID(n))
}

func sampleID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// streamOf joins the samples from first to last, each after the text before and
// followed by the text after.
func streamOf(first, last int, make func(int) string, before, after string) string {
	var b strings.Builder
	for n := first; n <= last; n++ {
		b.WriteString(before + make(n) + after)
	}
	return b.String()
}

// reading is all that a Reader gave of a stream.
type reading struct {
	ids    []string // auditIDs
	spans  [][2]int64
	raws   []string
	faults []Fault
	err    error
}

// read reads r to its end. After each call, at is told the Reader.
func read(r *Reader, at func(*Reader)) (got reading) {
	var e Event
	for {
		err := r.Next(&e)
		var fault *Fault
		switch {
		case err == nil:
			got.ids = append(got.ids, string(e.Text[AuditID]))
			got.spans = append(got.spans, [2]int64{e.Offset, e.Offset + int64(len(e.Raw))})
			got.raws = append(got.raws, string(e.Raw))
		case errors.As(err, &fault):
			got.faults = append(got.faults, *fault)
		default:
			if err != io.EOF {
				got.err = err
			}
			return got
		}
		if at != nil {
			at(r)
		}
	}
}

func readString(s string) reading {
	return read(NewReader(strings.NewReader(s), ReaderConfig{}), nil)
}

// wantIDs fails unless the events first to last were read, and no other.
func (got reading) wantIDs(t *testing.T, first, last int) {
	t.Helper()
	want := []string{}
	for n := first; n <= last; n++ {
		want = append(want, sampleID(n))
	}
	if fmt.Sprint(got.ids) != fmt.Sprint(want) {
		t.Errorf("read %d events %v, want %d to %d", len(got.ids), got.ids, first, last)
	}
	if got.err != nil {
		t.Errorf("error %v", got.err)
	}
}

// The corpora's README counts 2,268 events in lost-events, without those of a body
// that is not UTF-8, and in diskfull-blocking a torn line.
func TestReaderCorpora(t *testing.T) {
	for _, c := range []struct {
		name, files string
		events      int
		faults      int
	}{
		{"a-gce-derived", "audit*.log", 23131, 0},
		{"d-metadata-all", "audit*.log", 29492, 0},
		{"rotation-keepall", "audit*.log", 7362, 0},
		{"rotation-maxbackup3", "audit*.log", 724, 0},
		{"legacy", "audit*.log", 4232, 0},
		{"webhook-batch", "0*.json", 2503, 0},
		{"webhook-retry", "0*.json", 2919, 0},
		{"truncate-10k", "audit*.log", 3384, 0},
		{"lost-events", "audit*.log", 1192, 0},
		{"lost-events", "0*.json", 1088, 0},
		{"kill9-blocking", "audit*.log", 9089, 0},
		{"diskfull-blocking", "audit*.log", 661, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			events, faults := 0, 0
			for _, m := range corpustest.Members(t, c.name, c.files) {
				r := NewReader(bytes.NewReader(m.Data), ReaderConfig{})
				got := read(r, nil)
				events += len(got.ids)
				faults += len(got.faults)
				for i, span := range got.spans {
					if got.raws[i] != string(m.Data[span[0]:span[1]]) {
						t.Fatalf("%s: event %d is not the bytes at %d", m.Name, i, span[0])
					}
				}
				if r.Offset() != int64(len(m.Data)) || r.Line() != int64(bytes.Count(m.Data, []byte("\n"))) {
					t.Errorf("%s: ended at %d, line %d", m.Name, r.Offset(), r.Line())
				}
			}
			if events != c.events || faults != c.faults {
				t.Errorf("%d events and %d faults, want %d and %d", events, faults, c.events, c.faults)
			}
		})
	}
}

// Reading can go on wherever it stopped, in the middle of a list too.
func TestReaderResumeCorpora(t *testing.T) {
	for _, c := range [][2]string{{"diskfull-blocking", "audit.log"}, {"legacy", "audit.log"}, {"webhook-batch", "0001.json"}} {
		m := corpustest.Members(t, c[0], c[1])[0]
		checkResume(t, m.Data, 97)
	}
}

// checkResume reads data, and at every nth place again from there.
func checkResume(t *testing.T, data []byte, nth int) reading {
	t.Helper()
	type stop struct{ offset, line int64 }
	var stops []stop
	calls := 0
	whole := read(newReader(bytes.NewReader(data), ReaderConfig{MaxLine: 1 << 20}, 1<<10), func(r *Reader) {
		if calls++; calls%nth == 0 {
			stops = append(stops, stop{r.Offset(), r.Line()})
		}
	})
	for _, s := range stops {
		cfg := ReaderConfig{MaxLine: 1 << 20, StartOffset: s.offset, StartLine: s.line}
		r := newReader(bytes.NewReader(data[s.offset:]), cfg, 1<<10)
		rest := read(r, nil)
		var want [][2]int64
		for _, span := range whole.spans {
			if span[0] >= s.offset {
				want = append(want, span)
			}
		}
		if fmt.Sprint(rest.spans) != fmt.Sprint(want) {
			t.Fatalf("from %d: events at %v, want %v", s.offset, rest.spans, want)
		}
		if all, here := marks(data, whole), marks(data, rest); !bytes.Equal(all[s.offset:], here[s.offset:]) {
			t.Fatalf("from %d: faults %v, want what is left of %v in %q", s.offset, faultSpans(rest), faultSpans(whole), data)
		}
		if s.line != int64(bytes.Count(data[:s.offset], []byte("\n"))) {
			t.Fatalf("line %d at %d", s.line, s.offset)
		}
	}
	return whole
}

// marks tells of each byte that is not white space whether it is in an event (e), a
// fault (f) or neither, however the faults are divided.
func marks(data []byte, got reading) []byte {
	m := bytes.Repeat([]byte{'.'}, len(data))
	mark := func(from, to int64, c byte) {
		for i := from; i < to; i++ {
			if strings.IndexByte(" \t\r\n", data[i]) < 0 {
				m[i] = c
			}
		}
	}
	for _, span := range got.spans {
		mark(span[0], span[1], 'e')
	}
	for _, f := range got.faults {
		mark(f.Offset, f.Offset+f.Length, 'f')
	}
	return m
}

func faultSpans(got reading) (spans []string) {
	for _, f := range got.faults {
		spans = append(spans, fmt.Sprintf("%d+%d: %s", f.Offset, f.Length, f.Reason))
	}
	return spans
}

// Whatever pieces the bytes come in, the answer is the same.
func TestReaderPieces(t *testing.T) {
	data := streamOf(1, 3, sample, "", "\n") +
		`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + sampleItem(4) + "," + sampleItem(5) + "]}\n" +
		sample(6)[:200] + sample(6) + "\n\x00\x00\x00" + sampleLegacy(7) + "\r\n" +
		"host-1 " + sample(8) + "\n" + pretty(t, sample(9)) + "\n" + sample(10)
	want := readString(data)
	want.wantIDs(t, 1, 10)
	if len(want.faults) != 2 {
		t.Errorf("faults %v", want.faults)
	}
	for name, r := range map[string]io.Reader{
		"bytes": iotest.OneByteReader(strings.NewReader(data)),
		"half":  iotest.HalfReader(strings.NewReader(data)),
		"err":   iotest.DataErrReader(strings.NewReader(data)),
	} {
		if got := read(NewReader(r, ReaderConfig{}), nil); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// In a log that is being written, an unfinished line is left for later.
func TestReaderGrowing(t *testing.T) {
	var log bytes.Buffer
	r := NewReader(&log, ReaderConfig{Growing: true})
	var e Event
	next := func(want error) {
		t.Helper()
		if err := r.Next(&e); err != want {
			t.Fatalf("%v, want %v", err, want)
		}
	}
	for n, line := range []string{sample(1), sampleLegacy(2), "host-1 " + sample(3)} {
		next(io.EOF)
		offset := r.Offset()
		log.WriteString(line[:40])
		next(io.EOF)
		log.WriteString(line[40:])
		next(io.EOF)
		if r.Offset() != offset {
			t.Fatalf("passed an unfinished line to %d", r.Offset())
		}
		log.WriteString("\n")
		next(nil)
		if string(e.Raw) != line || r.Line() != int64(n+1) {
			t.Errorf("line %d: %s", r.Line(), e.Raw)
		}
	}
	next(io.EOF)
	for _, piece := range []string{sample(4)[:half] + sample(5)[:half], sample(5)[half:]} {
		log.WriteString(piece)
		next(io.EOF)
	}
	log.WriteString("\n")
	var torn *Fault
	if err := r.Next(&e); !errors.As(err, &torn) || torn.Length != half {
		t.Errorf("%v, want half a line", err)
	}
	if next(nil); string(e.Raw) != sample(5) {
		t.Errorf("%s", e.Raw)
	}
	next(io.EOF)
	log.WriteString("rubbish\n")
	var fault *Fault
	if err := r.Next(&e); !errors.As(err, &fault) {
		t.Error(err)
	}
	next(io.EOF)
}

// However a file is made, the work grows no faster than its size.
func TestReaderLinear(t *testing.T) {
	for _, line := range []string{`{"a":[` + "\n", `{"metadata":[` + "\n", `],"metadata":[` + "\n", `{"kind":"Event","apiVersion":"audit.k8s.io/v1","a":`, "{", " {\n", "["} {
		data := strings.Repeat(line, (2<<20)/len(line))
		start := time.Now()
		got := readString(data)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%q: %v", line, took)
		}
		if len(got.ids) > 0 || got.err != nil {
			t.Errorf("%q: %d events, %v", line, len(got.ids), got.err)
		}
	}
}

// An error of the source is no fault.
func TestReaderError(t *testing.T) {
	broken := errors.New("input/output error")
	r := NewReader(io.MultiReader(strings.NewReader(sample(1)+"\n"), iotest.ErrReader(broken)), ReaderConfig{})
	got := read(r, nil)
	if len(got.ids) != 1 || got.err != broken || len(got.faults) != 0 {
		t.Errorf("%v", got)
	}
}

// Source and cluster are the reader's to say.
func TestReaderColumns(t *testing.T) {
	r := NewReader(strings.NewReader(sample(1)), ReaderConfig{Source: "audit.log", Cluster: "prod"})
	var e Event
	if err := r.Next(&e); err != nil || string(e.Text[Source]) != "audit.log" || string(e.Text[Cluster]) != "prod" {
		t.Errorf("%v %q %q", err, e.Text[Source], e.Text[Cluster])
	}
}

// One operation is one event, as in BenchmarkScan.
func BenchmarkReader(b *testing.B) {
	benchmark(b, func(b *testing.B, lines [][]byte) {
		data := bytes.Join(lines, []byte("\n"))
		var e Event
		var r *Reader
		b.ResetTimer()
		for i := 0; i < b.N; i++ {
			if i%len(lines) == 0 {
				r = NewReader(bytes.NewReader(data), ReaderConfig{})
			}
			if err := r.Next(&e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Pieces of files, whole and broken, in any order: what is whole on its own line is
// always read, and nothing is lost.
func TestReaderRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	whole := []string{sample(1), sampleLegacy(2), sampleItem(3), cloudWatch(sample(4)), "host-1 " + sample(5)}
	list := `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + sampleItem(6) + "," + sampleItem(7) + "]}"
	pieces := append([]string{list, pretty(t, sample(8)), pretty(t, list), gke, "[", "]", ",", "}", "{", `"`, `"kind":"EventList"}`,
		"\n", "\r\n", " ", "\x00", "\x00\x00\x00", bom, "rubbish", "rubbish ", `{"a":1}`, `{"a":[` + sample(9) + `]`, "\xff"}, whole...)
	for range 3000 {
		var b strings.Builder
		wanted := 0
		for range rnd.IntN(12) {
			switch piece := pieces[rnd.IntN(len(pieces))]; rnd.IntN(4) {
			case 0:
				b.WriteString(piece[:rnd.IntN(len(piece)+1)])
			case 1:
				b.WriteString("\n" + whole[rnd.IntN(len(whole))] + "\n")
				wanted++
			default:
				b.WriteString(piece)
			}
		}
		data := []byte(b.String())
		got := checkResume(t, data, 1)
		checkCovered(t, data, got)
		if len(got.ids) < wanted {
			t.Fatalf("%d events of %d in %q", len(got.ids), wanted, data)
		}
	}
}
