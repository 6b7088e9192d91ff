package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"kubetrail/audit"
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
		if err == nil && len(report.Items) == 0 {
			err = a.doubt(cmd.Context(), f, r)
		}
		return a.finish(f, r, len(report.Items), err)
	}
	return cmd
}

// doubt warns of what was perhaps mistyped, where nothing was found.
func (a *app) doubt(ctx context.Context, f *asked, r *opened) error {
	if t := f.object; t.Resource != "" && t.Kind == "" {
		fmt.Fprintf(a.err, "warning: that is no built-in type; custom resources called %q were looked for\n", output.Plain(t.Resource, false))
	}
	object := asked{namespace: cmp.Or(f.objectIn, f.namespace), cluster: f.cluster}
	verb, err := audit.Resolve("verb")
	if object.namespace == "" || err != nil {
		return err
	}
	q, err := object.question(nil, a.now())
	if err != nil {
		return err
	}
	g, err := r.Aggregate(ctx, q, []audit.Ref{verb}, 1)
	if err == nil && g.Events == 0 {
		fmt.Fprintf(a.err, "warning: there is no event of namespace %q\n", output.Plain(object.namespace, false))
	}
	return err
}

// page is where the flags want a report printed.
func (a *app) page(f *asked) *output.Page {
	return &output.Page{W: a.stdout(), Chinese: f.lang == "zh", Headers: !f.noHeaders, Fit: terminal(a.out), Color: a.colored(f.color, a.out)}
}
