package service

import (
	"math"
	"runtime/debug"
)

// LimitMemory sets the soft limit of the program's memory in bytes, unless GOMEMLIMIT
// did, and returns what sets another one and what sets it back.
func LimitMemory(limit int64) (change func(int64), undo func()) {
	before := debug.SetMemoryLimit(-1)
	if before != math.MaxInt64 {
		return func(int64) {}, func() {}
	}
	change = func(limit int64) { debug.SetMemoryLimit(limit) }
	change(limit)
	return change, func() { debug.SetMemoryLimit(before) }
}
