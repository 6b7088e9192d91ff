package server

import (
	"log/slog"
	"os"
	"sync"
	"time"
)

// reloaded is a value made from files and made again when one of them has changed,
// however the change was done: in place, by rename, or by the swap of a symbolic
// link as the kubelet does it for a mounted Secret. It is safe for concurrent use.
type reloaded[T any] struct {
	paths []string
	parse func(contents [][]byte) (T, error)
	log   *slog.Logger

	mu     sync.Mutex // guards what follows
	stamps []stamp    // of the files that value was made from
	failed []stamp    // of the files that the last error was about, to log it once
	value  T
}

// stamp is what changes about a file when its content does.
type stamp struct {
	modified time.Time
	size     int64
}

// newReloaded reads the files for the first time.
func newReloaded[T any](log *slog.Logger, parse func([][]byte) (T, error), paths ...string) (*reloaded[T], error) {
	r := &reloaded[T]{paths: paths, parse: parse, log: log}
	stamps, err := r.stat()
	if err != nil {
		return nil, err
	}
	if r.value, err = r.read(); err != nil {
		return nil, err
	}
	r.stamps = stamps
	return r, nil
}

// get returns the value of the files as they are now, or the last good one.
func (r *reloaded[T]) get() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	stamps, err := r.stat()
	if err == nil && equal(stamps, r.stamps) {
		return r.value
	}
	var value T
	if err == nil {
		value, err = r.read()
	}
	if err != nil {
		if r.failed == nil || !equal(stamps, r.failed) {
			r.log.Warn("a changed file is no good, the former content stays in force", "err", err)
			r.failed = stamps
		}
		return r.value
	}
	r.log.Info("read again after a change", "files", r.paths)
	r.value, r.stamps, r.failed = value, stamps, nil
	return value
}

// stat is called before read: a change between the two is then seen next time.
func (r *reloaded[T]) stat() ([]stamp, error) {
	stamps := make([]stamp, len(r.paths))
	for i, path := range r.paths {
		info, err := os.Stat(path)
		if err != nil {
			return stamps, err
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	return stamps, nil
}

func (r *reloaded[T]) read() (T, error) {
	contents := make([][]byte, len(r.paths))
	for i, path := range r.paths {
		b, err := os.ReadFile(path)
		if err != nil {
			var zero T
			return zero, err
		}
		contents[i] = b
	}
	return r.parse(contents)
}

func equal(a, b []stamp) bool {
	for i := range a {
		if !a[i].modified.Equal(b[i].modified) || a[i].size != b[i].size {
			return false
		}
	}
	return len(a) == len(b)
}
