package generate

// kind is one sort of event and how often it happens by itself.
type kind struct {
	weight int // of 10,000, or thereabouts
	make   func(*Generator, *kind)
	res    resource
	verb   verb
	query  string
	// Of 1024 requests, how many fail by being forbidden, by asking for what is not
	// there, and by a conflict.
	refused, missing, stale int
}

// kinds is the traffic of the cluster. A level is that of a common policy: bodies of
// what changes things, none of what is only read, Metadata for leases and for what
// holds secrets, with the exceptions below.
func kinds() []kind {
	return []kind{
		{weight: 1850, make: (*Generator).nodeLease},
		{weight: 500, make: (*Generator).leaderLease},
		{weight: 520, make: (*Generator).read, res: configmaps, verb: get, missing: 40},
		{weight: 420, make: (*Generator).read, res: pods, verb: get, missing: 60, refused: 10},
		{weight: 300, make: (*Generator).read, res: deployments, verb: get, missing: 20, refused: 10},
		{weight: 260, make: (*Generator).read, res: services, verb: get, missing: 20},
		{weight: 200, make: (*Generator).read, res: replicasets, verb: get, missing: 30},
		{weight: 160, make: (*Generator).read, res: secrets, verb: get, missing: 30, refused: 120},
		{weight: 120, make: (*Generator).read, res: nodes, verb: get, refused: 20},
		{weight: 80, make: (*Generator).read, res: namespaces, verb: get, refused: 20},
		{weight: 60, make: (*Generator).read, res: externalsecrets, verb: get},
		{weight: 60, make: (*Generator).read, res: certificates, verb: get},
		{weight: 60, make: (*Generator).read, res: rolebindings, verb: get, refused: 80},
		{weight: 50, make: (*Generator).read, res: statefulsets, verb: get},
		{weight: 30, make: (*Generator).read, res: persistentvolumeclaims, verb: get, missing: 30},
		{weight: 210, make: (*Generator).read, res: pods, verb: list, query: "?limit=500"},
		{weight: 110, make: (*Generator).read, res: nodes, verb: list, query: "?limit=500", refused: 40},
		{weight: 90, make: (*Generator).read, res: services, verb: list, query: "?limit=500"},
		{weight: 90, make: (*Generator).read, res: secrets, verb: list, query: "?limit=500", refused: 300},
		{weight: 60, make: (*Generator).read, res: ingresses, verb: list, query: "?labelSelector=app.kubernetes.io%2Fmanaged-by%3DHelm\\u0026limit=500"},
		{weight: 50, make: (*Generator).read, res: events, verb: list, query: "?fieldSelector=involvedObject.kind%3DPod\\u0026limit=500"},
		{weight: 40, make: (*Generator).read, res: customresourcedefinitions, verb: list, query: "?limit=500", refused: 100},
		{weight: 40, make: (*Generator).read, res: clusterroles, verb: list, query: "?limit=500", refused: 100},
		{weight: 500, make: (*Generator).watch},
		{weight: 260, make: (*Generator).health},
		{weight: 30, make: (*Generator).unauthorized},
		{weight: 380, make: (*Generator).accessReview},
		{weight: 170, make: (*Generator).tokenReview},
		{weight: 240, make: (*Generator).tokenRequest},
		{weight: 250, make: (*Generator).autoscaler, stale: 20},
		{weight: 190, make: (*Generator).config, stale: 30},
		{weight: 60, make: (*Generator).secret, stale: 10},
		{weight: 120, make: (*Generator).application},
		{weight: 80, make: (*Generator).job},
		{weight: 80, make: (*Generator).nodeStatus},
		{weight: 70, make: (*Generator).deploymentStatus, stale: 80},
		{weight: 70, make: (*Generator).slice, stale: 20},
		{weight: 225, make: (*Generator).podFlap},
		{weight: 40, make: (*Generator).deploymentPatch, refused: 60},
		{weight: 20, make: (*Generator).exec, refused: 100},
		{weight: 2, make: (*Generator).podTable},
		{weight: 1, make: (*Generator).podList},
		{weight: 84, make: (*Generator).replace},
	}
}

// lottery is a wheel of indexes into kinds, each as often as its weight says.
func lottery(kinds []kind) []uint8 {
	var wheel []uint8
	for i, k := range kinds {
		for range k.weight {
			wheel = append(wheel, uint8(i))
		}
	}
	return wheel
}

// fail decides whether the call fails in one of the ways of its kind. Only people
// and a few careless workloads are refused.
func (g *Generator) fail(k *kind) bool {
	c := &g.c
	x := int(g.r.next() >> 54)
	switch {
	case x < k.refused:
		if !c.by.forbid {
			c.by = g.world.people[g.peopleZ.draw(&g.r)]
		}
		c.failure, c.code = forbidden, 403
	case x < k.refused+k.missing:
		c.failure, c.code = notFound, 404
	case x < k.refused+k.missing+k.stale:
		c.failure, c.code = conflict, 409
	default:
		return false
	}
	return true
}

// reader picks one who reads: most often an operator, then a person or a workload.
func (g *Generator) reader(d *workload) *actor {
	switch x := g.r.next() >> 61; {
	case x < 3:
		return g.world.robots[g.robotZ.draw(&g.r)]
	case x < 5 || d.sa == nil:
		return g.world.people[g.peopleZ.draw(&g.r)]
	default:
		return d.sa
	}
}

// workload picks a workload, the busy ones more often, and fills in its slots.
func (g *Generator) workload() *workload {
	d := g.world.workloads[g.workZ.draw(&g.r)]
	g.use(d)
	return d
}

func (g *Generator) use(d *workload) {
	copy(g.v[:numWorkloadSlots], d.slots[:])
	g.v[slotUID], g.v[slotCreated] = d.uid, d.created
}

// step gives an object its next resource version.
func (g *Generator) step(version *uint64) {
	g.v[slotRVOld] = g.number(*version)
	g.version += 1 + g.r.next()>>62
	*version = g.version
	g.v[slotRV] = g.number(g.version)
}

// fresh gives a new object its first resource version.
func (g *Generator) fresh() {
	old := g.version - 1 - g.r.next()>>48
	g.step(&old)
}

func (g *Generator) nodeLease(*kind) {
	n := g.world.nodes[g.r.below(numNodes)]
	c := &g.c
	c.level, c.verb, c.by, c.res = "Metadata", update, n.kubelet, leases
	c.ns, c.name, c.query = g.text("kube-node-lease"), n.slots[0], "?timeout=10s"
	c.uid = n.slots[slotNodeUID2-slotNode]
	g.fresh()
	c.rv = g.v[slotRVOld]
	g.write(0, "", "")
}

func (g *Generator) leaderLease(*kind) {
	c := &g.c
	c.level, c.verb, c.res = "Metadata", update, leases
	g.fresh()
	switch g.r.next() >> 62 {
	case 0:
		c.by, c.ns, c.name = g.world.manager, g.text("kube-system"), g.text("kube-controller-manager")
		c.query, c.uid = "?timeout=5s", g.world.nodes[0].slots[slotNodeUID3-slotNode]
	case 1:
		c.by, c.ns, c.name = g.world.scheduler, g.text("kube-system"), g.text("kube-scheduler")
		c.query, c.uid = "?timeout=5s", g.world.nodes[1].slots[slotNodeUID3-slotNode]
	default:
		i := g.robotZ.draw(&g.r)
		c.by, c.ns, c.name = g.world.robots[i], g.text("kube-system"), g.text("operator-lock")
		c.uid = g.world.nodes[2+i].slots[slotNodeUID3-slotNode]
	}
	c.rv = g.v[slotRVOld]
	g.write(0, "", "")
}

// read makes a get or a list, whose response is not recorded.
func (g *Generator) read(k *kind) {
	d := g.workload()
	c := &g.c
	c.level, c.verb, c.res, c.query, c.ns = "Request", k.verb, k.res, k.query, d.slots[slotNS]
	c.by = g.reader(d)
	switch k.res {
	case secrets, configmaps:
		c.level = "Metadata"
	case nodes, namespaces, customresourcedefinitions, clusterroles:
		c.ns = nil
	}
	if k.verb == get {
		c.name = g.nameOf(d, k.res)
	}
	g.fail(k)
	g.write(0, "", "")
}

// nameOf names an object that belongs to a workload.
func (g *Generator) nameOf(d *workload, res resource) []byte {
	app := d.slots[slotApp]
	switch res {
	case pods:
		return g.podOf(d).name
	case nodes:
		return g.world.nodes[g.r.below(numNodes)].slots[0]
	case namespaces:
		return d.slots[slotNS]
	case replicasets:
		return g.join(app, []byte{'-'}, d.slots[slotHash])
	case secrets:
		return g.join(app, []byte("-secrets"))
	case configmaps:
		return g.join(app, []byte("-config"))
	}
	return app
}

func (g *Generator) podOf(d *workload) *pod { return g.world.pods[d.first+g.r.below(d.pods)] }

// watch is a watch that is open.
type watch struct {
	id       [36]byte
	by       *actor
	res      resource
	received int64
}

// watch closes the oldest watch of a slot and opens it again: ResponseComplete, then
// ResponseStarted, of one request each.
func (g *Generator) watch(*kind) {
	w := &g.watches[g.r.below(len(g.watches))]
	c := &g.c
	c.level, c.verb = "Request", watching
	if w.by == nil {
		w.by = g.world.nodes[g.r.below(numNodes)].kubelet
		if g.r.chance(400) {
			w.by = g.world.robots[g.robotZ.draw(&g.r)]
		}
		w.res = [...]resource{pods, services, configmaps, nodes, endpointslices, secrets, deployments, ingresses}[g.r.below(8)]
		w.received = g.now - g.latency()
		g.auditID(w.id[:0], g.index)
		c.stage = "ResponseStarted"
	}
	if w.res == configmaps || w.res == secrets {
		c.level = "Metadata"
	}
	c.by, c.res, c.received, c.id = w.by, w.res, w.received, w.id[:]
	c.query = "?allowWatchBookmarks=true\\u0026timeoutSeconds=497\\u0026watch=true"
	if c.stage == "ResponseComplete" {
		w.by = nil
	}
	g.write(0, "", "")
}

func (g *Generator) health(*kind) {
	c := &g.c
	c.level, c.verb = "Metadata", get
	switch g.r.next() >> 61 {
	case 0, 1, 2:
		c.by, c.path = g.world.anonymous, "/readyz"
	case 3, 4:
		c.by, c.path = g.world.anonymous, "/livez?verbose"
	case 5:
		c.by, c.path = g.world.robots[0], "/metrics"
	case 6:
		c.by, c.path = g.world.people[g.peopleZ.draw(&g.r)], "/openapi/v3?timeout=32s"
	default:
		c.by, c.path = g.world.people[g.peopleZ.draw(&g.r)], "/api?timeout=32s"
	}
	g.write(0, "", "")
}

func (g *Generator) unauthorized(*kind) {
	c := &g.c
	c.level, c.stage, c.verb, c.res = "Request", "ResponseStarted", list, pods
	c.by, c.query, c.failure, c.code = g.world.stranger, "?limit=500", unauthorized, 401
	c.ns = g.workload().slots[slotNS]
	g.write(0, "", "")
}
