package skew

import (
	"fmt"
	"strconv"
	"time"

	"kubetrail/internal/output"
)

// Text prints servers as a table for people.
func Text(p *output.Page, list []Server) error {
	t := p.Table("CLUSTER", "SERVER", "EVENTS", "FIRST", "LAST", "SOURCES", "PASSED-ON", "CLOCK")
	t.Right, t.Soft, t.Spare = []int{2, 5, 6}, []int{1, 0}, []int{5, 6, 3}
	for _, s := range list {
		share := "0%"
		if s.Passed > 0 {
			share = strconv.FormatFloat(100*float64(s.Passed)/float64(s.Events), 'f', 2, 64) + "%"
		}
		err := t.Add(output.Cell(s.Cluster), output.Cell(s.Server), strconv.FormatUint(s.Events, 10), second(s.First), second(s.Last),
			strconv.Itoa(len(s.Sources)+s.More), share, clock(s.Clock, p.Chinese))
		if err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return p.W.Flush()
}

// second cuts a time of the API to whole seconds.
func second(text string) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return output.None
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// clock tells by how much a clock is ahead.
func clock(c Clock, chinese bool) string {
	text := map[string]string{Reference: "reference", Unknown: "unknown"}[c.State]
	if chinese {
		text = map[string]string{Reference: "基准", Unknown: "未知"}[c.State]
	}
	if text == "" {
		ahead := time.Duration(c.Ahead * float64(time.Second)).Round(time.Millisecond)
		if c.State == Consistent {
			ahead = 0
		}
		within := max(time.Millisecond, time.Duration((c.Within+max(-c.Ahead, c.Ahead)-max(-ahead.Seconds(), ahead.Seconds()))*float64(time.Second)).Round(time.Millisecond))
		text = fmt.Sprintf("%s ±%s", ahead, within)
		if ahead > 0 {
			text = "+" + text
		}
	}
	if c.Unsteady {
		text = "~" + text
	}
	return text
}
