package options

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"kubetrail/audit"
	"kubetrail/record"
	"kubetrail/record/backend"
	"kubetrail/record/redact"
)

// Env is what options are built in.
type Env struct {
	Stdout   io.Writer // for --audit-log-path=-; default os.Stdout
	Hostname string    // default os.Hostname
	Metrics  *record.Metrics
	Logger   *slog.Logger // default slog.DiscardHandler

	// PolicyEvery is how often the policy's file is looked at where the file system
	// tells of no change; default 5 seconds.
	PolicyEvery time.Duration
}

// A Runner is what stands behind a record.Config. Methods may be called at the same time.
type Runner struct {
	policy  *livePolicy // nil: there is none
	backend record.Backend
	file    *backend.File // nil: there is none
}

// Build makes of o, which must be valid, what records: a Config whose Policy, Backend,
// Redact, Annotations, Strict, Metrics and Logger are set, and the Runner of it. Where
// nothing is recorded, because there is no policy or no backend, Config.Backend is nil:
// requests then need no record.Handler at all. Upstream: AuditOptions.ApplyTo.
func (o *Options) Build(env Env) (record.Config, *Runner, error) {
	if env.Stdout == nil {
		env.Stdout = os.Stdout
	}
	if env.Logger == nil {
		env.Logger = slog.New(slog.DiscardHandler)
	}
	cfg := record.Config{Metrics: env.Metrics, Logger: env.Logger, Annotations: o.annotations(env), Strict: o.strict()}
	r := &Runner{}
	if o.PolicyFile != "" {
		live, err := newLivePolicy(o.PolicyFile, env)
		if err != nil {
			return record.Config{}, nil, err
		}
		r.policy, cfg.Policy = live, live.Match
	}
	redactor, err := o.Redact.build()
	if err != nil {
		return record.Config{}, nil, err
	}
	if redactor != nil {
		cfg.Redact = redactor.Redact
	}
	if err := o.buildBackends(r, env, cfg.Annotations); err != nil {
		if r.file != nil {
			_ = r.file.Close() // nothing was written
		}
		return record.Config{}, nil, err
	}
	cfg.Backend = r.backend
	if r.backend != nil {
		env.Logger.Info("using audit backend", "backend", r.String())
	}
	return cfg, r, nil
}

// strict reports whether a request fails where its event cannot be stored.
func (o *Options) strict() bool {
	return o.Log.Path != "" && o.Log.Batch.Mode == ModeBlockingStrict ||
		len(o.Webhook.ConfigFiles) > 0 && o.Webhook.Batch.Mode == ModeBlockingStrict
}

func (o *Options) annotations(env Env) map[string]string {
	server := o.Server
	if server == "" && o.Cluster != "" {
		if server = env.Hostname; server == "" {
			server, _ = os.Hostname() // without one the annotation is left out
		}
	}
	all := map[string]string{}
	if o.Cluster != "" {
		all[audit.ClusterAnnotation] = o.Cluster
	}
	if server != "" {
		all[audit.ServerAnnotation] = server
	}
	return all
}

const makeKey = "head -c 32 /dev/urandom > " // how somebody makes a key

// build returns nil where nothing is redacted.
func (r *Redact) build() (*redact.Redactor, error) {
	if len(r.What) == 0 {
		return nil, nil
	}
	cfg, err := redact.Parse(r.What)
	if err != nil {
		return nil, fmt.Errorf("--audit-redact: %w", err)
	}
	if cfg.Key, err = os.ReadFile(r.KeyFile); err != nil {
		return nil, fmt.Errorf("reading the key of redaction: %w; make one by %s%s", err, makeKey, r.KeyFile)
	}
	made, err := redact.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("key of redaction in %s: %w; make one by %s%s", r.KeyFile, err, makeKey, r.KeyFile)
	}
	return made, nil
}

// String is the chain of backends as upstream prints it, empty where nothing is recorded.
func (r *Runner) String() string {
	if r.backend == nil {
		return ""
	}
	return r.backend.String()
}

// Run runs the backends and watches the policy's file until ctx is done, then delivers
// what the backends still hold. It is called once; requests must have ended before ctx
// does, or their events are lost and counted.
func (r *Runner) Run(ctx context.Context) error {
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if r.policy != nil {
			r.policy.run(watching)
		}
	}()
	var err error
	if r.backend != nil {
		err = r.backend.Run(ctx)
	} else {
		<-ctx.Done()
	}
	stop() // a backend that fails ends the rest
	<-watched
	return err
}

// Reopen does what SIGHUP asks for: it opens the log by its name again, after somebody
// else has renamed it, and reads the policy again. A policy that is refused stays out of
// force, and is an error.
func (r *Runner) Reopen() error {
	var all []error
	if r.file != nil {
		all = append(all, r.file.Reopen())
	}
	if r.policy != nil {
		all = append(all, r.policy.reload())
	}
	return errors.Join(all...)
}
