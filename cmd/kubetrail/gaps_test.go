package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/gap"
	"kubetrail/internal/sample"
	"kubetrail/internal/serve"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

// sampleWithout writes the sample log, but for the lines that hold a text, and returns
// its name.
func sampleWithout(t *testing.T, holding ...string) string {
	t.Helper()
	z, err := zstd.NewReader(sample.Log())
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		keep := true
		for _, h := range holding {
			keep = keep && !strings.Contains(line, h)
		}
		if keep {
			b.WriteString(line)
		}
	}
	name := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// thirty seconds of the sample
func cutOfSample() []string {
	return []string{`stageTimestamp":"2026-11-20T15:22:2`, `stageTimestamp":"2026-11-20T15:22:3`, `stageTimestamp":"2026-11-20T15:22:4`}
}

func TestGapsVerb(t *testing.T) {
	whole, cut := sampleWithout(t), sampleWithout(t, cutOfSample()...)
	data := t.TempDir()
	if _, code := runHere(t, "import", "-q", "--cluster", "prod", "--data", data, cut); code != 0 {
		t.Fatal(code)
	}
	for _, c := range []struct {
		args string
		code int
		says []string
	}{
		{"-f " + whole, 0, []string{"2500 events", "every gap of 10s or more is found: ", "its own among them", "/openapi/v3 every 5s", "no gaps\n"}},
		{"-f " + whole + " --fail-on-gaps", 0, []string{"no gaps"}},
		{"-f " + cut, 0, []string{"FROM", "2026-11-20T15:22:19Z  2026-11-20T15:22:50Z", "silence"}},
		{"-f " + cut + " --fail-on-gaps", 3, []string{"silence"}},
		{"-f " + cut + " --lang zh", 0, []string{"都能发现", "其中有它自己的", "silence"}},
		{"-f " + cut + " --lang zh --since 2026-11-20T15:23:00Z", 0, []string{"没有缺口"}},
		{"-f " + whole + " --until 2026-11-20T16:00:00Z", 0, []string{"still", "36m"}},
		{"-f " + cut + " --no-headers --since 2026-11-20T15:22:40Z --until 2026-11-20T15:23:10Z", 0, []string{"silence"}},
		{"-f " + sampleWithout(t, `"verb":"update"`, `"verb":"get"`, `"verb":"list"`, `"verb":"patch"`), 0, []string{"cannot know"}},
		{"--data " + data + " --cluster prod --fail-on-gaps", 3, []string{"prod/", "silence"}},
		{"--data " + data + " --cluster test --fail-on-gaps", 1, nil}, // a name that is wrong must not look like no gap
		{"--data " + data + " --server-name cp-1", 1, nil},
		{"--data " + data + " --since 2026-11-21T00:00:00Z", 0, []string{"nothing was observed, so no gap can be told\n"}},
		{"--data " + data + " --since 2026-11-21T00:00:00Z --lang zh", 0, []string{"没有观察到任何事件，因此无从判断\n"}},
		{"--data " + data + " -o jsonl", 0, []string{`{"cluster":"prod","source":"`, `"cause":"silence","events":`}},
		{"-f x --since yesterday", 2, nil},
		{"-f x -o wide", 2, nil},
		{"here", 2, nil},
		{"--data " + t.TempDir(), 1, nil},
	} {
		out, code := runHere(t, append([]string{"gaps"}, strings.Fields(c.args)...)...)
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d", c.args, code, c.code)
		}
		for _, s := range c.says {
			if !strings.Contains(string(out), s) {
				t.Errorf("%s does not say %q:\n%s", c.args, s, out)
			}
		}
	}
	out, _ := runHere(t, "gaps", "--data", data, "-o", "json")
	var report struct {
		Kind string
		gap.Report
	}
	if err := json.Unmarshal(out, &report); err != nil || report.Kind != "GapList" || len(report.Gaps) != 1 || len(report.Servers) != 1 {
		t.Errorf("%v: %s", err, out)
	}
	g := report.Gaps[0]
	if d := g.Length(); d < 30*time.Second || d > 32*time.Second || g.Events < 100 || g.Events > 2000 {
		t.Errorf("%+v", g)
	}
}

// TestGapsOfServer: a server that collects tells the same, and counts it.
func TestGapsOfServer(t *testing.T) {
	log := filepath.Join(t.TempDir(), "audit.log")
	d := &daemon{T: t, bin: program(t), data: t.TempDir(), args: []string{"--source", "prod/cp-1=" + log}}
	d.start()
	defer d.stop()
	text, err := os.ReadFile(sampleWithout(t, cutOfSample()...))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(log, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		out, code := runHere(t, "gaps", "--server", d.url, "-o", "jsonl", "--fail-on-gaps", "--until", "2026-11-20T15:23:21Z")
		if code == exitFindings && strings.Count(string(out), "\n") == 1 && strings.Contains(string(out), `"server":"cp-1"`) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the gap is not told: exit code %d, %s", code, out)
		}
	}
	// It is silent since, which only now tells.
	out, _ := runHere(t, "gaps", "--server", d.url, "--cluster", "prod", "--server-name", "cp-1")
	if !strings.Contains(string(out), "prod/cp-1") || !strings.Contains(string(out), "still") {
		t.Errorf("%s", out)
	}
	// The one in it was more than a day ago, the one since goes on.
	metrics := get(t, d.url+"/metrics")
	for _, want := range []string{`kubetrail_gaps{cause="silence",cluster="prod",server="cp-1"} 1`,
		`kubetrail_gap_smallest_seconds{cluster="prod",server="cp-1"} `, `kubetrail_silent_seconds{cluster="prod",server="cp-1"} `} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
}

// nowhere is the end of a trail that keeps nothing.
type nowhere struct {
	collect.Appender
	events, faults int
}

func (n *nowhere) Append(*audit.Event)  { n.events++ }
func (n *nowhere) SetAside(trail.Fault) { n.faults++ }

// TestGapTap: the tap knows the pulse from the trail, passes everything on, and counts what
// it finds until that is old.
func TestGapTap(t *testing.T) {
	dir := t.TempDir()
	w, err := disk.OpenWriter(disk.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	start := now.Add(-20 * time.Minute)
	var e audit.Event
	beat := func(after time.Duration) *audit.Event {
		at := start.Add(after).UTC().Format("2006-01-02T15:04:05.000000Z")
		line := fmt.Sprintf(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"1","stage":"ResponseComplete",`+
			`"requestURI":"/openapi/v3","verb":"get","user":{"username":"system:apiserver"},"requestReceivedTimestamp":%q,"stageTimestamp":%[1]q}`, at)
		if err := e.Scan([]byte(line)); err != nil {
			t.Fatal(err)
		}
		e.Text[audit.Cluster], e.Text[audit.Source] = []byte("prod"), []byte("logs/\xff.log")
		return &e
	}
	for i := range 120 {
		w.Append(beat(time.Duration(i) * 5 * time.Second))
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	end := &nowhere{}
	a := &app{now: func() time.Time { return now }}
	tap := serve.TapGaps(t.Context(), dir, end, a.now, slog.New(slog.DiscardHandler))
	tap.Append(beat(12 * time.Minute))
	tap.SetAside(trail.Fault{Cluster: "prod", Source: "logs/\xff.log", Lost: &trail.Loss{From: audit.NoTime, To: audit.NoTime, Cause: "batch"}})
	tap.Append(beat(12*time.Minute + 5*time.Second))
	if end.events != 2 || end.faults != 1 {
		t.Errorf("passed on: %+v", end)
	}
	counts := func() map[string]float64 {
		r := prometheus.NewRegistry()
		r.MustRegister(tap)
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.Metric {
				name := strings.TrimPrefix(f.GetName(), "kubetrail_")
				for _, l := range m.Label {
					name += " " + l.GetValue()
				}
				got[name] = m.GetGauge().GetValue()
			}
		}
		return got
	}
	got := counts()
	// One silence before, one that goes on.
	if got["gaps silence prod logs/\uFFFD.log"] != 2 || got["gaps batch prod logs/\uFFFD.log"] != 1 || got["silent_seconds prod logs/\uFFFD.log"] != 475 {
		t.Errorf("%v", got)
	}
	now = now.Add(25 * time.Hour)
	if got := counts(); got["gaps silence prod logs/\uFFFD.log"] != 1 || got["gaps batch prod logs/\uFFFD.log"] != 0 {
		t.Errorf("a day later: %v", got)
	}
}
