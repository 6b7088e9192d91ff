package tally

import (
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/subject"
)

// SameDay reports whether two times are on one day in UTC.
func SameDay(a, b int64) bool {
	return a != audit.NoTime && b != audit.NoTime && output.RFC3339(a)[:10] == output.RFC3339(b)[:10]
}

// Clock is a time in UTC: without its date where that is said elsewhere.
func Clock(t int64, day bool) string {
	switch {
	case t == audit.NoTime:
		return output.None
	case day:
		return time.UnixMicro(t).UTC().Format("15:04:05Z")
	}
	return time.UnixMicro(t).UTC().Format("2006-01-02T15:04:05Z")
}

// Period is from when to when, as "14:00–14:31"; with the date where there are two.
func Period(first, last int64) string {
	if first == audit.NoTime {
		return ""
	}
	layout := "15:04"
	if !SameDay(first, last) {
		layout = "2006-01-02 15:04"
	}
	from, to := time.UnixMicro(first).UTC().Format(layout), time.UnixMicro(last).UTC().Format(layout)
	if from == to {
		return from
	}
	return from + "–" + to
}

// LongPeriod is the same with dates.
func LongPeriod(first, last int64) string {
	if first == audit.NoTime {
		return output.None
	}
	from, to := time.UnixMicro(first).UTC().Format("2006-01-02 15:04:05"), time.UnixMicro(last).UTC().Format("2006-01-02 15:04:05")
	if SameDay(first, last) {
		to = strings.TrimPrefix(to, from[:11])
	}
	if strings.HasSuffix(from, to) {
		return from + " UTC"
	}
	return from + "–" + to + " UTC"
}

// Short names a user in as few characters as tell: a controller or a node by its name, a
// service account as namespace/name.
func Short(user string) string {
	switch s := subject.Of(user); s.Kind {
	case subject.ServiceAccount:
		return s.Namespace + "/" + s.Name
	case subject.ControlPlane:
		return s.Name
	case subject.Node:
		return "node/" + s.Name
	}
	return user
}
