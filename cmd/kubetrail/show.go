package main

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"kubetrail/internal/explain"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

const showOutputs = "text, json, jsonl, yaml, raw"

const showLong = `Show prints everything that is known of one request: the seven questions of an
audit (what, when, who, on what, observed where, from where, to where), how it
ended, annotations and bodies.

ID is an audit ID, the beginning of one as search prints it, or #SEQ, the
number of one event in the trail. A request is recorded at several stages that
share the audit ID, and a client may choose its audit ID: all events with it
are shown, oldest first.

With --faults and no ID it prints what imports into the trail set aside.`

const showExample = `  # by the ID that search prints
  kubetrail show afbd22bb

  # one event by its number, as YAML
  kubetrail show '#1042' -o yaml`

func (a *app) showVerb() *cobra.Command {
	f := &asked{}
	var faults bool
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show everything about one request",
		Long:    showLong,
		Example: showExample,
		Args: func(cmd *cobra.Command, args []string) error {
			if faults && len(args) == 0 {
				return nil
			}
			if faults || len(args) != 1 || args[0] == "" {
				return usage("search prints the IDs in its last column", "want one ID, got %d arguments", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if faults {
				return a.showFaults(cmd.Context(), f)
			}
			return a.show(cmd.Context(), f, args[0])
		},
	}
	f.where(cmd.Flags(), a)
	f.how(cmd.Flags(), a, showOutputs)
	cmd.Flags().Lookup("output").DefValue = "text"
	f.output = "text"
	cmd.Flags().BoolVar(&faults, "faults", false, "Show what imports set aside, instead of a request")
	cmd.Flags().IntVar(&f.limit, "limit", 50, "Show at most this many events; 0 is all")
	return cmd
}

func (a *app) show(ctx context.Context, f *asked, id string) error {
	if err := f.check(showOutputs); err != nil {
		return err
	}
	q, page, err := f.oneEvent(id)
	if err != nil {
		return err
	}
	p := explain.NewPrinter(explain.PrinterConfig{W: a.stdout(), Format: explain.Whole, Chinese: f.lang == "zh", Color: a.colored(f.color, a.out)})
	if f.output != "text" {
		if p, err = a.printer(f, nil); err != nil {
			return err
		}
	}
	r, err := a.open(ctx, f)
	if err != nil {
		return err
	}
	defer r.close()
	page.Columns = p.Columns()
	n, err := forward(ctx, r, q, page, p)
	if err == nil && n == 0 {
		return failed(errors.New("no event with the ID "+id), "search prints IDs in its last column; -f or --data may point elsewhere")
	}
	if err == nil {
		err = p.Close()
	}
	return a.finish(f, r, n, err)
}

// oneEvent is the question for an ID.
func (f *asked) oneEvent(id string) (trail.Query, trail.Page, error) {
	page := trail.Page{Limit: f.limit, Oldest: true}
	question := "auditID:" + phrase(id)
	if n, ok := strings.CutPrefix(id, "#"); ok {
		if _, err := strconv.ParseUint(n, 10, 64); err != nil {
			return trail.Query{}, page, usage("#SEQ is the number that search -o wide prints", "%q is no number", id)
		}
		question = "seq:" + n
	} else if len(id) < 36 && !strings.ContainsFunc(id, func(r rune) bool { return !isIDRune(r) }) {
		question = "auditID:" + id + "*"
	}
	if f.cluster != "" {
		question += " and cluster:" + phrase(f.cluster)
	}
	where, err := query.Parse(question)
	return trail.Always(where), page, err
}

// isIDRune tells the characters of UUIDs and of most IDs that clients choose, none
// of which means anything in a question.
func isIDRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
}
