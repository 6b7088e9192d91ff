package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"kubetrail/record"
)

// BufferedConfig says how [Buffered] makes batches. The first six are upstream's
// BatchConfig, which has no defaults either.
type BufferedConfig struct {
	BufferSize   int // events that wait
	MaxBatchSize int // events of a batch

	// MaxBatchWait is how long after a batch, or after the last time that there was
	// nothing to send, another one is sent though it is not full.
	MaxBatchWait time.Duration

	ThrottleEnable bool
	ThrottleQPS    float32 // batches a second
	ThrottleBurst  int     // batches at once, where fewer were sent before

	// AsyncDelegate sends a batch while others are still being sent.
	AsyncDelegate bool

	// MaxBatchBytes bounds the encoded events of a batch that has more than one;
	// default 10 MiB. Upstream has no such bound: truncate-max-batch-size is applied
	// before batches are made.
	MaxBatchBytes int

	// BufferBytes bounds the encoded events that wait or are being sent; default
	// 256 MiB. Upstream has no such bound.
	BufferBytes int64

	// MaxInFlight bounds the batches of an AsyncDelegate that are being sent; default
	// 1,000, or 1 with a spill, which keeps events in order. Upstream has no such bound.
	MaxInFlight int

	// SpillDir, if not empty, is where events wait on disk while a [Webhook] is slow or
	// away; it is made for its owner only, and one process has it at a time. SpillBytes
	// bounds it, default 1 GiB.
	SpillDir   string
	SpillBytes int64

	// SpillSync makes ProcessEvents return only after its events are in SpillDir and
	// synced, and return false where that fails, for the modes blocking and
	// blocking-strict. Then everything passes through the disk, a crash loses nothing
	// that was recorded, and no request waits for the receiver. Otherwise what spills is
	// synced about once a second: the end of a process loses only what was still in
	// memory, at most half the buffer, and a power cut a second more.
	SpillSync bool

	Losses *Losses
	Logger *slog.Logger // default that of Losses
}

// A lineSink is a leaf that takes encoded events as they are, which are lines as
// [record.Event.Line] returns them. It has the contract of ProcessEvents otherwise.
type lineSink interface {
	processLines(lines [][]byte) bool
}

// buffered collects encoded events and sends them in batches.
type buffered struct {
	c        BufferedConfig
	delegate record.Backend
	queue    *queue
	throttle *rate.Limiter // nil: none
	spill    *spiller      // nil: none
}

// Buffered returns a backend that collects events and sends them to delegate in batches.
// ProcessEvents does not wait: where there is no room events are lost. With a spill, it
// brings what waits to the disk instead, and nothing is lost while there is room. After
// the end of Run, which sends what is left, all are. Buffered runs delegate.
//
// Upstream: plugin/pkg/audit/buffered. An event is copied as the bytes that are sent,
// not as an object.
func Buffered(delegate record.Backend, c BufferedConfig) (record.Backend, error) {
	switch {
	case c.BufferSize <= 0:
		return nil, errors.New("the buffer size must be positive")
	case c.MaxBatchSize <= 0:
		return nil, errors.New("the batch size must be positive")
	case c.ThrottleEnable && (c.ThrottleQPS <= 0 || c.ThrottleBurst <= 0):
		return nil, errors.New("the rate and the burst of a throttle must be positive")
	}
	switch {
	case c.Logger != nil:
	case c.Losses != nil:
		c.Logger = c.Losses.c.Logger
	default:
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MaxBatchBytes <= 0 {
		c.MaxBatchBytes = 10 << 20
	}
	if c.BufferBytes <= 0 {
		c.BufferBytes = 256 << 20
	}
	if c.SpillBytes <= 0 {
		c.SpillBytes = 1 << 30
	}
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = 1000
		if c.SpillDir != "" {
			c.MaxInFlight = 1
		}
	}
	b := &buffered{c: c, delegate: delegate,
		queue: newQueue(c.MaxBatchSize, c.MaxBatchBytes, c.BufferSize, c.BufferBytes)}
	if c.ThrottleEnable {
		b.throttle = rate.NewLimiter(rate.Limit(c.ThrottleQPS), c.ThrottleBurst)
	}
	if c.SpillDir == "" {
		return b, nil
	}
	hook, ok := delegate.(*webhook)
	if !ok {
		return nil, fmt.Errorf("only a webhook spills to disk, not %s", delegate)
	}
	var err error
	if b.spill, err = newSpiller(c, b.queue, hook, b.throttle); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *buffered) String() string { return fmt.Sprintf("buffered<%s>", b.delegate) }

// ProcessEvents takes as many events as there is room for. It returns true even where
// there is none, as upstream does, but false after the end of Run; with SpillSync it
// returns whether they are on disk.
func (b *buffered) ProcessEvents(events ...*record.Event) bool {
	if b.c.SpillSync && b.spill != nil {
		return b.spill.store(events)
	}
	for i, e := range events {
		cause := b.queue.put(e.Line())
		if cause == CauseBufferFull && b.spill != nil {
			cause = b.spill.squeeze(e.Line())
		}
		if cause != "" {
			// As upstream: the rest is lost with it, so that what is there is whole.
			b.c.Losses.Fail("buffered", cause, len(events)-i, errBuffered(cause))
			return cause != CauseShutDown
		}
	}
	return true
}

// errBuffered is what upstream says of a cause.
func errBuffered(cause string) error {
	if cause == CauseShutDown {
		return errors.New("audit backend shut down")
	}
	return errors.New("audit buffer queue blocked")
}

// Run sends batches, and after ctx is done what is left.
func (b *buffered) Run(ctx context.Context) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- b.delegate.Run(running) }()
	if b.spill == nil {
		b.relay(ctx)
		stop()
		return <-ended
	}
	b.spill.run(ctx)
	stop()
	return errors.Join(<-ended, b.spill.close())
}

// relay sends batches until ctx is done, then everything that is left, and waits until
// that was sent.
func (b *buffered) relay(ctx context.Context) {
	var flying sync.WaitGroup
	defer flying.Wait()
	slots := make(chan struct{}, b.c.MaxInFlight)
	send := func(one *batch) {
		if b.throttle != nil {
			b.throttle.Wait(context.WithoutCancel(ctx)) // fails for a batch larger than the burst alone
		}
		if !b.c.AsyncDelegate {
			b.deliver(one)
			return
		}
		slots <- struct{}{}
		flying.Go(func() {
			b.deliver(one)
			<-slots
		})
	}
	var timer batchTimer
	defer timer.stop()
	for ctx.Err() == nil {
		if one := b.queue.collect(ctx, timer.start(b.c)); one != nil {
			send(one)
		}
	}
	b.queue.close()
	for one := b.queue.take(true); one != nil; one = b.queue.take(true) {
		send(one)
	}
}

// deliver gives a batch to the delegate.
func (b *buffered) deliver(one *batch) {
	defer b.queue.release(one)
	lines := one.appendLines(make([][]byte, 0, one.size()))
	if sink, ok := b.delegate.(lineSink); ok {
		sink.processLines(lines)
		return
	}
	// Somebody else's backend wants columns. Its own line is made anew if it asks.
	events := make([]*record.Event, 0, len(lines))
	for _, line := range lines {
		e := new(record.Event)
		if err := e.Scan(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			b.c.Losses.Fail("buffered", CauseEncoding, 1, err)
			continue
		}
		e.Raw = nil
		events = append(events, e)
	}
	b.delegate.ProcessEvents(events...)
}

// A batchTimer fires when a batch that is not full has waited for long enough.
type batchTimer struct{ t *time.Timer }

// start begins to wait anew. Batches of one are full at once, so nothing fires.
func (b *batchTimer) start(c BufferedConfig) <-chan time.Time {
	if c.MaxBatchSize == 1 {
		return nil
	}
	// Upstream goes round and round where the wait is 0.
	wait := max(c.MaxBatchWait, time.Millisecond)
	if b.t == nil {
		b.t = time.NewTimer(wait)
	} else {
		b.t.Reset(wait)
	}
	return b.t.C
}

func (b *batchTimer) stop() {
	if b.t != nil {
		b.t.Stop()
	}
}
