package main

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/trail"
)

const searchLong = `Search prints the events that answer a question in KQL; without a question, all.

Like journalctl -n, it prints the newest --limit answers, the oldest of them
first. With --oldest it prints the first ones instead, with --limit 0 all.

With --by-object the answers about one object stand together, in the order in
which they happened, even where the clocks of several API servers differ.

Times are UTC. A dash stands for what the event does not say. Text out of the
log is escaped where it could act on a terminal; -o raw and the JSON formats
give it as is.

-o raw gives back the original lines byte for byte; -o jsonl writes every event
as one line of audit.k8s.io/v1; --fields chooses fields for table, json, jsonl
and yaml.`

const searchExample = `  # who deleted what since yesterday
  kubetrail search --since 24h 'verb:delete and code < 300'

  # what mallory was refused, as JSON lines with three fields
  kubetrail search 'user:mallory and code:403' -o jsonl --fields time,verb,uri

  # straight from files, the original lines
  kubetrail search -f audit.log -f audit.log.1.gz resource:secrets -o raw`

func (a *app) searchVerb() *cobra.Command {
	f := &asked{}
	var oldest, objects bool
	cmd := &cobra.Command{
		Use:     "search [QUESTION]",
		Short:   "Print the events that answer a question",
		Long:    searchLong,
		Example: searchExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.search(cmd.Context(), f, args, oldest, objects)
			if err == nil && n == f.limit && !cmd.Flags().Changed("limit") {
				// Nobody asked for so few: they must not be taken for all.
				fmt.Fprintf(a.err, "only %d are printed; --limit 0 prints all\n", n)
			}
			return err
		},
	}
	f.where(cmd.Flags(), a)
	f.which(cmd.Flags())
	f.how(cmd.Flags(), a, searchOutputs)
	cmd.Flags().StringSliceVar(&f.fields, "fields", nil, "Print these `FIELDS` of each event, separated by commas")
	cmd.Flags().IntVar(&f.limit, "limit", 50, "Print at most this many events; 0 is all")
	cmd.Flags().BoolVar(&oldest, "oldest", false, "Take the oldest answers instead of the newest")
	cmd.Flags().BoolVar(&objects, "by-object", false, "Print object by object, each in the order of its versions, whatever clocks say")
	return cmd
}

// search prints the answers and returns how many it printed.
func (a *app) search(ctx context.Context, f *asked, words []string, oldest, objects bool) (int, error) {
	if err := f.check(searchOutputs); err != nil {
		return 0, err
	}
	q, err := f.question(words, a.now())
	if err != nil {
		return 0, err
	}
	fields, err := refs("--fields", f.fields)
	if err != nil {
		return 0, err
	}
	p, err := a.printer(f, fields)
	if err != nil {
		return 0, err
	}
	r, err := a.open(ctx, f)
	if err != nil {
		return 0, err
	}
	defer r.close()
	var n int
	if objects {
		n, err = byObject(ctx, r, q, trail.Page{Limit: f.limit, Oldest: oldest || f.limit == 0}, p)
	} else if oldest || f.limit == 0 {
		n, err = forward(ctx, r, q, trail.Page{Limit: f.limit, Oldest: true, Columns: p.Columns()}, p)
	} else {
		n, err = newest(ctx, r, q, f.limit, p)
	}
	if err == nil {
		err = p.Close()
	}
	return n, a.finish(f, r, n, err)
}

// forward prints answers as they come.
func forward(ctx context.Context, r trail.Reader, q trail.Query, page trail.Page, p output.Printer) (int, error) {
	n := 0
	err := r.Search(ctx, q, page, func(e *audit.Event) error {
		n++
		x, err := p.Render(e)
		if err != nil {
			return err
		}
		return p.Print(x)
	})
	return n, err
}

// held bounds the bytes of rendered events that wait to be printed in reverse.
const held = 32 << 20

// newest prints the last limit answers, oldest first. They come newest first and
// wait for their turn; if that takes too much memory, only their number and where
// they begin are kept, and they are searched for again from there.
func newest(ctx context.Context, r trail.Reader, q trail.Query, limit int, p output.Printer) (int, error) {
	var (
		waiting []output.Piece
		bytes   int
		n       int
		first   trail.Cursor // of the oldest answer so far
	)
	columns := p.Columns() | audit.Set(audit.Staged, audit.Received, audit.Seq)
	err := r.Search(ctx, q, trail.Page{Limit: limit, Columns: columns}, func(e *audit.Event) error {
		n++
		first = trail.Cursor{Time: e.Time(), Seq: e.Seq}
		if bytes > held {
			return nil
		}
		x, err := p.Render(e)
		waiting = append(waiting, x)
		if bytes += x.Size(); bytes > held {
			waiting = nil
		}
		return err
	})
	if err != nil {
		return n, err
	}
	if bytes > held {
		// A cursor stands before what comes next.
		if first.Seq--; first.Seq == math.MaxUint64 {
			first.Time--
		}
		return forward(ctx, r, q, trail.Page{Limit: n, Oldest: true, After: first, Columns: p.Columns()}, p)
	}
	for _, x := range slices.Backward(waiting) {
		if err := p.Print(x); err != nil {
			return n, err
		}
	}
	return n, nil
}
