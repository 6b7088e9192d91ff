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
		err = w.merge(group)
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

// merge writes the union of group and then removes its members.
func (w *Writer) merge(group []*part) error {
	b := w.spare // nobody is writing: one batch more would be memory for nothing
	first, last := group[0].meta.First, group[len(group)-1].meta.Last
	b.reset(first)
	v, err := newView()
	if err != nil {
		return err
	}
	defer v.dec.Close()
	for _, p := range group {
		v.open(p)
		if err := v.replay(b); err != nil {
			return err
		}
		faults, err := p.faults()
		if err != nil {
			return err
		}
		b.faults = append(b.faults, faults...)
		b.meta.Faults += p.meta.Faults
	}
	if b.sources, err = group[len(group)-1].sources(); err != nil {
		return err
	}
	b.meta.Last = last
	dir := filepath.Join(w.cfg.Dir, "parts")
	name := filepath.Join(dir, partName(first, last))
	if err := durable.Write(w.cfg.FS, name, func(out io.Writer) error { return w.sealer.write(out, b) }); err != nil {
		return err
	}
	return w.remove(dir, group)
}

func (w *Writer) remove(dir string, parts []*part) error {
	for _, p := range parts {
		if err := w.cfg.FS.Remove(filepath.Join(dir, p.name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return w.cfg.FS.SyncDir(dir)
}

// replay adds every row of the open part to b.
func (v *view) replay(b *batch) error {
	line, err := v.number(colLine)
	if err != nil {
		return err
	}
	var e audit.Event
	for row := range v.p.rows {
		if err := v.fill(&e, row, audit.AllColumns); err != nil {
			return err
		}
		b.add(&e, e.Seq, int(line[row]), e.Raw)
	}
	return nil
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
	dir := filepath.Join(w.cfg.Dir, "parts")
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
			err = w.leaveMarker(dir, p)
		} else {
			err = w.remove(dir, parts[i:i+1])
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
func (w *Writer) leaveMarker(dir string, p *part) error {
	sources, err := p.sources()
	if err != nil {
		return err
	}
	b := &batch{}
	b.reset(p.meta.Last)
	b.meta.Last = p.meta.Last
	b.sources = sources
	name := partName(p.meta.Last, p.meta.Last)
	err = durable.Write(w.cfg.FS, filepath.Join(dir, name), func(out io.Writer) error { return w.sealer.write(out, b) })
	if err != nil || name == p.name { // the rename has replaced p already
		return err
	}
	return w.remove(dir, []*part{p})
}

var _ trail.Reader = (*Trail)(nil)
