package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kubetrail/internal/access"
	"kubetrail/internal/collect"
	"kubetrail/internal/config"
	"kubetrail/internal/output"
	"kubetrail/internal/sample"
	"kubetrail/internal/serve"
	"kubetrail/internal/service"
	"kubetrail/internal/trail/disk"
)

const serveLong = `Serve collects audit events and answers questions about them over HTTP.

It follows every log given with --source through its rotations, and takes what
kube-apiserver sends to /webhook/CLUSTER. An event is kept once, byte for byte,
and found about a second later; a webhook is answered when what it brought
cannot be lost any more. Stopped or killed at any moment, the next serve goes
on where this one was.

Questions go to a JSON API under /api/v1, described by /api/v1/openapi.yaml, or
to a page with the latest events; /livez, /readyz and /metrics are there for
operators.

Only one process can write to a trail. With --read-only, serve only answers,
beside another serve or an import.

It listens on this machine only. Another address needs a way to tell who asks,
a file with a bearer token or a CA for client certificates, or serve refuses to
start: audit events hold secrets.

All of this and more can stand in a file, which is read again when it changes
or on SIGHUP: see kubetrail config.`

const serveExample = `  # try it with a sample log, nothing is kept
  kubetrail serve --sample

  # the log of a control-plane node
  kubetrail serve --source /var/log/kubernetes/audit/audit.log

  # the same, and the events that kube-apiserver lost, out of its own log
  kubetrail serve --source /var/log/kubernetes/audit/audit.log \
    --apiserver-log '/var/log/pods/kube-system_kube-apiserver-*/kube-apiserver'

  # two clusters, and no more than 30 days and 10 GiB of them
  kubetrail serve --source prod=/logs/prod/audit.log \
    --source test=/logs/test/audit.log --keep 30d --keep-bytes 10GiB

  # as a service, told everything by a file
  kubetrail serve --config /etc/kubetrail/config.yaml

  # receive webhooks from other machines, at https://HOST:8417/webhook/CLUSTER
  kubetrail serve --listen :8417 --tls-cert tls.crt --tls-key tls.key \
    --token-file token`

// serveFlags are the flags of serve, and what follows from them.
type serveFlags struct {
	config.Config // what they say, once settle has put it together

	file    string // --config
	sample  bool
	sources []string
	ownLogs []string // --apiserver-log
	scrape  struct {
		urls              []string
		tokenFile, caFile string
	}
	kept      kept
	tokenFile string
	json      bool
	given     []config.Flag
	dir       string // that paths in the file begin in
}

func (a *app) serveVerb() *cobra.Command {
	f := &serveFlags{Config: config.Defaults(a.dataDir())}
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Collect events and answer questions over HTTP",
		Long:    serveLong,
		Example: serveExample,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.settle(cmd.Flags()); err != nil {
				return err
			}
			return a.serve(cmd.Context(), f)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.file, "config", "", "Do what this YAML `FILE` says, and again when it changes; a flag says what it leaves out")
	fs.StringVar(&f.Data, "data", f.Data, "Directory of the trail (default $KUBETRAIL_DATA)")
	fs.StringArrayVar(&f.sources, "source", nil, "Follow a log, `[CLUSTER[/SERVER]=]PATH`; may be given several times")
	fs.StringArrayVar(&f.ownLogs, "apiserver-log", nil, "Recover lost events from what kube-apiserver logs itself, `[CLUSTER[/SERVER]=]PATH`; PATH may be a pattern")
	fs.StringArrayVar(&f.scrape.urls, "scrape", nil, "Compare what arrives with what an API server counts, `[CLUSTER[/SERVER]=]URL` of its /metrics")
	fs.StringVar(&f.scrape.tokenFile, "scrape-token-file", "", "`FILE` with the bearer token for --scrape")
	fs.StringVar(&f.scrape.caFile, "scrape-ca", "", "CA `FILE` of the API servers for --scrape")
	fs.Var(&f.Limits.SpoolBytes, "spool-bytes", "`SIZE` that what webhooks brought may take, for each cluster, before it is in the trail")
	f.kept.flags(fs, f.Limits.PartBytes)
	fs.BoolVar(&f.ReadOnly, "read-only", false, "Only answer questions, write nothing")
	fs.BoolVar(&f.sample, "sample", false, "Serve a bundled sample log from a temporary trail")
	fs.StringVar(&f.Listen, "listen", f.Listen, "Listen on this `ADDRESS`; port 0 takes a free one")
	fs.StringVar(&f.TLS.Cert, "tls-cert", "", "Certificate `FILE`, PEM")
	fs.StringVar(&f.TLS.Key, "tls-key", "", "Key `FILE` of the certificate, PEM")
	fs.StringVar(&f.TLS.ClientCA, "client-ca", "", "CA `FILE`: who shows a certificate signed by it may do everything")
	fs.StringVar(&f.tokenFile, "token-file", "", "`FILE` whose only line is the bearer token: who shows it may do everything")
	fs.BoolVar(&f.json, "log-json", false, "Log in JSON")
	return cmd
}

// serveFields are the fields that flags of serve are for.
func serveFields() map[string]string {
	return map[string]string{
		"data": "data", "source": "clusters", "apiserver-log": "clusters", "scrape": "clusters",
		"scrape-token-file": "clusters", "scrape-ca": "clusters", "spool-bytes": "limits.spoolBytes", "keep": "retention.keep",
		"keep-bytes": "retention.keepBytes", "part-bytes": "limits.partBytes", "read-only": "readOnly", "listen": "listen",
		"tls-cert": "tls.cert", "tls-key": "tls.key", "client-ca": "tls.clientCA", "token-file": "tokens", "log-json": "log.format",
	}
}

// settle makes a configuration of the flags, and rejects those that do not go together.
func (f *serveFlags) settle(fs *pflag.FlagSet) error {
	fs.Visit(func(flag *pflag.Flag) {
		if path := serveFields()[flag.Name]; path != "" {
			f.given = append(f.given, config.Flag{Name: "--" + flag.Name, Path: path})
		}
	})
	if len(f.sources)+len(f.ownLogs) > 0 && (f.sample || f.ReadOnly) {
		flag := "--source"
		if len(f.sources) == 0 {
			flag = "--apiserver-log"
		}
		return usage("leave one of them away", "%s writes to the trail, --sample and --read-only do not", flag)
	}
	if f.sample && f.file != "" {
		return usage("leave one of them away", "--sample takes nothing from a --config")
	}
	if err := f.kept.check(); err != nil {
		return err
	}
	var err error
	if f.dir, err = filepath.Abs(filepath.Dir(f.file)); err != nil {
		return err
	}
	seen := map[string]bool{}
	if err := f.follow("--source", "/var/log/kubernetes/audit/audit.log", config.AuditLog, f.sources, seen); err != nil {
		return err
	}
	if err := f.follow("--apiserver-log", "'/var/log/pods/kube-system_kube-apiserver-*/kube-apiserver'", config.APIServerLog, f.ownLogs, seen); err != nil {
		return err
	}
	for _, s := range f.scrape.urls {
		cluster, server, url := cutSource(s)
		f.AddScrape(cluster, config.Scrape{Server: server, URL: url, TokenFile: f.scrape.tokenFile, CAFile: f.scrape.caFile})
	}
	f.Retention = config.Retention{Keep: f.kept.age, KeepBytes: f.kept.bytes}
	f.Limits.PartBytes = f.kept.part
	rules := access.Everybody(f.tokenFile, f.TLS)
	f.Tokens, f.Certificates = rules.Tokens, rules.Certificates
	if f.json {
		f.Log.Format = "json"
	}
	return nil
}

// follow adds the logs of a flag. seen are the paths of all of them.
func (f *serveFlags) follow(flag, example string, kind config.SourceKind, logs []string, seen map[string]bool) error {
	for _, s := range logs {
		cluster, server, path := cutSource(s)
		if path == "" {
			return usage("for example "+flag+" "+example, "%s %q names no file", flag, s)
		}
		if path = filepath.Clean(path); seen[path] {
			return usage("give it once", "%s %s is there twice, and every event would be", flag, path)
		}
		seen[path] = true
		f.Add(cluster, config.Source{Path: path, Server: server, Kind: kind})
	}
	return nil
}

// cutSource cuts what --source takes into the names of a cluster and a server, as far
// as there are any, and a path. What begins like a path is one, whatever is in it.
func cutSource(source string) (cluster, server, path string) {
	before, after, ok := strings.Cut(source, "=")
	if !ok || strings.ContainsRune(before, '\\') || strings.HasPrefix(before, "/") || strings.HasPrefix(before, ".") {
		return "", "", source
	}
	cluster, server, _ = strings.Cut(before, "/")
	if strings.Contains(server, "/") {
		return "", "", source
	}
	return cluster, server, after
}

// load puts together what serve shall do: what the file says if there is one, else the
// flags alone. What is wrong with it is printed, or logged where log is not nil.
func (a *app) load(f *serveFlags, log *slog.Logger) (*config.File, error) {
	var file *config.File
	var findings []config.Finding
	if f.file == "" {
		file, findings = config.OfFlags(f.Config, f.given)
	} else {
		data, err := a.readConfig(f.file)
		if err != nil {
			return nil, err
		}
		file, findings = config.LoadWith(data, f.dir, f.Config, f.given)
	}
	for _, x := range findings {
		switch {
		case f.file == "" && (x.Warning || x.Path == "listen" || strings.HasPrefix(x.Path, "tls")): // the server says it, in the words of flags
		case f.file == "":
			return nil, failed(errors.New(x.Text.En), x.Hint.En)
		case log != nil:
			log.Warn("configuration", "file", f.file, "line", x.Line, "column", x.Column, "finding", x.Text.En, "hint", x.Hint.En)
		default:
			printFinding(a.err, f.file, x, a.language())
		}
	}
	if f.file != "" && config.Bad(findings) {
		return nil, failed(fmt.Errorf("%s cannot be used", f.file), "what is wrong with it stands above")
	}
	return file, nil
}

func (a *app) serve(ctx context.Context, f *serveFlags) (err error) {
	watch := service.NewWatch(service.WatchConfig{Path: f.file})
	file, err := a.load(f, nil)
	if err != nil {
		return err
	}
	cfg := file.Config
	if f.sample {
		dir, err := os.MkdirTemp("", "kubetrail-sample-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if err := a.importSample(ctx, dir); err != nil {
			return err
		}
		cfg.Data, cfg.ReadOnly = dir, true
	}
	if cfg.ReadOnly { // nothing makes a trail
		r, err := a.openDisk(&asked{data: cfg.Data})
		if err != nil {
			return err
		}
		r.close()
	}
	d, err := serve.Open(ctx, serve.Config{
		Settings: cfg, File: f.file, Watch: watch, Version: buildVersion().Version, Log: a.err, Env: a.env, Now: a.now,
		Load: func(log *slog.Logger) (config.Config, error) {
			file, err := a.load(f, log)
			if err != nil {
				return config.Config{}, err
			}
			return file.Config, nil
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	fmt.Fprintln(a.err, output.Plain(d.Pipeline(), false))
	if f.sample {
		a.tellSample(d.URL())
	}
	return d.Run(ctx)
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

// tellSample prints what to try with the sample.
func (a *app) tellSample(url string) {
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
