package report

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/policy"
)

// maxRequestLine bounds a line of Decisions: kube-apiserver takes no larger head of a
// request.
const maxRequestLine = 1 << 20

// Decisions decides about the requests in in, one line of JSON each, and writes a line
// for each to w. A line that is no request gets its error in its place, so that lines
// correspond. It returns how many there were and how many of them held no request; the
// error is that of in, w or ctx.
func Decisions(ctx context.Context, w *bufio.Writer, in io.Reader, p *policy.Policy) (n, bad int, err error) {
	d := newDecider(p)
	r := bufio.NewReaderSize(in, maxRequestLine)
	for {
		line, err := wholeLine(r)
		if len(line) == 0 && err == io.EOF {
			return n, bad, w.Flush()
		}
		n++
		var answer []byte
		fault := err
		if err == nil || err == io.EOF {
			answer, fault = d.decide(line)
		}
		if fault != nil {
			answer = appendError(nil, fmt.Errorf("line %d is no request: %w", n, fault))
			bad++
		}
		w.Write(answer)
		if r.Buffered() == 0 { // whoever asks one by one waits for the answer
			if err := w.Flush(); err != nil {
				return n, bad, err
			}
		}
		switch {
		case ctx.Err() != nil:
			return n, bad, ctx.Err()
		case err != nil && err != io.EOF && err != errLongLine:
			return n, bad, err
		}
	}
}

var errLongLine = errors.New("longer than 1 MiB")

// wholeLine reads up to the next newline, which it leaves away. Of a line that does not
// fit in the buffer it reads all and returns none.
func wholeLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		return bytes.TrimSuffix(line, []byte("\n")), err
	}
	for err == bufio.ErrBufferFull {
		_, err = r.ReadSlice('\n')
	}
	if err == nil || err == io.EOF {
		err = errLongLine
	}
	return nil, err
}

// A decider answers lines of --requests. Answers are written once for each rule.
type decider struct {
	matcher *policy.Matcher
	answers [][]byte // of rule i-1, with a newline
}

func newDecider(p *policy.Policy) *decider {
	return &decider{matcher: p.Compile(), answers: make([][]byte, len(p.Rules)+1)}
}

// decide returns the answer to a line; an error says why the line is no request.
func (d *decider) decide(line []byte) ([]byte, error) {
	var q struct {
		Method string   `json:"method"`
		URI    string   `json:"uri"`
		User   *string  `json:"user"`
		Groups []string `json:"groups"`
	}
	if err := json.Unmarshal(line, &q); err != nil {
		return nil, badRequest(err)
	}
	if q.Method == "" || q.URI == "" {
		return nil, errors.New("it needs method and uri")
	}
	info, err := policy.ParseRequest(q.Method, q.URI)
	if err != nil {
		return appendError(nil, err), nil
	}
	r := policy.Request{Authenticated: q.User != nil, Groups: q.Groups, RequestInfo: info}
	if q.User != nil {
		r.User = *q.User
	}
	decision := d.matcher.Match(&r)
	slot := &d.answers[decision.Rule+1]
	if *slot == nil {
		*slot = append(AppendDecision(nil, decision), '\n')
	}
	return *slot, nil
}

// badRequest says of a value of another type where it stands and what it is.
func badRequest(err error) error {
	t, ok := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case !ok:
		return err
	case t.Field == "":
		return fmt.Errorf("a JSON %s", t.Value)
	}
	return fmt.Errorf("%s cannot be a JSON %s", t.Field, t.Value)
}

func appendError(b []byte, err error) []byte {
	return append(output.AppendString(append(b, `{"error":`...), err.Error()), "}\n"...)
}

// AppendEventDecision appends the line for one event: what it is, and what is decided
// about it or why that cannot be said.
func AppendEventDecision(b []byte, e *audit.Event, d policy.Decision, err error) []byte {
	for _, m := range []struct {
		lead   string
		column audit.Column
	}{{`{"auditID":`, audit.AuditID}, {`,"stage":`, audit.Stage}, {`,"verb":`, audit.Verb}, {`,"requestURI":`, audit.RequestURI}, {`,"user":`, audit.Username}} {
		b = output.AppendString(append(b, m.lead...), string(e.Text[m.column]))
	}
	b = append(b, ',')
	if err != nil {
		return append(b, appendError(nil, err)[1:]...)
	}
	return append(append(b, AppendDecision(nil, d)[1:]...), '\n')
}
