package backend

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"kubetrail/audit"
	"kubetrail/record"
)

// Why events were lost. There are no other causes, so that they can be labels of a
// metric.
const (
	CauseBufferFull = "buffer-full"   // more came than the buffer holds
	CauseShutDown   = "shut-down"     // it came after the end of Run
	CauseTooLarge   = "too-large"     // it does not fit, even without bodies
	CauseWrite      = "write-failed"  // the file or stream took no more
	CauseSync       = "sync-failed"   // it was written, but the disk may have lost it
	CauseRefused    = "refused"       // the receiver answered that it will not have it
	CauseUnsent     = "not-delivered" // every attempt to send it failed
	CauseSpillFull  = "spill-full"    // what waits on disk has reached its bound
	CauseSpill      = "spill-failed"  // the disk did not take it, or not give it back
	CauseEncoding   = "not-encoded"   // no line could be made of it
)

// Annotations of an event that tells of losses.
const (
	LostAnnotation        = "kubetrail.io/lost"         // how many events, like "16004"
	LostCauseAnnotation   = "kubetrail.io/lost-cause"   // one of the causes
	LostBackendAnnotation = "kubetrail.io/lost-backend" // LossesConfig.Backend
)

// LostVerb and LostUser tell an event about losses from those of requests.
const (
	LostVerb = "lost"
	LostUser = "system:kubetrail"
)

// LossesConfig says how the losses of a chain are told. All of it is optional.
type LossesConfig struct {
	Backend     string            // the leaf of the chain: "log", "webhook", or the name of one of several
	Annotations map[string]string // on each event: the cluster and the server
	Metrics     *record.Metrics
	Logger      *slog.Logger
	Now         func() time.Time
	NewID       func() string // of an audit ID
}

// Losses are the events that a chain of backends has dropped and that its trail does not
// tell of yet. It is safe for concurrent use; a nil *Losses forgets what it is told.
type Losses struct {
	c       LossesConfig
	pending atomic.Bool   // whether causes has any
	ready   chan struct{} // holds a token after Add

	mu       sync.Mutex
	causes   map[string]Lost
	unlogged map[string]int // by plugin and cause, since logged
	reason   error          // the last one among those
	logged   time.Time
}

// Lost is how many events were lost by one cause, and since when.
type Lost struct {
	Cause string
	Count int
	Since time.Time
}

// NewLosses returns losses of which there are none yet.
func NewLosses(c LossesConfig) *Losses {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewID == nil {
		c.NewID = randomID
	}
	return &Losses{c: c, ready: make(chan struct{}, 1), causes: map[string]Lost{}, unlogged: map[string]int{}}
}

// Add counts n events that a plugin (log, webhook, buffered, truncate) lost by a cause.
func (l *Losses) Add(plugin, cause string, n int) { l.Fail(plugin, cause, n, nil) }

// Fail is Add where an error is known, which is logged.
func (l *Losses) Fail(plugin, cause string, n int, reason error) {
	if l == nil || n <= 0 {
		return
	}
	l.c.Metrics.Lost(plugin, cause, n)
	now := l.c.Now()
	l.mu.Lock()
	l.remember(Lost{Cause: cause, Count: n, Since: now})
	l.unlogged[plugin+": "+cause] += n
	if reason != nil {
		l.reason = reason
	}
	l.logIfDue(now)
	l.mu.Unlock()
	l.wake()
}

// remember adds to what is known of a cause. l.mu is held.
func (l *Losses) remember(lost Lost) {
	if old, ok := l.causes[lost.Cause]; ok {
		lost.Count += old.Count
		if old.Since.Before(lost.Since) {
			lost.Since = old.Since
		}
	}
	l.causes[lost.Cause] = lost
	l.pending.Store(true)
}

// logIfDue logs what was not logged, but only once a second: who floods a backend must
// not flood the log as well. l.mu is held.
func (l *Losses) logIfDue(now time.Time) {
	if len(l.unlogged) == 0 || now.Sub(l.logged) < time.Second && !now.Before(l.logged) {
		return
	}
	args := []any{"backend", l.c.Backend}
	for _, what := range slices.Sorted(maps.Keys(l.unlogged)) {
		args = append(args, what, l.unlogged[what])
	}
	if l.reason != nil {
		args = append(args, "err", l.reason)
	}
	l.c.Logger.Error("audit events lost", args...)
	clear(l.unlogged)
	l.reason, l.logged = nil, now
}

func (l *Losses) wake() {
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// name is the leaf of the chain.
func (l *Losses) name() string {
	if l == nil {
		return ""
	}
	return l.c.Backend
}

// Pending reports whether there is something to Take. It costs next to nothing.
func (l *Losses) Pending() bool { return l != nil && l.pending.Load() }

// Ready gives a token after losses were added: a leaf that writes nothing else within a
// second writes them then. A nil *Losses is never ready.
func (l *Losses) Ready() <-chan struct{} {
	if l == nil {
		return nil
	}
	return l.ready
}

// Take returns what is to be told, by cause, and forgets it. Who cannot write it gives
// it back to Restore.
func (l *Losses) Take() []Lost {
	if !l.Pending() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.SortedFunc(maps.Values(l.causes), func(a, b Lost) int { return cmp.Compare(a.Cause, b.Cause) })
	clear(l.causes)
	l.pending.Store(false)
	l.logIfDue(l.c.Now())
	return all
}

// Restore takes back what could not be written.
func (l *Losses) Restore(all []Lost) {
	if l == nil || len(all) == 0 {
		return
	}
	l.mu.Lock()
	for _, lost := range all {
		l.remember(lost)
	}
	l.mu.Unlock()
	l.wake()
}

// Event returns the event that tells of a loss: a request of LostUser with the verb
// LostVerb, received at the first loss and complete now.
func (l *Losses) Event(lost Lost) *record.Event {
	annotations := maps.Clone(l.c.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[LostAnnotation] = strconv.Itoa(lost.Count)
	annotations[LostCauseAnnotation] = lost.Cause
	if l.c.Backend != "" {
		annotations[LostBackendAnnotation] = l.c.Backend
	}
	object, _ := json.Marshal(annotations) // a map of strings always can be
	e := &record.Event{Event: audit.Event{Received: lost.Since.UnixMicro(), Staged: l.c.Now().UnixMicro()}}
	e.Text[audit.Level] = []byte("Metadata")
	e.Text[audit.AuditID] = []byte(l.c.NewID())
	e.Text[audit.Stage] = []byte("ResponseComplete")
	e.Text[audit.Verb] = []byte(LostVerb)
	e.Text[audit.Username] = []byte(LostUser)
	e.Text[audit.Annotations] = object
	return e
}

// randomID returns a random UUID.
func randomID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
