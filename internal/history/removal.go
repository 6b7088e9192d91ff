package history

import (
	"fmt"
	"net/url"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/tree"
)

// delete takes in a deletion or an eviction that was answered with success: the object is
// gone, or is marked and goes when the last finalizer or the grace period ends.
func (l *life) delete(e *audit.Event, row *Row) {
	before := l.now
	how := options(e, row)
	switch l.kindOf(e.ResponseObject) {
	case "Status", "":
		// The answer to a deletion is a Status where the object is gone, with its uid.
		if row.Subresource == "" && string(e.Text[audit.Status]) == "Success" {
			l.gone(row, how)
			return
		}
	default:
		if o, err := l.body(e.ResponseObject); err == nil {
			l.marked(row, before, versionOf(o, e.ResponseObject), how)
			return
		}
	}
	row.tell("deletion"+how.en, "删除"+how.zh)
	if row.Subresource == "eviction" {
		row.tell("evicted"+how.en, "驱逐"+how.zh)
	}
	row.say(Unsure, "whether the object was gone at once was not recorded", "未记录对象是否立即消失")
	l.ends = append(l.ends, row)
	l.now.exists, l.now.by = perhaps, row
	if row.Subresource == "" && e.Code == 202 {
		l.now.exists = yes
	}
	l.now.blind++
}

// gone notes that the object does not exist any more.
func (l *life) gone(row *Row, how words) {
	row.Removed, row.Certainty = true, Exact
	row.tell("deleted"+how.en, "删除"+how.zh)
	l.ends = append(l.ends, row)
	l.now = version{exists: no, by: row, uid: l.now.uid}
}

// marked takes in the answer to a deletion that shows the object.
func (l *life) marked(row *Row, before, next version, how words) {
	if next.uid != "" && before.uid != "" && next.uid != before.uid {
		l.next()
		before = l.now
	}
	row.Certainty = Exact
	row.Version, row.Generation = next.rv, next.generation
	l.last = next
	if left := pending(next.object); left == "" {
		l.gone(row, how)
		return
	} else if before.rv != "" && before.rv == next.rv {
		row.Class = NoChange
		row.tell("deleted again: "+left, "再次删除："+left)
	} else {
		row.tell("marked for deletion"+how.en+": "+left, "标记删除"+how.zh+"："+left)
		l.compare(row, before, next, !l.target.hasStatus())
	}
	l.ends = append(l.ends, row)
	l.become(next, row)
}

// pending says what keeps an object that is marked for deletion; empty where nothing
// does, and where it is not marked.
func pending(o map[string]any) string {
	if at(o, "metadata", "deletionTimestamp") == nil {
		return ""
	}
	var left []string
	for _, list := range []any{at(o, "metadata", "finalizers"), at(o, "spec", "finalizers")} {
		names, _ := list.([]any)
		for _, n := range names {
			if s, ok := n.(string); ok {
				left = append(left, output.Plain(output.Clip(s, 60), false))
			}
		}
	}
	s := strings.Join(left, ", ")
	if s != "" {
		s = "finalizers " + s
	}
	if grace, _ := at(o, "metadata", "deletionGracePeriodSeconds").(int64); grace > 0 {
		if s != "" {
			s += ", "
		}
		s += fmt.Sprintf("grace %ds", grace)
	}
	return s
}

// finish notes where a write was the last one: it took away what kept an object that was
// marked for deletion.
func (l *life) finish(row *Row, next version) {
	if at(next.object, "metadata", "deletionTimestamp") == nil || pending(next.object) != "" {
		return
	}
	row.Removed, row.Class = true, Real
	row.tell("removed the last finalizer", "移除最后一个 finalizer")
	l.ends = append(l.ends, row)
	l.now = version{exists: no, by: row, uid: next.uid}
}

// options tells of the options of a deletion that were recorded.
func options(e *audit.Event, row *Row) (w words) {
	v, err := tree.Decode(e.RequestObject)
	o, ok := v.(map[string]any)
	if err != nil || !ok {
		return w
	}
	if row.Subresource == "eviction" {
		o, _ = o["deleteOptions"].(map[string]any)
	}
	var parts []string
	if n, ok := o["gracePeriodSeconds"].(int64); ok {
		parts = append(parts, fmt.Sprintf("grace %ds", n))
	}
	if s, ok := o["propagationPolicy"].(string); ok && s != "Background" {
		parts = append(parts, output.Plain(output.Clip(s, 20), false))
	}
	if len(parts) == 0 {
		return w
	}
	s := strings.Join(parts, ", ")
	return words{" (" + s + ")", "（" + s + "）"}
}

// namespace takes in the deletion of the namespace that the object is in.
func (l *life) namespace(row *Row) *Row {
	if l.now.exists == no || l.now.exists == perhaps && l.now.by == nil {
		return nil
	}
	row.Life, row.Certainty = l.number, Exact
	row.tell("the namespace was deleted, and with it all that is in it", "命名空间被删除，其中的对象随之删除")
	l.ends = append(l.ends, row)
	return row
}

// collection takes in a deletecollection that may have hit the object.
func (l *life) collection(e *audit.Event, row *Row) *Row {
	if l.now.exists == no || l.now.exists == perhaps && l.now.by == nil {
		return nil // there was nothing of that name
	}
	row.Life = l.number
	hit, known := l.hit(e)
	o := listed(e.ResponseObject, l.target.Name)
	switch {
	case known && !hit:
		return nil
	case o != nil && pending(o) != "":
		l.marked(row, l.now, versionOf(o, nil), words{" with others (deletecollection)", "（deletecollection，与其他对象一起）"})
	case known:
		l.gone(row, words{" with others (deletecollection)", "（deletecollection，与其他对象一起）"})
		if o == nil {
			row.say(Derived, "whether finalizers or a grace period kept it was not recorded", "未记录 finalizers 或宽限期是否使其保留")
		}
	default:
		row.tell("deletecollection: it may have been deleted with others", "deletecollection：可能与其他对象一起被删除")
		row.say(Unsure, "which objects it deleted was not recorded", "未记录它删除了哪些对象")
		l.ends = append(l.ends, row)
		l.now.exists, l.now.by = perhaps, row
	}
	return row
}

// hit reports whether a deletecollection took in the object, as far as that is known.
func (l *life) hit(e *audit.Event) (hit, known bool) {
	if len(e.ResponseObject) > 0 && strings.HasSuffix(l.kindOf(e.ResponseObject), "List") {
		return listed(e.ResponseObject, l.target.Name) != nil, true
	}
	_, q, _ := strings.Cut(string(e.Text[audit.RequestURI]), "?")
	values, _ := url.ParseQuery(q)
	if values.Get("fieldSelector") != "" {
		return false, false
	}
	selector := values.Get("labelSelector")
	if selector == "" {
		return true, true
	}
	if l.now.object == nil || l.now.blind > 0 {
		return false, false
	}
	labels, _ := at(l.now.object, "metadata", "labels").(map[string]any)
	return selected(selector, labels)
}

// selected reports whether labels answer a selector of equalities.
func selected(selector string, labels map[string]any) (match, known bool) {
	for _, term := range strings.Split(selector, ",") {
		key, value, ok := strings.Cut(strings.Replace(term, "==", "=", 1), "=")
		if !ok || strings.ContainsAny(term, "!() ") {
			return false, false
		}
		if labels[key] != value {
			return false, true
		}
	}
	return true, true
}

// listed is the item of a list with a name, nil where it has none.
func listed(raw []byte, name string) map[string]any {
	v, err := tree.Decode(raw)
	list, _ := v.(map[string]any)
	items, _ := list["items"].([]any)
	if err != nil {
		return nil
	}
	for _, x := range items {
		if o, ok := x.(map[string]any); ok && at(o, "metadata", "name") == name {
			return o
		}
	}
	return nil
}
