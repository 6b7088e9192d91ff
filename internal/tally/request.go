package tally

import (
	"context"

	"kubetrail/audit"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

// Scan calls yield for every answer, in the order that is cheapest to read.
func Scan(ctx context.Context, r trail.Reader, q trail.Query, columns audit.Columns, yield func(*audit.Event) error) error {
	if s, ok := r.(trail.Scanner); ok {
		return s.Scan(ctx, q, columns, yield)
	}
	return r.Search(ctx, q, trail.Page{Oldest: true, Columns: columns}, yield)
}

// Ended tells the event at which a request ended, so that counting such events counts
// requests. Who fails to log in leaves only a ResponseStarted. Audit IDs tell no
// requests apart: clients choose them.
func Ended(e *audit.Event) bool {
	switch string(e.Text[audit.Stage]) {
	case "ResponseComplete", "Panic":
		return true
	case "ResponseStarted":
		return e.Code == 401
	}
	return e.Form == audit.FormLegacy && e.Code != 0
}

// endings asks for the events that [Ended] tells: one of each request.
const endings = "stage:(ResponseComplete or Panic) or stage:ResponseStarted and responseStatus.code:401 or not stage:*"

// Requests narrows a question to one event of each request, so that counting what comes
// back counts requests. What comes back is still to be asked with [Ended], as events in
// the legacy format have no stage to ask for.
func Requests(q trail.Query) trail.Query {
	q.Where = query.Both(q.Where, Must(endings))
	return q
}

// Must parses a question of ours.
func Must(text string) *query.Node {
	n, err := query.Parse(text)
	if err != nil {
		panic(err) // never: the text is a constant
	}
	return n
}

// Refused reports whether a request was turned away for who sent it.
func Refused(code int32) bool { return code == 401 || code == 403 }

// Succeeded reports whether a request did what it asked for.
func Succeeded(code int32) bool { return code == 101 || code >= 200 && code < 400 }

// Narrowed is q for those answers that are answers to text, too.
func Narrowed(q trail.Query, text string) (trail.Query, error) {
	n, err := query.Parse(text)
	if err != nil {
		return q, err
	}
	q.Where = query.Both(q.Where, n)
	return q, nil
}
