package answer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"kubetrail/internal/output"
)

// Consequence is one write by a controller, because of a change.
type Consequence struct {
	Event    output.EventRef `json:"event"`
	By       string          `json:"by"`
	Verb     string          `json:"verb"`
	Resource string          `json:"resource"`
	Object   string          `json:"object"`
	Strength string          `json:"strength"` // certain or likely
}

// consequencesKept is how many consequences a row spells out in JSON; all are counted.
const consequencesKept = 50

// followKey is what consequences are counted by.
type followKey struct{ verb, group, resource, sub string }

// follow is consequences of one kind.
type follow struct{ count int }

// caused adds the consequences of x.
func (d *Change) caused(x *Change) {
	d.ConsequenceCount += x.ConsequenceCount
	room := consequencesKept - len(d.Consequences)
	d.Consequences = append(d.Consequences, x.Consequences[:min(room, len(x.Consequences))]...)
	for k, f := range x.follows {
		if d.follows == nil {
			d.follows = map[followKey]*follow{}
		}
		if d.follows[k] == nil {
			d.follows[k] = &follow{}
		}
		d.follows[k].count += f.count
	}
}

// consequences tells what a change led to, in few words.
func (d *Change) consequences(chinese bool) string {
	if len(d.follows) == 0 {
		return ""
	}
	keys := make([]followKey, 0, len(d.follows))
	for k := range d.follows {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b followKey) int {
		return cmp.Or(cmp.Compare(d.follows[b].count, d.follows[a].count), cmp.Compare(a.resource, b.resource), cmp.Compare(a.verb, b.verb), cmp.Compare(a.sub, b.sub))
	})
	var parts []string
	for _, k := range keys {
		x := deed{verb: k.verb, group: k.group, resource: k.resource, sub: k.sub, namespace: "-", code: 200, unnamed: true}
		kind, _ := kindOf(k.group, k.resource)
		n, often := d.follows[k].count, ""
		switch {
		case n == 1:
		case k.sub == "" && (k.verb == "create" || k.verb == "delete"): // an object once
			kind = either(chinese, fmt.Sprintf("%d 个 %s", n, kind), fmt.Sprintf("%d %s", n, plural(kind)))
		default:
			kind, often = either(chinese, kind, plural(kind)), either(chinese, fmt.Sprintf(" %d 次", n), fmt.Sprintf(" %d times", n))
		}
		w := wordingOf(x.verb, x.resource, x.sub)
		parts = append(parts, fill(either(chinese, w.zh, w.past), kind)+often)
	}
	return either(chinese, "，随后控制器：", "; controllers then ") + strings.Join(parts, either(chinese, "，", ", "))
}
