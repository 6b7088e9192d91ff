package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"kubetrail/internal/collect"
	"kubetrail/internal/collect/spool"
	"kubetrail/internal/sample"
	"kubetrail/internal/server"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

const serveLong = `Serve collects audit events and answers questions about them over HTTP.

It follows every log given with --source through its rotations, and takes what
kube-apiserver sends to /webhook/CLUSTER. An event is kept once, byte for byte,
and found about a second later; a webhook is answered when what it brought cannot
be lost any more. Stopped or killed at any moment, the next serve goes on where
this one was.

Questions go to a JSON API under /api/v1, described by /api/v1/openapi.yaml, or to
a page with the latest events; /livez, /readyz and /metrics are there for operators.

Only one process can write to a trail. With --read-only, serve only answers, beside
another serve or an import.

It listens on this machine only. Another address needs a way to tell who asks, a
file with a bearer token or a CA for client certificates, or serve refuses to start:
audit events hold secrets.`

const serveExample = `  # try it with a sample log, nothing is kept
  kubetrail serve --sample

  # the log of a control-plane node
  kubetrail serve --source /var/log/kubernetes/audit/audit.log

  # two clusters, and no more than 30 days and 10 GiB of them
  kubetrail serve --source prod=/logs/prod/audit.log --source test=/logs/test/audit.log \
    --keep 30d --keep-bytes 10GiB

  # receive webhooks from other machines, at https://HOST:8417/webhook/CLUSTER
  kubetrail serve --listen :8417 --tls-cert tls.crt --tls-key tls.key --token-file token`

// serveFlags are the flags of serve.
type serveFlags struct {
	data     string
	sample   bool
	readOnly bool
	sources  []string
	spool    sizeValue
	kept     kept
	server   server.Config
	json     bool
}

// servePart is the size of a part that serve writes: three of them are in memory, one
// that fills, one that is written, one that is merged.
const servePart = 64 << 20

func (a *app) serveVerb() *cobra.Command {
	f := &serveFlags{spool: spool.DefaultBytes}
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Collect events and answer questions over HTTP",
		Long:    serveLong,
		Example: serveExample,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context(), f) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.data, "data", a.dataDir(), "Directory of the trail (default $KUBETRAIL_DATA)")
	fs.StringArrayVar(&f.sources, "source", nil, "Follow a log, `[CLUSTER=]PATH`; may be given several times")
	fs.Var(&f.spool, "spool-bytes", "`SIZE` that what webhooks brought may take, for each cluster, before it is in the trail")
	f.kept.flags(fs, servePart)
	fs.BoolVar(&f.readOnly, "read-only", false, "Only answer questions, write nothing")
	fs.BoolVar(&f.sample, "sample", false, "Serve a bundled sample log from a temporary trail")
	fs.StringVar(&f.server.Listen, "listen", server.DefaultListen, "Listen on this `ADDRESS`; port 0 takes a free one")
	fs.StringVar(&f.server.CertFile, "tls-cert", "", "Certificate `FILE`, PEM")
	fs.StringVar(&f.server.KeyFile, "tls-key", "", "Key `FILE` of the certificate, PEM")
	fs.StringVar(&f.server.ClientCAFile, "client-ca", "", "CA `FILE`: who shows a certificate signed by it may ask")
	fs.StringVar(&f.server.TokenFile, "token-file", "", "`FILE` whose only line is the bearer token that clients must show")
	fs.BoolVar(&f.json, "log-json", false, "Log in JSON")
	return cmd
}

func (a *app) serve(ctx context.Context, f *serveFlags) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	if f.sample {
		dir, err := os.MkdirTemp("", "kubetrail-sample-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if err := a.importSample(ctx, dir); err != nil {
			return err
		}
		f.data = dir
	}
	f.server.Version = buildVersion().Version
	f.server.Logger = a.logger(f.json)
	intake := &intake{}
	if !f.sample && !f.readOnly {
		defer limitMemory(int64(f.kept.part), serveLimit, servePart)()
		if intake, err = a.openIntake(f); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, intake.close()) }()
	}
	r, err := a.openDisk(&asked{data: f.data})
	if err != nil {
		return err
	}
	defer r.close()
	f.server.Trail = r
	s, err := server.New(f.server)
	if err != nil {
		return err
	}
	a.tellServing(ctx, f, intake, r, s.URL())
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	collected := make(chan error, 1)
	go func() {
		defer stop() // one does not live without the other
		collected <- intake.run(ctx)
	}()
	err = s.Run(ctx)
	stop()
	return errors.Join(err, <-collected)
}

// check rejects flags that do not go together.
func (f *serveFlags) check() error {
	if len(f.sources) > 0 && (f.sample || f.readOnly) {
		return usage("leave one of them away", "--source writes to the trail, --sample and --read-only do not")
	}
	seen := map[string]bool{}
	for _, s := range f.sources {
		_, path := cutCluster(s)
		if path == "" {
			return usage("for example --source /var/log/kubernetes/audit/audit.log", "--source %q names no file", s)
		}
		if path = filepath.Clean(path); seen[path] {
			return usage("give it once", "--source %s is there twice, and every event would be", path)
		}
		seen[path] = true
	}
	return f.kept.check()
}

func (a *app) logger(json bool) *slog.Logger {
	if json {
		return slog.New(slog.NewJSONHandler(a.err, nil))
	}
	return slog.New(slog.NewTextHandler(a.err, nil))
}

// importSample fills a trail with the bundled log.
func (a *app) importSample(ctx context.Context, dir string) error {
	w, err := disk.OpenWriter(disk.Config{Dir: dir})
	if err != nil {
		return err
	}
	_, err = collect.Import(ctx, w, w.Sources(), collect.ImportConfig{Files: []collect.File{collect.Stream("sample", sample.Log())}, Cluster: "sample"})
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	return err
}

// tellServing prints the pipeline as one line and, for the sample, what to try.
func (a *app) tellServing(ctx context.Context, f *serveFlags, in *intake, r trail.Reader, url string) {
	events := "trail"
	if s, err := r.Summary(ctx); err == nil {
		events = fmt.Sprintf("trail<%s, %s>", count(s.Events, "event"), count(s.Parts, "part"))
	}
	fmt.Fprintf(a.err, "%s%s -> query -> %s\n", in.pipeline(), events, url)
	if !f.sample {
		return
	}
	fmt.Fprintf(a.out, `
KubeTrail serves a sample log at %[1]s

Three questions to try in another terminal, or in its page:

  who deleted the deployment nginx-old?
    %[2]s search --server %[1]s 'verb:delete and name:nginx-old'

  what did mallory do while she was cluster-admin?
    %[2]s search --server %[1]s 'user:mallory and code < 300'

  who was refused most often?
    %[2]s top --server %[1]s --by user 'code:403'

The API is for programs: curl '%[1]s/api/v1/events?query=code:403'
Ctrl-C ends it.
`, url, a.self)
}
