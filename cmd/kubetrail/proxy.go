package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kubetrail/internal/output"
	"kubetrail/internal/proxy"
	"kubetrail/internal/serve"
	"kubetrail/internal/service"
	"kubetrail/record"
	"kubetrail/record/options"
)

const proxyLong = `Proxy stands before a kube-apiserver and records what passes as kube-apiserver
itself would: for control planes whose flags or audit policy are not yours to
set. Clients use its address instead of the API server's.

Users are told apart as by kube-apiserver: by a client certificate, by a bearer
token, which is passed on unchanged and about which the API server is asked
(SelfSubjectReview), or not at all (system:anonymous). Headers by which a client
says who it is or where it comes from are taken away, unless it is a proxy that
was declared.

Watches, logs, exec, attach and port-forward pass as they come. Events carry the
audit ID that the API server sees, so that both logs can be joined.

SIGHUP opens the log again and reads the policy again; certificates are read
again when they change.`

const proxyExample = `  # record who does what to the cluster of a kubeconfig
  kubetrail proxy --kubeconfig ~/.kube/config \
    --tls-cert-file tls.crt --tls-private-key-file tls.key \
    --audit-policy-file policy.yaml --audit-log-path audit.log

  # users with certificates too, as the aggregation layer tells of them
  kubetrail proxy --upstream https://10.0.0.1:6443 --upstream-ca-file ca.crt \
    --listen :8443 --tls-cert-file tls.crt --tls-private-key-file tls.key \
    --client-ca-file ca.crt --proxy-client-cert-file front-proxy-client.crt \
    --proxy-client-key-file front-proxy-client.key \
    --audit-policy-file policy.yaml --audit-webhook-config-file webhook.yaml

  # would it work?
  kubetrail proxy ... --check`

// proxyFlags are the flags of proxy.
type proxyFlags struct {
	proxy.Config
	audit *options.Options
	check bool
	json  bool
}

func (a *app) proxyVerb() *cobra.Command {
	f := &proxyFlags{Config: proxy.Defaults(), audit: options.New()}
	cmd := &cobra.Command{
		Use:     "proxy",
		Short:   "Record what passes on the way to an API server",
		Long:    proxyLong,
		Example: proxyExample,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.proxy(cmd.Context(), f) },
	}
	events := pflag.NewFlagSet("events", pflag.ContinueOnError)
	f.audit.AddFlags(events)
	rest := pflag.NewFlagSet("rest", pflag.ContinueOnError)
	rest.BoolVar(&f.check, "check", false, "Check everything, reach the API server once, and end")
	rest.BoolVar(&f.json, "log-json", false, "Log in JSON")
	rest.BoolP("help", "h", false, "Help for proxy")
	groups := append(f.Flags(), proxy.FlagGroup{Title: "Events", Flags: events}, proxy.FlagGroup{Title: "All else", Flags: rest})
	for _, g := range groups {
		cmd.Flags().AddFlagSet(g.Flags)
	}
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		w := cmd.OutOrStderr()
		fmt.Fprintf(w, "Usage:\n  %s\n\nExamples:\n%s\n", cmd.UseLine(), cmd.Example)
		for _, g := range groups {
			fmt.Fprintf(w, "\n%s:\n%s", g.Title, g.Flags.FlagUsagesWrapped(max(80, terminal(a.out))))
		}
		return nil
	})
	return cmd
}

func (a *app) proxy(ctx context.Context, f *proxyFlags) error {
	if faults := f.audit.Validate(); len(faults) > 0 {
		return usage("kubetrail proxy --help lists the flags", "%w", errors.Join(faults...))
	}
	log := serve.Logger(a.err, f.json, slog.LevelInfo)
	system := service.NewNotifier(a.env, log)
	defer system.Close()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	recorded, runner, err := f.audit.Build(options.Env{Stdout: a.out, Metrics: record.NewMetrics(registry), Logger: log})
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return failed(err, "check the files that the --audit-* flags name")
	}
	if err != nil {
		return failed(err, "kubetrail policy check says what is wrong with a policy")
	}
	f.Record, f.Chain, f.Logger = recorded, runner.String(), log
	f.Registerer, f.Gatherer, f.UserAgent = registry, registry, "kubetrail-proxy/"+buildVersion().Version
	p, err := proxy.New(f.Config)
	if err != nil {
		return err
	}
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
	beside.Go(func() { reopenOnHangup(recording, runner, log) })
	system.Ready("recording")
	context.AfterFunc(ctx, system.Stopping)
	err = p.Run(ctx)
	stop() // now that no request is open, what is buffered goes out
	beside.Wait()
	return errors.Join(err, <-ended)
}

// reopenOnHangup does on SIGHUP what the runner can do.
func reopenOnHangup(ctx context.Context, r *options.Runner, log *slog.Logger) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			if err := r.Reopen(); err != nil {
				log.Error("not everything could be opened again", "err", err)
			}
		}
	}
}

// checkProxy reaches the API server.
func (a *app) checkProxy(ctx context.Context, p *proxy.Proxy) error {
	defer p.Close()
	if err := p.Reach(ctx); err != nil {
		return failed(err, "check --upstream, --upstream-ca-file and --upstream-server-name")
	}
	fmt.Fprintln(a.out, "ok")
	return nil
}
