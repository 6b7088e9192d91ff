package patch

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"kubetrail/internal/schema"
	"kubetrail/internal/stored"
	"kubetrail/internal/tree"
)

// A fieldSet is a set of fields of an object, as metadata.managedFields keeps it: a tree
// whose branches are named f:NAME for members, k:{KEYS} for items of a list with keys and
// v:VALUE for items of a set. nil is the empty set. A fieldSet never changes once it is
// made.
type fieldSet struct {
	member bool // the field itself is in the set
	below  map[string]*fieldSet
}

var errFields = errors.New("managedFields that cannot be read")

// parseFields reads a fieldsV1.
func parseFields(v any) (*fieldSet, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errFields
	}
	s := &fieldSet{}
	for k, x := range m {
		if k == "." {
			s.member = true
			continue
		}
		if len(k) < 2 || k[1] != ':' {
			return nil, errFields
		}
		if k[0] == 'k' || k[0] == 'v' {
			value, err := tree.Decode([]byte(k[2:]))
			if err != nil {
				return nil, errFields
			}
			k = k[:2] + tree.Compact(value)
		}
		child, err := parseFields(x)
		if err != nil {
			return nil, err
		}
		if len(child.below) == 0 {
			child.member = true
		}
		s.put(k, child)
	}
	return s, nil
}

func (s *fieldSet) put(k string, child *fieldSet) {
	if s.below == nil {
		s.below = map[string]*fieldSet{}
	}
	s.below[k] = child
}

func (s *fieldSet) empty() bool { return s == nil || !s.member && len(s.below) == 0 }

func (s *fieldSet) child(k string) *fieldSet {
	if s == nil {
		return nil
	}
	return s.below[k]
}

func (s *fieldSet) has() bool { return s != nil && s.member }

func (s *fieldSet) equal(t *fieldSet) bool {
	if s == t || s == nil || t == nil {
		return s == t || s.empty() && t.empty()
	}
	if s.member != t.member || len(s.below) != len(t.below) {
		return false
	}
	for k, x := range s.below {
		if y, ok := t.below[k]; !ok || !x.equal(y) {
			return false
		}
	}
	return true
}

// changed returns s with other children, which may be empty, in place of those that it has.
func (s *fieldSet) changed(member bool, children map[string]*fieldSet) *fieldSet {
	out := &fieldSet{member: member, below: make(map[string]*fieldSet, len(s.below)+len(children))}
	for k, x := range s.below {
		out.below[k] = x
	}
	for k, x := range children {
		if x.empty() {
			delete(out.below, k)
		} else {
			out.below[k] = x
		}
	}
	if out.empty() {
		return nil
	}
	return out
}

func union(a, b *fieldSet) *fieldSet {
	switch {
	case a.empty():
		return b
	case b.empty() || a == b:
		return a
	}
	var children map[string]*fieldSet
	for k, y := range b.below {
		x := a.below[k]
		if z := union(x, y); z != x {
			if children == nil {
				children = map[string]*fieldSet{}
			}
			children[k] = z
		}
	}
	if children == nil && (a.member || !b.member) {
		return a
	}
	return a.changed(a.member || b.member, children)
}

// minus takes the fields of b from a, one by one: fields below a field of b stay.
func minus(a, b *fieldSet) *fieldSet {
	if a.empty() || b.empty() {
		return a
	}
	var children map[string]*fieldSet
	for k, y := range b.below {
		x := a.below[k]
		if z := minus(x, y); z != x {
			if children == nil {
				children = map[string]*fieldSet{}
			}
			children[k] = z
		}
	}
	if children == nil && !(a.member && b.member) {
		return a
	}
	return a.changed(a.member && !b.member, children)
}

func intersect(a, b *fieldSet) *fieldSet {
	if a.empty() || b.empty() {
		return nil
	}
	out := &fieldSet{member: a.member && b.member}
	for k, x := range a.below {
		if c := intersect(x, b.below[k]); !c.empty() {
			out.put(k, c)
		}
	}
	if out.empty() {
		return nil
	}
	return out
}

// without takes fields at the paths and everything below them from s. Paths are names of
// members separated by dots.
func (s *fieldSet) without(paths []string) *fieldSet {
	for _, p := range paths {
		s = s.cut(strings.Split(p, "."))
	}
	return s
}

func (s *fieldSet) cut(path []string) *fieldSet {
	c := s.child("f:" + path[0])
	if c == nil {
		return s
	}
	out := &fieldSet{member: s.member, below: make(map[string]*fieldSet, len(s.below))}
	for k, x := range s.below {
		out.below[k] = x
	}
	delete(out.below, "f:"+path[0])
	if len(path) > 1 {
		if c = c.cut(path[1:]); !c.empty() {
			out.below["f:"+path[0]] = c
		}
	}
	return out
}

// stripped takes away what is never managed: the fields that the API server sets.
func (s *fieldSet) stripped() *fieldSet {
	if s == nil {
		return nil
	}
	never := &fieldSet{below: map[string]*fieldSet{"f:apiVersion": {member: true}, "f:kind": {member: true},
		"f:metadata": {member: true, below: map[string]*fieldSet{}}}}
	for _, k := range []string{"name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields", "resourceVersion"} {
		never.below["f:metadata"].below["f:"+k] = &fieldSet{member: true}
	}
	return minus(s, never)
}

// named adds the fields of structs that have fields of the set below them
// (EnsureNamedFieldsAreMembers in structured-merge-diff).
func (s *fieldSet) named(t *schema.Type) *fieldSet {
	if s == nil || len(s.below) == 0 {
		return s
	}
	out := &fieldSet{member: s.member, below: make(map[string]*fieldSet, len(s.below))}
	for k, x := range s.below {
		child := x.named(childType(t, k))
		if name, ok := strings.CutPrefix(k, "f:"); ok && !child.member && isStruct(t) && t.Field(name) != nil {
			child = &fieldSet{member: true, below: child.below}
		}
		out.below[k] = child
	}
	return out
}

func isStruct(t *schema.Type) bool { return t != nil && t.Form == schema.Struct }

// childType is the type of what a branch of a set leads to, nil where it is not known.
func childType(t *schema.Type, k string) *schema.Type {
	switch {
	case t == nil:
		return nil
	case t.Form == schema.Struct:
		if f := t.Field(strings.TrimPrefix(k, "f:")); f != nil {
			return f.Type
		}
		return nil
	}
	return t.Item
}

// granular tells whether the fields of a value have owners of their own.
func granular(t *schema.Type, v any) bool {
	switch v.(type) {
	case map[string]any:
		return t == nil || !t.Atomic && (t.Form == schema.Struct || t.Form == schema.Map)
	case []any:
		return t != nil && t.Form == schema.List && t.List != schema.AtomicList
	}
	return false
}

// branch names an item of a list that is a set or has keys.
func branch(item any, t *schema.Type) (string, error) {
	if t.List == schema.SetList {
		switch v := item.(type) {
		case string:
			return "v:" + quoted(v), nil
		case int64:
			return "v:" + strconv.FormatInt(v, 10), nil
		}
		return "v:" + tree.Compact(item), nil
	}
	m, ok := item.(map[string]any)
	if !ok {
		return "", stored.ErrType
	}
	keys := make(map[string]any, len(t.Keys))
	for _, k := range t.Keys {
		v, ok := m[k]
		switch {
		case ok:
			keys[k] = v
		case k == "protocol" && isStruct(t.Item) && strings.HasSuffix(t.Item.Name, "Port"):
			keys[k] = "TCP" // the one default that OpenAPI gives to a key
		}
	}
	if len(keys) == 0 {
		return "", errMergeKey
	}
	if len(keys) == 1 && len(t.Keys) == 1 {
		if s, ok := keys[t.Keys[0]].(string); ok {
			return "k:{\"" + t.Keys[0] + "\":" + quoted(s) + "}", nil
		}
	}
	return "k:" + tree.Compact(keys), nil
}

// quoted is compact of a string.
func quoted(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e }) >= 0 || strings.ContainsAny(s, "\"\\<>&") {
		return tree.Compact(s)
	}
	return "\"" + s + "\""
}

// branches names all items of a list; it is an error where two have one name.
func branches(l []any, t *schema.Type) ([]string, map[string]int, error) {
	names := make([]string, len(l))
	at := make(map[string]int, len(l))
	for i, item := range l {
		n, err := branch(item, t)
		if err != nil {
			return nil, nil, err
		}
		if _, twice := at[n]; twice {
			return nil, nil, errMixed
		}
		names[i], at[n] = n, i
	}
	return names, at, nil
}

// fieldsOf is the set of the fields that a value has.
func fieldsOf(v any, t *schema.Type) (*fieldSet, error) {
	s := &fieldSet{}
	if !granular(t, v) {
		return &fieldSet{member: true}, nil
	}
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			branch := "f:" + k
			item := childType(t, branch)
			child, err := fieldsOf(x, item)
			if err != nil {
				return nil, err
			}
			own := x == nil || isEmptyMap(x) || !isStruct(t) || t.Field(k) == nil
			if own && !child.member {
				child = &fieldSet{member: true, below: child.below}
			}
			if !child.empty() {
				s.put(branch, child)
			}
		}
	case []any:
		names, _, err := branches(v, t)
		if err != nil {
			return nil, err
		}
		for i, item := range v {
			child, err := fieldsOf(item, t.Item)
			if err != nil {
				return nil, err
			}
			s.put(names[i], &fieldSet{member: true, below: child.below})
		}
	}
	return s, nil
}

func isEmptyMap(v any) bool {
	m, ok := v.(map[string]any)
	return ok && len(m) == 0
}

// comparison tells which fields a change of an object touched.
type comparison struct{ removed, modified, added *fieldSet }

// compare compares two values of a type, of which one may be absent. Sets that are empty
// are nil.
func compare(a, b any, t *schema.Type) (out comparison, err error) {
	if a == tree.Absent || b == tree.Absent {
		return compareAbsent(a, b, t)
	}
	// null is an object or list without anything, beside one with something.
	switch {
	case a == nil && granular(t, b) && !isEmptyValue(b):
		a = emptied(b)
	case b == nil && granular(t, a) && !isEmptyValue(a):
		b = emptied(a)
	}
	if !granular(t, a) || !granular(t, b) {
		if !tree.Equal(a, b) {
			out.modified = &fieldSet{member: true}
		}
		return out, nil
	}
	add := func(k string, x comparison) {
		for _, p := range []struct{ into, from **fieldSet }{{&out.removed, &x.removed}, {&out.modified, &x.modified}, {&out.added, &x.added}} {
			if *p.from != nil {
				if *p.into == nil {
					*p.into = &fieldSet{}
				}
				(*p.into).put(k, *p.from)
			}
		}
	}
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			return out, stored.ErrType
		}
		if tree.Same(x, y) {
			return out, nil
		}
		for _, k := range keysOf(x, y) {
			c, err := compare(tree.Member(x, k), tree.Member(y, k), childType(t, "f:"+k))
			if err != nil {
				return out, err
			}
			add("f:"+k, c)
		}
	case []any:
		y, ok := b.([]any)
		if !ok {
			return out, stored.ErrType
		}
		if len(x) == len(y) && (len(x) == 0 || &x[0] == &y[0]) {
			return out, nil
		}
		return out, compareLists(add, x, y, t)
	}
	return out, nil
}

func emptied(v any) any {
	if _, ok := v.([]any); ok {
		return []any{}
	}
	return map[string]any{}
}

func compareLists(add func(string, comparison), x, y []any, t *schema.Type) error {
	namesX, atX, err := branches(x, t)
	if err != nil {
		return err
	}
	namesY, atY, err := branches(y, t)
	if err != nil {
		return err
	}
	for i, n := range namesX {
		other := tree.Absent
		if j, ok := atY[n]; ok {
			other = y[j]
		}
		c, err := compare(x[i], other, t.Item)
		if err != nil {
			return err
		}
		add(n, c)
	}
	for j, n := range namesY {
		if _, ok := atX[n]; !ok {
			c, err := compare(tree.Absent, y[j], t.Item)
			if err != nil {
				return err
			}
			add(n, c)
		}
	}
	return nil
}

// compareAbsent is the comparison where one side is missing: all fields of the other, and
// the objects and items that hold them.
func compareAbsent(a, b any, t *schema.Type) (out comparison, err error) {
	switch {
	case a == tree.Absent && b == tree.Absent:
	case a == tree.Absent:
		out.added, err = everyField(b, t)
	default:
		out.removed, err = everyField(a, t)
	}
	return out, err
}

// everyField is the set of the fields of a value and of everything that they are in.
func everyField(v any, t *schema.Type) (*fieldSet, error) {
	s := &fieldSet{member: true}
	if !granular(t, v) {
		return s, nil
	}
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			c, err := everyField(x, childType(t, "f:"+k))
			if err != nil {
				return nil, err
			}
			s.put("f:"+k, c)
		}
	case []any:
		names, _, err := branches(v, t)
		if err != nil {
			return nil, err
		}
		for i, x := range v {
			c, err := everyField(x, t.Item)
			if err != nil {
				return nil, err
			}
			s.put(names[i], c)
		}
	}
	return s, nil
}

// keysOf lists the names of the members of two objects.
func keysOf(a, b map[string]any) []string {
	keys := make([]string, 0, len(a)+len(b))
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}
