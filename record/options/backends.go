package options

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"kubetrail/record"
	"kubetrail/record/backend"
)

// buildBackends makes the chains of o: truncate<batch<log>>, and truncate<batch<webhook>>
// for each receiver. Without a policy there are none, but for the log's file, which
// upstream makes all the same.
func (o *Options) buildBackends(r *Runner, env Env, annotations map[string]string) error {
	losses := backend.LossesConfig{Annotations: annotations, Metrics: env.Metrics, Logger: env.Logger}
	if r.policy == nil {
		return o.buildNone(env)
	}
	var all []record.Backend
	if o.Log.Path != "" {
		losses.Backend = "log"
		made, err := o.Log.build(r, env, backend.NewLosses(losses))
		if err != nil {
			return err
		}
		all = append(all, made)
	}
	for _, file := range o.Webhook.ConfigFiles {
		losses.Backend = o.Webhook.name(file)
		made, err := o.Webhook.build(file, backend.NewLosses(losses))
		if err != nil {
			return fmt.Errorf("initializing audit webhook: %w", err)
		}
		all = append(all, made)
	}
	if len(all) > 0 {
		r.backend = backend.Union(all...)
	}
	return nil
}

// buildNone does what upstream does without a policy.
func (o *Options) buildNone(env Env) error {
	if o.Log.Path != "" {
		if err := ensureFile(o.Log.Path); err != nil {
			return fmt.Errorf("ensureLogFile: %w", err)
		}
		env.Logger.Info("No audit policy file provided, no events will be recorded for log backend")
	}
	if len(o.Webhook.ConfigFiles) > 0 {
		env.Logger.Info("No audit policy file provided, no events will be recorded for webhook backend")
	}
	return nil
}

// ensureFile makes a log that does not exist, with the modes of upstream.
func ensureFile(path string) error {
	if path == "-" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

const day = 24 * time.Hour

func (l *Log) build(r *Runner, env Env, losses *backend.Losses) (record.Backend, error) {
	c := backend.LogConfig{Format: l.Format, Losses: losses}
	if l.Path == "-" {
		c.Out = env.Stdout
	} else {
		file, err := backend.OpenFile(backend.FileConfig{
			Path: l.Path, MaxSize: int64(min(l.MaxSize, 1<<40)) << 20, MaxBackups: l.MaxBackups,
			MaxAge: day * time.Duration(min(l.MaxAge, 100*366)), Compress: l.Compress, Sync: l.Sync, Logger: env.Logger,
		})
		if err != nil {
			return nil, fmt.Errorf("ensureLogFile: %w", err)
		}
		c.File, r.file = file, file
	}
	made, err := l.Batch.wrap(backend.Log(c), backend.BufferedConfig{Losses: losses}, l.Truncate)
	if err != nil {
		return nil, fmt.Errorf("initializing audit log: %w", err)
	}
	return l.Truncate.wrap(made, losses), nil
}

func (w *Webhook) build(file string, losses *backend.Losses) (record.Backend, error) {
	made, err := backend.Webhook(backend.WebhookConfig{Kubeconfig: file, InitialBackoff: w.InitialBackoff, Losses: losses})
	if err != nil {
		return nil, err
	}
	c := backend.BufferedConfig{AsyncDelegate: true, Losses: losses}
	if w.SpillDir != "" {
		c.SpillDir, c.SpillBytes, c.SpillSync = spillDir(w.SpillDir, file), w.SpillMaxSize, w.Batch.Mode != ModeBatch
	}
	if made, err = w.Batch.wrap(made, c, w.Truncate); err != nil {
		return nil, err
	}
	return w.Truncate.wrap(made, losses), nil
}

// name is what losses and metrics call the receiver that a kubeconfig names.
func (w *Webhook) name(file string) string {
	if len(w.ConfigFiles) == 1 {
		return "webhook"
	}
	base := filepath.Base(file)
	for _, other := range w.ConfigFiles {
		if other != file && filepath.Base(other) == base {
			return "webhook " + file
		}
	}
	return "webhook " + base
}

// absolute is one name of a file, however it was given.
func absolute(file string) string {
	if abs, err := filepath.Abs(file); err == nil {
		return abs
	}
	return file // without a working directory names can be no better
}

// spillDir is where events wait for the receiver that a kubeconfig names: a directory for
// each, which is found again when there are others.
func spillDir(dir, file string) string {
	sum := sha256.Sum256([]byte(absolute(file)))
	return filepath.Join(dir, filepath.Base(file)+"-"+hex.EncodeToString(sum[:4]))
}

// wrap puts the mode around a leaf. What spills is buffered in every mode: then a request
// waits for the disk instead of the receiver.
func (b *Batch) wrap(leaf record.Backend, c backend.BufferedConfig, t Truncate) (record.Backend, error) {
	if b.Mode == ModeBatch || c.SpillDir != "" {
		c.BufferSize, c.MaxBatchSize, c.MaxBatchWait = b.BufferSize, b.MaxSize, b.MaxWait
		c.ThrottleEnable, c.ThrottleQPS, c.ThrottleBurst = b.ThrottleEnable, b.ThrottleQPS, b.ThrottleBurst
		if t.Enabled {
			c.MaxBatchBytes = int(t.MaxBatchSize)
		}
		var err error
		if leaf, err = backend.Buffered(leaf, c); err != nil {
			return nil, err
		}
	}
	if b.Mode == ModeBlocking {
		leaf = backend.IgnoreErrors(leaf)
	}
	return leaf, nil
}

func (t *Truncate) wrap(b record.Backend, losses *backend.Losses) record.Backend {
	if !t.Enabled {
		return b
	}
	return backend.Truncate(b, backend.TruncateConfig{MaxEventSize: t.MaxEventSize, MaxBatchSize: t.MaxBatchSize, Losses: losses})
}
