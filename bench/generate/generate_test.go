package generate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"
)

func lines(tb testing.TB, cfg Config) *Generator {
	tb.Helper()
	g, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

func TestSameSeedSameBytes(t *testing.T) {
	sum := func(seed uint64) string {
		h := sha256.New()
		g := lines(t, Config{Events: 3000, Seed: seed})
		for line := g.Next(); line != nil; line = g.Next() {
			h.Write(line)
		}
		return hex.EncodeToString(h.Sum(nil))
	}
	first := sum(1)
	if again := sum(1); again != first {
		t.Errorf("the same seed gave %s and %s", first, again)
	}
	if other := sum(2); other == first {
		t.Errorf("another seed gave the same events")
	}
}

func TestJSON(t *testing.T) {
	g := lines(t, Config{Events: 20000, Seed: 3})
	for line := g.Next(); line != nil; line = g.Next() {
		if !json.Valid(line) {
			t.Fatalf("no JSON: %s", line)
		}
		if bytes.ContainsAny(line, "<>&\n") {
			t.Fatalf("not escaped: %s", line)
		}
	}
}

func TestSize(t *testing.T) {
	g := lines(t, Config{Events: 200000, Seed: 4})
	for g.Next() != nil {
	}
	f := g.Facts()
	if mean := float64(f.Bytes) / float64(f.Events); mean < 3000 || mean > 3200 {
		t.Errorf("%.0f B per event, want 3000 to 3200", mean)
	}
}
func BenchmarkNext(b *testing.B) {
	g := lines(b, Config{Events: int64(b.N) + 100, Seed: 1})
	var n int64
	b.ReportAllocs()
	for b.Loop() {
		n += int64(len(g.Next()))
		b.SetBytes(n / int64(g.index))
	}
}
