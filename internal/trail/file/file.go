// Package file is the trail over plain audit files: every question is answered by
// reading the files, so that one can ask them on the spot without importing them.
//
// One streaming pass answers most questions. Memory is bounded by Config.Memory,
// whatever the files hold: where the answers of a search do not fit, it reads the
// files again and goes on where it stopped.
package file

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// Input is one file.
type Input struct {
	Name string // for messages
	Size int64  // bytes stored, for Summary; 0 if unknown

	// Each calls visit for each content of the file: once, or for every member of an
	// archive, under the name that the source column is to hold. It reads the file
	// from its beginning and gives the same bytes every time. It may be called from
	// several goroutines. damage is told where an archive is broken. An error of
	// visit is returned as it is.
	Each func(visit func(name string, plain io.Reader) error, damage func(*audit.Damage)) error

	// Decode reads one content; nil: [audit.NewReader]. Its errors are those of
	// [audit.Reader.Next], and it gives the same every time.
	Decode func(in io.Reader, cfg audit.ReaderConfig) (next func(*audit.Event) error)
}

// Config says what a Trail reads.
type Config struct {
	Inputs  []Input // in the order of time, as far as it is known
	Cluster string  // what the cluster column of every event holds
	Memory  int     // bytes for answers that wait for their turn, and for groups; 0: 64 MiB

	// OnFault, if not nil, is told of every stretch of an input that held no event,
	// once however often the input is read. Calls do not overlap.
	OnFault func(trail.Fault)
}

// Trail answers questions by reading files. Every method may be called from any
// goroutine. The number of an event, Seq, is its place in reading order, from 0.
type Trail struct {
	cfg Config

	mu       sync.Mutex
	reported int // faults that OnFault has heard of; guarded by mu
}

// Open returns the trail over cfg.Inputs. Nothing is read before a question comes.
func Open(cfg Config) *Trail {
	if cfg.Memory <= 0 {
		cfg.Memory = 64 << 20
	}
	return &Trail{cfg: cfg}
}

var _ trail.Reader = (*Trail)(nil)

// Search implements [trail.Reader].
func (t *Trail) Search(ctx context.Context, q trail.Query, page trail.Page, yield func(*audit.Event) error) error {
	s := &search{trail: t, query: q, page: page, yield: yield}
	return s.run(ctx)
}

var _ trail.Scanner = (*Trail)(nil)

// Scan implements [trail.Scanner]: one pass in reading order. Every column is filled in
// that the line has.
func (t *Trail) Scan(ctx context.Context, q trail.Query, _ audit.Columns, yield func(*audit.Event) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return t.pass(ctx, func(e *audit.Event) error {
		if !matches(q, e) {
			return nil
		}
		return yield(e)
	})
}

// TooManyError says that an answer would take more memory than Config.Memory.
type TooManyError struct{ What string }

func (err *TooManyError) Error() string { return "too many " + err.What + " to hold in memory" }

// Unwrap makes it a [trail.ErrTooMany].
func (err *TooManyError) Unwrap() error { return trail.ErrTooMany }

// Hint returns the next step, one line.
func (err *TooManyError) Hint() string {
	return "narrow the question, choose fields with fewer values or longer buckets, or import the files into a trail"
}

// Histogram implements [trail.Reader].
func (t *Trail) Histogram(ctx context.Context, q trail.Query, every time.Duration) ([]trail.Bucket, error) {
	length := every.Microseconds()
	if length <= 0 {
		return nil, fmt.Errorf("a bucket of %v is shorter than a microsecond", every)
	}
	counts := map[int64]uint64{}
	err := t.pass(ctx, func(e *audit.Event) error {
		at := e.Time()
		if at == audit.NoTime || !matches(q, e) {
			return nil
		}
		counts[floorDiv(at, length)]++
		if len(counts)*bucketBytes > t.cfg.Memory {
			return &TooManyError{"buckets"}
		}
		return nil
	})
	if err != nil || len(counts) == 0 {
		return nil, err
	}
	var first, last int64
	started := false
	for n := range counts {
		if !started {
			first, last, started = n, n, true
		}
		first, last = min(first, n), max(last, n)
	}
	if uint64(last-first) >= uint64(t.cfg.Memory/bucketBytes) {
		return nil, &TooManyError{"buckets"}
	}
	buckets := make([]trail.Bucket, 0, last-first+1)
	for n := first; n <= last; n++ {
		buckets = append(buckets, trail.Bucket{Start: n * length, Count: counts[n]})
	}
	return buckets, nil
}

// bucketBytes is about what a bucket takes in the map and the answer.
const bucketBytes = 48

func floorDiv(a, b int64) int64 {
	n := a / b
	if a%b < 0 {
		n--
	}
	return n
}

// Summary implements [trail.Reader]. Parts is the number of inputs.
func (t *Trail) Summary(ctx context.Context) (trail.Summary, error) {
	s := trail.Summary{Parts: len(t.cfg.Inputs), First: audit.NoTime, Last: audit.NoTime}
	for _, in := range t.cfg.Inputs {
		s.StoredBytes += in.Size
		s.Sources = append(s.Sources, trail.Source{Name: in.Name, Cluster: t.cfg.Cluster, Position: in.Size, Done: true})
	}
	var line []byte
	faults, err := t.read(ctx, func(e *audit.Event) error {
		s.Events++
		s.NextSeq++
		line = e.AppendLine(line[:0])
		s.LineBytes += int64(len(line))
		if at := e.Time(); at != audit.NoTime {
			if s.First == audit.NoTime || at < s.First {
				s.First = at
			}
			s.Last = max(s.Last, at)
		}
		return nil
	})
	s.Faults = uint64(faults)
	return s, err
}

// matches reports whether e answers q.
func matches(q trail.Query, e *audit.Event) bool {
	at := e.Time()
	if q.Since != audit.NoTime && (at < q.Since || at == audit.NoTime) {
		return false
	}
	if q.Until != audit.NoTime && (at >= q.Until || at == audit.NoTime) {
		return false
	}
	return q.Where == nil || q.Where.Match(e)
}
