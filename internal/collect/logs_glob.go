package collect

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// globEvery is how often it is looked for more files and directories that a pattern
// means. The log directory of a static pod has another name after each change of its
// manifest.
const globEvery = 5 * time.Second

// expand returns the logs to follow: what Set said, a pattern replaced by what it means
// now. due is false where that was looked at not long ago and nothing else was set.
// l.mu is held.
func (l *Logs) expand() (logs []Log, due bool) {
	isPattern := func(log Log) bool { return strings.ContainsAny(log.Path, "*?[") }
	due = l.set
	if now := l.cfg.Now(); now.Sub(l.looked) >= globEvery && slices.ContainsFunc(l.want, isPattern) {
		l.looked, due = now, true
	}
	if !due {
		return l.expanded, false
	}
	logs = make([]Log, 0, len(l.want))
	for _, log := range l.want {
		paths := []string{log.Path}
		if isPattern(log) {
			found, err := filepath.Glob(log.Path)
			if _, is := os.Lstat(log.Path); is != nil {
				paths = found
			}
			if len(paths) == 0 && l.set {
				args := []any{"pattern", log.Path}
				if err != nil {
					args = append(args, "err", err)
				}
				l.cfg.Logger.Warn("nothing matches the pattern of a log yet", args...)
			}
		}
		for _, path := range paths {
			log.Path = path
			if !slices.ContainsFunc(logs, func(o Log) bool { return o.Path == path }) {
				logs = append(logs, log)
			}
		}
	}
	l.expanded = logs
	return logs, true
}
