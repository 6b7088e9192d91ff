package generate

// accessReview is an operator asking whether a person may see something.
func (g *Generator) accessReview(*kind) {
	g.workload()
	c := &g.c
	c.verb, c.res, c.code = create, subjectaccessreviews, 201
	c.by = g.world.robots[1+g.robotZ.draw(&g.r)%(len(g.world.robots)-1)]
	g.v[slotUser] = g.text(g.world.people[g.peopleZ.draw(&g.r)].name)
	g.v[slotManager] = c.by.agentName()
	g.write(0, "sar.request", "sar.response")
}

// agentName is the user agent up to its version: the manager of fields.
func (a *actor) agentName() []byte {
	for i, x := range a.agent {
		if x == '/' {
			return a.agent[:i]
		}
	}
	return a.agent
}

// tokenReview is an operator asking whose token it was given. The token is random.
func (g *Generator) tokenReview(*kind) {
	d := g.workload()
	p := g.podOf(d)
	c := &g.c
	c.verb, c.res, c.code = create, tokenreviews, 201
	c.by = g.world.robots[g.robotZ.draw(&g.r)]
	g.usePod(p)
	g.v[slotManager], g.v[slotNewUID] = c.by.agentName(), g.uuid()
	from := len(g.arena)
	g.arena = append(g.arena, "eyJhbGciOiJSUzI1NiIsImtpZCI6"...)
	g.arena = appendBase64(g.arena, &g.r, base64URL, 50)
	g.arena = append(g.arena, '.')
	// The payload of a token is base64 of JSON, most of it known, so it repeats; the
	// signature is 256 random bytes.
	g.arena = append(g.arena, "eyJhdWQiOlsiaHR0cHM6Ly9rdWJlcm5ldGVzLmRlZmF1bHQuc3ZjLmNsdXN0ZXIubG9jYWwiXSwiZXhwIjox"...)
	g.arena = appendBase64(g.arena, &g.r, base64URL, 120)
	g.arena = append(g.arena, "LCJpc3MiOiJodHRwczovL2t1YmVybmV0ZXMuZGVmYXVsdC5zdmMuY2x1c3Rlci5sb2NhbCIsImp0aSI6Ij"...)
	g.arena = appendBase64(g.arena, &g.r, base64URL, 60)
	g.arena = append(g.arena, '.')
	g.arena = appendBase64(g.arena, &g.r, base64URL, 342)
	g.v[slotToken] = g.made(from)
	g.write(0, "review.request", "review.response")
}

// tokenRequest is a kubelet fetching a token for a pod.
func (g *Generator) tokenRequest(*kind) {
	d := g.workload()
	p := g.podOf(d)
	c := &g.c
	c.level, c.verb, c.res, c.sub, c.code = "Metadata", create, serviceaccounts, "token", 201
	c.by, c.ns, c.name = p.node.kubelet, d.slots[slotNS], d.slots[slotApp]
	c.before = g.join([]byte(`"authentication.kubernetes.io/issued-credential-id":"JTI=`), g.uuid(), []byte{'"'})
	g.write(0, "", "")
}

func (g *Generator) autoscaler(k *kind) {
	d := g.workload()
	c := &g.c
	c.verb, c.by, c.res, c.sub = update, g.world.controller["horizontal-pod-autoscaler"], horizontalpodautoscalers, "status"
	c.ns, c.name, c.uid = d.slots[slotNS], d.slots[slotApp], d.slots[slotHPAUID]
	g.v[slotPercent], g.v[slotMilli] = g.number(uint64(20+g.r.below(60))), g.number(uint64(30+g.r.below(700)))
	g.fresh()
	c.rv = g.v[slotRVOld]
	g.fail(k)
	g.write(d.shape, "hpa.request", "hpa.response")
}

func (g *Generator) config(k *kind) {
	d := g.workload()
	c := &g.c
	c.verb, c.by, c.res = update, g.reader(d), configmaps
	c.ns, c.name, c.uid = d.slots[slotNS], g.nameOf(d, configmaps), d.slots[slotCMUID]
	g.v[slotName], g.v[slotPercent], g.v[slotDigest] = c.name, g.number(uint64(g.r.below(100))), g.hex(64)
	g.fresh()
	c.rv = g.v[slotRVOld]
	g.fail(k)
	g.write(d.shape, "config.request", "config.response")
}

// secret writes a password and a key into the log: policies that do so exist.
func (g *Generator) secret(k *kind) {
	d := g.workload()
	c := &g.c
	c.verb, c.by, c.res = update, g.world.robots[3], secrets
	c.ns, c.name, c.uid = d.slots[slotNS], g.nameOf(d, secrets), d.slots[slotSAUID]
	g.v[slotName], g.v[slotB64Short], g.v[slotB64Long] = c.name, g.base64(base64Digits, 32), g.base64(base64Digits, 1620)
	g.fresh()
	c.rv = g.v[slotRVOld]
	g.fail(k)
	g.write(d.shape, "secret.request", "secret.response")
}

func (g *Generator) application(*kind) {
	d := g.workload()
	c := &g.c
	c.verb, c.by, c.res = patch, g.world.robots[1], applications
	c.ns, c.name = g.text("argocd"), g.join(d.slots[slotNS], []byte{'-'}, d.slots[slotApp])
	g.v[slotName], g.v[slotCommit], g.v[slotCommit0] = c.name, g.hex(40), g.hex(40)
	g.fresh()
	g.write(d.shape, "app.patch", "app.response")
}

func (g *Generator) job(*kind) {
	d := g.workload()
	c := &g.c
	c.verb, c.by, c.res, c.code, c.nameless = create, g.world.controller["cronjob-controller"], jobs, 201, true
	c.ns, c.name = d.slots[slotNS], g.join(d.slots[slotApp], []byte{'-'}, g.number(uint64(g.now/minute)))
	g.v[slotName], g.v[slotNewUID] = c.name, g.uuid()
	g.fresh()
	g.write(d.shape, "job.request", "job.response")
}

func (g *Generator) nodeStatus(*kind) {
	n := g.world.nodes[g.r.below(numNodes)]
	copy(g.v[slotNode:slotImages+1], n.slots[:])
	g.v[slotCreated] = n.created
	c := &g.c
	c.verb, c.by, c.res, c.name, c.sub = patch, n.kubelet, nodes, n.slots[0], "status"
	c.query = "?timeout=10s"
	g.fresh()
	g.write(0, "node.patch", "node.response")
}

func (g *Generator) deploymentStatus(k *kind) { g.status(k, g.workload()) }

// status is the deployment controller reporting on a workload whose slots are set.
func (g *Generator) status(k *kind, d *workload) {
	c := &g.c
	c.verb, c.by, c.res, c.sub = update, g.world.controller["deployment-controller"], deployments, "status"
	c.ns, c.name, c.uid = d.slots[slotNS], d.slots[slotApp], d.uid
	if g.v[slotRV] = nil; k != nil && g.fail(k) {
		c.rv = g.number(d.rv)
		g.v[slotRVOld] = c.rv
	} else {
		g.step(&d.rv)
		c.rv = g.v[slotRVOld]
	}
	g.write(d.shape, "deploy.request", "deploy.response")
}

// deploymentPatch is a person or a pipeline changing a workload: its image, its
// scale, or only the time of its last restart.
func (g *Generator) deploymentPatch(k *kind) {
	d := g.world.workloads[g.workZ.draw(&g.r)]
	c := &g.c
	c.verb, c.res, c.ns, c.name = patch, deployments, d.slots[slotNS], d.slots[slotApp]
	c.by = g.world.people[g.peopleZ.draw(&g.r)]
	form := "deploy.patch.restart"
	c.query = "?fieldManager=kubectl-rollout"
	if !g.fail(k) {
		switch g.r.next() >> 62 {
		case 0, 1:
			d.release(&g.r)
			d.revision++
			c.by, form, c.query = g.world.robots[15], "deploy.patch.image", "?fieldManager=kubectl-set"
		case 2:
			form, c.query = "deploy.patch.scale", "?fieldManager=kubectl"
			c.sub = ""
		}
		d.gen++
		d.count()
	}
	g.use(d)
	g.step(&d.rv)
	g.write(d.shape, form, "deploy.response")
	if form == "deploy.patch.image" && c.failure == succeeded {
		for i := range min(d.pods, 6) {
			g.queues[g.r.below(len(g.queues))].push(d.first + i)
		}
	}
}

func (g *Generator) slice(k *kind) { g.endpoints(k, g.workload()) }

// endpoints is the endpoint slice of a workload being written after a pod changed.
func (g *Generator) endpoints(k *kind, d *workload) {
	c := &g.c
	c.level, c.verb, c.by, c.res = "Request", update, g.world.controller["endpointslice-controller"], endpointslices
	c.ns, c.name = d.slots[slotNS], g.join(d.slots[slotApp], []byte{'-'}, d.slots[slotSliceHash])
	c.uid = d.slots[slotSliceUID]
	g.fresh()
	c.rv = g.v[slotRVOld]
	if k != nil && g.fail(k) {
		g.write(d.shape, "", "")
		return
	}
	g.begin()
	if request, _ := c.bodies(); request {
		g.line = append(g.line, `,"requestObject":`...)
		g.slicePods(d)
	}
	g.end()
}

func (g *Generator) slicePods(d *workload) {
	f := g.forms[d.shape]
	g.v[slotUID], g.v[slotCreated] = d.uid, d.created
	g.line = f["slice.request"].append(g.line, &g.v)
	for i, p := range g.world.pods[d.first : d.first+d.pods] {
		if i > 0 {
			g.line = append(g.line, ',')
		}
		g.usePod(p)
		g.line = f["slice.item"].append(g.line, &g.v)
	}
	g.line = f["slice.end"].append(g.line, &g.v)
}
