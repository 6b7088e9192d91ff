package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/collect/collector"
	"kubetrail/internal/output"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
	"kubetrail/internal/trail/remote"
)

const tailLong = `Tail prints events as they arrive, until Ctrl-C: first the last --lines of
those that are there, then every one that answers the question.

From a server (--server) and from a trail of this machine (--data), which a
serve fills at the same time, events come about a second after they were
written, in the order in which they were stored. When the connection to a
server breaks, tail goes on where it was: nothing is missed, nothing comes
twice.

With -f it follows files that kube-apiserver writes, through their rotations,
like tail -F; -f - reads what is piped in.

Ctrl-C ends it with exit code 130, as it does tail -f and kubectl logs -f.`

const tailExample = `  # what happens in the trail of this machine
  kubetrail tail

  # who is refused what, from now on, by a server
  kubetrail tail --server http://127.0.0.1:8417 --lines 0 'code:403'

  # a log, without a trail; and one of another machine
  kubetrail tail -f /var/log/kubernetes/audit/audit.log 'verb:delete'
  ssh node1 sudo tail -F /logs/audit.log | kubetrail tail -f -`

const tailPoll = 250 * time.Millisecond // between two looks at a trail on disk

func (a *app) tailVerb() *cobra.Command {
	f := &asked{}
	var lines int
	cmd := &cobra.Command{
		Use:     "tail [QUESTION]",
		Short:   "Print events as they arrive",
		Long:    tailLong,
		Example: tailExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := a.tail(cmd.Context(), f, args, lines)
			if errors.Is(err, context.Canceled) {
				return errStopped // this is how it ends
			}
			return err
		},
	}
	fs := cmd.Flags()
	f.where(fs, a)
	f.how(fs, a, searchOutputs)
	fs.IntVarP(&lines, "lines", "n", 10, "Begin with the last `N` of the events that are there")
	fs.StringVar(&f.namespace, "namespace", "", "Only events on objects of this namespace (without the short -n, which is --lines)")
	fs.StringSliceVar(&f.fields, "fields", nil, "Print these `FIELDS` of each event, separated by commas")
	fs.IntVar(&f.limit, "limit", 0, "End after this many events; 0 is never")
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		hint := cmd.CommandPath() + " --help lists the flags"
		if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok && bad.GetFlag().Name == "lines" {
			hint = "-n is the number of lines here; a namespace is given with --namespace"
		}
		return usage(hint, "%w", err)
	})
	return cmd
}

func (a *app) tail(ctx context.Context, f *asked, words []string, lines int) error {
	if err := f.check(searchOutputs); err != nil {
		return err
	}
	if lines < 0 {
		return usage("0 begins with what comes next", "--lines %d is negative", lines)
	}
	q, err := f.question(words, a.now())
	if err != nil {
		return err
	}
	fields, err := refs("--fields", f.fields)
	if err != nil {
		return err
	}
	p, err := a.printer(f, fields)
	if err != nil {
		return err
	}
	if t, ok := p.(*output.TablePrinter); ok && len(fields) == 0 {
		t.Least = []int{20, 6, 18, 24, 20, 4, 8} // nobody knows what will come
	}
	t := &tailing{app: a, asked: f, Printer: p, q: q, lines: lines}
	switch {
	case f.server != "":
		err = t.server(ctx)
	case len(f.files) == 1 && f.files[0] == "-":
		err = t.stdin(ctx)
	case len(f.files) > 0:
		err = t.files(ctx)
	default:
		err = t.disk(ctx)
	}
	if errors.Is(err, errPrinted) {
		err = nil
	}
	// What a format ends with is printed whatever ended the tail.
	if closeErr := p.Close(); err == nil {
		err = closeErr
	}
	if err == nil && f.strict && t.faults > 0 {
		return failed(fmt.Errorf("%s held no event", output.Count(t.faults, "stretch")), "leave --strict away to take them as warnings")
	}
	return err
}

// tailing is one tail. One goroutine at a time uses it.
type tailing struct {
	*app
	*asked
	output.Printer
	q       trail.Query
	lines   int
	printed int
	faults  int
}

// errPrinted ends a tail that has printed --limit events.
var errPrinted = errors.New("all that was asked for is printed")

// give prints one event.
func (t *tailing) give(e *audit.Event) error {
	x, err := t.Render(e)
	if err != nil {
		return err
	}
	return t.show(x)
}

func (t *tailing) show(x output.Piece) error {
	if err := t.Print(x); err != nil {
		return err
	}
	if t.printed++; t.printed == t.limit {
		return errPrinted
	}
	return nil
}

func (t *tailing) warn(format string, args ...any) {
	fmt.Fprintf(t.app.err, "warning: "+format+"\n", args...)
}

func (t *tailing) removed(n uint64) {
	t.warn("%s removed before they could be read", output.Count(n, "number"))
}

// server follows the trail of a server.
func (t *tailing) server(ctx context.Context) error {
	r, err := openRemote(t.asked)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.Tail(ctx, t.q, remote.TailConfig{Last: t.lines, Idle: t.Flush, Removed: t.removed,
		Lost: func(err error) { t.warn("%s; going on where it was", output.Plain(err.Error(), false)) },
	}, t.Columns(), t.give)
}

// disk follows the trail of this machine.
func (t *tailing) disk(ctx context.Context) error {
	o, err := t.openDisk(t.asked)
	if err != nil {
		return err
	}
	defer o.close()
	r := o.Reader.(*disk.Trail)
	next, err := r.Back(ctx, t.q, t.lines)
	for err == nil {
		var a disk.Arrived
		a, err = r.Arrivals(ctx, t.q, next, 0, t.Columns()|audit.Set(audit.Seq), t.give)
		if a.Gone > 0 {
			t.removed(a.Gone)
		}
		came := a.Next != next
		next = a.Next
		if err == nil && came {
			err = t.Flush()
		} else if err == nil {
			err = pause(ctx, tailPoll)
		}
	}
	return err
}

// pause returns after d, or with ctx's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// files follows logs as serve does, but prints what serve would store.
func (t *tailing) files(ctx context.Context) error {
	var feeds []collect.Feed
	defer func() {
		for _, f := range feeds {
			f.Close() // nothing was written
		}
	}()
	for _, path := range t.asked.files {
		if path == "-" {
			return usage("give it alone", "-f - does not go together with other files")
		}
		f, err := collect.Follow(collect.FollowConfig{Path: path, Cluster: t.cluster})
		if err != nil {
			return err
		}
		feeds = append(feeds, f)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	w := &printing{tailing: t, stop: stop, last: &lastPieces{n: t.lines}}
	for _, f := range feeds { // what is there
		for more := true; more; {
			var err error
			if more, err = f.Pull(ctx, w, 4<<20); err != nil {
				return err
			}
			if err := context.Cause(ctx); err != nil {
				return err
			}
		}
	}
	if err := w.begin(); err != nil {
		return err
	}
	err := collector.New(collector.Config{Writer: w, Feeds: feeds, Every: 200 * time.Millisecond, Drain: time.Second}).Run(ctx)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// stdin prints what is piped in, as it comes.
func (t *tailing) stdin(ctx context.Context) error {
	w := &printing{tailing: t, stop: func(error) {}} // nobody can tell what was there before
	r := audit.NewReader(&flushing{r: t.in, before: t.Flush}, audit.ReaderConfig{Source: "stdin", Cluster: t.cluster})
	var e audit.Event
	for ctx.Err() == nil {
		err := r.Next(&e)
		if fault, ok := errors.AsType[*audit.Fault](err); ok {
			w.SetAside(trail.Fault{Source: "stdin", Offset: fault.Offset, Length: fault.Length, Reason: fault.Reason})
			continue
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if w.Append(&e); w.err != nil {
			return w.err
		}
	}
	return ctx.Err()
}

// flushing calls before whenever there is nothing left to read that came already.
type flushing struct {
	r      io.Reader
	before func() error
}

func (f *flushing) Read(b []byte) (int, error) {
	if err := f.before(); err != nil {
		return 0, err
	}
	return f.r.Read(b)
}

// printing is the writing end of a trail that prints what answers the question.
type printing struct {
	*tailing
	last *lastPieces // not nil: the last ones are kept and printed later
	seq  uint64
	err  error
	stop func(error)
}

// Append implements collect.Appender, as do the others.
func (w *printing) Append(e *audit.Event) {
	e.Seq = w.seq
	w.seq++
	if w.err != nil || w.q.Where != nil && !w.q.Where.Match(e) {
		return
	}
	if w.last != nil && w.last.n == 0 {
		return
	}
	x, err := w.Render(e)
	switch {
	case err != nil:
	case w.last != nil:
		w.last.add(x)
	default:
		err = w.show(x)
	}
	w.fail(err)
}

func (w *printing) fail(err error) {
	if err != nil && w.err == nil {
		w.err = err
		w.stop(err)
	}
}

// begin prints the last of what was there. From now on everything is.
func (w *printing) begin() error {
	last := w.last.pieces
	if w.last.from > 0 {
		last = append(last[w.last.from:len(last):len(last)], last[:w.last.from]...)
	}
	w.last = nil
	for _, x := range last {
		if err := w.show(x); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (w *printing) SetAside(f trail.Fault) {
	w.faults++
	w.warn("%s:%d: %s (%d bytes set aside)", output.Plain(f.Source, false), f.Offset, output.Plain(f.Reason, false), f.Length)
}

func (w *printing) Advance(trail.Source)         {}
func (w *printing) Full() bool                   { return false }
func (w *printing) Seal() error                  { return nil }
func (w *printing) Commit(context.Context) error { w.fail(w.Flush()); return nil }

// lastPieces are the last n of the pieces that were added.
type lastPieces struct {
	n      int
	pieces []output.Piece
	from   int // the oldest one
}

func (l *lastPieces) add(x output.Piece) {
	if len(l.pieces) < l.n {
		l.pieces = append(l.pieces, x)
		return
	}
	l.pieces[l.from] = x
	l.from = (l.from + 1) % l.n
}
