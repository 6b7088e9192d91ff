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
)

// forgetGone drops contents that are in no file any more, those first that were read
// longest ago, where there are more than keptGone. Every commit carries a position of
// each content, 250 bytes, so that there must be an end to them.
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
		held[c.content] = true
	}
	var gone []*content
	for _, s := range f.contents {
		if !held[s] && s.source.Read > 0 && f.near(s.source.Name) {
			gone = append(gone, s)
		}
	}
	slices.SortStableFunc(gone, func(a, b *content) int { return cmp.Compare(b.source.Read, a.source.Read) })
	drop := map[*content]bool{}
	for _, s := range gone[min(len(gone), keptGone):] {
		if now.Sub(time.Unix(s.source.Read, 0)) < forgetEvery {
			continue // it may be on its way from one name to another
		}
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
