package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"kubetrail/bench/generate"
)

const realEvents = "../shared/corpus/d-metadata-all.tar.zst"

// kindOfEvents is what eventsToWrite returns.
func kindOfEvents() string {
	if _, err := os.Stat(realEvents); err != nil {
		return "Generated Metadata events"
	}
	return "Real Metadata events (corpus d again and again, each time with other audit IDs and later)"
}

// eventsToWrite returns what makes one line after the other, without a newline, all
// different: real events where the corpora are there, else generated ones. seed makes
// one run of it differ from another.
func eventsToWrite(events int64, seed uint64) (func() []byte, error) {
	dir, err := os.MkdirTemp("", "kubetrail-bench-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "d.log")
	err = extract(realEvents, "audit.log", file)
	if errors.Is(err, fs.ErrNotExist) {
		g, err := generate.New(generate.Config{Events: events, Seed: seed, Metadata: true})
		if err != nil {
			return nil, err
		}
		return g.Next, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := &replay{lines: bytes.Split(bytes.TrimSuffix(data, []byte{'\n'}), []byte{'\n'}), seed: seed}
	return r.next, nil
}

// replay plays a log again and again, as if it had gone on.
type replay struct {
	lines [][]byte
	seed  uint64
	n     int
	line  []byte
}

func (r *replay) next() []byte {
	round := r.n / len(r.lines)
	r.line = append(r.line[:0], r.lines[r.n%len(r.lines)]...)
	r.n++
	if at := bytes.Index(r.line, []byte(`"auditID":"`)); at >= 0 {
		id := r.line[at+len(`"auditID":"`):]
		if len(id) > 36 && id[36] == '"' {
			copy(id, fmt.Sprintf("%08x-%04x", uint32(r.n), uint16(r.seed)))
		}
	}
	for _, name := range []string{`"requestReceivedTimestamp":"`, `"stageTimestamp":"`} {
		const layout = "2006-01-02T15:04:05.000000Z"
		at := bytes.LastIndex(r.line, []byte(name))
		if at < 0 {
			continue
		}
		stamp := r.line[at+len(name):][:len(layout)]
		if t, err := time.Parse(layout, string(stamp)); err == nil {
			copy(stamp, t.Add(time.Duration(round)*10*time.Minute).Format(layout))
		}
	}
	return r.line
}
