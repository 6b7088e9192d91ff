package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"kubetrail/audit"
	"kubetrail/internal/durable"
	"kubetrail/internal/trail"
)

// minMerge is how many neighbouring parts are merged into one at least. Merging
// them sooner would write every event more often.
const minMerge = 8

// Compact merges neighbouring parts until none are left of which minMerge fit into
// one, and returns how many parts it wrote. Call it between commits; it ends with
// ctx's error after the part it is at.
func (w *Writer) Compact(ctx context.Context) (written int, err error) {
	if err := w.settle(); err != nil {
		return 0, err
	}
	for {
		if err := ctx.Err(); err != nil {
			return written, err
		}
		group, err := w.mergeable()
		if err != nil || group == nil {
			return written, err
		}
		// Nobody is writing: one batch more would be memory for nothing.
		err = merge(ctx, w.cfg, w.sealer, w.spare, group)
		closeParts(group)
		if err != nil {
			return written, fmt.Errorf("merge parts %s to %s: %w", group[0].name, group[len(group)-1].name, err)
		}
		written++
	}
}

func closeParts(parts []*part) {
	for _, p := range parts {
		p.file.Close()
	}
}

// open opens every live part of the trail, by ascending sequence number.
func (w *Writer) open() ([]*part, error) {
	dir := filepath.Join(w.cfg.Dir, "parts")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names, _ := liveParts(entries)
	var parts []*part
	for _, name := range names {
		p, err := openPart(dir, name)
		if err != nil {
			closeParts(parts)
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// mergeable returns the first run of minMerge or more neighbours that make one part
// together, open; nil if there is none. A hole that retention left is no neighbour.
func (w *Writer) mergeable() ([]*part, error) {
	parts, err := w.open()
	if err != nil {
		return nil, err
	}
	for from := 0; from < len(parts); from++ {
		to, bytes, rows := from, int64(0), 0
		for to < len(parts) && (to == from || parts[to].meta.First == parts[to-1].meta.Last+1) {
			p := parts[to]
			weight := p.weight()
			if bytes+weight > w.cfg.PartBytes || rows+p.rows > maxRows || p.rows == 0 {
				break
			}
			bytes += weight
			rows += p.rows
			to++
		}
		if to-from >= minMerge {
			group := parts[from:to:to]
			closeParts(parts[:from])
			closeParts(parts[to:])
			return group, nil
		}
	}
	closeParts(parts)
	return nil, nil
}

// weight is what a part takes of the size of the one it is merged into: the bytes of
// its lines, those kept beside the columns twice (see Full).
func (p *part) weight() int64 {
	if p.rows == 0 {
		return 0
	}
	return p.meta.LineBytes + p.meta.LineBytes/int64(p.rows)*int64(p.meta.RawLines)
}

// writePart makes b durable as a part.
func writePart(cfg Config, s *sealer, b *batch) error {
	name := filepath.Join(cfg.Dir, "parts", partName(b.first, b.meta.Last))
	return durable.Write(cfg.FS, name, func(out io.Writer) error { return s.write(out, b) })
}

func removeParts(cfg Config, parts []*part) error {
	dir := filepath.Join(cfg.Dir, "parts")
	for _, p := range parts {
		if err := cfg.FS.Remove(filepath.Join(dir, p.name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return cfg.FS.SyncDir(dir)
}

// Retention says what to keep.
type Retention struct {
	Before   int64 // microseconds since the epoch: what happened earlier goes; audit.NoTime keeps all
	MaxBytes int64 // of parts on disk; 0: no bound
}

// Expire removes whole parts, the oldest sequence numbers first: those whose newest
// event is older than r.Before, and as many as it takes to come down to r.MaxBytes.
// It returns how many events went. The newest part is replaced by an empty one that
// still knows the position of every source.
func (w *Writer) Expire(ctx context.Context, r Retention) (events uint64, err error) {
	if err := w.settle(); err != nil {
		return 0, err
	}
	parts, err := w.open()
	if err != nil {
		return 0, err
	}
	defer closeParts(parts)
	var total int64
	for _, p := range parts {
		total += p.size
	}
	for i, p := range parts {
		old := r.Before != audit.NoTime && p.meta.Newest != audit.NoTime && p.meta.Newest < r.Before
		large := r.MaxBytes > 0 && total > r.MaxBytes
		if !old && !large || p.rows == 0 && i == len(parts)-1 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return events, err
		}
		if i == len(parts)-1 {
			err = w.leaveMarker(p)
		} else {
			err = removeParts(w.cfg, parts[i:i+1])
		}
		if err != nil {
			return events, fmt.Errorf("remove part %s: %w", p.name, err)
		}
		events += uint64(p.rows)
		total -= p.size
	}
	return events, nil
}

// leaveMarker puts a part without rows, for the last number of p, in the place of
// p. Until p is gone the new one lies inside its range, so that a crash leaves p.
func (w *Writer) leaveMarker(p *part) error {
	sources, err := p.sources()
	if err != nil {
		return err
	}
	b := &batch{}
	b.reset(p.meta.Last)
	b.meta.Last = p.meta.Last
	b.sources = sources
	err = writePart(w.cfg, w.sealer, b)
	if err != nil || p.name == partName(b.first, b.meta.Last) { // the rename has replaced p already
		return err
	}
	return removeParts(w.cfg, []*part{p})
}

var _ trail.Reader = (*Trail)(nil)
