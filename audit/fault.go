package audit

import "fmt"

// Fault is a stretch of a stream that held no event. It is an error only in that
// [Reader.Next] returns it: what comes after it can still be read.
type Fault struct {
	Offset int64  // of its first byte in the plain stream
	Length int64  // in bytes; 0 where the stream itself ends in damage
	Reason string // in words, for people
	Head   []byte // a copy of its first bytes, at most 256
}

// maxHead is how much of a fault is kept to be shown.
const maxHead = 256

func (f *Fault) Error() string {
	return fmt.Sprintf("bytes %d to %d: %s", f.Offset, f.Offset+f.Length, f.Reason)
}

// Damage is the error of a reader of compressed or archived bytes that are not
// well formed, as [Unpack] hands to its visitor: all before it was read. A [Reader]
// reports it as a [Fault], because reading again would not help. Any other error of
// a source, such as that of a disk, is returned by [Reader.Next] as it is.
type Damage struct {
	Format string // "gzip", "zstd" or "tar"
	Err    error
}

func (d *Damage) Error() string { return "damaged " + d.Format + ": " + d.Err.Error() }

func (d *Damage) Unwrap() error { return d.Err }
