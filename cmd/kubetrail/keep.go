package main

import (
	"context"
	"time"

	"github.com/spf13/pflag"

	"kubetrail/internal/config"
	"kubetrail/internal/serve"
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
	return serve.Expire(ctx, w, config.Retention{Keep: k.age, KeepBytes: k.bytes}, now)
}

// softLimit is what an import may take of memory before the collector of garbage
// works harder; with what Go does not count it stays below 512 MiB.
const softLimit = 448 << 20

// Values of flags.
type (
	durationValue = config.Duration
	sizeValue     = config.Size
)
