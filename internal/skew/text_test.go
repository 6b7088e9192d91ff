package skew

import "testing"

func TestClockInWords(t *testing.T) {
	for _, x := range []struct {
		c    Clock
		want string
	}{
		{Clock{State: Reference}, "reference"},
		{Clock{State: Unknown, Unsteady: true}, "~unknown"},
		{Clock{State: Consistent, Ahead: -0.1, Within: 0.3}, "0s ±400ms"},
		{Clock{State: Estimated, Ahead: -192.0001, Within: 0.2}, "-3m12s ±200ms"},
		{Clock{State: Estimated, Ahead: 1.5, Within: 0.0001, Unsteady: true}, "~+1.5s ±1ms"},
	} {
		if got := clock(x.c, false); got != x.want {
			t.Errorf("%+v: %q, want %q", x.c, got, x.want)
		}
	}
}
