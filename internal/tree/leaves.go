package tree

import (
	"maps"
	"slices"
	"strconv"

	"kubetrail/internal/schema"
)

// Leaves calls yield for every value of an object that holds no others, in the order of
// their names, with the path that Changes would give it. It leaves out what Canonical does.
func Leaves(o map[string]any, yield func(path string, v any)) {
	o = Canonical(o)
	leaves("", o, TypeOf(o), yield)
}

func leaves(path string, v any, t *schema.Type, yield func(path string, v any)) {
	switch x := v.(type) {
	case map[string]any:
		if len(x) > 0 {
			for _, k := range slices.Sorted(maps.Keys(x)) {
				leaves(join(path, k), x[k], memberType(t, path, k), yield)
			}
			return
		}
	case []any:
		if len(x) > 0 {
			names, ok := itemNames(x, t)
			for i, item := range x {
				name := strconv.Itoa(i)
				if ok {
					name = names[i]
				}
				leaves(path+"["+name+"]", item, itemType(t), yield)
			}
			return
		}
	}
	yield(path, v)
}
