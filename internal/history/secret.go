package history

import (
	"encoding/base64"
	"fmt"
	"kubetrail/internal/tree"
	"strings"
)

// lastApplied is the annotation in which kubectl keeps what was applied, all values of a
// Secret among it.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// hideChanges puts sizes in the place of what Secrets hold.
func hideChanges(changes []Change) {
	for i, c := range changes {
		if !strings.HasPrefix(c.Path, "data") && !strings.HasPrefix(c.Path, "stringData") && !strings.HasPrefix(c.Path, "metadata.annotations") {
			continue
		}
		if strings.HasPrefix(c.Path, "metadata.annotations") && !strings.Contains(c.Path, lastApplied) && c.Path != "metadata.annotations" {
			continue
		}
		encoded := strings.HasPrefix(c.Path, "data")
		changes[i].Old, changes[i].New = size(c.Old, encoded), size(c.New, encoded)
	}
}

// size says how large a value is in its place, all values of an object one by one.
func size(v any, encoded bool) any {
	switch v := v.(type) {
	case nil:
		return nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = size(x, encoded)
		}
		return out
	case string:
		if b, err := base64.StdEncoding.DecodeString(v); err == nil && encoded {
			return fmt.Sprintf("(%d bytes)", len(b))
		}
		return fmt.Sprintf("(%d bytes)", len(v))
	}
	return "(hidden)"
}

// hidden is a Secret with sizes in the place of its values; those that are not what they
// were before are marked.
func hidden(o, before map[string]any) map[string]any {
	if o == nil {
		return nil
	}
	for _, part := range []string{"data", "stringData"} {
		values, ok := o[part].(map[string]any)
		if !ok {
			continue
		}
		out, _ := size(values, part == "data").(map[string]any)
		for k, v := range values {
			if was := at(before, part, k); was != nil && !tree.Equal(was, v) {
				out[k] = strings.TrimSuffix(fmt.Sprint(out[k]), ")") + ", changed)"
			}
		}
		o = put(o, out, part)
	}
	if s, ok := at(o, "metadata", "annotations", lastApplied).(string); ok {
		o = put(o, fmt.Sprintf("(%d bytes)", len(s)), "metadata", "annotations", lastApplied)
	}
	return o
}
