// Bench makes audit events and measures KubeTrail beside others.
//
//	go run ./bench gen --events 100000 > audit.log     made-up events, see package generate
//	go run ./bench table                               one table of figures, targets beside them
//	go run ./bench table --events 10000000 --markdown  the same, as docs/benchmarks.md
//	go run ./bench policy --markdown                   its section on policies alone
//	go run ./bench collect --markdown                  its section on collecting alone
//	go run ./bench answer --markdown                   its section on stories alone
//	go run ./bench record --markdown                   its section on recording alone
//
// What is compared runs in the same minutes on the same machine, and what is quoted
// is CPU time (getrusage) or, for questions, the time one waits: absolute figures
// belong to the machine, ratios travel. Each measurement of ours runs in a process
// of its own, so that its peak memory is its own too.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"time"

	"kubetrail/bench/generate"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	verb := ""
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	switch verb {
	case "gen":
		return gen(args)
	case "table":
		return table(ctx, args)
	case "policy":
		return policies(ctx, args)
	case "collect":
		return collects(ctx, args)
	case "answer":
		return answers(ctx, args)
	case "record":
		return records(ctx, args)
	case "measure":
		return measure(ctx, os.Stdin, os.Stdout)
	}
	return errors.New("usage: bench gen --events N [--seed S] [--metadata] | bench table [--events N] [--markdown] | bench policy [--markdown] | bench collect [--markdown] | bench answer [--markdown] | bench record [--markdown]")
}

// gen writes events to standard output.
func gen(args []string) error {
	flags := flag.NewFlagSet("gen", flag.ContinueOnError)
	events := flags.Int64("events", 100_000, "how `many` events to make")
	seed := flags.Uint64("seed", 1, "the same seed makes the same events")
	metadata := flags.Bool("metadata", false, "every event at level Metadata, without bodies")
	if err := flags.Parse(args); err != nil {
		return err
	}
	g, err := generate.New(generate.Config{Events: *events, Seed: *seed, Metadata: *metadata})
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	for line := g.Next(); line != nil; line = g.Next() {
		out.Write(line)
		out.WriteByte('\n')
	}
	return out.Flush()
}

// table measures everything and prints one table.
func table(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("table", flag.ContinueOnError)
	b := &bench{}
	flags.Int64Var(&b.events, "events", 1_000_000, "how `many` events to ask questions about")
	flags.Int64Var(&b.sample, "sample", 100_000, "how `many` of them to import, and to give to other programs")
	flags.Uint64Var(&b.seed, "seed", 1, "of the events")
	flags.StringVar(&b.shared, "shared", "../shared", "`directory` that holds corpus/")
	flags.StringVar(&b.dir, "dir", "", "`directory` to work in and to leave the trail in for the next run; a temporary one otherwise")
	markdown := flags.Bool("markdown", false, "write docs/benchmarks.md")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b.sample = min(b.sample, b.events)
	if b.dir == "" {
		dir, err := os.MkdirTemp("", "kubetrail-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		b.dir = dir
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return err
	}
	r, err := b.all(ctx)
	if err != nil {
		return err
	}
	r.machine, r.commit, r.date = machine(), commit(ctx), time.Now().UTC().Format(time.DateOnly)
	if err := r.print(os.Stdout); err != nil {
		return err
	}
	if !*markdown {
		return nil
	}
	if err := os.WriteFile(benchmarksPage, r.markdown(), 0o644); err != nil {
		return err
	}
	if err := policies(ctx, []string{"--markdown"}); err != nil {
		return err
	}
	if err := collects(ctx, []string{"--markdown"}); err != nil {
		return err
	}
	return answers(ctx, []string{"--dir", b.dir, "--events", strconv.FormatInt(b.events, 10), "--markdown"})
}
