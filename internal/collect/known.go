package collect

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"path"
	"path/filepath"
	"strings"

	"kubetrail/internal/trail"
)

// PrintBytes is how much of the beginning of a content tells it from others.
const PrintBytes = 4096

// fingerprint is the hash in [trail.Source.Print].
func fingerprint(head []byte) string {
	sum := sha256.Sum256(head)
	return hex.EncodeToString(sum[:16])
}

// known are the sources that the trail has, as far as they were read.
type known struct {
	cluster  string
	files    []File
	sources  []trail.Source
	claimed  map[int]string // source to the content of this import that it is
	archives map[string][]member
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

// find returns the source that the content is which has this name and begins with
// head, if an earlier import, or this one, has read it. See Import for the rule.
func (k *known) find(f *File, name string, head []byte) (trail.Source, bool) {
	b := base(f, name)
	begins := func(s trail.Source) bool {
		return s.PrintBytes > 0 && s.PrintBytes <= int64(len(head)) && fingerprint(head[:s.PrintBytes]) == s.Print
	}
	for i, s := range k.sources {
		if named(s.Name, b) && begins(s) {
			k.claimed[i] = name
			return s, true
		}
	}
	for i, s := range k.sources {
		if by, taken := k.claimed[i]; (!taken || by == name) && begins(s) && !k.elsewhere(s, f, b) {
			k.claimed[i] = name
			return s, true
		}
	}
	return trail.Source{}, false
}

// create returns a new source for a content.
func (k *known) create(name string, head []byte) trail.Source {
	return trail.Source{Name: name, Cluster: k.cluster, Print: fingerprint(head), PrintBytes: int64(len(head))}
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
		f.heads(func(content string, head []byte) error {
			same = int64(len(head)) >= s.PrintBytes && fingerprint(head[:s.PrintBytes]) == s.Print
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
		f.heads(func(content string, head []byte) error {
			if content == f.Name {
				return errFound
			}
			k.archives[f.Name] = append(k.archives[f.Name], member{base(f, content), fingerprint(head), int64(len(head))})
			return nil
		})
	}
}

// heads calls visit with the beginning of every content.
func (f *File) heads(visit func(name string, head []byte) error) error {
	quiet := *f
	quiet.count = nil
	return quiet.Each(func(name string, plain io.Reader) error {
		head, err := bufio.NewReaderSize(plain, PrintBytes).Peek(PrintBytes)
		if len(head) == 0 && !errors.Is(err, io.EOF) {
			return err
		}
		return visit(name, head)
	}, func(Skip) {}, nil)
}
