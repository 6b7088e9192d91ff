package trail

import (
	"strconv"

	"kubetrail/audit"
	"kubetrail/internal/query"
)

// A recorder of ours tells what it lost by events of its own (package record/backend):
// their verb, their user, and the annotations that say how many and why.
const (
	LostVerb  = "lost"
	LostUser  = "system:kubetrail"
	LostCount = "kubetrail.io/lost"
	LostCause = "kubetrail.io/lost-cause"
)

// ReportedLosses asks for the events that tell of losses.
func ReportedLosses() (*query.Node, error) {
	return query.Parse("verb:" + LostVerb + ` and user.username:"` + LostUser + `"`)
}

// LossColumns are what ReportedLoss looks at.
func LossColumns() audit.Columns {
	return audit.Set(audit.Verb, audit.Username, audit.Annotations, audit.Received, audit.Staged)
}

// ReportedLoss is what an event says that its recorder lost; false where it is an event
// like all others. Received is when the first event was lost, Staged when it was told.
func ReportedLoss(e *audit.Event) (Loss, bool) {
	if string(e.Text[audit.Verb]) != LostVerb || string(e.Text[audit.Username]) != LostUser {
		return Loss{}, false
	}
	count, cause := annotation(e, LostCount), annotation(e, LostCause)
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n <= 0 || cause == "" {
		return Loss{}, false
	}
	return Loss{From: e.Received, To: e.Staged, Events: n, Cause: cause}, true
}

// annotation returns the value of the annotation with that key, or "".
func annotation(e *audit.Event, key string) (value string) {
	r, err := audit.Resolve("annotations." + key)
	if err != nil {
		return ""
	}
	r.Any(e, func(v audit.Value) bool {
		value = string(v.Bytes)
		return true
	})
	return value
}
