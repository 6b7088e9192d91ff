package collect

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kubetrail/internal/trail"
)

// scan looks which files there are and how long they have become.
func (f *Follower) scan() error {
	for _, c := range f.files {
		c.here = false
	}
	err := f.list()
	kept := f.files[:0]
	for _, c := range f.files {
		if c.here {
			kept = append(kept, c)
			continue
		}
		if c.in == nil { // unopened, or read to its end
			f.release(c)
			continue
		}
		if info, err := c.in.Stat(); err == nil {
			f.update(c, info)
		}
		kept = append(kept, c)
	}
	clear(f.files[len(kept):])
	f.files = kept
	f.bound()
	slices.SortStableFunc(f.files, func(a, b *logFile) int {
		return cmp.Or(natural(a.set, b.set), cmp.Compare(a.turn.kind, b.turn.kind),
			strings.Compare(a.turn.date, b.turn.date), cmp.Compare(a.turn.count, b.turn.count), cmp.Compare(a.nth, b.nth))
	})
	return err
}

// bound lets go of removed files, the ones first that were removed first, where too
// many are held. They were read to their end if there was time for that.
func (f *Follower) bound() {
	open := 0
	for _, c := range f.files {
		if c.in != nil {
			open++
		}
	}
	for i := 0; i < len(f.files) && open > maxHeld; i++ {
		if c := f.files[i]; !c.here && (c.content == nil || c.content.from != c || c.end) {
			f.remove(c)
			open--
			i--
		}
	}
}

// list sees the files of the log in its directory, and returns the error if neither
// that nor the log exists.
func (f *Follower) list() error {
	dir, log := filepath.Split(f.cfg.Path)
	info, missing := os.Stat(f.cfg.Path)
	if missing == nil && info.IsDir() {
		dir, log = f.cfg.Path, ""
	}
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return err
	}
	set, _ := f.names.place(log)
	if log != "" {
		set = log
	}
	found := false
	for _, e := range entries {
		itsSet, turn := f.names.place(e.Name())
		switch {
		case e.IsDir():
			continue
		case log == "":
		case e.Name() == log:
			itsSet, turn.kind = log, current
		case itsSet != set || turn.kind == current && !isPacked(e.Name()):
			continue
		}
		if isPacked(e.Name()) && turn.kind == current {
			turn.kind = numbered // a log is not written in compressed form
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			f.fail(err)
			continue
		}
		if info.Mode().IsRegular() {
			found = true
			f.see(path, itsSet, turn, info)
		}
	}
	if log != "" && !found {
		return missing
	}
	return nil
}

// see notes a file.
func (f *Follower) see(path, set string, t turn, info fs.FileInfo) {
	at := slices.IndexFunc(f.files, func(c *logFile) bool { return c.path == path && os.SameFile(c.info, info) })
	if at < 0 {
		at = slices.IndexFunc(f.files, func(c *logFile) bool { return os.SameFile(c.info, info) })
	}
	if at >= 0 && f.files[at].in == nil && f.files[at].changed(info) && !(f.files[at].foreign && f.files[at].path == path) {
		f.remove(f.files[at]) // another file may have got the number of a removed one
		at = -1
	}
	if at < 0 {
		f.seen++
		grew := f.now()
		if at := info.ModTime(); grew.Sub(at) > time.Hour { // clocks of file systems differ
			grew = at
		}
		f.files = append(f.files, &logFile{path: path, set: set, turn: t, nth: f.seen, here: true,
			info: info, grew: grew, packed: isPacked(path)})
		return
	}
	c := f.files[at]
	if !c.here || t.kind == current { // a file with two names is written under the current one
		c.path, c.set, c.turn, c.here = path, set, t, true
	}
	f.update(c, info)
}

// changed reports whether info tells of a change to the file.
func (c *logFile) changed(info fs.FileInfo) bool {
	return info.Size() != c.info.Size() || !info.ModTime().Equal(c.info.ModTime())
}

// update notes how a file is now.
func (f *Follower) update(c *logFile, info fs.FileInfo) {
	if !c.changed(info) {
		return
	}
	c.grew = f.now()
	if info.Size() < c.info.Size() || c.info.Size() < judged {
		c.foreign = false
	}
	c.info = info
	if read := c.content != nil && c.content.from == c && !c.packed && c.in != nil; !read && c.here || read && c.same() != nil {
		f.forget(c) // it may hold something else now
	}
}

// forget forgets what a file holds. It stays open.
func (f *Follower) forget(c *logFile) {
	if s := c.content; s != nil && s.from == c {
		s.from = nil
		f.stop(s)
	}
	c.content, c.begins, c.end = nil, beginning{}, false
}

// release forgets what a file holds and closes it.
func (f *Follower) release(c *logFile) {
	f.forget(c)
	c.close()
}

// stop drops the reader of s.
func (f *Follower) stop(s *content) {
	s.reader, s.tail = nil, nil
	if f.reading == s {
		f.reading = nil
	}
}

// identify finds out what the files hold of which that is not known.
func (f *Follower) identify() {
	for _, c := range f.files {
		if c.content != nil || c.foreign {
			continue
		}
		if err := f.know(c, false); err != nil {
			if !passing(err) {
				f.fail(err)
			}
			f.again = f.again || passing(err) && c.here
		}
	}
}

// know finds out what a file holds. Where that cannot be told yet, because there is
// nothing or little in it, or it is a copy being made, it stays unknown, unless it is
// settled: nothing more will come.
func (f *Follower) know(c *logFile, settled bool) error {
	if c.packed && c.here && slices.ContainsFunc(f.files, func(o *logFile) bool { return o.here && o.path == plainName(c.path) }) {
		return nil // it is being made, or a copy
	}
	if err := c.open(); err != nil {
		return err
	}
	begins, whole, err := c.look()
	if err != nil || !whole && !settled && !f.quiet(c) || len(begins.head) == 0 {
		f.spare(c)
		return err
	}
	c.begins = begins
	if s := f.find(c); s != nil {
		c.content = s
		switch {
		case c.packed && c.readBefore(s.source):
			c.end = true
			c.close()
		case !c.packed && (s.from != nil && c.info.Size() <= s.from.info.Size() || s.source.Done && c.info.Size() <= s.source.Position):
			c.close() // nothing new
		}
		f.spare(c)
		return nil
	}
	patient := !c.packed && !settled
	switch {
	case patient && !begins.over, f.beginsAnother(c):
	case patient && !c.current() && !f.quiet(c) && f.mayBePart(c):
	case f.strange(c):
		c.foreign = true
		c.close()
	default:
		known := begins.hole + begins.line // a copy that is being made has that first
		s := &content{hole: begins.hole, source: trail.Source{Name: c.path, Cluster: f.cfg.Cluster, Server: f.cfg.Server,
			Position: begins.hole, Print: begins.print(known), PrintBytes: known}}
		f.contents = append(f.contents, s)
		c.content = s
	}
	f.spare(c)
	return nil
}

// spare closes a file that could be opened again where too many are open.
func (f *Follower) spare(c *logFile) {
	if c.in == nil || !c.here {
		return
	}
	limit := maxRotated
	if c.current() {
		limit = maxHeld
	}
	open := 0
	for _, o := range f.files {
		if o.in != nil {
			open++
		}
	}
	if open > limit {
		c.close()
	}
}

// quiet reports whether nothing has happened to a file for long enough.
func (f *Follower) quiet(c *logFile) bool { return f.now().Sub(c.grew) >= settleTime }

// find returns the content that begins as the file does: the one of that name, where
// there are several, or else the one that was read furthest.
func (f *Follower) find(c *logFile) *content {
	var best *content
	prints := map[int64]string{}
	name := plainName(filepath.Base(c.path))
	rank := func(s *content) int {
		if named(s.source.Name, name) {
			return 1
		}
		return 0
	}
	for _, s := range f.contents {
		n := s.source.PrintBytes
		print, ok := prints[n]
		if !ok {
			print = c.begins.print(n)
			prints[n] = print
		}
		if print == "" || print != s.source.Print {
			continue
		}
		if best == nil || cmp.Or(rank(s)-rank(best), cmp.Compare(s.source.Position, best.source.Position)) > 0 {
			best = s
		}
	}
	return best
}

// beginsAnother reports whether all that a file holds is what a longer one begins
// with: it is a copy of that, perhaps one that is being made.
func (f *Follower) beginsAnother(c *logFile) bool {
	if len(c.begins.head) == PrintBytes {
		return false
	}
	return slices.ContainsFunc(f.files, func(o *logFile) bool {
		return o != c && o.content != nil && o.begins.hole == c.begins.hole && strings.HasPrefix(string(o.begins.head), string(c.begins.head))
	})
}

// mayBePart reports whether a file may be what was copied so far of a content that was
// imported, which more than the first line is needed of to know it.
func (f *Follower) mayBePart(c *logFile) bool {
	return slices.ContainsFunc(f.contents, func(s *content) bool {
		n := s.source.PrintBytes
		return n > c.info.Size() && n <= c.begins.hole+PrintBytes
	})
}

// strange reports whether a file in a directory is no audit log. A log that was named
// is taken as it is.
func (f *Follower) strange(c *logFile) bool {
	if c.set == filepath.Base(f.cfg.Path) && filepath.Dir(c.path) == filepath.Dir(f.cfg.Path) {
		return false
	}
	head := make([]byte, judged)
	var n int
	if c.packed {
		if z, err := unpack(c.in); err == nil {
			n, _ = io.ReadFull(z, head)
			z.close()
		}
	} else {
		n, _ = c.in.ReadAt(head, c.begins.hole)
	}
	return f.cfg.Format.Foreign(head[:n]) != ""
}

// choose decides which file each content is read from: a plain one before a
// compressed one, and of several the one that has more. A compressed one is looked
// into once, for the plain one may be an older copy.
func (f *Follower) choose() {
	for _, c := range f.files {
		s := c.content
		if s == nil || c.packed || s.from == c {
			continue
		}
		if from := s.from; from == nil || from.packed || (from.end || s.reader == nil) && c.info.Size() > max(from.info.Size(), s.source.Position) {
			if from != nil {
				f.forget(from) // that it is shorter may mean that it was truncated
				f.again = true
			}
			f.stop(s)
			s.from, c.end = c, false
			if c.in == nil && c.info.Size() > s.source.Position {
				if err := f.reopen(c, s); err != nil {
					f.release(c) // it will be looked at again
					f.again = f.again || passing(err)
					continue
				}
				f.spare(c) // what is held open now can be removed
			}
		}
	}
	for _, c := range f.files {
		s := c.content
		if s == nil || !c.packed || c.end {
			continue
		}
		if from := s.from; from == nil || from.end && !from.current() {
			f.stop(s)
			s.from = c
		}
	}
}
