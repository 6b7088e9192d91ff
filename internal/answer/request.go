package answer

import (
	"context"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/trail"
)

// scan calls yield for every answer, in the order that is cheapest to read.
func scan(ctx context.Context, r trail.Reader, q trail.Query, columns audit.Columns, yield func(*audit.Event) error) error {
	if s, ok := r.(trail.Scanner); ok {
		return s.Scan(ctx, q, columns, yield)
	}
	return r.Search(ctx, q, trail.Page{Oldest: true, Columns: columns}, yield)
}

// quoted writes a value for a question, so that nothing in it is special.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// ended tells the event at which a request ended, so that counting such events counts
// requests. Who fails to log in leaves only a ResponseStarted. Audit IDs tell no
// requests apart: clients choose them.
func ended(e *audit.Event) bool {
	switch string(e.Text[audit.Stage]) {
	case "ResponseComplete", "Panic":
		return true
	case "ResponseStarted":
		return e.Code == 401
	}
	return e.Form == audit.FormLegacy && e.Code != 0
}

// who names a user and whom they acted as, for people.
func who(user, as string, chinese bool) string {
	if user == "" {
		return either(chinese, "（未通过认证）", "(not authenticated)")
	}
	if as == "" {
		return output.Cell(user)
	}
	return output.Cell(user) + "->" + output.Cell(as)
}
