package patches

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Copy returns an object that shares nothing with o.
func Copy(o Object) Object {
	if o == nil {
		return nil
	}
	text, err := json.Marshal(o)
	if err != nil {
		panic(err) // it was made of JSON
	}
	return Parse(text)
}

// Parse reads an object, numbers as they are written; nil if it is none.
func Parse(text []byte) Object {
	var o Object
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&o) != nil {
		return nil
	}
	return o
}

// Equal compares values as JSON.
func Equal(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// keys returns the names of both, in order.
func keys(a, b Object) []string {
	var all []string
	for k := range a {
		all = append(all, k)
	}
	for k := range b {
		if _, both := a[k]; !both {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	return all
}

// mergePatch says what makes b of a, as RFC 7386 does.
func mergePatch(a, b Object) Object {
	p := Object{}
	for _, k := range keys(a, b) {
		x, had := a[k]
		y, has := b[k]
		switch {
		case !has:
			p[k] = nil
		case had && Equal(x, y):
		default:
			p[k] = y
			if xo, ok := x.(Object); ok {
				if yo, ok := y.(Object); ok {
					p[k] = mergePatch(xo, yo)
				}
			}
		}
	}
	return p
}

// jsonPatch says it as RFC 6902 does.
func jsonPatch(r *rand.Rand, path string, a, b Object) (ops []any) {
	for _, k := range keys(a, b) {
		x, had := a[k]
		y, has := b[k]
		at := path + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(k)
		switch {
		case !has:
			ops = append(ops, op("remove", at))
		case !had:
			ops = append(ops, op("add", at, y))
		case !Equal(x, y):
			ops = append(ops, jsonChange(r, at, x, y)...)
		}
	}
	return ops
}

func op(what, path string, with ...any) any {
	o := Object{"op": what, "path": path}
	if len(with) > 0 {
		o["value"] = with[0]
	}
	return o
}

func jsonChange(r *rand.Rand, at string, x, y any) []any {
	if xo, ok := x.(Object); ok {
		if yo, ok := y.(Object); ok {
			return jsonPatch(r, at, xo, yo)
		}
	}
	xl, ok1 := x.([]any)
	yl, ok2 := y.([]any)
	switch {
	case !ok1 || !ok2 || r.IntN(5) == 0:
		return []any{op(pick(r, "replace", "replace", "add"), at, y)}
	case len(xl) == len(yl):
		var ops []any
		for i := range xl {
			if !Equal(xl[i], yl[i]) {
				ops = append(ops, jsonChange(r, fmt.Sprintf("%s/%d", at, i), xl[i], yl[i])...)
			}
		}
		return ops
	case len(xl)+1 == len(yl):
		i := 0
		for i < len(xl) && Equal(xl[i], yl[i]) {
			i++
		}
		if Equal(xl[i:], yl[i+1:]) || i == len(xl) {
			if i == len(xl) && r.IntN(3) > 0 {
				return []any{op("add", at+"/-", yl[i])}
			}
			return []any{op("add", fmt.Sprintf("%s/%d", at, i), yl[i])}
		}
	case len(xl) == len(yl)+1:
		i := 0
		for i < len(yl) && Equal(xl[i], yl[i]) {
			i++
		}
		if Equal(xl[i+1:], yl[i:]) {
			return []any{op("remove", fmt.Sprintf("%s/%d", at, i))}
		}
	}
	return []any{op("replace", at, y)}
}

// mergeKey is by what a strategic merge patch tells the items of a list apart; "" where
// it replaces the list, and "." where items are values that it adds.
func mergeKey(path []string) string {
	field, parent := path[len(path)-1], ""
	if len(path) > 1 {
		parent = path[len(path)-2]
	}
	switch field {
	case "imagePullSecrets":
		if parent != "" { // a ServiceAccount's are not merged
			return "name"
		}
	case "containers", "initContainers", "ephemeralContainers", "volumes", "env", "secrets", "webhooks", "matchConditions":
		return "name"
	case "volumeMounts":
		return "mountPath"
	case "hostAliases":
		return "ip"
	case "ownerReferences":
		return "uid"
	case "finalizers":
		if parent == "metadata" {
			return "."
		}
	case "conditions", "addresses":
		if parent == "status" {
			return "type"
		}
	case "topologySpreadConstraints":
		return "topologyKey"
	case "podIPs":
		return "ip"
	case "ports":
		if parent == "containers" || parent == "initContainers" {
			return "containerPort"
		}
		if len(path) == 2 && parent == "spec" {
			return "port"
		}
	}
	return ""
}

// mergesList tells whether a patch has a list that a strategic merge patch would merge.
func mergesList(path []string, o Object) bool {
	for k, v := range o {
		at := append(slices.Clone(path), k)
		switch v := v.(type) {
		case []any:
			if mergeKey(at) != "" {
				return true
			}
		case Object:
			if mergesList(at, v) {
				return true
			}
		}
	}
	return false
}

// strategicPatch says it as kubectl does, by merge keys.
func strategicPatch(r *rand.Rand, path []string, a, b Object) Object {
	p := Object{}
	for _, k := range keys(a, b) {
		x, had := a[k]
		y, has := b[k]
		if !has {
			p[k] = nil
			continue
		}
		if had && Equal(x, y) {
			continue
		}
		p[k] = y
		at := append(slices.Clone(path), k)
		xo, ok1 := x.(Object)
		yo, ok2 := y.(Object)
		xl, ok3 := x.([]any)
		yl, ok4 := y.([]any)
		switch {
		case ok1 && ok2:
			p[k] = strategicPatch(r, at, xo, yo)
			if k == "strategy" && r.IntN(2) == 0 {
				var names []any
				for name := range yo {
					names = append(names, name)
				}
				slices.SortFunc(names, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
				p[k].(Object)["$retainKeys"] = names
			}
		case ok3 && ok4 && mergeKey(at) == ".":
			strategicValues(p, k, xl, yl)
		case ok3 && ok4 && mergeKey(at) != "":
			strategicList(r, p, at, xl, yl)
		}
	}
	return p
}

func strategicValues(p Object, k string, a, b []any) {
	delete(p, k)
	missing := func(in, of []any) (out []any) {
		for _, x := range of {
			if !slices.ContainsFunc(in, func(y any) bool { return Equal(x, y) }) {
				out = append(out, x)
			}
		}
		return out
	}
	if gone := missing(b, a); gone != nil {
		p["$deleteFromPrimitiveList/"+k] = gone
	}
	if fresh := missing(a, b); fresh != nil {
		p[k] = fresh
	}
	p["$setElementOrder/"+k] = b
}

func strategicList(r *rand.Rand, p Object, path []string, a, b []any) {
	k, key := path[len(path)-1], mergeKey(path)
	find := func(in []any, like Object) Object {
		for _, x := range in {
			if o, ok := x.(Object); ok && Equal(o[key], like[key]) {
				return o
			}
		}
		return nil
	}
	items, order := []any{}, []any{}
	for _, x := range b {
		o, ok := x.(Object)
		if !ok || o[key] == nil {
			return // the whole list, then
		}
		order = append(order, Object{key: o[key]})
		old := find(a, o)
		if old == nil {
			items = append(items, o)
			continue
		}
		if d := strategicPatch(r, path, old, o); len(d) > 0 {
			d[key] = o[key]
			items = append(items, d)
		}
	}
	for _, x := range a {
		if o, ok := x.(Object); ok && o[key] != nil && find(b, o) == nil {
			items = append(items, Object{"$patch": "delete", key: o[key]})
		}
	}
	delete(p, k)
	if len(items) > 0 {
		p[k] = items
	}
	if r.IntN(12) > 0 { // client-go always says it, people who write patches do not
		p["$setElementOrder/"+k] = order
	}
}
