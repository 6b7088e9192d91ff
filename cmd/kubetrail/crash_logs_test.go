package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/sample"
)

// A logDir is a directory of audit logs, written and rotated as kube-apiserver does,
// that remembers everything ever written to it.
type logDir struct {
	dir    string
	rnd    *rand.Rand
	real   [][]byte // lines to make others of
	made   int
	files  []*logFile // oldest first; the last one grows
	places map[string]place
	turns  int
}

// logFile is one content, whatever its name is now.
type logFile struct {
	path    string // "" once it is deleted
	content []byte // all that was written
	starts  []int  // of whole lines; one more at the end of the last
	half    []byte // what is missing of a line that was begun
	read    int    // lines committed to the trail when it was looked at last
}

// place is where a line was written.
type place struct {
	file *logFile
	line int
}

func (f *logFile) lines() int { return len(f.starts) - 1 }

// line returns a line without its newline.
func (f *logFile) line(i int) []byte { return f.content[f.starts[i] : f.starts[i+1]-1] }

// newLogDir writes three rotated files, one of them compressed, and one that grows.
func newLogDir(t *testing.T, rnd *rand.Rand) *logDir {
	l := &logDir{dir: t.TempDir(), rnd: rnd, places: map[string]place{}}
	err := audit.Unpack(sample.Log(), "sample", func(_ string, r io.Reader) error {
		text, err := io.ReadAll(r)
		for line := range bytes.Lines(text) {
			at := bytes.Index(line, []byte(auditID)) + len(auditID) + 36
			if at < len(line) && len(line) < 8<<10 && line[at] == '"' {
				l.real = append(l.real, bytes.TrimSuffix(line, []byte("\n")))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	l.begin(t)
	for range 3 {
		l.append(t, 100, false)
		l.rotate(t)
	}
	l.compress(t)
	l.append(t, 100, false)
	return l
}

const auditID = `"auditID":"`

// next makes a line that was never made before: a real one with another auditID. A
// few of them are not written as kube-apiserver would.
func (l *logDir) next() (id string, line []byte) {
	l.made++
	id = fmt.Sprintf("%08x-0000-4000-8000-%012x", l.made*7919, l.made)
	line = bytes.Clone(l.real[l.made%len(l.real)])
	copy(line[bytes.Index(line, []byte(auditID))+len(auditID):], id)
	if l.made%40 == 0 {
		line = append([]byte("{ "), line[1:]...)
	}
	return id, line
}

func (l *logDir) begin(t *testing.T) {
	f := &logFile{path: filepath.Join(l.dir, "audit.log"), starts: []int{0}}
	l.files = append(l.files, f)
	l.append(t, 1+l.rnd.IntN(3), false)
}

func (l *logDir) growing() *logFile { return l.files[len(l.files)-1] }

// append adds n lines to the growing file and, if half, a piece of one more.
func (l *logDir) append(t *testing.T, n int, half bool) {
	t.Helper()
	f := l.growing()
	before := len(f.content)
	if f.half != nil {
		f.end(f.half)
		f.half = nil
	}
	for range n {
		id, line := l.next()
		l.places[id] = place{f, f.lines()}
		f.end(line)
	}
	if half {
		id, line := l.next()
		l.places[id] = place{f, f.lines()}
		cut := 1 + l.rnd.IntN(len(line)-1)
		f.content = append(f.content, line[:cut]...)
		f.half = line[cut:]
	}
	out, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = out.Write(f.content[before:])
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (f *logFile) end(line []byte) {
	f.content = append(append(f.content, line...), '\n')
	f.starts = append(f.starts, len(f.content))
}

// rotate renames the growing file, as the library in kube-apiserver does, and begins
// another.
func (l *logDir) rotate(t *testing.T) {
	t.Helper()
	if l.growing().half != nil {
		l.append(t, 0, false)
	}
	l.turns++
	f := l.growing()
	f.rename(t, filepath.Join(l.dir, fmt.Sprintf("audit-2026-11-20T15-%02d-%02d.000.log", l.turns/60, l.turns%60)))
	l.begin(t)
}

func (f *logFile) rename(t *testing.T, to string) {
	t.Helper()
	if err := os.Rename(f.path, to); err != nil {
		t.Fatal(err)
	}
	f.path = to
}

// compress turns the oldest rotated file that is not compressed into gzip.
func (l *logDir) compress(t *testing.T) {
	t.Helper()
	for _, f := range l.files[:len(l.files)-1] {
		if filepath.Ext(f.path) != ".log" {
			continue
		}
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(f.content) // to memory
		z.Close()
		if err := os.WriteFile(f.path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		f.rename(t, f.path+".gz")
		return
	}
}

// prune deletes the oldest files that are in the trail, all but a few.
func (l *logDir) prune(t *testing.T) {
	t.Helper()
	for _, f := range l.files[:max(0, len(l.files)-5)] {
		if f.path == "" || f.read < f.lines() {
			continue
		}
		if err := os.Remove(f.path); err != nil {
			t.Fatal(err)
		}
		f.path = ""
	}
}

// live lets time pass: lines come, and now and then rotation does its work.
func (l *logDir) live(t *testing.T, halves bool) {
	t.Helper()
	l.append(t, 30+l.rnd.IntN(70), halves && l.rnd.IntN(3) == 0)
	if l.rnd.IntN(4) == 0 {
		l.rotate(t)
	}
	if l.rnd.IntN(6) == 0 {
		l.compress(t)
	}
	l.prune(t)
}

// total is how many whole lines were ever written.
func (l *logDir) total() (n int) {
	for _, f := range l.files {
		n += f.lines()
	}
	return n
}
