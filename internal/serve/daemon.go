// Package serve is kubetrail serve, put together: what collects and writes to the
// trail, what answers, and what changes while both run.
package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"kubetrail/internal/access"
	"kubetrail/internal/config"
	"kubetrail/internal/server"
	"kubetrail/internal/service"
	"kubetrail/internal/trail/disk"
)

// Config says what a Daemon does, and where it is.
type Config struct {
	Settings config.Config // that hold in the beginning

	// File is where they come from and Watch watches it; "" where nothing changes. Load
	// reads it again, and logs what is wrong with it.
	File  string
	Watch *service.Watch
	Load  func(*slog.Logger) (config.Config, error)

	Version string
	Log     io.Writer
	Env     func(string) string
	Now     func() time.Time
}

// Daemon is a serve at work: what its settings were made into, and what changes with
// them. Everything but now is made by Open and stays.
type Daemon struct {
	cfg         Config
	log         *slog.Logger
	level       *slog.LevelVar
	system      *service.Notifier
	web         server.Config // what the server is made of
	server      *server.Server
	trail       *disk.Trail
	intake      *intake
	limitMemory func(int64)
	freeMemory  func()
	held        string                        // by the trail in the beginning, for the pipeline
	now         atomic.Pointer[config.Config] // the settings in force
	reloaded    *reloadMetrics
	hangup      chan os.Signal // SIGHUP
}

// hinted is an error that says what to do about it.
type hinted struct {
	error
	hint string
}

// Hint returns the next step, one line.
func (h *hinted) Hint() string { return h.hint }

func (h *hinted) Unwrap() error { return h.error }

// Open opens the trail, everything that events come from, and the address. Its error may
// have a method Hint() string. Close must follow, Run may.
func Open(ctx context.Context, cfg Config) (_ *Daemon, err error) {
	d := &Daemon{cfg: cfg, intake: &intake{}, level: &slog.LevelVar{}, limitMemory: func(int64) {}, freeMemory: func() {},
		hangup: make(chan os.Signal, 1)}
	if cfg.File != "" {
		signal.Notify(d.hangup, syscall.SIGHUP) // until Close: it would end the process
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	settings := cfg.Settings
	d.now.Store(&settings)
	d.log = Logger(cfg.Log, settings.Log.Format == "json", d.level)
	d.setLevel(settings)
	d.reloaded = newReloadMetrics(cfg.Now())
	d.web = server.Config{
		Listen: settings.Listen, Access: AccessOf(settings), BodyBytes: int64(settings.Limits.BodyBytes),
		Version: cfg.Version, Logger: d.log, Registry: prometheus.NewRegistry(),
	}
	d.web.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if cfg.File != "" {
		d.web.Registry.MustRegister(d.reloaded.success, d.reloaded.last)
	}
	if !settings.ReadOnly {
		d.limitMemory, d.freeMemory = service.LimitMemory(int64(settings.Limits.Memory))
		if d.intake, err = d.openIntake(); err != nil {
			return nil, err
		}
	}
	if d.trail, err = disk.Open(settings.Data); err != nil {
		return nil, err
	}
	d.web.Trail, d.web.Tail = d.trail, d.trail
	if d.server, err = server.New(d.web); err != nil {
		return nil, err
	}
	d.held = "trail"
	if s, err := d.trail.Summary(ctx); err == nil {
		d.held = fmt.Sprintf("trail<%s, %s>", count(s.Events, "event"), count(uint64(s.Parts), "part"))
	}
	return d, nil
}

func count(n uint64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// Close closes everything, after Run.
func (d *Daemon) Close() error {
	var errs []error
	if d.trail != nil {
		errs = append(errs, d.trail.Close())
	}
	errs = append(errs, d.intake.close())
	d.freeMemory()
	signal.Stop(d.hangup)
	return errors.Join(errs...)
}

// Logger logs to w what is of a level or above it.
func Logger(w io.Writer, json bool, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if json {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// AccessOf are the rules that settings hold.
func AccessOf(c config.Config) access.Rules {
	return access.Rules{TLS: c.TLS, Tokens: c.Tokens, Certificates: c.Certificates}
}

func (d *Daemon) setLevel(c config.Config) {
	_ = d.level.UnmarshalText([]byte(c.Log.Level)) // Validate has looked at it
}

// Pipeline is everything that was put together, in one line.
func (d *Daemon) Pipeline() string {
	return d.intake.pipeline(*d.now.Load()) + d.held + " -> query -> " + d.server.URL()
}

// URL is where questions are answered.
func (d *Daemon) URL() string { return d.server.URL() }

// Run serves and collects until ctx ends. It then stops taking, answers what was asked,
// and stores what is there.
func (d *Daemon) Run(ctx context.Context) error {
	d.system = service.NewNotifier(d.cfg.Env, d.log)
	defer d.system.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	collecting, enough := context.WithCancel(context.WithoutCancel(ctx))
	defer enough()
	collected := make(chan error, 1)
	var beside sync.WaitGroup
	beside.Go(func() {
		defer stop() // one does not live without the other
		collected <- d.intake.run(collecting)
	})
	beside.Go(func() { d.system.Run(collecting, d.intake.beats()) })
	if d.cfg.File != "" {
		beside.Go(func() { d.reloads(ctx) })
	}
	context.AfterFunc(ctx, d.system.Stopping)
	d.system.Ready(d.Pipeline())
	err := d.server.Run(ctx) // what it has taken when it ends is still collected
	stop()
	enough()
	beside.Wait()
	return errors.Join(err, <-collected)
}

// reloads reads the configuration whenever it changes, and on SIGHUP.
func (d *Daemon) reloads(ctx context.Context) {
	d.cfg.Watch.Run(ctx, d.hangup, func() {
		d.system.Reloading()
		err := d.reload()
		status := d.Pipeline()
		if err != nil {
			d.log.Error("the changed configuration is no good, the former one stays in force", "file", d.cfg.File, "err", err)
			status = "the changed configuration is no good: " + status
		}
		d.reloaded.note(d.cfg.Now(), err)
		d.system.Ready(status)
	})
}

// reload puts what the file says now in force, all of it or, with an error, nothing.
func (d *Daemon) reload() error {
	next, err := d.cfg.Load(d.log)
	if err != nil {
		return err
	}
	before := *d.now.Load()
	for _, c := range config.Changes(before, next) {
		if c.Restart {
			d.log.Warn("a changed field takes part with the next start alone", "file", d.cfg.File, "field", c.Path)
		}
	}
	next.Keep(before)
	if err := d.server.SetAccess(AccessOf(next)); err != nil {
		return err
	}
	d.setLevel(next)
	d.limitMemory(int64(next.Limits.Memory))
	if got := d.server.SetBodyBytes(int64(next.Limits.BodyBytes)); got < int64(next.Limits.BodyBytes) {
		d.log.Warn("limits.bodyBytes can be as large with the next start alone", "holds", got)
	}
	d.intake.apply(next)
	d.now.Store(&next)
	d.log.Info("read the configuration again", "file", d.cfg.File, "pipeline", d.Pipeline())
	return nil
}

// reloadMetrics tell how reading the configuration again went.
type reloadMetrics struct{ success, last prometheus.Gauge }

func newReloadMetrics(now time.Time) *reloadMetrics {
	m := &reloadMetrics{
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "kubetrail_config_reload_success", Help: "1 if the configuration could be used when it was last read."}),
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "kubetrail_config_last_reload_timestamp_seconds", Help: "When the configuration in force was read."}),
	}
	m.note(now, nil)
	return m
}

func (m *reloadMetrics) note(now time.Time, err error) {
	if err != nil {
		m.success.Set(0)
		return
	}
	m.success.Set(1)
	m.last.Set(float64(now.UnixMilli()) / 1000)
}
