package access

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

// WithClusters returns a context in which a Scoped trail shows these clusters alone.
func WithClusters(ctx context.Context, clusters []string) context.Context {
	return context.WithValue(ctx, scopeKey{}, clusters)
}

// Clusters returns the clusters that may be seen in ctx; all tells that every one may.
func Clusters(ctx context.Context) (clusters []string, all bool) {
	clusters, limited := ctx.Value(scopeKey{}).([]string)
	return clusters, !limited
}

// Scoped is a trail of which each request sees the clusters that it may: whatever asks
// the trail with the context of a request is limited with it. It embeds no Reader, so
// that a method which a Reader gets has to be limited here too.
type Scoped struct{ Whole trail.Reader }

// Limit adds to a question that its answers are of clusters that may be seen.
func Limit(ctx context.Context, q trail.Query) (trail.Query, error) {
	clusters, all := Clusters(ctx)
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

// Search gives the answers that may be seen.
func (s Scoped) Search(ctx context.Context, q trail.Query, page trail.Page, yield func(*audit.Event) error) error {
	q, err := Limit(ctx, q)
	if err != nil {
		return err
	}
	return s.Whole.Search(ctx, q, page, yield)
}

// Aggregate counts those alone.
func (s Scoped) Aggregate(ctx context.Context, q trail.Query, by []audit.Ref, limited int) (trail.Groups, error) {
	q, err := Limit(ctx, q)
	if err != nil {
		return trail.Groups{}, err
	}
	return s.Whole.Aggregate(ctx, q, by, limited)
}

// Histogram counts those alone.
func (s Scoped) Histogram(ctx context.Context, q trail.Query, every time.Duration) ([]trail.Bucket, error) {
	q, err := Limit(ctx, q)
	if err != nil {
		return nil, err
	}
	return s.Whole.Histogram(ctx, q, every)
}

// Summary counts the events that may be seen and lists their sources. What the trail
// takes on disk, and when it begins and ends, is told of all of it; how many faults and
// raw lines there are is not told.
func (s Scoped) Summary(ctx context.Context) (trail.Summary, error) {
	all, err := s.Whole.Summary(ctx)
	clusters, unlimited := Clusters(ctx)
	if err != nil || unlimited {
		return all, err
	}
	q, err := Limit(ctx, trail.Always(nil))
	if err != nil {
		return trail.Summary{}, err
	}
	cluster, err := audit.Resolve("cluster")
	if err != nil {
		return trail.Summary{}, err
	}
	groups, err := s.Whole.Aggregate(ctx, q, []audit.Ref{cluster}, 0)
	if err != nil {
		return trail.Summary{}, err
	}
	all.Events, all.Faults, all.RawLines, all.LineBytes = groups.Events, 0, 0, 0
	all.Sources = slices.DeleteFunc(slices.Clone(all.Sources), func(x trail.Source) bool { return !slices.Contains(clusters, x.Cluster) })
	return all, nil
}

// Faults gives those of the clusters that may be seen.
func (s Scoped) Faults(ctx context.Context, yield func(trail.Fault) error) error {
	clusters, all := Clusters(ctx)
	return s.Whole.Faults(ctx, func(f trail.Fault) error {
		if !all && !slices.Contains(clusters, f.Cluster) {
			return nil
		}
		return yield(f)
	})
}

// Scan gives the answers in any order, the cheapest one where the trail knows one.
func (s Scoped) Scan(ctx context.Context, q trail.Query, columns audit.Columns, yield func(*audit.Event) error) error {
	q, err := Limit(ctx, q)
	if err != nil {
		return err
	}
	if scanner, ok := s.Whole.(trail.Scanner); ok {
		return scanner.Scan(ctx, q, columns, yield)
	}
	return s.Whole.Search(ctx, q, trail.Page{Oldest: true, Columns: columns}, yield)
}

var _ trail.Scanner = Scoped{}
