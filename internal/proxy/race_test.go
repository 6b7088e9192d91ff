//go:build race

package proxy

// raced tells that memory is not what it is: the race detector takes several times as much.
const raced = true
