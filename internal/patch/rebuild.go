// Package patch rebuilds what a kube-apiserver stored from what it had before and what
// the audit log says of a request: the body of a patch, an update or a create. It says
// with each object how certain that is.
//
// Nothing here changes a value that it was given: see package tree for the form of objects.
package patch

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/schema"
	"kubetrail/internal/stored"
	"kubetrail/internal/tree"
)

// Certainty says how sure an object is.
type Certainty uint8

const (
	Unknown Certainty = iota // no object can be given
	Derived                  // the object is likely, but something that the log does not tell decides
	Exact                    // what was stored equals the object in the form of Canonical, as far as the object goes: see Version
)

// String names a certainty as it stands in JSON.
func (c Certainty) String() string { return [...]string{"unknown", "derived", "exact"}[c] }

// Version is what is known of an object after a request.
type Version struct {
	// Object is the object, nil where Sure is Unknown. What only the API server gives an
	// object (metadata.uid, an address that it allocates) is left out where no answer was
	// recorded since: then everything else is as sure as Sure says, and [Missing] names it.
	Object map[string]any
	Sure   Certainty
	Why    stored.Words // why it is no more certain; empty where it is Exact
	Kind   Kind         // how the body of a patch was read

	worlds []world // what the object can be, the likeliest first; empty: Object alone, by owners nobody knows
}

// A world is one of the objects that the requests so far can have made, where they can be
// read in several ways. A later request that is impossible in a world ends it.
type world struct {
	object map[string]any
	owners *owners
	doubt  stored.Words // why even this is not certain

	// lasting says that the doubt is about more than an update of the object replaces.
	lasting bool
}

// maxWorlds bounds how many readings are followed.
const maxWorlds = 8

// Recorded is the version of an object that an answer of the API server holds. The object
// must be whole, with apiVersion and kind.
func Recorded(o map[string]any) *Version {
	return &Version{Object: o, Sure: Exact, worlds: []world{{object: o, owners: parseOwners(o)}}}
}

// Kind is a kind of patch.
type Kind uint8

const (
	NoPatch    Kind = iota // an update or a create
	JSONPatch              // RFC 6902
	MergePatch             // RFC 7386
	StrategicMergePatch
	ServerSideApply
)

// String names a kind as the documentation of Kubernetes does.
func (k Kind) String() string {
	return [...]string{"", "JSON patch", "merge patch", "strategic merge patch", "server-side apply"}[k]
}

// Request is what is to be known of a request that wrote to an object. All of it is in an
// audit event of level Request.
type Request struct {
	Verb                                  string // create, update or patch
	Group, Version, Resource, Subresource string
	Namespace                             string // "" for a resource of the cluster
	URI, UserAgent                        string
	Body                                  []byte // the requestObject
	Annotations                           []byte // of the event, a JSON object

	// Received and Staged are requestReceivedTimestamp and stageTimestamp in microseconds
	// since the epoch, both 0 where they are not known. Between them the API server set the
	// times that it sets.
	Received, Staged int64
}

// second is the time that the API server set during a request, as it writes times; ""
// where it can have been another second.
func (r *Request) second() string {
	from, to := time.UnixMicro(r.Received), time.UnixMicro(r.Staged)
	if r.Received <= 0 || r.Staged < r.Received || from.Unix() != to.Unix() {
		return ""
	}
	return from.UTC().Format(time.RFC3339)
}

// RequestOf takes a Request from an event that has the columns Verb, Resource, APIGroup,
// APIVersion, Subresource, Namespace, RequestURI, UserAgent, Annotations, Received, Staged and RequestObject. The
// Request is valid as long as the event is.
func RequestOf(e *audit.Event) *Request {
	s := func(c audit.Column) string { return string(e.Text[c]) }
	return &Request{Verb: s(audit.Verb), Group: s(audit.APIGroup), Version: s(audit.APIVersion), Resource: s(audit.Resource),
		Subresource: s(audit.Subresource), Namespace: s(audit.Namespace), URI: s(audit.RequestURI), UserAgent: s(audit.UserAgent),
		Body: e.RequestObject, Annotations: e.Text[audit.Annotations], Received: e.Received, Staged: e.Staged}
}

// unknown is a version of which nothing can be said.
func unknown(en, zh string) *Version { return &Version{Why: stored.Words{En: en, Zh: zh}} }

// Rebuild returns the object as the API server stored it after a request that succeeded,
// from the version before: nil where there was no object, one without Object where it is
// not known. The version before is not changed, and shares with the result whatever is
// the same.
func Rebuild(before *Version, r *Request) *Version {
	switch {
	case len(r.Body) == 0:
		return unknown("the body of the request was not recorded", "请求体未记录")
	case before == nil:
		return fromBody(r, true)
	case before.Object == nil:
		return fromBody(r, false)
	}
	group, version := tree.SplitGroupVersion(tree.Text(before.Object["apiVersion"]))
	switch {
	case group != r.Group || version != r.Version && r.Subresource != "scale":
		return unknown("the version before is known in another version of the API", "此前的版本属于该 API 的另一版本")
	case r.Subresource != "" && r.Subresource != "status" && r.Subresource != "scale" && r.Subresource != "approval":
		return unknown("what requests on the subresource "+r.Subresource+" store is not known", "子资源 "+r.Subresource+" 的请求会存储什么，尚不支持推断")
	}
	body, err := tree.Decode(r.Body)
	if err != nil {
		return unknown("the body of the request cannot be read", "请求体无法读取")
	}
	var all []reading
	for _, now := range before.possible() {
		w := newWriter(now, r)
		readings, why := w.readings(body)
		if why.En != "" {
			return &Version{Why: why}
		}
		all = append(all, readings...)
	}
	return judged(before, all)
}

// possible lists the worlds of a version.
func (v *Version) possible() []world {
	if len(v.worlds) > 0 {
		return v.worlds
	}
	w := world{object: v.Object}
	if v.Sure != Exact {
		w.doubt, w.lasting = v.Why, true
	}
	return []world{w}
}

// readings is what a body can have made of the object in one world; why it can not be told.
func (w *writer) readings(body any) (all []reading, why stored.Words) {
	if w.r.Subresource == "scale" {
		return w.scaled(body)
	}
	switch w.r.Verb {
	case "update":
		o, ok := body.(map[string]any)
		if !ok {
			return nil, stored.Words{En: "the body of the request is not the object", Zh: "请求体不是该对象"}
		}
		r, err := w.write(o, false)
		if err != nil {
			return nil, stored.Words{}
		}
		return []reading{r}, stored.Words{}
	case "patch":
		return w.patched(body), stored.Words{}
	}
	return nil, stored.Words{En: "a request with the verb " + w.r.Verb + " does not tell the object", Zh: "动词为 " + w.r.Verb + " 的请求不能说明对象内容"}
}

// judged makes a version of all that an object can be.
func judged(before *Version, all []reading) *Version {
	if len(all) == 0 {
		return unknown("the patch does not fit the version before", "该 patch 与此前的版本不符")
	}
	v := &Version{Object: all[0].object, Sure: Exact, Kind: all[0].kind}
	other, counts := NoPatch, true // a kind that gives another object; whether all generations are one
	for _, r := range all[1:] {
		switch {
		case tree.Equal(tree.Canonical(v.Object), tree.Canonical(r.object)):
		case tree.Equal(ungenerated(v.Object), ungenerated(r.object)):
			counts = false
		case before.Sure == Exact:
			other = r.kind
			v.lower(Derived, stored.Words{En: "read as a " + v.Kind.String() + "; as a " + other.String() + " it would give another object, and the log does not tell which it was", Zh: "按 " + v.Kind.String() + " 解读；若为 " + other.String() + " 结果则不同，日志未说明类型"})
		default:
			v.lower(Derived, before.Why)
		}
	}
	for _, r := range all {
		if r.doubt.En != "" {
			v.lower(Derived, r.doubt)
		}
	}
	if !counts {
		v.Object = ungenerated(v.Object)
	}
	for _, r := range all {
		if !counts {
			r.object = ungenerated(r.object)
		}
		v.follow(world{object: r.object, owners: r.owners, doubt: r.doubt, lasting: r.lasting})
	}
	return v
}

// ungenerated is the canonical form of an object without metadata.generation.
func ungenerated(o map[string]any) map[string]any {
	return tree.Put(tree.Canonical(o), tree.Absent, "metadata", "generation")
}

// follow adds a world, unless it is there.
func (v *Version) follow(w world) {
	for i, x := range v.worlds {
		if x.doubt != w.doubt || x.lasting != w.lasting || !tree.Equal(x.object, w.object) {
			continue
		}
		if x.owners.equal(w.owners) {
			return
		}
		if len(v.worlds) >= maxWorlds {
			v.worlds[i].owners = &owners{}
			return
		}
	}
	if len(v.worlds) < maxWorlds {
		v.worlds = append(v.worlds, w)
		return
	}
	why := stored.Words{En: "the patches so far can be read in too many ways", Zh: "此前的 patch 可有过多种解读"}
	v.lower(Derived, why)
	v.worlds[len(v.worlds)-1].doubt, v.worlds[len(v.worlds)-1].lasting = why, true
}

// writer does what the API server does with a request to an object that is there.
type writer struct {
	r      *Request
	before world
	t      *schema.Type // Custom where the kind is not built in
	custom bool

	manager   string // of fields
	force     bool   // the URI says force, true or false: only apply may
	forced    bool   // it says true
	named     bool   // the URI says fieldManager
	hasStatus bool
	mutated   Certainty
	webhooks  []any // the patches of mutating webhooks, each a list of operations
}

func newWriter(before world, r *Request) *writer {
	w := &writer{r: r, before: before, t: tree.TypeOf(before.object)}
	if w.t == nil {
		w.t, w.custom = schema.Custom(), true
	}
	if resource := schema.Find(r.Group, r.Resource); resource != nil {
		for _, s := range resource.Subresources {
			w.hasStatus = w.hasStatus || s.Name == "status"
		}
	}
	_, query, _ := strings.Cut(r.URI, "?")
	values, err := url.ParseQuery(query)
	if err == nil {
		w.named = values.Get("fieldManager") != ""
		_, w.force = values["force"]
		w.forced, err = strconv.ParseBool(values.Get("force"))
		w.forced = w.forced || w.force && err != nil // what cannot be read is not relied on
	}
	w.manager = managerOf(values.Get("fieldManager"), r.UserAgent)
	w.webhooks, w.mutated = mutations(r.Annotations)
	return w
}

// A reading is what a body gives when it is taken for one kind of patch.
type reading struct {
	kind   Kind
	object map[string]any
	owners *owners
	doubt  stored.Words

	lasting bool // see world
}

// patched reads a body in every way in which it can be meant.
func (w *writer) patched(body any) []reading {
	var all []reading
	var seen []map[string]any // what plain patches make of the object, before it is stored
	for _, k := range w.kinds(body) {
		merged, after, doubt, err := w.merge(k, body)
		if err != nil || merged == nil {
			continue
		}
		if k != ServerSideApply {
			if slices.ContainsFunc(seen, func(m map[string]any) bool { return tree.Equal(m, merged) }) {
				continue
			}
			seen = append(seen, merged)
		}
		r, err := w.write(merged, true)
		if err != nil {
			continue
		}
		r.kind = k
		if after != nil {
			r.owners = after
		}
		if doubt.En != "" {
			r.doubt, r.lasting = doubt, r.lasting || w.r.Subresource == "status"
		}
		all = append(all, r)
	}
	return all
}

// lower makes a version less certain, for a reason.
func (v *Version) lower(to Certainty, why stored.Words) {
	if to < v.Sure {
		v.Sure, v.Why = to, why
	}
}

// kinds lists the kinds of patch that a body can be, the likeliest first. The audit log
// does not keep the content type.
func (w *writer) kinds(body any) []Kind {
	o, ok := body.(map[string]any)
	if !ok {
		if _, ok := body.([]any); ok || body == nil {
			return []Kind{JSONPatch} // null is one without operations
		}
		return nil
	}
	applied := w.named && tree.Text(o["kind"]) != "" && tree.Text(o["apiVersion"]) != "" && tree.At(o, "metadata", "managedFields") == nil
	if w.force {
		if !applied {
			return nil
		}
		return []Kind{ServerSideApply}
	}
	var out []Kind
	if applied && !hasDirective(o) {
		out = append(out, ServerSideApply)
	}
	switch {
	case w.custom:
		return append(out, MergePatch)
	case hasDirective(o):
		return []Kind{StrategicMergePatch}
	}
	return append(out, StrategicMergePatch, MergePatch)
}

// hasDirective tells whether an object says what only a strategic merge patch can say.
func hasDirective(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if strings.HasPrefix(k, "$") && (k == directive || k == retainKeys || strings.HasPrefix(k, setElementOrder) || strings.HasPrefix(k, deleteFromList)) {
				return true
			}
			if hasDirective(x) {
				return true
			}
		}
	case []any:
		for _, x := range v {
			if hasDirective(x) {
				return true
			}
		}
	}
	return false
}

// merge merges a patch of one kind into the object. The owners are those after an apply.
func (w *writer) merge(k Kind, body any) (merged map[string]any, after *owners, doubt stored.Words, err error) {
	base := withoutManaged(w.before.object)
	switch k {
	case JSONPatch:
		operations, sent := ordinary(tree.List(body), base)
		var v any
		if v, err = tree.JSONPatch(base, operations); err == nil {
			if merged = tree.Object(v); sent != tree.Absent {
				merged = tree.Put(merged, sent, "metadata", "managedFields")
			}
		}
	case MergePatch:
		merged = tree.Object(tree.MergePatch(base, body))
	case StrategicMergePatch:
		merged, err = strategicPatch(base, tree.Object(body), w.t)
	case ServerSideApply:
		merged, after, doubt, err = w.apply(base, tree.Object(body))
	}
	return merged, after, doubt, err
}

// ordinary returns the operations but those on fields that may not be known here, and that
// are as they were whatever an operation does to them: it succeeded. sent is what they make
// of managedFields, absent where they leave them alone.
// What is left out of the object is not there to be removed, and is what it is tested for.
func ordinary(operations []any, base map[string]any) (rest []any, sent any) {
	sent = tree.Absent
	out := len(stored.Missing(base)) > 0
	for _, o := range operations {
		path, inside := strings.CutPrefix(tree.Text(tree.Object(o)["path"]), "/metadata/")
		name, below, _ := strings.Cut(path, "/")
		switch op := tree.Object(o)["op"]; {
		case out && leftOut(tree.Object(o), base):
			if op == "test" {
				rest = append(rest, tree.With(tree.Object(o), "op", "add"))
			}
		case !inside || !slices.Contains([]string{"managedFields", "uid", "resourceVersion", "creationTimestamp", "generation", "selfLink"}, name):
			rest = append(rest, o)
		case name != "managedFields" || op == "test" || op == "remove" && below == "":
		case below != "" || op != "add" && op != "replace":
			sent = []any{"other"} // some of the entries that were there
		default:
			sent = tree.Object(o)["value"]
		}
	}
	return rest, sent
}

// leftOut tells operations that remove or test what the API server allocates and what is
// not known here.
func leftOut(o, base map[string]any) bool {
	path := tree.Text(o["path"])
	last := path[strings.LastIndexByte(path, '/')+1:]
	if o["op"] != "remove" && o["op"] != "test" ||
		!slices.Contains([]string{"nodePort", "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort", "lastPhaseTransitionTime"}, last) {
		return false
	}
	to, err := tree.Pointer(path)
	if err != nil {
		return false
	}
	found, err := tree.Find(base, to)
	return err == nil && found == tree.Absent
}

// withoutManaged is an object as patches see it, but for managedFields.
func withoutManaged(o map[string]any) map[string]any {
	meta := tree.Object(o["metadata"])
	if meta["managedFields"] == nil {
		return o
	}
	return tree.With(o, "metadata", tree.With(meta, "managedFields", tree.Absent))
}

func (w *writer) apply(base, config map[string]any) (map[string]any, *owners, stored.Words, error) {
	if config["apiVersion"] != base["apiVersion"] || config["kind"] != base["kind"] {
		return nil, nil, stored.Words{}, stored.ErrType
	}
	by := ownerOf(w.manager, "Apply", w.r.Subresource, tree.Text(base["apiVersion"]))
	o := w.before.owners
	if o == nil {
		o = &owners{version: tree.Text(base["apiVersion"])}
	}
	// kubectl is allowed to take over what it applied by itself before.
	merged, after, sure, err := serverSideApply(base, config, by, o, w.t, w.ignored(), w.forced || w.manager == "kubectl")
	if err != nil {
		return nil, nil, stored.Words{}, err
	}
	var doubt stored.Words
	switch {
	case !sure:
		doubt = stored.Words{En: "what " + w.manager + " applied before is not known, and would be taken away where it is missing now", Zh: w.manager + " 此前 apply 过的字段未知；此次缺少的字段会被移除"}

	case w.custom && !mergesPlainly(base, config):
		doubt = stored.Words{En: "how lists and maps of a custom resource are merged, only its definition tells", Zh: "自定义资源的列表和映射如何合并，只有其定义才能说明"}
	}
	if w.manager == "kubectl" && tree.Text(tree.At(base, "metadata", "annotations", lastApplied)) != "" {
		doubt = stored.Words{En: "kubectl's annotation of what was applied last is written again by the API server", Zh: "API Server 会重写 kubectl 的 last-applied 注解"}
	}
	return merged, after, doubt, nil
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// mergesPlainly tells whether an apply to a custom resource merges nothing that could be
// atomic: lists stay as they are, and objects lose no member if they were replaced.
func mergesPlainly(live, config any) bool {
	m, ok := config.(map[string]any)
	if !ok {
		_, isList := config.([]any)
		return !isList || tree.Equal(live, config)
	}
	old := tree.Object(live)
	for k, v := range m {
		if k == "metadata" {
			continue
		}
		if _, ok := v.(map[string]any); ok && old[k] != nil {
			for name := range tree.Object(old[k]) {
				if _, ok := tree.Object(v)[name]; !ok {
					return false
				}
			}
		}
		if !mergesPlainly(old[k], v) {
			return false
		}
	}
	return true
}
