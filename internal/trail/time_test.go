package trail

import (
	"math"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 123456789, time.UTC)

func TestParseTime(t *testing.T) {
	ago := func(d time.Duration) int64 { return noon.Add(-d).UnixMicro() }
	tests := []struct {
		in   string
		want int64
	}{
		{"2026-11-20T15:21:41.557464Z", 1795188101557464},
		{"2026-11-20T15:21:41Z", 1795188101000000},
		{"2026-11-20T23:21:41+08:00", 1795188101000000},
		{"2026-11-20T15:21:41.5574649Z", 1795188101557464},
		{"1969-12-31T23:59:59.9999995Z", -1}, // down, not towards zero
		{"0001-01-01T00:00:00Z", -62135596800000000},
		{"2026-11-20", 1795132800000000},
		{"now", noon.UnixMicro()},
		{"0s", noon.UnixMicro()},
		{"30m", ago(30 * time.Minute)},
		{"2h", ago(2 * time.Hour)},
		{"7d", ago(7 * 24 * time.Hour)},
		{"1w1d", ago(8 * 24 * time.Hour)},
		{"1d12h30m15s250ms", ago(36*time.Hour + 30*time.Minute + 15*time.Second + 250*time.Millisecond)},
	}
	for _, tt := range tests {
		got, err := ParseTime(tt.in, noon)
		if err != nil || got != tt.want {
			t.Errorf("ParseTime(%q) = %d, %v; want %d", tt.in, got, err, tt.want)
		}
	}
}

func TestParseTimeRefuses(t *testing.T) {
	for _, in := range []string{
		"", " ", "yesterday", "-30m", "30", "m", "30m ", "1.5h", "1h1h", "1m1h", "5x", "３0m",
		"2026-13-01", "2026-11-20T15:21:41", "2026-11-20 15:21:41", "999999999999999999999h", "200000w",
	} {
		if got, err := ParseTime(in, noon); err == nil {
			t.Errorf("ParseTime(%q) = %d, want an error", in, got)
		} else if !strings.Contains(err.Error(), "RFC 3339") {
			t.Errorf("ParseTime(%q): %v does not say what is wanted", in, err)
		}
	}
}

func TestParseDurationAtItsLimit(t *testing.T) {
	if d, err := ParseDuration("9223372036854ms"); err != nil || d != math.MaxInt64/time.Millisecond*time.Millisecond {
		t.Errorf("the longest duration = %v, %v", d, err)
	}
	for _, in := range []string{"9223372036855ms", "106751d9223372036854ms", "9223372036854775808s"} {
		if d, err := ParseDuration(in); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want too long", in, d)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"1d12h", "90s", "2w", "1ms", "9223372036854ms"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err == nil && d < 0 {
			t.Errorf("ParseDuration(%q) = %v, negative", s, d)
		}
	})
}
