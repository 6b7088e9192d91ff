package backend

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"kubetrail/internal/durable"
)

const (
	backupTime = "2006-01-02T15-04-05.000"
	gzSuffix   = ".gz"
)

// settled is for how long a backup is not compressed: another process may write to the
// file until it looks at the path, which it does every second.
const settled = 2 * checkEvery

// backupName is the path of the backup that was made of path at t.
func backupName(path string, t time.Time) string {
	prefix, ext := affixes(path)
	return filepath.Join(filepath.Dir(path), prefix+t.Format(backupTime)+ext)
}

// affixes returns what the names of backups of path begin and end with.
func affixes(path string) (prefix, ext string) {
	base := filepath.Base(path)
	ext = filepath.Ext(base)
	return strings.TrimSuffix(base, ext) + "-", ext
}

// A backup is what a rotation has left.
type backup struct {
	name string // in the directory of the log
	key  string // without .gz
	made time.Time
}

// backups lists the backups of a log, the latest first.
func backups(path string) ([]backup, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	prefix, ext := affixes(path)
	var all []backup
	for _, e := range entries {
		if !e.Type().IsRegular() { // to open a pipe could take for ever
			continue
		}
		key := strings.TrimSuffix(e.Name(), gzSuffix)
		if made, ok := backupMade(key, prefix, ext); ok {
			all = append(all, backup{e.Name(), key, made})
		} else if made, ok := backupMade(e.Name(), prefix, ext); ok { // of a log named so
			all = append(all, backup{e.Name(), e.Name(), made})
		}
	}
	slices.SortStableFunc(all, func(a, b backup) int { return b.made.Compare(a.made) })
	return all, nil
}

// backupMade returns the time in the name of a backup.
func backupMade(name, prefix, ext string) (time.Time, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return time.Time{}, false
	}
	if rest, ok = strings.CutSuffix(rest, ext); !ok {
		return time.Time{}, false
	}
	t, err := time.Parse(backupTime, rest)
	return t, err == nil
}

// tidy removes backups that are too many or too old, then compresses the others. It
// returns when to come again, or 0 for after the next rotation.
func (f *File) tidy(ctx context.Context) (next time.Duration, err error) {
	if f.c.MaxBackups <= 0 && f.c.MaxAge <= 0 && !f.c.Compress {
		return 0, nil
	}
	all, err := backups(f.c.Path)
	if err != nil {
		return 0, err
	}
	now := f.c.Now()
	var errs []error
	kept := map[string]bool{} // a backup and the .gz that is made of it are one
	for _, b := range all {
		path := filepath.Join(filepath.Dir(f.c.Path), b.name)
		old := f.c.MaxAge > 0 && b.made.Before(now.Add(-f.c.MaxAge))
		if kept[b.key] = true; old || f.c.MaxBackups > 0 && len(kept) > f.c.MaxBackups {
			if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
			continue
		}
		if !f.c.Compress || b.name != b.key || strings.HasSuffix(b.name, gzSuffix) {
			continue
		}
		if wait := settled - now.Sub(b.made); wait > 0 {
			next = max(next, min(wait, settled))
			continue
		}
		err := compress(ctx, path)
		if errors.Is(err, errGrew) {
			next, err = max(next, settled), nil
		}
		errs = append(errs, err)
	}
	return next, errors.Join(errs...)
}

// errGrew means that somebody still writes to a backup.
var errGrew = errors.New("the backup was written to")

// compress puts path.gz, of the same mode and owner, in place of path. At any time at
// least one of them is there and whole.
func compress(ctx context.Context, path string) error {
	src, err := os.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+gzSuffix+".*"+durable.TempSuffix)
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // after it was renamed there is none
	err = copyGzip(ctx, temp, src)
	if err == nil {
		err = errors.Join(temp.Chmod(info.Mode().Perm()), chown(temp, info), temp.Sync())
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if after, err := src.Stat(); err != nil || after.Size() != info.Size() || !after.ModTime().Equal(info.ModTime()) {
		return errors.Join(err, errGrew)
	}
	if err := os.Rename(temp.Name(), path+gzSuffix); err != nil {
		return err
	}
	if err := (durable.OS{}).SyncDir(filepath.Dir(path)); err != nil {
		return err
	}
	src.Close() // or Windows would not remove it
	return os.Remove(path)
}

// copyGzip compresses src to dst, and stops when ctx is done.
func copyGzip(ctx context.Context, dst io.Writer, src io.Reader) error {
	z := gzip.NewWriter(dst)
	for {
		_, err := io.CopyN(z, src, 1<<20)
		if errors.Is(err, io.EOF) {
			return z.Close()
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
}

// removeUnfinished removes what a crash has left of a compression.
func (f *File) removeUnfinished() {
	dir := filepath.Dir(f.c.Path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // tidy says so
	}
	prefix, ext := affixes(f.c.Path)
	for _, e := range entries {
		name, unfinished := strings.CutSuffix(e.Name(), durable.TempSuffix)
		if !unfinished {
			continue
		}
		name = strings.TrimSuffix(name, filepath.Ext(name)) // what os.CreateTemp adds
		if _, ok := backupMade(name, prefix, ext+gzSuffix); !ok {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			f.c.Logger.Warn("an unfinished backup stays", "name", e.Name(), "err", err)
		}
	}
}

// renameUnlessThere renames a file where the system cannot refuse to replace another.
func renameUnlessThere(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: os.ErrExist}
	}
	return os.Rename(from, to)
}
