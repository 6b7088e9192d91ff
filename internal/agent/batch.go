package agent

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/collect/spool"
	"kubetrail/internal/trail"
)

// batchBytes is about what one request ships, before it is compressed.
const batchBytes = 1 << 20

// key identifies a source among those of one server.
type key struct{ name, print string }

// batch gathers what followers read, for one request. To them it is a trail in which
// nothing is durable before the server has said so.
type batch struct {
	kind string // of what is being read
	body []byte // records
	raw  int64  // bytes of files in it

	// What was read of a source since it was said how far that is.
	data   []byte
	from   int64
	hole   int64
	reason string

	known map[key]*known
}

// known is what the server knows of a source when it has taken the batch.
type known struct {
	position int64
	done     bool
	begun    int // how often the file became shorter than what was shipped of it
	source   trail.Source
}

func newBatch() *batch { return &batch{known: map[key]*known{}} }

func (b *batch) empty() bool { return len(b.body) == 0 }
func (b *batch) full() bool  { return b.raw >= batchBytes }

// reset empties it, once the server has taken it.
func (b *batch) reset() { b.body, b.raw = b.body[:0], 0 }

// Append takes a block.
func (b *batch) Append(e *audit.Event) {
	if len(b.data) == 0 {
		b.from = e.Offset
	}
	b.data = append(b.data, e.Raw...)
}

// SetAside takes what a follower knows and the server cannot: a hole that a file begins
// with, or that a compressed one is damaged.
func (b *batch) SetAside(f trail.Fault) {
	if f.Length > 0 {
		b.hole = f.Length
	} else {
		b.reason = f.Reason
	}
}

// Advance makes records of what was read of s.
func (b *batch) Advance(s trail.Source) {
	k := b.known[key{s.Name, s.Print}]
	if k == nil {
		k = &known{}
		b.known[key{s.Name, s.Print}] = k
	}
	k.source = s
	r := spool.Record{Source: s.Name, Print: s.Print, PrintBytes: s.PrintBytes, Kind: b.kind}
	if s.Gone {
		r.Print, r.Gone = again(s.Print, k.begun), true
		b.add(r)
		delete(b.known, key{s.Name, s.Print})
		return
	}
	if b.hole > 0 {
		hole := r
		hole.Print, hole.Hole = again(s.Print, k.begun), b.hole
		b.add(hole)
		k.position = max(k.position, b.hole)
		b.hole = 0
	}
	if len(b.data) > 0 && b.from < k.position {
		// What it held there before was shipped, and what it holds now is another
		// thing: to the server it is one more file, which begins in the middle.
		k.begun++
		r.Begin = b.from
		k.done = false
	}
	if len(b.data) > 0 || s.Done && !k.done {
		r.Print, r.Done = again(s.Print, k.begun), s.Done
		r.Offset, r.Line = s.Position-int64(len(b.data)), s.Line-int64(bytes.Count(b.data, []byte{'\n'}))
		r.Data = b.data
		if s.Done {
			r.Reason, b.reason = strings.ToValidUTF8(b.reason[:min(len(b.reason), 500)], ""), ""
		}
		b.raw += int64(len(b.data))
		b.add(r)
		k.position, k.done = s.Position, s.Done
	}
	b.data = b.data[:0]
}

func (b *batch) add(r spool.Record) { b.body = spool.AppendRecord(b.body, r) }

// Full is never true: how much is read at a time is bounded by who pulls.
func (b *batch) Full() bool                   { return false }
func (b *batch) Seal() error                  { return nil }
func (b *batch) Commit(context.Context) error { return nil }

// again is the print of a file that became shorter so often.
func again(print string, times int) string {
	if times == 0 {
		return print
	}
	return fmt.Sprintf("%s/%d", print, times)
}

// learn takes over how far the server has what it knows: of a file that became shorter,
// the last position.
func (b *batch) learn(sources []trail.Source) {
	b.known = map[key]*known{}
	b.data, b.hole, b.reason = b.data[:0], 0, ""
	b.reset()
	for _, s := range sources {
		print, suffix, _ := strings.Cut(s.Print, "/")
		times, _ := strconv.Atoi(suffix)
		s.Print = print
		id := key{s.Name, print}
		if k := b.known[id]; k == nil || times >= k.begun {
			b.known[id] = &known{position: s.Position, done: s.Done, begun: times, source: s}
		}
	}
}

// sources are what was read of everything, as a follower understands it.
func (b *batch) sources() []trail.Source {
	all := make([]trail.Source, 0, len(b.known))
	for _, k := range b.known {
		all = append(all, k.source)
	}
	return all
}
