package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

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
		err = failed(fmt.Errorf("nothing of %s was observed", output.Plain(strings.TrimSuffix(gapServer(f.cluster, f.name, ""), "/"), false)),
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
	words := gapWordsOf(f.lang)
	for _, s := range report.Servers {
		words.server(w, s)
	}
	if len(report.Gaps) == 0 {
		if len(report.Servers) == 0 {
			words.noGaps = words.noEvents
		}
		fmt.Fprintln(w, words.noGaps)
		return w.Flush()
	}
	fmt.Fprintln(w)
	t := output.Table{W: w, Headers: !f.noHeaders, Fit: terminal(a.out), Right: []int{2, 4}, Soft: []int{5, 3},
		Titles: []string{"FROM", "TO", "LENGTH", "CAUSE", "EVENTS", "SERVER"}}
	for _, g := range report.Gaps {
		to, length := gapTime(g.To), output.None
		if g.Open {
			to = words.still
		}
		if d := g.Length(); d > 0 {
			length = shortly(d)
		}
		if err := t.Add(gapTime(g.From), to, length, output.Cell(g.Cause), strconv.FormatInt(g.Events, 10), output.Cell(gapServer(g.Cluster, g.Server, cmp.Or(g.Lease, g.Source)))); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if report.More > 0 {
		fmt.Fprintf(a.err, words.older, report.More)
	}
	return nil
}

// gapServer names an API server, or the log of one that is not known.
func gapServer(cluster, server, source string) string {
	if server == "" {
		server = source
	}
	if cluster == "" {
		return server
	}
	return cluster + "/" + strings.TrimPrefix(server, "/")
}

func gapTime(t gap.Time) string {
	if t == audit.NoTime {
		return output.None
	}
	return time.UnixMicro(int64(t)).UTC().Format("2006-01-02T15:04:05Z")
}

// shortly writes a duration by its largest units.
func shortly(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < 24*time.Hour:
		return strings.TrimSuffix(d.Round(time.Second).String(), "m0s") + map[bool]string{true: "m"}[d.Round(time.Second)%time.Minute == 0]
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// gapWords are what gaps says, in one language.
type gapWords struct {
	events, found, pulse, ownPulse, fastest, unknown, sharing string
	noGaps, noEvents, older, still                            string
}

func gapWordsOf(lang string) gapWords {
	if lang == "zh" {
		return gapWords{
			events:   "%s：%d 个事件，%s 至 %s\n",
			found:    "  凡是不短于 %s 的缺口都能发现：",
			pulse:    "%d 个周期性请求流，没有它自己的\n",
			ownPulse: "%d 个周期性请求流，其中有它自己的\n",
			fastest:  "  最快的是 %s 的 %s %s，每 %s 一次\n",
			unknown:  "  无法判断：没有记录到脉搏，因此任何静默都不算缺口\n",
			sharing:  "  %d 个 API 服务器共用这个来源：给每个起名，才能逐个判断\n",
			noGaps:   "没有缺口", noEvents: "没有观察到任何事件，因此无从判断", older: "另有 %d 个更早的缺口未列出；请用 --since 和 --until 缩小时间范围\n", still: "至今",
		}
	}
	return gapWords{
		events:   "%s: %d events, %s to %s\n",
		found:    "  every gap of %s or more is found: ",
		pulse:    "%d streams beat, none its own\n",
		ownPulse: "%d streams beat, its own among them\n",
		fastest:  "  the fastest is %s, %s %s every %s\n",
		unknown:  "  cannot know: no pulse is recorded, so that no silence is called a gap\n",
		sharing:  "  %d API servers share this source: name each to know of each\n",
		noGaps:   "no gaps", noEvents: "nothing was observed, so no gap can be told", older: "older gaps not listed: %d; narrow the time with --since and --until\n", still: "still",
	}
}

// server tells of one API server and its pulse.
func (words gapWords) server(w *bufio.Writer, s gap.Server) {
	fmt.Fprintf(w, words.events, output.Cell(gapServer(s.Cluster, s.Server, s.Source)), s.Events, gapTime(s.First), gapTime(s.Last))
	if s.Sharing > 1 {
		fmt.Fprintf(w, words.sharing, s.Sharing)
	}
	if s.Smallest == 0 || len(s.Pulse) == 0 {
		fmt.Fprint(w, words.unknown)
		return
	}
	fmt.Fprintf(w, words.found, shortly(seconds(s.Smallest)))
	if s.Own {
		fmt.Fprintf(w, words.ownPulse, s.Streams)
	} else {
		fmt.Fprintf(w, words.pulse, s.Streams)
	}
	x := s.Pulse[0]
	fmt.Fprintf(w, words.fastest, output.Cell(x.User), output.Cell(x.Verb), output.Cell(x.Object), shortly(seconds(x.Interval)))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
