package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// add appends lines as the source name, beginning at its position, and advances it.
// Lines that hold no event are set aside.
func add(tb testing.TB, w *Writer, name string, lines [][]byte) {
	tb.Helper()
	s := trail.Source{Name: name}
	for _, known := range w.sources {
		if known.Name == name {
			s = known
		}
	}
	var e audit.Event
	e.Text[audit.Source] = []byte(name)
	for _, line := range lines {
		e.Offset = s.Position
		if err := e.Scan(line); err != nil {
			w.SetAside(trail.Fault{Source: name, Offset: s.Position, Length: int64(len(line)), Reason: err.Error()})
		} else {
			w.Append(&e)
		}
		s.Position += int64(len(line)) + 1
		s.Line++
		w.Advance(s)
		if w.Full() {
			if err := w.Seal(); err != nil {
				tb.Fatal(err)
			}
		}
	}
}

func openWriter(tb testing.TB, cfg Config) *Writer {
	tb.Helper()
	w, err := OpenWriter(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

func commit(tb testing.TB, w *Writer) {
	tb.Helper()
	if err := w.Commit(context.Background()); err != nil {
		tb.Fatal(err)
	}
}

func openTrail(tb testing.TB, dir string) *Trail {
	tb.Helper()
	tr, err := Open(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { tr.Close() })
	return tr
}

// contents returns every line of a trail by its sequence number, and its offset.
func contents(tb testing.TB, dir string) (lines map[uint64]string, offsets map[uint64]int64) {
	tb.Helper()
	tr, err := Open(dir)
	if err != nil {
		tb.Fatal(err)
	}
	defer tr.Close()
	lines, offsets = map[uint64]string{}, map[uint64]int64{}
	page := trail.Page{Oldest: true, Columns: audit.AllColumns}
	err = tr.Search(context.Background(), trail.Always(nil), page, func(e *audit.Event) error {
		if _, twice := lines[e.Seq]; twice {
			return fmt.Errorf("event %d comes twice", e.Seq)
		}
		lines[e.Seq], offsets[e.Seq] = string(e.AppendLine(nil)), e.Offset
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return lines, offsets
}

// mustHold fails unless the trail holds exactly these lines, numbered from 0, each
// at the offset where it stands if they follow each other in one source.
func mustHold(tb testing.TB, dir string, want [][]byte) {
	tb.Helper()
	lines, offsets := contents(tb, dir)
	if len(lines) != len(want) {
		tb.Fatalf("%d events instead of %d", len(lines), len(want))
	}
	var offset int64
	for i, line := range want {
		if got := lines[uint64(i)]; got != string(line) {
			tb.Fatalf("event %d is\n%s\ninstead of\n%s", i, got, line)
		}
		if offsets[uint64(i)] != offset {
			tb.Fatalf("event %d is at %d instead of %d", i, offsets[uint64(i)], offset)
		}
		offset += int64(len(line)) + 1
	}
}

// Every real event comes back byte for byte, in less room than zstd -3 takes for
// the same lines.
func TestCorporaByteExact(t *testing.T) {
	limits := map[string]float64{"a-gce-derived": 52, "d-metadata-all": 32}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	for _, name := range corpustest.Names() {
		t.Run(name, func(t *testing.T) {
			events := corpustest.Events(t, name)
			dir := t.TempDir()
			w := openWriter(t, Config{Dir: dir})
			defer w.Close()
			add(t, w, "audit.log", events)
			commit(t, w)
			tr := openTrail(t, dir)
			sum, err := tr.Summary(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			kept := events
			if sum.Faults > 0 { // diskfull-blocking: a torn line glued to the next one
				kept = nil
				var e audit.Event
				for _, line := range events {
					if e.Scan(line) == nil {
						kept = append(kept, line)
					}
				}
				if name != "diskfull-blocking" || sum.Faults != 1 {
					t.Fatalf("%d lines set aside", sum.Faults)
				}
				if lines, _ := contents(t, dir); len(lines) != len(kept) {
					t.Fatalf("%d events instead of %d", len(lines), len(kept))
				}
			} else {
				mustHold(t, dir, events)
			}
			if sum.RawLines != 0 {
				t.Errorf("%d of %d lines are kept beside their columns", sum.RawLines, sum.Events)
			}
			zstd3 := len(enc.EncodeAll(bytes.Join(events, []byte("\n")), nil))
			n := float64(sum.Events)
			t.Logf("%d events, %.2f B each; zstd -3: %.2f", sum.Events, float64(sum.StoredBytes)/n, float64(zstd3)/n)
			if sum.StoredBytes >= int64(zstd3) {
				t.Errorf("%d bytes stored, zstd -3 takes %d", sum.StoredBytes, zstd3)
			}
			if limit := limits[name]; limit > 0 && float64(sum.StoredBytes)/n > limit {
				t.Errorf("%.2f bytes an event, at most %.0f wanted", float64(sum.StoredBytes)/n, limit)
			}
		})
	}
}

// sample returns events to test with: hand-made ones where the corpora are absent.
func sample(n int) [][]byte {
	r := rand.New(rand.NewPCG(7, 7))
	lines := make([][]byte, n)
	for i := range lines {
		at := fmt.Sprintf("2026-11-20T%02d:%02d:%02d.%06dZ", i/3600%24, i/60%60, i%60, r.IntN(1e6))
		lines[i] = fmt.Appendf(nil, `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"%08x-0000-4000-8000-%012x","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/ns-%d/pods/p-%d?x=%d","verb":"update","user":{"username":"u%d","groups":["a","b"]},"sourceIPs":["10.0.0.%d"],"objectRef":{"resource":"pods","namespace":"ns-%d","name":"p-%d","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":%d},"requestObject":{"n":%d},"responseObject":{"m":"%x"},"requestReceivedTimestamp":"%s","stageTimestamp":"%s","annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":""}}`,
			r.Uint32(), r.Uint64()>>16, i%3, i%7, i, r.IntN(5), r.IntN(200), i%3, i%7, 200+r.IntN(4), i, r.Uint64(), at, at)
	}
	return lines
}

func TestReopen(t *testing.T) {
	dir, lines := t.TempDir(), sample(1000)
	for i := 0; i < len(lines); i += 130 {
		w := openWriter(t, Config{Dir: dir})
		if i > 0 {
			s := w.Sources()
			if len(s) != 1 || s[0].Line != int64(i) {
				t.Fatalf("sources after %d lines: %+v", i, s)
			}
		}
		if _, err := OpenWriter(Config{Dir: dir}); err == nil {
			t.Fatal("a second writer was let in")
		}
		add(t, w, "x", lines[i:min(i+130, len(lines))])
		commit(t, w)
		add(t, w, "x", lines[:3]) // dropped: not committed
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	mustHold(t, dir, lines)
}

func TestCompact(t *testing.T) {
	dir, lines := t.TempDir(), sample(2000)
	w := openWriter(t, Config{Dir: dir})
	defer w.Close()
	lines[77] = []byte(`{"kind":"Event","apiVersion":"audit.k8s.io/v1", "level":"Metadata","auditID":"x","stage":"Panic","requestURI":"*","verb":"","user":{}}`)
	reader := openTrail(t, dir)
	parts, err := reader.snapshot() // what a long question holds on to
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(lines); i += 50 {
		add(t, w, "x", lines[i:i+50])
		commit(t, w)
	}
	reader.release(parts)
	if parts, err = reader.snapshot(); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Compact(t.Context()); n != 1 || err != nil {
		t.Fatalf("%d parts written, %v", n, err)
	}
	names, err := os.ReadDir(filepath.Join(dir, "parts"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%d parts left, %v", len(names), err)
	}
	mustHold(t, dir, lines)
	v, err := newView()
	if err != nil {
		t.Fatal(err)
	}
	defer v.dec.Close()
	for _, p := range parts { // the removed parts can still be read
		v.open(p)
		if _, err := v.number(colSeq); err != nil {
			t.Fatal(err)
		}
	}
	reader.release(parts)
	if s := w.Sources(); s[0].Line != int64(len(lines)) {
		t.Fatalf("sources: %+v", s)
	}
}

// What was set aside can be read back, also after its part was merged.
func TestFaultsAreKept(t *testing.T) {
	dir, lines := t.TempDir(), sample(20)
	w := openWriter(t, Config{Dir: dir})
	defer w.Close()
	var want []trail.Fault
	for i, line := range lines {
		f := trail.Fault{Source: "x", Cluster: "c", Offset: int64(i), Length: 7, Reason: fmt.Sprint("reason ", i), Head: []byte("\x00bad")}
		add(t, w, "x", [][]byte{line})
		w.SetAside(f)
		f.Seq = uint64(2*i + 1) // behind its event
		want = append(want, f)
		commit(t, w)
	}
	tr := openTrail(t, dir)
	for _, when := range []string{"before merging", "after"} {
		var got []trail.Fault
		if err := tr.Faults(t.Context(), func(f trail.Fault) error { got = append(got, f); return nil }); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: %+v", when, got)
		}
		if s, err := tr.Summary(t.Context()); err != nil || s.Faults != 20 || s.Events != 20 {
			t.Fatalf("%s: %+v, %v", when, s, err)
		}
		if n, err := w.Compact(t.Context()); err != nil || (when == "after") == (n > 0) {
			t.Fatalf("%s: %d parts written, %v", when, n, err)
		}
	}
}

func TestExpire(t *testing.T) {
	dir, lines := t.TempDir(), sample(600)
	w := openWriter(t, Config{Dir: dir})
	for i := 0; i < len(lines); i += 100 {
		add(t, w, "x", lines[i:i+100])
		commit(t, w)
	}
	var e audit.Event
	if err := e.Scan(lines[250]); err != nil {
		t.Fatal(err)
	}
	gone, err := w.Expire(t.Context(), Retention{Before: e.Time()})
	if err != nil || gone != 200 {
		t.Fatalf("%d events removed, %v", gone, err)
	}
	if held, _ := contents(t, dir); len(held) != 400 || held[200] != string(lines[200]) {
		t.Fatalf("%d events left", len(held))
	}
	if gone, err = w.Expire(t.Context(), Retention{Before: audit.NoTime, MaxBytes: 1}); err != nil || gone != 400 {
		t.Fatalf("%d events removed, %v", gone, err)
	}
	w.Close()
	w = openWriter(t, Config{Dir: dir})
	defer w.Close()
	if s := w.Sources(); len(s) != 1 || s[0].Line != 600 {
		t.Fatalf("the positions went with the events: %+v", s)
	}
	add(t, w, "x", lines[:1])
	commit(t, w)
	if held, _ := contents(t, dir); len(held) != 1 || held[600] != string(lines[0]) {
		t.Fatalf("after the marker: %v", held)
	}
}

// The marker of a newest part that holds one number has the name of that part. A trail
// that is open, and has read it, must see that the event is gone all the same.
func TestExpireUnderOpenTrail(t *testing.T) {
	dir, lines := t.TempDir(), sample(3)
	w := openWriter(t, Config{Dir: dir})
	defer w.Close()
	tr, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	held := func() uint64 {
		t.Helper()
		s, err := tr.Summary(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.Events
	}
	add(t, w, "x", lines[:1])
	commit(t, w)
	if n := held(); n != 1 {
		t.Fatalf("%d events before", n)
	}
	if gone, err := w.Expire(t.Context(), Retention{Before: audit.NoTime, MaxBytes: 1}); err != nil || gone != 1 {
		t.Fatalf("%d events removed, %v", gone, err)
	}
	if n := held(); n != 0 {
		t.Errorf("%d events are shown after all expired", n)
	}
	add(t, w, "x", lines[1:])
	commit(t, w)
	if n := held(); n != 2 {
		t.Errorf("%d events are shown of the 2 that came then", n)
	}
}

// A part inside another's range is what a crash between merging and removing
// leaves: it is passed over, and removed by the next writer.
func TestGarbage(t *testing.T) {
	dir, lines := t.TempDir(), sample(400)
	w := openWriter(t, Config{Dir: dir})
	for i := 0; i < len(lines); i += 40 {
		add(t, w, "x", lines[i:i+40])
		commit(t, w)
	}
	parts := filepath.Join(dir, "parts")
	before := t.TempDir()
	if err := os.CopyFS(before, os.DirFS(parts)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := os.CopyFS(parts, os.DirFS(before)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(parts, partName(400, 500)+".tmp"), []byte("PAR1"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustHold(t, dir, lines)
	openWriter(t, Config{Dir: dir}).Close()
	if names, err := os.ReadDir(parts); err != nil || len(names) != 1 {
		t.Fatalf("%d files left, %v", len(names), err)
	}
	mustHold(t, dir, lines)
}

func TestFoldIsReversible(t *testing.T) {
	names := []string{"", "a", "nginx", "*", "x*y", `q"`, "namespaces"}
	uris := []string{"", "*", "**", "*a*", "/", "/api/v1/namespaces/nginx/pods/nginx", "/x/nginx?y=nginx", "/a*b/nginx",
		"/nginxx/nginx", "/nginx", "nginx", "/x/x*y/log", "/*/a", `{"name":"nginx"}`, `{"name":*"}`, `{"name":"nginx`,
		`{"name":"q\"","kind":"x"}`, `{"name":"nginx","kind":"pods"}`, `{"name":"nginxx","kind":"pods"}`}
	for _, c := range []audit.Column{audit.RequestURI, audit.StatusDetails} {
		for _, name := range names {
			for _, s := range uris {
				if c == audit.StatusDetails && bytes.HasPrefix([]byte(s), []byte(foldedName)) {
					continue // no JSON
				}
				f := fold(nil, c, []byte(s), []byte(name))
				if got := unfold(nil, c, f, []byte(name)); string(got) != s {
					t.Errorf("%q with name %q: folded %q, unfolded %q", s, name, f, got)
				}
			}
		}
	}
}

// What is said of an event beside its line comes back, is asked for, and does not
// change the line; and one path of two servers is two sources.
func TestWhatIsNotInTheLine(t *testing.T) {
	dir := t.TempDir()
	w := openWriter(t, Config{Dir: dir})
	lines := [][]byte{[]byte(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","stage":"ResponseComplete","requestURI":"/api","verb":"get","user":{},"requestReceivedTimestamp":"2026-11-20T15:00:00.000000Z","stageTimestamp":"2026-11-20T15:00:00.000000Z"}`)}
	var e audit.Event
	for i := range 10 {
		if err := e.Scan(lines[0]); err != nil {
			t.Fatal(err)
		}
		e.Offset = int64(1000 * (i / 2))
		e.Text[audit.Source], e.Text[audit.Cluster], e.Text[audit.Server] = []byte("/audit.log"), []byte("c"), []byte([]string{"cp-1", "cp-2"}[i%2])
		e.Text[audit.Destination], e.Text[audit.Marks] = nil, nil
		if i == 3 {
			e.Text[audit.Destination], e.Text[audit.Marks] = []byte(`["node/n1","webhook/a/b"]`), []byte(`["repeat"]`)
		}
		w.Append(&e)
		w.Advance(trail.Source{Name: "/audit.log", Cluster: "c", Server: string(e.Text[audit.Server]), Position: e.Offset + 500})
	}
	for _, gone := range []bool{false, true} {
		w.Advance(trail.Source{Name: "old", Cluster: "c", Position: 5, Gone: gone})
	}
	if err := errors.Join(w.Commit(t.Context()), w.Close()); err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ask := func(question string) (found []string) {
		n, err := query.Parse(question)
		if err != nil {
			t.Fatal(err)
		}
		err = r.Search(t.Context(), trail.Always(n), trail.Page{Oldest: true, Columns: audit.AllColumns}, func(e *audit.Event) error {
			if string(e.AppendLine(nil)) != string(lines[0]) {
				t.Errorf("%s: %s", question, e.AppendLine(nil))
			}
			found = append(found, fmt.Sprintf("%s@%d%s%s", e.Text[audit.Server], e.Offset, e.Text[audit.Destination], e.Text[audit.Marks]))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for question, want := range map[string][]string{
		"is:repeat":                {`cp-2@1000["node/n1","webhook/a/b"]["repeat"]`},
		"to:webhook/a/*":           {`cp-2@1000["node/n1","webhook/a/b"]["repeat"]`},
		"is:recovered":             nil,
		"repeat":                   nil,
		"server:cp-1":              {"cp-1@0", "cp-1@1000", "cp-1@2000", "cp-1@3000", "cp-1@4000"},
		"server:cp-2 and not is:*": {"cp-2@0", "cp-2@2000", "cp-2@3000", "cp-2@4000"},
	} {
		if got := ask(question); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", question, got, want)
		}
	}
	s, err := r.Summary(t.Context())
	if err != nil || len(s.Sources) != 2 {
		t.Errorf("%+v, %v", s.Sources, err)
	}
}
