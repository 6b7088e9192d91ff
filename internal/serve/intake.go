package serve

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/collect/collector"
	"kubetrail/internal/collect/spool"
	"kubetrail/internal/config"
	"kubetrail/internal/metrics"
	"kubetrail/internal/scrape"
	"kubetrail/internal/server"
	"kubetrail/internal/trail/disk"
)

// bodiesLimit is the memory that posts to the webhook may take together.
const bodiesLimit = 64 << 20

// intake is the half of serve that writes to the trail. The zero intake does nothing.
type intake struct {
	w         *disk.Writer
	logs      *collect.Logs
	spools    *spool.Spools
	shipped   *spool.Shipped
	collector *collector.Collector
	counters  *scrape.Watch
	retention atomic.Pointer[config.Retention]
}

// openIntake opens the trail for writing, and everything that events come from. It
// fills in of d.web what the server has to do with that. What it returns has to be closed,
// with an error, too.
func (d *Daemon) openIntake() (_ *intake, err error) {
	in, cfg, log := &intake{}, d.now.Load(), d.log
	in.w, err = disk.OpenWriter(disk.Config{Dir: cfg.Data, PartBytes: int64(cfg.Limits.PartBytes), Merged: true})
	if errors.Is(err, disk.ErrLocked) {
		return in, &hinted{fmt.Errorf("%s: another process writes to this trail", cfg.Data),
			"add --read-only to answer questions beside it, or choose another trail with --data"}
	}
	if err != nil {
		return in, err
	}
	onFault := (&faults{log: log, now: d.cfg.Now}).tell
	in.logs = collect.NewLogs(collect.LogsConfig{Sources: in.w.Sources, Format: formatOf, OnFault: onFault, Logger: log})
	in.spools, err = spool.Open(spool.Config{Dir: filepath.Join(cfg.Data, "spool"),
		MaxBytes: int64(cfg.Limits.SpoolBytes), Sources: in.w.Sources(), OnFault: onFault})
	if err != nil {
		return in, err
	}
	in.shipped, err = spool.OpenShipped(spool.ShippedConfig{Dir: filepath.Join(cfg.Data, "agents"), MaxBytes: int64(cfg.Limits.SpoolBytes),
		Sources: in.w.Sources, Formats: map[string]*collect.Format{string(config.APIServerLog): collect.APIServerLog()}, OnFault: onFault}, in.spools.Notify())
	if err != nil {
		return in, err
	}
	in.counters = scrape.New(scrape.Config{Logger: log})
	in.apply(*cfg)
	in.logs.Turn() // what cannot be followed, or is there twice, is told before anything runs
	merger, err := in.w.Merger()
	if err != nil {
		return in, err
	}
	m := metrics.New(metrics.Config{DataDir: cfg.Data, SpoolBytes: func() int64 { return int64(d.now.Load().Limits.SpoolBytes) }, Now: d.cfg.Now()})
	tap := TapGaps(context.Background(), cfg.Data, in.w, d.cfg.Now, log)
	clocks := metrics.NewClocks(d.cfg.Now)
	in.collector = collector.New(collector.Config{
		Writer: in.counters.Tap(m.Tap(clocks.Tap(tap))), More: in.feeds, Turn: in.logs.Turn, Going: known(context.Background(), cfg.Data, log), Arrived: in.spools.Arrived(), Logger: log, OnCommit: m.Committed,
		Merge: m.Merging(merger.Step),
		Expire: func(ctx context.Context) error {
			gone, err := Expire(ctx, in.w, *in.retention.Load(), d.cfg.Now())
			m.Expired(gone, err)
			if gone > 0 {
				log.Info("removed the oldest events", "events", gone)
			}
			return err
		},
	})
	m.Of(in.collector.State)
	d.web.Registry.MustRegister(m, tap, clocks, in.counters)
	d.web.Shipped = in.shipped
	d.web.Receive, d.web.BodiesBytes = in.spools.Receive, bodiesLimit
	d.web.Checks = append(d.web.Checks,
		server.Check{Name: "collector", Run: in.alive}, server.Check{Name: "writable", Run: in.writable})
	return in, nil
}

// Expire removes from a trail what is not to be kept any longer at the time now, and
// returns how many events went.
func Expire(ctx context.Context, w *disk.Writer, keep config.Retention, now time.Time) (gone uint64, err error) {
	r := disk.Retention{Before: audit.NoTime, MaxBytes: int64(keep.KeepBytes)}
	if keep.Keep > 0 {
		r.Before = now.Add(-time.Duration(keep.Keep)).UnixMicro()
	}
	if r.Before == audit.NoTime && r.MaxBytes == 0 {
		return 0, nil
	}
	return w.Expire(ctx, r)
}

// formatOf is what a log of that kind holds; nil: audit events.
func formatOf(kind string) *collect.Format {
	if kind == string(config.APIServerLog) {
		return collect.APIServerLog()
	}
	return nil
}

// feeds are everything that events come from.
func (in *intake) feeds() []collect.Feed {
	return slices.Concat(in.logs.Feeds(), in.spools.Feeds(), in.shipped.Feeds(), in.counters.Feeds())
}

// apply takes over what of a configuration may change while the intake runs.
func (in *intake) apply(cfg config.Config) {
	if in.w == nil {
		return
	}
	in.retention.Store(&cfg.Retention)
	in.logs.Set(logsOf(cfg))
	in.counters.Set(targetsOf(cfg))
	in.spools.SetMaxBytes(int64(cfg.Limits.SpoolBytes))
	in.shipped.SetMaxBytes(int64(cfg.Limits.SpoolBytes))
}

// logsOf are the logs that a configuration says to follow.
func logsOf(cfg config.Config) []collect.Log {
	var logs []collect.Log
	for _, c := range cfg.Clusters {
		for _, s := range c.Sources {
			path, err := filepath.Abs(s.Path)
			if err != nil {
				path = s.Path // the working directory is gone
			}
			logs = append(logs, collect.Log{Path: path, Cluster: c.Name, Server: s.Server, Kind: string(s.Kind)})
		}
	}
	return logs
}

// targetsOf are the API servers that a configuration says to ask for their counters.
func targetsOf(cfg config.Config) []scrape.Target {
	var targets []scrape.Target
	for _, c := range cfg.Clusters {
		for _, s := range c.Scrape {
			targets = append(targets, scrape.Target{Cluster: c.Name, Server: s.Server, URL: s.URL, TokenFile: s.TokenFile, CAFile: s.CAFile})
		}
	}
	return targets
}

// pipeline is the part of the pipeline that events come in by: cluster by cluster, what
// is followed.
func (in *intake) pipeline(cfg config.Config) string {
	if in.collector == nil {
		return ""
	}
	var parts []string
	logs := logsOf(cfg)
	for _, c := range cfg.Clusters {
		var ways []string
		for _, log := range logs {
			if log.Cluster == c.Name {
				ways = append(ways, "follow<"+strings.TrimPrefix(log.Server+" "+log.Path, " ")+">")
			}
		}
		switch way := strings.Join(ways, " + "); {
		case way == "":
		case c.Name == "":
			parts = append(parts, way)
		default:
			parts = append(parts, c.Name+"["+way+"]")
		}
	}
	return strings.Join(append(parts, "webhook -> spool -> "), " + ")
}

// beats returns what tells, each time it is called, whether the collector did anything
// since the last time, or has nothing to do.
func (in *intake) beats() func() bool {
	var last uint64
	return func() bool {
		if in.collector == nil {
			return true
		}
		s := in.collector.State()
		alive := s.Rounds != last
		last = s.Rounds
		return alive
	}
}

func (in *intake) alive(context.Context) error {
	if !in.collector.State().Running {
		return errors.New("not collecting")
	}
	return nil
}

func (in *intake) writable(context.Context) error { return in.collector.State().Err }

// run collects until ctx ends.
func (in *intake) run(ctx context.Context) error {
	if in.collector == nil {
		<-ctx.Done()
		return nil
	}
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { in.counters.Run(ctx) })
	return in.collector.Run(ctx)
}

// close closes everything, after run.
func (in *intake) close() error {
	var errs []error
	if in.logs != nil {
		errs = append(errs, in.logs.Close())
	}
	if in.spools != nil {
		errs = append(errs, in.spools.Close())
	}
	if in.shipped != nil {
		errs = append(errs, in.shipped.Close())
	}
	if in.w != nil {
		errs = append(errs, in.w.Close())
	}
	return errors.Join(errs...)
}
