package stored

import (
	"maps"
	"slices"

	"kubetrail/internal/tree"
)

// settleService gives back what was allocated to a Service before, and takes away what
// its type no longer needs. What is allocated anew only the server knows: it is left out,
// so that a field that is missing here may have been allocated before.
func settleService(before, after map[string]any, subresource string) error {
	if subresource != "" {
		return nil
	}
	old, spec := tree.Object(before["spec"]), own(after, "spec")
	if old["type"] == "ExternalName" != (spec["type"] == "ExternalName") {
		return ErrUnsure
	}
	for _, name := range []string{"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} {
		if spec[name] == nil {
			keep(old, spec, name)
		}
		if name != "ipFamilyPolicy" && old[name] != nil && !tree.Equal(old[name], spec[name]) {
			return ErrUnsure
		}
	}
	settleFamilies(old, spec)
	if err := settleNodePorts(old, spec); err != nil {
		return err
	}
	if old["type"] == "LoadBalancer" && spec["type"] != "LoadBalancer" {
		for _, name := range []string{"allocateLoadBalancerNodePorts", "loadBalancerClass"} {
			if tree.Equal(old[name], spec[name]) {
				delete(spec, name)
			}
		}
	}
	if outside(old) && !outside(spec) && old["externalTrafficPolicy"] == spec["externalTrafficPolicy"] {
		delete(spec, "externalTrafficPolicy")
	}
	switch port := old["healthCheckNodePort"]; {
	case healthChecked(old) && healthChecked(spec) && spec["healthCheckNodePort"] == nil:
		keep(old, spec, "healthCheckNodePort")
	case healthChecked(old) && !healthChecked(spec) && spec["healthCheckNodePort"] == port:
		delete(spec, "healthCheckNodePort")
	case !healthChecked(spec) && spec["healthCheckNodePort"] != nil:
		return ErrUnsure
	}
	if spec["type"] != "LoadBalancer" && after["status"] != nil {
		own(after, "status")["loadBalancer"] = map[string]any{}
	}
	return nil
}

// settleFamilies: whether a Service has one address or two depends on the cluster.
func settleFamilies(old, spec map[string]any) {
	switch {
	case old["ipFamilyPolicy"] == spec["ipFamilyPolicy"]:
	case spec["ipFamilyPolicy"] == "SingleStack":
		for _, name := range []string{"ipFamilies", "clusterIPs"} {
			if all := tree.List(spec[name]); len(all) > 1 {
				spec[name] = all[:1]
			}
		}
	default:
		delete(spec, "ipFamilies")
		delete(spec, "clusterIPs")
	}
}

func outside(spec map[string]any) bool {
	kind := spec["type"]
	return kind == "LoadBalancer" || kind == "NodePort" || kind == "ClusterIP" && len(tree.List(spec["externalIPs"])) > 0
}

func healthChecked(spec map[string]any) bool {
	return spec["type"] == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local"
}

// onNodes tells Services with a port on every node.
func onNodes(spec map[string]any) bool {
	return spec["type"] == "NodePort" || spec["type"] == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] != false
}

func settleNodePorts(old, spec map[string]any) error {
	ports := slices.Clone(tree.List(spec["ports"]))
	switch {
	case onNodes(spec) && onNodes(old):
		keepNodePorts(tree.List(old["ports"]), spec)
	case onNodes(old) && !onNodes(spec):
		before, now := numbers(tree.List(old["ports"])), numbers(ports)
		if len(before) < len(tree.List(old["ports"])) && len(now) > 0 && !tree.Equal(old["ports"], spec["ports"]) {
			return ErrUnsure // whether these are those of before, which are not all known
		}
		if !maps.Equal(before, now) {
			return ErrUnsure // ports that such a Service cannot have
		}
		for i, p := range ports {
			ports[i] = tree.With(tree.Object(p), "nodePort", tree.Absent)
		}
		if len(ports) > 0 {
			spec["ports"] = ports
		}
	}
	return nil
}

// keepNodePorts gives ports of the same name the number that they had, if no other has it.
func keepNodePorts(old []any, spec map[string]any) {
	ports := slices.Clone(tree.List(spec["ports"]))
	had, now, used := map[any]any{}, numbers(ports), map[any]bool{}
	for _, p := range old {
		n := tree.Object(p)["nodePort"]
		had[tree.Text(tree.Object(p)["name"])] = n
		used[n] = n != nil && now[n]
	}
	for i, p := range ports {
		n := had[tree.Text(tree.Object(p)["name"])]
		if tree.Object(p)["nodePort"] != nil || n == nil || used[n] {
			continue
		}
		used[n] = true
		ports[i] = tree.With(tree.Object(p), "nodePort", n)
	}
	if len(ports) > 0 {
		spec["ports"] = ports
	}
}

func numbers(ports []any) map[any]bool {
	all := map[any]bool{}
	for _, p := range ports {
		if n := tree.Object(p)["nodePort"]; n != nil {
			all[n] = true
		}
	}
	return all
}
