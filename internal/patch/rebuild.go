package patch

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/schema"
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

// Words are a reason in English and Chinese.
type Words struct{ En, Zh string }

// Version is what is known of an object after a request.
type Version struct {
	// Object is the object, nil where Sure is Unknown. What only the API server gives an
	// object (metadata.uid, an address that it allocates) is left out where no answer was
	// recorded since: then everything else is as sure as Sure says, and [Missing] names it.
	Object map[string]any
	Sure   Certainty
	Why    Words // why it is no more certain; empty where it is Exact
	Kind   Kind  // how the body of a patch was read

	worlds []world // what the object can be, the likeliest first; empty: Object alone, by owners nobody knows
}

// A world is one of the objects that the requests so far can have made, where they can be
// read in several ways. A later request that is impossible in a world ends it.
type world struct {
	object map[string]any
	owners *owners
	doubt  Words // why even this is not certain

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
func unknown(en, zh string) *Version { return &Version{Why: Words{en, zh}} }

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
	group, version := splitGroupVersion(text(before.Object["apiVersion"]))
	switch {
	case group != r.Group || version != r.Version && r.Subresource != "scale":
		return unknown("the version before is known in another version of the API", "此前的版本属于该 API 的另一版本")
	case r.Subresource != "" && r.Subresource != "status" && r.Subresource != "scale" && r.Subresource != "approval":
		return unknown("what requests on the subresource "+r.Subresource+" store is not known", "子资源 "+r.Subresource+" 的请求会存储什么，尚不支持推断")
	}
	body, err := Decode(r.Body)
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
func (w *writer) readings(body any) (all []reading, why Words) {
	if w.r.Subresource == "scale" {
		return w.scaled(body)
	}
	switch w.r.Verb {
	case "update":
		o, ok := body.(map[string]any)
		if !ok {
			return nil, Words{"the body of the request is not the object", "请求体不是该对象"}
		}
		r, err := w.write(o, false)
		if err != nil {
			return nil, Words{}
		}
		return []reading{r}, Words{}
	case "patch":
		return w.patched(body), Words{}
	}
	return nil, Words{"a request with the verb " + w.r.Verb + " does not tell the object", "动词为 " + w.r.Verb + " 的请求不能说明对象内容"}
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
		case Equal(Canonical(v.Object), Canonical(r.object)):
		case Equal(ungenerated(v.Object), ungenerated(r.object)):
			counts = false
		case before.Sure == Exact:
			other = r.kind
			v.lower(Derived, Words{"read as a " + v.Kind.String() + "; as a " + other.String() + " it would give another object, and the log does not tell which it was",
				"按 " + v.Kind.String() + " 解读；若为 " + other.String() + " 结果则不同，日志未说明类型"})
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
	return put(Canonical(o), absent, "metadata", "generation")
}

// follow adds a world, unless it is there.
func (v *Version) follow(w world) {
	for i, x := range v.worlds {
		if x.doubt != w.doubt || x.lasting != w.lasting || !Equal(x.object, w.object) {
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
	why := Words{"the patches so far can be read in too many ways", "此前的 patch 可有过多种解读"}
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
	w := &writer{r: r, before: before, t: typeOf(before.object)}
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
	doubt  Words

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
			if slices.ContainsFunc(seen, func(m map[string]any) bool { return Equal(m, merged) }) {
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
func (v *Version) lower(to Certainty, why Words) {
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
	applied := w.named && text(o["kind"]) != "" && text(o["apiVersion"]) != "" && at(o, "metadata", "managedFields") == nil
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
func (w *writer) merge(k Kind, body any) (merged map[string]any, after *owners, doubt Words, err error) {
	base := withoutManaged(w.before.object)
	switch k {
	case JSONPatch:
		operations, sent := ordinary(list(body), base)
		var v any
		if v, err = jsonPatch(base, operations); err == nil {
			if merged = object(v); sent != absent {
				merged = put(merged, sent, "metadata", "managedFields")
			}
		}
	case MergePatch:
		merged = object(mergePatch(base, body))
	case StrategicMergePatch:
		merged, err = strategicPatch(base, object(body), w.t)
	case ServerSideApply:
		merged, after, doubt, err = w.apply(base, object(body))
	}
	return merged, after, doubt, err
}

// ordinary returns the operations but those on fields that may not be known here, and that
// are as they were whatever an operation does to them: it succeeded. sent is what they make
// of managedFields, absent where they leave them alone.
// What is left out of the object is not there to be removed, and is what it is tested for.
func ordinary(operations []any, base map[string]any) (rest []any, sent any) {
	sent = absent
	out := len(Missing(base)) > 0
	for _, o := range operations {
		path, inside := strings.CutPrefix(text(object(o)["path"]), "/metadata/")
		name, below, _ := strings.Cut(path, "/")
		switch op := object(o)["op"]; {
		case out && leftOut(object(o), base):
			if op == "test" {
				rest = append(rest, with(object(o), "op", "add"))
			}
		case !inside || !slices.Contains([]string{"managedFields", "uid", "resourceVersion", "creationTimestamp", "generation", "selfLink"}, name):
			rest = append(rest, o)
		case name != "managedFields" || op == "test" || op == "remove" && below == "":
		case below != "" || op != "add" && op != "replace":
			sent = []any{"other"} // some of the entries that were there
		default:
			sent = object(o)["value"]
		}
	}
	return rest, sent
}

// leftOut tells operations that remove or test what the API server allocates and what is
// not known here.
func leftOut(o, base map[string]any) bool {
	path := text(o["path"])
	last := path[strings.LastIndexByte(path, '/')+1:]
	if o["op"] != "remove" && o["op"] != "test" ||
		!slices.Contains([]string{"nodePort", "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort", "lastPhaseTransitionTime"}, last) {
		return false
	}
	to, err := pointer(path)
	if err != nil {
		return false
	}
	found, err := find(base, to)
	return err == nil && found == absent
}

// withoutManaged is an object as patches see it, but for managedFields.
func withoutManaged(o map[string]any) map[string]any {
	meta := object(o["metadata"])
	if meta["managedFields"] == nil {
		return o
	}
	return with(o, "metadata", with(meta, "managedFields", absent))
}

func (w *writer) apply(base, config map[string]any) (map[string]any, *owners, Words, error) {
	if config["apiVersion"] != base["apiVersion"] || config["kind"] != base["kind"] {
		return nil, nil, Words{}, errType
	}
	by := ownerOf(w.manager, "Apply", w.r.Subresource, text(base["apiVersion"]))
	o := w.before.owners
	if o == nil {
		o = &owners{version: text(base["apiVersion"])}
	}
	// kubectl is allowed to take over what it applied by itself before.
	merged, after, sure, err := serverSideApply(base, config, by, o, w.t, w.ignored(), w.forced || w.manager == "kubectl")
	if err != nil {
		return nil, nil, Words{}, err
	}
	var doubt Words
	switch {
	case !sure:
		doubt = Words{"what " + w.manager + " applied before is not known, and would be taken away where it is missing now",
			w.manager + " 此前 apply 过的字段未知；此次缺少的字段会被移除"}
	case w.custom && !mergesPlainly(base, config):
		doubt = Words{"how lists and maps of a custom resource are merged, only its definition tells", "自定义资源的列表和映射如何合并，只有其定义才能说明"}
	}
	if w.manager == "kubectl" && text(at(base, "metadata", "annotations", lastApplied)) != "" {
		doubt = Words{"kubectl's annotation of what was applied last is written again by the API server", "API Server 会重写 kubectl 的 last-applied 注解"}
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
		return !isList || Equal(live, config)
	}
	old := object(live)
	for k, v := range m {
		if k == "metadata" {
			continue
		}
		if _, ok := v.(map[string]any); ok && old[k] != nil {
			for name := range object(old[k]) {
				if _, ok := object(v)[name]; !ok {
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
