// Package sample holds a real audit log of some minutes, to try KubeTrail with.
//
// cut.go says where it comes from and what was left out. Nothing in it is edited.
package sample

import (
	"bytes"
	_ "embed"
	"io"
)

//go:embed sample.jsonl.zst
var compressed []byte

// Log returns the sample, JSON lines compressed by zstd.
func Log() io.Reader { return bytes.NewReader(compressed) }
