package file

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// groupBytes is about what a group takes beside its key.
const groupBytes = 120

// Aggregate implements [trail.Reader]. Its error is a [TooManyError] where the groups
// do not fit in Config.Memory.
func (t *Trail) Aggregate(ctx context.Context, q trail.Query, by []audit.Ref, limit int) (trail.Groups, error) {
	g := grouper{by: by, values: make([][]string, len(by)), counts: map[string]*uint64{}}
	var events uint64
	err := t.pass(ctx, func(e *audit.Event) error {
		if !matches(q, e) {
			return nil
		}
		events++
		g.add(e)
		if g.bytes > t.cfg.Memory {
			return &TooManyError{"groups"}
		}
		return nil
	})
	if err != nil {
		return trail.Groups{}, err
	}
	rows := g.rows()
	answer := trail.Groups{Rows: rows, Groups: len(rows), Events: events}
	if limit > 0 && len(rows) > limit {
		answer.Rows = slices.Clip(rows[:limit])
	}
	return answer, nil
}

// grouper counts events by the values of fields.
type grouper struct {
	by     []audit.Ref
	values [][]string // of the event in hand, by field
	key    []byte     // its values so far, each after its length
	counts map[string]*uint64
	bytes  int
}

func (g *grouper) add(e *audit.Event) {
	for i, r := range g.by {
		g.values[i] = g.values[i][:0]
		r.Each(e, func(v audit.Value) bool {
			s := string(trail.AppendKey(nil, v))
			if !slices.Contains(g.values[i], s) {
				g.values[i] = append(g.values[i], s)
			}
			return true
		})
		if len(g.values[i]) == 0 {
			g.values[i] = append(g.values[i], "")
		}
	}
	g.key = g.key[:0]
	g.count(0)
}

// count counts every combination of the values of the fields from i on.
func (g *grouper) count(i int) {
	if i == len(g.by) {
		n := g.counts[string(g.key)]
		if n == nil {
			n = new(uint64)
			g.counts[string(g.key)] = n
			g.bytes += len(g.key) + groupBytes
		}
		*n++
		return
	}
	before := len(g.key)
	for _, v := range g.values[i] {
		g.key = binary.AppendUvarint(g.key[:before], uint64(len(v)))
		g.key = append(g.key, v...)
		g.count(i + 1)
	}
	g.key = g.key[:before]
}

// rows returns the groups, most frequent first.
func (g *grouper) rows() []trail.Group {
	rows := make([]trail.Group, 0, len(g.counts))
	for key, n := range g.counts {
		values := make([]string, 0, len(g.by))
		for len(key) > 0 {
			length, w := binary.Uvarint([]byte(key[:min(len(key), binary.MaxVarintLen64)]))
			values = append(values, key[w:w+int(length)])
			key = key[w+int(length):]
		}
		rows = append(rows, trail.Group{Key: values, Count: *n})
	}
	slices.SortFunc(rows, func(a, b trail.Group) int {
		if c := cmp.Compare(b.Count, a.Count); c != 0 {
			return c
		}
		return slices.Compare(a.Key, b.Key)
	})
	return rows
}
