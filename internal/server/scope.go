package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

// scopeKey is the key of the clusters that may be seen in a context.
type scopeKey struct{}

// withClusters returns a context in which a scoped trail shows these clusters alone.
func withClusters(ctx context.Context, clusters []string) context.Context {
	return context.WithValue(ctx, scopeKey{}, clusters)
}

// clustersOf returns the clusters that may be seen in ctx; all tells that every one may.
func clustersOf(ctx context.Context) (clusters []string, all bool) {
	clusters, limited := ctx.Value(scopeKey{}).([]string)
	return clusters, !limited
}

// scoped is a trail of which each request sees the clusters that it may: whatever asks
// the trail with the context of a request is limited with it. It embeds no Reader, so
// that a method which a Reader gets has to be limited here too.
type scoped struct{ whole trail.Reader }

// limit adds to a question that its answers are of clusters that may be seen.
func limit(ctx context.Context, q trail.Query) (trail.Query, error) {
	clusters, all := clustersOf(ctx)
	if all {
		return q, nil
	}
	names := make([]string, len(clusters))
	for i, name := range clusters {
		names[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
	}
	only, err := query.Parse("cluster:(" + strings.Join(names, " or ") + ")")
	if err != nil {
		return q, fmt.Errorf("limit a question to clusters: %w", err)
	}
	q.Where = query.Both(q.Where, only)
	return q, nil
}

func (s scoped) Search(ctx context.Context, q trail.Query, page trail.Page, yield func(*audit.Event) error) error {
	q, err := limit(ctx, q)
	if err != nil {
		return err
	}
	return s.whole.Search(ctx, q, page, yield)
}

func (s scoped) Aggregate(ctx context.Context, q trail.Query, by []audit.Ref, limited int) (trail.Groups, error) {
	q, err := limit(ctx, q)
	if err != nil {
		return trail.Groups{}, err
	}
	return s.whole.Aggregate(ctx, q, by, limited)
}

func (s scoped) Histogram(ctx context.Context, q trail.Query, every time.Duration) ([]trail.Bucket, error) {
	q, err := limit(ctx, q)
	if err != nil {
		return nil, err
	}
	return s.whole.Histogram(ctx, q, every)
}

// Summary counts the events that may be seen and lists their sources. What the trail
// takes on disk, and when it begins and ends, is told of all of it; how many faults and
// raw lines there are is not told.
func (s scoped) Summary(ctx context.Context) (trail.Summary, error) {
	all, err := s.whole.Summary(ctx)
	clusters, unlimited := clustersOf(ctx)
	if err != nil || unlimited {
		return all, err
	}
	q, err := limit(ctx, trail.Always(nil))
	if err != nil {
		return trail.Summary{}, err
	}
	cluster, err := audit.Resolve("cluster")
	if err != nil {
		return trail.Summary{}, err
	}
	groups, err := s.whole.Aggregate(ctx, q, []audit.Ref{cluster}, 0)
	if err != nil {
		return trail.Summary{}, err
	}
	all.Events, all.Faults, all.RawLines, all.LineBytes = groups.Events, 0, 0, 0
	all.Sources = slices.DeleteFunc(slices.Clone(all.Sources), func(x trail.Source) bool { return !slices.Contains(clusters, x.Cluster) })
	return all, nil
}
