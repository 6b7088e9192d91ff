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
	total int
	bytes int64
	files int
	torn  int // lines that are no event
}

func readLogs(k *keeper) (*logged, error) {
	l := &logged{lines: map[line][]int64{}, keys: map[key]int{}}
	files, err := k.files()
	if err != nil {
		return nil, err
	}
	l.files = len(files)
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		in, at := bufio.NewReaderSize(f, 1<<20), int64(0)
		for {
			text, err := in.ReadBytes('\n')
			if errors.Is(err, io.EOF) && len(text) == 0 {
				break
			}
			if err != nil && !errors.Is(err, io.EOF) {
				f.Close()
				return nil, err
			}
			event := bytes.TrimSuffix(text, []byte("\n"))
			if k, ok := head(event); ok && json.Valid(event) {
				sum := sha256.Sum256(event)
				l.lines[sum] = append(l.lines[sum], at)
				l.keys[k]++
				l.total++
			} else {
				l.torn++
			}
			at += int64(len(text))
		}
		l.bytes += at
		f.Close()
	}
	return l, nil
}

// posted is what the webhook of an API server sent, and how often it must and may be in
// the trail: an answer that did not come says nothing about what became of the body.
type posted struct {
	least, most map[line]int
	acked       map[key]int
	total       int // acknowledged events, each time one was
	posts, nays int // bodies, and tries that were not answered 2xx
}

func readPosts(r *recorder) (*posted, error) {
	p := &posted{least: map[line]int{}, most: map[line]int{}, acked: map[key]int{}}
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
			if x.acked > 0 {
				k, _ := head(item)
				p.acked[k]++
				p.total += x.acked
			}
		}
		p.posts++
		p.nays += x.tried - x.acked
	}
	return p, nil
}

// stored is an event of the trail.
type stored struct {
	Seq     uint64
	Cluster string
	Server  string
	Source  string
	Offset  int64
	Is      []string
	line    line
	key     key
	size    int
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
	where, places, err := ask("-o", "jsonl", "--fields", "seq,cluster,server,source,offset,is")
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
		if s.Server == "" {
			s.Server = s.Cluster
		}
		text = bytes.TrimSuffix(text, []byte("\n"))
		s.line, s.size = sha256.Sum256(text), len(text)
		s.key, _ = head(text)
		all = append(all, s)
	}
}
