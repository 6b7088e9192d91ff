package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kubetrail/bench/generate"
)

// TestQuestions asks a small trail everything that the table asks a large one.
func TestQuestions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "trail")
	r, err := buildTrail(t.Context(), task{Trail: dir, Events: 20_000, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	if r.Events != 20_000 || r.RawLines != 0 || r.Stored == 0 || r.Stored >= r.Bytes/5 || r.Bytes+20_000 < r.Facts.Bytes {
		t.Errorf("a trail of %d events, %d B for %d, %d raw", r.Events, r.Stored, r.Bytes, r.RawLines)
	}
	for _, q := range append(questionList(), question{name: "open"}) {
		got, err := askTrail(t.Context(), task{Question: q.name, Trail: dir, Facts: r.Facts})
		if err != nil || got.Wrong != "" || got.Wall == 0 {
			t.Errorf("%s: %v %s, %v", q.name, err, got.Wrong, got.Wall)
		}
	}
}

// TestWrongAnswer sees to it that a wrong answer would be noticed.
func TestWrongAnswer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "trail")
	if _, err := buildTrail(t.Context(), task{Trail: dir, Events: 1000, Seed: 7}); err != nil {
		t.Fatal(err)
	}
	other, err := generate.New(generate.Config{Events: 1100, Seed: 8})
	if err != nil {
		t.Fatal(err)
	}
	for other.Next() != nil {
	}
	facts := other.Facts()
	for _, q := range append(questionList(), question{name: "open"}) {
		if q.name == "substring in all bodies" {
			facts.NeedleEvents++ // both may have the same
		}
		got, err := askTrail(t.Context(), task{Question: q.name, Trail: dir, Facts: &facts})
		if err == nil && got.Wrong == "" {
			t.Errorf("%s: another trail's answer is taken for right", q.name)
		}
	}
}

// TestStories tells the stories of a small trail with the real program.
func TestStories(t *testing.T) {
	a := &answering{bench: bench{events: 20_000, sample: 20_000, seed: 7, dir: t.TempDir()}}
	r, err := buildTrail(t.Context(), task{Trail: a.path("trail"), Events: a.events, Seed: a.seed})
	if err != nil {
		t.Fatal(err)
	}
	a.big, a.program = r, a.path("kubetrail")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", a.program, "../cmd/kubetrail").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, s := range storyList() {
		u, out, err := a.ask(t.Context(), s.args(a.big.Facts))
		if err == nil {
			err = s.check(t.Context(), a, out)
		}
		if err != nil || u.cpu == 0 || u.peak == 0 {
			t.Errorf("%s: %v, %+v", s.name, err, u)
		}
		for _, wrong := range []string{"{}", "no JSON"} {
			if s.check(t.Context(), a, []byte(wrong)) == nil {
				t.Errorf("%s: %s is taken for right", s.name, wrong)
			}
		}
	}
}

func TestScanFile(t *testing.T) {
	g, err := generate.New(generate.Config{Events: 100})
	if err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	for line := g.Next(); line != nil; line = g.Next() {
		lines.Write(line)
		lines.WriteByte('\n')
	}
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for how := range readings() {
		if r, err := scanFile(t.Context(), task{How: how, File: file}); err != nil || r.Events%100 != 0 || r.rate() < 100 {
			t.Errorf("%s: %v, %+v", how, err, r)
		}
	}
}

func TestMarkdown(t *testing.T) {
	r := report{bench: &bench{events: 10, sample: 5}, machine: "a machine", commit: "abc", date: "2026-11-21", rows: []row{
		{topic: "Scan", what: "a", by: "x | y", figure: "1/s", target: "2/s"},
		{topic: "Scan", what: "b", by: "z", figure: "3/s", target: "2/s", met: true},
	}}
	page := string(r.markdown())
	for _, want := range []string{"commit abc, on a machine", "## Scan", `| a | x \| y | 1/s |  | 2/s | missed |`, "| b | z | 3/s |  | 2/s | met |"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
}
