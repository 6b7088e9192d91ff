package collect

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// FollowConfig says which log to follow.
type FollowConfig struct {
	// Path is the file that kube-apiserver writes, such as /var/log/kubernetes/audit.log,
	// or the directory it lies in. It need not exist yet.
	Path    string
	Cluster string
	Server  string // the API server that writes it; may be empty

	// Format is what the log holds; nil: audit events.
	Format *Format

	// Sources are those of the trail, as far as they were read before.
	Sources []trail.Source

	OnFault func(trail.Fault) // may be nil
}

const (
	// settleTime is how long a file that was rotated away must have been quiet before
	// nobody is thought to write to it or to copy it any more.
	settleTime = 5 * time.Second

	// maxHeld bounds the files that are held open so that their end can be read though
	// they were removed, and maxRotated those among them that are not being written.
	maxHeld    = 64
	maxRotated = 48
)

// Follower follows one log through its rotations, as one stream: every event once.
//
// What a file holds is known by how it begins, as [Import] knows it, and a position
// belongs to that content, whatever file it is read from. So a log that was renamed
// is read on, also while its writer still writes there; of a log that was copied and
// then truncated, the rest is read from the copy; the same content in another file,
// a copy or a compressed one, is not read again. Files are held open until they are
// read and quiet, so that removing them costs nothing. Whether a log was truncated is
// looked at after every read and before anything of that read is used: what was read
// from one content can not be taken for another's.
//
// A last line that does not end waits, until its file was rotated away, another one
// is being written and nothing has come for some seconds. Then it is set aside.
//
// What is removed before a Pull has seen it, or while nothing follows, is lost.
type Follower struct {
	cfg   FollowConfig
	names rotation
	now   func() time.Time

	contents []*content // all that the trail knows, and what came since
	files    []*logFile // in the order in which they are read
	seen     int        // files so far
	reading  *content   // the one that has a reader
	event    audit.Event
	again    bool  // files changed while they were looked at
	err      error // the first of this Pull
	forgot   time.Time
	gone     map[*content]time.Time // since when they were in no file, at every look

	mu     sync.Mutex
	status Status
}

// Format is what a log holds.
type Format struct {
	// Decode reads it. The configuration is the one of [audit.NewReader], and so is what
	// is wanted of the Decoder.
	Decode func(io.Reader, audit.ReaderConfig) Decoder
	// Foreign tells by its first bytes why a file in the directory of the log is none;
	// "" where it may be one. It is not asked of a log that was named.
	Foreign func(head []byte) string
}

// Decoder reads events from a stream: an [audit.Reader], or one that finds events in a
// log of another kind. Next gives the next event, io.EOF at the end of what is there, an
// [audit.Fault] for what is none, or the error of the stream; e.Raw and e.Offset tell
// where it stood. A new Decoder that starts at Offset, with Line newlines before it,
// returns what this one has not returned yet.
type Decoder interface {
	Next(e *audit.Event) error
	Offset() int64
	Line() int64
}

// AuditLog is the format of what kube-apiserver writes to --audit-log-path.
func AuditLog() *Format {
	return &Format{
		Decode: func(in io.Reader, cfg audit.ReaderConfig) Decoder { return audit.NewReader(in, cfg) },
		Foreign: func(head []byte) string {
			_, reason := judge(head)
			return reason
		},
	}
}

// content is what one log file held or holds, whatever file it is in now.
type content struct {
	source trail.Source
	from   *logFile // to be read from; nil: nowhere
	reader Decoder  // of from, at source.Position
	tail   *tail    // what reader reads
	hole   int64    // that it begins with and that was not set aside yet

	half, halfOf int64 // from where to where half a line was seen that no reader holds
}

// Follow prepares to follow a log. Nothing is read before Pull.
func Follow(cfg FollowConfig) (*Follower, error) {
	if cfg.Path == "" {
		return nil, errors.New("no path of a log to follow")
	}
	cfg.Path = filepath.Clean(cfg.Path)
	f := &Follower{cfg: cfg, names: rotationNames(), now: time.Now}
	if cfg.Format == nil {
		f.cfg.Format = AuditLog()
	}
	f.status.Name, f.status.Cluster, f.status.Server = cfg.Path, cfg.Cluster, cfg.Server
	for _, s := range cfg.Sources {
		// A source of which nothing was read may have been known by half a line.
		if s.Cluster == cfg.Cluster && s.Server == cfg.Server && s.Position > 0 && s.PrintBytes > 0 {
			f.contents = append(f.contents, &content{source: s})
		}
	}
	f.cfg.Sources = nil
	return f, nil
}

// round is one call of Pull.
type round struct {
	ctx         context.Context
	w           Appender
	limit, read int64 // bytes
	events      uint64
	faults      uint64
}

func (p *round) over() bool { return p.limit > 0 && p.read >= p.limit || p.ctx.Err() != nil }

// Pull appends what was written since the last call, from all files of the log, the
// oldest first. See [Feed].
func (f *Follower) Pull(ctx context.Context, w Appender, limit int64) (bool, error) {
	p := &round{ctx: ctx, w: w, limit: limit}
	f.err, f.again = nil, false
	f.fail(f.scan())
	f.identify()
	f.choose()
	var broken error // of the trail
	for _, c := range slices.Clone(f.files) {
		s := c.content
		if p.over() || broken != nil {
			break
		}
		if s == nil || s.from != c {
			continue
		}
		broken = f.read(p, s)
	}
	more := p.over() || f.again
	if !more && broken == nil {
		broken = f.settle(p)
	}
	more = more || f.again
	if !more && broken == nil && f.err == nil {
		f.forgetGone(p.w)
	}
	f.fail(broken)
	f.fail(ctx.Err())
	f.note(p)
	return more && ctx.Err() == nil, f.err
}

// fail keeps the first error of a Pull.
func (f *Follower) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

// note brings the status up to date.
func (f *Follower) note(p *round) {
	var waiting int64
	for _, c := range f.files {
		if c.content == nil && !c.foreign && !c.packed || c.content != nil && c.content.from == c {
			waiting += c.waiting()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Events += p.events
	f.status.Faults += p.faults
	f.status.Bytes += p.read
	f.status.Waiting = waiting
	f.status.Err = f.err
	if p.read > 0 {
		f.status.LastRead = f.now()
	}
}

// Committed does nothing: the trail keeps the positions.
func (f *Follower) Committed() {}

// Status tells how far the log was read. Of a compressed file that was not read yet,
// the compressed bytes are waiting.
func (f *Follower) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// Close closes all files.
func (f *Follower) Close() error {
	for _, c := range f.files {
		c.close()
	}
	f.files = nil
	return nil
}

// Watched lists the directories whose changes mean that there may be something to
// pull: the one of the log or, as long as that does not exist, the nearest above it.
// It is asked again after a Pull, for the answer may change.
func (f *Follower) Watched() []string {
	dir := f.cfg.Path
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	dirs := []string{dir}
	if real, err := filepath.EvalSymlinks(f.cfg.Path); err == nil {
		if info, err := os.Stat(real); err == nil && !info.IsDir() {
			real = filepath.Dir(real)
		}
		if !slices.Contains(dirs, real) && realPath(dir) != real {
			dirs = append(dirs, real)
		}
	}
	return dirs
}

// errReplaced says that a file holds another content than before.
var errReplaced = errors.New("holds another content now")

// passing reports whether an error comes from rotation going on: the next Pull will
// see how it ended.
func passing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errReplaced) || errors.Is(err, ErrChanged)
}
