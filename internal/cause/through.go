//go:build ignore

// Through tells of every change in an audit log through whom it happened, one line of
// JSON each: what judges the tracer on logs whose truth is known.
//
//	go run internal/cause/through.go audit.log
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"kubetrail/audit"
	"kubetrail/internal/cause"
	"kubetrail/internal/output"
)

func main() {
	w := bufio.NewWriter(os.Stdout)
	if err := run(w, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	w.Flush()
}

func run(w io.Writer, name string) error {
	t := cause.New(cause.Config{Writes: 1 << 20})
	if err := each(name, func(e *audit.Event) error { t.Note(e); return nil }); err != nil {
		return err
	}
	return each(name, func(e *audit.Event) error {
		c := t.Trace(e)
		if len(c.Links) == 0 {
			return nil
		}
		line, err := output.AppendJSON(nil, map[string]any{"auditID": string(e.Text[audit.AuditID]), "through": &c, "words": c.Words(false)})
		if err == nil {
			_, err = fmt.Fprintf(w, "%s\n", line)
		}
		return err
	})
}

func each(name string, yield func(*audit.Event) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var e audit.Event
	var seq uint64
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			e.Seq = seq
			if e.Scan(line[:len(line)-1]) == nil {
				if err := yield(&e); err != nil {
					return err
				}
			}
			seq++
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
