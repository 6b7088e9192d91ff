package patch

import (
	"slices"
	"strings"

	"kubetrail/internal/tree"
)

// refused tells whether an object cannot have been stored, since the API server would
// have refused the request. It rules out readings of a patch; what it does not know, it
// takes for accepted. What was so before may stay so.
func refused(r *Request, before, o map[string]any) bool {
	if r.Subresource != "" {
		return false
	}
	for _, path := range immutable[r.Resource+"."+r.Group] {
		p := strings.Split(path, ".")
		if old := tree.At(before, p...); old != nil && !tree.Equal(old, tree.At(o, p...)) {
			return true
		}
	}
	if r.Resource == "jobs" && tree.At(before, "spec", "suspend") != true && !tree.Equal(tree.At(before, "spec", "template"), tree.At(o, "spec", "template")) {
		return true
	}
	if refs := tree.List(tree.At(o, "metadata", "ownerReferences")); !eachHas(refs, "apiVersion", "kind", "name", "uid") {
		return true
	}
	for _, path := range [][]string{{"spec"}, {"spec", "template", "spec"}, {"spec", "jobTemplate", "spec", "template", "spec"}} {
		spec, old := tree.Object(tree.At(o, path...)), tree.Object(tree.At(before, path...))
		if spec["containers"] == nil && old["containers"] == nil || tree.Equal(spec, old) {
			continue
		}
		if refusedPod(spec, r.Resource != "statefulsets") || r.Resource == "pods" && otherPod(old, spec) {
			return true
		}
	}
	if template := tree.Object(tree.At(o, "spec", "template")); template != nil {
		labels := tree.Object(tree.At(template, "metadata", "labels"))
		for k, v := range tree.Object(tree.At(o, "spec", "selector", "matchLabels")) {
			if labels[k] != v {
				return true
			}
		}
	}
	return refusedList(r.Resource, o)
}

// immutable are fields that cannot be changed once they are there.
var immutable = map[string][]string{
	"deployments.apps": {"spec.selector"}, "daemonsets.apps": {"spec.selector"}, "replicasets.apps": {"spec.selector"},
	"statefulsets.apps":                      {"spec.selector", "spec.serviceName", "spec.volumeClaimTemplates", "spec.podManagementPolicy"},
	"jobs.batch":                             {"spec.selector", "spec.completionMode"},
	"secrets.":                               {"type"},
	"rolebindings.rbac.authorization.k8s.io": {"roleRef"},
	"clusterrolebindings.rbac.authorization.k8s.io": {"roleRef"},
	"storageclasses.storage.k8s.io":                 {"provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"},
	"endpointslices.discovery.k8s.io":               {"addressType"},
	"runtimeclasses.node.k8s.io":                    {"handler"},
	"priorityclasses.scheduling.k8s.io":             {"value", "preemptionPolicy"},
}

// eachHas tells whether all items have all of the members.
func eachHas(items []any, names ...string) bool {
	return !slices.ContainsFunc(items, func(x any) bool {
		return slices.ContainsFunc(names, func(name string) bool { v := tree.Object(x)[name]; return v == nil || v == "" })
	})
}

// refusedList looks at the lists whose items the two kinds of merge patch merge otherwise.
func refusedList(resource string, o map[string]any) bool {
	switch resource {
	case "services":
		ports := tree.List(tree.At(o, "spec", "ports"))
		if len(ports) > 1 && (!eachHas(ports, "name") || repeats(ports, "name")) || !eachHas(ports, "port") {
			return true
		}
		return len(ports) == 0 && tree.At(o, "spec", "type") != "ExternalName" && tree.At(o, "spec", "clusterIP") != "None"
	case "validatingwebhookconfigurations", "mutatingwebhookconfigurations":
		hooks := tree.List(o["webhooks"])
		return !eachHas(hooks, "name", "sideEffects", "admissionReviewVersions") || repeats(hooks, "name") ||
			slices.ContainsFunc(hooks, func(x any) bool {
				c := tree.Object(tree.Object(x)["clientConfig"])
				return (c["url"] == nil) == (c["service"] == nil)
			})
	}
	return false
}

func repeats(items []any, name string) bool {
	seen := map[any]bool{}
	for _, x := range items {
		v := tree.Object(x)[name]
		if s, ok := v.(string); ok && seen[s] {
			return true
		}
		seen[tree.Text(v)] = true
	}
	return false
}

// refusedPod looks at the specification of a pod, alone or in a template. Those of a
// StatefulSet mount volumes that it claims, too: of them not all are there.
func refusedPod(spec map[string]any, all bool) bool {
	containers := slices.Concat(tree.List(spec["containers"]), tree.List(spec["initContainers"]))
	volumes := tree.List(spec["volumes"])
	if len(tree.List(spec["containers"])) == 0 || !eachHas(containers, "name", "image") || repeats(containers, "name") ||
		!eachHas(volumes, "name") || repeats(volumes, "name") ||
		!eachHas(tree.List(spec["topologySpreadConstraints"]), "maxSkew", "topologyKey", "whenUnsatisfiable") {
		return true
	}
	known := map[string]bool{}
	for _, v := range volumes {
		if known[tree.Text(tree.Object(v)["name"])] = true; len(tree.Object(v)) != 2 {
			return true // not exactly one source
		}
	}
	if !all {
		known = nil
	}
	return slices.ContainsFunc(containers, func(x any) bool { return refusedContainer(tree.Object(x), known) })
}

func refusedContainer(c map[string]any, volumes map[string]bool) bool {
	mounts := tree.List(c["volumeMounts"])
	if !eachHas(tree.List(c["ports"]), "containerPort") || !eachHas(mounts, "name", "mountPath") || repeats(mounts, "mountPath") ||
		!eachHas(tree.List(c["env"]), "name") || repeats(tree.List(c["ports"]), "name") {
		return true
	}
	for _, m := range mounts {
		if volumes != nil && !volumes[tree.Text(tree.Object(m)["name"])] {
			return true
		}
	}
	for _, e := range tree.List(c["env"]) {
		if m := tree.Object(e); m["valueFrom"] != nil && tree.Text(m["value"]) != "" {
			return true
		}
	}
	for _, name := range []string{"livenessProbe", "readinessProbe", "startupProbe"} {
		if probe := tree.Object(c[name]); probe != nil {
			n := 0
			for _, how := range []string{"exec", "httpGet", "tcpSocket", "grpc"} {
				if probe[how] != nil {
					n++
				}
			}
			if n != 1 {
				return true
			}
		}
	}
	return false
}

// otherPod tells whether more than an image, tolerations and deadlines of a pod differ.
func otherPod(old, spec map[string]any) bool {
	without := func(o map[string]any) map[string]any {
		o = tree.With(o, "", tree.Absent)
		for _, name := range []string{"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates", "nodeSelector", "affinity"} {
			delete(o, name)
		}
		for _, field := range []string{"containers", "initContainers"} {
			all := slices.Clone(tree.List(o[field]))
			for i, c := range all {
				all[i] = tree.With(tree.Object(c), "image", tree.Absent)
			}
			if len(all) > 0 {
				o[field] = all
			}
		}
		return o
	}
	return !tree.Equal(without(old), without(spec))
}
