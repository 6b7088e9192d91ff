package generate

import (
	"fmt"
	"strconv"
	"strings"
)

// world is the cluster that the events happen in.
type world struct {
	people     []*actor // by how much they do
	robots     []*actor // operators and monitoring: most of what is not Kubernetes itself
	services   []*actor // service accounts of workloads that talk to the API server
	controller map[string]*actor
	scheduler  *actor
	manager    *actor
	apiserver  *actor
	anonymous  *actor
	stranger   *actor // nobody: the 401s
	actors     []*actor

	nodes     []*node
	workloads []*workload
	pods      []*pod
}

// actor is one who sends requests.
type actor struct {
	id       int
	name     string // as in user.username, without JSON escapes
	user     []byte // user as JSON
	agent    []byte
	ip       []byte
	reason   string // why it is allowed, as JSON; "<ns>" stands for the namespace
	forbid   bool   // may be refused
	nodeName string
}

// node is one machine of the cluster.
type node struct {
	kubelet *actor
	created []byte
	slots   [numNodeSlots][]byte
}

// workload is one deployment with its replica set, its service and its pods.
type workload struct {
	shape       int
	app, ns     string
	uid         []byte
	created     []byte
	rv, rsRV    uint64
	gen         int
	revision    int
	replicas    int
	first, pods int // its pods in world.pods
	sa          *actor
	slots       [numWorkloadSlots][]byte
}

// pod is one pod: when it dies, another takes its place.
type pod struct {
	work     *workload
	node     *node
	rv       uint64
	restarts int
	gen      int
	name     []byte
	uid      []byte
	access   []byte
	ip       []byte
	cid      []byte
	created  []byte
	started  []byte
}

const (
	numNodes     = 200
	numWorkloads = 1200
)

func words(s string) []string { return strings.Fields(s) }

func newWorld(r *random, start int64) *world {
	w := &world{controller: make(map[string]*actor)}
	w.addControlPlane(r)
	w.addPeople(r)
	w.addRobots(r)
	for i := range numNodes {
		w.addNode(r, i, start)
	}
	for i := range numWorkloads {
		w.addWorkload(r, i, start)
	}
	return w
}

func uuid(r *random) []byte { return appendUUID(nil, r.next(), r.next()) }

func hexString(r *random, n int) string { return string(appendHex(nil, r, n)) }

func (w *world) add(a *actor) *actor {
	a.id = len(w.actors)
	w.actors = append(w.actors, a)
	return a
}

// certificate is the user of a client certificate.
func certificate(r *random, name, groups string) []byte {
	return fmt.Appendf(nil, `{"username":%q,"groups":[%s],"extra":{"authentication.kubernetes.io/credential-id":["X509SHA256=%s"]}}`,
		name, groups, hexString(r, 64))
}

// token is the user of a service account token; bound names the pod it is bound to.
func token(r *random, ns, name string, uid []byte, bound string) []byte {
	return fmt.Appendf(nil, `{"username":"system:serviceaccount:%s:%s","uid":"%s","groups":["system:serviceaccounts","system:serviceaccounts:%s","system:authenticated"],"extra":{"authentication.kubernetes.io/credential-id":["JTI=%s"]%s}}`,
		ns, name, uid, ns, uuid(r), bound)
}

func (w *world) addControlPlane(r *random) {
	ip := []byte("10.0.0.10")
	agent := "/v1.36.3 (linux/amd64) kubernetes/c5e2a41"
	named := func(name, component, suffix string) *actor {
		return w.add(&actor{name: name, user: certificate(r, name, `"system:authenticated"`), ip: ip,
			agent:  []byte(component + agent + suffix),
			reason: fmt.Sprintf(`RBAC: allowed by ClusterRoleBinding \"%[1]s\" of ClusterRole \"%[1]s\" to User \"%[1]s\"`, name)})
	}
	w.scheduler = named("system:kube-scheduler", "kube-scheduler", "/scheduler")
	w.manager = named("system:kube-controller-manager", "kube-controller-manager", "/leader-election")
	w.apiserver = w.add(&actor{name: "system:apiserver", ip: []byte("127.0.0.1"), agent: []byte("kube-apiserver" + agent),
		user: fmt.Appendf(nil, `{"username":"system:apiserver","uid":"%s","groups":["system:authenticated","system:masters"]}`, uuid(r))})
	w.anonymous = w.add(&actor{name: "system:anonymous", ip: []byte("185.220.101.47"), agent: []byte("curl/8.14.1"), forbid: true,
		user:   []byte(`{"username":"system:anonymous","groups":["system:unauthenticated"]}`),
		reason: `RBAC: allowed by ClusterRoleBinding \"system:public-info-viewer\" of ClusterRole \"system:public-info-viewer\" to Group \"system:unauthenticated\"`})
	w.stranger = w.add(&actor{user: []byte("{}"), ip: []byte("10.8.77.3"), agent: []byte("kubectl/v1.34.2 (darwin/arm64) kubernetes/8cc511e")})
	for _, name := range words("replicaset-controller deployment-controller endpointslice-controller horizontal-pod-autoscaler " +
		"cronjob-controller job-controller generic-garbage-collector node-controller resourcequota-controller namespace-controller") {
		full := "system:serviceaccount:kube-system:" + name
		w.controller[name] = w.add(&actor{name: full, user: token(r, "kube-system", name, uuid(r), ""), ip: ip,
			agent:  []byte("kube-controller-manager" + agent + "/" + full),
			reason: fmt.Sprintf(`RBAC: allowed by ClusterRoleBinding \"system:controller:%[1]s\" of ClusterRole \"system:controller:%[1]s\" to ServiceAccount \"%[1]s/kube-system\"`, name)})
	}
}

func (w *world) addPeople(r *random) {
	agents := []string{"kubectl/v1.36.3 (linux/amd64) kubernetes/c5e2a41", "kubectl/v1.35.1 (darwin/arm64) kubernetes/8fea90b",
		"kubectl/v1.34.2 (windows/amd64) kubernetes/8cc511e", "k9s/v0.50.9 (linux/amd64) kubernetes/$Format",
		"Helm/3.19.0", "HashiCorp/1.0 Terraform/1.13.3", "Mozilla/5.0 (X11; Linux x86_64) Headlamp/0.36.0"}
	names := words("alice jai 王芳 bob mallory carol veeru dmitri erin farid grace heidi ivan judy kenji liang maria niaj olivia " +
		"peggy quentin rupert sybil trent ursula victor walter xenia yusuf zoë amir beatriz chen diego emeka fatima gustav hana " +
		"igor jamila kofi lucia mehmet nadia oscar priya rafael sofia tariq uma vikram wanjiru ximena yara zhang")
	teams := words("dev-team ops-team platform-team data-team payments-team sre")
	for i, name := range names {
		team := teams[i%len(teams)]
		if i > 7 {
			name += "@example.com"
		}
		reason := fmt.Sprintf(`RBAC: allowed by RoleBinding \"%s-edit/<ns>\" of ClusterRole \"edit\" to Group \"%s\"`, team, team)
		if team == "sre" {
			reason = `RBAC: allowed by ClusterRoleBinding \"sre-admin\" of ClusterRole \"cluster-admin\" to Group \"sre\"`
		}
		w.people = append(w.people, w.add(&actor{name: name, user: certificate(r, name, `"`+team+`","system:authenticated"`),
			agent: []byte(agents[r.below(len(agents))]), reason: reason, forbid: true,
			ip: fmt.Appendf(nil, "10.8.%d.%d", r.below(16), 1+r.below(254))}))
	}
}

// addRobots adds operators, each with the rights that its chart gave it.
func (w *world) addRobots(r *random) {
	for _, robot := range words("monitoring/prometheus argocd/argocd-application-controller argocd/argocd-server " +
		"external-secrets/external-secrets cert-manager/cert-manager monitoring/kube-state-metrics kyverno/kyverno-background-controller " +
		"istio-system/istiod kube-system/coredns kube-system/calico-node velero/velero keda/keda-operator falco/falco " +
		"kube-system/metrics-server ingress-nginx/ingress-nginx ci/deployer ci/gitlab-runner logging/fluent-bit " +
		"kube-system/cluster-autoscaler flux-system/kustomize-controller") {
		ns, name, _ := strings.Cut(robot, "/")
		bound := fmt.Sprintf(`,"authentication.kubernetes.io/node-name":["%s"],"authentication.kubernetes.io/node-uid":["%s"],"authentication.kubernetes.io/pod-name":["%s-%s-%s"],"authentication.kubernetes.io/pod-uid":["%s"]`,
			nodeName(r.below(numNodes)), uuid(r), name, appendSafe(nil, r, 10), appendSafe(nil, r, 5), uuid(r))
		w.robots = append(w.robots, w.add(&actor{name: "system:serviceaccount:" + ns + ":" + name, user: token(r, ns, name, uuid(r), bound),
			agent:  fmt.Appendf(nil, "%s/v%d.%d.%d (linux/amd64) kubernetes/$Format", name, r.below(4), r.below(30), r.below(9)),
			ip:     fmt.Appendf(nil, "10.244.%d.%d", r.below(numNodes), 2+r.below(250)),
			reason: fmt.Sprintf(`RBAC: allowed by ClusterRoleBinding \"%[1]s\" of ClusterRole \"%[1]s\" to ServiceAccount \"%[1]s/%[2]s\"`, name, ns)}))
	}
}

func nodeName(i int) string {
	return fmt.Sprintf("ip-10-0-%d-%d.eu-central-1.compute.internal", 16+i/50, 11+i%50*4)
}

func zoneOf(i int) string { return "eu-central-1" + string(rune('a'+i%3)) }

func (w *world) addNode(r *random, i int, start int64) {
	name, ip := nodeName(i), fmt.Sprintf("10.0.%d.%d", 16+i/50, 11+i%50*4)
	created := start - int64(1+r.below(60*24*60))*minute
	n := &node{created: appendTime(nil, created)}
	n.kubelet = w.add(&actor{name: "system:node:" + name, ip: []byte(ip), nodeName: name,
		user:  certificate(r, "system:node:"+name, `"system:nodes","system:authenticated"`),
		agent: []byte("kubelet/v1.36.3 (linux/amd64) kubernetes/c5e2a41")})
	set := func(s slot, v string) { n.slots[s-slotNode] = []byte(v) }
	set(slotNode, name)
	set(slotNodeUID, string(uuid(r)))
	set(slotNodeUID2, string(uuid(r)))
	set(slotNodeUID3, string(uuid(r)))
	set(slotHostIP, ip)
	set(slotZone, zoneOf(i))
	set(slotPodCIDR, fmt.Sprintf("10.244.%d.0/24", i))
	set(slotMachine, hexString(r, 32))
	set(slotMachine17, hexString(r, 17))
	var images []string
	for range 12 + r.below(24) {
		repo := "registry.example.com/" + words("shop data web infra")[r.below(4)] + "/" + appName(r.below(numWorkloads))
		images = append(images, fmt.Sprintf(`{"names":["%s@sha256:%s","%s:v%d.%d.%d"],"sizeBytes":%d}`,
			repo, hexString(r, 64), repo, r.below(5), r.below(40), r.below(10), 10_000_000+r.below(900_000_000)))
	}
	set(slotImages, strings.Join(images, ","))
	w.nodes = append(w.nodes, n)
}

func appName(i int) string {
	return strings.Join([]string{words("checkout cart catalog search orders invoice ledger profile session inventory pricing shipping " +
		"returns loyalty reviews media notify mailer gateway identity consent fraud risk billing tax coupon wishlist recommend " +
		"analytics ingest export report audit archive geo weather chat voice video forms")[i*7%40],
		words("api worker web cron sync proxy cache store events admin batch loader router feed index relay bridge agent hook stream " +
			"queue guard meter probe portal edge core lite jobs sink")[i/40%30]}, "-")
}

func (w *world) addWorkload(r *random, i int, start int64) {
	app := appName(i)
	product, _, _ := strings.Cut(app, "-")
	d := &workload{shape: r.below(numShapes), app: app, ns: product + "-" + words("prod prod staging dev")[r.below(4)],
		uid: uuid(r), gen: 1 + r.below(80), rv: uint64(1000 + r.below(800_000_000)), rsRV: uint64(1000 + r.below(800_000_000))}
	created := start - int64(2*24*60+r.below(300*24*60))*minute
	d.created = appendTime(nil, created)
	d.revision = 1 + d.gen/2
	switch {
	case i < 20:
		d.replicas = 12 + r.below(12)
	case i < 100:
		d.replicas = 4 + r.below(8)
	default:
		d.replicas = 1 + r.below(4)
	}
	d.set(slotApp, app)
	d.set(slotNS, d.ns)
	d.set(slotTeam, words("dev-team ops-team platform-team data-team payments-team sre")[r.below(6)])
	d.set(slotDB, fmt.Sprintf("%s-%s.c%s.eu-central-1.rds.amazonaws.com", product, words("main replica kv")[r.below(3)], appendSafe(nil, r, 10)))
	d.set(slotEnv, words("production staging canary")[r.below(3)])
	d.set(slotCPU, words("50m 100m 250m 500m 1")[r.below(5)])
	d.set(slotMem, words("128Mi 256Mi 512Mi 1Gi 2Gi 4Gi")[r.below(6)])
	for _, s := range []slot{slotRSUID, slotSvcUID, slotHPAUID, slotCMUID, slotSAUID, slotSliceUID} {
		d.set(s, string(uuid(r)))
	}
	d.set(slotRSCreated, string(appendTime(nil, start-int64(1+r.below(2*24*60))*minute)))
	d.set(slotSliceHash, string(appendSafe(nil, r, 5)))
	d.set(slotRepo, "registry.example.com/"+words("shop data web infra")[r.below(4)]+"/"+app)
	d.release(r)
	d.count()
	bound := fmt.Sprintf(`,"authentication.kubernetes.io/pod-name":["%s-%s-%s"],"authentication.kubernetes.io/pod-uid":["%s"]`,
		app, d.slots[slotHash], appendSafe(nil, r, 5), uuid(r))
	if i%5 == 0 {
		d.sa = w.add(&actor{name: "system:serviceaccount:" + d.ns + ":" + app, user: token(r, d.ns, app, d.slots[slotSAUID], bound), forbid: i%25 == 0,
			agent:  []byte(words("Go-http-client/2.0 OpenAPI-Generator/34.1.0/python fabric8-kubernetes-client/7.3.1 kube-rs/2.0")[r.below(4)]),
			ip:     fmt.Appendf(nil, "10.244.%d.%d", r.below(numNodes), 2+r.below(250)),
			reason: fmt.Sprintf(`RBAC: allowed by RoleBinding \"%[1]s/%[2]s\" of Role \"%[1]s\" to ServiceAccount \"%[1]s/%[2]s\"`, app, d.ns)})
		w.services = append(w.services, d.sa)
	}
	d.first, d.pods = len(w.pods), d.replicas
	for range d.replicas {
		p := &pod{work: d}
		p.renew(r, w, start-int64(r.below(2*24*60))*minute)
		p.rv = uint64(1000 + r.below(800_000_000))
		w.pods = append(w.pods, p)
	}
	w.workloads = append(w.workloads, d)
}

func (d *workload) set(s slot, v string) { d.slots[s] = []byte(v) }

// release gives a workload a new image and with it a new replica set hash.
func (d *workload) release(r *random) {
	version := fmt.Sprintf("%d.%d.%d-%s", 1+r.below(5), r.below(60), r.below(20), appendHex(nil, r, 7))
	d.set(slotVersion, version)
	d.set(slotImage, string(d.slots[slotRepo])+":"+version)
	d.set(slotDigest, hexString(r, 64))
	d.set(slotHash, string(appendSafe(nil, r, 10)))
}

// count writes down the numbers of a workload after they changed.
func (d *workload) count() {
	d.set(slotReplicas, strconv.Itoa(d.replicas))
	d.set(slotReadyReplicas, strconv.Itoa(d.replicas))
	d.set(slotMaxReplicas, strconv.Itoa(d.replicas+(d.replicas+3)/4))
	d.set(slotGen, strconv.Itoa(d.gen))
	d.set(slotRSGen, strconv.Itoa(1+d.gen%7))
	d.set(slotRevision, strconv.Itoa(d.revision))
}

// renew makes p another pod of the same workload, in the same memory.
func (p *pod) renew(r *random, w *world, now int64) {
	n := r.below(len(w.nodes))
	p.node = w.nodes[n]
	p.name = append(append(append(append(p.name[:0], p.work.app...), '-'), p.work.slots[slotHash]...), '-')
	p.name = appendSafe(p.name, r, 5)
	p.uid = appendUUID(p.uid[:0], r.next(), r.next())
	p.access = appendSafe(p.access[:0], r, 5)
	p.ip = strconv.AppendInt(append(p.ip[:0], "10.244."...), int64(n), 10)
	p.ip = strconv.AppendInt(append(p.ip, '.'), int64(2+r.below(250)), 10)
	p.cid = appendHex(p.cid[:0], r, 64)
	p.created = appendTime(p.created[:0], now)
	p.started = appendTime(p.started[:0], now+int64(2+r.below(9))*second)
	p.restarts, p.gen = 0, 1
	if r.chance(60) {
		p.restarts = 1 + r.below(4)
	}
}
