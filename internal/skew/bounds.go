package skew

import (
	"maps"
	"math"
	"slices"
)

// Skew is by how much the clock of an API server is ahead of that of the reference, the
// first server of its cluster by name, in microseconds: at least Low and at most High.
type Skew struct {
	Low, High int64
	Known     bool // both bounds are; the reference's own are 0 and 0
	Unsteady  bool // no one difference fits all events: a clock was set; these bounds are of the latest events
}

// Estimate is the middle of the bounds.
func (s Skew) Estimate() int64 { return s.Low + (s.High-s.Low)/2 }

// Consistent reports whether there may be no difference at all.
func (s Skew) Consistent() bool { return s.Known && s.Low <= 0 && s.High >= 0 }

// unbounded is no bound at all, and may be added to another without overflow.
const unbounded = math.MaxInt64 / 4

// Skews returns the skew of every server of a cluster, by name.
func (s *Estimator) Skews(clusterName string) map[string]Skew {
	c := s.clusters[clusterName]
	if c == nil {
		return nil
	}
	names := slices.Sorted(maps.Keys(c.servers))
	out := map[string]Skew{}
	for after, unsteady := uint64(0), false; ; unsteady = true {
		upper := c.bounds(names, after)
		ok := shorten(upper)
		next := c.middle(after)
		if !ok && next != 0 { // look at the later half alone
			after = next
			continue
		}
		for i, name := range names {
			low, high := -upper[i][0], upper[0][i]
			out[name] = Skew{Low: low, High: high, Known: ok && low > -unbounded/2 && high < unbounded/2, Unsteady: unsteady}
		}
		return out
	}
}

// middle is a version with half of the ceilings behind after on either side of it, or 0
// where there are too few to be divided.
func (c *cluster) middle(after uint64) uint64 {
	var all []uint64
	for _, s := range c.servers {
		for _, p := range s.ceilings {
			if p.version > after {
				all = append(all, p.version)
			}
		}
	}
	if len(all) < 16 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// bounds returns the smallest upper bound of clock(j) - clock(i) for all servers i and j,
// from versions behind after: one pass over all points in the order of versions, which
// remembers of each server the latest floor that it passed.
func (c *cluster) bounds(names []string, after uint64) [][]int64 {
	type mark struct {
		point
		server  int
		ceiling bool
	}
	var all []mark
	upper := make([][]int64, len(names))
	latest := make([]int64, len(names))
	for i, name := range names {
		upper[i] = slices.Repeat([]int64{unbounded}, len(names))
		upper[i][i] = 0
		latest[i] = math.MinInt64
		for _, p := range c.servers[name].floors {
			all = append(all, mark{p, i, false})
		}
		for _, p := range c.servers[name].ceilings {
			all = append(all, mark{p, i, true})
		}
	}
	slices.SortFunc(all, func(a, b mark) int {
		switch {
		case a.version != b.version && a.version < b.version || a.version == b.version && !a.ceiling && b.ceiling:
			return -1
		case a.version == b.version && a.ceiling == b.ceiling:
			return 0
		}
		return 1
	})
	for _, m := range all {
		switch {
		case m.version <= after:
		case !m.ceiling:
			latest[m.server] = max(latest[m.server], m.time)
		default:
			for i, l := range latest {
				if i != m.server && l != math.MinInt64 {
					upper[i][m.server] = min(upper[i][m.server], m.time-l)
				}
			}
		}
	}
	return upper
}

// shorten makes bounds tighter by way of third servers, and reports whether all can hold
// at once.
func shorten(upper [][]int64) bool {
	for k := range upper {
		for i := range upper {
			for j := range upper {
				upper[i][j] = min(upper[i][j], upper[i][k]+upper[k][j])
			}
		}
	}
	for i := range upper {
		if upper[i][i] < 0 {
			return false
		}
	}
	return true
}
