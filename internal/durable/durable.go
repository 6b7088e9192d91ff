// Package durable makes files that survive a crash: a file either has its whole
// content under its name or does not exist, and what a call reported as done stays
// done after a power cut.
//
// The way is the usual one: write under a temporary name, fsync, rename, fsync the
// directory. What a crash leaves behind carries the suffix [TempSuffix].
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// TempSuffix ends the names of files that were not finished.
const TempSuffix = ".tmp"

// FS is the part of a file system that decides about durability. [OS] is the real
// one; the tests put one in its place that fails on purpose or forgets, as a power
// cut does, what was not synced. Names are paths; errors are those of package os.
type FS interface {
	// Create makes or empties a file for writing.
	Create(name string) (File, error)
	// Rename replaces newname. It is durable only after SyncDir.
	Rename(oldname, newname string) error
	// Remove deletes a file; durable only after SyncDir.
	Remove(name string) error
	// SyncDir makes what was created, renamed and removed in a directory durable.
	SyncDir(dir string) error
	// Cut shortens a file to size bytes, which it has, and makes these durable
	// whoever wrote them.
	Cut(name string, size int64) error
}

// File is a file being written.
type File interface {
	io.Writer
	Sync() error
	Close() error
}

// OS is the file system of the operating system.
type OS struct{}

// Create makes a file readable by its owner only: audit events hold secrets.
func (OS) Create(name string) (File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

func (OS) Rename(oldname, newname string) error { return os.Rename(oldname, newname) }

func (OS) Remove(name string) error { return os.Remove(name) }

func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (OS) Cut(name string, size int64) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Write makes the file name with what write writes. When it returns nil the file is
// durable. When it fails, the file that had the name before is still there, whole;
// only if syncing the directory failed may the new one have taken its place.
func Write(fsys FS, name string, write func(io.Writer) error) error {
	temp := name + TempSuffix
	f, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = fsys.Rename(temp, name)
	}
	if err != nil {
		fsys.Remove(temp) // best effort: what stays is removed at the next start
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

// MkdirAll makes dir and its parents for their owner only, durably.
func MkdirAll(dir string) error {
	dir = filepath.Clean(dir)
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: errors.New("is a file")}
		}
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return OS{}.SyncDir(parent)
}

// ErrLocked means that another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// Lock is held from TakeLock to Release, or to the end of the process however it
// ends: nobody has to clean up after a crash.
type Lock struct{ f *os.File }

// TakeLock takes the lock that the file name stands for, making the file where it
// is not there. It does not wait: its error wraps ErrLocked, with the id of the
// process that holds it where that is known.
func TakeLock(name string) (*Lock, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return LockFile(f)
}

// LockFile is TakeLock of a file that is open for reading and writing, and closes it
// where that fails.
func LockFile(f *os.File) (*Lock, error) {
	if err := lockFile(f); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		f.Close()
		if errors.Is(err, ErrLocked) && len(holder) > 0 {
			return nil, fmt.Errorf("%w (process %s)", err, holder)
		}
		return nil, err
	}
	// Only a help for people: the lock itself is the kernel's.
	if err := f.Truncate(0); err == nil {
		fmt.Fprintf(f, "%d", os.Getpid())
	}
	return &Lock{f}, nil
}

// Release gives the lock back.
func (l *Lock) Release() error { return l.f.Close() }
