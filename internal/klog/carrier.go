package klog

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"time"

	"kubetrail/audit"
)

// logical is a line as the API server wrote it, whatever carries it.
type logical struct {
	text   []byte
	size   int     // of all that carries it, in bytes of the source
	pieces []piece // nil: text begins where the line does
	shift  int     // bytes at the beginning of text that are not in the source
	fixed  bool    // where the bytes of text stand is not known: it had to be decoded
	stdout bool
	when   []byte // as the carrier writes it; nil where it does not
}

// piece tells that the text from index on stands so many bytes, and newlines, behind the
// beginning of the line.
type piece struct{ index, at, newlines int }

// found returns where the byte of text with that index stands, behind the line's
// beginning, and how many newlines stand between.
func (l *logical) found(index int) (at, newlines int) {
	if l.fixed {
		return 0, 0
	}
	index -= l.shift
	if l.pieces == nil {
		return index, 0
	}
	n := 0
	for n+1 < len(l.pieces) && l.pieces[n+1].index <= index {
		n++
	}
	p := l.pieces[n]
	return p.at + index - p.index, p.newlines
}

// time is when the carrier says that the line was written, in microseconds.
func (l *logical) time() int64 {
	if micros, err := strconv.ParseInt(string(l.when), 10, 64); err == nil {
		return micros // of the journal
	}
	t, err := time.Parse(time.RFC3339Nano, string(l.when))
	if err != nil {
		return audit.NoTime
	}
	return t.UnixMicro()
}

// logical looks at the next line of the API server, without passing it. A line that a
// container runtime has cut is put together, up to the bound of a line.
func (d *Decoder) logical() (logical, error) {
	line, size, err := d.lines.peek(0)
	if err != nil {
		return logical{}, err
	}
	c := carry(line)
	l := logical{text: c.text, size: size, stdout: c.stdout, when: c.when, fixed: c.kind == docker || c.kind == journal}
	tail := c.kind == bare && !d.any && !d.msg.open && (isEscapedEvent(c.text) && !endsString(c.text) || mayBecomeEvent(c.text))
	if !c.part && !tail {
		if c.kind != bare {
			l.pieces = []piece{{at: c.from}}
		}
		return l, nil
	}
	// What is held may move while more is read.
	l.text, l.when = bytes.Clone(c.text), bytes.Clone(c.when)
	l.pieces = append(l.pieces, piece{at: c.from})
	newlines := size - len(line)
	for kind := c.kind; len(l.text) < d.cfg.MaxLine; {
		if line, size, err = d.lines.peek(l.size); err != nil && (d.cfg.Growing || err != io.EOF) {
			return logical{}, err
		} else if err != nil {
			break
		}
		c = carry(line)
		if c.kind != kind && (!tail || c.kind == bare) || l.stdout && !c.stdout {
			break
		}
		if c.stdout && !l.stdout { // the streams of a container are cut one by one
			l.size += size
			newlines += size - len(line)
			continue
		}
		kind = c.kind
		l.pieces = append(l.pieces, piece{len(l.text), l.size + c.from, newlines})
		l.text = append(l.text, c.text...)
		l.size += size
		newlines += size - len(line)
		if !c.part {
			break
		}
	}
	return l, nil
}

// carrier is what a line of text is wrapped in.
type carrier uint8

const (
	bare carrier = iota
	cri
	docker
	journal
	syslog
)

// carried is one line of a carrier.
type carried struct {
	kind   carrier
	text   []byte
	from   int  // where text begins in the line; 0 where it had to be decoded
	part   bool // the text goes on in the next line
	stdout bool
	when   []byte
}

// carry takes a line out of what carries it.
func carry(line []byte) carried {
	line = bytes.TrimSuffix(line, []byte{'\r'})
	if len(line) == 0 {
		return carried{text: line}
	}
	switch c := line[0]; {
	case c >= '0' && c <= '9':
		if x, ok := carryCRI(line); ok {
			return x
		}
		return carrySyslog(line)
	case c == '{' && bytes.HasPrefix(line, []byte(`{"log":"`)):
		return carryDocker(line)
	case c == '{' && bytes.Contains(line, []byte(`"__REALTIME_TIMESTAMP"`)):
		return carryJournal(line)
	case c >= 'A' && c <= 'Z' && len(line) > 3 && line[1] >= 'a' && line[1] <= 'z':
		return carrySyslog(line)
	}
	return carried{text: line}
}

// carryCRI takes apart "2026-11-20T15:31:49.203222154Z stderr F text"; P in place of F
// says that the text goes on. Upstream: pkg/kubelet/kuberuntime/logs.
func carryCRI(line []byte) (carried, bool) {
	when, rest, ok := bytes.Cut(line[:min(len(line), 80)], []byte{' '})
	if !ok || len(when) < len("2006-01-02T15:04:05Z") || when[4] != '-' || when[10] != 'T' {
		return carried{}, false
	}
	const stream = len("stderr ")
	if len(rest) < stream+1 || string(rest[:stream]) != "stderr " && string(rest[:stream]) != "stdout " {
		return carried{}, false
	}
	tag, _, _ := bytes.Cut(rest[stream:], []byte{' '})
	if len(tag) == 0 || tag[0] != 'F' && tag[0] != 'P' || len(tag) > 1 && tag[1] != ':' {
		return carried{}, false
	}
	from := min(len(line), len(when)+1+stream+len(tag)+1)
	return carried{kind: cri, text: line[from:], from: from, part: tag[0] == 'P', stdout: rest[3] == 'o', when: when}, true
}

// carryDocker takes apart {"log":"text\n","stream":"stderr","time":"…"}.
func carryDocker(line []byte) carried {
	var x struct{ Log, Stream, Time string }
	if json.Unmarshal(line, &x) != nil {
		return carried{text: line}
	}
	text := []byte(x.Log)
	whole := bytes.HasSuffix(text, []byte{'\n'})
	return carried{kind: docker, text: bytes.TrimRight(text, "\r\n"), part: !whole, stdout: x.Stream == "stdout", when: []byte(x.Time)}
}

// carryJournal takes apart a line of journalctl -o json, which writes a text that is no
// UTF-8 as a list of bytes.
func carryJournal(line []byte) carried {
	var x struct {
		Message json.RawMessage `json:"MESSAGE"`
		Time    string          `json:"__REALTIME_TIMESTAMP"`
	}
	if json.Unmarshal(line, &x) != nil || len(x.Message) == 0 {
		return carried{text: line}
	}
	c := carried{kind: journal, when: []byte(x.Time)}
	var text string
	var raw []uint16
	if json.Unmarshal(x.Message, &text) == nil {
		c.text = []byte(text)
	} else if json.Unmarshal(x.Message, &raw) == nil {
		for _, b := range raw {
			c.text = append(c.text, byte(b))
		}
	}
	return c
}

// carrySyslog cuts off what journalctl -o short and syslog write before a line, as in
// "Nov 20 15:31:49 cp-1 kube-apiserver[11906]: text".
func carrySyslog(line []byte) carried {
	head := line[:min(len(line), 200)]
	end := bytes.Index(head, []byte("]: "))
	if end < 0 {
		return carried{text: line}
	}
	open := bytes.LastIndexByte(head[:end], '[')
	if open < 0 || bytes.IndexByte(head[:end], '"') >= 0 {
		return carried{text: line}
	}
	if _, err := strconv.ParseUint(string(head[open+1:end]), 10, 32); err != nil {
		return carried{text: line}
	}
	from := end + len("]: ")
	return carried{kind: syslog, text: line[from:], from: from}
}
