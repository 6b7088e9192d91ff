package backend

import (
	"context"
	"errors"
	"strings"
	"sync"

	"kubetrail/record"
)

// Union returns a backend that gives every event to each backend in turn, and reports
// whether all took it. One backend stays itself. Upstream: audit.Union.
func Union(backends ...record.Backend) record.Backend {
	if len(backends) == 1 {
		return backends[0]
	}
	return union(backends)
}

type union []record.Backend

func (u union) ProcessEvents(events ...*record.Event) bool {
	ok := true
	for _, b := range u {
		ok = b.ProcessEvents(events...) && ok
	}
	return ok
}

// Run runs all of them. One that fails does not end the others.
func (u union) Run(ctx context.Context) error {
	errs := make([]error, len(u))
	var wait sync.WaitGroup
	for i, b := range u {
		wait.Go(func() { errs[i] = b.Run(ctx) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (u union) String() string {
	names := make([]string, len(u))
	for i, b := range u {
		names[i] = b.String()
	}
	return "union[" + strings.Join(names, ",") + "]"
}
