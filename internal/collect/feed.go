package collect

import (
	"context"
	"time"
)

// A Feed is a stream of audit events that does not end: a log that is being written
// (Follower), or what arrived over the network (package spool). Its methods are called from the
// one goroutine of collector.Collector, which owns the Appender.
type Feed interface {
	// Pull appends what has come since the last call, and notes with Advance how far
	// it came. It stops after about limit bytes; more tells that there is more
	// already. It does not wait for anything. What Pull appended becomes durable with
	// the next commit. An error is one of the feed alone: what was read before it
	// counts, and Pull is called again later.
	Pull(ctx context.Context, w Appender, limit int64) (more bool, err error)

	// Committed tells that everything appended so far is durable.
	Committed()

	// Status tells how far the feed is, for metrics and messages. It may be called
	// from any goroutine.
	Status() Status

	Close() error
}

// Status is how far a feed is.
type Status struct {
	Name    string // of the log or of the webhook
	Cluster string
	Server  string // empty where that is unknown

	Events   uint64 // appended since the start
	Faults   uint64 // set aside since the start
	Bytes    int64  // read since the start
	Waiting  int64  // bytes that are there and were not read yet
	LastRead time.Time

	Err error // of the last Pull, nil if it went well
}
