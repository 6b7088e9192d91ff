package collect

import (
	"context"
	"errors"
	"time"

	"kubetrail/internal/trail"
)

// ErrSpoolFull means that a spool has reached its bound, or its disk is full: the
// sender must try again later.
var ErrSpoolFull = errors.New("the spool is full")

// SpoolConfig says where what arrives over the network is kept until it is in the trail.
type SpoolConfig struct {
	Dir      string // one directory below it for each cluster
	MaxBytes int64  // of each cluster's spool; 0: DefaultSpoolBytes
	Sources  []trail.Source
	OnFault  func(trail.Fault)
	Now      func() time.Time // nil: time.Now
}

// DefaultSpoolBytes bounds a spool.
const DefaultSpoolBytes = 1 << 30

// Spools are the spools of all clusters. Receive may be called from any goroutine.
type Spools struct{}

// OpenSpools opens the spools that are there already.
func OpenSpools(cfg SpoolConfig) (*Spools, error) { panic("being built") }

// Receive keeps body, which is what a kube-apiserver sent, and returns nil when it is
// durable: fsynced, together with what other calls brought in the meantime. Its error
// wraps ErrSpoolFull where there is no room; nothing is kept then.
func (s *Spools) Receive(ctx context.Context, cluster string, body []byte) error {
	panic("being built")
}

// Feeds returns a feed for each cluster, new ones included.
func (s *Spools) Feeds() []Feed { panic("being built") }

// Arrived gets a value when something was received.
func (s *Spools) Arrived() <-chan struct{} { panic("being built") }

// Close stops receiving and closes the files.
func (s *Spools) Close() error { panic("being built") }
