package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// Record is a stretch of a file on another machine, which an agent ships: what it sends
// is a sequence of them, and so is what is kept of it. On the wire and on disk a record
// is one line, eight hexadecimal digits, a space and a JSON object, and then Length
// bytes. The digits are the CRC-32C of the object and of the bytes.
type Record struct {
	// Source, Print and PrintBytes are those of [trail.Source].
	Source     string `json:"source"`
	Print      string `json:"print"`
	PrintBytes int64  `json:"printBytes"`
	Kind       string `json:"kind,omitempty"` // what the file holds; empty: audit events

	Offset int64 `json:"offset"` // in the file, of the first byte
	Line   int64 `json:"line"`   // newlines before it
	Length int64 `json:"length"` // bytes that follow

	// Hole is the number of NUL bytes that the file begins with and that are not sent.
	// Offset, Line and Length are 0 then.
	Hole int64 `json:"hole,omitempty"`

	// Begin is where a file goes on that became shorter than what was shipped of it: its
	// Print is a new one then, and Offset is Begin. What is before is of the former Print.
	Begin int64 `json:"begin,omitempty"`

	Done   bool   `json:"done,omitempty"`   // nothing comes after these bytes
	Gone   bool   `json:"gone,omitempty"`   // nobody needs to know its position any more
	Reason string `json:"reason,omitempty"` // why it ends here though it should not; with Done

	Data []byte `json:"-"`
}

const (
	maxRecordHead = 16 << 10
	maxSourceName = 4096
	maxReason     = 1024
	maxRecords    = 4096 // in one append

	// MaxRecordData is the most that a record may hold, in bytes.
	MaxRecordData = 2 << 20
)

// ErrRecord means that bytes are no records.
var ErrRecord = errors.New("no record")

// castagnoli is made anew by each user: the package crc32 makes it only once.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// AppendRecord appends r, with the Length of its Data, to b.
func AppendRecord(b []byte, r Record) []byte { return append(appendRecordHead(b, r), r.Data...) }

// appendRecordHead appends what comes before the Data.
func appendRecordHead(b []byte, r Record) []byte {
	r.Length = int64(len(r.Data))
	head, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings, numbers and truths
	}
	sum := crc32.Update(crc32.Checksum(head, castagnoli()), castagnoli(), r.Data)
	b = fmt.Appendf(b, "%08x ", sum)
	return append(append(b, head...), '\n')
}

// ParseRecord returns the record that b begins with and the number of bytes it takes.
// Its Data is a part of b. The error is io.EOF where b is empty, and wraps ErrRecord
// where b begins with anything but a whole record.
func ParseRecord(b []byte) (r Record, n int, err error) {
	if len(b) == 0 {
		return r, 0, io.EOF
	}
	bad := func(format string, args ...any) (Record, int, error) {
		return Record{}, 0, fmt.Errorf("%w: %s", ErrRecord, fmt.Sprintf(format, args...))
	}
	end := bytes.IndexByte(b[:min(len(b), maxRecordHead)], '\n')
	if end < 10 || b[8] != ' ' {
		return bad("it has no head")
	}
	want, err := strconv.ParseUint(string(b[:8]), 16, 32)
	if err != nil {
		return bad("it has no checksum")
	}
	head := b[9:end]
	if err := json.Unmarshal(head, &r); err != nil {
		return bad("its head is not understood: %v", err)
	}
	if reason := r.wrong(); reason != "" {
		return bad("%s", reason)
	}
	rest := b[end+1:]
	if r.Length > int64(len(rest)) {
		return bad("%d of its %d bytes are there", len(rest), r.Length)
	}
	r.Data = rest[:r.Length:r.Length]
	if sum := crc32.Update(crc32.Checksum(head, castagnoli()), castagnoli(), r.Data); sum != uint32(want) {
		return bad("its checksum is %08x, not %08x", sum, want)
	}
	return r, end + 1 + int(r.Length), nil
}

// wrong says what is wrong with the head of a record, "" for nothing.
func (r *Record) wrong() string {
	const largest = 1 << 60 // sums of two do not overflow
	for _, n := range []int64{r.Offset, r.Line, r.Length, r.Hole, r.PrintBytes, r.Begin} {
		if n < 0 || n > largest {
			return fmt.Sprintf("a number in it is %d", n)
		}
	}
	switch {
	case r.Source == "" || len(r.Source) > maxSourceName || !printable(r.Source):
		return fmt.Sprintf("%.100q is no name of a source", r.Source)
	case len(r.Print) > 64 || r.Print == "" || !printable(r.Print):
		return fmt.Sprintf("%.100q is no print", r.Print)
	case len(r.Kind) > 64 || len(r.Reason) > maxReason || !printable(r.Reason):
		return "its kind or reason is too long, or not to be printed"
	case r.Length > MaxRecordData:
		return fmt.Sprintf("%d bytes are more than %d", r.Length, MaxRecordData)
	case r.Hole > 0 && (r.Offset > 0 || r.Line > 0 || r.Length > 0):
		return "it has a hole and bytes"
	case r.Begin > 0 && r.Offset != r.Begin:
		return "it does not begin where it says"
	}
	return ""
}

func printable(s string) bool {
	for _, c := range s {
		if unicode.IsControl(c) {
			return false
		}
	}
	return utf8.ValidString(s)
}

// ParseRecords returns the records that b is made of.
func ParseRecords(b []byte) ([]Record, error) {
	var all []Record
	for at := 0; ; {
		r, n, err := ParseRecord(b[at:])
		if err == io.EOF {
			return all, nil
		}
		if err == nil && len(all) == maxRecords {
			err = fmt.Errorf("%w: there are more than %d", ErrRecord, maxRecords)
		}
		if err != nil {
			return nil, fmt.Errorf("at byte %d: %w", at, err)
		}
		all = append(all, r)
		at += n
	}
}

// end is the offset behind the record, and endLine the newlines before that.
func (r *Record) end() int64     { return r.Offset + r.Hole + r.Length }
func (r *Record) endLine() int64 { return r.Line + int64(bytes.Count(r.Data, []byte{'\n'})) }
