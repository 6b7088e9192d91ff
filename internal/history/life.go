package history

import (
	"bytes"
	"fmt"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/patch"
	"kubetrail/internal/tree"
)

// life follows one object from event to event, in the order in which they happened.
type life struct {
	target *Target
	number int // of the object: 1, then 2 for one that was made after it was gone
	now    version

	last version   // the last one whose content is known
	ends []*Row    // deletions that were asked for, in this life
	kind audit.Ref // where the kind of a body stands
}

// version is what is known of the object after an event.
type version struct {
	object     map[string]any // nil: not known, or there is none
	raw        []byte         // the answer that object was decoded from
	sure       Certainty      // of object
	why        words          // why it is no more certain
	uid        string
	rv         string
	generation int64
	exists     presence
	blind      int // successful writes since, whose content is not known
	by         *Row

	state   *patch.Version // of object; nil where it is the answer that was recorded
	rebuilt bool           // object is worked out from the request: some of what the server sets is from before
	how     patch.Kind     // how the body of the patch was read
}

type presence uint8

const (
	perhaps presence = iota
	yes
	no
)

func newLife(t *Target) *life {
	kind, err := audit.Below("kind")
	if err != nil {
		panic(err) // the path is a constant
	}
	return &life{target: t, number: 1, kind: kind}
}

// step takes in one event, and returns what it was in the life of the object; nil where
// it was nothing.
func (l *life) step(e *audit.Event) *Row {
	class := Classify(e)
	row := rowOf(e, class)
	switch {
	case !l.target.about(e) && !class.Wrote():
		return nil // it did not get at the object
	case class == Read:
		return l.observe(e, row)
	case !class.Wrote():
		refusal(e, row)
	case class == Unknown:
		row.say(Unsure, "the event does not tell whether it was a dry run", "事件未说明是否为试运行")
	case string(e.Text[audit.Resource]) == "namespaces" && l.target.Resource != "namespaces":
		return l.namespace(row)
	case row.Verb == "deletecollection":
		return l.collection(e, row)
	case row.Verb == "delete" || row.Subresource == "eviction":
		l.delete(e, row)
	default:
		l.write(e, row)
	}
	row.Life = l.number
	return row
}

// refusal tells of a request that changed nothing.
func refusal(e *audit.Event, row *Row) {
	message := output.Plain(output.Clip(string(e.Text[audit.Message]), 200), false)
	switch row.Class {
	case DryRun:
		row.tell("dry run: nothing was stored", "试运行：未保存")
	case Refused:
		row.tell(strings.TrimSuffix("refused: "+message, ": "), strings.TrimSuffix("被拒绝："+message, "："))
	default:
		row.tell(fmt.Sprintf("failed (%d) %s", e.Code, message), fmt.Sprintf("失败（%d）%s", e.Code, message))
		if e.Code >= 500 {
			row.say(Unsure, "an error of the server may have changed something all the same", "服务端错误仍可能已产生变更")
		}
	}
}

// body decodes the answer to a request where it is the object itself.
func (l *life) body(raw []byte) (map[string]any, error) {
	v, err := tree.Decode(raw)
	if err != nil {
		return nil, err
	}
	o, _ := v.(map[string]any)
	meta, _ := o["metadata"].(map[string]any)
	if meta["name"] != l.target.Name {
		return nil, fmt.Errorf("it is not the object")
	}
	return o, nil
}

// kindOf is the kind of a body, without decoding it.
func (l *life) kindOf(raw []byte) (kind string) {
	l.kind.AnyIn(raw, func(v audit.Value) bool {
		kind = string(v.Bytes)
		return true
	})
	return kind
}

// observe takes in the answer to a get or a list: it shows the object as it was then.
func (l *life) observe(e *audit.Event, row *Row) *Row {
	kind := l.kindOf(e.ResponseObject)
	var o map[string]any
	switch list, isList := strings.CutSuffix(kind, "List"); {
	case row.Verb == "list" && isList:
		if o = listed(e.ResponseObject, l.target.Name); o == nil {
			return nil
		}
		if o["kind"] == nil { // items of built-in kinds leave it to the list
			o["kind"], o["apiVersion"] = list, l.apiVersion(e)
		}
	case row.Verb != "get" || kind == "" || kind == "Status" || kind == "Table" || kind == "PartialObjectMetadata" || kind == "Scale",
		row.Subresource != "" && row.Subresource != "status", bytes.Equal(e.ResponseObject, l.now.raw):
		return nil
	default:
		var err error
		if o, err = l.body(e.ResponseObject); err != nil {
			return nil
		}
	}
	before := l.now
	next := versionOf(o, nil)
	if row.Verb == "get" {
		next.raw = bytes.Clone(e.ResponseObject)
	}
	if before.object != nil && before.rv == next.rv && next.rv != "" && before.sure == Exact {
		return nil // it is known already
	}
	if before.uid != "" && next.uid != "" && before.uid != next.uid {
		l.next()
		before = l.now
	}
	row.Certainty = Exact
	l.compare(row, before, next, l.target.heartbeats() == "") // renewals may not have been looked at
	switch {
	case len(row.Changes) == 0:
	case before.blind > 0:
		row.Class = Unknown
		row.say(Derived, "this shows what "+plural(before.blind, "write")+" before it made, whose content was not recorded",
			fmt.Sprintf("此读取显示了之前 %d 次未记录内容的写入的结果", before.blind))
	case before.sure == Exact && before.rv != "":
		row.Class = Unknown
		row.say(Derived, "this shows a version that no recorded request made", "此版本由审计日志之外的请求产生")
	default:
		row.Class = Unknown
		row.say(Derived, "this shows what the version before was not certain of", "此读取更正了前一版本中不确定的内容")
	}
	l.become(next, row)
	row.Life = l.number
	return row
}

// apiVersion is that of the objects that a request is about.
func (l *life) apiVersion(e *audit.Event) string {
	if group := string(e.Text[audit.APIGroup]); group != "" {
		return group + "/" + string(e.Text[audit.APIVersion])
	}
	return string(e.Text[audit.APIVersion])
}

// next begins another life.
func (l *life) next() {
	if l.now.exists != perhaps || l.now.object != nil || l.now.by != nil {
		l.number++
	}
	l.now, l.ends = version{}, nil
}

// versionOf is the version that an answer of the API server shows.
func versionOf(o map[string]any, raw []byte) version {
	v := version{object: o, raw: bytes.Clone(raw), sure: Exact, exists: yes}
	meta, _ := o["metadata"].(map[string]any)
	v.uid, _ = meta["uid"].(string)
	v.rv, _ = meta["resourceVersion"].(string)
	v.generation, _ = meta["generation"].(int64)
	return v
}

// become makes v the current version.
func (l *life) become(v version, row *Row) {
	v.by = row
	l.now = v
	row.Version, row.Generation, row.Missing = v.rv, v.generation, v.missing()
	if v.object != nil {
		l.last = v
	}
}

// write takes in a create, update or patch that was answered with success.
func (l *life) write(e *audit.Event, row *Row) {
	creation := row.Subresource == "" && (row.Verb == "create" || e.Code == 201)
	if creation {
		l.next()
		row.created = true
	}
	before := l.now
	if before.exists == no && !creation {
		l.next()
		before = l.now
	}
	if len(before.raw) > 0 && bytes.Equal(e.ResponseObject, before.raw) {
		row.Class, row.Certainty, row.Version, row.Generation, row.same = NoChange, Exact, before.rv, before.generation, true
		return
	}
	next := l.content(e, row, before)
	if next.uid != "" && before.uid != "" && next.uid != before.uid {
		l.next()
		before = version{}
	}
	if next.object == nil {
		l.blind(e, row, before, next)
		return
	}
	row.Certainty = next.sure
	if next.why.en != "" {
		row.say(next.sure, next.why.en, next.why.zh)
	}
	if creation {
		row.tell(born(next.object))
	} else {
		l.doubt(e, row, before, next)
		l.compare(row, before, next, row.Subresource != "" || !l.target.hasStatus())
		if before.object == nil {
			l.setBy(e, row)
		}
		row.refine(before, next)
	}
	l.become(next, row)
	l.finish(row, next)
}

// blind takes in a write whose content is not known.
func (l *life) blind(e *audit.Event, row *Row, before, next version) {
	row.Certainty = Unsure
	if row.why.en == "" {
		row.say(Unsure, next.why.en, next.why.zh)
	}
	if row.created {
		row.tell("created", "创建")
	} else if l.setBy(e, row); len(row.Changes) == 0 && len(e.RequestObject) > 0 {
		row.tell("not known", "未知")
	} else if len(row.Changes) == 0 {
		row.tell("not recorded", "内容未记录")
	}
	keep := before
	keep.exists, keep.blind, keep.by, keep.raw = yes, before.blind+1, row, nil
	if next.rv != "" {
		row.Version = next.rv
	}
	l.now = keep
}

// compare lists what differs between two versions.
func (l *life) compare(row *Row, before, next version, status bool) {
	if before.object != nil {
		row.change(before, next, status)
	}
}

// doubt says what else than this request may have made a difference.
func (l *life) doubt(e *audit.Event, row *Row, before, next version) {
	sent := string(e.Text[audit.ResourceVersion])
	switch {
	case before.object == nil && before.blind > 0:
		row.say(Derived, "what it was before was not recorded", "此前的内容未记录")
	case before.object == nil:
		row.say(Derived, "what it was before is not known: the events begin later", "此前的内容未知：事件始于其后")
	case before.blind > 0:
		row.say(Derived, "the changes may be those of "+plural(before.blind, "write")+" before it, whose content was not recorded",
			fmt.Sprintf("变更也可能来自此前 %d 次未记录内容的写入", before.blind))
	case before.sure == Derived && next.sure == Exact:
		row.say(Derived, "the changes are against a version before that is derived", "与之比较的前一版本是推导所得")
	case before.generation > 0 && next.generation > before.generation+1,
		row.Verb == "update" && before.sure == Exact && before.rv != "" && later(sent, before.rv):
		row.say(Derived, "the changes may be those of a write before it that is not in the trail", "变更也可能来自此前不在审计链中的写入")
	}
}

// later reports whether one resourceVersion is larger than another.
func later(a, b string) bool {
	return len(a) > len(b) || len(a) == len(b) && a > b
}

// setBy tells what a patch sets, where what was there before is not known.
func (l *life) setBy(e *audit.Event, row *Row) {
	if row.Verb != "patch" || len(e.RequestObject) == 0 {
		return
	}
	v, err := tree.Decode(e.RequestObject)
	if err != nil {
		return
	}
	set := func(path string, v any) {
		if !strings.Contains(path, "$") && path != "apiVersion" && path != "kind" && len(row.Changes) < maxChanges {
			row.Changes = append(row.Changes, Change{Path: path, Op: "set", New: v})
		}
	}
	switch v := v.(type) {
	case map[string]any:
		tree.Leaves(v, set)
	case []any: // a JSON patch
		for _, x := range v {
			op, _ := x.(map[string]any)
			path, _ := op["path"].(string)
			if op["op"] == "add" || op["op"] == "replace" {
				set(strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "."), op["value"])
			}
		}
	}
}

// refine tells from two versions what the request alone did not: that nothing changed, or
// nothing but the status.
func (r *Row) refine(before, next version) {
	switch {
	case before.object == nil:
	case before.rv != "" && before.rv == next.rv && before.sure == Exact && next.sure == Exact:
		r.Class = NoChange
	case before.blind > 0 || next.sure != Exact && len(r.Changes) == 0:
	case next.rebuilt && len(r.Changes) == 0 && next.how != patch.ServerSideApply:
		r.Class = NoChange
	case len(r.Changes) == 0 && r.Class == Real && r.More == 0:
		r.Class = ManagedFieldsOnly
		if next.managed() == nil && before.managed() == nil && !next.rebuilt {
			r.say(Derived, "nothing that was recorded changed; managedFields were not", "已记录的内容没有变化；managedFields 未记录")
		}
	case r.Class == Real && all(r.Changes, inStatus):
		r.Class = StatusOnly
	case r.Class == StatusOnly && all(r.Changes, beats):
		r.Class = Heartbeat
	case r.Class == Real && all(r.Changes, func(p string) bool { return p == leader }):
		r.Class = LeaderLease
	}
}

const leader = "metadata.annotations[control-plane.alpha.kubernetes.io/leader]"

func beats(path string) bool {
	return strings.HasPrefix(path, "status.conditions") && strings.HasSuffix(path, ".lastHeartbeatTime")
}

func all(changes []Change, is func(path string) bool) bool {
	for _, c := range changes {
		if !is(c.Path) {
			return false
		}
	}
	return len(changes) > 0
}

// managed is metadata.managedFields, nil where it was not recorded.
func (v version) managed() []any {
	meta, _ := v.object["metadata"].(map[string]any)
	m, _ := meta["managedFields"].([]any)
	return m
}

// hasStatus reports whether the status is written as a subresource, and by nothing else.
func (t *Target) hasStatus() bool {
	if r := t.builtIn(); r != nil {
		for _, s := range r.Subresources {
			if s.Name == "status" {
				return true
			}
		}
	}
	return false
}

// born tells of a new object in short.
func born(o map[string]any) (en, zh string) {
	parts := []string{}
	spec, _ := o["spec"].(map[string]any)
	if n, ok := spec["replicas"].(int64); ok {
		parts = append(parts, fmt.Sprintf("replicas %d", n))
	}
	if template, ok := spec["template"].(map[string]any); ok {
		spec, _ = template["spec"].(map[string]any)
	}
	containers, _ := spec["containers"].([]any)
	for _, c := range containers {
		m, _ := c.(map[string]any)
		if image, ok := m["image"].(string); ok {
			parts = append(parts, "image "+output.Plain(image, false))
		}
	}
	if len(parts) == 0 {
		return "created", "创建"
	}
	return "created: " + strings.Join(parts, "; "), "创建：" + strings.Join(parts, "；")
}
