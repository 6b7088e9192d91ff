package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/output"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
	"kubetrail/internal/trail/file"
	"kubetrail/internal/trail/remote"
)

// opened is the trail that a verb asks, with what has to be told and undone after.
type opened struct {
	trail.Reader
	faults  []trail.Fault
	more    int            // faults beyond those kept
	refused []collect.Skip // files that could not be read
	undo    func() error
}

// keptFaults is how many faults are shown; the others are counted.
const keptFaults = 10

func (o *opened) fault(f trail.Fault) {
	if len(o.faults) < keptFaults {
		o.faults = append(o.faults, f)
	} else {
		o.more++
	}
}

func (o *opened) close() {
	if o.undo != nil {
		o.undo() // nothing was written: nothing can be lost
		o.undo = nil
	}
}

// each calls yield for every answer, in the order that is cheapest to read.
func (o *opened) each(ctx context.Context, q trail.Query, columns audit.Columns, yield func(*audit.Event) error) error {
	if s, ok := o.Reader.(trail.Scanner); ok {
		return s.Scan(ctx, q, columns, yield)
	}
	return o.Search(ctx, q, trail.Page{Oldest: true, Columns: columns}, yield)
}

// open puts together the trail that the flags name: a running server, files on the
// spot, or the trail on disk.
func (a *app) open(ctx context.Context, f *asked) (*opened, error) {
	switch {
	case f.server != "":
		return a.openServer(f)
	case len(f.files) > 0:
		return a.openFiles(ctx, f)
	}
	return a.openDisk(f)
}

func (a *app) openDisk(f *asked) (*opened, error) {
	parts := filepath.Join(f.data, "parts")
	if _, err := os.Stat(parts); errors.Is(err, os.ErrNotExist) {
		return nil, failed(fmt.Errorf("%s: there is no trail yet", f.data),
			"kubetrail import /var/log/kubernetes/audit, or ask a file directly with -f FILE")
	}
	t, err := disk.Open(f.data)
	if err != nil {
		return nil, err
	}
	return &opened{Reader: t, undo: t.Close}, nil
}

func (a *app) openServer(f *asked) (*opened, error) {
	t, err := openRemote(f)
	if err != nil {
		return nil, err
	}
	return &opened{Reader: t, undo: t.Close}, nil
}

func openRemote(f *asked) (*remote.Trail, error) {
	t, err := remote.Open(remote.Config{URL: f.server, TokenFile: f.tokenFile, CAFile: f.caFile})
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, failed(err, "check --token-file and --ca-file")
	}
	if err != nil {
		return nil, usage("for example --server https://kubetrail.example:8417 --ca-file ca.crt", "%w", err)
	}
	return t, nil
}

func (a *app) openFiles(ctx context.Context, f *asked) (*opened, error) {
	set, err := collect.Find(ctx, collect.FindConfig{Paths: f.files, Stdin: a.in, Spool: true})
	if err != nil {
		return nil, err
	}
	o := &opened{refused: refused(set.Skips), undo: set.Close}
	inputs := make([]file.Input, len(set.Files))
	for i := range set.Files {
		x := &set.Files[i]
		inputs[i] = file.Input{Name: x.Name, Size: x.Size,
			Each: func(visit func(string, io.Reader) error, damage func(*audit.Damage)) error {
				return x.Each(visit, func(collect.Skip) {}, damage)
			},
			Decode: func(in io.Reader, cfg audit.ReaderConfig) func(*audit.Event) error { return x.Decode(in, cfg).Next }}
	}
	o.Reader = file.Open(file.Config{Inputs: inputs, Cluster: f.cluster, OnFault: o.fault})
	return o, nil
}

// finish ends a verb that asked a question: it tells of faults and decides the exit
// code. n is the number of answers.
func (a *app) finish(f *asked, o *opened, n int, err error) error {
	a.tellFaults(o.faults, o.more)
	a.tellRefused(o.refused)
	switch {
	case err != nil:
		return err
	case f.strict && len(o.refused) > 0:
		return errRefused(o.refused)
	case f.strict && len(o.faults) > 0:
		return failed(fmt.Errorf("%s held no event", output.Count(len(o.faults)+o.more, "stretch")), "leave --strict away to take them as warnings")
	case n == 0 && f.failEmpty:
		return errNothing
	}
	return nil
}

// refused are those of skips that may well hold events, but could not be read.
func refused(skips []collect.Skip) []collect.Skip {
	var out []collect.Skip
	for _, s := range skips {
		if s.Refused {
			out = append(out, s)
		}
	}
	return out
}

func (a *app) tellRefused(skips []collect.Skip) {
	for _, s := range skips {
		fmt.Fprintf(a.err, "warning: %s: %s\n", output.Plain(s.Name, false), output.Plain(s.Reason, false))
	}
}

func errRefused(skips []collect.Skip) error {
	return failed(fmt.Errorf("%s could not be read; all others were", output.Count(len(skips), "file")), "leave --strict away to take that as a warning")
}

// tellFaults prints what was set aside, the first ones in full.
func (a *app) tellFaults(faults []trail.Fault, more int) {
	for _, x := range faults {
		if x.Lost != nil {
			fmt.Fprintf(a.err, "warning: %s:%d: %s\n", output.Plain(x.Source, false), x.Offset, output.Plain(x.Reason, false))
			continue
		}
		fmt.Fprintf(a.err, "warning: %s:%d: %s (%d bytes set aside)\n", output.Plain(x.Source, false), x.Offset, output.Plain(x.Reason, false), x.Length)
	}
	if more > 0 {
		fmt.Fprintf(a.err, "warning: and %d more\n", more)
	}
}
