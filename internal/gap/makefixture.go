//go:build ignore

// Makefixture writes testdata/quiet.txt.zst from the logs of idle API servers:
//
//	go run makefixture.go cp-1=/path/audit.log cp-2=/path/other.log > testdata/quiet.txt.zst
//
// Of an event it keeps the time and which stream of requests it belongs to: first the
// streams, one a line, then an empty line, then for each event the microseconds since
// the one before and the number of its stream.
package main

import (
	"bufio"
	"cmp"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"kubetrail/audit"
)

func main() {
	type line struct {
		at     int64
		stream int
	}
	var lines []line
	var streams []string
	numbers := map[string]int{}
	for _, arg := range os.Args[1:] {
		server, path, _ := strings.Cut(arg, "=")
		f, err := os.Open(path)
		if err != nil {
			log.Fatal(err)
		}
		r := audit.NewReader(f, audit.ReaderConfig{})
		var e audit.Event
		for {
			if err := r.Next(&e); err != nil {
				fmt.Fprintln(os.Stderr, path, err)
				break
			}
			path := ""
			if len(e.Text[audit.Resource]) == 0 {
				path, _, _ = strings.Cut(string(e.Text[audit.RequestURI]), "?")
			}
			fields := []string{server, path}
			for _, c := range []audit.Column{audit.Username, audit.Verb, audit.Resource, audit.Namespace, audit.Name, audit.Stage} {
				fields = append(fields, string(e.Text[c]))
			}
			name := strings.Join(fields, "\t")
			n, ok := numbers[name]
			if !ok {
				n = len(streams)
				numbers[name] = n
				streams = append(streams, name)
			}
			lines = append(lines, line{e.Time(), n})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	z, err := zstd.NewWriter(os.Stdout, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		log.Fatal(err)
	}
	w := bufio.NewWriter(z)
	for _, s := range streams {
		fmt.Fprintln(w, s)
	}
	fmt.Fprintln(w)
	before := lines[0].at
	for _, l := range lines {
		fmt.Fprintln(w, l.at-before, l.stream)
		before = l.at
	}
	if err := w.Flush(); err != nil {
		log.Fatal(err)
	}
	if err := z.Close(); err != nil {
		log.Fatal(err)
	}
}
