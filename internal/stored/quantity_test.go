package stored

import "testing"

func TestSameQuantity(t *testing.T) {
	for _, x := range [][2]string{{"128Mi", "134217728"}, {"100m", "0.1"}, {"1e3", "1k"}, {"2e0", "2"}} {
		if !sameQuantity(x[0], x[1]) {
			t.Errorf("%s is not %s", x[0], x[1])
		}
	}
	for _, x := range [][2]string{{"128Mi", "128M"}, {"1", "2"}, {"a", "a"}, {"1k", "1Ki"}} {
		if sameQuantity(x[0], x[1]) {
			t.Errorf("%s is %s", x[0], x[1])
		}
	}
}
