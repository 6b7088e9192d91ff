package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"kubetrail/internal/collect"
	"kubetrail/internal/output"
	"kubetrail/internal/service"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

const importLong = `Import reads audit logs into the trail and keeps every event in them, byte for
byte.

PATH is a file, a directory, which is searched for audit logs with all that is
below it, or - for standard input. Logs are known by their content: JSON lines
of any version of audit.k8s.io, webhook bodies, the legacy format, exports of
EKS, GKE, AKS and ACK; also in gzip, zstd and tar. Rotated sets are read in
order. From what kube-apiserver logs itself come the events that it lost,
marked is:recovered.

Importing again adds only what is new, also when files were renamed or
compressed by rotation in between. An interrupted import goes on where it
stopped when it is started again. Lines that are no events are set aside and
reported.

After that, small parts of the trail are merged into larger ones. With --keep
and --keep-bytes the oldest events are then removed, part by part; what was
removed does not come back by importing it again.

Memory stays below 512 MiB whatever is imported. --part-bytes, for experts,
lowers that: two parts are in memory at a time.`

const importExample = `  # the log directory of a control-plane node
  kubetrail import /var/log/kubernetes/audit

  # two clusters in one trail
  kubetrail import --cluster prod prod-audit.tar.gz
  kubetrail import --cluster staging staging-audit.log.gz

  # keep the last 30 days, but no more than 10 GiB
  kubetrail import --keep 30d --keep-bytes 10GiB /var/log/kubernetes/audit

  # from another machine
  ssh node1 sudo cat /var/log/kubernetes/audit/audit.log | kubetrail import -`

// importFlags are the flags of import.
type importFlags struct {
	data, cluster string
	policy        string
	strict, quiet bool
	kept          kept
}

func (a *app) importVerb() *cobra.Command {
	f := &importFlags{}
	cmd := &cobra.Command{
		Use:     "import PATH...",
		Short:   "Read audit logs into the trail",
		Long:    importLong,
		Example: importExample,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("for example /var/log/kubernetes/audit, or - for standard input", "no file or directory given")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.importPaths(cmd.Context(), f, args) },
	}
	cmd.Flags().StringVar(&f.data, "data", a.dataDir(), "Directory of the trail (default $KUBETRAIL_DATA)")
	cmd.Flags().StringVar(&f.cluster, "cluster", "", "`NAME` of the cluster that the logs come from")
	cmd.Flags().StringVar(&f.policy, "policy", "", "`FILE` with the audit policy that the logs were recorded under; kept beside the trail")
	f.kept.flags(cmd.Flags(), disk.DefaultPartBytes)
	cmd.Flags().BoolVar(&f.strict, "strict", false, "Exit with 1 where a file held lines that are no events")
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "Print no progress and no summary, only warnings and errors")
	return cmd
}

func (a *app) importPaths(ctx context.Context, f *importFlags, paths []string) error {
	if err := f.kept.check(); err != nil {
		return err
	}
	if f.policy != "" {
		if err := a.keepPolicy(f.data, f.cluster, f.policy); err != nil {
			return err
		}
	}
	_, undo := service.LimitMemory(max(softLimit, softLimit/disk.DefaultPartBytes*int64(f.kept.part)))
	defer undo()
	set, err := collect.Find(ctx, collect.FindConfig{Paths: paths, Stdin: a.in})
	if err != nil {
		return err
	}
	defer set.Close()
	w, err := disk.OpenWriter(disk.Config{Dir: f.data, PartBytes: int64(f.kept.part)})
	if errors.Is(err, disk.ErrLocked) {
		return failed(fmt.Errorf("%s: another process writes to this trail", f.data), "if that is kubetrail serve, it can follow logs itself: serve --source PATH; or stop it, or choose another trail with --data")
	}
	if err != nil {
		return err
	}
	faults := &opened{}
	meter := newMeter(a, f.quiet)
	start := a.now()
	report, err := collect.Import(ctx, w, w.Sources(), collect.ImportConfig{
		Files: set.Files, Cluster: f.cluster, OnFault: faults.fault, Progress: meter.show,
		OnSkip: func(s collect.Skip) { set.Skips = append(set.Skips, s) },
	})
	meter.clear()
	var gone uint64
	if err == nil {
		err = meter.during("merging small parts", func() (err error) {
			gone, err = f.kept.tidy(ctx, w, start)
			return err
		})
	}
	err = errors.Join(err, w.Close())
	a.tellFaults(faults.faults, faults.more)
	unread := refused(set.Skips)
	a.tellRefused(unread)
	if !f.quiet {
		a.tellSkips(set.Skips)
		a.tellReport(ctx, f, report, gone, a.now().Sub(start))
	}
	switch {
	case errors.Is(err, context.Canceled):
		return &failure{exitInterrupted, err, "what was read is kept; the same command goes on where this one stopped"}
	case err != nil:
		return err
	case report.Sources+report.Known == 0 && report.Faults == 0 && len(set.Skips) == 0:
		return failed(errors.New("nothing came in: the input is empty"), "pipe an audit log into it, or name a file or a directory")
	case f.strict && len(unread) > 0:
		return errRefused(unread)
	case f.strict && len(faults.faults) > 0:
		return failed(fmt.Errorf("%s held no event; all others are kept", output.Count(len(faults.faults)+faults.more, "stretch")), "leave --strict away to take them as warnings")
	}
	return nil
}

// keptSkips is how many files that are no audit logs are listed.
const keptSkips = 5

func (a *app) tellSkips(skips []collect.Skip) {
	skips = slices.DeleteFunc(skips, func(s collect.Skip) bool { return s.Refused })
	for i, s := range skips {
		if i == keptSkips {
			fmt.Fprintf(a.err, "skipped %s more\n", output.Count(len(skips)-i, "file"))
			return
		}
		fmt.Fprintf(a.err, "skipped %s: %s\n", output.Plain(s.Name, false), output.Plain(s.Reason, false))
	}
}

// tellReport prints what an import came to. gone is how many events were removed.
func (a *app) tellReport(ctx context.Context, f *importFlags, r collect.Report, gone uint64, took time.Duration) {
	fmt.Fprintf(a.err, "%s from %s, %s in %s", output.Count(r.Events, "event"), output.Count(r.Sources, "source"), size(r.Bytes), took.Round(10*time.Millisecond))
	if r.Known > 0 {
		fmt.Fprintf(a.err, "; %s held nothing new", output.Count(r.Known, "source"))
	}
	if r.Faults > 0 {
		fmt.Fprintf(a.err, "; %s set aside", output.Count(r.Faults, "stretch"))
	}
	if gone > 0 {
		fmt.Fprintf(a.err, "; %s removed as the oldest", output.Count(gone, "event"))
	}
	fmt.Fprintln(a.err)
	if s, err := summary(context.WithoutCancel(ctx), f.data); err == nil {
		fmt.Fprintf(a.err, "%s holds %s, %s on disk for %s of lines\n", output.Plain(f.data, false), output.Count(s.Events, "event"), size(s.StoredBytes), size(s.LineBytes))
	}
}

func summary(ctx context.Context, dir string) (trail.Summary, error) {
	t, err := disk.Open(dir)
	if err != nil {
		return trail.Summary{}, err
	}
	s, err := t.Summary(ctx)
	return s, errors.Join(err, t.Close())
}

// size writes bytes with a unit.
func size(n int64) string {
	v, unit := float64(n), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if v < 1024 {
			break
		}
		v, unit = v/1024, u
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}

// A meter shows how far an import is: on a terminal as a line that is written over,
// from the second second on, elsewhere as a line of its own every ten seconds.
type meter struct {
	w       io.Writer
	now     func() time.Time
	columns int // of the terminal, 0 if there is none
	quiet   bool
	start   time.Time
	last    time.Time // of a line, where there is no terminal
	drawn   bool
}

func newMeter(a *app, quiet bool) *meter {
	now := a.now()
	return &meter{w: a.err, now: a.now, columns: terminal(a.err), quiet: quiet, start: now, last: now}
}

func (m *meter) show(p collect.Progress) {
	now := m.now()
	took := now.Sub(m.start)
	if m.quiet || took < time.Second {
		return
	}
	rate := float64(p.Events) / took.Seconds()
	if m.columns == 0 {
		if now.Sub(m.last) < 10*time.Second {
			return
		}
		m.last = now
		if p.Total > 0 { // a stream has no size
			fmt.Fprintf(m.w, "%s of %s, ", size(p.Bytes), size(p.Total))
		}
		fmt.Fprintf(m.w, "%d events, %.0f/s, %s\n", p.Events, rate, output.Plain(p.Name, false))
		return
	}
	text := fmt.Sprintf("%d events  %.0f/s  ", p.Events, rate)
	if p.Total > 0 {
		done := min(1, float64(p.Bytes)/float64(p.Total))
		text = fmt.Sprintf("%3.0f%% %s  %9s  ", 100*done, output.Pad(bar(uint64(1000*done), 1000, 20), 20), size(p.Bytes)) + text
	}
	fmt.Fprintf(m.w, "\r\x1b[K%s", output.Clip(text+output.Plain(p.Name, false), m.columns-1))
	m.drawn = true
}

// during carries out work and says so once it takes longer than a second.
func (m *meter) during(what string, work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	late := time.NewTimer(time.Second)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
	}
	switch {
	case m.quiet:
	case m.columns == 0:
		fmt.Fprintln(m.w, what)
	default:
		fmt.Fprintf(m.w, "\r\x1b[K%s", output.Clip(what, m.columns-1))
		m.drawn = true
	}
	err := <-done
	m.clear()
	return err
}

// clear removes the line from the terminal.
func (m *meter) clear() {
	if m.drawn {
		fmt.Fprint(m.w, "\r\x1b[K")
		m.drawn = false
	}
}
