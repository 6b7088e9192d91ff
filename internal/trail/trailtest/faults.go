package trailtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// OpenLog makes a trail of a log as it lies on disk, which holds events, each a line, and
// what is no event. What it needs to undo it leaves to t.Cleanup.
type OpenLog func(t *testing.T, log []byte) trail.Reader

// RunFaults checks that the trails made by open tell what was set aside.
func RunFaults(t *testing.T, open OpenLog) {
	log, want := faultyLog(t)
	r := open(t, log)
	t.Run("All", func(t *testing.T) { testFaults(t, r, want) })
	t.Run("YieldError", func(t *testing.T) {
		n := 0
		err := r.Faults(t.Context(), func(trail.Fault) error { n++; return errEnough })
		if err != errEnough || n != 1 {
			t.Errorf("error %v after %d faults, want %v after 1", err, n, errEnough)
		}
	})
	t.Run("Cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := r.Faults(ctx, func(trail.Fault) error { t.Error("a fault after the end"); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: %v", err)
		}
	})
	t.Run("None", func(t *testing.T) {
		err := open(t, nil).Faults(t.Context(), func(f trail.Fault) error { return fmt.Errorf("out of nothing: %+v", f) })
		if err != nil {
			t.Error(err)
		}
	})
}

// faultyLog puts a fault before, between and after the events of a log, and returns what
// is to be told of each.
func faultyLog(t *testing.T) (log []byte, want []trail.Fault) {
	t.Helper()
	for i, line := range Lines() {
		switch {
		case i%17 == 0:
			log = fmt.Appendf(log, "no event %d <&> \u2028\n", i)
		case i%29 == 0:
			log = append(log, make([]byte, 10_000)...)
		}
		log = append(append(log, line...), '\n')
	}
	log = append(log, "torn"...)
	r := audit.NewReader(bytes.NewReader(log), audit.ReaderConfig{})
	var e audit.Event
	for {
		err := r.Next(&e)
		if f, ok := errors.AsType[*audit.Fault](err); ok {
			want = append(want, trail.Fault{Source: Source, Cluster: Cluster, Offset: f.Offset, Length: f.Length, Reason: f.Reason, Head: f.Head})
		} else if err != nil {
			return log, want
		}
	}
}

// testFaults compares the faults, and checks that their numbers lie between those of the
// events around them.
func testFaults(t *testing.T, r trail.Reader, want []trail.Fault) {
	type place struct {
		seq    uint64
		offset int64
	}
	var events []place
	err := r.Search(t.Context(), trail.Always(nil), trail.Page{Columns: audit.Set(audit.Seq, audit.Offset)}, func(e *audit.Event) error {
		events = append(events, place{e.Seq, e.Offset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []trail.Fault
	err = r.Faults(t.Context(), func(f trail.Fault) error {
		for _, e := range events {
			if e.offset < f.Offset && e.seq >= f.Seq || e.offset > f.Offset && e.seq < f.Seq {
				t.Errorf("fault %d at %d, event %d at %d", f.Seq, f.Offset, e.seq, e.offset)
			}
		}
		f.Seq = 0
		got = append(got, f)
		return nil
	})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v; got %d faults, want %d\n%+v\n%+v", err, len(got), len(want), got, want)
	}
}
