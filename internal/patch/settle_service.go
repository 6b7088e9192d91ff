package patch

import "slices"

// settleService gives back what was allocated to a Service before, and takes away what
// its type no longer needs. What would have to be allocated anew is not certain.
func settleService(before, after map[string]any, subresource string) error {
	if subresource != "" {
		return nil
	}
	old, spec := object(before["spec"]), own(after, "spec")
	for _, name := range []string{"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"} {
		if spec[name] == nil {
			keep(old, spec, name)
		}
		if !Equal(old[name], spec[name]) {
			return errUnsure
		}
	}
	if old["type"] == "ExternalName" != (spec["type"] == "ExternalName") {
		return errUnsure
	}
	if err := settleNodePorts(old, spec); err != nil {
		return err
	}
	if old["type"] == "LoadBalancer" && spec["type"] != "LoadBalancer" {
		for _, name := range []string{"allocateLoadBalancerNodePorts", "loadBalancerClass"} {
			if Equal(old[name], spec[name]) {
				delete(spec, name)
			}
		}
	}
	if outside(old) && !outside(spec) && old["externalTrafficPolicy"] == spec["externalTrafficPolicy"] {
		delete(spec, "externalTrafficPolicy")
	}
	if healthChecked(old) != healthChecked(spec) {
		return errUnsure
	}
	if spec["type"] != "LoadBalancer" && after["status"] != nil {
		own(after, "status")["loadBalancer"] = map[string]any{}
	}
	return nil
}

func outside(spec map[string]any) bool {
	kind := spec["type"]
	return kind == "LoadBalancer" || kind == "NodePort" || kind == "ClusterIP" && len(list(spec["externalIPs"])) > 0
}

func healthChecked(spec map[string]any) bool {
	return spec["type"] == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local"
}

// onNodes tells Services with a port on every node.
func onNodes(spec map[string]any) bool {
	return spec["type"] == "NodePort" || spec["type"] == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] != false
}

func settleNodePorts(old, spec map[string]any) error {
	ports := slices.Clone(list(spec["ports"]))
	switch {
	case onNodes(spec) && !onNodes(old):
		for _, p := range ports {
			if object(p)["nodePort"] == nil {
				return errUnsure
			}
		}
	case onNodes(spec):
		return keepNodePorts(list(old["ports"]), spec)
	case onNodes(old) && sameNodePorts(list(old["ports"]), ports):
		for i, p := range ports {
			ports[i] = with(object(p), "nodePort", absent)
		}
		if len(ports) > 0 {
			spec["ports"] = ports
		}
	}
	return nil
}

// keepNodePorts gives ports of the same name the number that they had, if no other has it.
func keepNodePorts(old []any, spec map[string]any) error {
	ports := slices.Clone(list(spec["ports"]))
	had, now, used := map[any]any{}, numbers(ports), map[any]bool{}
	for _, p := range old {
		n := object(p)["nodePort"]
		had[text(object(p)["name"])] = n
		used[n] = n != nil && now[n]
	}
	for i, p := range ports {
		if object(p)["nodePort"] != nil {
			continue
		}
		n := had[text(object(p)["name"])]
		if n == nil || used[n] {
			return errUnsure // a number that nobody told
		}
		used[n] = true
		ports[i] = with(object(p), "nodePort", n)
	}
	if len(ports) > 0 {
		spec["ports"] = ports
	}
	return nil
}

func numbers(ports []any) map[any]bool {
	all := map[any]bool{}
	for _, p := range ports {
		if n := object(p)["nodePort"]; n != nil {
			all[n] = true
		}
	}
	return all
}

// sameNodePorts tells whether no port on nodes was added or is another.
func sameNodePorts(old, ports []any) bool {
	a, b := numbers(old), numbers(ports)
	if len(a) != len(b) {
		return false
	}
	for n := range a {
		if !b[n] {
			return false
		}
	}
	return true
}
