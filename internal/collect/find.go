package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// File is one file that holds audit events.
type File struct {
	Name string // the path as it was given, cleaned; "-" for standard input
	Size int64  // bytes stored when it was found; 0 for a stream

	path   string
	info   fs.FileInfo
	format *Format // nil: audit events
	stream bool
	once   io.Reader // of a stream: it can be read only once
	count  *int64    // if not nil, counts the bytes read
}

// Stream returns a File for a stream that can be read once.
func Stream(name string, r io.Reader) File { return File{Name: name, stream: true, once: r} }

// ErrChanged says that a file is not the one any more that was found by its name:
// rotation took it away in the meantime.
var ErrChanged = errors.New("was replaced while it was being read")

// reading is an open file that ends where it ended when it was found.
type reading struct {
	io.Reader
	in    *os.File // nil for a stream
	count *int64
}

func (r *reading) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if r.count != nil {
		*r.count += int64(n)
	}
	return n, err
}

// Seek moves in a file that is no stream.
func (r *reading) Seek(offset int64, whence int) (int64, error) {
	size := r.Reader.(*io.SectionReader)
	at, err := size.Seek(offset, whence)
	if r.count != nil {
		*r.count += offset
	}
	return at, err
}

func (r *reading) Close() error {
	if r.in == nil {
		return nil
	}
	return r.in.Close()
}

// open begins to read the file.
func (f *File) open() (*reading, error) {
	if f.stream {
		if f.once == nil {
			return nil, fmt.Errorf("%s: a stream can be read only once", f.Name)
		}
		r := f.once
		f.once = nil
		return &reading{Reader: r, count: f.count}, nil
	}
	in, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	info, err := in.Stat()
	if err == nil && f.info != nil && !os.SameFile(info, f.info) {
		err = &fs.PathError{Op: "open", Path: f.Name, Err: ErrChanged}
	}
	if err != nil {
		in.Close()
		return nil, err
	}
	return &reading{Reader: io.NewSectionReader(in, 0, f.Size), in: in, count: f.count}, nil
}

// Skip is something in a directory that was not taken.
type Skip struct {
	Name    string
	Reason  string
	Refused bool // it could not be read, whatever it holds
}

// Set is what Find found.
type Set struct {
	Files []File // rotated sets in order of time, otherwise in order of name
	Skips []Skip

	spooled []string // temporary files
}

// Close removes temporary files.
func (s *Set) Close() error {
	var err error
	for _, name := range s.spooled {
		err = errors.Join(err, os.Remove(name))
	}
	s.spooled = nil
	return err
}

// FindConfig says where to look.
type FindConfig struct {
	Paths []string  // files, directories, or - for Stdin
	Stdin io.Reader // nil: there is none

	// Spool copies streams (standard input, pipes) to a temporary file, so that they
	// can be read more than once.
	Spool bool
}

// NoLogError says that what was named holds no audit events.
type NoLogError struct {
	Name   string
	Reason string
	Looked int // files that were looked at in a directory
}

func (err *NoLogError) Error() string { return err.Name + ": " + err.Reason }

// Hint returns the next step, one line.
func (err *NoLogError) Hint() string {
	if err.Looked > 0 {
		return "audit logs are known by their content, whatever their name; kube-apiserver writes where --audit-log-path says"
	}
	return "the lines of an audit log look like {\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",...}"
}

// Find returns the audit logs under the paths. A file that was named itself must
// hold events, or it is an error; in directories, which are searched with all that
// is below them, everything else is passed over and listed. No file is taken twice,
// and symbolic links that lead in circles are followed once.
func Find(ctx context.Context, cfg FindConfig) (*Set, error) {
	f := &finder{ctx: ctx, cfg: cfg, set: &Set{}, seen: map[string]bool{}}
	for _, p := range cfg.Paths {
		if err := f.named(p); err != nil {
			f.set.Close()
			return nil, err
		}
	}
	return f.set, nil
}

// finder is one call of Find.
type finder struct {
	ctx    context.Context
	cfg    FindConfig
	set    *Set
	seen   map[string]bool // real paths
	looked int             // files in the directory being searched
	denied error           // the first that could not be read there
}

// named takes one path of the command line.
func (f *finder) named(path string) error {
	if path == "-" {
		return f.stream("-", f.cfg.Stdin)
	}
	path = filepath.Clean(path)
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	switch {
	case info.IsDir():
		return f.tree(path)
	case !info.Mode().IsRegular():
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		return f.stream(path, in)
	}
	if f.again(path) {
		return nil
	}
	x := File{Name: path, Size: info.Size(), path: path, info: info}
	if _, err := x.firstEvent(f.ctx, true); err != nil {
		return err
	}
	f.set.Files = append(f.set.Files, x)
	return nil
}

// realPath is the absolute path without links.
func realPath(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		real = path
	}
	if abs, err := filepath.Abs(real); err == nil {
		real = abs
	}
	return real
}

// again notes the real place of path and reports whether it was there before.
func (f *finder) again(path string) bool {
	real := realPath(path)
	was := f.seen[real]
	f.seen[real] = true
	return was
}

func (f *finder) stream(name string, r io.Reader) error {
	if r == nil {
		return &NoLogError{Name: name, Reason: "there is no standard input"}
	}
	if !f.cfg.Spool {
		f.set.Files = append(f.set.Files, Stream(name, r))
		return nil
	}
	temp, err := os.CreateTemp("", "kubetrail-*.spool")
	if err != nil {
		return err
	}
	f.set.spooled = append(f.set.spooled, temp.Name())
	size, err := io.Copy(temp, r)
	err = errors.Join(err, temp.Close())
	if err != nil {
		return fmt.Errorf("copy %s to %s: %w", name, temp.Name(), err)
	}
	x := File{Name: name, Size: size, path: temp.Name()}
	if _, err := x.firstEvent(f.ctx, true); err != nil {
		return err
	}
	f.set.Files = append(f.set.Files, x)
	return nil
}

// tree takes every audit log under a directory.
func (f *finder) tree(root string) error {
	if f.seen[realPath(root)] {
		return nil
	}
	before := len(f.set.Files)
	f.looked, f.denied = 0, nil
	var found []candidate
	if err := f.dir(root, &found); err != nil {
		return err
	}
	for _, c := range order(found) {
		f.set.Files = append(f.set.Files, c.file)
	}
	if len(f.set.Files) > before {
		return nil
	}
	if f.denied != nil {
		return f.denied
	}
	return &NoLogError{Name: root, Looked: max(1, f.looked),
		Reason: fmt.Sprintf("no audit log in it (files looked at: %d)", f.looked)}
}

// dir searches one directory. What cannot be read below root is passed over. Links
// come after everything else, so that a file goes by its own name if it has one.
func (f *finder) dir(dir string, found *[]candidate) error {
	if f.again(dir) {
		f.skip(dir, "a link to a directory that was searched already")
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	slices.SortStableFunc(entries, func(a, b fs.DirEntry) int { return rank(a) - rank(b) })
	for _, e := range entries {
		if err := f.ctx.Err(); err != nil {
			return err
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if err != nil {
			f.refuse(path, err)
			continue
		}
		switch {
		case info.IsDir():
			if err := f.dir(path, found); f.ctx.Err() != nil {
				return err
			} else if err != nil {
				f.refuse(path, err)
			}
		case !info.Mode().IsRegular():
			f.skip(path, "neither a file nor a directory")
		case f.again(path):
			f.skip(path, "a link to a file that was found already")
		default:
			f.file(path, info, found)
		}
	}
	return nil
}

func rank(e fs.DirEntry) int {
	if e.Type()&fs.ModeSymlink != 0 {
		return 1
	}
	return 0
}

func (f *finder) file(path string, info fs.FileInfo, found *[]candidate) {
	f.looked++
	x := File{Name: path, Size: info.Size(), path: path, info: info}
	first, err := x.firstEvent(f.ctx, false)
	var no *NoLogError
	switch {
	case err == nil:
		*found = append(*found, candidate{file: x, first: first})
	case errors.As(err, &no):
		f.skip(path, no.Reason)
	default:
		f.refuse(path, err)
	}
}

func (f *finder) skip(name, reason string) {
	f.set.Skips = append(f.set.Skips, Skip{Name: name, Reason: reason})
}

// refuse passes over what the operating system would not let us read.
func (f *finder) refuse(name string, err error) {
	if f.denied == nil {
		f.denied = err
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	f.set.Skips = append(f.set.Skips, Skip{Name: name, Reason: err.Error(), Refused: true})
}
