package klog

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"kubetrail/audit"
)

// impacted stands between the error and the events that it lost.
const impacted = "Impacted events:"

// header is the first line of a message.
type header struct {
	text    []byte // the message, of JSON still escaped
	escaped bool
	at      int    // where text begins in the line
	stamp   []byte // mmdd hh:mm:ss.uuuuuu, in local time, or milliseconds since the epoch
	pid     []byte // nil in JSON
}

// readHeader tells a line with which klog begins a message:
//
//	E1120 15:31:49.203222   11906 metrics.go:110] text
//	{"ts":1763652709203.222,"caller":"audit/metrics.go:110","msg":"text"}
//
// The second is --logging-format=json (k8s.io/component-base/logs/json), in which the
// newlines of a text are escaped.
func readHeader(line []byte) (header, bool) {
	const stamp = len("E1120 15:31:49.203222")
	if bytes.HasPrefix(line, []byte(`{"ts":`)) {
		i := bytes.Index(line, []byte(`,"msg":"`))
		if i < 0 {
			return header{}, false
		}
		at := i + len(`,"msg":"`)
		when, _, _ := bytes.Cut(line[len(`{"ts":`):i], []byte{','})
		return header{text: line[at:], escaped: true, at: at, stamp: when}, true
	}
	if len(line) < stamp+2 || line[5] != ' ' || line[14] != '.' || bytes.IndexByte([]byte("IWEF"), line[0]) < 0 {
		return header{}, false
	}
	for _, i := range [...]int{1, 2, 3, 4, 6, 7, 9, 10, 12, 13, 15, 20} {
		if line[i] < '0' || line[i] > '9' {
			return header{}, false
		}
	}
	end := bytes.Index(line[stamp:], []byte("] "))
	if end < 0 {
		return header{}, false
	}
	at := stamp + end + len("] ")
	pid, _, _ := bytes.Cut(bytes.TrimLeft(line[stamp:at], " "), []byte{' '})
	return header{text: line[at:], at: at, stamp: line[1:stamp], pid: pid}, true
}

// readHead reads "Error in audit plugin 'log' affecting 2 audit events: cause".
func readHead(text []byte) (message, bool) {
	rest, ok := bytes.CutPrefix(text, []byte("Error in audit plugin '"))
	if !ok {
		return message{}, false
	}
	plugin, rest, ok := bytes.Cut(rest, []byte("' affecting "))
	if !ok || len(plugin) > 100 {
		return message{}, false
	}
	number, cause, ok := bytes.Cut(rest, []byte(" audit events: "))
	n, err := strconv.ParseInt(string(number), 10, 32)
	if !ok || err != nil || n <= 0 {
		return message{}, false
	}
	m := message{open: true, plugin: string(bytes.ToValidUTF8(plugin, []byte{'?'})), events: n}
	m.add(cause)
	return m, true
}

// segment measures the line that text, inside a string of JSON, begins with: its length,
// the index of what comes after it, and whether the string goes on there.
func segment(text []byte) (n, next int, more bool) {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			return i, i, false
		case '\\':
			if i+1 < len(text) && text[i+1] == 'n' {
				return i, i + 2, true
			}
			i++
		}
	}
	return len(text), len(text), false
}

// unescape appends what a piece of a string of JSON stands for.
func unescape(dst, piece []byte) []byte {
	if bytes.IndexByte(piece, '\\') < 0 {
		return append(dst, piece...)
	}
	var s string
	if json.Unmarshal(append(append([]byte{'"'}, piece...), '"'), &s) != nil {
		return append(dst, piece...)
	}
	return append(dst, s...)
}

const mark = " AUDIT: id="

// isEvent tells by its beginning a line in the legacy format.
func isEvent(text []byte) bool { return looksLike(text, mark+`"`) }

// isEscapedEvent tells such a line inside a string of JSON.
func isEscapedEvent(text []byte) bool { return looksLike(text, mark+`\"`) }

// mayBecomeEvent tells what is too short to be told by isEscapedEvent: the runtime of a
// container may cut a line just there.
func mayBecomeEvent(text []byte) bool {
	if len(text) == 0 || len(text) > 64 || text[0] < '0' || text[0] > '9' {
		return false
	}
	when, rest, found := bytes.Cut(text, []byte{' '})
	if found {
		return bytes.HasPrefix([]byte(mark+`\"`), append([]byte{' '}, rest...))
	}
	return len(bytes.Trim(when, "0123456789-T:.Z+")) == 0
}

func looksLike(text []byte, mark string) bool {
	if len(text) == 0 || text[0] < '0' || text[0] > '9' {
		return false
	}
	i := bytes.IndexByte(text[:min(len(text), 64)], ' ')
	return i > 0 && bytes.HasPrefix(text[i:], []byte(mark))
}

// endsString tells whether the string of JSON that text is inside of ends.
func endsString(text []byte) bool {
	for {
		_, next, more := segment(text)
		if !more {
			return next < len(text)
		}
		text = text[next:]
	}
}

// run is what is known of the process that writes the log.
type run struct {
	pid   []byte
	last  [32]byte // stamp of the last line, and its length
	n     int
	micro int64 // the same as the carrier tells it

	from, to int64 // between the last line of the process before and the first of this one
	begun    bool  // of which the banner is still to come
	clean    bool  // the audit backend was shut down
}

// see looks at the first line of a message. It returns a Loss where another process has
// begun: klog names the process, and kube-apiserver its version after its flags.
func (r *run) see(h header, when, now, offset int64) error {
	if h.pid == nil {
		return nil
	}
	if string(h.pid) != string(r.pid) {
		if r.begun = len(r.pid) > 0 && !r.clean; r.begun {
			r.from, r.to = r.time(now), stampTime(h.stamp, when, now)
		}
		r.pid, r.clean = append(r.pid[:0], h.pid...), false
	}
	r.n, r.micro = copy(r.last[:], h.stamp), when
	switch {
	case bytes.Contains(h.text, []byte("audit backend shutdown completed")):
		r.clean = true
	case r.begun && bytes.HasPrefix(h.text, []byte("Version: v")):
		r.begun = false
		return &Loss{From: r.from, To: r.to, Cause: CauseRestart,
			Fault: audit.Fault{Offset: offset, Reason: "kube-apiserver began anew, and the one before it had not ended in good order"}}
	}
	return nil
}

func (r *run) time(now int64) int64 { return stampTime(r.last[:r.n], r.micro, now) }

// stampTime is when a line was written: as its carrier says, or else as klog does, in
// the year that makes it no later than a day after now.
func stampTime(stamp []byte, carrier, now int64) int64 {
	if carrier != audit.NoTime || now == 0 {
		return carrier
	}
	year := time.UnixMicro(now).UTC().Year()
	for y := year + 1; y > year-8; y-- { // eight years, for the 29th of February
		t, err := time.Parse("2006 0102 15:04:05.000000", strconv.Itoa(y)+" "+string(stamp))
		if err == nil && t.UnixMicro() <= now+(24*time.Hour).Microseconds() {
			return t.UnixMicro()
		}
	}
	return audit.NoTime
}

// Likeness is how much a content seems to be the log of kube-apiserver.
type Likeness int

// From nothing to certainty.
const (
	Unlike  Likeness = iota
	Similar          // one in eight of its lines begins a message as klog does: of some program of Kubernetes
	Certain          // it tells of audit events that were lost
)

// Looks judges a content by how it begins, whatever carries it. One that has audit events
// in JSON is none, whatever is beside them.
func Looks(head []byte) Likeness {
	reports := bytes.Contains(head, []byte("Error in audit plugin '"))
	lines, ours := 0, 0
	for len(head) > 0 && (lines < 200 || reports) {
		line, rest, whole := bytes.Cut(head, []byte{'\n'})
		if !whole && lines > 0 {
			break
		}
		head = rest
		lines++
		text := carry(line).text
		if bytes.HasPrefix(text, []byte(`{"kind":"Event`)) {
			return Unlike
		}
		h, ok := readHeader(text)
		if !ok {
			continue
		}
		ours++
		if reports && bytes.HasPrefix(h.text, []byte("Error in audit plugin '")) {
			return Certain
		}
	}
	if ours > 0 && ours*8 >= lines {
		return Similar
	}
	return Unlike
}
