// Package agent ships logs from the machine they are written on to a server, and keeps
// nothing itself: the logs are its buffer, and the server knows how far it came.
//
// What is there is read as collect.Follow reads it, through every rotation, in blocks of
// whole lines. Each goes out with the offset it has in its file, so sending it again
// stores nothing twice, and nothing is read on before the server has said that what was
// sent is durable.
package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"kubetrail/internal/collect"
	"kubetrail/internal/collect/spool"
	"kubetrail/internal/trail"
)

// Log is a log to ship: a path as collect.Log takes it, and what it holds.
type Log struct {
	Kind string // "": audit events
	Path string
}

// Config says what an Agent ships, and where to.
type Config struct {
	Server        string // https://HOST:PORT
	Cluster, Name string // of the API server that writes the logs
	Logs          []Log
	Formats       map[string]*collect.Format // by the kind of a log; audit events are always among them

	CAFile, TokenFile, CertFile, KeyFile string // PEM, and a bearer token; each may be empty

	Poll   time.Duration    // between two looks at logs that had nothing; 0: 100 ms
	Logger *slog.Logger     // nil: silent
	Now    func() time.Time // nil: time.Now

	// Wait waits, or returns at once with ctx's error when that ends. nil: it does.
	Wait func(ctx context.Context, d time.Duration) error
	// OnChange is called with what the agent would tell whoever asks, when that is
	// something else. May be nil.
	OnChange func(string)
}

// Status is how an agent is.
type Status struct {
	Waiting   int64         // bytes that are there and that the server does not have
	Behind    time.Duration // since when there are some
	Holds     time.Duration // how long the logs keep what the server does not have; 0: unknown
	Contact   time.Time     // when the server answered last
	Shipped   uint64        // bytes of files that it took since the start
	Requests  uint64
	Refused   uint64 // requests that failed
	Rounds    uint64 // of the loop, which goes on as long as the agent is well
	Restarts  uint64 // times that the agent asked how far the server is because they disagreed
	Err       error  // why the last request failed; nil if it went well
	ReadError error  // why not everything can be read
}

// An Agent ships logs.
type Agent struct {
	cfg    Config
	log    *slog.Logger
	client *client
	batch  *batch
	logs   []*logs // by kind
	keep   *keeping
	told   string        // the error that was logged last
	heard  time.Duration // how long the logs hold, as it was logged last

	mu     sync.Mutex // guards what follows
	status Status
	since  time.Time // something waits; zero: nothing does
}

// logs are the logs of a kind.
type logs struct {
	kind string
	*collect.Logs
}

const (
	firstWait = time.Second      // after a request that failed
	lastWait  = 30 * time.Second // it doubles until that
	heartbeat = 15 * time.Second // the server hears at least so often
	lastWords = 10 * time.Second // a request that is under way may take when the agent is to end
)

// errDisagree tells that the server has something else than the agent thinks.
var errDisagree = errors.New("the server has another position")

// New checks cfg and reads its files. It does not connect.
func New(cfg Config) (*Agent, error) {
	cfg.Poll = cmp.Or(cfg.Poll, 100*time.Millisecond)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Wait == nil {
		cfg.Wait = wait
	}
	if err := (spool.Origin{Cluster: cfg.Cluster, Server: cfg.Name}).Check(); err != nil {
		return nil, err
	}
	if cfg.Name == "" || len(cfg.Logs) == 0 {
		return nil, errors.New("an agent needs a name and a log to ship")
	}
	formats := map[string]*collect.Format{"": collect.AuditLog()}
	maps.Copy(formats, cfg.Formats)
	for _, l := range cfg.Logs {
		if formats[l.Kind] == nil {
			return nil, fmt.Errorf("%.100q is no kind of log", l.Kind)
		}
	}
	cfg.Formats = formats
	c, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	return &Agent{cfg: cfg, log: cfg.Logger, client: c, batch: newBatch(), keep: newKeeping(cfg)}, nil
}

// wait waits for d, or returns ctx's error when that ends before.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Run ships until ctx ends. A request that is under way then is waited for.
func (a *Agent) Run(ctx context.Context) error {
	defer a.client.close()
	for ctx.Err() == nil {
		var sources []trail.Source
		a.look()
		if err := a.retry(ctx, func(ctx context.Context) (err error) {
			sources, err = a.client.positions(ctx, a.Status())
			return err
		}); err != nil {
			return nil // ctx has ended
		}
		a.learn(sources)
		err := a.ship(ctx)
		a.closeLogs()
		if errors.Is(err, errDisagree) {
			a.note(func(s *Status) { s.Restarts++ })
			a.log.Warn("the server does not have what was expected; going on at what it has", "err", err)
			_ = a.cfg.Wait(ctx, firstWait)
		}
	}
	return nil
}

// learn begins to follow the logs from what the server has.
func (a *Agent) learn(sources []trail.Source) {
	for i := range sources {
		sources[i].Cluster, sources[i].Server = a.cfg.Cluster, a.cfg.Name
	}
	a.batch.learn(sources)
	a.logs = nil
	byKind := map[string][]collect.Log{}
	for _, l := range a.cfg.Logs {
		byKind[l.Kind] = append(byKind[l.Kind], collect.Log{Path: l.Path, Cluster: a.cfg.Cluster, Server: a.cfg.Name, Kind: l.Kind})
	}
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		l := &logs{kind, collect.NewLogs(collect.LogsConfig{Sources: a.batch.sources, Logger: a.log, Now: a.cfg.Now,
			Format: func(string) *collect.Format { return blocksOf(a.cfg.Formats[kind]) }})}
		l.Set(byKind[kind])
		a.logs = append(a.logs, l)
	}
}

func (a *Agent) closeLogs() {
	for _, l := range a.logs {
		_ = l.Close() // they were only read
	}
}

// ship reads and sends until ctx ends or the server disagrees.
func (a *Agent) ship(ctx context.Context) error {
	for ctx.Err() == nil {
		more := a.gather(ctx)
		quiet := a.cfg.Now().Sub(a.Status().Contact) >= heartbeat
		a.look()
		if !a.batch.empty() || quiet {
			if err := a.deliver(ctx); err != nil {
				return err
			}
		}
		if !more {
			_ = a.cfg.Wait(ctx, a.cfg.Poll)
		}
	}
	return nil
}

// gather fills the batch. It reports whether there is more than that.
func (a *Agent) gather(ctx context.Context) (more bool) {
	var waiting int64
	var failed error
	for _, l := range a.logs {
		l.Turn()
		a.batch.kind = l.kind
		for _, f := range l.Feeds() {
			if a.batch.full() {
				more = true
			} else {
				again, err := f.Pull(ctx, a.batch, batchBytes-a.batch.raw)
				more = more || again && err == nil
				if err != nil && ctx.Err() == nil {
					failed = fmt.Errorf("%s: %w", f.Status().Name, err)
				}
			}
			waiting += f.Status().Waiting
		}
	}
	if failed != nil && (a.Status().ReadError == nil || a.Status().ReadError.Error() != failed.Error()) {
		a.log.Warn("cannot read all of a log; trying again", "err", failed)
	}
	a.note(func(s *Status) { s.ReadError, s.Waiting, s.Rounds = failed, waiting+a.batch.raw, s.Rounds+1 })
	return more
}

// deliver sends the batch until the server has taken it.
func (a *Agent) deliver(ctx context.Context) error {
	err := a.retry(ctx, func(ctx context.Context) error {
		_, err := a.client.ship(ctx, a.batch.body, a.Status())
		return err
	})
	if err != nil {
		return err
	}
	a.note(func(s *Status) {
		s.Shipped += uint64(a.batch.raw)
		s.Waiting -= a.batch.raw
	})
	a.batch.reset()
	for _, l := range a.logs {
		for _, f := range l.Feeds() {
			f.Committed()
		}
	}
	return nil
}

// retry tries a request until it works. Its error is errDisagree, or ctx's.
func (a *Agent) retry(ctx context.Context, request func(context.Context) error) error {
	for pause := firstWait; ; pause = min(2*pause, lastWait) {
		err := a.once(ctx, request)
		if err == nil {
			return nil
		}
		said, _ := errors.AsType[*refusal](err)
		if said != nil && said.code == http.StatusConflict {
			return fmt.Errorf("%w: %s", errDisagree, said.message)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait := pause/2 + rand.N(pause/2+1) // agents that were cut off together shall not come back together
		if said != nil {
			wait = max(wait, said.after)
		}
		for end := a.cfg.Now().Add(wait); wait > 0; wait = end.Sub(a.cfg.Now()) {
			if err := a.cfg.Wait(ctx, min(wait, 5*time.Second)); err != nil {
				return err
			}
			a.note(func(s *Status) { s.Rounds++ })
			a.look()
		}
	}
}

// once makes one request. When ctx ends it is given some time to come to its end.
func (a *Agent) once(ctx context.Context, request func(context.Context) error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	going, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(lastWords, cancel)
		context.AfterFunc(going, func() { timer.Stop() })
	})
	defer stop()
	err := request(going)
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != a.told && err != nil {
		a.log.Warn("the server does not take anything; trying again", "err", err)
	} else if text != a.told {
		a.log.Info("the server takes what comes")
	}
	a.told = text
	a.note(func(s *Status) {
		if s.Requests++; err != nil {
			s.Refused++
		}
		s.Err = err
		if _, answered := errors.AsType[*refusal](err); err == nil || answered {
			s.Contact = a.cfg.Now()
		}
	})
	return err
}

// look looks how long the logs hold what was not sent, and tells of it when that has
// become another order.
func (a *Agent) look() {
	s := a.Status()
	holds, grown, looked := a.keep.look(s.Shipped, s.Waiting, s.Err == nil)
	if !looked {
		return
	}
	a.note(func(s *Status) {
		s.Holds = holds
		s.Waiting = max(s.Waiting, grown)
	})
	if holds > 0 && (a.heard == 0 || holds > 2*a.heard || 2*holds < a.heard) {
		a.heard = holds
		a.log.Info("how long the logs hold what was not sent", "about", Span(holds), "hint", "events are lost if the server is away for longer")
	}
	if a.cfg.OnChange != nil {
		a.cfg.OnChange(a.Status().String())
	}
}

func (a *Agent) note(change func(*Status)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.status)
	switch {
	case a.status.Waiting == 0:
		a.since = time.Time{}
	case a.since.IsZero():
		a.since = a.cfg.Now()
	}
}

// Status tells how the agent is. It may be called from any goroutine.
func (a *Agent) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.status
	if !a.since.IsZero() {
		s.Behind = max(0, a.cfg.Now().Sub(a.since))
	}
	return s
}

// String says it in one line.
func (s Status) String() string {
	text := fmt.Sprintf("%d bytes wait", s.Waiting)
	if s.Err != nil {
		text += ", the server takes nothing: " + s.Err.Error()
	}
	if s.ReadError != nil {
		text += ", cannot read all of " + s.ReadError.Error()
	}
	if s.Holds > 0 {
		text += ", the logs hold about " + Span(s.Holds)
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return '?'
	}, text)
}

// Report is what Check finds out.
type Report struct {
	Status
	Sources []trail.Source // how far the server has them
}

// ReadError tells of a log that cannot be read.
type ReadError struct {
	Name string
	Err  error
}

func (e *ReadError) Error() string {
	if p, ok := errors.AsType[*fs.PathError](e.Err); ok {
		return e.Name + ": " + p.Err.Error()
	}
	return e.Name + ": " + e.Err.Error()
}

func (e *ReadError) Unwrap() error { return e.Err }

// Check asks the server once, looks at the logs, and ships nothing.
func (a *Agent) Check(ctx context.Context) (Report, error) {
	defer a.client.close()
	sources, err := a.client.positions(ctx, Status{})
	if err != nil {
		return Report{}, err
	}
	a.learn(slices.Clone(sources))
	defer a.closeLogs()
	counted := &counter{batch: a.batch}
	var waiting int64
	for _, l := range a.logs {
		l.Turn()
		for _, f := range l.Feeds() {
			if _, err := f.Pull(ctx, counted, 1); err != nil {
				return Report{}, &ReadError{f.Status().Name, err}
			}
			waiting += f.Status().Waiting + f.Status().Bytes
		}
	}
	a.note(func(s *Status) { s.Waiting, s.Contact = waiting, a.cfg.Now() })
	a.look()
	return Report{Status: a.Status(), Sources: sources}, nil
}

// counter is a batch that keeps nothing.
type counter struct{ *batch }

func (c *counter) Advance(trail.Source) { c.batch.data = c.batch.data[:0] }
