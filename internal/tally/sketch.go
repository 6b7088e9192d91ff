package tally

import (
	"math/bits"
	"slices"
	"time"
)

// A Sketch knows quantiles of durations: exactly of up to exactly many, and after that
// within 1.6 %, since it counts in 32 steps for every power of two microseconds. The
// largest one is always exact. Its memory is bounded.
type Sketch struct {
	N     int
	Sum   time.Duration
	most  int64   // microseconds
	exact []int64 // until there are too many
	steps []uint32
}

const (
	exactly = 64
	perTwo  = 32
	twoBits = 5 // of perTwo
	ranges  = 42
)

// Note counts a duration in microseconds; what is negative counts as nothing.
func (s *Sketch) Note(us int64) {
	us = max(us, 0)
	s.N++
	s.Sum += time.Duration(us) * time.Microsecond
	s.most = max(s.most, us)
	if s.steps == nil && len(s.exact) < exactly {
		s.exact = append(s.exact, us)
		return
	}
	if s.steps == nil {
		s.steps = make([]uint32, perTwo*ranges)
		for _, x := range s.exact {
			s.steps[step(x)]++
		}
		s.exact = nil
	}
	s.steps[step(us)]++
}

// step is the place of a duration: exact below perTwo microseconds.
func step(us int64) int {
	if us < perTwo {
		return int(us)
	}
	power := bits.Len64(uint64(us)) - 1 - twoBits // us>>power is perTwo up to 2*perTwo-1
	return min(perTwo*power+int(us>>power), perTwo*ranges-1)
}

// middle is the duration that stands for a step.
func middle(i int) int64 {
	if i < 2*perTwo {
		return int64(i)
	}
	power := i/perTwo - 1
	low := int64(i%perTwo+perTwo) << power
	return low + int64(1)<<power/2
}

// Quantile returns the duration that a part q of all does not exceed.
func (s *Sketch) Quantile(q float64) time.Duration {
	if s.N == 0 {
		return 0
	}
	rank := min(int(q*float64(s.N)), s.N-1)
	if s.steps == nil {
		slices.Sort(s.exact)
		return time.Duration(s.exact[rank]) * time.Microsecond
	}
	for i, n := range s.steps {
		if rank -= int(n); rank < 0 {
			return time.Duration(min(middle(i), s.most)) * time.Microsecond
		}
	}
	return s.Max()
}

// Max returns the longest.
func (s *Sketch) Max() time.Duration { return time.Duration(s.most) * time.Microsecond }
