package tally

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestSketch: quantiles are exact of a few durations and within 1.6 % of many, and the
// largest one is always exact.
func TestSketch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(1, 2*exactly), rapid.IntRange(1000, 3000)).Draw(t, "n")
		most := rapid.SampledFrom([]int64{40, 5_000, 3_600_000_000, math.MaxInt64 >> 22}).Draw(t, "most")
		var s Sketch
		var all []int64
		seed := rapid.Uint64().Draw(t, "seed")
		for range n {
			seed = seed*6364136223846793005 + 1442695040888963407
			all = append(all, int64(seed>>11)%(most+1))
			s.Note(all[len(all)-1])
		}
		slices.Sort(all)
		for _, q := range []float64{0, 0.5, 0.9, 0.99, 1} {
			want := all[min(int(q*float64(n)), n-1)]
			got := s.Quantile(q).Microseconds()
			if d := math.Abs(float64(got - want)); n <= exactly && got != want || d > 0.016*float64(want)+0.5 {
				t.Fatalf("quantile %v of %d is %d, want %d", q, n, got, want)
			}
		}
		if s.Max() != time.Duration(all[n-1])*time.Microsecond {
			t.Fatalf("max %v, want %d", s.Max(), all[n-1])
		}
	})
	var s Sketch
	s.Note(-5)
	if s.Quantile(0.5) != 0 || s.Max() != 0 {
		t.Error("less than nothing")
	}
	for range 100 {
		s.Note(math.MaxInt64 / 2000) // some thousand years
	}
	if s.Quantile(0.5) <= 0 {
		t.Error("too long for the steps")
	}
}
