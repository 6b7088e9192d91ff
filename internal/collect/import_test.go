package collect

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"kubetrail/audit"
	"kubetrail/internal/collect/collecttest"
	"kubetrail/internal/corpustest"
	"kubetrail/internal/trail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func tarred(t *testing.T, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o600, Size: int64(len(files[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTwiceAddsNothing(t *testing.T) {
	for name, text := range map[string]string{
		"audit.log":    events(0, 250),
		"audit.log.gz": gzipped(t, events(0, 250)),
		"audit.tar":    tarred(t, "a/audit.log", events(0, 200), "b/audit.log", events(200, 250), "b/README", "hello"),
		"audit.tar.gz": gzipped(t, tarred(t, "x.json", `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[`+strings.ReplaceAll(strings.TrimSpace(events(0, 250)), "\n", ",")+`]}`)),
		"no-newline":   strings.TrimSuffix(events(0, 250), "\n"),
		"pretty.json":  "[\n" + strings.ReplaceAll(strings.TrimSpace(events(0, 250)), "\n", ",\n") + "\n]\n",
		"with-noise":   "what is this\n" + events(0, 250) + "and this\n",
		"torn.log":     events(0, 250) + event(250)[:100],
		"cut-short.gz": cut(gzipped(t, events(0, 250)+randomText(9000))),
	} {
		t.Run(name, func(t *testing.T) {
			m := collecttest.New()
			path := filepath.Join(write(t, map[string]string{name: text}), name)
			expect(t, m, load(t, m, path), 250, 250)
			aside := len(m.Aside)
			r := load(t, m, path)
			expect(t, m, r, 0, 250)
			if len(m.Aside) != aside {
				t.Errorf("%d faults were set aside again", len(m.Aside)-aside)
			}
			if r.Known == 0 || r.Sources != 0 {
				t.Errorf("report: %+v", r)
			}
		})
	}
}

// randomText does not compress and is one line.
func randomText(n int) string {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = 'a' + byte(x>>24)%26
	}
	return string(b)
}

func cut(s string) string { return s[:len(s)-1000] }

// TestRotation walks a log through what rotation does to it.
func TestRotation(t *testing.T) {
	m := collecttest.New()
	dir := write(t, map[string]string{"audit.log": events(0, 120)})
	log := filepath.Join(dir, "audit.log")
	expect(t, m, load(t, m, dir), 120, 120)

	put(t, log, events(0, 180)) // it grew
	expect(t, m, load(t, m, dir), 60, 180)

	backup := filepath.Join(dir, "audit-2026-11-20T15-13-23.604.log")
	put(t, backup, events(0, 200)) // it grew once more and was rotated
	put(t, log, events(200, 230))
	expect(t, m, load(t, m, dir), 50, 230)
	expect(t, m, load(t, m, dir), 0, 230)

	put(t, backup+".gz", gzipped(t, events(0, 200))) // and compressed
	if err := os.Remove(backup); err != nil {
		t.Fatal(err)
	}
	expect(t, m, load(t, m, dir), 0, 230)
	expect(t, m, load(t, m, log), 0, 230)
	expect(t, m, load(t, m, backup+".gz"), 0, 230)
	distinct(t, m.Lines, 230)
}

func distinct(t *testing.T, lines []string, n int) {
	t.Helper()
	if got := len(slices.Compact(slices.Sorted(slices.Values(lines)))); got != n {
		t.Errorf("%d different lines, want %d", got, n)
	}
}

// TestTornLine checks that a line which is being written is taken whole later.
func TestTornLine(t *testing.T) {
	m := collecttest.New()
	whole := events(0, 20)
	dir := write(t, map[string]string{"audit.log": whole[:len(whole)-50]})
	expect(t, m, load(t, m, dir), 19, 19)
	if len(m.Aside) != 1 {
		t.Fatalf("faults: %+v", m.Aside)
	}
	put(t, filepath.Join(dir, "audit.log"), whole+events(20, 25))
	expect(t, m, load(t, m, dir), 6, 25)
	distinct(t, m.Lines, 25)
}

// TestSameContentTwice checks that retries of a webhook are not taken for renamed
// files, whichever comes first.
func TestSameContentTwice(t *testing.T) {
	text := events(0, 30)
	dir := write(t, map[string]string{"0003.json": text})
	m := collecttest.New()
	expect(t, m, load(t, m, dir), 30, 30)
	put(t, filepath.Join(dir, "0001.json"), text)
	expect(t, m, load(t, m, dir), 30, 60)
	expect(t, m, load(t, m, dir), 0, 60)
	put(t, filepath.Join(dir, "all.tar"), tarred(t, "0001.json", text, "0002.json", text, "0003.json", text))
	expect(t, m, load(t, m, filepath.Join(dir, "all.tar")), 30, 90)
}

// TestShorter checks that a file which lost its end is read anew.
func TestShorter(t *testing.T) {
	for _, name := range []string{"audit.log", "audit.log.gz"} {
		pack := func(s string) string { return s }
		if strings.HasSuffix(name, ".gz") {
			pack = func(s string) string { return gzipped(t, s) }
		}
		m := collecttest.New()
		dir := write(t, map[string]string{name: pack(events(0, 60))})
		expect(t, m, load(t, m, dir), 60, 60)
		put(t, filepath.Join(dir, name), pack(events(0, 40)))
		expect(t, m, load(t, m, dir), 40, 100)
	}
}

// TestClusters checks that the same file of another cluster is another source.
func TestClusters(t *testing.T) {
	m := collecttest.New()
	dir := write(t, map[string]string{"audit.log": events(0, 10)})
	set, err := Find(t.Context(), FindConfig{Paths: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	for _, cluster := range []string{"a", "b", "a"} {
		if _, err := Import(t.Context(), m, m.Sources(), ImportConfig{Files: set.Files, Cluster: cluster}); err != nil {
			t.Fatal(err)
		}
	}
	distinct(t, m.Lines, 20)
	if len(m.Lines) != 20 {
		t.Errorf("%d lines", len(m.Lines))
	}
}

// stopping ends a context after so many events.
type stopping struct {
	*collecttest.Model
	left int
	stop func()
}

func (s *stopping) Full() bool {
	if s.left--; s.left == 0 {
		s.stop()
	}
	return s.Model.Full()
}

// What a file that was followed got in the meantime is of the same API server when it is
// imported.
func TestImportOfServer(t *testing.T) {
	m := &serverModel{Model: collecttest.New()}
	dir := write(t, map[string]string{"audit.log": events(0, 10)})
	path := filepath.Join(dir, "audit.log")
	f, err := Follow(FollowConfig{Path: path, Cluster: "c", Server: "cp-1"})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Pull(t.Context(), m, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := m.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, path, events(0, 20))
	set, err := Find(t.Context(), FindConfig{Paths: []string{path}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Import(t.Context(), m, m.Sources(), ImportConfig{Files: set.Files, Cluster: "c"})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, m.Model, r, 10, 20)
	if len(m.servers) != 1 || m.servers["cp-1"] != 20 {
		t.Errorf("events by server: %v", m.servers)
	}
}

// serverModel counts events by their server.
type serverModel struct {
	*collecttest.Model
	servers map[string]int
}

func (m *serverModel) Append(e *audit.Event) {
	if m.servers == nil {
		m.servers = map[string]int{}
	}
	m.servers[string(e.Text[audit.Server])]++
	m.Model.Append(e)
}

// TestInterrupted ends an import at many places, by a cancelled context and by a
// crash, and goes on with it: nothing is lost and nothing there twice.
func TestInterrupted(t *testing.T) {
	dir := write(t, map[string]string{
		"audit-2026-11-20T15-13-23.604.log": events(0, 700),
		"audit.log":                         events(700, 900) + "noise\n" + events(900, 1000) + event(1000)[:60],
		"old.tar.gz":                        gzipped(t, tarred(t, "a.log", events(1000, 1500), "b.log", events(1500, 1600))),
	})
	set, err := Find(t.Context(), FindConfig{Paths: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	for _, crash := range []bool{false, true} {
		for _, after := range []int{1, 50, 256, 257, 700, 701, 1001, 1300} {
			m := collecttest.New()
			for range 40 {
				ctx, cancel := context.WithCancel(t.Context())
				_, err := Import(ctx, &stopping{m, after, cancel}, m.Sources(), ImportConfig{Files: set.Files})
				cancel()
				if err == nil {
					break
				}
				if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				if crash {
					m.Crash()
				}
			}
			if r, err := Import(t.Context(), m, m.Sources(), ImportConfig{Files: set.Files}); err != nil || r.Events > 1600 {
				t.Fatal(r, err)
			}
			distinct(t, m.Lines, 1600)
			if len(m.Lines) != 1600 || len(m.Aside) != 2 {
				t.Errorf("crash %v after %d: %d lines, %d faults, want 1600 and 2", crash, after, len(m.Lines), len(m.Aside))
			}
		}
	}
}

// failing is a trail on a full disk.
type failing struct{ *collecttest.Model }

var errFull = errors.New("no space left")

func (failing) Seal() error                  { return errFull }
func (failing) Commit(context.Context) error { return errFull }

func TestWriteError(t *testing.T) {
	dir := write(t, map[string]string{"audit.log": events(0, 300)})
	for _, lines := range []int{100, 1000} {
		set, err := Find(t.Context(), FindConfig{Paths: []string{dir}})
		if err != nil {
			t.Fatal(err)
		}
		m := collecttest.New()
		m.PartLines = lines
		if _, err := Import(t.Context(), failing{m}, nil, ImportConfig{Files: set.Files}); !errors.Is(err, errFull) {
			t.Errorf("got %v", err)
		}
	}
}

// TestStream checks standard input: its content is known again.
func TestStream(t *testing.T) {
	m := collecttest.New()
	for _, c := range []struct{ upTo, added int }{{50, 50}, {50, 0}, {70, 20}, {30, 0}} {
		files := []File{Stream("-", strings.NewReader(events(0, c.upTo)))}
		r, err := Import(t.Context(), m, m.Sources(), ImportConfig{Files: files})
		if err != nil || r.Events != uint64(c.added) {
			t.Fatalf("%d events on standard input added %d, want %d (%v)", c.upTo, r.Events, c.added, err)
		}
	}
}

// TestCorpora imports what a real kube-apiserver wrote, from the archives as they
// are. The numbers are those of lines and list items in the files.
func TestCorpora(t *testing.T) {
	want := map[string]int{
		"a-gce-derived": 23131, "d-metadata-all": 29492, "rotation-keepall": 7362, "rotation-maxbackup3": 724,
		"legacy": 4232, "webhook-batch": 2503, "webhook-retry": 2919, "truncate-10k": 3384,
		"lost-events": 2280, "kill9-blocking": 9089, "diskfull-blocking": 661,
	}
	for _, name := range corpustest.Names() {
		t.Run(name, func(t *testing.T) {
			m := collecttest.New()
			m.PartLines = 10_000
			path := corpustest.Path(t, name)
			expect(t, m, load(t, m, path), want[name], want[name])
			expect(t, m, load(t, m, path), 0, want[name])
			if faults := map[string]int{"diskfull-blocking": 1}[name]; len(m.Aside) != faults {
				t.Errorf("%d faults, want %d: %+v", len(m.Aside), faults, m.Aside)
			}
		})
	}
}

// TestProgress checks that progress ends at the total.
func TestProgress(t *testing.T) {
	dir := write(t, map[string]string{"a.log": events(0, 500), "b.log.gz": gzipped(t, events(500, 900))})
	set, err := Find(t.Context(), FindConfig{Paths: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	var last Progress
	if _, err := Import(t.Context(), collecttest.New(), nil, ImportConfig{Files: set.Files, Progress: func(p Progress) { last = p }}); err != nil {
		t.Fatal(err)
	}
	if last.Bytes != last.Total || last.Total == 0 || last.Events != 900 {
		t.Errorf("at the end: %+v", last)
	}
}

// TestFaultNames checks what a fault says about its place.
func TestFaultNames(t *testing.T) {
	m := collecttest.New()
	dir := write(t, map[string]string{"audit.log": event(1) + "\nnot an event\n" + event(2) + "\n"})
	load(t, m, dir)
	want := trail.Fault{Source: filepath.Join(dir, "audit.log"), Cluster: "c", Offset: int64(len(event(1))) + 1}
	if len(m.Aside) != 1 || m.Aside[0].Source != want.Source || m.Aside[0].Cluster != want.Cluster || m.Aside[0].Offset != want.Offset {
		t.Errorf("faults %+v, want %+v", m.Aside, want)
	}
}
