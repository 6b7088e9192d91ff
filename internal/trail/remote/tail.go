package remote

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// TailConfig says how to follow a server's trail. All but Last may be left out.
type TailConfig struct {
	Last int // of the answers that are there already to begin with

	// Idle is called when all that came was given to yield and more is waited for. An
	// error of it ends the tail.
	Idle func() error
	// Lost is told why the connection ended, before another one is tried.
	Lost func(err error)
	// Removed is told of so many events that retention took away before they were read.
	Removed func(events uint64)

	Wait   time.Duration // before the second try of a connection; doubled each time; 0: half a second
	Silent time.Duration // after which a connection is given up; 0: 50 seconds, three signs of life
}

// maxTries bounds the wait between two tries of a connection.
const maxTries = 10 * time.Second

// errEnded is the end of a stream that the server ended in order.
var errEnded = errors.New("the server ended the stream")

// errSilent is what a connection without signs of life ends with.
var errSilent = errors.New("the server was silent for too long")

// Tail calls yield for the answers to q as they become durable, in the order in which
// they do, until ctx ends or yield fails. When a connection breaks it goes on behind the
// last event that it got, with another one: nothing is missed, nothing comes twice. A
// first connection that fails is an error, as is a server that does not know any more
// where to go on, or does not let us in.
func (t *Trail) Tail(ctx context.Context, q trail.Query, cfg TailConfig, columns audit.Columns, yield func(*audit.Event) error) error {
	if cfg.Wait == 0 {
		cfg.Wait = 500 * time.Millisecond
	}
	if cfg.Silent == 0 {
		cfg.Silent = 50 * time.Second
	}
	f := &following{t: t, cfg: cfg, exact: columns.Has(audit.Line), yield: yield}
	wait := cfg.Wait
	for {
		begun, err := f.connect(ctx, q)
		var broken *brokenError
		if ctx.Err() != nil && (err == nil || errors.As(err, &broken)) {
			return ctx.Err()
		}
		if !errors.As(err, &broken) || !f.begun {
			return err
		}
		if begun {
			wait = cfg.Wait
			if cfg.Lost != nil {
				cfg.Lost(broken.error)
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		wait = min(2*wait, maxTries)
	}
}

// brokenError is an error of a connection: another one may do better.
type brokenError struct{ error }

func (err *brokenError) Unwrap() error { return err.error }

// following is one call of Tail.
type following struct {
	t     *Trail
	cfg   TailConfig
	exact bool
	yield func(*audit.Event) error
	begun bool   // there was a connection
	id    string // the last one that was received; empty: none
	event audit.Event
}

// connect follows over one connection until it ends; begun tells that there was one.
func (f *following) connect(ctx context.Context, q trail.Query) (begun bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(f.cfg.Silent, func() { cancel(errSilent) })
	defer silent.Stop()
	defer func() {
		if context.Cause(ctx) == errSilent {
			err = &brokenError{errSilent}
		}
	}()
	v, header := params(q), http.Header{"Accept": {"text/event-stream"}}
	if f.id != "" {
		header.Set("Last-Event-ID", f.id)
	} else if f.cfg.Last > 0 {
		v.Set("last", strconv.Itoa(f.cfg.Last))
	}
	answer, err := f.t.getWith(ctx, "tail", v, header)
	if e, ok := errors.AsType[*Error](err); ok && e.code < 500 && e.code != http.StatusTooManyRequests {
		return false, err // another try does not help
	}
	if err != nil {
		return false, &brokenError{err}
	}
	defer answer.Body.Close()
	f.begun = true
	in := bufio.NewReaderSize(answer.Body, 256<<10)
	var m message
	told := false // where the stream begins
	for {
		if told && in.Buffered() == 0 && f.cfg.Idle != nil {
			if err := f.cfg.Idle(); err != nil {
				return true, err
			}
		}
		line, err := readLine(in)
		if err != nil {
			return true, &brokenError{err}
		}
		silent.Reset(f.cfg.Silent)
		if len(line) > 0 {
			m.take(line)
			continue
		}
		if err := f.dispatch(ctx, &m); err != nil {
			return true, err
		}
		m, told = message{}, true
	}
}

// message is one server-sent event, as far as it was read.
type message struct {
	id, kind string
	data     []byte
}

func (m *message) take(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "id":
		m.id = string(value)
	case "event":
		m.kind = string(value)
	case "data":
		m.data = append(m.data, value...)
	}
}

// dispatch does what a message says.
func (f *following) dispatch(ctx context.Context, m *message) error {
	switch {
	case m.kind == "removed":
		var gone struct{ Events uint64 }
		if err := json.Unmarshal(m.data, &gone); err == nil && f.cfg.Removed != nil {
			f.cfg.Removed(gone.Events)
		}
	case m.kind == "" && len(m.data) > 0:
		if err := f.t.event(ctx, m.data, f.exact, &f.event); err != nil {
			if _, network := errors.AsType[*askError](err); network || ctx.Err() != nil || errors.Is(err, io.ErrUnexpectedEOF) {
				return &brokenError{err} // the line itself was asked for
			}
			return err
		}
		if err := f.yield(&f.event); err != nil {
			return err
		}
	}
	if m.id != "" {
		f.id = m.id
	}
	return nil
}

// readLine reads a line of at most maxText bytes, without its end. The bytes are valid
// until the next call.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			if len(long) > maxText {
				return nil, fmt.Errorf("a line of more than %d bytes", maxText)
			}
			line, err = in.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	if err != nil {
		if err == io.EOF {
			err = errEnded
		}
		return nil, err
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
}
