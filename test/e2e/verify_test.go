package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// key is what tells events apart without looking at their bytes, but not always: a
// client chooses the audit ID.
type key struct{ id, stage string }

// line is an event, by its bytes.
type line [sha256.Size]byte

// head reads the audit ID and the stage, which stand at the beginning of an event. It
// reports false where the text does not begin as one.
func head(text []byte) (k key, ok bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return k, false
	}
	for range 8 {
		name, err := d.Token()
		if err != nil {
			return k, false
		}
		var value string
		if err := d.Decode(&value); err != nil {
			return k, false
		}
		switch name {
		case "auditID":
			k.id = value
		case "stage":
			k.stage = value
			return k, k.id != ""
		}
	}
	return k, false
}

// logged is what an API server wrote into its log.
type logged struct {
	lines map[line][]int64 // offsets in its file, one for each time it was written
	keys  map[key]int
	times map[line]time.Time // of the lines in files that were removed unread
	gone  map[line]key       // likewise
	total int                // without those
	bytes int64
	files int
	torn  int // lines that are no event
}

func readLogs(k *keeper) (*logged, error) {
	l := &logged{lines: map[line][]int64{}, keys: map[key]int{}, times: map[line]time.Time{}, gone: map[line]key{}}
	files, err := k.files()
	if err != nil {
		return nil, err
	}
	l.files = len(files)
	for _, name := range files {
		if err := l.read(name, k.removed[name]); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *logged) read(name string, removed bool) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	in, at := bufio.NewReaderSize(f, 1<<20), int64(0)
	for {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(text) == 0 {
			l.bytes += at
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err := l.note(bytes.TrimSuffix(text, []byte("\n")), at, removed); err != nil {
			return err
		}
		at += int64(len(text))
	}
}

func (l *logged) note(event []byte, at int64, removed bool) error {
	k, ok := head(event)
	if !ok || !json.Valid(event) {
		l.torn++
		return nil
	}
	sum := sha256.Sum256(event)
	l.lines[sum] = append(l.lines[sum], at)
	l.keys[k]++
	if !removed {
		l.total++
		return nil
	}
	var e struct{ StageTimestamp time.Time }
	err := json.Unmarshal(event, &e)
	l.times[sum], l.gone[sum] = e.StageTimestamp, k
	return err
}

// posted is what the webhook of an API server sent, and how often it must and may be in
// the trail: an answer that did not come says nothing about what became of the body.
type posted struct {
	least, most map[line]int
	bodies      map[line]int // that hold it, each counted once
	acked       map[key]int
	total       int // acknowledged events, each time one was
	posts, nays int // bodies, and tries that were not answered 2xx
	unheard     int // answers that were lost on the way
}

func readPosts(r *recorder) (*posted, error) {
	p := &posted{least: map[line]int{}, most: map[line]int{}, bodies: map[line]int{}, acked: map[key]int{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.order {
		text, err := os.ReadFile(x.file)
		if err != nil {
			return nil, err
		}
		var list struct{ Items []json.RawMessage }
		if err := json.Unmarshal(text, &list); err != nil {
			return nil, fmt.Errorf("%s: %w", x.file, err)
		}
		for _, item := range list.Items {
			sum := sha256.Sum256(item)
			p.least[sum] += x.acked
			p.most[sum] += x.tried
			p.bodies[sum]++
			if x.acked > 0 {
				k, _ := head(item)
				p.acked[k]++
				p.total += x.acked
			}
		}
		p.posts++
		p.nays += x.tried - x.acked
	}
	p.unheard = r.unheard
	return p, nil
}

// stored is an event of the trail.
type stored struct {
	Seq            uint64
	Cluster        string
	Server         string
	Source         string
	Offset         int64
	Is             []string
	AuditID, Stage string
	line           line
	key            key
	size           int
}

// kind is what the event came by.
func (s *stored) kind() string {
	switch {
	case strings.Contains(strings.Join(s.Is, " "), "recovered"):
		return "recovered"
	case strings.HasPrefix(s.Source, "webhook/"):
		return "webhook"
	}
	return "log"
}

// readTrail asks kubetrail for everything, as people would: once for the lines, once
// for where each came from. Both answers have one order.
func (r *rig) readTrail() (all []stored, err error) {
	ask := func(output ...string) (*exec.Cmd, *bufio.Reader, error) {
		cmd := exec.Command(r.kubetrail, append([]string{"search", "--data", r.data, "--oldest", "--limit", "0"}, output...)...)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, nil, err
		}
		return cmd, bufio.NewReaderSize(out, 1<<20), cmd.Start()
	}
	raw, lines, err := ask("-o", "raw")
	if err != nil {
		return nil, err
	}
	where, places, err := ask("-o", "jsonl", "--fields", "seq,server,source,offset,is,auditID,stage")
	if err != nil {
		return nil, err
	}
	for {
		text, errLine := lines.ReadBytes('\n')
		place, errPlace := places.ReadBytes('\n')
		if errors.Is(errLine, io.EOF) && errors.Is(errPlace, io.EOF) {
			return all, errors.Join(raw.Wait(), where.Wait())
		}
		if err := errors.Join(errLine, errPlace); err != nil {
			return nil, fmt.Errorf("after %d events: %w", len(all), err)
		}
		var s stored
		if err := json.Unmarshal(place, &s); err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		text = bytes.TrimSuffix(text, []byte("\n"))
		s.line, s.size = sha256.Sum256(text), len(text)
		s.key = key{s.AuditID, s.Stage} // as kubetrail understood it
		all = append(all, s)
	}
}

// gaps asks kubetrail for the times in which it did not observe an API server.
func (r *rig) gaps() (all []gap, err error) {
	out, err := exec.Command(r.kubetrail, "gaps", "--data", r.data, "-o", "jsonl").Output()
	if err != nil {
		return nil, fmt.Errorf("gaps: %w", err)
	}
	for text := range bytes.Lines(out) {
		var g gap
		if err := json.Unmarshal(text, &g); err != nil {
			return nil, fmt.Errorf("gaps: %w: %s", err, text)
		}
		all = append(all, g)
	}
	return all, nil
}
