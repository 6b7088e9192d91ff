package spill

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kubetrail/internal/durable"
)

// ErrUntrusted means that somebody else could have put files into the directory.
var ErrUntrusted = errors.New("others may write to the directory")

// A dir is the directory of a queue, held open: whatever becomes of its path, no file
// outside of it is opened. It is the durable.FS of the files in it, whose names may be
// given with or without the path.
type dir struct {
	path  string
	root  *os.Root
	lock  *durable.Lock
	front *os.File
}

// openDir opens and locks a directory that is its owner's alone.
func openDir(path string) (*dir, error) {
	link, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if link.Mode()&fs.ModeSymlink != 0 {
		return nil, fmt.Errorf("%s: %w: it is a symbolic link; name the directory that it leads to", path, ErrUntrusted)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	d := &dir{path: path, root: root}
	if err := d.enter(link); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// enter opens and locks what is to be the directory that link is about.
func (d *dir) enter(link fs.FileInfo) error {
	info, err := d.root.Stat(".")
	if err != nil {
		return err
	}
	if !os.SameFile(info, link) {
		return fmt.Errorf("%s: %w: it was exchanged", d.path, ErrUntrusted)
	}
	if err := trusted(d.path, info); err != nil {
		return err
	}
	file, err := d.open("lock", os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	if d.lock, err = durable.LockFile(file); err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	d.front, err = d.open("front", os.O_RDWR|os.O_CREATE)
	return err
}

// close gives the directory back.
func (d *dir) close() error {
	var err error
	if d.front != nil {
		err = d.front.Close()
	}
	if d.lock != nil {
		err = errors.Join(err, d.lock.Release())
	}
	return errors.Join(err, d.root.Close())
}

// open opens a file, which it makes if flag says so. It must be a regular one: no link to
// another, and no pipe that nobody writes to.
func (d *dir) open(name string, flag int) (*os.File, error) {
	name = filepath.Base(name)
	if info, err := d.root.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return nil, notRegular(filepath.Join(d.path, name))
	}
	return d.root.OpenFile(name, flag, 0o600)
}

func notRegular(path string) error { return fmt.Errorf("%s is not a regular file", path) }

// Create makes a new file, in place of one of that name.
func (d *dir) Create(name string) (durable.File, error) {
	if err := d.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return d.open(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
}

func (d *dir) Rename(oldname, newname string) error {
	return d.root.Rename(filepath.Base(oldname), filepath.Base(newname))
}

func (d *dir) Remove(name string) error { return d.root.Remove(filepath.Base(name)) }

func (d *dir) SyncDir(string) error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d *dir) Cut(name string, size int64) error {
	f, err := d.open(name, os.O_WRONLY)
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
