package collect

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"kubetrail/audit"
)

// judged is how much of a content is looked at to tell whether it is an audit log.
const judged = 256 << 10

// Each calls visit for everything in the file that holds audit events, once
// unpacked: the content itself, or each such member of an archive. Members that are
// no audit logs are passed over and given to skip. damage, if not nil, is told of an
// archive that is broken between its members; all before that was visited.
func (f *File) Each(visit func(name string, plain io.Reader) error, skip func(Skip), damage func(*audit.Damage)) error {
	in, err := f.open()
	if err != nil {
		return err
	}
	defer in.Close()
	err = audit.Unpack(in, f.Name, func(name string, plain io.Reader) error {
		head := bufio.NewReaderSize(plain, judged)
		if name != f.Name {
			start, _ := head.Peek(judged) // an error comes again when the rest is read
			if _, reason := judge(start); reason != "" {
				skip(Skip{Name: name, Reason: reason})
				return nil
			}
		}
		return visit(name, head)
	})
	if d, ok := errors.AsType[*audit.Damage](err); ok {
		if damage != nil {
			damage(d)
		}
		return nil
	}
	return err
}

// judge tells whether a content that begins with head is an audit log. Damage to
// events, such as half a line or a hole, counts for nothing; lines of another kind
// are a few at most in an audit log, and less than its events. So the log of a
// program that quotes audit events is none. Judge returns the time of the first
// event, or the reason why it is none.
func judge(head []byte) (first int64, reason string) {
	if len(bytes.TrimSpace(head)) == 0 {
		return 0, "an empty file"
	}
	r := audit.NewReader(bytes.NewReader(head), audit.ReaderConfig{Growing: len(head) == judged})
	var e audit.Event
	var events, strange int // in number
	var good, bad int64     // in bytes
	first = audit.NoTime
	for {
		err := r.Next(&e)
		if fault, ok := errors.AsType[*audit.Fault](err); ok {
			if foreign(fault.Head) {
				strange++
				bad += fault.Length
			}
			continue
		}
		if err != nil {
			break
		}
		if events++; events == 1 {
			first = e.Time()
		}
		good += int64(len(e.Raw))
	}
	if good > bad && 4*strange <= events+4 {
		return first, ""
	}
	// An event may be longer than head.
	left := head[min(int64(len(head)), r.Offset()):]
	if events == 0 && bad == 0 && len(left) > len(head)/2 && looksLikeEvent(left) {
		return first, ""
	}
	if what := audit.Sniff(head); what != "" && !strings.HasPrefix(what, "audit events") {
		return 0, what
	}
	return 0, "no audit log"
}

// foreign reports whether a stretch that held no event does not even look like a
// piece of one.
func foreign(head []byte) bool {
	head = bytes.TrimLeft(head, "\x00 \t\r\n\ufeff")
	return len(head) > 0 && head[0] != '{' && !looksLikeEvent(head)
}

// looksLikeEvent reports whether a piece of text seems to be cut out of an event.
func looksLikeEvent(text []byte) bool {
	for _, s := range []string{`"audit.k8s.io/`, `"auditID"`, `"stage"`, `"stageTimestamp"`} {
		if bytes.Contains(text, []byte(s)) {
			return true
		}
	}
	return false
}

// firstEvent finds out whether a file holds events and returns the time of the
// first. Where its beginning does not tell, the whole of it is read if patient.
func (f *File) firstEvent(ctx context.Context, patient bool) (int64, error) {
	in, err := f.open()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	first, reason := int64(audit.NoTime), "an empty file"
	err = audit.Unpack(in, f.Name, func(name string, plain io.Reader) error {
		b := bufio.NewReaderSize(plain, judged)
		head, headErr := b.Peek(judged)
		for len(head) == judged && len(bytes.Trim(head, "\x00")) == 0 && ctx.Err() == nil {
			b.Discard(judged) // the hole that an external truncation left
			head, headErr = b.Peek(judged)
		}
		at, why := judge(head)
		if name == f.Name {
			if f.format = detect(head, f.Name, patient, why == ""); f.format != nil {
				reason = ""
				return errFound
			}
		}
		if why == "" {
			first, reason = at, ""
			return errFound
		}
		if reason = why; headErr != nil && headErr != io.EOF {
			reason = headErr.Error()
		}
		if !patient || name != f.Name {
			return nil
		}
		r := audit.NewReader(b, audit.ReaderConfig{})
		var e audit.Event
		for ctx.Err() == nil {
			err := r.Next(&e)
			if err == nil {
				first, reason = e.Time(), ""
				return errFound
			}
			if _, ok := errors.AsType[*audit.Fault](err); !ok {
				return nil
			}
		}
		return ctx.Err()
	})
	if _, damaged := errors.AsType[*audit.Damage](err); err != nil && err != errFound && !damaged {
		return 0, err
	}
	if reason != "" {
		return 0, &NoLogError{Name: f.Name, Reason: reason}
	}
	return first, nil
}

var errFound = errors.New("found")
