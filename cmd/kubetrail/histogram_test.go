package main

import "testing"

func TestBar(t *testing.T) {
	for _, c := range []struct {
		n, most uint64
		want    string
	}{{0, 10, ""}, {10, 10, "████"}, {5, 10, "██"}, {1, 1000, "▏"}, {0, 0, ""}} {
		if got := bar(c.n, c.most, 4); got != c.want {
			t.Errorf("bar(%d, %d) is %q, want %q", c.n, c.most, got, c.want)
		}
	}
}
