package stored

import (
	"errors"
	"maps"
	"slices"
	"strconv"

	"kubetrail/internal/schema"
	"kubetrail/internal/tree"
)

// A settler does what an API server does to an object of one kind after it was patched
// or replaced, before it is stored: upstream's PrepareForUpdate and Canonicalize
// (pkg/registry of k8s.io/kubernetes v1.36). after is its own to change, but not what is
// below. An error says that the result is not certain.
type settler func(before, after map[string]any, subresource string) error

var ErrImmutable = errors.New("a field that cannot be changed")

// Settle returns what is stored where an update or patch made after of before: what
// cannot be changed that way is as it was, and what follows from other fields follows.
// Both are stored objects. It sets metadata.generation where that is certain, takes away
// metadata.resourceVersion, which is another from now on, and leaves
// metadata.managedFields alone.
func Settle(before, after map[string]any, group, resource, subresource string) (map[string]any, error) {
	after = tree.With(after, "", tree.Absent)
	if err := settleMeta(before, after); err != nil {
		return nil, err
	}
	r := schema.Find(group, resource)
	if r == nil {
		return nil, ErrUnsure
	}
	switch {
	case subresource == "status":
		for _, k := range slices.Sorted(maps.Keys(both(before, after))) {
			if k != "metadata" && k != "status" && k != "apiVersion" && k != "kind" {
				keep(before, after, k)
			}
		}
	case subresource == "" && slices.ContainsFunc(r.Subresources, func(s schema.Subresource) bool { return s.Name == "status" }):
		keep(before, after, "status")
	case subresource != "":
		return nil, ErrUnsure
	}
	if s := settlers()[resource+"."+group]; s != nil {
		if err := s(before, after, subresource); err != nil {
			return nil, err
		}
	}
	if subresource == "" {
		setGeneration(before, after, resource+"."+group)
	}
	return after, nil
}

func both(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// keep gives a field of after the value that it has before.
func keep(before, after map[string]any, name string) {
	if v, ok := before[name]; ok {
		after[name] = v
	} else {
		delete(after, name)
	}
}

// settleMeta restores what nobody can change.
func settleMeta(before, after map[string]any) error {
	old, meta := tree.Object(before["metadata"]), own(after, "metadata")
	for _, name := range []string{"creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"} {
		keep(old, meta, name)
	}
	for _, name := range []string{"uid", "namespace"} {
		if tree.Text(meta[name]) == "" {
			keep(old, meta, name)
		}
	}
	for _, name := range []string{"name", "uid", "namespace"} {
		if v, ok := old[name]; ok && meta[name] != v {
			return ErrImmutable
		}
	}
	if refs := tree.List(meta["ownerReferences"]); len(refs) > 1 {
		meta["ownerReferences"] = distinct(refs)
	}
	delete(meta, "selfLink")
	delete(meta, "resourceVersion")
	return nil
}

// distinct leaves out what is there already.
func distinct(all []any) (out []any) {
	seen := make(map[string]bool, len(all))
	for _, x := range all {
		if text := tree.Compact(x); !seen[text] {
			seen[text] = true
			out = append(out, x)
		}
	}
	return out
}

// settlers are by resource and group.
func settlers() map[string]settler {
	return map[string]settler{
		"pods.":                   settlePod,
		"services.":               settleService,
		"serviceaccounts.":        settleServiceAccount,
		"namespaces.":             settleNamespace,
		"persistentvolumes.":      settleVolume,
		"persistentvolumeclaims.": settleClaim,
		"deployments.apps":        settleDeployment,
		"daemonsets.apps":         settleDaemonSet,
		"certificatesigningrequests.certificates.k8s.io":           settleSigning,
		"flowschemas.flowcontrol.apiserver.k8s.io":                 settleFlow,
		"prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": settleFlow,
		"apiservices.apiregistration.k8s.io":                       settleUnsure,
		"customresourcedefinitions.apiextensions.k8s.io":           settleUnsure,
		"resourceclaims.resource.k8s.io":                           settleUnsure,
		"resourceslices.resource.k8s.io":                           settleUnsure,
		"servicecidrs.networking.k8s.io":                           settleUnsure,
		"ipaddresses.networking.k8s.io":                            settleUnsure,
		"validatingadmissionpolicies.admissionregistration.k8s.io": settleUnsure,
	}
}

func settleUnsure(before, after map[string]any, _ string) error {
	for k := range both(before, after) {
		if k != "metadata" && !tree.Equal(before[k], after[k]) {
			return ErrUnsure
		}
	}
	return nil
}

func settlePod(before, after map[string]any, subresource string) error {
	if subresource != "status" {
		// Admission keeps what it set when the pod was created.
		old, spec := tree.Object(before["spec"]), own(after, "spec")
		for _, name := range []string{"priority", "preemptionPolicy"} {
			if spec[name] == nil {
				keep(old, spec, name)
			}
		}
		return nil
	}
	keep(tree.Object(before["metadata"]), own(after, "metadata"), "ownerReferences")
	status := own(after, "status")
	if tree.Text(status["qosClass"]) == "" {
		keep(tree.Object(before["status"]), status, "qosClass")
	}
	if n, _ := tree.Integer(status["observedGeneration"]); n == 0 {
		keep(tree.Object(before["status"]), status, "observedGeneration")
	}
	for _, c := range tree.List(tree.At(before, "status", "conditions")) {
		if tree.Object(c)["observedGeneration"] != nil {
			return ErrUnsure
		}
	}
	return nil
}

// settleServiceAccount keeps nothing of the secrets but their names.
func settleServiceAccount(_, after map[string]any, _ string) error {
	all := slices.Clone(tree.List(after["secrets"]))
	for i, x := range all {
		all[i] = map[string]any{}
		if name, ok := tree.Object(x)["name"]; ok {
			all[i] = map[string]any{"name": name}
		}
	}
	if len(all) > 0 {
		after["secrets"] = all
	}
	return nil
}

func settleNamespace(before, after map[string]any, subresource string) error {
	if subresource == "" {
		spec := own(after, "spec")
		keep(tree.Object(before["spec"]), spec, "finalizers")
	}
	return nil
}

// settleVolume: the server notes when the phase changes. What it noted nobody else knows,
// and is left out.
func settleVolume(before, after map[string]any, subresource string) error {
	if subresource != "status" {
		return nil
	}
	old, status := tree.Object(before["status"]), own(after, "status")
	was, is := old["lastPhaseTransitionTime"], status["lastPhaseTransitionTime"]
	switch {
	case old["phase"] == status["phase"] && is == nil:
		keep(old, status, "lastPhaseTransitionTime")
	case old["phase"] != status["phase"] && (is == nil || is == was || was == nil):
		delete(status, "lastPhaseTransitionTime")
	}
	return nil
}

func settleClaim(before, after map[string]any, subresource string) error {
	for _, name := range []string{"dataSource", "dataSourceRef"} {
		if subresource == "" && !tree.Equal(tree.At(before, "spec", name), tree.At(after, "spec", name)) {
			return ErrUnsure // each may become the other
		}
	}
	return nil
}

func settleDeployment(before, after map[string]any, subresource string) error {
	if subresource == "status" {
		keep(tree.Object(before["metadata"]), own(after, "metadata"), "labels")
	}
	return nil
}

const templateGeneration = "deprecated.daemonset.template.generation"

// settleDaemonSet counts the versions of the template in an annotation.
func settleDaemonSet(before, after map[string]any, subresource string) error {
	n, err := strconv.ParseInt(tree.Text(tree.At(before, "metadata", "annotations", templateGeneration)), 10, 64)
	if err != nil {
		return ErrUnsure
	}
	old, now := tree.At(before, "spec", "template"), tree.At(after, "spec", "template")
	if subresource == "" && !tree.Equal(old, now) {
		if spelled(old, now) {
			return ErrUnsure // equal quantities are no change
		}
		n++
	}
	own(own(after, "metadata"), "annotations")[templateGeneration] = strconv.FormatInt(n, 10)
	return nil
}

func settleSigning(before, after map[string]any, subresource string) error {
	keep(before, after, "spec")
	if subresource != "" && !tree.Equal(before["status"], after["status"]) {
		return ErrUnsure // the server sets times
	}
	return nil
}

func settleFlow(before, after map[string]any, subresource string) error {
	if subresource == "status" {
		meta := tree.With(tree.Object(before["metadata"]), "managedFields", tree.Member(tree.Object(after["metadata"]), "managedFields"))
		after["metadata"] = tree.With(meta, "resourceVersion", tree.Absent)
	}
	return nil
}

// setGeneration counts on where that follows from a change of the specification.
func setGeneration(before, after map[string]any, kind string) {
	was, ok := tree.Integer(tree.At(before, "metadata", "generation"))
	if !ok && kind != "csidrivers.storage.k8s.io" { // which are created without
		return
	}
	changed := !tree.Equal(before["spec"], after["spec"])
	switch kind {
	case "pods.", "replicationcontrollers.", "replicasets.apps", "statefulsets.apps", "daemonsets.apps", "jobs.batch", "cronjobs.batch",
		"ingresses.networking.k8s.io", "poddisruptionbudgets.policy", "csidrivers.storage.k8s.io",
		"flowschemas.flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io":
	case "deployments.apps":
		changed = changed || !tree.Equal(tree.At(before, "metadata", "annotations"), tree.At(after, "metadata", "annotations"))
	case "networkpolicies.networking.k8s.io", "validatingwebhookconfigurations.admissionregistration.k8s.io", "mutatingwebhookconfigurations.admissionregistration.k8s.io":
		// A list that is empty where there was none counts as a change, and is not stored.
		if !changed && tree.Equal(before["webhooks"], after["webhooks"]) {
			delete(own(after, "metadata"), "generation")
			return
		}
		changed = true
	case "endpointslices.discovery.k8s.io":
		changed = !tree.Equal(tree.With(before, "metadata", tree.Absent), tree.With(after, "metadata", tree.Absent)) ||
			!tree.Equal(tree.At(before, "metadata", "labels"), tree.At(after, "metadata", "labels"))
	default:
		if changed {
			delete(own(after, "metadata"), "generation") // it may be another now
		}
		return
	}
	switch {
	case !changed:
	case spelled(before["spec"], after["spec"]) && !tree.Equal(before["spec"], after["spec"]):
		delete(own(after, "metadata"), "generation") // equal quantities are no change
	default:
		own(after, "metadata")["generation"] = was + 1
	}
}

// spelled tells whether values are the same but for the spelling of what can be
// quantities: 128Mi and 134217728.
func spelled(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k, v := range x {
			if w, ok := y[k]; !ok || !spelled(v, w) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, spelled)
	case string:
		y, ok := b.(string)
		if !ok || x == y {
			return ok
		}
		return sameQuantity(x, y)
	}
	return tree.Equal(a, b)
}
