package service

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// WatchConfig says which file is watched.
type WatchConfig struct {
	Path   string
	Every  time.Duration // it is looked at that often, whatever the file system tells; 0: 5 seconds
	Settle time.Duration // a change counts when nothing has changed for so long; 0: 200 ms
	Logger *slog.Logger  // nil: silent
}

// Watch watches a file.
type Watch struct {
	cfg    WatchConfig
	before os.FileInfo
}

// NewWatch remembers how a file is now: what changes from now on, Run tells. Call it
// before the file is read.
func NewWatch(cfg WatchConfig) *Watch {
	if cfg.Every <= 0 {
		cfg.Every = 5 * time.Second
	}
	if cfg.Settle <= 0 {
		cfg.Settle = 200 * time.Millisecond
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	w := &Watch{cfg: cfg}
	w.before, _ = os.Stat(cfg.Path) // what is not there may come
	return w
}

// Run calls changed after every change of the file, until ctx ends, however it was done:
// in place, by a rename, or by the swap of a symbolic link above it, as the kubelet
// changes a mounted ConfigMap. That the file goes away is no change. A value on now has
// the same effect as a change.
func (w *Watch) Run(ctx context.Context, now <-chan os.Signal, changed func()) {
	events := w.watch()
	defer events.close()
	tick := time.NewTicker(w.cfg.Every)
	defer tick.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-now:
			asked = true
		case <-events.changed:
		case <-events.errors: // too many to tell: something changed
		case <-tick.C:
		}
		if w.look(ctx) || asked {
			changed()
		}
		events.rearm(w.dirs())
		if !wait(ctx, w.cfg.Settle) { // much else may happen in the directory
			return
		}
	}
}

// wait returns after d, or with false when ctx ends.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// look reports whether the file is another than before, and has settled.
func (w *Watch) look(ctx context.Context) bool {
	info, err := os.Stat(w.cfg.Path)
	if err != nil || same(info, w.before) {
		return false
	}
	for wait(ctx, w.cfg.Settle) {
		again, err := os.Stat(w.cfg.Path)
		if err != nil {
			return false // it is being replaced: the next look finds it
		}
		if same(again, info) {
			w.before = info
			return true
		}
		info = again
	}
	return false
}

func same(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// dirs are the directories whose changes may mean a change of the file: the one it is
// named in, and those that links lead to.
func (w *Watch) dirs() []string {
	dirs := []string{filepath.Dir(w.cfg.Path)}
	path := w.cfg.Path
	for range 16 { // links may form a circle
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
		dirs = append(dirs, filepath.Dir(path))
	}
	if real, err := filepath.EvalSymlinks(w.cfg.Path); err == nil {
		dirs = append(dirs, filepath.Dir(real))
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// dirEvents tells of changes in directories.
type dirEvents struct {
	changed <-chan fsnotify.Event // nil: nothing is told
	errors  <-chan error
	fs      *fsnotify.Watcher
	dirs    []string
}

// watch begins to watch.
func (w *Watch) watch() *dirEvents {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		w.cfg.Logger.Info("changes of files are not told here; they are looked for", "err", err)
		return &dirEvents{}
	}
	e := &dirEvents{changed: fs.Events, errors: fs.Errors, fs: fs}
	e.rearm(w.dirs())
	return e
}

func (e *dirEvents) close() {
	if e.fs != nil {
		_ = e.fs.Close() // nothing can be lost
	}
}

// rearm watches other directories, if they are others.
func (e *dirEvents) rearm(dirs []string) {
	if e.fs == nil {
		return
	}
	for _, dir := range e.dirs {
		if !slices.Contains(dirs, dir) {
			_ = e.fs.Remove(dir) // it may have gone
		}
	}
	for _, dir := range dirs {
		_ = e.fs.Add(dir) // what is not told is looked for
	}
	e.dirs = dirs
}
