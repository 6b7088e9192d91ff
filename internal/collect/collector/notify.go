package collector

import (
	"log/slog"
	"slices"
	"sync"

	"github.com/fsnotify/fsnotify"

	"kubetrail/internal/collect"
)

// watcher is a feed that knows where its changes are to be seen.
type watcher interface{ Watched() []string }

// A notifier tells that something changed in a directory that a feed watches, while it
// is armed. That is only while the feeds are idle: a log that is being written would
// cost more to be told of than to be read, see docs/design/0006-collecting.md. It is
// a shortcut: whoever waits for it also looks again after a while, since network and
// overlay file systems tell of nothing.
type notifier struct {
	changed chan struct{} // at most one value waits
	feeds   func() []collect.Feed
	dirs    []string // being watched
	log     *slog.Logger
	fs      *fsnotify.Watcher // nil: not made yet
	none    bool              // there is none to be had
	armed   bool
	told    map[string]bool // directories that cannot be watched, and that was told
	done    sync.WaitGroup
}

// newNotifier prepares to watch the directories of those feeds that feeds returns
// whenever it is armed.
func newNotifier(feeds func() []collect.Feed, log *slog.Logger) *notifier {
	return &notifier{changed: make(chan struct{}, 1), feeds: feeds, log: log, told: map[string]bool{}}
}

// arm begins to tell of changes. What changed before may be told too.
func (n *notifier) arm() {
	n.armed = true
	for _, f := range n.feeds() {
		if w, ok := f.(watcher); ok {
			n.dirs = append(n.dirs, w.Watched()...) // not the same every time
		}
	}
	if n.fs == nil && !n.open() {
		n.dirs = n.dirs[:0]
		return
	}
	slices.Sort(n.dirs)
	n.dirs = slices.Compact(n.dirs)
	for _, dir := range n.dirs {
		if err := n.fs.Add(dir); err != nil && !n.told[dir] {
			n.told[dir] = true
			n.log.Info("changes in a directory are not told; they are looked for", "dir", dir, "err", err)
		}
	}
}

// open makes the watcher, once there is something to watch.
func (n *notifier) open() bool {
	if len(n.dirs) == 0 || n.none {
		return false
	}
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		n.none = true
		n.log.Info("changes of files are not told here; they are looked for", "err", err)
		return false
	}
	n.fs = fs
	n.done.Go(n.listen)
	return true
}

// disarm ends that.
func (n *notifier) disarm() {
	n.armed = false
	if n.fs == nil {
		return
	}
	for _, dir := range n.dirs {
		_ = n.fs.Remove(dir) // it may have gone, or not be watched
	}
	n.dirs = n.dirs[:0]
	select {
	case <-n.changed:
	default:
	}
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
