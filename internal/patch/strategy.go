package patch

import (
	"errors"
	"slices"
	"strings"

	"kubetrail/internal/schema"
	"kubetrail/internal/stored"
	"kubetrail/internal/tree"
)

// write stores what an object is to become: normalised, with defaults, and with what a
// request may not change put back (the strategies of pkg/registry in k8s.io/kubernetes).
// patched is false for a body that the API server has decoded already.
func (w *writer) write(merged map[string]any, patched bool) (reading, error) {
	before := withoutManaged(w.before.object)
	sent := tree.At(merged, "metadata", "managedFields")
	merged = withoutManaged(merged)
	if w.custom {
		return w.writeCustom(before, merged, sent, patched)
	}
	s := &stored.Storer{}
	o, err := s.Object(before, merged, w.t)
	if err != nil {
		return reading{}, err
	}
	for _, p := range w.webhooks {
		v, err := tree.JSONPatch(o, tree.List(p))
		if err != nil {
			return reading{}, err
		}
		if o, err = s.Object(before, tree.Object(v), w.t); err != nil {
			return reading{}, err
		}
	}
	asked := o // owners are told before the server changes anything
	settled, err := stored.Settle(before, w.timed(before, o), w.r.Group, w.r.Resource, w.r.Subresource)
	switch {
	case err == nil:
		o = settled
		// What the request left alone cannot have been counted.
		if tree.Equal(before["spec"], merged["spec"]) && tree.Equal(before["webhooks"], merged["webhooks"]) {
			o = generationKept(before, o)
		}
	case errors.Is(err, stored.ErrUnsure):
		o = w.restore(before, o)
		s.Doubt = stored.Words{En: "the API server sets or removes fields of its own here", Zh: "此处由 API Server 自行设置或移除字段"}
	default:
		return reading{}, err
	}
	r := reading{object: o, owners: w.owned(before, asked, sent), doubt: w.doubts(before, o)}
	if s.Doubt.En != "" && r.doubt.En == "" {
		r.doubt = s.Doubt
	}
	r.lasting = w.r.Subresource == "status" || w.before.lasting
	switch {
	case w.before.doubt.En == "":
	case !patched && w.replaces():
		// What the object was before does not matter, but for what is counted, and owned.
		r.object = tree.Put(r.object, tree.Absent, "metadata", "generation")
		r.owners = &owners{version: tree.Text(before["apiVersion"])}
	case r.doubt.En == "":
		r.doubt = w.before.doubt
	}
	if w.mutated == Derived {
		r.doubt = stored.Words{En: "a mutating webhook changed the object, and its patch was not recorded", Zh: "变更型准入 webhook 修改过该对象，而其 patch 未记录"}
	}
	if refused(w.r, before, o) {
		return reading{}, stored.ErrImmutable
	}
	return r, nil
}

// replaces tells whether an update replaces all that is doubtful about the object before.
// Some kinds keep more of it than the status.
func (w *writer) replaces() bool {
	switch w.r.Resource {
	case "services", "namespaces", "daemonsets", "certificatesigningrequests", "persistentvolumeclaims", "pods", "secrets":
		return false
	}
	return w.r.Subresource == "" && !w.before.lasting
}

// owned is who owns the fields after a request that is no apply. sent is what the request
// says managedFields are to be.
func (w *writer) owned(before, after map[string]any, sent any) *owners {
	by := ownerOf(w.manager, "Update", w.r.Subresource, tree.Text(before["apiVersion"]))
	o := w.before.owners
	switch l := tree.List(sent); {
	case w.r.Subresource != "" || sent == nil:
	case len(l) == 0 || len(l) == 1 && isEmptyMap(l[0]):
		return &owners{complete: true, version: tree.Text(before["apiVersion"])} // nobody owns anything from now on
	case w.r.Verb == "update":
		o = parseOwners(map[string]any{"apiVersion": before["apiVersion"], "metadata": map[string]any{"managedFields": sent}})
	default:
		return &owners{version: tree.Text(before["apiVersion"])}
	}
	return o.updated(by, before, after, w.t, w.ignored())
}

// ignored are the fields that a request cannot own (GetResetFields of the strategies).
func (w *writer) ignored() []string {
	switch {
	case w.r.Subresource == "status":
		return append([]string{"spec"}, statusKeeps[w.r.Group+"/"+w.r.Resource]...)
	case w.r.Resource == "certificatesigningrequests":
		return []string{"spec", "status"}
	case w.hasStatus:
		return []string{"status"}
	}
	return nil
}

// statusKeeps are the fields of metadata that a request on the subresource status leaves
// as they are, by group and resource; "metadata" stands for all.
var statusKeeps = map[string][]string{
	"apps/deployments": {"metadata.labels"},
	"/pods":            {"metadata.deletionTimestamp", "metadata.ownerReferences"},
	"admissionregistration.k8s.io/validatingadmissionpolicies": {"metadata"},
	"networking.k8s.io/servicecidrs":                           {"metadata"},
	"storage.k8s.io/volumeattachments":                         {"metadata"},
	"flowcontrol.apiserver.k8s.io/flowschemas":                 {"metadata"},
	"flowcontrol.apiserver.k8s.io/prioritylevelconfigurations": {"metadata"},
	"resource.k8s.io/resourceclaims":                           {"metadata"},
	"resource.k8s.io/devicetaintrules":                         {"metadata"},
	"certificates.k8s.io/podcertificaterequests":               {"metadata"},
	"apiregistration.k8s.io/apiservices":                       {"metadata.labels", "metadata.annotations", "metadata.finalizers", "metadata.ownerReferences"},
}

// serverFields are members of metadata that no request changes.
var serverFields = []string{"name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp", "selfLink"}

// restore puts back what the request may not change: fields of metadata that the API
// server keeps, the status, or everything but the status.
func (w *writer) restore(before, o map[string]any) map[string]any {
	old, meta := tree.Object(before["metadata"]), tree.Object(o["metadata"])
	kept := make(map[string]any, len(meta))
	for k, v := range meta {
		kept[k] = v
	}
	for _, k := range serverFields {
		if v, ok := old[k]; ok {
			kept[k] = v
		} else {
			delete(kept, k)
		}
	}
	if v, ok := old["deletionGracePeriodSeconds"]; ok && kept["deletionGracePeriodSeconds"] == nil {
		kept["deletionGracePeriodSeconds"] = v
	}
	delete(kept, "resourceVersion")
	delete(kept, "managedFields")
	if v, ok := old["resourceVersion"]; ok {
		kept["resourceVersion"] = v
	}
	out := tree.With(o, "metadata", kept)
	out["apiVersion"], out["kind"] = before["apiVersion"], before["kind"]
	keep := func(path ...string) {
		v := tree.Member(tree.Object(tree.At(before, path[:len(path)-1]...)), path[len(path)-1])
		out = tree.Put(out, v, path...)
	}
	switch {
	case w.r.Subresource == "status":
		keep("spec")
		for _, p := range statusKeeps[w.r.Group+"/"+w.r.Resource] {
			keep(strings.Split(p, ".")...)
		}
	case w.r.Resource == "certificatesigningrequests":
		conditions := tree.At(o, "status", "conditions")
		keep("spec")
		keep("status")
		if w.r.Subresource == "approval" {
			out = tree.Put(out, w.dated(conditions), "status", "conditions")
		}
	case w.hasStatus:
		keep("status")
	}
	return out
}

// dated gives conditions that have no times those of the request, where that is certain.
func (w *writer) dated(conditions any) any {
	now := w.r.second()
	out := slices.Clone(tree.List(conditions))
	for i := range out {
		for _, name := range []string{"lastUpdateTime", "lastTransitionTime"} {
			if m := tree.Object(out[i]); m != nil && m[name] == nil && now != "" {
				out[i] = tree.With(m, name, now)
			}
		}
	}
	return out
}

// timed notes when the phase of a PersistentVolume changed, as the API server does.
func (w *writer) timed(before, o map[string]any) map[string]any {
	was, is := tree.Object(before["status"]), tree.Object(o["status"])
	if w.t.Name != "core.v1.PersistentVolume" || w.r.Subresource != "status" || was["phase"] == is["phase"] || w.r.second() == "" ||
		is["lastPhaseTransitionTime"] != nil && is["lastPhaseTransitionTime"] != was["lastPhaseTransitionTime"] {
		return o
	}
	if was["lastPhaseTransitionTime"] == w.r.second() {
		return o // settle would not see that it is another
	}
	return tree.Put(o, w.r.second(), "status", "lastPhaseTransitionTime")
}

// generationKept gives an object whose generation is not certain that which it had.
func generationKept(before, o map[string]any) map[string]any {
	n, ok := tree.Object(before["metadata"])["generation"]
	if _, there := tree.Object(o["metadata"])["generation"]; ok && !there {
		return tree.Put(o, n, "metadata", "generation")
	}
	return o
}

// writeCustom stores an object of a kind that is not built in. What its definition does to
// values (defaults, pruning) is not known, so that little more than values that replace
// values of their kind is certain.
func (w *writer) writeCustom(before, merged map[string]any, sent any, patched bool) (reading, error) {
	for _, p := range w.webhooks {
		v, err := tree.JSONPatch(merged, tree.List(p))
		if err != nil {
			return reading{}, err
		}
		merged = tree.Object(v)
	}
	old := tree.Object(before["metadata"])
	meta, err := (&stored.Storer{}).Object(old, tree.Object(merged["metadata"]), schema.ObjectMeta())
	if err != nil {
		return reading{}, err
	}
	o := w.restore(before, tree.With(merged, "metadata", meta))
	r := reading{}
	switch w.r.Subresource {
	case "status":
		status := tree.Member(o, "status")
		o = tree.Put(before, status, "status")
		if !plain(before["status"], o["status"]) {
			r.doubt = stored.Words{En: "how the status of a custom resource is stored, only its definition tells", Zh: "自定义资源的 status 如何存储，只有其定义才能说明"}
		}
	default:
		changed := false
		for _, k := range keysOf(before, o) {
			if k == "metadata" || tree.Equal(tree.Member(before, k), tree.Member(o, k)) {
				continue
			}
			changed = true
			switch {
			case k == "status":
				r.doubt = stored.Words{En: "whether status is a subresource of the custom resource, only its definition tells", Zh: "status 是否为该自定义资源的子资源，只有其定义才能说明"}
			case patched && !plain(tree.Member(before, k), tree.Member(o, k)):
				r.doubt = stored.Words{En: "what a custom resource keeps and adds, only its definition tells", Zh: "自定义资源保留和补充哪些字段，只有其定义才能说明"}
			}
		}
		if n, ok := tree.Integer(old["generation"]); ok && changed {
			o = tree.Put(o, n+1, "metadata", "generation")
		}
	}
	if r.doubt.En == "" {
		r.doubt = w.before.doubt
	}
	r.object, r.lasting = o, true
	r.owners = w.owned(before, o, sent)
	return r, nil
}

// plain tells whether two values differ only in values of the same form: no definition
// stores those otherwise.
func plain(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k, v := range x {
			if w, ok := y[k]; !ok || !plain(v, w) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !plain(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	return a == b || a != nil && b != nil && sameForm(a, b)
}
