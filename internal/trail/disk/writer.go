package disk

import (
	"context"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// Config says where a trail lies and how it is written.
type Config struct {
	Dir       string
	PartBytes int64 // bytes of lines after which a part is full; 0: 64 MiB
}

// Writer appends events to a trail. One Writer may be open on a directory at a
// time. It is used from one goroutine.
type Writer struct{}

// OpenWriter locks the trail in cfg.Dir, makes it where it is not there, removes
// what a crash left behind, and reads the position of every source. Its error is
// an ErrLocked where another process writes there.
func OpenWriter(cfg Config) (*Writer, error) { panic("unwritten") }

// Sources returns every source and how far it is committed.
func (w *Writer) Sources() []trail.Source { panic("unwritten") }

// Append adds an event to the next part. It copies what it keeps. Text[Source],
// Text[Cluster], Raw and Offset must be set.
func (w *Writer) Append(e *audit.Event) error { panic("unwritten") }

// SetAside adds a fault to the next part.
func (w *Writer) SetAside(f trail.Fault) { panic("unwritten") }

// Advance notes how far s has been read by everything appended so far. It becomes
// durable with the part that those events are in.
func (w *Writer) Advance(s trail.Source) { panic("unwritten") }

// Full reports whether the next part has reached its size.
func (w *Writer) Full() bool { panic("unwritten") }

// Seal starts to write the next part, after waiting for the one before, and
// returns while it is being written. An error of the one before is returned.
func (w *Writer) Seal() error { panic("unwritten") }

// Commit seals and waits: when it returns nil, everything appended is durable.
func (w *Writer) Commit(ctx context.Context) error { panic("unwritten") }

// Close gives the lock back. What was not committed is dropped.
func (w *Writer) Close() error { panic("unwritten") }
