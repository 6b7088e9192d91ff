package patch

import (
	"net/url"
	"reflect"
	"slices"
	"strings"

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
	// object (metadata.uid, creationTimestamp) is missing where no answer was recorded since
	// it was created: then everything else is as sure as Sure says.
	Object map[string]any
	Sure   Certainty
	Why    Words // why it is no more certain; empty where it is Exact
	Kind   Kind  // how the body of a patch was read

	owners *owners
	worlds []*Version // where it is not certain which: all that it can be, this one first
}

// Recorded is the version of an object that an answer of the API server holds. The object
// must be whole, with apiVersion and kind.
func Recorded(o map[string]any) *Version {
	return &Version{Object: o, Sure: Exact, owners: parseOwners(o)}
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
	URI, UserAgent                        string
	Body                                  []byte // the requestObject
	Annotations                           []byte // of the event, a JSON object
}

// RequestOf takes a Request from an event that has the columns Verb, Resource, APIGroup,
// APIVersion, Subresource, RequestURI, UserAgent, Annotations and RequestObject. The
// Request is valid as long as the event is.
func RequestOf(e *audit.Event) *Request {
	s := func(c audit.Column) string { return string(e.Text[c]) }
	return &Request{Verb: s(audit.Verb), Group: s(audit.APIGroup), Version: s(audit.APIVersion), Resource: s(audit.Resource),
		Subresource: s(audit.Subresource), URI: s(audit.RequestURI), UserAgent: s(audit.UserAgent),
		Body: e.RequestObject, Annotations: e.Text[audit.Annotations]}
}

// unknown is a version of which nothing can be said.
func unknown(en, zh string) *Version { return &Version{Why: Words{en, zh}} }

// Rebuild returns the object as the API server stored it after a request that succeeded,
// from the version before, which is nil where the object was not there. The version
// before is not changed, and shares with the result whatever is the same.
//
// The log does not tell what kind of patch a body is. Where that makes a difference, all
// objects that are possible are kept, until later requests rule them out or make them
// equal.
func Rebuild(before *Version, r *Request) *Version {
	if before == nil || len(before.worlds) == 0 {
		return gathered(rebuilt(before, r))
	}
	var all []*Version
	for _, w := range before.worlds {
		all = append(all, rebuilt(w, r)...)
	}
	return gathered(all)
}

// maxWorlds is how many objects are kept of which one was stored.
const maxWorlds = 8

// gathered makes one version of all that are possible.
func gathered(all []*Version) *Version {
	var worlds []*Version
	for _, v := range all {
		if v.Object == nil {
			continue
		}
		i := slices.IndexFunc(worlds, func(x *Version) bool { return Equal(x.Object, v.Object) && reflect.DeepEqual(x.owners, v.owners) })
		if i < 0 {
			worlds = append(worlds, v)
		} else {
			worlds[i].lower(v.Sure, v.Why)
		}
	}
	if len(worlds) == 0 {
		return all[0]
	}
	out := *worlds[0]
	for _, v := range worlds[1:] {
		out.lower(v.Sure, v.Why)
		if !Equal(out.Object, v.Object) {
			out.lower(Derived, otherReading(out.Kind, v.Kind))
		}
	}
	switch {
	case len(worlds) > maxWorlds:
		out.lower(Derived, Words{"patches can be read in too many ways", "patch 的可能解读过多"})
		out.owners = &owners{version: out.owners.versionOr()}
	case len(worlds) > 1:
		out.worlds = worlds
	}
	return &out
}

func otherReading(first, other Kind) Words {
	if first == other {
		return Words{"the log does not tell what kind of patch an earlier one was, and that makes a difference", "日志未说明此前某个 patch 的类型，不同类型结果不同"}
	}
	return Words{"read as a " + first.String() + "; as a " + other.String() + " it would give another object, and the log does not tell which it was",
		"按 " + first.String() + " 解读；若为 " + other.String() + " 结果则不同，日志未说明类型"}
}

// rebuilt returns all objects that can have become of one that was certainly so before. It
// is never empty.
func rebuilt(before *Version, r *Request) []*Version {
	if before != nil && before.Object != nil && r.Verb == "patch" && (r.Subresource == "" || r.Subresource == "status") {
		group, version := splitGroupVersion(text(before.Object["apiVersion"]))
		if body, err := Decode(r.Body); err == nil && len(r.Body) > 0 && group == r.Group && version == r.Version {
			return newWriter(before, r).patched(body)
		}
	}
	return []*Version{rewritten(before, r)}
}

// rewritten returns what became of an object by anything but an ordinary patch.
func rewritten(before *Version, r *Request) *Version {
	switch {
	case len(r.Body) == 0:
		return unknown("the body of the request was not recorded", "请求体未记录")
	case before == nil || before.Object == nil:
		return fromBody(r)
	}
	group, version := splitGroupVersion(text(before.Object["apiVersion"]))
	if r.Subresource == "scale" {
		return scaled(before, r)
	}
	if group != r.Group || version != r.Version {
		return unknown("the version before is known in another version of the API", "此前的版本属于该 API 的另一版本")
	}
	if r.Subresource != "" && r.Subresource != "status" {
		return unknown("what requests on the subresource "+r.Subresource+" store is not known", "子资源 "+r.Subresource+" 的请求会存储什么，尚不支持推断")
	}
	body, err := Decode(r.Body)
	if err != nil {
		return unknown("the body of the request cannot be read", "请求体无法读取")
	}
	if r.Verb != "update" {
		return unknown("a request with the verb "+r.Verb+" does not tell the object", "动词为 "+r.Verb+" 的请求不能说明对象内容")
	}
	o, ok := body.(map[string]any)
	if !ok {
		return unknown("the body of the request is not the object", "请求体不是该对象")
	}
	w := newWriter(before, r)
	v, err := w.write(o, false)
	if err != nil {
		return unknown("the body of the request is not as the API server stores it", "请求体与 API Server 的存储形式不符")
	}
	return w.finish(v, NoPatch)
}

// writer does what the API server does with a request to an object that is there.
type writer struct {
	r      *Request
	before *Version
	t      *schema.Type // Custom where the kind is not built in
	custom bool

	manager   string // of fields
	force     bool   // the URI says force, true or false: only apply may
	named     bool   // the URI says fieldManager
	hasStatus bool
	mutated   Certainty
	webhooks  []any // the patches of mutating webhooks, each a list of operations
}

func newWriter(before *Version, r *Request) *writer {
	w := &writer{r: r, before: before, t: typeOf(before.Object)}
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
}

// patched reads a body in every way in which it can be meant.
func (w *writer) patched(body any) []*Version {
	var all []*Version
	for _, k := range w.kinds(body) {
		if r, err := w.read(k, body); err == nil {
			all = append(all, w.finish(r, k))
		}
	}
	if len(all) == 0 {
		return []*Version{unknown("the patch does not fit the version before", "该 patch 与此前的版本不符")}
	}
	return all
}

func (o *owners) versionOr() string {
	if o == nil {
		return ""
	}
	return o.version
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

// read does what the API server does with a patch of one kind.
func (w *writer) read(k Kind, body any) (reading, error) {
	base := withoutManaged(w.before.Object)
	var merged map[string]any
	var after *owners
	var doubt Words
	var err error
	switch k {
	case JSONPatch:
		var v any
		if v, err = jsonPatch(base, list(body)); err == nil {
			merged = object(v)
		}
	case MergePatch:
		merged = object(mergePatch(base, body))
	case StrategicMergePatch:
		merged, err = strategicPatch(base, object(body), w.t)
	case ServerSideApply:
		merged, after, doubt, err = w.apply(base, object(body))
	}
	if err != nil {
		return reading{}, err
	}
	if merged == nil {
		return reading{}, errType
	}
	r, err := w.write(merged, true)
	if err != nil {
		return reading{}, err
	}
	r.kind = k
	if after != nil {
		r.owners = after
	}
	if doubt.En != "" {
		r.doubt = doubt
	}
	return r, nil
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
	merged, after, sure, err := serverSideApply(base, config, by, o, w.t, w.ignored())
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

// finish makes a version of what was written.
func (w *writer) finish(r reading, k Kind) *Version {
	v := &Version{Object: r.object, Sure: w.before.Sure, Why: w.before.Why, Kind: k, owners: r.owners}
	if r.doubt.En != "" {
		v.lower(Derived, r.doubt)
	}
	if w.mutated == Derived {
		v.lower(Derived, Words{"a mutating webhook changed the object, and its patch was not recorded", "变更型准入 webhook 修改过该对象，而其 patch 未记录"})
	}
	return v
}
