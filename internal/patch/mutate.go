package patch

import (
	"sort"
	"strings"

	"kubetrail/internal/tree"
)

const (
	mutationKey = "mutation.webhook.admission.k8s.io/"
	patchKey    = "patch.webhook.admission.k8s.io/"
)

// mutations returns the patches of the mutating webhooks that changed an object, in the
// order in which they were called, from the annotations of the event. The certainty is
// Derived where one changed it and its patch was not recorded, else Exact.
func mutations(annotations []byte) ([]any, Certainty) {
	if len(annotations) == 0 || !strings.Contains(string(annotations), mutationKey) && !strings.Contains(string(annotations), patchKey) {
		return nil, Exact
	}
	v, err := tree.Decode(annotations)
	if err != nil {
		return nil, Derived
	}
	all := tree.Object(v)
	var calls []string
	for k, x := range all {
		call, ok := strings.CutPrefix(k, mutationKey)
		if !ok {
			continue
		}
		said, err := tree.Decode([]byte(tree.Text(x)))
		if err != nil || tree.Object(said)["mutated"] != false {
			calls = append(calls, call)
		}
	}
	// round_0_index_10 comes after round_0_index_9.
	sort.Slice(calls, func(i, j int) bool {
		return len(calls[i]) < len(calls[j]) || len(calls[i]) == len(calls[j]) && calls[i] < calls[j]
	})
	var out []any
	for _, call := range calls {
		said, err := tree.Decode([]byte(tree.Text(all[patchKey+call])))
		m := tree.Object(said)
		operations, ok := m["patch"].([]any)
		if err != nil || !ok || m["patchType"] != "JSONPatch" {
			return nil, Derived
		}
		out = append(out, operations)
	}
	return out, Exact
}
