package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"kubetrail/internal/collect"
	"kubetrail/internal/sample"
	"kubetrail/internal/server"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

const serveLong = `Serve answers questions over HTTP: a JSON API under /api/v1, described by
/api/v1/openapi.yaml, a page with the latest events, /livez, /readyz and /metrics.

It listens on this machine only. Another address needs a way to tell who asks, a
file with a bearer token or a CA for client certificates, or serve refuses to start:
audit events hold secrets.`

const serveExample = `  # try it with a sample log, nothing is kept
  kubetrail serve --sample

  # the trail that import filled
  kubetrail serve

  # for other machines
  kubetrail serve --listen :8417 --tls-cert tls.crt --tls-key tls.key --token-file token`

// serveFlags are the flags of serve.
type serveFlags struct {
	data   string
	sample bool
	server server.Config
	json   bool
}

func (a *app) serveVerb() *cobra.Command {
	f := &serveFlags{}
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Answer questions over HTTP",
		Long:    serveLong,
		Example: serveExample,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context(), f) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.data, "data", a.dataDir(), "Directory of the trail (default $KUBETRAIL_DATA)")
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
	r, err := a.openDisk(&asked{data: f.data})
	if err != nil {
		return err
	}
	defer r.close()
	f.server.Trail = r
	f.server.Version = buildVersion().Version
	f.server.Logger = a.logger(f.json)
	s, err := server.New(f.server)
	if err != nil {
		return err
	}
	a.tellServing(ctx, f, r, s.URL())
	return s.Run(ctx)
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
func (a *app) tellServing(ctx context.Context, f *serveFlags, r trail.Reader, url string) {
	events := "trail"
	if s, err := r.Summary(ctx); err == nil {
		events = fmt.Sprintf("trail<%s, %s>", count(s.Events, "event"), count(s.Parts, "part"))
	}
	fmt.Fprintf(a.err, "%s -> query -> %s\n", events, url)
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
