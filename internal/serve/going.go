package serve

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/destination"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

const (
	goingWarm = 10 * time.Second // that a start may take longer for it
	goingLast = 30_000           // events of each kind, the latest
)

// goingKinds are the events that tell most about where others go, with the columns that
// tell it.
func goingKinds() map[string]audit.Columns {
	common := audit.Set(audit.Cluster, audit.Code, audit.Verb, audit.Resource, audit.APIGroup, audit.Subresource, audit.Namespace, audit.Name, audit.Username)
	return map[string]audit.Columns{
		`code >= 200 and code < 300 and resource:pods and (sub:binding or verb:delete or sub:status and user:system\:node\:*)`: common | audit.Set(audit.RequestObject),
		`code >= 200 and code < 300 and resource:(apiservices or customresourcedefinitions or mutatingwebhookconfigurations or validatingwebhookconfigurations)` +
			` and verb:(create or update or patch or delete)`: common | audit.Set(audit.RequestObject, audit.ResponseObject),
	}
}

// known is what the trail in dir tells about where requests go, as far as reading it
// takes no longer than a start may.
func known(ctx context.Context, dir string, log *slog.Logger) *destination.Known {
	ctx, cancel := context.WithTimeout(ctx, goingWarm)
	defer cancel()
	k := &destination.Known{}
	r, err := disk.Open(dir)
	if err == nil {
		for question, columns := range goingKinds() {
			if err == nil {
				err = learn(ctx, r, question, columns, k)
			}
		}
		r.Close()
	}
	if err != nil {
		log.Warn("cannot learn from the trail where requests go; learning it anew", "err", err)
	}
	return k
}

// learn learns from the latest answers to a question, the oldest of them first.
func learn(ctx context.Context, r trail.Reader, question string, columns audit.Columns, k *destination.Known) error {
	where, err := query.Parse(question)
	if err != nil {
		return fmt.Errorf("%s: %w", question, err)
	}
	q, n := trail.Always(where), 0
	page := trail.Page{Limit: goingLast, Columns: audit.Set(audit.Staged, audit.Received)}
	err = r.Search(ctx, q, page, func(e *audit.Event) error {
		if n++; n == goingLast {
			q.Since = e.Time()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.Search(ctx, q, trail.Page{Oldest: true, Columns: columns}, func(e *audit.Event) error {
		k.Learn(e)
		return nil
	})
}
