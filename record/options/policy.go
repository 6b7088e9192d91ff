package options

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"kubetrail/internal/service"
	"kubetrail/policy"
	"kubetrail/record"
)

// A livePolicy is the policy in a file, in force as soon as it is good.
type livePolicy struct {
	*policy.Live
	path    string
	watch   *service.Watch
	logger  *slog.Logger
	metrics *record.Metrics

	loading sync.Mutex // what was read last is in force last
}

// newLivePolicy reads the policy, which must be good at the start.
func newLivePolicy(path string, env Env) (*livePolicy, error) {
	p := &livePolicy{Live: policy.NewLive(nil), path: path, logger: env.Logger, metrics: env.Metrics}
	p.watch = service.NewWatch(service.WatchConfig{Path: path, Every: env.PolicyEvery, Logger: env.Logger})
	if _, err := p.load(); err != nil {
		return nil, err
	}
	return p, nil
}

// load puts the policy in the file in force, or says in upstream's words what is wrong.
func (p *livePolicy) load() (*policy.Document, error) {
	p.loading.Lock()
	defer p.loading.Unlock()
	data, err := os.ReadFile(p.path)
	if err != nil {
		return nil, fmt.Errorf("loading audit policy file: failed to read file path %q: %w", p.path, err)
	}
	doc, err := p.Load(data, policy.Newest)
	if err != nil {
		return nil, fmt.Errorf("loading audit policy file: %w: from file %s", err, p.path)
	}
	for _, w := range doc.Warnings {
		p.logger.Warn(w.Text, "file", p.path)
	}
	return doc, nil
}

// reload is load for a policy that has taken force before: it stays where the new one is
// not good.
func (p *livePolicy) reload() error {
	doc, err := p.load()
	p.metrics.PolicyReloaded(err == nil)
	if err != nil {
		return err
	}
	p.logger.Info("audit policy in force", "file", p.path, "rules", len(doc.Policy.Rules))
	return nil
}

// run reloads whenever the file changes, until ctx is done.
func (p *livePolicy) run(ctx context.Context) {
	p.watch.Run(ctx, nil, func() {
		if err := p.reload(); err != nil {
			p.logger.Error("audit policy refused; the one before stays in force", "err", err)
		}
	})
}
