package gap

import (
	"bufio"
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/output"
)

// Text prints the report for people: first of each API server what can be known, then
// the gaps.
func (report Report) Text(p *output.Page) error {
	words := wordsOf(p.Chinese)
	for _, s := range report.Servers {
		words.server(p.W, s)
	}
	if len(report.Gaps) == 0 {
		if len(report.Servers) == 0 {
			words.noGaps = words.noEvents
		}
		fmt.Fprintln(p.W, words.noGaps)
		return p.W.Flush()
	}
	fmt.Fprintln(p.W)
	t := p.Table("FROM", "TO", "LENGTH", "CAUSE", "EVENTS", "SERVER")
	t.Right, t.Soft = []int{2, 4}, []int{5, 3}
	for _, g := range report.Gaps {
		to, length := toSecond(g.To), output.None
		if g.Open {
			to = words.still
		}
		if d := g.Length(); d > 0 {
			length = shortly(d)
		}
		if err := t.Add(toSecond(g.From), to, length, output.Cell(g.Cause), strconv.FormatInt(g.Events, 10), output.Cell(serverName(g.Cluster, g.Server, cmp.Or(g.Lease, g.Source)))); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return p.W.Flush()
}

// serverName names an API server, or the log of one that is not known.
func serverName(cluster, server, source string) string {
	if server == "" {
		server = source
	}
	if cluster == "" {
		return server
	}
	return cluster + "/" + strings.TrimPrefix(server, "/")
}

func toSecond(t Time) string {
	if t == audit.NoTime {
		return output.None
	}
	return time.UnixMicro(int64(t)).UTC().Format("2006-01-02T15:04:05Z")
}

// shortly writes a duration by its largest units.
func shortly(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < 24*time.Hour:
		return strings.TrimSuffix(d.Round(time.Second).String(), "m0s") + map[bool]string{true: "m"}[d.Round(time.Second)%time.Minute == 0]
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// words are what a report says, in one language.
type words struct {
	events, found, pulse, ownPulse, fastest, unknown, sharing string
	noGaps, noEvents, still                                   string
}

func wordsOf(chinese bool) words {
	if chinese {
		return words{
			events:   "%s：%d 个事件，%s 至 %s\n",
			found:    "  凡是不短于 %s 的缺口都能发现：",
			pulse:    "%d 个周期性请求流，没有它自己的\n",
			ownPulse: "%d 个周期性请求流，其中有它自己的\n",
			fastest:  "  最快的是 %s 的 %s %s，每 %s 一次\n",
			unknown:  "  无法判断：没有记录到脉搏，因此任何静默都不算缺口\n",
			sharing:  "  %d 个 API 服务器共用这个来源：给每个起名，才能逐个判断\n",
			noGaps:   "没有缺口", noEvents: "没有观察到任何事件，因此无从判断", still: "至今",
		}
	}
	return words{
		events:   "%s: %d events, %s to %s\n",
		found:    "  every gap of %s or more is found: ",
		pulse:    "%d streams beat, none its own\n",
		ownPulse: "%d streams beat, its own among them\n",
		fastest:  "  the fastest is %s, %s %s every %s\n",
		unknown:  "  cannot know: no pulse is recorded, so that no silence is called a gap\n",
		sharing:  "  %d API servers share this source: name each to know of each\n",
		noGaps:   "no gaps", noEvents: "nothing was observed, so no gap can be told", still: "still",
	}
}

// server tells of one API server and its pulse.
func (say words) server(w *bufio.Writer, s Server) {
	fmt.Fprintf(w, say.events, output.Cell(serverName(s.Cluster, s.Server, s.Source)), s.Events, toSecond(s.First), toSecond(s.Last))
	if s.Sharing > 1 {
		fmt.Fprintf(w, say.sharing, s.Sharing)
	}
	if s.Smallest == 0 || len(s.Pulse) == 0 {
		fmt.Fprint(w, say.unknown)
		return
	}
	fmt.Fprintf(w, say.found, shortly(seconds(s.Smallest)))
	if s.Own {
		fmt.Fprintf(w, say.ownPulse, s.Streams)
	} else {
		fmt.Fprintf(w, say.pulse, s.Streams)
	}
	x := s.Pulse[0]
	fmt.Fprintf(w, say.fastest, output.Cell(x.User), output.Cell(x.Verb), output.Cell(x.Object), shortly(seconds(x.Interval)))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
