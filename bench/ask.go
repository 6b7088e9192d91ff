package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kubetrail/audit"
	"kubetrail/bench/generate"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

// question is one thing to ask, of us and of others.
type question struct {
	name   string
	target time.Duration // at 10 million events, one core, warm; 0: none
	ask    func(ctx context.Context, r trail.Reader, f *generate.Facts) error
	grep   func(f *generate.Facts) string // what occurs in the lines asked for
	jq     func(f *generate.Facts) string // a filter
}

// questionList holds what one asks after an incident. Each checks its answer.
func questionList() []question {
	return []question{
		{"who deleted X", 30 * time.Millisecond, askDeleted,
			func(f *generate.Facts) string { return f.Deleted.Name },
			func(f *generate.Facts) string {
				return fmt.Sprintf(`select(.verb == "delete" and .objectRef.name == %q) | .user.username`, f.Deleted.Name)
			}},
		{"one auditID", 20 * time.Millisecond, askID,
			func(f *generate.Facts) string { return f.MiddleID },
			func(f *generate.Facts) string { return fmt.Sprintf(`select(.auditID == %q)`, f.MiddleID) }},
		{"history of an object, 1,000 bodies", 500 * time.Millisecond, askHistory,
			func(f *generate.Facts) string { return fmt.Sprintf(`"name":%q`, f.Hot.Name) },
			func(f *generate.Facts) string { return fmt.Sprintf(`select(.objectRef.name == %q)`, f.Hot.Name) }},
		{"top 20 of (user, verb, resource)", 200 * time.Millisecond, askTop, nil,
			func(*generate.Facts) string { return `[.user.username, .verb, .objectRef.resource] | @tsv` }},
		{"histogram of the day by minute", 300 * time.Millisecond, askHistogram, nil,
			func(*generate.Facts) string { return `.stageTimestamp[:16]` }},
		{"403s by user", 60 * time.Millisecond, askForbidden,
			func(*generate.Facts) string { return `"code":403}` },
			func(*generate.Facts) string { return `select(.responseStatus.code == 403) | .user.username` }},
		{"last 50 events", 50 * time.Millisecond, askLast, nil, nil},
		{"substring in all bodies", 7 * time.Second, askNeedle,
			func(f *generate.Facts) string { return f.Needle },
			func(f *generate.Facts) string {
				return fmt.Sprintf(`select([.requestObject, .responseObject | tostring | contains(%q)] | any) | .auditID`, f.Needle)
			}},
	}
}

// askTrail asks one question of a trail: once to warm up, then until five times or ten
// seconds are over.
func askTrail(ctx context.Context, t task) (result, error) {
	i := slices.IndexFunc(questionList(), func(q question) bool { return q.name == t.Question })
	if i < 0 {
		return openings(ctx, t)
	}
	q := questionList()[i]
	r, err := disk.Open(t.Trail)
	if err != nil {
		return result{}, err
	}
	if err := q.ask(ctx, r, t.Facts); err != nil {
		return result{Wrong: err.Error()}, r.Close()
	}
	var times []time.Duration
	began, used := time.Now(), cpuTime()
	for len(times) < 5 && (len(times) == 0 || time.Since(began) < 10*time.Second) {
		start := time.Now()
		if err := q.ask(ctx, r, t.Facts); err != nil {
			return result{}, errors.Join(err, r.Close())
		}
		times = append(times, time.Since(start))
	}
	return result{Wall: slices.Min(times), CPU: (cpuTime() - used) / time.Duration(len(times))}, r.Close()
}

// openings measures what comes before the first part is read: opening the trail and
// reading every footer.
func openings(ctx context.Context, t task) (result, error) {
	var times []time.Duration
	used := cpuTime()
	for range 6 {
		start := time.Now()
		r, err := disk.Open(t.Trail)
		if err != nil {
			return result{}, err
		}
		s, err := r.Summary(ctx)
		if err := errors.Join(err, r.Close()); err != nil {
			return result{}, err
		}
		if times = append(times, time.Since(start)); int64(s.Events) != t.Facts.Events {
			return result{Wrong: fmt.Sprintf("%d events, want %d", s.Events, t.Facts.Events)}, nil
		}
	}
	return result{Wall: slices.Min(times), CPU: (cpuTime() - used) / time.Duration(len(times))}, nil
}

func parse(kql string) (trail.Query, error) {
	n, err := query.Parse(kql)
	return trail.Always(n), err
}

// search gives what a question finds to yield and checks how much it is.
func search(ctx context.Context, r trail.Reader, kql string, page trail.Page, want int, yield func(*audit.Event) error) error {
	q, err := parse(kql)
	if err != nil {
		return err
	}
	n := 0
	err = r.Search(ctx, q, page, func(e *audit.Event) error {
		n++
		return yield(e)
	})
	if err == nil && n != want {
		return fmt.Errorf("%s: %d events, want %d", kql, n, want)
	}
	return err
}

func askDeleted(ctx context.Context, r trail.Reader, f *generate.Facts) error {
	return search(ctx, r, fmt.Sprintf("verb:delete and objectRef.name:%q", f.Deleted.Name),
		trail.Page{Columns: audit.Set(audit.Username, audit.AuditID, audit.Staged)}, 1, func(e *audit.Event) error {
			if by, id := string(e.Text[audit.Username]), string(e.Text[audit.AuditID]); by != f.DeletedBy || id != f.DeletedID {
				return fmt.Errorf("deleted by %s in %s, want %s in %s", by, id, f.DeletedBy, f.DeletedID)
			}
			return nil
		})
}

func askID(ctx context.Context, r trail.Reader, f *generate.Facts) error {
	return search(ctx, r, fmt.Sprintf("auditID:%q", f.MiddleID), trail.Page{Columns: audit.Set(audit.Line)}, 1, func(e *audit.Event) error {
		if line := e.AppendLine(nil); len(line) == 0 {
			return errors.New("no line")
		}
		return nil
	})
}

// historyColumns is what a history shows: who changed what, when, how and with what.
var historyColumns = audit.Set(audit.Staged, audit.Username, audit.ImpersonatedUsername, audit.Verb, audit.Subresource,
	audit.UserAgent, audit.Code, audit.RequestObject, audit.ResponseObject)

func askHistory(ctx context.Context, r trail.Reader, f *generate.Facts) error {
	last := int64(audit.NoTime)
	return search(ctx, r, fmt.Sprintf("objectRef.resource:%s and objectRef.namespace:%s and objectRef.name:%s", f.Hot.Resource, f.Hot.Namespace, f.Hot.Name),
		trail.Page{Oldest: true, Columns: historyColumns}, f.HotEvents, func(e *audit.Event) error {
			if e.RequestObject == nil || e.ResponseObject == nil || e.Time() < last {
				return errors.New("a body is missing, or out of order")
			}
			last = e.Time()
			return nil
		})
}

// aggregate compares groups with what is known of them.
func aggregate(ctx context.Context, r trail.Reader, kql string, limit int, want []generate.Count, fields ...string) error {
	q, err := parse(kql)
	if err != nil {
		return err
	}
	var by []audit.Ref
	for _, name := range fields {
		ref, err := audit.Resolve(name)
		if err != nil {
			return err
		}
		by = append(by, ref)
	}
	g, err := r.Aggregate(ctx, q, by, limit)
	if err != nil {
		return err
	}
	same := slices.EqualFunc(g.Rows, want, func(a trail.Group, b generate.Count) bool {
		return int64(a.Count) == b.Events && slices.Equal(a.Key, b.Key)
	})
	if !same {
		return fmt.Errorf("%v: %v, want %v", fields, g.Rows, want)
	}
	return nil
}

func askTop(ctx context.Context, r trail.Reader, f *generate.Facts) error {
	return aggregate(ctx, r, "", 20, f.Top[:min(len(f.Top), 20)], "user.username", "verb", "objectRef.resource")
}

func askForbidden(ctx context.Context, r trail.Reader, f *generate.Facts) error {
	return aggregate(ctx, r, "responseStatus.code:403", 0, f.Forbidden, "user.username")
}

func askHistogram(ctx context.Context, r trail.Reader, f *generate.Facts) error {
	buckets, err := r.Histogram(ctx, trail.Always(nil), time.Minute)
	if err != nil {
		return err
	}
	same := slices.EqualFunc(buckets, f.Minutes, func(a trail.Bucket, n int64) bool { return int64(a.Count) == n })
	if !same {
		return fmt.Errorf("%d minutes, or not those counts", len(buckets))
	}
	return nil
}

func askLast(ctx context.Context, r trail.Reader, f *generate.Facts) error {
	i := 0
	return search(ctx, r, "", trail.Page{Limit: 50, Columns: audit.Set(audit.Line)}, len(f.Last), func(e *audit.Event) error {
		if id := string(e.Text[audit.AuditID]); id != f.Last[i] {
			return fmt.Errorf("event %d from the end is %s, want %s", i, id, f.Last[i])
		}
		i++
		return nil
	})
}

func askNeedle(ctx context.Context, r trail.Reader, f *generate.Facts) error {
	return search(ctx, r, fmt.Sprintf("%q", f.Needle), trail.Page{Columns: audit.Set(audit.AuditID, audit.Staged)}, f.NeedleEvents, func(*audit.Event) error { return nil })
}
