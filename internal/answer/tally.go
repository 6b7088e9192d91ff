package answer

import (
	"cmp"
	"slices"

	"kubetrail/audit"
	"kubetrail/internal/output"
)

// A span is how often something was seen, and when first and last.
type span struct {
	Count int    `json:"count"`
	First string `json:"first,omitempty"` // RFC 3339
	Last  string `json:"last,omitempty"`

	first, last int64 // of Event.Time, audit.NoTime where nothing had one
}

// note counts something seen at a time.
func (s *span) note(at int64) {
	if s.Count++; s.Count == 1 {
		s.first, s.last = at, at
		return
	}
	if at != audit.NoTime {
		s.last = max(s.last, at)
		if s.first == audit.NoTime || at < s.first {
			s.first = at
		}
	}
}

// join adds what was counted of the same elsewhere.
func (s *span) join(x span) {
	if s.Count == 0 || x.Count == 0 {
		if s.Count == 0 {
			*s = x
		}
		return
	}
	n := s.Count + x.Count
	s.note(x.first)
	s.note(x.last)
	s.Count = n
}

// written sets the times that JSON shows.
func (s *span) written() { s.First, s.Last = output.RFC3339(s.first), output.RFC3339(s.last) }

// A tally counts by key, as many keys as it has room for.
type tally[K comparable] struct {
	room  int
	spans map[K]*span
	more  int // how often something was seen that there was no room for
	last  K   // the same often comes again at once
	then  *span
}

func newTally[K comparable](room int) *tally[K] {
	return &tally[K]{room: room, spans: map[K]*span{}}
}

func (t *tally[K]) note(key K, at int64) {
	if t.then != nil && t.last == key {
		t.then.note(at)
		return
	}
	s := t.spans[key]
	if s == nil {
		if len(t.spans) >= t.room {
			t.more++
			return
		}
		s = &span{}
		t.spans[key] = s
	}
	t.last, t.then = key, s
	s.note(at)
}

// add counts what was counted of the key elsewhere.
func (t *tally[K]) add(key K, x span) {
	if s := t.spans[key]; s != nil {
		s.join(x)
	} else if len(t.spans) < t.room {
		t.spans[key] = &x
	} else {
		t.more += x.Count
	}
}

// keys are the keys, what was seen most first.
func (t *tally[K]) keys(compare func(a, b K) int) []K {
	var all []K
	for k, s := range t.spans {
		s.written()
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b K) int {
		return cmp.Or(cmp.Compare(t.spans[b].Count, t.spans[a].Count), compare(a, b))
	})
	return all
}

// refsKept is how many events an answer names for one of its rows: the first ones, and
// the last.
const refsKept = 5

// refs are the events that a row was made of, the first of them in the order of time.
type refs struct{ kept []placed }

// placed is an event and its place in time.
type placed struct {
	at  int64
	ref output.EventRef
}

func (p placed) compare(q placed) int {
	return cmp.Or(cmp.Compare(p.at, q.at), cmp.Compare(p.ref.Seq, q.ref.Seq))
}

// note keeps e if it is among the first. It needs [output.RefColumns].
func (r *refs) note(e *audit.Event) {
	at := e.Time()
	if n := len(r.kept); n == refsKept && (at > r.kept[n-1].at || at == r.kept[n-1].at && e.Seq > r.kept[n-1].ref.Seq) {
		return
	}
	r.add(placed{at, output.Ref(e)})
}

func (r *refs) add(p placed) {
	i, _ := slices.BinarySearchFunc(r.kept, p, placed.compare)
	r.kept = slices.Insert(r.kept, i, p)
	r.kept = r.kept[:min(len(r.kept), refsKept)]
}

func (r *refs) list() []output.EventRef {
	out := make([]output.EventRef, len(r.kept))
	for i, p := range r.kept {
		out[i] = p.ref
	}
	return out
}

// A memo remembers what was worked out of a text, up to so many texts; then it begins
// anew.
type memo[V any] struct {
	made map[string]V
	work func(string) V
	last string // the same text often comes again at once
	then V
}

const memoized = 4096

func (m *memo[V]) of(text []byte) V {
	if m.made != nil && m.last == string(text) {
		return m.then
	}
	v := m.find(text)
	m.last, m.then = string(text), v
	return v
}

func (m *memo[V]) find(text []byte) V {
	if v, ok := m.made[string(text)]; ok {
		return v
	}
	if m.made == nil || len(m.made) >= memoized {
		m.made = map[string]V{}
	}
	v := m.work(string(text))
	m.made[string(text)] = v
	return v
}

// Names that a row holds: the first in the alphabet it spells out, up to seenKept it
// tells apart.
const (
	namesKept = 100
	seenKept  = 1000
)

// names are different names, and how many there are.
type names struct {
	first []string // in the order of the alphabet
	seen  map[uint64]struct{}
	full  bool // there are more than are told apart
}

func (n *names) note(name []byte) {
	h := uint64(14695981039346656037) // FNV-1a
	for _, c := range name {
		h = (h ^ uint64(c)) * 1099511628211
	}
	if _, ok := n.seen[h]; ok {
		return
	}
	if len(n.seen) == seenKept {
		n.full = true
		return
	}
	if n.seen == nil {
		n.seen = map[uint64]struct{}{}
	}
	n.seen[h] = struct{}{}
	if len(n.first) == namesKept && string(name) > n.first[namesKept-1] {
		return
	}
	s := string(name)
	i, _ := slices.BinarySearch(n.first, s)
	n.first = slices.Insert(n.first, i, s)
	n.first = n.first[:min(len(n.first), namesKept)]
}
