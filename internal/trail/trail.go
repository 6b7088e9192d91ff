// Package trail is the contract of a trail: the ordered, immutable sequence of all
// audit events that were kept, and the questions one can ask of it.
//
// Two kinds of trail exist: the embedded one on disk (internal/trail/disk), and
// plain audit files read on the spot (internal/trail/file). The package trailtest
// holds the law both must pass.
package trail

import (
	"context"
	"errors"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/query"
)

// Reader answers questions. Implementations are safe for concurrent use, see every
// event committed before the call, and never change. Their memory is bounded by
// their configuration, not by the size of the trail or of the answer. A call ends
// early with ctx's error.
type Reader interface {
	// Search calls yield for each answer in the order of page. The event and its
	// bytes belong to the trail again when yield returns. An error of yield ends
	// the search and is returned as it is.
	Search(ctx context.Context, q Query, page Page, yield func(*audit.Event) error) error

	// Aggregate counts the answers by the values of the fields in by, most
	// frequent first, equal counts in the order of their keys. An event without a
	// value for a field counts under "", one with several values of a list once
	// under each. limit 0 returns every group.
	Aggregate(ctx context.Context, q Query, by []audit.Ref, limit int) (Groups, error)

	// Histogram counts the answers by time, in buckets of every, aligned to the
	// epoch, from the first bucket that holds an answer to the last, empty ones
	// included. Events without a time are left out.
	Histogram(ctx context.Context, q Query, every time.Duration) ([]Bucket, error)

	// Summary tells what the trail holds.
	Summary(ctx context.Context) (Summary, error)

	// Faults calls yield for every stretch that was set aside, in the order of Seq. An
	// error of yield ends it and is returned as it is.
	Faults(ctx context.Context, yield func(Fault) error) error
}

// Scanner is a Reader that can give all answers in the order in which they are cheapest
// to read, for whoever looks at every one: several times as fast as Search on a large
// trail. The trail behind a server is none.
type Scanner interface {
	Reader

	// Scan calls yield for each answer, one call at a time, with the columns asked
	// for. The event and its bytes belong to the trail again when yield returns. An
	// error of yield ends the scan and is returned as it is.
	Scan(ctx context.Context, q Query, columns audit.Columns, yield func(*audit.Event) error) error
}

// ErrTooMany is wrapped by the errors of Aggregate and Histogram where an answer
// would be larger than the memory it may take.
var ErrTooMany = errors.New("too many")

// Query is a question: what to match and the time it is about.
type Query struct {
	Where *query.Node // nil matches everything

	// Since and Until bound Event.Time, Since ≤ t < Until, in microseconds since
	// the epoch; audit.NoTime leaves that side open. An event without a time is
	// an answer only where both are open.
	Since, Until int64
}

// Always is the time range that holds everything.
func Always(where *query.Node) Query {
	return Query{Where: where, Since: audit.NoTime, Until: audit.NoTime}
}

// Page says which of the answers are wanted, in which order and how much of each.
// The order is by Event.Time, then Seq.
type Page struct {
	Limit   int  // 0: all
	Oldest  bool // oldest first; otherwise newest first
	After   Cursor
	Columns audit.Columns // what to fill in of each event; Line fills everything that AppendLine needs
}

// Cursor is a place in the order of answers: only what comes after it is wanted.
// The zero Cursor is the beginning.
type Cursor struct {
	Time int64
	Seq  uint64
}

// Groups is the answer of Aggregate.
type Groups struct {
	Rows   []Group // at most limit
	Groups int     // how many groups there are
	Events uint64  // how many events answered the question
}

// Group is one combination of values and how many events have it.
type Group struct {
	Key   []string // one value per field asked for
	Count uint64
}

// Bucket is one bar of a histogram.
type Bucket struct {
	Start int64 // microseconds since the epoch
	Count uint64
}

// Summary tells what a trail holds.
type Summary struct {
	Events      uint64
	Parts       int
	StoredBytes int64  // on disk
	LineBytes   int64  // what the lines themselves came to
	RawLines    uint64 // events whose line is kept beside the columns
	First, Last int64  // time of the oldest and the newest event, audit.NoTime if none
	NextSeq     uint64
	Sources     []Source
	Faults      uint64
}

// Source is one file, spool or stream that events came from, and how far it has
// been read. Cluster, Server, Name and Print identify it: after a rotation another file
// goes by the same name.
type Source struct {
	Name     string `json:"name"`
	Cluster  string `json:"cluster,omitempty"`
	Server   string `json:"server,omitempty"` // the API server that wrote it, where that is known
	Position int64  `json:"position"`         // bytes read and committed
	Line     int64  `json:"line"`             // lines read and committed, for messages
	Done     bool   `json:"done,omitempty"`   // read to its end (an imported file)
	Read     int64  `json:"read,omitempty"`   // when a log that is followed was read last, in seconds since the epoch

	// Print tells the source from others of the same name: the first PrintBytes
	// bytes, hashed.
	Print      string `json:"print,omitempty"`
	PrintBytes int64  `json:"printBytes,omitempty"`

	// Gone tells a writer to keep no position of it any more: it was removed, and will
	// not come back. A trail never returns such a source.
	Gone bool `json:"-"`
}

// Fault is a stretch of a source that held no event: it was set aside, so that no
// good line was lost for it.
type Fault struct {
	Source  string `json:"source"`
	Cluster string `json:"cluster,omitempty"`
	Server  string `json:"server,omitempty"`
	Offset  int64  `json:"offset"`
	Length  int64  `json:"length"`
	Reason  string `json:"reason"`
	Head    []byte `json:"head,omitempty"` // its first bytes, at most 256
	Lost    *Loss  `json:"lost,omitempty"` // where it means that events are missing

	// Seq is its place among the events: those before it have smaller numbers, those
	// after it the same one or larger. A trail says it; who sets a fault aside need not.
	Seq uint64 `json:"seq,omitempty"`
}

// Loss is what is known of events that were not observed.
type Loss struct {
	From   int64  `json:"from"`   // microseconds since the epoch, audit.NoTime where that is unknown
	To     int64  `json:"to"`     // likewise
	Events int64  `json:"events"` // 0: unknown
	Cause  string `json:"cause"`  // in one word
}
