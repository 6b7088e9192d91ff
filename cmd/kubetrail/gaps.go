package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"kubetrail/audit"
	"kubetrail/internal/gap"
	"kubetrail/internal/output"
	"kubetrail/internal/trail/remote"
)

const gapOutputs = "table, json, jsonl"

const gapsLong = `Gaps tells when an API server was not observed: from when to when, why, and
about how many events are missing.

An API server has a pulse: requests that it sends to itself, and leases that
are renewed, come at intervals that are learned from the trail. A silence in
which it is next to impossible that all of them missed what was due is a gap.
So are a start of the API server, and what the trail says it lost. For every
API server it is said how long a silence must be to be found for certain, or
that this cannot be known because no pulse is recorded.

The time after the last event is looked at where --until is given, or where a
server that collects is asked.`

const gapsExample = `  # when was nothing observed since yesterday?
  kubetrail gaps --since 1d

  # is something missing in these logs?
  kubetrail gaps -f /var/log/kubernetes/audit --fail-on-gaps

  # of one API server, for another program
  kubetrail gaps --server https://kubetrail.example:8417 --cluster prod \
    --server-name cp-1 -o jsonl`

// gapFlags are the flags of gaps.
type gapFlags struct {
	asked
	name string // of the API server
	fail bool
}

func (a *app) gapsVerb() *cobra.Command {
	f := &gapFlags{}
	cmd := &cobra.Command{
		Use:     "gaps",
		Short:   "Tell when an API server was not observed",
		Long:    gapsLong,
		Example: gapsExample,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.gaps(cmd.Context(), f) },
	}
	fs := cmd.Flags()
	f.where(fs, a)
	fs.StringVar(&f.since, "since", "", "Only gaps that end after this `TIME`: RFC 3339, a day, or a duration ago such as 15m or 2d")
	fs.StringVar(&f.until, "until", "", "Only what came before this `TIME`; who is silent then has a gap")
	fs.StringVar(&f.name, "server-name", "", "Only gaps of the API server of this `NAME`")
	fs.BoolVar(&f.fail, "fail-on-gaps", false, "Exit with 3 where there is a gap")
	f.how(fs, a, gapOutputs)
	return cmd
}

func (a *app) gaps(ctx context.Context, f *gapFlags) error {
	if err := f.check(gapOutputs); err != nil {
		return err
	}
	q, err := f.question(nil, a.now())
	if err != nil {
		return err
	}
	r, err := a.open(ctx, &f.asked)
	if err != nil {
		return err
	}
	defer r.close()
	var report gap.Report
	if t, ok := r.Reader.(*remote.Trail); ok {
		err = t.Ask(ctx, "gaps", f.values(), &report)
	} else {
		report, err = gap.Find(ctx, r.Reader, gap.Question{Since: q.Since, Until: q.Until, Now: audit.NoTime,
			Cluster: f.cluster, Server: f.name, InOrder: len(f.files) > 0})
	}
	if err == nil && len(report.Servers)+len(report.Gaps) == 0 && (f.name != "" || f.cluster != "") {
		err = failed(fmt.Errorf("nothing of %s was observed", output.Plain(strings.Trim(f.cluster+"/"+f.name, "/"), false)),
			"kubetrail servers lists the API servers that there are")
	}
	if err == nil {
		err = a.printGaps(f, report)
	}
	if err := a.finish(&f.asked, r, len(report.Gaps), err); err != nil {
		return err
	}
	if f.fail && len(report.Gaps) > 0 {
		return errFindings
	}
	return nil
}

// values writes the question as the API reads it.
func (f *gapFlags) values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{"since": f.since, "until": f.until, "cluster": f.cluster, "server": f.name} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v
}

func (a *app) printGaps(f *gapFlags, report gap.Report) error {
	w := a.stdout()
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	switch f.output {
	case "json":
		e.SetIndent("", "  ")
		err := e.Encode(struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			gap.Report
		}{"kubetrail.io/v1alpha1", "GapList", report})
		if err != nil {
			return err
		}
		return w.Flush()
	case "jsonl":
		for _, g := range report.Gaps {
			if err := e.Encode(g); err != nil {
				return err
			}
		}
		return w.Flush()
	}
	if err := report.Text(a.page(&f.asked)); err != nil || report.More == 0 {
		return err
	}
	page := a.page(&f.asked)
	page.W.Reset(a.err)
	page.Say("older gaps not listed: %d; narrow the time with --since and --until", "另有 %d 个更早的缺口未列出；请用 --since 和 --until 缩小时间范围", report.More)
	return page.W.Flush()
}
