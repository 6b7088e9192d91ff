package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kubetrail/test/e2e/plane"
)

// cluster is what kubetrail calls the cluster.
const cluster = "e2e"

// rig is everything that the test started: a control plane with two API servers, a
// recorder before the webhook of each, and kubetrail, twice.
type rig struct {
	t         *testing.T
	dir       string
	kubetrail string // the program
	plane     *plane.Plane
	clients   *clients
	keepers   []*keeper
	recorders []*recorder
	links     map[string]*link // from the recorders and the agent to serve

	data    string // of the trail
	url     string // of serve
	serve   *runner
	agent   *runner
	told    atomic.Int64
	losing  sync.Mutex // held by who sends what kube-apiserver loses the event of
	runners []*runner
}

// server returns the API servers in turn.
func (r *rig) server(n int) *plane.Server { return r.plane.Servers[n%len(r.plane.Servers)] }

// newRig builds and starts everything but kubetrail.
func newRig(t *testing.T, ctx context.Context) *rig {
	t.Helper()
	r := &rig{t: t, links: map[string]*link{}}
	r.makeDir()
	begun := time.Now()
	bin, err := plane.Build(ctx, ".", os.Stdout)
	must(t, err)
	r.kubetrail = filepath.Join(r.dir, "kubetrail")
	if *given != "" {
		r.kubetrail = *given
	} else {
		build := exec.CommandContext(ctx, "go", "build", "-o", r.kubetrail, "./cmd/kubetrail")
		build.Dir = "../.."
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build kubetrail: %v\n%s", err, out)
		}
	}
	t.Logf("built in %s", time.Since(begun).Round(time.Second))

	begun = time.Now()
	r.plane, err = plane.New(ctx, r.dir, bin)
	must(t, err)
	t.Cleanup(func() {
		must(t, r.plane.Stop())
		if t.Failed() {
			r.tails()
		}
	})
	must(t, r.plane.PKI.Issue("kubetrail"))
	must(t, os.WriteFile(filepath.Join(r.dir, "token"), []byte(token+"\n"), 0o600))
	must(t, os.WriteFile(r.path("tokens.csv"), []byte(token+",kubetrail,kubetrail,system:monitoring\n"), 0o600))
	port, err := plane.FreePort()
	must(t, err)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	r.url = "https://" + address
	for _, name := range []string{"cp-1", "cp-2"} {
		r.addServer(ctx, name, address)
	}
	must(t, r.plane.AddManager(r.plane.Servers[0]))
	r.clients, err = newClients(r.plane, r.dir)
	must(t, err)
	t.Logf("control plane %s: etcd, %d kube-apiservers, kube-controller-manager, ready in %s",
		plane.Version, len(r.plane.Servers), time.Since(begun).Round(100*time.Millisecond))
	return r
}

// makeDir makes the directory of everything. Where the test fails it is kept, until the
// next one does.
func (r *rig) makeDir() {
	dir, err := os.MkdirTemp("", "kubetrail-e2e-*")
	must(r.t, err)
	r.dir = dir
	r.t.Cleanup(func() {
		if r.t.Failed() {
			failed := filepath.Join(os.TempDir(), "kubetrail-e2e-failed")
			must(r.t, os.RemoveAll(failed))
			must(r.t, os.Rename(dir, failed))
			r.t.Logf("logs, posts and what processes said are in %s", failed)
			return
		}
		must(r.t, os.RemoveAll(dir))
	})
}

// token is the bearer token that kubetrail wants.
const token = "e2e-token-of-a-test-that-guards-nothing"

// addServer starts an API server with log and webhook, and what watches both.
func (r *rig) addServer(ctx context.Context, name, address string) {
	r.t.Helper()
	to, err := newLink(address)
	must(r.t, err)
	r.links[name] = to
	r.t.Cleanup(to.close)
	rec, err := newRecorder(filepath.Join(r.dir, "posts-"+name), r.plane.PKI, "kubetrail", to)
	must(r.t, err)
	r.t.Cleanup(func() { must(r.t, rec.close()) })
	r.recorders = append(r.recorders, rec)
	hook := filepath.Join(r.dir, name+"-webhook.kubeconfig")
	must(r.t, r.plane.PKI.Kubeconfig(hook, rec.URL+hookPath(name), "", token))
	log := filepath.Join(r.dir, "log-"+name, "audit.log")
	k, err := newKeeper(log, filepath.Join(r.dir, "truth-"+name), uint64(len(r.keepers)))
	must(r.t, err)
	r.keepers = append(r.keepers, k)
	_, err = r.plane.AddServer(ctx, name, plane.Audit{Policy: policy(r.t), Log: log, Flags: []string{
		// A file of 1 MiB is full after about a second; all are kept.
		"--audit-log-mode", "blocking", "--audit-log-maxsize", "1", "--audit-log-maxbackup", "0", "--audit-log-maxage", "0",
		"--audit-webhook-config-file", hook, "--audit-webhook-mode", "batch", "--audit-webhook-batch-max-wait", "1s",
		"--audit-webhook-batch-max-size", "100", "--audit-webhook-batch-throttle-enable=false",
		"--audit-webhook-initial-backoff", "1s",
		"--token-auth-file", r.path("tokens.csv"), // of who asks for metrics
	}})
	must(r.t, err)
}

// policy is one that a cloud uses, or ours where that is not there.
func policy(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"../../../shared/policies/gce-derived.yaml", "testdata/policy.yaml"} {
		if _, err := os.Stat(path); err == nil {
			path, err = filepath.Abs(path)
			must(t, err)
			return path
		}
	}
	t.Fatal("no policy")
	return ""
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tails prints the ends of what all processes said.
func (r *rig) tails() {
	for _, path := range r.plane.Logs() { // kubetrail's are there, too
		r.t.Logf("the end of %s:\n%s", filepath.Base(path), plane.Tail(path, 2000))
	}
}

// hookPath is where the webhook of an API server posts to.
func hookPath(server string) string { return "/webhook/" + cluster + "/" + server }

// runner keeps a program running that is killed all the time.
type runner struct {
	name, log string
	program   string
	args      []string
	process   *plane.Process
	starts    int
	kills     int
}

func (r *rig) runner(name string, args ...string) *runner {
	x := &runner{name: name, log: filepath.Join(r.dir, name+".stderr"), program: r.kubetrail, args: args}
	r.runners = append(r.runners, x)
	return x
}

func (x *runner) start() (err error) {
	x.starts++
	x.process, err = plane.Start(x.name, x.log, x.program, x.args...)
	return err
}

// kill kills it, if it is still there: it has no business to end by itself, or to be
// ended by anybody else.
func (x *runner) kill() error {
	if !x.process.Kill() {
		return fmt.Errorf("%s ended by itself: %v\n%s", x.name, x.process.Err(), x.process.Tail(4000))
	}
	x.kills++
	return nil
}

func (x *runner) stop(wait time.Duration) error {
	if x.process == nil || !x.process.Running() {
		return fmt.Errorf("%s does not run", x.name)
	}
	return x.process.Stop(wait)
}

// startKubetrail starts serve, which follows the logs of cp-1, and the agent, which ships
// those of cp-2.
func (r *rig) startKubetrail() error {
	to, err := newLink(r.url[len("https://"):])
	if err != nil {
		return err
	}
	r.t.Cleanup(to.close)
	r.links["agent"] = to
	if err := os.WriteFile(r.path("config.yaml"), r.config(), 0o600); err != nil {
		return err
	}
	shipped := r.plane.Servers[1]
	r.serve = r.runner("serve", "serve", "--config", r.path("config.yaml"))
	r.agent = r.runner("agent", "agent", "--server", "https://"+to.Addr, "--cluster", cluster, "--name", shipped.Name,
		"--ca-file", r.plane.PKI.Path("ca.crt"), "--token-file", r.path("token"),
		"--source", shipped.AuditLog, "--source", "apiserver-log:"+shipped.Stderr())
	for _, x := range r.runners {
		if err := x.start(); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

// config is what serve is told: the log of cp-1, what that says of events that it lost,
// and where both API servers tell how many they counted.
func (r *rig) config() []byte {
	followed := r.plane.Servers[0]
	b := fmt.Appendf(nil, `apiVersion: kubetrail.io/v1alpha1
kind: Config
data: %s
listen: %s
tls: {cert: pki/kubetrail.crt, key: pki/kubetrail.key}
tokens:
- {name: e2e, file: token, roles: [read, webhook, agent, metrics]}
clusters:
- name: %s
  sources:
  - {path: %[5]s, server: %[4]s}
  - {path: %[6]s, server: %[4]s, kind: apiserver-log}
  scrape:
`, r.data, r.url[len("https://"):], cluster, followed.Name, followed.AuditLog, followed.Stderr())
	for _, s := range r.plane.Servers {
		b = fmt.Appendf(b, "  - {server: %s, url: %s/metrics, tokenFile: token, caFile: pki/ca.crt}\n", s.Name, s.URL)
	}
	return b
}
