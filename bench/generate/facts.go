package generate

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Facts are questions about the events with their answers. They hold for all of
// them once Next has returned nil; the names are known from the beginning.
type Facts struct {
	Events  int64
	Bytes   int64 // of the lines, newlines included
	Day     time.Time
	Deleted Object // deleted once, by DeletedBy, in the event DeletedID
	Hot     Object // changed many times, at level RequestResponse

	DeletedBy     string
	DeletedID     string
	DeletedEvents int // about Deleted in all: made, read, deleted, missed

	MiddleID string // the audit ID of one event, half way through

	HotEvents int // about Hot, all of them with both bodies

	Needle       string // occurs in bodies only
	NeedleEvents int    // in those of so many events

	Top       []Count  // by (user, verb, resource), most frequent first, then by key
	Minutes   []int64  // events by minute of the day
	Forbidden []Count  // 403s by user, likewise
	Last      []string // audit IDs of the last 50 events, newest first
}

// Object names one object.
type Object struct{ Resource, Namespace, Name string }

// Count is one group of events.
type Count struct {
	Key    []string
	Events int64
}

// tally counts events while they are made.
type tally struct {
	bytes     int64
	groups    [][numVerbs][numResources]int64 // by actor
	forbidden []int64                         // by actor
	minutes   [1440]int64
	last      [50][36]byte // a ring, by index
}

func (t *tally) grow(actors int) {
	t.groups = make([][numVerbs][numResources]int64, actors)
	t.forbidden = make([]int64, actors)
}

// count notes the event that was just made.
func (g *Generator) count() {
	c, t := &g.c, &g.tally
	t.bytes += int64(len(g.line)) + 1
	t.groups[c.by.id][c.verb][c.res]++
	t.minutes[(g.now-g.start)/minute]++
	if c.code == 403 {
		t.forbidden[c.by.id]++
	}
	copy(t.last[g.index%50][:], c.id)
}

// Facts returns what is known of the events made so far.
func (g *Generator) Facts() Facts {
	f, t := g.facts, &g.tally
	f.Events, f.Bytes, f.Day = g.index, t.bytes, g.cfg.Start
	f.Minutes = slices.Clone(t.minutes[:])
	for _, a := range g.world.actors {
		if n := t.forbidden[a.id]; n > 0 {
			f.Forbidden = append(f.Forbidden, Count{[]string{a.name}, n})
		}
		for verb, row := range t.groups[a.id] {
			for res, n := range row {
				if n > 0 {
					f.Top = append(f.Top, Count{[]string{a.name, verbNames[verb], resources[res].name}, n})
				}
			}
		}
	}
	order := func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), slices.CompareFunc(a.Key, b.Key, strings.Compare))
	}
	slices.SortFunc(f.Top, order)
	slices.SortFunc(f.Forbidden, order)
	for i := range min(g.index, 50) {
		f.Last = append(f.Last, string(t.last[(g.index-1-i)%50][:]))
	}
	return f
}

// special is an event that happens at or just after an index, come what may.
type special struct {
	at   int64
	make func(*Generator)
}

// plan decides beforehand what the facts are about: a configmap that alice makes, that
// is read, that mallory deletes and that is then missed; one read half way through;
// and a deployment that is changed up to 1,000 times in the day, by people and by its
// controller.
func (g *Generator) plan() {
	n := g.cfg.Events
	g.facts.Deleted = Object{"configmaps", "payments", "ledger-cutover-flags"}
	g.facts.Hot = Object{"deployments", "payments", "payments-gateway"}
	g.facts.Needle = "release-candidate-4f1c9d27b6"
	g.hot.every = max(n/1000, 10)
	g.hot.times = n / g.hot.every
	person := func(name string) *actor {
		for _, a := range g.world.people {
			if a.name == name {
				return a
			}
		}
		panic("generate: nobody is called " + name)
	}
	alice, mallory, bob := person("alice"), person("mallory"), person("bob")
	deleted := func(at int64, v verb, by *actor, code int, f failure) special {
		return special{at, func(g *Generator) { g.deletedEvent(v, by, code, f) }}
	}
	g.special = []special{
		deleted(n*11/100, create, alice, 201, succeeded),
		deleted(n*23/100, get, bob, 200, succeeded),
		deleted(n*31/100, get, mallory, 200, succeeded),
		{n / 2, (*Generator).middleEvent},
		deleted(n*62/100, remove, mallory, 200, deletedOK),
		deleted(n*63/100, get, alice, 404, notFound),
		deleted(n*64/100, get, bob, 404, notFound),
	}
	d := *g.world.workloads[numWorkloads-1]
	d.app, d.ns, d.shape = g.facts.Hot.Name, g.facts.Hot.Namespace, 1
	d.uid = uuid(&g.r)
	d.set(slotApp, d.app)
	d.set(slotNS, d.ns)
	d.set(slotRepo, "registry.example.com/shop/"+d.app)
	d.release(&g.r)
	g.hot.work = &d
}

func (g *Generator) deletedEvent(v verb, by *actor, code int, f failure) {
	c := &g.c
	c.level, c.verb, c.by, c.res, c.code, c.failure = "Metadata", v, by, configmaps, code, f
	c.ns, c.name, c.nameless = []byte(g.facts.Deleted.Namespace), []byte(g.facts.Deleted.Name), v == create
	if f == deletedOK {
		c.gone = g.uuid()
	}
	g.write(0, "", "")
	g.facts.DeletedEvents++
	if v == remove {
		g.facts.DeletedBy, g.facts.DeletedID = by.name, string(c.id)
	}
}

func (g *Generator) middleEvent() {
	d := g.workload()
	c := &g.c
	c.level, c.verb, c.by, c.res = "Metadata", get, g.world.people[0], secrets
	c.ns, c.name = d.slots[slotNS], g.nameOf(d, secrets)
	g.write(0, "", "")
	g.facts.MiddleID = string(c.id)
}

// hot is the deployment that is changed all day.
type hot struct {
	work         *workload
	every, times int64
	done         int64
}

func (h *hot) due(index int64) bool { return h.done < h.times && index >= h.done*h.every+h.every/2 }

// hotEvent changes the hot deployment: every fourth time a pipeline sets its image,
// otherwise its controller reports. Seven changes and what follows them name the
// needle as the image.
func (g *Generator) hotEvent() {
	h := &g.hot
	d := h.work
	rollout := h.done%4 == 0
	if rollout {
		d.release(&g.r)
		if h.done/4%32 == 7 {
			d.set(slotImage, string(d.slots[slotRepo])+":"+g.facts.Needle)
		}
		d.gen++
		d.revision++
		d.count()
	}
	g.use(d)
	if rollout {
		c := &g.c
		c.verb, c.by, c.res, c.query = patch, g.world.robots[15], deployments, "?fieldManager=kubectl-set"
		c.ns, c.name = d.slots[slotNS], d.slots[slotApp]
		g.step(&d.rv)
		g.write(d.shape, "deploy.patch.image", "deploy.response")
	} else {
		g.status(nil, d)
	}
	h.done++
	g.facts.HotEvents++
	if h.done > 0 && (h.done-1)/4%32 == 7 && !g.cfg.Metadata {
		g.facts.NeedleEvents++
	}
}
