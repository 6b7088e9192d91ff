package disk

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/durable"
	"kubetrail/internal/parquet"
	"kubetrail/internal/trail"
)

// Config says where a trail lies and how it is written.
type Config struct {
	Dir       string
	PartBytes int64      // bytes of lines after which a part is full; 0: DefaultPartBytes
	Merged    bool       // every event is written several times: take less time for it, and a little more room
	FS        durable.FS // nil: the operating system's
}

// DefaultPartBytes is the size of a part in bytes of the lines it holds.
const DefaultPartBytes = 128 << 20

// maxFaultBytes bounds what a part keeps of the faults that were set aside.
const maxFaultBytes = 4 << 20

// Writer appends events to a trail. One Writer may be open on a directory at a
// time. It is used from one goroutine; while a part is being written by another,
// that one alone owns sealing and the sealer.
type Writer struct {
	cfg       Config
	lock      *durable.Lock
	sealer    *sealer
	next      uint64 // the next sequence number
	filling   *batch
	sealing   *batch     // being written, or not durable yet because that failed
	done      chan error // the outcome of writing sealing; nil: nobody writes
	spare     *batch
	sources   map[sourceKey]trail.Source // as of everything appended
	committed []trail.Source             // as of the newest part
	faultSize int
}

// sourceKey is what tells sources apart.
type sourceKey struct{ cluster, server, name, print string }

func keyOf(s trail.Source) sourceKey { return sourceKey{s.Cluster, s.Server, s.Name, s.Print} }

// ErrLocked means that another process writes to the trail.
var ErrLocked = durable.ErrLocked

// OpenWriter locks the trail in cfg.Dir, makes it where it is not there, removes
// what a crash left behind, and reads the position of every source. Its error is
// an ErrLocked where another process writes there.
func OpenWriter(cfg Config) (*Writer, error) {
	if cfg.PartBytes == 0 {
		cfg.PartBytes = DefaultPartBytes
	}
	if cfg.FS == nil {
		cfg.FS = durable.OS{}
	}
	parts := filepath.Join(cfg.Dir, "parts")
	if err := durable.MkdirAll(parts); err != nil {
		return nil, err
	}
	lock, err := durable.TakeLock(filepath.Join(cfg.Dir, "lock"))
	if err != nil {
		return nil, err
	}
	w := &Writer{cfg: cfg, lock: lock, sources: make(map[sourceKey]trail.Source)}
	if err := w.recover(parts); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	if w.sealer, err = newSealer(); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	w.filling, w.spare = &batch{room: cfg.PartBytes}, &batch{room: cfg.PartBytes}
	w.filling.reset(w.next)
	return w, nil
}

// recover removes garbage and takes positions and the next sequence number from
// the newest part.
func (w *Writer) recover(parts string) error {
	entries, err := os.ReadDir(parts)
	if err != nil {
		return err
	}
	names, garbage := liveParts(entries)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), durable.TempSuffix) {
			garbage = append(garbage, e.Name())
		}
	}
	for _, name := range garbage {
		if err := w.cfg.FS.Remove(filepath.Join(parts, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if len(names) == 0 {
		return nil
	}
	newest := names[len(names)-1]
	file, err := readFooter(filepath.Join(parts, newest))
	if err != nil {
		return fmt.Errorf("the newest part %s: %w", newest, err)
	}
	if err := json.Unmarshal([]byte(metaValue(file.Meta, metaSources)), &w.committed); err != nil {
		return fmt.Errorf("the newest part %s: %w", newest, err)
	}
	for _, s := range w.committed {
		w.sources[keyOf(s)] = s
	}
	_, last, _ := parsePartName(newest)
	w.next = last + 1
	return nil
}

func readFooter(path string) (*parquet.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return parquet.ReadFile(f, info.Size())
}

// Sources returns every source and how far it is committed.
func (w *Writer) Sources() []trail.Source { return slices.Clone(w.committed) }

// Append adds an event to the next part. It copies what it keeps. Raw, Offset and the
// text columns that are not in the line must be set.
func (w *Writer) Append(e *audit.Event) {
	raw := e.Raw
	if e.Exact() {
		raw = nil
	}
	w.filling.add(e, w.next, len(e.Raw), raw)
	w.next++
}

// SetAside adds a fault to the next part. It takes a sequence number too.
func (w *Writer) SetAside(f trail.Fault) {
	b := w.filling
	f.Seq = w.next
	b.meta.Faults++
	if w.faultSize < maxFaultBytes {
		b.faults = append(b.faults, f)
		w.faultSize += len(f.Head) + len(f.Source) + len(f.Reason) + 64
	}
	w.next++
}

// Advance notes how far s has been read by everything appended so far, or that it is
// gone. It becomes durable with the part that those events are in.
func (w *Writer) Advance(s trail.Source) {
	if s.Gone {
		delete(w.sources, keyOf(s))
		return
	}
	w.sources[keyOf(s)] = s
}

// Full reports whether the next part has reached its size: one more line like the
// last, kept whole, would exceed it. Lines beside the columns count twice, as they do
// in memory.
func (w *Writer) Full() bool {
	b := w.filling
	size := b.meta.LineBytes + int64(len(b.raw.data))
	if b.rows > 0 {
		size += 2 * b.line[b.rows-1]
	}
	return size > w.cfg.PartBytes || b.rows >= maxRows || w.faultSize >= maxFaultBytes
}

// Seal starts to write the next part, after waiting for the one before, and returns
// while it is being written. An error of the one before is returned; nothing is
// lost then, and calling Seal or Commit again tries again.
func (w *Writer) Seal() error {
	if err := w.settle(); err != nil {
		return err
	}
	b := w.filling
	if w.next == b.first {
		return nil
	}
	b.meta.Last = w.next - 1
	b.quick = w.cfg.Merged
	b.sources = make([]trail.Source, 0, len(w.sources))
	for _, s := range w.sources {
		b.sources = append(b.sources, s)
	}
	slices.SortFunc(b.sources, func(x, y trail.Source) int {
		return cmp.Or(strings.Compare(x.Cluster, y.Cluster), strings.Compare(x.Server, y.Server),
			strings.Compare(x.Name, y.Name), strings.Compare(x.Print, y.Print))
	})
	w.sealing, w.filling = b, w.spare
	w.filling.reset(w.next)
	w.faultSize = 0
	w.write()
	return nil
}

// write begins to write w.sealing.
func (w *Writer) write() {
	done := make(chan error, 1)
	w.done = done
	cfg, b, s := w.cfg, w.sealing, w.sealer
	go func() { done <- writePart(cfg, s, b) }()
}

// settle waits until w.sealing is durable, writing it again once where that failed.
func (w *Writer) settle() error {
	if w.sealing == nil {
		return nil
	}
	if w.done == nil {
		w.write()
	}
	err := <-w.done
	w.done = nil
	if err != nil {
		return fmt.Errorf("write a part: %w", err)
	}
	w.committed = w.sealing.sources
	w.spare, w.sealing = w.sealing, nil
	return nil
}

// Commit seals and waits: when it returns nil, everything appended is durable. It
// does not stop halfway: ctx is looked at before, not while, a part is written.
func (w *Writer) Commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.Seal(); err != nil {
		return err
	}
	return w.settle()
}

// Close gives the lock back. What was not committed is dropped.
func (w *Writer) Close() error {
	if w.done != nil {
		<-w.done
	}
	return w.lock.Release()
}
