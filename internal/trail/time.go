package trail

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseTime reads a point in time as people write it in --since and --until and in
// the HTTP API, and returns it in microseconds since the epoch, rounded down. Four
// forms are understood:
//
//	2026-11-20T15:21:41.557464Z   RFC 3339, with any offset
//	2026-11-20                    the beginning of that day, UTC
//	now
//	90s, 30m, 2h, 7d, 1d12h       that long before now (see [ParseDuration])
func ParseTime(s string, now time.Time) (int64, error) {
	if s == "now" {
		return now.UnixMicro(), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UnixMicro(), nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.UnixMicro(), nil
	}
	d, err := ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no time: want RFC 3339 (2026-11-20T15:04:05Z), a day (2026-11-20) or how long ago (30m, 2h, 7d)", s)
	}
	return now.Add(-d).UnixMicro(), nil
}

// units are the units of ParseDuration, largest first. A day is always 24 hours.
var units = [...]struct {
	name string
	size time.Duration
}{
	{"w", 7 * 24 * time.Hour},
	{"d", 24 * time.Hour},
	{"h", time.Hour},
	{"ms", time.Millisecond},
	{"m", time.Minute},
	{"s", time.Second},
}

var errDuration = errors.New("want a number and a unit, largest first: 90s, 30m, 1h30m, 7d, 2w")

// ParseDuration reads a length of time: whole numbers, each followed by one of the
// units w, d, h, m, s and ms. It is never negative.
func ParseDuration(s string) (time.Duration, error) {
	fail := func(err error) (time.Duration, error) {
		return 0, fmt.Errorf("%q is no duration: %w", s, err)
	}
	if s == "" {
		return fail(errDuration)
	}
	var sum time.Duration
	last := time.Duration(math.MaxInt64)
	for rest := s; rest != ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if errors.Is(err, strconv.ErrRange) {
			return fail(errors.New("too long"))
		}
		size, length := unitOf(rest[digits:])
		if err != nil || size == 0 || size >= last {
			return fail(errDuration)
		}
		if n > int64(math.MaxInt64-sum)/int64(size) {
			return fail(errors.New("too long"))
		}
		sum += time.Duration(n) * size
		last, rest = size, rest[digits+length:]
	}
	return sum, nil
}

// unitOf returns the unit that s begins with and the length of its name, or 0.
func unitOf(s string) (time.Duration, int) {
	for _, u := range units {
		if strings.HasPrefix(s, u.name) {
			return u.size, len(u.name)
		}
	}
	return 0, 0
}
