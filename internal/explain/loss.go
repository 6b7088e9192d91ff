package explain

import (
	"strconv"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/trail"
)

// appendLoss appends the sentence of an event by which a recorder tells what it lost.
func (x *Explainer) appendLoss(b []byte, l trail.Loss) []byte {
	at := func(micros int64) string {
		if micros == audit.NoTime {
			return x.pick("an unknown time", "未知时间")
		}
		return time.UnixMicro(micros).UTC().Format(time.RFC3339)
	}
	events := " events"
	if l.Events == 1 {
		events = " event"
	}
	n := strconv.FormatInt(l.Events, 10)
	return append(b, x.pick(
		"The recorder lost "+n+events+" between "+at(l.From)+" and "+at(l.To)+" ("+output.Cell(l.Cause)+").",
		"审计记录器在 "+at(l.From)+" 至 "+at(l.To)+" 之间丢失了 "+n+" 个事件（"+output.Cell(l.Cause)+"）。")...)
}
