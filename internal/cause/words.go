package cause

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kubetrail/internal/evidence"
	"kubetrail/internal/output"
	"kubetrail/internal/schema"
)

// Fact is one piece of evidence, or one reason, with what it is about.
type Fact = evidence.Fact

func fact(kind string, values ...string) Fact { return evidence.Of(kind, values...) }

// after is the fact that a link came so many microseconds after what caused it.
func after(us int64) Fact {
	return fact("after", strconv.FormatFloat(float64(us)/1e6, 'f', 3, 64))
}

// MarshalJSON adds the line of English words.
func (c Chain) MarshalJSON() ([]byte, error) {
	type plain Chain
	return json.Marshal(struct {
		plain
		Text string `json:"text"`
	}{plain(c), c.Words(false)})
}

// String names an object as people do: Pod shop/web-0.
func (o Object) String() string {
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	if name == "" {
		return o.kind()
	}
	return o.kind() + " " + name
}

func (o Object) kind() string {
	if r := schema.Find(o.Group, o.Resource); r != nil {
		return r.Kind
	}
	return o.Resource
}

func (k key) object() Object {
	return Object{Group: k.group, Resource: k.resource, Namespace: k.namespace, Name: k.name}
}

func (k key) String() string { return k.object().String() }

// did says what a request did, in short.
func (w *write) did() Fact {
	o := w.key.String()
	if w.key.name == "" && w.key.namespace != "" {
		o = fmt.Sprintf("%s %s/…", w.key.object().kind(), w.key.namespace)
	}
	switch {
	case w.sub == "eviction":
		return fact("evicted", o)
	case w.sub == "binding" && w.node != "":
		return fact("boundTo", o, w.node)
	case w.sub == "binding":
		return fact("bound", o)
	case w.sub == "scale" && w.replicas >= 0:
		return fact("scaledTo", o, strconv.FormatInt(w.replicas, 10))
	case w.sub == "scale":
		return fact("scaled", o)
	case w.verb == "deletecollection" && w.key.namespace != "" && w.has(selective):
		return fact("deletedSome", w.key.resource, w.key.namespace)
	case w.verb == "deletecollection" && w.key.namespace != "":
		return fact("deletedAllIn", w.key.resource, w.key.namespace)
	case w.verb == "deletecollection":
		return fact("deletedAll", w.key.resource)
	case w.verb == "delete":
		return fact("deleted", o)
	case w.sub != "" && w.verb == "create":
		return fact("createdSub", o, w.sub)
	case w.sub != "":
		return fact("changedSub", o, w.sub)
	case w.verb == "create":
		return fact("created", o)
	case w.flags&cordoned != 0:
		return fact("cordoned", o)
	}
	return fact("changed", o)
}

// Words says a chain in one line:
//
//	bob scaled Deployment shop/web to 2 → deployment-controller → replicaset-controller → deleted Pod shop/web-5d4f-x7k2p (certain: the owner reference names ReplicaSet web-5d4f with the same uid)
func (c *Chain) Words(chinese bool) string {
	if c.Why == nil && len(c.Links) == 0 {
		return ""
	}
	var b strings.Builder
	if len(c.Links) == 0 {
		return c.Why.Words(chinese)
	}
	if c.Root == nil {
		b.WriteString(pick(chinese, "未知 → ", "unknown → "))
	}
	for i := range c.Links {
		l := &c.Links[i]
		told := i == 0 && c.Root != nil || i == len(c.Links)-1
		if !told && c.Links[i+1].Actor == l.Actor {
			continue // one controller, step by step
		}
		if i > 0 {
			b.WriteString(" → ")
		}
		b.WriteString(l.Actor.words(chinese))
		if told {
			if !chinese || l.Actor.As == "" {
				b.WriteByte(' ')
			}
			b.WriteString(l.Did.Words(chinese))
		}
	}
	if len(c.Links) < 2 && c.Why == nil {
		return b.String()
	}
	open, colon, end, comma := " (", ": ", ")", "; "
	if chinese {
		open, colon, end, comma = "（", "：", "）", "；"
	}
	b.WriteString(open)
	b.WriteString(c.Strength.words(chinese))
	b.WriteString(colon)
	switch {
	case c.Why != nil:
		b.WriteString(c.Why.Words(chinese))
		for i, a := range c.Competing {
			b.WriteString(pick(i == 0, comma, pick(chinese, "、", ", ")))
			b.WriteString(a.words(chinese))
		}
	default:
		for i, f := range c.weakest() {
			b.WriteString(pick(i == 0, "", comma))
			b.WriteString(f.Words(chinese))
		}
	}
	b.WriteString(end)
	return b.String()
}

// weakest is the evidence of the last link that is no surer than the chain, without
// what is beside the point.
func (c *Chain) weakest() []Fact {
	for i := len(c.Links) - 1; i > 0; i-- {
		l := &c.Links[i]
		aside := func(f Fact) bool { return f.Kind == "after" || f.Kind == "policy" }
		if facts := slices.DeleteFunc(slices.Clone(l.Evidence), aside); len(facts) > 0 && l.Strength == c.Strength {
			return facts[:min(2, len(facts))]
		}
	}
	return []Fact{fact("only")}
}

func (s Strength) words(chinese bool) string {
	if !chinese {
		return string(s)
	}
	return map[Strength]string{Certain: "确定", Likely: "很可能", Unknown: "未知"}[s]
}

func (a Actor) words(chinese bool) string {
	name := output.Plain(a.Name, false)
	if a.As != "" {
		return name + pick(chinese, " 以 ", " as ") + output.Plain(a.As, false) + pick(chinese, " 的身份", "")
	}
	return name
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}
