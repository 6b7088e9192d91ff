package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"kubetrail/bench/generate"
)

// bench is one run of everything.
type bench struct {
	events, sample int64
	seed           uint64
	shared, dir    string
	inputs         []input
	big            result // of building the trail that is asked
}

// input is a log to measure with.
type input struct {
	name         string
	file         string // all of it
	short        string // its beginning, at most 64 MiB, to read from memory
	events       int64
	bytes        int64
	generated    bool
	scanTarget   float64 // events per CPU-second
	importTarget float64 // likewise
	sizeTarget   float64 // bytes per event
}

// jqSample is how many events jq reads: it is slow.
func (b *bench) jqSample() int64 { return min(b.sample, 20_000) }

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// all measures everything.
func (b *bench) all(ctx context.Context) (*report, error) {
	r := &report{bench: b}
	if err := b.prepare(); err != nil {
		return nil, err
	}
	for _, f := range []func(context.Context) ([]row, error){b.scans, b.imports, b.sizes, b.questions} {
		rows, err := f(ctx)
		if err != nil {
			return nil, err
		}
		r.rows = append(r.rows, rows...)
	}
	return r, nil
}

// prepare writes the files that everything reads.
func (b *bench) prepare() error {
	gen := input{name: "generated", file: b.path("generated.log"), generated: true, scanTarget: 400_000, importTarget: 80_000, sizeTarget: 120}
	if err := b.generate(gen.file); err != nil {
		return err
	}
	b.inputs = []input{gen}
	for _, c := range []input{
		{name: "corpus a", file: "a-gce-derived", sizeTarget: 52},
		{name: "corpus d (Metadata)", file: "d-metadata-all", scanTarget: 1_000_000, importTarget: 220_000, sizeTarget: 32},
	} {
		archive := filepath.Join(b.shared, "corpus", c.file+".tar.zst")
		c.file = b.path(c.file + ".log")
		err := extract(archive, "audit.log", c.file)
		if errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(os.Stderr, "bench: no %s: %s is left out\n", archive, c.name)
			continue
		}
		if err != nil {
			return err
		}
		b.inputs = append(b.inputs, c)
	}
	for i := range b.inputs {
		if err := b.inputs[i].shorten(); err != nil {
			return err
		}
	}
	return b.cut(gen.file, b.path("jq.log"), b.jqSample())
}

// generate writes the first events of those that are asked about.
func (b *bench) generate(file string) error {
	g, err := generate.New(generate.Config{Events: b.events, Seed: b.seed})
	if err != nil {
		return err
	}
	return create(file, func(w *bufio.Writer) error {
		for range b.sample {
			w.Write(g.Next())
			w.WriteByte('\n')
		}
		return nil
	})
}

// create writes a file.
func create(file string, fill func(*bufio.Writer) error) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	return errors.Join(fill(w), w.Flush(), f.Close())
}

// extract writes the member of a .tar.zst with a base name to a file.
func extract(archive, base, file string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		return err
	}
	defer z.Close()
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err != nil {
			return fmt.Errorf("%s: %s: %w", archive, base, err)
		}
		if filepath.Base(h.Name) == base {
			return create(file, func(w *bufio.Writer) error {
				_, err := io.Copy(w, t)
				return err
			})
		}
	}
}

// shorten counts the input and writes its beginning.
func (in *input) shorten() error {
	data, err := os.ReadFile(in.file)
	if err != nil {
		return err
	}
	in.events, in.bytes = int64(bytes.Count(data, []byte{'\n'})), int64(len(data))
	data = data[:min(len(data), 64<<20)]
	in.name += fmt.Sprintf(", %d B/event", in.bytes/in.events)
	in.short = in.file + ".short"
	return os.WriteFile(in.short, data[:bytes.LastIndexByte(data, '\n')+1], 0o600)
}

// cut copies the first lines of a file.
func (b *bench) cut(from, to string, lines int64) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	return create(to, func(w *bufio.Writer) error {
		for range lines {
			line, err := readLine(r)
			if err != nil {
				return err
			}
			w.Write(line)
		}
		return nil
	})
}

func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("a short sample: %w", err)
	}
	return line, nil
}
