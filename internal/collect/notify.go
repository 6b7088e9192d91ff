package collect

import (
	"log/slog"
	"slices"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// watcher is a feed that knows where its changes are to be seen.
type watcher interface{ Watched() []string }

// A notifier tells that something changed in a directory that a feed watches. It is a
// shortcut only: whoever waits for it also looks again after a while, since network
// and overlay file systems tell of nothing.
type notifier struct {
	changed chan struct{} // at most one value waits
	fs      *fsnotify.Watcher
	done    sync.WaitGroup
}

// watch begins to watch the directories of feeds. What cannot be watched is logged.
func watch(feeds []Feed, log *slog.Logger) *notifier {
	n := &notifier{changed: make(chan struct{}, 1)}
	var dirs []string
	for _, f := range feeds {
		if w, ok := f.(watcher); ok {
			dirs = append(dirs, w.Watched()...)
		}
	}
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)
	if len(dirs) == 0 {
		return n
	}
	var err error
	if n.fs, err = fsnotify.NewWatcher(); err != nil {
		log.Info("changes of files are not told here; they are looked for", "err", err)
		return n
	}
	for _, dir := range dirs {
		if err := n.fs.Add(dir); err != nil {
			log.Info("changes in a directory are not told; they are looked for", "dir", dir, "err", err)
		}
	}
	n.done.Go(n.listen)
	return n
}

func (n *notifier) listen() {
	for {
		select {
		case _, ok := <-n.fs.Events:
			if !ok {
				return
			}
		case _, ok := <-n.fs.Errors: // too many events to tell: something changed
			if !ok {
				return
			}
		}
		select {
		case n.changed <- struct{}{}:
		default:
		}
	}
}

// close ends watching and waits until it has ended.
func (n *notifier) close() {
	if n.fs != nil {
		_ = n.fs.Close() // nothing can be lost
		n.done.Wait()
	}
}
