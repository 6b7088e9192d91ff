package patch

import (
	"errors"
	"maps"
	"strings"

	"kubetrail/internal/schema"
	"kubetrail/internal/stored"
	"kubetrail/internal/tree"
)

// An owner is one entry of metadata.managedFields, without its fields and time.
type owner struct {
	manager, operation, subresource string
	apiVersion                      string // "" for operation Apply, as entries of all versions are one
}

var errConflict = errors.New("others own a field that it changes")

// owners tells who set which fields of an object.
type owners struct {
	sets     map[owner]*fieldSet
	complete bool   // nobody else set any
	version  string // the apiVersion of all sets; owners of objects in several versions are not complete
}

// parseOwners reads metadata.managedFields; what it cannot read leaves the owners
// incomplete.
func parseOwners(o map[string]any) *owners {
	entries, ok := tree.At(o, "metadata", "managedFields").([]any)
	out := &owners{sets: map[owner]*fieldSet{}, complete: ok && len(entries) > 0, version: tree.Text(o["apiVersion"])}
	for _, e := range entries {
		m := tree.Object(e)
		s, err := parseFields(m["fieldsV1"])
		if err != nil || tree.Text(m["apiVersion"]) != out.version {
			out.complete = false
			continue
		}
		out.sets[ownerOf(tree.Text(m["manager"]), tree.Text(m["operation"]), tree.Text(m["subresource"]), out.version)] = s
	}
	return out
}

func ownerOf(manager, operation, subresource, apiVersion string) owner {
	if manager == "" {
		manager = "unknown"
	}
	if operation == "Apply" {
		apiVersion = ""
	}
	return owner{manager, operation, subresource, apiVersion}
}

// nobody tells whether it is certain that no field is owned.
func (o *owners) nobody() bool { return o.complete && len(o.sets) == 0 }

// equal tells whether two objects have the same owners.
func (o *owners) equal(p *owners) bool {
	if o == nil || p == nil {
		return o == p
	}
	if o.complete != p.complete || len(o.sets) != len(p.sets) {
		return false
	}
	for who, s := range o.sets {
		if !s.equal(p.sets[who]) {
			return false
		}
	}
	return true
}

// without returns the owners with a field taken from one of them.
func (o *owners) without(who owner, path string) *owners {
	if o == nil {
		return nil
	}
	out := &owners{sets: maps.Clone(o.sets), complete: o.complete, version: o.version}
	if s := out.sets[who].without([]string{path}); s.empty() {
		delete(out.sets, who)
	} else {
		out.sets[who] = s
	}
	return out
}

// including returns the owners with spec.replicas given to one of them.
func (o *owners) including(who owner) *owners {
	if o == nil {
		return nil
	}
	out := &owners{sets: maps.Clone(o.sets), complete: o.complete, version: o.version}
	if out.sets == nil {
		out.sets = map[owner]*fieldSet{}
	}
	replicas := &fieldSet{below: map[string]*fieldSet{"f:replicas": {member: true}}}
	out.sets[who] = union(out.sets[who], &fieldSet{below: map[string]*fieldSet{"f:spec": replicas}})
	return out
}

// incomplete notes that there may be owners that are not known.
func (o *owners) incomplete() {
	if o != nil {
		o.complete = false
	}
}

// updated returns the owners after someone changed an object by other means than apply.
// ignored are the paths that the request cannot change.
func (o *owners) updated(by owner, before, after map[string]any, t *schema.Type, ignored []string) *owners {
	if o == nil || o.nobody() && len(before) > 0 {
		return o // what nobody owns is not tracked, until somebody applies
	}
	c, err := compare(before, after, t)
	if err != nil {
		return &owners{version: o.version}
	}
	touched := union(c.added, c.modified).without(ignored)
	gone := c.removed.without(ignored)
	out := &owners{sets: make(map[owner]*fieldSet, len(o.sets)+1), complete: o.complete, version: o.version}
	for who, s := range o.sets {
		if s = minus(minus(s, touched), gone); !s.empty() {
			out.sets[who] = s
		}
	}
	if mine := touched.stripped(); !mine.empty() {
		out.sets[by] = union(out.sets[by], mine)
	}
	// The API server puts the oldest of more than ten updaters together. It does not matter
	// here: what is taken away depends on whether anybody owns it.
	return out
}

// serverSideApply applies a configuration to an object (nil where it is created), as
// structured-merge-diff does. sure is false where what is taken away depends on owners
// that are not known.
// It is an error where others own what it changes, unless force.
func serverSideApply(live, config map[string]any, by owner, o *owners, t *schema.Type, ignored []string, force bool) (merged map[string]any, after *owners, sure bool, err error) {
	set, err := fieldsOf(config, t)
	if err != nil {
		return nil, nil, false, err
	}
	set = set.without(ignored).stripped()
	m, err := mergeApplied(asAny(live), config, t)
	if err != nil {
		return nil, nil, false, err
	}
	merged = tree.Object(m)
	after = &owners{sets: map[owner]*fieldSet{}, complete: o.complete, version: o.version}
	maps.Copy(after.sets, o.sets)
	if o.nobody() && live != nil {
		all, err := everyField(live, t)
		if err != nil {
			return nil, nil, false, err
		}
		all = &fieldSet{below: all.below}
		after.sets[ownerOf("before-first-apply", "Update", by.subresource, o.version)] = all.without(ignored).stripped()
	}
	last, knownLast := after.sets[by]
	after.sets[by] = set
	sure = knownLast || o.complete
	if !last.empty() {
		pruned, err := prune(merged, after, last, t)
		if err != nil {
			return nil, nil, false, err
		}
		// Where owners are missing, more may stay than what was found to.
		if !o.complete && !tree.Equal(merged, pruned) {
			sure = false
		}
		merged = pruned
	}
	c, err := compare(orEmpty(live), merged, t)
	if err != nil {
		return nil, nil, false, err
	}
	touched := union(c.added, c.modified).without(ignored)
	gone := c.removed.without(ignored)
	for who, s := range after.sets {
		if who == by {
			continue
		}
		if !force && !intersect(s, touched).empty() {
			return nil, nil, false, errConflict
		}
		if s = minus(minus(s, touched), gone); s.empty() {
			delete(after.sets, who)
		} else {
			after.sets[who] = s
		}
	}
	if set.empty() {
		delete(after.sets, by)
	}
	return merged, after, sure, nil
}

func asAny(m map[string]any) any {
	if m == nil {
		return tree.Absent
	}
	return m
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// prune takes away what an owner applied last time and nobody has applied or set since.
func prune(merged map[string]any, o *owners, last *fieldSet, t *schema.Type) (map[string]any, error) {
	last = last.named(t)
	pruned := orEmpty(tree.Object(removed(merged, last, t)))
	var managed *fieldSet
	for _, s := range o.sets {
		managed = union(managed, s)
	}
	all, err := fieldsOf(merged, t)
	if err != nil {
		return nil, err
	}
	all = all.named(t)
	left, err := fieldsOf(pruned, t)
	if err != nil {
		return nil, err
	}
	gone := minus(all, union(left.named(t), managed.named(t)))
	pruned = orEmpty(tree.Object(removed(merged, gone, t)))
	if left, err = fieldsOf(pruned, t); err != nil {
		return nil, err
	}
	gone = intersect(minus(all, left.named(t)), last)
	return orEmpty(tree.Object(removed(merged, gone, t))), nil
}

// removed returns a value without the fields of a set. Objects and lists that lose
// everything become null.
func removed(v any, gone *fieldSet, t *schema.Type) any {
	if gone.empty() {
		return v
	}
	if !granular(t, v) {
		return nil
	}
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, y := range x {
			branch := "f:" + k
			switch c := gone.child(branch); {
			case c.has():
			case c != nil:
				out[k] = removed(y, c, childType(t, branch))
			default:
				out[k] = y
			}
		}
		if len(out) > 0 {
			return out
		}
	case []any:
		out := make([]any, 0, len(x))
		for _, y := range x {
			name, err := branch(y, t)
			switch c := gone.child(name); {
			case err == nil && c.has():
			case err == nil && c != nil:
				out = append(out, removed(y, c, t.Item))
			default:
				out = append(out, y)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// mergeApplied merges what is applied into what there is, of which one may be absent.
func mergeApplied(live, config any, t *schema.Type) (any, error) {
	switch {
	case config == tree.Absent:
		return live, nil
	case config == nil && granular(t, live) && !isEmptyValue(live):
		return live, nil
	case live == tree.Absent || live == nil:
		if err := checkKeys(config, t); err != nil {
			return nil, err
		}
		return config, nil
	case !granular(t, live) || !granular(t, config):
		return config, nil
	}
	switch x := live.(type) {
	case map[string]any:
		y, ok := config.(map[string]any)
		if !ok {
			return nil, stored.ErrType
		}
		out := make(map[string]any, len(x)+len(y))
		maps.Copy(out, x)
		for k, v := range y {
			m, err := mergeApplied(tree.Member(x, k), v, childType(t, "f:"+k))
			if err != nil {
				return nil, err
			}
			out[k] = m
		}
		return out, nil
	case []any:
		y, ok := config.([]any)
		if !ok {
			return nil, stored.ErrType
		}
		return mergeItemsApplied(x, y, t)
	}
	return config, nil
}

func isEmptyValue(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return v == nil
}

// checkKeys refuses values with lists whose items cannot be told apart.
func checkKeys(v any, t *schema.Type) error {
	_, err := fieldsOf(v, t)
	return err
}

// mergeItemsApplied merges two lists whose items have names. The items of the
// configuration keep their order; those that only the object has keep their place before
// what followed them.
func mergeItemsApplied(live, config []any, t *schema.Type) ([]any, error) {
	if len(live) == 0 && len(config) == 0 {
		return config, nil
	}
	left, inLeft, err := branches(live, t)
	if err != nil {
		return nil, err
	}
	right, inRight, err := branches(config, t)
	if err != nil {
		return nil, err
	}
	var shared []string // what both have, in the order of the configuration
	for _, n := range right {
		if _, ok := inLeft[n]; ok {
			shared = append(shared, n)
		}
	}
	next := func() string {
		if len(shared) == 0 {
			return ""
		}
		return shared[0]
	}
	out := make([]any, 0, max(len(live), len(config)))
	done := map[string]bool{}
	take := func(n string) error {
		l, r := tree.Absent, tree.Absent
		if i, ok := inLeft[n]; ok {
			l = live[i]
		}
		if i, ok := inRight[n]; ok {
			r = config[i]
		}
		v, err := mergeApplied(l, r, t.Item)
		out = append(out, v)
		return err
	}
	for i, j := 0, 0; i < len(left) || j < len(right); {
		if i < len(left) && j < len(right) {
			n := left[i]
			if n == right[j] {
				done[n] = true
				if err := take(n); err != nil {
					return nil, err
				}
				i, j = i+1, j+1
				shared = shared[min(1, len(shared)):]
				continue
			}
			if _, ok := inRight[n]; ok && next() != "" && next() != n {
				i++ // of both, but another one is to come first
				continue
			}
		}
		if i < len(left) {
			n := left[i]
			if _, ok := inRight[n]; !ok {
				if err := take(n); err != nil {
					return nil, err
				}
				i++
				continue
			} else if done[n] {
				i++
			}
		}
		if j < len(right) {
			n := right[j]
			done[n] = true
			if err := take(n); err != nil {
				return nil, err
			}
			j++
			if next() == n {
				shared = shared[1:]
			}
		}
	}
	return out, nil
}

// managerOf is who sets fields by a request: what its URI says, or the program.
func managerOf(fieldManager, userAgent string) string {
	if fieldManager != "" {
		return fieldManager
	}
	manager, _, _ := strings.Cut(userAgent, "/")
	if len(manager) > 128 {
		manager = manager[:128]
	}
	return strings.Map(func(r rune) rune {
		if tree.Printable(r) {
			return r
		}
		return -1
	}, manager)
}
