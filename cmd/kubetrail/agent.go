package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"kubetrail/internal/agent"
	"kubetrail/internal/collect"
	"kubetrail/internal/collect/spool"
	"kubetrail/internal/config"
	"kubetrail/internal/output"
	"kubetrail/internal/serve"
	"kubetrail/internal/service"
	"kubetrail/internal/trail"
)

const agentLong = `Agent ships logs from the node they are written on to a kubetrail serve
elsewhere, where their events are found as if serve had followed the logs
itself.

It keeps nothing: the server knows how far it came, and the logs are the
buffer. Each stretch is sent with its place in the file, so nothing is lost and
nothing is stored twice, whichever of the two is killed. While the server is
away the agent waits. It says how long the logs hold then, from how they are
rotated.

A SOURCE is the file that kube-apiserver writes with --audit-log-path, or with
apiserver-log: before it, what kube-apiserver logs itself: events that it lost
are recovered from that. Such a path may be a pattern.

It needs no more than 64 MiB of memory.`

const agentExample = `  # on a control-plane node
  kubetrail agent --server https://kubetrail.example:8417 \
    --cluster prod --name cp-1 --ca-file ca.crt --token-file token \
    --source /var/log/kubernetes/audit/audit.log

  # the API server's own log too, where it runs as a static pod
  kubetrail agent --server https://kubetrail.example:8417 \
    --cluster prod --name cp-1 --ca-file ca.crt --token-file token \
    --source /var/log/kubernetes/audit/audit.log \
    --source 'apiserver-log:/var/log/pods/*_kube-apiserver-*/kube-apiserver'

  # would it work, how far is the server, and how long may it be away?
  kubetrail agent ... --check`

// agentLimit is the soft limit of an agent's memory, of which 64 MiB may be resident.
const agentLimit = 40 << 20

// agentFlags are the flags of agent.
type agentFlags struct {
	agent.Config
	sources []string
	listen  string
	check   bool
	json    bool
	output  string
}

func (a *app) agentVerb() *cobra.Command {
	f := &agentFlags{}
	cmd := &cobra.Command{
		Use:     "agent",
		Short:   "Ship logs from a control-plane node to a server",
		Long:    agentLong,
		Example: agentExample,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.agent(cmd.Context(), f) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.Server, "server", a.env("KUBETRAIL_SERVER"), "`URL` of the server")
	fs.StringArrayVar(&f.sources, "source", nil, "Ship a log, `[apiserver-log:]PATH`; may be given several times")
	fs.StringVar(&f.Cluster, "cluster", a.env("KUBETRAIL_CLUSTER"), "`NAME` of the cluster")
	fs.StringVar(&f.Name, "name", a.env("KUBETRAIL_NAME"), "`NAME` of the API server that writes the logs (default the name of this machine)")
	fs.StringVar(&f.TokenFile, "token-file", a.env("KUBETRAIL_TOKEN_FILE"), "`FILE` whose only line is the bearer token of the server")
	fs.StringVar(&f.CAFile, "ca-file", a.env("KUBETRAIL_CA_FILE"), "`FILE` with the CA that signed the server's certificate, PEM")
	fs.StringVar(&f.CertFile, "tls-cert", "", "Client certificate `FILE`, PEM")
	fs.StringVar(&f.KeyFile, "tls-key", "", "Key `FILE` of the client certificate, PEM")
	fs.StringVar(&f.listen, "listen", "", "Serve /livez, /readyz and /metrics on this loopback `ADDRESS`")
	fs.BoolVar(&f.check, "check", false, "Ask the server once, say how everything is, and ship nothing")
	fs.StringVarP(&f.output, "output", "o", "table", "Output `FORMAT` of --check: table, json")
	fs.BoolVar(&f.json, "log-json", false, "Log in JSON")
	return cmd
}

// settle rejects flags that do not go together and fills in what they leave out.
func (f *agentFlags) settle() error {
	switch {
	case f.Server == "":
		return usage("for example --server https://kubetrail.example:8417", "--server is missing")
	case f.Cluster == "":
		return usage("for example --cluster prod", "--cluster is missing")
	case len(f.sources) == 0:
		return usage("for example --source /var/log/kubernetes/audit/audit.log", "--source is missing")
	case (f.CertFile == "") != (f.KeyFile == ""):
		return usage("give both", "--tls-cert and --tls-key belong together")
	case !oneOf(f.output, "table, json"):
		return usage("choose one of table, json", "unknown output format %q", f.output)
	}
	if f.listen != "" {
		host, _, err := net.SplitHostPort(f.listen)
		ip, bad := netip.ParseAddr(host)
		if err != nil || host != "localhost" && (bad != nil || !ip.IsLoopback()) {
			return usage("for example --listen 127.0.0.1:8418", "--listen %s is no loopback address", f.listen)
		}
	}
	if f.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return usage("give --name", "this machine has no name: %w", err)
		}
		f.Name, _, _ = strings.Cut(strings.ToLower(name), ".")
	}
	for _, x := range []struct{ flag, name string }{{"--cluster", f.Cluster}, {"--name", f.Name}} {
		if (spool.Origin{Cluster: x.name}).Check() != nil {
			return usage("small letters, digits, dashes and dots make a name", "%s %q is no name", x.flag, x.name)
		}
	}
	f.Formats = map[string]*collect.Format{string(config.APIServerLog): collect.APIServerLog()}
	seen := map[string]bool{}
	for _, s := range f.sources {
		kind, path, ok := strings.Cut(s, ":")
		if !ok || kind != string(config.APIServerLog) {
			kind, path = "", s
		}
		if path == "" {
			return usage("for example --source /var/log/kubernetes/audit/audit.log", "--source %q names no file", s)
		}
		path, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		if seen[path] {
			return usage("give it once", "--source %s is there twice, and every event would be", path)
		}
		seen[path] = true
		f.Logs = append(f.Logs, agent.Log{Kind: kind, Path: path})
	}
	return nil
}

func (a *app) agent(ctx context.Context, f *agentFlags) error {
	if err := f.settle(); err != nil {
		return err
	}
	level := slog.LevelInfo
	if f.check {
		level = slog.LevelWarn // it prints all else
	}
	f.Logger = serve.Logger(a.err, f.json, level)
	// Collecting early costs little here: there is hardly anything that lives.
	defer debug.SetGCPercent(debug.SetGCPercent(50))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(agentLimit))
	system := service.NewNotifier(a.env, f.Logger)
	defer system.Close()
	f.OnChange = system.Status
	ship, err := agent.New(f.Config)
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return failed(err, "check --token-file, --ca-file, --tls-cert and --tls-key")
	}
	if err != nil {
		return usage("kubetrail agent --help", "%w", err)
	}
	if f.check {
		return a.checkAgent(ctx, f, ship)
	}
	if agent.ClearText(f.Server) {
		f.Logger.Warn("events and the token cross the network in clear text; give the server a certificate", "server", f.Server)
	}
	for _, l := range f.Logs {
		fmt.Fprintf(a.err, "follow<%s> -> %s as %s/%s\n", output.Plain(l.Path, false), output.Plain(f.Server, false), f.Cluster, f.Name)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var beside sync.WaitGroup
	defer beside.Wait()
	if f.listen != "" {
		listener, err := net.Listen("tcp", f.listen)
		if err != nil {
			return failed(err, "another program may have this port; choose another one")
		}
		fmt.Fprintf(a.err, "health and metrics at http://%s\n", listener.Addr())
		web := &http.Server{Handler: ship.Handler(), ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
		beside.Go(func() { _ = web.Serve(listener) }) // ends with Close
		context.AfterFunc(ctx, func() { web.Close() })
		defer web.Close()
	}
	var last uint64
	beside.Go(func() {
		system.Run(ctx, func() bool {
			rounds := ship.Status().Rounds
			moved := rounds != last
			last = rounds
			return moved
		})
	})
	context.AfterFunc(ctx, system.Stopping)
	system.Ready("shipping")
	err = ship.Run(ctx)
	stop()
	return err
}

// checkAgent says how everything is.
func (a *app) checkAgent(ctx context.Context, f *agentFlags, ship *agent.Agent) error {
	r, err := ship.Check(ctx)
	if e, ok := errors.AsType[*agent.ReadError](err); ok {
		return e
	}
	if err != nil {
		return failed(fmt.Errorf("%s: %w", f.Server, err), checkHint(err))
	}
	slices.SortFunc(r.Sources, func(x, y trail.Source) int { return strings.Compare(x.Name+x.Print, y.Name+y.Print) })
	out := a.stdout()
	if f.output == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		if err := e.Encode(struct {
			Waiting int64          `json:"waitingBytes"`
			Holds   int64          `json:"holdsSeconds"` // 0: unknown
			Sources []trail.Source `json:"sources"`
		}{r.Waiting, int64(r.Holds.Seconds()), r.Sources}); err != nil {
			return err
		}
		return out.Flush()
	}
	holds := "not known: the log was not rotated yet"
	if r.Holds > 0 {
		holds = "about " + agent.Span(r.Holds) + "; events are lost if the server is away for longer"
	}
	fmt.Fprintf(out, "server  %s takes what %s/%s ships\nwaiting %s\nholds   %s\n", output.Plain(f.Server, false), f.Cluster, f.Name, size(r.Waiting), holds)
	if len(r.Sources) > 0 {
		fmt.Fprintln(out)
	}
	t := &output.Table{W: out, Titles: []string{"FILE", "POSITION", "LINE"}, Headers: true, Right: []int{1, 2}}
	for _, s := range r.Sources {
		if err := t.Add(output.Cell(s.Name), fmt.Sprint(s.Position), fmt.Sprint(s.Line)); err != nil {
			return err
		}
	}
	return t.Flush()
}

func checkHint(err error) string {
	if hint := commonHint(err); hint != "" {
		return hint
	}
	return "is the address right, and is kubetrail serve running there?"
}
