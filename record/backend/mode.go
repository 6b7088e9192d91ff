package backend

import "kubetrail/record"

// IgnoreErrors returns b, but reports every event as stored: the mode blocking, which
// waits for a backend and takes no notice of how that ended. (The mode blocking-strict
// is the backend itself.)
func IgnoreErrors(b record.Backend) record.Backend { return ignoreErrors{b} }

type ignoreErrors struct{ record.Backend }

func (i ignoreErrors) ProcessEvents(events ...*record.Event) bool {
	i.Backend.ProcessEvents(events...)
	return true
}

func (i ignoreErrors) String() string { return "ignoreErrors<" + i.Backend.String() + ">" }
