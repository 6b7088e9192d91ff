package power

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/subject"
	"kubetrail/internal/tally"
)

// address is where a request came from, as far as that is sure: who sends it can put
// others before the last one.
func address(e *audit.Event) string {
	ips := output.StringList(e.Text[audit.SourceIPs])
	if len(ips) == 0 {
		return ""
	}
	return ips[len(ips)-1]
}

// tool is the program that sent a request, by its own account, without its version.
func tool(e *audit.Event) string {
	name, _ := subject.Tool(string(e.Text[audit.UserAgent]))
	return name
}

// who names a user and whom they acted as, for people.
func who(user, as string, chinese bool) string {
	if user == "" {
		user = "(not authenticated)"
		if chinese {
			user = "（未通过认证）"
		}
		return user
	}
	user = output.Cell(user)
	if as == "" {
		return user
	}
	return user + "->" + output.Cell(as)
}

// count is a number in a table, where nothing stands out less than something.
func count(n int) string {
	if n == 0 {
		return "."
	}
	return strconv.Itoa(n)
}

// times is how often, in words.
func times(n int, chinese bool) string {
	switch {
	case chinese:
		return fmt.Sprintf("%d 次", n)
	case n == 1:
		return "once"
	case n == 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// cells are the values of tallies in one cell of a table.
func cells(list []tally.Count) string {
	var out []string
	for _, t := range list {
		out = append(out, output.Plain(strings.ReplaceAll(t.Value, " ", "_"), false))
	}
	if len(out) > 3 {
		out = append(out[:3], fmt.Sprintf("+%d", len(out)-3))
	}
	return cmp.Or(strings.Join(out, ","), output.None)
}

// shortTime is a time in a table.
func shortTime(t int64) string {
	if t == audit.NoTime {
		return output.None
	}
	return time.UnixMicro(t).UTC().Format("2006-01-02T15:04:05Z")
}

// object decodes a body that was recorded, nil where it was not or is no object.
func object(body []byte) map[string]any {
	if len(body) == 0 || len(body) > maxBody {
		return nil
	}
	var m map[string]any
	if json.Unmarshal(body, &m) != nil {
		return nil
	}
	return m
}

// maxBody is the largest body that is decoded: a role or a pod is never so large.
const maxBody = 3 << 20
