package power

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/query"
	"kubetrail/internal/subject"
	"kubetrail/internal/trail"
)

// scan calls yield for every answer, in the order that is cheapest to read.
func scan(ctx context.Context, r trail.Reader, q trail.Query, columns audit.Columns, yield func(*audit.Event) error) error {
	if s, ok := r.(trail.Scanner); ok {
		return s.Scan(ctx, q, columns, yield)
	}
	return r.Search(ctx, q, trail.Page{Oldest: true, Columns: columns}, yield)
}

// narrowed is q for those answers that are answers to text, too.
func narrowed(q trail.Query, text string) (trail.Query, error) {
	n, err := query.Parse(text)
	if err != nil {
		return q, err
	}
	q.Where = query.Both(q.Where, n)
	return q, nil
}

// quoted is a value as a question has it, so that nothing in it is special.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\x00", `\u0000`).Replace(strings.ToValidUTF8(s, "\uFFFD")) + `"`
}

// A Tally counts one value.
type Tally struct {
	Value string `json:"value"`
	Count int    `json:"count"`
}

// tallies counts values, of which it keeps those that came first.
type tallies struct {
	list []Tally
	more int // of other values
}

const maxTallies = 16

func (t *tallies) add(value string) {
	i := slices.IndexFunc(t.list, func(x Tally) bool { return x.Value == value })
	switch {
	case i >= 0:
		t.list[i].Count++
	case len(t.list) < maxTallies:
		t.list = append(t.list, Tally{value, 1})
	default:
		t.more++
	}
}

func (t *tallies) has(value string) bool {
	return slices.ContainsFunc(t.list, func(x Tally) bool { return x.Value == value })
}

// values are what was counted, most frequent first.
func (t *tallies) values() []Tally {
	list := slices.Clone(t.list)
	slices.SortStableFunc(list, func(a, b Tally) int { return b.Count - a.Count })
	return list
}

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
func cells(list []Tally) string {
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
