package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"kubetrail/internal/output"
	"kubetrail/internal/trail/remote"
)

// The exit codes, all of them.
const (
	exitOK          = 0   // done; warnings may have been printed
	exitError       = 1   // it could not be done, or --strict met a fault
	exitUsage       = 2   // the command line or the question is wrong
	exitFindings    = 3   // a check found something (check, lint, diff, verify, test)
	exitNothing     = 4   // nothing matched, and --fail-empty was given
	exitInterrupted = 130 // Ctrl-C
)

// A failure is an error with what to do about it and the exit code it leads to.
type failure struct {
	code int
	err  error
	hint string // what to do next; empty where nothing helps
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// usage is a failure of the command line.
func usage(hint, format string, args ...any) error {
	return &failure{exitUsage, fmt.Errorf(format, args...), hint}
}

// failed is a failure of the work.
func failed(err error, hint string) error { return &failure{exitError, err, hint} }

// errNothing ends a verb with exitNothing and no message.
var errNothing = &failure{code: exitNothing, err: errors.New("nothing matched")}

// errFindings ends a verb with exitFindings and no message: it has told what it found.
var errFindings = &failure{code: exitFindings, err: errors.New("something was found")}

// errStopped ends a verb that goes on until Ctrl-C, after that, with no message.
var errStopped = &failure{code: exitInterrupted, err: errors.New("interrupted")}

// reportError prints err as "prog verb: cause" and its hint, and returns the exit code.
func reportError(w io.Writer, verb string, err error) int {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = &failure{code: exitError, err: err}
	}
	switch {
	case err == nil:
		return exitOK
	case f == errNothing || f == errFindings || f == errStopped:
		return f.code
	case errors.Is(err, context.Canceled):
		f.code = exitInterrupted
	case errors.Is(err, syscall.EPIPE):
		return exitError // the reader of our output left: nobody to tell
	}
	fmt.Fprintf(w, "%s: %s\n", verb, output.Plain(causeOf(err), true))
	hint := f.hint
	if hint == "" {
		hint = commonHint(err)
	}
	if hint != "" {
		fmt.Fprintf(w, "hint: %s\n", output.Plain(hint, true))
	}
	return f.code
}

// causeOf is the text of err without the name of the system call that failed: "open
// x: no such file" says no more than "x: no such file".
func causeOf(err error) string {
	text := err.Error()
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		text = strings.Replace(text, p.Error(), p.Path+": "+p.Err.Error(), 1)
	}
	if errors.Is(err, context.Canceled) {
		text = strings.Replace(text, context.Canceled.Error(), "interrupted", 1)
	}
	return text
}

// commonHint is what the error itself suggests, or what helps against errors that any
// verb can meet.
func commonHint(err error) string {
	if e, ok := errors.AsType[*remote.Error](err); ok && e.Reason == "Unauthorized" {
		return "--token-file FILE sends a token that is good for reading"
	}
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok && h.Hint() != "" {
		return h.Hint()
	}
	if hint := remote.Hint(err); hint != "" {
		return hint
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "check the path; kube-apiserver writes its audit log where --audit-log-path says"
	case errors.Is(err, fs.ErrPermission):
		return "kube-apiserver writes its audit log readable for root only: try sudo, or copy the file"
	case errors.Is(err, syscall.ENOSPC):
		return "the disk is full: free space or choose another place with --data"
	}
	return ""
}
