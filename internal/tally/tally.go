package tally

import (
	"cmp"
	"slices"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/subject"
)

// A Span is how often something was seen, and when first and last.
type Span struct {
	Count int    `json:"count"`
	First string `json:"first,omitempty"` // RFC 3339
	Last  string `json:"last,omitempty"`

	From, To int64 `json:"-"` // of Event.Time, audit.NoTime where nothing had one
}

// Note counts something seen at a time.
func (s *Span) Note(at int64) {
	if s.Count++; s.Count == 1 {
		s.From, s.To = at, at
		return
	}
	if at != audit.NoTime {
		s.To = max(s.To, at)
		if s.From == audit.NoTime || at < s.From {
			s.From = at
		}
	}
}

// Join adds what was counted of the same elsewhere.
func (s *Span) Join(x Span) {
	if s.Count == 0 || x.Count == 0 {
		if s.Count == 0 {
			*s = x
		}
		return
	}
	n := s.Count + x.Count
	s.Note(x.From)
	s.Note(x.To)
	s.Count = n
}

// Written sets the times that JSON shows.
func (s *Span) Written() { s.First, s.Last = output.RFC3339(s.From), output.RFC3339(s.To) }

// By counts by key, as many keys as it has room for.
type By[K comparable] struct {
	room  int
	Spans map[K]*Span
	More  int // how often something was seen that there was no room for
	last  K   // the same often comes again at once
	then  *Span
}

// New returns a tally with room for so many keys.
func New[K comparable](room int) *By[K] {
	return &By[K]{room: room, Spans: map[K]*Span{}}
}

// Note counts the key once more.
func (t *By[K]) Note(key K, at int64) {
	if t.then != nil && t.last == key {
		t.then.Note(at)
		return
	}
	s := t.Spans[key]
	if s == nil {
		if len(t.Spans) >= t.room {
			t.More++
			return
		}
		s = &Span{}
		t.Spans[key] = s
	}
	t.last, t.then = key, s
	s.Note(at)
}

// Add counts what was counted of the key elsewhere.
func (t *By[K]) Add(key K, x Span) {
	if s := t.Spans[key]; s != nil {
		s.Join(x)
	} else if len(t.Spans) < t.room {
		t.Spans[key] = &x
	} else {
		t.More += x.Count
	}
}

// Keys are the keys, what was seen most first.
func (t *By[K]) Keys(compare func(a, b K) int) []K {
	var all []K
	for k, s := range t.Spans {
		s.Written()
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b K) int {
		return cmp.Or(cmp.Compare(t.Spans[b].Count, t.Spans[a].Count), compare(a, b))
	})
	return all
}

// refsKept is how many events an answer names for one of its rows: the first ones, and
// the last.
const refsKept = 5

// Refs are the events that a row was made of, the first of them in the order of time.
type Refs struct{ kept []placed }

// placed is an event and its place in time.
type placed struct {
	at  int64
	ref output.EventRef
}

func (p placed) compare(q placed) int {
	return cmp.Or(cmp.Compare(p.at, q.at), cmp.Compare(p.ref.Seq, q.ref.Seq))
}

// Note keeps e if it is among the first. It needs [output.RefColumns].
func (r *Refs) Note(e *audit.Event) {
	at := e.Time()
	if n := len(r.kept); n == refsKept && (at > r.kept[n-1].at || at == r.kept[n-1].at && e.Seq > r.kept[n-1].ref.Seq) {
		return
	}
	r.add(placed{at, output.Ref(e)})
}

func (r *Refs) add(p placed) {
	i, _ := slices.BinarySearchFunc(r.kept, p, placed.compare)
	r.kept = slices.Insert(r.kept, i, p)
	r.kept = r.kept[:min(len(r.kept), refsKept)]
}

// List names them.
func (r *Refs) List() []output.EventRef {
	out := make([]output.EventRef, len(r.kept))
	for i, p := range r.kept {
		out[i] = p.ref
	}
	return out
}

// A Memo remembers what was worked out of a text, up to so many texts; then it begins
// anew.
type Memo[V any] struct {
	made map[string]V
	Work func(string) V
	last string // the same text often comes again at once
	then V
}

const memoized = 4096

// Of returns what is worked out of text.
func (m *Memo[V]) Of(text []byte) V {
	if m.made != nil && m.last == string(text) {
		return m.then
	}
	v := m.find(text)
	m.last, m.then = string(text), v
	return v
}

func (m *Memo[V]) find(text []byte) V {
	if v, ok := m.made[string(text)]; ok {
		return v
	}
	if m.made == nil || len(m.made) >= memoized {
		m.made = map[string]V{}
	}
	v := m.Work(string(text))
	m.made[string(text)] = v
	return v
}

// Names that a row holds: the first in the alphabet it spells out, up to seenKept it
// tells apart.
const (
	namesKept = 100
	seenKept  = 1000
)

// Names are different names, and how many there are.
type Names struct {
	First []string // in the order of the alphabet
	seen  map[uint64]struct{}
	Full  bool // there are more than are told apart
}

// Note takes in a name.
func (n *Names) Note(name []byte) {
	h := uint64(14695981039346656037) // FNV-1a
	for _, c := range name {
		h = (h ^ uint64(c)) * 1099511628211
	}
	if _, ok := n.seen[h]; ok {
		return
	}
	if len(n.seen) == seenKept {
		n.Full = true
		return
	}
	if n.seen == nil {
		n.seen = map[uint64]struct{}{}
	}
	n.seen[h] = struct{}{}
	if len(n.First) == namesKept && string(name) > n.First[namesKept-1] {
		return
	}
	s := string(name)
	i, _ := slices.BinarySearch(n.First, s)
	n.First = slices.Insert(n.First, i, s)
	n.First = n.First[:min(len(n.First), namesKept)]
}

// Len is how many names there are.
func (n *Names) Len() int { return len(n.seen) }

// Join takes in the names that x spells out.
func (n *Names) Join(x *Names) {
	for _, name := range x.First {
		n.Note([]byte(name))
	}
	n.Full = n.Full || x.Full || len(x.seen) > len(x.First)
}

// Join takes in the events of x.
func (r *Refs) Join(x *Refs) {
	for _, p := range x.kept {
		r.add(p)
	}
}

// NewSpan returns the span of nothing.
func NewSpan() Span { return Span{From: audit.NoTime, To: audit.NoTime} }

// Clip bounds what is kept of a text that a client chose.
func Clip(s string) string {
	const most = 512
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// Tool is the program that a user agent names, and its version.
func Tool(agent string) [2]string {
	name, version := subject.Tool(agent)
	return [2]string{Clip(name), Clip(version)}
}
