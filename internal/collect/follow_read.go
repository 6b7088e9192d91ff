package collect

import (
	"errors"
	"io"
	"math"
	"slices"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// leastRead is how many bytes a decoder gets at least in a round: some find nothing in
// all that they are given, so that the limit has to hold for what they are given too.
const leastRead = 64 << 10

// keptHalf is how much of a line that has not ended a decoder holds until more comes. It
// is begun anew with a longer one: decoders look at it from its beginning each time, and
// have only so much patience with a line.
const keptHalf = 32 << 10

// errWithinLine says that a decoder was given too little to come to an end of a line.
var errWithinLine = errors.New("within a line")

// read appends what the file of s has more of. The error is one of the trail.
func (f *Follower) read(p *round, s *content) error {
	c := s.from
	if c.in == nil && c.end {
		return nil // update will tell when there is more
	}
	if s.reader == nil && s.halfOf == c.info.Size() && s.half == s.source.Position && !c.packed {
		c.end = true // half a line, and nothing came since
		return nil
	}
	allow := max(p.limit-p.read, leastRead)
	if p.limit <= 0 {
		allow = math.MaxInt64 / 2
	}
	err := errWithinLine
	for ; err == errWithinLine; allow *= 2 {
		if err = f.prepare(s); err != nil {
			break
		}
		if s.hole > 0 {
			f.setAside(p, holeIn(s.source, s.hole))
			s.hole = 0
		}
		err = f.events(p, s, allow)
	}
	if broken, ok := errors.AsType[*writeError](err); ok {
		return broken
	}
	switch {
	case errors.Is(err, errReplaced):
		f.forget(c)
		f.again = true
		f.identify() // also to hold it
	case err != nil && passing(err):
		f.again = f.again || c.here
	case err != nil:
		f.fail(err)
	}
	return nil
}

// prepare makes the reader of s, unless it has one that can go on.
func (f *Follower) prepare(s *content) error {
	c := s.from
	c.end = false
	if c.in == nil {
		if err := f.reopen(c, s); err != nil {
			return err
		}
		f.stop(s)
	}
	if f.reading != s {
		if f.reading != nil && f.reading.from != nil && !f.reading.from.packed {
			f.stop(f.reading)
		}
		f.reading = s
	}
	if !c.packed {
		if err := f.shrunk(s); err != nil {
			return err
		}
	}
	if s.reader != nil {
		return nil
	}
	var in io.Reader
	if c.packed {
		z, err := unpack(c.in)
		if err != nil {
			return err
		}
		if c.plain != nil {
			c.plain.close()
		}
		c.plain = z
		if _, err := io.CopyN(io.Discard, z, s.source.Position); err != nil && err != io.EOF && !isDamage(err) {
			return err
		}
		in = z
	} else {
		s.tail = &tail{c: c, at: s.source.Position}
		in = s.tail
	}
	s.reader = f.newReader(s, in, !c.packed)
	return nil
}

// reopen opens the file of s again, if it still holds that.
func (f *Follower) reopen(c *logFile, s *content) error {
	if err := c.open(); err != nil {
		return err
	}
	begins, _, err := c.look()
	if err == nil && !begins.of(s.source) {
		err = errReplaced
	}
	c.begins = begins
	return err
}

func (f *Follower) newReader(s *content, in io.Reader, growing bool) Decoder {
	return f.cfg.Format.Decode(in, audit.ReaderConfig{StartOffset: s.source.Position, StartLine: s.source.Line,
		Source: s.source.Name, Cluster: s.source.Cluster, Server: s.source.Server, Growing: growing})
}

// shrunk looks whether a file that is the same has become shorter than what was read
// of it, as it may after a power failure: its writer goes on at its end.
func (f *Follower) shrunk(s *content) error {
	c := s.from
	info, err := c.in.Stat()
	if err != nil {
		return err
	}
	if err := c.same(); err != nil {
		return err
	}
	if info.Size() != c.info.Size() {
		c.info, c.grew = info, f.now()
	}
	if s.tail != nil && info.Size() < s.tail.at {
		f.stop(s)
		f.reading = s
	}
	if info.Size() < s.source.Position && c.current() {
		s.source.Position = info.Size()
	}
	return nil
}

// events appends what the reader of s gives of the next so many bytes.
func (f *Follower) events(p *round, s *content, allow int64) error {
	c, r := s.from, s.reader
	start := r.Offset()
	if s.tail != nil {
		s.tail.stop, s.tail.stopped = s.tail.at+allow, false
	}
	for n := 0; ; n++ {
		if p.over() {
			f.advance(p, s)
			return nil
		}
		if p.w.Full() {
			f.advance(p, s)
			if err := p.w.Seal(); err != nil {
				return &writeError{err}
			}
		}
		before := r.Offset()
		err := r.Next(&f.event)
		p.read += r.Offset() - before
		if err == nil {
			p.w.Append(&f.event)
			p.events++
			s.source.Done = false
			continue
		}
		if fault, ok := FaultOf(err, s.source); ok {
			f.setAside(p, fault)
			continue
		}
		if err == io.EOF && !c.packed && s.tail.stopped && r.Offset() == start {
			f.stop(s)
			return errWithinLine
		}
		if err == io.EOF && !c.packed {
			err = s.tail.err
		} else if err == io.EOF {
			s.source.Done = true
			err = nil
		}
		f.advance(p, s)
		if err != nil {
			f.stop(s)
			return err
		}
		if !c.packed && s.tail.stopped {
			f.again = true
			return nil
		}
		if !c.packed && s.tail.at-r.Offset() > keptHalf {
			s.half, s.halfOf = r.Offset(), s.tail.at
			f.stop(s)
		}
		c.end = true
		if c.packed {
			f.stop(s)
			c.close()
		}
		f.spare(c)
		return nil
	}
}

// advance notes how far s was read.
func (f *Follower) advance(p *round, s *content) {
	s.source.Position, s.source.Line = s.reader.Offset(), s.reader.Line()
	s.source.Read = f.now().Unix()
	p.w.Advance(s.source)
}

func (f *Follower) setAside(p *round, fault trail.Fault) {
	p.faults++
	p.w.SetAside(fault)
	if f.cfg.OnFault != nil {
		f.cfg.OnFault(fault)
	}
}

// settle ends the reading of files that were rotated away once nobody writes to them.
func (f *Follower) settle(p *round) error {
	for _, c := range slices.Clone(f.files) {
		if c.current() || !f.quiet(c) || !f.succeeded(c) {
			continue
		}
		if c.content == nil && !c.foreign && !c.packed && c.info.Size() > 0 {
			if err := f.know(c, true); err != nil && !passing(err) {
				f.fail(err)
				continue
			}
			if s := c.content; s != nil && s.from == nil {
				s.from = c
				if err := f.read(p, s); err != nil {
					return err
				}
			}
		}
		s := c.content
		if s != nil && s.from == c {
			if !c.end || f.elsewhere(s) {
				f.again = f.again || c.end
				continue
			}
			if err := f.finish(p, s); err != nil {
				return err
			}
		} else if s != nil && s.from != nil && c.hasMore(s) {
			continue // its turn comes
		}
		if c.close(); !c.here {
			f.remove(c)
		}
	}
	return nil
}

// succeeded reports whether other events than those in a file are being written in
// its place.
func (f *Follower) succeeded(c *logFile) bool {
	return slices.ContainsFunc(f.files, func(o *logFile) bool {
		return o != c && o.set == c.set && o.current() && o.content != nil && o.content != c.content
	})
}

// elsewhere reports whether another file may have more of s than the one it is read
// from.
func (f *Follower) elsewhere(s *content) bool {
	return slices.ContainsFunc(f.files, func(o *logFile) bool { return o != s.from && o.content == s && o.hasMore(s) })
}

// hasMore reports whether a file may have more of s than the one it is read from.
func (c *logFile) hasMore(s *content) bool {
	return !c.end && (c.packed || c.info.Size() > max(s.source.Position, s.from.info.Size()))
}

// finish reads the last line of s, which will never end.
func (f *Follower) finish(p *round, s *content) error {
	c := s.from
	if s.source.Done || c.packed {
		return nil
	}
	if c.waiting() > 0 {
		err := f.prepare(s)
		if err == nil {
			s.tail = &tail{c: c, at: s.source.Position}
			s.reader = f.newReader(s, s.tail, false)
			err = f.events(p, s, math.MaxInt64/2)
			f.stop(s)
		}
		if broken, ok := errors.AsType[*writeError](err); ok {
			return broken
		}
		if err != nil || !c.end {
			f.again = true
			return nil
		}
	}
	s.source.Done = true
	p.w.Advance(s.source)
	return nil
}

func (f *Follower) remove(c *logFile) {
	f.release(c)
	f.files = slices.DeleteFunc(f.files, func(o *logFile) bool { return o == c })
}
