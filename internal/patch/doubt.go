package patch

import (
	"strings"

	"kubetrail/internal/stored"
	"kubetrail/internal/tree"
)

// doubts says what of a written object depends on more than the request, nothing where it
// is certain.
func (w *writer) doubts(before, o map[string]any) stored.Words {
	differ := func(path string) bool {
		p := strings.Split(path, ".")
		return !tree.Equal(tree.At(before, p...), tree.At(o, p...))
	}
	switch w.t.Name {
	case "core.v1.Pod":
		for _, f := range []string{"tolerations", "priority", "priorityClassName", "preemptionPolicy"} {
			if differ("spec."+f) && (f != "tolerations" || !toleratesTrouble(o)) {
				return stored.Words{En: "admission adds to spec." + f, Zh: "准入控制会补充 spec." + f}
			}
		}
	case "autoscaling.v1.HorizontalPodAutoscaler":
		if differ("metadata.annotations") || tree.At(o, "spec", "targetCPUUtilizationPercentage") == nil {
			return stored.Words{En: "annotations stand for fields of autoscaling/v2", Zh: "注解代表 autoscaling/v2 的字段"}
		}
	case "apiextensions.v1.CustomResourceDefinition", "apiregistration.v1.APIService":
		if differ("spec") || differ("status") {
			return stored.Words{En: "how definitions of APIs are stored is not known well enough", Zh: "API 定义的存储形式尚不够明确"}
		}
	case "apps.v1.StatefulSet":
		if differ("spec.updateStrategy.rollingUpdate.maxUnavailable") {
			return gate("maxUnavailable")
		}
	}
	if strings.HasPrefix(w.t.Name, "resource.v1.") && (differ("spec") || differ("status")) {
		return stored.Words{En: "kinds of resource.k8s.io have fields behind feature gates", Zh: "resource.k8s.io 的部分字段受特性门控影响"}
	}
	if f := w.gated(before, o); f != "" {
		return gate(f)
	}
	return stored.Words{}
}

// toleratesTrouble tells pods that tolerate for some time what happens to nodes:
// admission adds no more to their tolerations.
func toleratesTrouble(pod map[string]any) bool {
	found := map[any]bool{}
	for _, t := range tree.List(tree.At(pod, "spec", "tolerations")) {
		if m := tree.Object(t); m["effect"] == "NoExecute" && m["operator"] == "Exists" {
			found[m["key"]] = true
		}
	}
	return found["node.kubernetes.io/not-ready"] && found["node.kubernetes.io/unreachable"]
}

func gate(field string) stored.Words {
	return stored.Words{En: "the field " + field + " is kept only where a feature gate is on", Zh: "字段 " + field + " 仅在对应特性门控开启时保留"}
}

// gatedFields are fields of pods that some releases up to v1.36 drop unless a feature gate
// is on.
var gatedFields = map[string]bool{"schedulingGroup": true, "workloadRef": true, "hostnameOverride": true, "restartPolicyRules": true,
	"fileKeyRef": true, "stopSignal": true, "podCertificate": true, "hostUsers": true, "supplementalGroupsPolicy": true, "recursiveReadOnly": true,
	"resourceClaims": true, "matchLabelKeys": true, "mismatchLabelKeys": true, "nodeInclusionPolicy": true}

// gated returns the name of a field behind a feature gate that the object did not have
// before, "" where there is none.
func (w *writer) gated(before, o map[string]any) string {
	found := ""
	var walk func(a, b any)
	walk = func(a, b any) {
		switch y := b.(type) {
		case map[string]any:
			x := tree.Object(a)
			if tree.Same(x, y) {
				return
			}
			for k, v := range y {
				if gatedFields[k] && x[k] == nil {
					found = k
				}
				walk(x[k], v)
			}
		case []any:
			x := tree.List(a)
			if len(x) == len(y) && len(y) > 0 && &x[0] == &y[0] {
				return
			}
			for i, v := range y {
				var old any
				if i < len(x) {
					old = x[i]
				}
				walk(old, v)
			}
		}
	}
	walk(before["spec"], o["spec"])
	return found
}
