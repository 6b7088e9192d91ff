package record

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kubetrail/policy"
)

// errNotStored is why blocking-strict refuses a request.
var errNotStored = errors.New("failed to store audit event")

// A recording is what is known of one request. It is the request's context as well, so
// that handlers find it, and is never used again for another one: whatever still holds
// it when the request is over finds it released, and changes nothing.
type recording struct {
	context.Context

	id  string
	lvl atomic.Int32 // undecided, 0 for None, or metadata to requestResponse

	// Set before lvl is, then read only.
	h        *recorder
	uri      string
	agent    string
	received time.Time
	request  policy.Request
	decision policy.Decision
	user     *User
	ips      []byte // sourceIPs as JSON
	long     bool   // there is an event at ResponseStarted

	writer writer

	mu sync.Mutex // owns what follows
	progress
	sent, answer *capture // bodies from the wire, nil where they are not looked at
	ref          objectRef
	impersonated *User
	constraint   string
	status       status
	bodies       [2]body // of the request and of the answer
	annotations  []annotation

	inline struct { // first memory for ips and annotations
		ips         [64]byte
		annotations [4]annotation
	}
}

// progress is what has happened to a request.
type progress struct {
	answered  bool // status is set
	truncated bool // bodies were too large
	pending   bool // ResponseStarted waits until what is answered is known
	logged    bool // the handler told what it answers
	released  bool // the request is over
}

// An objectRef is what a request is about. Upstream: audit.ObjectReference.
type objectRef struct {
	present                                             bool
	resource, namespace, name, uid, group, version, sub string
	resourceVersion                                     string
}

// A status is responseStatus.
type status struct {
	code                    int32
	status, message, reason string
	details                 []byte // JSON
}

// A body is the JSON of a body, nil where there is none, in memory of the pool.
type body struct {
	json   *[]byte
	budget int64 // bytes taken of MaxBodies
	unread bool  // it is {"raw": base64}
}

type annotation struct{ key, value string }

const (
	undecided = iota - 1 // before Handler
	nothing
	metadata
	request
	requestResponse
)

// levelOf returns the number of a level.
func levelOf(l policy.Level) int32 {
	switch l {
	case policy.LevelMetadata:
		return metadata
	case policy.LevelRequest:
		return request
	case policy.LevelRequestResponse:
		return requestResponse
	}
	return nothing
}

func (r *recording) level() int32 { return r.lvl.Load() }

// maxAgent is how many bytes of a user agent are recorded.
const maxAgent = 1024

// describe takes what an event says of a request from the request. mu is held.
func (r *recording) describe(req *http.Request) {
	r.agent = first(req.Header["User-Agent"])
	r.ips = appendSourceIPs(r.inline.ips[:0], req)
	if i := &r.request.RequestInfo; i.IsResourceRequest {
		r.ref = objectRef{
			present: true, resource: i.Resource, namespace: i.Namespace, name: i.Name,
			group: i.APIGroup, version: i.APIVersion, sub: i.Subresource,
		}
	}
}

// atStage is store for those who do not hold mu.
func (r *recording) atStage(s policy.Stage) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.store(s)
}

// store gives the event of a stage to the backend, and reports whether it is stored or
// there is none. mu is held.
func (r *recording) store(s policy.Stage) bool {
	if r.omits(s) {
		return true
	}
	h := r.h
	now := r.received
	if s != policy.StageRequestReceived {
		now = h.Now()
	}
	p, _ := h.sheets.Get().(*sheet)
	if p == nil {
		p = &sheet{}
		p.list[0] = &p.Event
	}
	p.fill(r, s, now)
	if h.Redact != nil {
		h.Redact(&p.Event)
	}
	if h.Metrics != nil {
		h.Metrics.events.Inc()
	}
	ok := h.Backend.ProcessEvents(p.list[:]...)
	r.judge(s, ok)
	p.RequestObject, p.ResponseObject = nil, nil
	if cap(p.line)+cap(p.scratch) <= maxPooled {
		h.sheets.Put(p)
	}
	return ok
}

// started notes that an answer begins, and stores the event that long-running requests
// have then.
func (r *recording) started(code int) {
	r.begin(code)
	r.writer.settle()
}

func (r *recording) begin(code int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := &r.writer
	if w.state.Load() != fresh {
		return
	}
	next := int32(passing)
	if !r.released && r.tapAnswer(code) || w.hold != nil {
		next = tapped
	}
	defer w.state.Store(next)
	if r.released {
		return
	}
	r.answered, r.status.code = true, int32(code)
	if r.long && !r.pending {
		r.store(policy.StageResponseStarted)
	}
}

// release gives back what the request held; from now on nothing changes it. mu is held.
func (r *recording) release() {
	r.released = true
	for i := range r.bodies {
		r.h.drop(&r.bodies[i])
	}
}

// annotate puts an annotation into a list that is sorted by key, unless the key is there.
func annotate(list []annotation, key, value string) []annotation {
	i, found := search(list, key)
	if found {
		return list
	}
	return slices.Insert(list, i, annotation{key, value})
}

func search(list []annotation, key string) (int, bool) {
	return slices.BinarySearchFunc(list, key, func(a annotation, key string) int { return strings.Compare(a.key, key) })
}
