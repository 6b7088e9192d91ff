package patch

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"kubetrail/internal/schema"
	"kubetrail/internal/tree"
)

// Names of what a strategic merge patch can say beside values.
const (
	directive         = "$patch" // replace, delete, merge
	retainKeys        = "$retainKeys"
	deleteFromList    = "$deleteFromPrimitiveList/"
	setElementOrder   = "$setElementOrder/"
	directiveReplaces = "replace"
	directiveDeletes  = "delete"
)

var (
	errDirective = errors.New("a directive that cannot be followed")
	errMergeKey  = errors.New("an item without its merge key")
	errMixed     = errors.New("items of different types")
	errNoSchema  = errors.New("a field that the kind does not have")
	errOrder     = errors.New("the order of items is not determined")
)

// strategicPatch applies a strategic merge patch to an object of a type, which a Struct
// must be.
func strategicPatch(doc, patch map[string]any, t *schema.Type) (map[string]any, error) {
	if v, ok := patch[directive]; ok {
		switch v {
		case directiveReplaces:
			return tree.With(patch, directive, tree.Absent), nil
		case directiveDeletes:
			return map[string]any{}, nil
		}
		return nil, errDirective
	}
	out := make(map[string]any, len(doc)+len(patch))
	for k, v := range doc {
		out[k] = v
	}
	if err := retain(out, patch); err != nil {
		return nil, err
	}
	ordered := map[string]bool{} // fields that an order was set for: they are done
	for k, v := range patch {
		name, ok := strings.CutPrefix(k, setElementOrder)
		if !ok {
			continue
		}
		if err := mergeOrdered(out, patch, name, v, t); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		ordered[name] = true
	}
	for k, v := range patch {
		name, deletes := strings.CutPrefix(k, deleteFromList)
		switch {
		case k == retainKeys || strings.HasPrefix(k, setElementOrder) || ordered[k]:
			continue
		case deletes && patch[name] != nil && !ordered[name]:
			return nil, errOrder // which comes first is left to chance
		}
		if err := mergeMember(out, name, v, deletes, t); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// retain takes away what $retainKeys does not name.
func retain(out, patch map[string]any) error {
	v, ok := patch[retainKeys]
	if !ok {
		return nil
	}
	names, ok := v.([]any)
	if !ok {
		return errDirective
	}
	keep := make(map[string]bool, len(names))
	for _, n := range names {
		keep[tree.Text(n)] = true
	}
	for k, v := range patch {
		if v != nil && !keep[k] && k != retainKeys && !strings.HasPrefix(k, deleteFromList) && !strings.HasPrefix(k, setElementOrder) {
			return errDirective
		}
	}
	for k := range out {
		if !keep[k] {
			delete(out, k)
		}
	}
	return nil
}

// mergeMember merges one member of a patch into out.
func mergeMember(out map[string]any, k string, v any, deletes bool, t *schema.Type) error {
	if v == nil {
		delete(out, k)
		return nil
	}
	old, there := out[k]
	if !there || !sameForm(old, v) {
		if !deletes {
			setPlain(out, k, v)
		}
		return nil
	}
	var err error
	switch v := v.(type) {
	case map[string]any:
		f := strategicField(t, k)
		if f == nil {
			return fmt.Errorf("%s: %w", k, errNoSchema)
		}
		if t.Name == "policy.v1.PodDisruptionBudgetSpec" && k == "selector" {
			out[k] = v // the one field with the patch strategy "replace"
			return nil
		}
		var merged map[string]any
		if merged, err = strategicPatch(tree.Object(old), v, f.Type); err == nil {
			out[k] = merged
		}
	case []any:
		f := strategicField(t, k)
		switch {
		case f == nil:
			return fmt.Errorf("%s: %w", k, errNoSchema)
		case deletes:
			out[k], err = deletedFrom(tree.List(old), v)
		case !f.Merge:
			out[k] = v
		default:
			out[k], err = mergeList(tree.List(old), v, f)
		}
	default:
		out[k] = v
	}
	if err != nil {
		return fmt.Errorf("%s: %w", k, err)
	}
	return nil
}

// strategicField is how the member k of an object of the type t is merged. The keys of a
// map have no strategy.
func strategicField(t *schema.Type, k string) *schema.Field {
	switch {
	case t == nil:
		return nil
	case t.Form == schema.Map:
		return &schema.Field{Name: k, Type: t.Item}
	case t.Form == schema.Struct:
		return t.Field(k)
	}
	return nil
}

// sameForm tells whether Go decodes two values to one type.
func sameForm(a, b any) bool {
	switch a.(type) {
	case map[string]any:
		_, ok := b.(map[string]any)
		return ok
	case []any:
		_, ok := b.([]any)
		return ok
	case string, bool, int64, float64:
		return fmt.Sprintf("%T", a) == fmt.Sprintf("%T", b)
	}
	return false
}

// setPlain takes a member from the patch as it is, but for nulls and directives in it.
func setPlain(out map[string]any, k string, v any) {
	if v, keep := withoutDirectives(discardNulls(v)); keep {
		out[k] = v
	} else {
		delete(out, k)
	}
}

// discardNulls takes members that are null away. In lists null stays.
func discardNulls(v any) any { return tree.WithoutNulls(v) }

// withoutDirectives takes objects with a directive away; keep is false where v is one.
func withoutDirectives(v any) (_ any, keep bool) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v[directive]; ok {
			return nil, false
		}
		out := make(map[string]any, len(v))
		for k, x := range v {
			if x, keep := withoutDirectives(x); keep {
				out[k] = x
			}
		}
		return out, true
	case []any:
		out := make([]any, 0, len(v))
		for _, x := range v {
			if x, keep := withoutDirectives(x); keep {
				out = append(out, x)
			}
		}
		return out, true
	}
	return v, true
}

// keyOf is what an item is told apart by: itself, or the value of its merge key.
func keyOf(item any, mergeKey string) (any, error) {
	if m, ok := item.(map[string]any); ok {
		if mergeKey == "" {
			return nil, errMergeKey
		}
		v, ok := m[mergeKey]
		if !ok {
			return nil, errMergeKey
		}
		item = v
	} else if mergeKey != "" {
		return nil, errMixed
	}
	switch item.(type) {
	case string, bool, int64, float64:
		return item, nil
	}
	return nil, errMergeKey
}

// positions maps the key of each item to the place where it occurs first.
func positions(items []any, mergeKey string) (map[any]int, error) {
	at := make(map[any]int, len(items))
	for i, item := range items {
		k, err := keyOf(item, mergeKey)
		if err != nil {
			return nil, err
		}
		if _, ok := at[k]; !ok {
			at[k] = i
		}
	}
	return at, nil
}

func deletedFrom(old, gone []any) ([]any, error) {
	at, err := positions(gone, "")
	if err != nil {
		return nil, err
	}
	out := make([]any, 0, len(old))
	for _, v := range old {
		k, err := keyOf(v, "")
		if err != nil {
			return nil, err
		}
		if _, ok := at[k]; !ok {
			out = append(out, v)
		}
	}
	return out, nil
}

// mergeList merges a list of a patch into one of an object, by merge key or as sets, and
// puts the items of the patch in its order among those that only the object has.
func mergeList(old, patch []any, f *schema.Field) ([]any, error) {
	if len(old) == 0 && len(patch) == 0 {
		return old, nil
	}
	merged, base, order, err := mergeItems(old, patch, f)
	if err != nil {
		return nil, err
	}
	return arrange(merged, order, base, f.MergeKey)
}

// mergeItems returns the items of both lists, those of the old one without what the patch
// deletes, and those of the patch without directives.
func mergeItems(old, patch []any, f *schema.Field) (merged, base, order []any, err error) {
	if f.MergeKey == "" {
		seen := make(map[any]bool, len(old)+len(patch))
		for _, v := range slices.Concat(old, patch) {
			k, err := keyOf(v, "")
			if err != nil {
				return nil, nil, nil, err
			}
			if !seen[k] {
				seen[k] = true
				merged = append(merged, v)
			}
		}
		return merged, old, patch, nil
	}
	gone, replaces := map[any]bool{}, false
	for _, v := range patch {
		m := tree.Object(v)
		switch d, ok := m[directive]; {
		case m == nil:
			return nil, nil, nil, errMixed
		case !ok:
			order = append(order, v)
		case d == directiveDeletes:
			k, err := keyOf(v, f.MergeKey)
			if err != nil {
				return nil, nil, nil, err
			}
			gone[k] = true
		case d == directiveReplaces:
			replaces = true
		default:
			return nil, nil, nil, errDirective
		}
	}
	if replaces {
		return order, order, nil, nil
	}
	for _, v := range old {
		k, err := keyOf(v, f.MergeKey)
		if err != nil {
			return nil, nil, nil, err
		}
		if !gone[k] {
			base = append(base, v)
		}
	}
	merged, err = mergeByKey(base, order, f)
	return merged, base, order, err
}

func mergeByKey(base, patch []any, f *schema.Field) ([]any, error) {
	merged := slices.Clone(base)
	at, err := positions(merged, f.MergeKey)
	if err != nil {
		return nil, err
	}
	for _, v := range patch {
		k, err := keyOf(v, f.MergeKey)
		if err != nil {
			return nil, err
		}
		i, ok := at[k]
		if !ok {
			at[k] = len(merged)
			merged = append(merged, v)
			continue
		}
		if merged[i], err = strategicPatch(tree.Object(merged[i]), tree.Object(v), f.Type.Item); err != nil {
			return nil, err
		}
	}
	return merged, nil
}

// mergeOrdered merges the field name, for which the patch sets the order of items.
func mergeOrdered(out, patch map[string]any, name string, order any, t *schema.Type) error {
	f := strategicField(t, name)
	wanted, ok := order.([]any)
	if f == nil || !ok {
		return errDirective
	}
	old, inOld := out[name]
	change, inPatch := patch[name]
	oldList, isList := old.([]any)
	changeList, isChange := change.([]any)
	if inOld && !isList || inPatch && !isChange {
		return errDirective
	}
	var merged []any
	var err error
	switch {
	case inOld && inPatch && f.Merge:
		merged, err = mergeList(oldList, changeList, f)
	case inPatch:
		v, _ := withoutDirectives(change)
		merged = tree.List(v)
	case inOld:
		merged = oldList
	default:
		return nil
	}
	if err != nil {
		return err
	}
	if inPatch && !subsequence(changeList, wanted, f.MergeKey) {
		return errDirective
	}
	out[name], err = arrange(merged, wanted, oldList, f.MergeKey)
	return err
}

// subsequence tells whether the items of a patch stand in the order that it sets.
func subsequence(patch, order []any, mergeKey string) bool {
	if len(order) == 0 {
		return true
	}
	i := 0
	for _, v := range patch {
		if _, ok := tree.Object(v)[directive]; ok {
			continue
		}
		k, err := keyOf(v, mergeKey)
		for ; i < len(order); i++ {
			if o, e := keyOf(order[i], mergeKey); err == nil && e == nil && o == k {
				break
			}
		}
		if i == len(order) {
			return false
		}
		i++
	}
	return true
}

// arrange puts the items that order names in that order, and the others in that of base,
// where an item of base stands before those of order that base has after it.
func arrange(items, order, base []any, mergeKey string) ([]any, error) {
	inOrder, err := positions(order, mergeKey)
	if err != nil {
		return nil, err
	}
	inBase, err := positions(base, mergeKey)
	if err != nil {
		return nil, err
	}
	type keyed struct {
		key  any
		item any
	}
	var named, others []keyed
	for _, v := range items {
		k, err := keyOf(v, mergeKey)
		if err != nil {
			return nil, err
		}
		if _, ok := inOrder[k]; ok {
			named = append(named, keyed{k, v})
		} else if _, ok := inBase[k]; ok {
			others = append(others, keyed{k, v})
		} else {
			return nil, errOrder
		}
	}
	slices.SortStableFunc(named, func(a, b keyed) int { return inOrder[a.key] - inOrder[b.key] })
	slices.SortStableFunc(others, func(a, b keyed) int { return inBase[a.key] - inBase[b.key] })
	out := make([]any, 0, len(items))
	for len(named)+len(others) > 0 {
		takeOther := len(named) == 0
		if !takeOther && len(others) > 0 {
			at, known := inBase[named[0].key]
			takeOther = known && inBase[others[0].key] < at
		}
		if takeOther {
			out, others = append(out, others[0].item), others[1:]
		} else {
			out, named = append(out, named[0].item), named[1:]
		}
	}
	return out, nil
}
