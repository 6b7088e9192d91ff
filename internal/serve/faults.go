package serve

import (
	"log/slog"
	"sync"
	"time"

	"kubetrail/internal/trail"
)

const (
	faultsTold  = 10 // of one source
	faultsQuiet = time.Minute
)

// faults logs what is not as it should be in what comes in. A file that is no log at all
// would make a line of every few bytes: of one source no more than faultsTold are told
// within faultsQuiet, and then that there are more. It is safe for concurrent use.
type faults struct {
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	since time.Time
	told  map[string]int // by source, since then
}

func (f *faults) tell(x trail.Fault) {
	if l := x.Lost; l != nil {
		f.log.Warn("events are missing", "source", x.Source, "offset", x.Offset, "events", l.Events, "cause", l.Cause, "reason", x.Reason)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.now(); f.told == nil || now.Sub(f.since) >= faultsQuiet {
		f.since, f.told = now, map[string]int{}
	}
	f.told[x.Source]++
	switch n := f.told[x.Source]; {
	case n <= faultsTold:
		f.log.Warn("set aside what is no event", "source", x.Source, "offset", x.Offset, "bytes", x.Length, "reason", x.Reason)
	case n == faultsTold+1:
		f.log.Warn("more is set aside of this source, and not told for a minute", "source", x.Source, "hint", "is it an audit log? kubetrail show --faults lists everything")
	}
}
