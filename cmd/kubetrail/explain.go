package main

import (
	"context"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"kubetrail/audit"
	"kubetrail/internal/cause"
	"kubetrail/internal/explain"
	"kubetrail/internal/output"
	"kubetrail/internal/trail"
)

const explainOutputs = "text, table, json, jsonl, yaml"

const explainLong = `Explain says in one plain sentence what each event is about: who did what to
what, how it ended and why, from where and with which tool.

What to explain is a question in KQL, or one audit ID as search prints it, or
#SEQ. -o table asks the seven questions of an audit of each event instead, and
says where the event does not tell. --kubectl adds the command that makes the
same request again, --through the chain of actors that led to it: who changed
the Deployment for which a controller made this Pod.

As text and as a table the newest --limit events are explained, 50 if nobody
says otherwise; the JSON formats hold all.`

const explainExample = `  # what was veeru refused?
  kubetrail explain 'user:veeru and code:403'

  # who is behind this, and how would I do the same?
  kubetrail explain --through --kubectl afbd22bb

  # every event of a file in Chinese, for another program
  kubetrail explain -f audit.log --lang zh -o jsonl`

// explainEventsFlags are the flags of explain.
type explainEventsFlags struct {
	asked
	kubectl, through bool
}

func (a *app) explainVerb() *cobra.Command {
	f := &explainEventsFlags{}
	cmd := &cobra.Command{
		Use:     "explain [QUESTION | ID]",
		Short:   "Say in plain words what happened, event by event",
		Long:    explainLong,
		Example: explainExample,
		RunE: func(cmd *cobra.Command, words []string) error {
			if f.output != "text" && f.output != "table" && !cmd.Flags().Changed("limit") {
				f.limit = 0
			}
			n, err := a.explain(cmd.Context(), f, words)
			if err == nil && n > 0 && n == f.limit && !cmd.Flags().Changed("limit") {
				fmt.Fprintf(a.err, "only %d are explained; --limit 0 explains all\n", n)
			}
			return err
		},
	}
	f.where(cmd.Flags(), a)
	f.which(cmd.Flags())
	f.how(cmd.Flags(), a, explainOutputs)
	cmd.Flags().Lookup("output").DefValue = "text"
	f.output = "text"
	cmd.Flags().IntVar(&f.limit, "limit", 50, "Explain at most this many events, the newest; 0 is all")
	cmd.Flags().BoolVar(&f.kubectl, "kubectl", false, "Add the kubectl command that makes the same request")
	cmd.Flags().BoolVar(&f.through, "through", false, "Add through whom it came about, with the evidence")
	return cmd
}

// anID is what a person types who means one request: the beginning of a UUID, or #SEQ.
var anID = regexp.MustCompile(`^(#[0-9]+|[0-9a-f]{8}(-[0-9a-f-]{0,27})?)$`)

// explain explains the answers and returns how many there were.
func (a *app) explain(ctx context.Context, f *explainEventsFlags, words []string) (int, error) {
	if err := f.check(explainOutputs); err != nil {
		return 0, err
	}
	q, err := f.question(words, a.now())
	if len(words) == 1 && anID.MatchString(words[0]) {
		q, _, err = f.oneEvent(words[0])
	}
	if err != nil {
		return 0, err
	}
	r, err := a.open(ctx, &f.asked)
	if err != nil {
		return 0, err
	}
	defer r.close()
	cfg := explain.PrinterConfig{W: a.stdout(), Format: f.output, Chinese: f.lang == "zh", Kubectl: f.kubectl,
		Fit: terminal(a.out), Color: a.colored(f.color, a.out)}
	if f.through {
		cfg.Needs = cause.Columns
		teller := cause.NewTeller(r)
		cfg.Through = func(e *audit.Event) (explain.Told, error) {
			chain, err := teller.Tell(ctx, e)
			return explain.Told{Value: chain, Text: chain.Words(f.lang == "zh")}, err
		}
	}
	p := explain.NewPrinter(cfg)
	n, err := a.give(ctx, r, q, f.limit, p)
	if err == nil {
		err = p.Close()
	}
	if err == nil && n == 0 {
		fmt.Fprintln(a.err, "no event matches")
		err = a.doubt(ctx, &f.asked, r)
	}
	return n, a.finish(&f.asked, r, n, err)
}

// give prints the newest limit answers, oldest first; 0: all.
func (a *app) give(ctx context.Context, r trail.Reader, q trail.Query, limit int, p output.Printer) (int, error) {
	if limit == 0 {
		return forward(ctx, r, q, trail.Page{Oldest: true, Columns: p.Columns()}, p)
	}
	return newest(ctx, r, q, limit, p)
}
