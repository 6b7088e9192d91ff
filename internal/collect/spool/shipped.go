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
	"time"

	"kubetrail/internal/collect"
	"kubetrail/internal/durable"
	"kubetrail/internal/trail"
)

// ErrOffset means that bytes do not follow those that are there: some are missing
// between. The sender goes on at what Positions says.
var ErrOffset = errors.New("bytes are missing before these")

// ErrKind means that nobody here can read what a record holds.
var ErrKind = errors.New("an unknown kind of source")

const (
	// DefaultShippedSegment is of a file of what an agent ships.
	DefaultShippedSegment = 16 << 20
	maxShippedSources     = 4096    // of one agent
	maxShippedNames       = 1 << 20 // bytes of their names together: each commit holds them all
)

// ShippedConfig says where what agents ship is kept until it is in the trail.
type ShippedConfig struct {
	Dir          string // one directory below it for each agent
	MaxBytes     int64  // of each agent that may wait; 0: DefaultBytes
	SegmentBytes int64  // of a file after which another one is begun; 0: DefaultShippedSegment

	// Sources returns how far every source is durable in the trail, as
	// disk.Writer.Sources does. It is called where the trail is written.
	Sources func() []trail.Source

	// Formats are what records may hold, by their kind. Audit events, which have none,
	// are always among them.
	Formats map[string]*collect.Format

	OnFault func(trail.Fault) // may be nil
	Now     func() time.Time  // nil: time.Now
	FS      durable.FS        // nil: the operating system's
}

// Shipped keeps what agents ship. Each file on the machine of an agent is a source of
// the trail, with its path there as a name and the offsets there, as if it had been
// followed here. What an agent sends is addressed by these offsets: what was sent before
// is passed over, and where something is missing nothing is taken.
//
// Append and Positions may be called from any goroutine, the feeds are for the one of
// Collect.
type Shipped struct {
	cfg     ShippedConfig
	arrived chan<- struct{}

	known []trail.Source // that the trail had in the beginning

	mu     sync.Mutex // guards what follows
	agents map[Origin]*shipper
	closed bool
}

// Contact is what an agent said about itself, and when.
type Contact struct {
	At         time.Time
	Waiting    int64         // bytes that it has and did not send yet
	Behind     time.Duration // since when it has some
	Holds      time.Duration // how long its logs keep what was not sent; 0: unknown
	Version    string        // of the program
	Origin     Origin
	Unread     int64 // bytes that are durable here, and not in the trail
	LastAppend time.Time
}

// OpenShipped opens what is there. What a crash left of a record that was being written
// is dropped: nobody was told that it is kept. A value is sent to arrived, if there is
// room, when something came.
func OpenShipped(cfg ShippedConfig, arrived chan<- struct{}) (*Shipped, error) {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultBytes
	}
	if cfg.SegmentBytes <= 0 {
		cfg.SegmentBytes = DefaultShippedSegment
	}
	cfg.SegmentBytes = min(cfg.SegmentBytes, cfg.MaxBytes/4)
	if cfg.FS == nil {
		cfg.FS = durable.OS{}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	formats := map[string]*collect.Format{"": collect.AuditLog()}
	maps.Copy(formats, cfg.Formats)
	cfg.Formats = formats
	if err := durable.MkdirAll(cfg.Dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Shipped{cfg: cfg, arrived: arrived, known: cfg.Sources(), agents: map[Origin]*shipper{}}
	for _, e := range entries {
		from := originOf(e.Name())
		if !e.IsDir() || from.dir() != e.Name() || from.Check() != nil || from.Server == "" {
			continue
		}
		if s.agents[from], err = openShipper(s.cfg, from, s.known); err != nil {
			return nil, fmt.Errorf("open what %s shipped: %w", from, err)
		}
	}
	return s, nil
}

// Append keeps records and returns nil when they are durable: fsynced. It passes over
// what is kept or in the trail already. Its error wraps ErrOffset where bytes are
// missing before those of a record, and ErrFull where there is no room; of the records
// nothing is kept then. The Data is the caller's again afterwards.
//
// It returns how far the sources of the records are durable now.
func (s *Shipped) Append(ctx context.Context, from Origin, records []Record) ([]trail.Source, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	to, err := s.of(from)
	if err != nil {
		return nil, err
	}
	now, err := to.append(records)
	if err != nil {
		return now, fmt.Errorf("the spool of %s: %w", from, err)
	}
	select {
	case s.arrived <- struct{}{}:
	default: // one value is waiting already
	}
	return now, nil
}

// Positions returns how far every source of an agent is durable, here or in the trail.
func (s *Shipped) Positions(from Origin) ([]trail.Source, error) {
	of, err := s.of(from)
	if err != nil {
		return nil, err
	}
	return of.positions(), nil
}

// Note keeps what an agent said about itself.
func (s *Shipped) Note(c Contact) error {
	of, err := s.of(c.Origin)
	if err != nil {
		return err
	}
	of.mu.Lock()
	defer of.mu.Unlock()
	of.contact = c
	return nil
}

// Contacts tells of every agent that was heard of since the start, ordered by name.
func (s *Shipped) Contacts() []Contact {
	var all []Contact
	for _, a := range s.sorted() {
		a.mu.Lock()
		c := a.contact
		c.Unread, c.LastAppend = a.unread(), a.appended
		a.mu.Unlock()
		if !c.At.IsZero() {
			all = append(all, c)
		}
	}
	return all
}

// of returns what is kept of an agent, which it makes where there is nothing.
func (s *Shipped) of(from Origin) (*shipper, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if a := s.agents[from]; a != nil {
		return a, nil
	}
	if err := from.Check(); err != nil {
		return nil, err
	}
	if from.Server == "" {
		return nil, fmt.Errorf("%w: the name of the server is missing", ErrCluster)
	}
	if err := roomFor(from, s.agents); err != nil {
		return nil, err
	}
	if err := durable.MkdirAll(filepath.Join(s.cfg.Dir, from.dir())); err != nil {
		return nil, noRoom(err)
	}
	a, err := openShipper(s.cfg, from, s.known)
	if err != nil {
		return nil, noRoom(err)
	}
	s.agents[from] = a
	return a, nil
}

// Feeds returns a feed for each agent, new ones included, ordered by name. An agent has
// the same feed each time.
func (s *Shipped) Feeds() []collect.Feed {
	var feeds []collect.Feed
	for _, a := range s.sorted() {
		feeds = append(feeds, a.feed)
	}
	return feeds
}

func (s *Shipped) sorted() []*shipper {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.agents), func(a, b *shipper) int {
		return strings.Compare(a.from.String(), b.from.String())
	})
}

// Close stops receiving, waits for what is being written and closes the files, those
// of the feeds included: nobody may be pulling one.
func (s *Shipped) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	var errs []error
	for _, a := range s.sorted() {
		errs = append(errs, a.close(), a.feed.Close())
	}
	return errors.Join(errs...)
}
