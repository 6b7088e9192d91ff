// Package sample holds a real audit log of some minutes, to try KubeTrail with.
//
// It is the first 2,500 lines of the log of the corpus a-gce-derived, as a real
// kube-apiserver v1.36.3 wrote them; nothing in it is edited. They hold the whole
// story that was played on that cluster before it was put under load: deployments
// created, scaled and deleted (nginx-old by jai), the configmap app-config in five
// versions, mallory's two minutes as cluster-admin, exec, impersonation, refusals, a
// panic. go test -update cuts it again.
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
