package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"

	"kubetrail/audit"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/trailtest"
)

// inMemory is an input whose bytes are b.
func inMemory(name string, b []byte) Input {
	return Input{Name: name, Size: int64(len(b)), Each: func(visit func(string, io.Reader) error, _ func(*audit.Damage)) error {
		return visit(name, bytes.NewReader(b))
	}}
}

func open(memory int) trailtest.Open {
	return func(t *testing.T, lines [][]byte) trail.Reader {
		var b []byte
		for _, l := range lines {
			b = append(append(b, l...), '\n')
		}
		return Open(Config{Inputs: []Input{inMemory(trailtest.Source, b)}, Cluster: trailtest.Cluster, Memory: memory,
			OnFault: func(f trail.Fault) { t.Errorf("a fault in the law: %+v", f) }})
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLaw(t *testing.T) { trailtest.RunReader(t, open(0)) }

func TestFaultsLaw(t *testing.T) {
	trailtest.RunFaults(t, func(t *testing.T, log []byte) trail.Reader {
		return Open(Config{Inputs: []Input{inMemory(trailtest.Source, log)}, Cluster: trailtest.Cluster})
	})
}

// bigEvents are lines in the order of time but for a few, 2 MiB in all.
func bigEvents() []byte {
	var b []byte
	for i := range 2000 {
		at := i * 1000
		if i%50 == 49 {
			at -= 20_000
		}
		b = fmt.Appendf(b, `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"%d","stage":"Panic","requestURI":"/%s","verb":"get","user":{},"requestReceivedTimestamp":null,"stageTimestamp":"%s"}`+"\n",
			i, strings.Repeat("x", 800), time.UnixMicro(1_800_000_000_000_000+int64(at)).UTC().Format("2006-01-02T15:04:05.000000Z"))
	}
	return b
}

// passes counts how often an input is read.
func passes(in Input, n *int) Input {
	each := in.Each
	in.Each = func(visit func(string, io.Reader) error, damage func(*audit.Damage)) error {
		*n++
		return each(visit, damage)
	}
	return in
}

func ids(t *testing.T, r trail.Reader, page trail.Page) []string {
	t.Helper()
	var got []string
	err := r.Search(t.Context(), trail.Always(nil), page, func(e *audit.Event) error {
		if string(e.AppendLine(nil)) == "" {
			t.Error("an event without its line")
		}
		got = append(got, string(e.Text[audit.AuditID]))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestLittleMemory checks that answers which do not fit in memory come all the same,
// in the same order, and in how many passes.
func TestLittleMemory(t *testing.T) {
	text := bigEvents()
	plenty := Open(Config{Inputs: []Input{inMemory("log", text)}})
	for _, c := range []struct {
		name   string
		memory int
		page   trail.Page
		passes int // at most
	}{
		{"oldest, as one stream", 400 << 10, trail.Page{Oldest: true}, 2},
		{"oldest, the window does not fit", 20 << 10, trail.Page{Oldest: true}, 450},
		{"newest, batch by batch", 400 << 10, trail.Page{}, 12},
		{"the limit is in the stream", 400 << 10, trail.Page{Oldest: true, Limit: 1500}, 2},
		{"the limit is in a batch", 400 << 10, trail.Page{Limit: 1500}, 12},
		{"one event at a time", 1, trail.Page{Limit: 5}, 6},
		{"a small answer", 400 << 10, trail.Page{Limit: 50}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := 0
			r := Open(Config{Inputs: []Input{passes(inMemory("log", text), &n)}, Memory: c.memory})
			c.page.Columns = audit.Set(audit.AuditID, audit.Line)
			got := ids(t, r, c.page)
			if want := ids(t, plenty, c.page); !slices.Equal(got, want) {
				t.Errorf("got %d events, want %d; they differ", len(got), len(want))
			}
			if n > c.passes {
				t.Errorf("%d passes, want at most %d", n, c.passes)
			}
		})
	}
}

// TestTooMany checks that counts which do not fit in memory are refused.
func TestTooMany(t *testing.T) {
	r := Open(Config{Inputs: []Input{inMemory("log", bigEvents())}, Memory: 10 << 10})
	id, err := audit.Resolve("auditID")
	if err != nil {
		t.Fatal(err)
	}
	var many *TooManyError
	if _, err := r.Aggregate(t.Context(), trail.Always(nil), []audit.Ref{id}, 1); !errors.As(err, &many) {
		t.Errorf("2,000 groups in 10 KiB: %v", err)
	}
	if _, err := r.Histogram(t.Context(), trail.Always(nil), time.Microsecond); !errors.As(err, &many) {
		t.Errorf("2,000,000 buckets in 10 KiB: %v", err)
	}
	if _, err := r.Histogram(t.Context(), trail.Always(nil), time.Nanosecond); err == nil {
		t.Error("buckets of a nanosecond, and no error")
	}
}

// TestFaults checks that every fault is told once, however often the input is read.
func TestFaults(t *testing.T) {
	text := append([]byte("this is no event\n"), bigEvents()...)
	text = append(text, `{"kind":"Event","apiVer`...)
	var faults []trail.Fault
	r := Open(Config{Inputs: []Input{inMemory("log", text)}, Cluster: "c", OnFault: func(f trail.Fault) { faults = append(faults, f) }})
	for range 2 {
		if got := ids(t, r, trail.Page{Columns: audit.AllColumns}); len(got) != 2000 {
			t.Errorf("%d events beside the faults, want 2000", len(got))
		}
	}
	if len(faults) != 2 || faults[0].Offset != 0 || faults[0].Source != "log" || faults[0].Cluster != "c" || faults[1].Length == 0 {
		t.Errorf("faults: %+v", faults)
	}
	s, err := r.Summary(t.Context())
	if err != nil || s.Faults != 2 {
		t.Errorf("the summary counts %d faults, %v", s.Faults, err)
	}
}

// TestSourceError checks that an error of a file is not taken for its end.
func TestSourceError(t *testing.T) {
	broken := errors.New("disk on fire")
	in := Input{Name: "log", Each: func(visit func(string, io.Reader) error, _ func(*audit.Damage)) error {
		return visit("log", io.MultiReader(bytes.NewReader(bigEvents()), iotest.ErrReader(broken)))
	}}
	err := Open(Config{Inputs: []Input{in}}).Search(t.Context(), trail.Always(nil), trail.Page{Limit: 1}, func(*audit.Event) error { return nil })
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}
