package tree

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"kubetrail/internal/schema"
)

// Op says what happened to the value at a path.
type Op string

const (
	Added   Op = "added"
	Removed Op = "removed"
	Changed Op = "changed"
	Moved   Op = "moved" // the items of a list stand in another order; Old and New list their names
)

// Change is one difference between two versions of an object.
type Change struct {
	// Path names the value as people do: spec.template.spec.containers[nginx].image,
	// metadata.labels[app.kubernetes.io/name]. Items of lists are named by their merge key
	// where the list has one, else by their index, and items of sets by their value.
	Path     string
	Op       Op
	Old, New any // nil where Added, Removed
}

// Changes lists what differs between two versions of an object, ordered as the members
// are named. It leaves out what Canonical does. Either may be nil: then the other is one
// change, at the path "".
func Changes(before, after map[string]any) []Change {
	before, after = Canonical(before), Canonical(after)
	if before == nil && after == nil {
		return nil
	}
	var d differ
	switch {
	case before == nil:
		d.add("", Added, nil, after)
	case after == nil:
		d.add("", Removed, before, nil)
	default:
		d.objects("", before, after, TypeOf(after))
	}
	return d.changes
}

// TypeOf is the type of an object by its apiVersion and kind; that of metadata alone
// where the kind is not built in.
func TypeOf(o map[string]any) *schema.Type {
	group, version := SplitGroupVersion(Text(o["apiVersion"]))
	return schema.TypeOf(group, version, Text(o["kind"]))
}

func SplitGroupVersion(gv string) (group, version string) {
	if group, version, ok := strings.Cut(gv, "/"); ok {
		return group, version
	}
	return "", gv
}

type differ struct{ changes []Change }

func (d *differ) add(path string, op Op, before, after any) {
	d.changes = append(d.changes, Change{Path: path, Op: op, Old: before, New: after})
}

// values compares two values that are both there. t is nil where the type is not known.
func (d *differ) values(path string, a, b any, t *schema.Type) {
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			d.objects(path, x, y, t)
			return
		}
	case []any:
		if y, ok := b.([]any); ok {
			d.lists(path, x, y, t)
			return
		}
	}
	if !Equal(a, b) {
		d.add(path, Changed, a, b)
	}
}

func (d *differ) objects(path string, a, b map[string]any, t *schema.Type) {
	if Same(a, b) {
		return
	}
	keys := slices.Collect(maps.Keys(a))
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		x, inA := a[k]
		y, inB := b[k]
		if inA && inB && scalarEqual(x, y) {
			continue
		}
		below := join(path, k)
		switch {
		case !inA:
			d.add(below, Added, nil, y)
		case !inB:
			d.add(below, Removed, x, nil)
		default:
			d.values(below, x, y, memberType(t, path, k))
		}
	}
}

// scalarEqual saves the path of members that are plainly the same.
func scalarEqual(a, b any) bool {
	switch a.(type) {
	case string, bool, int64:
		return a == b
	}
	return false
}

// memberType is the type of the member k of an object of the type t, nil where it is not
// known. Metadata is known for all kinds.
func memberType(t *schema.Type, path, k string) *schema.Type {
	switch {
	case t != nil && t.Form == schema.Map:
		return t.Item
	case t != nil && t.Form == schema.Struct:
		if f := t.Field(k); f != nil {
			return f.Type
		}
	case path == "" && k == "metadata":
		return schema.ObjectMeta()
	}
	return nil
}

func join(path, key string) string {
	switch {
	case strings.ContainsAny(key, ".[]/ ") || key == "":
		return path + "[" + key + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

func (d *differ) lists(path string, a, b []any, t *schema.Type) {
	if len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) {
		return
	}
	namesA, okA := itemNames(a, t)
	namesB, okB := itemNames(b, t)
	if !okA || !okB {
		d.byIndex(path, a, b, itemType(t))
		return
	}
	inA := make(map[string]int, len(a))
	for i, n := range namesA {
		inA[n] = i
	}
	inB := make(map[string]int, len(b))
	for i, n := range namesB {
		inB[n] = i
	}
	var common, order []string // what both have, in the order of each
	for i, n := range namesA {
		j, ok := inB[n]
		if !ok {
			d.add(path+"["+n+"]", Removed, a[i], nil)
			continue
		}
		common = append(common, n)
		d.values(path+"["+n+"]", a[i], b[j], itemType(t))
	}
	for j, n := range namesB {
		if _, ok := inA[n]; ok {
			order = append(order, n)
		} else {
			d.add(path+"["+n+"]", Added, nil, b[j])
		}
	}
	if !slices.Equal(common, order) {
		d.add(path, Moved, anys(namesA), anys(namesB))
	}
}

func anys(names []string) []any {
	out := make([]any, len(names))
	for i, n := range names {
		out[i] = n
	}
	return out
}

func itemType(t *schema.Type) *schema.Type {
	if t == nil || t.Form != schema.List {
		return nil
	}
	return t.Item
}

func (d *differ) byIndex(path string, a, b []any, item *schema.Type) {
	for i := range max(len(a), len(b)) {
		below := path + "[" + strconv.Itoa(i) + "]"
		switch {
		case i >= len(a):
			d.add(below, Added, nil, b[i])
		case i >= len(b):
			d.add(below, Removed, a[i], nil)
		default:
			d.values(below, a[i], b[i], item)
		}
	}
}

// itemNames names the items of a list, each by its own name: by the keys of the type, by
// the member name where the type is not known, and scalars by their value. ok is false
// where items have no names, or one name twice.
func itemNames(l []any, t *schema.Type) (names []string, ok bool) {
	keys := []string{"name"}
	switch {
	case t != nil && t.Form == schema.List && t.List == schema.MapList:
		keys = t.Keys
	case t != nil && t.Form == schema.List && t.Item.Form == schema.Struct && t.Item.Field("name") == nil:
		return nil, false
	}
	names = make([]string, len(l))
	seen := make(map[string]bool, len(l))
	for i, v := range l {
		names[i], ok = ItemName(v, keys)
		if !ok || seen[names[i]] {
			return nil, false
		}
		seen[names[i]] = true
	}
	return names, true
}

// maxName bounds the names of items that are long values.
const maxName = 256

func ItemName(v any, keys []string) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, len(v) <= maxName
	case int64:
		return strconv.FormatInt(v, 10), true
	case map[string]any:
		var b strings.Builder
		some := false
		for i, k := range keys {
			if i > 0 {
				b.WriteByte(',')
			}
			switch x := v[k].(type) {
			case string:
				b.WriteString(x)
				some = true
			case int64:
				b.WriteString(strconv.FormatInt(x, 10))
				some = true
			case bool:
				fmt.Fprint(&b, x)
				some = true
			}
		}
		return b.String(), some && b.Len() <= maxName
	}
	return "", false
}
