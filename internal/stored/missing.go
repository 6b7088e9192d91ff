package stored

import (
	"slices"
	"strings"

	"kubetrail/internal/tree"
)

// Counted are the kinds that begin with metadata.generation 1.
var Counted = map[string]bool{"apps.v1.Deployment": true, "apps.v1.StatefulSet": true, "apps.v1.ReplicaSet": true, "apps.v1.DaemonSet": true,
	"batch.v1.Job": true, "batch.v1.CronJob": true, "core.v1.Pod": true, "core.v1.PodTemplate": true, "core.v1.ReplicationController": true,
	"networking.v1.Ingress": true, "networking.v1.IngressClass": true, "networking.v1.NetworkPolicy": true, "policy.v1.PodDisruptionBudget": true,
	"flowcontrol.v1.FlowSchema": true, "flowcontrol.v1.PriorityLevelConfiguration": true, "scheduling.v1.PriorityClass": true,
	"admissionregistration.v1.MutatingAdmissionPolicy": true, "admissionregistration.v1.MutatingAdmissionPolicyBinding": true,
	"admissionregistration.v1.ValidatingAdmissionPolicy": true, "admissionregistration.v1.ValidatingAdmissionPolicyBinding": true,
	"admissionregistration.v1.MutatingWebhookConfiguration": true, "admissionregistration.v1.ValidatingWebhookConfiguration": true,
	"discovery.v1.EndpointSlice": true, "resource.v1.DeviceClass": true, "resource.v1.ResourceSlice": true, "apiextensions.v1.CustomResourceDefinition": true,
}

// Missing lists the fields, in alphabetical order, that the object has on the API server,
// but that were left out of a version, as nothing but the API server gives them and no
// answer of it was recorded: its identity, times, and what it allocates. It is empty for
// whole objects.
func Missing(o map[string]any) []string {
	var out []string
	lacks := func(path ...string) {
		if tree.At(o, path...) == nil {
			out = append(out, strings.Join(path, "."))
		}
	}
	t := tree.TypeOf(o)
	lacks("metadata", "creationTimestamp")
	if t == nil || Counted[t.Name] {
		lacks("metadata", "generation")
	}
	lacks("metadata", "uid")
	switch {
	case t == nil:
	case t.Name == "core.v1.Service":
		out = append(out, missingOfService(tree.Object(o["spec"]))...)
	case t.Name == "core.v1.PersistentVolume" && tree.At(o, "status", "phase") != nil:
		lacks("status", "lastPhaseTransitionTime")
	}
	return out
}

func missingOfService(spec map[string]any) []string {
	var out []string
	if kind := spec["type"]; kind != "ExternalName" {
		for _, name := range []string{"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} {
			if spec[name] == nil {
				out = append(out, "spec."+name)
			}
		}
	}
	if healthChecked(spec) && spec["healthCheckNodePort"] == nil {
		out = append(out, "spec.healthCheckNodePort")
	}
	if onNodes(spec) {
		for _, p := range tree.List(spec["ports"]) {
			if tree.Object(p)["nodePort"] == nil {
				name, _ := tree.ItemName(p, []string{"port", "protocol"})
				out = append(out, "spec.ports["+name+"].nodePort")
			}
		}
	}
	slices.Sort(out)
	return out
}
