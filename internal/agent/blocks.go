package agent

import (
	"bytes"
	"errors"
	"io"

	"kubetrail/audit"
	"kubetrail/internal/collect"
)

// blockBytes is the most of a file that is shipped in one piece, and what is in memory
// of a file that is being read.
const blockBytes = 256 << 10

// blocksOf is a format whose "events" are blocks of whole lines, in Raw: what is in them
// is for the server to find out. A last line that has not ended waits, unless a block is
// full of it: then it is shipped as far as it is there.
func blocksOf(of *collect.Format) *collect.Format {
	return &collect.Format{
		Decode: func(in io.Reader, cfg audit.ReaderConfig) collect.Decoder {
			return &blocks{in: in, growing: cfg.Growing, source: []byte(cfg.Source), base: cfg.StartOffset, line: cfg.StartLine,
				buf: make([]byte, blockBytes)}
		},
		Foreign: of.Foreign,
	}
}

// blocks is the Decoder of blocksOf.
type blocks struct {
	in      io.Reader
	growing bool
	source  []byte

	buf   []byte
	given int   // bytes of buf that the last Next returned
	end   int   // bytes in buf
	base  int64 // offset of buf[0]
	line  int64 // newlines before base+given
	after error // what in ended with: io.EOF, or damage once what came before it is given
}

func (b *blocks) Offset() int64 { return b.base + int64(b.given) }
func (b *blocks) Line() int64   { return b.line }

// Next gives the next block. e.Raw is valid until the next call.
func (b *blocks) Next(e *audit.Event) error {
	b.end = copy(b.buf, b.buf[b.given:b.end])
	b.base, b.given = b.base+int64(b.given), 0
	if b.growing && b.after == io.EOF {
		b.after = nil
	}
	for b.after == nil && b.end < len(b.buf) {
		var n int
		n, b.after = b.in.Read(b.buf[b.end:])
		b.end += n
	}
	damage, damaged := errors.AsType[*audit.Damage](b.after)
	n := bytes.LastIndexByte(b.buf[:b.end], '\n') + 1
	if n == 0 && b.end == len(b.buf) || b.after != nil && (!b.growing || damaged) {
		n = b.end
	}
	switch {
	case n > 0:
		b.given = n
		b.line += int64(bytes.Count(b.buf[:n], []byte{'\n'}))
		e.Raw, e.Offset, e.Text[audit.Source] = b.buf[:n:n], b.base, b.source
		return nil
	case damaged:
		b.after = io.EOF
		return &audit.Fault{Offset: b.base, Reason: damage.Error()}
	}
	return b.after
}
