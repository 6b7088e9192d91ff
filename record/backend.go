package record

import "context"

// A Backend takes audit events. Upstream: audit.Backend.
//
// Two implementations that are real: everything in record/backend, and whatever other
// programs bring.
type Backend interface {
	// ProcessEvents takes events. They belong to the caller and are valid until it
	// returns. It reports whether every one is stored or, in a mode that does not wait
	// for that, on its way; only a false of the mode blocking-strict rejects a request.
	// It is safe for concurrent use, before Run and after it too: then it stores, or
	// reports and counts a loss.
	ProcessEvents(events ...*Event) bool

	// Run does what the backend does beside its callers until ctx is done, then
	// delivers what it still holds, and returns. It is called once.
	Run(ctx context.Context) error

	// String is the chain, like "truncate<buffered<log>>".
	String() string
}
