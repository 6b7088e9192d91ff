package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubetrail/audit"
	"kubetrail/internal/access"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

// tails is what the streams of /api/v1/tail share.
type tails struct {
	slots  chan struct{} // one element per stream
	ending chan struct{} // closed when the server begins to shut down
	poll   time.Duration // between two looks for new events
	beat   time.Duration // between two signs of life while there are none
}

const (
	maxLast     = 10_000           // events to begin with
	tailEvents  = 1000             // read at a time
	tailBytes   = 1 << 20          // of text that are enough for a time
	tailWrite   = 30 * time.Second // for a client to take them
	defaultTail = 16               // streams at the same time
)

func newTails(cfg Config) *tails {
	n := cfg.Tails
	if n <= 0 {
		n = defaultTail
	}
	return &tails{slots: make(chan struct{}, n), ending: make(chan struct{}), poll: 250 * time.Millisecond, beat: 15 * time.Second}
}

func (t *tails) metric() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kubetrail_tail_streams", Help: "Live tails that are being served.",
	}, func() float64 { return float64(len(t.slots)) })
}

// end ends every stream in order; none begins after.
func (t *tails) end() { close(t.ending) }

// wait returns when no stream is left, and keeps others from beginning.
func (t *tails) wait() {
	for range cap(t.slots) {
		t.slots <- struct{}{}
	}
}

// A stream is one answer to /api/v1/tail. What a client has not taken yet is not kept
// for it: it is read from the trail when it can be sent, so that a slow client costs a
// buffer and misses nothing, unless retention is faster than it.
type stream struct {
	s       *Server
	w       http.ResponseWriter
	control *http.ResponseController
	q       trail.Query
	item    *itemWriter
	next    uint64 // number of the first event that was not looked at
	text    []byte // read and not sent
	line    []byte // scratch
}

// errEnough ends a reading that has filled the buffer.
var errEnough = errors.New("enough is read")

// tail streams events as they become durable, as server-sent events.
func (s *Server) tail(w http.ResponseWriter, r *http.Request, p params) error {
	if s.cfg.Tail == nil {
		return newError(http.StatusNotFound, "NotFound", "this server has no trail that grows", "")
	}
	q, err := p.question()
	if err == nil {
		q, err = access.Limit(r.Context(), q)
	}
	if err != nil {
		return err
	}
	fields, err := p.fields("fields", maxFields)
	if err != nil {
		return err
	}
	select {
	case s.tails.slots <- struct{}{}:
		defer func() { <-s.tails.slots }()
	default:
		return newError(http.StatusTooManyRequests, "TooManyRequests",
			strconv.Itoa(cap(s.tails.slots))+" tails are being served, no more are taken", "end one of them, or ask again later")
	}
	t := &stream{s: s, w: w, control: http.NewResponseController(w), q: q, item: &itemWriter{fields: fields}}
	if err := t.begin(r, p); err != nil {
		return err
	}
	// The limits of the server are for answers that end. Not every kind of connection
	// has deadlines: then these limits hold.
	_ = t.control.SetReadDeadline(time.Time{})
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would keep the events to itself
	t.text = append(t.text, "retry: 1000\n"...)
	if t.next > 0 { // who comes again before an event came begins at the same one
		t.text = fmt.Appendf(t.text, "id: %d\n", t.next-1)
	}
	t.text = append(t.text, '\n')
	return t.run(r)
}

// begin finds the number to begin with.
func (t *stream) begin(r *http.Request, p params) error {
	last, err := p.count("last", maxLast)
	if err != nil {
		return err
	}
	after, name := p.get("after"), "after"
	if id := r.Header.Get("Last-Event-ID"); id != "" { // sent by a client that comes again
		after, name = id, "Last-Event-ID"
	} else if after != "" && last > 0 {
		return badParameter("last", "given together with after", "leave one of them away")
	}
	ctx, cancel := context.WithTimeout(r.Context(), t.s.cfg.QueryTimeout)
	defer cancel()
	if err := t.s.takeSlot(ctx); err != nil {
		return err
	}
	defer func() { <-t.s.slots }()
	if after == "" {
		t.next, err = t.s.cfg.Tail.Back(ctx, t.q, last)
		return err
	}
	seq, err := strconv.ParseUint(after, 10, 63)
	if err != nil {
		return badParameter(name, fmt.Sprintf("%q is no sequence number", after), "give the seq of the last event that was received")
	}
	t.next = seq + 1
	_, err = t.s.cfg.Tail.Arrivals(ctx, t.q, t.next, 1, 0, func(*audit.Event) error { return nil })
	if errors.Is(err, disk.ErrAhead) {
		return newError(http.StatusGone, "Gone", fmt.Sprintf("the trail ends before %d: it is another one", seq), "begin again, without that number")
	}
	return err
}

// run sends what there is and what comes, until the client or the server ends it.
func (t *stream) run(r *http.Request) error {
	ctx := r.Context()
	poll, beat := time.NewTicker(t.s.tails.poll), time.NewTicker(t.s.tails.beat)
	look := time.NewTicker(t.s.tails.beat) // at the credentials, however much arrives
	defer poll.Stop()
	defer beat.Stop()
	defer look.Stop()
	for {
		before := t.next
		if err := t.read(ctx); err != nil {
			return err
		}
		if err := t.send(); err != nil {
			return nil // the client has gone, or takes nothing any more
		}
		if t.next != before {
			beat.Reset(t.s.tails.beat)
			select {
			case <-look.C:
				if !t.mayGoOn(r) {
					return nil
				}
			default:
			}
			if !t.s.ended() {
				continue
			}
		}
		select {
		case <-t.s.tails.ending:
			return nil
		case <-ctx.Done():
			return nil
		case <-poll.C:
		case <-look.C:
			if !t.mayGoOn(r) {
				return nil
			}
		case <-beat.C:
			t.text = append(t.text, ":\n"...)
			if t.next > 0 { // so that nothing is looked at again when the client comes again
				t.text = fmt.Appendf(t.text, "id: %d\n", t.next-1)
			}
			t.text = append(t.text, '\n')
		}
	}
}

func (s *Server) ended() bool {
	select {
	case <-s.tails.ending:
		return true
	default:
		return false
	}
}

// mayGoOn looks at the credentials of the client again: a token may have been taken
// away, or be good for other clusters now.
func (t *stream) mayGoOn(r *http.Request) bool {
	may, err := t.s.guard.check(&discard{header: http.Header{}}, r, false)
	if err != nil {
		return false
	}
	ctx, err := authorize(r, route{}, may)
	if err != nil {
		return false
	}
	before, all := access.Clusters(r.Context())
	now, allNow := access.Clusters(ctx)
	return all == allNow && (all || slices.Equal(before, now))
}

// read fills the buffer with what arrived. It takes a slot, as every question does,
// but not while the client takes its time.
func (t *stream) read(ctx context.Context) error {
	select {
	case t.s.slots <- struct{}{}:
		defer func() { <-t.s.slots }()
	case <-ctx.Done():
		return nil
	}
	last, from := t.next, len(t.text)
	a, err := t.s.cfg.Tail.Arrivals(ctx, t.q, t.next, tailEvents, t.item.columns()|audit.Set(audit.Seq), func(e *audit.Event) error {
		t.text = strconv.AppendUint(append(t.text, "id: "...), e.Seq, 10)
		t.line = t.item.append(t.line[:0], e)
		t.text = append(append(append(t.text, "\ndata: "...), t.line...), "\n\n"...)
		if last = e.Seq + 1; len(t.text) >= tailBytes {
			return errEnough
		}
		return nil
	})
	if a.Gone > 0 {
		gone := fmt.Appendf(nil, "event: removed\ndata: {\"from\":%d,\"events\":%d}\n\n", t.next, a.Gone)
		t.text = slices.Insert(t.text, from, gone...)
	}
	switch {
	case errors.Is(err, errEnough):
		t.next = last
	case err == nil:
		t.next = a.Next
	case ctx.Err() != nil:
	default:
		return err
	}
	return nil
}

// send gives the buffer to the client, which has some time to take it.
func (t *stream) send() error {
	if len(t.text) == 0 {
		return nil
	}
	_ = t.control.SetWriteDeadline(time.Now().Add(tailWrite))
	_, err := t.w.Write(t.text)
	if err == nil {
		err = t.control.Flush()
	}
	if t.text = t.text[:0]; cap(t.text) > 2*tailBytes {
		t.text = nil
	}
	return err
}
