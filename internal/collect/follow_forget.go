package collect

import (
	"cmp"
	"path/filepath"
	"slices"
	"time"

	"kubetrail/internal/trail"
)

const (
	// keptGone is of how many removed files of a log the trail keeps the position.
	// Whoever imports the archive of an older one has its events twice.
	keptGone = 256
	// forgetEvery is how often it is looked for more of them.
	forgetEvery = 10 * time.Minute
	// forgetAfter is how long a file was not to be seen, whenever it was looked for,
	// before it is thought to be gone for good: what is not mounted, or what a file system
	// on the network does not list, comes back.
	forgetAfter = 24 * time.Hour
)

// forgetGone drops contents that are in no file any more, those first that were read
// longest ago, where there are more than keptGone. Every commit carries a position of
// each content, 250 bytes, so that there must be an end to them. A directory in which
// nothing is that was read tells nothing: it may be where one is mounted.
func (f *Follower) forgetGone(w Appender) {
	now := f.now()
	if now.Sub(f.forgot) < forgetEvery {
		return
	}
	f.forgot = now
	held := map[*content]bool{}
	for _, c := range f.files {
		if c.content == nil && !c.foreign {
			return // it may hold one of them
		}
		held[c.content] = c.here || held[c.content]
	}
	if !slices.ContainsFunc(f.contents, func(s *content) bool { return held[s] && s.source.Read > 0 }) {
		return
	}
	var gone []*content
	for _, s := range f.contents {
		if _, held := held[s]; !held && s.source.Read > 0 && f.near(s.source.Name) {
			gone = append(gone, s)
		}
	}
	since := map[*content]time.Time{}
	for _, s := range gone {
		since[s] = now
		if before, ok := f.gone[s]; ok {
			since[s] = before
		}
	}
	f.gone = since
	slices.SortStableFunc(gone, func(a, b *content) int { return cmp.Compare(b.source.Read, a.source.Read) })
	drop := map[*content]bool{}
	for _, s := range gone[min(len(gone), keptGone):] {
		if now.Sub(since[s]) < forgetAfter {
			continue
		}
		delete(f.gone, s)
		drop[s] = true
		w.Advance(trail.Source{Name: s.source.Name, Cluster: s.source.Cluster, Server: s.source.Server, Print: s.source.Print, Gone: true})
	}
	f.contents = slices.DeleteFunc(f.contents, func(s *content) bool { return drop[s] })
}

// near reports whether a file lay where the log and its backups are: one that was
// imported from elsewhere, or that is of another log, is not for this one to forget.
func (f *Follower) near(name string) bool {
	return filepath.Dir(name) == f.cfg.Path || filepath.Dir(name) == filepath.Dir(f.cfg.Path)
}
