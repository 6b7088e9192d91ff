package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"kubetrail/internal/output"
	"kubetrail/policy"
	"kubetrail/policy/report"
)

// maxRequestLine bounds a line of --requests: kube-apiserver takes no larger head of a
// request.
const maxRequestLine = 1 << 20

// explainRequests decides about the requests of a file, one answer for each line. A
// line that is no request gets its error in its place, so that lines correspond.
func (a *app) explainRequests(ctx context.Context, doc *policy.Document, name string) error {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return failed(err, "--requests names a file of JSON lines; - is standard input")
		}
		defer f.Close()
		in = f
	}
	d := newDecider(doc.Policy)
	r, w := bufio.NewReaderSize(in, maxRequestLine), a.stdout()
	n, bad := 0, 0
	for {
		line, err := wholeLine(r)
		if len(line) == 0 && err == io.EOF {
			break
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
				return err
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && err != io.EOF && err != errLongLine:
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if bad > 0 {
		return failed(fmt.Errorf("%s: %s of %d held no request", name, output.Count(bad, "line"), n), "each has its error in its place in the output")
	}
	return nil
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
		*slot = append(report.AppendDecision(nil, decision), '\n')
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
