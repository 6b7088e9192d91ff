package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"

	"kubetrail/bench/generate"
)

func main() {
	n := flag.Int64("events", 100000, "")
	s := flag.Uint64("seed", 1, "")
	m := flag.Bool("metadata", false, "")
	flag.CommandLine.Parse(os.Args[2:])
	g, err := generate.New(generate.Config{Events: *n, Seed: *s, Metadata: *m})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	w := bufio.NewWriterSize(os.Stdout, 1<<20)
	for l := g.Next(); l != nil; l = g.Next() {
		w.Write(l)
		w.WriteByte('\n')
	}
	w.Flush()
}
