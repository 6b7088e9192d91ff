package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/trail"
)

const countOutputs = "table, json, jsonl, yaml"

const topLong = `Top counts the answers to a question by the values of one or more fields, the
most frequent first. An event without a value counts under "-" (an empty string
in JSON); one with several values, such as user.groups, counts once under each.`

const topExample = `  # the busiest users and what they do
  kubetrail top --by user,verb,resource

  # who was refused in the last hour
  kubetrail top --by user --since 1h 'code:403'

  # clients in a log file
  kubetrail top -f audit.log --by agent -o jsonl`

func (a *app) topVerb() *cobra.Command {
	f := &asked{}
	var by []string
	cmd := &cobra.Command{
		Use:     "top --by FIELD[,FIELD...] [QUESTION]",
		Short:   "Count events by the values of fields",
		Long:    topLong,
		Example: topExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.top(cmd.Context(), f, args, by)
		},
	}
	f.where(cmd.Flags(), a)
	f.which(cmd.Flags())
	f.how(cmd.Flags(), a, countOutputs)
	cmd.Flags().StringSliceVar(&by, "by", nil, "Count by these `FIELDS`, separated by commas")
	cmd.Flags().IntVar(&f.limit, "limit", 20, "Print at most this many groups; 0 is all")
	return cmd
}

func (a *app) top(ctx context.Context, f *asked, words, by []string) error {
	if err := f.check(countOutputs); err != nil {
		return err
	}
	if len(by) == 0 {
		return usage("for example --by user,verb", "--by is missing")
	}
	fields, err := refs("--by", by)
	if err != nil {
		return err
	}
	q, err := f.question(words, a.now())
	if err != nil {
		return err
	}
	r, err := a.open(ctx, f)
	if err != nil {
		return err
	}
	defer r.close()
	groups, err := r.Aggregate(ctx, q, fields, f.limit)
	if err == nil {
		err = a.printGroups(f, fields, groups)
	}
	return a.finish(f, r, int(min(groups.Events, 1<<30)), err)
}

func (a *app) printGroups(f *asked, fields []audit.Ref, groups trail.Groups) error {
	if f.output != "table" {
		head := map[string]any{"events": groups.Events, "groups": groups.Groups}
		return output.Rows(a.stdout(), f.output, "GroupList", head, len(groups.Rows), func(b []byte, i int) []byte {
			return appendGroup(b, fields, groups.Rows[i])
		})
	}
	t := output.Table{W: a.stdout(), Headers: !f.noHeaders, Fit: terminal(a.out), Titles: []string{"COUNT", "SHARE"}, Right: []int{0, 1}}
	for i, r := range fields {
		t.Titles = append(t.Titles, output.Cell(strings.ToUpper(r.Name)))
		t.Soft = append(t.Soft, len(fields)+1-i)
	}
	for _, g := range groups.Rows {
		row := []string{strconv.FormatUint(g.Count, 10), share(g.Count, groups.Events)}
		for _, k := range g.Key {
			row = append(row, output.Cell(k))
		}
		if err := t.Add(row...); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if more := groups.Groups - len(groups.Rows); more > 0 {
		fmt.Fprintf(a.err, "%s; --limit 0 prints all\n", output.Count(more, "more group"))
	}
	return nil
}

func share(n, all uint64) string {
	return strconv.FormatFloat(100*float64(n)/float64(max(all, 1)), 'f', 1, 64) + "%"
}

func appendGroup(b []byte, fields []audit.Ref, g trail.Group) []byte {
	b = append(b, `{"count":`...)
	b = strconv.AppendUint(b, g.Count, 10)
	for i, k := range g.Key {
		b = append(b, ',')
		b = output.AppendString(b, fields[i].Name)
		b = append(b, ':')
		b = output.AppendString(b, k)
	}
	return append(b, '}')
}
