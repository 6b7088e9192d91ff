package spool

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"kubetrail/internal/durable"
	"kubetrail/internal/trail"
)

// spool keeps what was received for one cluster: a stream of bodies, each with a
// newline behind it, in segments that are named by the offset they begin at. A segment
// is written once, from its beginning, by one process: a restart begins another one,
// and so does a write or fsync that fails, since nobody knows what it left behind. What
// a segment holds beyond the beginning of the next was never acknowledged. The last one
// is kept, empty or not: it tells where the spool ends.
type spool struct {
	cfg  Config
	dir  string
	feed *Feed

	mu        sync.Mutex // guards what follows
	idle      sync.Cond  // busy became false
	segments  []segment  // oldest first
	end       int64      // where the next body will stand; all before is durable
	committed int64      // all before is in the trail
	gathering *group     // what is written next, nil for nothing
	pending   int64      // bytes being written or gathered
	busy      bool       // there is a leader
	closed    bool

	// The leader's alone.
	file durable.File // of the last segment; nil: the next write begins a segment
	out  *bufio.Writer
}

// segment is one file of a spool: the bytes from start to end, offsets in the spool.
type segment struct{ start, end int64 }

// group are bodies that become durable with the same fsync.
type group struct {
	bodies [][]byte
	bytes  int64
	lead   chan struct{} // gets a value when one of the group is to write it
	done   chan struct{} // closed when that is over, well or with err
	err    error
}

// openSpool opens the spool for what comes from an origin, whose directory is there, at
// the position that the trail has read it to.
func openSpool(s *Spools, from Origin) (*spool, error) {
	sp := &spool{cfg: s.cfg, dir: filepath.Join(s.cfg.Dir, from.dir())}
	sp.idle.L = &sp.mu
	sp.out = bufio.NewWriterSize(nil, 64<<10)
	sp.feed = newSpoolFeed(sp, from, s.limit)
	at := sp.feed.source.Position
	var err error
	if sp.segments, err = sp.find(); err != nil {
		return nil, err
	}
	if n := len(sp.segments); n > 0 {
		sp.end = sp.segments[n-1].end
	}
	if at > sp.end {
		sp.feed.lost = &trail.Fault{Offset: at, Reason: fmt.Sprintf("the trail has read the spool to byte %d, "+
			"and its files end at byte %d: what else they held is lost", at, sp.end)}
		sp.end = at
	}
	sp.feed.remember(at)
	sp.feed.tidy()
	return sp, nil
}

// name is that of the segment which begins at start.
func (s *spool) name(start int64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%020d%s", start, segmentSuffix))
}

const segmentSuffix = ".spool"

// find lists the segments that are there, oldest first, and makes the last one end
// with a body, durably: a process that was killed may have written it without fsync.
func (s *spool) find() ([]segment, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var found []segment
	for _, e := range entries {
		digits, ours := strings.CutSuffix(e.Name(), segmentSuffix)
		start, err := strconv.ParseInt(digits, 10, 64)
		if !ours || len(digits) != 20 || err != nil || start < 0 || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		if n := len(found); n > 0 {
			found[n-1].end = min(found[n-1].end, start)
		}
		found = append(found, segment{start, start + info.Size()})
	}
	if len(found) == 0 {
		return nil, nil
	}
	last := &found[len(found)-1]
	size, err := lastNewline(s.name(last.start), last.end-last.start)
	if err != nil {
		return nil, err
	}
	last.end = last.start + size
	if err := s.cfg.FS.Cut(s.name(last.start), size); err != nil {
		return nil, err
	}
	return found, s.cfg.FS.SyncDir(s.dir)
}

// lastNewline returns how many of the first size bytes of a file remain without what
// comes after their last newline.
func lastNewline(name string, size int64) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf := make([]byte, 64<<10)
	for size > 0 {
		b := buf[:min(size, int64(len(buf)))]
		if _, err := f.ReadAt(b, size-int64(len(b))); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return size - int64(len(b)) + int64(i) + 1, nil
		}
		size -= int64(len(b))
	}
	return 0, nil
}

// receive keeps body. The first caller that finds nobody writing becomes the leader and
// writes; those who come in the meantime gather a group, of which one is the next
// leader. So there is one fsync for everything that came during the one before.
func (s *spool) receive(body []byte) error {
	s.mu.Lock()
	room := s.cfg.MaxBytes
	switch waiting := s.end - s.committed + s.pending; {
	case s.closed:
		s.mu.Unlock()
		return ErrClosed
	case waiting+int64(len(body))+1 > room:
		s.mu.Unlock()
		return fmt.Errorf("%w: %d bytes wait in it, and there is room for %d", ErrFull, waiting, room)
	}
	g := s.gathering
	if g == nil {
		g = &group{lead: make(chan struct{}, 1), done: make(chan struct{})}
		s.gathering = g
	}
	g.bodies = append(g.bodies, body)
	g.bytes += int64(len(body)) + 1
	s.pending += int64(len(body)) + 1
	leader := !s.busy
	s.busy = true
	s.mu.Unlock()
	if !leader {
		select {
		case <-g.done:
			return g.err
		case <-g.lead:
		}
	}
	s.lead(g)
	return g.err
}

// lead writes the group that is being gathered, which is g, and then gives the lead to
// one of the next.
func (s *spool) lead(g *group) {
	s.mu.Lock()
	s.gathering = nil
	s.mu.Unlock()
	g.err = s.write(g)
	s.mu.Lock()
	s.pending -= g.bytes
	next := s.gathering
	s.busy = next != nil
	s.idle.Broadcast()
	s.mu.Unlock()
	close(g.done)
	if next != nil {
		next.lead <- struct{}{}
	}
}

// write makes all of g durable, or keeps nothing of it. The leader calls it.
func (s *spool) write(g *group) error {
	if s.file == nil {
		if err := s.begin(); err != nil {
			return noRoom(err)
		}
	}
	s.out.Reset(s.file)
	for _, body := range g.bodies {
		s.out.Write(body) // its error comes again
		s.out.WriteByte('\n')
	}
	err := s.out.Flush()
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		s.abandon()
		return noRoom(err)
	}
	s.mu.Lock()
	s.end += g.bytes
	last := &s.segments[len(s.segments)-1]
	last.end = s.end
	long := last.end-last.start >= s.cfg.SegmentBytes
	s.mu.Unlock()
	if long {
		s.file.Close() // all of it is durable
		s.file = nil
	}
	return nil
}

// begin begins a segment where the one before ends, again if that came to nothing.
func (s *spool) begin() error {
	file, err := s.cfg.FS.Create(s.name(s.end))
	if err != nil {
		return err
	}
	if err := s.cfg.FS.SyncDir(s.dir); err != nil {
		file.Close()
		return err
	}
	s.file = file
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.segments); n == 0 || s.segments[n-1].start < s.end {
		s.segments = append(s.segments, segment{s.end, s.end})
	}
	return nil
}

// abandon gives up the segment being written, of which it keeps what is durable. That
// is best effort: see spool for what becomes of the rest. After a failed fsync the
// kernel may take the bytes for written, so that trying again proves nothing.
func (s *spool) abandon() {
	s.file.Close()
	s.file = nil
	s.mu.Lock()
	last := s.segments[len(s.segments)-1]
	s.mu.Unlock()
	s.cfg.FS.Cut(s.name(last.start), last.end-last.start)
}

// noRoom makes err wrap ErrFull where the disk has no room.
func noRoom(err error) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, io.ErrShortWrite} {
		if errors.Is(err, full) {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
	}
	return err
}

// forget notes that all before position is in the trail, and returns the segments that
// need not be kept for it.
func (s *spool) forget(position int64) (old []segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed = position
	n := 0
	for n+1 < len(s.segments) && s.segments[n].end <= position {
		n++
	}
	old = slices.Clone(s.segments[:n])
	s.segments = slices.Delete(s.segments, 0, n)
	return old
}

// behind returns the segment that holds the first byte at position or after it. There
// is none where all was read.
func (s *spool) behind(position int64) (segment, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.segments {
		if g.end > position {
			return g, true
		}
	}
	return segment{}, false
}

// waiting is how many bytes are durable after position.
func (s *spool) waiting(position int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end - position
}

// close waits for those who are writing and lets nobody write any more.
func (s *spool) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for s.busy {
		s.idle.Wait()
	}
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}
