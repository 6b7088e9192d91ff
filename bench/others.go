package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

//go:embed duckdb_ask.py
var duckdbScript string

const topicAsk = "Questions, warm"

// questions asks every question, of us and of others.
func (b *bench) questions(ctx context.Context) ([]row, error) {
	duck, err := b.duckdb(ctx)
	if err != nil {
		return nil, err
	}
	list := append(questionList(), question{name: "open: list the parts, read every footer", target: 50 * time.Millisecond})
	if installed("zstd") {
		if _, _, err := other(ctx, `zstd -q -3 -f "$1"`, b.inputs[0].file); err != nil {
			return nil, err
		}
	}
	var rows []row
	for _, q := range list {
		ours, one, err := b.askUs(ctx, q)
		if err != nil {
			return nil, err
		}
		rows = append(rows, ours...)
		theirs, err := b.askOthers(ctx, q, one)
		if err != nil {
			return nil, err
		}
		rows = append(rows, theirs...)
		if d, ok := duck.Times[q.name]; ok {
			took := time.Duration(d.Seconds * float64(time.Second))
			by := "DuckDB " + duck.Version + ", same parts, one thread"
			if !d.Right {
				by += " (another answer)"
			}
			rows = append(rows, theirRow(q, by, took, one))
		}
	}
	return rows, nil
}

// askUs asks with one processor and with two.
func (b *bench) askUs(ctx context.Context, q question) ([]row, time.Duration, error) {
	t := task{Do: "ask", Question: q.name, Trail: b.path("trail"), Facts: b.big.Facts}
	t.Procs = 1
	one, err := t.run(ctx)
	if err != nil {
		return nil, 0, err
	}
	t.Procs = 2
	two, err := t.run(ctx)
	if err != nil {
		return nil, 0, err
	}
	if wrong := one.Wrong + two.Wrong; wrong != "" {
		return nil, 0, fmt.Errorf("%s: %s", q.name, wrong)
	}
	const mib = 1 << 20
	peak := max(one.Peak, two.Peak)
	first := row{topic: topicAsk, what: q.name, by: "kubetrail, one core", figure: duration(one.CPU), ratio: "1"}
	if b.events == 10_000_000 {
		first.target, first.met = "at most "+duration(q.target), one.CPU <= q.target
	}
	return []row{first,
		{topic: topicAsk, what: q.name, by: "kubetrail, one core, waited", figure: duration(one.Wall), ratio: ratio(one.Wall, one.CPU)},
		{topic: topicAsk, what: q.name, by: "kubetrail, two cores, waited", figure: duration(two.Wall), ratio: ratio(two.Wall, one.CPU)},
		{topic: topicAsk, what: q.name, by: "kubetrail, peak memory", figure: fmt.Sprintf("%d MiB", peak/mib), target: "at most 256 MiB", met: peak <= 256*mib},
	}, one.CPU, nil
}

// askOthers gives the sample to grep and jq and scales what they took.
func (b *bench) askOthers(ctx context.Context, q question, ours time.Duration) ([]row, error) {
	var rows []row
	sample := b.inputs[0].file
	add := func(by, program string, events int64, script string, args ...string) error {
		if !installed(program) {
			return nil
		}
		cpu, _, err := other(ctx, script, args...)
		if err != nil {
			return err
		}
		rows = append(rows, theirRow(q, by, time.Duration(float64(cpu)*float64(b.events)/float64(events)), ours))
		return nil
	}
	if q.grep != nil {
		text := q.grep(b.big.Facts)
		if err := add("grep -F, scaled", "grep", b.sample, `grep -F -c -e "$1" "$2" || test $? = 1`, text, sample); err != nil {
			return nil, err
		}
		if err := add("zstd -d | grep -F, scaled", "zstd", b.sample, `zstd -q -d -c "$2" | grep -F -c -e "$1" || test $? = 1`, text, sample+".zst"); err != nil {
			return nil, err
		}
	}
	if q.jq != nil {
		if err := add("jq, scaled", "jq", b.jqSample(), `jq -r "$1" "$2" | sort | uniq -c | sort -rn | head -20`, q.jq(b.big.Facts), b.path("jq.log")); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func theirRow(q question, by string, took, ours time.Duration) row {
	return row{topic: topicAsk, what: q.name, by: by, figure: duration(took), ratio: ratio(took, ours)}
}

// duckResult is what duckdb_ask.py prints.
type duckResult struct {
	Version string
	Times   map[string]struct {
		Seconds float64
		Right   bool
	}
}

// duckdb asks DuckDB, reading the same parts, where Python has it.
func (b *bench) duckdb(ctx context.Context) (duckResult, error) {
	var r duckResult
	if !installed("python3") {
		return r, nil
	}
	if _, _, err := other(ctx, `python3 -c "import duckdb"`); err != nil {
		fmt.Fprintln(os.Stderr, "bench: no duckdb for python3: it is left out")
		return r, nil
	}
	facts, err := json.Marshal(b.big.Facts)
	if err != nil {
		return r, err
	}
	file := b.path("facts.json")
	if err := os.WriteFile(file, facts, 0o600); err != nil {
		return r, err
	}
	_, out, err := other(ctx, `python3 -c "$1" "$2" "$3"`, duckdbScript, b.path("trail")+"/parts/*.parquet", file)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(out, &r)
}

// duration writes a time with three digits.
func duration(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms >= 10_000:
		return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
	case ms >= 1000:
		return strconv.FormatFloat(ms/1000, 'f', 2, 64) + " s"
	case ms >= 100:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	}
	return strings.TrimSuffix(strconv.FormatFloat(ms, 'f', 1, 64), ".0") + " ms"
}

func ratio(a, b time.Duration) string {
	if b == 0 {
		return ""
	}
	x := float64(a) / float64(b)
	if x >= 10 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}
