package main

import (
	"context"
	"errors"
	"fmt"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/skew"
	"kubetrail/internal/trail"
)

// inObject is a rendered event with its place in the life of its object.
type inObject struct {
	output.Piece
	skew.Moment
	cluster, server string
}

// byObject prints the answers object by object, those of each in the order in which they
// happened whatever the clocks of API servers say: versions decide, and times corrected
// by what the answers themselves tell of the clocks.
func byObject(ctx context.Context, r trail.Reader, q trail.Query, page trail.Page, p output.Printer) (int, error) {
	clocks := skew.New()
	objects := map[string][]inObject{}
	var names []string
	n, bytes := 0, 0
	page.Columns = p.Columns() | skew.Columns()
	err := r.Search(ctx, q, page, func(e *audit.Event) error {
		n++
		clocks.Add(e)
		x, err := p.Render(e)
		if bytes += x.Size(); bytes > held {
			return failed(errors.New("more than can be held to be put in order"), "ask for fewer, or narrow the time with --since and --until")
		}
		name := fmt.Sprintf("%s\x00%s\x00%s", e.Text[audit.Cluster], resourceAlone(e), output.Object(e))
		if objects[name] == nil {
			names = append(names, name)
		}
		objects[name] = append(objects[name], inObject{x, clocks.Moment(e, 0), string(e.Text[audit.Cluster]), string(e.Text[audit.Server])})
		return err
	})
	if err != nil {
		return n, err
	}
	skews := map[string]map[string]skew.Skew{}
	for _, name := range names {
		events := objects[name]
		if cluster := events[0].cluster; skews[cluster] == nil {
			skews[cluster] = clocks.Skews(cluster)
		}
		skew.Sort(events, func(x inObject) skew.Moment {
			if k := skews[x.cluster][x.server]; k.Known && x.Time != audit.NoTime {
				x.Time -= k.Estimate()
			}
			return x.Moment
		})
		for _, x := range events {
			if err := p.Print(x.Piece); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// resourceAlone is resource without the subresource: its events are of the same object.
func resourceAlone(e *audit.Event) string {
	return string(e.Text[audit.Resource]) + "." + string(e.Text[audit.APIGroup])
}
