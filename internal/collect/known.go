package collect

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// PrintBytes is how much of the beginning of a content tells it from others.
const PrintBytes = 4096

// beginning is what a content is known by: its first bytes, after the hole of NUL bytes
// that is left where a log was truncated and its writer went on at its old place.
//
// Where the first line is longer than that, all of it counts. The time of an event
// comes late in it, and what comes before, the audit ID and the body, is what a client
// chose: it could make all files begin alike.
type beginning struct {
	hole int64
	head []byte // at most PrintBytes
	line int64  // length of the first line
	over bool   // the first line is
	hash string // of the first line
	foot []byte // the last bytes of the first line, where it is longer than head
}

const (
	shortLine = 200 // a line shorter than this is no event, and does not tell a content
	footBytes = 512 // the times of an event are in its last bytes
)

// readBeginning reads a beginning from r, before which so many bytes of the hole were
// passed already. What comes behind the hole is given by rest. The error is that of r,
// if not io.EOF, and may come with a head.
func readBeginning(r io.Reader, passed int64) (b beginning, rest io.Reader, err error) {
	b.hole = passed
	in := bufio.NewReaderSize(r, PrintBytes)
	rest = in
	for {
		var head []byte
		head, err = in.Peek(PrintBytes)
		n := len(head) - len(bytes.TrimLeft(head, "\x00"))
		if n == 0 {
			b.head = bytes.Clone(head)
			break
		}
		in.Discard(n)
		b.hole += int64(n)
	}
	line := b.head
	if n := bytes.IndexByte(line[min(shortLine, len(line)):], '\n'); n >= 0 {
		line, b.over = line[:shortLine+n+1], true
	} else if err == nil {
		if line, b.over, err = readLine(in); b.over {
			b.foot = bytes.Clone(line[max(0, len(line)-footBytes):])
		}
		rest = io.MultiReader(bytes.NewReader(line), in)
	}
	b.line, b.hash = int64(len(line)), b.sum(line)
	if err == io.EOF {
		err = nil
	}
	return b, rest, err
}

// readLine reads the first line, and further if that is short. A line that is as long
// as a reader takes is over.
func readLine(in *bufio.Reader) (line []byte, over bool, err error) {
	for !over {
		var more []byte
		more, err = in.ReadSlice('\n')
		line = append(line, more...)
		if err != nil && err != bufio.ErrBufferFull {
			return line, false, err
		}
		over = err == nil && len(line) > shortLine || len(line) >= audit.DefaultMaxLine
	}
	return line, over, nil
}

// sum is the hash in [trail.Source.Print]. Of a hole, the length counts.
func (b beginning) sum(text []byte) string {
	h := sha256.New()
	if b.hole > 0 {
		fmt.Fprintf(h, "%d NUL bytes\n", b.hole)
	}
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// print is the hash of the first n bytes, or "" where they are not known, or are a part
// of the first line, which would tell too little. Of a line that is longer than a
// beginning the beginning counts too: earlier imports knew no better.
func (b beginning) print(n int64) string {
	n -= b.hole
	switch {
	case n > 0 && n == b.line:
		return b.hash
	case n > 0 && n <= int64(len(b.head)) && (n > b.line || n == PrintBytes):
		return b.sum(b.head[:n])
	case !b.over && n == b.line+1 && b.line == int64(len(b.head)):
		return b.sum(append(bytes.Clone(b.head), '\n')) // a copy that lacks the newline alone
	}
	return ""
}

// size is how many bytes are known.
func (b beginning) size() int64 { return b.hole + max(b.line, int64(len(b.head))) }

// of reports whether s begins so.
func (b beginning) of(s trail.Source) bool { return s.Print != "" && b.print(s.PrintBytes) == s.Print }

// known are the sources that the trail has, as far as they were read.
type known struct {
	cluster  string
	files    []File
	sources  []trail.Source
	claimed  map[int]string // source to the content of this import that it is
	archives map[string][]member
}

// holeIn tells of the hole of n bytes that s begins with, as the reader would.
func holeIn(s trail.Source, n int64) trail.Fault {
	return trail.Fault{Source: s.Name, Cluster: s.Cluster, Server: s.Server, Length: n, Reason: "NUL bytes: a hole in the file"}
}

// member is a content of an archive.
type member struct {
	base  string
	print string
	bytes int64 // that print is the hash of
}

func newKnown(sources []trail.Source, cfg ImportConfig) *known {
	k := &known{cluster: cfg.Cluster, files: cfg.Files, claimed: map[int]string{}}
	for _, s := range sources {
		if s.Cluster == cfg.Cluster {
			k.sources = append(k.sources, s)
		}
	}
	return k
}

// base is the name that a content is known again by: the last element of the path
// of a file, or the path inside an archive.
func base(f *File, name string) string {
	if inside, ok := strings.CutPrefix(name, f.Name+"/"); ok {
		return plainName(path.Clean(inside))
	}
	return plainName(filepath.Base(name))
}

// named reports whether the recorded name of a source ends with base.
func named(source, base string) bool {
	source = plainName(filepath.ToSlash(source))
	return source == base || strings.HasSuffix(source, "/"+base)
}

// find returns the source that the content is which has this name and begins so, if
// an earlier import, or this one, has read it. See Import for the rule.
func (k *known) find(f *File, name string, begins beginning) (trail.Source, bool) {
	b := base(f, name)
	for i, s := range k.sources {
		if named(s.Name, b) && begins.of(s) {
			k.claimed[i] = name
			return s, true
		}
	}
	for i, s := range k.sources {
		if by, taken := k.claimed[i]; (!taken || by == name) && begins.of(s) && !k.elsewhere(s, f, b) {
			k.claimed[i] = name
			return s, true
		}
	}
	return trail.Source{}, false
}

// create returns a new source for a content.
func (k *known) create(name string, begins beginning) trail.Source {
	return trail.Source{Name: name, Cluster: k.cluster, Position: begins.hole,
		Print: begins.print(begins.size()), PrintBytes: begins.size()}
}

// keep notes how far a source was read.
func (k *known) keep(s trail.Source) {
	for i := range k.sources {
		if o := &k.sources[i]; o.Name == s.Name && o.Print == s.Print {
			*o = s
			return
		}
	}
	k.claimed[len(k.sources)] = s.Name
	k.sources = append(k.sources, s)
}

// elsewhere reports whether a content of this import other than b in but has the
// name and the beginning of s. What cannot be read is none: reading it will tell.
func (k *known) elsewhere(s trail.Source, but *File, b string) bool {
	if k.archives == nil {
		k.indexArchives()
	}
	for i := range k.files {
		f := &k.files[i]
		for _, m := range k.archives[f.Name] {
			if own := f.Name == but.Name && m.base == b; !own && named(s.Name, m.base) && m.bytes == s.PrintBytes && m.print == s.Print {
				return true
			}
		}
		if f.stream || f.Name == but.Name || !named(s.Name, base(f, f.Name)) {
			continue
		}
		same := false
		f.heads(func(content string, begins beginning) error {
			same = begins.of(s)
			return errFound
		})
		if same {
			return true
		}
	}
	return false
}

// indexArchives lists the contents of the archives among the files.
func (k *known) indexArchives() {
	k.archives = map[string][]member{}
	for i := range k.files {
		f := &k.files[i]
		if f.stream {
			continue
		}
		f.heads(func(content string, begins beginning) error {
			if content == f.Name {
				return errFound
			}
			k.archives[f.Name] = append(k.archives[f.Name], member{base(f, content), begins.print(begins.size()), begins.size()})
			return nil
		})
	}
}

// heads calls visit with the beginning of every content.
func (f *File) heads(visit func(name string, begins beginning) error) error {
	quiet := *f
	quiet.count = nil
	return quiet.Each(func(name string, plain io.Reader) error {
		begins, _, err := readBeginning(plain, 0)
		if len(begins.head) == 0 && err != nil {
			return err
		}
		return visit(name, begins)
	}, func(Skip) {}, nil)
}
