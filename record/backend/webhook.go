package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"

	"kubetrail/audit"
	"kubetrail/record"
)

// WebhookConfig says where a [Webhook] sends events, and how often it tries.
type WebhookConfig struct {
	// Kubeconfig is a file that names the receiver; its current context is used. Client,
	// if not nil, is used in its place.
	Kubeconfig string
	Client     *rest.Config

	// InitialBackoff is the wait before the second attempt, default 10 s; each later one
	// is half as long again, and up to a fifth is added to each by chance.
	InitialBackoff time.Duration
	Attempts       int // default 5, as upstream

	// MaxPosts bounds the requests that are being answered; default 32.
	MaxPosts int

	Losses *Losses
}

// Bounds of what a receiver may ask for, and of what is kept of its answer.
const (
	maxBackoff    = time.Minute // between attempts that go on for ever
	maxRetryAfter = time.Minute
	maxAsked      = 10        // waits that a receiver asks for in place of one attempt
	maxAnswer     = 256 << 10 // bytes read, so that the connection can be used again
	maxReason     = 256       // bytes of an answer in an error
)

// A webhook sends events to an HTTP receiver. Several goroutines may use it.
type webhook struct {
	c      WebhookConfig
	client *http.Client
	url    string
	posts  chan struct{} // holds a token for each request that is being answered
	bodies sync.Pool     // of *body
	apart  atomic.Bool   // the receiver refuses losses, so they do not go with other events
}

// Webhook returns a backend that sends events to an HTTP receiver, as an EventList. Its
// error tells what is wrong with the configuration; the receiver is not asked.
//
// Upstream: plugin/pkg/audit/webhook. There an event that is refused takes its batch
// along; here the batch is halved until that event is alone.
func Webhook(c WebhookConfig) (record.Backend, error) {
	if c.Client == nil {
		var err error
		if c.Client, err = loadKubeconfig(c.Kubeconfig); err != nil {
			return nil, err
		}
	}
	if c.InitialBackoff <= 0 {
		c.InitialBackoff = 10 * time.Second
	}
	if c.Attempts <= 0 {
		c.Attempts = 5
	}
	if c.MaxPosts <= 0 {
		c.MaxPosts = 32
	}
	w := &webhook{c: c, posts: make(chan struct{}, c.MaxPosts)}
	var err error
	if w.client, w.url, err = newClient(c.Client); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *webhook) String() string { return "webhook" }

// ProcessEvents sends events in one request and waits for the answer, attempts that fail
// included. What could not be sent after all of them is lost, and the result false.
func (w *webhook) ProcessEvents(events ...*record.Event) bool {
	lines := make([][]byte, len(events))
	for i, e := range events {
		lines[i] = e.Line()
	}
	return w.processLines(lines)
}

func (w *webhook) processLines(lines [][]byte) bool {
	d := delivery{hook: w, lines: lines}
	err := d.run(context.Background())
	if err != nil {
		w.c.Losses.Fail("webhook", d.cause(err), len(d.lines), err)
	}
	return err == nil && d.refused == 0
}

// Run tells the receiver of losses where no events do that, at once when ctx is done.
func (w *webhook) Run(ctx context.Context) error {
	defer w.client.CloseIdleConnections()
	const atFirst = time.Second
	wait := atFirst
	for {
		select {
		case <-w.c.Losses.Ready():
		case <-ctx.Done():
			return w.tellLast(ctx)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return w.tellLast(ctx)
		}
		wait = atFirst
		if w.tellLosses(ctx) != nil {
			wait = min(2*wait, maxBackoff)
		}
	}
}

// tellLast tells the receiver of losses though ctx is done, unless that takes long.
func (w *webhook) tellLast(ctx context.Context) error {
	const atMost = 5 * time.Second
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), atMost)
	defer stop()
	if err := w.tellLosses(ctx); err != nil {
		return fmt.Errorf("telling of lost events: %w", err)
	}
	return nil
}

// tellLosses sends the losses that nothing else has told of, once.
func (w *webhook) tellLosses(ctx context.Context) error {
	if !w.c.Losses.Pending() {
		return nil
	}
	return w.post(ctx, nil)
}

// A delivery is the events of one batch on their way.
type delivery struct {
	hook    *webhook
	lines   [][]byte // what is left: neither accepted nor refused
	refused int      // events that were refused, which are counted as lost

	// patient makes run go on until ctx is done. Only an event that is refused by itself
	// is given up.
	patient bool
	note    func(error) // if not nil, is told how each attempt ended
}

// maxSuspects is how many events may be refused one by one before it is likely that the
// receiver accepts none at all.
const maxSuspects = 8

// run sends the events in order. Without an error each was accepted or refused.
//
// A batch that is refused is halved until it is one event. That one is to blame if the
// receiver accepts any other. If none was accepted so far the next ones are tried, and
// the first are suspects meanwhile.
func (d *delivery) run(ctx context.Context) error {
	var (
		size     = len(d.lines) // of the next request
		accepted bool           // some events of this batch were
		suspects int            // events at the beginning that were refused one by one
		failed   int            // attempts since the last success
		asked    int            // waits that the receiver asked for, likewise
	)
	for len(d.lines) > 0 {
		rest := d.lines[suspects:]
		n := min(size, len(rest))
		err := d.hook.post(ctx, rest[:n])
		if d.note != nil {
			d.note(err)
		}
		var answer *answerError
		errors.As(err, &answer)
		switch {
		case err == nil:
			d.refuse(suspects, nil)
			d.lines = d.lines[n:]
			size, accepted, suspects, failed, asked = 2*n, true, 0, 0, 0
			continue
		case answer.refuses() && n > 1:
			size = (n + 1) / 2
			continue
		case answer.refuses() && (accepted || answer.code == http.StatusRequestEntityTooLarge && suspects == 0):
			d.refuse(1, err)
			continue
		case answer.refuses() && suspects < maxSuspects && len(rest) > 1:
			suspects++
			continue
		}
		wait := d.hook.backoff(failed)
		if answer != nil && answer.after > 0 && asked < maxAsked {
			wait = answer.after
			asked++
		} else {
			failed++
		}
		if failed >= d.hook.c.Attempts {
			if !d.patient {
				return err
			}
			if answer.refuses() { // they must not hold up the others for ever
				d.refuse(suspects+1, err)
				failed = 0
			}
		}
		suspects = 0
		if len(d.lines) > 0 && !sleep(ctx, wait) {
			return err
		}
	}
	return nil
}

// refuse gives up the first n events.
func (d *delivery) refuse(n int, err error) {
	d.hook.c.Losses.Fail("webhook", CauseRefused, n, err)
	d.lines = d.lines[n:]
	d.refused += n
}

// cause is why events are lost that a delivery failed to send.
func (d *delivery) cause(err error) string {
	var answer *answerError
	if errors.As(err, &answer) && answer.refuses() {
		return CauseRefused
	}
	return CauseUnsent
}

// backoff is how long to wait after n+1 attempts in a row have failed.
func (w *webhook) backoff(n int) time.Duration {
	wait := float64(w.c.InitialBackoff)
	for ; n > 0 && wait < float64(maxBackoff); n-- {
		wait *= 1.5
	}
	// A first wait that was configured to be longer stays so.
	wait = min(wait, float64(max(maxBackoff, w.c.InitialBackoff)))
	return time.Duration(wait * (1 + 0.2*rand.Float64()))
}

// sleep waits, and reports false if ctx was done before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// An answerError is an answer that is no success.
type answerError struct {
	code   int
	after  time.Duration // that the receiver asks to wait; 0: it does not
	reason string
}

func (e *answerError) Error() string {
	text := fmt.Sprintf("the receiver answered %d %s", e.code, http.StatusText(e.code))
	if e.reason != "" {
		text += ": " + strconv.Quote(e.reason)
	}
	return text
}

// refuses reports whether the answer is about what was sent, so that less of it might be
// accepted. Whatever else is wrong can be mended without changing events.
func (e *answerError) refuses() bool {
	if e == nil {
		return false
	}
	switch e.code {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// post sends an EventList once: what is to be told of losses, and then lines.
func (w *webhook) post(ctx context.Context, lines [][]byte) error {
	select {
	case w.posts <- struct{}{}:
		defer func() { <-w.posts }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if len(lines) > 0 && w.apart.Load() {
		return w.postWith(ctx, nil, lines)
	}
	lost := w.c.Losses.Take()
	err := w.postWith(ctx, lost, lines)
	if err == nil {
		w.apart.Store(false)
		return nil
	}
	w.c.Losses.Restore(lost)
	var answer *answerError
	if errors.As(err, &answer) && answer.refuses() && len(lost) > 0 && len(lines) > 0 {
		if err = w.postWith(ctx, nil, lines); err == nil {
			w.apart.Store(true)
		}
	}
	return err
}

// postWith sends an EventList of losses and lines.
func (w *webhook) postWith(ctx context.Context, lost []Lost, lines [][]byte) error {
	b := w.newBody()
	defer b.release()
	for _, l := range lost {
		b.add(w.c.Losses.Event(l).Line())
	}
	for _, line := range lines {
		b.add(line)
	}
	b.end()
	return w.send(ctx, b)
}

// send makes the request.
func (w *webhook) send(ctx context.Context, b *body) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, b.open())
	if err != nil {
		return err
	}
	req.ContentLength = int64(len(b.bytes))
	req.GetBody = func() (io.ReadCloser, error) { return b.open(), nil }
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, */*")
	// Not sent: it tells the transport that to send it twice does no harm, so that it
	// tries again where the receiver had just closed an idle connection.
	req.Header["X-Idempotency-Key"] = nil
	answer, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxReason))
	io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer))
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		return nil
	}
	return &answerError{code: answer.StatusCode, after: retryAfter(answer), reason: strings.TrimSpace(string(text))}
}

// retryAfter is how long the receiver asks to wait, within bounds, or 0. Upstream
// listens to that for the same answers.
func retryAfter(answer *http.Response) time.Duration {
	if answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode < 500 {
		return 0
	}
	seconds, err := strconv.Atoi(answer.Header.Get("Retry-After"))
	if err != nil || seconds <= 0 {
		return 0
	}
	return min(time.Duration(min(seconds, 3600))*time.Second, maxRetryAfter)
}

const (
	listHead = `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[`
	listTail = "]}\n"
	itemHead = `{"kind":"Event","apiVersion":"audit.k8s.io/v1",` // what an item has not
)

// A body is an EventList. The transport may read it after its answer has come, so the
// bytes are used again only when all that were opened are closed.
type body struct {
	hook  *webhook
	bytes []byte
	users atomic.Int32
}

func (w *webhook) newBody() *body {
	b, ok := w.bodies.Get().(*body)
	if !ok {
		b = &body{hook: w}
	}
	b.bytes = append(b.bytes[:0], listHead...)
	b.users.Store(1)
	return b
}

// add appends the event of a line.
func (b *body) add(line []byte) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	if rest, ok := bytes.CutPrefix(line, []byte(itemHead)); ok {
		b.bytes = append(append(append(b.bytes, '{'), rest...), ',')
		return
	}
	// An event in another form, which no recorder of ours writes.
	var e audit.Event
	if err := e.Scan(line); err != nil {
		b.hook.c.Losses.Fail("webhook", CauseEncoding, 1, err)
		return
	}
	e.Form, e.Raw = audit.FormV1Item, nil
	b.bytes = append(e.AppendColumns(b.bytes), ',')
}

func (b *body) end() {
	b.bytes = append(bytes.TrimSuffix(b.bytes, []byte(",")), listTail...)
}

func (b *body) release() {
	if b.users.Add(-1) == 0 && cap(b.bytes) <= maxIdle {
		b.hook.bodies.Put(b)
	}
}

// open returns a reader of the bytes, which may be closed while it is read.
func (b *body) open() io.ReadCloser {
	b.users.Add(1)
	return &bodyReader{body: b, left: bytes.NewReader(b.bytes)}
}

type bodyReader struct {
	mu   sync.Mutex
	body *body // nil once it is closed
	left *bytes.Reader
}

func (r *bodyReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	return r.left.Read(p)
}

func (r *bodyReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body != nil {
		r.body.release()
		r.body = nil
	}
	return nil
}
