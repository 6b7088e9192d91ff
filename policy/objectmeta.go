package policy

// ObjectMeta is the metadata of a policy. Nothing reads it.
type ObjectMeta map[string]any
