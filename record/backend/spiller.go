package backend

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"kubetrail/internal/spill"
	"kubetrail/record"
)

const (
	spillTick  = 50 * time.Millisecond // how often events follow those that wait on disk
	spillSync  = time.Second           // how often the disk is synced meanwhile
	drainSpill = 10 * time.Second      // how long a receiver has at the end, before the rest stays on disk
	drainAway  = time.Second           // the same for one that did not take the last attempt
	spillRetry = time.Second           // until a disk that cannot be read now is read again
)

// A spiller sends what a queue collects to a webhook, and keeps it on disk while that is
// slow or away. While the receiver keeps up nothing touches the disk.
//
// The order of events is: those on disk, then held, then those in the queue. The disk
// begins with those being sent, as soon as anything is there: so that a crash loses none
// of them, and whatever fails is still before what is newer.
type spiller struct {
	c        BufferedConfig
	queue    *queue
	disk     *spill.Queue
	hook     *webhook
	throttle *rate.Limiter
	slots    chan struct{} // holds a token for each batch that is being sent
	stored   chan struct{} // holds a token after something came to the disk
	hurry    chan struct{} // holds a token after an attempt failed

	away     atomic.Bool // the last attempt failed
	draining atomic.Bool // Run is ending

	mu     sync.Mutex
	window []*parcel // being sent, in order
	held   *batch    // taken from the queue, and not all on disk; nil mostly
	closed bool      // the disk is
}

// A parcel is a batch that is being sent. The mutex of its spiller guards it.
type parcel struct {
	batch  *batch
	lines  [][]byte // of batch; at the end of a delivery that was stopped, what is left
	stored int      // how many of lines are on disk, or too large for it
	end    uint64   // the number after the last of those on disk
	done   bool
}

func newSpiller(c BufferedConfig, q *queue, hook *webhook, throttle *rate.Limiter) (*spiller, error) {
	q.high = make(chan struct{}, 1)
	disk, err := spill.Open(spill.Config{Dir: c.SpillDir, MaxBytes: c.SpillBytes, Logger: c.Logger,
		Damaged: func(n int, err error) { c.Losses.Fail("buffered", CauseSpill, n, err) }})
	if err != nil {
		return nil, err
	}
	s := &spiller{
		c: c, queue: q, disk: disk, hook: hook, throttle: throttle,
		slots:  make(chan struct{}, c.MaxInFlight),
		stored: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
	}
	s.report()
	return s, nil
}

// run sends until ctx is done, then as much as the receiver takes at once. The rest is
// on disk when it returns.
func (s *spiller) run(ctx context.Context) {
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var beside, flying sync.WaitGroup
	beside.Go(func() { s.move(ctx) })
	beside.Go(func() {
		select {
		case <-ctx.Done():
		case <-sending.Done():
		}
		s.refuse()
		// An attempt that is under way may end by itself, even by failing: one that is cut
		// off may still arrive, and then comes after what the next process sends.
		if s.away.Load() {
			sleep(sending, drainAway)
		} else {
			sleep(sending, drainSpill)
		}
		stop()
	})
	for s.acquire(sending) {
		p := s.next(ctx)
		if p == nil {
			break
		}
		flying.Go(func() {
			s.deliver(sending, stop, p)
			<-s.slots
		})
	}
	flying.Wait()
	stop()
	beside.Wait()
	s.moveAll()
}

// refuse refuses whatever comes from now on.
func (s *spiller) refuse() {
	s.draining.Store(true)
	s.queue.close()
}

// acquire waits until one more batch may be sent, and reports false if ctx is done.
func (s *spiller) acquire(ctx context.Context) bool {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	return s.throttle == nil || s.throttle.Wait(ctx) == nil
}

// next waits for what is to be sent next. After ctx is done it does not wait, and
// returns nil where there is nothing.
func (s *spiller) next(ctx context.Context) *parcel {
	s.queue.setCollecting(true)
	defer s.queue.setCollecting(false)
	var timer batchTimer
	defer timer.stop()
	waited := timer.start(s.c)
	for {
		ended := ctx.Err() != nil // asked once: what is not full is looked for after the end
		if ended {
			s.refuse() // or what comes now would have to wait for the next start
		}
		p, err := s.take(ended)
		if p != nil || ended {
			return p
		}
		var again <-chan time.Time
		if err != nil {
			s.c.Logger.Error("the spill cannot be read now", "err", err)
			again = time.After(spillRetry)
		}
		select {
		case <-s.queue.full:
		case <-s.stored:
		case <-again:
		case <-waited:
			if p, _ := s.take(true); p != nil {
				return p
			}
			waited = timer.start(s.c)
		case <-ctx.Done():
		}
	}
}

// take returns the batch that comes next, or nil where none is full and partial is not
// set.
func (s *spiller) take(partial bool) (*parcel, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := new(parcel)
	if s.disk.Unread() > 0 {
		p.batch = s.queue.fresh()
		var err error
		p.end, err = s.disk.Read(s.c.MaxBatchSize, s.c.MaxBatchBytes, p.batch.add)
		p.stored = p.batch.size()
		if err != nil && p.stored == 0 {
			return nil, err // what comes after it has to wait
		}
	}
	switch {
	case p.stored > 0:
		s.queue.borrow(p.batch)
	case s.held != nil:
		p.batch, s.held = s.held, nil
	default:
		if p.batch = s.queue.take(partial); p.batch == nil {
			return nil, nil
		}
	}
	p.lines = p.batch.appendLines(make([][]byte, 0, p.batch.size()))
	s.window = append(s.window, p)
	return p, nil
}

// deliver sends a parcel, however long that takes, until ctx is done. Near the end of
// Run a failure stops all deliveries.
func (s *spiller) deliver(ctx context.Context, stop func(), p *parcel) {
	d := delivery{hook: s.hook, lines: p.lines, patient: true, note: func(err error) {
		var answer *answerError
		away := err != nil && !(errors.As(err, &answer) && answer.refuses())
		switch was := s.away.Swap(away); {
		case away && !was:
			s.c.Logger.Warn("audit events wait on disk: their receiver does not take them", "backend", s.c.Losses.name(), "dir", s.c.SpillDir, "err", err)
		case was && !away:
			s.c.Logger.Info("the receiver of audit events is back", "backend", s.c.Losses.name(), "waiting", s.disk.Unread())
		}
		if away {
			wake(s.hurry)
			if s.draining.Load() {
				stop()
			}
		}
	}}
	err := d.run(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		p.stored = max(0, p.stored-(len(p.lines)-len(d.lines)))
		p.lines = d.lines
		return
	}
	p.done = true
	n := 0
	for ; n < len(s.window) && s.window[n].done; n++ {
		if one := s.window[n]; one.stored > 0 {
			if err := s.disk.Ack(one.end); err != nil {
				s.c.Logger.Warn("events may be sent again after a restart", "err", err)
			}
		}
		s.queue.release(s.window[n].batch)
		s.window[n] = nil
	}
	s.window = s.window[n:]
	s.report()
}

// move brings events to the disk whenever they have to wait, and syncs it.
func (s *spiller) move(ctx context.Context) {
	tick := time.NewTicker(spillTick)
	defer tick.Stop()
	var synced time.Time
	for {
		waiting := tick.C
		if !s.busy() {
			waiting = nil
		}
		select {
		case <-s.queue.high:
		case <-s.hurry:
		case <-waiting:
		case <-ctx.Done():
			return
		}
		if !s.away.Load() && s.disk.Unread() == 0 && !s.queue.crowded() {
			continue
		}
		s.moveAll()
		if now := time.Now(); now.Sub(synced) >= spillSync {
			synced = now
			if err := s.disk.Sync(); err != nil {
				s.c.Logger.Error("the spill cannot be synced", "err", err)
			}
		}
	}
}

// report tells the metrics what is on disk. s.mu is held.
func (s *spiller) report() {
	if l := s.c.Losses; l != nil {
		events, bytes := s.disk.Size()
		l.c.Metrics.Spilled(l.c.Backend, events, bytes)
	}
}

// busy reports whether events have to follow others to the disk.
func (s *spiller) busy() bool {
	return s.away.Load() || s.disk.Unread() > 0 || s.queue.crowded()
}

// moveAll brings everything to the disk that is not there, in order, as far as there is
// room.
func (s *spiller) moveAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.moveAllLocked()
	}
}

// moveAllLocked is moveAll while s.mu is held. It returns "", or why something stayed.
func (s *spiller) moveAllLocked() (cause string) {
	defer s.report()
	for _, p := range s.window {
		if p.done || p.stored == len(p.lines) {
			continue
		}
		n, _, cause := s.append(p.lines[p.stored:]) // what is too large may arrive yet
		p.stored += n
		p.end = s.disk.Next()
		s.disk.Pass() // it is being sent already
		if cause != "" {
			return cause
		}
	}
	for {
		if s.held == nil {
			if s.held = s.queue.take(true); s.held == nil {
				return ""
			}
		}
		n, large, cause := s.append(s.held.appendLines(nil))
		s.c.Losses.Fail("buffered", CauseTooLarge, large, spill.ErrTooLarge)
		s.held.skip(n)
		if n > 0 {
			wake(s.stored)
		}
		if cause != "" {
			return cause
		}
		s.queue.release(s.held)
		s.held = nil
	}
}

// squeeze takes a line for which the queue has no room: it brings what waits there to the
// disk, and then the line, which no other can overtake meanwhile. It returns "", or the
// cause of a loss.
func (s *spiller) squeeze(line []byte) (cause string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return CauseShutDown
	}
	if cause = s.moveAllLocked(); cause != "" {
		return cause
	}
	_, large, cause := s.append([][]byte{line})
	if large > 0 {
		return CauseTooLarge
	}
	wake(s.stored)
	return cause
}

// append appends lines to the disk and returns how many are there or too large for it,
// how many are too large, and "" or why the others are not there.
func (s *spiller) append(lines [][]byte) (done, large int, cause string) {
	for {
		n, err := s.disk.Append(lines[done:])
		done += n
		switch {
		case err == nil:
			cause = ""
			s.queue.setFullCause(CauseBufferFull)
		case errors.Is(err, spill.ErrTooLarge):
			done++
			large++
			continue
		case errors.Is(err, spill.ErrFull):
			cause = CauseSpillFull
			s.queue.setFullCause(cause)
		default:
			cause = CauseSpill
			s.queue.setFullCause(cause)
			s.c.Logger.Error("the spill cannot be written", "err", err)
		}
		return done, large, cause
	}
}

// store brings events to the disk and syncs it. Their delivery is not waited for.
func (s *spiller) store(events []*record.Event) bool {
	lines := make([][]byte, len(events))
	for i, e := range events {
		lines[i] = e.Line()
	}
	s.mu.Lock()
	if s.closed || s.draining.Load() {
		s.mu.Unlock()
		s.c.Losses.Fail("buffered", CauseShutDown, len(lines), errBuffered(CauseShutDown))
		return false
	}
	n, large, cause := s.append(lines)
	s.mu.Unlock()
	wake(s.stored)
	s.c.Losses.Fail("buffered", CauseTooLarge, large, spill.ErrTooLarge)
	s.c.Losses.Add("buffered", cause, len(lines)-n)
	if err := s.disk.Sync(); err != nil {
		s.c.Logger.Error("the spill cannot be synced", "err", err)
		return false
	}
	return cause == "" && large == 0
}

// close counts what found no room on disk, and leaves word of losses that nobody could
// be told of there. It is called after run.
func (s *spiller) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	left, large := 0, 0
	for _, p := range s.window {
		if !p.done {
			left += len(p.lines) - p.stored
			for _, line := range p.lines[:p.stored] {
				if len(line) > s.disk.MaxRecord() {
					large++
				}
			}
		}
	}
	if s.held != nil {
		left += s.held.size()
	}
	for b := s.queue.take(true); b != nil; b = s.queue.take(true) {
		left += b.size()
	}
	s.c.Losses.Add("buffered", s.queue.fullCause, left) // nobody writes that any more
	s.c.Losses.Fail("buffered", CauseTooLarge, large, spill.ErrTooLarge)
	for _, lost := range s.c.Losses.Take() {
		if err := s.disk.AppendNote(s.c.Losses.Event(lost).Line()); err != nil {
			s.c.Losses.Restore([]Lost{lost})
		}
	}
	s.closed = true
	return s.disk.Close()
}
