package backend

import (
	"context"
	"sync"
	"time"
)

// A batch is encoded events, one after the other.
type batch struct {
	buf  []byte
	ends []int // where in buf each event ends
	from int   // where the first begins: those before it are done with
}

func (b *batch) size() int { return len(b.ends) }

// add appends a copy of a line.
func (b *batch) add(line []byte) {
	b.buf = append(b.buf, line...)
	b.ends = append(b.ends, len(b.buf))
}

// appendLines appends the events to dst: slices of b.
func (b *batch) appendLines(dst [][]byte) [][]byte {
	from := b.from
	for _, end := range b.ends {
		dst = append(dst, b.buf[from:end:end])
		from = end
	}
	return dst
}

// skip is done with the first n events.
func (b *batch) skip(n int) {
	if n > 0 {
		b.from = b.ends[n-1]
		b.ends = b.ends[n:]
	}
}

// maxIdle is the most that a batch may hold to be used again.
const maxIdle = 4 << 20

// A queue collects encoded events into batches: what is put in is copied once, into the
// batch that it is sent with. It is safe for concurrent use.
type queue struct {
	batchEvents int   // in a batch
	batchBytes  int   // in a batch, unless one event has more
	maxEvents   int   // that wait
	maxBytes    int64 // that wait or are being sent
	full        chan struct{}
	high        chan struct{} // nil, or holds a token while more than half of the room is taken
	idle        sync.Pool     // of *batch

	mu         sync.Mutex
	sealed     []*batch // sealed[head:] wait, the oldest first
	head       int
	open       *batch // what is added goes here; nil if empty
	events     int    // in sealed and open
	bytes      int64  // in sealed, open, and what was taken and not yet released
	collecting bool   // somebody waits for a batch to become full
	closed     bool
	fullCause  string // of a loss where there is no room
}

func newQueue(batchEvents, batchBytes, maxEvents int, maxBytes int64) *queue {
	return &queue{
		batchEvents: batchEvents, batchBytes: batchBytes, maxEvents: maxEvents, maxBytes: maxBytes,
		full: make(chan struct{}, 1), fullCause: CauseBufferFull,
	}
}

// put adds a line and returns "", or the cause of its loss. It does not wait for
// anybody.
func (q *queue) put(line []byte) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	room := q.maxEvents
	if q.collecting {
		room += q.batchEvents // those that are being collected do not wait any more
	}
	switch {
	case q.closed:
		return CauseShutDown
	case q.events >= room, q.bytes+int64(len(line)) > q.maxBytes:
		return q.fullCause
	}
	if q.open != nil && len(q.open.buf)+len(line) > q.batchBytes {
		q.seal()
	}
	if q.open == nil {
		q.open = q.fresh()
	}
	q.open.add(line)
	q.events++
	q.bytes += int64(len(line))
	if q.open.size() >= q.batchEvents {
		q.seal()
	}
	if q.high != nil && q.isHigh() {
		wake(q.high)
	}
	return ""
}

// isHigh reports whether more than half of the room is taken. q.mu is held.
func (q *queue) isHigh() bool {
	return q.events > q.maxEvents/2 || q.bytes > q.maxBytes/2
}

// fresh returns an empty batch.
func (q *queue) fresh() *batch {
	if b, ok := q.idle.Get().(*batch); ok {
		return b
	}
	return new(batch)
}

// seal closes the open batch. q.mu is held.
func (q *queue) seal() {
	q.sealed = append(q.sealed, q.open)
	q.open = nil
	wake(q.full)
}

// wake leaves a token in c unless there is one.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take returns the oldest full batch, where partial is set one that is not full too, or
// nil where there is none.
func (q *queue) take(partial bool) *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	if partial && q.head == len(q.sealed) && q.open != nil {
		q.seal()
	}
	if q.head == len(q.sealed) {
		return nil
	}
	b := q.sealed[q.head]
	q.sealed[q.head] = nil
	q.head++
	if q.head == len(q.sealed) {
		q.sealed, q.head = q.sealed[:0], 0
	} else if q.head > 1024 && q.head > len(q.sealed)/2 {
		n := copy(q.sealed, q.sealed[q.head:])
		clear(q.sealed[n:])
		q.sealed, q.head = q.sealed[:n], 0
	}
	q.events -= b.size()
	return b
}

// collect waits until a batch is full, or for as long as timer says, or until ctx is
// done, and returns what there is then: nil if nothing.
func (q *queue) collect(ctx context.Context, timer <-chan time.Time) *batch {
	q.setCollecting(true)
	defer q.setCollecting(false)
	for {
		if b := q.take(false); b != nil {
			return b
		}
		select {
		case <-q.full:
		case <-timer:
			return q.take(true)
		case <-ctx.Done():
			return q.take(true)
		}
	}
}

// borrow takes the bytes of a batch that did not come from take.
func (q *queue) borrow(b *batch) {
	q.mu.Lock()
	q.bytes += int64(len(b.buf))
	q.mu.Unlock()
}

// setFullCause says why what finds no room is lost.
func (q *queue) setFullCause(cause string) {
	q.mu.Lock()
	q.fullCause = cause
	q.mu.Unlock()
}

// crowded reports whether more than half of the room is taken.
func (q *queue) crowded() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.isHigh()
}

func (q *queue) setCollecting(yes bool) {
	q.mu.Lock()
	q.collecting = yes
	q.mu.Unlock()
}

// release gives back a batch that was taken: its bytes are free.
func (q *queue) release(b *batch) {
	q.mu.Lock()
	q.bytes -= int64(len(b.buf))
	q.mu.Unlock()
	if cap(b.buf) <= maxIdle {
		b.buf, b.ends, b.from = b.buf[:0], b.ends[:0], 0
		q.idle.Put(b)
	}
}

// close refuses whatever comes from now on.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
}
