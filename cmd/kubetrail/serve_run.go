package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubetrail/internal/access"
	"kubetrail/internal/config"
	"kubetrail/internal/server"
	"kubetrail/internal/service"
)

// running is a serve at work: what its configuration was made into, and what changes
// with it. Everything but cfg is made before run and stays.
type running struct {
	app         *app
	flags       *serveFlags
	log         *slog.Logger
	level       *slog.LevelVar
	system      *service.Notifier
	web         server.Config // what the server is made of
	server      *server.Server
	intake      *intake
	limitMemory func(int64)
	trail       string                        // the part of the pipeline that all events go
	cfg         atomic.Pointer[config.Config] // in force
	reloaded    *reloadMetrics
}

// newRunning prepares a serve as cfg says; nothing is opened yet.
func newRunning(a *app, f *serveFlags, cfg config.Config) *running {
	d := &running{app: a, flags: f, intake: &intake{}, level: &slog.LevelVar{}, limitMemory: func(int64) {}}
	d.cfg.Store(&cfg)
	d.log = a.logger(cfg.Log.Format == "json", d.level)
	d.setLevel(cfg)
	d.reloaded = newReloadMetrics(a.now())
	d.web = server.Config{
		Listen: cfg.Listen, Access: accessOf(cfg), BodyBytes: int64(cfg.Limits.BodyBytes),
		Version: buildVersion().Version, Logger: d.log, Registry: newRegistry(),
	}
	if f.file != "" {
		d.web.Registry.MustRegister(d.reloaded.success, d.reloaded.last)
	}
	return d
}

// logger logs to standard error what is of a level or above it.
func (a *app) logger(json bool, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if json {
		return slog.New(slog.NewJSONHandler(a.err, options))
	}
	return slog.New(slog.NewTextHandler(a.err, options))
}

func accessOf(c config.Config) access.Rules {
	return access.Rules{TLS: c.TLS, Tokens: c.Tokens, Certificates: c.Certificates}
}

func (d *running) setLevel(c config.Config) {
	_ = d.level.UnmarshalText([]byte(c.Log.Level)) // Validate has looked at it
}

// pipeline is everything that was put together, in one line.
func (d *running) pipeline() string { return d.intake.pipeline(*d.cfg.Load()) + d.trail }

// run serves and collects until ctx ends. It then stops taking, answers what was asked,
// and stores what is there.
func (d *running) run(ctx context.Context, watch *service.Watch) error {
	d.system = service.NewNotifier(d.app.env, d.log)
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
	if d.flags.file != "" {
		beside.Go(func() { d.reloads(ctx, watch) })
	}
	context.AfterFunc(ctx, d.system.Stopping)
	d.system.Ready(d.pipeline())
	err := d.server.Run(ctx) // what it has taken when it ends is still collected
	stop()
	enough()
	beside.Wait()
	return errors.Join(err, <-collected)
}

// reloads reads the configuration whenever it changes, and on SIGHUP.
func (d *running) reloads(ctx context.Context, watch *service.Watch) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	watch.Run(ctx, hup, func() {
		d.system.Reloading()
		err := d.reload()
		status := d.pipeline()
		if err != nil {
			d.log.Error("the changed configuration is no good, the former one stays in force", "file", d.flags.file, "err", err)
			status = "the changed configuration is no good: " + status
		}
		d.reloaded.note(d.app.now(), err)
		d.system.Ready(status)
	})
}

// reload puts what the file says now in force, all of it or, with an error, nothing.
func (d *running) reload() error {
	file, err := d.app.load(d.flags, d.log)
	if err != nil {
		return err
	}
	before, next := *d.cfg.Load(), file.Config
	for _, c := range config.Changes(before, next) {
		if c.Restart {
			d.log.Warn("a changed field takes part with the next start alone", "file", d.flags.file, "field", c.Path)
		}
	}
	next.Keep(before)
	if err := d.server.SetAccess(accessOf(next)); err != nil {
		return err
	}
	d.setLevel(next)
	d.limitMemory(int64(next.Limits.Memory))
	if got := d.server.SetBodyBytes(int64(next.Limits.BodyBytes)); got < int64(next.Limits.BodyBytes) {
		d.log.Warn("limits.bodyBytes can be as large with the next start alone", "holds", got)
	}
	d.intake.apply(next)
	d.cfg.Store(&next)
	d.log.Info("read the configuration again", "file", d.flags.file, "pipeline", d.pipeline())
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
