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

	"kubetrail/internal/trail"
)

// PrintBytes is how much of the beginning of a content tells it from others.
const PrintBytes = 4096

// beginning is what a content is known by: its first bytes, after the hole of NUL bytes
// that is left where a log was truncated and its writer went on at its old place.
type beginning struct {
	hole int64
	head []byte // at most PrintBytes
}

// readBeginning reads a beginning from b, whose buffer must hold PrintBytes, and leaves
// b behind the hole. The error is that of b, if not io.EOF, and may come with a head.
func readBeginning(b *bufio.Reader) (begins beginning, err error) {
	for {
		var head []byte
		head, err = b.Peek(PrintBytes)
		n := len(head) - len(bytes.TrimLeft(head, "\x00"))
		if n == 0 {
			begins.head = bytes.Clone(head)
			break
		}
		b.Discard(n)
		begins.hole += int64(n)
	}
	if err == io.EOF {
		err = nil
	}
	return begins, err
}

// print is the hash in [trail.Source.Print] of the first n bytes, or "" where they are
// more than are known or no more than the hole. Of a hole, the length counts.
func (b beginning) print(n int64) string {
	n -= b.hole
	if n <= 0 || n > int64(len(b.head)) {
		return ""
	}
	h := sha256.New()
	if b.hole > 0 {
		fmt.Fprintf(h, "%d NUL bytes\n", b.hole)
	}
	h.Write(b.head[:n])
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// size is how many bytes of the content are known.
func (b beginning) size() int64 { return b.hole + int64(len(b.head)) }

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
	return trail.Fault{Source: s.Name, Cluster: s.Cluster, Length: n, Reason: "NUL bytes: a hole in the file"}
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
		begins, err := readBeginning(bufio.NewReaderSize(plain, PrintBytes))
		if len(begins.head) == 0 && err != nil {
			return err
		}
		return visit(name, begins)
	}, func(Skip) {}, nil)
}
