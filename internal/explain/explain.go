// Package explain says in one plain sentence, English or Chinese, what an audit event
// tells: who did what to which object, what came of it and why, from where and with which
// program.
//
// The sentence is made by a grammar. A subject (who.go) is followed by the action in the
// form that the outcome asks for (lexicon.go, pattern.go, slot.go), its object
// (object.go), what went wrong (cause.go), why it was allowed, and where it came from
// (origin.go). What the event does not say is left out, never guessed. All text out of the
// log is bounded and, where it could be taken for words of the sentence, quoted (text.go).
package explain

import (
	"kubetrail/audit"
	requests "kubetrail/internal/request"
	"kubetrail/internal/trail"
)

// Columns is what an Explainer looks at but for bodies: without them a sentence has no
// names made of generateName, no replicas, and no questions of access reviews.
var Columns = audit.Set(audit.Stage, audit.Verb, audit.RequestURI, audit.UserAgent, audit.Username, audit.UserGroups,
	audit.ImpersonatedUsername, audit.ImpersonatedUID, audit.ImpersonatedGroups, audit.SourceIPs, audit.Resource,
	audit.Namespace, audit.Name, audit.APIGroup, audit.Subresource, audit.Message, audit.StatusReason,
	audit.Decision, audit.Reason, audit.Annotations, audit.Staged, audit.Received, audit.Code)

// WithBodies is Columns and the bodies, of which the first 16 KiB are looked at.
var WithBodies = Columns | audit.Set(audit.RequestObject, audit.ResponseObject)

// Config tells how an Explainer speaks.
type Config struct {
	Chinese bool
}

// An Explainer says sentences. It remembers names that it met, a bounded number of them,
// and is not safe for concurrent use.
type Explainer struct {
	writer
	patterns map[*entry]pattern
	things   memo[*thing]
	subjects memo[string]
	tools    memo[string]
	reasons  memo[string]
	scratch  []byte
	key      []byte
	r        request
}

// New returns an Explainer.
func New(cfg Config) *Explainer {
	x := &Explainer{writer: writer{zh: cfg.Chinese}, patterns: map[*entry]pattern{}}
	for _, all := range [...][]entry{lexicon[:], paths[:]} {
		for i := range all {
			x.patterns[&all[i]] = compile(x.pick(all[i].en, all[i].zh))
		}
	}
	return x
}

// Append appends one or more short sentences about e, without a newline. Whatever e
// holds, they are safe to show on a terminal and not longer than a few lines.
func (x *Explainer) Append(b []byte, e *audit.Event) []byte {
	if l, ok := trail.ReportedLoss(e); ok {
		return x.appendLoss(b, l)
	}
	r := &x.r
	r.read(e)
	r.thing = x.thing(r)
	x.b, x.named = b, false
	x.who(r)
	x.act(r)
	x.outcome(r)
	x.why(r)
	x.notes(r)
	x.origin(r)
	b = x.b
	x.b, x.r = nil, request{}
	return b
}

// thing returns what the request is about, with what can be done to it.
func (x *Explainer) thing(r *request) *thing {
	k := append(append(append(append(append(append(append(x.key[:0], r.verb...), 0), r.group...), 0), r.resource...), 0), r.sub...)
	if len(r.resource) == 0 {
		k = append(append(append(k[:0], r.verb...), 1), r.path...)
	}
	x.key = k
	if t, ok := x.things.get(k); ok {
		return t
	}
	t := &thing{}
	if len(r.resource) == 0 {
		t.acts = x.actsOnPath(string(r.verb), string(r.path))
	} else {
		t = thingOf(string(r.group), string(r.resource))
		t.acts = x.actsOn(string(r.verb), string(r.group), string(r.resource), string(r.sub))
	}
	x.things.put(k, t)
	return t
}

// mood appends what stands between the subject and what it does: asks tells that this is
// to ask for something.
func (x *Explainer) mood(r *request, asking bool) {
	switch r.mood {
	case done:
		x.say(" ", "")
	case tried:
		x.say(" tried to ", "尝试")
	case asks:
		x.say(pick(asking, " wants to ", " asks to "), pick(asking, "发出请求", "请求"))
	case begun:
		x.say(" has begun to ", "已开始")
	case unknown:
		x.say(pick(asking, " wanted to ", " asked to "), pick(asking, "发出请求", "请求"))
	}
}

// act appends the verb with what belongs to it.
func (x *Explainer) act(r *request) {
	for i := range r.thing.acts {
		if a := &r.thing.acts[i]; x.knows(a.needs, r) {
			x.mood(r, a.asking)
			x.render(a.pattern, r)
			break
		}
	}
	if dry, sure := requests.DryRun(r.Event); dry {
		if !sure {
			x.say(" perhaps as a dry run: its options are not recorded", "（可能仅试运行：删除选项未被记录）")
		} else if r.mood == done {
			x.say(" as a dry run, which changes nothing", "（仅试运行，未作任何改动）")
		} else {
			x.say(" as a dry run", "（仅试运行）")
		}
	}
}

// memo remembers a bounded number of values by short keys.
type memo[V any] struct{ m map[string]V }

const (
	memoSize   = 4096
	memoKeyMax = 512
)

func (m *memo[V]) get(key []byte) (V, bool) {
	v, ok := m.m[string(key)]
	return v, ok
}

func (m *memo[V]) put(key []byte, v V) {
	if len(key) > memoKeyMax {
		return
	}
	if m.m == nil || len(m.m) >= memoSize {
		m.m = map[string]V{}
	}
	m.m[string(key)] = v
}
