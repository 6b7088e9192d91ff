package patch

import (
	"slices"
	"strings"
)

// Canonical is the form in which two versions of an object are compared: without
// metadata.managedFields and metadata.resourceVersion, which change with every request
// and say nothing of the object. An Exact object equals what was stored in this form.
func Canonical(o map[string]any) map[string]any {
	meta := object(o["metadata"])
	if meta == nil {
		return o
	}
	_, fields := meta["managedFields"]
	_, version := meta["resourceVersion"]
	if !fields && !version {
		return o
	}
	out := make(map[string]any, len(meta))
	for k, v := range meta {
		if k != "managedFields" && k != "resourceVersion" {
			out[k] = v
		}
	}
	return with(o, "metadata", out)
}

// Missing lists the fields, in alphabetical order, that the object has on the API server,
// but that were left out of a version, as nothing but the API server gives them and no
// answer of it was recorded: its identity, times, and what it allocates. It is empty for
// whole objects.
func Missing(o map[string]any) []string {
	var out []string
	lacks := func(path ...string) {
		if at(o, path...) == nil {
			out = append(out, strings.Join(path, "."))
		}
	}
	t := typeOf(o)
	lacks("metadata", "creationTimestamp")
	if t == nil || counted[t.Name] {
		lacks("metadata", "generation")
	}
	lacks("metadata", "uid")
	switch {
	case t == nil:
	case t.Name == "core.v1.Service":
		out = append(out, missingOfService(object(o["spec"]))...)
	case t.Name == "core.v1.PersistentVolume" && at(o, "status", "phase") != nil:
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
		for _, p := range list(spec["ports"]) {
			if object(p)["nodePort"] == nil {
				name, _ := itemName(p, []string{"port", "protocol"})
				out = append(out, "spec.ports["+name+"].nodePort")
			}
		}
	}
	slices.Sort(out)
	return out
}
