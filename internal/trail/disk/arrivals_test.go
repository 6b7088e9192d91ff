package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

// arrivalLine is event n, whose verb is one of three.
func arrivalLine(n uint64) []byte {
	verb := []string{"get", "list", "delete"}[n*n%7%3]
	return fmt.Appendf(nil, `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"id-%d","stage":"ResponseComplete",`+
		`"requestURI":"/x/%d","verb":"%s","user":{"username":"u-%d"},"requestReceivedTimestamp":"2026-11-20T15:%02d:00.000000Z","stageTimestamp":"2026-11-20T15:%02d:00.000000Z"}`,
		n, n, verb, n%5, n*13%60, n*13%60)
}

// TestArrivals commits, sets aside, merges and removes in any order, while somebody
// follows with questions and limits of all kinds: every answer comes once, in order,
// and what was removed before it was asked for is counted.
func TestArrivals(test *testing.T) {
	rapid.Check(test, func(t *rapid.T) {
		dir, err := os.MkdirTemp(test.TempDir(), "trail")
		if err != nil {
			t.Fatal(err)
		}
		w := openWriter(test, Config{Dir: dir})
		defer w.Close()
		tr, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		where, err := query.Parse("verb:get or verb:list")
		if err != nil {
			t.Fatal(err)
		}
		q := trail.Always(where)
		matches := func(line string) bool {
			var e audit.Event
			return e.Scan([]byte(line)) == nil && where.Match(&e)
		}
		kept := map[uint64]string{} // the model: what is in the trail, by number
		var next, seen uint64       // of the trail, of whoever follows
		t.Repeat(map[string]func(*rapid.T){
			"commit": func(t *rapid.T) {
				// Two at least: what replaces a part of one number has the same name, and
				// an open trail goes on to show what it replaced.
				for range rapid.IntRange(2, 9).Draw(t, "events") {
					if rapid.IntRange(0, 5).Draw(t, "fault") == 0 {
						w.SetAside(trail.Fault{Source: "x", Offset: int64(next), Length: 1, Reason: "none"})
					} else {
						kept[next] = string(arrivalLine(next))
						add(test, w, "x", [][]byte{arrivalLine(next)})
					}
					next++
				}
				commit(test, w)
			},
			"merge": func(t *rapid.T) {
				if _, err := w.Compact(test.Context()); err != nil {
					t.Fatal(err)
				}
			},
			"expire": func(t *rapid.T) {
				if _, err := w.Expire(test.Context(), Retention{Before: audit.NoTime, MaxBytes: int64(rapid.IntRange(1, 20_000).Draw(t, "bytes"))}); err != nil {
					t.Fatal(err)
				}
				lines, _ := contents(test, dir)
				for n := range kept {
					if _, ok := lines[n]; !ok {
						delete(kept, n)
					}
				}
			},
			"follow": func(t *rapid.T) {
				limit := rapid.IntRange(0, 7).Draw(t, "limit")
				before, got := seen, map[uint64]bool{}
				a, err := tr.Arrivals(test.Context(), q, seen, limit, audit.AllColumns, func(e *audit.Event) error {
					if e.Seq < seen {
						t.Fatalf("number %d after number %d", e.Seq, seen)
					}
					seen = e.Seq + 1
					if line := kept[e.Seq]; line != string(e.AppendLine(nil)) || !matches(line) {
						t.Fatalf("number %d is %s", e.Seq, e.AppendLine(nil))
					}
					got[e.Seq] = true
					return nil
				})
				if err != nil || a.Next < seen || a.Next > next || limit == 0 && a.Next != next || limit > 0 && len(got) > limit {
					t.Fatalf("from %d with limit %d: %+v, %v; the trail ends at %d", before, limit, a, err, next)
				}
				for seen = before; seen < a.Next; seen++ {
					if line, ok := kept[seen]; ok && matches(line) && !got[seen] {
						t.Fatalf("number %d did not come", seen)
					}
				}
				if a.Gone > a.Next-before {
					t.Fatalf("%d of %d are gone", a.Gone, a.Next-before)
				}
			},
			"back": func(t *rapid.T) {
				n := rapid.IntRange(0, 40).Draw(t, "n")
				from, err := tr.Back(test.Context(), q, n)
				if err != nil {
					t.Fatal(err)
				}
				there, after := 0, 0
				for at, line := range kept {
					if matches(line) {
						there++
						if at >= from {
							after++
						}
					}
				}
				if after != min(n, there) {
					t.Fatalf("%d answers from %d on, want %d of %d", after, from, n, there)
				}
			},
		})
	})
}

// TestArrivalsBesideWriter follows while another goroutine commits and a third merges.
func TestArrivalsBesideWriter(t *testing.T) {
	dir := t.TempDir()
	w := openWriter(t, Config{Dir: dir})
	defer w.Close()
	m, err := w.Merger()
	if err != nil {
		t.Fatal(err)
	}
	const events = 600
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	errs := make(chan error, 2)
	go func() {
		var err error
		for ctx.Err() == nil && err == nil {
			_, err = m.Step(context.Background())
		}
		errs <- err
	}()
	go func() {
		var err error
		var e audit.Event
		e.Text[audit.Source] = []byte("x")
		for n := uint64(0); n < events && err == nil; n++ {
			if err = e.Scan(arrivalLine(n)); err == nil {
				w.Append(&e)
				err = w.Commit(context.Background())
			}
		}
		errs <- err
	}()
	tr := openTrail(t, dir)
	var next uint64
	for next < events {
		a, err := tr.Arrivals(t.Context(), trail.Always(nil), next, 50, audit.Set(audit.Seq), func(e *audit.Event) error {
			if e.Seq != next {
				return fmt.Errorf("number %d instead of %d", e.Seq, next)
			}
			next++
			return nil
		})
		if err != nil || a.Gone > 0 || a.Next != next {
			t.Fatalf("%+v after %d: %v", a, next, err)
		}
	}
	stop()
	if err := errors.Join(<-errs, <-errs); err != nil {
		t.Fatal(err)
	}
}

// TestArrivalsEnds checks what ends a call early, and numbers of another trail.
func TestArrivalsEnds(t *testing.T) {
	dir := t.TempDir()
	w := openWriter(t, Config{Dir: dir})
	defer w.Close()
	tr := openTrail(t, dir)
	none := func(*audit.Event) error { return errors.New("an event of an empty trail") }
	if a, err := tr.Arrivals(t.Context(), trail.Always(nil), 0, 0, 0, none); err != nil || a != (Arrived{}) {
		t.Errorf("an empty trail: %+v, %v", a, err)
	}
	if from, err := tr.Back(t.Context(), trail.Always(nil), 10); err != nil || from != 0 {
		t.Errorf("an empty trail begins at %d, %v", from, err)
	}
	if _, err := tr.Arrivals(t.Context(), trail.Always(nil), 1, 0, 0, none); !errors.Is(err, ErrAhead) {
		t.Errorf("from 1 of an empty trail: %v", err)
	}
	add(t, w, "x", slices.Collect(func(yield func([]byte) bool) {
		for n := range uint64(10) {
			if !yield(arrivalLine(n)) {
				return
			}
		}
	}))
	commit(t, w)
	if _, err := tr.Arrivals(t.Context(), trail.Always(nil), 11, 0, 0, none); !errors.Is(err, ErrAhead) {
		t.Errorf("from 11 of 10: %v", err)
	}
	enough, n := errors.New("enough"), 0
	_, err := tr.Arrivals(t.Context(), trail.Always(nil), 0, 0, 0, func(*audit.Event) error {
		if n++; n == 3 {
			return enough
		}
		return nil
	})
	if err != enough || n != 3 {
		t.Errorf("yield ended it after %d with %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tr.Arrivals(ctx, trail.Always(nil), 0, 0, 0, none); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}
