package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"kubetrail/internal/trail"
)

// Duration is a length of time as [trail.ParseDuration] reads it. 0 is not given. It is
// a value of a flag as well.
type Duration time.Duration

// Set reads a duration of more than nothing.
func (d *Duration) Set(s string) error {
	v, err := trail.ParseDuration(s)
	if err != nil {
		return err
	}
	if v == 0 {
		return errors.New("want more than nothing")
	}
	*d = Duration(v)
	return nil
}

// String writes what Set reads, "" for 0.
func (d *Duration) String() string {
	var b strings.Builder
	rest := time.Duration(*d)
	for _, u := range durationUnits() {
		if n := rest / u.size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			rest -= n * u.size
		}
	}
	return b.String()
}

// Type is the word that help shows.
func (d *Duration) Type() string { return "duration" }

type unit[N int64 | time.Duration] struct {
	name string
	size N
}

// durationUnits are those that String writes, largest first.
func durationUnits() []unit[time.Duration] {
	return []unit[time.Duration]{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}}
}

// Size is a number of bytes. 0 is not given. It is a value of a flag as well.
type Size int64

// sizeUnits are the units of sizes, largest first. The empty one is bytes.
func sizeUnits() []unit[int64] {
	return []unit[int64]{
		{"TiB", 1 << 40}, {"TB", 1e12},
		{"GiB", 1 << 30}, {"GB", 1e9},
		{"MiB", 1 << 20}, {"MB", 1e6},
		{"KiB", 1 << 10}, {"KB", 1e3},
		{"B", 1}, {"", 1},
	}
}

// Set reads a whole number of more than nothing, with a unit or without.
func (v *Size) Set(s string) error {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	n, err := strconv.ParseInt(s[:digits], 10, 64)
	if digits > 0 {
		for _, u := range sizeUnits() {
			if !strings.EqualFold(s[digits:], u.name) {
				continue
			}
			if err != nil || n > math.MaxInt64/u.size {
				return errors.New("too large")
			}
			if n == 0 {
				return errors.New("want more than nothing")
			}
			*v = Size(n * u.size)
			return nil
		}
	}
	return errors.New("want a whole number of bytes, or of KiB, MiB, GiB or TiB")
}

// String writes the size in the largest binary unit that it is a multiple of, "" for 0.
func (v *Size) String() string {
	if *v == 0 {
		return ""
	}
	for _, u := range sizeUnits() {
		if size := Size(u.size); size&(size-1) == 0 && *v%size == 0 {
			return fmt.Sprintf("%d%s", *v/size, u.name)
		}
	}
	return ""
}

// Type is the word that help shows.
func (v *Size) Type() string { return "size" }
