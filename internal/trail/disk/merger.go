package disk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"kubetrail/audit"
)

// growth is how many times as large as its largest member a merged part is at least,
// unless it is full. So every event is written again log(PartBytes)/log(growth) times
// at most, however small the commits are.
const growth = 4

// A Merger merges small parts while the Writer of the trail goes on committing. It has
// a batch of its own, which is the memory it takes. It is used by one goroutine at a
// time, and never beside Writer.Compact or Writer.Expire.
type Merger struct {
	cfg    Config
	sealer *sealer
	batch  *batch
	known  map[string]extent // by name of the part
}

// extent is what choosing parts needs to know of one.
type extent struct {
	name        string
	first, last uint64
	rows        int
	weight      int64
}

// Merger returns a merger of the trail that w writes.
func (w *Writer) Merger() (*Merger, error) {
	s, err := newSealer()
	if err != nil {
		return nil, err
	}
	return &Merger{cfg: w.cfg, sealer: s, batch: &batch{room: w.cfg.PartBytes}, known: map[string]extent{}}, nil
}

// Step merges one run of neighbouring parts into one, and reports whether there was
// any that is worth it. It ends with ctx's error before it has written anything.
func (m *Merger) Step(ctx context.Context) (merged bool, err error) {
	all, err := m.extents()
	if err != nil {
		return false, err
	}
	run := worthMerging(all, m.cfg.PartBytes)
	if run == nil {
		return false, nil
	}
	var group []*part
	defer func() { closeParts(group) }()
	dir := filepath.Join(m.cfg.Dir, "parts")
	for _, x := range run {
		p, err := openPart(dir, x.name)
		if err != nil {
			return false, err
		}
		group = append(group, p)
	}
	if err := merge(ctx, m.cfg, m.sealer, m.batch, group); err != nil {
		return false, fmt.Errorf("merge parts %s to %s: %w", run[0].name, run[len(run)-1].name, err)
	}
	return true, nil
}

// extents lists the live parts, looking only into those it has not seen before.
func (m *Merger) extents() ([]extent, error) {
	dir := filepath.Join(m.cfg.Dir, "parts")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names, _ := liveParts(entries)
	all := make([]extent, 0, len(names))
	known := make(map[string]extent, len(names))
	for _, name := range names {
		x, ok := m.known[name]
		if !ok {
			p, err := openPart(dir, name)
			if err != nil {
				return nil, err
			}
			x = extent{name, p.meta.First, p.meta.Last, p.rows, p.weight()}
			p.file.Close()
		}
		known[name] = x
		all = append(all, x)
	}
	m.known = known
	return all, nil
}

// worthMerging returns the first run of neighbours to merge, nil if there is none:
// either many that become one much larger than each, or some that fill a part.
func worthMerging(all []extent, room int64) []extent {
	for from := range all {
		var sum, largest int64
		rows, full := 0, false
		to := from
		for ; to < len(all) && all[to].rows > 0; to++ {
			x := all[to]
			if to > from && x.first != all[to-1].last+1 {
				break
			}
			if full = sum+x.weight > room || rows+x.rows > maxRows; full {
				break
			}
			sum, largest, rows = sum+x.weight, max(largest, x.weight), rows+x.rows
		}
		n := int64(to - from)
		if full && n >= 2 && 2*sum >= 3*largest || n >= minMerge && sum >= growth*largest {
			return all[from:to]
		}
	}
	return nil
}

// merge writes the union of group and then removes its members. b is memory to use.
func merge(ctx context.Context, cfg Config, s *sealer, b *batch, group []*part) error {
	first, last := group[0].meta.First, group[len(group)-1].meta.Last
	b.reset(first)
	v, err := newView()
	if err != nil {
		return err
	}
	defer v.dec.Close()
	for _, p := range group {
		if err := ctx.Err(); err != nil {
			return err
		}
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
	b.meta.Last, b.quick = last, cfg.Merged
	if err := writePart(cfg, s, b); err != nil {
		return err
	}
	return removeParts(cfg, group)
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
