package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"kubetrail/internal/output"
	"kubetrail/internal/proxy"
	"kubetrail/internal/serve"
	"kubetrail/internal/service"
	"kubetrail/record"
	"kubetrail/record/options"
)

// proxy runs kubetrail proxy.
func (a *app) proxy(ctx context.Context, f *proxyFlags) error {
	if faults := f.audit.Validate(); len(faults) > 0 {
		return usage("kubetrail proxy --help lists the flags", "%w", errors.Join(faults...))
	}
	defer debug.SetGCPercent(debug.SetGCPercent(proxy.GCPercent))
	log := serve.Logger(a.err, f.json, slog.LevelInfo)
	system := service.NewNotifier(a.env, log)
	defer system.Close()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	recorded, runner, err := f.audit.Build(options.Env{Stdout: a.out, Metrics: record.NewMetrics(registry), Logger: log})
	if err != nil {
		if _, ok := errors.AsType[*fs.PathError](err); !ok && strings.HasPrefix(err.Error(), "loading audit policy file") {
			return failed(err, "kubetrail policy check says what is wrong with a policy")
		}
		return failed(err, "check the files that the --audit-* flags name")
	}
	f.Record, f.Chain, f.Logger = recorded, runner.String(), log
	if f.check && f.Chain == "" {
		return usage("give --audit-policy-file and --audit-log-path or --audit-webhook-config-file", "nothing would be recorded")
	}
	f.Registerer, f.Gatherer, f.UserAgent = registry, registry, "kubetrail-proxy/"+buildVersion().Version
	p, err := proxy.New(f.Config)
	if e, ok := errors.AsType[interface {
		error
		Usage() bool
		Hint() string
	}](err); ok && e.Usage() {
		return usage(e.Hint(), "%w", err)
	}
	if err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from before anybody knows of the proxy until all is delivered: it would end it
	defer signal.Stop(hangup)
	fmt.Fprintln(a.err, output.Plain(p.String(), false))
	if p.Operators() != "" {
		fmt.Fprintf(a.err, "health and metrics at %s\n", p.Operators())
	}
	if f.check {
		return a.checkProxy(ctx, p)
	}
	if f.Chain == "" {
		log.Warn("nothing is recorded: give --audit-policy-file and --audit-log-path or --audit-webhook-config-file")
	}
	recording, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var beside sync.WaitGroup
	ended := make(chan error, 1)
	beside.Go(func() { ended <- runner.Run(recording) })
	beside.Go(func() { reopenOnHangup(recording, hangup, runner, log) })
	beside.Go(func() { system.Run(recording, func() bool { return p.Open() >= 0 }) })
	system.Ready("recording")
	context.AfterFunc(ctx, system.Stopping)
	err = p.Run(ctx)
	stop() // now that no request is open, what is buffered goes out
	beside.Wait()
	return errors.Join(err, <-ended)
}

// reopenOnHangup does on SIGHUP what the runner can do.
func reopenOnHangup(ctx context.Context, hangup <-chan os.Signal, r *options.Runner, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			if err := r.Reopen(); err != nil {
				log.Error("what could not be opened or read again stays as it was", "err", err)
			}
		}
	}
}

// checkProxy asks the API server what can be asked before anybody else does.
func (a *app) checkProxy(ctx context.Context, p *proxy.Proxy) error {
	defer p.Close()
	if err := p.Check(ctx); err != nil {
		return err
	}
	fmt.Fprintln(a.out, "ok")
	return nil
}
