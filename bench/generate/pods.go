package generate

// usePod fills in the slots of a pod and of its node.
func (g *Generator) usePod(p *pod) {
	v := &g.v
	copy(v[slotNode:slotImages+1], p.node.slots[:])
	v[slotName], v[slotUID], v[slotCreated] = p.name, p.uid, p.created
	v[slotAccess], v[slotPodIP], v[slotCID], v[slotStarted] = p.access, p.ip, p.cid, p.started
	v[slotRestarts], v[slotPodGen] = g.number(uint64(p.restarts)), g.number(uint64(p.gen))
	v[slotReady], v[slotIsReady], v[slotNotReady] = g.text("True"), g.text("true"), nil
}

// queue holds pods that are being replaced; the first one is at a step of it.
type queue struct {
	pods []int32
	step step
}

func (q *queue) push(pod int) {
	if len(q.pods) < 64 {
		q.pods = append(q.pods, int32(pod))
	}
}

// pop returns the next step of the pod in front.
func (q *queue) pop() (step, int, bool) {
	if len(q.pods) == 0 {
		return 0, 0, false
	}
	s, p := q.step, int(q.pods[0])
	if q.step++; q.step == numSteps {
		q.step = 0
		q.pods = q.pods[:copy(q.pods, q.pods[1:])]
	}
	return s, p, true
}

// replace begins to replace a pod: everything else that happens to it follows.
func (g *Generator) replace(k *kind) {
	d := g.world.workloads[g.workZ.draw(&g.r)]
	q := &g.queues[g.r.below(len(g.queues))]
	q.push(d.first + g.r.below(d.pods))
	s, p, _ := q.pop()
	g.podStep(s, p)
}

// step is one event in the replacement of a pod.
type step uint8

const (
	stepDelete step = iota
	stepKilling
	stepSliceWithout
	stepSetWithout
	stepGone
	stepGoneAgain
	stepCreate
	stepBind
	stepScheduled
	stepPending
	stepPulled
	stepStarted
	stepRunning
	stepSetWith
	stepSliceWith
	stepDeployment
	numSteps
)

func (g *Generator) podStep(s step, i int) {
	p := g.world.pods[i]
	d := p.work
	g.use(d)
	c := &g.c
	switch s {
	case stepSliceWithout, stepSliceWith:
		g.endpoints(nil, d)
		return
	case stepDeployment:
		g.status(nil, d)
		return
	case stepSetWithout, stepSetWith:
		g.replicaSet(d, s == stepSetWith)
		return
	case stepCreate:
		p.renew(&g.r, g.world, g.now)
	}
	g.usePod(p)
	c.ns, c.name, c.res = d.slots[slotNS], p.name, pods
	switch s {
	case stepDelete:
		p.gen++
		g.step(&p.rv)
		c.verb, c.by = remove, g.world.controller["replicaset-controller"]
		g.v[slotPodGen], g.v[slotNow30] = g.number(uint64(p.gen)), g.time(g.now+30*second)
		g.write(d.shape, "delete.options", "pod.deleting")
	case stepGone:
		g.step(&p.rv)
		c.verb, c.by = remove, p.node.kubelet
		g.v[slotNow30] = g.v[slotNow]
		g.write(d.shape, "delete.now", "pod.deleting")
	case stepGoneAgain:
		c.verb, c.by = remove, p.node.kubelet
		c.failure, c.code = notFound, 404
		g.write(d.shape, "delete.now", "")
	case stepCreate:
		c.verb, c.by, c.code = create, g.world.controller["replicaset-controller"], 201
		c.name = nil // generateName: the request does not know it
		c.after = g.text(`"pod-security.kubernetes.io/enforce-policy":"baseline:latest"`)
		g.step(&p.rv)
		g.write(d.shape, "pod.request", "pod.created")
	case stepBind:
		c.verb, c.by, c.sub, c.code, c.failure = create, g.world.scheduler, "binding", 201, createdOK
		c.uid = p.uid
		g.write(d.shape, "pod.binding", "")
	case stepPending, stepRunning:
		g.podStatus(p, s == stepRunning)
	default:
		g.podEvent(s, p)
	}
}

// podStatus is the kubelet reporting on a pod.
func (g *Generator) podStatus(p *pod, running bool) {
	c := &g.c
	c.verb, c.by, c.res, c.sub = patch, p.node.kubelet, pods, "status"
	c.ns, c.name = p.work.slots[slotNS], p.name
	g.step(&p.rv)
	if running {
		g.write(p.work.shape, "pod.patch.running", "pod.running")
	} else {
		g.write(p.work.shape, "pod.patch.pending", "pod.pending")
	}
}

// podFlap is a pod that stops or starts being ready.
func (g *Generator) podFlap(*kind) {
	d := g.workload()
	p := g.podOf(d)
	g.usePod(p)
	if g.r.chance(400) {
		g.v[slotReady], g.v[slotIsReady] = g.text("False"), g.text("false")
		g.v[slotNotReady] = g.text(`,"reason":"ContainersNotReady","message":"containers with unready status"`)
		p.restarts++
	}
	g.podStatus(p, true)
}

// podEvent is an event of kind Event, of the scheduler or of the kubelet.
func (g *Generator) podEvent(s step, p *pod) {
	d, c, v := p.work, &g.c, &g.v
	c.verb, c.res, c.code, c.by = create, events, 201, p.node.kubelet
	v[slotComponent], v[slotInstance] = g.text("kubelet"), v[slotNode]
	v[slotEventHost] = g.join([]byte(`,"host":"`), v[slotNode], []byte{'"'})
	v[slotFieldPath] = g.join([]byte(`,"fieldPath":"spec.containers{`), d.slots[slotApp], []byte(`}"`))
	v[slotEType], v[slotEHash], v[slotNewUID] = g.text("Normal"), g.hex(16), g.uuid()
	switch s {
	case stepKilling:
		v[slotReason], v[slotMessage] = g.text("Killing"), g.join([]byte("Stopping container "), d.slots[slotApp])
	case stepScheduled:
		c.by = g.world.scheduler
		v[slotComponent], v[slotInstance] = g.text("default-scheduler"), g.text("default-scheduler-cp-0")
		v[slotEventHost], v[slotFieldPath], v[slotReason] = nil, nil, g.text("Scheduled")
		v[slotMessage] = g.join([]byte("Successfully assigned "), d.slots[slotNS], []byte{'/'}, p.name, []byte(" to "), v[slotNode])
	case stepPulled:
		v[slotReason], v[slotMessage] = g.text("Pulled"), g.join([]byte(`Container image \"`), d.slots[slotImage], []byte(`\" already present on machine`))
	default:
		v[slotReason], v[slotMessage] = g.text("Started"), g.join([]byte("Container started: "), d.slots[slotApp])
	}
	v[slotRVOld] = g.number(p.rv)
	old := v[slotRVOld]
	g.fresh()
	v[slotRVOld] = old
	c.name, c.nameless = g.join(p.name, []byte{'.'}, v[slotEHash]), true
	g.write(d.shape, "event.request", "event.response")
}

// replicaSet is the controller reporting how many pods of a replica set are ready.
func (g *Generator) replicaSet(d *workload, all bool) {
	c := &g.c
	c.verb, c.by, c.res, c.sub = update, g.world.controller["replicaset-controller"], replicasets, "status"
	c.ns, c.name, c.uid = d.slots[slotNS], g.join(d.slots[slotApp], []byte{'-'}, d.slots[slotHash]), d.slots[slotRSUID]
	if !all {
		g.v[slotReadyReplicas] = g.number(uint64(d.replicas - 1))
	}
	g.step(&d.rsRV)
	c.rv = g.v[slotRVOld]
	g.write(d.shape, "rs.request", "rs.response")
}

// exec is a person opening a shell in a pod.
func (g *Generator) exec(k *kind) {
	d := g.workload()
	c := &g.c
	c.level, c.stage, c.verb, c.res, c.sub, c.code = "Request", "ResponseStarted", get, pods, "exec", 101
	c.by, c.ns, c.name = g.world.people[g.peopleZ.draw(&g.r)], d.slots[slotNS], g.podOf(d).name
	c.query = "?command=sh\\u0026stderr=true\\u0026stdin=true\\u0026stdout=true\\u0026tty=true"
	g.fail(k)
	g.write(d.shape, "", "")
}

// podTable is what `kubectl get pods -A` gets: as many rows as it asked for.
func (g *Generator) podTable(*kind) { g.pods("pod.table", "pod.row", 40+g.r.below(460)) }

// podList is the full list of pods as a client library gets it.
func (g *Generator) podList(*kind) { g.pods("pod.list", "pod.item", 20+g.r.below(100)) }

// pods makes a list of n pods, the rare response of hundreds of KB.
func (g *Generator) pods(head, item string, n int) {
	c := &g.c
	c.verb, c.res, c.query = list, pods, "?limit=500"
	c.by = g.world.people[g.peopleZ.draw(&g.r)]
	g.fresh()
	g.begin()
	if _, response := c.bodies(); response {
		g.line = append(g.line, `,"responseObject":`...)
		g.line = g.forms[0][head].append(g.line, &g.v)
		from := g.r.below(len(g.world.pods) - n)
		for i, p := range g.world.pods[from : from+n] {
			if i > 0 {
				g.line = append(g.line, ',')
			}
			g.use(p.work)
			g.usePod(p)
			g.v[slotRV], g.v[slotAge] = g.number(p.rv), g.text("17h")
			g.line = g.forms[p.work.shape][item].append(g.line, &g.v)
		}
		g.line = append(g.line, "]}"...)
	}
	g.end()
}
