package service

import (
	"log/slog"
	"os"
	"sync"
	"time"
)

// A Reloaded is a value made from files and made again when one of them has changed,
// however the change was done: in place, by rename, or by the swap of a symbolic
// link as the kubelet does it for a mounted Secret. It is safe for concurrent use.
type Reloaded[T any] struct {
	// Every is how often Get looks at the files at most; 0: whenever it is called. It is
	// set before the first Get.
	Every time.Duration

	paths []string
	parse func(contents [][]byte) (T, error)
	log   *slog.Logger

	mu     sync.Mutex    // guards what follows
	made   []os.FileInfo // the files that value was made from
	failed []os.FileInfo // the files that the last error was about, to log it once
	value  T
	looked time.Time // at the files, by Get
}

// NewReloaded reads the files for the first time. parse is given their contents, in order.
func NewReloaded[T any](log *slog.Logger, parse func([][]byte) (T, error), paths ...string) (*Reloaded[T], error) {
	r := &Reloaded[T]{paths: paths, parse: parse, log: log}
	var err error
	if r.made, err = r.stat(); err != nil {
		return nil, err
	}
	if r.value, err = r.read(); err != nil {
		return nil, err
	}
	return r, nil
}

// Get returns the value of the files as they are now, or the last good one.
func (r *Reloaded[T]) Get() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Every > 0 {
		now := time.Now()
		if now.Sub(r.looked) < r.Every {
			return r.value
		}
		r.looked = now
	}
	files, err := r.stat()
	if err == nil && sameFiles(files, r.made) {
		return r.value
	}
	var value T
	if err == nil {
		value, err = r.read()
	}
	if err != nil {
		if r.failed == nil || !sameFiles(files, r.failed) {
			r.log.Warn("a changed file is no good, the former content stays in force", "err", err)
			r.failed = files
		}
		return r.value
	}
	r.log.Info("read again after a change", "files", r.paths)
	r.value, r.made, r.failed = value, files, nil
	return value
}

// stat is called before read: a change between the two is then seen next time. A
// file that is not there is nil.
func (r *Reloaded[T]) stat() ([]os.FileInfo, error) {
	files := make([]os.FileInfo, len(r.paths))
	for i, path := range r.paths {
		var err error
		if files[i], err = os.Stat(path); err != nil {
			return files, err
		}
	}
	return files, nil
}

func (r *Reloaded[T]) read() (T, error) {
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

// sameFiles reports whether two looks at the files found nothing changed: another file
// under the name, another time or another size.
func sameFiles(a, b []os.FileInfo) bool {
	for i := range a {
		if a[i] == nil || b[i] == nil {
			if a[i] != b[i] {
				return false
			}
			continue
		}
		if !os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size() {
			return false
		}
	}
	return true
}
