package collect

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"kubetrail/internal/trail"
)

// LogsConfig says how [Logs] follow.
type LogsConfig struct {
	// Sources returns those of the trail, as far as they are committed. It is called in
	// Turn alone.
	Sources func() []trail.Source
	// Format returns what logs of a kind hold. nil: audit events, whatever the kind.
	Format  func(kind string) *Format
	OnFault func(trail.Fault) // may be nil
	Logger  *slog.Logger      // nil: silent
	Now     func() time.Time  // nil: time.Now
}

// Log is one of the logs to follow: what [FollowConfig] says, and what it holds. The path
// may be a pattern of filepath.Match, which means all that it matches from time to time.
type Log struct {
	Path, Cluster, Server string
	Kind                  string
}

// Logs are the logs that a Collector follows, which may become more and fewer while it
// runs: its Turn and Feeds are meant for [Config].
//
// A log that is not wanted any more is read to where it ends at that moment, and is
// closed when that is committed. One that is wanted again, or with another server or
// format, is opened after that, and so goes on where it was left.
type Logs struct {
	cfg LogsConfig

	mu   sync.Mutex // guards what follows
	want []Log      // what Set said last
	set  bool       // Turn has not looked at it yet
	logs []*followed

	expanded []Log // want, with what its patterns mean
	looked   time.Time
}

// followed is a Feed that can come to an end. What it adds to a Follower belongs to the
// goroutine of the Collector.
type followed struct {
	*Follower
	log     Log
	leaving bool
	since   time.Time // it is leaving
	events  uint64    // of Status, at the last commit
	faults  uint64
	drained bool
	over    bool // all that it read is committed: it can be closed
	now     func() time.Time
}

// drainLimit is how long a log that is not wanted any more and cannot be read is tried.
const drainLimit = 10 * time.Second

// NewLogs prepares to follow no log at all. Close ends that.
func NewLogs(cfg LogsConfig) *Logs {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Logs{cfg: cfg}
}

// Set says which logs are to be followed from now on. It takes effect with the next
// Turn, and may be called from any goroutine.
func (l *Logs) Set(logs []Log) {
	logs = slices.Clone(logs)
	for i := range logs {
		logs[i].Path = filepath.Clean(logs[i].Path)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.want, l.set = logs, true
}

// Turn opens and closes what has become due. It belongs to the goroutine of the
// Collector.
func (l *Logs) Turn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.logs {
		if f.over {
			_ = f.Close() // nothing was written
			l.cfg.Logger.Info("a log is not followed any more", "path", f.log.Path, "cluster", f.log.Cluster)
		}
	}
	before := len(l.logs)
	l.logs = slices.DeleteFunc(l.logs, func(f *followed) bool { return f.over })
	want, due := l.expand()
	if !due && len(l.logs) == before {
		return
	}
	l.set = false
	for _, f := range l.logs {
		wanted := slices.Contains(want, f.log)
		switch {
		case wanted && f.leaving:
			f.leaving, f.drained = false, false
		case !wanted && !f.leaving:
			f.leaving, f.since = true, l.cfg.Now()
		}
	}
	for _, log := range want {
		// One that is leaving keeps its place: what it read may not be committed yet.
		if !slices.ContainsFunc(l.logs, func(f *followed) bool { return f.log.Path == log.Path }) {
			l.open(log)
		}
	}
}

// open begins to follow a log.
func (l *Logs) open(log Log) {
	c := FollowConfig{Path: log.Path, Cluster: log.Cluster, Server: log.Server, Sources: l.cfg.Sources(), OnFault: l.cfg.OnFault}
	if l.cfg.Format != nil {
		c.Format = l.cfg.Format(log.Kind)
	}
	follower, err := Follow(c)
	if err != nil {
		l.cfg.Logger.Error("cannot follow a log", "path", log.Path, "err", err)
		return
	}
	l.logs = append(l.logs, &followed{Follower: follower, log: log, now: l.cfg.Now})
}

// Feeds are the logs that are followed and those that are leaving.
func (l *Logs) Feeds() []Feed {
	l.mu.Lock()
	defer l.mu.Unlock()
	feeds := make([]Feed, len(l.logs))
	for i, f := range l.logs {
		feeds[i] = f
	}
	return feeds
}

// Close closes all logs, after the Collector's Run.
func (l *Logs) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, f := range l.logs {
		errs = append(errs, f.Close())
	}
	l.logs = nil
	return errors.Join(errs...)
}

// Pull is that of the Follower, until a log that is leaving is read.
func (f *followed) Pull(ctx context.Context, w Appender, limit int64) (bool, error) {
	if f.drained {
		return false, nil
	}
	more, err := f.Follower.Pull(ctx, w, limit)
	if !f.leaving || ctx.Err() != nil || err == nil && more {
		return more, err
	}
	if err == nil || f.now().Sub(f.since) > drainLimit {
		f.drained = true
		s := f.Status()
		f.over = s.Events == f.events && s.Faults == f.faults
	}
	return more, err
}

// Committed notes that nothing read so far can be lost.
func (f *followed) Committed() {
	f.Follower.Committed()
	s := f.Status()
	f.events, f.faults = s.Events, s.Faults
	f.over = f.drained
}
