package main

import (
	"context"
	"fmt"
	"os"

	"kubetrail/internal/output"
	"kubetrail/policy"
	"kubetrail/policy/report"
)

// explainRequests decides about the requests of a file, one answer for each line.
func (a *app) explainRequests(ctx context.Context, doc *policy.Document, name string) error {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return failed(err, "--requests names a file of JSON lines; - is standard input")
		}
		defer f.Close()
		in = f
	}
	n, bad, err := report.Decisions(ctx, a.stdout(), in, doc.Policy)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	case bad > 0:
		return failed(fmt.Errorf("%s: %s of %d held no request", name, output.Count(bad, "line"), n), "each has its error in its place in the output")
	}
	return nil
}
