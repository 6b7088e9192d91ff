// Package body reads of an object what tells whose it is and what became of it: uid,
// owner references, generation, replicas, and which pod template it has.
package body

import (
	"encoding/json"
	"hash/maphash"

	kjson "sigs.k8s.io/json"
)

// Owner is one owner reference of an object.
type Owner struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
	Controller bool   `json:"controller"`
}

// Meta is what is read of an object's metadata.
type Meta struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace"`
	UID               string            `json:"uid"`
	GenerateName      string            `json:"generateName"`
	Generation        int64             `json:"generation"`
	CreationTimestamp string            `json:"creationTimestamp"`
	DeletionTimestamp string            `json:"deletionTimestamp"`
	OwnerReferences   []Owner           `json:"ownerReferences"`
	Annotations       map[string]string `json:"annotations"`
}

// Body is what is read of one. It is the API server's own account of an object
// only where it stood in a response: a client may write what it likes.
type Body struct {
	Kind     string          `json:"kind"`
	Metadata Meta            `json:"metadata"`
	RawSpec  json.RawMessage `json:"spec"`
	RawState json.RawMessage `json:"status"`
	Items    []struct {
		Metadata struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
			UID       string `json:"uid"`
		} `json:"metadata"`
	} `json:"items"`
	Target struct {
		Name string `json:"name"`
	} `json:"target"` // of a Binding
	Involved struct {
		Kind      string `json:"kind"`
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"involvedObject"` // of an Event
	Propagation   string `json:"propagationPolicy"` // of DeleteOptions
	Orphan        *bool  `json:"orphanDependents"`
	Preconditions struct {
		UID string `json:"uid"`
	} `json:"preconditions"`
	Details struct {
		UID string `json:"uid"`
	} `json:"details"` // of a Status
	DryRun  []string `json:"dryRun"`
	Options struct {
		DryRun []string `json:"dryRun"`
	} `json:"deleteOptions"` // of an Eviction

	Spec  Spec  `json:"-"`
	State State `json:"-"`
}

// Spec is what an object is to be.
type Spec struct {
	Replicas      *int64          `json:"replicas"`
	Parallelism   *int64          `json:"parallelism"`
	Template      json.RawMessage `json:"template"`
	NodeName      string          `json:"nodeName"`
	Unschedulable bool            `json:"unschedulable"`
}

// State is its status.
type State struct {
	ObservedGeneration int64  `json:"observedGeneration"`
	Replicas           int64  `json:"replicas"`
	Updated            int64  `json:"updatedReplicas"`
	Available          int64  `json:"availableReplicas"`
	Phase              string `json:"phase"`
}

// maxBody bounds what is decoded: an object of etcd is smaller than 2 MiB, a list of
// what was deleted may be larger.
const maxBody = 32 << 20

// Read decodes a body, nil where it is none. Names of members are case-sensitive, as
// they are for the API server: otherwise Metadata beside metadata in a custom resource
// would be a second account of it.
func Read(raw []byte) *Body {
	if len(raw) < 2 || len(raw) > maxBody || raw[0] != '{' {
		return nil
	}
	b := new(Body)
	if kjson.UnmarshalCaseSensitivePreserveInts(raw, b) != nil {
		return nil
	}
	if b.Kind == "Table" || b.Kind == "Status" && b.Metadata.UID != "" {
		return nil
	}
	// A custom resource may have anything here.
	if len(b.RawSpec) > 0 && kjson.UnmarshalCaseSensitivePreserveInts(b.RawSpec, &b.Spec) != nil {
		b.Spec = Spec{}
	}
	if len(b.RawState) > 0 && b.RawState[0] == '{' && kjson.UnmarshalCaseSensitivePreserveInts(b.RawState, &b.State) != nil {
		b.State = State{}
	}
	b.RawSpec, b.RawState = nil, nil
	return b
}

// Details returns the uid in the details of a Status, which is recorded at every level.
func Details(raw []byte) string {
	var d struct {
		UID string `json:"uid"`
	}
	if len(raw) == 0 || kjson.UnmarshalCaseSensitivePreserveInts(raw, &d) != nil {
		return ""
	}
	return d.UID
}

// seed keys the hashes so that nobody can make two templates that are taken for one.
var seed = maphash.MakeSeed()

// Template returns a hash of a pod template without what a controller adds to it, and 0
// where there is none.
func Template(raw json.RawMessage) uint64 {
	if len(raw) == 0 {
		return 0
	}
	var t map[string]any
	if kjson.UnmarshalCaseSensitivePreserveInts(raw, &t) != nil {
		return 0
	}
	if m, ok := t["metadata"].(map[string]any); ok {
		if labels, ok := m["labels"].(map[string]any); ok {
			delete(labels, "pod-template-hash")
			if len(labels) == 0 {
				delete(m, "labels")
			}
		}
		delete(m, "creationTimestamp")
	}
	canonical, err := json.Marshal(t)
	if err != nil {
		return 0
	}
	return maphash.Bytes(seed, canonical) | 1
}
