package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/destination"
	"kubetrail/internal/trail"
)

// Appender is the writing end of a trail. What it does is said at disk.Writer, the
// trail on disk; the other implementation is the model that the crash tests compare
// it with. It is used from one goroutine. Append copies what it keeps of the event.
// Events and the positions given to Advance before the same Seal or Commit become
// durable together or not at all.
type Appender interface {
	Append(e *audit.Event)
	SetAside(f trail.Fault)
	Advance(s trail.Source)
	Full() bool
	Seal() error
	Commit(ctx context.Context) error
}

// ImportConfig says what Import reads.
type ImportConfig struct {
	Files   []File // in this order
	Cluster string // the cluster that the events were observed in; may be empty

	// These may be nil. They are called from the goroutine of Import.
	OnFault  func(trail.Fault)
	OnSkip   func(Skip) // a member of an archive that is no audit log
	Progress func(Progress)
}

// Progress is how far an import is.
type Progress struct {
	Name         string // what is being read
	Bytes, Total int64  // stored bytes of all files: read, and in all
	Events       uint64 // appended
}

// Report is what an import did.
type Report struct {
	Events  uint64 // appended
	Faults  uint64 // met; those that an earlier import had set aside are not among them
	Sources int    // contents that held something new
	Known   int    // contents that had been read to their end before
	Bytes   int64  // of plain content, read for the first time
}

// Import appends every event in the files to w, in order, and sets aside what is no
// event. It commits when it ends, also when ctx ends it; what is committed is not
// read again by a later import, which goes on at that place.
//
// A content is the same source as an earlier one of the same cluster if it begins
// with the same bytes (the first 4,096, or as many as there were, or the first line
// where that is longer) and has the same
// name, not counting directories and what compression appended. It is also the same
// if its name differs but no content of this import has both that name and that
// beginning: then rotation has renamed it. So importing a file twice adds nothing,
// and two files with the same content side by side are two sources.
//
// The last line of a source that does not end and is no event is set aside, but the
// position stays before it: it may be the half of a line that is being written.
//
// sources are those of the trail as it is, however far they were read.
func Import(ctx context.Context, w Appender, sources []trail.Source, cfg ImportConfig) (Report, error) {
	m := &importer{ctx: ctx, w: w, cfg: cfg, known: newKnown(sources, cfg), fresh: map[string]bool{}}
	for _, f := range cfg.Files {
		m.progress.Total += f.Size
	}
	err := m.files()
	if _, broken := errors.AsType[*writeError](err); broken {
		return m.report, err
	}
	// What was read before ctx ended or a file could not be read is kept.
	if commitErr := w.Commit(context.WithoutCancel(ctx)); commitErr != nil {
		return m.report, &writeError{commitErr}
	}
	return m.report, err
}

// writeError is an error of the trail: nothing more can be written.
type writeError struct{ error }

func (err *writeError) Unwrap() error { return err.error }

// importer is one call of Import.
type importer struct {
	ctx      context.Context
	w        Appender
	cfg      ImportConfig
	known    *known
	fresh    map[string]bool // contents that are new whatever they look like
	report   Report
	progress Progress
	told     time.Time // when Progress was called
	going    destination.Known
	event    audit.Event
}

func (m *importer) files() error {
	for i := range m.cfg.Files {
		f := &m.cfg.Files[i]
		before := m.progress.Bytes
		if err := m.file(f); err != nil {
			return err
		}
		m.progress.Bytes = before + f.Size
	}
	m.tell(true)
	return nil
}

// file reads one file. One that rotation took away in the meantime is passed over:
// a later import finds it under its new name.
func (m *importer) file(f *File) error {
	f.count = &m.progress.Bytes
	done, err := m.seek(f)
	if err == nil && !done {
		err = m.contents(f, func(string) bool { return true })
	}
	if errors.Is(err, ErrChanged) || errors.Is(err, fs.ErrNotExist) {
		m.skip(Skip{Name: f.Name, Reason: ErrChanged.Error(), Refused: true})
		return nil
	}
	return err
}

// seek goes on with a plain file where an earlier import stopped, without reading
// what comes before. It reports false where the file is another kind of case.
func (m *importer) seek(f *File) (bool, error) {
	if f.once != nil {
		return false, nil
	}
	in, err := f.open()
	if err != nil {
		return false, err
	}
	defer in.Close()
	begins, _, err := readBeginning(in, 0)
	if err != nil {
		return false, err
	}
	s, again := m.known.find(f, f.Name, begins)
	if !again {
		return false, nil
	}
	if f.Size < s.Position {
		m.fresh[f.Name] = true
		return false, nil
	}
	if _, err := in.Seek(s.Position, io.SeekStart); err != nil {
		return false, err
	}
	return true, m.source(f, f.Name, s, true, in)
}

// contents reads the contents of a file whose names are wanted.
func (m *importer) contents(f *File, wanted func(name string) bool) error {
	visit := func(name string, plain io.Reader) error {
		if !wanted(name) {
			return nil
		}
		return m.content(f, name, plain)
	}
	return f.Each(visit, m.skip, func(d *audit.Damage) {
		m.fault(f.Name, trail.Fault{Source: f.Name, Cluster: m.cfg.Cluster, Reason: d.Error()}, false)
	})
}

func (m *importer) skip(s Skip) {
	if m.cfg.OnSkip != nil {
		m.cfg.OnSkip(s)
	}
}

// content reads one source from where it was left.
func (m *importer) content(f *File, name string, plain io.Reader) error {
	begins, rest, err := readBeginning(plain, 0)
	if err != nil && !isDamage(err) {
		return err
	}
	if begins.size() == 0 && err == nil {
		return nil
	}
	if f.stream {
		_, reason := judge(begins.head)
		f.format = detect(begins.head, name, true, reason == "")
	}
	if !m.fresh[name] {
		if s, again := m.known.find(f, name, begins); again {
			skip := max(0, s.Position-begins.hole)
			n, err := io.CopyN(io.Discard, rest, skip)
			switch {
			case n == skip:
				return m.source(f, name, s, true, rest)
			case err != io.EOF && !isDamage(err):
				return err
			case f.stream:
				m.report.Known++ // a part of what is there already
				return nil
			}
			m.fresh[name] = true // shorter than what was read before: another content
			return m.contents(f, func(n string) bool { return n == name })
		}
	}
	s := m.known.create(name, begins)
	if begins.hole > 0 {
		m.fault(name, holeIn(s, begins.hole), false)
	}
	return m.source(f, name, s, false, rest)
}

func isDamage(err error) bool {
	_, ok := errors.AsType[*audit.Damage](err)
	return ok
}

// source reads what comes at s.Position and after it and appends it. The content goes
// by name now, which may be another one than s was recorded under.
func (m *importer) source(f *File, name string, s trail.Source, again bool, plain io.Reader) error {
	in := &lastByte{r: plain, last: '\n'}
	r := f.Decode(in, audit.ReaderConfig{
		StartOffset: s.Position, StartLine: s.Line, Source: s.Name, Cluster: s.Cluster, Server: s.Server,
	})
	start := s.Position
	s.Done = false
	before := m.report.Events + m.report.Faults
	e := &m.event
	torn := int64(-1) // offset of the last fault, where no event came after it
	for n := 0; ; n++ {
		s.Position, s.Line = r.Offset(), r.Line()
		if m.w.Full() {
			m.advance(s, torn)
			if err := m.w.Seal(); err != nil {
				return &writeError{err}
			}
		}
		if n%256 == 0 {
			m.progress.Name = name
			m.tell(false)
			if m.ctx.Err() != nil {
				m.advance(s, torn)
				return m.ctx.Err()
			}
		}
		err := r.Next(e)
		if err == nil {
			torn = -1
			e.Text[audit.Destination] = destination.Of(e, &m.going)
			m.w.Append(e)
			m.report.Events++
			m.progress.Events++
			continue
		}
		if f, ok := FaultOf(err, s); ok {
			if f.Lost == nil {
				torn = f.Offset
			}
			// What stands at the very place where an earlier import stopped was set
			// aside by that one.
			m.fault(name, f, again && f.Offset == start)
			continue
		}
		if err != io.EOF {
			m.advance(s, torn)
			return fmt.Errorf("%s: %w", name, err)
		}
		break
	}
	if in.last == '\n' {
		torn = -1
	}
	s.Position, s.Line, s.Done = r.Offset(), r.Line(), true
	m.advance(s, torn)
	if again && m.report.Events+m.report.Faults == before {
		m.report.Known++
		return nil
	}
	m.report.Sources++
	m.report.Bytes += r.Offset() - start
	return nil
}

// advance notes that s was read to its position, or to where the torn line begins
// that may yet be finished.
func (m *importer) advance(s trail.Source, torn int64) {
	if torn >= 0 {
		s.Position = torn
	}
	m.known.keep(s)
	m.w.Advance(s)
}

// fault tells of a fault in the content of that name and sets it aside, unless that
// was done before.
func (m *importer) fault(name string, f trail.Fault, before bool) {
	if m.cfg.OnFault != nil {
		told := f
		told.Source = name
		m.cfg.OnFault(told)
	}
	if !before {
		m.report.Faults++
		m.w.SetAside(f)
	}
}

// tell calls Progress, ten times a second at most unless it is the end.
func (m *importer) tell(end bool) {
	if m.cfg.Progress == nil {
		return
	}
	if now := time.Now(); end || now.Sub(m.told) >= 100*time.Millisecond {
		m.told = now
		p := m.progress
		p.Bytes = min(p.Bytes, p.Total)
		m.cfg.Progress(p)
	}
}

// lastByte remembers the last byte that was read.
type lastByte struct {
	r    io.Reader
	last byte
}

func (l *lastByte) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if n > 0 {
		l.last = b[n-1]
	}
	return n, err
}
