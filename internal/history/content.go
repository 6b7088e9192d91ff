package history

import (
	"bytes"

	"kubetrail/audit"
	"kubetrail/internal/patch"
	"kubetrail/internal/stored"
	"kubetrail/internal/tree"
)

// content tells what the object was after a write, from the best source that was
// recorded: the answer itself, or what the request did to the version before.
func (l *life) content(e *audit.Event, row *Row, before version) version {
	if row.Subresource == "binding" && len(e.RequestObject) > 0 {
		return l.bound(e, before)
	}
	switch l.kindOf(e.ResponseObject) {
	case "", "Status", "Table", "Binding", "Eviction":
		return l.rebuild(e, row, before)
	case "Scale":
		if row.Subresource == "scale" {
			return l.scaled(e, before)
		}
	case "PartialObjectMetadata":
		return l.metadata(e, row, before)
	}
	o, err := l.body(e.ResponseObject)
	if err != nil {
		return version{why: words{"the answer that was recorded is not the object", "所记录的应答不是该对象"}}
	}
	return versionOf(o, e.ResponseObject)
}

// scaled takes in a request on the subresource scale, whose answer is a Scale.
func (l *life) scaled(e *audit.Event, before version) version {
	v, err := tree.Decode(e.ResponseObject)
	scale, _ := v.(map[string]any)
	if err != nil || scale == nil {
		return version{why: words{"the answer that was recorded cannot be read", "所记录的应答无法读取"}}
	}
	replicas := at(scale, "spec", "replicas")
	if replicas == nil {
		replicas = int64(0)
	}
	answered := versionOf(scale, nil)
	next := l.worked(e, before)
	if next.object == nil || !tree.Equal(at(next.object, "spec", "replicas"), replicas) {
		next = version{sure: Derived, exists: yes, why: words{"worked out from the answer, which is a Scale", "由应答中的 Scale 推导"}}
		switch {
		case l.target.builtIn() == nil:
			next.why = words{"which field the scale of a custom resource is, the event does not tell", "事件未说明自定义资源的 scale 对应哪个字段"}
		case before.object == nil || before.blind > 0:
			next.why = words{"only the number of replicas was recorded", "只记录了副本数"}
		default:
			next.object = put(before.object, replicas, "spec", "replicas")
			next.state = &patch.Version{Object: next.object, Sure: patch.Derived, Why: stored.Words{En: next.why.en, Zh: next.why.zh}}
		}
	}
	next.rv, next.uid, next.raw = answered.rv, answered.uid, nil
	return next
}

// metadata takes the metadata from an answer that has nothing else.
func (l *life) metadata(e *audit.Event, row *Row, before version) version {
	v, err := tree.Decode(e.ResponseObject)
	o, _ := v.(map[string]any)
	next := l.rebuild(e, row, before)
	if err != nil || o == nil || next.object == nil && (before.object == nil || before.blind > 0) {
		return version{why: words{"only the metadata was recorded", "只记录了 metadata"}}
	}
	answered := versionOf(o, nil)
	if next.object == nil {
		next.object, next.sure, next.exists = before.object, Derived, yes
		next.why = words{"worked out from the answer, which is the metadata alone", "由应答推导，应答中只有 metadata"}
	}
	next.object = put(next.object, o["metadata"], "metadata")
	next.rv, next.uid, next.generation, next.rebuilt = answered.rv, answered.uid, answered.generation, false
	next.state = &patch.Version{Object: next.object, Sure: patch.Derived, Why: stored.Words{En: next.why.en, Zh: next.why.zh}}
	if next.sure == Exact {
		next.state = patch.Recorded(next.object)
	}
	return next
}

// bound puts the node into a Pod that was bound to it.
func (l *life) bound(e *audit.Event, before version) version {
	v, err := tree.Decode(e.RequestObject)
	binding, _ := v.(map[string]any)
	node, ok := at(binding, "target", "name").(string)
	switch {
	case err != nil || !ok:
		return version{why: words{"the request that was recorded cannot be read", "所记录的请求无法读取"}}
	case before.object == nil || before.blind > 0:
		return version{why: words{"what it was before is not known", "此前的内容未知"}}
	}
	next := before
	next.rv, next.raw, next.blind = "", nil, 0
	next.object, next.sure = put(before.object, node, "spec", "nodeName"), Derived
	next.why = words{"worked out from the request, which is a Binding", "由请求中的 Binding 推导"}
	next.state = &patch.Version{Object: next.object, Sure: patch.Derived, Why: stored.Words{En: next.why.en, Zh: next.why.zh}}
	return next
}

// rebuild works out the object from the request.
func (l *life) rebuild(e *audit.Event, row *Row, before version) version {
	switch {
	case bytes.Contains(e.Text[audit.Annotations], []byte(`"audit.k8s.io/truncated"`)):
		return version{why: words{"the bodies were too large and left out (audit.k8s.io/truncated)", "内容过大而被截断（audit.k8s.io/truncated）"}}
	case len(e.RequestObject) == 0 && string(e.Text[audit.Level]) == "Metadata":
		return version{why: words{"recorded at level Metadata: without bodies", "记录级别为 Metadata：没有请求体和应答体"}}
	case len(e.RequestObject) == 0:
		return version{why: words{"no body was recorded", "没有记录请求体和应答体"}}
	}
	return l.worked(e, before)
}

// worked works out what the object was after a request from the version before it.
func (l *life) worked(e *audit.Event, before version) version {
	r := patch.RequestOf(e)
	var state *patch.Version
	creation := before.exists != yes && (r.Verb == "create" || e.Code == 201)
	if before.object != nil && before.blind == 0 && !creation {
		if state = before.state; state == nil {
			state = patch.Recorded(before.object)
			if before.sure != Exact {
				state.Sure, state.Why = patch.Derived, stored.Words{En: before.why.en, Zh: before.why.zh}
			}
		}
	}
	if state == nil && !creation {
		state = &patch.Version{} // there was one, of which nothing is known
	}
	v := patch.Rebuild(state, r)
	if replicas := at(before.object, "spec", "replicas"); v.Object == nil && r.Subresource == "scale" && state.Object != nil && replicas != nil {
		if n := scaleOf(r.Body); n != nil {
			why := stored.Words{En: "most custom resources keep the scale in spec.replicas; only the definition tells", Zh: "多数自定义资源把 scale 存放在 spec.replicas；只有其定义才能说明"}
			v = &patch.Version{Object: put(before.object, n, "spec", "replicas"), Sure: patch.Derived, Why: why}
		}
	}
	next := version{object: v.Object, sure: Certainty(v.Sure.String()), why: words{v.Why.En, v.Why.Zh}, state: v, exists: yes, rebuilt: true, how: v.Kind}
	if v.Object == nil {
		return next
	}
	next.uid, _ = at(v.Object, "metadata", "uid").(string)
	next.generation, _ = at(v.Object, "metadata", "generation").(int64)
	return next
}

// scaleOf is the number of replicas that a request on the subresource scale asks for, nil
// where it is no patch or update that says it plainly.
func scaleOf(body []byte) any {
	v, err := tree.Decode(body)
	if o, ok := v.(map[string]any); err == nil && ok {
		return at(o, "spec", "replicas")
	}
	return nil
}

// put returns a copy of an object with the value at path replaced.
func put(o map[string]any, v any, path ...string) map[string]any {
	out := make(map[string]any, len(o)+1)
	for k, x := range o {
		out[k] = x
	}
	if len(path) == 1 {
		out[path[0]] = v
		return out
	}
	below, _ := o[path[0]].(map[string]any)
	out[path[0]] = put(below, v, path[1:]...)
	return out
}

// at is the value at a path, nil where there is none.
func at(o map[string]any, path ...string) any {
	for i, name := range path {
		if i == len(path)-1 {
			return o[name]
		}
		o, _ = o[name].(map[string]any)
	}
	return nil
}
