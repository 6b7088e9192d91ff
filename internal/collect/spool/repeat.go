package spool

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"

	"kubetrail/audit"
	"kubetrail/internal/durable"
)

// DefaultRepeats is how many bodies of all spools together are remembered, so that one
// that comes again is known. kube-apiserver tries a batch for at most 98 s of waiting
// and five timeouts of 30 s: that many bodies are 17 minutes of one API server that
// posts 250 events a second one by one, and a day of one that posts ten batches.
const DefaultRepeats = 1 << 18

// minRepeats is how many of them each spool remembers at least.
const minRepeats = 4096

// repeatsName is the file of a spool that holds the bodies it remembers whose segments
// are gone.
const repeatsName = "repeats"

// repeatMark is what the events of a body have that came before, byte for byte.
const repeatMark = `["repeat"]`

// body is one line of a spool: kube-apiserver writes each body as one. Of other
// senders' that hold newlines, each line counts alone.
type body struct {
	start, end int64 // offsets in the spool; the newline counts
	repeat     bool
}

// seen is one remembered line.
type seen struct {
	sum [16]byte // the first half of the SHA-256 of the line without its newline
	end int64    // of the line, in the spool
}

// memory holds the lines of a spool that were read last, oldest first. No client can
// make two bodies look alike: what is compared is not what they say, as their audit IDs,
// but a cryptographic hash of all their bytes, which hold times that kube-apiserver wrote.
//
// It belongs to the goroutine of the feed.
type memory struct {
	lines []seen
	gone  int               // lines at the beginning that are forgotten
	base  uint64            // the number of lines[0], counted from the first line ever
	index map[uint64]uint64 // the beginning of a sum to the number of the line that had it last
}

// add remembers a line and reports whether it was remembered already. Not more than
// limit are.
func (m *memory) add(l seen, limit int) (repeat bool) {
	if m.index == nil {
		m.index = map[uint64]uint64{}
	}
	key := binary.LittleEndian.Uint64(l.sum[:])
	if n, ok := m.index[key]; ok {
		repeat = m.lines[n-m.base].sum == l.sum
	}
	m.index[key] = m.base + uint64(len(m.lines))
	m.lines = append(m.lines, l)
	for len(m.lines)-m.gone > limit {
		key := binary.LittleEndian.Uint64(m.lines[m.gone].sum[:])
		if m.index[key] == m.base+uint64(m.gone) {
			delete(m.index, key)
		}
		m.gone++
	}
	if m.gone > len(m.lines)/2 {
		m.lines = slices.Delete(m.lines, 0, m.gone)
		m.base += uint64(m.gone)
		m.gone = 0
	}
	return repeat
}

// limit is how many lines one spool remembers.
func (s *Spools) limit() int {
	return max(s.cfg.Repeats/int(max(1, s.count.Load())), min(minRepeats, s.cfg.Repeats))
}

// mark marks e if the body that holds it was received before. An event that is not
// whole on one line is marked never, nor one whose line cannot be read again.
func (f *Feed) mark(e *audit.Event) {
	e.Text[audit.Marks] = nil
	for f.body.end <= e.Offset {
		if f.nextBody() != nil {
			return
		}
	}
	if f.body.repeat && e.Offset >= f.body.start && e.Offset+int64(len(e.Raw)) <= f.body.end {
		e.Text[audit.Marks] = f.repeated
	}
}

// nextBody looks at the line after f.body in the file that is being read.
func (f *Feed) nextBody() error {
	b, sum, err := f.hash(f.file, f.begin, max(f.body.end, f.begin), f.until)
	if err != nil {
		return err
	}
	f.body = b
	if b.end-b.start > 1 { // not the newline behind that of a body
		f.body.repeat = f.memory.add(seen{sum, b.end}, f.limit())
	}
	return nil
}

// hash reads the line at an offset of the spool from a segment that begins at begin.
func (f *Feed) hash(in io.ReaderAt, begin, at, until int64) (b body, sum [16]byte, err error) {
	b.start = at
	h := f.hasher
	h.Reset()
	for at < until {
		chunk := f.chunk[:min(until-at, int64(len(f.chunk)))]
		if _, err := in.ReadAt(chunk, at-begin); err != nil {
			return b, sum, err
		}
		if n := bytes.IndexByte(chunk, '\n'); n >= 0 {
			h.Write(chunk[:n])
			at += int64(n) + 1
			break
		}
		h.Write(chunk)
		at += int64(len(chunk))
	}
	if b.end = at; b.end == b.start {
		return b, sum, io.ErrUnexpectedEOF
	}
	var whole [sha256.Size]byte
	copy(sum[:], h.Sum(whole[:0]))
	return b, sum, nil
}

// remember fills the memory with what stands before the position that the trail has
// read the spool to: with what was saved of segments that are gone, and with the
// segments that are there. What cannot be read is not remembered.
func (f *Feed) remember(at int64) {
	name := filepath.Join(f.spool.dir, repeatsName)
	if saved, err := os.ReadFile(name); err == nil {
		for _, l := range decodeSeen(saved) {
			if l.end <= at { // others are read again, and would be taken for repeats
				f.memory.add(l, f.limit())
				f.body.end = l.end
			}
		}
	}
	for _, g := range f.spool.segments {
		if g.start < at && f.body.end < min(at, g.end) {
			f.rememberSegment(g, at)
		}
	}
	f.body.end = max(f.body.end, at)
}

// rememberSegment remembers the lines of a segment that begin before at.
func (f *Feed) rememberSegment(g segment, at int64) {
	file, err := os.Open(f.spool.name(g.start))
	if err != nil {
		return
	}
	defer file.Close()
	f.file, f.begin, f.until = file, g.start, g.end
	for err == nil && f.body.end < min(at, g.end) {
		err = f.nextBody()
	}
	f.file, f.begin, f.until = nil, 0, 0
}

// save makes durable what is remembered, because segments are about to be removed.
// Where it fails the segments go all the same: to make room comes first, and this
// process remembers until it ends.
func (f *Feed) save() error {
	return durable.Write(f.spool.cfg.FS, filepath.Join(f.spool.dir, repeatsName), func(w io.Writer) error {
		_, err := w.Write(encodeSeen(f.memory.lines[f.memory.gone:]))
		return err
	})
}

const (
	seenMagic = "KTSEEN1\n"
	seenBytes = 16 + 8 // a line: its sum, and its end
)

// encodeSeen encodes lines: the magic, each line, and the hash of all that.
func encodeSeen(lines []seen) []byte {
	b := make([]byte, 0, len(seenMagic)+len(lines)*seenBytes+sha256.Size)
	b = append(b, seenMagic...)
	for _, l := range lines {
		b = append(b, l.sum[:]...)
		b = binary.LittleEndian.AppendUint64(b, uint64(l.end))
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// decodeSeen returns what encodeSeen was given, or nothing where b is something else.
func decodeSeen(b []byte) []seen {
	n := len(b) - sha256.Size
	if n < len(seenMagic) || string(b[:len(seenMagic)]) != seenMagic || (n-len(seenMagic))%seenBytes != 0 {
		return nil
	}
	if sum := sha256.Sum256(b[:n]); !bytes.Equal(sum[:], b[n:]) {
		return nil
	}
	var lines []seen
	for b := b[len(seenMagic):n]; len(b) > 0; b = b[seenBytes:] {
		lines = append(lines, seen{[16]byte(b), int64(binary.LittleEndian.Uint64(b[16:]))})
	}
	return lines
}
