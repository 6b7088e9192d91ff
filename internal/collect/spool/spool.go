// Package spool keeps what arrives over the network until it is in the trail: it is
// written and fsynced before the sender is told so, and is then a source like a log.
package spool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kubetrail/internal/collect"
	"kubetrail/internal/durable"
	"kubetrail/internal/trail"
)

// ErrFull means that a spool has reached its bound, or its disk is full: the
// sender must try again later.
var ErrFull = errors.New("the spool is full")

// ErrCluster means that nothing is received for a cluster: it cannot have that name,
// or there are MaxClusters already.
var ErrCluster = errors.New("no such cluster")

// ErrClosed means that nothing is received any more.
var ErrClosed = errors.New("the spools are closed")

// Config says where what arrives over the network is kept until it is in the trail.
type Config struct {
	Dir      string // one directory below it for each origin
	MaxBytes int64  // of each spool that may wait; 0: DefaultBytes
	Sources  []trail.Source
	OnFault  func(trail.Fault) // may be nil
	Now      func() time.Time  // nil: time.Now

	Repeats      int        // bodies of all spools that are remembered; 0: DefaultRepeats
	SegmentBytes int64      // of one file, from which on another one is begun; 0: DefaultSegmentBytes
	FS           durable.FS // what is written goes through it; nil: the operating system's
}

const (
	DefaultBytes        = 1 << 30  // bounds a spool
	DefaultSegmentBytes = 64 << 20 // of a file of a spool
	MaxClusters         = 256      // that have a spool, each server of one counted
	maxServers          = 32       // of one cluster, so that who may send for it leaves room for others
	maxClusterName      = 63       // bytes, as in a DNS label
)

// CheckCluster says why nothing can be received for a cluster of that name, with an
// error that wraps ErrCluster. A name has small letters, digits, dashes and dots,
// begins and ends with a letter or digit, and is not longer than 63 bytes.
func CheckCluster(name string) error {
	valid := 0 < len(name) && len(name) <= maxClusterName && filepath.IsLocal(name) // no device of Windows
	for i, c := range []byte(name) {
		alphanumeric := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		inside := 0 < i && i < len(name)-1 && (c == '-' || c == '.')
		valid = valid && (alphanumeric || inside)
	}
	if !valid {
		return fmt.Errorf("%w: %.100q is no name for one", ErrCluster, name)
	}
	return nil
}

// Origin is where what is received comes from: a cluster, and one of its API servers
// where that is known.
type Origin struct{ Cluster, Server string }

// Check says why nothing can be received from o, with an error that wraps ErrCluster.
// The name of a server is like that of a cluster.
func (o Origin) Check() error {
	if err := CheckCluster(o.Cluster); err != nil || o.Server == "" {
		return err
	}
	return CheckCluster(o.Server)
}

// roomFor says why nothing can be received from one origin more beside those that are
// known, with an error that wraps ErrCluster.
func roomFor[T any](o Origin, known map[Origin]T) error {
	if len(known) >= MaxClusters {
		return fmt.Errorf("%w: %s would be one more than the %d that are received", ErrCluster, o, len(known))
	}
	servers := 0
	for x := range known {
		if x.Cluster == o.Cluster && x.Server != "" {
			servers++
		}
	}
	if o.Server != "" && servers >= maxServers {
		return fmt.Errorf("%w: %s would be one more than the %d servers of it that are received", ErrCluster, o, servers)
	}
	return nil
}

// String is the name that o has in messages and, after webhook/, in the trail.
func (o Origin) String() string {
	if o.Server == "" {
		return o.Cluster
	}
	return o.Cluster + "/" + o.Server
}

// dir is the name of the directory of o's spool, and originOf the way back.
func (o Origin) dir() string { return strings.Replace(o.String(), "/", "+", 1) }

func originOf(dir string) Origin {
	cluster, server, _ := strings.Cut(dir, "+")
	return Origin{cluster, server}
}

// Spools are the spools of all clusters: what is received waits there, durable, until
// it is in the trail. To the trail a spool is one source for all its life, with the
// name webhook/CLUSTER, or webhook/CLUSTER/SERVER. Its files are written by one process at a time, the one that
// writes the trail.
//
// Receive may be called from any goroutine, the feeds are for the one of Collect.
type Spools struct {
	cfg     Config
	arrived chan struct{} // room for one value
	count   atomic.Int64  // of spools

	mu     sync.Mutex // guards what follows
	spools map[Origin]*spool
	closed bool
}

// Open opens the spools that are there already, removing what is in the trail.
// What a crash left of a body that was being written is dropped: nobody was told that
// it was received.
func Open(cfg Config) (*Spools, error) {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultBytes
	}
	if cfg.SegmentBytes <= 0 {
		cfg.SegmentBytes = DefaultSegmentBytes
	}
	if cfg.Repeats <= 0 {
		cfg.Repeats = DefaultRepeats
	}
	if cfg.FS == nil {
		cfg.FS = durable.OS{}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := durable.MkdirAll(cfg.Dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Spools{cfg: cfg, arrived: make(chan struct{}, 1), spools: map[Origin]*spool{}}
	for _, e := range entries {
		from := originOf(e.Name())
		if !e.IsDir() || from.dir() != e.Name() || from.Check() != nil {
			continue
		}
		s.count.Add(1)
		if s.spools[from], err = openSpool(s, from); err != nil {
			return nil, fmt.Errorf("open the spool of %s: %w", from, err)
		}
	}
	return s, nil
}

// Receive keeps body, which is what a kube-apiserver sent, and returns nil when it is
// durable: fsynced, together with what other calls brought in the meantime. Its error
// wraps ErrFull where there is no room; nothing is kept then. ctx is looked at
// before, not while, body is written. body is the caller's again afterwards.
func (s *Spools) Receive(ctx context.Context, from Origin, body []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	to, err := s.of(from)
	if err != nil {
		return err
	}
	if err := to.receive(body); err != nil {
		return fmt.Errorf("the spool of %s: %w", from, err)
	}
	select {
	case s.arrived <- struct{}{}:
	default: // one value is waiting already
	}
	return nil
}

// of returns the spool for what comes from an origin, which it makes where there is none.
func (s *Spools) of(from Origin) (*spool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if sp := s.spools[from]; sp != nil {
		return sp, nil
	}
	if err := from.Check(); err != nil {
		return nil, err
	}
	if err := roomFor(from, s.spools); err != nil {
		return nil, err
	}
	if err := durable.MkdirAll(filepath.Join(s.cfg.Dir, from.dir())); err != nil {
		return nil, noRoom(err)
	}
	sp, err := openSpool(s, from)
	if err != nil {
		return nil, noRoom(err)
	}
	s.spools[from] = sp
	s.count.Add(1)
	return sp, nil
}

// Feeds returns a feed for each spool, new ones included, ordered by name. A spool has
// the same feed each time.
func (s *Spools) Feeds() []collect.Feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	feeds := make([]collect.Feed, 0, len(s.spools))
	byName := func(a, b Origin) int { return strings.Compare(a.String(), b.String()) }
	for _, from := range slices.SortedFunc(maps.Keys(s.spools), byName) {
		feeds = append(feeds, s.spools[from].feed)
	}
	return feeds
}

// Arrived gets a value when something was received.
func (s *Spools) Arrived() <-chan struct{} { return s.arrived }

// Notify is the way to give Arrived a value.
func (s *Spools) Notify() chan<- struct{} { return s.arrived }

// Close stops receiving, waits for what is being written and closes the files, those
// of the feeds included: nobody may be pulling one.
func (s *Spools) Close() error {
	s.mu.Lock()
	s.closed = true
	spools := slices.Collect(maps.Values(s.spools))
	s.mu.Unlock()
	var errs []error
	for _, sp := range spools {
		errs = append(errs, sp.close(), sp.feed.Close())
	}
	return errors.Join(errs...)
}
