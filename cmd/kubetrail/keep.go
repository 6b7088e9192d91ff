package main

import (
	"context"
	"math"
	"runtime/debug"
	"time"

	"github.com/spf13/pflag"

	"kubetrail/audit"
	"kubetrail/internal/config"
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
	if k.part < config.MinPart || k.part > config.MaxPart {
		return usage("leave it away unless memory is short", "--part-bytes %s: want 4KiB to 1GiB", k.part.String())
	}
	return nil
}

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

// limitMemory sets the soft limit, unless GOMEMLIMIT did, and returns what sets another
// one and what sets it back.
func limitMemory(limit int64) (change func(int64), undo func()) {
	before := debug.SetMemoryLimit(-1)
	if before != math.MaxInt64 {
		return func(int64) {}, func() {}
	}
	change = func(limit int64) { debug.SetMemoryLimit(limit) }
	change(limit)
	return change, func() { debug.SetMemoryLimit(before) }
}

// Values of flags.
type (
	durationValue = config.Duration
	sizeValue     = config.Size
)
