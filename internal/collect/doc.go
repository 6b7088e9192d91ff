// Package collect brings audit events to a trail: it finds the files that hold them,
// reads these in order and remembers how far.
//
// A source is one stream of plain bytes: a file, what a compressed file unpacks to,
// or one member of an archive. It is known again by its content, see [Import], so
// that a file which rotation renamed or compressed goes on where it was left.
//
// [Import] reads what is there and ends. A [Follower] is a [Feed]: a log that is being
// written, which package collector takes from without end.
package collect
