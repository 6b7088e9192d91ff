package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/bench/generate"
	"kubetrail/internal/collect"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

// importFile imports a file into a new trail, as `kubetrail import` does, until 200,000
// events went in: a small file several times, as the log of one more cluster each time,
// which makes one more part each time.
func importFile(ctx context.Context, t task) (result, error) {
	var r result
	if err := os.RemoveAll(t.Trail); err != nil {
		return r, err
	}
	w, err := disk.OpenWriter(disk.Config{Dir: t.Trail})
	if err != nil {
		return r, err
	}
	limitMemory()
	start := cpuTime()
	for round := 0; r.Events < 200_000 && round < 10; round++ {
		set, err := collect.Find(ctx, collect.FindConfig{Paths: []string{t.File}})
		if err != nil {
			return r, errors.Join(err, w.Close())
		}
		report, err := collect.Import(ctx, w, w.Sources(), collect.ImportConfig{Files: set.Files, Cluster: strconv.Itoa(round)})
		if err := errors.Join(err, set.Close()); err != nil {
			return r, errors.Join(err, w.Close())
		}
		r.Events += int64(report.Events)
	}
	r.CPU = cpuTime() - start
	return r, errors.Join(w.Close(), r.summarize(ctx, t.Trail))
}

// limitMemory bounds the garbage of an import as the verb does.
func limitMemory() { debug.SetMemoryLimit(448 << 20) }

func (r *result) summarize(ctx context.Context, dir string) error {
	t, err := disk.Open(dir)
	if err != nil {
		return err
	}
	s, err := t.Summary(ctx)
	r.Stored, r.Bytes, r.RawLines = s.StoredBytes, s.LineBytes, s.RawLines
	return errors.Join(err, t.Close())
}

// buildTrail makes a trail of generated events, which never exist as a file: 10
// million of them would be 31 GB. What making them costs is measured by making a
// tenth of them once more, and left out.
func buildTrail(ctx context.Context, t task) (result, error) {
	var r result
	if err := os.RemoveAll(t.Trail); err != nil {
		return r, err
	}
	w, err := disk.OpenWriter(disk.Config{Dir: t.Trail})
	if err != nil {
		return r, err
	}
	g, err := generate.New(generate.Config{Events: t.Events, Seed: t.Seed})
	if err != nil {
		return r, errors.Join(err, w.Close())
	}
	limitMemory()
	start := cpuTime()
	if err := errors.Join(appendAll(ctx, w, g), w.Close()); err != nil {
		return r, err
	}
	r.Events, r.CPU = t.Events, cpuTime()-start
	facts := g.Facts()
	facts.Top = facts.Top[:min(len(facts.Top), 20)]
	r.Facts = &facts
	if g, err = generate.New(generate.Config{Events: t.Events, Seed: t.Seed}); err != nil {
		return r, err
	}
	start = cpuTime()
	for range t.Events / 10 {
		g.Next()
	}
	r.CPU -= 10 * (cpuTime() - start)
	return r, r.summarize(ctx, t.Trail)
}

// appendAll appends and commits what g makes.
func appendAll(ctx context.Context, w *disk.Writer, g *generate.Generator) error {
	var e audit.Event
	source := trail.Source{Name: "generated.log"}
	e.Text[audit.Source] = []byte(source.Name)
	for line := g.Next(); line != nil; line = g.Next() {
		if err := e.Scan(line); err != nil {
			return err
		}
		e.Offset = source.Position
		w.Append(&e)
		source.Position += int64(len(line)) + 1
		source.Line++
		if w.Full() {
			w.Advance(source)
			if err := errors.Join(ctx.Err(), w.Seal()); err != nil {
				return err
			}
		}
	}
	source.Done = true
	w.Advance(source)
	return w.Commit(ctx)
}

// imports compares importing with compressing alone, and with the least that any
// import must do: read every event, and compress.
func (b *bench) imports(ctx context.Context) ([]row, error) {
	const topic = "Import to committed parts"
	var rows []row
	for _, in := range b.inputs {
		r, err := task{Do: "import", File: in.file, Trail: b.path("imported")}.run(ctx)
		if err != nil {
			return nil, err
		}
		scan, err := task{Do: "scan", How: "kubetrail", File: in.short}.run(ctx)
		if err != nil {
			return nil, err
		}
		ours := row{topic: topic, what: in.name, by: "kubetrail", figure: perSecond(r.rate()), ratio: "1"}
		if in.importTarget > 0 {
			ours.target, ours.met = "at least "+perSecond(in.importTarget), r.rate() >= in.importTarget
		}
		const mib = 1 << 20
		rows = append(rows, ours, row{topic: topic, what: in.name, by: "kubetrail, peak memory",
			figure: fmt.Sprintf("%d MiB", r.Peak/mib), target: "at most 512 MiB", met: r.Peak <= 512*mib})
		if !installed("zstd") {
			continue
		}
		cpu, _, err := other(ctx, `zstd -q -3 -c --single-thread "$1" > /dev/null`, in.file)
		if err != nil {
			return nil, err
		}
		alone := float64(in.events) / cpu.Seconds()
		floor := 1 / (1/alone + 1/scan.rate())
		rows = append(rows,
			row{topic: topic, what: in.name, by: "zstd -3 of the lines", figure: perSecond(alone), ratio: fmt.Sprintf("%.2f", alone/r.rate())},
			row{topic: topic, what: in.name, by: "our scan, then zstd -3 (sum)", figure: perSecond(floor), ratio: fmt.Sprintf("%.2f", floor/r.rate())})
	}
	return rows, nil
}

// sizes compares what a trail takes on disk with what compressors make of the lines.
func (b *bench) sizes(ctx context.Context) ([]row, error) {
	const topic = "Size on disk"
	var rows []row
	if err := b.build(ctx); err != nil {
		return nil, err
	}
	for _, in := range b.inputs {
		r := b.big
		if !in.generated {
			var err error
			if r, err = (task{Do: "import", File: in.file, Trail: b.path("imported")}).run(ctx); err != nil {
				return nil, err
			}
		}
		what := in.name
		if in.generated {
			what = fmt.Sprintf("generated, all %d", r.Events)
		}
		per := float64(r.Stored) / float64(r.Events)
		size := func(x float64) string { return fmt.Sprintf("%.1f B/event", x) }
		rows = append(rows,
			row{topic: topic, what: what, by: "kubetrail", figure: size(per), ratio: "1", target: "at most " + size(in.sizeTarget), met: per <= in.sizeTarget},
			row{topic: topic, what: what, by: "kubetrail, lines kept in raw", figure: strconv.FormatUint(r.RawLines, 10), target: "0", met: r.RawLines == 0})
		for _, c := range []string{"zstd -q -3 -c", "gzip -6 -c"} {
			program := strings.Fields(c)[0]
			if !installed(program) || in.generated && program == "gzip" {
				continue
			}
			n, err := b.compressed(ctx, in, c)
			if err != nil {
				return nil, err
			}
			theirs := float64(n) / float64(in.events)
			if in.generated {
				theirs = float64(n) / float64(r.Events)
			}
			rows = append(rows, row{topic: topic, what: what, by: strings.NewReplacer("-q ", "", " -c", "").Replace(c) + " of the lines",
				figure: size(theirs), ratio: fmt.Sprintf("%.2f", theirs/per), target: "more than ours", met: theirs > per})
		}
	}
	return rows, nil
}

// compressed returns how many bytes a compressor makes of an input; of the generated
// events, of all of them.
func (b *bench) compressed(ctx context.Context, log input, program string) (int64, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", program+" | wc -c")
	var out bytes.Buffer
	cmd.Stdout = &out
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	if log.generated {
		err = b.writeAll(in)
	} else {
		err = copyFile(in, log.file)
	}
	if err := errors.Join(err, in.Close(), cmd.Wait()); err != nil {
		return 0, fmt.Errorf("%s: %w", program, err)
	}
	return strconv.ParseInt(strings.TrimSpace(out.String()), 10, 64)
}

func copyFile(w io.Writer, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return errors.Join(err, f.Close())
}

func (b *bench) writeAll(w io.Writer) error {
	g, err := generate.New(generate.Config{Events: b.events, Seed: b.seed})
	if err != nil {
		return err
	}
	var chunk []byte
	for line := g.Next(); line != nil; line = g.Next() {
		chunk = append(append(chunk, line...), '\n')
		if len(chunk) > 1<<20 {
			if _, err := w.Write(chunk); err != nil {
				return err
			}
			chunk = chunk[:0]
		}
	}
	_, err = w.Write(chunk)
	return err
}

// build makes the trail that is asked, unless an earlier run left it. A file beside
// it tells what it holds.
func (b *bench) build(ctx context.Context) error {
	dir := b.path("trail")
	note := filepath.Join(b.dir, "trail.json")
	t := task{Do: "build", Trail: dir, Events: b.events, Seed: b.seed}
	if data, err := os.ReadFile(note); err == nil {
		var kept struct {
			Task   task
			Result result
		}
		if json.Unmarshal(data, &kept) == nil && kept.Task == t {
			b.big = kept.Result
			return nil
		}
	}
	start := time.Now()
	r, err := t.run(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "bench: %d events in a trail after %s, %s of CPU time, %d MiB\n",
		r.Events, time.Since(start).Round(time.Second), perSecond(r.rate()), r.Peak>>20)
	b.big = r
	data, err := json.Marshal(map[string]any{"Task": t, "Result": r})
	if err != nil {
		return err
	}
	return os.WriteFile(note, data, 0o600)
}
