package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

// showFaults prints what imports set aside because it was no event, oldest first.
func (a *app) showFaults(ctx context.Context, f *asked) error {
	if len(f.files) > 0 || f.server != "" {
		return usage("leave -f and --server away", "--faults is about the trail in --data")
	}
	if f.output != "text" && f.output != "jsonl" {
		return usage("choose text or jsonl", "-o %s does not go with --faults", f.output)
	}
	t, err := disk.Open(f.data)
	if errors.Is(err, disk.ErrNoTrail) {
		return failed(fmt.Errorf("%s: there is no trail yet", f.data), "kubetrail import PATH makes one")
	}
	if err != nil {
		return err
	}
	w := a.stdout()
	err = t.Faults(ctx, func(x trail.Fault) error {
		if f.output == "jsonl" {
			return json.NewEncoder(w).Encode(x)
		}
		_, err := fmt.Fprintf(w, "%s:%d: %s (%d bytes)\n", plain(x.Source, false), x.Offset, plain(x.Reason, false), x.Length)
		return err
	})
	return errors.Join(err, w.Flush(), t.Close())
}
