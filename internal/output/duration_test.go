package output

import (
	"testing"
	"time"
)

func TestBrief(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Hour: "1h", 15 * time.Minute: "15m", 90 * time.Second: "1m30s", 26 * time.Hour: "26h", time.Second: "1s",
		61 * time.Minute: "1h1m", 10 * time.Second: "10s", 10 * time.Minute: "10m", 10 * time.Hour: "10h"} {
		if got := Brief(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestLasting(t *testing.T) {
	for seconds, want := range map[float64]string{0.0064: "6ms", 2.34: "2.3s", 75.2: "1m15s", 3600: "1h", 172800: "2d", -1: "0s", 1e30: "11574d"} {
		if got := Lasting(seconds); got != want {
			t.Errorf("%v: %s, want %s", seconds, got, want)
		}
	}
}
