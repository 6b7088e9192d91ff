package collect

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"runtime"
	"time"

	"github.com/klauspost/compress/zstd"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// logFile is a file of the log: one inode, whatever its name.
type logFile struct {
	path string // where it was seen last
	set  string
	turn turn
	nth  int  // in the order in which files were seen first
	here bool // path leads to it

	info fs.FileInfo // as of the last look
	grew time.Time   // when it was first seen or changed last

	in     *os.File   // nil: closed
	plain  *unpacking // of a packed one, while it is read
	begins beginning  // of what in holds; told after every read
	end    bool       // read to its end

	packed  bool     // compressed
	content *content // nil: not known yet
	foreign bool     // no audit log
}

// current reports whether the log is written under the name of c.
func (c *logFile) current() bool { return c.here && c.turn.kind == current }

// open opens the file where it is closed, if its path still leads to it.
func (c *logFile) open() error {
	if c.in != nil {
		return nil
	}
	if !c.here {
		return fs.ErrNotExist
	}
	in, err := os.Open(c.path)
	if err != nil {
		return err
	}
	info, err := in.Stat()
	if err == nil && !os.SameFile(info, c.info) {
		err = ErrChanged
	}
	if err != nil {
		in.Close()
		return err
	}
	c.in, c.info = in, info
	return nil
}

func (c *logFile) close() {
	if c.plain != nil {
		c.plain.close()
	}
	c.plain, c.begins = nil, beginning{}
	if c.in != nil {
		c.in.Close()
		c.in = nil
	}
}

// waiting is the number of bytes that were not read.
func (c *logFile) waiting() int64 {
	if !c.packed {
		if c.content == nil {
			return c.info.Size()
		}
		return max(0, c.info.Size()-c.content.source.Position)
	}
	if c.end {
		return 0
	}
	if c.in == nil {
		return c.info.Size()
	}
	at, err := c.in.Seek(0, io.SeekCurrent)
	if err != nil {
		return c.info.Size()
	}
	return max(0, c.info.Size()-at)
}

// look reads how the open file begins. Of a packed one whole tells whether there was
// no damage to it.
func (c *logFile) look() (b beginning, whole bool, err error) {
	if !c.packed {
		b, err = beginningOf(c.in)
		return b, true, err
	}
	z, err := unpack(c.in)
	if err != nil {
		return b, false, err
	}
	defer z.close()
	b, _, err = readBeginning(z, 0)
	if isDamage(err) {
		return b, false, nil
	}
	return b, err == nil, err
}

// beginningOf returns how a file begins that is open.
func beginningOf(in *os.File) (beginning, error) {
	// A hole may be larger than memory and disk. It need not be read where the file
	// system tells where the data begins.
	const seekData = 3
	var skipped int64
	if runtime.GOOS == "linux" {
		if at, err := in.Seek(0, seekData); err == nil {
			skipped = at
		}
	}
	b, _, err := readBeginning(io.NewSectionReader(in, skipped, 1<<62), skipped)
	if len(b.head) == 0 {
		return beginning{}, err // the hole may be smaller than that
	}
	if b.hole == 0 || err != nil {
		return b, err
	}
	// The file may have been truncated in the meantime and not have this hole any more.
	ends := make([]byte, 2)
	for i, at := range []int64{0, b.hole - 1} {
		if _, err := in.ReadAt(ends[i:i+1], at); err != nil || ends[i] != 0 {
			return beginning{}, errReplaced
		}
	}
	return b, nil
}

// readBefore reports whether all of a packed file was read as s. Its last bytes tell
// the length of its content, modulo 2^32, and nothing shrinks to less than 1/1032. So
// it need not be unpacked to know that, and an early copy of a log, packed, is not
// taken for all of it.
func (c *logFile) readBefore(s trail.Source) bool {
	b := make([]byte, 4)
	n, err := c.in.ReadAt(b[:2], 0)
	if gz := n == 2 && string(b[:2]) == "\x1f\x8b"; !gz || err != nil || c.info.Size() < 18 || c.info.Size() >= 1<<32/1032 {
		return s.Done
	}
	if _, err := c.in.ReadAt(b, c.info.Size()-4); err != nil {
		return s.Done
	}
	size := int64(binary.LittleEndian.Uint32(b))
	return size == s.Position || s.Done && size < s.Position
}

// same looks whether the open file still begins as it did.
func (c *logFile) same() error {
	b := c.begins
	if err := c.holds(b.head, b.hole); err != nil {
		return err
	}
	return c.holds(b.foot, b.hole+b.line-int64(len(b.foot)))
}

// holds looks whether the open file holds text at an offset.
func (c *logFile) holds(text []byte, at int64) error {
	there := make([]byte, len(text))
	if n, err := c.in.ReadAt(there, at); n < len(there) && err != nil && err != io.EOF {
		return err
	}
	if !bytes.Equal(there, text) {
		return errReplaced
	}
	return nil
}

// tail reads a plain file that grows. At its end, and where anything is wrong, which
// err tells, it gives io.EOF, so that the last line waits.
type tail struct {
	c   *logFile
	at  int64
	err error

	stop    int64 // nothing is given from there on in this round
	stopped bool  // it was asked for
}

func (t *tail) Read(b []byte) (int, error) {
	if t.err = nil; t.at >= t.stop {
		t.stopped = true
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), t.stop-t.at)]
	n, err := t.c.in.ReadAt(b, t.at)
	if err == io.EOF {
		err = nil
	}
	if err == nil {
		// What was read belongs to the content only if that was there still.
		err = t.c.same()
	}
	if t.err = err; err != nil || n == 0 {
		return 0, io.EOF
	}
	t.at += int64(n)
	return n, nil
}

// unpacking reads a compressed file. Damage to it is an [audit.Damage].
type unpacking struct {
	in     *fileErrors
	plain  io.Reader
	format string
	done   func()
}

// fileErrors remembers the error of the file itself.
type fileErrors struct {
	r   io.Reader
	err error
}

func (e *fileErrors) Read(b []byte) (int, error) {
	n, err := e.r.Read(b)
	if err != nil && err != io.EOF {
		e.err = err
	}
	return n, err
}

// unpack begins to read a compressed file.
func unpack(in *os.File) (*unpacking, error) {
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	u := &unpacking{in: &fileErrors{r: in}, format: "gzip", done: func() {}}
	b := bufio.NewReaderSize(u.in, 64<<10)
	var err error
	if magic, _ := b.Peek(2); string(magic) == "\x1f\x8b" || len(magic) < 2 {
		u.plain, err = gzip.NewReader(b)
	} else {
		u.format = "zstd"
		var z *zstd.Decoder
		if z, err = zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true)); err == nil {
			u.plain, u.done = z, z.Close
		}
	}
	if err != nil {
		err = u.wrap(err)
		u.plain = unreadable{err}
	}
	return u, nil
}

type unreadable struct{ err error }

func (f unreadable) Read([]byte) (int, error) { return 0, f.err }

func (u *unpacking) wrap(err error) error {
	switch {
	case u.in.err != nil:
		return u.in.err
	case isDamage(err):
		return err
	case err == io.EOF && u.plain == nil:
		err = io.ErrUnexpectedEOF // an empty file
	}
	return &audit.Damage{Format: u.format, Err: err}
}

func (u *unpacking) Read(b []byte) (int, error) {
	n, err := u.plain.Read(b)
	if err != nil && err != io.EOF {
		err = u.wrap(err)
	}
	return n, err
}

func (u *unpacking) close() { u.done() }

// isPacked reports whether a name is that of a compressed file.
func isPacked(name string) bool { return plainName(name) != name }
