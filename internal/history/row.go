package history

import (
	"slices"
	"strconv"

	"kubetrail/audit"
	"kubetrail/internal/cause"
	"kubetrail/internal/output"
	"kubetrail/internal/stored"
	"kubetrail/internal/subject"
	"kubetrail/internal/tree"
)

// Certainty says how sure it is what an object was after a request, and what changed.
type Certainty string

const (
	// Exact: the API server's own answer was recorded, or all that it takes to work it
	// out: the object is that which was stored.
	Exact Certainty = "exact"
	// Derived: worked out from the request and what is known of the object before. What
	// the API server set itself may be missing, or a change be another request's.
	Derived Certainty = "derived"
	// Unsure: what was recorded does not tell.
	Unsure Certainty = "unknown"
)

// Chinese returns the word for people who read Chinese.
func (c Certainty) Chinese() string {
	switch c {
	case Exact:
		return "精确"
	case Derived:
		return "推导"
	case Unsure:
		return "未知"
	}
	return ""
}

// weaker returns the less sure of two.
func weaker(a, b Certainty) Certainty {
	if a == Unsure || b == Unsure {
		return Unsure
	}
	if a == Derived || b == Derived {
		return Derived
	}
	return a
}

// words are a text for people in both languages. What it holds of a log is safe to print.
type words struct{ en, zh string }

func (w words) in(p *output.Page) string { return p.Pick(w.en, w.zh) }

// Change is one difference between two versions: see tree.Change. The operation set
// stands where the value before is not known.
type Change struct {
	Path string `json:"path"`
	Op   string `json:"op"`
	Old  any    `json:"old,omitempty"`
	New  any    `json:"new,omitempty"`
}

// Row is one request in the life of an object, and what became of the object by it.
type Row struct {
	Version     string          `json:"version,omitempty"` // metadata.resourceVersion, where it is known
	Generation  int64           `json:"generation,omitempty"`
	Life        int             `json:"life"` // 1 for the first object of that name, 2 for the next
	Event       output.EventRef `json:"event"`
	User        string          `json:"user"`
	As          string          `json:"as,omitempty"`
	Tool        string          `json:"tool,omitempty"`
	Verb        string          `json:"verb"`
	Subresource string          `json:"subresource,omitempty"`
	Code        int32           `json:"code,omitempty"`
	Class       Class           `json:"class"`
	Certainty   Certainty       `json:"certainty,omitempty"`
	Reason      string          `json:"reason,omitempty"` // why it is no more certain
	Changes     []Change        `json:"changes"`
	More        int             `json:"moreChanges,omitempty"`
	Did         string          `json:"did,omitempty"`     // in short
	Removed     bool            `json:"removed,omitempty"` // by this the object was gone
	Object      any             `json:"object,omitempty"`  // after it
	Missing     []string        `json:"missing,omitempty"` // fields that it has and that no answer of the API server tells
	Diff        string          `json:"diff,omitempty"`
	Through     *cause.Chain    `json:"through,omitempty"` // where somebody else was behind it

	told
}

// told is what a row has for people, and how it came about.
type told struct {
	why, did words
	root     string // who was behind it
	same     bool   // it showed the version that was there
	created  bool
}

// MarshalText gives JSON the name of a class.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// rowOf is what an event tells without its bodies.
func rowOf(e *audit.Event, class Class) *Row {
	tool, _ := subject.Tool(string(e.Text[audit.UserAgent]))
	return &Row{Event: output.Ref(e), User: string(e.Text[audit.Username]), As: string(e.Text[audit.ImpersonatedUsername]), Tool: tool,
		Verb: string(e.Text[audit.Verb]), Subresource: string(e.Text[audit.Subresource]), Code: e.Code, Class: class, Changes: []Change{}}
}

// say sets why a row is no more certain, and makes it less so.
func (r *Row) say(c Certainty, en, zh string) {
	if r.Certainty == "" {
		r.Certainty = c
	}
	r.Certainty = weaker(r.Certainty, c)
	if r.why.en != "" {
		en, zh = r.why.en+"; "+en, r.why.zh+"；"+zh
	}
	r.why = words{en, zh}
	r.Reason = en
}

// tell sets what was done, in short.
func (r *Row) tell(en, zh string) {
	r.did = words{en, zh}
	r.Did = en
}

// maxChanges is how many changes of one version are told; others are counted.
const maxChanges = 1000

// change takes over what differs between two versions, without the generation, which has a
// place of its own, and without what is missing in one of them. Requests on an object do
// not change its status, where that is a subresource: such a difference comes from a
// request that was not looked at.
func (r *Row) change(before, after version, status bool) {
	missing := append(before.missing(), after.missing()...)
	for _, c := range tree.Changes(before.object, after.object) {
		switch {
		case c.Path == "metadata.generation", slices.Contains(missing, c.Path):
		case !status && inStatus(c.Path):
		case len(r.Changes) >= maxChanges:
			r.More++
		default:
			r.Changes = append(r.Changes, Change{c.Path, string(c.Op), c.Old, c.New})
		}
	}
}

// missing are the fields of a version that no answer of the API server tells.
func (v version) missing() []string {
	if v.object == nil || !v.rebuilt {
		return nil
	}
	return stored.Missing(v.object)
}

func inStatus(path string) bool {
	return path == "status" || len(path) > 6 && path[:6] == "status" && (path[6] == '.' || path[6] == '[')
}

// actor is who sent it, and for whom.
func (r *Row) actor() string {
	if r.As != "" {
		return r.User + "->" + r.As
	}
	return r.User
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}
