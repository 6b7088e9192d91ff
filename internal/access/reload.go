package access

import (
	"log/slog"
	"os"
	"sync"
)

// reloaded is a value made from files and made again when one of them has changed,
// however the change was done: in place, by rename, or by the swap of a symbolic
// link as the kubelet does it for a mounted Secret. It is safe for concurrent use.
type reloaded[T any] struct {
	paths []string
	parse func(contents [][]byte) (T, error)
	log   *slog.Logger

	mu     sync.Mutex    // guards what follows
	made   []os.FileInfo // the files that value was made from
	failed []os.FileInfo // the files that the last error was about, to log it once
	value  T
}

// newReloaded reads the files for the first time.
func newReloaded[T any](log *slog.Logger, parse func([][]byte) (T, error), paths ...string) (*reloaded[T], error) {
	r := &reloaded[T]{paths: paths, parse: parse, log: log}
	var err error
	if r.made, err = r.stat(); err != nil {
		return nil, err
	}
	if r.value, err = r.read(); err != nil {
		return nil, err
	}
	return r, nil
}

// get returns the value of the files as they are now, or the last good one.
func (r *reloaded[T]) get() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	files, err := r.stat()
	if err == nil && same(files, r.made) {
		return r.value
	}
	var value T
	if err == nil {
		value, err = r.read()
	}
	if err != nil {
		if r.failed == nil || !same(files, r.failed) {
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
func (r *reloaded[T]) stat() ([]os.FileInfo, error) {
	files := make([]os.FileInfo, len(r.paths))
	for i, path := range r.paths {
		var err error
		if files[i], err = os.Stat(path); err != nil {
			return files, err
		}
	}
	return files, nil
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

// same reports whether two looks at the files found nothing changed: another file
// under the name, another time or another size.
func same(a, b []os.FileInfo) bool {
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
