package options

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// buildBackends makes the chains: union[truncate<batch<log>>, truncate<batch<webhook>>].
func (o *Options) buildBackends(r *Runner, env Env, annotations map[string]string) error {
	if o.Log.Path != "" && o.Log.Path != "-" {
		if err := ensureFile(o.Log.Path); err != nil {
			return fmt.Errorf("ensureLogFile: %w", err)
		}
	}
	for _, used := range []struct {
		is   bool
		name string
	}{{o.Log.Path != "", "log"}, {len(o.Webhook.ConfigFiles) > 0, "webhook"}} {
		if used.is && r.policy == nil {
			env.Logger.Info("No audit policy file provided, no events will be recorded for " + used.name + " backend")
		}
	}
	if r.policy != nil && (o.Log.Path != "" || len(o.Webhook.ConfigFiles) > 0) {
		return errors.New("backends are not wired yet")
	}
	return nil
}

// ensureFile makes a log that does not exist, with the modes of upstream.
func ensureFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}
