package patch

import (
	"kubetrail/internal/schema"
	"kubetrail/internal/stored"
	"kubetrail/internal/tree"
)

// fromBody tells an object from the body of a request alone: of a create, of an apply that
// made the object, or of an update whose version before is not known.
func fromBody(r *Request, fresh bool) *Version {
	body, err := tree.Decode(r.Body)
	o, ok := body.(map[string]any)
	if err != nil || !ok || r.Subresource != "" {
		return unknown("what it was before is not known", "此前的内容未知")
	}
	switch r.Verb {
	case "create":
		return created(r, o)
	case "update":
		o = tree.With(o, "metadata", tree.With(tree.Object(o["metadata"]), "managedFields", tree.Absent))
		return &Version{Object: o, Sure: Derived,
			Why: stored.Words{En: "what it was before is not known: the status and what the API server keeps are missing", Zh: "此前的内容未知：缺少 status 和由 API Server 维护的字段"}}
	case "patch":
		w := newWriter(world{object: map[string]any{"apiVersion": o["apiVersion"], "kind": o["kind"]}}, r)
		if kinds := w.kinds(o); fresh && len(kinds) > 0 && kinds[0] == ServerSideApply {
			return createdByApply(w, o)
		}
	}
	return unknown("what it was before is not known", "此前的内容未知")
}

// created is the object that the body of a create makes. The API server has decoded the
// body and set defaults already.
func created(r *Request, o map[string]any) *Version {
	w := newWriter(world{object: o}, r)
	empty := map[string]any{}
	out, why := w.born(o)
	before := &owners{sets: map[owner]*fieldSet{}, complete: true, version: tree.Text(o["apiVersion"])}
	by := ownerOf(w.manager, "Update", "", before.version)
	return w.fresh(out, before.updated(by, empty, o, w.t, w.ignored()), why, NoPatch)
}

// fresh is the version of an object that was made.
func (w *writer) fresh(o map[string]any, by *owners, why stored.Words, k Kind) *Version {
	if w.mutated == Derived || len(w.webhooks) > 0 {
		why = stored.Words{En: "a mutating webhook changed the object", Zh: "变更型准入 webhook 修改过该对象"}
	}
	v := &Version{Object: o, Sure: Exact, Kind: k, worlds: []world{{object: o, owners: by, doubt: why, lasting: true}}}
	if why.En != "" {
		v.lower(Derived, why)
	}
	return v
}

func createdByApply(w *writer, o map[string]any) *Version {
	fresh := &owners{sets: map[owner]*fieldSet{}, complete: true, version: tree.Text(o["apiVersion"])}
	by := ownerOf(w.manager, "Apply", "", fresh.version)
	merged, after, _, err := serverSideApply(nil, o, by, fresh, w.t, w.ignored(), true)
	if err != nil {
		return unknown("the body of the request cannot be applied", "请求体无法 apply")
	}
	if !w.custom {
		if merged, err = (&stored.Storer{}).Object(nil, merged, w.t); err != nil {
			return unknown("the body of the request cannot be applied", "请求体无法 apply")
		}
		merged["apiVersion"], merged["kind"] = o["apiVersion"], o["kind"]
	}
	out, why := w.born(merged)
	if w.custom {
		why = stored.Words{En: "what a custom resource keeps and adds, only its definition tells", Zh: "自定义资源保留和补充哪些字段，只有其定义才能说明"}
	}
	return w.fresh(out, after, why, ServerSideApply)
}

// bornWith are kinds to which the API server adds nothing when they are created, but the
// members of metadata that it gives every object.
var bornWith = map[string]bool{
	"core.v1.ConfigMap": true, "core.v1.Secret": true, "core.v1.LimitRange": true, "core.v1.ResourceQuota": true, "core.v1.ServiceAccount": true,
	"core.v1.Endpoints": true, "core.v1.ReplicationController": true, "core.v1.Node": false,
	"apps.v1.Deployment": true, "apps.v1.ReplicaSet": true, "apps.v1.StatefulSet": true, "batch.v1.CronJob": true,
	"rbac.v1.Role": true, "rbac.v1.RoleBinding": true, "rbac.v1.ClusterRole": true, "rbac.v1.ClusterRoleBinding": true,
	"networking.v1.NetworkPolicy": true, "networking.v1.IngressClass": true, "policy.v1.PodDisruptionBudget": true,
	"autoscaling.v2.HorizontalPodAutoscaler": true, "coordination.v1.Lease": true, "discovery.v1.EndpointSlice": true,
	"storage.v1.StorageClass": true, "storage.v1.CSIDriver": true, "scheduling.v1.PriorityClass": true, "node.v1.RuntimeClass": true,
	"admissionregistration.v1.ValidatingWebhookConfiguration": true, "admissionregistration.v1.MutatingWebhookConfiguration": true,
}

// born is a new object as the API server stores it, without what only the API server
// knows, and why it may be otherwise.
func (w *writer) born(o map[string]any) (map[string]any, stored.Words) {
	meta := make(map[string]any, len(tree.Object(o["metadata"])))
	for k, v := range tree.Object(o["metadata"]) {
		switch k {
		case "uid", "creationTimestamp", "resourceVersion", "managedFields", "selfLink", "generation", "deletionTimestamp", "deletionGracePeriodSeconds":
		default:
			meta[k] = v
		}
	}
	if r := schema.Find(w.r.Group, w.r.Resource); w.r.Namespace != "" && meta["namespace"] == nil && (r == nil || r.Namespaced) {
		meta["namespace"] = w.r.Namespace
	}
	if now := w.r.second(); now != "" {
		meta["creationTimestamp"] = now
	}
	if w.custom || stored.Counted[w.t.Name] {
		meta["generation"] = int64(1)
	}
	o = tree.With(o, "metadata", meta)
	var why stored.Words
	if tree.Text(meta["name"]) == "" {
		why = stored.Words{En: "the API server made up its name", Zh: "名称由 API Server 生成"}
	}
	switch {
	case w.custom:
		return o, why
	case w.hasStatus:
		f := w.t.Field("status")
		empty, err := (&stored.Storer{}).Object(nil, nil, f.Type)
		if err != nil {
			break
		}
		if f.OmitZero || f.Pointer {
			o = tree.With(o, "status", tree.Absent)
		} else {
			o = tree.With(o, "status", empty)
		}
	}
	if w.t.Name == "core.v1.PersistentVolume" && w.r.second() != "" {
		o = tree.Put(o, map[string]any{"phase": "Pending", "lastPhaseTransitionTime": w.r.second()}, "status")
	}
	if w.t.Name == "core.v1.Namespace" {
		o = tree.Put(o, []any{"kubernetes"}, "spec", "finalizers")
		return o, why
	}
	// DefaultIngressClass fills in nothing but the class.
	whole := w.t.Name == "networking.v1.Ingress" && tree.At(o, "spec", "ingressClassName") != nil
	if !bornWith[w.t.Name] && !whole && why.En == "" {
		why = stored.Words{En: "the API server and its admission add to a new " + tree.Text(o["kind"]), Zh: "API Server 及其准入控制会为新建的 " + tree.Text(o["kind"]) + " 补充字段"}
	}
	return o, why
}

// scaled is the object after a request on its subresource scale.
func (w *writer) scaled(body any) ([]reading, stored.Words) {
	if tree.At(w.before.object, "spec", "replicas") == nil {
		return nil, stored.Words{En: "which field the scale of a custom resource is, the event does not tell", Zh: "事件未说明自定义资源的 scale 对应哪个字段"}
	}
	old := withoutManaged(w.before.object)
	meta := tree.Object(old["metadata"])
	scale := map[string]any{"apiVersion": "autoscaling/v1", "kind": "Scale",
		"metadata": map[string]any{"name": meta["name"], "namespace": meta["namespace"]},
		"spec":     map[string]any{"replicas": tree.At(old, "spec", "replicas")}}
	var v any
	var err error
	r := reading{doubt: w.before.doubt, lasting: w.before.lasting}
	switch b := body.(type) {
	case []any:
		v, err = tree.JSONPatch(scale, b)
	case map[string]any:
		v = tree.MergePatch(scale, b)
		if w.r.Verb == "update" {
			v = b
		} else if tree.At(b, "spec", "replicas") == nil && tree.Text(b["kind"]) != "" {
			// An apply takes away what it does not name.
			r.doubt = stored.Words{En: "what was applied to the scale before is not known", Zh: "此前对 scale apply 的内容未知"}
		}
	}
	replicas, ok := tree.At(v, "spec", "replicas").(int64)
	if !ok && tree.At(v, "spec", "replicas") == nil && err == nil {
		replicas, ok = 0, true
	}
	if err != nil || !ok {
		return nil, stored.Words{}
	}
	if w.custom {
		r.object = tree.Put(old, replicas, "spec", "replicas")
		r.doubt = stored.Words{En: "which field the scale of a custom resource is, the event does not tell", Zh: "事件未说明自定义资源的 scale 对应哪个字段"}
		return []reading{r}, stored.Words{}
	}
	if r.object, err = stored.Settle(old, tree.Put(old, replicas, "spec", "replicas"), w.r.Group, w.r.Resource, ""); err != nil {
		return nil, stored.Words{En: "what the request on the subresource scale stores is not known", Zh: "对子资源 scale 的请求会存储什么未知"}
	}
	operation := "Update"
	if w.force {
		operation = "Apply"
	}
	by := ownerOf(w.manager, operation, "scale", tree.Text(old["apiVersion"]))
	r.owners = w.before.owners.updated(by, old, r.object, w.t, w.ignored())
	if replicas == 0 { // which a Scale does not write: nobody owns it
		r.owners = r.owners.without(by, "spec.replicas")
	} else if w.force && tree.At(body, "spec", "replicas") != nil {
		r.owners = r.owners.including(by) // though it may not have changed
	}
	if w.force && tree.At(body, "spec", "replicas") == nil {
		r.owners.incomplete()
	}
	return []reading{r}, stored.Words{}
}
