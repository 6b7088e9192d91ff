package options_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
	"kubetrail/policy"
	"kubetrail/record"
	"kubetrail/record/options"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	everything = `{"apiVersion":"audit.k8s.io/v1","kind":"Policy","rules":[{"level":"RequestResponse"}]}`
	metadata   = `{"apiVersion":"audit.k8s.io/v1","kind":"Policy","rules":[{"level":"Metadata"}]}`
)

// kubeconfig is like that of upstream's test: clusters without a context.
const kubeconfig = `{"clusters":[{"name":"","cluster":{"server":"localhost","insecure-skip-tls-verify":true}}],"users":null,"contexts":null,"current-context":""}`

// TestChains has the cases of upstream's TestAuditValidOptions.
func TestChains(t *testing.T) {
	log := func(t *testing.T) string { return "--audit-log-path=" + filepath.Join(t.TempDir(), "audit") }
	hook := func(t *testing.T) string { return "--audit-webhook-config-file=" + write(t, "webhook", kubeconfig) }
	rules := func(t *testing.T) string { return "--audit-policy-file=" + write(t, "policy", everything) }
	arg := func(text string) func(*testing.T) string { return func(*testing.T) string { return text } }
	type args []func(*testing.T) string
	tests := []struct {
		name string
		args args
		want string
	}{
		{"default", nil, ""},
		{"default log", args{log, rules}, "ignoreErrors<log>"},
		{"stdout log", args{arg("--audit-log-path=-"), rules}, "ignoreErrors<log>"},
		{"create audit log path dir", args{func(t *testing.T) string { return log(t) + "/not-there/nor-this/audit" }, rules}, "ignoreErrors<log>"},
		{"default log no policy", args{log}, ""},
		{"default webhook", args{hook, rules}, "buffered<webhook>"},
		{"default webhook no policy", args{hook}, ""},
		{"strict webhook", args{hook, rules, arg("--audit-webhook-mode=blocking-strict")}, "webhook"},
		{"default union", args{log, hook, rules}, "union[ignoreErrors<log>,buffered<webhook>]"},
		{"custom", args{log, hook, rules, arg("--audit-log-mode=batch"), arg("--audit-webhook-mode=blocking")}, "union[buffered<log>,ignoreErrors<webhook>]"},
		{"default webhook with truncating", args{hook, rules, arg("--audit-webhook-truncate-enabled")}, "truncate<buffered<webhook>>"},

		{"no rotation", args{log, rules, arg("--audit-log-maxsize=0")}, "ignoreErrors<log>"}, // upstream's TestAuditLogMaxSizeZero
		{"everything truncated", args{log, hook, rules, arg("--audit-log-truncate-enabled"), arg("--audit-webhook-truncate-enabled")}, "union[truncate<ignoreErrors<log>>,truncate<buffered<webhook>>]"},
		{"several receivers", args{log, hook, hook, rules}, "union[ignoreErrors<log>,buffered<webhook>,buffered<webhook>]"},
		{"a spill", args{hook, rules, func(t *testing.T) string { return "--audit-webhook-spill-dir=" + t.TempDir() }}, "buffered<webhook>"},
		{"a spill that is waited for", args{hook, rules, arg("--audit-webhook-mode=blocking"), func(t *testing.T) string { return "--audit-webhook-spill-dir=" + t.TempDir() }}, "ignoreErrors<buffered<webhook>>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var all []string
			for _, a := range tt.args {
				all = append(all, a(t))
			}
			o := parse(t, all...)
			cfg, runner, err := o.Build(options.Env{Stdout: io.Discard})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			stop()
			if err := runner.Run(ctx); err != nil { // gives back what it has
				t.Error(err)
			}
			if got := runner.String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if (cfg.Backend != nil) != (tt.want != "") {
				t.Errorf("the backend is %v", cfg.Backend)
			}
			if path := o.Log.Path; path != "" && path != "-" {
				info, err := os.Stat(path)
				if err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("the log: %v, %v", info, err)
				}
			}
		})
	}
}

func parse(t *testing.T, args ...string) *options.Options {
	t.Helper()
	o := options.New()
	if err := flags(o).Parse(args); err != nil {
		t.Fatal(err)
	}
	for _, err := range o.Validate() {
		t.Fatal(err)
	}
	return o
}

// TestInvalid has the cases of upstream's TestAuditInvalidOptions.
func TestInvalid(t *testing.T) {
	tests := map[string]func(*options.Options){
		"invalid log format":                      func(o *options.Options) { o.Log.Path, o.Log.Format = "f", "foo" },
		"invalid log mode":                        func(o *options.Options) { o.Log.Path, o.Log.Batch.Mode = "f", "foo" },
		"invalid log buffer size":                 func(o *options.Options) { o.Log.Path, o.Log.Batch.Mode, o.Log.Batch.BufferSize = "f", "batch", -3 },
		"invalid webhook mode":                    func(o *options.Options) { o.Webhook.Batch.Mode = "foo" },
		"invalid webhook buffer throttle qps":     func(o *options.Options) { o.Webhook.Batch.ThrottleQPS = -1 },
		"invalid webhook truncate max event size": func(o *options.Options) { o.Webhook.Truncate.MaxEventSize = -1 },
		"invalid webhook truncate max batch size": func(o *options.Options) {
			o.Webhook.Truncate.MaxEventSize, o.Webhook.Truncate.MaxBatchSize = 2, 1
		},
	}
	for name, change := range tests {
		o := options.New()
		if strings.Contains(name, "webhook") {
			o.Webhook.ConfigFiles = []string{"f"}
		}
		if change(o); len(o.Validate()) == 0 {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestBuildFails(t *testing.T) {
	dir := t.TempDir()
	good := "--audit-policy-file=" + write(t, "policy", everything)
	missing := filepath.Join(dir, "missing")
	empty, none := write(t, "empty", ""), write(t, "none", `{"apiVersion":"audit.k8s.io/v1","kind":"Policy"}`)
	short := write(t, "short", "0123456789")
	tests := []struct{ args, want string }{
		{"--audit-policy-file=" + missing, "loading audit policy file: failed to read file path \"" + missing + "\": open " + missing + ": no such file or directory"},
		{"--audit-policy-file=" + empty, "loading audit policy file: unknown group version field audit.k8s.io/__internal, Kind=Policy in policy: from file " + empty},
		{"--audit-policy-file=" + none, "loading audit policy file: loaded illegal policy with 0 rules: from file " + none},
		{good + " --audit-log-path=" + empty + "/x/audit.log", "ensureLogFile: mkdir " + empty + ": not a directory"},
		{"--audit-log-path=" + empty + "/x/audit.log", "ensureLogFile: mkdir " + empty + ": not a directory"},
		{good + " --audit-webhook-config-file=" + missing, "initializing audit webhook: stat " + missing + ": no such file or directory"},
		{"--audit-redact=secrets --audit-redact-key-file=" + missing, "reading the key of redaction: open " + missing + ": no such file or directory; make one by head -c 32 /dev/urandom > " + missing},
		{"--audit-redact=secrets --audit-redact-key-file=" + short, "key of redaction in " + short + ": has 10 bytes, but at least 32 are needed; make one by head -c 32 /dev/urandom > " + short},
	}
	for _, tt := range tests {
		_, _, err := parse(t, strings.Fields(tt.args)...).Build(options.Env{})
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s\ngot  %v\nwant %s", tt.args, err, tt.want)
		}
	}
}

// TestPolicyTexts checks the errors of policies against those of kube-apiserver.
func TestPolicyTexts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	for line := range bytes.Lines(corpustest.Shared(t, "policy/load.jsonl.zst")) {
		var c struct {
			Input       string
			Accepted    bool
			ErrorStable string `json:"error_stable"`
		}
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(c.Input), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := parse(t, "--audit-policy-file="+path).Build(options.Env{})
		stable, _, _ := strings.Cut(c.ErrorStable, `"*"`) // a place in upstream's source
		switch {
		case c.Accepted != (err == nil):
			t.Errorf("accepted %v, %v: %q", c.Accepted, err, c.Input)
		case err != nil && (!strings.HasPrefix(err.Error(), "loading audit policy file: "+stable) || !strings.HasSuffix(err.Error(), ": from file "+path)):
			t.Errorf("got %v, want %s", err, c.ErrorStable)
		}
	}
}

// event is one that somebody would have recorded.
func event(id string) *record.Event {
	e := &record.Event{Event: audit.Event{Received: 1, Staged: 1}}
	e.Text[audit.Level], e.Text[audit.AuditID], e.Text[audit.Stage] = []byte("Metadata"), []byte(id), []byte("ResponseComplete")
	return e
}

// contextOf ends when it is stopped, or at the latest with the test.
func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

// start runs what o says and returns what stops it.
func start(t *testing.T, o *options.Options, env options.Env) (record.Config, *options.Runner, func()) {
	t.Helper()
	cfg, runner, err := o.Build(env)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextOf(t)
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return cfg, runner, stop
}

func TestStdout(t *testing.T) {
	var out bytes.Buffer
	o := parse(t, "--audit-log-path=-", "--audit-policy-file="+write(t, "policy", everything))
	cfg, _, stop := start(t, o, options.Env{Stdout: &out})
	e := event("a")
	if !cfg.Backend.ProcessEvents(e) {
		t.Error("not stored")
	}
	stop()
	if out.String() != string(e.Line()) {
		t.Errorf("%s", out.Bytes())
	}
}

// TestReopen checks what SIGHUP does: the log goes on under its name, the policy is read.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	path, rules := filepath.Join(dir, "audit.log"), write(t, "policy", everything)
	o := parse(t, "--audit-log-path="+path, "--audit-policy-file="+rules, "--audit-log-sync")
	metrics := prometheus.NewRegistry()
	cfg, runner, _ := start(t, o, options.Env{Metrics: record.NewMetrics(metrics), PolicyEvery: time.Hour})
	cfg.Backend.ProcessEvents(event("first"))
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := runner.Reopen(); err != nil {
		t.Error(err)
	}
	cfg.Backend.ProcessEvents(event("second"))
	for name, id := range map[string]string{path + ".1": "first", path: "second"} {
		text, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(text), `"auditID":"`+id+`"`) {
			t.Errorf("%s: %s, %v", name, text, err)
		}
	}

	if err := os.WriteFile(rules, []byte("rules: 17"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := runner.Reopen()
	if err == nil || !strings.HasPrefix(err.Error(), "loading audit policy file: ") {
		t.Errorf("a bad policy: %v", err)
	}
	if got := cfg.Policy(&policy.Request{RequestInfo: policy.RequestInfo{Verb: "get", Path: "/"}}).Level; got != policy.LevelRequestResponse {
		t.Errorf("after a bad policy the level is %v", got)
	}
}

// TestPolicyChanges checks that a good policy takes force when its file changes, however
// that is done, and that a bad one does not.
func TestPolicyChanges(t *testing.T) {
	// As the kubelet mounts a ConfigMap: name -> ..data/name, ..data -> a directory.
	dir := t.TempDir()
	swap := func(version, text string) {
		t.Helper()
		for _, err := range []error{
			os.Mkdir(filepath.Join(dir, version), 0o700),
			os.WriteFile(filepath.Join(dir, version, "policy"), []byte(text), 0o600),
			os.Symlink(version, filepath.Join(dir, "..tmp")),
			os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	swap("1", everything)
	if err := os.Symlink("..data/policy", filepath.Join(dir, "policy")); err != nil {
		t.Fatal(err)
	}
	told := &reports{came: make(chan string, 10)}
	registry := prometheus.NewRegistry()
	o := parse(t, "--audit-log-path=-", "--audit-policy-file="+filepath.Join(dir, "policy"))
	cfg, _, stop := start(t, o, options.Env{Stdout: io.Discard, PolicyEvery: 50 * time.Millisecond,
		Metrics: record.NewMetrics(registry), Logger: slog.New(told)})
	level := func() policy.Level {
		return cfg.Policy(&policy.Request{RequestInfo: policy.RequestInfo{Verb: "get", Path: "/"}}).Level
	}
	if got := level(); got != policy.LevelRequestResponse {
		t.Errorf("at first the level is %v", got)
	}
	swap("2", metadata)
	told.wait(t, "audit policy in force")
	if got := level(); got != policy.LevelMetadata {
		t.Errorf("after a change the level is %v", got)
	}
	swap("3", "rules: []")
	told.wait(t, "audit policy refused; the one before stays in force")
	if got := level(); got != policy.LevelMetadata {
		t.Errorf("after a bad policy the level is %v", got)
	}
	swap("4", everything)
	told.wait(t, "audit policy in force")
	if got := level(); got != policy.LevelRequestResponse {
		t.Errorf("after a good policy the level is %v", got)
	}
	stop()
	const want = `
# HELP kubetrail_record_policy_reloads_total Times that the audit policy was read again, by result: success or failure.
# TYPE kubetrail_record_policy_reloads_total counter
kubetrail_record_policy_reloads_total{result="failure"} 1
kubetrail_record_policy_reloads_total{result="success"} 2
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "kubetrail_record_policy_reloads_total"); err != nil {
		t.Error(err)
	}
}

// reports hands on what is logged.
type reports struct{ came chan string }

func (r *reports) Enabled(context.Context, slog.Level) bool { return true }
func (r *reports) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *reports) WithGroup(string) slog.Handler            { return r }
func (r *reports) Handle(_ context.Context, rec slog.Record) error {
	if strings.HasPrefix(rec.Message, "audit policy") {
		r.came <- rec.Message
	}
	return nil
}

func (r *reports) wait(t *testing.T, want string) {
	t.Helper()
	if got := <-r.came; got != want {
		t.Fatalf("logged %q, not %q", got, want)
	}
}

func TestAnnotations(t *testing.T) {
	tests := []struct {
		args string
		want map[string]string
	}{
		{"", nil},
		{"--audit-cluster-name=c", map[string]string{"kubetrail.io/cluster": "c", "kubetrail.io/server": "host"}},
		{"--audit-cluster-name=c --audit-server-name=s", map[string]string{"kubetrail.io/cluster": "c", "kubetrail.io/server": "s"}},
		{"--audit-server-name=s", map[string]string{"kubetrail.io/server": "s"}},
	}
	for _, tt := range tests {
		cfg, _, err := parse(t, strings.Fields(tt.args)...).Build(options.Env{Hostname: "host"})
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(cfg.Annotations) != fmt.Sprint(tt.want) {
			t.Errorf("%s: %v", tt.args, cfg.Annotations)
		}
	}
}

func TestStrict(t *testing.T) {
	rules := "--audit-policy-file=" + write(t, "policy", everything)
	for args, want := range map[string]bool{
		"--audit-log-path=-": false,
		"--audit-log-path=- --audit-log-mode=blocking-strict":                                                 true,
		"--audit-log-mode=blocking-strict":                                                                    false,
		"--audit-webhook-mode=blocking-strict":                                                                false,
		"--audit-webhook-mode=blocking-strict --audit-webhook-config-file=" + write(t, "webhook", kubeconfig): true,
	} {
		cfg, _, err := parse(t, append(strings.Fields(args), rules)...).Build(options.Env{Stdout: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		if cfg.Strict != want {
			t.Errorf("%s: %v", args, cfg.Strict)
		}
	}
}

// TestRedact sends Secrets through a handler, many at a time, in both formats.
func TestRedact(t *testing.T) {
	key := write(t, "key", strings.Repeat("k3y!", 8))
	rules := "--audit-policy-file=" + write(t, "policy", everything)
	for _, format := range []string{"json", "legacy"} {
		var out bytes.Buffer
		cfg, _, stop := start(t, parse(t, rules, "--audit-log-path=-", "--audit-log-format="+format,
			"--audit-redact=secrets,tokens", "--audit-redact-key-file="+key), options.Env{Stdout: &out})
		handler := record.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			record.LogRequestJSON(r.Context(), body)
			record.LogResponseJSON(r.Context(), body)
			w.WriteHeader(http.StatusOK)
			if r.Header.Get("User-Agent") == "panics" {
				panic(http.ErrAbortHandler)
			}
		}), cfg)
		var clients sync.WaitGroup
		for i := range 50 {
			clients.Go(func() {
				defer func() { _ = recover() }()
				hidden := fmt.Sprintf("hidden-%d", i)
				r := httptest.NewRequest("PUT", "/api/v1/namespaces/a/secrets/b?access_token="+hidden, strings.NewReader(`{"stringData":{"a":"`+hidden+`"},"type":"Opaque"}`))
				if i%5 == 0 {
					r.Header.Set("User-Agent", "panics")
				}
				handler.ServeHTTP(httptest.NewRecorder(), r)
			})
		}
		clients.Wait()
		stop()
		text := out.String()
		if strings.Contains(text, "hidden") {
			t.Errorf("%s", text)
		}
		want := map[string]int{"json": 4 * 50, "legacy": 2 * 50}[format] // URI twice, two bodies
		if got := strings.Count(text, "hmac:"); got != want {
			t.Errorf("%s: %d hashes, not %d", format, got, want)
		}
	}
	if cfg, _, err := parse(t).Build(options.Env{}); err != nil || cfg.Redact != nil {
		t.Errorf("without the flag something is redacted: %v", err)
	}
}

// receiver is a webhook's; it hands on the audit IDs that it gets.
func receiver(t *testing.T) (kubeconfig string, ids chan string) {
	ids = make(chan string, 100)
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		var list struct{ Items []struct{ AuditID string } }
		if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
			t.Error(err)
		}
		for _, item := range list.Items {
			ids <- item.AuditID
		}
	}), ids
}

// serve starts a server with TLS and returns the kubeconfig of who sends to it.
func serve(t *testing.T, handler http.HandlerFunc) (kubeconfig string) {
	s := httptest.NewTLSServer(handler)
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": []any{map[string]any{"name": "r", "cluster": map[string]any{"server": s.URL, "certificate-authority-data": ca}}},
		"contexts": []any{map[string]any{"name": "c", "context": map[string]any{"cluster": "r"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "kubeconfig", string(text))
}

// TestReceivers sends to two receivers at once, each with its own spill.
func TestReceivers(t *testing.T) {
	a, fromA := receiver(t)
	b, fromB := receiver(t)
	spill := filepath.Join(t.TempDir(), "spill")
	o := parse(t, "--audit-webhook-config-file="+a, "--audit-webhook-config-file="+b, "--audit-webhook-batch-max-wait=10ms",
		"--audit-webhook-spill-dir="+spill, "--audit-policy-file="+write(t, "policy", everything))
	cfg, _, stop := start(t, o, options.Env{})
	cfg.Backend.ProcessEvents(event("one"), event("two"))
	for _, want := range []string{"one", "two"} {
		if got := <-fromA; got != want {
			t.Errorf("a got %s, not %s", got, want)
		}
		if got := <-fromB; got != want {
			t.Errorf("b got %s, not %s", got, want)
		}
	}
	stop()
	dirs, err := os.ReadDir(spill)
	if err != nil || len(dirs) != 2 {
		t.Errorf("%d directories, %v", len(dirs), err)
	}
}
