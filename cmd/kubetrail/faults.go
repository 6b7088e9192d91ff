package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"kubetrail/internal/output"
	"kubetrail/internal/trail"
)

// showFaults prints what was set aside because it was no event, in the order in which it
// was.
func (a *app) showFaults(ctx context.Context, f *asked) error {
	if f.output != "text" && f.output != "jsonl" {
		return usage("choose text or jsonl", "-o %s does not go with --faults", f.output)
	}
	r, err := a.open(ctx, f)
	if err != nil {
		return err
	}
	defer r.close()
	w := a.stdout()
	err = r.Faults(ctx, func(x trail.Fault) error {
		if f.output == "jsonl" {
			return json.NewEncoder(w).Encode(x)
		}
		_, err := fmt.Fprintf(w, "%s:%d: %s (%d bytes)\n", output.Plain(x.Source, false), x.Offset, output.Plain(x.Reason, false), x.Length)
		return err
	})
	return errors.Join(err, w.Flush())
}
