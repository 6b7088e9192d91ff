package audit

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Limits of what Unpack takes.
const (
	maxLayers = 8         // of compression and archives around a file: four of each
	maxWindow = 128 << 20 // of a zstd frame, the memory that it needs; what zstd --ultra -27 makes
)

// Unpack calls visit for each file in r: one, if r is a plain file or one compressed
// by gzip or zstd; one for each regular member, if it is a tar archive, compressed or
// not; and so on for members that are compressed or archives themselves. What a file
// is is told by its first bytes. The member given to visit is name, followed for
// files in an archive by a slash and the path there, as if it had been unpacked.
//
// Nothing is held in memory but a window of each layer, however large the content.
// visit need not read all of it. Where the content is damaged, plain gives all that
// comes before and then a [*Damage], as [NewReader] expects. An error of visit, or of
// r itself, ends Unpack and is returned. Damage to an archive between its members is
// returned too, after all members before it were visited.
func Unpack(r io.Reader, name string, visit func(member string, plain io.Reader) error) error {
	from := &source{r: r}
	return from.unpack(from, name, visit, maxLayers)
}

// unpack visits the files in r, which may be in that many layers more.
func (s *source) unpack(r io.Reader, name string, visit func(string, io.Reader) error, layers int) error {
	b := bufio.NewReaderSize(r, 64<<10)
	head, _ := b.Peek(tarBlock) // an error comes again when the rest is read
	format := archiveFormat(head)
	if format == "" {
		return visit(name, b)
	}
	if layers == 0 {
		err := fmt.Errorf("more than %d archives or compressed files inside each other", maxLayers)
		return visit(name, &layer{err: s.wrap(format, err)})
	}
	switch format {
	case "gzip":
		z, err := gzip.NewReader(b)
		if err != nil {
			return visit(name, &layer{err: s.wrap(format, err)})
		}
		return s.unpack(&layer{r: z, from: s, format: format}, name, visit, layers-1)
	case "zstd":
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return visit(name, &layer{err: s.wrap(format, err)})
		}
		defer z.Close()
		return s.unpack(&layer{r: z, from: s, format: format}, name, visit, layers-1)
	}
	return s.unpackTar(b, name, visit, layers-1)
}

// unpackTar visits the members of an archive.
func (s *source) unpackTar(r io.Reader, name string, visit func(string, io.Reader) error, layers int) error {
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return s.wrap("tar", err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if err := s.unpack(&layer{r: archive, from: s, format: "tar"}, name+"/"+header.Name, visit, layers); err != nil {
			return err
		}
	}
}

// source remembers the error of the reader that everything is unpacked from.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// layer reads the content of a compressed file or of a member, and makes Damage of
// the errors of its format.
type layer struct {
	r      io.Reader
	from   *source
	format string
	err    error // that r gave
}

func (l *layer) Read(p []byte) (int, error) {
	if l.err == nil {
		n, err := l.r.Read(p)
		if err != nil {
			l.err = l.from.wrap(l.format, err)
		}
		if n > 0 || err == nil {
			return n, nil
		}
	}
	if l.format == "zstd" && l.err != io.EOF {
		// The decoder reports that a checksum is wrong or missing before it gives
		// out the last block, which it has.
		if n, _ := l.r.Read(p); n > 0 {
			return n, nil
		}
	}
	return 0, l.err
}

// wrap returns the error of a layer as Damage, unless it is the end, or the source's
// own, or Damage of a layer further out.
func (s *source) wrap(format string, err error) error {
	var damage *Damage
	switch {
	case err == io.EOF || errors.As(err, &damage):
		return err
	case s.err != nil:
		return s.err
	}
	return &Damage{Format: format, Err: err}
}

const tarBlock = 512

// archiveFormat names what the head of a file tells of its format: "gzip", "zstd",
// "tar" or, for anything else, "".
func archiveFormat(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b\x08")):
		return "gzip"
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")), skippableFrame(head):
		return "zstd"
	case len(head) >= tarBlock && tarChecksum(head):
		return "tar"
	}
	return ""
}

// skippableFrame reports whether head begins with a frame of zstd that holds no
// data, as pzstd and seekable files begin.
func skippableFrame(head []byte) bool {
	return len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte("\x2a\x4d\x18"))
}

// tarChecksum reports whether the checksum of a tar header is right: the sum of its
// bytes, with blanks in the place of the checksum, as an octal number. It tells an
// archive of any kind of tar.
func tarChecksum(block []byte) bool {
	sum, want := 0, 0
	for i, c := range block[:tarBlock] {
		if 148 <= i && i < 156 {
			if c-'0' < 8 {
				want = want*8 + int(c-'0')
			}
			c = ' '
		}
		sum += int(c)
	}
	return sum == want && block[0] != 0
}
