// Package generate makes up audit events: the lines that kube-apiserver v1.36 would
// write for one day of a busy cluster of 200 nodes, 1,200 workloads and 57 people,
// byte for byte in its JSON form. Benchmarks need more events than any log that may
// be published holds, and answers that are known beforehand.
//
// The same [Config] gives the same bytes every time on one architecture (another may
// round a time otherwise). What is random in a cluster (UUIDs,
// resource versions, times, hashes, tokens, addresses) is random here, digit by digit;
// what repeats there (objects, bodies, users) repeats here: a pod is created, bound,
// reported running and deleted by the events that a real one leaves behind, its later
// bodies resembling its earlier ones. The bodies follow those of a real log, see
// forms.txt.
package generate

import (
	"fmt"
	"strconv"
	"time"
)

// Config says which events to make.
type Config struct {
	Events   int64 // how many, at least 100
	Seed     uint64
	Start    time.Time // midnight of the day they happen on; zero: 2026-11-20 UTC
	Metadata bool      // every event at level Metadata: no bodies
}

// Generator makes events one after the other. It is not safe for concurrent use.
type Generator struct {
	cfg   Config
	start int64
	world *world
	forms *forms
	r     random
	v     values
	line  []byte
	arena []byte // holds what random values a line needs, until the next

	index   int64
	now     int64 // of the event being made, in microseconds
	share   [1441]float64
	minute  int
	version uint64 // the newest resource version of the cluster

	kinds   []kind
	lottery []uint8 // kinds by weight
	workZ   zipf
	peopleZ zipf
	robotZ  zipf
	queues  [64]queue
	watches []watch
	special []special
	hot     hot
	c       call
	tally   tally
	facts   Facts
}

// New makes a generator, or says what is wrong with the configuration.
func New(cfg Config) (*Generator, error) {
	if cfg.Events < 100 {
		return nil, fmt.Errorf("generate: %d events are too few, 100 are needed", cfg.Events)
	}
	if cfg.Start.IsZero() {
		cfg.Start = firstDay()
	}
	compiled, err := loadForms()
	if err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	g := &Generator{cfg: cfg, start: cfg.Start.UnixMicro(), forms: compiled, r: random{mix(cfg.Seed)}, share: rhythm(),
		line: make([]byte, 0, 1<<20), arena: make([]byte, 0, 1<<16), version: 800_000_000}
	g.world = newWorld(&g.r, g.start)
	g.workZ = newZipf(numWorkloads, 0.9)
	g.peopleZ = newZipf(len(g.world.people), 1.1)
	g.robotZ = newZipf(len(g.world.robots), 1)
	g.kinds = kinds()
	g.lottery = lottery(g.kinds)
	g.watches = make([]watch, 512)
	g.tally.grow(len(g.world.actors))
	g.plan()
	return g, nil
}

// Next returns the next line without its newline, or nil after the last. The bytes
// are valid until the next call. Stage timestamps never go back.
func (g *Generator) Next() []byte {
	if g.index == g.cfg.Events {
		return nil
	}
	g.advance()
	g.line, g.arena, g.c = g.line[:0], g.arena[:0], call{level: "RequestResponse", stage: "ResponseComplete", code: 200}
	g.v[slotNow] = g.time(g.now)
	switch {
	case len(g.special) > 0 && g.index >= g.special[0].at:
		s := g.special[0]
		g.special = g.special[1:]
		s.make(g)
	case g.hot.due(g.index):
		g.hotEvent()
	default:
		g.ordinary()
	}
	g.index++
	return g.line
}

// advance moves the clock to the next event: events are spread over the day by the
// rhythm of its minutes, at random inside them.
func (g *Generator) advance() {
	x := (float64(g.index) + g.r.fraction()) / float64(g.cfg.Events)
	for x >= g.share[g.minute+1] && g.minute < 1439 {
		g.minute++
	}
	from, to := g.share[g.minute], g.share[g.minute+1]
	inside := int64((x - from) / (to - from) * minute)
	g.now = g.start + int64(g.minute)*minute + min(max(inside, 0), minute-1)
}

// ordinary makes the next event of a pod that is being replaced, or any other.
func (g *Generator) ordinary() {
	if g.r.chance(440) {
		q := &g.queues[g.r.below(len(g.queues))]
		if step, p, ok := q.pop(); ok {
			g.podStep(step, p)
			return
		}
	}
	k := &g.kinds[g.lottery[g.r.next()%uint64(len(g.lottery))]]
	k.make(g, k)
}

// The functions below make a value that lives until the next line.

func (g *Generator) made(from int) []byte { return g.arena[from:len(g.arena):len(g.arena)] }

func (g *Generator) uuid() []byte {
	from := len(g.arena)
	g.arena = appendUUID(g.arena, g.r.next(), g.r.next())
	return g.made(from)
}

func (g *Generator) hex(n int) []byte {
	from := len(g.arena)
	g.arena = appendHex(g.arena, &g.r, n)
	return g.made(from)
}

func (g *Generator) base64(alphabet string, n int) []byte {
	from := len(g.arena)
	g.arena = appendBase64(g.arena, &g.r, alphabet, n)
	return g.made(from)
}

func (g *Generator) number(n uint64) []byte {
	from := len(g.arena)
	g.arena = strconv.AppendUint(g.arena, n, 10)
	return g.made(from)
}

func (g *Generator) time(t int64) []byte {
	from := len(g.arena)
	g.arena = appendTime(g.arena, t)
	return g.made(from)
}

func (g *Generator) text(s string) []byte {
	from := len(g.arena)
	g.arena = append(g.arena, s...)
	return g.made(from)
}

// join makes one value of several.
func (g *Generator) join(parts ...[]byte) []byte {
	from := len(g.arena)
	for _, p := range parts {
		g.arena = append(g.arena, p...)
	}
	return g.made(from)
}

// call is one request and its result, as far as the envelope tells.
type call struct {
	level    string
	stage    string
	verb     verb
	by       *actor
	res      resource
	sub      string
	ns, name []byte
	nameless bool   // the URL has no name: create, list
	uid      []byte // where the request's body has one
	gone     []byte // of the object that was deleted
	rv       []byte // likewise
	query    string
	path     string // of a request for no resource
	code     int
	failure  failure
	id       []byte // "": one of its own
	received int64
	before   []byte // the annotation that sorts before the decision, as a JSON member
	after    []byte // likewise after it
}

// failure is why a request failed.
type failure uint8

const (
	succeeded failure = iota
	forbidden
	notFound
	conflict
	exists
	unauthorized
	deletedOK // a Status that says what was deleted
	createdOK // a Status that says that it was created
)

// auditID derives the audit ID of the event at an index: random, yet known beforehand.
func (g *Generator) auditID(b []byte, index int64) []byte {
	a := mix(g.cfg.Seed ^ mix(uint64(index)*golden+1))
	return appendUUID(b, a, mix(a+golden))
}

// begin writes the line up to where the bodies belong.
func (g *Generator) begin() {
	c := &g.c
	if g.cfg.Metadata {
		c.level = "Metadata"
	}
	if c.id == nil {
		from := len(g.arena)
		g.arena = g.auditID(g.arena, g.index)
		c.id = g.made(from)
	}
	b := append(g.line, `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"`...)
	b = append(b, c.level...)
	b = append(b, `","auditID":"`...)
	b = append(b, c.id...)
	b = append(b, `","stage":"`...)
	b = append(b, c.stage...)
	b = append(b, `","requestURI":"`...)
	b = c.appendURI(b)
	b = append(b, `","verb":"`...)
	b = append(b, verbNames[c.verb]...)
	b = append(b, `","user":`...)
	b = append(b, c.by.user...)
	b = append(b, `,"sourceIPs":["`...)
	b = append(b, c.by.ip...)
	b = append(b, `"],"userAgent":"`...)
	b = append(b, c.by.agent...)
	b = append(b, '"')
	if c.res != noResource {
		b = c.appendRef(b)
	}
	b = append(b, `,"responseStatus":{"metadata":{}`...)
	b = c.appendStatus(b)
	b = append(b, `,"code":`...)
	b = appendCode(b, c.code)
	g.line = append(b, '}')
}

func appendCode(b []byte, code int) []byte {
	return append(b, byte('0'+code/100), byte('0'+code/10%10), byte('0'+code%10))
}

// end writes the rest of the line and counts the event.
func (g *Generator) end() {
	c := &g.c
	if c.received == 0 {
		c.received = g.now - g.latency()
	}
	b := append(g.line, `,"requestReceivedTimestamp":"`...)
	b = appendMicro(b, c.received)
	b = append(b, `","stageTimestamp":"`...)
	b = appendMicro(b, g.now)
	b = append(b, '"')
	if c.failure != unauthorized {
		b = append(b, `,"annotations":{`...)
		if c.before != nil {
			b = append(append(b, c.before...), ',')
		}
		b = append(b, `"authorization.k8s.io/decision":"`...)
		if c.failure == forbidden {
			b = append(b, `forbid","authorization.k8s.io/reason":""`...)
		} else {
			b = append(b, `allow","authorization.k8s.io/reason":"`...)
			b = c.appendReason(b)
			b = append(b, '"')
		}
		if c.after != nil {
			b = append(append(b, ','), c.after...)
		}
		b = append(b, '}')
	}
	g.line = append(b, '}')
	g.count()
}

// latency is how long a request took: mostly a few milliseconds, with a long tail.
func (g *Generator) latency() int64 {
	x := g.r.next()
	return 400 + int64(x&0x7ff) + int64(x>>11&0x3fff)>>(x>>60&7)*int64(1+x>>40&3)
}

// bodies reports whether the event has a request's body, and a response's.
func (c *call) bodies() (request, response bool) {
	return c.level != "Metadata", c.level == "RequestResponse"
}

// write makes the whole line of the call from the forms of its bodies, "" for none.
// A failure replaces the response by its Status.
func (g *Generator) write(shape int, request, response string) {
	g.begin()
	c := &g.c
	hasRequest, hasResponse := c.bodies()
	if hasRequest && request != "" && c.failure != forbidden {
		g.line = append(g.line, `,"requestObject":`...)
		g.line = g.forms[shape][request].append(g.line, &g.v)
	}
	if hasResponse {
		switch {
		case c.failure != succeeded:
			g.line = append(g.line, `,"responseObject":{"kind":"Status","apiVersion":"v1","metadata":{}`...)
			g.line = c.appendStatus(g.line)
			if c.failure != deletedOK {
				g.line = append(g.line, `,"code":`...)
				g.line = appendCode(g.line, c.code)
			}
			g.line = append(g.line, '}')
		case response != "":
			g.line = append(g.line, `,"responseObject":`...)
			g.line = g.forms[shape][response].append(g.line, &g.v)
		}
	}
	g.end()
}
