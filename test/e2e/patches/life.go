package patches

import (
	"encoding/json"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
)

// The four kinds of patch.
const (
	JSONPatch  = "application/json-patch+json"
	MergePatch = "application/merge-patch+json"
	Strategic  = "application/strategic-merge-patch+json"
	Apply      = "application/apply-patch+yaml"
)

// Patch is one to be sent.
type Patch struct {
	Category    string
	Subresource string
	ContentType string
	Query       string
	UserAgent   string
	Refused     bool // to be sent by somebody who may not
	Body        []byte

	manager string // of Apply
	config  Object
}

// Life makes up the patches of one object.
type Life struct {
	Kind            *Kind
	Namespace, Name string

	r       *rand.Rand
	applied map[string]Object // by manager: what it applied last
	edits   []edit
}

// NewLife begins the life of an object that will be named so.
func NewLife(k *Kind, namespace, name string, seed uint64) *Life {
	l := &Life{Kind: k, Namespace: namespace, Name: name, r: rand.New(rand.NewPCG(seed, 5)), applied: map[string]Object{}}
	if k.pod == nil {
		l.edits = append(share(40, metaEdits()), share(60, k.edits)...)
		return l
	}
	var inside []edit
	for _, e := range containerEdits() {
		e = at(k.pod, e)
		if k.Kind == "Pod" && e.category != "image" && e.category != "tolerations" {
			e.weight = min(e.weight, 1) // nearly all else is refused
		}
		inside = append(inside, e)
	}
	l.edits = append(append(share(30, metaEdits()), share(30, k.edits)...), share(40, inside)...)
	return l
}

// CreateByApply returns a patch that creates the object.
func (l *Life) CreateByApply() Patch {
	o := l.Create()
	delete(o["metadata"].(Object), "namespace")
	return Patch{Category: "creation by apply", ContentType: Apply, Query: "fieldManager=argocd&force=true", UserAgent: "argocd-controller/v3.1",
		Body: encode(o), manager: "argocd", config: o}
}

// share gives edits weights that add up to about 1,000 times a percentage.
func share(percent int, all []edit) []edit {
	sum := 0
	for _, e := range all {
		sum += e.weight
	}
	all = slices.Clone(all)
	for i := range all {
		all[i].weight = all[i].weight * percent * 1000 / sum
	}
	return all
}

// Create returns the object to be created.
func (l *Life) Create() Object { return l.Kind.New(l.r, l.Namespace, l.Name) }

// choose makes something else of an object, in one to three ways.
func choose(r *rand.Rand, edits []edit, o Object) (Object, string) {
	sum := 0
	for _, e := range edits {
		sum += e.weight
	}
	lightest := 0
	o, category := Copy(o), ""
	for range pick(r, 1, 1, 1, 1, 1, 2, 3) {
		for range 20 {
			n := r.IntN(sum)
			i := 0
			for n >= edits[i].weight {
				n -= edits[i].weight
				i++
			}
			if next := Copy(o); edits[i].do(r, next) {
				// The category is that of the rarest.
				if category == "" || edits[i].weight < lightest {
					category, lightest = edits[i].category, edits[i].weight
				}
				o = next
				break
			}
		}
	}
	return Copy(o), category
}

// Next returns a patch to an object that is like this now.
func (l *Life) Next(now Object) Patch {
	r := l.r
	n := r.IntN(100)
	switch {
	case n < 8 && l.Kind.scale:
		return l.finish(l.scale(now))
	case n < 18 && l.Kind.status != nil:
		return l.finish(l.statusPatch(now))
	case n < 26:
		return l.finish(l.nasty(now))
	case n < 44:
		return l.finish(l.apply(now))
	}
	want, category := choose(r, l.edits, now)
	return l.finish(l.express(now, want, category))
}

// express says what is wanted by one of three kinds of patch.
func (l *Life) express(now, want Object, category string) Patch {
	r := l.r
	p := Patch{Category: category}
	var body any
	n := r.IntN(10)
	if l.Kind.custom && r.IntN(12) > 0 {
		n = 5 + r.IntN(5)
	}
	switch {
	case n < 5:
		p.ContentType, body = Strategic, strategicPatch(r, nil, now, want)
	case n < 8:
		m := mergePatch(now, want)
		if !l.Kind.custom && mergesList(nil, m) && r.IntN(3) > 0 {
			// Tools that know merge keys use them; operators replace the list.
			p.ContentType, body = Strategic, strategicPatch(r, nil, now, want)
			break
		}
		p.ContentType, body = MergePatch, m
		l.redundant(m, now)
	default:
		ops := jsonPatch(r, "", now, want)
		if r.IntN(4) == 0 {
			ops = slices.Insert(ops, 0, op("test", "/metadata/name", l.Name))
		}
		if ops == nil {
			ops = []any{}
		}
		p.ContentType, body = JSONPatch, ops
	}
	p.Body = encode(body)
	return p
}

// redundant adds to a merge patch what tools add that send too much.
func (l *Life) redundant(m Object, now Object) {
	r := l.r
	if r.IntN(5) == 0 {
		m["apiVersion"], m["kind"] = l.Kind.APIVersion(), l.Kind.Kind
	}
	if r.IntN(12) == 0 {
		under(m, []string{"metadata"})["creationTimestamp"] = nil
	}
	if meta, ok := now["metadata"].(Object); ok && r.IntN(12) == 0 {
		in := under(m, []string{"metadata"})
		in["resourceVersion"], in["uid"] = meta["resourceVersion"], meta["uid"]
	}
}

func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // it was made of JSON
	}
	return text
}

// finish gives a patch all that does not depend on what it is.
func (l *Life) finish(p Patch) Patch {
	r := l.r
	q := url.Values{}
	if p.Query != "" {
		q, _ = url.ParseQuery(p.Query) // ours
	}
	switch n := r.IntN(100); {
	case n < 4:
		q.Set("dryRun", "All")
		p.Category = "dry run"
	case n < 6:
		p.Refused = true
		p.Category = "forbidden"
	}
	agent := pick(r, "kubectl/v1.36.3 (linux/amd64) kubernetes/e2e", "web-operator/v0.0.0 (linux/amd64) kubernetes/$Format", "curl/8.5.0",
		"Helm/3.19.0", "argocd-controller/v3.1", "python-requests/2.32")
	p.UserAgent = agent
	if p.ContentType != Apply {
		switch {
		case strings.HasPrefix(agent, "kubectl"):
			q.Set("fieldManager", pick(r, "kubectl-client-side-apply", "kubectl-edit", "kubectl-patch", "kubectl-set"))
		case r.IntN(4) == 0:
			q.Set("fieldManager", "operator")
		}
	}
	if r.IntN(4) == 0 {
		q.Set("fieldValidation", pick(r, "Strict", "Warn", "Ignore"))
	}
	p.Query = q.Encode()
	return p
}

func (l *Life) scale(now Object) Patch {
	p := Patch{Category: "scale", Subresource: "scale"}
	n := pick(l.r, 0, 1, 3, 7, -1)
	switch l.r.IntN(5) {
	case 0:
		p.ContentType, p.Body = JSONPatch, encode([]any{op("replace", "/spec/replicas", n)})
	case 1:
		p.ContentType, p.Query = Apply, "fieldManager=scaler&force=true"
		p.Body = encode(Object{"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": Object{"name": l.Name}, "spec": Object{"replicas": n}})
	case 2:
		if !l.Kind.custom {
			p.ContentType, p.Body = Strategic, encode(Object{"spec": Object{"replicas": n}})
			break
		}
		fallthrough
	default:
		p.ContentType, p.Body = MergePatch, encode(Object{"spec": Object{"replicas": n}})
	}
	_ = now
	return p
}

func (l *Life) statusPatch(now Object) Patch {
	r := l.r
	edits := l.Kind.status
	if r.IntN(8) == 0 { // more than the subresource lets through
		edits = append(slices.Clone(edits), metaEdits()[0], metaEdits()[1])
		edits = append(edits, l.Kind.edits[0])
	}
	want, _ := choose(r, edits, now)
	if r.IntN(6) == 0 {
		return Patch{Category: "status by apply", Subresource: "status", ContentType: Apply, Query: "fieldManager=controller&force=true",
			Body: encode(Object{"apiVersion": l.Kind.APIVersion(), "kind": l.Kind.Kind, "metadata": Object{"name": l.Name}, "status": mergePatch(Object{}, part(want["status"]))})}
	}
	p := l.express(now, want, "status")
	if r.IntN(10) == 0 {
		p.Category = "status through the object" // which has no effect where there is the subresource
		return p
	}
	p.Subresource = "status"
	return p
}

func part(v any) Object {
	o, _ := v.(Object)
	return o
}

// Done tells what became of a patch.
func (l *Life) Done(p Patch, status int) {
	if p.config != nil && status/100 == 2 && !strings.Contains(p.Query, "dryRun") {
		l.applied[p.manager] = p.config
	}
}

// apply makes a configuration of one of two managers: what it applied before, changed.
func (l *Life) apply(now Object) Patch {
	r := l.r
	p := Patch{ContentType: Apply, manager: pick(r, "argocd", "argocd", "argocd", "flux")}
	before := l.applied[p.manager]
	if before == nil {
		p.config, p.Category = l.begin(now), "apply, the first time"
	} else {
		want, category := choose(r, l.edits, before)
		p.config, p.Category = want, "apply "+category
		if r.IntN(4) == 0 {
			drop(r, p.config, 2)
			p.Category = "apply that drops fields"
		}
	}
	p.config["apiVersion"], p.config["kind"] = l.Kind.APIVersion(), l.Kind.Kind
	meta := under(p.config, []string{"metadata"})
	if meta == nil {
		meta = Object{}
		p.config["metadata"] = meta
	}
	meta["name"] = l.Name
	if l.Namespace != "" && r.IntN(2) == 0 {
		meta["namespace"] = l.Namespace
	}
	q := url.Values{"fieldManager": {p.manager}}
	// kubectl and client-go always say it, whatever it is.
	if n := r.IntN(10); n < 6 {
		q.Set("force", "true")
	} else if n < 9 {
		q.Set("force", "false")
	}
	p.Query, p.Body = q.Encode(), encode(p.config)
	return p
}

// begin takes over some of an object as what a manager wants.
func (l *Life) begin(now Object) Object {
	r := l.r
	config := Object{}
	want, _ := choose(r, l.edits, now)
	if meta := part(want["metadata"]); meta != nil {
		kept := Object{}
		for _, k := range []string{"labels", "annotations"} {
			if r.IntN(2) == 0 && meta[k] != nil {
				kept[k] = meta[k]
			}
		}
		config["metadata"] = kept
	}
	if r.IntN(8) == 0 {
		return config
	}
	for k, v := range want {
		if k != "metadata" && k != "status" && k != "apiVersion" && k != "kind" {
			config[k] = v
		}
	}
	config = Copy(config)
	if r.IntN(2) == 0 {
		drop(r, config, 3)
	}
	return config
}

// drop removes some fields, at most so many.
func drop(r *rand.Rand, o Object, n int) {
	for range 1 + r.IntN(n) {
		at := o
		for {
			var names []string
			for k := range at {
				if k != "apiVersion" && k != "kind" && k != "name" {
					names = append(names, k)
				}
			}
			if len(names) == 0 {
				break
			}
			slices.Sort(names)
			k := pick(r, names...)
			next := part(at[k])
			if list, ok := at[k].([]any); ok && len(list) > 0 && r.IntN(2) == 0 {
				i := r.IntN(len(list))
				if next = part(list[i]); next == nil || r.IntN(3) == 0 {
					at[k] = slices.Delete(slices.Clone(list), i, i+1)
					break
				}
			}
			if len(next) == 0 || r.IntN(4) == 0 && k != "metadata" {
				delete(at, k)
				break
			}
			at = next
		}
	}
}
