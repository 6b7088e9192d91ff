package output

import (
	"fmt"
	"strings"
	"time"
)

// Brief is a duration without what is zero of it.
func Brief(d time.Duration) string {
	s := d.String()
	s = strings.TrimSuffix(s, "m0s") + map[bool]string{true: "m"}[strings.HasSuffix(s, "m0s")]
	return strings.TrimSuffix(s, "h0m") + map[bool]string{true: "h"}[strings.HasSuffix(s, "h0m")]
}

// Lasting is a number of seconds, in two digits or so.
func Lasting(seconds float64) string {
	d := time.Duration(min(max(seconds, 0), 1e9) * float64(time.Second))
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < 48*time.Hour:
		return Brief(d.Round(time.Second))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
