package tree

// Canonical is the form in which two versions of an object are compared: without
// metadata.managedFields and metadata.resourceVersion, which change with every request
// and say nothing of the object. An Exact object equals what was stored in this form.
func Canonical(o map[string]any) map[string]any {
	meta := Object(o["metadata"])
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
	return With(o, "metadata", out)
}
