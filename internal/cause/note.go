package cause

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/body"
	"kubetrail/internal/output"
	"kubetrail/internal/request"
	"kubetrail/internal/subject"
)

// Columns are what a Tracer looks at, bodies included: without them it knows names and
// times only, and is less sure.
var Columns = output.RefColumns | audit.Set(audit.Received, audit.Level, audit.Verb, audit.RequestURI, audit.UserAgent, audit.Username,
	audit.ImpersonatedUsername, audit.Resource, audit.Namespace, audit.Name, audit.ObjectUID, audit.APIGroup,
	audit.Subresource, audit.StatusDetails, audit.Code, audit.UserExtra, audit.Annotations, audit.RequestObject, audit.ResponseObject)

// Config bounds what a Tracer remembers.
type Config struct {
	Window time.Duration // how long before the newest event; 0: 15 minutes
	Writes int           // how many requests at most; 0: 50,000, about 50 MB
}

// Tracer learns from the requests that changed something who caused what. It is not
// safe for concurrent use.
type Tracer struct {
	window int64
	limit  int

	queue   []*write // in the order in which they came; those before head are forgotten
	head    int
	newest  int64
	objects map[key]*object
	owned   map[string][]*object // by the uid of an owner
	named   map[key][]*object    // by the key of what their name says is their owner
	spaces  map[string][]*write  // by namespace, in order of time
	bulk    map[key][]*write     // deletecollections, by resource and namespace
	words   map[string]string    // strings that occur often, once each
	tokens  map[string]*write    // of controllers, by the id of their credential: who asked for them
	agents  map[string]bool      // users that report the status of nodes
	solved  map[*write]*answer   // what Trace found; emptied by Note
}

// New returns a Tracer that knows nothing.
func New(cfg Config) *Tracer {
	if cfg.Window <= 0 {
		cfg.Window = 15 * time.Minute
	}
	if cfg.Writes <= 0 {
		cfg.Writes = 50_000
	}
	return &Tracer{
		window: cfg.Window.Microseconds(), limit: cfg.Writes, newest: audit.NoTime,
		objects: map[key]*object{}, owned: map[string][]*object{}, named: map[key][]*object{},
		spaces: map[string][]*write{}, bulk: map[key][]*write{}, words: map[string]string{}, tokens: map[string]*write{}, agents: map[string]bool{}, solved: map[*write]*answer{},
	}
}

// key names an object of one cluster, over all its incarnations.
type key struct{ group, resource, namespace, name string }

// object is what is known of the object of one name: the requests that wrote to it.
type object struct {
	key    key
	writes []*write // in order of time
	uids   []string // under which it is in Tracer.owned
}

// write is one request that changed something.
type write struct {
	key        key
	actor      Actor
	controller string // its name, where a controller or kubelet sent it
	verb, sub  string
	uid        string // of the object, as the API server said it; empty: unknown
	at, end    int64  // received and answered

	event identity

	owners   []body.Owner
	items    []ident // what a deletecollection says it removed
	subject  string  // of an Event: the name of what it is about
	node     string  // of a pod, where it is known
	token    *write  // where it was sent with a token that somebody had asked for
	flags    flag    //
	policy   string  // of a delete: Background, Foreground, Orphan; empty: unknown
	desired  string  // annotation deployment.kubernetes.io/desired-replicas
	gen      int64   // metadata.generation; 0: unknown
	observed int64   // status.observedGeneration
	replicas int64   // spec.replicas, spec.parallelism; -1: unknown
	running  int64   // status.replicas; -1: unknown
	template uint64  // hash of spec.template; 0: unknown
}

// identity is what names the event of a write.
type identity struct {
	auditID, stage, cluster string
	seq                     uint64
}

type flag uint16

const (
	bodied    flag = 1 << iota // owners, generation and so on are those that the API server stored
	listed                     // items of a deletecollection are all that it removed
	selective                  // a deletecollection with a selector
	doomed                     // it has a deletionTimestamp
	older                      // and had it before this request
	blind                      // a deletion whose body was not recorded: it may have been a dry run
	void                       // a dry run
	cordoned                   // a node with spec.unschedulable
	failed                     // a pod of phase Failed or Succeeded
	complete                   // a status that says that a rollout is over
)

type ident struct{ namespace, name, uid string }

// Note tells the tracer of an event. Only final stages of requests that changed
// something count; the others are passed over. It keeps nothing of e.
func (t *Tracer) Note(e *audit.Event) {
	w := t.write(e)
	if w == nil {
		return
	}
	clear(t.solved)
	t.learnAgent(w)
	t.newest = max(t.newest, w.at)
	t.queue = append(t.queue, w)
	t.insert(w)
	for len(t.queue)-t.head > t.limit || len(t.queue) > t.head && t.queue[t.head].at < t.newest-t.window {
		t.forget(t.queue[t.head])
		t.queue[t.head] = nil
		t.head++
	}
	if t.head > 1024 && t.head > len(t.queue)/2 {
		t.queue = slices.Delete(t.queue, 0, t.head)
		t.head = 0
	}
}

// learnAgent notes who reports the status of nodes: a kubelet by another name, as of
// virtual nodes, when it reports about pods and removes those that were deleted.
func (t *Tracer) learnAgent(w *write) {
	user := w.actor.User
	if w.controller != "" || w.actor.As != "" {
		return
	}
	if w.key.resource == "nodes" && w.sub == "status" && !t.agents[user] && len(t.agents) < maxTokens {
		t.agents[user] = true
		for _, x := range t.queue[t.head:] {
			if x.actor.User == user && x.actor.As == "" && reports(x) {
				x.controller = kubelet
			}
		}
	}
	if t.agents[user] && reports(w) {
		w.controller = kubelet
	}
}

// reports tells what a kubelet does to pods and nodes.
func reports(w *write) bool {
	return w.key.resource == "nodes" && w.sub == "status" || w.key.resource == "pods" && (w.sub == "status" || w.verb == "delete" && w.sub == "")
}

// changes reports whether an event is the end of a request that changed something.
func changes(e *audit.Event) bool {
	switch string(e.Text[audit.Verb]) {
	case "create", "update", "patch", "delete", "deletecollection":
	default:
		return false
	}
	if string(e.Text[audit.Stage]) != "ResponseComplete" || e.Code < 200 || e.Code > 299 || len(e.Text[audit.Resource]) == 0 {
		return false
	}
	dry, sure := request.DryRun(e)
	return !dry || !sure
}

// passing are resources whose objects are not stored, or are nobody's consequence.
var passing = map[string]bool{
	"leases": true, "tokenreviews": true, "subjectaccessreviews": true, "selfsubjectaccessreviews": true,
	"selfsubjectrulesreviews": true, "localsubjectaccessreviews": true, "selfsubjectreviews": true,
}

// write makes a record of e, nil where it is none.
func (t *Tracer) write(e *audit.Event) *write {
	resource := t.intern(e.Text[audit.Resource])
	if !changes(e) || passing[resource] {
		return nil
	}
	w := &write{
		key:  key{t.intern(e.Text[audit.APIGroup]), resource, t.intern(e.Text[audit.Namespace]), string(e.Text[audit.Name])},
		verb: t.intern(e.Text[audit.Verb]), sub: t.intern(e.Text[audit.Subresource]),
		at: e.Received, end: e.Time(), replicas: -1, running: -1,
		event: identity{string(e.Text[audit.AuditID]), t.intern(e.Text[audit.Stage]), t.intern(e.Text[audit.Cluster]), e.Seq},
	}
	if w.at == audit.NoTime {
		w.at = w.end
	}
	if w.at == audit.NoTime {
		return nil
	}
	if w.key.resource == "namespaces" {
		w.key.namespace = ""
	}
	w.actor, w.controller = actorOf(e, t.intern)
	if resource == "events" {
		t.about(w, e)
		return w
	}
	if w.sub == "token" {
		return t.lent(w, e)
	}
	if w.actor.Kind == subject.ControlPlane.String() && len(t.tokens) > 0 {
		w.token = t.tokens[credential(e.Text[audit.UserExtra])]
	}
	t.options(w, e)
	if w.flags&void != 0 {
		return nil
	}
	t.result(w, e)
	if w.verb != "create" && w.uid == "" {
		// A uid in the body of an update or in the options of a delete was compared with
		// that of the object; in the body of a create it may be anything.
		w.uid = string(e.Text[audit.ObjectUID])
	}
	return w
}

// lent remembers a token that somebody asked of the account of a controller: what is done
// with it is not done by the controller.
func (t *Tracer) lent(w *write, e *audit.Event) *write {
	if w.controller != "" || w.key.namespace != "kube-system" || w.verb != "create" {
		return nil
	}
	w.uid = ""
	if id := credential(e.Text[audit.Annotations]); id != "" {
		if len(t.tokens) >= maxTokens {
			clear(t.tokens)
		}
		t.tokens[id] = w
	}
	return w
}

const maxTokens = 1000

// credential finds the id of a token: JTI= and the id, in the annotation of the request
// that asked for it and in what the authenticator knows of who used it.
func credential(raw []byte) string {
	i := bytes.Index(raw, []byte(`"JTI=`))
	if i < 0 {
		return ""
	}
	id, _, _ := bytes.Cut(raw[i+len(`"JTI=`):], []byte(`"`))
	if len(id) > 64 {
		return ""
	}
	return string(id)
}

// about notes what an Event is about.
func (t *Tracer) about(w *write, e *audit.Event) {
	if b := body.Read(e.RequestObject); b != nil && b.Involved.Name != "" {
		w.subject = t.intern([]byte(b.Involved.Name))
		return
	}
	if i := strings.LastIndexByte(w.key.name, '.'); i > 0 {
		w.subject = t.intern([]byte(w.key.name[:i]))
	}
}

// options reads what a request asked for.
func (t *Tracer) options(w *write, e *audit.Event) {
	uri := string(e.Text[audit.RequestURI])
	switch {
	case w.verb == "delete" || w.verb == "deletecollection" || w.sub == "eviction":
		if strings.Contains(uri, "Selector=") && !strings.HasSuffix(uri, "Selector=") {
			w.flags |= selective
		}
		if len(e.RequestObject) == 0 { // otherwise the options in the URI are not looked at
			_, query, _ := strings.Cut(uri, "?")
			options, _ := url.ParseQuery(query)
			w.policy = t.intern([]byte(options.Get("propagationPolicy")))
			if options.Get("orphanDependents") == "true" {
				w.policy = "Orphan"
			}
		}
		b := body.Read(e.RequestObject)
		if string(e.Text[audit.Level]) == "Metadata" {
			w.flags |= blind
		}
		if b == nil {
			return
		}
		if len(b.DryRun) > 0 || len(b.Options.DryRun) > 0 {
			w.flags |= void
		}
		if b.Propagation != "" {
			w.policy = t.intern([]byte(b.Propagation))
		}
		if b.Orphan != nil && *b.Orphan {
			w.policy = "Orphan"
		}
		if w.sub == "" && w.verb == "delete" {
			w.uid = b.Preconditions.UID
		}
	case w.sub == "binding":
		if b := body.Read(e.RequestObject); b != nil {
			w.node = t.intern([]byte(b.Target.Name))
		}
	}
}

// result reads what the API server answered.
func (t *Tracer) result(w *write, e *audit.Event) {
	if w.uid == "" && w.verb == "delete" {
		w.uid = body.Details(e.Text[audit.StatusDetails])
	}
	b := body.Read(e.ResponseObject)
	switch {
	case b == nil || b.Kind == "Status":
		if b != nil && b.Details.UID != "" && w.verb == "delete" {
			w.uid = b.Details.UID
		}
		return
	case w.verb == "deletecollection":
		t.list(w, b)
		return
	case b.Metadata.UID == "" || w.key.name != "" && b.Metadata.Name != w.key.name:
		return
	}
	m := &b.Metadata
	w.key.name, w.uid = m.Name, m.UID
	if w.key.resource != "namespaces" && w.key.namespace == "" && m.Namespace != "" {
		w.key.namespace = t.intern([]byte(m.Namespace))
	}
	if m.DeletionTimestamp != "" {
		w.flags |= doomed
		// Deleting a pod with a grace period sets a time to come.
		if at, err := time.Parse(time.RFC3339, m.DeletionTimestamp); err == nil && at.UnixMicro() < w.at-2_000_000 {
			w.flags |= older
		}
	}
	if b.Spec.Replicas != nil {
		w.replicas = *b.Spec.Replicas
	} else if b.Spec.Parallelism != nil {
		w.replicas = *b.Spec.Parallelism
	}
	if w.sub == "scale" {
		return // a Scale has neither owners nor generation
	}
	if len(m.OwnerReferences) > maxOwners {
		return // whose it is stays unknown
	}
	w.flags |= bodied
	w.gen, w.owners = m.Generation, m.OwnerReferences
	w.desired = t.intern([]byte(m.Annotations["deployment.kubernetes.io/desired-replicas"]))
	if b.Kind == "PartialObjectMetadata" {
		return // whoever asks for no more than that cannot hide whose it is
	}
	w.template = body.Template(b.Spec.Template)
	w.observed, w.running = b.State.ObservedGeneration, b.State.Replicas
	if b.Spec.NodeName != "" {
		w.node = t.intern([]byte(b.Spec.NodeName))
	}
	if b.Spec.Unschedulable {
		w.flags |= cordoned
	}
	if b.State.Phase == "Failed" || b.State.Phase == "Succeeded" {
		w.flags |= failed
	}
	s := &b.State
	if s.ObservedGeneration >= m.Generation && s.Replicas == w.replicas && s.Updated == w.replicas && s.Available == w.replicas {
		w.flags |= complete
	}
}

// maxItems bounds what is kept of one list.
const maxItems = 10_000

// has reports whether all those flags are set.
func (w *write) has(f flag) bool { return w.flags&f == f }

func (t *Tracer) list(w *write, b *body.Body) {
	if strings.HasSuffix(b.Kind, "List") {
		w.flags |= listed
	}
	for i := range b.Items {
		if i == maxItems {
			w.flags &^= listed
			return
		}
		m := &b.Items[i].Metadata
		w.items = append(w.items, ident{t.intern([]byte(m.Namespace)), m.Name, m.UID})
	}
}

// maxWords bounds the strings that are kept once.
const maxWords = 100_000

func (t *Tracer) intern(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s, ok := t.words[string(b)]; ok {
		return s
	}
	if len(t.words) >= maxWords {
		clear(t.words)
	}
	s := string(b)
	t.words[s] = s
	return s
}

// byTime orders writes by when they were received.
func byTime(a, b *write) int {
	switch {
	case a.at != b.at && a.at < b.at:
		return -1
	case a.at != b.at:
		return 1
	case a.end != b.end && a.end < b.end:
		return -1
	case a.end != b.end:
		return 1
	}
	return 0
}

// into inserts w into writes in order of time: nearly always that is the end.
func into(writes []*write, w *write) []*write {
	i := len(writes)
	for i > 0 && byTime(w, writes[i-1]) < 0 {
		i--
	}
	return slices.Insert(writes, i, w)
}

// out removes w from writes.
func out(writes []*write, w *write) []*write {
	if i := slices.Index(writes, w); i >= 0 {
		return slices.Delete(writes, i, i+1)
	}
	return writes
}

func (t *Tracer) insert(w *write) {
	t.spaces[w.key.namespace] = into(t.spaces[w.key.namespace], w)
	if w.verb == "deletecollection" {
		k := key{w.key.group, w.key.resource, w.key.namespace, ""}
		t.bulk[k] = into(t.bulk[k], w)
		return
	}
	if w.key.name == "" || w.key.resource == "events" {
		return
	}
	o := t.objects[w.key]
	if o == nil {
		o = &object{key: w.key}
		t.objects[w.key] = o
		for _, k := range namesake(w.key) {
			t.named[k] = append(t.named[k], o)
		}
	}
	o.writes = into(o.writes, w)
	for _, owner := range w.owners {
		if owner.UID != "" && !slices.Contains(o.uids, owner.UID) {
			o.uids = append(o.uids, owner.UID)
			t.owned[owner.UID] = append(t.owned[owner.UID], o)
		}
	}
}

// maxOwners bounds the work for one object, whose writer chooses how many owners it has.
const maxOwners = 256

// forget removes every trace of w.
func (t *Tracer) forget(w *write) {
	if rest := out(t.spaces[w.key.namespace], w); len(rest) > 0 {
		t.spaces[w.key.namespace] = rest
	} else {
		delete(t.spaces, w.key.namespace)
	}
	if w.verb == "deletecollection" {
		k := key{w.key.group, w.key.resource, w.key.namespace, ""}
		if t.bulk[k] = out(t.bulk[k], w); len(t.bulk[k]) == 0 {
			delete(t.bulk, k)
		}
		return
	}
	o := t.objects[w.key]
	if o == nil || w.key.resource == "events" {
		return
	}
	if o.writes = out(o.writes, w); len(o.writes) > 0 {
		return
	}
	delete(t.objects, w.key)
	for _, k := range namesake(w.key) {
		if t.named[k] = without(t.named[k], o); len(t.named[k]) == 0 {
			delete(t.named, k)
		}
	}
	for _, uid := range o.uids {
		if t.owned[uid] = without(t.owned[uid], o); len(t.owned[uid]) == 0 {
			delete(t.owned, uid)
		}
	}
}

func without(objects []*object, o *object) []*object {
	if i := slices.Index(objects, o); i >= 0 {
		return slices.Delete(objects, i, i+1)
	}
	return objects
}
