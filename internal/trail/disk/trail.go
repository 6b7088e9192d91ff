package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// Trail answers questions about the parts in a directory; it implements
// [trail.Reader]. It needs no lock and may be open while a writer works.
type Trail struct {
	dir     string
	workers int
	readDir func(string) ([]os.DirEntry, error) // os.ReadDir, but in a test

	mu    sync.Mutex
	parts map[string]*part // open parts by file name
	views []*view          // idle, at most workers
}

// ErrNoTrail means that there is no trail in the directory.
var ErrNoTrail = errors.New("no trail")

// Open opens the trail in dir for reading, with as many questions' worth of memory
// as there are processors. Its error is an ErrNoTrail where nothing was ever kept.
func Open(dir string) (*Trail, error) {
	t := &Trail{dir: filepath.Join(dir, "parts"), workers: runtime.GOMAXPROCS(0), readDir: os.ReadDir, parts: make(map[string]*part)}
	if _, err := os.Stat(t.dir); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s", ErrNoTrail, dir)
	} else if err != nil {
		return nil, err
	}
	return t, nil
}

// Close closes the parts. No question may be under way.
func (t *Trail) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, p := range t.parts {
		errs = append(errs, p.file.Close())
	}
	for _, v := range t.views {
		v.dec.Close()
	}
	t.parts, t.views = nil, nil
	return errors.Join(errs...)
}

// snapshot opens what the directory lists now and holds on to it until release, so
// that merging and retention cannot take a part away from under a question.
func (t *Trail) snapshot() ([]*part, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for try := 0; ; try++ {
		parts, err := t.list()
		if err == nil && (whole(parts) || try >= looksAgain) {
			for _, p := range parts {
				p.refs++
			}
			return parts, nil
		}
		// A part can be merged into another between listing and opening.
		if err != nil && !errors.Is(err, os.ErrNotExist) || try == 10 {
			return nil, err
		}
	}
}

// looksAgain is how often the directory is listed again before numbers that it lacks
// are believed to be gone. Merging may go on while it is listed, and then neither the
// merged part nor those that it is made of need be in the list.
const looksAgain = 3

// whole reports whether no number is missing between the first and the last of parts.
func whole(parts []*part) bool {
	for i := 1; i < len(parts); i++ {
		if parts[i].meta.First > parts[i-1].meta.Last+1 {
			return false
		}
	}
	return true
}

func (t *Trail) list() ([]*part, error) {
	entries, err := t.readDir(t.dir)
	if err != nil {
		return nil, err
	}
	names, _ := liveParts(entries)
	live := make(map[string]bool, len(names))
	parts := make([]*part, 0, len(names))
	for _, name := range names {
		p := t.parts[name]
		if p != nil && p.replaced(t.dir) {
			t.forget(p)
			p = nil
		}
		if p == nil {
			if p, err = openPart(t.dir, name); err != nil {
				return nil, err
			}
			t.parts[name] = p
		}
		live[name] = true
		parts = append(parts, p)
	}
	for name, p := range t.parts {
		if !live[name] {
			t.forget(p)
		}
	}
	return parts, nil
}

// forget closes a part that is not there any more, now or when no question reads it.
func (t *Trail) forget(p *part) {
	delete(t.parts, p.name)
	if p.refs == 0 {
		p.file.Close()
	}
}

func (t *Trail) release(parts []*part) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range parts {
		p.refs--
		if p.refs == 0 && t.parts[p.name] != p {
			p.file.Close()
		}
	}
}

func (t *Trail) takeView() (*view, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.views); n > 0 {
		v := t.views[n-1]
		t.views = t.views[:n-1]
		return v, nil
	}
	return newView()
}

func (t *Trail) giveView(v *view) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.views) < t.workers && t.parts != nil {
		t.views = append(t.views, v)
		return
	}
	v.dec.Close()
}

// each calls f for every part, several at a time but each with a view of its own,
// beginning them in the order given.
func (t *Trail) each(ctx context.Context, parts []*part, f func(v *view) error) error {
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range min(t.workers, len(parts)) {
		group.Go(func() error {
			v, err := t.takeView()
			if err != nil {
				return err
			}
			defer t.giveView(v)
			for {
				i := int(next.Add(1)) - 1
				if i >= len(parts) {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				v.open(parts[i])
				if err := f(v); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// overlapping returns the parts that can hold an answer to q.
func overlapping(parts []*part, q trail.Query) []*part {
	var out []*part
	for _, p := range parts {
		if p.overlaps(q) && p.rows > 0 {
			out = append(out, p)
		}
	}
	return out
}

// Summary implements [trail.Reader].
func (t *Trail) Summary(ctx context.Context) (trail.Summary, error) {
	s := trail.Summary{First: audit.NoTime, Last: audit.NoTime}
	parts, err := t.snapshot()
	if err != nil {
		return s, err
	}
	defer t.release(parts)
	for _, p := range parts {
		s.Events += uint64(p.rows)
		s.Parts++
		s.StoredBytes += p.size
		s.LineBytes += p.meta.LineBytes
		s.RawLines += p.meta.RawLines
		s.Faults += p.meta.Faults
		s.NextSeq = p.meta.Last + 1
		if o := p.meta.Oldest; o != audit.NoTime && (s.First == audit.NoTime || o < s.First) {
			s.First = o
		}
		s.Last = max(s.Last, p.meta.Newest)
	}
	if len(parts) > 0 {
		if s.Sources, err = parts[len(parts)-1].sources(); err != nil {
			return s, err
		}
	}
	return s, nil
}

// Faults implements [trail.Reader]. It holds those of one part at a time.
func (t *Trail) Faults(ctx context.Context, yield func(trail.Fault) error) error {
	parts, err := t.snapshot()
	if err != nil {
		return err
	}
	defer t.release(parts)
	for _, p := range parts {
		list, err := p.faults()
		if err != nil {
			return fmt.Errorf("part %s: %w", p.name, err)
		}
		for _, f := range list {
			f.Seq = max(f.Seq, p.meta.First) // parts of earlier versions do not tell
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := yield(f); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}
