// Package skew tells by how much the clocks of the API servers of a cluster differ,
// from nothing but what they recorded, and orders the events of an object though they do.
//
// The API servers of a cluster write to one etcd, which numbers all writes: the
// resourceVersion of an object is the number of the write that made it. So it is known
// of two writes at two servers which one was first, whatever the clocks say. An event
// bounds the time of a write by two readings of its server's clock, when the request
// was received and when it was answered. Every pair of writes a before b then bounds the
// difference of two clocks: a was not made before it was received, b not after it was
// answered, so clock(b) - clock(a) is at most answered(b) - received(a).
package skew

import (
	"bytes"
	"cmp"
	"math"
	"slices"

	"kubetrail/audit"
)

// What an Estimator keeps at most. What is beyond is left out, which makes bounds wider
// and never wrong.
const (
	maxClusters = 64
	maxServers  = 64      // of a cluster
	maxPoints   = 2048    // of a server, of each kind
	maxObjects  = 1 << 15 // whose last version is remembered
)

// Estimator collects bounds from events, in any order. Its memory is bounded. It is for
// one goroutine.
type Estimator struct {
	clusters   map[string]*cluster
	young, old map[string]*seen // by cluster and object
	metadata   audit.Ref        // metadata.resourceVersion
	key        []byte
}

// cluster has one etcd. Its servers are by name.
type cluster struct{ servers map[string]*server }

// server has what its clock said of writes: floors are readings before which a write was
// not made, ceilings those after which it was not.
type server struct{ floors, ceilings []point }

// point is a reading of a clock, in microseconds since the epoch.
type point struct {
	version uint64
	time    int64
}

// seen is the version of an object that was the current one at some moment after a
// reading of a server's clock.
type seen struct {
	version  uint64
	server   *server
	received int64
}

// New returns an Estimator that knows nothing.
func New() *Estimator {
	r, err := audit.Below("metadata.resourceVersion")
	if err != nil {
		panic(err) // the path is a constant
	}
	return &Estimator{clusters: map[string]*cluster{}, young: map[string]*seen{}, metadata: r}
}

// Columns are what Add needs of an event.
func Columns() audit.Columns {
	return audit.Set(audit.Cluster, audit.Server, audit.Stage, audit.Verb, audit.Code, audit.Resource, audit.APIGroup,
		audit.Subresource, audit.Namespace, audit.Name, audit.ResourceVersion, audit.RequestURI, audit.Destination,
		audit.Received, audit.Staged, audit.ResponseObject)
}

// Add takes from e what it says about its server's clock. These are the true bounds, with
// made for the version in the answer and sent for the one that the client had sent:
//
//   - a create answered with an object: that was made between received and answered
//   - an update or patch answered with an object: it was made before answered; after
//     received where the client had sent another version, for otherwise it may be that
//     nothing changed
//   - an update that succeeded with sent: sent was the current version meanwhile, or it
//     would have been a conflict; so it was made before answered
//   - of any two successes about one object that saw different versions as the current
//     one: the later version was made after the one that saw the earlier was received
//
// The last two hold without bodies, at level Metadata.
func (s *Estimator) Add(e *audit.Event) {
	if !Tells(e) {
		return
	}
	sent, made := number(e.Text[audit.ResourceVersion]), uint64(0)
	if len(e.ResponseObject) > 0 {
		s.metadata.AnyIn(e.ResponseObject, func(v audit.Value) bool {
			made = number(v.Bytes)
			return true
		})
	}
	update, create := string(e.Text[audit.Verb]) == "update", string(e.Text[audit.Verb]) == "create"
	current := cmp.Or(made, sent)
	if current == 0 || made == 0 && !update {
		return
	}
	srv := s.server(e)
	if srv == nil {
		return
	}
	srv.ceilings = addPoint(srv.ceilings, point{current, e.Staged}, ceilings)
	if made != 0 && (create || update && sent != 0 && sent != made) {
		srv.floors = addPoint(srv.floors, point{made, e.Received}, floors)
	}
	s.pair(e, srv, current)
}

// Tells reports whether e may tell something: it is of a write to the cluster's etcd that
// succeeded. Kubernetes' own events may be in an etcd of their own, and so is what other
// servers serve. Most events are of no write, so that is looked at first.
func Tells(e *audit.Event) bool {
	switch string(e.Text[audit.Verb]) {
	case "create":
		if len(e.Text[audit.Subresource]) > 0 {
			return false
		}
	case "update", "patch":
	default:
		return false
	}
	if e.Code < 200 || e.Code > 299 || e.Received == audit.NoTime || e.Staged == audit.NoTime || e.Staged < e.Received ||
		string(e.Text[audit.Stage]) != "ResponseComplete" || string(e.Text[audit.Resource]) == "events" ||
		bytes.HasPrefix(e.Text[audit.Destination], []byte(`["apiservice/`)) {
		return false
	}
	group := e.Text[audit.APIGroup]
	return (bytes.IndexByte(group, '.') < 0 || bytes.HasSuffix(group, []byte(".k8s.io"))) &&
		!bytes.Contains(e.Text[audit.RequestURI], []byte("dryRun"))
}

// number reads a resourceVersion; 0 is none.
func number(b []byte) uint64 {
	if len(b) == 0 || len(b) > 18 {
		return 0
	}
	n := uint64(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		n = 10*n + uint64(c-'0')
	}
	return n
}

func (s *Estimator) server(e *audit.Event) *server {
	c := s.clusters[string(e.Text[audit.Cluster])]
	if c == nil {
		if len(s.clusters) >= maxClusters {
			return nil
		}
		c = &cluster{map[string]*server{}}
		s.clusters[string(e.Text[audit.Cluster])] = c
	}
	srv := c.servers[string(e.Text[audit.Server])]
	if srv == nil && len(c.servers) < maxServers {
		srv = &server{}
		c.servers[string(e.Text[audit.Server])] = srv
	}
	return srv
}

// pair compares the version that e saw with the one that another event saw.
func (s *Estimator) pair(e *audit.Event, by *server, version uint64) {
	k := s.key[:0]
	for _, c := range []audit.Column{audit.Cluster, audit.APIGroup, audit.Resource, audit.Namespace, audit.Name} {
		k = append(append(k, e.Text[c]...), 0)
	}
	if s.key = k; len(k) > 1024 || len(e.Text[audit.Name]) == 0 {
		return
	}
	now := seen{version, by, e.Received}
	last := s.young[string(k)]
	if last == nil {
		last = s.old[string(k)]
	}
	if last == nil {
		s.remember(string(k), &now)
		return
	}
	if first, later := *last, now; first.version != version {
		if version < first.version {
			first, later = later, first
		}
		first.server.floors = addPoint(first.server.floors, point{later.version, first.received}, floors)
	}
	*last = now
}

// remember keeps what was seen of an object, and forgets the half of all objects that
// were new before the others.
func (s *Estimator) remember(object string, x *seen) {
	if len(s.young) >= maxObjects/2 {
		s.young, s.old = map[string]*seen{}, s.young
	}
	s.young[object] = x
}

// addPoint adds a point and, where there are many, keeps those that may bound most.
func addPoint(points []point, p point, front func([]point) []point) []point {
	if points = append(points, p); len(points) < 2*maxPoints {
		return points
	}
	points = front(points)
	for len(points) > maxPoints { // they are spread evenly
		half := points[:0]
		for i, p := range points {
			if i%2 == 0 {
				half = append(half, p)
			}
		}
		points = half
	}
	return points
}

// floors keeps the points that say what no other does: an earlier version that was not
// made before a later time says more.
func floors(points []point) []point {
	slices.SortFunc(points, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.version, b.version), cmp.Compare(b.time, a.time))
	})
	front, latest := points[:0], int64(math.MinInt64)
	for _, p := range points {
		if p.time > latest {
			front, latest = append(front, p), p.time
		}
	}
	return front
}

// ceilings likewise: a later version that was made before an earlier time says more.
func ceilings(points []point) []point {
	slices.SortFunc(points, func(a, b point) int {
		return cmp.Or(cmp.Compare(b.version, a.version), cmp.Compare(a.time, b.time))
	})
	front, earliest := points[:0], int64(math.MaxInt64)
	for _, p := range points {
		if p.time < earliest {
			front, earliest = append(front, p), p.time
		}
	}
	slices.Reverse(front)
	return front
}
