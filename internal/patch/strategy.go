package patch

import (
	"errors"
	"slices"
	"strings"

	"kubetrail/internal/schema"
)

// write stores what an object is to become: normalised, with defaults, and with what a
// request may not change put back (the strategies of pkg/registry in k8s.io/kubernetes).
// patched is false for a body that the API server has decoded already.
func (w *writer) write(merged map[string]any, patched bool) (reading, error) {
	before := withoutManaged(w.before.object)
	sent := at(merged, "metadata", "managedFields")
	merged = withoutManaged(merged)
	if w.custom {
		return w.writeCustom(before, merged, sent, patched)
	}
	s := &storer{}
	o, err := s.object(before, merged, w.t)
	if err != nil {
		return reading{}, err
	}
	for _, p := range w.webhooks {
		v, err := jsonPatch(o, list(p))
		if err != nil {
			return reading{}, err
		}
		if o, err = s.object(before, object(v), w.t); err != nil {
			return reading{}, err
		}
	}
	asked := o // owners are told before the server changes anything
	settled, err := settle(before, w.timed(before, o), w.r.Group, w.r.Resource, w.r.Subresource)
	switch {
	case err == nil:
		o = settled
		// What the request left alone cannot have been counted.
		if Equal(before["spec"], merged["spec"]) && Equal(before["webhooks"], merged["webhooks"]) {
			o = generationKept(before, o)
		}
	case errors.Is(err, errUnsure):
		o = w.restore(before, o)
		s.doubt = Words{"the API server sets or removes fields of its own here", "此处由 API Server 自行设置或移除字段"}
	default:
		return reading{}, err
	}
	r := reading{object: o, owners: w.owned(before, asked, sent), doubt: w.doubts(before, o)}
	if s.doubt.En != "" && r.doubt.En == "" {
		r.doubt = s.doubt
	}
	r.lasting = w.r.Subresource == "status" || w.before.lasting
	switch {
	case w.before.doubt.En == "":
	case !patched && w.replaces():
		// What the object was before does not matter, but for what is counted, and owned.
		r.object = put(r.object, absent, "metadata", "generation")
		r.owners = &owners{version: text(before["apiVersion"])}
	case r.doubt.En == "":
		r.doubt = w.before.doubt
	}
	if w.mutated == Derived {
		r.doubt = Words{"a mutating webhook changed the object, and its patch was not recorded", "变更型准入 webhook 修改过该对象，而其 patch 未记录"}
	}
	if refused(w.r, before, o) {
		return reading{}, errImmutable
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
	by := ownerOf(w.manager, "Update", w.r.Subresource, text(before["apiVersion"]))
	o := w.before.owners
	switch l := list(sent); {
	case w.r.Subresource != "" || sent == nil:
	case len(l) == 0 || len(l) == 1 && isEmptyMap(l[0]):
		return &owners{complete: true, version: text(before["apiVersion"])} // nobody owns anything from now on
	case w.r.Verb == "update":
		o = parseOwners(map[string]any{"apiVersion": before["apiVersion"], "metadata": map[string]any{"managedFields": sent}})
	default:
		return &owners{version: text(before["apiVersion"])}
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
	old, meta := object(before["metadata"]), object(o["metadata"])
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
	out := with(o, "metadata", kept)
	out["apiVersion"], out["kind"] = before["apiVersion"], before["kind"]
	keep := func(path ...string) {
		v := member(object(at(before, path[:len(path)-1]...)), path[len(path)-1])
		out = put(out, v, path...)
	}
	switch {
	case w.r.Subresource == "status":
		keep("spec")
		for _, p := range statusKeeps[w.r.Group+"/"+w.r.Resource] {
			keep(strings.Split(p, ".")...)
		}
	case w.r.Resource == "certificatesigningrequests":
		conditions := at(o, "status", "conditions")
		keep("spec")
		keep("status")
		if w.r.Subresource == "approval" {
			out = put(out, w.dated(conditions), "status", "conditions")
		}
	case w.hasStatus:
		keep("status")
	}
	return out
}

// dated gives conditions that have no times those of the request, where that is certain.
func (w *writer) dated(conditions any) any {
	now := w.r.second()
	out := slices.Clone(list(conditions))
	for i := range out {
		for _, name := range []string{"lastUpdateTime", "lastTransitionTime"} {
			if m := object(out[i]); m != nil && m[name] == nil && now != "" {
				out[i] = with(m, name, now)
			}
		}
	}
	return out
}

// timed notes when the phase of a PersistentVolume changed, as the API server does.
func (w *writer) timed(before, o map[string]any) map[string]any {
	was, is := object(before["status"]), object(o["status"])
	if w.t.Name != "core.v1.PersistentVolume" || w.r.Subresource != "status" || was["phase"] == is["phase"] || w.r.second() == "" ||
		is["lastPhaseTransitionTime"] != nil && is["lastPhaseTransitionTime"] != was["lastPhaseTransitionTime"] {
		return o
	}
	if was["lastPhaseTransitionTime"] == w.r.second() {
		return o // settle would not see that it is another
	}
	return put(o, w.r.second(), "status", "lastPhaseTransitionTime")
}

// generationKept gives an object whose generation is not certain that which it had.
func generationKept(before, o map[string]any) map[string]any {
	n, ok := object(before["metadata"])["generation"]
	if _, there := object(o["metadata"])["generation"]; ok && !there {
		return put(o, n, "metadata", "generation")
	}
	return o
}

// writeCustom stores an object of a kind that is not built in. What its definition does to
// values (defaults, pruning) is not known, so that little more than values that replace
// values of their kind is certain.
func (w *writer) writeCustom(before, merged map[string]any, sent any, patched bool) (reading, error) {
	for _, p := range w.webhooks {
		v, err := jsonPatch(merged, list(p))
		if err != nil {
			return reading{}, err
		}
		merged = object(v)
	}
	old := object(before["metadata"])
	meta, err := (&storer{}).object(old, object(merged["metadata"]), schema.ObjectMeta())
	if err != nil {
		return reading{}, err
	}
	o := w.restore(before, with(merged, "metadata", meta))
	r := reading{}
	switch w.r.Subresource {
	case "status":
		status := member(o, "status")
		o = put(before, status, "status")
		if !plain(before["status"], o["status"]) {
			r.doubt = Words{"how the status of a custom resource is stored, only its definition tells", "自定义资源的 status 如何存储，只有其定义才能说明"}
		}
	default:
		changed := false
		for _, k := range keysOf(before, o) {
			if k == "metadata" || Equal(member(before, k), member(o, k)) {
				continue
			}
			changed = true
			switch {
			case k == "status":
				r.doubt = Words{"whether status is a subresource of the custom resource, only its definition tells", "status 是否为该自定义资源的子资源，只有其定义才能说明"}
			case patched && !plain(member(before, k), member(o, k)):
				r.doubt = Words{"what a custom resource keeps and adds, only its definition tells", "自定义资源保留和补充哪些字段，只有其定义才能说明"}
			}
		}
		if n, ok := integer(old["generation"]); ok && changed {
			o = put(o, n+1, "metadata", "generation")
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
