// Package durabletest holds a file system that fails on purpose, for the tests of
// everything that must survive it. It works in a real directory: what is under test
// reads and writes real files.
package durabletest

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"kubetrail/internal/durable"
)

// Kind is what goes wrong.
type Kind int

const (
	None       Kind = iota
	FailCreate      // a file cannot be made
	FailWrite       // nothing of a write arrives
	ShortWrite      // half of a write arrives
	DiskFull        // half of a write arrives, and from then on no write does until Heal
	FailSync        // fsync reports an error
	FailRename
	FailRemove
	FailSyncDir
	PowerCut // this and every later operation fails, until Restart
	NumKinds = iota
)

func (k Kind) String() string {
	return [...]string{"none", "create fails", "write fails", "short write", "disk full",
		"fsync fails", "rename fails", "remove fails", "directory fsync fails", "power cut"}[k]
}

// ErrInjected is wrapped by every error made here.
var ErrInjected = errors.New("injected fault")

// FS is durable.OS with one fault: operation number At (from 0, counting only those
// the kind is about) goes wrong. It remembers what was not synced, so that Restart
// can forget it as a power cut does.
type FS struct {
	Kind Kind
	At   int
	Rand *rand.Rand // decides what a power cut leaves of unsynced things

	mu      sync.Mutex
	count   int
	broken  bool              // DiskFull or PowerCut struck
	unsaved map[string]int64  // files with bytes that were not synced, and how many were before these
	created map[string]bool   // files whose directory was not synced since they were made
	renamed []rename          // renames whose directory was not synced
	removed map[string][]byte // removed files whose directory was not synced
}

type rename struct{ from, to string }

// Struck reports whether the fault happened.
func (f *FS) Struck() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count > f.At
}

// Heal ends DiskFull.
func (f *FS) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = false
}

// step counts an operation of the kinds given and reports whether it goes wrong.
func (f *FS) step(kinds ...Kind) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken && (f.Kind == PowerCut || f.Kind == DiskFull && kinds[0] == FailWrite) {
		return f.failure()
	}
	for _, k := range append(kinds, PowerCut) {
		if k != f.Kind {
			continue
		}
		f.count++
		if f.count == f.At+1 {
			f.broken = k == PowerCut || k == DiskFull
			return f.failure()
		}
	}
	return nil
}

func (f *FS) failure() error {
	if f.Kind == DiskFull {
		return fmt.Errorf("%w: %w", ErrInjected, syscall.ENOSPC)
	}
	return fmt.Errorf("%w: %v", ErrInjected, f.Kind)
}

func (f *FS) Create(name string) (durable.File, error) {
	if err := f.step(FailCreate); err != nil {
		return nil, err
	}
	file, err := durable.OS{}.Create(name)
	if err != nil {
		return nil, err
	}
	f.note(func() { f.unsaved[name], f.created[name] = 0, true })
	return &faultyFile{fs: f, name: name, file: file}, nil
}

func (f *FS) note(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unsaved == nil {
		f.unsaved, f.created, f.removed = map[string]int64{}, map[string]bool{}, map[string][]byte{}
	}
	change()
}

func (f *FS) Rename(oldname, newname string) error {
	if err := f.step(FailRename); err != nil {
		return err
	}
	if err := os.Rename(oldname, newname); err != nil {
		return err
	}
	f.note(func() {
		f.renamed = append(f.renamed, rename{oldname, newname})
		if saved, ok := f.unsaved[oldname]; ok {
			delete(f.unsaved, oldname)
			f.unsaved[newname] = saved
		}
		if f.created[oldname] {
			delete(f.created, oldname)
			f.created[newname] = true
		}
	})
	return nil
}

func (f *FS) Remove(name string) error {
	if err := f.step(FailRemove); err != nil {
		return err
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	f.note(func() { f.removed[name] = content })
	return os.Remove(name)
}

func (f *FS) SyncDir(dir string) error {
	if err := f.step(FailSyncDir); err != nil {
		return err
	}
	f.note(func() {
		f.renamed = nil
		clear(f.created)
		clear(f.removed)
	})
	return nil
}

func (f *FS) Cut(name string, size int64) error {
	if err := f.step(FailSync); err != nil {
		return err
	}
	if err := (durable.OS{}).Cut(name, size); err != nil {
		return err
	}
	f.note(func() { delete(f.unsaved, name) })
	return nil
}

// Restart leaves the directory as a power cut may have: what was not synced is
// there, gone, or half there, as Rand decides.
func (f *FS) Restart() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, content := range f.removed {
		if f.Rand.IntN(2) == 0 {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				return err
			}
		}
	}
	for name, saved := range f.unsaved {
		info, err := os.Stat(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.Truncate(name, saved+f.Rand.Int64N(max(0, info.Size()-saved)+1)); err != nil {
			return err
		}
	}
	for name := range f.created {
		if f.Rand.IntN(2) == 0 {
			if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	for i := len(f.renamed) - 1; i >= 0; i-- {
		if r := f.renamed[i]; f.Rand.IntN(2) == 0 {
			if err := os.Rename(r.to, r.from); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	f.unsaved, f.created, f.removed, f.renamed, f.broken = nil, nil, nil, nil, false
	f.Kind = None
	return nil
}

// faultyFile is a file being written on an FS.
type faultyFile struct {
	fs              *FS
	name            string
	file            durable.File
	written, synced int64 // bytes in all, and those that are synced
}

func (w *faultyFile) Write(b []byte) (int, error) {
	n, err := w.write(b)
	w.written += int64(n)
	w.fs.note(func() { w.fs.unsaved[w.name] = w.synced })
	return n, err
}

func (w *faultyFile) write(b []byte) (int, error) {
	err := w.fs.step(FailWrite, ShortWrite, DiskFull)
	if err == nil {
		return w.file.Write(b)
	}
	if w.fs.Kind == FailWrite {
		return 0, err
	}
	n, werr := w.file.Write(b[:len(b)/2])
	if w.fs.Kind == ShortWrite {
		err = io.ErrShortWrite
	}
	return n, errors.Join(err, werr)
}

func (w *faultyFile) Sync() error {
	if err := w.fs.step(FailSync); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	w.synced = w.written
	w.fs.note(func() { delete(w.fs.unsaved, w.name) })
	return nil
}

func (w *faultyFile) Close() error { return w.file.Close() }

// Leftovers returns the unfinished files in dir.
func Leftovers(dir string) ([]string, error) {
	return filepath.Glob(filepath.Join(dir, "*"+durable.TempSuffix))
}
