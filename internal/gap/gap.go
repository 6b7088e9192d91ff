// Package gap finds the times in which an API server was not observed.
//
// Every API server has a pulse. It renews its own lease and asks itself for its
// endpoints and its OpenAPI document at fixed intervals, and the leases of controllers,
// the scheduler and the nodes come to it as regularly. A Detector learns which streams of
// requests are periodic, and how reliably, for each API server. A silence is a gap where
// it is next to impossible that all of them missed what was due: the probability of a
// missed request is learned for each stream, those of independent ones are multiplied,
// and the server's own pulse, which no other server can take over, must be among them.
//
// Nothing is stored: gaps follow from the events and faults of a trail. Upstream's
// intervals stand in k8s.io/kubernetes pkg/controlplane (endpoints and identity lease,
// 10 s), in kube-openapi's aggregator (5 s), in k8s.io/component-base's leader election
// (2 s) and in the kubelet (10 s); none of them is assumed here.
package gap

import (
	"cmp"
	"math"
	"slices"
	"time"

	"kubetrail/audit"
)

// Causes of gaps. A fault of a trail may name others, in one word.
const (
	Silence = "silence" // nothing tells why
	Restart = "restart" // the API server started anew afterwards
	Hole    = "hole"    // bytes of the log are gone
	Partial = "partial" // some events came, but none of those that the API server causes itself
)

// Config says what a Detector takes for a gap. The zero Config is usual.
type Config struct {
	// Least is the shortest silence that is called a gap; 0: 10 s. An API server that
	// waits for its storage, or for a processor, is silent for some seconds too. Restarts
	// and losses that are known for themselves may be shorter.
	Least time.Duration
	Max   int // gaps kept for each API server, the newest ones; 0: 1,000
}

// Gap is a time in which an API server was not observed.
type Gap struct {
	Cluster string `json:"cluster,omitempty"`
	Server  string `json:"server,omitempty"` // empty where the trail does not know it
	Source  string `json:"source,omitempty"` // the log, where the server is not known
	Lease   string `json:"lease,omitempty"`  // the API server's own, where several share a source and it alone is meant
	From    Time   `json:"from"`             // the last event before
	To      Time   `json:"to"`               // the first event after, or the end of the question
	Open    bool   `json:"open,omitempty"`   // there was no event after
	Cause   string `json:"cause"`
	Events  int64  `json:"events"` // about how many are missing: as many as before in such a time
}

// Length is how long the gap is; 0 where an end is unknown.
func (g *Gap) Length() time.Duration {
	if g.From == audit.NoTime || g.To == audit.NoTime {
		return 0
	}
	return time.Duration(g.To-g.From) * time.Microsecond
}

// Server is what is known of one API server and its pulse.
type Server struct {
	Cluster string `json:"cluster,omitempty"`
	Server  string `json:"server,omitempty"`
	Source  string `json:"source,omitempty"`
	Events  uint64 `json:"events"`
	First   Time   `json:"first"`
	Last    Time   `json:"last"`

	// Smallest is the length of the shortest gap that is certain to be found, in seconds,
	// 0 where none would be: no pulse is recorded.
	Smallest float64  `json:"smallestSeconds"`
	Own      bool     `json:"own"`               // its own requests are part of the pulse
	Streams  int      `json:"streams"`           // that beat
	Pulse    []Stream `json:"pulse"`             // the steadiest of them, own ones first, at most 12
	Sharing  int      `json:"sharing,omitempty"` // API servers that write to this source, where there are several
}

// Stream is a sequence of like requests that come at regular intervals.
type Stream struct {
	User     string  `json:"user"`
	Verb     string  `json:"verb"`
	Object   string  `json:"object"` // resource/namespace/name, or the path
	Own      bool    `json:"own,omitempty"`
	Interval float64 `json:"intervalSeconds"`
	Beats    int64   `json:"beats"`
}

// Report is what a Detector found.
type Report struct {
	Servers []Server `json:"servers"`
	Gaps    []Gap    `json:"gaps"`           // by time
	More    int      `json:"more,omitempty"` // older gaps that were found and not kept
}

// Columns are what of an event a Detector looks at.
func Columns() audit.Columns {
	return audit.Set(audit.Cluster, audit.Server, audit.Source, audit.Marks, audit.Stage, audit.Username, audit.Verb,
		audit.Resource, audit.Namespace, audit.Name, audit.RequestURI, audit.Staged, audit.Received)
}

const (
	maxServers = 1024
	// maxStreams bounds the streams of a server that are held, candidates included; keen
	// is how many of them may be of kinds that are most probably no pulse. maxHeld bounds
	// those of all servers together.
	maxStreams, keen = 24_576, 8_192
	maxHeld          = 1 << 16
)

// Detector learns pulses and finds gaps. It is not safe for concurrent use. Its memory is
// bounded: some 30 MB, and the streams that API servers have of their own.
type Detector struct {
	cfg     Config
	servers map[serverKey]*server
	sorted  []*server          // in the order of appearance
	lately  map[string]*server // by the three names, as they were seen last
	near    struct {           // the server of the last event
		cluster, server, source string
		is                      *server
	}
	key     []byte                 // scratch
	losses  map[sourceName][]*loss // by number
	unread  int                    // losses that there was no room for
	recent  int                    // losses that came while events did
	waiting []*loss                // those of them that no event came after yet
	begins  bool                   // it is given what came since a time alone
	ends    bool                   // likewise, until a time
	held    int                    // streams of all servers
	holding bool                   // beats of a batch wait, so that no stream may be forgotten
}

// serverKey tells API servers apart. A log stands for one where it is not named.
type serverKey struct{ cluster, server, source string }

// Beat is one event as a Detector sees it.
type Beat struct {
	at int64
	of *stream
}

// New makes a Detector that knows nothing yet.
func New(cfg Config) *Detector {
	cfg.Least = cmp.Or(cfg.Least, 10*time.Second)
	cfg.Max = cmp.Or(cfg.Max, 1000)
	return &Detector{cfg: cfg, servers: map[serverKey]*server{}, lately: map[string]*server{}}
}

// Observe takes one event as it comes: pulses are learned as they are seen. Events of
// one server should come in about the order of time; those that come later than that
// fill the gaps that they lie in.
func (d *Detector) Observe(e *audit.Event) {
	if f, ok := reported(e); ok {
		d.Lose(f)
	}
	if len(d.waiting) > 0 {
		d.follow(e)
	}
	if b := d.note(e); b.of != nil {
		d.learn(b)
		d.watch(b)
	}
}

// batch takes many events at once, in any order, and leaves beats sorted. What is learned
// of them counts for all of them: a gap among the first is found as well.
func (d *Detector) batch(beats []Beat) {
	slices.SortFunc(beats, func(a, b Beat) int { return cmp.Compare(a.at, b.at) })
	for _, b := range beats {
		d.learn(b)
	}
	for _, s := range d.sorted {
		d.sweep(s, math.MaxInt64, math.MinInt64)
	}
	for _, b := range beats {
		d.watch(b)
	}
	for _, s := range d.sorted {
		if s.newest != audit.NoTime {
			d.sweep(s, math.MinInt64, s.newest-forgotten)
		}
	}
}

func (d *Detector) learn(b Beat) {
	if b.of.kind != quiet && b.of.kind != boots {
		b.of.learn(b.at)
	}
}

// Report tells what was found, and of every server whether it is silent at the time until,
// in microseconds since the epoch; NoTime leaves that out.
func (d *Detector) Report(until int64) Report {
	r := Report{Servers: []Server{}, Gaps: []Gap{}}
	for _, s := range d.sorted {
		if s.events == 0 {
			continue
		}
		r.Servers = append(r.Servers, d.describe(s))
		r.More += s.dropped
		for _, g := range s.gaps {
			r.Gaps = append(r.Gaps, s.sign(g))
		}
		if until > s.newest && d.missed(s, until) {
			r.Gaps = append(r.Gaps, s.sign(Gap{From: Time(s.newest), To: Time(until), Open: true, Cause: Silence,
				Events: s.rate.estimate(until - s.newest)}))
		}
	}
	r = d.withLosses(r)
	slices.SortStableFunc(r.Gaps, func(a, b Gap) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	slices.SortStableFunc(r.Servers, func(a, b Server) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Server, b.Server), cmp.Compare(a.Source, b.Source))
	})
	return r
}

// sign puts the name of the server on a gap.
func (s *server) sign(g Gap) Gap {
	g.Cluster, g.Server, g.Source = s.key.cluster, s.key.server, s.key.source
	return g
}

// Time is a time in microseconds since the epoch, or audit.NoTime.
type Time int64

// MarshalJSON writes RFC 3339 in UTC with six decimals, or null.
func (t Time) MarshalJSON() ([]byte, error) {
	if t == audit.NoTime {
		return []byte("null"), nil
	}
	return time.UnixMicro(int64(t)).UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000000Z"`), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = audit.NoTime
		return nil
	}
	at, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(b))
	*t = Time(at.UnixMicro())
	return err
}
