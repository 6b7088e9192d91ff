package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"kubetrail/audit"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

// kept holds the flags of every verb that writes to a trail: how it is cut into
// parts and what of it is kept.
type kept struct {
	age   durationValue
	bytes sizeValue
	part  sizeValue
}

// flags defines them; part is the usual size of a part.
func (k *kept) flags(fs *pflag.FlagSet, part sizeValue) {
	k.part = part
	fs.Var(&k.age, "keep", "Remove parts whose newest event is older than this `DURATION`, such as 12h or 30d")
	fs.Var(&k.bytes, "keep-bytes", "Remove the oldest parts until the trail takes at most this `SIZE` on disk, such as 500MiB or 10GiB")
	fs.Var(&k.part, "part-bytes", "`SIZE` of a part in bytes of lines; smaller takes less memory and more disk")
}

// check rejects sizes that make no trail.
func (k *kept) check() error {
	if k.part < minPart || k.part > maxPart {
		return usage("leave it away unless memory is short", "--part-bytes %s: want 4KiB to 1GiB", k.part.String())
	}
	return nil
}

// A part has room for many lines, and its places fit into the 32 bits that they have.
const (
	minPart = 4 << 10
	maxPart = 1 << 30
)

// tidy merges small parts, and then removes what is not to be kept any longer at the
// time now. It returns how many events went.
func (k *kept) tidy(ctx context.Context, w *disk.Writer, now time.Time) (gone uint64, err error) {
	if _, err := w.Compact(ctx); err != nil {
		return 0, err
	}
	return k.expire(ctx, w, now)
}

// expire removes what is not to be kept any longer at the time now, and returns how
// many events went.
func (k *kept) expire(ctx context.Context, w *disk.Writer, now time.Time) (gone uint64, err error) {
	r := disk.Retention{Before: audit.NoTime, MaxBytes: int64(k.bytes)}
	if k.age > 0 {
		r.Before = now.Add(-time.Duration(k.age)).UnixMicro()
	}
	if r.Before == audit.NoTime && r.MaxBytes == 0 {
		return 0, nil
	}
	return w.Expire(ctx, r)
}

// softLimit is what an import may take of memory before the collector of garbage
// works harder; with what Go does not count it stays below 512 MiB.
const softLimit = 448 << 20

// limitMemory sets the soft limit for parts of this size, unless GOMEMLIMIT did, and
// returns what sets it back. soft is the limit for parts of up to usual bytes.
func limitMemory(part, soft, usual int64) (undo func()) {
	before := debug.SetMemoryLimit(-1)
	if before != math.MaxInt64 {
		return func() {}
	}
	debug.SetMemoryLimit(max(soft, soft/usual*part))
	return func() { debug.SetMemoryLimit(before) }
}

// durationValue is a flag that takes what [trail.ParseDuration] reads. 0 is unset.
type durationValue time.Duration

func (d *durationValue) Set(s string) error {
	v, err := trail.ParseDuration(s)
	if err != nil {
		return err
	}
	if v == 0 {
		return errors.New("want more than nothing")
	}
	*d = durationValue(v)
	return nil
}

func (d *durationValue) String() string {
	if *d == 0 {
		return ""
	}
	return time.Duration(*d).String()
}

func (d *durationValue) Type() string { return "duration" }

// sizeValue is a flag that takes a number of bytes, with a unit or without. 0 is
// unset.
type sizeValue int64

// sizeUnits are the units of sizes, largest first. The empty one is bytes.
var sizeUnits = [...]struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"TB", 1e12},
	{"GiB", 1 << 30}, {"GB", 1e9},
	{"MiB", 1 << 20}, {"MB", 1e6},
	{"KiB", 1 << 10}, {"KB", 1e3},
	{"B", 1}, {"", 1},
}

func (v *sizeValue) Set(s string) error {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	n, err := strconv.ParseInt(s[:digits], 10, 64)
	if digits > 0 {
		for _, u := range sizeUnits {
			if !strings.EqualFold(s[digits:], u.name) {
				continue
			}
			if err != nil || n > math.MaxInt64/u.size {
				return errors.New("too large")
			}
			if n == 0 {
				return errors.New("want more than nothing")
			}
			*v = sizeValue(n * u.size)
			return nil
		}
	}
	return errors.New("want a whole number of bytes, or of KiB, MiB, GiB or TiB")
}

// String writes the size in the largest binary unit that it is a multiple of.
func (v *sizeValue) String() string {
	if *v == 0 {
		return ""
	}
	for _, u := range sizeUnits {
		if size := sizeValue(u.size); size&(size-1) == 0 && *v%size == 0 {
			return fmt.Sprintf("%d%s", *v/size, u.name)
		}
	}
	return ""
}

func (v *sizeValue) Type() string { return "size" }
