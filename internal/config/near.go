package config

import "strings"

// nearest returns the known name that was probably meant: the same but for case or for
// two letters, or one in short names; "" where none is near.
func nearest(name string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		d := distance(strings.ToLower(name), strings.ToLower(k))
		if d < least && d*3 <= max(len(k), 3) {
			best, least = k, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or change to make b of a, two that
// changed places as one; of names that differ much in length it is not exact.
func distance(a, b string) int {
	if len(a) > 64 || max(len(a)-len(b), len(b)-len(a)) > 2 {
		return 3
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(last[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
