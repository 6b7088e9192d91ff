package main

import (
	"context"

	"github.com/spf13/cobra"

	"kubetrail/internal/output"
	"kubetrail/internal/trail"
)

const reportOutputs = "table, wide, json, jsonl, yaml"

// A finder answers the question of one verb. words are those of the command line, q
// what the flags narrow it to: a finder that takes a question adds it with ask.
type finder func(ctx context.Context, r *opened, words []string, q trail.Query) (output.Report, error)

// answer makes cmd a verb that answers with a report. before tells how many of its
// words stand before the question in KQL, as the object of history does.
func (a *app) answer(cmd *cobra.Command, f *asked, before int, find finder) *cobra.Command {
	f.where(cmd.Flags(), a)
	f.which(cmd.Flags())
	f.how(cmd.Flags(), a, reportOutputs)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(reportOutputs); err != nil {
			return err
		}
		if len(args) < before {
			return usage(cmd.CommandPath()+" --help shows examples", "%s is missing", cmd.Use[len(cmd.Name())+1:])
		}
		q, err := f.question(args[before:], a.now())
		if err != nil {
			return err
		}
		r, err := a.open(cmd.Context(), f)
		if err != nil {
			return err
		}
		defer r.close()
		report, err := find(cmd.Context(), r, args[:before], q)
		if err == nil {
			err = report.Print(a.page(f), f.output)
		}
		return a.finish(f, r, len(report.Items), err)
	}
	return cmd
}

// page is where the flags want a report printed.
func (a *app) page(f *asked) *output.Page {
	return &output.Page{W: a.stdout(), Chinese: f.lang == "zh", Headers: !f.noHeaders, Fit: terminal(a.out), Color: a.colored(f.color, a.out)}
}
