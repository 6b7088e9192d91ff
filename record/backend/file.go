package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"kubetrail/internal/durable"
)

// FileConfig says where a log is kept, how it rotates and for how long its backups stay.
// Only Path is required.
type FileConfig struct {
	Path string

	// MaxSize is when to rotate: before a line that would make the file larger. A line
	// that is larger itself gets a file of its own. In bytes; 0 never rotates.
	MaxSize int64

	MaxBackups int           // how many backups are kept; 0: all
	MaxAge     time.Duration // for how long, by the time in their names; 0: for ever
	Compress   bool          // backups by gzip

	// Sync makes a line durable before its Write returns: fsync, for all lines that
	// were written together.
	Sync bool

	Logger *slog.Logger
	Now    func() time.Time
}

// checkEvery is how often a File looks whether its path is still its file.
const checkEvery = time.Second

// errSync marks an error after which lines are written, but may not survive.
var errSync = errors.New("sync failed")

// A File is a log that rotates as that of kube-apiserver does: the same names, modes and
// times. It always appends, so others may write, copy and truncate, move or delete the
// file at any time. It is safe for concurrent use. Upstream: lumberjack; why not that:
// docs/design/0014-log-files.md.
type File struct {
	c       FileConfig
	rotated chan struct{} // holds a token after a rotation, for Run

	mu       sync.Mutex // for all below
	f        *os.File   // nil after Close, or if it could not be opened
	id       os.FileInfo
	regular  bool
	size     int64
	opened   bool      // f has got no line from us yet
	torn     bool      // f may end in a part of a line
	checked  time.Time // when path was last found to be f
	refused  time.Time // when a rotation last failed
	lastName time.Time // in the name of the last backup
	unsynced error     // of this Write
}

// OpenFile opens a log, or makes it and its directory for their owner only.
func OpenFile(c FileConfig) (*File, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	f := &File{c: c, rotated: make(chan struct{}, 1)}
	if err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

// Write appends whole lines, if there is room by one write. It returns the bytes of those
// that are stored: a line is stored wholly or not at all.
func (f *File) Write(lines []byte) (stored int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	retried := false
	for stored < len(lines) {
		var n int
		if f.f != nil {
			n, err = f.append(f.fitting(lines[stored:]))
			stored += n
		}
		if err == nil && f.f != nil {
			continue
		}
		if retried || full(err) {
			return stored, err
		}
		// A file system that went away and came back, or a file that was closed.
		retried = true
		if err = f.open(); err != nil {
			return stored, err
		}
	}
	f.sync()
	if err := f.unsynced; err != nil {
		f.unsynced = nil
		return 0, fmt.Errorf("%w: %w", errSync, err)
	}
	return stored, nil
}

// sync makes what was written durable, where that is asked for. f.mu is held, f.f open.
func (f *File) sync() {
	if f.c.Sync && f.regular {
		f.unsynced = errors.Join(f.unsynced, f.f.Sync())
	}
}

// full reports whether an error says that there is no room, which opening again will not
// change.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// append writes whole lines, and returns the bytes of those that are in the file. f.mu
// is held, f.f open.
func (f *File) append(lines []byte) (stored int, err error) {
	mended := 0
	if f.torn {
		if f.torn = f.endsTorn(); f.torn {
			lines, mended = append([]byte{'\n'}, lines...), 1
		}
	}
	n, err := f.f.Write(lines)
	f.size += int64(n)
	if err == nil {
		f.torn, f.opened = false, false
		return n - mended, nil
	}
	whole := bytes.LastIndexByte(lines[:n], '\n') + 1
	if n > 0 {
		f.torn = n > whole && !f.cut(n-whole)
	}
	return max(0, whole-mended), err
}

// cut takes the last n bytes, which we wrote, off the file. That is not done where
// others have written since. f.mu is held.
func (f *File) cut(n int) bool {
	if !f.regular {
		return false
	}
	end, err := f.f.Seek(0, 1) // after a write at the end of a file: where it ended
	if err != nil {
		return false
	}
	info, err := f.f.Stat()
	if err != nil || info.Size() != end || f.f.Truncate(end-int64(n)) != nil {
		return false
	}
	f.size = end - int64(n)
	return true
}

// endsTorn reports whether the file ends in something else than a newline, as far as
// that can be known. f.mu is held.
func (f *File) endsTorn() bool {
	info, err := f.f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return true
	}
	if info.Size() == 0 {
		return false
	}
	r, err := os.Open(f.c.Path)
	if err != nil {
		return true
	}
	defer r.Close()
	if other, err := r.Stat(); err != nil || !os.SameFile(info, other) {
		return true
	}
	var last [1]byte
	if _, err := r.ReadAt(last[:], info.Size()-1); err != nil {
		return true
	}
	return last[0] != '\n'
}

// look sees to it that f.f is the file at the path: somebody may have moved or deleted
// it. It does so once a second. f.mu is held.
func (f *File) look() {
	now := f.c.Now()
	if f.f != nil && (!f.regular || now.Sub(f.checked) < checkEvery && !now.Before(f.checked)) {
		return
	}
	f.checked = now
	if f.f != nil {
		if info, err := os.Stat(f.c.Path); err == nil && os.SameFile(info, f.id) {
			f.size = info.Size()
			return
		} else if err != nil && !errors.Is(err, os.ErrNotExist) {
			return // what we have is better than nothing
		}
	}
	if err := f.open(); err != nil {
		f.c.Logger.Error("audit log cannot be opened again", "path", f.c.Path, "err", err)
	}
}

// open opens the file at the path, in place of that which is open. On an error that one
// stays. f.mu is held, or nobody else knows f.
func (f *File) open() error {
	if err := os.MkdirAll(filepath.Dir(f.c.Path), 0o700); err != nil {
		return err
	}
	return f.openMode(0o600)
}

func (f *File) openMode(mode os.FileMode) error {
	file, err := os.OpenFile(f.c.Path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, mode)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	if f.c.Sync && info.Mode().IsRegular() && info.Size() == 0 {
		if err := (durable.OS{}).SyncDir(filepath.Dir(f.c.Path)); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	if f.f != nil {
		f.f.Close() // what it has to say of lines, Write or Sync has said
	}
	f.f, f.id, f.regular, f.size = file, info, info.Mode().IsRegular(), info.Size()
	f.opened, f.checked = true, f.c.Now()
	f.torn = f.regular && f.size > 0 && f.endsTorn()
	return nil
}

// Reopen opens the path anew: for whoever has moved the file, as logrotate does.
func (f *File) Reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open()
}

// Close closes the file; the next Write opens it again.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}

// fitting returns the lines from the beginning that go into the file, at least one: it
// rotates where the first would not fit. f.mu is held.
func (f *File) fitting(lines []byte) []byte {
	if f.c.MaxSize <= 0 || !f.regular {
		return lines
	}
	if n := f.room(lines); n > 0 {
		return lines[:n]
	}
	if now := f.c.Now(); f.refused.IsZero() || now.Sub(f.refused) >= checkEvery || now.Before(f.refused) {
		f.refused = time.Time{}
		if err := f.rotate(now); err != nil {
			f.refused = now
			f.c.Logger.Error("audit log cannot be rotated and grows", "path", f.c.Path, "err", err)
		}
	}
	switch n := f.room(lines); {
	case !f.refused.IsZero():
		return lines
	case n > 0:
		return lines[:n]
	default:
		return lines[:bytes.IndexByte(lines, '\n')+1] // larger than any file
	}
}

// room returns how many bytes of lines, whole lines only, may be added to the file.
func (f *File) room(lines []byte) int {
	left := f.c.MaxSize - f.size
	if f.opened && f.size > 0 {
		left-- // as upstream: the first line of a process does not fill a file up
	}
	switch {
	case left <= 0:
		return 0
	case int64(len(lines)) <= left:
		return len(lines)
	}
	return bytes.LastIndexByte(lines[:left], '\n') + 1
}

// rotate makes a backup of the file and begins a new one of the same mode and owner. It
// leaves things as they are where another process has rotated or cut the file. f.mu is
// held, f.f open.
func (f *File) rotate(now time.Time) error {
	info, err := os.Stat(f.c.Path)
	if err != nil || !os.SameFile(info, f.id) {
		return f.open()
	}
	if f.size = min(f.size, info.Size()); f.size == 0 {
		return nil
	}
	f.sync()
	if runtime.GOOS == "windows" { // which does not rename open files
		f.f.Close()
		f.f = nil
	}
	backup, err := f.moveAside(now)
	if err != nil {
		return errors.Join(err, f.reopenWindows())
	}
	if err := f.openMode(info.Mode().Perm()); err != nil {
		// Back, if nobody has made another file; if somebody has, look finds that.
		return errors.Join(err, renameNew(backup, f.c.Path), f.reopenWindows())
	}
	f.opened = false
	if err := f.f.Chmod(info.Mode().Perm()); err != nil { // whatever the umask
		f.c.Logger.Warn("audit log has not the mode of the one before", "path", f.c.Path, "err", err)
	}
	if err := chown(f.f, info); err != nil {
		f.c.Logger.Warn("audit log has not the owner of the one before", "path", f.c.Path, "err", err)
	}
	select {
	case f.rotated <- struct{}{}:
	default:
	}
	return nil
}

func (f *File) reopenWindows() error {
	if f.f != nil {
		return nil
	}
	return f.open()
}

// moveAside renames the file to a name that no backup has, compressed or not. f.mu is
// held.
func (f *File) moveAside(now time.Time) (backup string, err error) {
	now = now.UTC().Truncate(time.Millisecond)
	if !now.After(f.lastName) {
		now = f.lastName.Add(time.Millisecond) // so that the order of names is that of files
	}
	for ; ; now = now.Add(time.Millisecond) {
		backup = backupName(f.c.Path, now)
		if _, err := os.Lstat(backup + gzSuffix); err == nil {
			continue
		}
		if err := renameNew(f.c.Path, backup); !errors.Is(err, os.ErrExist) {
			f.lastName = now
			return backup, err
		}
	}
}

// Run compresses and removes backups until ctx is done: those it finds, and those that
// are made. What it leaves undone is done by the next one.
func (f *File) Run(ctx context.Context) error {
	f.removeUnfinished()
	for {
		next, err := f.tidy(ctx)
		if err != nil && ctx.Err() == nil {
			f.c.Logger.Error("backups of the audit log cannot be tidied", "path", f.c.Path, "err", err)
			next = time.Minute
		}
		var again <-chan time.Time
		if next > 0 {
			again = time.After(next)
		}
		select {
		case <-ctx.Done():
			return f.Close()
		case <-f.rotated:
		case <-again:
		}
	}
}
