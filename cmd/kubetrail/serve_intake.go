package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"kubetrail/internal/collect"
	"kubetrail/internal/collect/spool"
	"kubetrail/internal/server"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

// serveLimit is the soft limit of serve's memory with parts of the usual size.
const serveLimit = 208 << 20

// bodiesLimit is the memory that posts to the webhook may take together.
const bodiesLimit = 64 << 20

// intake is the half of serve that writes to the trail. The zero intake does nothing.
type intake struct {
	w         *disk.Writer
	spools    *spool.Spools
	followers []collect.Feed
	collector *collect.Collector
	names     []string // of what is followed
}

// cutCluster cuts what --source takes into the name of a cluster, if there is one, and
// a path. A path may hold a = of its own behind a slash.
func cutCluster(source string) (cluster, path string) {
	if before, after, ok := strings.Cut(source, "="); ok && !strings.ContainsAny(before, `/\`) {
		return before, after
	}
	return "", source
}

// openIntake opens the trail for writing, and everything that events come from. It
// fills in of f.server what the server has to do with that.
func (a *app) openIntake(f *serveFlags) (_ *intake, err error) {
	in := &intake{}
	defer func() {
		if err != nil {
			err = errors.Join(err, in.close())
		}
	}()
	in.w, err = disk.OpenWriter(disk.Config{Dir: f.data, PartBytes: int64(f.kept.part)})
	if errors.Is(err, disk.ErrLocked) {
		return in, failed(fmt.Errorf("%s: another process writes to this trail", f.data),
			"add --read-only to answer questions beside it, or choose another trail with --data")
	}
	if err != nil {
		return in, err
	}
	log := f.server.Logger
	onFault := func(x trail.Fault) {
		log.Warn("set aside what is no event", "source", x.Source, "offset", x.Offset, "bytes", x.Length, "reason", x.Reason)
	}
	for _, source := range f.sources {
		cluster, path := cutCluster(source)
		if path, err = filepath.Abs(path); err != nil {
			return in, err
		}
		feed, err := collect.Follow(collect.FollowConfig{Path: path, Cluster: cluster, Sources: in.w.Sources(), OnFault: onFault})
		if err != nil {
			return in, err
		}
		in.followers = append(in.followers, feed)
		in.names = append(in.names, path)
	}
	in.spools, err = spool.Open(spool.Config{Dir: filepath.Join(f.data, "spool"),
		MaxBytes: int64(f.spool), Sources: in.w.Sources(), OnFault: onFault})
	if err != nil {
		return in, err
	}
	merger, err := in.w.Merger()
	if err != nil {
		return in, err
	}
	m := newCollectMetrics()
	in.collector = collect.New(collect.Config{
		Writer: in.w, Feeds: in.followers, More: in.spools.Feeds, Arrived: in.spools.Arrived(), Logger: log, OnCommit: m.committed,
		Merge: merger.Step,
		Expire: func(ctx context.Context) error {
			gone, err := f.kept.expire(ctx, in.w, a.now())
			if gone > 0 {
				log.Info("removed the oldest events", "events", gone)
			}
			return err
		},
	})
	m.state = in.collector.State
	f.server.Registry = m.registry()
	f.server.Receive, f.server.BodiesBytes = in.spools.Receive, bodiesLimit
	f.server.Checks = append(f.server.Checks,
		server.Check{Name: "collector", Run: in.alive}, server.Check{Name: "writable", Run: in.writable})
	return in, nil
}

// pipeline is the part of the pipeline that events come in by.
func (in *intake) pipeline() string {
	if in.collector == nil {
		return ""
	}
	var b strings.Builder
	for _, name := range in.names {
		fmt.Fprintf(&b, "follow<%s> + ", plain(name, false))
	}
	return b.String() + "webhook -> spool -> "
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
	return in.collector.Run(ctx)
}

// close closes everything, after run.
func (in *intake) close() error {
	var errs []error
	for _, f := range in.followers {
		errs = append(errs, f.Close())
	}
	if in.spools != nil {
		errs = append(errs, in.spools.Close())
	}
	if in.w != nil {
		errs = append(errs, in.w.Close())
	}
	return errors.Join(errs...)
}
