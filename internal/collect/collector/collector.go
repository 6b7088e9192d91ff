// Package collector brings what feeds have into a trail, for as long as it runs: one
// goroutine that pulls, commits and removes, and one beside it that merges.
package collector

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/destination"
	"kubetrail/internal/trail"
)

// Config says what a Collector collects, and when it commits.
type Config struct {
	Writer collect.Appender // the collector's alone while it runs
	Feeds  []collect.Feed   // whoever made them closes them after Run

	// More returns feeds that come up while it runs, and Arrived gets a value when they
	// have something. Both may be nil.
	More    func() []collect.Feed
	Arrived <-chan struct{}
	// Turn is called at the beginning of every round, on the goroutine that owns the
	// Writer and pulls the feeds: what it changes of More is asked for next. May be nil.
	Turn func()

	Every time.Duration // an event waits at most so long for a commit; 0: one second
	Poll  time.Duration // feeds are looked at that often if nothing wakes the collector; 0: 250 ms
	Drain time.Duration // for what is there when ctx ends; 0: 10 seconds

	// Going is what is known about where requests go; nil: nothing yet. It belongs to
	// the collector from then on.
	Going *destination.Known

	// Merge makes one larger part of small ones and reports whether there was any
	// need. It runs beside everything else, but for Expire, on a goroutine of its own.
	Merge func(context.Context) (bool, error)
	// Expire removes what is not to be kept, between commits, at the start and every ExpireEvery.
	Expire      func(context.Context) error
	ExpireEvery time.Duration // 0: ten minutes

	Logger *slog.Logger     // nil: silent
	Now    func() time.Time // nil: time.Now
	// OnCommit is told how long a commit took that worked, and of how many events. May be nil.
	OnCommit func(took time.Duration, events uint64)
}

const (
	pullBytes = 1 << 20               // of one feed at a time
	pause     = 50 * time.Millisecond // between two looks at feeds that had nothing more
	mergeAt   = 8                     // commits after which it is worth looking for small parts
	maxWait   = 30 * time.Second      // between two attempts at a trail that cannot be written
)

// A Collector brings what its feeds have into a trail, for as long as it runs.
type Collector struct {
	cfg Config
	log *slog.Logger

	// These belong to the goroutine of Run.
	w         counted
	committed time.Time // when the last commit began
	begun     int       // the feed that is asked first
	wait      time.Duration
	retry     time.Time // a trail that cannot be written is tried again then
	commits   int       // since parts were merged
	merging   chan merged
	mergeErr  bool // the last merge failed, and that was told
	expired   time.Time
	watched   *notifier
	idle      bool                    // nothing came in the last round
	broken    map[collect.Feed]string // feeds and the error that was told of them

	mu    sync.Mutex // guards state
	state State
}

// State is how a Collector is.
type State struct {
	Running bool
	Rounds  uint64 // begun so far: a collector that is alive begins one every second
	Err     error  // why the trail cannot be written, nil if it can
	Stored  uint64 // events committed since the start
	Feeds   []collect.Status
}

// merged is the outcome of one call of Config.Merge.
type merged struct {
	more bool
	err  error
}

// counted is an Appender that knows what was not committed yet.
type counted struct {
	collect.Appender
	events uint64
	faults uint64
	known  *destination.Known
}

// Append adds where the request went, as far as it is known.
func (c *counted) Append(e *audit.Event) {
	c.events++
	e.Text[audit.Destination] = destination.Of(e, c.known)
	c.Appender.Append(e)
}

func (c *counted) SetAside(f trail.Fault) {
	c.faults++
	c.Appender.SetAside(f)
}

func (c *counted) waiting() bool { return c.events+c.faults > 0 }

// New prepares a collector.
func New(cfg Config) *Collector {
	cfg.Every = cmp.Or(cfg.Every, time.Second)
	cfg.Poll = cmp.Or(cfg.Poll, 250*time.Millisecond)
	cfg.Drain = cmp.Or(cfg.Drain, 10*time.Second)
	cfg.ExpireEvery = cmp.Or(cfg.ExpireEvery, 10*time.Minute)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Collector{cfg: cfg, log: cfg.Logger, w: counted{Appender: cfg.Writer, known: cmp.Or(cfg.Going, &destination.Known{})}, broken: map[collect.Feed]string{}}
}

// Run collects until ctx ends. It then takes what the feeds have at that moment,
// commits it, and returns nil; Config.Drain bounds that. What it could not take is
// still where it was, and a later run goes on there. While the trail cannot be
// written it takes nothing and tries again, for ever: feeds are stores themselves.
func (c *Collector) Run(ctx context.Context) error {
	c.watched = newNotifier(c.feeds, c.log)
	defer c.watched.close()
	c.note(func(s *State) { s.Running = true })
	for ctx.Err() == nil {
		more := c.round(ctx)
		c.tidy(ctx)
		if !more {
			c.sleep(ctx)
		}
	}
	err := c.drain(ctx)
	if c.merging != nil {
		<-c.merging
	}
	c.note(func(s *State) { s.Running = false })
	return err
}

// State tells how the collector is. It may be called from any goroutine.
func (c *Collector) State() State {
	c.mu.Lock()
	s := c.state
	c.mu.Unlock()
	for _, f := range c.feeds() {
		s.Feeds = append(s.Feeds, f.Status())
	}
	return s
}

func (c *Collector) note(change func(*State)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.state)
}

func (c *Collector) feeds() []collect.Feed {
	feeds := c.cfg.Feeds
	if c.cfg.More != nil {
		feeds = append(feeds[:len(feeds):len(feeds)], c.cfg.More()...)
	}
	return feeds
}

// round takes from every feed once and commits where that is due. It reports whether
// there is more already.
func (c *Collector) round(ctx context.Context) (more bool) {
	c.note(func(s *State) { s.Rounds++ })
	if c.cfg.Turn != nil {
		c.cfg.Turn()
	}
	if c.wait > 0 {
		if c.cfg.Now().Before(c.retry) || !c.commit(ctx) {
			return false
		}
	}
	more, ok := c.pull(ctx)
	if !ok {
		return false
	}
	if c.w.waiting() && c.cfg.Now().Sub(c.committed) >= c.cfg.Every {
		c.commit(ctx)
	}
	return more
}

// pull takes from every feed, another one first each time. It ends where the trail
// cannot take any more; ok is false then.
func (c *Collector) pull(ctx context.Context) (more, ok bool) {
	feeds := c.feeds()
	c.begun++
	before := c.w
	defer func() { c.idle = c.w == before }()
	for i := range feeds {
		f := feeds[(c.begun+i)%len(feeds)]
		again, err := f.Pull(ctx, &c.w, pullBytes)
		if ctx.Err() == nil {
			c.tellFeed(f, err)
		}
		more = more || again && err == nil
		if !c.w.Full() {
			continue
		}
		if err := c.w.Seal(); err != nil {
			c.failed(err)
			return false, false
		}
	}
	return more, true
}

// commit makes durable what was taken, and reports whether that worked.
func (c *Collector) commit(ctx context.Context) bool {
	start := c.cfg.Now()
	c.committed = start
	if err := c.w.Commit(context.WithoutCancel(ctx)); err != nil {
		c.failed(err)
		return false
	}
	for _, f := range c.feeds() {
		f.Committed()
	}
	events := c.w.events
	c.w.events, c.w.faults = 0, 0
	c.commits++
	if c.wait > 0 {
		c.wait = 0
		c.log.Info("the trail can be written again")
	}
	c.note(func(s *State) { s.Err, s.Stored = nil, s.Stored+events })
	if c.cfg.OnCommit != nil {
		c.cfg.OnCommit(c.cfg.Now().Sub(start), events)
	}
	return true
}

// failed notes that the trail cannot be written, and says so when that is new.
func (c *Collector) failed(err error) {
	before := ""
	c.note(func(s *State) {
		if s.Err != nil {
			before = s.Err.Error()
		}
		s.Err = err
	})
	c.wait = min(max(2*c.wait, c.cfg.Every), maxWait)
	c.retry = c.cfg.Now().Add(c.wait)
	if before != err.Error() {
		c.log.Error("the trail cannot be written; logs and spools keep what comes until it can", "err", err)
	}
}

// tellFeed logs the error of a feed when it is another one than before.
func (c *Collector) tellFeed(f collect.Feed, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == c.broken[f] {
		return
	}
	name := f.Status().Name
	if err != nil {
		c.broken[f] = text
		c.log.Warn("cannot read all of a source; trying again", "source", name, "err", err)
		return
	}
	delete(c.broken, f)
	c.log.Info("a source can be read again", "source", name)
}

// tidy merges and removes parts where it is time for that.
func (c *Collector) tidy(ctx context.Context) {
	if c.merging != nil {
		select {
		case m := <-c.merging:
			c.merging = nil
			c.tellMerge(ctx, m.err)
			if m.more && m.err == nil {
				c.commits = mergeAt
			}
		default:
			return
		}
	}
	now := c.cfg.Now()
	if c.cfg.Expire != nil && c.wait == 0 && now.Sub(c.expired) >= c.cfg.ExpireEvery {
		c.expired = now
		if err := c.cfg.Expire(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("cannot remove old parts; trying again later", "err", err)
		}
	}
	if c.cfg.Merge == nil || c.commits < mergeAt || c.wait > 0 {
		return
	}
	c.commits = 0
	done := make(chan merged, 1)
	c.merging = done
	go func() { // Run waits for it
		more, err := c.cfg.Merge(ctx)
		done <- merged{more, err}
	}()
}

func (c *Collector) tellMerge(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if err != nil && !c.mergeErr {
		c.log.Warn("cannot merge small parts; trying again later", "err", err)
	}
	c.mergeErr = err != nil
}

// sleep waits until there may be something to do.
func (c *Collector) sleep(ctx context.Context) {
	if !wait(ctx, min(pause, c.cfg.Every)) {
		return
	}
	if c.wait > 0 { // nothing that arrives helps
		wait(ctx, min(c.cfg.Poll, c.retry.Sub(c.cfg.Now())))
		return
	}
	if !c.idle {
		if c.watched.armed {
			c.watched.disarm()
		}
		return
	}
	if !c.watched.armed {
		c.watched.arm() // and look once more for what came before
		return
	}
	left := c.cfg.Poll
	if c.w.waiting() {
		left = min(left, c.cfg.Every-c.cfg.Now().Sub(c.committed))
	}
	if left <= 0 {
		return
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-c.cfg.Arrived:
	case <-c.watched.changed:
	}
}

// wait returns after d, or with false when ctx ends.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// drain takes what is there when the collector is told to stop, and commits it.
func (c *Collector) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.Drain)
	defer cancel()
	for more, ok := true, true; more && ok && ctx.Err() == nil; {
		if c.wait > 0 && !c.commit(ctx) {
			break
		}
		more, ok = c.pull(ctx)
	}
	if ctx.Err() != nil {
		c.log.Info("the time for stopping is over; the next start goes on with what is left")
	}
	if c.w.waiting() && !c.commit(ctx) {
		return fmt.Errorf("what was read last is not stored, the next start reads it again: %w", c.State().Err)
	}
	return nil
}
